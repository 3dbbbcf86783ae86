"""Which axis of an array is what: sample, channel, time, or y and x of a picture."""

from __future__ import annotations

__all__ = ["arranged", "check_layout", "guess_layout"]

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ram.errors import ConfigError, explained

_MOST_CHANNELS = 16
_MUCH_LONGER = 8


def guess_layout(shape: Sequence[int], *, samples: int | None) -> tuple[str, ...]:
    """Return a word for each axis of an array.

    Parameters
    ----------
    samples
        Length of the axis of samples; None where the array is one sample.

    Raises
    ------
    ValueError
        Several axes could be that of the samples, or none; or more than three axes are left.

    >>> guess_layout((3, 240, 4096), samples=240), guess_layout((4096,), samples=None)
    (('channel', 'sample', 'time'), ('time',))
    """
    if samples is None:
        return _inner(shape)
    fits = [place for place, size in enumerate(shape) if size == samples]
    if len(fits) != 1:
        many = "several axes" if fits else "no axis"
        raise ValueError(f"{' x '.join(map(str, shape))}, in which {many} of {samples} samples could be meant")
    words = list(_inner([size for place, size in enumerate(shape) if place != fits[0]]))
    words.insert(fits[0], "sample")
    return tuple(words)


def check_layout(layout: Sequence[str], shape: Sequence[int], *, samples: bool, where: str) -> tuple[str, ...]:
    """Return a layout that the user gave, after a look that it fits the array.

    Raises
    ------
    ConfigError
        It names another number of axes, an axis twice, no axis of space, or samples where there are none.
    """
    words = tuple(layout)
    wanted = "sample once" if samples else "no sample"
    good = len(words) == len(shape) == len(set(words)) and ("sample" in words) == samples
    if not good or not set(words) - {"sample", "channel"}:
        raise ConfigError(
            explained(
                where=where,
                what="the layout",
                allowed=f"{len(shape)} words, {wanted}, channel at most once and names of the other axes",
                got=f"'{' '.join(words)}' for an array of {' x '.join(map(str, shape))}",
                next_step="For example --layout 'sample channel time'" if samples else "For example --layout 'y x'",
            )
        )
    return words


def arranged(values: NDArray[Any], layout: Sequence[str]) -> NDArray[Any]:
    """Return one sample as (channel, *space); `layout` names its axes, without the sample's.

    >>> arranged(np.zeros((100, 3)), ("time", "channel")).shape
    (3, 100)
    """
    if "channel" not in layout:
        return np.asarray(values)[None]
    return np.moveaxis(np.asarray(values), list(layout).index("channel"), 0)


def _inner(shape: Sequence[int]) -> tuple[str, ...]:
    """Name the axes of one sample by their lengths; what comes out is told to the user."""
    if len(shape) == 1:
        return ("time",)
    short, long = min(shape), max(shape)
    if len(shape) == 2:
        if short <= _MOST_CHANNELS and long >= _MUCH_LONGER * short:
            return ("channel", "time") if shape[0] == short else ("time", "channel")
        return ("y", "x")
    if len(shape) == 3:
        if shape[0] <= _MOST_CHANNELS and shape[0] == short:
            return ("channel", "y", "x")
        return ("y", "x", "channel") if shape[2] <= _MOST_CHANNELS and shape[2] == short else ("z", "y", "x")
    raise ValueError(f"{len(shape)} axes beside that of the samples")
