"""The spectrogram as the first layer of a net: from a signal over time to levels over frequency and time.

A frame belongs to `hop` samples of the signal, its extent; frames part the signal as cells do. The window lies
symmetrically over that extent and sees ``length - hop`` samples more, half of them before and half behind. Beyond the
ends of the signal it sees zeros, which are the channel's training mean. Windows are symmetric, so that a signal that
runs backwards has the spectrogram that runs backwards.

Levels are those of a sine: a sine of amplitude a whose frequency is a bin's has amplitude a there, power a^2 and
20 log10(a) dB. A band's power is the sum over its bins, corrected for the window's width: it is that of the sine that
carries as much.

Source: Oppenheim & Schafer, Discrete-Time Signal Processing, chapter 10; Heinzel, Ruediger & Schilling 2002,
"Spectrum and spectral density estimation by the DFT" (levels, noise bandwidth).
"""

from __future__ import annotations

__all__ = ["SCALES", "WINDOWS", "Spectrogram", "main_lobe"]

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from ram.axes import Axis, extents_between
from ram.errors import ConfigError, ModelError, explained, nearest
from ram.models.bands import SPACINGS, bands_between, bin_axis, chosen_bins

Signal = Float[Tensor, "batch channel time"]
Levels = Float[Tensor, "batch channel frequency frame"]
Bins = Float[Tensor, "row bin frame"]
Count = TypeVar("Count", int, Tensor)

WINDOWS = (
    "hann", "hamming", "blackman", "blackmanharris", "nuttall", "flattop", "bartlett", "cosine", "tukey", "boxcar",
)  # fmt: skip
"""Windows by their names in `scipy.signal.windows`."""

SCALES = ("dB", "amplitude", "power")
"""What a level is: see the module."""

_LOWEST_DB = -200.0


class Spectrogram(nn.Module):
    """Short-time spectra of each channel, on frequencies and frames that know their hertz and seconds.

    Parameters
    ----------
    channels
        Number of channels of the signal.
    sample_rate_hz
        Of the signal.
    length, hop
        Samples of the window, and from one frame to the next.
    nfft
        Points of the FFT; the window is zero-padded to it. 0: `length`.
    window
        One of `WINDOWS`, symmetric.
    scale
        One of `SCALES`.
    floor_db
        For ``"dB"``: this power is added before the logarithm, in dB against a sine of amplitude one in what `forward`
        is given: of a standardised signal, against its standard deviation. It bounds levels from below, and gradients.
    bands, count
        One of `ram.models.bands.SPACINGS` and how many; ``"linear"`` and 0: the bins of the FFT.
    low_hz, high_hz
        Frequencies that are kept; infinite: up to half the sample rate.
    divisor
        What the number of frequencies and of frames must be a multiple of for the layers behind.

    Raises
    ------
    ConfigError
        For an unknown word, or sizes and frequencies that do not fit each other or the sample rate.

    >>> spectrogram = Spectrogram(1, sample_rate_hz=1000.0, length=8, hop=4, scale="amplitude")
    >>> frequency, time = spectrogram.axes(16)
    >>> frequency.centres, time.edges
    (array([  0., 125., 250., 375., 500.]), array([-0.0005,  0.0035,  0.0075,  0.0115,  0.0155]))
    """

    window: Tensor
    weight: Tensor
    shares: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        channels: int,
        *,
        sample_rate_hz: float,
        length: int,
        hop: int,
        nfft: int = 0,
        window: str = "hann",
        scale: str = "dB",
        floor_db: float = -80.0,
        bands: str = "linear",
        count: int = 0,
        low_hz: float = 0.0,
        high_hz: float = math.inf,
        divisor: int = 1,
    ) -> None:
        super().__init__()
        self.sample_rate_hz, self.length, self.hop, self.nfft = sample_rate_hz, length, hop, nfft or length
        self.scale, self.floor_db, self.divisor = scale, floor_db, divisor
        for what, word, known in (("window", window, WINDOWS), ("scale", scale, SCALES), ("bands", bands, SPACINGS)):
            _require_word(what, word, known)
        self._require_sizes()
        low_hz, high_hz = self._require_range(low_hz, high_hz)
        bins = bin_axis(self.nfft, sample_rate_hz=sample_rate_hz)
        if not count and bands == "linear":
            chosen = chosen_bins(bins, low_hz=low_hz, high_hz=high_hz, divisor=divisor)
        else:
            chosen = bands_between(bins, spacing=bands, count=count, low_hz=low_hz, high_hz=high_hz, divisor=divisor)
        self.frequency = chosen.axis
        self._bins = slice(chosen.first, chosen.stop)
        values = window_of(window, length)
        self.main_lobe_hz = main_lobe(values) * sample_rate_hz / length
        index = np.arange(bins.size)
        of_sine = np.where((index == 0) | (2 * index == self.nfft), 1.0, 2.0) / values.sum()  # its two halves
        power = of_sine[self._bins] ** 2
        if chosen.shares is not None:
            power = power * values.sum() ** 2 / (self.nfft * (values**2).sum())
        self.register_buffer("window", torch.tensor(values, dtype=torch.float32))
        self.register_buffer("weight", torch.tensor(power, dtype=torch.float32))  # |X|^2 to a sine's amplitude squared
        shares = torch.empty(0) if chosen.shares is None else torch.tensor(chosen.shares, dtype=torch.float32)
        self.register_buffer("shares", shares)
        self._kernels: Tensor | None = None
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))

    def forward(self, x: Signal, reference: Float[Tensor, " channel"] | None = None) -> Levels:
        """Return the levels of a signal.

        Computed in float32 at least; half precision cannot hold a spectrum's range.

        Parameters
        ----------
        reference
            What one is worth in each channel of `x`, in the channel's unit, for a signal that was standardised. Levels
            are in that unit again, or in dB against one of it.
        """
        kind = torch.promote_types(x.dtype, torch.float32)
        with torch.autocast(x.device.type, enabled=False):
            power = self._power(x.to(kind))
            worth = power.new_ones(1) if reference is None else reference.to(kind)
            levels = self._levels(power, worth.view(-1, 1, 1))
        return levels.to(x.dtype)

    def standardised(self, levels: Levels) -> Levels:
        """Return (level - mean) / deviation, channel by channel: what the layers behind learn from."""
        return (levels - self.mean.view(-1, 1, 1)) / self.deviation.view(-1, 1, 1)

    def _power(self, x: Signal) -> Levels:
        """Return power against a sine of amplitude one."""
        parts = self._transformed if self._kernels is None else self._convolved
        real, imaginary = parts(x.flatten(0, 1))  # (batch x channel, bin, frame)
        power = (real.square() + imaginary.square()) * self.weight.to(x.dtype)[:, None]
        if self.shares.numel():
            power = self.shares.to(x.dtype) @ power
        return power.view(*x.shape[:2], *power.shape[1:])

    def _transformed(self, x: Float[Tensor, "row time"]) -> tuple[Bins, Bins]:
        """Return real and imaginary part of the windows' FFT."""
        padded = nn.functional.pad(x, self.padding(x.shape[-1], width=self.nfft))
        frames = torch.stft(
            padded, self.nfft, hop_length=self.hop, win_length=self.length, window=self.window.to(x.dtype),
            center=False, return_complex=True,
        )  # fmt: skip
        used = frames[:, self._bins]
        return used.real, used.imag

    def _convolved(self, x: Float[Tensor, "row time"]) -> tuple[Bins, Bins]:
        """Return the same by a convolution with windowed cosines and sines."""
        assert self._kernels is not None, "the caller has looked"
        padded = nn.functional.pad(x, self.padding(x.shape[-1], width=self.length))
        both = nn.functional.conv1d(padded[:, None], self._kernels.to(x), stride=self.hop)
        cosines, sines = both.chunk(2, dim=1)
        return cosines, sines

    @contextmanager
    def by_convolution(self) -> Iterator[None]:
        """Within the block the transform is a convolution: slower, and known to every runtime that nets are sent to."""
        angle = 2 * np.pi / self.nfft * (np.outer(np.arange(self.nfft // 2 + 1), np.arange(self.length)) % self.nfft)
        window = self.window.double().cpu().numpy()
        kernels = np.concatenate([np.cos(angle[self._bins]) * window, np.sin(angle[self._bins]) * window])
        self._kernels = torch.tensor(kernels[:, None], dtype=self.window.dtype)
        try:
            yield
        finally:
            self._kernels = None

    def _levels(self, power: Levels, reference: Float[Tensor, "channel_or_1 1 1"]) -> Levels:
        if self.scale == "dB":
            # 10 log10(power + floor); small sums are taken for nothing by who optimises an exported net.
            over_floor: Levels = (power * 10.0 ** (-self.floor_db / 10.0)).log1p()
            return 10.0 / math.log(10.0) * over_floor + (20.0 * reference.log10() + self.floor_db)
        if self.scale == "power":
            return power * reference.square()
        silent = power == 0  # the root has no slope there
        amplitude: Levels = torch.where(silent, power, torch.where(silent, 1.0, power).sqrt())
        return amplitude * reference

    def padding(self, samples: int, *, width: int) -> tuple[int, int]:
        """Return how many zeros stand before and behind the signal for windows that lie in the middle of `width`."""
        before = self._ahead + (width - self.length) // 2
        return before, (self.frames(samples) - 1) * self.hop + width - before - samples

    @property
    def _ahead(self) -> int:
        """How many samples the first window begins before the signal."""
        return (self.length - self.hop) // 2

    def frames(self, samples: Count) -> Count:
        """Return the number of frames: one for each hop that has begun, made a multiple of `divisor`."""
        begun = (samples + self.hop - 1) // self.hop
        return (begun + self.divisor - 1) // self.divisor * self.divisor

    def grid(self, samples: int) -> tuple[int, int]:
        """Return the number of frequencies and frames of a signal of so many samples."""
        return self.frequency.size, self.frames(samples)

    def reversible(self, samples: int) -> bool:
        """Whether a signal of so many samples that runs backwards has exactly the levels that run backwards."""
        return (self.length - self.hop) % 2 == 0 and self.frames(samples) * self.hop == samples

    def axes(self, samples: int, *, start_s: float = 0.0) -> tuple[Axis, Axis]:
        """Return frequency (Hz) and time (s) of a signal whose first sample stands at `start_s`.

        A frame's extent are its `hop` samples; a sample begins half a sampling interval before its own time. Frames
        beyond the end of the signal see zeros alone, or hold the end of it in their windows.
        """
        step, index = 1.0 / self.sample_rate_hz, np.arange(float(self.frames(samples)))
        centres = index * self.hop - self._ahead + (self.length - 1) / 2  # in samples
        edges = extents_between(centres, low=-0.5, high=index.size * self.hop - 0.5)
        return self.frequency, Axis("time", "s", start_s + step * centres, start_s + step * edges)

    @property
    def reach(self) -> tuple[float, float]:
        """What a level has seen beyond its own extent, both sides together: (Hz, s), main lobe and window."""
        widest = float(np.diff(self.frequency.edges).max()) if not self.shares.numel() else 0.0
        return max(self.main_lobe_hz - widest, 0.0), (self.length - self.hop) / self.sample_rate_hz

    def unit_of(self, unit: str) -> str:
        """Return the unit of the levels of a channel in `unit`."""
        if self.scale == "dB":
            return "dB"
        if self.scale == "amplitude" or unit in ("", "1"):
            return unit
        return f"{unit}**2" if unit.isalnum() else f"({unit})**2"

    def check_size(self, samples: int) -> None:
        """Raise ModelError where a signal of so many samples is shorter than the window."""
        if samples >= self.length:
            return
        got, rate = f"{samples} ({samples / self.sample_rate_hz:.3g} s)", f"{self.sample_rate_hz:g} Hz"
        raise ModelError(
            explained(
                where="model.spectrogram", what="the number of samples of a signal",
                allowed=f"at least {self.length}, the window's ({self.length / self.sample_rate_hz:.3g} s at {rate})",
                got=got, next_step="Choose a shorter window, or longer signals",
            )
        )  # fmt: skip

    def _require_sizes(self) -> None:
        rate = f"at {self.sample_rate_hz:g} Hz"
        if self.length < 4:
            _refuse("length", "the window", f"4 samples or more {rate}", f"{self.length}", "Choose a longer window")
        if not 1 <= self.hop <= self.length:
            step = "Windows farther apart than they are long would leave samples out; a quarter of the length is usual"
            _refuse("hop", "the hop", f"1 to {self.length} samples {rate}, the window's length", f"{self.hop}", step)
        if self.nfft < self.length:
            allowed = f"{self.length} or more, the window's samples {rate}"
            _refuse("nfft", "the number of points of the FFT", allowed, f"{self.nfft}", "Leave it out, or give more")
        if not _LOWEST_DB <= self.floor_db < 0:
            allowed = f"{_LOWEST_DB:g} or more and below 0 dB, so that single precision can hold it"
            _refuse(
                "floor_db", "the floor of levels", allowed, f"{self.floor_db:g}", "Say -80, which most signals need"
            )

    def _require_range(self, low_hz: float, high_hz: float) -> tuple[float, float]:
        nyquist = self.sample_rate_hz / 2
        high = nyquist if math.isinf(high_hz) else high_hz
        if high > nyquist * (1 + 1e-9):
            allowed = f"at most {nyquist:g} Hz, half the sample rate"
            _refuse("high", "the highest frequency", allowed, f"{high:g} Hz", "Leave it out for all there is")
        if not 0 <= low_hz < high:
            _refuse("low", "the lowest frequency", f"0 or more and below {high:g} Hz", f"{low_hz:g} Hz", "")
        return low_hz, min(high, nyquist)


def window_of(name: str, length: int) -> NDArray[np.float64]:
    """Return a symmetric window, shape (length,)."""
    from scipy.signal import get_window

    return np.asarray(get_window(name, length, fftbins=False), dtype=np.float64)


def main_lobe(window: NDArray[np.float64]) -> float:
    """Return the width of a window's main lobe from null to null, in bins of an FFT as long as the window.

    >>> round(main_lobe(np.ones(64)), 2), round(main_lobe(window_of("hann", 64)), 1)
    (2.0, 4.1)
    """
    times = 64
    size = np.abs(np.fft.rfft(window, times * window.size))
    rising = np.flatnonzero(np.diff(size) > 0)
    first = int(rising[0]) if rising.size else size.size - 1
    return 2.0 * first / times


def _require_word(key: str, word: str, known: Sequence[str]) -> None:
    if word not in known:
        _refuse(key, f"the {key}", f"one of {', '.join(known)}", f"'{word}'", nearest(word, known))


def _refuse(key: str, what: str, allowed: str, got: str, step: str) -> None:
    raise ConfigError(explained(where=f"model.spectrogram.{key}", what=what, allowed=allowed, got=got, next_step=step))
