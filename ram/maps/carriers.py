"""The few boxes of a map that carry most, and that say it in words: "0.8 to 1.2 ms, 8 to 10 kHz: -3.1 cm"."""

from __future__ import annotations

__all__ = ["Carrier", "carriers"]

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ram.axes import Axis
from ram.maps.regression_map import RegressionMap

Box = tuple[slice, ...]
Cells = Float[np.ndarray, "*cells"]

_ROUNDING = 1e-9


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
    barred = -4.0 * cost * values.size  # no box that gains anything holds such a cell
    free = np.ones(values.shape, dtype=np.bool_)
    found: list[Carrier] = []
    for _ in range(most):
        boxes = (_best(np.where(free, sign * values - cost, barred)) for sign in (1, -1))
        gain, box = max(boxes, key=lambda one: one[0])
        if not gain > _ROUNDING * cost:
            break
        free[box] = False
        bounds = {axis.name: _ends(axis, cells) for axis, cells in zip(maps.axes, box, strict=True)}
        found.append(Carrier(bounds, int(values[box].size), float(values[box].sum())))
    return found


def _best(gains: Cells) -> tuple[float, Box]:
    """Return the largest sum over a box, and the box."""
    if gains.ndim == 1:
        return _best_piece(gains[None])[1:]
    best: tuple[float, Box] = (-np.inf, ())
    for begin in range(len(gains)):
        spans = np.cumsum(gains[begin:], axis=0)  # of rows begin, begin .. begin + 1, and so on
        row, gain, box = _best_piece(spans) if gains.ndim == 2 else _best_of(spans)
        if gain > best[0]:
            best = (gain, (slice(begin, begin + row + 1), *box))
    return best


def _best_of(spans: Float[np.ndarray, "row *cells"]) -> tuple[int, float, Box]:
    """Return which of several grids has the box with the largest sum, the sum, and the box."""
    found = [_best(span) for span in spans]
    row = max(range(len(found)), key=lambda one: found[one][0])
    return row, *found[row]


def _best_piece(gains: Float[np.ndarray, "row cell"]) -> tuple[int, float, Box]:
    """Return the row that has the piece with the largest sum, the sum, and the piece."""
    sums = np.concatenate([np.zeros((len(gains), 1)), np.cumsum(gains, axis=1)], axis=1)
    ending = sums[:, 1:] - np.minimum.accumulate(sums[:, :-1], axis=1)
    row, last = np.unravel_index(int(ending.argmax()), ending.shape)
    first = int(sums[row, : last + 1].argmin())
    return int(row), float(ending[row, last]), (slice(first, int(last) + 1),)


def _ends(axis: Axis, cells: slice) -> tuple[float, float]:
    return float(axis.edges[cells.start]), float(axis.edges[cells.stop])
