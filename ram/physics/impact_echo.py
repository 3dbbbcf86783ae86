"""Impact echo on concrete plates: what lies below a point, when the tap arrives, and where the plate rings.

A steel ball strikes the plate, a sensor beside it follows the surface. First the Rayleigh wave passes, one sharp
swing; then the surface moves with the echoes between itself and what reflects: a void, or the plate's back.
"""

from __future__ import annotations

__all__ = ["PLATE_CM", "THICKNESS_CM", "Arrival", "Void", "arrival", "polarity", "resonance_hz"]

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.signal import butter, sosfiltfilt

PLATE_CM = 80.0
THICKNESS_CM = 20.0
_VOID_CM = (24.0, 56.0)
_MARGIN_CM = 4.0
_CUT_HZ = 3e3  # the plate as a whole swings below
_SHARE = 0.3
_SEARCH_S, _PASSES_S = 1.5e-3, 1e-4


@dataclass(frozen=True)
class Void:
    """A void in a plate of 80 x 80 x 20 cm, below 24 to 56 cm in x.

    Parameters
    ----------
    depth_cm
        Where x is 24 cm, and where x is 56 cm; linear between.
    strip
        Whether the void runs through the plate in y; else it lies below 24 to 56 cm in y too.

    Source: doi:10.6342/NTU202403450, figures 5.5 to 5.10.

    >>> Void((12.0, 8.0), strip=True).reflector_cm(40.0, 8.0)
    10.0
    >>> Void((6.0, 6.0)).reflector_cm(40.0, 8.0)
    20.0
    """

    depth_cm: tuple[float, float]
    strip: bool = False

    def reflector_cm(self, x_cm: float, y_cm: float) -> float:
        """Return the depth of what reflects below a point; a point on the edge counts as above the void."""
        begin, end = _VOID_CM
        if not (begin <= x_cm <= end and (self.strip or begin <= y_cm <= end)):
            return THICKNESS_CM
        first, last = self.depth_cm
        return first + (last - first) * (x_cm - begin) / (end - begin)

    def is_reliable(self, x_cm: float, y_cm: float) -> bool:
        """Say whether the echo has one meaning: not on the void's edge, not near the border of the plate."""
        near = any(value <= _MARGIN_CM or value >= PLATE_CM - _MARGIN_CM for value in (x_cm, y_cm))
        return not near and not self._is_edge(x_cm, y_cm)

    def _is_edge(self, x_cm: float, y_cm: float) -> bool:
        begin, end = _VOID_CM
        beside = x_cm in _VOID_CM and (self.strip or begin <= y_cm <= end)
        return beside or (not self.strip and y_cm in _VOID_CM and begin <= x_cm <= end)


def resonance_hz(speed_m_s: float, depth_cm: float) -> float:
    """Return the frequency at which the concrete above a reflector rings, 0.96 v / 2 T.

    Source: Sansalone & Streett 1997, "Impact-echo"; 0.96 is the shape factor of a plate.

    >>> round(resonance_hz(3900.0, 20.0))
    9360
    """
    return 0.96 * speed_m_s / (2 * depth_cm / 100)


@dataclass(frozen=True)
class Arrival:
    """When the Rayleigh wave passes.

    Attributes
    ----------
    time_s
        Of its peak, from the first sample, between samples where the peak is.
    rest
        What the sensor shows before it, in the unit of the signal.
    share
        Height of the peak over the largest swing of the signal above 3 kHz; well below 1 is doubtful.
    """

    time_s: float
    rest: float
    share: float


def polarity(signals: Sequence[tuple[Float[np.ndarray, " time"], float]]) -> int:
    """Return the sign that most signals of one set-up have when the Rayleigh wave passes: how the sensor is wired.

    Parameters
    ----------
    signals
        Values, and the time between samples in s.
    """
    return 1 if sum(_sign(quick, step_s) for quick, step_s in map(_quick, signals)) >= 0 else -1


def arrival(signal: Float[np.ndarray, " time"], step_s: float, *, sign: int) -> Arrival:
    """Return when the Rayleigh wave passes: the largest swing to `sign` right after the signal sets in.

    It sets in where what is quicker than 3 kHz exceeds 0.3 of its largest value within the first 1.5 ms.
    """
    quick, _ = _quick((signal, step_s))
    onset = _onset(quick, step_s)
    peak = onset + int(np.argmax(sign * quick[onset : onset + _steps(_PASSES_S, step_s)]))
    before = signal[: max(3, onset - _steps(3e-5, step_s))]
    share = float(sign * quick[peak] / np.abs(quick).max())
    return Arrival((peak + _between(sign * quick, peak)) * step_s, float(np.median(before)), share)


def _quick(signal: tuple[Float[np.ndarray, " time"], float]) -> tuple[Float[np.ndarray, " time"], float]:
    values, step_s = signal
    return sosfiltfilt(butter(2, _CUT_HZ, fs=1 / step_s, btype="high", output="sos"), values), step_s


def _onset(quick: Float[np.ndarray, " time"], step_s: float) -> int:
    first = np.abs(quick[: _steps(_SEARCH_S, step_s)])
    return int(np.argmax(first > _SHARE * first.max()))


def _sign(quick: Float[np.ndarray, " time"], step_s: float) -> int:
    onset = _onset(quick, step_s)
    passing = quick[onset : onset + _steps(_PASSES_S, step_s)]
    return int(np.sign(passing[np.argmax(np.abs(passing))]))


def _steps(time_s: float, step_s: float) -> int:
    return max(1, round(time_s / step_s))


def _between(values: Float[np.ndarray, " time"], peak: int) -> float:
    """Return how far from a sample the top of the parabola through it and its neighbours lies, in samples."""
    if not 0 < peak < len(values) - 1:
        return 0.0
    left, top, right = values[peak - 1 : peak + 2]
    bend = left - 2 * top + right
    return float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend < 0 else 0.0
