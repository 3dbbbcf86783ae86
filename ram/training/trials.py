"""One trial of a sweep: draw, train, report each epoch, say how it ended. Any number of processes do this at once."""

from __future__ import annotations

__all__ = ["Trial", "Work", "again_where_gone", "do_trial", "longest_silence_s", "open_work", "trials_of", "unfinished"]

import contextlib
import json
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from ram.errors import ConfigError, TrainingError, explained
from ram.runs.config import Experiment, load_experiment
from ram.runs.lock import LOCK
from ram.runs.search import with_values
from ram.training.owner import is_gone, this_process
from ram.training.sampler import SLOT, slot_of
from ram.training.study import distributions, drawn_values, open_study
from ram.training.train import train

_OWNER, _ERROR = "owner", "error"
_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
_ATTEMPTS = 5
_FAILURES = 3


@dataclass(frozen=True)
class Work:
    """What a process needs to take part in a sweep; can be sent to another machine.

    Attributes
    ----------
    experiment
        As JSON, with its ``sweep`` section and the absolute path of the data.
    folder
        The sweep's.
    storage
        A journal file or the URL of a database.
    data_digest
        Of the data.
    silent_after_s
        A process on another machine that has said nothing for so long is taken for dead, s.
    """

    experiment: str
    folder: str
    storage: str
    data_digest: str
    silent_after_s: float

    @property
    def content(self) -> Experiment:
        """The experiment, with its ``sweep`` section."""
        return load_experiment(json.loads(self.experiment))


@dataclass(frozen=True)
class Trial:
    """One trial, as it is reported.

    Attributes
    ----------
    number
        From 0. A trial that is done again after a kill keeps its number.
    state
        ``"complete"``, ``"pruned"``, ``"failed"``, ``"running"`` or ``"waiting"``.
    criterion
        Of its best epoch: root mean square of the standardised errors on the validation part; None if there is none.
    values
        What was drawn, by key.
    epochs
        How many it has seen.
    error
        Why it failed; empty where it did not.
    run
        Its run folder, seen from the sweep's; None where it was not kept.
    """

    number: int
    state: str
    criterion: float | None
    values: dict[str, Any]
    epochs: int
    error: str
    run: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


class _Pruned(Exception):  # noqa: N818 - no error: the trial is given up
    """Leaves the training of a trial that is not worth its time."""


def open_work(work: Work) -> optuna.Study:
    """Return the study that the work belongs to."""
    return open_study(work.content, storage=work.storage, data_digest=work.data_digest)


def trials_of(study: optuna.Study, work: Work) -> list[Trial]:
    """Return the sweep's trials by number; of one that was done again, the last try."""
    experiment = work.content
    return [_shown(trial, slot, work, experiment) for slot, trial in sorted(_latest(study).items())]


def unfinished(study: optuna.Study, work: Work) -> int:
    """Return how many trials are to be begun."""
    ended_or_running = sum(trial.state != TrialState.WAITING for trial in _latest(study).values())
    wanted: int = _sweep_of(work).trials
    return max(0, wanted - ended_or_running)


def do_trial(work: Work) -> Trial | None:
    """Do the next trial of a sweep; None where there is none to begin.

    Raises
    ------
    TrainingError
        Three trials have failed and none has ended well.
    """
    study = open_work(work)
    again_where_gone(study, work)
    if not unfinished(study, work):
        return None
    experiment = work.content
    trial = study.ask(distributions(experiment))
    with _owned(trial, every_s=work.silent_after_s / 4):
        _carry_out(study, trial, work, experiment)
    _keep_best(study, work)
    slot = slot_of(_frozen(study, trial), study.get_trials(deepcopy=False))
    _stop_where_all_fail(study, work)
    return _shown(_frozen(study, trial), slot, work, experiment)


def again_where_gone(study: optuna.Study, work: Work) -> None:
    """Have trials done again whose process is gone; with the same values, under the same number."""
    trials = study.get_trials(deepcopy=False)
    slots = [slot_of(trial, trials) for trial in trials]
    for slot, trial in _latest(study).items():
        if trial.state == TrialState.RUNNING and is_gone(_owner(trial), silent_after_s=work.silent_after_s):
            attempts = slots.count(slot)
            if _fails(study, trial, final=attempts >= _ATTEMPTS):
                _enqueue(study, trial, slot)
        elif trial.state == TrialState.FAIL and _was_left_behind(trial):
            _enqueue(study, trial, slot)


def longest_silence_s(study: optuna.Study) -> float:
    """Return for how long nothing has been heard of a trial that runs, s; 0 where none runs."""
    running = [trial for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.RUNNING]
    return max((time.time() - float(_owner(trial)["alive_at"]) for trial in running), default=0.0)


def _carry_out(study: optuna.Study, trial: optuna.Trial, work: Work, experiment: Experiment) -> None:
    slot = slot_of(_frozen(study, trial), study.get_trials(deepcopy=False))
    folder = _run_folder(work, slot)
    try:
        value = _trained(trial, with_values(experiment, drawn_values(experiment, trial.params)), folder)
    except _Pruned:
        study.tell(trial, state=TrialState.PRUNED)
    except Exception as error:
        trial.set_user_attr(_ERROR, f"{type(error).__name__}: {error}")
        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, value)
        return
    shutil.rmtree(folder, ignore_errors=True)


def _trained(trial: optuna.Trial, experiment: Experiment, folder: Path) -> float:
    """Train, from where a process that is gone has left it; returns the best criterion."""
    if not _is_of(folder, experiment):
        shutil.rmtree(folder, ignore_errors=True)
    (folder / LOCK).unlink(missing_ok=True)  # of a machine that cannot be seen from here, and is taken for dead
    reported: set[int] = set()
    for row in _history(folder):
        _report(trial, row["epoch"], row["criterion"], reported)
    train(
        experiment,
        output=folder,
        resume=True,
        progress=False,
        on_epoch=lambda epoch: _report(trial, epoch.epoch, epoch.criterion, reported),
    )
    return min(float(row["criterion"]) for row in _history(folder))


def _report(trial: optuna.Trial, epoch: int, criterion: float, reported: set[int]) -> None:
    if epoch not in reported:  # the last one before a kill may come again
        trial.report(criterion, epoch)
        reported.add(epoch)
    if trial.should_prune():
        raise _Pruned


def _history(folder: Path) -> list[dict[str, Any]]:
    file = folder / "history.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


def _is_of(folder: Path, experiment: Experiment) -> bool:
    """Whether a folder holds a run of these values, be it finished or not."""
    try:
        return load_experiment(folder / "config.toml").decisive() == experiment.decisive()
    except ConfigError:
        return False


@contextlib.contextmanager
def _owned(trial: optuna.Trial, *, every_s: float) -> Iterator[None]:
    """Say all along that this process does the trial; on an interrupt say that it does it no more."""
    trial.set_user_attr(_OWNER, this_process())
    ended = threading.Event()

    def say() -> None:
        while not ended.wait(every_s):
            with contextlib.suppress(Exception):  # the next one may reach the storage
                trial.set_user_attr(_OWNER, this_process())

    speaker = threading.Thread(target=say, name="trial-alive", daemon=True)
    speaker.start()
    try:
        yield
    except BaseException:
        ended.set()
        speaker.join()
        with contextlib.suppress(Exception):
            trial.set_user_attr(_OWNER, {"alive_at": 0.0})
        raise
    finally:
        ended.set()
        speaker.join()


def _owner(trial: FrozenTrial) -> dict[str, Any]:
    """Return who does a trial; before it has said so, only when it began is known."""
    began = trial.datetime_start or datetime.now()  # noqa: DTZ005 - Optuna's times are local ones
    owner: dict[str, Any] = trial.user_attrs.get(_OWNER, {"alive_at": began.timestamp()})
    return owner


def _was_left_behind(trial: FrozenTrial) -> bool:
    """Whether a process was killed after it had ended a trial of another and before it had it done again."""
    if _ERROR in trial.user_attrs or trial.datetime_complete is None:
        return False
    return datetime.now() - trial.datetime_complete > timedelta(seconds=60)  # noqa: DTZ005


def _fails(study: optuna.Study, trial: FrozenTrial, *, final: bool) -> bool:
    """End a trial; False where it is not to be done again, or where another process was quicker."""
    try:
        if final:
            text = f"its process ended {_ATTEMPTS} times before the trial did"
            study._storage.set_trial_user_attr(trial._trial_id, _ERROR, text)
        study.tell(trial.number, state=TrialState.FAIL)
    except (ValueError, UpdateFinishedTrialError):
        return False
    return not final


def _enqueue(study: optuna.Study, trial: FrozenTrial, slot: int) -> None:
    whole = set(trial.params) == set(_space_of(study))
    study.enqueue_trial(trial.params if whole else {}, user_attrs={SLOT: slot})


def _space_of(study: optuna.Study) -> dict[str, Any]:
    space: dict[str, Any] = study.user_attrs["experiment"]["sweep"]["space"]
    return space


def _latest(study: optuna.Study) -> dict[int, FrozenTrial]:
    trials = study.get_trials(deepcopy=False)
    return {slot_of(trial, trials): trial for trial in trials}


def _frozen(study: optuna.Study, trial: optuna.Trial) -> FrozenTrial:
    return study.get_trials(deepcopy=False)[trial.number]


def _shown(trial: FrozenTrial, slot: int, work: Work, experiment: Experiment) -> Trial:
    reported = list(trial.intermediate_values.values())
    complete = trial.value if trial.state == TrialState.COMPLETE else min(reported, default=None)
    return Trial(
        number=slot,
        state=_STATES[trial.state],
        criterion=complete,
        values=drawn_values(experiment, trial.params),
        epochs=len(reported),
        error=str(trial.user_attrs.get(_ERROR, "")),
        run=f"trials/{slot:04d}" if (_run_folder(work, slot) / "manifest.json").is_file() else None,
    )


def _run_folder(work: Work, slot: int) -> Path:
    return Path(work.folder) / "trials" / f"{slot:04d}"


def _sweep_of(work: Work) -> Any:
    return work.content.sweep


def _keep_best(study: optuna.Study, work: Work) -> None:
    """Remove the run folders of complete trials that are not among the best."""
    complete = {slot: trial for slot, trial in _latest(study).items() if trial.state == TrialState.COMPLETE}
    best = sorted(complete, key=lambda slot: (complete[slot].value, slot))[: _sweep_of(work).keep]
    for slot in complete.keys() - set(best):
        shutil.rmtree(_run_folder(work, slot), ignore_errors=True)


def _stop_where_all_fail(study: optuna.Study, work: Work) -> None:
    trials = list(_latest(study).values())
    errors = [trial.user_attrs[_ERROR] for trial in trials if _ERROR in trial.user_attrs]
    well = any(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials)
    if len(errors) >= _FAILURES and not well:
        raise TrainingError(
            explained(
                where=f"{work.folder}",
                what="trials of a sweep",
                allowed="able to train",
                got=f"{len(errors)} that failed and none that ended well, the last with '{errors[-1]}'",
                next_step="Train the experiment once with 'ram train', and mend sweep.space",
            )
        )
