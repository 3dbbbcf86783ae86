"""Excel sheets and Parquet files as rows and columns of cells; their libraries are an extra of this package."""

from __future__ import annotations

__all__ = ["read_excel", "read_parquet"]

import math
from pathlib import Path
from typing import Any

from ram.data.importing.cells import split_header
from ram.data.importing.tables import Column
from ram.errors import ConfigError, DataError, explained, nearest

_MOST_EMPTY = 1_000


def read_excel(path: Path, *, sheet: str = "") -> tuple[list[list[object]], list[int], tuple[str, ...]]:
    """Return the rows of a sheet that hold something, their line numbers, and what was recognised.

    Values that formulas had when the file was saved are read; formulas are not run.

    Raises
    ------
    DataError
        openpyxl is not installed, or the file is no workbook.
    ConfigError
        There is no such sheet, or there are several and none was named.
    """
    try:
        import openpyxl
    except ImportError:
        raise DataError(_missing_library(path, "Excel", "openpyxl")) from None
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # extensions of Excel that hold no values
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # a damaged archive raises whatever its parser does
        raise DataError(
            explained(
                where=str(path),
                what="the table",
                allowed="an Excel workbook (.xlsx)",
                got=f"'{error}'",
                next_step="Open it and save it again, or save it as CSV",
            )
        ) from None
    try:
        chosen = _sheet(path, book.worksheets, sheet)
        return (*_rows(book[chosen]), (f"sheet {chosen!r} of {len(book.sheetnames)}",))
    finally:
        book.close()


def read_parquet(path: Path) -> tuple[tuple[Column, ...], tuple[int, ...], tuple[str, ...]]:
    """Return the columns of a Parquet file, row numbers counted from 1, and what was recognised.

    Raises
    ------
    DataError
        pyarrow is not installed, or the file is damaged.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise DataError(_missing_library(path, "Parquet", "pyarrow")) from None
    try:
        table: Any = parquet.ParquetFile(path).read()
    except Exception as error:  # pyarrow raises kinds of its own
        raise DataError(
            explained(where=str(path), what="the table", allowed="a whole Parquet file", got=f"'{error}'")
        ) from None
    columns = []
    for header in table.column_names:
        name, unit = split_header(header)
        columns.append(Column(name, header, unit, tuple(table.column(header).to_pylist())))
    return tuple(columns), tuple(range(1, table.num_rows + 1)), ("Parquet",)


def _sheet(path: Path, sheets: list[Any], wanted: str) -> str:
    """Return the sheet that was asked for, else the only one with something in it; charts are no sheets."""
    names = [sheet.title for sheet in sheets]
    if not wanted:
        names = [sheet.title for sheet in sheets if _holds_something(sheet)] or names
    if wanted in names or (not wanted and len(names) == 1):
        return wanted or names[0]
    quoted = ", ".join(map(repr, names))
    got, near = (repr(wanted), nearest(wanted, names)) if wanted else ("none", f"Say which: --sheet {names[0]!r}")
    raise ConfigError(explained(where=str(path), what="the sheet", allowed=f"one of {quoted}", got=got, next_step=near))


def _holds_something(sheet: Any) -> bool:
    return any(cell is not None for row in sheet.iter_rows(max_row=_MOST_EMPTY, values_only=True) for cell in row)


def _rows(sheet: Any) -> tuple[list[list[object]], list[int]]:
    rows: list[list[object]] = []
    lines: list[int] = []
    empty = 0
    for line, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
        row = [cell.strip() if isinstance(cell, str) else cell for cell in cells]
        while row and (row[-1] is None or row[-1] == ""):
            row.pop()
        empty = 0 if row else empty + 1
        if empty > _MOST_EMPTY:  # sheets whose empty cells were once formatted go on to row 1,048,576
            break
        if row:
            rows.append(row)
            lines.append(line)
    width = max(map(len, rows), default=0)
    return [_padded(row, width) for row in rows], lines


def _padded(row: list[object], width: int) -> list[object]:
    cells = [math.nan if isinstance(cell, str) and cell.startswith("#") else cell for cell in row]  # #N/A, #DIV/0!
    return cells + [None] * (width - len(row))


def _missing_library(path: Path, kind: str, library: str) -> str:
    return explained(
        where=str(path),
        what=f"{library}, which reads {kind} files,",
        allowed="installed",
        got="no such package",
        next_step="Run pip install 'regression-activation-mapping[tables]', or save the table as CSV",
    )
