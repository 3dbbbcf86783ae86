"""Several seeds as one command: a folder of ordinary runs, and what they say together."""

from __future__ import annotations

__all__ = ["member_figures", "seeds_of", "train_ensemble"]

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ram.data.dataset import Dataset
from ram.data.parting import independent_groups
from ram.errors import ConfigError, Stopped, explained
from ram.maps.regression_map import save_maps
from ram.runs.calibration import Calibration
from ram.runs.config import Experiment, load_experiment
from ram.runs.ensemble import Ensemble
from ram.runs.lock import locked
from ram.runs.manifest import write_manifest
from ram.runs.measured import measured_targets
from ram.runs.opening import parted
from ram.runs.parts import part_of
from ram.runs.repeatable import repeatable
from ram.runs.run import CALIBRATION_FILE, ENSEMBLE_FILE, Run
from ram.storage.atomic import write_json
from ram.training.results import PARTS, calibrating_rows, write_judged
from ram.training.resuming import is_finished
from ram.training.several import begin, folder_for
from ram.training.stopping import stopping
from ram.training.train import shown_samples, train

_SCHEMA = "ram-ensemble/1"


def seeds_of(seeds: int | Sequence[int], *, first: int) -> tuple[int, ...]:
    """Return the seeds that are meant: so many from `first` on, or those listed.

    >>> seeds_of(3, first=7), seeds_of([1, 5], first=7)
    ((7, 8, 9), (1, 5))

    Raises
    ------
    ConfigError
        For fewer than two seeds, a negative one or one that is there twice.
    """
    found = tuple(range(first, first + seeds)) if isinstance(seeds, int) else tuple(seeds)
    if len(found) < 2 or len(set(found)) < len(found) or min(found) < 0:
        raise ConfigError(
            explained(
                where="seeds",
                what="the seeds of an ensemble",
                allowed="2 or more, distinct and not negative",
                got=seeds if isinstance(seeds, int) else ", ".join(map(str, found)) or "none",
                next_step="Such as --seeds 5, or --seeds 1,2,7",
            )
        )
    return found


def train_ensemble(
    config: str | Path | Mapping[str, Any] | Experiment,
    *,
    seeds: int | Sequence[int] | None = None,
    data: str | Path | Dataset | None = None,
    output: str | Path | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    progress: bool | None = None,
) -> Ensemble:
    """Train the net of an experiment with several seeds, one after the other, and return their ensemble.

    Parameters
    ----------
    seeds
        How many, counted from the experiment's own; or which. None: those of the ensemble that is gone on with.
    config, data, output, overrides, progress
        As for `ram.train`.
    resume
        Go on with the ensemble in its folder: members that are finished are kept, the one under way goes on.

    Raises
    ------
    ConfigError
        For seeds that are none, or a folder that is there and is not to be gone on with.
    DataError, ModelError, TrainingError, Stopped
        As for `ram.train`, for a member.
    """
    folder = None if output is None else Path(output)
    if isinstance(config, (str, Path)) and Path(config).is_dir():
        folder = folder or Path(config)
        seeds = _kept_seeds(Path(config)) if seeds is None else seeds
        config = Path(config) / "config.toml"
    experiment = load_experiment(config, overrides=overrides)
    chosen = seeds_of(seeds or 0, first=experiment.seed)
    experiment = experiment.model_copy(update={"seed": chosen[0]})
    content = {"schema": _SCHEMA, "seeds": list(chosen), "members": [_name(seed) for seed in chosen]}
    folder = folder_for(experiment, content, folder, kind="seeds", resume=resume)
    with locked(folder):
        begin(folder, ENSEMBLE_FILE, content, experiment, data=data, what="the ensemble")
        for seed in chosen:
            _train_member(experiment, seed, folder, data=data, progress=progress)
        if not is_finished(folder):
            _finish(Ensemble(folder), data)
    return Ensemble(folder)


def _name(seed: int) -> str:
    return f"seed-{seed}"


def _kept_seeds(folder: Path) -> tuple[int, ...]:
    return Ensemble(folder).seeds


def _train_member(
    experiment: Experiment, seed: int, folder: Path, *, data: str | Path | Dataset | None, progress: bool | None
) -> None:
    """Train one member, or go on with it; a finished one is left as it is."""
    path = folder / _name(seed)
    try:
        train(experiment.model_copy(update={"seed": seed}), data=data, output=path, resume=True, progress=progress)
    except Stopped as stopped:
        raise Stopped(str(stopped).replace(str(path), str(folder))) from None


def _finish(ensemble: Ensemble, data: str | Path | Dataset | None) -> None:
    """Calibrate, predict, explain and measure as one; the manifest comes last."""
    first = ensemble.members[0]
    whole = parted(data, first.config.data) if isinstance(data, Dataset) else first.data(data)
    parts = {name: part_of(whole, ensemble.config, name) for name in PARTS}
    with stopping() as stop, repeatable(ensemble.config.training.threads):
        stop.says = f"go on with 'ram train --resume {ensemble.path}'"
        _write_results(ensemble, whole, parts, lambda _: stop.check())
        write_json(ensemble.path / "members.json", member_figures(ensemble.members))
        shown = shown_samples(parts["test"], ensemble.config.explain.samples)
        maps = ensemble.explain(shown, method=ensemble.method, reference=ensemble.config.explain.reference)
        save_maps(ensemble.path / "maps.h5", maps)
        write_json(ensemble.path / "times.json", _times(ensemble.members))
        stop.check()
        write_manifest(ensemble.path)


def _write_results(
    ensemble: Ensemble, data: Dataset, parts: Mapping[str, Dataset], progress: Callable[[int], None]
) -> None:
    found = {name: ensemble.combined(part, progress=progress) for name, part in parts.items()}
    rows = calibrating_rows(data, parts["validation"], ensemble.config)
    held_out, held = parts["validation"][rows], found["validation"]
    typical = found["train"].spread.mean(axis=0)
    calibration = Calibration.of(
        held.values[rows],
        measured_targets(held_out, ensemble.units),
        held.distances[rows],
        independent_groups(held_out.groups, held_out.ids),
        targets=ensemble.spec.targets,
        settings=ensemble.config.trust,
        spread=held.spread[rows],
        typical=np.where(typical > 0, typical, 1.0),
    )
    calibration.save(ensemble.path / CALIBRATION_FILE)
    calibrated = Ensemble(ensemble.path)  # opened again: it finds its calibration
    judged = {name: calibrated.judge_combined(part, found[name]) for name, part in parts.items()}
    write_judged(ensemble.path, judged, calibration)


def member_figures(runs: Sequence[Run]) -> dict[str, Any]:
    """Return mean, standard deviation and each member's value of every figure, by part and target."""
    return {
        part: {
            target: {"unit": figures["unit"]}
            | {
                name: _spread([run.metrics[part][target][name] for run in runs])
                for name, value in figures.items()
                if not isinstance(value, str)
            }
            for target, figures in targets.items()
        }
        for part, targets in runs[0].metrics.items()
    }


def _spread(values: Sequence[float | None]) -> dict[str, Any]:
    known = [float(value) for value in values if value is not None]
    complete = len(known) == len(values)
    return {
        "mean": float(np.mean(known)) if complete else None,
        "std": float(np.std(known, ddof=1)) if complete and len(known) > 1 else None,
        "members": list(values),
    }


def _times(runs: Sequence[Run]) -> dict[str, float]:
    return {name: round(sum(float(run.times[name]) for run in runs), 1) for name in runs[0].times}
