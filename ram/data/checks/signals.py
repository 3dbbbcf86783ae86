"""Records over time: clipped, stuck, padded, drifting, counted over."""

from __future__ import annotations

__all__ = ["DEFECTS", "find_in_lengths", "find_in_signals"]

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ram.data.checks.asked import Asked
from ram.data.checks.defects import Defect, Finding
from ram.data.checks.grids import is_signal
from ram.data.checks.scan import Scan
from ram.data.checks.weights import AFTER_LENGTH

CLIPPED = Defect(
    code="clipped-input",
    severity="warning",
    what="a signal",
    allowed="inside the range of its instrument",
    rule="at least 1 in 50 signals are flat at their top or bottom as no crest is: 5 cells or more, 3 of them in a "
    "row, stand on the extreme, and are over three fifths of all cells within 2 % of the span from it",
    reason="what was beyond the range is lost, and clipping makes overtones that were not there; "
    "less than 1 in 50 changes no figure",
    remedy="Measure with less gain, or leave these samples out",
)
OVERFLOW = Defect(
    code="integer-overflow",
    severity="warning",
    what="a signal of whole numbers",
    allowed="inside the range of its type",
    rule="whole numbers that jump by over half of the range of an 8- or 16-bit integer; taken as steps across its "
    "end, the signal bends half as much or less",
    reason="a counter that ran over its end goes on at the other one",
    remedy="Unwrap it (numpy.unwrap with the type's range as period), or read it as a wider type",
)
STUCK = Defect(
    code="stuck-input",
    severity="warning",
    what="a signal",
    allowed="in motion all along",
    rule="one value over a fifth of the record (at least 20 cells) between stretches that move, "
    "in fewer than half of the samples",
    reason="a sensor that hung, or packets that were lost and filled",
    remedy="Leave these samples out, or cut the record before the gap",
)
PADDED = Defect(
    code="padded-input",
    severity="warning",
    what="padding",
    allowed="declared by lengths",
    rule="1 in 10 signals or more end in one value, over at least a twentieth of the record and at least 8 cells, "
    "of different lengths, right after the signal still moved; the file has no lengths",
    reason="a net takes the end of the signal for an event; where signals of one kind are shorter, it learns that",
    remedy="Import them with their lengths",
)
OFFSET = Defect(
    code="wandering-offset",
    severity="warning",
    what="the means of the signals",
    allowed="alike, as far as the signals are small",
    rule="means differ between samples by more than 10 times what a signal moves about its own mean",
    reason="one scale serves the whole channel: the signals themselves are then a tenth of it and less",
    remedy="Subtract each signal's mean, unless the mean is what tells the target",
)
DRIFT = Defect(
    code="drift",
    severity="warning",
    what="a signal",
    allowed="free of drift",
    rule="a straight line makes up over 90 % of the variance within the record in more than half of the samples, "
    "and the rest crosses it more than 20 times",
    reason="an amplifier that warms up, or an integrated offset: what swings about the line is the signal",
    remedy="Subtract the line from each signal, or use a high-pass filter",
)

DEFECTS = (CLIPPED, OVERFLOW, STUCK, PADDED, OFFSET, DRIFT)


def find_in_signals(question: Asked, seen: Scan) -> Iterator[Finding]:
    """Say what is wrong with records over time; nothing where the inputs are none."""
    data, good = question.data, seen.good
    if not is_signal(data) or not good.any():
        return
    unit = " / ".join(dict.fromkeys(data.channels.values()))
    clipped = seen.clipped & good
    if clipped.sum() >= 0.02 * good.sum():
        tops = np.maximum(np.abs(seen.low[clipped]), np.abs(seen.high[clipped])).max(axis=1)
        if clipped.any():
            got = f"{int(clipped.sum()):,} that are flat at their extremes, such as {tops[0]:g} {unit}"
            yield CLIPPED.found(data, "inputs", rows=clipped, got=got)
    if seen.wrapped.any():
        got = f"{int(seen.wrapped.sum()):,} that jump between {seen.low[seen.wrapped].min():g} and "
        yield OVERFLOW.found(data, "inputs", rows=seen.wrapped, got=f"{got}{seen.high[seen.wrapped].max():g}")
    stuck = seen.stuck & good
    if stuck.any() and stuck.sum() < 0.5 * good.sum():
        yield STUCK.found(data, "inputs", rows=stuck, got=f"{int(stuck.sum()):,} that stand still for a fifth of it")
    yield from _padding(question, seen)
    yield from _offset(question, seen)
    yield from _drift(question, seen)


def find_in_lengths(question: Asked, seen: Scan) -> Iterator[Finding]:
    """Say where signal follows the length that the file gives; looks at inputs with one axis."""
    data = question.data
    if len(data.axes) != 1:
        return
    size = data.axes[0].size
    lengths = data.lengths
    # One cell more may be of the same value as the padding, never one less.
    late = seen.finite & (lengths >= 1) & (lengths < size) & (size - seen.tail > lengths)
    if late.any():
        got = f"signal up to cell {int((size - seen.tail)[late][0])} after a length of {int(lengths[late][0])}"
        yield AFTER_LENGTH.found(data, "lengths", rows=late, got=got)


def _padding(question: Asked, seen: Scan) -> Iterator[Finding]:
    data, size = question.data, question.data.axes[0].size
    if (data.lengths != size).any():
        return
    moving = seen.good & (seen.std > 0).any(axis=1)
    padded = moving & seen.abrupt & (seen.tail >= max(8, size // 20))
    if padded.sum() >= max(2, 0.1 * moving.sum()) and np.unique(seen.tail[padded]).size > 1:
        got = f"{int(padded.sum()):,} signals that end in one value over {seen.tail[padded].max()} cells or less"
        yield PADDED.found(data, "inputs", rows=padded, got=got)


def _offset(question: Asked, seen: Scan) -> Iterator[Finding]:
    for number, (name, unit) in enumerate(question.data.channels.items()):
        alive = seen.good & (seen.std[:, number] > 0)
        if alive.sum() < 10:
            continue
        means, within = seen.mean[alive, number].astype(np.float64), float(np.median(seen.std[alive, number]))
        # Robust: one stray sample is another defect.
        between = 0.5 * float(np.subtract(*np.percentile(means, [84, 16])))
        if between > 10 * within:
            got = f"{between:.2g} {unit} between samples and {within:.2g} {unit} within them in channel {name}"
            yield OFFSET.found(question.data, "inputs", got=got)


def _drift(question: Asked, seen: Scan) -> Iterator[Finding]:
    probe = seen.probe[np.isfinite(seen.probe).all(axis=(1, 2))].astype(np.float64)
    if not len(probe) or probe.shape[2] < 64:
        return
    line = np.linspace(-1.0, 1.0, probe.shape[2])
    for number, name in enumerate(question.data.channels):
        x = probe[:, number] - probe[:, number].mean(axis=1, keepdims=True)
        rest = x - (x @ line / (line @ line))[:, None] * line
        total = (x**2).sum(axis=1)
        share = 1.0 - (rest**2).sum(axis=1) / np.where(total > 0, total, 1.0)
        drifts = (total > 0) & (share > 0.9) & (_crossings(rest) > 20)
        if drifts.mean() > 0.5:
            got = f"{100 * float(np.median(share[drifts])):.0f} % of the variance on a straight line in channel {name}"
            yield DRIFT.found(question.data, "inputs", got=got)


def _crossings(rest: NDArray[np.float64]) -> NDArray[np.integer]:
    return np.asarray((np.sign(rest[:, 1:]) != np.sign(rest[:, :-1])).sum(axis=1))
