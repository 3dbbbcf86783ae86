"""What the commands print: text, tables and bars for people, JSON for scripts, errors as one paragraph."""

from __future__ import annotations

__all__ = [
    "AsJson",
    "bar",
    "explain_failure",
    "say",
    "say_as_it_is",
    "say_json",
    "say_table",
    "say_to_errors",
    "stoppable",
    "terminal_width",
]

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ram.errors import RamError, RelayedError, SolverError, Stopped, StorageError, TrainingError
from ram.storage.plain import plain

# A pipe has no width; a table must not lose its columns there.
_WIDTH_OF_A_FILE = 240
_WIDTH_OF_A_PAGE = 100
_FAILED = (SolverError, StorageError, TrainingError)
_WRONG_PATHS = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
_WRONG = (RamError, *_WRONG_PATHS)
_TELLING_S = 0.5

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script instead of text.")]


def _console(*, to_errors: bool = False) -> Console:
    # Made for each use: a test or a caller may have put another stream in place of standard output.
    console = Console(stderr=to_errors, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDTH_OF_A_FILE
    return console


def terminal_width() -> int:
    """Return the letters that fit into a line of the terminal; 100 where there is none."""
    console = _console()
    return console.width if console.is_terminal else _WIDTH_OF_A_PAGE


def say(text: str) -> None:
    """Print `text`; it wraps at the terminal's width only, so that a script finds each line whole."""
    console = _console()
    console.print(text, soft_wrap=not console.is_terminal)


def say_as_it_is(text: str) -> None:
    """Print what may be copied into a file: no line is wrapped."""
    sys.stdout.write(text)


def say_to_errors(text: str) -> None:
    """Print a line on standard error: what a long work has to say on the way."""
    _console(to_errors=True).print(text, soft_wrap=True)


def say_json(value: object) -> None:
    """Print `value` as JSON; a number that is not finite, which JSON lacks, becomes null."""
    sys.stdout.write(json.dumps(plain(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def say_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: the first column is text, the others are numbers, aligned to the right."""
    table = Table(title=title, title_justify="left", title_style="", box=None, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = _console()
    console.print(table, soft_wrap=not console.is_terminal)


def figure(value: float | None, *, unit: str = "1") -> str:
    """Return a figure with its unit; a dash where it does not exist.

    >>> figure(0.39512, unit="%"), figure(0.99412), figure(None)
    ('0.3951 %', '0.9941', '-')
    """
    if value is None:
        return "-"
    return f"{value:.4g}" if unit == "1" else f"{value:.4g} {unit}"


@contextmanager
def bar(words: str, *, total: int) -> Iterator[Callable[[float], None]]:
    """Show how far a work is, with the time left, on a terminal only; yields what counts finished parts."""
    console = _console(to_errors=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(words, total=total)
        yield lambda parts: progress.advance(task, parts)


@contextmanager
def stoppable(instead: str = "", *, says: bool = True) -> Iterator[None]:
    """Say in one paragraph how to go on with work that a signal has stopped, and leave with its exit code.

    What is said `instead` holds for a work that is more than one training; of processes that train together the first
    one says it.
    """
    try:
        yield
    except Stopped as stop:
        said = f"{str(stop).partition(':')[0]}: {instead}." if instead else str(stop)
        if says:
            _console(to_errors=True).print(said, soft_wrap=True)
        else:
            _let_the_first_speak()
        raise typer.Exit(stop.code) from None


def explain_failure(error: Exception) -> int:
    """Print `error` as a paragraph on standard error and return the exit code it stands for."""
    text, code = _said(error)
    if isinstance(error, RelayedError):
        _let_the_first_speak()
        return code
    console = _console(to_errors=True)
    # A check of data says all that it found, each in a line of its own.
    for line in filter(None, (" ".join(line.split()) for line in text.splitlines())):
        console.print(f"Error: {line}", soft_wrap=not console.is_terminal)
    return code


def _said(error: Exception) -> tuple[str, int]:
    """Return what is said of an error, and its exit code: 1 the work failed, 2 the request was wrong."""
    if isinstance(error, RelayedError):
        return str(error), 2 if issubclass(error.of, _WRONG) and not issubclass(error.of, _FAILED) else 1
    if isinstance(error, RamError):
        return str(error), 1 if isinstance(error, _FAILED) else 2
    if isinstance(error, _WRONG_PATHS):
        return f"{error.filename}: {error.strerror}", 2
    return f"{type(error).__name__}: {error} (--debug shows where)", 1


def _let_the_first_speak() -> None:
    """Wait: torchrun ends all processes as soon as one has left, the one too that is about to say why."""
    time.sleep(_TELLING_S)
