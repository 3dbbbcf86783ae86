"""``ram cross-validate``: how good a regressor is on groups that it never saw."""

from __future__ import annotations

__all__ = ["cross_validate"]

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ram.cli.numbers import seeds_in
from ram.cli.output import AsJson, figure, say, say_json, say_table, stoppable

if TYPE_CHECKING:
    from ram.data.leaving_out import By
    from ram.runs.cross_validation import CrossValidation

_HEAD = ("group", "samples", "MAE", "RMSE", "bias", "R2", "MAE shifted", "MAE of the mean", "held", "outside")
_FIGURES = ("mae", "rmse", "bias", "r2", "shifted_mae", "constant_mae", "held", "outside")
_SHARES, _UNITLESS = ("held", "outside"), ("r2",)


def cross_validate(
    config: Annotated[
        Path, typer.Argument(help="An experiment: a TOML file; with --resume also a cross-validation's folder.")
    ],
    *,
    folds: Annotated[
        int | None, typer.Option(metavar="K", help="Leave several groups out at a time, in K runs; one if not said.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="N|A,B,C", help="Train each fold with several seeds; their mean predicts.")
    ] = None,
    validation_share: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Of the other samples, to validate; 0.2 if not said.")
    ] = None,
    validation_by: Annotated[
        str | None,
        typer.Option(metavar="auto|group|sample", help="What validates: whole groups, or samples of trained ones."),
    ] = None,
    data: Annotated[Path | None, typer.Option(metavar="FILE", help="In place of the experiment's.")] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Of all runs; a new one in runs if not said.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on in the folder, or start there.")] = False,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the experiment. May be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Leave each group of the data of CONFIG (specimen, tool, design family) out of one run, and test it there.

    The file's own split plays no part. A run for each group, a table (JSON), a page and a picture are kept in one
    folder; an end in between loses no run.
    """
    from ram.training import cross_validation as training
    from ram.views.cross_validation import write_cross_validation

    with stoppable():
        found = training.cross_validate(
            config,
            folds=folds,
            seeds=None if seeds is None else seeds_in(seeds),
            validation_share=validation_share,
            validation_by=cast("By | None", validation_by),
            data=data,
            output=output,
            resume=resume,
            overrides=tuple(changes or ()),
        )
    page = write_cross_validation(found)
    if as_json:
        say_json({"folder": str(found.path), "targets": found.table, "runs": [str(run.path) for run in found.runs]})
        return
    say_groups(found)
    say(f"report: {page}")
    for picture in sorted(found.path.glob("groups*.png")):
        say(f"picture: {picture}")
    say(f"runs: {found.path}, one for each {'group' if found.settings['folds'] is None else 'fold'}")


def say_groups(found: CrossValidation) -> None:
    """Print the figures of each group, their mean, and those of all samples."""
    for name, of in found.table.items():
        rows = [[row["group"], f"{row['samples']:,}", *_cells(row, of["unit"])] for row in of["groups"]]
        mean = {key: value["mean"] for key, value in of["over_groups"].items()}
        rows.append([f"mean over {len(of['groups'])} groups", "", *_cells(mean, of["unit"])])
        rows.append(["all samples", f"{of['over_samples']['samples']:,}", *_cells(of["over_samples"], of["unit"])])
        kept = [place for place, _ in enumerate(_HEAD) if any(row[place] not in ("", "-") for row in rows)]
        title = f"{name}, each group left out once"
        say_table(title, [_HEAD[place] for place in kept], [[row[place] for place in kept] for row in rows])


def _cells(of: dict[str, Any], unit: str) -> list[str]:
    cells = []
    for name in _FIGURES:
        value = of[name]
        if name in _SHARES:
            cells.append("-" if value is None else f"{100 * value:.0f} %")
        else:
            cells.append(figure(value, unit="1" if name in _UNITLESS else unit))
    return cells
