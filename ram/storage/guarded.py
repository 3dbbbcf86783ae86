"""Work on files that may be damaged or hostile, in a process of its own with limits on time and memory.

The HDF5 library crashes and hangs on some damaged files (of 1,500 mutated ones: 1 and 3). Here that ends the helper
process, not the caller, and becomes an error that names the file.
"""

from __future__ import annotations

__all__ = ["main", "survey", "survey_once"]

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from ram.storage.hdf5 import unreadable
from ram.storage.stamps import Stamp, stamp_of

_surveyed: set[Stamp] = set()
_CPU_SECONDS = 2  # a look stops by itself after half of it
_WALL_SECONDS = 60  # a file on a slow disk
_MEMORY = 2**29  # bytes beyond what Python and its libraries take themselves
_CODE = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from ram.storage.guarded import main
main(sys.argv[2])
"""
# One thread each keeps the helper small; no plugin for filters is looked for, wherever the caller's may lie.
_SURROUNDINGS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "HDF5_PLUGIN_PRELOAD": "::"}


def survey(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what `ram.storage.survey.survey` returns, whatever the file does to the process that reads it.

    Raises
    ------
    DataError
        The file cannot be read as HDF5, or the library crashed, hung or took too much memory on it.
    """
    words = [sys.executable, "-I", "-X", "utf8", "-c", _CODE, json.dumps(sys.path), os.fspath(Path(path).resolve())]
    try:
        ended = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_WALL_SECONDS,
            check=False,
            env=os.environ | _SURROUNDINGS,
        )
    except subprocess.TimeoutExpired as error:
        raise unreadable(str(path), f"no answer after {_WALL_SECONDS} s") from error
    try:
        answer: dict[str, Any] = json.loads(ended.stdout)
    except ValueError as error:
        raise unreadable(str(path), _death(ended.returncode)) from error
    if "refused" in answer:
        raise unreadable(str(path), answer["refused"])
    return answer


def survey_once(path: Path) -> None:
    """Survey a file that this process has not seen yet, before it is opened here.

    Raises
    ------
    DataError
        As `survey`.
    """
    stamp = stamp_of(path)
    if stamp not in _surveyed:
        survey(path)
        _surveyed.add(stamp)


def main(path: str) -> None:
    """Answer in JSON on standard output; for the helper process."""
    from ram.storage import survey as looking

    limit()
    looking.Impatience.wanted = True
    try:
        answer = looking.survey(path)
    except Exception as error:
        answer = {"refused": " ".join(str(error).split()) or type(error).__name__}
    sys.stdout.write(json.dumps(answer, allow_nan=False))
    sys.stdout.flush()
    os._exit(0)  # closing a damaged file can crash, and the answer is given


def limit() -> None:
    """Limit this process: time, memory, no file written, no core dumped. Windows has no such limits."""
    try:
        import resource
    except ImportError:
        return
    taken = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(taken.ru_utime + taken.ru_stime) + _CPU_SECONDS
    pages = Path("/proc/self/statm")
    most = int(pages.read_text().split()[0]) * resource.getpagesize() + _MEMORY if pages.exists() else 2**33
    wanted = {"CPU": seconds, "AS": most, "CORE": 0, "FSIZE": 0}
    for name, value in wanted.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        most_allowed = resource.getrlimit(kind)[1]
        within = value if most_allowed == resource.RLIM_INFINITY else min(value, most_allowed)
        resource.setrlimit(kind, (within, most_allowed))


def _death(code: int) -> str:
    if code == -getattr(signal, "SIGPROF", 0):
        return "no end of one small piece of it"
    if code in (-signal.SIGKILL, -getattr(signal, "SIGXCPU", signal.SIGKILL)):
        return f"no end after {_CPU_SECONDS} s"
    return (
        f"a crash of the HDF5 library ({signal.Signals(-code).name})" if code < 0 else "no answer from the HDF5 library"
    )
