"""Axes and units: whether the grid is even, and whether names, units and rates agree with each other."""

from __future__ import annotations

__all__ = ["DEFECTS", "find_in_grids", "is_signal"]

import re
from collections.abc import Iterator

import numpy as np

from ram.axes import Axis
from ram.data.checks.asked import Asked
from ram.data.checks.defects import Defect, Finding
from ram.data.dataset import Dataset
from ram.data.units import compatible, factor_or_none

UNEVEN = Defect(
    code="uneven-axis",
    severity="warning",
    what="the axis",
    allowed="even, or even in the logarithm",
    rule="steps differ by more than 1 in 100",
    reason="a kernel spans the same number of cells everywhere; where steps differ it means another length. "
    "A gap in the record looks like this too",
    remedy="Resample the inputs to equal steps",
)
SHORT = Defect(
    code="short-axis",
    severity="warning",
    what="the axis",
    allowed="of at least 8 cells",
    rule="fewer than 8 cells along an axis",
    reason="nets halve the grid three times; of fewer than 8 cells one is left, and a map of one cell says nothing",
    remedy="Record longer, or see whether the axes were taken in the right order",
)
NO_UNIT = Defect(
    code="axis-without-unit",
    severity="warning",
    what="the time axis",
    allowed="in a unit of time",
    rule="an axis called time or t has a unit that is none of time",
    reason="cells then cannot be given in seconds, nor frequencies be held against the sample rate",
    remedy="Give the unit, or the sample rate",
)
RATE_CONFLICT = Defect(
    code="sample-rate-conflict",
    severity="warning",
    what="the sample rate",
    allowed="that of the axis",
    rule="a parameter called sample_rate, sampling_rate, fs, dt or the like differs from the axis by over 1 in 1000",
    reason="samples recorded at another rate look slower or faster than they are",
    remedy="Resample these samples to the rate of the axis",
)
NAME_AND_UNIT = Defect(
    code="unit-conflict",
    severity="warning",
    what="the unit",
    allowed="the one that the name says",
    rule="a target, parameter or channel is called _hz, _mm, _kg ... and its unit is another one",
    reason="one of the two is wrong, and nobody can tell which from the numbers",
    remedy="Mend the unit or the name",
)
TRUTH_UNIT = Defect(
    code="truth-unit-conflict",
    severity="warning",
    what="the unit of the contribution",
    allowed="that of its target",
    rule="the unit of truth/<target>/contribution cannot be converted to the target's",
    reason="contributions sum to a difference of the target and have its unit",
    remedy="Mend the unit of the truth or of the target",
)

DEFECTS = (UNEVEN, SHORT, NO_UNIT, RATE_CONFLICT, NAME_AND_UNIT, TRUTH_UNIT)

_RATES = re.compile(r"(sampl(e|ing)_?(rate|freq(uency)?)|fs)(_[a-z]+)?", re.IGNORECASE)
_STEPS = re.compile(r"(sampl(e|ing)_?(interval|period|time)|dt)(_[a-z]+)?", re.IGNORECASE)
_WORDS = {
    "hz": "Hz", "khz": "kHz", "mhz": "MHz", "um": "um", "mm": "mm", "cm": "cm", "km": "km", "ms": "ms", "us": "us",
    "kg": "kg", "kn": "kN", "pa": "Pa", "kpa": "kPa", "mpa": "MPa", "gpa": "GPa", "mv": "mV", "degc": "degC",
}  # fmt: skip


def is_signal(data: Dataset) -> bool:
    """Whether inputs are records over time: one axis, in a unit of time."""
    return len(data.axes) == 1 and factor_or_none(data.axes[0].unit, to="s") is not None


def find_in_grids(question: Asked) -> Iterator[Finding]:
    """Say what is odd with axes and units; reads nothing but the head."""
    data = question.data
    for axis in data.axes:
        yield from _axis(data, axis)
    if is_signal(data):
        yield from _rates(question)
    for kind, units in (("targets", data.targets), ("parameters", data.parameters), ("channel", data.channels)):
        for name, unit in units.items():
            said = _WORDS.get(name.lower().rpartition("_")[2]) if "_" in name else None
            if said is not None and factor_or_none(unit, to=said) != 1.0:
                path = f"{kind}/{name}" if kind != "channel" else kind
                yield NAME_AND_UNIT.found(data, path, allowed=f"{said}, as the name {name} says", got=repr(unit))
    for (target, kind), unit in data.truth_kinds.items():
        if kind == "contribution" and not compatible(unit, data.targets[target]):
            yield TRUTH_UNIT.found(
                data,
                f"truth/{target}/{kind}",
                allowed=f"that of its target, {data.targets[target]}",
                got=repr(unit),
            )


def _axis(data: Dataset, axis: Axis) -> Iterator[Finding]:
    if axis.size < 8:
        yield SHORT.found(data, axis.name, got=axis.size)
    if axis.name.lower() in ("time", "t") and factor_or_none(axis.unit, to="s") is None:
        yield NO_UNIT.found(data, axis.name, got=repr(axis.unit))
    steps = np.diff(axis.centres)
    if steps.size < 2 or _even(steps):
        return
    if axis.centres[0] > 0 and _even(np.diff(np.log(axis.centres))):
        return
    at = int(np.argmax(np.abs(steps - np.median(steps))))
    got = f"a step of {steps[at]:g} {axis.unit} after cell {at} where the usual one is {np.median(steps):g}"
    yield UNEVEN.found(data, axis.name, got=got)


def _even(steps: np.ndarray) -> bool:
    return bool(np.ptp(steps) <= 0.01 * np.abs(steps).mean())


def _rates(question: Asked) -> Iterator[Finding]:
    """Hold what the file says of each sample's rate against the one axis that all share."""
    data, axis = question.data, question.data.axes[0]
    if axis.size < 2:
        return
    step_s = float(np.diff(axis.centres).mean()) * (factor_or_none(axis.unit, to="s") or 1.0)
    for name, unit in data.parameters.items():
        if _RATES.fullmatch(name):
            expected, to = 1.0 / step_s, "Hz"
        elif _STEPS.fullmatch(name):
            expected, to = step_s, "s"
        else:
            continue
        # Whoever names a rate and gives it no unit means hertz, and seconds of a step.
        scale = 1.0 if unit in ("", "1") else factor_or_none(unit, to=to)
        if scale is None:
            continue
        values = question.parameter(name) * scale
        other = np.isfinite(values) & (np.abs(values - expected) > 1e-3 * expected)
        if other.any():
            allowed = f"that of the axis, {expected:g} {to}"
            got = ", ".join(f"{value:g}" for value in np.unique(values[other])[:3])
            yield RATE_CONFLICT.found(data, f"parameters/{name}", rows=other, allowed=allowed, got=f"{got} {to}")
