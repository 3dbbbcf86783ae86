"""The few boxes of a map that carry most, and that say it in words: "0.8 to 1.2 ms, 8 to 10 kHz: -3.1 cm"."""

from __future__ import annotations

__all__ = ["Carrier", "carriers"]

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ram.axes import Axis
from ram.maps.regression_map import RegressionMap

Box = tuple[slice, ...]
Cells = Float[np.ndarray, "*cells"]


@dataclass(frozen=True)
class Carrier:
    """A box of cells.

    Attributes
    ----------
    bounds
        By axis: its lowest and highest edge, in the axis' unit.
    cells
        How many it has.
    contribution
        What they carry together, as the map: ``maps.within(**bounds)``.
    """

    bounds: dict[str, tuple[float, float]]
    cells: int
    contribution: float


def carriers(maps: RegressionMap, index: int = 0, *, most: int = 5) -> list[Carrier]:
    """Return the boxes of one map that carry most, none of which overlap, in the order in which they are found.

    Each is the box, of all that are left, whose contribution exceeds by most what so many cells of the map carry on
    average: the largest abs(sum c) - n mean(abs c) over its n cells. So a box ends where cells carry less than the
    average. With what the other cells carry, ``maps.contributions[index].sum() - sum of contributions``, they add up to
    the whole.

    Parameters
    ----------
    most
        So many of them; fewer where no other box exceeds the average.

    Source: the largest sum over a box by prefix sums is Kadane's algorithm; Bentley 1984, "Programming pearls".
    """
    values = maps.contributions[index]
    cost = float(np.abs(values).mean())
    free = np.ones(values.shape, dtype=np.bool_)
    found: list[Carrier] = []
    for _ in range(most):
        gain, box = max(
            (_best(np.where(free, sign * values - cost, -np.inf)) for sign in (1, -1)), key=lambda one: one[0]
        )
        if not gain > 0:
            break
        free[box] = False
        bounds = {axis.name: _ends(axis, cells) for axis, cells in zip(maps.axes, box, strict=True)}
        found.append(Carrier(bounds, int(values[box].size), float(values[box].sum())))
    return found


def _best(gains: Cells) -> tuple[float, Box]:
    """Return the largest sum over a box, and the box."""
    if gains.ndim == 1:
        return _best_piece(gains)
    best: tuple[float, Box] = (-np.inf, ())
    for rows, summed in _spans(gains):
        gain, rest = _best(summed)
        if gain > best[0]:
            best = (gain, (rows, *rest))
    return best


def _spans(gains: Cells) -> Iterator[tuple[slice, Cells]]:
    """Yield the sums over all spans of the first axis."""
    for begin in range(len(gains)):
        summed = np.zeros(gains.shape[1:])
        for end in range(begin, len(gains)):
            summed = summed + gains[end]
            yield slice(begin, end + 1), summed


def _best_piece(gains: Float[np.ndarray, " cell"]) -> tuple[float, Box]:
    barred = np.isneginf(gains)
    best: tuple[float, Box] = (-np.inf, (slice(0, 0),))
    edges = np.flatnonzero(np.diff(np.concatenate(([True], barred, [True]))))  # of pieces that are free
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        sums = np.concatenate(([0.0], np.cumsum(gains[begin:end])))
        lowest = np.minimum.accumulate(sums[:-1])
        last = int((sums[1:] - lowest).argmax())
        first = int(sums[: last + 1].argmin())
        if (gain := float(sums[last + 1] - sums[first])) > best[0]:
            best = (gain, (slice(int(begin) + first, int(begin) + last + 1),))
    return best


def _ends(axis: Axis, cells: slice) -> tuple[float, float]:
    return float(axis.edges[cells.start]), float(axis.edges[cells.stop])
