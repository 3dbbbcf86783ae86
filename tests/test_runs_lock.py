"""One process at a time in a run's folder: live ones are named, dead ones are taken over from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ram.errors import ConfigError
from ram.runs import lock
from ram.runs.lock import LOCK, locked

HOLD = """
import sys
from pathlib import Path
from ram.runs.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds `folder` until it is told or killed."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def left_by(folder: Path, **changes: str) -> None:
    owner = {**lock._this_process(), **changes}
    (folder / LOCK).write_text(json.dumps(owner), encoding="utf-8")


def test_a_second_process_is_refused_and_one_that_was_killed_is_followed(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        wanted = rf"{tmp_path.name}: the run's folder must be free. Got process {process.pid} at work there. Wait"
        with pytest.raises(ConfigError, match=wanted), locked(tmp_path):
            pass
        process.kill()
        process.wait()
        assert (tmp_path / LOCK).exists()
        with locked(tmp_path):
            assert json.loads((tmp_path / LOCK).read_text(encoding="utf-8"))["pid"] == str(os.getpid())
    assert not (tmp_path / LOCK).exists()


def test_the_same_process_is_refused_too(tmp_path: Path) -> None:
    with locked(tmp_path):
        with pytest.raises(ConfigError, match=f"Got process {os.getpid()} at work there"), locked(tmp_path):
            pass
        assert (tmp_path / LOCK).exists()
    with locked(tmp_path):
        pass


@pytest.mark.parametrize(
    "changes",
    [
        {"pid": "4194303", "started": "1"},  # nobody
        {"started": "1"},  # this number was given to another process since
        {"boot": "another", "pid": "1"},  # the machine was started anew
        {"boot": "another", "host": "node7", "slurm_job": "12"},  # the same job, requeued elsewhere
    ],
    ids=["dead", "reused", "booted", "requeued"],
)
def test_a_lock_whose_process_is_gone_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    left_by(tmp_path, **changes)
    with locked(tmp_path):
        pass
    assert not (tmp_path / LOCK).exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "1"}'])
def test_half_a_lock_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / LOCK).write_text(content, encoding="utf-8")
    with locked(tmp_path):
        pass


def test_a_process_on_another_machine_may_be_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    left_by(tmp_path, boot="another", host="node7", pid="77")
    wanted = (
        r"Got the lock of process 77 on node7, which cannot be seen from .* if it is gone for certain, remove .*\.lock"
    )
    with pytest.raises(ConfigError, match=wanted), locked(tmp_path):
        pass
    assert (tmp_path / LOCK).exists()


def test_without_locks_of_the_kernel_the_file_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with holder(tmp_path) as process, monkeypatch.context() as patched:
        patched.setattr(lock, "fcntl", None)
        with pytest.raises(ConfigError, match=f"Got process {process.pid} at work there"), locked(tmp_path):
            pass
