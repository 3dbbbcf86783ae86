"""Tables of measurements: CSV and other text, Excel, Parquet; one row a sample, names and units in the header.

Cells are kept as they stand; they become numbers when a column is asked for, so that an error can name the cell.
"""

from __future__ import annotations

__all__ = ["Column", "Table", "read_table"]

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ram.data.importing.cells import decimal_mark, is_missing, known_unit, number, shared_decimal_mark, split_header
from ram.errors import ConfigError, DataError, explained, nearest

_SEPARATORS = {"\t": "tab", ";": "semicolon", ",": "comma", "|": "bar", " ": "space"}
_LOOKED_AT = 200


@dataclass(frozen=True)
class Column:
    """One column: its name without the unit, the header as it stands, the unit ("" where not said), its cells."""

    name: str
    header: str
    unit: str
    cells: Sequence[object] = field(repr=False)


@dataclass(frozen=True)
class Table:
    """Columns of equal length.

    Parameters
    ----------
    path
        The file.
    columns
        In the order of the file.
    lines
        For each row where it stands in the file, as people count: the header is line 1 of a sheet.
    said
        What was recognised, for the user to check.
    decimal
        ``"."`` or ``","`` where the user said it; empty: each column by itself, in doubt as the others.
    place
        What `lines` count: lines of a text or sheet, rows of an array.
    """

    path: Path
    columns: tuple[Column, ...]
    lines: Sequence[int] = field(repr=False)
    said: tuple[str, ...] = ()
    decimal: str = ""
    place: str = "line"

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, name: str, *, wanted_by: str) -> Column:
        """Return a column by its name or its whole header.

        Raises
        ------
        ConfigError
            There is none; names the nearest.
        """
        for column in self.columns:
            if name in (column.name, column.header):
                return column
        folded = [column for column in self.columns if column.name.casefold() == name.strip().casefold()]
        if len(folded) == 1:
            return folded[0]
        names = [column.name for column in self.columns]
        shown = ", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")
        raise ConfigError(
            explained(
                where=str(self.path),
                what=f"the column of {wanted_by}",
                allowed=f"one of {shown}",
                got=repr(name),
                next_step=nearest(name, names),
            )
        )

    def where(self, row: int, column: Column) -> str:
        """Return how a user finds a cell: file, line, column."""
        return f"{self.path} {self.place} {self.lines[row]}, column {column.header!r}"

    def rows(self, kept: Sequence[int]) -> Table:
        """Return the table with some of its rows."""
        columns = tuple(replace(column, cells=[column.cells[row] for row in kept]) for column in self.columns)
        return replace(self, columns=columns, lines=[self.lines[row] for row in kept])

    def numbers(self, column: Column) -> NDArray[np.float64]:
        """Return the numbers of a column, shape (row,), NaN where not measured.

        Raises
        ------
        DataError
            A cell is no number and does not say that it is missing, or commas could mean two things.
        """
        decimal = self.decimal or decimal_mark(column.cells)
        if decimal == "?":
            decimal = shared_decimal_mark([other.cells for other in self.columns])
        if decimal == "?":
            raise DataError(
                explained(
                    where=f"{self.path}, column {column.header!r}",
                    what="a comma",
                    allowed="a decimal comma or a mark of thousands",
                    got=f"{next(c for c in column.cells if isinstance(c, str) and ',' in c)!r}, which could be both",
                    next_step='Say which: --decimal "," or --decimal "."',
                )
            )
        values = np.empty(len(column.cells))
        for row, cell in enumerate(column.cells):
            try:
                values[row] = number(cell, decimal=decimal)
            except (ValueError, TypeError):
                raise DataError(
                    explained(
                        where=self.where(row, column),
                        what="the cell",
                        allowed="a number, or empty or 'n/a' where nothing was measured",
                        got=repr(cell),
                        next_step="Correct the table, or name another column",
                    )
                ) from None
        return values

    def texts(self, column: Column) -> list[str]:
        """Return the cells of a column as texts, empty where missing; 3.0 of a spreadsheet is ``"3"``."""
        return ["" if is_missing(cell) else _text(cell) for cell in column.cells]


def read_table(path: Path, *, sheet: str = "", encoding: str = "", separator: str = "", decimal: str = "") -> Table:
    """Return a table of any kind; by the first bytes of the file, not by its name.

    Raises
    ------
    DataError
        Missing, empty, damaged, of a kind that is not read, or its library is not installed.
    """
    from ram.data.importing.workbooks import read_excel, read_parquet

    with _opened(path) as file:
        begin = file.read(8)
    if begin.startswith(b"PK\x03\x04"):
        rows, lines, said = read_excel(path, sheet=sheet)
        return _table(path, rows, lines, said, decimal)
    if begin.startswith(b"PAR1"):
        return Table(path, *read_parquet(path), decimal=decimal)
    if begin.startswith(b"\xd0\xcf\x11\xe0"):
        raise DataError(
            explained(
                where=str(path),
                what="the table",
                allowed="CSV, TSV, Excel (.xlsx) or Parquet",
                got="an old Excel file (.xls), or one with a password",
                next_step="Open it and save it as .xlsx or CSV",
            )
        )
    text, name = decoded(path, encoding)
    rows, lines, said = _text_rows(path, text, separator)
    return _table(path, rows, lines, (name, *said), decimal)


def decoded(path: Path, encoding: str = "") -> tuple[str, str]:
    """Return the text of a file and the encoding it was read with.

    Raises
    ------
    DataError
        It is not text, or not in the encoding that was said.
    """
    with _opened(path) as file:
        content = file.read()
    marks = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    marked = next((name for mark, name in marks.items() if content.startswith(mark)), "")
    binary = not marked and not encoding and b"\x00" in content[:4096]
    for name in [] if binary else [encoding] if encoding else [marked] if marked else ["utf-8", "cp1252"]:
        try:
            return content.decode(name), {"utf-8-sig": "UTF-8 with BOM", "cp1252": "Windows-1252"}.get(name, name)
        except (UnicodeDecodeError, LookupError):
            continue
    allowed = f"text in {encoding or marked or 'UTF-8, UTF-16 with BOM or Windows-1252'}"
    raise DataError(
        explained(
            where=str(path),
            what="the file",
            allowed=allowed,
            got=f"{len(content):,} bytes that begin with {content[:8]!r}",
            next_step="Say its encoding (--encoding), or save it as UTF-8",
        )
    )


def _opened(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except FileNotFoundError:
        names = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        near = nearest(path.name, names)
        raise DataError(
            explained(where=str(path), what="the file", allowed="there", got="no file", next_step=near)
        ) from None
    except IsADirectoryError:
        raise DataError(
            explained(
                where=str(path),
                what="the table",
                allowed="a file",
                got="a folder",
                next_step="Name the table first and the folder with --files",
            )
        ) from None


Rows = list[list[object]]


def _text_rows(path: Path, text: str, separator: str) -> tuple[Rows, list[int], tuple[str, ...]]:
    found = separator.replace("\\t", "\t").replace("tab", "\t") or _separator(text)
    rows: Rows = []
    lines: list[int] = []
    try:
        if found == " ":
            split = [(place, line.split()) for place, line in enumerate(text.splitlines(), start=1)]
        else:
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=found, skipinitialspace=True, strict=True)
            split = [(reader.line_num, row) for row in reader]
    except (csv.Error, TypeError) as error:
        raise DataError(
            explained(
                where=str(path),
                what="the table",
                allowed="rows of cells with one separator between them",
                got=f"'{error}'",
                next_step="Say the separator (--separator), or close the quotation mark",
            )
        ) from None
    for place, cells in split:
        if any(cell.strip() for cell in cells):
            rows.append([cell.strip() for cell in cells])
            lines.append(place)
    return rows, lines, (f"separated by {_SEPARATORS.get(found, repr(found))}",)


def _separator(text: str) -> str:
    """Return the character that parts most rows into the same number of cells."""
    lines = [line for line in text.splitlines()[:_LOOKED_AT] if line.strip()]
    best, most = ",", (0.0, 0)
    for mark in ("\t", ";", ",", "|"):
        counts = Counter(len(row) for row in csv.reader(lines, delimiter=mark))
        cells, times = max(counts.items(), key=lambda item: (item[1], item[0]), default=(0, 0))
        if cells > 1 and (times / len(lines), cells) > most:
            best, most = mark, (times / len(lines), cells)
    if most[0] >= 0.5:
        return best
    counts = Counter(len(line.split()) for line in lines)
    cells, times = max(counts.items(), key=lambda item: (item[1], item[0]), default=(0, 0))
    return " " if cells > 1 and times >= 0.9 * len(lines) else best


def _table(path: Path, rows: Rows, lines: list[int], said: tuple[str, ...], decimal: str) -> Table:
    """Return rows of cells as columns: what stands above the header is left out, a line of units is understood."""
    if not rows:
        raise DataError(
            explained(where=str(path), what="the table", allowed="a header and at least one row", got="nothing")
        )
    width = Counter(len(row) for row in rows).most_common(1)[0][0]
    begin = next(place for place, row in enumerate(rows) if len(row) == width and _filled(row) > width / 2)
    if begin:
        said = (*said, f"{begin} line{'s' * (begin > 1)} above the header left out")
    headers, body, places, more = _headers(rows[begin:], lines[begin:], width)
    _check_width(path, body, places, width)
    if not body:
        raise DataError(
            explained(where=str(path), what="the table", allowed="at least one row below its header", got="none")
        )
    columns = []
    for place, (name, unit) in enumerate(headers):
        columns.append(Column(*_parted(name, unit), tuple(row[place] if place < len(row) else None for row in body)))
    return Table(path, tuple(columns), tuple(places), (*said, *more), decimal)


def _headers(
    rows: Rows, lines: list[int], width: int
) -> tuple[list[tuple[str, str]], Rows, list[int], tuple[str, ...]]:
    first = rows[0]
    if all(_is_number(cell) for cell in first):
        names = [f"column{place}" for place in range(1, width + 1)]
        return [(name, "") for name in names], rows, lines, ("no header: columns are called column1, column2 ...",)
    names = _distinct([_text(cell) if not is_missing(cell) else "" for cell in first])
    if len(rows) > 2 and _is_units(rows[1]):
        units = [known_unit(str(cell)) if not is_missing(cell) else "" for cell in rows[1]]
        return list(zip(names, units, strict=False)), rows[2:], lines[2:], ("units stand below the names",)
    return [(name, "") for name in names], rows[1:], lines[1:], ()


def _parted(header: str, unit: str) -> tuple[str, str, str]:
    """Return name, header and unit of a column."""
    name, found = split_header(header)
    return (header, header, unit) if unit else (name, header, found)


def _check_width(path: Path, body: Rows, lines: list[int], width: int) -> None:
    for row, line in zip(body, lines, strict=True):
        if len(row) > width and any(not is_missing(cell) for cell in row[width:]):
            raise DataError(
                explained(
                    where=f"{path} line {line}",
                    what="a row",
                    allowed=f"of {width} cells, as the others",
                    got=f"{len(row)} cells",
                    next_step="Put cells that hold the separator into quotation marks, or say it (--separator)",
                )
            )


def _distinct(names: Sequence[str]) -> list[str]:
    seen: Counter[str] = Counter()
    result = []
    for place, name in enumerate(names, start=1):
        word = name or f"column{place}"
        seen[word] += 1
        result.append(word if seen[word] == 1 else f"{word}_{seen[word]}")
    return result


def _is_units(row: Sequence[object]) -> bool:
    """Whether a row below the header holds units and nothing else; ``-`` is one that says 'none'."""
    words = [str(cell) for cell in row if not is_missing(cell) or str(cell).strip() == "-"]
    bare = any(_is_number(word) for word in words)  # a row of ones is a row
    return not bare and any(word.strip() != "-" for word in words) and all(map(known_unit, words))


def _is_number(cell: object) -> bool:
    try:
        number(cell, decimal=",")
    except (ValueError, TypeError):
        try:
            number(cell)
        except (ValueError, TypeError):
            return False
    return not is_missing(cell)


def _filled(row: Sequence[object]) -> int:
    return sum(not is_missing(cell) for cell in row)


def _text(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()
