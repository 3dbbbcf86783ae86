"""``ram truth``: maps held against what physics says."""

from __future__ import annotations

__all__ = ["app"]

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ram.cli.output import AsJson, figure, say, say_json, say_table, say_to_errors, stoppable
from ram.errors import ConfigError, explained

if TYPE_CHECKING:
    from ram.data.dataset import Dataset
    from ram.runs.run import Run
    from ram.views.benchmark.tasks import Task

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
    from ram.data.units import difference_factor
    from ram.evaluation.candidates import candidate_of_method, claims_on_inputs
    from ram.evaluation.claims import intervention
    from ram.evaluation.interventions import intervene as ask
    from ram.maps.methods import method_called
    from ram.views.leaderboards import subject_of

    opened, entry = ram.open_run(run), load_simulator(simulator)
    method_called(method)
    test = opened.part("test")
    chosen = target or next(iter(opened.units))
    subject = subject_of(opened, test, chosen, samples=samples)
    place = {str(name): row for row, name in enumerate(test.ids)}
    rows = test[[place[str(name)] for name in subject.ids]]
    found = ask(rows, entry, reference=np.asarray(subject.reference, np.float64), patches=patches, jobs=jobs)
    if chosen not in found.changes:
        known = ", ".join(found.changes)
        raise ConfigError(explained(where=simulator, what="what it returns", allowed=f"{chosen} too", got=known))
    candidate = candidate_of_method(subject, method, passes=np.inf, least=len(rows), options={}, seed=0)
    if candidate.claims is None or not candidate.in_unit or subject.log:
        got = candidate.refused or ("a log target" if subject.log else f"one of grade {candidate.grade}")
        raise ConfigError(
            explained(where=method, what="the method", allowed="one whose maps add up in the unit", got=got)
        )
    true = difference_factor(found.units[chosen], to=subject.unit) * found.changes[chosen]
    claimed = found.claims(claims_on_inputs(subject, candidate))
    of_all = intervention(true, claimed)
    if as_json:
        say_json(
            {"run": str(run), "target": chosen, "unit": subject.unit, "method": method, "simulator": simulator,
             **of_all.as_dict(), "regions": list(found.names), "ids": list(map(str, found.ids)),
             "true": true.tolist(), "claimed": claimed.tolist(), "failures": list(found.failures)}
        )  # fmt: skip
        return
    table = []
    for column, name in enumerate(found.names):
        there = np.isfinite(true[:, column])
        sides = [np.abs(one[there, column]) for one in (true, claimed, true - claimed)]
        table.append([name, f"{there.sum()}", *(f"{one.mean():.4g}" if one.size else "-" for one in sides)])
    title = f"{chosen} ({subject.unit}): what regions add, the solver asked again, against {method}; mean |...|"
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
    from ram.storage.atomic import write_bytes, write_text
    from ram.views.benchmark.page import page
    from ram.views.benchmark.pictures import maps_picture
    from ram.views.benchmark.tasks import TASKS, net_of, net_order, task_of

    chosen = [task_of(name) for name in tasks or TASKS]
    given = _given(runs or [])
    results: dict[str, list[Any]] = {}
    pictures: dict[str, str] = {}
    folder = output.parent / output.stem
    names = [name.strip() for name in methods.split(",")] if methods else None
    with stoppable("the same command goes on where it was"):
        for task in chosen:
            found = [*_trained(task, cache=cache, seeds=seeds, source=source, jobs=jobs), *given.get(task.name, [])]
            if not found:
                say_to_errors(f"{task.name}: left out, no run is given (--runs FOLDER)")
                continue
            results[task.name] = [
                _measured(run, task, cache=cache, samples=samples, methods=names, jobs=jobs) for run in found
            ]
            first = {net_of(run): run for run in reversed(found)}
            content = maps_picture(task, {name: first[name] for name in sorted(first, key=net_order)})
            if content:
                (folder).mkdir(parents=True, exist_ok=True)
                write_bytes(folder / f"{task.name}.png", content)
                pictures[task.name] = f"{folder.name}/{task.name}.png"
    command = " ".join(["ram truth bench", *(tasks or [])])  # the page says in words what --runs adds
    if samples != 200:
        command += f" --samples {samples}"
    if methods:
        command += f" --methods {methods}"
    write_text(output, page(results, pictures=pictures, command=command))
    if as_json:
        say_json({"page": str(output), "tasks": results})
        return
    for name, measured in results.items():
        for one in measured:
            _say(name, one)
    say(f"page: {output}")


def _say(task: str, one: Mapping[str, Any]) -> None:
    own = one.get("board", {}).get("rows", {}).get("ram", {}).get("figures", {})
    words = [f"{name} {figure(own[name][0])}" for name in ("spearman", "pearson", "auc") if name in own]
    words += one.get("regions", {}).get("warnings", [])
    say(f"{task}, {one['net']}, seed {one['seed']}: {', '.join(words) or 'measured'}")


def _given(folders: list[Path]) -> dict[str, list[Run]]:
    """Return the finished runs in folders, by the task that their data belong to."""
    import ram
    from ram.errors import RamError
    from ram.views.benchmark.tasks import task_for

    found: dict[str, list[Run]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(explained(where="--runs", what="it", allowed="a folder of runs", got=str(folder)))
        for path in sorted(folder.glob("*/manifest.json")):
            try:
                run = ram.open_run(path.parent)
                task = task_for(run.data())
            except RamError as error:
                say_to_errors(f"{path.parent}: left out. {error}")
                continue
            if task is not None:
                found.setdefault(task.name, []).append(run)
    return found


def _trained(task: Task, *, cache: Path, seeds: int, source: Path, jobs: int) -> Iterator[Run]:
    """Yield the runs of a task that the benchmark trains itself; data and runs are kept."""
    import ram

    if not task.experiment:
        return
    data = _made(task, cache=cache, source=source, jobs=jobs)
    experiment = source / "experiments" / task.experiment
    if not experiment.is_file():
        raise _no_source(experiment)
    for net, changes in task.nets.items():
        for seed in range(1, seeds + 1):
            changed = (f"data.file={data.path.resolve()}", f"seed={seed}", *changes)
            words = [task.name, net.replace(" ", "-").replace("%", "percent"), f"s{seed}"]
            key = _key(experiment.read_text(encoding="utf-8"), data.digest, *changed[1:])
            yield ram.train(experiment, output=cache / "runs" / "-".join([*words, key]), overrides=changed, resume=True)


def _made(task: Task, *, cache: Path, source: Path, jobs: int) -> Dataset:
    import ram
    from ram.data.making import make

    recipe = source / "datasets" / task.recipe / "recipe.py"
    if not recipe.is_file():
        raise _no_source(recipe)
    path = cache / "data" / f"{task.name}-{_key(recipe.read_text(encoding='utf-8'), str(task.options))}.h5"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        make(recipe.parent, path, {**task.options, "jobs": str(jobs)})
    return ram.open_dataset(path)


def _no_source(path: Path) -> ConfigError:
    step = "Run it in the repository, or name its folder by --source"
    return ConfigError(
        explained(where="ram truth bench", what=str(path), allowed="there", got="no file", next_step=step)
    )


def _measured(
    run: Run, task: Task, *, cache: Path, samples: int, methods: list[str] | None, jobs: int
) -> dict[str, Any]:
    """Return the figures of a run, measured or kept."""
    import json

    from ram.runs.manifest import read_manifest
    from ram.storage.atomic import write_json
    from ram.views.benchmark.measure import VERSION, measured, stored_boards

    files = read_manifest(run.path)
    boards = [files.get(name, "") for name in stored_boards(run)]
    own = (files["checkpoint.safetensors"], files["metrics.json"], *boards)
    key = _key(str(VERSION), *own, str(samples), str(methods), task.simulator)
    kept = cache / "measured" / f"{task.name}-{run.name}-{key}.json"
    if kept.is_file():
        return dict(json.loads(kept.read_text(encoding="utf-8")))
    say_to_errors(f"{task.name}: measuring {run.name}")
    found = measured(run, task, samples=samples, methods=methods, cache=cache / "interventions", jobs=jobs)
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_json(kept, found)
    return dict(json.loads(kept.read_text(encoding="utf-8")))


def _key(*words: str) -> str:
    import hashlib

    return hashlib.sha256("\x1f".join(words).encode()).hexdigest()[:8]
