"""What the commands print: text and tables for people, JSON for scripts, errors as one paragraph."""

from __future__ import annotations

__all__ = ["explain_failure", "say", "say_json", "say_table"]

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from ram.errors import RamError, SolverError


def _console(*, to_errors: bool = False) -> Console:
    # Made for each use: a test or a caller may have put another stream in place of standard output.
    return Console(stderr=to_errors, highlight=False, markup=False, emoji=False)


def say(text: str) -> None:
    """Print `text`; it wraps at the terminal's width only, so that a script finds each line whole."""
    console = _console()
    console.print(text, soft_wrap=not console.is_terminal)


def say_json(value: object) -> None:
    """Print `value` as JSON; a number that is not finite, which JSON lacks, becomes null."""
    sys.stdout.write(json.dumps(_plain(value), indent=2, allow_nan=False) + "\n")


def say_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: the first column is text, the others are numbers, aligned to the right."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = _console()
    console.print(table, soft_wrap=not console.is_terminal)


def explain_failure(error: Exception) -> int:
    """Print `error` as one paragraph on standard error and return the exit code it stands for."""
    wrong_request = isinstance(error, RamError) and not isinstance(error, SolverError)
    text = str(error) if isinstance(error, RamError) else f"{type(error).__name__}: {error}"
    hint = "" if isinstance(error, RamError) else " (--debug shows where)"
    console = _console(to_errors=True)
    console.print("Error: " + " ".join(text.split()) + hint, soft_wrap=not console.is_terminal)
    return 2 if wrong_request else 1


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
