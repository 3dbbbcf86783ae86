"""The shell: ``ram data make``, ``ram train``, ``ram explain`` and so on.

Each command is a small function that calls the library. Errors that a user can act on become one paragraph
on standard error; the exit code is 0 (done), 1 (the work failed) or 2 (the request was wrong).
"""

from __future__ import annotations

__all__ = ["app", "main"]

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ram.cli import config, data, run, truth
from ram.cli.output import explain_failure, say

app = typer.Typer(
    name="ram",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train regressors on signals and designs, and see in the target's unit what drives a prediction.",
    epilog="Example: ram train experiments/wheel_demo.toml",
)
app.add_typer(data.app, name="data")
app.add_typer(config.app, name="config")
app.add_typer(truth.app, name="truth")
run.add_to(app)


def _print_version(asked: bool) -> None:  # noqa: FBT001  the shell calls it
    if asked:
        import ram

        say(f"ram {ram.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error. May stand anywhere.")] = False,
) -> None:
    """Options of all commands."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave the process with its exit code.

    Parameters
    ----------
    arguments
        The words after ``ram``; those of the process where it is None.

    Raises
    ------
    SystemExit
        Always: 0 done, 1 the work failed, 2 the request was wrong, 75 stopped by a signal and ready to go on.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # People append --debug to the command that has just failed, so it is taken from any place.
    debug = "--debug" in words
    try:
        app([word for word in words if word != "--debug"], prog_name="ram")
    except Exception as error:
        if debug:
            raise
        raise SystemExit(explain_failure(error)) from None
