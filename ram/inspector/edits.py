"""What if: an input that is changed where a brush passes, in a box, or in a band of its spectrogram."""

from __future__ import annotations

__all__ = ["edited"]

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from ram.axes import Axis, share_within
from ram.data.dataset import Dataset
from ram.data.edited import with_input
from ram.data.material import fill_channel, material
from ram.data.rates import sampling
from ram.data.units import factor_or_none
from ram.errors import ConfigError, explained, nearest
from ram.inspector.questions import Edit
from ram.models.bands import bin_axis
from ram.models.filtering import masked_signal
from ram.models.spectrogram import Spectrogram
from ram.runs.comparable import unit_factors
from ram.runs.explaining import no_choice
from ram.runs.run import Run

Array = Float[np.ndarray, "channel *space"]


def edited(run: Run, data: Dataset, position: int, edits: Sequence[Edit]) -> Dataset:
    """Return the data set of one sample, its input changed by `edits`, one after the other.

    A box over frequency and time changes the signal: its spectrogram is multiplied there, and put together again.

    Raises
    ------
    ConfigError
        For a channel or an axis that is not there, or something that cannot be done to such an input.
    DataError
        The input cannot be read, or is not finite afterwards.
    """
    sample = data[position]
    x = sample.x.astype(np.float64)
    names, factors = list(data.channels), unit_factors(data, run.spec)
    fills = fill_channel(x, list(data.channels.values()))
    for edit in edits:
        channels = _channels(edit, names)
        if edit.bounds is not None and "frequency" in edit.bounds and run._front is not None:
            x[:, : sample.length] = _filtered(run._front, x[:, : sample.length], data.axes, edit, channels)
            continue
        place = _place(edit, data.axes)
        solid = material(x, fills)
        if edit.solid:
            place &= solid
        for channel in channels:
            if edit.do == "erase":
                x[channel] = np.where(place, _in_voids(x[channel], solid, fills=channel == fills), x[channel])
            else:
                x[channel] = _changed(x[channel], place, edit, factor=float(factors[channel]), axes=data.axes)
    return with_input(data, position, x.astype(np.float32))


def _in_voids(
    values: Float[np.ndarray, "*space"], solid: Bool[np.ndarray, "*space"], *, fills: bool
) -> Float[np.ndarray, "*space"] | float:
    """Return what a channel holds where material is taken away: what it holds in the voids that there are."""
    return 0.0 if fills or solid.all() else float(np.median(values[~solid]))


def _channels(edit: Edit, names: Sequence[str]) -> list[int]:
    """Return which channels an edit changes."""
    if edit.do in ("erase", "copy") or edit.channel is None:
        return list(range(len(names)))
    if edit.channel not in names:
        raise ConfigError(no_choice("edit", "a channel", edit.channel, names))
    return [names.index(edit.channel)]


def _changed(
    values: Float[np.ndarray, "*space"],
    place: Bool[np.ndarray, "*space"],
    edit: Edit,
    *,
    factor: float,
    axes: Sequence[Axis],
) -> Float[np.ndarray, "*space"]:
    """Return one channel, changed within `place`; the edit's value is `factor` times the file's unit."""
    match edit.do:
        case "set":
            return np.where(place, edit.value / factor, values)
        case "add":
            return np.where(place, values + edit.value / factor, values)
        case "times":
            still = float(values.mean()) if _is_signal(axes) else 0.0  # a silent sensor keeps its offset
            return np.where(place, still + edit.value * (values - still), values)
        case _:
            if not edit.path:
                raise ConfigError(
                    explained(where="edit", what="what is copied from", allowed="where a stroke begins", got="a box")
                )
            return np.where(place, values[_nearest(axes, edit.path[0])], values)


def _is_signal(axes: Sequence[Axis]) -> bool:
    return len(axes) == 1 and factor_or_none(axes[0].unit or "1", to="s") is not None


def _place(edit: Edit, axes: Sequence[Axis]) -> Bool[np.ndarray, "*space"]:
    """Return where an edit changes something, on the input's grid."""
    if edit.bounds is not None:
        inside = _box(edit, axes)
        return ~inside if edit.outside else inside
    if not edit.path or any(len(point) != len(axes) for point in edit.path):
        allowed, got = f"points of {len(axes)} numbers, or bounds", f"{len(edit.path)} points"
        raise ConfigError(explained(where="edit", what="the place", allowed=allowed, got=got))
    return _under_brush(np.array(edit.path), axes, edit.radius)


def _box(edit: Edit, axes: Sequence[Axis]) -> Bool[np.ndarray, "*space"]:
    bounds = edit.bounds or {}
    _require_axes(bounds, axes)
    inside = np.ones(tuple(axis.size for axis in axes), dtype=np.bool_)
    for number, axis in enumerate(axes):
        if axis.name in bounds:
            low, high = bounds[axis.name]
            within = (axis.centres >= low) & (axis.centres <= high)
            inside &= within.reshape(-1, *(1,) * (len(axes) - 1 - number))
    return inside


def _under_brush(
    path: Float[np.ndarray, "point axis"], axes: Sequence[Axis], radius: float
) -> Bool[np.ndarray, "*space"]:
    """Return the points of the grid within `radius` of a path, and the one nearest to each of its points."""
    inside = np.zeros(tuple(axis.size for axis in axes), dtype=np.bool_)
    for begin, end in zip(path, [*path[1:], path[-1]], strict=True):
        window = tuple(_near(axis, *pair, radius=radius) for axis, *pair in zip(axes, begin, end, strict=True))
        away = np.meshgrid(
            *(axis.centres[part] - at for axis, part, at in zip(axes, window, begin, strict=True)), indexing="ij"
        )
        step = end - begin
        length = float(step @ step)
        passed = sum(one * by for one, by in zip(away, step, strict=True)) / length if length else np.float64(0.0)
        passed = np.clip(passed, 0.0, 1.0)
        inside[window] |= sum((one - passed * by) ** 2 for one, by in zip(away, step, strict=True)) <= radius**2
        if all(axis.edges[0] <= at <= axis.edges[-1] for axis, at in zip(axes, begin, strict=True)):
            inside[_nearest(axes, begin)] = True
    return inside


def _near(axis: Axis, one: float, other: float, *, radius: float) -> slice:
    """Return the part of an axis that a brush can reach between two places: the rest need not be looked at."""
    low, high = np.searchsorted(axis.centres, (min(one, other) - radius, max(one, other) + radius))
    return slice(int(low), int(high) + 1)


def _nearest(axes: Sequence[Axis], point: Sequence[float] | Float[np.ndarray, " axis"]) -> tuple[int, ...]:
    """Return the place on the grid that is nearest to a point."""
    return tuple(int(np.abs(axis.centres - at).argmin()) for axis, at in zip(axes, point, strict=True))


def _filtered(
    front: Spectrogram,
    signal: Float[np.ndarray, "channel time"],
    axes: Sequence[Axis],
    edit: Edit,
    channels: Sequence[int],
) -> Float[np.ndarray, "channel time"]:
    """Return a signal whose spectrogram is multiplied within a box, or everywhere else."""
    if edit.do not in ("times", "erase"):
        allowed, step = "'times' or 'erase'", "A spectrogram is made of the signal: it can be made louder or silent"
        raise ConfigError(
            explained(where="edit", what="what is done to a band", allowed=allowed, got=f"'{edit.do}'", next_step=step)
        )
    bins = bin_axis(front.nfft, sample_rate_hz=front.sample_rate_hz)
    _, frames = front.axes(signal.shape[-1], start_s=sampling(axes, where="edit").start_s)
    bounds, whole = edit.bounds or {}, (-np.inf, np.inf)
    _require_axes(bounds, (bins, frames))
    inside = np.outer(*(share_within(axis, bounds.get(axis.name, whole)) for axis in (bins, frames)))
    gain = 0.0 if edit.do == "erase" else edit.value
    mask = np.ones((len(signal), *inside.shape))
    mask[list(channels)] = 1.0 + (gain - 1.0) * (1.0 - inside if edit.outside else inside)
    still = signal.mean(axis=-1, keepdims=True)
    return np.asarray(still + masked_signal(front, signal - still, mask))


def _require_axes(bounds: dict[str, tuple[float, float]], axes: Sequence[Axis]) -> None:
    names = [axis.name for axis in axes]
    for name, (low, high) in bounds.items():
        if name not in names:
            allowed = f"one of {', '.join(names)}"
            raise ConfigError(
                explained(where="edit", what="an axis", allowed=allowed, got=f"'{name}'",
                          next_step=nearest(name, names))
            )  # fmt: skip
        if not low < high:
            raise ConfigError(
                explained(where="edit", what=name, allowed="given as (low, high)", got=f"({low:g}, {high:g})")
            )
