"""Matrices in text files, one sample a line, read line by line into a memory map."""

from __future__ import annotations

__all__ = ["text_matrix"]

import contextlib
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ram.errors import DataError, explained


def text_matrix(path: Path, stack: contextlib.ExitStack) -> NDArray[Any]:
    """Return a matrix in a text file, one sample a line, as a memory map that lives as long as the `stack`.

    Whole numbers from 0 to 255 are handed out as bytes.

    Raises
    ------
    DataError
        A line holds something else, or not as many numbers as the first.
    """
    target = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ram-import-"))) / "matrix"
    width, place, whole = 0, 0, True
    with path.open(encoding="utf-8-sig", errors="replace") as file, target.open("wb") as copy:
        for place, line in enumerate(file, start=1):
            cells = re.split(r"[\s;,]+", line.strip())
            try:
                numbers = np.array(cells, dtype=np.float64) if line.strip() else np.zeros(0)
                fits = len(numbers) == (width or len(numbers))
            except ValueError:
                fits = False
            if not fits:
                raise DataError(_unfit_line(path, place, width, line))
            width = width or len(numbers)
            whole = whole and bool(np.all(numbers == np.rint(numbers)) and np.all((numbers >= 0) & (numbers <= 255)))
            copy.write(numbers.tobytes())
    if not width:
        raise DataError(explained(where=str(path), what="the file", allowed="a matrix of numbers", got="no numbers"))
    values = np.memmap(target, dtype=np.float64, mode="r").reshape(-1, width)
    return _Bytes(values) if whole else values  # type: ignore[return-value]


class _Bytes:
    """A matrix of whole numbers 0 to 255, handed out as bytes."""

    dtype = np.dtype(np.uint8)

    def __init__(self, values: NDArray[Any]) -> None:
        self.values, self.shape = values, values.shape

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        return np.asarray(self.values[key], dtype=np.uint8)


def _unfit_line(path: Path, place: int, width: int, line: str) -> str:
    return explained(
        where=f"{path} line {place}",
        what="a line of a matrix",
        allowed=f"{width or 'some'} numbers with spaces or commas between them",
        got=repr(line.strip()[:60]),
        next_step="Name arrays in NPZ, NPY, MATLAB or HDF5 files, or matrices of numbers in text files",
    )
