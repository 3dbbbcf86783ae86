"""What the benchmark measures of one run: value, maps against the truth, interventions, regions, ridges."""

from __future__ import annotations

__all__ = ["VERSION", "measured", "stored_boards"]

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ram.benchmark.tasks import PLAIN, Task, net_of
from ram.data.dataset import Dataset
from ram.data.simulators import Simulator, load_simulator
from ram.data.units import difference_factor
from ram.evaluation.candidates import candidate_of_method, claims_on_inputs
from ram.evaluation.claims import intervention
from ram.evaluation.effort import Effort
from ram.evaluation.interventions import Interventions, intervene
from ram.evaluation.leaderboard import Leaderboard, load_leaderboard
from ram.evaluation.ridges import ridge_regions, ridge_score, ridges_of
from ram.evaluation.subject import Subject
from ram.models.spectrogram import Spectrogram
from ram.runs.run import Run
from ram.views.influence import influences, warning
from ram.views.leaderboards import default_target, evaluate_maps, subject_of

VERSION = 2  # raise it when the same run is measured otherwise
TRUTH = "truth"
_PAIR = ("tilt_lower", "tilt_upper")  # of a tap: the ridges that the crack moves
_ON_THE_PAIR = ("tilt", "splitting", "crack_depth")
FEW = ("ram", "gradient-x-input", "integrated-gradients")  # of nets whose own maps were fitted
_CHOSEN_ON = 48  # samples of the validation part that a method is chosen on
_CHOOSING = Effort(curves=2, infills=2, imputed=2, claimed=2, changed=2, forgotten=2, draws=1)  # agreement decides


def measured(
    run: Run,
    task: Task,
    *,
    samples: int,
    methods: Sequence[str] | None = None,
    cache: Path | None = None,
    jobs: int = 1,
) -> dict[str, Any]:
    """Return all figures of a run on its test part, as JSON holds them.

    Parameters
    ----------
    samples
        At most so many of the test part.
    methods
        Of the leaderboard; if not given all of a plain net, and a few of one whose maps were fitted or of a run that
        was given.
    cache
        Of the solver's answers.
    jobs
        Processes for the solver's work, and for methods.
    """
    test = run.part("test")
    target = default_target(run, test)
    found: dict[str, Any] = {
        "net": net_of(run),
        "seed": run.config.seed,
        "target": target,
        "unit": run.units[target],
        "value": {name: run.metrics["test"][name] for name in run.units},
        "digest": run.provenance["data"]["digest"],
    }
    front = run.regressor.front
    if front is not None:
        return found | {"ridges": _ridges(run, test, front)}
    if found["net"] != PLAIN or not task.experiment:
        methods = FEW if methods is None else methods
    validation = _board(run, "validation", target, methods=methods, samples=_CHOSEN_ON, jobs=jobs, effort=_CHOOSING)
    board = _board(run, "test", target, methods=methods, samples=samples, jobs=jobs)
    best = validation.best()
    found |= {
        "board": _figures(board),
        "chosen": best.name if best else "",
        "cells": [axis.size for axis in subject_of(run, test, target, samples=1).cells],
    }
    if not task.simulator:
        return found
    simulator = load_simulator(task.simulator)
    subject = subject_of(run, test, target, samples=samples)
    asked = _asked(test, subject, simulator, cache=cache, jobs=jobs)
    names = dict.fromkeys(["ram", found["chosen"]])
    return found | {
        "interventions": _interventions(subject, asked, [name for name in names if name], task),
        "regions": _regions(run, test, target, samples),
    }


def _board(
    run: Run, part: str, target: str, *, methods: Sequence[str] | None, samples: int, jobs: int,
    effort: Effort | None = None,
) -> Leaderboard:  # fmt: skip
    """Return the leaderboard that ``ram evaluate`` wrote into the run's folder; without one, score a few methods."""
    data = run.part(part)
    for name in stored_boards(run):
        board = load_leaderboard(run.path / name)
        if (board.part, board.target, board.digest) == (part, target, data.digest):
            return board
    return evaluate_maps(
        run, data, target=target, methods=methods, part=part, samples=samples, jobs=jobs, effort=effort
    )


def stored_boards(run: Run) -> list[str]:
    """Return the names of the leaderboards in a run's folder."""
    return sorted(path.name for path in run.path.glob("leaderboard*.json"))


def _figures(board: Leaderboard) -> dict[str, Any]:
    """Return the figures of a board that the page shows: by row, by column, value and interval."""
    return {
        "samples": board.samples,
        "deciding": board.deciding,
        "columns": {one.name: {"title": one.title, "unit": one.unit, "how": one.how} for one in board.columns},
        "rows": {
            row.name: {
                "kind": row.kind,
                "grade": row.grade,
                "samples": max(of.samples for of in row.figures.values()),
                "figures": {name: [of.value, of.low, of.high] for name, of in row.figures.items()},
            }
            for row in board.rows
            if row.figures
        },
    }


def _asked(test: Dataset, subject: Subject, simulator: Simulator, *, cache: Path | None, jobs: int) -> Interventions:
    """Ask the solver about the samples of a subject, with regions and patches drawn on the net's own cells."""
    place = {str(name): row for row, name in enumerate(test.ids)}
    rows = test[[place[str(name)] for name in subject.ids]]
    return intervene(rows, simulator, cells=subject.cells, cache=cache, jobs=jobs)


def _interventions(subject: Subject, asked: Interventions, methods: Sequence[str], task: Task) -> dict[str, Any]:
    """Return slope and R2 of true against claimed changes, of the truth's own map and of methods.

    ``"filled"`` leaves out the regions that hold nothing: then nothing is ever added, only taken away.
    """
    every = list(range(len(asked.names)))
    filled = [place for place in every if asked.names[place] not in task.emptied]
    scale = difference_factor(asked.units[subject.target], to=subject.unit)
    true = scale * asked.changes[subject.target]

    def scored(maps: Float[np.ndarray, "row *space"], columns: list[int]) -> dict[str, float | int]:
        whole = np.full((len(subject), *maps.shape[1:]), np.nan)
        whole[: len(maps)] = maps
        return intervention(true[:, columns], asked.claims(whole)[:, columns]).as_dict()

    maps = {TRUTH: subject.contribution} if subject.contribution is not None else {}
    for name in methods:
        candidate = candidate_of_method(subject, name, passes=10_000, least=12, options={}, seed=0)
        if candidate.in_unit and candidate.claims is not None:
            maps[name] = claims_on_inputs(subject, candidate)
    return {
        "regions": list(asked.names),
        "methods": {name: scored(values, every) for name, values in maps.items()},
        "filled": {name: scored(values, filled) for name, values in maps.items()} if len(filled) < len(every) else {},
        "failures": len(asked.failures),
    }


def _regions(run: Run, test: Dataset, target: str, samples: int) -> dict[str, Any]:
    """Return the shares of the regions by map, net and physics, and whether the report warns."""
    found = influences(run, test, samples=samples).get(target)
    if found is None:
        return {}
    carried, answered, influence = (list(map(float, shares)) for shares in found.shares)
    return {
        "names": list(found.names),
        "carried": carried,
        "answered": answered,
        "influence": influence,
        "error": float(np.abs(found.carried - found.true).sum() / np.abs(found.true).sum()),
        "warnings": warning(found),
    }


def _ridges(run: Run, test: Dataset, front: Spectrogram) -> dict[str, Any]:
    """Return which share of maps lies on the ridges of the pair of tilts, by target and reference, and by chance."""
    pairs = ridges_of(test, _PAIR)
    found = {}
    for target in (name for name in run.units if name in _ON_THE_PAIR):
        for reference in ("baseline", "train-mean"):
            maps = run.explain(test, target=target, reference=reference)
            score = ridge_score(maps, ridge_regions(maps, pairs, spectrogram=front))
            found[f"{target}, {reference}"] = [float(score.inside.mean()), float(score.chance.mean())]
    return found
