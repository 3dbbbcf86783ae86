"""Where a run comes from: data, code, versions, platform, seeds, threads."""

from __future__ import annotations

__all__ = ["provenance"]

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

_PACKAGES = ("torch", "numpy", "scipy", "h5py", "lightning-fabric", "safetensors", "scikit-learn", "xxhash")


def provenance(*, data_name: str, data_digest: str, seed: int, threads: int) -> dict[str, Any]:
    """Return what a run depends on; no wall-clock time, so that equal runs have equal files."""
    return {
        "data": {"name": data_name, "digest": data_digest},
        "code": {"version": _version("regression-activation-mapping"), **_commit()},
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "platform": {
            "system": platform.system(),
            "machine": platform.machine(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "device": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu",
        },
        "seed": seed,
        "threads": threads,
        "deterministic_algorithms": True,
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> dict[str, str | bool]:
    """Return the commit of the checkout that the package runs from; nothing where it is installed elsewhere."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return {}
    commit, status = (_git(folder, *words) for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "-uno")))
    return {} if commit is None or status is None else {"commit": commit, "dirty": bool(status)}


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
