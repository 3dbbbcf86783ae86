"""What the columns of a table mean: targets and parameters with units, groups, ids, weights, parts of the split."""

from __future__ import annotations

__all__ = [
    "Values",
    "groups_of",
    "ids_of",
    "numeric_columns",
    "only",
    "parts_of",
    "table_of_arrays",
    "values_of",
    "weights_of",
]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ram.data.importing.arrays import Array, ArrayFile
from ram.data.importing.cells import as_name, is_missing
from ram.data.importing.plan import ValuePlan
from ram.data.importing.tables import Column, Table
from ram.data.units import checked_unit, compatible, convert
from ram.errors import ConfigError, DataError, explained

_PARTS = {
    "train": ("train", "training", "tr", "fit"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "te", "holdout"),
}


@dataclass(frozen=True)
class Values:
    """One target or parameter: its name in the data file, unit, and the values of the rows."""

    name: str
    unit: str
    header: str
    values: NDArray[np.float64] = field(repr=False)
    said: str = ""


def values_of(wanted: Mapping[str, ValuePlan], table: Table, *, kind: str) -> tuple[Values, ...]:
    """Return targets or parameters of all rows, in the units that were asked for.

    Raises
    ------
    ConfigError
        No such column, no unit, or one that does not fit that of the header.
    DataError
        A cell is no number.
    """
    return tuple(_values(name, plan, table, kind) for name, plan in wanted.items())


def _values(name: str, plan: ValuePlan, table: Table, kind: str) -> Values:
    column = table.column(plan.column or name, wanted_by=f"{kind} {name!r}")
    where = f"{kind} {name!r} ({table.path}, column {column.header!r})"
    unit = plan.unit or column.unit
    if not unit:
        step = f"Say --{kind}s '{name}=Hz', or '{name}=1' for a number without a unit"
        raise ConfigError(explained(where=where, what="the unit", allowed="given", got="none", next_step=step))
    checked_unit(unit, where=where)
    values = table.numbers(column)
    said = ""
    if np.isinf(values).any():
        row = int(np.flatnonzero(np.isinf(values))[0])
        raise DataError(
            explained(where=table.where(row, column), what="the cell", allowed="a finite number", got=values[row])
        )
    if column.unit and column.unit != unit:
        if not compatible(column.unit, unit):
            allowed = f"one that {column.unit} of the header can be given in"
            step = "Correct the header or the unit"
            raise ConfigError(explained(where=where, what="the unit", allowed=allowed, got=repr(unit), next_step=step))
        values, said = convert(values, unit=column.unit, to=unit), f"converted from {column.unit}"
    return Values(as_name(name), unit, column.header, values, said)


def ids_of(table: Table, column: str) -> list[str]:
    """Return the ids of the rows.

    Raises
    ------
    DataError
        One is missing or stands twice.
    """
    found = table.column(column, wanted_by="the ids")
    ids = table.texts(found)
    first: dict[str, int] = {}
    for row, name in enumerate(ids):
        if not name or name in first:
            got = f"{name!r}, which line {table.lines[first[name]]} has too" if name else "an empty cell"
            raise DataError(
                explained(
                    where=table.where(row, found),
                    what="an id",
                    allowed="there and unique",
                    got=got,
                    next_step="Correct the table, or leave --id out: ids are then made of the files' names",
                )
            )
        first[name] = row
    return ids


def groups_of(table: Table, columns: Sequence[str]) -> list[str]:
    """Return the group of each row, of several columns joined by a slash.

    Raises
    ------
    DataError
        A cell is empty: a sample without a group could stand on both sides of a split.
    """
    found = [table.column(name, wanted_by="the groups") for name in columns]
    texts = [table.texts(column) for column in found]
    for column, cells in zip(found, texts, strict=True):
        for row, cell in enumerate(cells):
            if not cell:
                raise DataError(
                    explained(
                        where=table.where(row, column),
                        what="a group",
                        allowed="given for every row",
                        got="an empty cell",
                        next_step="Fill it in; samples of one group never stand on both sides of a split",
                    )
                )
    return ["/".join(row) for row in zip(*texts, strict=True)]


def weights_of(table: Table, column: str) -> NDArray[np.float64]:
    """Return the weight of each row.

    Raises
    ------
    DataError
        One is missing, negative or not finite.
    """
    found = table.column(column, wanted_by="the weights")
    weights = table.numbers(found)
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if bad.size:
        row = int(bad[0])
        raise DataError(
            explained(
                where=table.where(row, found),
                what="a weight",
                allowed="a number, zero or more",
                got=repr(found.cells[row]),
                next_step="Write 0 for a sample that must not count",
            )
        )
    return weights


def parts_of(table: Table, column: str) -> list[str]:
    """Return train, validation or test for each row.

    Raises
    ------
    DataError
        A cell holds another word.
    """
    found = table.column(column, wanted_by="the split")
    words = {word: part for part, known in _PARTS.items() for word in known}
    parts = []
    for row, cell in enumerate(table.texts(found)):
        if cell.casefold() not in words:
            raise DataError(
                explained(
                    where=table.where(row, found),
                    what="a part",
                    allowed="train, validation (val) or test",
                    got=repr(cell),
                )
            )
        parts.append(words[cell.casefold()])
    return parts


def only(table: Table, conditions: Mapping[str, str]) -> Table:
    """Return the rows whose columns hold the values asked for; equal numbers may be written differently.

    Raises
    ------
    ConfigError
        No such column, or no row is left.
    """
    kept = list(range(len(table)))
    for name, value in conditions.items():
        column = table.column(name, wanted_by="--where")
        texts = table.texts(column)
        kept = [row for row in kept if texts[row] == value or _same_number(texts[row], value)]
        if not kept:
            values = sorted(set(texts))
            raise ConfigError(
                explained(
                    where=f"--where {name}={value}",
                    what="the value",
                    allowed=f"one of {', '.join(map(repr, values[:12]))}" + " ..." * (len(values) > 12),
                    got="no row that has it",
                )
            )
    return table.rows(kept) if conditions else table


def table_of_arrays(file: ArrayFile, *, rows: int) -> Table:
    """Return the one-dimensional arrays and texts of a file that have `rows` values as a table."""
    columns = []
    for name, array in file.arrays.items():
        if isinstance(array, Array) and _length(array.shape) == rows and array.dtype.kind in "fiu":
            values = array.part({}).reshape(-1)
            columns.append(Column(name, name, array.unit, [float(value) for value in values]))
    columns += [Column(name, name, "", texts) for name, texts in file.texts.items() if len(texts) == rows]
    by_last = {column.name.split("/")[-1]: column for column in columns}
    if len(by_last) == len(columns):  # the last part of a path is name enough
        columns = [replace(column, name=name) for name, column in by_last.items()]
    return Table(file.path, tuple(columns), range(rows), (file.kind,), place="row")


def numeric_columns(table: Table) -> list[Column]:
    """Return the columns that hold numbers, those that could be targets."""
    found = []
    for column in table.columns:
        try:
            if not all(map(is_missing, column.cells)) and np.isfinite(table.numbers(column)).any():
                found.append(column)
        except DataError:
            continue
    return found


def _length(shape: Sequence[int]) -> int:
    """Return the length of a row or a column, 0 of anything else."""
    long = [size for size in shape if size != 1]
    return (long[0] if long else 1) if len(long) <= 1 else 0


def _same_number(text: str, value: str) -> bool:
    try:
        return float(text) == float(value)
    except ValueError:
        return False
