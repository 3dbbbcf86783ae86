"""Where the cells of a feature map lie in the input, from the layers themselves.

One real forward pass is watched operation by operation: strides, paddings, dilations and window sizes say
which inputs a cell sees and where it is centred. Nothing is stretched like a picture (law 5 of the map).
What a net gathers over the whole input (squeeze-excite, norms over space, attention) is not counted.

Source: Araujo, Norris & Sim 2019, doi:10.23915/distill.00021 (offset, jump and receptive field of a layer).
"""

from __future__ import annotations

__all__ = ["CellGeometry", "cell_axes", "receptive_fields", "trace_cells"]

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ram.axes import Axis, extents_between
from ram.errors import ModelError, explained
from ram.models.tracing import Row, Trace

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CellGeometry:
    """The cells along one axis of the input; positions are indices of the input, 0 is its first sample.

    Parameters
    ----------
    centres
        Shape (cells,), increasing: the middle of what a cell sees, beyond the input where that is padding.
    low, high
        Shape (cells,): first and last input index that a cell sees.
    size
        Number of samples of the input along this axis.
    traced
        False where an operation was not understood: the cells then part the input evenly and are taken to
        see all of it.
    agreed
        False where branches that were joined put their cells at different places; the mean is taken.
    """

    centres: Array = field(repr=False)
    low: Array = field(repr=False)
    high: Array = field(repr=False)
    size: int
    traced: bool = True
    agreed: bool = True

    @classmethod
    def uniform(cls, cells: int, *, size: int) -> CellGeometry:
        """Return `cells` cells that part the input evenly, for want of better knowledge."""
        centres = (np.arange(cells) + 0.5) * size / cells - 0.5
        return cls(centres, np.zeros(cells), np.full(cells, size - 1.0), size, traced=False)

    @property
    def jump(self) -> float:
        """Distance between neighbouring cells, in samples of the input; all of it for a single cell."""
        return float(np.median(np.diff(self.centres))) if self.centres.size > 1 else float(self.size)

    @property
    def offset(self) -> float:
        """Index of the input at which cell 0 is centred."""
        return float(self.centres[0])

    @property
    def receptive_field(self) -> int:
        """How many samples of the input the cell that sees most can see."""
        return int((self.high - self.low).max()) + 1


@torch.no_grad()
def trace_cells(
    function: Callable[[Tensor], Tensor], x: Float[Tensor, "batch channel *space"]
) -> tuple[CellGeometry, ...]:
    """Return where the cells of ``function(x)`` lie in `x`, one geometry an axis.

    The function runs once; put the net into evaluation mode first. An operation that is not understood makes
    its axes fall back to an even partition, marked ``traced=False``.

    >>> net = torch.nn.Conv1d(1, 4, kernel_size=4, stride=2, padding=1)
    >>> (cells,) = trace_cells(net, torch.zeros(1, 1, 16))
    >>> cells.offset, cells.jump, cells.receptive_field
    (0.5, 2.0, 4)

    Raises
    ------
    ModelError
        Where the feature map has another number of axes than the input.
    """
    with Trace(x) as trace:
        features = function(x)
    if features.ndim != x.ndim:
        raise ModelError(
            explained(
                where="feature map",
                what="its shape",
                allowed=f"(batch, feature, {x.ndim - 2} axes of cells), as many axes as the input",
                got=tuple(features.shape),
                next_step="Name a layer that keeps the input's axes",
            )
        )
    rows = trace.rows(features)
    return tuple(_geometry(rows.get(2 + axis), axis, features, x) for axis in range(x.ndim - 2))


def _geometry(row: Row | None, axis: int, features: Tensor, x: Tensor) -> CellGeometry:
    size = x.shape[2 + axis]
    if row is None or row.axis != axis or np.any(np.diff(row.centres) <= 0):
        return CellGeometry.uniform(features.shape[2 + axis], size=size)
    blind = row.low > row.high  # padding is all such a cell sees: it stands at the nearest input
    nearest = np.clip(np.rint(row.centres), 0, size - 1)
    low, high = np.where(blind, nearest, row.low), np.where(blind, nearest, row.high)
    return CellGeometry(row.centres, low, high, size, agreed=row.agreed)


def cell_axes(geometries: Sequence[CellGeometry], input_axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """Return the axes of the cells, with names and units of the input's axes.

    Cells part the input among them, midway between their centres (law 4).

    >>> net = torch.nn.Conv1d(1, 4, kernel_size=4, stride=4)
    >>> time = Axis.uniform("time", "s", size=16, step=0.5)
    >>> cell_axes(trace_cells(net, torch.zeros(1, 1, 16)), [time])[0].centres
    array([0.75, 2.75, 4.75, 6.75])
    """
    return tuple(_cell_axis(cells, axis) for cells, axis in zip(geometries, input_axes, strict=True))


def _cell_axis(cells: CellGeometry, axis: Axis) -> Axis:
    centres = _coordinates(axis, cells.centres)
    edges = extents_between(centres, low=float(axis.edges[0]), high=float(axis.edges[-1]))
    return Axis(axis.name, axis.unit, centres, edges, axis.long_name)


def receptive_fields(geometries: Sequence[CellGeometry], input_axes: Sequence[Axis]) -> tuple[float, ...]:
    """Return the largest extent that a cell sees along each axis, in the axis' unit."""
    return tuple(_field(cells, axis) for cells, axis in zip(geometries, input_axes, strict=True))


def _field(cells: CellGeometry, axis: Axis) -> float:
    return float((axis.positions(cells.high + 0.5) - axis.positions(cells.low - 0.5)).max())


def _coordinates(axis: Axis, index: ArrayLike) -> Array:
    """Return the coordinates of fractional indices; beyond the ends the last steps go on."""
    points = np.asarray(index, dtype=np.float64)
    inside = np.clip(points, -0.5, axis.size - 0.5)
    widths = np.diff(axis.edges)
    step = np.where(points < 0, widths[0], widths[-1])
    return np.asarray(axis.positions(inside) + (points - inside) * step)
