"""Several runs side by side: errors in one unit, what their configs and environments do not share, how far maps agree."""

from __future__ import annotations

__all__ = ["Comparison", "MapAgreement", "PredictionAgreement", "compare"]

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ram.axes import Axis, overlap
from ram.data.units import factor_or_none
from ram.errors import ConfigError, explained
from ram.maps.regression_map import RegressionMap
from ram.runs.provenance import environment_differences
from ram.runs.run import Run
from ram.runs.settings import differences

Array = NDArray[np.float64]
_PARTS = ("train", "validation", "test")
_IN_UNIT = ("mae", "rmse", "bias")
_PLAIN = ("mape", "r2")
_NOTHING_BELOW = 1e-6  # of the largest contribution of a map: smaller ones have no sign worth counting


@dataclass(frozen=True)
class PredictionAgreement:
    """How far two runs say the same of the samples that neither was trained on.

    Attributes
    ----------
    first, second, target, unit
        Names of the runs; the unit is that of the first.
    samples
        How many samples are in the test part of both.
    difference
        Mean absolute difference of their predictions, in `unit`.
    correlation
        Of their predictions; None for fewer than two samples, or where one is constant.
    """

    first: str
    second: str
    target: str
    unit: str
    samples: int
    difference: float
    correlation: float | None


def _none() -> Array:
    return np.empty(0)


@dataclass(frozen=True, eq=False)
class MapAgreement:
    """How far the stored maps of two runs agree, sample by sample.

    Attributes
    ----------
    first, second, target, unit
        Names of the runs; the unit is that of the first; ``log`` for a target regressed in the logarithm.
    grid
        Where both were compared: ``cells`` (the same in both), ``input`` (the input's grid) or ``coarser input``.
    ids
        The samples: those whose maps both runs have stored.
    correlation
        Shape (sample,): of the contributions of all cells; NaN where one map is constant.
    signs
        Shape (sample,): share of the cells that have one sign in both maps.
    difference
        Shape (sample,): sum of the absolute differences of all cells, in `unit`.
    size
        Shape (sample,): sum of the absolute contributions, mean of both runs, in `unit`.
    why_not
        Why the maps cannot be compared; empty where they can.
    """

    first: str
    second: str
    target: str
    unit: str = ""
    grid: str = ""
    ids: tuple[str, ...] = ()
    correlation: Float[np.ndarray, " sample"] = field(default_factory=_none)
    signs: Float[np.ndarray, " sample"] = field(default_factory=_none)
    difference: Float[np.ndarray, " sample"] = field(default_factory=_none)
    size: Float[np.ndarray, " sample"] = field(default_factory=_none)
    why_not: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return means over the samples, and every sample by its id."""
        if self.why_not:
            return {"first": self.first, "second": self.second, "target": self.target, "why_not": self.why_not}
        rows = zip(self.ids, self.correlation, self.signs, self.difference, self.size, strict=True)
        return {
            "first": self.first,
            "second": self.second,
            "target": self.target,
            "unit": self.unit,
            "grid": self.grid,
            "correlation": _mean(self.correlation),
            "signs": _mean(self.signs),
            "difference": _mean(self.difference),
            "size": _mean(self.size),
            "samples": {i: dict(zip(("correlation", "signs", "difference", "size"), map(float, of), strict=True))
                        for i, *of in rows},
        }  # fmt: skip


def _mean(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several runs side by side; what is compared with is always the first.

    Attributes
    ----------
    names
        One for each run: its folder's, with the folder above where two are called the same.
    facts
        By run: numbers of weights, epochs, the epoch that was kept, seconds of training, the data's digest.
    metrics
        By part, target and run: figures in the unit of the first run that has the target, and ``difference``, mean
        absolute error minus that of this first run. Where a unit cannot be converted, the run has its own.
    config, environment
        By dotted name, one value a run: what is not the same in all.
    predictions, maps
        Each other run against the first.
    """

    runs: tuple[Run, ...]
    names: tuple[str, ...]
    facts: Mapping[str, Mapping[str, Any]]
    metrics: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]
    config: Mapping[str, tuple[Any, ...]]
    environment: Mapping[str, tuple[Any, ...]]
    predictions: tuple[PredictionAgreement, ...]
    maps: tuple[MapAgreement, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        return {
            "runs": {name: {"path": str(run.path), **self.facts[name]} for name, run in zip(self.names, self.runs, strict=True)},
            "metrics": self.metrics,
            "config": {key: dict(zip(self.names, values, strict=True)) for key, values in self.config.items()},
            "environment": {key: dict(zip(self.names, values, strict=True)) for key, values in self.environment.items()},
            "predictions": [vars(one) for one in self.predictions],
            "maps": [one.as_dict() for one in self.maps],
        }  # fmt: skip


def compare(runs: Sequence[Run]) -> Comparison:
    """Return two or more runs side by side.

    Raises
    ------
    ConfigError
        Fewer than two runs.
    DataError
        A run cannot be read, or is not finished.
    """
    if len(runs) < 2:
        what, got = "the runs", f"{len(runs)}"
        raise ConfigError(explained(where="compare", what=what, allowed="two or more", got=got))
    names = _names(runs)
    named = dict(zip(names, runs, strict=True))
    others = names[1:]
    return Comparison(
        runs=tuple(runs),
        names=names,
        facts={name: _facts(run) for name, run in named.items()},
        metrics={part: _metrics(named, part) for part in _PARTS},
        config=_configs(runs),
        environment=_not_shared([environment_differences(runs[0].provenance, run.provenance) for run in runs]),
        predictions=tuple(itertools.chain(*(_predictions(named, names[0], other) for other in others))),
        maps=tuple(itertools.chain(*(_maps(named, names[0], other) for other in others))),
    )


def _names(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return what to call the runs: the shortest end of their paths that tells them apart."""
    places = [run.path.resolve() for run in runs]
    for depth in range(1, max(len(place.parts) for place in places)):
        names = ["/".join(place.parts[-depth:]) for place in places]
        if len(set(names)) == len(names):
            return tuple(names)
    return tuple(f"{place.name} ({number})" for number, place in enumerate(places, start=1))


def _facts(run: Run) -> dict[str, Any]:
    kept = [row["epoch"] for row in run.history if row["best"]]
    return {
        "backbone": run.config.model.backbone,
        "weights": sum(weight.numel() for weight in run.regressor.parameters()),
        "epochs": len(run.history),
        "kept_epoch": max(kept, default=None),
        "training_s": run.times.get("training_s"),
        "data": run.provenance["data"]["digest"],
    }


def _configs(runs: Sequence[Run]) -> dict[str, tuple[Any, ...]]:
    """Return the keys that are not the same in all; where the data lie only if they are not the same data."""
    found = _not_shared([differences(runs[0].config, run.config) for run in runs])
    if len({run.provenance["data"]["digest"] for run in runs}) == 1:
        found.pop("data.file", None)
    return found


def _not_shared(pairs: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """From the differences of each run from the first to one value for each run of every key in which any differs."""
    first = {key: pair.first for each in pairs for key, pair in each.items()}
    return {key: tuple(each[key].second if key in each else value for each in pairs) for key, value in first.items()}


def _metrics(runs: Mapping[str, Run], part: str) -> dict[str, dict[str, dict[str, Any]]]:
    targets = dict.fromkeys(target for run in runs.values() for target in run.metrics.get(part, {}))
    return {target: _of_target(runs, part, target) for target in targets}


def _of_target(runs: Mapping[str, Run], part: str, target: str) -> dict[str, dict[str, Any]]:
    known = {name: run.metrics[part][target] for name, run in runs.items() if target in run.metrics.get(part, {})}
    first = next(iter(known.values()))
    rows = {name: _figures(of, unit=first["unit"]) for name, of in known.items()}
    for row in rows.values():
        same = row["unit"] == first["unit"] and None not in (row["mae"], first["mae"])
        row["difference"] = row["mae"] - first["mae"] if same else None
    return rows


def _figures(of: Mapping[str, Any], *, unit: str) -> dict[str, Any]:
    """Return figures in `unit`; in their own where they cannot be converted."""
    times = factor_or_none(of["unit"], to=unit)
    known = {key: of[key] for key in ("samples", *_PLAIN)}
    if times is None:
        return {"unit": of["unit"], **known, **{key: of[key] for key in _IN_UNIT}}
    return {"unit": unit, **known, **{key: None if of[key] is None else times * of[key] for key in _IN_UNIT}}


def _predictions(runs: Mapping[str, Run], first: str, second: str) -> list[PredictionAgreement]:
    """Return how far two runs agree on the samples of the test parts of both, for each target that both have."""
    one, other = runs[first].predictions("test"), runs[second].predictions("test")
    _, mine, theirs = np.intersect1d(one.ids, other.ids, return_indices=True)
    found = []
    for target, unit in zip(one.target_names, one.units, strict=True):
        if target not in other.target_names or not mine.size:
            continue
        times = factor_or_none(other.units[other.target_names.index(target)], to=unit)
        if times is not None:
            a, b = one.column(target)[0][mine], times * other.column(target)[0][theirs]
            off = float(np.abs(a - b).mean())
            correlation = _correlation(a[None], b[None])[0]
            known = None if np.isnan(correlation) else float(correlation)
            found.append(PredictionAgreement(first, second, target, unit, int(mine.size), off, known))
    return found


def _maps(runs: Mapping[str, Run], first: str, second: str) -> list[MapAgreement]:
    one, other = runs[first].maps(), runs[second].maps()
    return [_agreement(first, second, one[target], other[target]) for target in one if target in other]


def _agreement(first: str, second: str, one: RegressionMap, other: RegressionMap) -> MapAgreement:
    empty = MapAgreement(first, second, one.target)
    ids = tuple(i for i in one.ids if i in other.ids)
    times = 1.0 if one.log else factor_or_none(other.unit, to=one.unit)
    reason = _reason(one, other, ids, times)
    if reason or times is None:
        return replace(empty, why_not=reason)
    pair = [of[[of.ids.index(i) for i in ids]] for of in (one, other)]
    grid, axes = common_grid(*pair)
    a, b = (on_axes(of, axes).reshape(len(ids), -1) for of in pair)
    b = times * b
    return replace(
        empty,
        unit="log" if one.log else one.unit,
        grid=grid,
        ids=ids,
        correlation=_correlation(a, b),
        signs=_same_signs(a, b),
        difference=np.abs(a - b).sum(axis=1),
        size=(np.abs(a).sum(axis=1) + np.abs(b).sum(axis=1)) / 2,
    )


def _reason(one: RegressionMap, other: RegressionMap, ids: tuple[str, ...], times: float | None) -> str:
    """Say why maps cannot be compared; nothing where they can."""
    if not ids:
        return "no sample has maps in both runs"
    if times is None or one.log != other.log:
        how = ("", " in the logarithm")
        return f"one is in {one.unit}{how[one.log]}, the other in {other.unit}{how[other.log]}"
    if one.reference != other.reference:
        return f"one is against {one.reference}, the other against {other.reference}"
    spaces = [[(axis.name, axis.unit) for axis in of.input_axes] for of in (one, other)]
    if spaces[0] != spaces[1]:
        return "their inputs have other axes"
    return ""


def common_grid(one: RegressionMap, other: RegressionMap) -> tuple[str, tuple[Axis, ...]]:
    """Return the grid on which two maps can be compared, and what it is called: the finest that both can fill."""
    if _same(one.axes, other.axes):
        return "cells", one.axes
    if _same(one.input_axes, other.input_axes):
        return "input", one.input_axes
    # Each map is known on its own input's grid; whatever is finer than the other's would be made up.
    coarser = [min(pair, key=lambda axis: axis.size) for pair in zip(one.input_axes, other.input_axes, strict=True)]
    return "coarser input", tuple(coarser)


def _same(first: Sequence[Axis], second: Sequence[Axis]) -> bool:
    return len(first) == len(second) and all(map(Axis.same_grid, first, second))


def on_axes(maps: RegressionMap, axes: Sequence[Axis]) -> Float[np.ndarray, "batch *grid"]:
    """Return contributions spread over other cells by length; sums are kept."""
    values = maps.contributions
    for number, (cells, grid) in enumerate(zip(maps.axes, axes, strict=True), start=1):
        if not cells.same_grid(grid):
            values = np.moveaxis(np.moveaxis(values, number, -1) @ overlap(cells, grid).T, -1, number)
    return values


def _correlation(a: Float[np.ndarray, "row value"], b: Float[np.ndarray, "row value"]) -> Float[np.ndarray, " row"]:
    """Return Pearson's correlation row by row; NaN where one is constant."""
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    size = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.asarray(np.divide((a * b).sum(axis=1), size, out=np.full(len(a), np.nan), where=size > 0))


def _same_signs(a: Float[np.ndarray, "row value"], b: Float[np.ndarray, "row value"]) -> Float[np.ndarray, " row"]:
    """Return the share of cells of one sign in both, among those that add something in both; NaN where there are none."""
    counted = (np.abs(a) > _NOTHING_BELOW * np.abs(a).max(axis=1, keepdims=True)) & (
        np.abs(b) > _NOTHING_BELOW * np.abs(b).max(axis=1, keepdims=True)
    )
    total = counted.sum(axis=1)
    same = (counted & (np.sign(a) == np.sign(b))).sum(axis=1)
    return np.asarray(np.divide(same, total, out=np.full(len(a), np.nan), where=total > 0))
