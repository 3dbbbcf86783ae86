"""A finer map that keeps what the coarse one says: each coarse cell's total stays what it was."""

from __future__ import annotations

__all__ = ["keeping_totals"]

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ram.axes import Axis

if TYPE_CHECKING:
    from scipy.sparse import csr_array

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
    from scipy.sparse.linalg import splu

    first = values.ndim - len(fine)
    even = values
    for number, axis in enumerate(fine):
        share = np.diff(axis.edges) / np.ptp(axis.edges)
        even = even * share.reshape(-1, *(1,) * (len(fine) - 1 - number))
    into = [_overlap(one, cell) for one, cell in zip(fine, cells, strict=True)]
    back = [_overlap(cell, one) for one, cell in zip(fine, cells, strict=True)]
    rest = coarse - _along(even, [one.__matmul__ for one in into], first)
    # A fine cell may lie across two coarse ones, so that what is given to one leaks into the other: solved for.
    undone = [splu((one @ other).tocsc()).solve for one, other in zip(into, back, strict=True)]
    correction = _along(_along(rest, undone, first), [one.__matmul__ for one in back], first)
    found = even + correction
    axes = tuple(range(first, values.ndim))
    size = np.abs(found).sum(axis=axes)
    return found, np.abs(correction).sum(axis=axes) / np.where(size > 0, size, 1.0)


def _overlap(source: Axis, target: Axis) -> csr_array:
    """Return `ram.axes.overlap` without its zeros: a long signal has millions of them for every share."""
    from scipy.sparse import csr_array

    cuts = np.unique(np.concatenate((source.edges, target.edges)))
    middles = 0.5 * (cuts[1:] + cuts[:-1])
    old, new = (np.searchsorted(one.edges, middles, side="right") - 1 for one in (source, target))
    both = (old >= 0) & (old < source.size) & (new >= 0) & (new < target.size)
    lengths = np.bincount(old[both], weights=np.diff(cuts)[both], minlength=source.size)
    lost = np.flatnonzero(lengths <= 0.0)
    nearest = np.asarray([np.abs(one - target.centres).argmin() for one in source.centres[lost]], dtype=np.intp)
    shares = np.concatenate((np.diff(cuts)[both] / lengths[old[both]], np.ones(lost.size)))
    places = np.concatenate((new[both], nearest)), np.concatenate((old[both], lost))
    return csr_array((shares, places), shape=(target.size, source.size))


def _along(values: Array, steps: Sequence[Callable[[Array], Array]], first: int) -> Array:
    """Take one step, columns (old, others) to (new, others), along each axis, beginning with axis `first`."""
    for number, step in enumerate(steps, start=first):
        turned = np.moveaxis(values, number, 0)
        found = step(np.ascontiguousarray(turned.reshape(len(turned), -1)))
        values = np.moveaxis(found.reshape(-1, *turned.shape[1:]), 0, number)
    return values
