"""``ram sweep``: search for better values of an experiment's keys."""

from __future__ import annotations

__all__ = ["sweep"]

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ram.cli.output import AsJson, say, say_json, say_table, say_to_errors, stoppable

if TYPE_CHECKING:
    from ram.training.sweep import Sweep
    from ram.training.trials import Trial

_SHOWN = 10


def sweep(
    config: Annotated[Path, typer.Argument(help="An experiment with a section [sweep.space]: a TOML file.")],
    *,
    data: Annotated[Path | None, typer.Option(metavar="FILE", help="In place of the experiment's.")] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The sweep's; runs/NAME-sweep if not said.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Database of many machines: postgresql://..., sqlite:///... (one machine)."),
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="How many in all, in place of sweep.trials.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that do trials side by side.")] = 1,
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Dask scheduler whose workers do trials: tcp://node7:8786.")
    ] = None,
    silent_after: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Silence after which another machine's trial is done again.")
    ] = 120.0,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the experiment. May be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train the experiment CONFIG again and again with other values; keep the best, by the validation part.

    The same command goes on where a sweep was ended or killed; started on several machines with one --storage, or one
    --output that they share, they part the trials among them.
    """
    from ram.training.sweep import sweep as search

    with stoppable("the same command goes on"):
        found = search(
            config,
            data=data,
            output=output,
            storage=storage,
            trials=trials,
            jobs=jobs,
            cluster=cluster,
            overrides=tuple(changes or ()),
            silent_after_s=silent_after,
            on_trial=say_trial,
        )
    if as_json:
        say_json({"folder": str(found.path)} | found.as_dict())
        return
    say_sweep(found)


def say_trial(trial: Trial) -> None:
    """Say on standard error how a trial ended."""
    values = ", ".join(f"{key}={_brief(value)}" for key, value in trial.values.items())
    criterion = "" if trial.criterion is None else f" {trial.criterion:.4g}"
    error = f": {trial.error}" if trial.error else ""
    say_to_errors(f"trial {trial.number}: {trial.state}{criterion}, epochs {trial.epochs}, {values}{error}")


def say_sweep(found: Sweep) -> None:
    """Print the best trials, what matters and where the files are."""
    known = [trial for trial in found.trials if trial.criterion is not None]
    ranked = sorted(known, key=lambda trial: (trial.state != "complete", trial.criterion, trial.number))
    keys = list(found.best.values)
    rows = [
        [str(t.number), t.state, f"{t.criterion:.4g}", str(t.epochs), *(_brief(t.values.get(key)) for key in keys)]
        for t in ranked[:_SHOWN]
    ]
    counts = {state: sum(t.state == state for t in found.trials) for state in ("complete", "pruned", "failed")}
    counted = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    title = f"the best of {len(found.trials)} trials ({counted}); criterion: validation part, standardised"
    say_table(title, ["trial", "state", "criterion", "epochs", *keys], rows)
    if found.importance:
        shares = [[key, f"{100 * share:.1f} %"] for key, share in found.importance.items()]
        say_table("what the criterion depends on", ["key", "share of the variance"], shares)
    if found.unfinished:
        say(f"{found.unfinished} trials run elsewhere; the same command shows them later")
    say(f"sweep: {found.path}")
    say(f"best: {found.path / 'best.toml'}")


def _brief(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
