"""Scales of the inputs: jumps between groups and along the file, samples and offsets out of all proportion."""

from __future__ import annotations

__all__ = ["DEFECTS", "find_in_scales"]

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ram.data.checks.asked import Asked
from ram.data.checks.defects import Defect, Finding
from ram.data.checks.scan import Scan
from ram.data.checks.values import isolated

_FACTOR = 20.0

SCALE_OF_GROUPS = Defect(
    code="group-scale",
    severity="warning",
    what="the scale of a channel",
    allowed="alike in all groups",
    rule="medians of the samples' standard deviations leave a gap of a factor of 20 or more between groups",
    reason="mm beside inch is 25, mV beside V is 1,000: below 20 specimens do differ; above, a unit or a gain does",
    remedy="Bring the groups to one unit",
)
SCALE_IN_FILE = Defect(
    code="scale-jump",
    severity="warning",
    what="the scale of a channel",
    allowed="alike along the file",
    rule="from one row on, standard deviations are 20 times larger or smaller, "
    "nine in ten of either side being on that side's level",
    reason="a gain or a unit was changed between two days of measuring",
    remedy="Bring both stretches to one unit",
)
OUTLYING = Defect(
    code="outlying-input",
    severity="warning",
    what="the scale of an input",
    allowed="like that of the others",
    rule="up to 1 in 100 samples have a standard deviation 20 times off the median, "
    "and further from the others than these are wide, in logarithms",
    reason="a spike, a loose cable or another unit; one such sample sets the scale of the channel",
    remedy="Look these samples up; repair them or leave them out",
)

LOST_DIGITS = Defect(
    code="lost-digits",
    severity="warning",
    what="the offset of the inputs",
    allowed="below 16,000 times their spread",
    rule="half of the samples have a mean above 16,384 times their standard deviation",
    reason="float32 has 24 bits: of such a signal less than 10 bits are left, the rest is the offset",
    remedy="Subtract the offset in float64 before writing",
)
DEFECTS = (SCALE_OF_GROUPS, SCALE_IN_FILE, OUTLYING, LOST_DIGITS)


def find_in_scales(question: Asked, seen: Scan) -> Iterator[Finding]:
    """Say where the scale of the inputs jumps."""
    data, good = question.data, seen.good
    for number, (name, unit) in enumerate(data.channels.items()):
        alive = good & (seen.std[:, number] > 0)
        if not alive.any():
            continue
        std, mean = seen.std[:, number].astype(np.float64), np.abs(seen.mean[:, number].astype(np.float64))
        offset = float(np.median(mean[alive] / std[alive]))
        if offset > 2**14:
            yield LOST_DIGITS.found(data, "inputs", got=f"{offset:.0f} times in channel {name}")
        scale = np.full(std.shape, np.nan)
        scale[alive] = np.log(std[alive])
        jumps = list(_between_groups(question, scale, name=name, unit=unit))
        jumps = jumps or list(_along_file(question, scale, name=name, unit=unit))
        yield from jumps
        if not jumps:
            yield from _outlying(question, scale, name=name, unit=unit)


def _between_groups(question: Asked, scale: NDArray[np.float64], *, name: str, unit: str) -> Iterator[Finding]:
    data, known = question.data, np.isfinite(scale)
    groups, of = np.unique(data.groups, return_inverse=True)
    if groups.size < 2:
        return
    sizes = np.bincount(of[known], minlength=groups.size)
    large = np.flatnonzero((sizes >= 2) & (groups != ""))
    if large.size < 2:
        return
    order = np.argsort(of[known], kind="stable")
    pieces = np.split(scale[known][order], np.cumsum(sizes)[:-1])
    medians = np.array([np.median(pieces[group]) for group in large])
    ordered = np.sort(medians)
    gap = int(np.argmax(np.diff(ordered)))
    if ordered[gap + 1] - ordered[gap] < np.log(_FACTOR):
        return
    above = medians > ordered[gap]
    fewer = large[above if above.sum() <= (~above).sum() else ~above]
    shown = ", ".join(map(str, groups[fewer][:3]))
    got = (
        f"about {np.exp(np.median(medians[above])):.2g} {unit} beside {np.exp(np.median(medians[~above])):.2g} {unit} "
        f"in channel {name}, by groups such as {shown}"
    )
    yield SCALE_OF_GROUPS.found(data, "inputs", rows=np.isin(of, fewer), got=got)


def _along_file(question: Asked, scale: NDArray[np.float64], *, name: str, unit: str) -> Iterator[Finding]:
    rows = np.flatnonzero(np.isfinite(scale))
    values = scale[rows]
    least = max(3, values.size // 100)
    if values.size < 2 * least:
        return
    total = np.cumsum(values)[least - 1 : values.size - least]
    before = np.arange(least, values.size - least + 1)
    steps = total / before - (values.sum() - total) / (values.size - before)
    # Weighted by both sizes, the largest step is the place that explains most of the variance.
    at = int(before[np.argmax(np.abs(steps) * np.sqrt(before * (values.size - before)))])
    first, last = values[:at], values[at:]
    middle = 0.5 * (np.median(first) + np.median(last))
    step = float(np.median(last) - np.median(first))
    sides = (np.sign(step) * (middle - first) > 0).mean(), (np.sign(step) * (last - middle) > 0).mean()
    if abs(step) >= np.log(_FACTOR) and min(sides) >= 0.9:
        got = f"{np.exp(abs(step)):.0f} times {'more' if step > 0 else 'less'} {unit} in channel {name} from here on"
        yield SCALE_IN_FILE.found(question.data, "inputs", rows=rows[[at]], got=got)


def _outlying(question: Asked, scale: NDArray[np.float64], *, name: str, unit: str) -> Iterator[Finding]:
    middle = np.nanmedian(scale)
    far = isolated(np.exp(scale - middle)) & (np.abs(scale - middle) > np.log(_FACTOR))
    if far.any():
        got = f"{np.exp(scale[far][0]):.2g} {unit} in channel {name}, where {np.exp(middle):.2g} {unit} is usual"
        yield OUTLYING.found(question.data, "inputs", rows=far, got=got)
