"""Which process does a piece of work, and whether it still can."""

from __future__ import annotations

__all__ = ["Owner", "is_gone", "this_process"]

import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from ram.storage.processes import boot, started

Owner = dict[str, str | int | float]


def this_process() -> Owner:
    """Return what names this process among those of all machines, and the time, s since 1970."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "boot": boot(), "pid": pid, "start": started(pid), "alive_at": time.time()}


def is_gone(owner: Mapping[str, Any], *, silent_after_s: float) -> bool:
    """Whether a process has ended, or has said nothing for so long that it must have.

    Of a process on this machine it is known at once; of one on another machine only its silence tells.
    """
    if owner.get("host") == socket.gethostname() and owner.get("boot") == boot():
        return started(int(owner["pid"])) != owner.get("start") or not owner.get("start")
    return time.time() - float(owner.get("alive_at", 0.0)) > silent_after_s
