"""``ram train``, ``predict``, ``explain`` and ``report``: what is done with a run."""

from __future__ import annotations

__all__ = ["add_to"]

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ram.cli.adapting import adapt
from ram.cli.comparing import compare
from ram.cli.curve import learning_curve
from ram.cli.evaluate import evaluate
from ram.cli.explain import explain, methods
from ram.cli.groups import cross_validate
from ram.cli.inspect import inspect
from ram.cli.listen import listen
from ram.cli.numbers import interval_figures, members_of, say_members, seeds_in, trust_lines
from ram.cli.output import AsJson, bar, figure, say, say_json, say_table, say_to_errors, stoppable
from ram.cli.sweep import sweep
from ram.cli.trust import rerun, verify
from ram.errors import ConfigError, explained

if TYPE_CHECKING:
    from ram.runs.run import Run

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, as ram train made it.")]
_HEAD = 5


def add_to(app: typer.Typer) -> None:
    """Give `app` the commands of this module."""
    app.command(epilog="Example: ram train experiments/wheel_demo.toml --set training.epochs=40")(train)
    app.command(epilog="Example: ram adapt runs/dense --output runs/gap --set training.epochs=8")(adapt)
    app.command("learning-curve", epilog="Example: ram learning-curve experiments/wheel_demo.toml --seeds 3")(
        learning_curve
    )
    app.command("cross-validate", epilog="Example: ram cross-validate experiments/impact_echo_raw.toml --seeds 3")(
        cross_validate
    )
    app.command(epilog="Example: ram sweep experiments/wheel_sweep.toml --jobs 2")(sweep)
    app.command(epilog="Example: ram predict runs/wheel_demo new_wheels.h5 --output table.csv")(predict)
    app.command(epilog="Example: ram evaluate runs/wheel_demo --maps --part validation")(evaluate)
    app.command(epilog="Example: ram explain runs/wheel_demo --region x=-40mm:40mm --largest 5 --output maps.h5")(
        explain
    )
    app.command(
        epilog="Example: ram listen runs/impact_echo_spectrogram --samples 3 --slower 50 --output sounds",
    )(listen)
    app.command(
        epilog="Example: ram inspect runs/wheel_demo --simulator ram.physics.wheel:frequencies",
    )(inspect)
    app.command(epilog="Example: ram methods")(methods)
    app.command(epilog="Example: ram export runs/wheel_demo --onnx wheel.onnx")(export)
    app.command(epilog="Example: ram report runs/wheel_demo")(report)
    app.command(epilog="Example: ram verify runs/wheel_demo --deep")(verify)
    app.command(epilog="Example: ram rerun runs/wheel_demo --recipe datasets/wheel --option jobs=2")(rerun)
    app.command(epilog="Example: ram compare runs/wheel_demo runs/wheel --output comparison.html")(compare)


def train(
    config: Annotated[Path, typer.Argument(help="An experiment: a TOML file; with --resume also a run's folder.")],
    *,
    data: Annotated[Path | None, typer.Option(metavar="FILE", help="In place of the experiment's.")] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The run's; a new one in runs if not said.")
    ] = None,
    init_from: Annotated[
        Path | None,
        typer.Option("--init-from", metavar="RUN", help="Begin with what fits of the weights of this run."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder, or start it: ram train --resume RUN.")
    ] = False,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the experiment. May be repeated.")
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="N|A,B,C", help="Train so many nets, or with these seeds; their mean is the ensemble."),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes that train together; torchrun and srun say it themselves.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a regressor as the experiment CONFIG says, and keep the run in a folder.

    Ctrl-C, SIGTERM and SIGUSR1 end it after the step under way with exit code 75; --resume goes on to the same bits.
    Started by torchrun or SLURM's srun, the processes train one net together.
    """
    from ram.training.team import launched, places

    if processes is not None and not launched(processes):
        from ram.training.launching import run_together

        pairs = [("--data", data), ("--output", output), ("--init-from", init_from), ("--seeds", seeds)]
        pairs += [("--set", change) for change in changes or ()]
        given = [str(word) for pair in pairs if pair[1] is not None for word in pair]
        flags = [*(["--resume"] if resume else []), *(["--json"] if as_json else [])]
        raise typer.Exit(run_together(processes, ["train", str(config), *given, *flags]))
    import ram

    chosen, changes = None if seeds is None else seeds_in(seeds), changes or []
    with stoppable(says=places().rank == 0):
        run = ram.train(
            config,
            data=data,
            output=output,
            overrides=tuple(changes),
            resume=resume,
            seeds=chosen,
            init_from=init_from,
        )
    if places().rank:
        return  # the first process says it
    if as_json:
        say_json({"run": str(run.path), "metrics": run.metrics, **members_of(run)})
        return
    say_metrics(run)
    for found in run.checks:
        if found["code"] == "group-leak":  # said once more, beside the figures that it is about
            text = found["text"].replace("CONFIG", str(config)) if config.is_file() else found["text"]
            say_to_errors(f"Warning: {text}")
    say(f"run: {run.path}")


def predict(
    run: RunFolder,
    file: Annotated[Path, typer.Argument(help="Data file; it needs no targets.")],
    *,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Table to write (CSV): id, targets with the ends of their intervals."),
    ] = None,
    level: Annotated[
        float | None, typer.Option(help="Share of new samples that intervals hold; the run's own if not said.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Predict every sample of FILE and write a table, or print all rows as JSON.

    Each prediction has an interval in the target's unit; column outside is 1 for samples unlike those trained on.
    """
    if output is None and not as_json:
        step = "Such as --output table.csv, or --json to print the rows"
        raise ConfigError(
            explained(where="ram predict", what="--output", allowed="given", got="nothing", next_step=step)
        )
    import ram
    from ram.storage.atomic import write_text
    from ram.storage.plain import as_csv

    opened = ram.open_run(run)
    data = opened.open(file)
    with bar("predicting", total=len(data)) as progress:
        predicted = opened.predict(data, level=level, progress=progress)
    rows = predicted.rows()
    if output is not None:
        write_text(output, as_csv(rows))
    if as_json:
        say_json(rows)
        return
    head = [
        [f"{value:.6g}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows[:_HEAD]
    ]
    say_table(f"the first {len(head)} of {len(rows)}", list(rows[0]), head)
    for line in trust_lines(opened, predicted):
        say(line)
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


def report(
    run: RunFolder,
    *,
    lines: Annotated[
        list[str] | None,
        typer.Option(
            "--line",
            metavar="'AXIS = FORMULA'",
            help="Drawn on maps: 'frequency = 0.96 * speed / (2 * depth)', of parameters and targets. May be repeated.",
        ),
    ] = None,
    simulator: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="Asked what each region does to the target: ram.physics.wheel:frequencies, or solver.py:run.",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes for the simulator's work.")] = 1,
) -> None:
    """Write the run's report, one HTML file that needs nothing else, and pictures beside it."""
    import ram
    from ram.runs.cross_validation import CROSS_VALIDATION_FILE, CrossValidation

    if (run / CROSS_VALIDATION_FILE).is_file():
        from ram.views.cross_validation import write_cross_validation

        say(f"report: {write_cross_validation(CrossValidation(run))}")
        return
    page = ram.write_report(ram.open_run(run), lines=tuple(lines or ()), simulator=simulator, jobs=jobs)
    say(f"report: {page}")
    say(f"  one file of {page.stat().st_size / 1e6:.1f} MB that needs nothing else: to be mailed, or printed to PDF")
    for picture in sorted((page.parent / "pictures").glob("*.png")):
        say(f"picture: {picture}")


def say_metrics(run: Run) -> None:
    """Print what the predictions of the test part are worth, target by target."""
    rows, heads = [], ["target", "MAE", "RMSE", "MAPE", "R2"]
    for name, of in run.metrics["test"].items():
        errors = [figure(of[key], unit=of["unit"]) for key in ("mae", "rmse")]
        row = [name, *errors, figure(of["mape"], unit="%"), figure(of["r2"])]
        rows.append([*row, *interval_figures(of)] if "coverage" in of else row)
    if any(len(row) > len(heads) for row in rows):
        heads += [f"{run.config.trust.level:.4g} interval +-", "held"]
    say_table("test part", heads, rows)
    say_members(run)
