"""An import from its plan to the data file: understood first, then written, one sample in memory at a time."""

from __future__ import annotations

__all__ = ["Import", "Progress", "prepared", "write_import"]

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ram.data.importing.columns import Values, groups_of, ids_of, numeric_columns, parts_of, values_of, weights_of
from ram.data.importing.cutting import Piece
from ram.data.importing.form import Form, form_of
from ram.data.importing.opening import Opened, open_plan
from ram.data.importing.pieces import pieces_of, values_of_pieces
from ram.data.importing.plan import Plan, as_toml
from ram.data.importing.splitting import split_groups
from ram.data.importing.survey import Survey, survey, with_rate, with_rates
from ram.data.importing.tables import Table
from ram.data.layout import DatasetSpec, Record, write_dataset
from ram.errors import ConfigError, DataError, explained

Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


@dataclass(frozen=True)
class Import:
    """All that is known before the first value is written.

    Parameters
    ----------
    opened, known, form
        Table and inputs, what the inputs declare, what they become.
    pieces
        One for each sample.
    ids, groups, parts
        Of each sample.
    weights
        Of each sample; None where they are not weighted.
    targets, parameters
        Of each sample.
    """

    plan: Plan
    opened: Opened
    known: Survey
    form: Form
    pieces: Sequence[Piece] = field(repr=False)
    ids: Sequence[str] = field(repr=False)
    groups: Sequence[str] = field(repr=False)
    parts: Sequence[str] = field(repr=False)
    weights: NDArray[np.float64] | None = field(repr=False)
    targets: tuple[Values, ...]
    parameters: tuple[Values, ...]

    def __len__(self) -> int:
        return len(self.pieces)

    def spec(self, name: str) -> DatasetSpec:
        """Return what the data file declares."""
        import ram

        form = self.form
        return DatasetSpec(
            name=self.plan.name or name,
            source=self.plan.source or _source(self.plan),
            licence=self.plan.licence,
            created_with=f"ram {ram.__version__} data import",
            notes=as_toml(self.plan),
            axes=form.axes,
            channels=form.channels,
            targets={values.name: values.unit for values in self.targets},
            parameters={values.name: values.unit for values in self.parameters},
            count=len(self),
            dtype=form.packing.dtype,
            scale=form.packing.scale,
            offset=form.packing.offset,
            weighted=self.weights is not None,
            lengths=form.padded,
        )

    def records(self, *, watch: Callable[[int], None]) -> Iterator[Record]:
        """Yield the samples, each read when it is asked for."""
        for place, piece in enumerate(self.pieces):
            values = self.opened.inputs.read(piece.index, piece.start, piece.stop)
            look = self.known.looks[piece.index]
            x, length = self.form.bring(values, look)
            self._check(x, piece)
            yield Record(
                id=self.ids[place],
                x=x if self.form.packing.integer else x.astype(np.float32),
                targets={of.name: float(of.values[place]) for of in self.targets},
                parameters={of.name: float(of.values[place]) for of in self.parameters},
                group=self.groups[place],
                split={"default": self.parts[place]},
                weight=1.0 if self.weights is None else float(self.weights[place]),
                length=length if self.form.padded else None,
            )
            watch(1)

    def _check(self, x: NDArray[np.float64], piece: Piece) -> None:
        """Refuse values that no file of ours could hold; NaN is refused too, for a signal has no missing part."""
        with np.errstate(over="ignore"):
            bad = ~np.isfinite(x.astype(np.float32))
        if bad.any():
            channel, *cell = (int(place) for place in np.argwhere(bad)[0])
            raise DataError(
                explained(
                    where=self.opened.inputs.name(piece.index),
                    what="every value",
                    allowed="a finite number",
                    got=f"{x[(channel, *cell)]} in channel {channel}, cell {', '.join(map(str, cell))}"
                    f" ({int(bad.sum()):,} such values)",
                    next_step="Repair the file, or leave it out of the table",
                )
            )


@contextlib.contextmanager
def prepared(plan: Plan, *, progress: Progress) -> Iterator[Import]:
    """Yield the import that a plan asks for, everything checked that can be without reading all values.

    Parameters
    ----------
    progress
        Called with words and a total; yields what counts finished parts.

    Raises
    ------
    ConfigError, DataError
        What the plan names is not there, does not fit together, or must be said first.
    """
    with contextlib.ExitStack() as stack:
        opened = open_plan(plan, stack)
        with progress("looking at files", len(opened.inputs)) as watch:
            known = survey(opened.inputs, watch=watch)
        known = with_rate(known, plan.sample_rate)
        if plan.rate_column and opened.table is not None and not opened.recording:
            known = with_rates(known, opened.table, plan.rate_column)
        pieces, opened = pieces_of(plan, opened, known)
        form = form_of(plan, known, pieces)
        yield _import(plan, opened, known, form, pieces)


def write_import(found: Import, output: str | os.PathLike[str], *, progress: Progress) -> Path:
    """Write the data file; it appears when it is whole.

    Raises
    ------
    DataError
        A file cannot be read or holds what is no number, or the disk is full.
    """
    target = Path(output)
    with progress("importing", len(found)) as watch:
        return write_dataset(target, found.spec(target.stem), found.records(watch=watch))


def _import(plan: Plan, opened: Opened, known: Survey, form: Form, pieces: Sequence[Piece]) -> Import:
    table, rows = opened.table, [piece.row for piece in pieces]
    _check_targets(plan, table)
    of_rows = table is not None and all(row >= 0 for row in rows)
    targets: tuple[Values, ...] = ()
    parameters: tuple[Values, ...] = ()
    if table is not None:
        step, start = known.first.step, known.first.start
        targets = values_of(plan.targets, table, kind="target")
        parameters = values_of(plan.parameters, table, kind="parameter")
        targets = values_of_pieces(plan, targets, table, pieces, step=step or form.step, start=start)
        parameters = values_of_pieces(plan, parameters, table, pieces, step=step or form.step, start=start)
        _check_parameters(parameters, table, pieces)
    row_ids = ids_of(table, plan.id) if table is not None and plan.id and of_rows else None
    ids = _ids(opened, pieces, row_ids)
    groups = _groups(plan, opened, pieces, ids, row_ids)
    weights = weights_of(table, plan.weight)[rows] if table is not None and plan.weight and of_rows else None
    if table is not None and plan.split and of_rows:
        parts_of_rows = parts_of(table, plan.split)
        parts = [parts_of_rows[row] for row in rows]
    else:
        parts = split_groups(groups, plan.fractions, seed=plan.seed) if targets else ["test"] * len(pieces)
    return Import(plan, opened, known, form, pieces, ids, groups, parts, weights, targets, parameters)


def _check_targets(plan: Plan, table: Table | None) -> None:
    """Ask for targets where none are named; say which columns could be."""
    if plan.targets and table is None:
        allowed, step = "columns of a table or arrays of a file", "Name the table first: ram data import TABLE"
        raise ConfigError(explained(where="--targets", what="targets", allowed=allowed, got="no table", next_step=step))
    if plan.targets or plan.no_targets:
        return
    columns = numeric_columns(table) if table is not None else []
    words = [f"'{column.name}={column.unit or 'UNIT'}'" for column in columns[:12]]
    step = f"Columns of numbers: --targets {' '.join(words)}" if words else "No column holds numbers"
    raise ConfigError(
        explained(
            where=str(table.path) if table is not None else "ram data import",
            what="the targets",
            allowed="named with their units, or --no-targets said",
            got="none",
            next_step=step,
        )
    )


def _check_parameters(parameters: Sequence[Values], table: Table, pieces: Sequence[Piece]) -> None:
    for values in parameters:
        missing = np.flatnonzero(~np.isfinite(values.values))
        if missing.size:
            row = pieces[int(missing[0])].row
            place = f" {table.place} {table.lines[row]}" if row >= 0 else ""
            raise DataError(
                explained(
                    where=f"{table.path}{place}, column {values.header!r}",
                    what=f"parameter {values.name!r}",
                    allowed="given for every sample",
                    got=f"no value ({missing.size:,} are missing)",
                    next_step="Fill it in, or leave the parameter out",
                )
            )


def _ids(opened: Opened, pieces: Sequence[Piece], row_ids: Sequence[str] | None) -> list[str]:
    """Return the id of each sample: that of its row or file, and the number of the window where it was cut."""
    names = [row_ids[piece.row] if row_ids else opened.names[piece.index] for piece in pieces]
    if len(set(names)) == len(names):
        return names
    counts: dict[str, int] = {}
    width = len(str(len(pieces) - 1))
    result = []
    for name in names:
        result.append(f"{name}-{counts.get(name, 0):0{width}d}")
        counts[name] = counts.get(name, 0) + 1
    return result


def _groups(
    plan: Plan, opened: Opened, pieces: Sequence[Piece], ids: Sequence[str], row_ids: Sequence[str] | None
) -> list[str]:
    """Return the group of each sample: as the plan says, else its block, else its file or row."""
    if plan.group and opened.table is not None and all(piece.row >= 0 for piece in pieces):
        found = groups_of(opened.table, plan.group)
        return [found[piece.row] for piece in pieces]
    if opened.recording and not (plan.start_column and plan.end_column):
        width = len(str(max(piece.block for piece in pieces)))
        return [f"block{piece.block:0{width}d}" for piece in pieces]
    if opened.recording:
        return [f"piece{piece.row:04d}" for piece in pieces]
    names = [row_ids[piece.row] if row_ids else opened.names[piece.index] for piece in pieces]
    return names if len(set(names)) < len(names) else list(ids)


def _source(plan: Plan) -> str:
    return ", ".join(Path(path).name for path in (plan.table, plan.files, plan.arrays, plan.recording) if path)
