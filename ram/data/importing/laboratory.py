"""Text files of instruments: some lines of header, then columns of numbers, one of them perhaps the time.

Separator, decimal mark, names, units and the time column are found from the content; `Recognised` says what was.
"""

from __future__ import annotations

__all__ = ["Recognised", "read_text"]

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ram.data.importing.cells import known_unit, quantity, split_header
from ram.data.importing.tables import decoded
from ram.errors import ConfigError, DataError, explained

_FORMS = ((";", ","), (";", "."), ("\t", ","), ("\t", "."), (",", "."), (" ", "."), (" ", ","))
_SEPARATORS = {"\t": "tab", ";": "semicolon", ",": "comma", " ": "space"}
_TIME = re.compile(r"(time|zeit|t|temps|tiempo|tempo|seconds?)\b", re.IGNORECASE)
_COUNTER = re.compile(r"(index|idx|n|nr\.?|no\.?|sample|samples|point|#|column1)", re.IGNORECASE)
_RATE = re.compile(
    r"(?:samp\w*[\s_-]*(?:rate|freq\w*)|abtastrate|fs)\b[^0-9+-]*(?P<number>[0-9][0-9.eE+]*)\s*(?P<unit>[kMG]?Hz|1/s|S/s)?",
    re.IGNORECASE,
)
_INTERVAL = re.compile(
    r"(?:samp\w*[\s_-]*(?:interval|period|time)|increment|delta[\s_]*t|dt)\b[^0-9+-]*(?P<number>[0-9][0-9.eE+-]*)"
    r"\s*(?P<unit>[nuµm]?s)?\b",
    re.IGNORECASE,
)
_HEADER_AT_MOST = 400
_EVEN = 0.5


@dataclass(frozen=True)
class Recognised:
    """A text file as numbers.

    Parameters
    ----------
    values
        Shape (column, row), float64; the time and a counter left out.
    names, units
        Of each column, empty where the file does not say.
    step, start
        Of the time in s, None where the file does not say.
    said
        What was recognised, for the user to check.
    """

    values: NDArray[np.float64] = field(repr=False)
    names: tuple[str, ...]
    units: tuple[str, ...]
    step: float | None
    start: float
    said: str


def read_text(
    path: Path, *, encoding: str = "", decimal: str = "", time_unit: str = "", grid: bool = False
) -> Recognised:
    """Return the numbers of a text file and what its header says of them.

    Parameters
    ----------
    decimal
        ``","`` or ``"."`` where the user said it.
    time_unit
        Of a time column whose header names none; seconds where it is empty.
    grid
        Whether the file is a field of numbers, all of whose columns are values.

    Raises
    ------
    DataError
        It is no text, holds no block of numbers, a line of the block does not fit, or the time is not even.
    """
    text, _ = decoded(path, encoding)
    lines = text.splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    mark, decimal, begin = _form(path, lines, decimal)
    values = _numbers(path, lines, begin, mark, decimal)  # (row, column)
    names, units, above = _headers(lines[:begin], mark, values.shape[1])
    kept, said = list(range(values.shape[1])), list[str]()
    step: float | None = None
    start = 0.0
    if not grid:
        kept, step, start, said = _without_time(path, values, (names, units), time_unit, begin)
    if step is None and not grid:
        step = _step_of_header(above)
        said += [f"step {step:.4g} s from the header"] if step else []
    words = [f"{begin} header lines"] * bool(begin) + [f"separated by {_SEPARATORS[mark]}"] * (values.shape[1] > 1)
    words += ["decimal commas"] * (decimal == ",")
    return Recognised(
        np.ascontiguousarray(values[:, kept].T),
        tuple(names[place] for place in kept),
        tuple(units[place] for place in kept),
        step,
        start,
        ", ".join([*words, *said]),
    )


def _form(path: Path, lines: Sequence[str], wanted: str) -> tuple[str, str, int]:
    """Return separator, decimal mark and the number of header lines, from the last lines of the file."""
    last = [line for line in lines[-50:] if line.strip()]
    if last and not wanted and _is_one_column_of_commas(last):
        wanted = ","
    for mark, decimal in _FORMS:
        unlike = wanted and decimal != wanted and any("," in line for line in last)
        if unlike or (mark in ";\t" and not (last and mark in last[-1])):
            continue
        count = _longest_block(last, mark, decimal)
        if count and count >= min(len(last), 2):
            return mark, decimal, _begin(lines, mark, decimal)
    shown = repr(last[-1][:60]) if last else "an empty file"
    raise DataError(
        explained(
            where=str(path) + (f" line {len(lines)}" if lines else ""),
            what="a text file",
            allowed="columns of numbers below its header",
            got=shown,
            next_step="Leave the file out, or say its encoding (--encoding)",
        )
    )


def _is_one_column_of_commas(lines: Sequence[str]) -> bool:
    """Whether ``0,05`` is one number: two whole numbers between which a comma stands have no leading zeros."""
    pairs = [re.fullmatch(r"\s*[-+]?\d+,(\d+)(?:[eE][-+]?\d+)?\s*", line) for line in lines]
    return all(pairs) and any(len(pair[1]) > 1 and pair[1].startswith("0") for pair in pairs if pair)


def _longest_block(lines: Sequence[str], mark: str, decimal: str) -> int:
    """Return how many of the last lines hold the same number of numbers."""
    width = len(_cells(lines[-1], mark)) if lines else 0
    block = 0
    for line in reversed(lines):
        cells = _cells(line, mark)
        if len(cells) != width or not all(_is_number(cell, decimal) for cell in cells):
            break
        block += 1
    return block


def _begin(lines: Sequence[str], mark: str, decimal: str) -> int:
    """Return the number of lines above the block: those before the first that is like the last one."""
    width = len(_cells(lines[-1], mark))
    for place, line in enumerate(lines[:_HEADER_AT_MOST]):
        following = [other for other in lines[place : place + 3] if other.strip()]
        rows = [_cells(other, mark) for other in following]
        if line.strip() and all(len(row) == width and all(_is_number(cell, decimal) for cell in row) for row in rows):
            return place
    return len(lines) - 1


def _numbers(path: Path, lines: Sequence[str], begin: int, mark: str, decimal: str) -> NDArray[np.float64]:
    """Return the block, shape (row, column); an error names the line that does not fit."""
    block = [line.strip().rstrip(mark) if mark != " " else line for line in lines[begin:]]
    if decimal == ",":
        block = [line.replace(",", ".") for line in block]
    try:
        return np.loadtxt(block, delimiter=None if mark == " " else mark, comments=None, ndmin=2)
    except ValueError:
        width = len(_cells(lines[-1], mark))
        for place, line in enumerate(lines[begin:], start=begin + 1):
            cells = _cells(line, mark)
            if line.strip() and not (len(cells) == width and all(_is_number(cell, decimal) for cell in cells)):
                raise DataError(
                    explained(
                        where=f"{path} line {place}",
                        what="a line of the signal",
                        allowed=f"{width} number{'s' * (width > 1)}",
                        got=repr(line[:60]),
                        next_step="Repair the file, or leave it out of the table",
                    )
                ) from None
        raise


def _headers(above: Sequence[str], mark: str, width: int) -> tuple[list[str], list[str], Sequence[str]]:
    """Return names and units of the columns, empty where not said, and the lines above the names."""
    rows = [[cell.strip("\"' #") for cell in _cells(line, mark)] for line in above]
    units = [""] * width
    names_at = len(rows) - 1
    if names_at >= 1 and len(rows[-1]) == len(rows[-2]) == width and all(known_unit(cell) for cell in rows[-1]):
        units = [known_unit(cell) for cell in rows[-1]]
        names_at -= 1
    if names_at < 0 or len(rows[names_at]) != width or any(not cell for cell in rows[names_at]):
        return [""] * width, units, above
    if width == 1 and (":" in above[names_at] or "=" in above[names_at]):  # "Sample rate: 1000" is no name
        return [""], units, above
    parted = [split_header(cell) for cell in rows[names_at]]
    return (
        [name for name, _ in parted],
        [unit or found for (_, found), unit in zip(parted, units, strict=True)],
        above[:names_at],
    )


def _without_time(
    path: Path, values: NDArray[Any], header: tuple[Sequence[str], Sequence[str]], time_unit: str, begin: int
) -> tuple[list[int], float | None, float, list[str]]:
    """Return the columns that are no time, step and start in s, and what was recognised."""
    (names, units), everything = header, list(range(values.shape[1]))
    if values.shape[1] < 2 or len(values) < 2:
        return everything, None, 0.0, []
    named = next((place for place, name in enumerate(names) if _TIME.match(name)), None)
    place = 0 if named is None else named
    column = values[:, place]
    if named is None and (names[0] and not _COUNTER.fullmatch(names[0])):
        return everything, None, 0.0, []
    even = _is_even(column)
    if named is not None and not even:
        raise DataError(_uneven(path, column, names[place], begin))
    if not even:
        return everything, None, 0.0, []
    rest = [other for other in everything if other != place]
    step = float(column[-1] - column[0]) / (len(column) - 1)
    if named is None and step == 1.0 and np.array_equal(column, np.rint(column)):
        return rest, None, 0.0, ["column 1 counts the samples"]
    unit = units[place] or time_unit or "s"
    factor = quantity(1.0, unit="s", where="") if unit == "s" else _seconds(path, unit)
    assumed = "" if units[place] or time_unit else " (taken to be in s)"
    return rest, step * factor, float(column[0]) * factor, [f"column {place + 1} is the time{assumed}"]


def _is_even(column: NDArray[np.float64]) -> bool:
    """Whether values increase in equal steps, up to the digits they were written with."""
    if not np.all(np.isfinite(column)) or not np.all(np.diff(column) > 0):
        return False
    step = (column[-1] - column[0]) / (len(column) - 1)
    away = np.abs(column - column[0] - step * np.arange(len(column)))
    return bool(away.max() < _EVEN * step)


def _seconds(path: Path, unit: str) -> float:
    try:
        return quantity(f"1 {unit}", unit="s", where="")
    except ConfigError:
        raise DataError(
            explained(where=str(path), what="the unit of the time", allowed="one of time, such as ms", got=repr(unit))
        ) from None


def _uneven(path: Path, column: NDArray[np.float64], name: str, begin: int) -> str:
    steps = np.diff(column)
    place = int(np.argmax(np.abs(steps - np.median(steps))))
    return explained(
        where=f"{path} line {begin + place + 2}",
        what=f"the time in column {name!r}",
        allowed=f"increasing in even steps, here of {np.median(steps):.4g}",
        got=f"a step of {steps[place]:.4g}",
        next_step="Resample the signal to even steps, or leave the file out of the table",
    )


def _step_of_header(above: Sequence[str]) -> float | None:
    """Return the time between samples in s, from a line such as ``Sample rate: 51200 Hz``."""
    for line in above[:_HEADER_AT_MOST]:
        rate, interval = _RATE.search(line), _INTERVAL.search(line)
        try:
            if rate and float(rate["number"]) > 0:
                unit = (rate["unit"] or "Hz").replace("S/s", "Hz")
                return 1.0 / quantity(f"{rate['number']} {unit}", unit="Hz", where="")
            if interval and float(interval["number"]) > 0:
                return quantity(f"{interval['number']} {interval['unit'] or 's'}", unit="s", where="")
        except (ValueError, ConfigError):
            continue
    return None


def _cells(line: str, mark: str) -> list[str]:
    if mark == " ":
        return line.split()
    return [cell.strip() for cell in line.strip().rstrip(mark).split(mark)]


def _is_number(cell: str, decimal: str) -> bool:
    if decimal == ",":
        if "." in cell:
            return False
        cell = cell.replace(",", ".")
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell
