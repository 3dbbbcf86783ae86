"""Trains, is killed, goes on: ``python stopped_runs.py CONFIG PLANS.json`` in a process of its own.

Each plan is a run's folder, and attempts at it. An attempt is a child made by fork, so that torch is imported once; it
may be killed after a step, before a call of the system, or after some time, and a call of the system may fail. What is
left after each attempt is printed as JSON.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
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
    import ram

    ram.train(config, output=config.parent / f"warm-{os.getpid()}", progress=False)  # all is imported once, here
    sys.stdout.write(json.dumps([{**plan, **outcome(config, plan)} for plan in plans]))


def outcome(config: Path, plan: dict[str, Any]) -> dict[str, Any]:
    """What the attempts of one plan leave behind; of a folder that is not wanted any more, nothing is kept."""
    folder, statuses, left = Path(plan["folder"]), [], []
    for one in plan["attempts"]:
        started = time.monotonic()
        statuses.append(attempt(config, plan["folder"], one))
        took_s = time.monotonic() - started
        left.append(digests(folder) if folder.is_dir() else {})
    if plan.get("remove"):
        shutil.rmtree(folder, ignore_errors=True)
    return {"statuses": statuses, "left": left, "digests": left[-1], "took_s": took_s}


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
    elif event == "results":
        trainer = sys.modules["ram.training.train"]
        trainer.write_results = counted(trainer.write_results, before=True)  # type: ignore[attr-defined]
    elif event in CALLS:
        setattr(os, event, counted(getattr(os, event), before=True))
    if "fail" in one:
        setattr(os, one["fail"], failing(getattr(os, one["fail"]), one))
    if "calls" in one:
        count_calls(Path(one["calls"]), Path(one["versions"]))
    yield


def failing(real: Callable[..., Any], one: dict[str, Any]) -> Callable[..., Any]:
    """Let one call fail: ``{"fail": "write", "number": 3, "error": "ENOSPC"}``; "short" writes half of what is given.

    After an error of the disk each later call of the kind fails too where ``"for_good"`` says so, as a full disk does.
    """
    count = 0

    def call(*words: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count < one["number"] or (count > one["number"] and not one.get("for_good")):
            return real(*words, **options)
        if one["error"] == "short":
            handle, content = words
            return real(handle, memoryview(content)[: (len(content) + 1) // 2])
        number = getattr(errno, one["error"])
        path = words[0] if isinstance(words[0], (str, os.PathLike)) else None
        raise OSError(number, os.strerror(number), os.fspath(path) if path else None)

    return call


def count_calls(path: Path, versions: Path) -> None:
    """Count calls of the system and note the digest of every version of every file, as they come into being."""
    counts = dict.fromkeys(CALLS, 0)

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **options: Any) -> Any:
            counts[name] += 1
            path.write_text(json.dumps(counts), encoding="utf-8")
            if name == "replace":
                digest = hashlib.sha256(Path(words[0]).read_bytes()).hexdigest()
                with versions.open("a", encoding="utf-8") as file:
                    file.write(f"{Path(words[1]).name} {digest}\n")
            return real(*words, **options)

        return call

    for name in CALLS:
        setattr(os, name, counted(name, getattr(os, name)))


if __name__ == "__main__":
    main()
