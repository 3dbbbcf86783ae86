"""Whether a data set can be shown to a net: the same channels on the same grid, in units that can be converted."""

from __future__ import annotations

__all__ = ["over_space", "unit_factors"]

import numpy as np

from ram.axes import Axis
from ram.data.dataset import Dataset
from ram.data.units import convert, factor_or_none
from ram.errors import DataError, explained
from ram.runs.net import NetSpec


def unit_factors(data: Dataset, spec: NetSpec) -> np.ndarray:
    """Return what the inputs of `data` are multiplied with to be in the net's units, shape (channel,).

    Raises
    ------
    DataError
        Where channels or axes are not those that the net was trained on.
    """
    if list(data.channels) != list(spec.channels):
        raise DataError(
            explained(
                where=str(data.path),
                what="the channels",
                allowed=", ".join(spec.channels),
                got=", ".join(data.channels),
                next_step="Give a file made like the one the net was trained on",
            )
        )
    for mine, other in zip(spec.axes, data.axes, strict=False):
        if mine.unit != other.unit or not _same_grid(mine, other):
            raise DataError(
                explained(
                    where=f"{data.path}:/{other.name}",
                    what="the axis",
                    allowed=_axis_text(mine),
                    got=_axis_text(other),
                    next_step="Resample the inputs to the grid the net was trained on",
                )
            )
    return np.array([_factor(data, name, unit) for name, unit in spec.channels.items()])


def _factor(data: Dataset, channel: str, unit: str) -> float:
    try:
        return float(convert(np.ones(1), unit=data.channels[channel], to=unit)[0])
    except DataError as error:
        raise DataError(f"{data.path}:/inputs channel {channel}: {error}") from None


def over_space(factors: np.ndarray, ndim: int) -> np.ndarray:
    """Return one factor a channel so that it multiplies (channel, *space)."""
    return factors.reshape(-1, *[1] * ndim)  # (channel, 1, ...)


def _same_grid(mine: Axis, other: Axis) -> bool:
    """Whether two axes begin alike with equal steps; how many cells follow may differ."""
    step, theirs = _step(mine), _step(other)
    size = abs(step) if np.isfinite(step) else 1.0
    begin = abs(mine.centres[0] - other.centres[0]) <= 1e-3 * size + 1e-6 * abs(mine.centres[0])
    return bool(begin and np.isclose(step, theirs, rtol=1e-6, atol=0.0, equal_nan=True))


def _step(axis: Axis) -> float:
    return float(axis.centres[1] - axis.centres[0]) if axis.size > 1 else float("nan")


def _axis_text(axis: Axis) -> str:
    step = _step(axis)
    seconds = factor_or_none(axis.unit or "1", to="s")
    rate = "" if seconds is None else f" ({1 / (seconds * step):g} Hz)"
    return f"{axis.name} from {axis.centres[0]:g} {axis.unit} in steps of {step:g}{rate}"
