"""The file itself: whether it opens, and whether its values are those that were written."""

from __future__ import annotations

__all__ = ["DAMAGED", "DEFECTS", "damaged", "find_damage", "unreadable"]

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ram.data.checks.asked import Asked
from ram.data.checks.defects import Defect, Finding
from ram.data.integrity import verify
from ram.data.spec import SCHEMA
from ram.errors import DataError

UNREADABLE = Defect(
    code="unreadable",
    severity="error",
    what="the file",
    allowed="whole and its own",
    rule="it does not open: missing, no HDF5, cut short, chunks that were never written, links that lead out of it, "
    "a head whose digests do not fit, a mapping that finds nothing",
    reason="HDF5 hands out zeros for what was never written and follows links to any file, without a word",
    remedy="",
)
DAMAGED = Defect(
    code="damaged",
    severity="error",
    what="the values",
    allowed="those that were written",
    rule="a digest does not fit its values; inputs are always looked at, everything else with --deep",
    reason="a flipped bit can be any other number",
    remedy="The file is damaged; take it from its source again or make it again",
)

DEFECTS = (UNREADABLE, DAMAGED)


def unreadable(path: Path, error: DataError) -> Finding:
    """Return the finding that stands for a file that does not open."""
    return Finding(UNREADABLE.code, UNREADABLE.severity, str(path), "/", (), 0, str(error))


def damaged(question: Asked, error: DataError) -> Finding:
    """Return the finding that stands for values that could not be read."""
    file, place = str(question.data.path), question.data.place("inputs")
    return Finding(DAMAGED.code, DAMAGED.severity, file, place, (), 0, str(error))


def find_damage(question: Asked) -> Iterator[Finding]:
    """Verify every value of a data file and say which rows are not as they were written.

    A file of the user's own has no digests in it; there is nothing to hold its values against.
    """
    data = question.data
    if data.attributes.get("schema") != SCHEMA:
        return
    found = verify(data.path)
    for array in dict.fromkeys(damage.array for damage in found):
        spans = [np.arange(damage.first, damage.last + 1) for damage in found if damage.array == array]
        rows = np.isin(data.indices, np.concatenate(spans))
        if rows.any():
            yield DAMAGED.found(data, array, rows=rows, got="another digest")
