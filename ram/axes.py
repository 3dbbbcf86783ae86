"""Axes with names and units, and the one way to move quantities between grids.

An axis is a row of cells: each has a centre and an extent, and the extents part the axis without gap or
overlap. A quantity that belongs to cells (hertz carried by a cell) moves to another grid by the share of
each cell's extent, so that its sum is kept (law 4 of the map).
"""

from __future__ import annotations

__all__ = ["SYMMETRIES", "Axis", "extents_between", "overlap", "prefixed", "readable", "share_within"]

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

SYMMETRIES = ("rotate90", "mirror", "reverse")
"""Changes of a grid that may leave every target as it is: quarter turns of the last two axes, mirror and reverse of the
last one. A data set declares those that hold; nets are trained and averaged with them."""


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis of a grid.

    Parameters
    ----------
    name
        Short name, as used in ``within(x=(40, 90))``: ``"x"``, ``"time"``, ``"frequency"``.
    unit
        Unit of centres and edges, ``"mm"``, ``"s"``, ``"Hz"``; ``"1"`` where there is none.
    centres
        Shape (cells,), increasing.
    edges
        Shape (cells + 1,), not decreasing: cell i covers ``edges[i] .. edges[i + 1]``.
    long_name
        What a picture writes along the axis; the name where it is empty.
    """

    name: str
    unit: str
    centres: Array = field(repr=False)
    edges: Array = field(repr=False)
    long_name: str = ""

    def __post_init__(self) -> None:
        centres = np.asarray(self.centres, dtype=np.float64)
        edges = np.asarray(self.edges, dtype=np.float64)
        if centres.ndim != 1 or edges.shape != (centres.size + 1,):
            raise ValueError(f"axis {self.name}: edges must be one more than the {centres.size} centres")
        if not (np.all(np.diff(centres) > 0) and np.all(np.diff(edges) >= 0)):
            raise ValueError(f"axis {self.name}: centres must increase and edges must not decrease")
        for values in (centres, edges):
            values.flags.writeable = False
        object.__setattr__(self, "centres", centres)
        object.__setattr__(self, "edges", edges)

    @classmethod
    def from_centres(cls, name: str, unit: str, centres: ArrayLike, *, long_name: str = "") -> Axis:
        """Return the axis whose edges lie midway between the centres, half a step beyond the ends.

        >>> Axis.from_centres("x", "mm", [1.0, 3.0, 5.0]).edges
        array([0., 2., 4., 6.])
        """
        points = np.asarray(centres, dtype=np.float64)
        if points.size < 2:
            return cls(name, unit, points, np.array([points[0] - 0.5, points[0] + 0.5]), long_name)
        inner = 0.5 * (points[1:] + points[:-1])
        ends = (points[0] - (inner[0] - points[0]), points[-1] + (points[-1] - inner[-1]))
        return cls(name, unit, points, np.concatenate(([ends[0]], inner, [ends[1]])), long_name)

    @classmethod
    def uniform(cls, name: str, unit: str, *, size: int, step: float, start: float = 0.0, long_name: str = "") -> Axis:
        """Return `size` equal cells of width `step`; the first is centred at `start`."""
        index = np.arange(size + 1, dtype=np.float64)
        centres = start + step * index[:-1]
        edges = start + step * (index - 0.5)
        return cls(name, unit, centres, edges, long_name)

    @property
    def size(self) -> int:
        """Number of cells."""
        return int(self.centres.size)

    @property
    def label(self) -> str:
        """Name and unit, as a picture writes them: ``"x (mm)"``."""
        name = self.long_name or self.name
        return name if self.unit in ("", "1") else f"{name} ({self.unit})"

    def positions(self, index: ArrayLike) -> Array:
        """Return the coordinate of a fractional index: 0 is the first centre, -0.5 the first edge."""
        points = np.arange(-0.5, self.size, 0.5)
        known = np.empty(points.size)
        known[0::2], known[1::2] = self.edges, self.centres
        return np.asarray(np.interp(np.asarray(index, dtype=np.float64), points, known))

    def same_grid(self, other: Axis) -> bool:
        """Whether both axes have the same name, unit and cells."""
        if other is self:
            return True
        same_words = (self.name, self.unit, self.size) == (other.name, other.unit, other.size)
        return same_words and np.array_equal(self.edges, other.edges)


_PREFIXES = {
    "s": (("s", 1.0), ("ms", 1e-3), ("\N{MICRO SIGN}s", 1e-6), ("ns", 1e-9)),
    "Hz": (("GHz", 1e9), ("MHz", 1e6), ("kHz", 1e3), ("Hz", 1.0)),
}
_NEARLY = 0.95  # a record of 0.9999 s is one of a second


def prefixed(unit: str, *, largest: float) -> tuple[str, float]:
    """Return the unit in which a number as large as `largest` is read, and how many of the old unit it is.

    >>> prefixed("Hz", largest=8000.0), prefixed("mm", largest=8000.0)
    (('kHz', 1000.0), ('mm', 1.0))
    """
    return next((pair for pair in _PREFIXES.get(unit, ()) if largest >= _NEARLY * pair[1]), (unit, 1.0))


def readable(*axes: Axis) -> tuple[Axis, ...]:
    """Return axes along the same direction as people read them: seconds and hertz with a prefix that suits.

    >>> (axis,) = readable(Axis.uniform("time", "s", size=100, step=1e-3))
    >>> axis.label, float(axis.centres[-1])
    ('time (ms)', 99.0)
    """
    unit, size = prefixed(axes[0].unit, largest=max(float(np.abs(axis.edges).max()) for axis in axes))
    if size == 1.0 or any(axis.unit != axes[0].unit for axis in axes):
        return axes
    return tuple(replace(axis, unit=unit, centres=axis.centres / size, edges=axis.edges / size) for axis in axes)


def extents_between(centres: ArrayLike, *, low: float, high: float) -> Array:
    """Return the edges of cells that part ``low .. high`` midway between their centres, shape (cells + 1,).

    Centres beyond the ends (a cell that looks mostly at padding) are clipped, so that the first extent
    begins at `low` and the last one ends at `high`.

    >>> extents_between([1.0, 3.0], low=0.0, high=8.0)
    array([0., 2., 8.])
    """
    points = np.asarray(centres, dtype=np.float64)
    inner = np.clip(0.5 * (points[1:] + points[:-1]), low, high)
    return np.concatenate(([low], inner, [high]))


def overlap(source: Axis, target: Axis) -> Float[np.ndarray, "target source"]:
    """Return which share of each source cell lies in each target cell.

    Columns sum to one: what a source cell holds is spread by length and nothing is lost. A source cell
    without extent, or with none inside the target, gives all to the nearest target cell.
    """
    low = np.maximum(source.edges[None, :-1], target.edges[:-1, None])
    high = np.minimum(source.edges[None, 1:], target.edges[1:, None])
    shared = np.clip(high - low, 0.0, None)
    total = shared.sum(axis=0)
    lost = np.flatnonzero(total <= 0.0)
    nearest = np.abs(source.centres[lost][None, :] - target.centres[:, None]).argmin(axis=0)
    shared[nearest, lost] = 1.0
    return np.asarray(shared / shared.sum(axis=0))


def share_within(axis: Axis, bounds: Sequence[float]) -> Float[np.ndarray, " cells"]:
    """Return which share of each cell lies within ``(low, high)``, shape (cells,), values 0 to 1."""
    low, high = bounds
    if not low <= high:
        raise ValueError(f"a region along {axis.name} must be given as (low, high). Got ({low}, {high})")
    covered = np.clip(np.minimum(axis.edges[1:], high) - np.maximum(axis.edges[:-1], low), 0.0, None)
    width = np.diff(axis.edges)
    inside = (axis.centres >= low) & (axis.centres <= high)
    return np.where(width > 0, covered / np.where(width > 0, width, 1.0), inside.astype(np.float64))
