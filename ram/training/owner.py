"""Which process does a piece of work, and whether it still can."""

from __future__ import annotations

__all__ = ["Owner", "is_gone", "this_process"]

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Owner = dict[str, str | int | float]


def this_process() -> Owner:
    """Return what names this process among those of all machines, and the time, s since 1970."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "boot": _boot(), "pid": pid, "start": _start(pid), "alive_at": time.time()}


def is_gone(owner: Mapping[str, Any], *, silent_after_s: float) -> bool:
    """Whether a process has ended, or has said nothing for so long that it must have.

    Of a process on this machine it is known at once; of one on another machine only its silence tells.
    """
    if owner.get("host") == socket.gethostname() and owner.get("boot") == _boot():
        pid = int(owner["pid"])
        return _start(pid) != owner.get("start") or not _is_there(pid)
    return time.time() - float(owner.get("alive_at", 0.0)) > silent_after_s


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's
    return True


def _boot() -> str:
    return _read("/proc/sys/kernel/random/boot_id")


def _start(pid: int) -> str:
    """Return when a process began, in ticks since the boot: its number may be given again; empty if not known."""
    after_name = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    # A process that has ended but was not waited for is still listed, as a zombie.
    return "" if len(after_name) < 20 or after_name[0] == "Z" else after_name[19]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
