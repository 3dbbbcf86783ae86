"""``ram train``, ``predict``, ``explain`` and ``report``: what is done with a run."""

from __future__ import annotations

__all__ = ["add_to"]

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ram.cli.explain import explain, methods
from ram.cli.output import AsJson, as_csv, bar, say, say_json, say_table
from ram.cli.trust import verify
from ram.errors import ConfigError, explained

if TYPE_CHECKING:
    from ram.runs.run import Run

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, as ram train made it.")]
_HEAD = 5


def add_to(app: typer.Typer) -> None:
    """Give `app` the commands of this module."""
    app.command(epilog="Example: ram train experiments/wheel_demo.toml --set training.epochs=40")(train)
    app.command(epilog="Example: ram predict runs/wheel_demo new_wheels.h5 --output table.csv")(predict)
    app.command(epilog="Example: ram explain runs/wheel_demo --reference train-mean --output maps.h5")(explain)
    app.command(epilog="Example: ram methods")(methods)
    app.command(epilog="Example: ram export runs/wheel_demo --onnx wheel.onnx")(export)
    app.command(epilog="Example: ram report runs/wheel_demo")(report)
    app.command(epilog="Example: ram verify runs/wheel_demo --deep")(verify)


def train(
    config: Annotated[Path, typer.Argument(help="An experiment: a TOML file.")],
    *,
    data: Annotated[Path | None, typer.Option(metavar="FILE", help="In place of the experiment's.")] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The run's; a new one in runs if not said.")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the experiment. May be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a regressor as the experiment CONFIG says, and keep the run in a folder."""
    import ram

    run = ram.train(config, data=data, output=output, overrides=tuple(changes or ()))
    if as_json:
        say_json({"run": str(run.path), "metrics": run.metrics})
        return
    say_metrics(run)
    say(f"run: {run.path}")


def predict(
    run: RunFolder,
    file: Annotated[Path, typer.Argument(help="Data file; it needs no targets.")],
    *,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Table to write (CSV): id, then one column per target.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Predict every sample of FILE and write a table, or print all rows as JSON."""
    if output is None and not as_json:
        step = "Such as --output table.csv, or --json to print the rows"
        raise ConfigError(
            explained(where="ram predict", what="--output", allowed="given", got="nothing", next_step=step)
        )
    import ram
    from ram.storage.atomic import write_text

    opened = ram.open_run(run)
    data = opened.open(file)
    with bar("predicting", total=len(data)) as progress:
        rows = opened.predict(data, progress=progress).rows()
    if output is not None:
        write_text(output, as_csv(rows))
    if as_json:
        say_json(rows)
        return
    head = [[f"{value:.6g}" if isinstance(value, float) else value for value in row.values()] for row in rows[:_HEAD]]
    say_table(f"the first {len(head)} of {len(rows)}", list(rows[0]), head)
    say(f"table: {output}")


def export(
    run: RunFolder,
    *,
    onnx: Annotated[Path, typer.Option(metavar="FILE", help="The ONNX file to write.")],
) -> None:
    """Write the net of RUN as one file that answers with prediction and map, for machines without torch."""
    import ram
    from ram.runs.exporting import export_onnx

    opened = ram.open_run(run)
    export_onnx(opened, onnx)
    units = ", ".join(f"{name} ({unit})" for name, unit in opened.units.items())
    say(f"outputs: prediction, contributions, baseline of {units}; held against torch by onnxruntime")
    say(f"onnx: {onnx}")


def report(run: RunFolder) -> None:
    """Write the run's report, one HTML file that needs nothing else, and pictures beside it."""
    import ram

    page = ram.write_report(ram.open_run(run))
    say(f"report: {page}")
    for picture in sorted((page.parent / "pictures").glob("*.png")):
        say(f"picture: {picture}")


def say_metrics(run: Run) -> None:
    """Print what the predictions of the test part are worth, target by target."""
    rows = []
    for name, of in run.metrics["test"].items():
        errors = [figure(of[key], unit=of["unit"]) for key in ("mae", "rmse")]
        rows.append([name, *errors, figure(of["mape"], unit="%"), figure(of["r2"])])
    say_table("test part", ["target", "MAE", "RMSE", "MAPE", "R2"], rows)


def figure(value: float | None, *, unit: str = "1") -> str:
    """Return a figure with its unit; a dash where it does not exist.

    >>> figure(0.39512, unit="%"), figure(0.99412), figure(None)
    ('0.3951 %', '0.9941', '-')
    """
    if value is None:
        return "-"
    return f"{value:.4g}" if unit == "1" else f"{value:.4g} {unit}"
