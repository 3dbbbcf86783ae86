"""Trains, is killed, goes on: ``python stopped_runs.py CONFIG PLANS.json`` in a process of its own.

Each plan is a run's folder, and attempts at it. An attempt is a child made by fork, so that torch is imported once; it
may be killed after a step, before a call of the system, or after some time. What is left is printed as JSON.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TIMED = {"times.json", "manifest.json"}
CALLS = ("open", "write", "fsync", "replace")


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a run that no clock has a part in; the config, which names workers, is compared else."""
    others = {*TIMED, "config.toml"}
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name not in others
    }


def main() -> None:
    config, plans = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    import ram.training.train  # noqa: F401 - before the children are made

    results = []
    for plan in plans:
        statuses = [attempt(config, plan["folder"], one) for one in plan["attempts"]]
        folder = Path(plan["folder"])
        results.append({**plan, "statuses": statuses, "digests": digests(folder) if folder.is_dir() else {}})
    sys.stdout.write(json.dumps(results))


def attempt(config: Path, folder: str, one: dict[str, Any]) -> int:
    """Run one attempt in a child; returns its exit code, negative the signal that has killed it."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            code = train(config, folder, one)
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    if "after_s" in one:
        time.sleep(one["after_s"])
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.Signals[one.get("signal", "SIGKILL")])
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def train(config: Path, folder: str, one: dict[str, Any]) -> int:
    import ram
    from ram.errors import RamError

    overrides = [f"training.{key}={value!r}".replace("'", '"') for key, value in one.get("training", {}).items()]
    with arranged(one):
        try:
            ram.train(config, output=folder, overrides=overrides, resume=True, progress=False)
        except RamError as error:
            sys.stderr.write(f"{error}\n")
            return 1
    return 0


@contextlib.contextmanager
def arranged(one: dict[str, Any]) -> Iterator[None]:
    """Send this process a signal when it has come so far: ``{"event": "step", "number": 3, "signal": "SIGKILL"}``."""
    from ram.training import loop

    event, number = one.get("event", ""), one.get("number", 0)
    sent = signal.Signals[one.get("signal", "SIGKILL")]
    count = 0

    def counted(real: Callable[..., Any], *, before: bool) -> Callable[..., Any]:
        def call(*words: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if before and count == number:
                os.kill(os.getpid(), sent)
            value = real(*words, **options)
            if not before and count == number:
                os.kill(os.getpid(), sent)
            return value

        return call

    if event == "step":
        loop.Course.count = counted(loop.Course.count, before=False)  # type: ignore[method-assign]
    elif event == "validation":
        loop._validate = counted(loop._validate, before=True)
    elif event in CALLS:
        setattr(os, event, counted(getattr(os, event), before=True))
    yield


if __name__ == "__main__":
    main()
