"""``ram learning-curve``: error against the size of the training part."""

from __future__ import annotations

__all__ = ["learning_curve"]

from pathlib import Path
from typing import Annotated

import typer

from ram.cli.numbers import say_curve, seeds_in, shares_in
from ram.cli.output import AsJson, say, say_json, stoppable


def learning_curve(
    config: Annotated[Path, typer.Argument(help="An experiment: a TOML file; with --resume also a curve's folder.")],
    *,
    shares: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="Of the training part; 0.1,0.25,0.5,1 if not said.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="N|A,B,C", help="Train each share with several seeds, and show their spread.")
    ] = None,
    same_steps: Annotated[
        bool, typer.Option("--same-steps", help="Train small shares for more epochs: as many steps as the whole part.")
    ] = False,
    data: Annotated[Path | None, typer.Option(metavar="FILE", help="In place of the experiment's.")] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The curve's; a new one in runs if not said.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the curve in the folder, or start it.")] = False,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the experiment. May be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train on nested shares of the training part of CONFIG, and say how the error falls with the samples.

    A run for each share, a table (JSON) and a picture are kept in one folder; an end in between loses no run.
    """
    from ram.training import learning_curve as training

    with stoppable():
        curve = training.learning_curve(
            config,
            shares=None if shares is None else shares_in(shares),
            seeds=None if seeds is None else seeds_in(seeds),
            same_steps=same_steps,
            data=data,
            output=output,
            resume=resume,
            overrides=tuple(changes or ()),
        )
    if as_json:
        say_json({"curve": str(curve.path), "rows": curve.table})
        return
    say_curve(curve)
    say(f"picture: {curve.path / 'learning_curve.png'}")
    say(f"curve: {curve.path}")
