"""The samples of a plan: which part of which input, and the values that belong to it."""

from __future__ import annotations

__all__ = ["pieces_of", "values_of_pieces"]

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ram.data.importing.cells import quantity
from ram.data.importing.columns import Values
from ram.data.importing.cutting import Piece, cells_of, in_blocks, means_within, pieces_of_times, windows
from ram.data.importing.opening import Opened
from ram.data.importing.plan import Plan
from ram.data.importing.survey import Survey
from ram.data.importing.tables import Table
from ram.errors import ConfigError, DataError, explained

_WINDOWS_IN_A_BLOCK = 10


class _Cut(NamedTuple):
    length: int
    hop: int
    block: int


def pieces_of(plan: Plan, opened: Opened, known: Survey) -> tuple[list[Piece], Opened]:
    """Return the samples, and what was opened together with what was left out of it.

    Raises
    ------
    ConfigError
        A recording without a window, a window that no input holds, or columns of times that are half given.
    DataError
        A piece of time reaches out of the recording, or the rows are not those of the windows.
    """
    if opened.recording:
        return _of_recording(plan, opened, known)
    if not plan.window:
        rows = -1 if opened.table is None else 0
        return [Piece(index, 0, None, index if rows == 0 else -1) for index in range(len(opened.inputs))], opened
    pieces, short = [], 0
    for index, look in enumerate(known.looks):
        cut = _cut(plan, look.step)
        found = [Piece(index, *span, index) for span in windows(0, look.shape[-1], length=cut.length, hop=cut.hop)]
        short += not found
        pieces += found if opened.table is not None else [replace(piece, row=-1) for piece in found]
    if not pieces:
        raise ConfigError(_too_long(plan, max(look.shape[-1] for look in known.looks)))
    left_out = (f"{short:,} inputs that are shorter than a window",) * bool(short)
    return pieces, replace(opened, left_out=(*opened.left_out, *left_out))


def values_of_pieces(
    plan: Plan, values: Sequence[Values], table: Table, pieces: Sequence[Piece], *, step: float | None, start: float
) -> tuple[Values, ...]:
    """Return values for each sample: those of its row, or the mean of what was measured while it was recorded."""
    rows = np.array([piece.row for piece in pieces])
    if np.all(rows >= 0):
        return tuple(replace(of, values=of.values[rows]) for of in values)
    times = _times(plan, table, step)
    scale, first = (step, start) if plan.time_column and step else (1.0, 0.0)
    edges = [(first + piece.start * scale, first + (piece.stop or 0) * scale) for piece in pieces]
    return tuple(replace(of, values=means_within(times, of.values, edges), said=_said(of)) for of in values)


def _said(values: Values) -> str:
    return ", ".join(filter(None, (values.said, "mean of what was measured within the window")))


def _of_recording(plan: Plan, opened: Opened, known: Survey) -> tuple[list[Piece], Opened]:
    look = known.first
    step, cells = look.step, look.shape[-1]
    if bool(plan.start_column) != bool(plan.end_column):
        raise ConfigError(
            explained(
                where="ram data import",
                what="--start-column and --end-column",
                allowed="given together",
                got="one of them",
            )
        )
    if plan.start_column:
        return _of_times(plan, opened, step, look.start, cells), opened
    if not plan.window:
        raise ConfigError(
            explained(
                where=opened.inputs.name(0),
                what="a recording",
                allowed="cut into windows",
                got=f"{cells:,} samples and no window",
                next_step="Say --window '0.5 s' and --hop '0.1 s', or name the pieces (--start-column, --end-column)",
            )
        )
    cut = _cut(plan, step)
    found = list(in_blocks(cells, length=cut.length, hop=cut.hop, block=cut.block))
    if not found:
        raise ConfigError(_too_long(plan, cells))
    in_order = opened.table is not None and not plan.time_column and len(opened.table) == len(found)
    if opened.table is not None and plan.targets and not (in_order or plan.time_column or len(opened.table) == cells):
        raise DataError(_rows_of_windows(opened.table, len(found), cells))
    pieces = [Piece(0, start, stop, row if in_order else -1, block) for row, (start, stop, block) in enumerate(found)]
    unused = (max(start for start, _, _ in found) + cut.length) < cells
    left_out = (f"what is left of each block of {cut.block:,} samples after its last window",) * unused
    said = f"{len(found):,} windows of {cut.length:,} samples, {cut.hop:,} apart, in blocks of {cut.block:,}"
    return pieces, replace(opened, said=(*opened.said, said), left_out=(*opened.left_out, *left_out))


def _of_times(plan: Plan, opened: Opened, step: float | None, first: float, cells: int) -> list[Piece]:
    """Return the pieces whose times a table names, cut into windows where there is one."""
    table = opened.table
    if table is None or step is None:
        what, got = ("a table", "none") if table is None else ("the sample rate", "not known")
        raise ConfigError(
            explained(where="--start-column", what=what, allowed="given with it", got=got, next_step="Add it")
        )
    begins, ends = (_seconds(table, name) for name in (plan.start_column, plan.end_column))
    spans = pieces_of_times(begins, ends, step=step, first=first, cells=cells, where=str(table.path))
    if not plan.window:
        return [Piece(0, *span, row) for row, span in enumerate(spans)]
    cut = _cut(plan, step)
    pieces = [
        Piece(0, *span, row)
        for row, (start, stop) in enumerate(spans)
        for span in windows(start, stop, length=cut.length, hop=cut.hop)
    ]
    if not pieces:
        raise ConfigError(_too_long(plan, max(stop - start for start, stop in spans)))
    return pieces


def _cut(plan: Plan, step: float | None) -> _Cut:
    length = cells_of(plan.window, step, where="--window")
    hop = cells_of(plan.hop, step, where="--hop") if plan.hop else length
    block = cells_of(plan.block, step, where="--block") if plan.block else _WINDOWS_IN_A_BLOCK * length
    return _Cut(length, hop, block)


def _times(plan: Plan, table: Table, step: float | None) -> NDArray[np.float64]:
    """Return when each row was measured: in s by the time column, else the number of the cell."""
    if not plan.time_column:
        return np.arange(len(table), dtype=np.float64) + 0.0
    if step is None:
        raise ConfigError(
            explained(
                where="--time-column",
                what="the sample rate of the recording",
                allowed="known",
                got="none",
                next_step="Say --sample-rate '10 kHz'",
            )
        )
    return _seconds(table, plan.time_column)


def _seconds(table: Table, name: str) -> NDArray[np.float64]:
    column = table.column(name, wanted_by="the time")
    values = table.numbers(column)
    return (
        values * quantity(1.0, unit="s", where="")
        if column.unit in ("", "s")
        else values * quantity(f"1 {column.unit}", unit="s", where=f"{table.path}, column {column.header!r}")
    )


def _too_long(plan: Plan, cells: int) -> str:
    return explained(
        where="--window",
        what="a window",
        allowed=f"within {cells:,} samples, the longest input (or block)",
        got=repr(plan.window),
        next_step="Choose a shorter window",
    )


def _rows_of_windows(table: Table, count: int, cells: int) -> str:
    return explained(
        where=str(table.path),
        what="the table of a recording",
        allowed=f"with times (--time-column, or --start-column and --end-column), of {count:,} rows, one for each"
        f" window, or of {cells:,}, one for each sample",
        got=f"{len(table):,} rows",
        next_step="Say which column is the time",
    )
