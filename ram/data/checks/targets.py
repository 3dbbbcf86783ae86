"""Targets: what would spoil the fit, and what makes a good figure mean nothing."""

from __future__ import annotations

__all__ = ["DEFECTS", "find_in_targets"]

import itertools
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ram.axes import Axis
from ram.data.checks.asked import Asked
from ram.data.checks.defects import Defect, Finding
from ram.data.checks.values import isolated, placeholders, swapped, two_scales
from ram.data.units import below_absolute_zero, factor_or_none

_REPAIR = "Repair these samples or leave them out"
_FLOAT32 = float(np.finfo(np.float32).max)

INFINITE = Defect(
    code="infinite-target",
    severity="error",
    what="a target",
    allowed="finite, or NaN where not measured",
    rule="inf in a target of the train or validation part",
    reason="one of them turns every weight to NaN",
    remedy=_REPAIR,
)
MISSING = Defect(
    code="missing-target",
    severity="error",
    what="the target",
    allowed="measured for at least one sample of each part",
    rule="a target is NaN in the whole train or validation part",
    reason="there is nothing to learn it from, or to choose the epoch by",
    remedy="",
)
CONSTANT = Defect(
    code="constant-target",
    severity="error",
    what="the target",
    allowed="different from sample to sample",
    rule="the spread over the train part is below 1e-12 of the magnitude",
    reason="a quantity without spread cannot be standardised; 1e-12 is what rounding leaves of equal numbers",
    remedy="",
)
SWAPPED = Defect(
    code="swapped-target",
    severity="error",
    what="the bytes of the target",
    allowed="in the order that the file declares",
    rule="less than half of the values lie between 1e-15 and 1e15, and nearly all do with their bytes swapped",
    reason="swapped numbers spread over all magnitudes that the type can hold, which measurements never do",
    remedy="Read the original as big-endian (dtype '>f8') and write it again",
)
BEYOND_FLOAT32 = Defect(
    code="huge-target",
    severity="error",
    what="a target",
    allowed="within what float32 holds, 3.4e38",
    rule="a finite target beyond 3.4e38",
    reason="nets compute in float32, where it is infinite",
    remedy="It is no measurement; write NaN where it was not measured, or choose a larger unit",
)
PLACEHOLDER = Defect(
    code="placeholder-target",
    severity="error",
    what="a target",
    allowed="NaN where it was not measured",
    rule="-999, 9999, the end of an integer type or another usual stand-in, "
    "further from all other values than these are wide",
    reason="a stand-in that is learned as a value outweighs all true ones",
    remedy="Write NaN in its place",
)
MOSTLY_MISSING = Defect(
    code="mostly-missing-target",
    severity="warning",
    what="the target",
    allowed="measured for at least half of the train part",
    rule="more than half of a target's training values are NaN",
    reason="beside other targets it is then learned from a minority; often a join by id has failed",
    remedy="See whether the table and the samples were matched by the right names",
)
FEW_VALUES = Defect(
    code="class-like-target",
    severity="warning",
    what="the target",
    allowed="a quantity of more than 5 values",
    rule="at most 5 different values in 30 samples or more",
    reason="with five steps a net tells kinds apart and has nothing to interpolate between; "
    "often a code such as 0 = good, 1 = worn",
    remedy="Regress what was measured rather than its code, or know that values between the steps mean nothing",
)
OUTLYING = Defect(
    code="outlying-target",
    severity="warning",
    what="a target",
    allowed="near the others",
    rule="up to 1 in 100 values lie further from the rest than the rest is wide, in logarithms too",
    reason="a decimal point or a unit that slipped; one such sample sets the scale of all others",
    remedy="Look these samples up; repair them or write NaN",
)
TWO_SCALES = Defect(
    code="mixed-units-target",
    severity="warning",
    what="the target",
    allowed="in one unit",
    rule="two heaps of values a factor of 10 or more apart, each narrower than the gap and at least 1 in 20",
    reason="Hz beside kHz, mm beside inch: a quantity that spreads over decades fills the gap between them",
    remedy="Convert them to the unit that the file declares",
)
AT_THE_END = Defect(
    code="clipped-target",
    severity="warning",
    what="the target",
    allowed="free to go beyond what was measured",
    rule="1 in 10 values or more (at least 5) equal the largest or smallest, all others being nearly all different; "
    "the data set does not declare that the quantity begins there (valid_min)",
    reason="an instrument at the end of its range, or a limit put in by hand: true values lie beyond it",
    remedy="Leave these samples out, or write NaN",
)
ROW_NUMBER = Defect(
    code="row-number-target",
    severity="warning",
    what="the target",
    allowed="a measured quantity",
    rule="a target counts up by one from row to row, or equals the number in the id, in 10 samples or more",
    reason="a column of numbers was taken for a measurement",
    remedy="Take the right column",
)
COPIED = Defect(
    code="copied-target",
    severity="warning",
    what="two targets",
    allowed="different quantities",
    rule="two targets correlate by more than 0.999999 in 10 samples or more",
    reason="they are one quantity, twice: its error counts twice in the loss",
    remedy="Leave one of them out",
)
PART_RANGE = Defect(
    code="part-range",
    severity="warning",
    what="the targets of the part",
    allowed="within the range of the train part",
    rule="more than half of a part's values lie outside the range of the train part",
    reason="a net does not extrapolate: its figures there say how wrong it is, not how good",
    remedy="Split anew, or measure training samples in that range",
)
ABSOLUTE_ZERO = Defect(
    code="below-absolute-zero",
    severity="warning",
    what="a temperature",
    allowed="above absolute zero",
    rule="a target in degC or degF lies below 0 K",
    reason="the unit is another one, or the value stands for nothing",
    remedy="Mend the unit, or write NaN",
)
BEYOND_NYQUIST = Defect(
    code="beyond-nyquist",
    severity="warning",
    what="most frequencies",
    allowed="below half the sample rate",
    rule="the median of a target in Hz lies above half the rate of the input's time axis",
    reason="such a frequency is not in the signal: the unit of the target or of the time axis is another one",
    remedy="Mend the unit that is wrong (ms for s, kHz for Hz)",
)
SHORT_RECORD = Defect(
    code="short-record",
    severity="warning",
    what="the signals",
    allowed="of at least one period",
    rule="the median of a target in Hz, times the length of the record, is below 1",
    reason="less than one period does not tell a frequency; often the unit of the time axis is another one",
    remedy="Record longer, or mend the unit that is wrong",
)

DEFECTS = (
    INFINITE, MISSING, CONSTANT, SWAPPED, BEYOND_FLOAT32, PLACEHOLDER, MOSTLY_MISSING, FEW_VALUES, OUTLYING,
    TWO_SCALES, AT_THE_END, ROW_NUMBER, COPIED, PART_RANGE, ABSOLUTE_ZERO, BEYOND_NYQUIST, SHORT_RECORD,
)  # fmt: skip

_ENOUGH = 10
_WHERE_IT_BEGINS = (
    f"{AT_THE_END.remedy}; where the quantity itself begins there, as with 0 for no crack, the data set can declare it "
    "(valid_min)"
)
_SAME = 0.999999


def find_in_targets(question: Asked) -> Iterator[Finding]:
    """Say what is wrong with the targets, each by itself and all together."""
    for name in question.targets:
        values = question.target(name)
        broken = list(_broken(question, name, values))
        yield from broken
        if not broken:
            yield from _odd(question, name, values)
            yield from _against_axes(question, name, values)
    yield from _copies(question)


def _broken(question: Asked, name: str, values: NDArray[np.float64]) -> Iterator[Finding]:
    """Yield what makes all further words on a target idle."""
    data, path = question.data, f"targets/{name}"
    if swapped(values[~np.isnan(values)]):
        yield SWAPPED.found(data, path, got=f"values such as {values[~np.isnan(values)][0]:g}")
        return
    # Of the test part nothing is learned; figures leave out what is not finite there.
    infinite = np.isinf(values) & (question.parts != "test")
    if infinite.any():
        yield INFINITE.found(data, path, rows=infinite, got="inf")
    huge = np.isfinite(values) & (np.abs(values) > _FLOAT32)
    if huge.any():
        yield BEYOND_FLOAT32.found(data, path, rows=huge, got=f"{values[huge][0]:g}")
    stand_in = placeholders(values) & ~huge
    if stand_in.any():
        yield PLACEHOLDER.found(data, path, rows=stand_in, got=_listed(values[stand_in]))
    yield from _without_spread(question, name, values)


def _without_spread(question: Asked, name: str, values: NDArray[np.float64]) -> Iterator[Finding]:
    data, path, leave_out = question.data, f"targets/{name}", f"Leave {name!r} out of the targets"
    for part in ("train", "validation"):
        if not (question.parts == part).any():
            continue
        known = question.within(part, values)
        if known.size == 0:
            allowed = f"measured for at least one sample of the {part} part"
            yield MISSING.found(data, path, allowed=allowed, got="NaN everywhere", remedy=leave_out)
        elif part == "train" and np.ptp(known) <= 1e-12 * np.abs(known).max():
            got = f"{known[0]:g} {data.targets[name]} in all of train"
            yield CONSTANT.found(data, path, got=got, remedy=leave_out)


def _odd(question: Asked, name: str, values: NDArray[np.float64]) -> Iterator[Finding]:
    data, path, known = question.data, f"targets/{name}", values[np.isfinite(values)]
    train = values[question.parts == "train"]
    if np.isnan(train).sum() > 0.5 * train.size:
        got = f"{int(np.isfinite(train).sum()):,} of {train.size:,}"
        yield MOSTLY_MISSING.found(data, path, got=got)
    levels, times = np.unique(known, return_counts=True)
    if levels.size <= 5 and known.size >= 30:
        yield FEW_VALUES.found(data, path, got=f"{levels.size}: {', '.join(f'{level:g}' for level in levels)}")
    between = two_scales(known, factor=10.0)
    far = isolated(values)
    if between is not None:
        small = np.isfinite(values) & (np.abs(values) < between) & (values != 0)
        large = np.isfinite(values) & (np.abs(values) >= between)
        rarer = small if small.sum() < large.sum() else large
        got = f"values near {np.median(values[small]):g} and near {np.median(values[large]):g}"
        yield TWO_SCALES.found(data, path, rows=rarer, got=got)
    elif far.any():
        rest = values[np.isfinite(values) & ~far]
        got = f"{_listed(values[far])} where the others lie between {rest.min():g} and {rest.max():g}"
        yield OUTLYING.found(data, path, rows=far, got=got)
    yield from _at_the_end(question, name, values, levels=levels, times=times)
    yield from _row_number(question, name, values)
    yield from _ranges(question, name, values)


def _at_the_end(
    question: Asked, name: str, values: NDArray[np.float64], *, levels: NDArray[np.float64], times: NDArray[np.integer]
) -> Iterator[Finding]:
    for end in (0, -1) if levels.size > 5 else ():
        if end == 0 and levels[end] == question.data.valid_min.get(name):
            continue
        others = int(times.sum() - times[end])
        # "All different" tells a continuous quantity from one that was set in steps, whose ends are steps as well.
        if times[end] >= max(5, times.sum() / 10) and levels.size - 1 >= 0.9 * others:
            got = f"{levels[end]:g} {question.data.targets[name]} in {times[end]} of {times.sum()}"
            remedy = _WHERE_IT_BEGINS if end == 0 else AT_THE_END.remedy
            yield AT_THE_END.found(question.data, f"targets/{name}", rows=values == levels[end], got=got, remedy=remedy)


def _row_number(question: Asked, name: str, values: NDArray[np.float64]) -> Iterator[Finding]:
    data, path = question.data, f"targets/{name}"
    if len(data) < _ENOUGH or not np.isfinite(values).all():
        return
    if np.array_equal(values - values[0], data.indices - data.indices[0]):
        yield ROW_NUMBER.found(data, path, got=f"{values[0]:g}, {values[1]:g}, {values[2]:g} and so on, as the rows")
        return
    numbers = [re.search(r"(\d{1,15})\D*$", text) for text in data.ids]
    if all(numbers) and np.array_equal(values, [float(number[1]) for number in numbers if number]):
        yield ROW_NUMBER.found(data, path, got=f"{values[0]:g} for the id {data.ids[0]!s}, and so on")


def _ranges(question: Asked, name: str, values: NDArray[np.float64]) -> Iterator[Finding]:
    train = question.within("train", values)
    for part in ("validation", "test"):
        known = question.within(part, values)
        if not (train.size and known.size):
            continue
        outside = (known < train.min()) | (known > train.max())
        if outside.mean() > 0.5:
            unit = question.data.targets[name]
            yield PART_RANGE.found(
                question.data,
                f"targets/{name}",
                allowed=f"within the range of the train part, {train.min():g} to {train.max():g} {unit}",
                got=f"{known.min():g} to {known.max():g} {unit} in the {part} part",
            )


def _against_axes(question: Asked, name: str, values: NDArray[np.float64]) -> Iterator[Finding]:
    """Hold a target's unit against physics and the input's time axis."""
    data, path, unit = question.data, f"targets/{name}", question.data.targets[name]
    cold = below_absolute_zero(values, unit=unit)
    if cold.any():
        yield ABSOLUTE_ZERO.found(data, path, rows=cold, got=f"{_listed(values[cold])} {unit}")
    # Only words such as kHz: a unit such as rpm or rad/s has a factor of 2 pi that not everybody means.
    to_hz = factor_or_none(unit, to="Hz") if unit.endswith("Hz") else None
    time = _time_axis(data.axes)
    if to_hz is None or time is None or time.size < 2:
        return
    step = float(np.diff(time.centres).mean()) * (factor_or_none(time.unit, to="s") or 1.0)
    typical = abs(float(np.nanmedian(values))) * to_hz
    if typical > 0.5 / step:
        yield BEYOND_NYQUIST.found(
            data,
            path,
            allowed=f"below half the sample rate, {0.5 / step:g} Hz by /{time.name}",
            got=f"a median of {typical:g} Hz",
        )
    elif typical * step * time.size < 1.0:
        got = f"{step * time.size:g} s by /{time.name}, with a median of {typical:g} Hz"
        yield SHORT_RECORD.found(data, path, got=got)


def _time_axis(axes: tuple[Axis, ...]) -> Axis | None:
    return next((axis for axis in axes if len(axes) == 1 and factor_or_none(axis.unit, to="s") is not None), None)


def _copies(question: Asked) -> Iterator[Finding]:
    for one, other in itertools.combinations(question.targets, 2):
        alike = correlation(question.target(one), question.target(other))
        if alike > _SAME:
            got = f"{one} and {other}, which correlate by {alike:.7f}"
            yield COPIED.found(question.data, f"targets/{other}", got=got)


def correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the magnitude of the correlation over samples where both are known; 0 where it says nothing."""
    known = np.isfinite(one) & np.isfinite(other)
    if known.sum() < _ENOUGH or np.ptp(one[known]) == 0 or np.ptp(other[known]) == 0:
        return 0.0
    # Divided first, so that squares of huge numbers stay finite.
    scaled = [values[known] / np.abs(values[known]).max() for values in (one, other)]
    if min(float(values.std()) for values in scaled) < 1e-12:
        return 0.0
    return float(abs(np.corrcoef(*scaled)[0, 1]))


def _listed(values: NDArray[np.float64]) -> str:
    shown = ", ".join(f"{value:g}" for value in np.unique(values)[:3])
    return f"{shown} and others" if np.unique(values).size > 3 else shown
