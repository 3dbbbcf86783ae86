"""One process at a time writes into a run's folder.

The file ``.lock`` names the process: pid, when it was started, the boot of its machine. The kernel's own lock on that
file (POSIX record locks, which children do not inherit) decides where the file system has it; a file whose process is
gone is taken over.
"""

from __future__ import annotations

__all__ = ["LOCK", "locked"]

import contextlib
import errno
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from ram.errors import ConfigError, explained
from ram.storage.atomic import naming_disk_trouble, write_all
from ram.storage.processes import boot, started

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LOCK = ".lock"
_TAKEN = {errno.EACCES, errno.EAGAIN}
Owner = dict[str, str]


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of `folder` while the body runs.

    Raises
    ------
    ConfigError
        At once, where another process is at work there, or one on another machine may be.
    DataError
        The folder may not be written.
    """
    path, me = folder.resolve() / LOCK, _this_process()
    with naming_disk_trouble(path):
        handle = _take(path, me)
    try:
        yield
    finally:
        _remove(path, handle)


def _remove(path: Path, handle: int) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
    os.close(handle)


def _take(path: Path, me: Owner) -> int:
    """Return the handle of the lock file, held and with `me` in it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            _hold(handle, path)
            if not _is_at(handle, path):  # removed by its owner between the opening and the holding
                os.close(handle)
                continue
            owner = _owner(handle)
            if owner and _may_be_at_work(owner, me):
                raise ConfigError(_refusal(path, owner, me))
            os.ftruncate(handle, 0)
            os.lseek(handle, 0, os.SEEK_SET)
            write_all(handle, json.dumps(me).encode())
        except ConfigError:
            os.close(handle)
            raise
        except BaseException:
            _remove(path, handle)
            raise
        return handle


def _hold(handle: int, path: Path) -> None:
    """Take the kernel's lock on the file; refuse where another process has it."""
    if fcntl is None:
        return
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _TAKEN:
            return  # a file system without locks: what stands in the file decides
        raise ConfigError(_refusal(path, _owner(handle), _this_process())) from None


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _owner(handle: int) -> Owner:
    """Return what stands in the file; nothing where it was cut short."""
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        content = json.loads(os.read(handle, 2**16))
        return {key: str(content[key]) for key in _this_process()}
    except (ValueError, KeyError, TypeError):
        return {}


def _this_process() -> Owner:
    return {
        "pid": str(os.getpid()),
        "started": started(os.getpid()),
        "boot": boot(),
        "host": platform.node(),
        "slurm_job": os.environ.get("SLURM_JOB_ID", ""),
    }


def _may_be_at_work(owner: Owner, me: Owner) -> bool:
    """Whether the process that a lock names is alive, or cannot be seen from here."""
    if owner["boot"] == me["boot"]:
        return started(int(owner["pid"])) == owner["started"] != ""
    if owner["host"] == me["host"]:
        return False  # started anew since
    # A requeued job runs once: its earlier process is gone, on whichever machine it was.
    return not owner["slurm_job"] or owner["slurm_job"] != me["slurm_job"]


def _refusal(path: Path, owner: Owner, me: Owner) -> str:
    if not owner:
        got, step = "another process at work there", "Wait until it has ended, or give another --output"
    elif owner["boot"] == me["boot"]:
        got = f"process {owner['pid']} at work there"
        step = "Wait until it has ended or stop it, or give another --output"
    else:
        got = f"the lock of process {owner['pid']} on {owner['host']}, which cannot be seen from {me['host']}"
        step = f"Wait until it has ended; if it is gone for certain, remove {path}"
    return explained(where=str(path.parent), what="the run's folder", allowed="free", got=got, next_step=step)
