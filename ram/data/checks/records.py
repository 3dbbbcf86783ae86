"""Signs of trouble in records over time, row by row: flat tops, dead stretches, counters that ran over, padding."""

from __future__ import annotations

__all__ = ["abrupt", "clipped", "stuck", "tail", "wrapped"]

import numpy as np
from jaxtyping import Bool, Float32, Int32
from numpy.typing import NDArray

Block = Float32[np.ndarray, "row channel cells"]
Ends = Float32[np.ndarray, "row channel"]
Flags = Bool[np.ndarray, " row"]

_FLAT_CELLS = 5
_FLAT_STRETCH = 3
_STUCK_SHARE = 0.2
_SHORTEST = 20  # cells below which a stretch of equal values says nothing
_INTEGERS = ((-128, 127), (0, 255), (-32768, 32767), (0, 65535))


def clipped(x: Block, *, low: Ends, high: Ends) -> Flags:
    """Say which rows are flat at their top or bottom as nothing but the end of a range makes them.

    Found where five cells or more, three of them in a row, stand at the extreme, and these make up over three
    fifths of all cells within 2 % of the span (or three steps of a coarse converter) from it: the crest of a sine
    has a third there, one that is cut off at nine tenths has 85 %. Left alone: signals of two levels (over half of
    all cells at the ends), and the level 0, at which much rests that was never cut.
    """
    found = np.zeros(len(x), dtype=np.bool_)
    at_high, at_low = x == high[..., None], x == low[..., None]
    many_high, many_low = at_high.sum(axis=2), at_low.sum(axis=2)
    varied = (many_high + many_low < 0.5 * x.shape[2]) & (high > low)
    for sign, end, at, many in ((1.0, high, at_high, many_high), (-1.0, low, at_low, many_low)):
        for row, channel in np.argwhere(varied & (many >= _FLAT_CELLS) & (end != 0)):
            found[row] |= _cut(sign * x[row, channel], at[row, channel])
    return found


def _cut(values: NDArray[np.float32], at: NDArray[np.bool_]) -> bool:
    """Whether the top of one signal is flat in stretches, and denser than what lies right below it."""
    top, following = float(values[at][0]), float(values[~at].max())
    near = max(0.02 * (top - float(values.min())), 3.0 * (top - following))
    return _longest(at) >= _FLAT_STRETCH and bool(at.sum() > 0.6 * (values >= top - near).sum())


def stuck(x: Block) -> Flags:
    """Say which rows stand still for a fifth of their length between stretches where they move."""
    cells = x.shape[2]
    need = max(_SHORTEST, int(_STUCK_SHARE * cells))
    found = np.zeros(len(x), dtype=np.bool_)
    if cells <= need + 2:
        return found
    held = _held(x[..., 1:] == x[..., :-1], need - 1)
    for row, channel in np.argwhere(held.any(axis=2)):
        moves = np.flatnonzero(np.diff(x[row, channel]) != 0)  # the value changes after these cells
        if moves.size >= 2:
            found[row] |= bool(np.diff(moves).max() >= need)
    return found


def wrapped(x: Block, *, low: Ends, high: Ends) -> Flags:
    """Say which rows of whole numbers jump from one end of their integer type to the other and go on from there.

    Found where bends (second differences) fall below half once jumps of over half of the type's range are taken
    as steps across its end; white noise over the whole range keeps three quarters of them.
    """
    found = np.zeros(len(x), dtype=np.bool_)
    for first, last in _INTEGERS:
        span = last - first + 1
        inside = (low >= first) & (high <= last) & (high - low > 0.9 * span)
        for row, channel in np.argwhere(inside):
            found[row] |= _runs_over(x[row, channel], span=span)
    return found


def _runs_over(values: NDArray[np.float32], *, span: int) -> bool:
    at_ends = (values == values.min()).sum() + (values == values.max()).sum()
    if at_ends > 0.5 * values.size or not np.array_equal(values, np.rint(values)):
        return False
    steps = np.diff(values.astype(np.float64))
    jumps = np.abs(steps) > 0.5 * span
    mended = np.where(jumps, steps - np.sign(steps) * span, steps)
    return bool(jumps.any() and np.abs(np.diff(mended)).sum() < 0.5 * np.abs(np.diff(steps)).sum())


def tail(x: Block) -> Int32[np.ndarray, " row"]:
    """Return how many cells at the end of each row repeat the last value, the least over the channels."""
    moves = x[..., :0:-1] != x[..., -2::-1]  # from the end to the beginning
    counts = np.where(moves.any(axis=2), moves.argmax(axis=2), moves.shape[2])
    return np.asarray(1 + counts.min(axis=1), dtype=np.int32)


def abrupt(x: Block, *, tail: Int32[np.ndarray, " row"]) -> Flags:
    """Say in which rows the signal still moves right before its constant tail.

    What dies away below the last digit of its converter is no padding: of the eight cells before the tail five
    must differ, where the last digit alone takes three values.
    """
    found = np.zeros(len(x), dtype=np.bool_)
    for row in np.flatnonzero((tail >= 8) & (tail < x.shape[2] - 8)):
        begin = x.shape[2] - int(tail[row])
        found[row] = any(np.unique(channel).size >= 5 for channel in x[row, :, begin - 8 : begin])
    return found


def _held(same: Bool[np.ndarray, "row channel cells"], length: int) -> Bool[np.ndarray, "row channel cells"]:
    """Say where `length` cells in a row are true, by doubling."""
    done = 1
    while done < length and same.any():
        shift = min(done, length - done)
        same = same[..., :-shift] & same[..., shift:]
        done += shift
    return same


def _longest(mask: NDArray[np.bool_]) -> int:
    ends = np.flatnonzero(np.diff(np.concatenate(([0], mask.view(np.int8), [0]))))
    return int(np.diff(ends)[::2].max(initial=0))
