"""Where a sweep's trials are kept: an Optuna study in a journal file or in a database."""

from __future__ import annotations

__all__ = ["distributions", "drawn_values", "open_study", "shown_storage"]

import json
import os
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from ram.errors import ConfigError, DataError, explained
from ram.runs.config import Experiment
from ram.runs.search import Dimension, SweepConfig, is_whole
from ram.training.sampler import RepeatableSampler, pruner

_ATTEMPTS = 6
_MAY_CHANGE = ("trials", "keep")


def open_study(experiment: Experiment, *, storage: str, data_digest: str) -> optuna.Study:
    """Return the study of an experiment in a storage; it is begun where there is none.

    Parameters
    ----------
    storage
        A journal file, or the URL of a database.
    data_digest
        Of the data that all trials learn from.

    Raises
    ------
    ConfigError
        The database cannot be opened, or holds a study of this name with another experiment, space or data.
    DataError
        The journal is damaged.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sweep = _sweep(experiment)
    study = optuna.create_study(
        study_name=experiment.name,
        storage=_database(storage) if "://" in storage else _journal(Path(storage)),
        sampler=RepeatableSampler(sweep),
        pruner=pruner(sweep),
        load_if_exists=True,
    )
    _check_same(study, experiment, data_digest, where=shown_storage(storage))
    return study


def distributions(experiment: Experiment) -> dict[str, BaseDistribution]:
    """Return the search space as Optuna has it."""
    space = _sweep(experiment).space
    return {key: _distribution(dimension, whole=is_whole(key, experiment)) for key, dimension in space.items()}


def drawn_values(experiment: Experiment, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a trial as a config has them, in the order of the space."""
    space = _sweep(experiment).space
    known = {key: dimension for key, dimension in space.items() if key in drawn}
    return {key: json.loads(drawn[key]) if _listed(of) else drawn[key] for key, of in known.items()}


def shown_storage(storage: str) -> str:
    """Return a storage as it may be printed.

    >>> shown_storage("postgresql://me:secret@host/sweeps")
    'postgresql://me:***@host/sweeps'
    """
    password = urlsplit(storage).password if "://" in storage else None
    return storage.replace(f":{password}@", ":***@") if password else storage


def _sweep(experiment: Experiment) -> SweepConfig:
    assert experiment.sweep is not None
    return experiment.sweep


def _listed(dimension: Dimension) -> bool:
    """Whether choices are lists, which Optuna does not take: they are written as JSON."""
    return any(isinstance(choice, (list, tuple)) for choice in dimension.choices)


def _distribution(dimension: Dimension, *, whole: bool) -> BaseDistribution:
    if dimension.choices:
        return CategoricalDistribution([json.dumps(c) if _listed(dimension) else c for c in dimension.choices])
    low, high, step = dimension.low, dimension.high, dimension.step
    assert low is not None
    assert high is not None
    if whole:
        return IntDistribution(int(low), int(high), log=dimension.log, step=int(step or 1))
    return FloatDistribution(float(low), float(high), log=dimension.log, step=step)


class _Journal(JournalFileBackend):
    """Optuna's journal; the end of a line that was cut off by a kill or a full disk is taken away.

    Nobody has been told that it was there, and a line behind it would make the whole file unreadable.
    """

    def __init__(self, path: Path) -> None:
        self._mended, self._one_writer = path, JournalFileOpenLock(str(path))
        super().__init__(str(path), self._one_writer)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._one_writer.acquire()
        try:
            with self._mended.open("rb+") as file:
                _cut_to_whole_lines(file)
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
        finally:
            self._one_writer.release()


def _cut_to_whole_lines(file: Any) -> None:
    end = file.seek(0, os.SEEK_END)
    if end == 0:
        return
    file.seek(end - 1)
    if file.read(1) != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
    file.seek(0, os.SEEK_END)


def _journal(path: Path) -> BaseStorage:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return JournalStorage(_Journal(path))
    except (ValueError, KeyError) as error:
        step = "Restore it from a copy, or begin a new sweep with another --output"
        raise DataError(
            explained(where=str(path), what="a sweep's journal", allowed="whole", got=f"'{error}'", next_step=step)
        ) from None


def _database(url: str) -> BaseStorage:
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    # Processes that begin together make the tables together: those who come second see errors, then find them made.
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return optuna.storages.RDBStorage(url)
        except ImportError as error:
            step = "Install the driver of the database, such as psycopg2-binary for postgresql"
            raise ConfigError(_unopened(url, error, step)) from None
        except ArgumentError as error:
            raise ConfigError(_unopened(url, error, "Such as sqlite:///sweep.db, or postgresql://me@host/db")) from None
        except SQLAlchemyError as error:
            if attempt == _ATTEMPTS:
                reason = getattr(error, "orig", None) or error
                raise ConfigError(_unopened(url, reason, "Start the database, or correct --storage")) from None
            time.sleep(random.uniform(0, 0.05 * 2**attempt))
    raise AssertionError("unreachable")


def _unopened(url: str, error: BaseException, step: str) -> str:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    where, allowed = shown_storage(url), "a database that can be opened"
    return explained(where=where, what="--storage", allowed=allowed, got=f"'{first}'", next_step=step)


def _check_same(study: optuna.Study, experiment: Experiment, data_digest: str, *, where: str) -> None:
    """Refuse to go on with another experiment; how many trials there are and how many are kept may change."""
    content = json.loads(experiment.model_dump_json())
    content["data"]["file"] = data_digest  # wherever the file lies
    for key in _MAY_CHANGE:
        del content["sweep"][key]
    begun = study.user_attrs.get("experiment")
    if begun is None:
        study.set_user_attr("experiment", content)
        return
    for key, (before, now) in _differences(begun, content).items():
        what = "the data's digest" if key == "data.file" else f"'{key}'"
        step = "Undo the change, or begin a new sweep: another --output, in a database another name"
        allowed = f"{before} as in the sweep that was begun"
        raise ConfigError(explained(where=where, what=what, allowed=allowed, got=now, next_step=step))


def _differences(before: Any, now: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return {} if before == now else {path: (before, now)}
    found: dict[str, tuple[Any, Any]] = {}
    for key in dict.fromkeys([*before, *now]):
        inner = f"{path}.{key}" if path else key
        found |= _differences(before.get(key, "nothing"), now.get(key, "nothing"), inner)
    return found
