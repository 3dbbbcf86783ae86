"""The file itself: whether it opens, and whether its values are those that were written."""

from __future__ import annotations

__all__ = ["DAMAGED", "DEFECTS", "damaged", "find_damage", "unreadable"]

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ram.data.checks.asked import Asked
from ram.data.checks.defects import Defect, Finding
from ram.data.dataset import Dataset
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


def find_damage(question: Asked, *, in_inputs: bool) -> Iterator[Finding]:
    """Read what no other check looks at, truth and regions, row by row, and say what is not as it was written.

    Parameters
    ----------
    in_inputs
        Whether the inputs could not be read whole, so that their rows must be gone through as well.
    """
    data = question.data
    readers: dict[str, Callable[[Dataset], object]] = {
        f"truth/{target}/{kind}": functools.partial(_truth, target=target, kind=kind)
        for target, kind in data.truth_kinds
    }
    if in_inputs:
        readers["inputs"] = Dataset.x
    if data.region_names:
        readers["regions"] = Dataset.regions_array
    for path, read in readers.items():
        bad = [row for row in range(len(data)) if _unreadable(read, data[[row]])]
        if bad:
            yield DAMAGED.found(data, path, rows=np.array(bad), got="another digest")


def _truth(data: Dataset, *, target: str, kind: str) -> object:
    return data.truth_array(target, kind)


def _unreadable(read: Callable[[Dataset], object], one: Dataset) -> bool:
    try:
        read(one)
    except DataError:
        return True
    return False
