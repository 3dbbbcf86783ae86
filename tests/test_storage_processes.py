"""Which process is meant, and whether it is still there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ram.storage.processes import boot, started

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system says nothing in /proc")


def test_this_process_is_there_and_began_once() -> None:
    assert started(os.getpid()) == started(os.getpid()) != ""


@linux
def test_a_boot_has_a_name() -> None:
    assert boot() == Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@linux
def test_a_process_that_has_ended_is_gone_before_anybody_has_waited_for_it() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert started(child.pid) not in ("", "running")
        child.kill()
        end = time.monotonic() + 30
        while Path(f"/proc/{child.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < end
            time.sleep(0.01)
        assert started(child.pid) == ""
    assert started(child.pid) == ""
