"""Pieces of inputs: whole ones, windows of a recording, pieces of time that a table names."""

from __future__ import annotations

__all__ = ["Piece", "cells_of", "in_blocks", "means_within", "pieces_of_times", "windows"]

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ram.data.importing.cells import quantity
from ram.errors import ConfigError, DataError, explained


@dataclass(frozen=True)
class Piece:
    """One sample: cells `start` to `stop` of the input `index`, described by a `row` of the table (-1: none)."""

    index: int
    start: int
    stop: int | None
    row: int = -1
    block: int = 0


def cells_of(text: str, step: float | None, *, where: str) -> int:
    """Return a length in cells; a plain whole number is one, a time needs the `step` in s.

    >>> cells_of("0.5 s", 0.001, where="--window"), cells_of("4096", None, where="--window")
    (500, 4096)

    Raises
    ------
    ConfigError
        It is no time, less than one cell, or the rate is not known.
    """
    if text.strip().isdecimal():
        cells = int(text)
    elif step is None:
        raise ConfigError(
            explained(
                where=where,
                what="a time",
                allowed="given where the sample rate is known",
                got=repr(text),
                next_step="Say --sample-rate '10 kHz', or the number of samples",
            )
        )
    else:
        cells = round(quantity(text, unit="s", where=where) / step)
    if cells < 1:
        raise ConfigError(explained(where=where, what="a length", allowed="at least one sample", got=repr(text)))
    return cells


def windows(begin: int, end: int, *, length: int, hop: int) -> Iterator[tuple[int, int]]:
    """Yield the windows that fit between two cells.

    >>> list(windows(0, 10, length=4, hop=3))
    [(0, 4), (3, 7), (6, 10)]
    """
    for start in range(begin, end - length + 1, hop):
        yield start, start + length


def in_blocks(cells: int, *, length: int, hop: int, block: int) -> Iterator[tuple[int, int, int]]:
    """Yield windows and the number of their block; none reaches into the next block, so that blocks share nothing.

    >>> list(in_blocks(10, length=2, hop=2, block=5))
    [(0, 2, 0), (2, 4, 0), (5, 7, 1), (7, 9, 1)]
    """
    for number, begin in enumerate(range(0, cells, block)):
        for start, stop in windows(begin, min(begin + block, cells), length=length, hop=hop):
            yield start, stop, number


def means_within(
    times: NDArray[np.float64], values: NDArray[np.float64], edges: Sequence[tuple[float, float]]
) -> NDArray[np.float64]:
    """Return the mean of the values measured within each piece of time, NaN where there is none.

    Parameters
    ----------
    times
        Shape (value,), in any order.
    values
        Shape (value,), NaN where not measured.
    edges
        Beginning and end of each piece.

    >>> means_within(np.array([0.0, 1.0, 2.0]), np.array([5.0, 7.0, np.nan]), [(0, 2), (2, 3)])
    array([ 6., nan])
    """
    known = np.isfinite(values) & np.isfinite(times)
    order = np.argsort(times[known], kind="stable")
    at, measured = times[known][order], values[known][order]
    low = np.searchsorted(at, [begin for begin, _ in edges], side="left")
    high = np.searchsorted(at, [end for _, end in edges], side="left")
    means = [measured[a:b].mean() if b > a else np.nan for a, b in zip(low, high, strict=True)]
    return np.array(means, dtype=np.float64)


def pieces_of_times(
    begins: NDArray[np.float64], ends: NDArray[np.float64], *, step: float, first: float, cells: int, where: str
) -> list[tuple[int, int]]:
    """Return the cells of pieces of time, all of them inside the recording.

    Raises
    ------
    DataError
        A piece is empty, not finite, or reaches out of the recording; names the row.
    """
    pieces = []
    for row, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        inside = np.isfinite(begin) and np.isfinite(end)
        start, stop = (round((begin - first) / step), round((end - first) / step)) if inside else (0, 0)
        if not 0 <= start < stop <= cells:
            raise DataError(
                explained(
                    where=f"{where} row {row}",
                    what="a piece of time",
                    allowed=f"within {first:g} to {first + step * cells:g} s, its end after its beginning",
                    got=f"{begin:g} to {end:g} s",
                )
            )
        pieces.append((start, stop))
    return pieces
