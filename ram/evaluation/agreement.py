"""How a map agrees with a map known from physics, sample by sample: signed, on the same cells.

Every function takes maps and truth of shape (batch, *cells) in any number of dimensions, and the cells that count
(`where`, all if it is None), and returns one figure a sample, NaN where there is none to give: the truth is not known,
or either map is the same everywhere that counts. Figures that compare sizes want both in the same unit.
"""

from __future__ import annotations

__all__ = [
    "linear_agreement",
    "mass_within",
    "peak_within",
    "region_auc",
    "region_error",
    "sign_agreement",
    "strongest",
    "top_overlap",
]

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.stats import rankdata

from ram.errors import DataError, explained

Maps = Float[np.ndarray, "batch *cells"]
Mask = Bool[np.ndarray, "batch *cells"]
Figures = Float[np.ndarray, " batch"]
Cells = Float[np.ndarray, " cell"]

TOP = 0.1  # "top decile"


def linear_agreement(maps: Maps, truth: Maps, *, where: Mask | None = None) -> Figures:
    """Return Pearson's correlation of map and truth, -1 to 1: 1 where the map is the truth but for offset and scale.

    >>> linear_agreement(np.array([[1.0, 2.0, 3.0]]), np.array([[-2.0, 0.0, 2.0]]))
    array([1.])
    """
    return _each(_pearson, maps, truth, where=where)


def top_overlap(maps: Maps, truth: Maps, *, where: Mask | None = None, share: float = TOP) -> Figures:
    """Return which part of the truth's strongest cells is among the map's strongest cells, 0 to 1.

    Strong is what has a large absolute value. Chance gives `share`.

    >>> top_overlap(np.array([[1.0, -9.0, 2.0, 8.0]]), np.array([[0.0, 5.0, 6.0, 0.0]]), share=0.5)
    array([0.5])

    Raises
    ------
    DataError
        Where shapes differ.
    """

    def overlap(one: Cells, other: Cells) -> float:
        if not np.ptp(np.abs(one)) > 0 or not np.ptp(np.abs(other)) > 0:
            return float("nan")
        count = _count(one.size, share)
        return float(np.intersect1d(_largest(one, count), _largest(other, count)).size / count)

    return _each(overlap, maps, truth, where=where)


def sign_agreement(maps: Maps, truth: Maps, *, where: Mask | None = None) -> Figures:
    """Return the share of the truth's absolute sum that lies where the map has the truth's sign, 0 to 1.

    Cells weigh as much as physics gives them, so that those of almost nothing do not decide. A cell of exactly zero has
    neither sign; a map without knowledge has one half on average.

    >>> sign_agreement(np.array([[1.0, 1.0, 0.0]]), np.array([[3.0, -1.0, 4.0]]))
    array([0.375])
    """

    def agreement(one: Cells, other: Cells) -> float:
        total = np.abs(other).sum()
        same = np.sign(one) == np.sign(other)
        return float(np.abs(other)[same].sum() / total) if total > 0 and one.any() else float("nan")

    return _each(agreement, maps, truth, where=where)


def strongest(truth: Maps, *, where: Mask | None = None, share: float = TOP) -> Mask:
    """Return the cells in which the truth is largest in size: its region, where no other is given.

    Samples whose truth is not known have none.
    """
    used = np.ones(truth.shape, dtype=bool) if where is None else where
    found = np.zeros(truth.shape, dtype=bool)
    for row, (one, counts) in enumerate(zip(truth, used, strict=True)):
        places = np.flatnonzero(counts)
        if places.size and np.isfinite(one.flat[places]).all():
            best = _largest(one.flat[places], _count(places.size, share))
            found[row].flat[places[best]] = True
    return found


def mass_within(maps: Maps, region: Mask, *, where: Mask | None = None) -> tuple[Figures, Figures]:
    """Return the share of the map's absolute sum that lies in a region, and what chance gives: the region's share.

    >>> mass_within(np.array([[3.0, -1.0, 0.0, 0.0]]), np.array([[True, False, False, False]]))
    (array([0.75]), array([0.25]))
    """

    def share(one: Cells, inside: Cells) -> float:
        total = np.abs(one).sum()
        return float(np.abs(one) @ inside / total) if total > 0 else float("nan")

    mass = _each(share, maps, _region(region), where=where)
    return mass, _each(lambda _, inside: float(inside.mean()), maps, _region(region), where=where)


def peak_within(maps: Maps, region: Mask, *, where: Mask | None = None) -> Figures:
    """Return 1 where the map's largest absolute value lies in the region, else 0; ties count in parts.

    Source: the pointing game, Zhang et al. 2018, doi:10.1007/s11263-017-1059-x, without its tolerance.

    >>> peak_within(np.array([[3.0, -4.0, 0.0]]), np.array([[True, False, False]]))
    array([0.])
    """

    def hit(one: Cells, inside: Cells) -> float:
        size = np.abs(one)
        return float(inside[size == size.max()].mean()) if size.max() > 0 else float("nan")

    return _each(hit, maps, _region(region), where=where)


def region_auc(maps: Maps, region: Mask, *, where: Mask | None = None) -> Figures:
    """Return the probability that a cell of the region has a larger absolute value than one outside, 0 to 1.

    The area under the receiver operating curve of the map's absolute value; 0.5 is chance, ties count half. NaN where
    all cells or none lie in the region.

    Source: Mann & Whitney 1947, doi:10.1214/aoms/1177730491.

    >>> region_auc(np.array([[-3.0, 1.0, 2.0]]), np.array([[True, False, False]]))
    array([1.])
    """

    def area(one: Cells, inside: Cells) -> float:
        many = inside.sum()
        few = inside.size - many
        if many == 0 or few == 0:
            return float("nan")
        return float((rankdata(np.abs(one)) @ inside - many * (many + 1) / 2) / (many * few))

    return _each(area, maps, _region(region), where=where)


def region_error(
    maps: Float[np.ndarray, "batch *space"],
    truth: Float[np.ndarray, "batch *space"],
    regions: UInt8[np.ndarray, "batch *space"],
    *,
    count: int,
) -> tuple[Float[np.ndarray, "batch region"], Float[np.ndarray, "batch region"]]:
    """Return |map - truth| and |truth| of each region's sum, in their unit, shape (batch, region).

    The table of regions is off by ``error.sum() / size.sum()`` of what physics gives the regions; 0 at best, and 1 for
    a map of zeros.

    Parameters
    ----------
    maps, truth
        On the input's grid (`RegressionMap.on_input_grid`), in the same unit; NaN for samples without truth.
    regions
        Codes on the input's grid, below `count`.

    Raises
    ------
    DataError
        Where shapes differ.
    """
    _require_shapes(maps, truth, regions)
    sums = [_sums(values, regions, count) for values in (maps, truth)]
    unknown = np.isnan(truth).reshape(len(truth), -1).any(axis=1)  # of a region without cells too
    sums[1][unknown] = np.nan
    return np.abs(sums[0] - sums[1]), np.abs(sums[1])


def _sums(values: np.ndarray, regions: np.ndarray, count: int) -> np.ndarray:
    pairs = zip(regions.reshape(len(regions), -1), values.reshape(len(values), -1), strict=True)
    return np.array([np.bincount(codes, weights=row, minlength=count)[:count] for codes, row in pairs])


def _each(figure: Callable[[Cells, Cells], float], maps: Maps, truth: Maps, *, where: Mask | None) -> Figures:
    """Return `figure` of the cells that count, sample by sample; NaN where a value is not known or no cell counts."""
    _require_shapes(maps, truth, *(() if where is None else (where,)))
    used = np.ones(maps.shape, dtype=bool) if where is None else where
    found = np.full(len(maps), np.nan)
    for row, (one, other, counts) in enumerate(zip(maps, truth, used, strict=True)):
        a, b = np.asarray(one[counts], dtype=np.float64), np.asarray(other[counts], dtype=np.float64)
        if a.size and np.isfinite(a).all() and np.isfinite(b).all():
            found[row] = figure(a, b)
    return found


def _pearson(a: Cells, b: Cells) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm > 0 else float("nan")


def _count(size: int, share: float) -> int:
    return max(1, round(share * size))


def _largest(values: Cells, count: int) -> np.ndarray:
    return np.argsort(-np.abs(values), kind="stable")[:count]


def _region(region: Mask) -> Maps:
    return np.asarray(region, dtype=np.float64)


def _require_shapes(*arrays: np.ndarray) -> None:
    if len({one.shape for one in arrays}) > 1:
        got = ", ".join(str(one.shape) for one in arrays)
        raise DataError(explained(where="agreement", what="map, truth and mask", allowed="of one shape", got=got))
