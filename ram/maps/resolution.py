"""A finer map that keeps what the coarse one says: each coarse cell's total stays what it was."""

from __future__ import annotations

__all__ = ["keeping_totals"]

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ram.axes import Axis, overlap

Array = NDArray[np.float64]


def keeping_totals(values: Array, fine: Sequence[Axis], coarse: Array, cells: Sequence[Axis]) -> tuple[Array, Array]:
    """Return contributions on a finer grid whose sum over every coarse cell is that cell's contribution.

    Parameters
    ----------
    values
        Shape (..., *fine cells): what a cell would contribute if it were the whole input, ``s W A``.
    fine
        The finer cells' axes.
    coarse
        Shape (..., *cells): the exact contributions on the net's own grid.
    cells
        Their axes.

    Returns
    -------
    contributions
        Shape (..., *fine cells): values weighed by each cell's share of the input, and a correction that is even
        within each coarse cell.
    correction
        Shape (...): sum of absolute corrections over the sum of absolute contributions.
    """
    first = values.ndim - len(fine)
    even = values
    for number, axis in enumerate(fine):
        share = np.diff(axis.edges) / np.ptp(axis.edges)
        even = even * share.reshape(-1, *(1,) * (len(fine) - 1 - number))
    rest = coarse - _along(even, [overlap(one, cell) for one, cell in zip(fine, cells, strict=True)], first)
    spread = [overlap(cell, one) for one, cell in zip(fine, cells, strict=True)]
    # A fine cell may lie across two coarse ones, so that what is given to one leaks into the other: solved for.
    undone = [np.linalg.inv(overlap(one, cell) @ overlap(cell, one)) for one, cell in zip(fine, cells, strict=True)]
    correction = _along(_along(rest, undone, first), spread, first)
    found = even + correction
    axes = tuple(range(first, values.ndim))
    size = np.abs(found).sum(axis=axes)
    return found, np.abs(correction).sum(axis=axes) / np.where(size > 0, size, 1.0)


def _along(values: Array, matrices: Sequence[Array], first: int) -> Array:
    """Multiply one matrix (new, old) along each axis, beginning with axis `first`."""
    for number, matrix in enumerate(matrices, start=first):
        values = np.moveaxis(np.moveaxis(values, number, -1) @ matrix.T, -1, number)
    return values
