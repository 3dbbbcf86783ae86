"""The one sample rate of signals over time, from their axis."""

from __future__ import annotations

__all__ = ["Sampling", "sampling"]

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ram.axes import Axis
from ram.data.units import factor_or_none
from ram.errors import DataError, explained

_UNEVEN = 0.01  # of a sampling interval that a sample may lie beside its place: what times in float32 are off by


@dataclass(frozen=True)
class Sampling:
    """When signals were sampled.

    Attributes
    ----------
    rate_hz
        Samples a second.
    start_s
        Time of the first sample.
    """

    rate_hz: float
    start_s: float


def sampling(axes: Sequence[Axis], *, where: str) -> Sampling:
    """Return the sample rate of signals on `axes`, which are one axis in any unit of time.

    >>> sampling([Axis.uniform("time", "ms", size=8, step=0.5, start=1.0)], where="tap.h5")
    Sampling(rate_hz=2000.0, start_s=0.001)

    Raises
    ------
    DataError
        Where there is another number of axes, none of time, or samples do not lie evenly; begins with `where`.
    """
    seconds = factor_or_none(axes[0].unit or "1", to="s") if len(axes) == 1 else None
    if seconds is None or axes[0].size < 2:
        got = " x ".join(f"{axis.size} cells of {axis.label}" for axis in axes)
        raise DataError(
            explained(
                where=where, what="the input of a spectrogram",
                allowed="signals over one axis of time, such as s or ms", got=got,
                next_step="Give the axis its unit of time, or leave model.spectrogram out",
            )
        )  # fmt: skip
    (time,) = axes
    step = float(time.centres[-1] - time.centres[0]) / (time.size - 1)
    beside = np.abs(time.centres - (time.centres[0] + step * np.arange(time.size))) / step
    worst = int(beside.argmax())
    if beside[worst] > _UNEVEN:
        got = f"sample {worst} at {time.centres[worst]:.6g} {time.unit}, {beside[worst]:.2g} intervals beside its place"
        raise DataError(
            explained(
                where=where, what=f"the samples along {time.name}",
                allowed=f"evenly spaced, within {_UNEVEN} of an interval: a spectrum needs one sample rate", got=got,
                next_step="Resample the signals to one rate first",
            )
        )  # fmt: skip
    return Sampling(1.0 / (seconds * step), seconds * float(time.centres[0]))
