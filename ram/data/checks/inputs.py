"""Inputs: values that cannot be, channels, samples and cells that say nothing."""

from __future__ import annotations

__all__ = ["DEFECTS", "find_in_all", "find_in_channels", "find_in_values"]

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ram.data.checks.asked import Asked
from ram.data.checks.defects import Defect, Finding
from ram.data.checks.grids import is_signal
from ram.data.checks.scan import Scan
from ram.data.checks.values import sane_share, swapped
from ram.data.units import below_absolute_zero

_REPAIR = "Repair these samples or leave them out"
_ENOUGH = 10

NOT_FINITE = Defect(
    code="not-finite-input",
    severity="error",
    what="an input",
    allowed="finite",
    rule="NaN or inf in an input of any part",
    reason="one of them turns every weight to NaN; a run predicts the test part too",
    remedy=_REPAIR,
)
SWAPPED = Defect(
    code="swapped-bytes",
    severity="error",
    what="the bytes of the inputs",
    allowed="in the order that the file declares",
    rule="less than half of the numbers lie between 1e-15 and 1e15 and nearly all do with their bytes swapped; "
    "or a sixth is infinite and the others spread over all magnitudes; "
    "or 16-bit integers get 2.5 times smoother when swapped",
    reason="swapped numbers spread over all magnitudes that the type can hold, which measurements never do",
    remedy="Read the original in the other byte order (dtype '>f4', '>f8' or '>i2') and write it again",
)
PLACEHOLDER = Defect(
    code="placeholder-input",
    severity="error",
    what="an input",
    allowed="measured in every cell",
    rule="-999, 9999, the end of an integer type or another usual stand-in, "
    "further from all other values than these are wide",
    reason="one such cell outweighs its whole sample, and sets the scale of the channel",
    remedy="Interpolate these cells, or leave the samples out",
)
HUGE = Defect(
    code="huge-input",
    severity="warning",
    what="an input",
    allowed="below 1e18",
    rule="a magnitude above 1e18",
    reason="its square is beyond float32, so means of squares are infinite",
    remedy="It is no measurement, or the unit is too small: repair it, or choose a larger unit",
)
DENORMAL = Defect(
    code="denormal-input",
    severity="warning",
    what="most inputs",
    allowed="0 or above 1e-38",
    rule="more than 1 in 100 of the cells looked at, zeros left out, lie below 1.2e-38",
    reason="such numbers have few digits left and make processors up to a hundred times slower; "
    "often integers were read as floats",
    remedy="See whether the type is right, or choose a smaller unit",
)
ALL_CONSTANT = Defect(
    code="constant-inputs",
    severity="error",
    what="the inputs",
    allowed="different from sample to sample",
    rule="all cells of all samples have one value in each channel",
    reason="there is nothing to predict from",
    remedy="See whether the inputs were written at all, and whether their path is right",
)
ZERO_CHANNEL = Defect(
    code="zero-channel",
    severity="warning",
    what="the channel",
    allowed="other than 0 somewhere",
    rule="a channel is 0 in every cell of every sample",
    reason="it was never connected, or never written",
    remedy="Repair it, or leave the channel out",
)
CONSTANT_CHANNEL = Defect(
    code="constant-channel",
    severity="warning",
    what="the channel",
    allowed="different from cell to cell or from sample to sample",
    rule="a channel has one value other than 0 in every cell of every sample",
    reason="nothing is learned from it",
    remedy="Leave the channel out",
)
SAME_INPUTS = Defect(
    code="same-inputs",
    severity="error",
    what="the inputs",
    allowed="different from sample to sample",
    rule="every cell of every channel has one value in all samples (at least 10)",
    reason="there is nothing to predict from; often the first sample was written into every row",
    remedy="See whether each sample was written into its own row",
)
FROZEN_CHANNEL = Defect(
    code="frozen-channel",
    severity="warning",
    what="the channel",
    allowed="different from sample to sample",
    rule="of records over time, a channel moves, but in the same way to the bit in all samples (at least 10)",
    reason="measured signals never repeat; often the first one was written into every row. "
    "In pictures a channel may be the same on purpose: the outline of the part",
    remedy="See whether it was written sample by sample, or leave the channel out",
)
IDENTICAL_CHANNELS = Defect(
    code="identical-channels",
    severity="warning",
    what="two channels",
    allowed="different",
    rule="two channels agree in every sample: lowest, highest, mean and standard deviation, "
    "and every cell of those looked at",
    reason="a cable or a column was taken twice, and the true second channel is lost",
    remedy="See which of the two it is, and leave the other out",
)
CONSTANT_INPUT = Defect(
    code="constant-input",
    severity="warning",
    what="an input",
    allowed="different from cell to cell",
    rule="a sample has one value other than 0 in every cell of each channel, and fewer than half of all samples do",
    reason="a sensor that had come off, or a file that could not be read",
    remedy=_REPAIR,
)
BLANK_INPUT = Defect(
    code="blank-input",
    severity="warning",
    what="an input",
    allowed="other than 0 somewhere",
    rule="a sample is 0 in every cell, and fewer than half of all samples are",
    reason="the row was made but never filled",
    remedy=_REPAIR,
)
FLAT_CHANNEL = Defect(
    code="flat-channel",
    severity="warning",
    what="a channel",
    allowed="different from cell to cell",
    rule="a channel is constant in fewer than 1 in 10 samples, in which others are not",
    reason="a sensor that came off now and then; a channel that is constant by design is so in most samples",
    remedy=_REPAIR,
)
DEAD_CELLS = Defect(
    code="dead-cells",
    severity="warning",
    what="a cell",
    allowed="different from sample to sample, as its neighbours are",
    rule="a cell has one value in all samples (at least 10) while every cell around it varies by at least a third "
    "of what is usual",
    reason="a dead or hot pixel: a net can tell instruments apart by it",
    remedy="Interpolate it from its neighbours",
)
ABSOLUTE_ZERO = Defect(
    code="input-below-absolute-zero",
    severity="warning",
    what="a temperature",
    allowed="above absolute zero",
    rule="a channel in degC or degF goes below 0 K",
    reason="the unit is another one, or the value stands for nothing",
    remedy="Mend the unit, or repair these samples",
)
DEFECTS = (
    NOT_FINITE, SWAPPED, PLACEHOLDER, HUGE, DENORMAL, ALL_CONSTANT, SAME_INPUTS, ZERO_CHANNEL,
    CONSTANT_CHANNEL, FROZEN_CHANNEL, IDENTICAL_CHANNELS, CONSTANT_INPUT, BLANK_INPUT, FLAT_CHANNEL, DEAD_CELLS,
    ABSOLUTE_ZERO,
)  # fmt: skip


def find_in_values(question: Asked, seen: Scan) -> Iterator[Finding]:
    """Say which inputs hold numbers that cannot be."""
    data = question.data
    if _swapped(seen.probe, finite=seen.finite):
        yield SWAPPED.found(data, "inputs", got=f"magnitudes such as {_some(seen.probe)}")
        return
    if not seen.finite.all():
        yield NOT_FINITE.found(data, "inputs", rows=~seen.finite, got="NaN or inf")
    if seen.placeholder.any():
        rows = seen.placeholder
        ends = np.concatenate([seen.low[rows].ravel(), seen.high[rows].ravel()])
        got = f"{ends[np.argmax(np.abs(ends))]:g}"
        yield PLACEHOLDER.found(data, "inputs", rows=rows, got=got)
    huge = seen.huge & seen.finite & ~seen.placeholder
    if huge.any():
        size = np.maximum(np.abs(seen.low[huge]), np.abs(seen.high[huge]))
        yield HUGE.found(data, "inputs", rows=huge, got=f"{size.max():g}")
    size = np.abs(seen.probe[seen.probe != 0])
    small = float((size < np.finfo(np.float32).tiny).mean()) if size.size else 0.0
    if small > 0.01:
        yield DENORMAL.found(data, "inputs", got=f"{100 * small:.0f} % below, such as {size.min():g}")


def _some(probe: NDArray[np.float32]) -> str:
    shown = np.abs(probe[np.isfinite(probe) & (probe != 0)]).ravel()
    return f"{shown.min():.0e} and {shown.max():.0e}" if shown.size else "inf"


def _swapped(probe: NDArray[np.float32], *, finite: NDArray[np.bool_]) -> bool:
    values = probe.ravel()
    known = values[np.isfinite(values)]
    if swapped(known):
        return True
    # float64 that was swapped before it became float32: most of it is beyond that type.
    if not finite.all() and np.isinf(values).mean() > 1 / 6 and sane_share(known) < 0.6:
        return True
    return known.size == values.size and _swapped_integers(probe)


def _swapped_integers(probe: NDArray[np.float32]) -> bool:
    low, high = probe.min(), probe.max()
    if high - low < 256 or low < -32768 or high > 65535 or not np.array_equal(probe, np.rint(probe)):
        return False
    kind = np.int16 if low < 0 else np.uint16
    whole = probe.astype(np.int64).astype(kind)
    return _roughness(whole.byteswap()) < 0.4 * _roughness(whole)


def _roughness(values: NDArray[np.integer]) -> float:
    """Return the mean step along the last axis over the standard deviation: 1.1 for white noise."""
    numbers = values.astype(np.float64)
    return float(np.abs(np.diff(numbers, axis=-1)).mean() / numbers.std()) if numbers.std() > 0 else np.inf


def find_in_all(question: Asked, seen: Scan) -> Iterator[Finding]:
    """Say where all inputs are one and the same, which makes every other word on them idle."""
    good = seen.good
    low, high = seen.low[good], seen.high[good]
    if not good.any():
        return
    if (np.ptp(low, axis=0) == 0).all() and (low == high).all():
        yield ALL_CONSTANT.found(question.data, "inputs", got=f"{low[0, 0]:g} in every cell of every sample")
    elif seen.finite.all() and good.sum() >= _ENOUGH and np.array_equal(seen.cell_low, seen.cell_high):
        yield SAME_INPUTS.found(question.data, "inputs", got=f"one and the same in all {int(good.sum()):,} samples")


def find_in_channels(question: Asked, seen: Scan) -> Iterator[Finding]:
    """Say which channels, samples and cells have nothing to say."""
    data, good = question.data, seen.good
    if not good.any():
        return
    low, high = seen.low[good], seen.high[good]
    told = np.zeros(len(data.channels), dtype=np.bool_)
    for number, (name, unit) in enumerate(data.channels.items()):
        first, last = float(low[:, number].min()), float(high[:, number].max())
        told[number] = first == last
        frozen = np.array_equal(seen.cell_low[number], seen.cell_high[number])
        if told[number]:
            defect = ZERO_CHANNEL if first == 0 else CONSTANT_CHANNEL
            yield defect.found(data, "inputs", got=f"{first:g} {unit} in all of channel {name}")
        elif is_signal(data) and seen.finite.all() and good.sum() >= _ENOUGH and frozen:
            told[number] = True
            yield FROZEN_CHANNEL.found(data, "inputs", got=f"the same in all samples for channel {name}")
    yield from _identical(question, seen, told=told)
    yield from _flat(question, seen, told=told)
    yield from _dead_cells(question, seen)
    yield from _cold(question, seen)


def _identical(question: Asked, seen: Scan, *, told: NDArray[np.bool_]) -> Iterator[Finding]:
    names, good = list(question.data.channels), seen.good
    columns = [array[good] for array in (seen.low, seen.high, seen.mean, seen.std)]
    for one, other in itertools.combinations(np.flatnonzero(~told), 2):
        same = all(np.array_equal(column[:, one], column[:, other]) for column in columns)
        if same and np.array_equal(seen.probe[:, one], seen.probe[:, other], equal_nan=True):
            yield IDENTICAL_CHANNELS.found(question.data, "inputs", got=f"{names[one]} and {names[other]} alike")


def _flat(question: Asked, seen: Scan, *, told: NDArray[np.bool_]) -> Iterator[Finding]:
    """Yield samples that are constant where most are not."""
    data, good = question.data, seen.good
    flat = (seen.low == seen.high) & good[:, None] & ~told
    whole = good & (flat | told).all(axis=1)
    zero = whole & ((seen.high == 0) | told).all(axis=1)
    for defect, rows in ((BLANK_INPUT, zero), (CONSTANT_INPUT, whole & ~zero)):
        if rows.any() and whole.mean() < 0.5:
            yield defect.found(data, "inputs", rows=rows, got=f"{seen.high[rows][0, ~told][0]:g} in all cells")
    for number, name in enumerate(data.channels):
        rows = flat[:, number] & ~whole
        if rows.any() and rows.mean() < 0.1:
            yield FLAT_CHANNEL.found(data, "inputs", rows=rows, got=f"{seen.high[rows][0, number]:g} in all of {name}")


def _dead_cells(question: Asked, seen: Scan) -> Iterator[Finding]:
    data = question.data
    if int(seen.finite.sum()) < _ENOUGH:
        return
    space = [axis.size for axis in data.axes]
    around = np.ones([3] * len(space), dtype=np.bool_)
    around[tuple([1] * len(space))] = False
    # At the rim a cell has too few neighbours to stand out: windows and integrals begin with cells that never move.
    inner = np.zeros(space, dtype=np.bool_)
    inner[tuple([slice(1, -1)] * len(space))] = True
    for number, name in enumerate(data.channels):
        std = seen.cell_std[number].reshape(space)
        same = (seen.cell_low[number] == seen.cell_high[number]).reshape(space)
        if same.all():
            continue
        usual = float(np.median(std[~same]))
        dead = same & inner & (ndimage.minimum_filter(std, footprint=around, mode="nearest") > usual / 3)
        if dead.any():
            cells = [tuple(map(int, cell)) for cell in np.argwhere(dead)]
            shown = ", ".join(str(cell if len(cell) > 1 else cell[0]) for cell in cells[:3])
            more = f" and {len(cells) - 3} more" if len(cells) > 3 else ""
            got = f"one value in all samples at {shown}{more} of channel {name}"
            yield DEAD_CELLS.found(data, "inputs", got=got)


def _cold(question: Asked, seen: Scan) -> Iterator[Finding]:
    for number, (name, unit) in enumerate(question.data.channels.items()):
        rows = seen.good & below_absolute_zero(seen.low[:, number], unit=unit)
        if rows.any():
            got = f"{np.nanmin(seen.low[rows, number]):g} {unit} in channel {name}"
            yield ABSOLUTE_ZERO.found(question.data, "inputs", rows=rows, got=got)
