"""Tap test: a wheel is struck on its rim, accelerometers on the rim hear how it rings.

A hammer presses for 0.6 ms with a force like half a sine. Each mode j of the wheel then swings by itself,

    q'' + 2 zeta w q' + w^2 q = phi(tap) F(t),      acceleration at a point = sum over j of phi_j(point) q_j''

solved exactly, not step by step: q = Im(z) / wd with z' = p z + F and the pole p = -zeta w + i wd. Frequencies in Hz,
times in s, forces in N, accelerations in m/s^2, places in mm.

Source: Meirovitch 1986, "Elements of vibration analysis", 2.13 and 4.10 (convolution, modal analysis).
"""

from __future__ import annotations

__all__ = ["MODES", "PULSE_S", "Ringing", "accelerations", "complex_amplitudes", "cracked", "noisy", "poles", "ringing"]

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Complex, Float
from numpy.typing import ArrayLike

from ram.errors import SolverError
from ram.physics import crack as cracks
from ram.physics.crack import Crack
from ram.physics.design import Design, rasterise
from ram.physics.naming import SLOTS, Disc, all_bending, connected

PULSE_S = 0.6e-3
MODES = 16
MM = 1e-3


@dataclass(frozen=True)
class Ringing:
    """How a wheel can swing out of its plane.

    Attributes
    ----------
    frequencies
        Shape (mode,), Hz, rising.
    named
        Place of each mode that has a name: ``{"umbrella": (2,), "tilt": (0, 1), "two_diameter": (3, 4)}``.
    shapes
        Deflection of the grid's nodes, mass-normalised (1/sqrt(kg)).
    pitch_mm
        Width of a pixel of that grid; the wheel's centre is its middle.
    """

    frequencies: Float[np.ndarray, " mode"]
    named: dict[str, tuple[int, ...]]
    shapes: Float[np.ndarray, "mode row column"] = field(repr=False)
    pitch_mm: float

    @property
    def tilt_hz(self) -> float:
        """Frequency of the pair of tilts, sqrt of its mean eigenvalue."""
        return float(np.sqrt(np.mean(self.frequencies[list(self.named["tilt"])] ** 2)))

    @property
    def splitting_hz(self) -> float:
        """Upper minus lower frequency of the pair of tilts."""
        lower, upper = self.frequencies[list(self.named["tilt"])]
        return float(upper - lower)

    def deflections(self, radius_mm: ArrayLike, angle: ArrayLike) -> Float[np.ndarray, "mode point"]:
        """Return the deflection of every mode at some points of the wheel, bilinear between the nodes."""
        radius, turn = np.broadcast_arrays(np.asarray(radius_mm, dtype=np.float64), np.asarray(angle, dtype=np.float64))
        middle = (self.shapes.shape[-1] - 1) / 2
        column, row = (radius * wave(turn) / self.pitch_mm + middle for wave in (np.cos, np.sin))
        i, j = np.floor(column).astype(int), np.floor(row).astype(int)
        u, v = column - i, row - j
        below = (1 - u) * self.shapes[:, j, i] + u * self.shapes[:, j, i + 1]
        above = (1 - u) * self.shapes[:, j + 1, i] + u * self.shapes[:, j + 1, i + 1]
        return np.asarray((1 - v) * below + v * above)


def ringing(design: Design, crack: Crack | None = None, *, size: int = 48, modes: int = MODES) -> Ringing:
    """Return the lowest bending modes of a wheel, drawn on size x size pixels.

    Raises
    ------
    SolverError
        Where the wheel has no pair of tilts among them.
    """
    disc, pitch_mm = cracked(design, crack, size=size)
    found, slots = all_bending(disc, count=modes)
    if max(slots) >= modes:
        raise SolverError(f"the modes that have names are not among the lowest {modes}")
    named = {name: tuple(s for s, slot in zip(slots, SLOTS, strict=True) if slot == name) for name in SLOTS}
    shapes = found.shapes[:modes, :, 0].reshape(modes, size + 1, size + 1)
    return Ringing(found.frequencies[:modes], named, shapes, pitch_mm)


def cracked(design: Design, crack: Crack | None, *, size: int) -> tuple[Disc, float]:
    """Return a wheel as the plate solver takes it, and the width of its pixels in mm."""
    image = rasterise(design, size)
    kept = connected(image.fill, image.pitch_mm)
    share = None if crack is None else cracks.bending_share(design, image, crack)
    fill = np.where(kept, image.fill, 0.0)
    return Disc(fill, image.thickness * MM, image.pitch_mm * MM, share), image.pitch_mm


def poles(frequencies: Float[np.ndarray, " mode"], damping: float) -> Complex[np.ndarray, " mode"]:
    """Return the poles of modes with a damping ratio: decay rate (1/s) and damped circular frequency (rad/s).

    >>> poles(np.array([500.0]), 0.002).round(2)
    array([-6.28+3141.59j])
    """
    return np.asarray(2 * np.pi * frequencies * complex(-damping, np.sqrt(1 - damping**2)))


def complex_amplitudes(
    frequencies: Float[np.ndarray, " mode"], damping: float, gains: Float[np.ndarray, "channel mode"], *, peak_n: float
) -> Complex[np.ndarray, "channel mode"]:
    """Return what each mode rings with in each channel, m/s^2, at the end of the pulse.

    After it the acceleration is ``sum over modes of Im(amplitude exp(pole (t - PULSE_S)))``.

    Parameters
    ----------
    gains
        Deflection at the channel times deflection at the tap, 1/kg.
    peak_n
        Largest force.
    """
    p, pulse = poles(frequencies, damping), np.pi / PULSE_S
    at_end = peak_n * pulse * (np.exp(p * PULSE_S) + 1) / (p**2 + pulse**2)
    return np.asarray(gains * (p**2 * at_end / p.imag))


def accelerations(
    frequencies: Float[np.ndarray, " mode"],
    damping: float,
    gains: Float[np.ndarray, "channel mode"],
    times: Float[np.ndarray, " time"],
    *,
    peak_n: float,
) -> Float[np.ndarray, "channel time"]:
    """Return the accelerations (m/s^2) that a tap at time 0 causes, exact at every instant.

    Parameters
    ----------
    frequencies, damping
        Undamped frequencies (Hz), and the damping ratio that all modes have (1).
    gains
        Deflection at the channel times deflection at the tap, 1/kg.
    times
        Rising, s.
    peak_n
        Largest force.

    >>> one = np.array([500.0]), 0.002, np.array([[1.0]])
    >>> accelerations(*one, np.array([-0.001, 0.0003, 0.01]), peak_n=100.0).round(1)
    array([[ 0. , 80.2, 83.7]])
    """
    during, after = (times >= 0) & (times < PULSE_S), times >= PULSE_S
    found = np.zeros((len(gains), len(times)))
    found[:, during] = gains @ _forced(frequencies, damping, times[during], peak_n)
    amplitudes = complex_amplitudes(frequencies, damping, gains, peak_n=peak_n)
    found[:, after] = (amplitudes @ np.exp(np.outer(poles(frequencies, damping), times[after] - PULSE_S))).imag
    return found


def _forced(
    frequencies: Float[np.ndarray, " mode"], damping: float, times: Float[np.ndarray, " time"], peak_n: float
) -> Float[np.ndarray, "mode time"]:
    """Return q'' of each mode while the hammer presses: Im(p^2 z) / wd + F."""
    p, pulse = poles(frequencies, damping)[:, None], np.pi / PULSE_S
    sine, cosine = np.sin(pulse * times), np.cos(pulse * times)
    z = peak_n * (pulse * np.exp(p * times) - p * sine - pulse * cosine) / (p**2 + pulse**2)
    return np.asarray((p**2 * z).imag / p.imag + peak_n * sine)


def noisy(
    clean: Float[np.ndarray, "channel time"], *, ratio_db: float, random: np.random.Generator
) -> Float[np.ndarray, "channel time"]:
    """Return signals with white noise whose power is `ratio_db` below theirs, channels and record as a whole."""
    rms = np.sqrt(np.mean(clean**2)) * 10 ** (-ratio_db / 20)
    return np.asarray(clean + rms * random.standard_normal(clean.shape))
