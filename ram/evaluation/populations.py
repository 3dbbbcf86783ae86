"""Maps of many samples together: their mean over a range of the target, and which cells go along with the error."""

from __future__ import annotations

__all__ = ["ErrorMap", "RangeMean", "error_map", "means_by_range", "ranges_of"]

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int64

from ram.maps.regression_map import RegressionMap

Cells = Float[np.ndarray, "*cells"]


@dataclass(frozen=True, eq=False)
class RangeMean:
    """The mean map of the samples whose target lies in a range.

    Attributes
    ----------
    low, high
        Smallest and largest value of these samples.
    rows
        Which samples they are.
    contributions
        Shape (*cells), the unit of the map.
    """

    low: float
    high: float
    rows: Int64[np.ndarray, " row"] = field(repr=False)
    contributions: Cells = field(repr=False)


def ranges_of(values: Float[np.ndarray, " sample"], *, most: int = 4) -> list[Int64[np.ndarray, " row"]]:
    """Return which samples lie in each range of their values, from the lowest range up; NaN lies in none.

    Ranges hold about as many samples, and equal values are never parted; where most samples have one value, they are
    equally wide. Where there are no more than `most` different values, each has its own.

    >>> [rows.tolist() for rows in ranges_of(np.array([3.0, 1.0, 2.0, 9.0, 9.0, np.nan]), most=2)]
    [[0, 1, 2], [3, 4]]
    """
    known = np.flatnonzero(np.isfinite(values))
    different = np.unique(values[known])
    if different.size <= most:
        return [known[values[known] == value] for value in different]
    edges = np.unique(np.quantile(values[known], np.arange(1, most) / most, method="lower"))
    edges = edges[edges < different[-1]]
    if edges.size < min(2, most - 1):
        edges = np.linspace(different[0], different[-1], most + 1)[1:-1]
    place = np.searchsorted(edges, values[known], side="left")
    return [known[place == number] for number in range(edges.size + 1) if (place == number).any()]


def means_by_range(maps: RegressionMap, values: Float[np.ndarray, " sample"], *, most: int = 4) -> list[RangeMean]:
    """Return the mean map of each range of `values`, such as the measured target of each sample, as `ranges_of`.

    Weighted with the samples that they hold, these means are the mean map of all.
    """
    return [
        RangeMean(float(values[rows].min()), float(values[rows].max()), rows, maps.contributions[rows].mean(axis=0))
        for rows in ranges_of(values, most=most)
    ]


@dataclass(frozen=True, eq=False)
class ErrorMap:
    """Which cells go along with the error, among samples of one measured value.

    ``contributions.sum() + parameters.sum() + left_over == deviation``: with the measured value held fixed the error
    varies as the prediction does, and that is parted among the cells.

    Attributes
    ----------
    contributions
        Shape (*cells): by how much a cell's contribution rises, on average, where the error is larger by one
        `deviation`, in the unit of the map: cov(c, e) / std(e), of what the measured value does not explain.
    parameters
        Shape (parameter,): the same of the shares of design parameters.
    left_over
        The same of what the maps do not account for: nothing for exact ones.
    deviation
        Standard deviation of the error, prediction - measured, around ``error = offset + slope * measured``; of
        logarithms for a log target.
    slope, offset
        How the error follows the measured value: a negative slope says that small values are overrated and large ones
        underrated.
    samples
        How many were measured.
    """

    contributions: Cells = field(repr=False)
    parameters: Float[np.ndarray, " parameter"]
    left_over: float
    deviation: float
    slope: float
    offset: float
    samples: int


def error_map(maps: RegressionMap, measured: Float[np.ndarray, " sample"]) -> ErrorMap | None:
    """Return which cells go along with the error, over the samples that were measured.

    None where fewer than four were, or the error follows the measured value exactly. It says what goes along, not what
    causes it: of two cells that always rise together each gets its share.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        prediction, truth = (np.log(one) if maps.log else one for one in (maps.prediction, measured))
    known = np.isfinite(prediction) & np.isfinite(truth)
    if known.sum() < 4:
        return None
    error, truth = (prediction - truth)[known], truth[known]
    columns = np.stack([np.ones_like(truth), truth], axis=1)
    (offset, slope), *_ = np.linalg.lstsq(columns, error, rcond=None)
    rest = error - columns @ (offset, slope)
    deviation = float(rest.std())
    if not deviation > 1e-9 * (np.abs(truth).max() + np.abs(error).max()):
        return None
    weights = rest / (rest.size * deviation)  # of a mean with the standardised rest; they know nothing of the measured
    cells = np.tensordot(weights, maps.contributions[known], axes=1)
    parameters = weights @ maps.parameter_contributions[known]
    left_over = deviation - float(cells.sum()) - float(parameters.sum())
    return ErrorMap(
        np.asarray(cells), np.asarray(parameters), left_over, deviation, float(slope), float(offset), int(error.size)
    )
