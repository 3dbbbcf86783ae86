"""Whether data, net, stored predictions and stored maps of a run still agree with each other."""

from __future__ import annotations

__all__ = ["Deep", "predicted_parts", "verify_deeply"]

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ram.data.dataset import Dataset
from ram.data.integrity import verify
from ram.data.spec import SCHEMA
from ram.errors import RamError
from ram.maps.regression_map import RegressionMap
from ram.runs.manifest import Problem
from ram.runs.parts import part_of
from ram.runs.predictions import Predictions
from ram.runs.provenance import environment, environment_differences
from ram.runs.repeatable import repeatable
from ram.runs.run import Run
from ram.runs.settings import Difference

_PARTS = ("train", "validation", "test")
# Of the spread of the values: other kernels add float32 numbers in another order.
_ELSEWHERE = 1e-5

Steps = Callable[[int], None]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Deep:
    """What a deep look at a run found.

    Attributes
    ----------
    problems
        What does not agree; nothing where all does.
    environment
        In what the present environment differs from that of the run. Where it does not, all must be equal to the bit.
    """

    problems: tuple[Problem, ...]
    environment: dict[str, Difference]


def verify_deeply(run: Run, *, data: str | Path | None = None, progress: Steps | None = None) -> Deep:
    """Hold the data file's values against their digests, and compute the stored predictions and maps again.

    They must be equal to the bit where code, versions, platform and environment are those of the run, else to 1e-5
    of the spread of their values.

    Parameters
    ----------
    data
        The run's data file where it lies elsewhere now.
    progress
        Called with the number of samples that were predicted.
    """
    threads = run.config.training.threads
    with repeatable(threads):
        differing = environment_differences(run.provenance, environment(threads=threads))
        tolerance = _ELSEWHERE if differing else 0.0
        return Deep(tuple(_problems(run, data, tolerance, progress or (lambda _: None))), differing)


def _problems(run: Run, data: str | Path | None, tolerance: float, progress: Steps) -> Iterator[Problem]:
    """Yield what does not agree; what rests on something that is damaged is not looked at."""
    step, file = "checkpoint", "checkpoint.safetensors"
    try:
        if run.spec.model != run.config.model:
            yield Problem(file, step, "holds another net than config.toml says")
        step, file = "data", "provenance.json"
        whole = run.data(data)
        damage = _damaged_rows(whole)
        yield from damage
        if not damage:
            step, file = "predictions", "predictions.h5"
            yield from _predictions(run, whole, tolerance, progress)
            step, file = "maps", "maps.h5"
            yield from _maps(run, whole, tolerance)
    except RamError as error:
        yield Problem(file, step, str(error))


def _damaged_rows(data: Dataset) -> list[Problem]:
    """Hold every value of a file of the package's own against its digest; one that is mapped has none of its own."""
    if data.attributes["schema"] != SCHEMA:
        return []
    return [Problem(data.path.name, "data", f"{damage} are not what was written") for damage in verify(data.path)]


def predicted_parts(run: Run, data: Dataset, *, progress: Steps | None = None) -> Predictions:
    """Return the predictions for every sample that has a part in the run's split, part by part."""
    parts = {name: part_of(data, run.config, name) for name in _PARTS}
    return Predictions.joined(
        [
            replace(run.predict(part, progress=progress), part_of=np.full(len(part), name))
            for name, part in parts.items()
        ]
    )


def _predictions(run: Run, data: Dataset, tolerance: float, progress: Steps) -> Iterator[Problem]:
    stored, computed = run.all_predictions(), predicted_parts(run, data, progress=progress)
    name = "predictions.h5"
    same = np.array_equal(stored.ids, computed.ids) and np.array_equal(stored.part_of, computed.part_of)
    if not same or (stored.target_names, stored.units) != (computed.target_names, computed.units):
        yield Problem(name, "predictions", "is of other samples, targets or units than data and net are")
        return
    for number, (target, unit) in enumerate(zip(stored.target_names, stored.units, strict=True)):
        for what, one, other, allowed in (
            ("measured values", stored.measured, computed.measured, 0.0),
            ("predictions", stored.values, computed.values, tolerance),
            ("lower ends of intervals", stored.lower, computed.lower, tolerance),
            ("upper ends of intervals", stored.upper, computed.upper, tolerance),
        ):
            off = _off(one[:, number], other[:, number], allowed)
            if off is not None:
                yield Problem(name, "predictions", f"{what} of {target} are up to {off:.3g} {unit} from those computed")


def _maps(run: Run, data: Dataset, tolerance: float) -> Iterator[Problem]:
    stored = run.maps()
    ids = next(iter(stored.values())).ids
    place = {str(name): row for row, name in enumerate(data.ids)}
    computed = run.explain(data[[place[name] for name in ids]], reference=run.config.explain.reference, method=run.method)
    for target, one in stored.items():
        off = _off(_values(one), _values(computed[target]), tolerance) if target in computed else np.nan
        if off is not None:
            yield Problem("maps.h5", "maps", f"the maps of {target} are up to {off:.3g} {one.unit} from those computed")


def _values(one: RegressionMap) -> Array:
    return np.concatenate([one.contributions.ravel(), one.baseline, one.prediction])


def _off(stored: Array, computed: Array, tolerance: float) -> float | None:
    """Return the largest difference where it is more than allowed, None where it is not."""
    if np.array_equal(stored, computed, equal_nan=True):
        return None
    if stored.shape != computed.shape or not np.array_equal(np.isfinite(stored), np.isfinite(computed)):
        return float("nan")
    known = np.isfinite(stored)
    off, spread = float(np.abs(stored - computed)[known].max(initial=0.0)), float(np.std(stored[known]))
    return off if off > tolerance * spread else None
