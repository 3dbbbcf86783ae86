"""Samples that are there twice, to the bit or nearly, and what leaks between the parts by them."""

from __future__ import annotations

__all__ = ["DEFECTS", "find_in_samples"]

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ram.data.checks.asked import Asked
from ram.data.checks.defects import Defect, Finding
from ram.data.checks.scan import SIGNATURE, Scan

_ONCE = "Keep one of each, or give them one group and split by group"

DUPLICATE = Defect(
    code="duplicate-input",
    severity="warning",
    what="an input",
    allowed="there once",
    rule="two inputs of one part are equal to the bit (constant ones left out)",
    reason="a sample that is there twice counts twice; measured values never repeat to the bit",
    remedy="Keep one of each",
)
LEAK = Defect(
    code="duplicate-leak",
    severity="warning",
    what="an input",
    allowed="in one part of the split",
    rule="two inputs that are equal to the bit lie in different parts",
    reason="the net has seen the answer: the figures of the test part are too good",
    remedy=_ONCE,
)
CONTRADICTION = Defect(
    code="contradicting-duplicates",
    severity="warning",
    what="equal inputs",
    allowed="of equal targets",
    rule="two inputs are equal to the bit and a target differs by more than 1e-6 of its spread",
    reason="no net can tell them apart; inputs and targets were joined by the wrong names or rows",
    remedy="See which target belongs to the input",
)
NEAR = Defect(
    code="near-duplicate-input",
    severity="warning",
    what="an input",
    allowed="different from the others",
    rule="two inputs of one part differ by less than 1/2,000 of what inputs differ by in the mean",
    reason="one measurement that was rounded, cut or saved again; two measurements differ by their noise",
    remedy="Keep one of each",
)
NEAR_LEAK = Defect(
    code="near-duplicate-leak",
    severity="warning",
    what="an input",
    allowed="in one part of the split",
    rule="two inputs that differ by less than 1/2,000 of what inputs differ by in the mean lie in different parts",
    reason="the net has as good as seen the answer: the figures of the test part are too good",
    remedy=_ONCE,
)

DEFECTS = (DUPLICATE, LEAK, CONTRADICTION, NEAR, NEAR_LEAK)

_NEAR = 1 / 2000
# Eight sums with random signs of a difference of size d are normal with deviation d; four of them hold all eight
# but for 1 pair in 2,000.
_WITHIN = 4.0
_FURTHEST = 32
_MOST_PAIRS = 256

Pairs = NDArray[np.int64]  # (pair, 2)


def find_in_samples(question: Asked, seen: Scan) -> Iterator[Finding]:
    """Say which samples are there twice."""
    moving = seen.good & (seen.low != seen.high).any(axis=1)
    same = _equal(seen.digest, where=moving)
    yield from _told(question, same, within=DUPLICATE, across=LEAK, words="equals")
    yield from _contradictions(question, same)
    moving[same[:, 1]] = False
    near = _nearly_equal(question, seen, where=moving)
    yield from _told(question, near, within=NEAR, across=NEAR_LEAK, words="is nearly")


def _equal(digest: NDArray[np.uint64], *, where: NDArray[np.bool_]) -> Pairs:
    """Return (first, later) of rows with one digest; xxh3 of 64 bits errs once in 3e5 files of 1e7 rows."""
    rows = np.flatnonzero(where)
    order = rows[np.argsort(digest[rows], kind="stable")]
    fresh = np.ones(order.size, dtype=np.bool_)
    fresh[1:] = digest[order[1:]] != digest[order[:-1]]
    first = order[np.maximum.accumulate(np.where(fresh, np.arange(order.size), 0))] if order.size else order
    pairs = np.stack([first[~fresh], order[~fresh]], axis=1)
    return np.asarray(pairs[np.argsort(pairs[:, 1], kind="stable")])


def _told(question: Asked, pairs: Pairs, *, within: Defect, across: Defect, words: str) -> Iterator[Finding]:
    data, parts = question.data, question.parts
    apart = parts[pairs[:, 0]] != parts[pairs[:, 1]]
    for defect, of in ((across, pairs[apart]), (within, pairs[~apart])):
        if len(of):
            one, other = map(int, of[0])
            where = f" ({parts[other]}, {parts[one]})" if defect is across else ""
            got = f"{len(of):,}: id {data.ids[other]} {words} id {data.ids[one]}{where}"
            yield defect.found(data, "inputs", rows=np.unique(of[:, 1]), got=got)


def _contradictions(question: Asked, pairs: Pairs) -> Iterator[Finding]:
    for name in question.targets if len(pairs) else ():
        values = question.target(name)
        differ = np.abs(values[pairs[:, 0]] - values[pairs[:, 1]]) > 1e-6 * np.nanstd(values[np.isfinite(values)])
        if differ.any():
            one, other = pairs[differ][0]
            got = f"{values[one]:g} and {values[other]:g} for the ids {_ids(question, (one, other))}"
            yield CONTRADICTION.found(question.data, f"targets/{name}", rows=np.unique(pairs[differ, 1]), got=got)


def _ids(question: Asked, rows: Sequence[int]) -> str:
    return " and ".join(map(str, question.data.ids[list(rows)]))


def _nearly_equal(question: Asked, seen: Scan, *, where: NDArray[np.bool_]) -> Pairs:
    """Return pairs of rows that differ by next to nothing: found by their signatures, proved by their cells."""
    rows = np.flatnonzero(where)
    none: Pairs = np.zeros((0, 2), dtype=np.int64)
    if rows.size < 3:
        return none
    signature = seen.signature[rows].astype(np.float64)
    # A median: one sample out of all proportion must not make the others look alike.
    spread = 1.48 * float(np.median(np.abs(signature - np.median(signature, axis=0))))
    candidates = _close(signature, within=_WITHIN * _NEAR * spread)
    found = [pair for pair in rows[candidates[:_MOST_PAIRS]] if _distance(question, seen, pair) < _NEAR * spread]
    return np.array(found, dtype=np.int64).reshape(-1, 2) if found else none


def _close(signature: NDArray[np.float64], *, within: float) -> Pairs:
    """Return pairs whose eight numbers all agree `within` so much, earlier row first."""
    order = np.argsort(signature[:, 0], kind="stable")
    ordered = signature[order]
    pairs: list[Pairs] = []
    for shift in range(1, min(_FURTHEST, len(order) - 1) + 1):
        step = ordered[shift:] - ordered[:-shift]
        if not (step[:, 0] <= within).any():
            break
        at = np.flatnonzero((np.abs(step) <= within).all(axis=1))
        pairs.append(np.sort(np.stack([order[at], order[at + shift]], axis=1), axis=1))
    assert ordered.shape[1] == SIGNATURE
    joined = np.concatenate(pairs) if pairs else np.zeros((0, 2), dtype=np.int64)
    return np.asarray(joined[np.argsort(joined[:, 1], kind="stable")])


def _distance(question: Asked, seen: Scan, pair: NDArray[np.int64]) -> float:
    """Return the root mean square of the difference of two inputs, channels in units of their scale."""
    one, other = question.data[pair].x().astype(np.float64)
    scale = seen.scale.reshape(-1, *[1] * (one.ndim - 1))
    return float(np.sqrt(np.mean(((one - other) / scale) ** 2)))
