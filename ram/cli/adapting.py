"""``ram adapt``: a net with a dense head becomes one whose maps are exact."""

from __future__ import annotations

__all__ = ["adapt"]

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ram.cli.output import AsJson, figure, say, say_json, say_table

if TYPE_CHECKING:
    from ram.runs.run import Run


def adapt(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run whose model has head = 'dense'.")],
    *,
    data: Annotated[Path | None, typer.Option(metavar="FILE", help="In place of the run's.")] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The new run's; a new one in runs if not said.")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the experiment. May be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put global average pooling and a linear unit in the place of RUN's dense layers, and train on.

    The convolutions keep their weights; the linear unit starts with the least squares of the targets. The new net
    trains as RUN did, but for what --set changes.
    """
    import ram
    from ram.training.adapting import adapt_run

    new = adapt_run(ram.open_run(run), data=data, output=output, overrides=tuple(changes or ()))
    if as_json:
        say_json({"run": str(new.path), "adaptation": new.adaptation, "metrics": new.metrics})
        return
    say_cost(new)
    say(f"run: {new.path}")


def say_cost(run: Run) -> None:
    """Print what global average pooling cost, target by target, on the test part."""
    found = run.adaptation
    rows = [_row(name, found, after) for name, after in run.metrics["test"].items()]
    say_table(
        "mean absolute error on the test part",
        ["target", "dense head", "least squares", "trained on", "change"], rows,
    )  # fmt: skip
    before, after = found["parameters"]["before"], found["parameters"]["after"]
    say(f"parameters: {before:,} before, {after:,} after ({100 * (after / before - 1):+.0f} %)")


def _row(name: str, found: dict[str, Any], after: dict[str, Any]) -> list[str]:
    maes = [found[when]["test"][name]["mae"] for when in ("before", "start")] + [after["mae"]]
    change = f"{100 * (maes[2] / maes[0] - 1):+.1f} %" if maes[0] else "-"
    return [name, *(figure(mae, unit=after["unit"]) for mae in maes), change]
