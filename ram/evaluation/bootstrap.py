"""Intervals for figures over samples: what other samples, or other groups of them, would have given."""

from __future__ import annotations

__all__ = ["Figure", "bootstrap"]

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ram.errors import DataError, explained
from ram.randomness import generator

DRAWS, LEVEL = 1000, 0.95


@dataclass(frozen=True)
class Figure:
    """A figure over samples.

    Attributes
    ----------
    value
        The mean over the samples, or the ratio of two sums.
    low, high
        Where 95 % of the figures of samples drawn anew lie; NaN where there is but one sample, or one group.
    samples
        How many samples have a value.
    """

    value: float
    low: float
    high: float
    samples: int


def bootstrap(
    values: Float[np.ndarray, " sample"],
    *,
    over: Float[np.ndarray, " sample"] | None = None,
    groups: Sequence[str] | NDArray[np.str_] | None = None,
    seed: int = 0,
) -> Figure | None:
    """Return the mean over the samples whose value is not NaN, with its interval; None where none has one.

    Parameters
    ----------
    over
        What the sum of values is divided by the sum of, in place of the number of samples.
    groups
        Samples of one group are drawn together: a second tap of the same wheel is no second wheel. An empty name is a
        group for itself.

    Source: Efron 1979, doi:10.1214/aos/1176344552 (percentiles); groups are drawn whole, Davison & Hinkley 1997, 3.8.

    >>> found = bootstrap(np.array([1.0, 2.0, np.nan, 3.0]))
    >>> found.value, found.samples
    (2.0, 3)

    Raises
    ------
    DataError
        Where the arrays differ in length.
    """
    weights = np.ones(len(values)) if over is None else np.asarray(over, dtype=np.float64)
    names = np.full(len(values), "") if groups is None else np.asarray(groups, dtype=np.str_)
    if not len(values) == len(weights) == len(names):
        got, what = f"{len(values)}, {len(weights)} and {len(names)}", "values, weights and groups"
        raise DataError(explained(where="bootstrap", what=what, allowed="of one length", got=got))
    known = np.isfinite(values) & np.isfinite(weights)
    if not known.any() or not weights[known].sum() > 0:
        return None
    codes = _codes(names[known])
    count = int(codes.max()) + 1
    above, below = (np.bincount(codes, weights=one[known], minlength=count) for one in (values, weights))
    value = float(above.sum() / below.sum())
    if count == 1:
        return Figure(value, float("nan"), float("nan"), int(known.sum()))
    drawn = generator(seed, "bootstrap", count).multinomial(count, np.full(count, 1 / count), size=DRAWS)
    with np.errstate(invalid="ignore", divide="ignore"):
        others = (drawn @ above) / (drawn @ below)
    low, high = np.nanquantile(others[np.isfinite(others)], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Figure(value, float(low), float(high), int(known.sum()))


def _codes(names: NDArray[np.str_]) -> NDArray[np.int64]:
    """Return a number for each group; samples without one are groups of their own."""
    own = np.where(names == "", [f"\x00{row}" for row in range(len(names))], names)
    return np.asarray(np.unique(own, return_inverse=True)[1])
