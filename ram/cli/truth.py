"""``ram truth``: maps held against what physics says."""

from __future__ import annotations

__all__ = ["app"]

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ram.cli.output import AsJson, figure, say, say_json, say_table, say_to_errors, stoppable

app = typer.Typer(no_args_is_help=True, help="Maps held against what physics says: interventions, the benchmark.")
Jobs = Annotated[int, typer.Option(min=1, help="Processes for the solver's work.")]


@app.command(
    epilog="Example: ram truth intervene runs/wheel_maps --simulator ram.physics.wheel:frequencies --samples 40"
)
def intervene(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, as ram train made it.")],
    *,
    simulator: Annotated[
        str, typer.Option(metavar="MODULE:FUNCTION", help="What says the targets: or solver.py:run. Its code is run.")
    ],
    target: Annotated[str | None, typer.Option(metavar="NAME", help="The run's first one if not said.")] = None,
    method: Annotated[str, typer.Option(metavar="NAME", help="Whose claims are tested; of 'ram methods'.")] = "ram",
    samples: Annotated[int, typer.Option(min=1, help="Of the test part, at most.")] = 50,
    patches: Annotated[int, typer.Option(min=0, help="Random patches of each sample, beside the regions.")] = 4,
    jobs: Jobs = 1,
    as_json: AsJson = False,
) -> None:
    """Give each region of samples the reference's design, ask the solver again, and hold that against the map.

    The reference is that of the data file, or the mean training input. Answers of the solver are kept beside the data.
    """
    import numpy as np

    import ram
    from ram.data.simulators import load_simulator
    from ram.views.interventions import held_against

    found = held_against(
        ram.open_run(run), load_simulator(simulator), target=target, method=method, samples=samples, patches=patches,
        jobs=jobs,
    )  # fmt: skip
    true, claimed, of_all = found.true, found.claimed, found.all
    if as_json:
        say_json(
            {"run": str(run), "target": found.target, "unit": found.unit, "method": method, "simulator": simulator,
             **of_all.as_dict(), "regions": list(found.regions), "ids": list(map(str, found.ids)),
             "true": true.tolist(), "claimed": claimed.tolist(), "failures": list(found.failures)}
        )  # fmt: skip
        return
    table = []
    for column, name in enumerate(found.regions):
        there = np.isfinite(true[:, column])
        sides = [np.abs(one[there, column]) for one in (true, claimed, true - claimed)]
        table.append([name, f"{there.sum()}", *(f"{one.mean():.4g}" if one.size else "-" for one in sides)])
    title = f"{found.target} ({found.unit}): what regions add, the solver asked again, against {method}; mean |...|"
    say_table(title, ["region", "samples", "true", "claimed", "off by"], table)
    say(f"true = {of_all.offset:+.4g} + {of_all.slope:.3f} x claimed, R2 {of_all.r2:.3f} over {of_all.changes} changes")
    for text in found.failures[:5]:
        say(f"not solved: {text}")


@app.command(epilog="Example: ram truth bench additive-2d shortcut-2d --cache build/truth --output docs/truth.md")
def bench(
    tasks: Annotated[list[str] | None, typer.Argument(metavar="[TASK]...", help="All if none is named.")] = None,
    *,
    runs: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="Holds runs on wheels or taps, which take long to train. May be repeated."),
    ] = None,
    cache: Annotated[Path, typer.Option(metavar="FOLDER", help="Of data, runs and figures.")] = Path("build/truth"),
    output: Annotated[Path, typer.Option(metavar="FILE", help="The page; its pictures lie beside it.")] = Path(
        "docs/truth.md"
    ),
    seeds: Annotated[int, typer.Option(min=1, help="Nets of each kind that are trained.")] = 1,
    samples: Annotated[int, typer.Option(min=2, help="Of each test part, at most.")] = 200,
    methods: Annotated[str | None, typer.Option(metavar="NAME,NAME", help="Of 'ram methods'; all if not said.")] = None,
    source: Annotated[Path, typer.Option(metavar="FOLDER", help="Holds datasets and experiments.")] = Path(),
    jobs: Jobs = 1,
    as_json: AsJson = False,
) -> None:
    """Run the benchmark of maps against the truth, and write its page.

    Planted tasks are made and trained; wheels and taps are taken from runs that are given. What was done is not done
    again while run, data and options are the same.
    """
    from ram.benchmark.running import Plan, given_runs, run_benchmark, write_page
    from ram.benchmark.tasks import TASKS, task_of

    plan = Plan(
        [task_of(name) for name in tasks or TASKS],
        cache=cache,
        source=source,
        seeds=seeds,
        samples=samples,
        methods=tuple(name.strip() for name in methods.split(",")) if methods else None,
        jobs=jobs,
        told=say_to_errors,
    )
    with stoppable("the same command goes on where it was"):
        found = run_benchmark(plan, given_runs(runs or [], told=say_to_errors))
    command = " ".join(["ram truth bench", *(tasks or [])])  # the page says in words what --runs adds
    if samples != 200:
        command += f" --samples {samples}"
    if methods:
        command += f" --methods {methods}"
    write_page(found, output, command=command)
    if as_json:
        say_json({"page": str(output), "tasks": found.results})
        return
    for name, measured in found.results.items():
        for one in measured:
            _say(name, one)
    say(f"page: {output}")


def _say(task: str, one: Mapping[str, Any]) -> None:
    own = one.get("board", {}).get("rows", {}).get("ram", {}).get("figures", {})
    words = [f"{name} {figure(own[name][0])}" for name in ("spearman", "pearson", "auc") if name in own]
    words += one.get("regions", {}).get("warnings", [])
    say(f"{task}, {one['net']}, seed {one['seed']}: {', '.join(words) or 'measured'}")
