"""``ram data make`` and ``ram data info``."""

from __future__ import annotations

__all__ = ["app"]

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ram.cli.checking import check
from ram.cli.importing import EPILOG, ManyValues, import_data
from ram.cli.output import AsJson, say, say_json, say_table, terminal_width
from ram.errors import ConfigError, explained

if TYPE_CHECKING:
    from ram.data.info import DatasetInfo, TreeInfo

app = typer.Typer(no_args_is_help=True, help="Make data files and look into them.")
app.command("import", cls=ManyValues, epilog=EPILOG)(import_data)
app.command(epilog="Example: ram data check wheel.h5 --targets umbrella,mass --deep")(check)


@app.command(
    # The recipe's own options are not known before its folder is; --help shows them where a folder is given.
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    epilog="Example: ram data make datasets/wheel --samples 64 --size 48 --seed 1 --jobs 2 --output w.h5",
)
def make(
    context: typer.Context,
    *,
    folder: Annotated[Path | None, typer.Argument(help="Folder of a recipe, such as datasets/wheel.")] = None,
    output: Annotated[Path | None, typer.Option(help="The data file to write.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Dask scheduler whose workers compute: tcp://node7:8786.")
    ] = None,
    show_help: Annotated[bool, typer.Option("--help", "-h", help="Show this; with FOLDER its options too.")] = False,
) -> None:
    """Make a data file by the recipe in FOLDER; interrupted, it continues where it was."""
    if show_help:
        say(context.get_help())
        if folder:
            say_options(folder)
        return
    if folder is None or output is None:
        what, step = ("FOLDER", "Such as datasets/wheel") if folder is None else ("--output", "Such as wheel.h5")
        raise ConfigError(explained(where="ram data make", what=what, allowed="given", got="nothing", next_step=step))
    from ram.data import making

    making.make(folder, output, recipe_options(context.args), overwrite=overwrite, cluster=cluster)
    say(f"data: {output}")


def say_options(folder: Path) -> None:
    """Print the options of the recipe in `folder`: the signature and the text of its ``make``."""
    from ram.data import making

    recipe = making.load_recipe(folder)
    rows = []
    for option in making.options_of(recipe):
        kind = option.kind.__name__ if isinstance(option.kind, type) else str(option.kind)
        default = "required" if option.required else str(option.default)
        rows.append([f"--{option.name.replace('_', '-')}", kind, default])
    say_table(f"options of {folder}", ["option", "type", "default"], rows)
    say("\n" + (inspect.getdoc(recipe.make) or "").partition("\nRaises\n")[0])


@app.command(epilog="Example: ram data info wheel.h5")
def info(
    file: Annotated[Path, typer.Argument(help="A ram-dataset/1 file, any other HDF5 file, or an experiment (TOML).")],
    *,
    as_json: AsJson = False,
) -> None:
    """Say what is in FILE: axes, units, targets, splits, truth; of any other HDF5 file its tree and what it offers.

    Of an experiment: what its data are, read by its mapping.
    """
    found = _info_of_experiment(file) if file.suffix == ".toml" else _info_of_file(file)
    if as_json:
        say_json(found.as_json())
    else:
        say(found.as_text(width=terminal_width()))


def _info_of_file(file: Path) -> DatasetInfo | TreeInfo:
    from ram.data.info import describe

    return describe(file)


def _info_of_experiment(file: Path) -> DatasetInfo:
    from ram.data.info import describe_dataset
    from ram.runs.config import load_experiment
    from ram.runs.opening import open_data

    return describe_dataset(open_data(load_experiment(file).data))


def recipe_options(words: Sequence[str]) -> dict[str, str]:
    """Return the values by name; the recipe's signature says what they are.

    >>> recipe_options(["--samples", "64", "--truth-test=12"])
    {'samples': '64', 'truth-test': '12'}

    Raises
    ------
    ConfigError
        Where a word is no option, or an option has no value.
    """
    options: dict[str, str] = {}
    rest = list(words)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if not name.startswith("--") or not (equals or rest):
            raise ConfigError(
                explained(where="ram data make", what="a recipe's option", allowed="--name VALUE", got=f"'{name}'")
            )
        options[name[2:]] = value if equals else rest.pop(0)
    return options
