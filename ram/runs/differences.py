"""Whether two runs are the same to the bit, and if not, in what they differ and by how much."""

from __future__ import annotations

__all__ = ["FileDifference", "RunDifferences", "run_differences"]

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from ram.errors import RamError
from ram.runs.provenance import environment_differences
from ram.runs.run import Run
from ram.runs.settings import Difference, differences
from ram.storage.tensors import read_tensors

# Where a run lies, when it ran and what was drawn of it: no part of what it is.
_APART = {"manifest.json", "times.json", "config.toml", "provenance.json", "report.html", "start.json"}
_DRAWN = ("pictures/", ".", "leaderboard")
_FIGURES = ("mae", "rmse", "bias")


@dataclass(frozen=True)
class FileDifference:
    """One file in which two runs differ.

    Attributes
    ----------
    file
        Its path inside the folders.
    sizes
        By how much, one entry for each tensor, target or figure: ``{"umbrella": 0.003}``.
    text
        One sentence with the numbers that matter.
    """

    file: str
    sizes: Mapping[str, float]
    text: str


@dataclass(frozen=True)
class RunDifferences:
    """In what a second run differs from a first one.

    Attributes
    ----------
    environment, config
        By dotted name: the value of the first and of the second run; the place of the data file is left out.
    data
        Digests of the data, where they differ.
    files
        The files that are not the same, as they depend on each other: the first is where it began.
    equal
        Names of the files that are the same to the bit.
    """

    environment: Mapping[str, Difference]
    config: Mapping[str, Difference]
    data: Difference | None
    files: tuple[FileDifference, ...]
    equal: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Whether config, data and every result are the same; the environment may differ."""
        return not (self.config or self.data or self.files)


def run_differences(first: Run, second: Run) -> RunDifferences:
    """Return in what `second` differs from `first`.

    Raises
    ------
    DataError
        Where config or provenance of one of them cannot be read.
    """
    digests = Difference(first.provenance["data"]["digest"], second.provenance["data"]["digest"])
    config = differences(first.config, second.config)
    config.pop("data.file", None)
    names = sorted(_results(first.path) | _results(second.path), key=lambda name: (_rank(name), name))
    found = {name: _file_difference(name, first, second) for name in names}
    return RunDifferences(
        environment=environment_differences(first.provenance, second.provenance),
        config=config,
        data=None if digests.first == digests.second else digests,
        files=tuple(of for of in found.values() if of is not None),
        equal=tuple(name for name, of in found.items() if of is None),
    )


def _results(folder: Path) -> set[str]:
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in names if name not in _APART and not name.startswith(_DRAWN)}


def _file_difference(name: str, first: Run, second: Run) -> FileDifference | None:
    one, other = first.path / name, second.path / name
    if not (one.is_file() and other.is_file()):
        where = first if one.is_file() else second
        return FileDifference(name, {}, f"is in {where.path} only")
    if _same_bytes(one, other):
        return None
    measure = _MEASURES.get(name)
    if measure is None:
        return FileDifference(name, {}, "holds other bytes")
    try:
        return measure(name, first, second)
    except (RamError, OSError, ValueError, KeyError) as error:
        return FileDifference(name, {}, f"cannot be compared: {error}")


def _same_bytes(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as first, other.open("rb") as second:
        return hashlib.file_digest(first, "sha256").digest() == hashlib.file_digest(second, "sha256").digest()


def _tensors(schema: str) -> Callable[[str, Run, Run], FileDifference]:
    """Return what compares files of tensors: the largest difference relative to the largest number of each."""

    def compare(name: str, first: Run, second: Run) -> FileDifference:
        return _tensor_difference(name, *(read_tensors(run.path / name, schema=schema)[0] for run in (first, second)))

    return compare


def _tensor_difference(name: str, one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> FileDifference:
    alone = sorted(set(one) ^ set(other))
    sizes = {key: _relative(one[key], other[key]) for key in one if key in other}
    sizes = {key: size for key, size in sizes.items() if size != 0.0}
    if alone:
        return FileDifference(name, sizes, f"holds other tensors: {', '.join(alone[:4])}{' ...' * (len(alone) > 4)}")
    if not sizes:
        return FileDifference(name, {}, "holds the same tensors, and other words about them")
    worst = max(sizes, key=lambda key: np.nan_to_num(sizes[key], nan=np.inf))
    text = f"{len(sizes)} of {len(one)} tensors differ, {worst} most: {sizes[worst]:.2g} of its largest number"
    return FileDifference(name, sizes, text)


def _relative(one: ArrayLike, other: ArrayLike) -> float:
    """Return the largest difference over the largest number; NaN for other shapes or where only one is finite."""
    a, b = (np.asarray(values, dtype=np.float64) for values in (one, other))
    if a.shape != b.shape:
        return float("nan")
    if np.array_equal(a, b, equal_nan=True):
        return 0.0
    size = float(np.abs(a).max(initial=0.0)) or 1.0
    return float(np.abs(a - b).max(initial=0.0)) / size


def _history(name: str, first: Run, second: Run) -> FileDifference:
    """Say in which epoch two trainings part."""
    rows, others = first.history, second.history
    for one, other in zip(rows, others, strict=False):
        if one != other:
            return FileDifference(name, *_parting(one, other))
    text = f"the same up to epoch {min(len(rows), len(others))}; {len(rows)} and {len(others)} epochs"
    return FileDifference(name, {}, text)


def _parting(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[dict[str, float], str]:
    keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    numbers = [key for key in keys if isinstance(one.get(key), float) and isinstance(other.get(key), float)]
    said = ", ".join(f"{key} {one[key]:.9g} and {other[key]:.9g}" for key in numbers) or ", ".join(keys)
    return {key: abs(one[key] - other[key]) for key in numbers}, f"parts in epoch {one.get('epoch', '?')}: {said}"


def _metrics(name: str, first: Run, second: Run) -> FileDifference:
    """Compare errors of the test part, in units."""
    sizes: dict[str, float] = {}
    said: list[str] = []
    for target, of in first.metrics["test"].items():
        other = second.metrics["test"].get(target, {})
        if other.get("unit") != of["unit"]:
            said.append(f"{target} is in another unit or missing")
            continue
        changes = {key: other[key] - of[key] for key in _FIGURES if of[key] != other[key]}
        sizes |= {f"{target}.{key}": abs(change) for key, change in changes.items()}
        said += [f"{target} {key} {change:+.3g}{_unit(of['unit'])}" for key, change in changes.items()]
    return FileDifference(name, sizes, "; ".join(said) or "errors of the test part are the same, other figures are not")


def _unit(unit: str) -> str:
    return "" if unit in ("", "1") else f" {unit}"


def _predictions(name: str, first: Run, second: Run) -> FileDifference:
    one, other = first.all_predictions(), second.all_predictions()
    if not np.array_equal(one.ids, other.ids) or (one.target_names, one.units) != (other.target_names, other.units):
        return FileDifference(name, {}, "is of other samples, targets or units")
    largest = np.abs(one.values - other.values).max(axis=0, initial=0.0)
    sizes = {target: float(off) for target, off in zip(one.target_names, largest, strict=True)}
    said = (f"{target} {sizes[target]:.3g}{_unit(unit)}" for target, unit in zip(sizes, one.units, strict=True))
    return FileDifference(name, sizes, f"predictions are apart by up to {', '.join(said)}")


def _maps(prefixes: tuple[str, ...]) -> Callable[[str, Run, Run], FileDifference]:
    """Return what compares files of maps: contributions, in units and relative to the largest one."""

    def compare(name: str, first: Run, second: Run) -> FileDifference:
        said: list[str] = []
        sizes: dict[str, float] = {}
        for prefix in prefixes:
            one, other = (run.reference_maps(prefix) if prefix else run.maps() for run in (first, second))
            for target, of in one.items():
                if target not in other or other[target].ids != of.ids or other[target].unit != of.unit:
                    return FileDifference(name, sizes, "is of other samples, targets or units")
                size = _relative(of.contributions, other[target].contributions)
                off = size * float(np.abs(of.contributions).max(initial=0.0))
                label = f"{prefix}/{target}".strip("/")
                sizes[label] = off
                said.append(f"{label} {off:.3g}{_unit(of.map_unit)} ({100 * size:.2g} %)")
        return FileDifference(name, sizes, f"cells are apart by up to {', '.join(said)} of the largest one")

    return compare


def _texts(name: str, first: Run, second: Run) -> FileDifference:
    one, other = (json.loads((run.path / name).read_text(encoding="utf-8")) for run in (first, second))
    return FileDifference(name, {}, "says something else" if one != other else "says the same in other bytes")


_MEASURES: dict[str, Callable[[str, Run, Run], FileDifference]] = {
    "checks.json": _texts,
    "start.safetensors": _tensors("ram-checkpoint/1"),
    "history.jsonl": _history,
    "training.safetensors": _tensors("ram-training/1"),
    "checkpoint.safetensors": _tensors("ram-checkpoint/1"),
    "references.h5": _maps(("train-mean", "train-mean-design")),
    "predictions.h5": _predictions,
    "metrics.json": _metrics,
    "trust.json": _texts,
    "maps.h5": _maps(("",)),
}


def _rank(name: str) -> int:
    """In the order in which a training writes them: what differs first is the cause of the rest."""
    names = list(_MEASURES)
    return names.index(name) if name in names else len(names)
