"""The one form that all inputs are brought to: channels, axes, length, rate, type in the file."""

from __future__ import annotations

__all__ = ["Form", "form_of"]

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from ram.axes import Axis
from ram.data.importing.cells import as_name, quantity
from ram.data.importing.cutting import Piece, cells_of
from ram.data.importing.look import Look
from ram.data.importing.plan import ChannelPlan, Plan
from ram.data.importing.survey import Survey
from ram.data.packing import Packing
from ram.errors import ConfigError, explained

_HALVED = 8  # cells of the input in one of the nets, unless they are told otherwise
_LENGTHS = ("refuse", "pad", "crop")
_WHOLE = {"uint8": ("uint8", 0), "bool": ("uint8", 0), "int8": ("int16", 0), "int16": ("int16", 0)}
_WHOLE |= {"uint16": ("int16", 2**15)}
_LARGEST_WHOLE = 2**24


@dataclass(frozen=True)
class Form:
    """What every input becomes.

    Parameters
    ----------
    axes
        Of the space.
    channels
        Name -> unit.
    calibration
        Of each channel: what a value of 1 is worth in its unit.
    packing
        Type in the file, scale and offset.
    padded
        Whether some inputs are shorter than the axis.
    step
        Of time, in s; None where there is no time, or it is not known.
    said
        What was decided, for the user to check.
    """

    axes: tuple[Axis, ...]
    channels: dict[str, str]
    calibration: tuple[float, ...]
    packing: Packing
    padded: bool
    step: float | None
    said: tuple[str, ...] = field(default=())

    def bring(self, values: NDArray[Any], look: Look) -> tuple[Float64[np.ndarray, "channel *space"], int]:
        """Return an input in the channels' units, cut or padded with zeros, and its measured length."""
        worth = np.array(self.calibration).reshape(-1, *[1] * (values.ndim - 1)) * look.scale
        found = np.asarray(values, dtype=np.float64) * worth
        if values.ndim == 2 and self.step and look.step:
            found = _resampled(found, _ratio(look.step, self.step))
        size = self.axes[-1].size
        length = min(found.shape[-1], size)
        if length < size:
            found = np.pad(found, [(0, 0)] * (found.ndim - 1) + [(0, size - length)])
        return found[..., :size], length


def form_of(plan: Plan, known: Survey, pieces: Sequence[Piece]) -> Form:
    """Decide what the inputs become, as the plan says; what it does not say and cannot be known is asked.

    Raises
    ------
    ConfigError
        Rates or lengths differ and the plan does not say what to do; names or units do not fit.
    """
    step, resampled = _step(plan, known)
    lengths = [_length(known.looks[piece.index], piece, step) for piece in pieces]
    size, padded, said = _size(plan, lengths, step)
    channels, calibration = _channels(plan, known)
    axes = _axes(plan, known, (*known.first.shape[1:-1], size), step)
    packing = _packing(known, calibration, resampled=resampled)
    words = [said] * bool(said) + ([f"resampled to {1 / step:.6g} Hz"] if resampled and step else [])
    words += (_starts(known) if step else []) + _uneven(axes)
    return Form(axes, channels, calibration, packing, padded, step, tuple(words))


def _step(plan: Plan, known: Survey) -> tuple[float | None, bool]:
    """Return the step of time that all inputs get, and whether some are resampled."""
    if len(known.first.shape) != 2:
        return None, False
    wanted = quantity(plan.resample, unit="Hz", where="--resample") if plan.resample else None
    if wanted is not None and not wanted > 0:
        raise ConfigError(explained(where="--resample", what="a rate", allowed="above 0 Hz", got=wanted))
    steps = known.steps()
    if wanted:
        if None in steps:
            raise ConfigError(_unknown_rate(steps, "to be resampled"))
        return 1 / wanted, any(step is None or abs(step * wanted - 1) > 1e-9 for step in steps)
    if len(steps) > 1:
        raise ConfigError(_unknown_rate(steps, "") if None in steps else _many_rates(steps))
    return next(iter(steps)), False


def _unknown_rate(steps: Any, what: str) -> str:
    return explained(
        where="the inputs",
        what="the sample rate",
        allowed=f"known for all signals {what}".rstrip(),
        got=f"none in {steps[None]:,} of {sum(steps.values()):,}",
        next_step="Say it with --sample-rate, or with --rate-column where the table has it; or choose rows with"
        " --where COLUMN=VALUE",
    )


def _many_rates(steps: Any) -> str:
    rates = ", ".join(f"{1 / step:.6g} Hz in {count:,}" for step, count in steps.most_common())
    slowest = min(1 / step for step in steps)
    return explained(
        where="the inputs",
        what="the sample rate",
        allowed="the same in all signals",
        got=rates,
        next_step=f"Say --resample '{slowest:.6g} Hz', or choose rows with --where COLUMN=VALUE",
    )


def _length(look: Look, piece: Piece, step: float | None) -> int:
    cells = (look.shape[-1] if piece.stop is None else piece.stop) - piece.start
    if step is None or not look.step or len(look.shape) != 2:
        return cells
    ratio = _ratio(look.step, step)
    return -(-cells * ratio.numerator // ratio.denominator)  # as resample_poly rounds


def _size(plan: Plan, lengths: Sequence[int], step: float | None) -> tuple[int, bool, str]:
    """Return the length of the last axis, whether some inputs are padded, and what was decided."""
    low, high = min(lengths), max(lengths)
    middle = sorted(lengths)[len(lengths) // 2]
    found = f"{low:,} to {high:,} cells, half of them below {middle + 1:,}"
    if plan.lengths and plan.lengths not in _LENGTHS:
        size = cells_of(plan.lengths, step, where="--lengths")
        cut, short = sum(length > size for length in lengths), sum(length < size for length in lengths)
        said = f"lengths: {size:,} cells; {cut:,} inputs are cut, {short:,} padded with zeros" if cut or short else ""
        return size, bool(short), said
    if low == high:
        return high, False, ""
    if plan.lengths == "pad":
        short = sum(length < high for length in lengths)
        return high, True, f"lengths: {found}; {short:,} inputs are padded with zeros to {high:,}, their lengths kept"
    if plan.lengths == "crop":
        cut = sum(length > low for length in lengths)
        return low, False, f"lengths: {found}; {cut:,} inputs are cut to {low:,}"
    raise ConfigError(
        explained(
            where="the inputs",
            what="the signals",
            allowed="of one length, or --lengths must say what to do",
            got=found,
            next_step=f"Say --lengths pad (zeros to {high:,}, each length kept), --lengths crop (all to {low:,}),"
            f" or a length such as --lengths {-(-middle // _HALVED) * _HALVED}",
        )
    )


def _channels(plan: Plan, known: Survey) -> tuple[dict[str, str], tuple[float, ...]]:
    """Return names and units of the channels, and their calibration."""
    count = known.first.shape[0]
    if plan.channels and len(plan.channels) != count:
        raise ConfigError(
            explained(
                where="--channels",
                what="the names",
                allowed=f"{count}, one for each channel ({', '.join(known.first.channels)})",
                got=", ".join(plan.channels),
            )
        )
    named = dict(plan.channels) or {
        _distinct_name(known, place): ChannelPlan(unit=known.first.units[place] or "1") for place in range(count)
    }
    return {name: of.unit or "1" for name, of in named.items()}, tuple(of.scale for of in named.values())


def _distinct_name(known: Survey, place: int) -> str:
    names = [as_name(name) for name in known.first.channels]
    same = all(look.channels[place] == known.first.channels[place] for look in known.looks)
    plain = "signal" if len(names) == 1 else f"channel{place + 1}"
    return names[place] if same and len(set(names)) == len(names) else plain


def _axes(plan: Plan, known: Survey, space: Sequence[int], step: float | None) -> tuple[Axis, ...]:
    names = {1: ("time",), 2: ("y", "x"), 3: ("z", "y", "x")}.get(len(space))
    layout = [word for word in plan.layout if word not in ("sample", "channel")]
    names = tuple(layout) if len(layout) == len(space) else names
    names = tuple(plan.axes) if len(plan.axes) == len(space) else names
    if names is None or (plan.axes and set(plan.axes) - set(names)):
        allowed = f"{len(space)} names" + (f", such as {', '.join(names)}" if names else "")
        raise ConfigError(explained(where="--axes", what="the axes", allowed=allowed, got=", ".join(plan.axes)))
    axes = []
    for name, size in zip(names, space, strict=True):
        given = plan.axes.get(name)
        if given and given.step:
            axes.append(_given_axis(name, given.step, given.start, size))
        elif len(space) == 1 and step:
            axes.append(Axis.uniform(name, "s", size=size, step=step, start=_start(known, step)))
        else:
            axes.append(Axis.uniform(name, "1", size=size, step=1.0))
    return tuple(axes)


def _given_axis(name: str, step: str, start: str, size: int) -> Axis:
    where = f"--axes {name}"
    number = step.split(maxsplit=1)[0] if step.split() else ""
    unit = step.strip()[len(number) :].strip() or "1"
    distance = quantity(step, unit=unit, where=where)
    if not distance > 0:
        raise ConfigError(explained(where=where, what="the step", allowed="above 0", got=step))
    begin = quantity(start, unit=unit, where=where) if start else 0.0
    return Axis.uniform(name, unit, size=size, step=distance, start=begin)


def _start(known: Survey, step: float) -> float:
    """Return the time of the first cell, 0 where the inputs disagree by more than half a step."""
    starts = [look.start for look in known.looks]
    return starts[0] if max(starts) - min(starts) <= 0.5 * step else 0.0


def _starts(known: Survey) -> list[str]:
    starts = [look.start for look in known.looks]
    if len(known.first.shape) != 2 or max(starts) == min(starts) or not known.first.step:
        return []
    agree = max(starts) - min(starts) <= 0.5 * known.first.step
    return [] if agree else [f"first times differ ({min(starts):.6g} to {max(starts):.6g} s): the axis begins at 0"]


def _uneven(axes: Sequence[Axis]) -> list[str]:
    """Say where most nets, which halve their grid three times, could not take the inputs."""
    sizes = {axis.name: axis.size for axis in axes if axis.size % _HALVED}
    how = "another --lengths or --window" if len(axes) == 1 else "cut the inputs, or give the net fewer widths"
    return [
        f"{name}: {size:,} cells are no multiple of {_HALVED}, as most nets need; such are"
        f" {' and '.join(f'{near:,}' for near in (size // _HALVED * _HALVED, -(-size // _HALVED) * _HALVED) if near)}"
        f" ({how})"
        for name, size in sizes.items()
    ]


def _packing(known: Survey, calibration: Sequence[float], *, resampled: bool) -> Packing:
    """Return integers where every input holds the same kind of them and nothing is computed."""
    kinds = {(look.stored, look.scale) for look in known.looks}
    if resampled or len(kinds) != 1 or len(set(calibration)) != 1 or known.first.stored not in _WHOLE:
        return Packing()
    dtype, zero = _WHOLE[known.first.stored]
    scale = known.first.scale * calibration[0]
    return Packing(dtype, scale, zero * scale)


def _ratio(step: float, to: float) -> Fraction:
    return Fraction(step / to).limit_denominator(10_000)


def _resampled(values: NDArray[np.float64], ratio: Fraction) -> NDArray[np.float64]:
    if ratio == 1:
        return values
    from scipy.signal import resample_poly

    found: NDArray[np.float64] = resample_poly(values, ratio.numerator, ratio.denominator, axis=-1, padtype="line")
    return found


def bytes_of(form: Form, count: int) -> int:
    """Return how many bytes the inputs take in the file."""
    return form.packing.stored.itemsize * count * len(form.channels) * prod(axis.size for axis in form.axes)
