"""The maps of several nets as one: their mean, which adds up as each of them does, and where they disagree."""

from __future__ import annotations

__all__ = ["EnsembleMap"]

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from ram.errors import DataError, explained
from ram.maps.regression_map import RegressionMap

_SHARED = (
    "target", "unit", "map_unit", "method", "grade", "log", "parameter_names", "part_names", "reference", "ids"
)  # fmt: skip
_LINEAR = ("contributions", "parameter_contributions", "part_contributions")


@dataclass(frozen=True, eq=False, repr=False)
class EnsembleMap(RegressionMap):
    """The mean of the maps of several nets: the map of their mean prediction.

    Baseline, contributions and prediction of each member add up; so do their means (for a log target the means of
    logarithms, so that the prediction is the geometric mean). Every operation is done on each member, so that the
    disagreement of a region or on a finer grid is that of the members there.

    Attributes
    ----------
    members
        The members' own maps of the same samples.
    """

    members: tuple[RegressionMap, ...] = ()

    @classmethod
    def of(cls, members: Sequence[RegressionMap]) -> EnsembleMap:
        """Return the mean of the maps of the same samples by several nets.

        Raises
        ------
        DataError
            Where there is none, or they are not of the same samples, target and cells.
        """
        if not members:
            raise DataError(explained(where="EnsembleMap", what="the members", allowed="at least 1", got=0))
        first = members[0]
        for other in members[1:]:
            _check_alike(first, other)
        same = {one.name: getattr(first, one.name) for one in fields(RegressionMap)}
        linear = {name: _mean([getattr(one, name) for one in members]) for name in (*_LINEAR, "correction")}
        values = {
            name: _mean_in_unit(first, [getattr(one, name) for one in members]) for name in ("baseline", "prediction")
        }
        return cls(**same | linear | values, members=tuple(members))

    def __repr__(self) -> str:
        return f"{super().__repr__()}, mean of {len(self.members)} members"

    @property
    def deviation(self) -> Float[np.ndarray, "batch *cells"]:
        """Standard deviation of each cell's contribution over the members, in the map's unit; 0 for one member."""
        return self._deviation([one.contributions for one in self.members])

    @property
    def disputed(self) -> Bool[np.ndarray, "batch *cells"]:
        """Cells whose sign the members dispute: some say that it raises the value, others that it lowers it."""
        values = np.stack([one.contributions for one in self.members])
        return np.asarray((values > 0).any(axis=0) & (values < 0).any(axis=0))

    def undisputed_share(self) -> Float[np.ndarray, " batch"]:
        """Return how much of the members' mean absolute contribution lies in cells whose sign they agree on, 0 to 1."""
        size = np.mean([np.abs(one.contributions) for one in self.members], axis=0).reshape(len(self), -1)
        agreed = np.where(self.disputed.reshape(len(self), -1), 0.0, size).sum(axis=1)
        total = size.sum(axis=1)
        return np.where(total > 0, agreed / np.where(total > 0, total, 1.0), 1.0)

    def deviation_within(self, **bounds: tuple[float, float]) -> Float[np.ndarray, " batch"]:
        """Return how far the members disagree over a region, shape (batch,): standard deviation of what it carries.

        Raises
        ------
        ConfigError
            As `within`.
        """
        return self._deviation([one.within(**bounds) for one in self.members])

    def __getitem__(self, rows: int | slice | Sequence[int] | NDArray[np.integer]) -> EnsembleMap:
        """Return the maps of some samples; a number keeps the batch axis, of length one."""
        return self._by_member(lambda one: one[rows])

    def on_input_grid(self) -> EnsembleMap:
        """Return the map on the input's grid: each member's cells spread over their extent by area."""
        return self._by_member(RegressionMap.on_input_grid)

    def along(self, name: str) -> EnsembleMap:
        """Return the maps along one axis, summed over the others, of each member."""
        return self._by_member(lambda one: one.along(name))

    def part(self, name: str) -> EnsembleMap:
        """Return the map of one part, of each member."""
        return self._by_member(lambda one: one.part(name))

    def mean(self, *, name: str = "") -> EnsembleMap:
        """Return the mean map of the batch, one row."""
        return self._by_member(lambda one: one.mean(name=name))

    def difference(self, other: RegressionMap, *, reference: str = "") -> EnsembleMap:
        """Return why these predictions differ from those of `other`, member by member where it has as many."""
        others = other.members if isinstance(other, EnsembleMap) else (other,) * len(self.members)
        if len(others) != len(self.members):
            allowed = f"{len(self.members)}, as here"
            raise DataError(
                explained(where="EnsembleMap.difference", what="the members", allowed=allowed, got=len(others))
            )
        pairs = zip(self.members, others, strict=True)
        return EnsembleMap.of([one.difference(its, reference=reference) for one, its in pairs])

    def _by_member(self, change: Callable[[RegressionMap], RegressionMap]) -> EnsembleMap:
        return EnsembleMap.of([change(one) for one in self.members])

    def _deviation(self, values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        if len(values) < 2:
            return np.zeros_like(values[0])
        return np.asarray(np.std(values, axis=0, ddof=1))


def _mean(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.asarray(np.mean(values, axis=0))


def _mean_in_unit(one: RegressionMap, values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the mean where contributions add up: in the logarithm for a log target."""
    return np.asarray(np.exp(np.mean(np.log(values), axis=0))) if one.log else _mean(values)


def _check_alike(first: RegressionMap, other: RegressionMap) -> None:
    for name in (
        "target",
        "unit",
        "map_unit",
        "method",
        "grade",
        "log",
        "parameter_names",
        "part_names",
        "reference",
        "ids",
    ):
        mine, theirs = getattr(first, name), getattr(other, name)
        if mine != theirs:
            what = f"the {name.replace('_', ' ')} of each member"
            raise DataError(explained(where="EnsembleMap", what=what, allowed=repr(mine), got=repr(theirs)))
    if first.contributions.shape != other.contributions.shape or not all(
        mine.same_grid(its) for mine, its in zip(first.axes, other.axes, strict=True)
    ):
        raise DataError(
            explained(
                where="EnsembleMap", what="the cells of each member", allowed=repr(first), got=repr(other),
                next_step="Explain the same samples with nets that were built alike",
            )
        )  # fmt: skip
