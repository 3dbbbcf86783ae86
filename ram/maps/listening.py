"""What a net listens to: the part of a signal that carries a prediction, by a mask over its spectrogram."""

from __future__ import annotations

__all__ = ["Heard", "heard"]

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from ram.axes import Axis, share_within
from ram.maps.carrying import carrying
from ram.maps.parts import lying
from ram.maps.regression_map import RegressionMap
from ram.models.bands import bin_axis
from ram.models.filtering import masked_signal
from ram.models.spectrogram import Spectrogram


@dataclass(frozen=True, eq=False)
class Heard:
    """A signal, and the part of it that carries most of a prediction.

    Attributes
    ----------
    maps
        The map of this one sample.
    channels
        Name and unit of each channel of the signals.
    sample_rate_hz, start_s
        Of the signals.
    signal, kept
        Shape (channel, time), in the channels' units, without the channels' means over the training part, which no
        window sees.
    mask
        Shape (channel or 1, *cells): 0 to 1, on the cells of the map.
    share, sign
        What was asked for: the share of the absolute contributions that the mask holds, of those that `sign` counts.
    """

    maps: RegressionMap
    channels: Mapping[str, str]
    sample_rate_hz: float
    start_s: float
    signal: Float[np.ndarray, "channel time"] = field(repr=False)
    kept: Float[np.ndarray, "channel time"] = field(repr=False)
    mask: Float[np.ndarray, "channel_or_1 *cells"] = field(repr=False)
    share: float
    sign: str

    @property
    def id(self) -> str:
        """Of the sample."""
        return self.maps.ids[0]

    @property
    def rest(self) -> Float[np.ndarray, "channel time"]:
        """What was taken away, shape (channel, time): the signal minus what was kept."""
        return np.asarray(self.signal - self.kept)

    @property
    def carried(self) -> float:
        """What the cells under the mask carry together, in the unit of the map."""
        parts = self.maps.part_contributions[0] if len(self.mask) > 1 else self.maps.contributions
        return float((parts * self.mask).sum())

    @property
    def energy(self) -> Float[np.ndarray, " channel"]:
        """Energy of the kept part as a share of the signal's, shape (channel,); NaN for a silent channel."""
        kept, whole = (np.square(one).sum(axis=1) for one in (self.kept, self.signal))
        return np.asarray(np.divide(kept, whole, out=np.full_like(kept, np.nan), where=whole > 0))

    @property
    def area(self) -> float:
        """How much of the spectrogram the mask covers, 0 to 1, as the mean over channels."""
        frequency, time = self.maps.axes
        seconds = np.diff(time.edges)
        if self.maps.ends.size:  # what lies behind the end of a padded signal is no part of it
            seconds = seconds * share_within(time, (float(time.edges[0]), float(self.maps.ends[0])))
        sizes = np.outer(np.diff(frequency.edges), seconds)
        return float((self.mask.mean(axis=0) * sizes).sum() / sizes.sum())


def heard(
    maps: RegressionMap,
    signal: Float[np.ndarray, "channel time"],
    front: Spectrogram,
    *,
    channels: Mapping[str, str],
    start_s: float,
    share: float,
    sign: str,
) -> Heard:
    """Return the part of a signal that carries most of its prediction.

    The mask is that of `carrying` over the cells of the map; where the map has a part for each channel, over the cells
    of all channels, each channel with its own. A bin of the FFT takes the mean of the cells that it lies in, by extent,
    so that the mask is soft at its borders where cells and bins do not coincide.

    Parameters
    ----------
    maps
        Of this one sample, over frequency (Hz) and time (s).
    signal
        Without the channels' means.
    front
        The net's first layer.
    channels, start_s
        Name and unit of each channel; time of the first sample.
    share, sign
        As for `carrying`.

    Raises
    ------
    ConfigError
        For a share or a word that is none, or windows that do not overlap.
    """
    apart = maps.part_kind == "channel" and len(maps.part_names) == len(channels)
    values = maps.part_contributions[:1] if apart else maps.contributions[:1, None]  # (1, channel or 1, *cells)
    mask = carrying(values, share=share, sign=sign)[0]
    bins = _on_bins(front, mask, maps.axes, samples=signal.shape[-1], start_s=start_s)
    kept = masked_signal(front, signal, bins)
    return Heard(maps, channels, front.sample_rate_hz, start_s, signal, kept, mask, share, sign)


def _on_bins(
    front: Spectrogram,
    mask: Float[np.ndarray, "channel *cells"],
    cells: tuple[Axis, ...],
    *,
    samples: int,
    start_s: float,
) -> Float[np.ndarray, "channel bin frame"]:
    """Return a mask for all bins of the FFT and all frames; 0 for those bins that the net does not see."""
    bins = bin_axis(front.nfft, sample_rate_hz=front.sample_rate_hz)
    frequency, time = front.axes(samples, start_s=start_s)
    seen = share_within(bins, (float(frequency.edges[0]), float(frequency.edges[-1])))
    return np.asarray(lying(mask, cells, (bins, time)) * seen[:, None])
