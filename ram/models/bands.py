"""Frequency bands of a spectrogram: which hertz each covers, and which share of each bin of the FFT it takes.

Bands part the frequencies without gap or overlap, as an analyser's fractional octaves do, so that a band's extent is
what it sums, and the power of all bands is the power of all bins.
"""

from __future__ import annotations

__all__ = ["SPACINGS", "Bands", "bands_between", "bin_axis", "chosen_bins"]

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ram.axes import Axis
from ram.errors import ConfigError, explained

Array = NDArray[np.float64]

SPACINGS = ("linear", "mel", "log")
"""How bands are spaced: evenly in hertz, in mel, or in the logarithm of the frequency."""


@dataclass(frozen=True, eq=False)
class Bands:
    """The bands of a spectrogram.

    Attributes
    ----------
    axis
        Centres and edges in Hz.
    first, stop
        The bins of the FFT that are needed: ``first .. stop - 1``.
    shares
        Shape (band, stop - first): which share of each bin's power a band takes; None where bands are the bins.
    """

    axis: Axis
    first: int
    stop: int
    shares: Float[np.ndarray, "band bin"] | None = field(default=None, repr=False)


def bin_axis(nfft: int, *, sample_rate_hz: float) -> Axis:
    """Return the bins of a one-sided FFT of `nfft` points; the first and last one end at 0 and at half the rate.

    >>> bin_axis(4, sample_rate_hz=8.0).edges
    array([0., 1., 3., 4.])
    """
    step = sample_rate_hz / nfft
    centres = step * np.arange(nfft // 2 + 1, dtype=np.float64)
    edges = np.append(centres - step / 2, centres[-1] + step / 2)
    return Axis("frequency", "Hz", centres, np.clip(edges, 0.0, sample_rate_hz / 2))


def chosen_bins(bins: Axis, *, low_hz: float, high_hz: float, divisor: int) -> Bands:
    """Return the bins whose centres lie within ``low_hz .. high_hz`` as bands.

    Their number is made a multiple of `divisor`: bins above `high_hz` are added; where there are none, the highest
    ones are left out.

    >>> chosen_bins(bin_axis(16, sample_rate_hz=16.0), low_hz=0.0, high_hz=8.0, divisor=4).axis.centres
    array([0., 1., 2., 3., 4., 5., 6., 7.])

    Raises
    ------
    ConfigError
        Where fewer bins than `divisor` are left.
    """
    slack = 1e-9 * float(bins.edges[-1])  # a bound that was meant to be a bin's centre
    first = int(np.searchsorted(bins.centres, low_hz - slack))
    within = int(np.searchsorted(bins.centres, high_hz + slack)) - first
    count = math.ceil(within / divisor) * divisor
    if first + count > bins.size:
        count = within // divisor * divisor
    if count < 1:
        step = "Choose low and high farther apart, a longer window or more points of the FFT (nfft), or fewer widths"
        raise ConfigError(
            explained(
                where="model.spectrogram", what="the number of frequencies from low to high",
                allowed=f"at least {divisor}, which the net's strides divide", got=max(within, 0), next_step=step,
            )
        )  # fmt: skip
    stop = first + count
    axis = Axis(bins.name, bins.unit, bins.centres[first:stop], bins.edges[first : stop + 1])
    return Bands(axis, first, stop)


def bands_between(bins: Axis, *, spacing: str, count: int, low_hz: float, high_hz: float, divisor: int) -> Bands:
    """Return `count` bands that part ``low_hz .. high_hz``.

    Parameters
    ----------
    spacing
        One of `SPACINGS`.

    Raises
    ------
    ConfigError
        Where `count` is below 1 or no multiple of `divisor`, or bands of one ratio begin at zero.

    >>> bands_between(bin_axis(64, sample_rate_hz=64.0), spacing="log", count=3, low_hz=2.0, high_hz=16.0,
    ...               divisor=1).axis.edges
    array([ 2.,  4.,  8., 16.])
    """
    if count < 1:
        raise ConfigError(
            explained(
                where="model.spectrogram.count", what="the number of bands", allowed=f"1 or more, given for {spacing}",
                got=count, next_step="Such as count = 64",
            )
        )  # fmt: skip
    if count % divisor:
        near = math.ceil(count / divisor) * divisor
        allowed = f"a multiple of {divisor}, which the net's strides divide"
        raise ConfigError(
            explained(
                where="model.spectrogram.count", what="the number of bands", allowed=allowed, got=count,
                next_step=f"Say {near}",
            )
        )  # fmt: skip
    if spacing == "log" and low_hz <= 0:
        raise ConfigError(
            explained(
                where="model.spectrogram.low", what="the lowest frequency of bands = 'log'", allowed="above 0 Hz",
                got=f"{low_hz:g} Hz", next_step="Say low = '100 Hz', say",
            )
        )  # fmt: skip
    to, back = _SCALES[spacing]
    low, high = to(np.array([low_hz, high_hz]))
    halves = back(np.linspace(low, high, 2 * count + 1))  # edges and, between them, centres
    edges = halves[::2].copy()
    edges[[0, -1]] = low_hz, high_hz
    axis = Axis(bins.name, bins.unit, halves[1::2], edges)
    width = np.diff(bins.edges)
    covered = np.minimum(edges[1:, None], bins.edges[None, 1:]) - np.maximum(edges[:-1, None], bins.edges[None, :-1])
    shares = np.clip(covered, 0.0, None) / width
    used = np.flatnonzero(shares.any(axis=0))
    first, stop = int(used[0]), int(used[-1]) + 1
    return Bands(axis, first, stop, shares[:, first:stop])


def _mel(hertz: Array) -> Array:
    """Return mel. Source: O'Shaughnessy 1987, Speech Communication, p. 150; 2595 log10(1 + f / 700)."""
    return np.asarray(2595.0 * np.log10(1.0 + hertz / 700.0))


def _hertz(mel: Array) -> Array:
    return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))


def _same(values: Array) -> Array:
    return values


_Scale = Callable[[Array], Array]
_SCALES: dict[str, tuple[_Scale, _Scale]] = {"linear": (_same, _same), "mel": (_mel, _hertz), "log": (np.log, np.exp)}
