"""From a plan to a table and inputs: which row belongs to which file, slice or recording."""

from __future__ import annotations

__all__ = ["Opened", "open_plan"]

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ram.data.importing.arrays import Array, ArrayFile, Cells, check_real, open_arrays
from ram.data.importing.columns import only, table_of_arrays
from ram.data.importing.folders import Folder
from ram.data.importing.inputs import ArrayInputs, CellInputs, FileInputs, Inputs
from ram.data.importing.layouts import check_layout, guess_layout
from ram.data.importing.plan import Plan
from ram.data.importing.signals import Reading
from ram.data.importing.tables import Table, read_table
from ram.errors import ConfigError, DataError, explained, nearest


@dataclass(frozen=True)
class Opened:
    """A table and its inputs.

    Parameters
    ----------
    table
        Rows that have an input; None where there are no columns.
    inputs
        One for each row, or one recording.
    names
        Of the inputs, for ids.
    recording
        Whether the one input is a recording, whose pieces are the samples.
    said, left_out
        What was found, and what was left out and why.
    """

    table: Table | None
    inputs: Inputs
    names: Sequence[str] = field(repr=False)
    recording: bool = False
    said: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def open_plan(plan: Plan, stack: contextlib.ExitStack) -> Opened:
    """Return the table and the inputs of a plan; files that stay open are closed with the `stack`.

    Raises
    ------
    ConfigError, DataError
        Something that the plan names is not there, or does not fit together.
    """
    given = [key for key in ("files", "arrays", "recording") if getattr(plan, key)]
    if len(given) > 1 or not (given or plan.table):
        raise ConfigError(
            explained(
                where="ram data import",
                what="the inputs",
                allowed="one of --files FOLDER, --arrays FILE and --recording FILE",
                got=" and ".join(f"--{key}" for key in given) or "none",
            )
        )
    table = _table(plan)
    if plan.arrays:
        return _with_arrays(plan, table, stack)
    reading = Reading(plan.encoding, plan.decimal, plan.time_unit, plan.layout, plan.columns)
    if plan.recording:
        path = Path(plan.recording)
        _check_file(path)
        return Opened(table, FileInputs([(path,)], reading), [path.stem], recording=True)
    return _with_files(plan, table, reading)


def _table(plan: Plan) -> Table | None:
    if not plan.table:
        return None
    path = Path(plan.table)
    table = read_table(path, sheet=plan.sheet, encoding=plan.encoding, separator=plan.separator, decimal=plan.decimal)
    return only(table, plan.where)


def _with_files(plan: Plan, table: Table | None, reading: Reading) -> Opened:
    folder = Folder(Path(plan.files or Path(plan.table).parent))
    if table is None:
        every: list[tuple[Path, ...]] = [(folder.path / name,) for name in folder.files]
        said: tuple[str, ...] = (f"{len(every):,} files in {folder.path}",)
        return Opened(None, FileInputs(every, reading), _names(every, folder.path), said=said)
    columns = plan.file_column or (_file_column(plan, table, folder),)
    named = _named(table, columns, folder)
    kept = [row for row in range(len(table)) if row not in named.missing]
    if not kept or (named.missing and not plan.skip_missing):
        raise DataError(_missing(named))
    paths = [tuple(path for path in named.paths[row] if path is not None) for row in kept]
    said, left_out = _about_files(named, paths)
    return Opened(
        table.rows(kept), FileInputs(paths, reading), _names(paths, folder.path), said=said, left_out=left_out
    )


@dataclass(frozen=True)
class _Named:
    """Columns of a table that name files of a folder, and what they name."""

    table: Table
    columns: Sequence[str]
    cells: Sequence[Sequence[str]]
    paths: Sequence[tuple[Path | None, ...]]
    missing: dict[int, None]
    folder: Folder


def _named(table: Table, columns: Sequence[str], folder: Folder) -> _Named:
    cells = [table.texts(table.column(name, wanted_by="the files")) for name in columns]
    paths = [tuple(folder.find(name) if name else None for name in row) for row in zip(*cells, strict=True)]
    missing = dict.fromkeys(row for row, found in enumerate(paths) if None in found)
    return _Named(table, columns, cells, paths, missing, folder)


def _about_files(named: _Named, paths: Sequence[tuple[Path, ...]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what was found of the files, and what was left out."""
    table, folder, missing = named.table, named.folder, list(named.missing)
    counts = Counter(path for row in paths for path in row)
    columns = ", ".join(map(repr, named.columns))
    said = [f"files by column {columns} in {folder.path}: {len(counts):,} of {len(folder.files):,}"]
    again = sum(1 for count in counts.values() if count > 1)
    said += [f"{again:,} files are named by more than one row"] * bool(again)
    left_out = []
    if missing:
        lines = ", ".join(str(table.lines[row]) for row in missing[:5]) + " ..." * (len(missing) > 5)
        first = ", ".join(column[missing[0]] or "an empty cell" for column in named.cells)
        left_out.append(f"{len(missing):,} rows without a file ({table.place}s {lines}; the first names {first})")
    unused = len(folder.files) - len(counts)
    left_out += [f"{unused:,} files in {folder.path} that no row names"] * bool(unused)
    return tuple(said), tuple(left_out)


def _file_column(plan: Plan, table: Table, folder: Folder) -> str:
    """Return the column whose cells are names of files; asked for where it is not clear."""
    shares = [(folder.share_of(table.texts(column)), column) for column in table.columns]
    best = max(shares, key=lambda found: found[0], default=(0.0, table.columns[0]))
    if best[0] > 0.5:
        return best[1].name
    names = ", ".join(column.name for column in table.columns[:20])
    raise ConfigError(
        explained(
            where=f"{table.path} and {folder.path}",
            what="the column with the files' names",
            allowed=f"found by itself or said (--file-column), one of {names}",
            got=f"none whose cells are files of {folder.path}, such as {folder.files[0]}",
            next_step="" if plan.files else "Name the folder (--files), or arrays (--arrays), or one --recording",
        )
    )


def _missing(named: _Named) -> str:
    table, folder, row = named.table, named.folder, next(iter(named.missing))
    place = named.paths[row].index(None)
    name = named.cells[place][row]
    choices = folder.choices(name) if name else []
    got = f"{name!r}, which could be {' or '.join(choices[:3])}" if choices else f"{name!r}, which is not there"
    count = len(named.missing)
    more = f" ({count:,} of {len(table):,} rows have no file)" if count > 1 else ""
    near = folder.alike(name) if name and not choices else ""
    column = table.column(named.columns[place], wanted_by="the files")
    return explained(
        where=table.where(row, column),
        what="the file",
        allowed=f"one in {folder.path}",
        got=(got if name else "an empty cell") + more,
        next_step=f"{near} To leave such rows out, say --skip-missing".strip(),
    )


def _with_arrays(plan: Plan, table: Table | None, stack: contextlib.ExitStack) -> Opened:
    path = Path(plan.arrays)
    file = stack.enter_context(open_arrays(path))
    inputs_name = plan.inputs or (next(iter(file.arrays)) if len(file.arrays) == 1 else "")
    found = file.array(inputs_name, wanted_by="the inputs (--inputs)")
    where = f"{path}:{inputs_name}"
    if isinstance(found, Cells):
        inputs: Inputs = CellInputs(where, found, file.kind, plan.layout)
        columns = table or table_of_arrays(file, rows=len(inputs))
        _check_count(columns if table else None, len(inputs), where)
        return Opened(columns, inputs, _numbers(len(inputs)), said=(f"{file.kind}, {len(inputs):,} cells",))
    check_real(found, where=where)
    layout = _layout(plan, file, found, table, where)
    step = file.step_of(inputs_name) if "time" in layout and not plan.sample_rate else None
    inputs = ArrayInputs(where, found, layout, f"{file.kind} {found.dtype}", plan.shape, step=step[0] if step else None)
    said: tuple[str, ...] = (f"{where}: {' x '.join(map(str, found.shape))} {found.dtype} as {', '.join(layout)}",)
    said += (f"{1 / step[0]:.6g} Hz by {step[1]}",) if step else ()
    recording = "sample" not in layout
    rows = inputs.look(0).shape[-1] if recording else len(inputs)
    columns = table or table_of_arrays(file, rows=rows)
    if not recording:
        _check_count(table, rows, where)
    return Opened(columns, inputs, _numbers(len(inputs)), recording=recording, said=said)


def _layout(plan: Plan, file: ArrayFile, array: Array, table: Table | None, where: str) -> tuple[str, ...]:
    if plan.layout:
        return check_layout(plan.layout, array.shape, samples="sample" in plan.layout, where=where)
    samples = _sample_count(plan, file, array, table)
    recording = bool(plan.window) and (samples is None or samples not in array.shape or len(array.shape) == 1)
    try:
        return guess_layout(array.shape, samples=None if recording else samples)
    except ValueError as error:
        raise ConfigError(
            explained(
                where=where,
                what="the axis of the samples",
                allowed=f"one of {samples:,} samples",
                got=str(error),
                next_step="Say what the axes are, for example --layout 'sample channel time'",
            )
        ) from None


def _sample_count(plan: Plan, file: ArrayFile, array: Array, table: Table | None) -> int | None:
    """Return how many samples an array must hold: the rows of the table, or the length of the first target."""
    if table is not None:
        return len(table)
    for name, value in plan.targets.items():
        target = file.array(value.column or name, wanted_by=f"target {name!r}")
        return max(target.shape)
    return None if plan.window else array.shape[0]


def _check_count(table: Table | None, count: int, where: str) -> None:
    if table is not None and len(table) != count:
        raise DataError(
            explained(
                where=where,
                what="the samples",
                allowed=f"{len(table):,}, one for each row of {table.path}",
                got=f"{count:,}",
                next_step="Say which axis holds the samples (--layout), or correct the table",
            )
        )


def _check_file(path: Path) -> None:
    if not path.is_file():
        near = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(
            explained(
                where=str(path), what="the recording", allowed="a file", got="none", next_step=nearest(path.name, near)
            )
        )


def _names(paths: Sequence[tuple[Path, ...]], folder: Path) -> list[str]:
    """Return the shortest of stems, paths and numbered paths that are unique."""
    stems = [row[0].stem for row in paths]
    if len(set(stems)) == len(stems):
        return stems
    whole = [row[0].relative_to(folder).as_posix() for row in paths]
    seen: Counter[str] = Counter()
    result = []
    for name in whole:
        seen[name] += 1
        result.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return result


def _numbers(count: int) -> list[str]:
    width = len(str(count - 1))
    return [f"s{place:0{width}d}" for place in range(count)]
