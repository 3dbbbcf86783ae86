"""Which process of which boot of a machine: what tells it from a later one that was given the same number."""

from __future__ import annotations

__all__ = ["boot", "started"]

import contextlib
import os
from pathlib import Path


def boot() -> str:
    """Return what names this boot of the machine; empty where the system has no such name."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def started(pid: int) -> str:
    """Return when a process was started, in ticks since the boot; empty where it is gone.

    Where the system does not say, a word for any process that is alive.

    Source: proc(5), /proc/pid/stat: field 3 is the state (Z: dead, not yet collected), field 22 the time.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return "" if Path("/proc/self/stat").exists() else _alive(pid)
    return "" if fields[0] in "ZX" else fields[19]


def _alive(pid: int) -> str:
    if os.name == "nt":
        return "running"  # asking with signal 0 would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "running"
