"""What a run's maps are held against: the mean map of the training part, and the map of its mean input.

Signals of different length have a mean map by position, to which those that have ended add nothing: its sum is the mean
of their sums, so that what is held against it still adds up. Their mean input is, at each position, the mean of those
that have not ended.
"""

from __future__ import annotations

__all__ = ["MEAN_DESIGN", "MEAN_MAP", "mean_of_padded", "reference_maps"]

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from ram.maps.regression_map import RegressionMap

MEAN_MAP, MEAN_DESIGN = "train-mean", "train-mean-design"
Inputs = Float[np.ndarray, "batch channel *space"]
Parameters = Float[np.ndarray, "batch parameter"]
Lengths = Int[np.ndarray, " batch"]
Explain = Callable[[Inputs, Parameters, Lengths | None], dict[str, RegressionMap]]
Batches = Iterable[tuple[Inputs, Parameters, Lengths | None]]


def reference_maps(explain: Explain, batches: Batches) -> dict[str, RegressionMap]:
    """Return ``"train-mean/<target>"`` and ``"train-mean-design/<target>"``, one row each.

    Parameters
    ----------
    explain
        From inputs, design parameters and lengths of padded signals to maps against the net's own baseline.
    batches
        The training part; one pass, and only means are kept.
    """
    counts: list[int] = []
    means: dict[str, list[RegressionMap]] = {}
    inputs: list[tuple[Inputs, Parameters]] = []
    padded = _PaddedMean()
    for x, parameters, lengths in batches:
        counts.append(len(x))
        if lengths is not None:
            padded.add(x, lengths)
        inputs.append((x.mean(axis=0, dtype=np.float64), parameters.mean(axis=0)))
        for target, one in explain(x, parameters, lengths).items():
            means.setdefault(target, []).append(one.mean(name=MEAN_MAP))
    mean_x, mean_parameters = (np.average(column, axis=0, weights=counts) for column in zip(*inputs, strict=True))
    longest = np.array([padded.longest]) if padded.longest else None
    mean_x = padded.value if padded.longest else mean_x
    design = explain(mean_x[None].astype(np.float32), mean_parameters[None], longest)
    return {f"{MEAN_MAP}/{target}": _average(rows, counts) for target, rows in means.items()} | {
        f"{MEAN_DESIGN}/{target}": replace(one, ids=(MEAN_DESIGN,)) for target, one in design.items()
    }


class _PaddedMean:
    """The mean of padded signals, at each position of those that have not ended there; zero where all have."""

    def __init__(self) -> None:
        self.longest = 0
        self._total: np.ndarray | float = 0.0
        self._count: np.ndarray | float = 0.0

    def add(self, x: Inputs, lengths: Lengths | None) -> None:
        assert lengths is not None, "of padded signals"
        inside = np.arange(x.shape[-1]) < lengths.reshape(-1, *(1,) * (x.ndim - 1))  # (batch, 1, ..., last axis)
        self._total = self._total + np.where(inside, x, 0.0).sum(axis=0, dtype=np.float64)
        self._count = self._count + inside.sum(axis=0)
        self.longest = max(self.longest, int(lengths.max()))

    @property
    def value(self) -> np.ndarray:
        return np.asarray(self._total / np.maximum(self._count, 1))


def mean_of_padded(batches: Iterable[tuple[Inputs, Lengths | None]]) -> tuple[Float[np.ndarray, "channel *space"], int]:
    """Return the mean of padded signals, at each position of those that have not ended, and the longest one's length.

    >>> x = np.array([[[1.0, 2.0, 0.0]], [[3.0, 0.0, 0.0]]])
    >>> mean_of_padded([(x, np.array([2, 1]))])
    (array([[2., 2., 0.]]), 2)
    """
    mean = _PaddedMean()
    for x, lengths in batches:
        mean.add(x, lengths)
    return mean.value, mean.longest


def _average(rows: Sequence[RegressionMap], counts: Sequence[int]) -> RegressionMap:
    """Return the mean map of all samples from the mean maps of batches of `counts` samples."""

    def mean(name: str) -> np.ndarray:
        return np.average([_additive(row, name) for row in rows], axis=0, weights=counts)

    def in_unit(name: str) -> np.ndarray:
        return np.exp(mean(name)) if rows[0].log else mean(name)

    return replace(
        rows[0],
        contributions=mean("contributions"),
        parameter_contributions=mean("parameter_contributions"),
        part_contributions=mean("part_contributions"),
        baseline=in_unit("baseline"),
        prediction=in_unit("prediction"),
    )


def _additive(row: RegressionMap, name: str) -> np.ndarray:
    values: np.ndarray = getattr(row, name)
    return np.log(values) if row.log and name in ("baseline", "prediction") else values
