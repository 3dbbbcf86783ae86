"""From what a net answers, grid by grid and channel by channel, to one map for each target."""

from __future__ import annotations

__all__ = ["Gathered", "gathered"]

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ram.axes import Axis
from ram.maps.answers import Answer
from ram.maps.parts import lying, spread
from ram.maps.resolution import keeping_totals
from ram.models.finer import finer_cells
from ram.models.geometry import CellGeometry, cell_axes, receptive_fields

Array = NDArray[np.float64]
Cells = tuple[CellGeometry, ...]
Axes = tuple[Axis, ...]


@dataclass(frozen=True, eq=False)
class Gathered:
    """Maps of all targets on one grid.

    Attributes
    ----------
    contributions
        Shape (batch, target, *cells).
    axes, receptive_field
        The cells' axes, and how much of the input a cell sees along each, in the axis' unit; NaN where not known.
    parts
        Shape (batch, target, part, *cells); None for a map of one part.
    correction
        Shape (batch, target): what a finer grid took to keep totals, as a share of the map; None on the net's own.
    """

    contributions: Array
    axes: Axes
    receptive_field: tuple[float, ...]
    parts: Array | None = None
    correction: Array | None = None


def gathered(found: Answer, cells: Sequence[Cells], input_axes: Axes, *, times: int, together: str = "sum") -> Gathered:
    """Return an answer as one map for each target, on the cells of its finest grid.

    What coarser grids hold is spread by area, so that the map sums to what all grids sum to. Parts are the channels
    where the answer keeps them apart, else the grids where there are several.

    Parameters
    ----------
    cells
        Where the cells of each grid lie in the input.
    times
        How many times finer than its own each grid is wanted.
    together
        How grids become one: ``"sum"`` of contributions; ``"values"``, the sum of what stands at a place, for values
        that are no shares; ``"max"`` of maps scaled to ``tanh(2 m / max m)``, for maps without a unit.

    Source of "max": Jiang et al. 2021, doi:10.1109/TIP.2021.3089943, section III.C.
    """
    grids = [_Grid(one, *_placed(own, input_axes)) for one, own in zip(found.contributions, cells, strict=True)]
    if found.finer:
        finer = [_finer_axes(own, one, input_axes, times) for own, one in zip(cells, found.finer, strict=True)]
        grids = [_refined(*one) for one in zip(grids, found.finer, finer, strict=True)]
    axes = max(grids, key=lambda one: one.values[0, 0, 0].size).axes
    fields = grids[0].receptive_field
    if len(grids) > 1:
        fields = tuple(np.max([one.receptive_field for one in grids], axis=0).tolist())
    several, move = len(grids) > 1, spread if together == "sum" else lying
    same = [move(_scaled(one.values) if several and together == "max" else one.values, one.axes, axes) for one in grids]
    by_channel = same[0] if not several else np.max(same, axis=0) if together == "max" else np.sum(same, axis=0)
    parts = by_channel if by_channel.shape[2] > 1 else np.concatenate(same, axis=2) if several else None
    whole = by_channel[:, :, 0] if by_channel.shape[2] == 1 else by_channel.sum(axis=2)
    corrected = [one.corrected for one in grids if one.corrected is not None]
    return Gathered(whole, axes, fields, parts, _share(corrected, whole) if corrected else None)


@dataclass(frozen=True, eq=False)
class _Grid:
    """What one grid holds, shape (batch, target, channel, *cells), and the absolute corrections that it took."""

    values: Array
    axes: Axes
    receptive_field: tuple[float, ...]
    corrected: Float[np.ndarray, "batch target"] | None = None


def _scaled(values: Array) -> Array:
    """Return maps without negative values between 0 and 1; one that is zero stays so."""
    largest = values.max(axis=tuple(range(3, values.ndim)), keepdims=True)
    return np.asarray(np.tanh(2 * values / np.where(largest > 0, largest, 1.0)))


def _finer_axes(cells: Cells, values: Array, input_axes: Axes, times: int) -> Axes:
    counts = values.shape[3:]
    return cell_axes(
        [finer_cells(one, times=times, count=count) for one, count in zip(cells, counts, strict=True)], input_axes
    )


def _refined(coarse: _Grid, values: Array, axes: Axes) -> _Grid:
    """Return a grid on finer cells; those that it had keep their totals."""
    found, share = keeping_totals(values, axes, coarse.values, coarse.axes)
    corrected = share * np.abs(found).reshape(*share.shape, -1).sum(axis=-1)  # (batch, target, channel)
    return _Grid(found, axes, coarse.receptive_field, corrected.sum(axis=2))


def _share(corrected: Sequence[Array], whole: Array) -> Array:
    size = np.abs(whole).reshape(*whole.shape[:2], -1).sum(axis=2)
    return np.asarray(np.sum(corrected, axis=0) / np.where(size > 0, size, 1.0))


@lru_cache(maxsize=64)
def _placed(cells: Cells, axes: Axes) -> tuple[Axes, tuple[float, ...]]:
    """Return the cells' axes and receptive fields in the axes' units."""
    seen = receptive_fields(cells, axes)
    known = (extent if one.traced else float("nan") for extent, one in zip(seen, cells, strict=True))
    return cell_axes(cells, axes), tuple(known)
