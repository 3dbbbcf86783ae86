"""Where the ridge of a ringing mode lies in a spectrogram, and how much of a map lies on it.

A mode of frequency f that dies away shows as a ridge: as wide as the main lobe of the window, and as long as it is
heard. A map of the mode's frequency should lie there. What falls there by chance is the region's share of the area.
"""

from __future__ import annotations

__all__ = ["Ridge", "RidgeScore", "ridge_regions", "ridge_score", "ridge_share", "ridges_of"]

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from ram.axes import Axis, share_within
from ram.data.dataset import Dataset
from ram.errors import ConfigError, DataError, explained, nearest
from ram.maps.regression_map import RegressionMap
from ram.models.spectrogram import Spectrogram

HEARD_DB = 40.0
DECAY = "_decay"


@dataclass(frozen=True)
class Ridge:
    """A mode that rings from `begin_s` on: its frequency, and the time in which its amplitude falls to 1/e."""

    frequency_hz: float
    decay_s: float
    begin_s: float = 0.0

    def end_s(self, heard_db: float) -> float:
        """Return when the mode has fallen by so many dB.

        >>> round(Ridge(500.0, 0.1).end_s(40.0), 3)
        0.461
        """
        return self.begin_s + self.decay_s * heard_db * math.log(10) / 20


def ridges_of(data: Dataset, names: Sequence[str]) -> list[tuple[Ridge, ...]]:
    """Return the ridges of each sample, read from the parameters ``<name>`` (Hz) and ``<name>_decay`` (s).

    Parameters
    ----------
    names
        Modes, such as ``["tilt_lower", "tilt_upper"]``.

    Raises
    ------
    ConfigError
        Where the data set has no such parameters; the message names the modes that it has.
    """
    known = [name for name in data.parameters if f"{name}{DECAY}" in data.parameters]
    for name in names:
        if name not in known:
            allowed = f"one of {', '.join(known) or 'none'}, which have parameters <mode> and <mode>{DECAY}"
            step = nearest(name, known)
            raise ConfigError(explained(where="ridges", what="a mode", allowed=allowed, got=repr(name), next_step=step))
    columns = [data.parameter_array([name, f"{name}{DECAY}"]) for name in names]
    return [tuple(Ridge(float(f), float(decay)) for f, decay in row) for row in zip(*columns, strict=True)]


def ridge_share(
    ridges: Sequence[Ridge],
    *,
    frequency: Axis,
    time: Axis,
    lobe_hz: float,
    window_s: float,
    heard_db: float = HEARD_DB,
) -> Float[np.ndarray, "frequency time"]:
    """Return which share of each cell belongs to at least one of the ridges, 0 to 1.

    A ridge reaches half a main lobe to both sides of its frequency; in time from its begin until it has fallen by
    `heard_db`, and half a window farther at both ends, where the window still sees it. ``share > 0`` are the cells
    that touch it.

    Parameters
    ----------
    frequency, time
        The grid, in Hz and s.
    lobe_hz, window_s
        Width of the window's main lobe from null to null (`Spectrogram.main_lobe_hz`), and length of the window.

    >>> axes = {"frequency": Axis.uniform("frequency", "Hz", size=3, step=10.0), "time": Axis.uniform("time", "s",
    ...         size=3, step=1.0)}
    >>> ridge_share([Ridge(10.0, 0.2, 0.5)], **axes, lobe_hz=10.0, window_s=0.4, heard_db=20.0).round(2)
    array([[0.  , 0.  , 0.  ],
           [0.2 , 0.66, 0.  ],
           [0.  , 0.  , 0.  ]])
    """
    share = np.zeros((frequency.size, time.size))
    reach = window_s / 2
    spans = [(r.begin_s - reach, r.end_s(heard_db) + reach, r.frequency_hz) for r in ridges]
    for begin, end in itertools.pairwise(sorted({moment for span in spans for moment in span[:2]})):
        ringing = [hertz for first, last, hertz in spans if first <= begin < last]
        band = sum((share_within(frequency, part) for part in _joined(ringing, lobe_hz / 2)), np.zeros(frequency.size))
        share += np.multiply.outer(band, share_within(time, (begin, end)))
    return share


def ridge_regions(
    maps: RegressionMap,
    ridges: Sequence[Sequence[Ridge]],
    *,
    spectrogram: Spectrogram,
    heard_db: float = HEARD_DB,
) -> Bool[np.ndarray, "sample *cells"]:
    """Return which cells of each map touch the ridges of its sample.

    Parameters
    ----------
    ridges
        Of each sample, from `ridges_of`.
    spectrogram
        The net's own, ``run.regressor.front``.
    heard_db
        As in `ridge_share`.

    Raises
    ------
    DataError
        Where the maps do not lie over frequency and time, or are not as many as the samples.
    """
    names = [axis.name for axis in maps.axes]
    if names != ["frequency", "time"]:
        step = "Ridges are those of nets with [model.spectrogram]"
        allowed, got = "frequency and time", ", ".join(names)
        raise DataError(explained(where="ridges", what="the axes of maps", allowed=allowed, got=got, next_step=step))
    if len(maps) != len(ridges):
        allowed = f"of {len(maps)} samples, as many as there are maps"
        raise DataError(explained(where="ridges", what="the ridges", allowed=allowed, got=len(ridges)))
    frequency, time = maps.axes
    lobe_hz, window_s = spectrogram.main_lobe_hz, spectrogram.length / spectrogram.sample_rate_hz
    shares = [
        ridge_share(one, frequency=frequency, time=time, lobe_hz=lobe_hz, window_s=window_s, heard_db=heard_db)
        for one in ridges
    ]
    return np.stack(shares) > 0


def _joined(frequencies: Sequence[float], reach: float) -> list[tuple[float, float]]:
    """Return what `reach` to both sides of the frequencies covers, as intervals that do not overlap."""
    joined: list[tuple[float, float]] = []
    for frequency in sorted(frequencies):
        low, high = frequency - reach, frequency + reach
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], high)
        else:
            joined.append((low, high))
    return joined


@dataclass(frozen=True, eq=False)
class RidgeScore:
    """How much of each map lies in its region.

    Attributes
    ----------
    inside
        Shape (sample,): share of the absolute contributions, 0 to 1.
    chance
        Shape (sample,): share of the area, what a map without knowledge has inside on average.
    """

    inside: Float[np.ndarray, " sample"] = field(repr=False)
    chance: Float[np.ndarray, " sample"] = field(repr=False)


def ridge_score(maps: RegressionMap, share: Float[np.ndarray, "sample *cells"]) -> RidgeScore:
    """Return which share of the absolute contributions lies in a region that is given on the map's own cells.

    Parameters
    ----------
    share
        Which share of each cell lies within, from `ridge_share` on ``maps.axes``, or True and False.

    Raises
    ------
    DataError
        Where the region has another shape than the maps.
    """
    within = np.asarray(share, dtype=np.float64)
    if within.shape != maps.contributions.shape:
        allowed = f"of shape {maps.contributions.shape}, the maps' cells"
        raise DataError(explained(where="ridge_score", what="the region", allowed=allowed, got=within.shape))
    space = tuple(range(1, within.ndim))
    absolute = np.abs(maps.contributions)
    area = np.ones(())
    for axis in maps.axes:
        area = np.multiply.outer(area, np.diff(axis.edges))
    return RidgeScore(
        inside=(absolute * within).sum(axis=space) / absolute.sum(axis=space),
        chance=(area * within).sum(axis=space) / area.sum(),
    )
