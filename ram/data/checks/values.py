"""Rules that say of bare numbers that something is odd with them."""

from __future__ import annotations

__all__ = [
    "PLACEHOLDERS",
    "apart",
    "isolated",
    "placeholders",
    "sane_share",
    "swapped",
    "two_scales",
]

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PLACEHOLDERS = (
    -99.0, -999.0, -999.25, -9999.0, -99999.0, -999999.0, 999.0, 9999.0, 99999.0, 999999.0,
    -32768.0, 32767.0, 65535.0, -2147483648.0, 2147483647.0, 4294967295.0,
    -1e20, 1e20, -1e30, 1e30, 9.969209968386869e36, 3.4028234663852886e38, -3.4028234663852886e38,
)  # fmt: skip
"""What programs write for "not measured": nines, the ends of integer types, netCDF's and Fortran's fill values."""

_FEWEST = 10
_LARGEST_FACTOR = 1e7  # no two units of one quantity in use lie further apart; below is the rounding of a zero
_SANE = (1e-15, 1e15)


def placeholders(values: Array) -> NDArray[np.bool_]:
    """Say which values are a placeholder that stands apart from all others, by more than these are wide.

    >>> placeholders(np.array([410.0, 433.0, -999.0, 420.0])).tolist()
    [False, False, True, False]
    """
    with np.errstate(over="ignore"):
        suspects = np.isin(values.astype(np.float32), np.array(PLACEHOLDERS, dtype=np.float32))
    rest = values[np.isfinite(values) & ~suspects]
    if rest.size < 3 or not suspects.any():
        return np.zeros(values.shape, dtype=np.bool_)
    return suspects & apart(values, low=rest.min(), high=rest.max())


def apart(values: Array, *, low: float, high: float) -> NDArray[np.bool_]:
    """Say which values lie further from ``low .. high`` than that is wide."""
    width = high - low
    return np.asarray((values < low - width) | (values > high + width))


def isolated(values: Array) -> NDArray[np.bool_]:
    """Say which few values (one, or one in a hundred) lie further from the others than these are wide.

    Where all values have one sign the same must hold for their logarithms, so that quantities that spread over
    decades have no outliers merely for that.

    >>> isolated(np.append(np.linspace(400.0, 600.0, 20), 5000.0)).nonzero()[0].tolist()
    [20]
    """
    known = np.isfinite(values)
    found = known & _isolated(values)
    positive = np.abs(values[known])
    if (values[known] > 0).all() or (values[known] < 0).all():
        logarithms = np.full(values.shape, np.nan)
        logarithms[known] = np.log(positive)
        found &= _isolated(logarithms)
    return np.asarray(found)


def _isolated(values: Array) -> NDArray[np.bool_]:
    ordered = np.sort(values[np.isfinite(values)])
    most = max(1, ordered.size // 100)
    none = np.zeros(values.shape, dtype=np.bool_)
    if ordered.size < _FEWEST:
        return none
    low, high = ordered[most], ordered[-1 - most]  # without the few that may lie apart at either end
    if low == high:
        return none
    for place in range(ordered.size - most, ordered.size):
        if ordered[place] - high > high - low:
            break
        high = ordered[place]
    for place in range(most - 1, -1, -1):
        if low - ordered[place] > high - low:
            break
        low = ordered[place]
    return np.asarray((values < low) | (values > high))


def two_scales(values: Array, *, factor: float) -> float | None:
    """Return the magnitude between two heaps of values that lie a `factor` apart, each narrower than the gap.

    >>> hz, khz = np.array([410.0, 433.0, 425.0]), np.array([0.4, 0.44, 0.42])
    >>> 0.44 < two_scales(np.concatenate([hz, khz]), factor=10.0) < 410.0
    True
    """
    size = np.sort(np.log(np.abs(values[np.isfinite(values) & (values != 0)])))
    few = max(3, size.size // 20)
    if size.size < 2 * few:
        return None
    steps = np.diff(size)
    place = int(np.argmax(steps))
    gap = steps[place]
    widest = max(size[place] - size[0], size[-1] - size[place + 1])
    if not few <= place + 1 <= size.size - few or not np.log(factor) <= gap <= np.log(_LARGEST_FACTOR) or gap < widest:
        return None
    return float(np.exp(0.5 * (size[place] + size[place + 1])))


def sane_share(values: NDArray[Any]) -> float:
    """Return which share of the values that are not zero has a magnitude that measurements have."""
    size = np.abs(values[values != 0]).astype(np.float64)
    return float(((size >= _SANE[0]) & (size <= _SANE[1])).mean()) if size.size else 1.0


def swapped(values: NDArray[Any]) -> bool:
    """Whether floating-point numbers make sense only with their bytes in the other order.

    Swapped, the last digits stand where the exponent belongs: magnitudes spread evenly over all that the type
    can hold, of which 1e-15 to 1e15 is two fifths (float32) or one twentieth (float64).

    >>> numbers = np.linspace(1.0, 2.0, 50)
    >>> swapped(numbers), swapped(numbers.byteswap())
    (False, True)
    """
    if values.size < _FEWEST:
        return False
    with np.errstate(invalid="ignore"):
        return sane_share(values) < 0.5 and sane_share(values.byteswap()) > 0.99
