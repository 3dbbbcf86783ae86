"""Trackers that people look at trainings with: TensorBoard and MLflow, beside the files that every run has.

What they write lies outside the run's folder, for it holds wall-clock times: ``tracking/`` beside the run.
A tracker that fails is left out with a warning; no training ends for it.
"""

from __future__ import annotations

__all__ = ["NAMES", "Tracked", "tracking"]

import contextlib
import importlib.util
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ram.errors import ConfigError, Stopped, explained
from ram.runs.config import Experiment
from ram.runs.settings import flat
from ram.training.course import Epoch

if TYPE_CHECKING:
    from lightning_fabric.loggers.logger import Logger

NAMES = ("tensorboard", "mlflow")
_MODULES = {"tensorboard": ("tensorboard",), "mlflow": ("mlflow", "sqlalchemy", "alembic")}


class Tracked:
    """One training as its trackers are told of it.

    Parameters
    ----------
    folder
        The run's.
    units
        Unit of each target.
    """

    def __init__(self, experiment: Experiment, folder: Path, units: Mapping[str, str]) -> None:
        self._experiment, self._folder, self._units = experiment, folder.resolve(), units
        self._loggers: dict[str, Logger] = {}
        self._alive: list[str] = list(experiment.training.trackers)

    def on_epoch(self, epoch: Epoch) -> None:
        """Tell what an epoch gave."""
        values = {"loss": epoch.loss, "learning_rate": epoch.learning_rate, "criterion": epoch.criterion}
        values |= {f"validation/{name} ({self._units[name]})": error for name, error in epoch.validation.items()}
        known = {name: value for name, value in values.items() if math.isfinite(value)}
        self._each(lambda logger: logger.log_metrics(known, epoch.epoch), first_epoch=epoch.epoch)

    def on_test(self, metrics: Mapping[str, Mapping[str, Any]], *, epoch: int) -> None:
        """Tell what the net of the best epoch is worth on the test part."""
        values = {
            f"test/{target} {figure}": float(of[figure])
            for target, of in metrics.items()
            for figure in ("mae", "rmse", "r2")
            if isinstance(of.get(figure), (int, float))
        }
        self._each(lambda logger: logger.log_metrics(values, epoch))

    def end(self, status: str) -> None:
        """Say how the training ended: ``"success"``, ``"stopped"`` or ``"failed"``."""
        for name in [name for name in self._alive if name in self._loggers]:
            self._guarded(name, lambda name=name: self._loggers[name].finalize(status))  # type: ignore[misc]

    def _each(self, tell: Callable[[Logger], None], *, first_epoch: int = 1) -> None:
        for name in list(self._alive):
            self._guarded(name, lambda name=name: tell(self._logger(name, first_epoch)))  # type: ignore[misc]

    def _guarded(self, name: str, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            self._alive.remove(name)
            first = (str(error).splitlines() or [""])[0]
            text = f"the tracker {name} is left out from here on: {type(error).__name__}: {first}"
            with warnings.catch_warnings():
                warnings.simplefilter("default")  # where warnings are errors, a tracker ends nothing either
                warnings.warn(text, stacklevel=2)

    def _logger(self, name: str, first_epoch: int) -> Logger:
        if name not in self._loggers:
            root = self._folder.parent / "tracking"
            made = _tensorboard if name == "tensorboard" else _mlflow
            logger = made(root, self._folder, self._experiment, first_epoch)
            self._loggers[name] = logger
            logger.log_hyperparams(_parameters(self._experiment))
        return self._loggers[name]


@contextlib.contextmanager
def tracking(experiment: Experiment, folder: Path, units: Mapping[str, str]) -> Iterator[Tracked]:
    """Yield what the trackers of an experiment are told by; they are told how the body ended.

    Raises
    ------
    ConfigError
        A tracker is not installed.
    """
    for name in experiment.training.trackers:
        _require(name)
    tracked = Tracked(experiment, folder, units)
    try:
        yield tracked
    except Stopped:
        tracked.end("stopped")
        raise
    except BaseException:
        tracked.end("failed")
        raise
    tracked.end("success")


def _require(name: str) -> None:
    missing = [module for module in _MODULES[name] if importlib.util.find_spec(module) is None]
    if missing:
        step = "pip install 'regression-activation-mapping[trackers]'"
        got = f"no module {missing[0]}"
        where = "training.trackers"
        raise ConfigError(explained(where=where, what=name, allowed="installed", got=got, next_step=step))


def _parameters(experiment: Experiment) -> dict[str, Any]:
    return {
        key: value if isinstance(value, (bool, int, float)) else str(value)
        for key, value in flat(experiment.decisive()).items()
    }


def _tensorboard(root: Path, folder: Path, _: Experiment, first_epoch: int) -> Logger:
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger

    # Epochs that a resumed run does again replace those that were shown before.
    words: dict[str, Any] = {"default_hp_metric": True, "purge_step": first_epoch}
    return TensorBoardLogger(root / "tensorboard", name=folder.name, version="", **words)


def _mlflow(root: Path, folder: Path, experiment: Experiment, _: int) -> Logger:
    from ram.training.mlflow_logger import MlflowLogger

    if not os.environ.get("MLFLOW_TRACKING_URI"):
        root.mkdir(parents=True, exist_ok=True)
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}"
    return MlflowLogger(uri, experiment=experiment.name, run=folder)
