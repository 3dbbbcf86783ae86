"""Where a run comes from: data, code, versions, platform, seed, threads; all that its bytes may depend on."""

from __future__ import annotations

__all__ = ["environment", "environment_differences", "provenance"]

import functools
import hashlib
import importlib.metadata
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import torch
from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

import ram
from ram.data.dataset import Dataset
from ram.data.origin import ATTRIBUTE, Origin
from ram.runs.settings import NOT_GIVEN, Difference, flat

_DISTRIBUTION = "regression-activation-mapping"
_ENVIRONMENT = ("code", "versions", "platform", "environment", "threads", "deterministic_algorithms", "determinism")
_VARIABLES = re.compile(r"(OMP|MKL|OPENBLAS|DNNL|ONEDNN|ATEN|TORCH|CUBLAS|CUDA|NVIDIA|KMP|GOMP)_\w+")
# What libraries set by themselves when they are imported says which were, not what a number depends on.
_SET_BY_IMPORTS = {"KMP_INIT_AT_FORK", "KMP_DUPLICATE_LIB_OK"}


def provenance(data: Dataset, *, loading: str, seed: int, threads: int) -> dict[str, Any]:
    """Return what a run depends on; no wall-clock time, so that equal runs have equal files.

    Parameters
    ----------
    data
        The whole data set.
    loading
        How its inputs are read.
    """
    return {
        "data": {"name": data.name, "digest": data.digest, **_origin(data), "loading": loading},
        "seed": seed,
        **environment(threads=threads),
    }


def environment(*, threads: int) -> dict[str, Any]:
    """Return what the bytes of a run depend on besides config and data."""
    return {
        "code": {"version": ram.__version__, **_commit(), "sources": _sources()},
        "versions": _versions(),
        "platform": _platform(),
        "environment": {
            name: os.environ[name]
            for name in sorted(os.environ)
            if _VARIABLES.fullmatch(name) and name not in _SET_BY_IMPORTS
        },
        "threads": threads,
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "determinism": {
            "cudnn_deterministic": torch.backends.cudnn.deterministic,
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
        },
    }


def environment_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Difference]:
    """Return in what two environments differ, by dotted name; each may be a whole provenance.

    Commits are compared only where the sources themselves are not known or differ.
    """
    one, other = _flat_environment(first), _flat_environment(second)
    if one.get("code.sources") == other.get("code.sources", NOT_GIVEN):
        one, other = ({key: of[key] for key in of if not key.startswith("code.")} for of in (one, other))
    pairs = {key: Difference(one.get(key, NOT_GIVEN), other.get(key, NOT_GIVEN)) for key in {**one, **other}}
    return {key: pair for key, pair in pairs.items() if pair.first != pair.second}


def _flat_environment(content: Mapping[str, Any]) -> dict[str, Any]:
    return flat({key: content[key] for key in _ENVIRONMENT if key in content})


def _origin(data: Dataset) -> dict[str, Any]:
    """Return the recipe that made the data and its options, where the file says so."""
    origin = Origin.from_text(data.attributes.get(ATTRIBUTE, ""))
    return {"recipe": asdict(origin)} if origin else {}


@functools.cache
def _versions() -> dict[str, str]:
    """Return the versions of Python, of the HDF5 library and of all that the package requires."""
    known = {"python": platform.python_version(), "hdf5": h5py.version.hdf5_version}
    return {**known, **{name: _version(name) for name in sorted(_requirements())}}


def _requirements() -> set[str]:
    try:
        stated = importlib.metadata.requires(_DISTRIBUTION) or ()
    except importlib.metadata.PackageNotFoundError:
        return {"h5py", "lightning-fabric", "numpy", "safetensors", "scikit-learn", "scipy", "torch", "xxhash"}
    return {re.split(r"[<>=!~;\[ ]", line)[0] for line in stated if "extra ==" not in line}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _platform() -> dict[str, Any]:
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()).strip(),
        "cpu": _cpu(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "blas": _blas(),
        "mkldnn": bool(torch.backends.mkldnn.is_available()),  # type: ignore[no-untyped-call]
        "device": device,
        **({} if device == "cpu" else {"cuda": torch.version.cuda, "cudnn": _cudnn()}),
    }


def _blas() -> list[str]:
    """Return which kernels of BLAS are chosen for this CPU: other ones, other last bits."""
    pools = [pool for pool in threadpool_info() if "architecture" in pool]
    return sorted({f"{pool['internal_api']} {pool['architecture']}" for pool in pools})


def _cudnn() -> int | None:
    return torch.backends.cudnn.version()  # type: ignore[no-untyped-call,no-any-return]


def _cpu() -> str:
    """Return the name of the processor as the system says it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor()


@functools.cache
def _sources() -> str:
    """Return one SHA-256 of all sources of the package: what ran, whatever git says."""
    folder = Path(__file__).resolve().parents[1]
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix()):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


@functools.cache
def _commit() -> dict[str, str | bool]:
    """Return the commit of the checkout that the package runs from; nothing where it is installed elsewhere.

    It is dirty where a tracked file differs from the commit, or a file of the package is in no commit.
    """
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return {}
    commands = (
        ("rev-parse", "HEAD"),
        ("status", "--porcelain", "-uno"),
        ("status", "--porcelain", "-uall", "--", "ram"),
    )
    commit, tracked, package = (_git(folder, *words) for words in commands)
    if commit is None or tracked is None or package is None:
        return {}
    return {"commit": commit, "dirty": bool(tracked or package)}


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
