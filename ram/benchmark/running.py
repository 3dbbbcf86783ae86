"""The benchmark from its tasks to its page: nets are trained or taken, measured, and nothing is done twice."""

from __future__ import annotations

__all__ = ["Plan", "given_runs", "run_benchmark", "trained_runs", "write_page"]

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ram.benchmark.measure import VERSION, measured, stored_boards
from ram.benchmark.page import page
from ram.benchmark.pictures import maps_picture
from ram.benchmark.tasks import Task, net_of, net_order, task_for
from ram.data.dataset import Dataset, open_dataset
from ram.data.making import make
from ram.errors import ConfigError, RamError, explained
from ram.runs.manifest import read_manifest
from ram.runs.run import Run, open_run
from ram.storage.atomic import write_bytes, write_json, write_text
from ram.training.train import train


@dataclass(frozen=True)
class Plan:
    """What is run, and where it is kept.

    Attributes
    ----------
    tasks
        In the order of the page.
    cache
        Folder of data, runs, answers of solvers and figures.
    source
        Folder that holds datasets and experiments.
    seeds
        Nets of each kind that are trained.
    samples
        Of each test part, at most.
    methods
        Of the leaderboards; if not given as `ram.benchmark.measure.measured` has it.
    jobs
        Processes for the solver's work, and for methods.
    told
        Is given a line where something is left out, or takes long.
    """

    tasks: Sequence[Task]
    cache: Path
    source: Path = Path()
    seeds: int = 1
    samples: int = 200
    methods: tuple[str, ...] | None = None
    jobs: int = 1
    told: Callable[[str], None] = field(default=lambda text: None, repr=False)  # noqa: ARG005 - nobody listens


@dataclass(frozen=True)
class Measured:
    """Figures of each run and the picture of each task, by the task's name."""

    results: Mapping[str, Sequence[Mapping[str, Any]]]
    pictures: Mapping[str, bytes]


def run_benchmark(plan: Plan, given: Mapping[str, Sequence[Run]]) -> Measured:
    """Return what was measured of the nets that are trained for each task, and of runs that are given for it.

    Raises
    ------
    ConfigError
        A recipe or an experiment is not in the plan's source.
    """
    results: dict[str, list[Mapping[str, Any]]] = {}
    pictures: dict[str, bytes] = {}
    for task in plan.tasks:
        runs = [*trained_runs(task, plan), *given.get(task.name, ())]
        if not runs:
            plan.told(f"{task.name}: left out, no run is given (--runs FOLDER)")
            continue
        results[task.name] = [_measured(run, task, plan) for run in runs]
        first = {net_of(run): run for run in reversed(runs)}
        content = maps_picture(task, {name: first[name] for name in sorted(first, key=net_order)})
        if content:
            pictures[task.name] = content
    return Measured(results, pictures)


def write_page(found: Measured, output: Path, *, command: str) -> None:
    """Write the page, and its pictures into a folder of its name beside it."""
    folder = output.parent / output.stem
    for name, content in found.pictures.items():
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / f"{name}.png", content)
    places = {name: f"{folder.name}/{name}.png" for name in found.pictures}
    write_text(output, page(found.results, pictures=places, command=command))


def given_runs(folders: Sequence[Path], *, told: Callable[[str], None]) -> dict[str, list[Run]]:
    """Return the finished runs in folders, by the task that their data belong to.

    Raises
    ------
    ConfigError
        A folder is not there.
    """
    found: dict[str, list[Run]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(explained(where="--runs", what="it", allowed="a folder of runs", got=str(folder)))
        for path in sorted(folder.glob("*/manifest.json")):
            try:
                run = open_run(path.parent)
                task = task_for(run.data())
            except RamError as error:
                told(f"{path.parent}: left out. {error}")
                continue
            if task is not None:
                found.setdefault(task.name, []).append(run)
    return found


def trained_runs(task: Task, plan: Plan) -> Iterator[Run]:
    """Yield the runs of a task that the benchmark trains itself; data and runs are kept."""
    if not task.experiment:
        return
    data = _made(task, plan)
    experiment = plan.source / "experiments" / task.experiment
    if not experiment.is_file():
        raise _no_source(experiment)
    for net, changes in task.nets.items():
        for seed in range(1, plan.seeds + 1):
            changed = (f"data.file={data.path.resolve()}", f"seed={seed}", *changes)
            words = [task.name, net.replace(" ", "-").replace("%", "percent"), f"s{seed}"]
            key = _key(experiment.read_text(encoding="utf-8"), data.digest, *changed[1:])
            output = plan.cache / "runs" / "-".join([*words, key])
            yield train(experiment, output=output, overrides=changed, resume=True)


def _made(task: Task, plan: Plan) -> Dataset:
    recipe = plan.source / "datasets" / task.recipe / "recipe.py"
    if not recipe.is_file():
        raise _no_source(recipe)
    path = plan.cache / "data" / f"{task.name}-{_key(recipe.read_text(encoding='utf-8'), str(task.options))}.h5"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        make(recipe.parent, path, {**task.options, "jobs": str(plan.jobs)})
    return open_dataset(path)


def _no_source(path: Path) -> ConfigError:
    step = "Run it in the repository, or name its folder by --source"
    return ConfigError(
        explained(where="ram truth bench", what=str(path), allowed="there", got="no file", next_step=step)
    )


def _measured(run: Run, task: Task, plan: Plan) -> dict[str, Any]:
    """Return the figures of a run, measured or kept."""
    files = read_manifest(run.path)
    boards = [files.get(name, "") for name in stored_boards(run)]
    own = (files["checkpoint.safetensors"], files["metrics.json"], *boards)
    methods = None if plan.methods is None else list(plan.methods)
    key = _key(str(VERSION), *own, str(plan.samples), str(methods), task.simulator)
    kept = plan.cache / "measured" / f"{task.name}-{run.name}-{key}.json"
    if not kept.is_file():
        plan.told(f"{task.name}: measuring {run.name}")
        cache = plan.cache / "interventions"
        found = measured(run, task, samples=plan.samples, methods=methods, cache=cache, jobs=plan.jobs)
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_json(kept, found)
    return dict(json.loads(kept.read_text(encoding="utf-8")))


def _key(*words: str) -> str:
    return hashlib.sha256("\x1f".join(words).encode()).hexdigest()[:8]
