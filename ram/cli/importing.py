"""``ram data import``: a data file from a table and a folder, from arrays, or from one long recording."""

from __future__ import annotations

__all__ = ["import_data"]

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ram.cli.output import AsJson, bar, say, say_json, say_table
from ram.errors import ConfigError, explained

_ARRAYS = (b"\x89HDF", b"MATLAB", b"\x93NUMPY")
_MANY = ("targets", "parameters", "channels", "axes", "file-column", "columns", "group", "layout", "shape", "fractions")
_OWN = ("source", "output", "overwrite", "dry_run", "save_plan", "as_json")
EPILOG = (
    "Example: ram data import measurements.xlsx --files recordings --file-column wav --targets f1=Hz depth=cm "
    "--group specimen --output taps.h5"
)


class ManyValues(TyperCommand):
    """A command some of whose options take all words up to the next option: ``--targets f1=Hz depth=cm``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option before each of its words."""
        words: list[str] = super().parse_args(ctx, repeated(args))
        return words


def repeated(words: Sequence[str]) -> list[str]:
    """Return the words of a command with each option of many values before each of them.

    >>> repeated(["t.csv", "--targets", "f1=Hz", "depth=cm", "--seed", "1"])
    ['t.csv', '--targets', 'f1=Hz', '--targets', 'depth=cm', '--seed', '1']
    """
    result: list[str] = []
    option, given = "", 0
    for word in words:
        if word.startswith("--"):
            option, given = (word if word[2:] in _MANY else ""), 0
        elif option and given:
            result.append(option)
        given += bool(option) and not word.startswith("--")
        result.append(word)
    return result


def _option(text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, show_default=False)


def import_data(
    source: Annotated[Path, typer.Argument(help="A table, a file of arrays, a folder, a recording, or a plan (TOML).")],
    *,
    output: Annotated[Path | None, _option("The data file to write.")] = None,
    overwrite: Annotated[bool, _option("Replace a file that is there.", "--overwrite")] = False,
    dry_run: Annotated[bool, _option("Say what was understood, write nothing.", "--dry-run")] = False,
    save_plan: Annotated[Path | None, _option("Keep the plan in this TOML file, to be changed and repeated.")] = None,
    files: Annotated[str | None, _option("Folder of the files that the table names.")] = None,
    file_column: Annotated[list[str] | None, _option("Column with their names; several: one a channel.")] = None,
    targets: Annotated[list[str] | None, _option("NAME=UNIT ..., or NAME:COLUMN=UNIT.")] = None,
    no_targets: Annotated[bool | None, _option("A file to predict on.", "--no-targets")] = None,
    parameters: Annotated[list[str] | None, _option("NAME=UNIT ...: numbers beside the input.")] = None,
    channels: Annotated[list[str] | None, _option("NAME=UNIT or NAME=UNIT:WORTH_OF_1 ..., in order.")] = None,
    axes: Annotated[list[str] | None, _option("NAME=STEP ..., such as 'y=0.5 mm' 'x=0.5 mm@-20 mm'.")] = None,
    id: Annotated[str | None, _option("Column with unique names.")] = None,  # noqa: A002 - the name of the option
    group: Annotated[list[str] | None, _option("Column whose equal values stay in one part.")] = None,
    weight: Annotated[str | None, _option("Column with the weight of a sample.")] = None,
    split: Annotated[str | None, _option("Column that says train, validation or test.")] = None,
    fractions: Annotated[list[str] | None, _option("Shares of the parts: 0.7 0.15 0.15.")] = None,
    seed: Annotated[int | None, _option("Of the split by fractions; 0 if not said.")] = None,
    where: Annotated[list[str] | None, _option("COLUMN=VALUE: only such rows. May be repeated.")] = None,
    lengths: Annotated[str | None, _option("Signals of different length: refuse, pad, crop, 4096, '5 ms'.")] = None,
    sample_rate: Annotated[str | None, _option("Such as '48 kHz', where the files do not say.")] = None,
    rate_column: Annotated[str | None, _option("Column with the rate (or step) of each file.")] = None,
    resample: Annotated[str | None, _option("Bring all signals to this rate.")] = None,
    arrays: Annotated[str | None, _option("NPZ, NPY, MATLAB, HDF5 or a text matrix.")] = None,
    inputs: Annotated[str | None, _option("Name or path of the inputs in it.")] = None,
    layout: Annotated[list[str] | None, _option("Axes of an array: sample channel time, y x ...")] = None,
    shape: Annotated[list[str] | None, _option("Shape of one sample of a flat array: 28x28.")] = None,
    recording: Annotated[str | None, _option("One long recording, cut into windows.")] = None,
    window: Annotated[str | None, _option("Length of a window: '0.5 s' or 4096.")] = None,
    hop: Annotated[str | None, _option("From window to window; the window if not said.")] = None,
    block: Annotated[str | None, _option("Windows of one block are one group; 10 windows.")] = None,
    time_column: Annotated[str | None, _option("When a row of the table was measured.")] = None,
    start_column: Annotated[str | None, _option("Beginning of a piece of the recording.")] = None,
    end_column: Annotated[str | None, _option("End of a piece of the recording.")] = None,
    skip_missing: Annotated[bool | None, _option("Leave out rows whose file is missing.", "--skip-missing")] = None,
    sheet: Annotated[str | None, _option("Of an Excel table.")] = None,
    encoding: Annotated[str | None, _option("Of texts; found by itself.")] = None,
    separator: Annotated[str | None, _option("Of the table; found by itself.")] = None,
    decimal: Annotated[str | None, _option("',' or '.'; found by itself.")] = None,
    time_unit: Annotated[str | None, _option("Of times in text files without a unit; s.")] = None,
    columns: Annotated[list[str] | None, _option("Columns of text files that are channels.")] = None,
    name: Annotated[str | None, _option("Of the data set; that of the output.")] = None,
    source_text: Annotated[str | None, _option("Where the data come from.", "--source")] = None,
    licence: Annotated[str | None, _option("Under which terms they may be used.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a data file from a table with files, from arrays, or from one long recording.

    What can be seen in the files is found (separators, units, rates, time columns), printed, and can be said otherwise;
    what cannot be known is asked.
    """
    flags = {key: value for key, value in locals().items() if key not in _OWN and value not in (None, (), [])}
    if "source_text" in flags:
        flags["source"] = flags.pop("source_text")
    if output is None and not dry_run:
        step = "Such as --output taps.h5, or --dry-run to look first"
        raise ConfigError(
            explained(where="ram data import", what="--output", allowed="given", got="nothing", next_step=step)
        )
    written = _run(source, flags, None if dry_run else output, overwrite=overwrite, save_plan=save_plan, quiet=as_json)
    if as_json:
        say_json(written)
    else:
        step = f"ram data check {output}" if "data" in written else "the same command with --output FILE"
        say(f"next: {step}")


def _run(
    source: Path, flags: dict[str, Any], output: Path | None, *, overwrite: bool, save_plan: Path | None, quiet: bool
) -> dict[str, Any]:
    """Understand, say so, write; return what was understood and the paths of what was written."""
    from ram.data.importing import account_of, load_plan, plan_of, prepared, write_import
    from ram.data.importing.plan import as_toml
    from ram.data.making import check_output
    from ram.storage.atomic import write_text

    if output is not None:
        check_output(output, overwrite=overwrite)
    content = load_plan(source) if source.suffix.lower() == ".toml" else {_kind(source, flags): str(source)}
    plan = plan_of(content, flags, where=str(source))
    written = {}
    with prepared(plan, progress=_bar) as found:
        account = account_of(found)
        if not quiet:
            say_account(account)
        if output is not None:
            written["data"] = str(write_import(found, output, progress=_bar))
    if save_plan:
        write_text(save_plan, as_toml(plan))
        written["plan"] = str(save_plan)
    if not quiet:
        for word, path in written.items():
            say(f"{word}: {path}")
    return {**account, **written}


def _bar(words: str, total: int) -> Any:
    return bar(words, total=total)


def _kind(source: Path, flags: dict[str, Any]) -> str:
    """Return what the first word of the command is: a table, or files, arrays or a recording without one."""
    if source.is_dir():
        return "files"
    if "arrays" in flags or "recording" in flags or "files" in flags or not source.is_file():
        return "table"
    with source.open("rb") as file:
        begin = file.read(8)
    if begin.startswith(_ARRAYS) or source.suffix.lower() == ".npz":
        return "arrays"
    return "recording" if begin[:4] in (b"RIFF", b"fLaC", b"RF64") else "table"


def say_account(account: dict[str, Any]) -> None:
    """Print what was understood."""
    table, inputs, split = account["table"], account["inputs"], account["split"]
    if table:
        rows = [
            [of["name"], of["unit"], of["used as"] or "-", str(of["missing"] or ""), *of["first rows"]]
            for of in account["columns"]
        ]
        head = ["column", "unit", "used as", "missing", "first row", "second", "third"]
        width = max(len(row) for row in rows)
        say_table(f"{table['path']}: {table['rows']:,} rows, {', '.join(table['said'])}", head[:width], rows)
        say("")
    shape = " x ".join(map(str, [inputs["count"], *inputs["shape"]]))
    say(f"inputs    {shape}, {_stored(inputs)}, {inputs['bytes'] / 1e6:,.1f} MB")
    for text in inputs["said"]:
        say(f"          {text}")
    say(f"channels  {', '.join(f'{name} ({unit})' for name, unit in inputs['channels'].items())}")
    for axis in inputs["axes"]:
        ends = f"{axis['first']:.6g} to {axis['last']:.6g} {axis['unit']}"
        say(f"axis      {axis['name']}: {ends}, {axis['cells']:,} cells of {axis['step']:.6g}")
    for kind in ("targets", "parameters"):
        for of in account[kind]:
            say(f"{kind[:-1]:<9} {_values(of)}")
    parts = [f"{part} {count:,} in {split['groups'][part]:,} groups" for part, count in split["samples"].items()]
    say(f"split     {', '.join(parts)} (by {split['by']})")
    for text in account["left_out"]:
        say(f"left out  {text}")


def _stored(inputs: dict[str, Any]) -> str:
    if inputs["dtype"] == "float32":
        return "float32"
    offset = f" + {inputs['offset']:.6g}" if inputs["offset"] else ""
    return f"{inputs['dtype']} (value = stored x {inputs['scale']:.6g}{offset})"


def _values(of: dict[str, Any]) -> str:
    missing = f", {of['missing']:,} missing" if of["missing"] else ""
    said = f" ({of['said']})" if of["said"] else ""
    if of["min"] is None:
        return f"{of['name']}: none measured{said}"
    return f"{of['name']}: {of['min']:.5g} to {of['max']:.5g} {of['unit']}, median {of['median']:.5g}{missing}{said}"
