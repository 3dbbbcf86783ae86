"""A sweep: many trainings of one experiment with other values, in search of the best on the validation part."""

from __future__ import annotations

__all__ = ["Sweep", "sweep"]

import importlib.util
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from ram.data.cluster import WorkersError, connected, parallel_on
from ram.errors import ConfigError, TrainingError, explained
from ram.runs.config import Experiment, load_experiment
from ram.runs.search import with_values
from ram.storage.atomic import write_json, write_text, writing
from ram.training.prepare import prepare
from ram.training.sweep_pictures import draw_importance
from ram.training.team import alone

if TYPE_CHECKING:
    from ram.training.trials import Trial, Work

_SILENT_AFTER_S = 120.0
_SCHEMA = "ram-sweep/1"
_FEWEST_FOR_IMPORTANCE = 4


@dataclass(frozen=True)
class Sweep:
    """What came of a sweep.

    Attributes
    ----------
    path
        Its folder: sweep.toml, best.toml, sweep.json, importance.png and the kept runs in trials/.
    trials
        All of them, by number.
    best
        The complete trial with the smallest criterion.
    importance
        Share of the criterion's variance over the complete trials that each key accounts for, largest first; empty
        where too few are complete. Source: functional ANOVA, Hutter et al. 2014, ICML.
    """

    path: Path
    trials: tuple[Trial, ...]
    best: Trial
    importance: dict[str, float]

    @property
    def unfinished(self) -> int:
        """How many trials other processes still run."""
        return sum(trial.state in ("running", "waiting") for trial in self.trials)

    def as_dict(self) -> dict[str, Any]:
        """Return what stands in sweep.json; no times, so that equal sweeps have equal files."""
        return {
            "schema": _SCHEMA,
            "criterion": "root mean square of the standardised errors on the validation part, best epoch",
            "best": self.best.as_dict(),
            "importance": self.importance,
            "trials": [trial.as_dict() for trial in self.trials],
        }


def sweep(
    config: str | Path | Mapping[str, Any] | Experiment,
    *,
    data: str | Path | None = None,
    output: str | Path | None = None,
    storage: str | None = None,
    trials: int | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    overrides: Sequence[str] = (),
    silent_after_s: float = _SILENT_AFTER_S,
    on_trial: Callable[[Trial], None] | None = None,
) -> Sweep:
    """Search the space of an experiment's ``[sweep]`` section; called again, go on where it was.

    One after another the same seed gives the same trials, whether the sweep was killed on the way or not. Trials that
    run side by side do not know of each other's results, so that their draws differ from time to time.

    Parameters
    ----------
    config
        A TOML file with a ``[sweep]`` section, or what stands in one.
    data
        Another data file than the config's.
    output
        The sweep's folder; ``runs/<name>-sweep`` where it is not given.
    storage
        URL of a database that many machines share, or another journal file; ``<folder>/journal.log`` if not given.
    trials
        How many in all, in place of ``sweep.trials``.
    jobs
        Processes on this machine.
    cluster
        Address of a Dask scheduler whose workers take the trials; they see the data and the folder at the same paths.
    overrides
        Such as ``"training.epochs=50"``; they hold for every trial.
    silent_after_s
        A process on another machine that has said nothing for so long is taken for dead, and its trial is done again.
    on_trial
        Told of each trial that this call has done.

    Raises
    ------
    ConfigError
        No or a wrong ``[sweep]`` section, another sweep in the folder or the database, no Optuna, no cluster.
    ConfigError, DataError, ModelError
        Where config, data and net do not fit each other.
    TrainingError
        Where no trial ends well.
    """
    experiment = _with_trials(_loaded(config, data, overrides), trials)
    _require_optuna()
    alone("a sweep")
    folder = Path(output) if output is not None else Path("runs") / f"{experiment.name}-sweep"
    digest = prepare(with_values(experiment, {})).data.digest  # what does not fit is said before anything is written
    work = _work(experiment, folder, storage, digest, silent_after_s)
    from ram.training.trials import open_work

    study = open_work(work)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "sweep.toml", _as_toml(experiment, folder))
    _do_all(study, work, jobs=jobs, cluster=cluster, on_trial=on_trial)
    return _concluded(study, work, experiment)


def _loaded(
    config: str | Path | Mapping[str, Any] | Experiment, data: str | Path | None, overrides: Sequence[str]
) -> Experiment:
    experiment = load_experiment(config, overrides=overrides)
    if experiment.sweep is None:
        raise ConfigError(
            explained(
                where=str(config) if isinstance(config, (str, Path)) else f"experiment {experiment.name}",
                what="the experiment",
                allowed="one with a section [sweep.space]",
                got="none",
                next_step='Such as [sweep.space], "training.learning_rate" = { low = 1e-4, high = 1e-2, log = true }',
            )
        )
    file = str(Path(data if data is not None else experiment.data.file).resolve())
    content = experiment.model_dump()
    content["data"]["file"] = file
    return load_experiment(content)


def _with_trials(experiment: Experiment, trials: int | None) -> Experiment:
    return experiment if trials is None else load_experiment(experiment, overrides=[f"sweep.trials={trials}"])


def _require_optuna() -> None:
    if importlib.util.find_spec("optuna") is None:
        step = "pip install 'regression-activation-mapping[sweep]'"
        raise ConfigError(explained(where="ram sweep", what="Optuna", allowed="installed", got="none", next_step=step))


def _work(experiment: Experiment, folder: Path, storage: str | None, digest: str, silent_after_s: float) -> Work:
    from ram.training.trials import Work

    kept = storage if storage and "://" in storage else str(Path(storage or folder / "journal.log").resolve())
    return Work(experiment.model_dump_json(), str(folder.resolve()), kept, digest, silent_after_s)


def _do_all(
    study: Any, work: Work, *, jobs: int, cluster: str | None, on_trial: Callable[[Trial], None] | None
) -> None:
    """Do trials until there is none to begin; wait for what may be the trial of a process that is gone."""
    from ram.training.trials import again_where_gone, longest_silence_s, unfinished

    with nullcontext() if cluster is None else connected(cluster) as client:
        while True:
            for trial in _some(work, unfinished(study, work), jobs=jobs, client=client):
                if trial is not None and on_trial is not None:
                    on_trial(trial)
            again_where_gone(study, work)
            if unfinished(study, work):
                continue
            if longest_silence_s(study) < work.silent_after_s / 2:
                return
            time.sleep(min(5.0, work.silent_after_s / 4))


def _some(work: Work, count: int, *, jobs: int, client: Any) -> Iterator[Trial | None]:
    """Do up to `count` trials; those of processes that were killed are left to be done again."""
    from ram.training.trials import do_trial, open_work

    if client is None and jobs == 1:
        yield from (do_trial(work) for _ in range(count))
        return
    before = len(open_work(work).trials)
    try:
        yield from parallel_on(do_trial, [work] * count, jobs=jobs, client=client)
    except WorkersError:
        if len(open_work(work).trials) == before:
            raise  # they end before they begin a trial


def _concluded(study: Any, work: Work, experiment: Experiment) -> Sweep:
    """Write and return what came of it."""
    from ram.training.trials import trials_of

    trials = trials_of(study, work)
    complete = [trial for trial in trials if trial.state == "complete"]
    if not complete:
        raise TrainingError(_no_trial(work, trials))
    best = min(complete, key=lambda trial: (trial.criterion, trial.number))
    found = Sweep(Path(work.folder), tuple(trials), best, _importance(study, len(complete)))
    write_json(found.path / "sweep.json", found.as_dict())
    write_text(found.path / "best.toml", _as_toml(with_values(experiment, best.values), found.path))
    with writing(found.path / "importance.png") as temporary:
        draw_importance(found, temporary)
    return found


def _importance(study: Any, complete: int) -> dict[str, float]:
    """Return each key's share of the variance; empty where there are too few trials, or all are equally good."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    if complete < _FEWEST_FOR_IMPORTANCE:
        return {}
    try:
        found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    except RuntimeError:  # no variance at all
        return {}
    return {key: float(share) for key, share in found.items()}


def _as_toml(experiment: Experiment, folder: Path) -> str:
    content = json.loads(experiment.model_dump_json())
    content["data"]["file"] = Path(os.path.relpath(content["data"]["file"], folder)).as_posix()
    return tomli_w.dumps(content)


def _no_trial(work: Work, trials: Sequence[Trial]) -> str:
    errors = [trial.error for trial in trials if trial.error]
    counts = ", ".join(
        f"{sum(t.state == state for t in trials)} {state}" for state in dict.fromkeys(t.state for t in trials)
    )
    return explained(
        where=work.folder,
        what="a sweep",
        allowed="one in which a trial is complete",
        got=f"{counts or 'no trial'}" + (f", the last failed with '{errors[-1]}'" if errors else ""),
        next_step='Mend sweep.space, or prune less: sweep.pruner = "none"',
    )
