"""``ram compare``: runs side by side."""

from __future__ import annotations

__all__ = ["compare"]

from pathlib import Path
from typing import Annotated

import typer

from ram.cli.output import AsJson, say, say_json, say_table


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN...", help="Folders of runs; the first is the measure.")
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html|FOLDER", help="A page with pictures; in a folder the pictures too, and JSON."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put runs side by side: errors in units, what configs and environments do not share, how far maps agree."""
    import ram
    from ram.runs.comparison import compare as compared

    found = compared([ram.open_run(run) for run in runs])
    written = []
    if output is not None:
        from ram.views.comparison import write_comparison

        written = write_comparison(found, output)
    if as_json:
        say_json({**found.as_dict(), "written": [str(path) for path in written]})
        return
    from ram.views.comparison import tables

    for table in (table for section in tables(found).values() for table in section):
        say_table(table.caption, table.head, table.rows)
        say("")
    for path in written:
        say(f"{'page' if path.suffix == '.html' else 'figures' if path.suffix == '.json' else 'picture'}: {path}")
