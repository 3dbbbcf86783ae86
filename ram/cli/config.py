"""``ram config schema`` and ``ram config show``."""

from __future__ import annotations

__all__ = ["app"]

from pathlib import Path
from typing import Annotated

import typer

from ram.cli.output import AsJson, say, say_as_it_is, say_json

app = typer.Typer(no_args_is_help=True, help="What an experiment may say, and what it says with every default.")


@app.command(epilog="Example: ram config schema --output experiments/schema.json")
def schema(
    *,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it there instead of printing it.")] = None,
) -> None:
    """Print the JSON schema of an experiment's file; editors complete keys and check values by it.

    An experiment names it in its first line: '#:schema schema.json'.
    """
    from ram.runs import settings
    from ram.storage.atomic import write_json

    if output is None:
        say_json(settings.schema())
        return
    write_json(output, settings.schema())
    say(f"schema: {output}")


@app.command(epilog="Example: ram config show experiments/wheel.toml --set training.epochs=50")
def show(
    file: Annotated[Path, typer.Argument(help="An experiment (TOML), or the folder of a run.")],
    *,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the experiment. May be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print an experiment with every default written out, as TOML that reads the same again.

    Behind each key that is not at its default stands what the default is. Where the data are at hand, the first lines
    say how much of the input the cells of the net see.
    """
    from ram.runs import settings
    from ram.runs.config import load_experiment
    from ram.runs.planning import sight_of

    experiment = load_experiment(file / "config.toml" if file.is_dir() else file, overrides=tuple(changes or ()))
    differing, sight = settings.changed(experiment), sight_of(experiment)
    if not as_json:
        say_as_it_is(f"# {file}, with every default; {len(differing)} keys are not at theirs\n")
        say_as_it_is(f"# {sight}\n" if sight else "")
        say_as_it_is(settings.as_toml(experiment, marked=True))
        return
    defaults = {key: None if of.second == settings.REQUIRED else of.second for key, of in differing.items()}
    say_json(
        {
            "file": str(file),
            "config": experiment.model_dump(mode="json"),
            "sight": sight,
            "changed": {key: {"value": of.first, "default": defaults[key]} for key, of in differing.items()},
        }
    )
