"""The machine that figures were taken on, in words; imported by the benchmarks beside it."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

import torch


def machine(*packages: str) -> dict[str, object]:
    """Return cores, instructions, memory, system and versions; no name of a host, a person or a path."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return {
        "cores": cores,
        "threads": torch.get_num_threads(),
        "cpu": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
        "memory_gb": round(pages * os.sysconf("SC_PAGE_SIZE") / 1e9, 1) if pages else None,
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "numpy", *packages)},
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }
