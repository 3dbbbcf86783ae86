"""Every value of a data file held against its digest; what is damaged is named."""

from __future__ import annotations

__all__ = ["Damage", "verify"]

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ram.data.file import DatasetFile
from ram.errors import DataError

_PIECE_BYTES = 2**23


@dataclass(frozen=True)
class Damage:
    """Rows that are not what was written, next to each other in one array of a file.

    Attributes
    ----------
    array
        Path in the file: ``"inputs"``, ``"truth/umbrella/contribution"``.
    first, last
        Rows, both included; inputs that are stored in one chunk are damaged together.
    reason
        The error of the first of them.
    """

    array: str
    first: int
    last: int
    reason: str

    def __str__(self) -> str:
        """Return the array and the rows."""
        return f"/{self.array} row{f's {self.first} to {self.last}' if self.last > self.first else f' {self.first}'}"


def verify(path: str | os.PathLike[str], progress: Callable[[int, int], None] | None = None) -> list[Damage]:
    """Read a `ram-dataset/1` file whole and return what is damaged, rows next to each other as one; empty if nothing.

    Memory holds a few MB of it.

    Parameters
    ----------
    progress
        Called with the number of rows that were read and the number of all rows of all large arrays.

    Raises
    ------
    DataError
        The file cannot be opened: its schema, an axis, a target or another small array is damaged.
    """
    file = DatasetFile(path)
    head = file.head
    arrays = [
        "inputs",
        *(f"truth/{target}/{kind}" for target, kind in head.truth),
        *(["regions"] if head.regions else []),
    ]
    found: list[Damage] = []
    for number, name in enumerate(arrays):
        for first, last in _pieces(file, name):
            found += _damage(file, name, first, last)
            if progress:
                progress(number * head.count + last + 1, len(arrays) * head.count)
    return _joined(found)


def _pieces(file: DatasetFile, name: str) -> Iterator[tuple[int, int]]:
    """Yield first and last rows of pieces that are read at once: whole chunks of them."""
    head = file.head
    row_bytes = 4 * int(np.prod(head.space)) * (len(head.channels) if name == "inputs" else 1)
    together = max(1, file.block_rows if name == "inputs" else 1)
    step = together * max(1, _PIECE_BYTES // (row_bytes * together))
    for first in range(0, head.count, step):
        yield first, min(first + step, head.count) - 1


def _damage(file: DatasetFile, name: str, first: int, last: int) -> list[Damage]:
    """Return the damaged rows among some; all are read at once, smaller parts only where that fails."""
    together = max(1, file.block_rows) if name == "inputs" else 1
    try:
        _read(file, name, np.arange(first, last + 1))
    except DataError as error:
        if first // together == last // together:
            return [Damage(name, first, last, str(error))]
        middle = max(first, ((first + last + 1) // 2) // together * together - 1)  # parts are whole chunks
        return _damage(file, name, first, middle) + _damage(file, name, middle + 1, last)
    return []


def _read(file: DatasetFile, name: str, rows: np.ndarray) -> None:
    if name == "inputs":
        file.inputs(rows)
    elif name == "regions":
        file.regions(rows)
    else:
        _, target, kind = name.split("/")
        file.truth(target, kind, rows)


def _joined(found: list[Damage]) -> list[Damage]:
    """Join rows that are next to each other."""
    joined: list[Damage] = []
    for one in found:
        before = joined[-1] if joined else None
        if before and before.array == one.array and before.last + 1 == one.first:
            joined[-1] = Damage(one.array, before.first, one.last, before.reason)
        else:
            joined.append(one)
    return joined
