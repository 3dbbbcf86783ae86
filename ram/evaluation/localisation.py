"""How well maps agree with what physics says of the same samples."""

from __future__ import annotations

__all__ = ["cell_of_point", "cells_that_count", "material_points", "rank_agreement", "summed_on_cells"]

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from ram.axes import Axis, overlap
from ram.errors import DataError, explained


def summed_on_cells(
    values: Float[np.ndarray, "batch *space"], *, source: Sequence[Axis], cells: Sequence[Axis]
) -> Float[np.ndarray, "batch *cells"]:
    """Return values given on one grid summed on the cells of another; the total of each sample is kept.

    >>> fine, coarse = Axis.uniform("x", "mm", size=4, step=1.0), Axis.uniform("x", "mm", size=2, step=2.0, start=0.5)
    >>> summed_on_cells(np.array([[1.0, 2.0, 3.0, 4.0]]), source=[fine], cells=[coarse])
    array([[3., 7.]])

    Raises
    ------
    DataError
        Where `values` do not lie on the axes of `source`, or the two grids differ in dimensions.
    """
    sizes = tuple(axis.size for axis in source)
    if values.shape[1:] != sizes or len(source) != len(cells):
        allowed = f"of shape (batch, {', '.join(map(str, sizes))}), with as many axes as the cells"
        raise DataError(explained(where="localisation", what="values", allowed=allowed, got=values.shape))
    for dimension, (fine, coarse) in enumerate(zip(source, cells, strict=True), start=1):
        moved = np.moveaxis(values, dimension, -1) @ overlap(fine, coarse).T
        values = np.moveaxis(moved, -1, dimension)
    return values


def cell_of_point(points: Sequence[Axis], cells: Sequence[Axis]) -> Int[np.ndarray, "*space"]:
    """Return the number, in array order, of the cell in which each point of the input lies.

    >>> fine, coarse = Axis.uniform("x", "mm", size=4, step=1.0), Axis.uniform("x", "mm", size=2, step=2.0, start=0.5)
    >>> cell_of_point([fine], [coarse])
    array([0, 0, 1, 1])
    """
    numbers = np.zeros((), dtype=np.int64)
    for point, cell in zip(points, cells, strict=True):
        inside = np.clip(np.searchsorted(cell.edges, point.centres, side="right") - 1, 0, cell.size - 1)
        numbers = numbers[..., None] * cell.size + inside
    return numbers


def material_points(
    x: Float[np.ndarray, "sample channel *space"],
    reference: Float[np.ndarray, "channel *space"] | None,
    *,
    channels: Sequence[str],
) -> Bool[np.ndarray, "sample *space"] | None:
    """Return where sample or reference hold material, by the channel ``fill``; None, all points, where there is none.

    A void in both is nothing that a map could be right about.

    >>> material_points(np.array([[[0.0, 0.5]]]), np.array([[0.0, 0.0]]), channels=["fill"])
    array([[False,  True]])
    """
    if "fill" not in channels:
        return None
    number = list(channels).index("fill")
    own = x[:, number] > 0
    return np.asarray(own if reference is None else own | (reference[number] > 0))


def cells_that_count(
    points: Bool[np.ndarray, "sample *space"] | None, *, source: Sequence[Axis], cells: Sequence[Axis], count: int
) -> Bool[np.ndarray, "sample *cells"]:
    """Return the cells that hold a point that counts; all cells of `count` samples where all points do."""
    if points is None:
        return np.ones((count, *(axis.size for axis in cells)), dtype=bool)
    return np.asarray(summed_on_cells(points.astype(np.float64), source=source, cells=cells) > 0)


def rank_agreement(
    maps: Float[np.ndarray, "batch *cells"],
    truth: Float[np.ndarray, "batch *cells"],
    *,
    where: Bool[np.ndarray, "batch *cells"] | None = None,
) -> Float[np.ndarray, " batch"]:
    """Return Spearman's rank correlation between map and truth, sample by sample.

    1: the map puts the cells in the same order as physics, from the most lowering to the most raising; 0: it
    knows nothing of it. NaN for samples whose truth is not known, or where either is constant.

    Parameters
    ----------
    maps, truth
        Signed contributions on the same cells.
    where
        The cells that count, for instance those that hold material; all where it is None.

    Source: Spearman 1904, doi:10.2307/1412159, with mean ranks for ties.

    >>> rank_agreement(np.array([[1.0, 2.0, 3.0]]), np.array([[-5.0, 0.0, 90.0]]))
    array([1.])

    Raises
    ------
    DataError
        Where the shapes differ.
    """
    if not maps.shape == truth.shape == (maps.shape if where is None else where.shape):
        got = ", ".join(str(a.shape) for a in (maps, truth, where) if a is not None)
        raise DataError(explained(where="localisation", what="map, truth and mask", allowed="of one shape", got=got))
    used = np.ones(maps.shape, dtype=bool) if where is None else where
    return np.array([_spearman(m[w], t[w]) for m, t, w in zip(maps, truth, used, strict=True)], dtype=np.float64)


def _spearman(a: Float[np.ndarray, " cell"], b: Float[np.ndarray, " cell"]) -> float:
    if not (np.all(np.isfinite(a)) and np.all(np.isfinite(b))):
        return float("nan")
    a, b = rankdata(a) - (a.size + 1) / 2, rankdata(b) - (b.size + 1) / 2
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm > 0 else float("nan")
