"""Regions that a net goes by although they have no influence on the target: shortcuts.

Three figures of a region decide: what the map says that it carries, by how much the net's answer changes when the
region is given the reference's design, and what physics says of the same. The map alone would not do: contributions
reach over the edge of what a net has seen, so that a little lies beside each thing that matters; the net's own answer
does not change there.
"""

from __future__ import annotations

__all__ = ["LEAST", "MOST", "Idle", "region_shares", "without_influence"]

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ram.errors import DataError, explained

LEAST = 0.15  # of map and answers: a region that the net goes by
MOST = 0.01  # of physics: none

Sums = Float[np.ndarray, "sample region"]
Share = Float[np.ndarray, " region"]


@dataclass(frozen=True)
class Idle:
    """A region without influence that the net goes by; each figure is a share of the sum over the regions.

    Attributes
    ----------
    region
        Its name.
    carried
        Mean absolute contribution in the region, by the map.
    answered
        Standard deviation over the samples of the change of the net's answer where the region is given the reference's
        design.
    influence
        Mean absolute contribution, or change, by physics.
    """

    region: str
    carried: float
    answered: float
    influence: float


def without_influence(names: Sequence[str], *, carried: Sums, answered: Sums, true: Sums) -> tuple[Idle, ...]:
    """Return the regions that the net goes by and physics does not, the largest first.

    Both map and answers give such a region at least 15 %, and physics at most 1 %.

    Parameters
    ----------
    names
        The regions; together they are the whole input.
    carried
        Shape (sample, region): the map's contributions in each region.
    answered
        Shape (sample, region): the net's answer minus its answer with the region replaced.
    true
        Shape (sample, region): the truth's contributions there, or the solver's value minus that with the region
        replaced; NaN where not known.

    >>> half = np.array([[4.0, 4.0], [-4.0, 4.0]])
    >>> without_influence(["spokes", "sticker"], carried=half, answered=half.T, true=half * [1, 0])
    (Idle(region='sticker', carried=0.5, answered=1.0, influence=0.0),)

    Raises
    ------
    DataError
        Where the shapes are not those of samples by names.
    """
    for what, values in (("carried", carried), ("answered", answered), ("true", true)):
        if values.ndim != 2 or values.shape[1] != len(names) or len(values) != len(carried):
            allowed = f"of shape ({len(carried)}, {len(names)})"
            raise DataError(explained(where="without_influence", what=what, allowed=allowed, got=values.shape))
    shares = region_shares(carried=carried, answered=answered, true=true)
    found = [Idle(name, *map(float, row)) for name, *row in zip(names, *shares, strict=True)]
    idle = [one for one in found if min(one.carried, one.answered) >= LEAST and one.influence <= MOST]
    return tuple(sorted(idle, key=lambda one: -one.carried))


def region_shares(*, carried: Sums, answered: Sums, true: Sums) -> tuple[Share, Share, Share]:
    """Return the shares of the regions in map, answers and physics, as `Idle` has them, over the samples with truth.

    NaN where the sum is zero: physics that gives nothing to any region says nothing of one.
    """
    known = np.isfinite(true).any(axis=1)
    if not known.any():
        nothing = np.full(carried.shape[1], np.nan)
        return nothing, nothing, nothing
    sizes = (np.abs(carried[known]).mean(axis=0), answered[known].std(axis=0), _mean_size(true[known]))
    one, two, three = (size / size.sum() if size.sum() > 0 else np.full_like(size, np.nan) for size in sizes)
    return one, two, three


def _mean_size(values: Sums) -> Float[np.ndarray, " region"]:
    """Return the mean absolute value of each region over the samples that have it."""
    there = np.isfinite(values)
    return np.asarray(np.where(there, np.abs(values), 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1))
