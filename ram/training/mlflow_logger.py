"""MLflow as one of Fabric's loggers, which has none of its own; the client alone is used, no global state."""

from __future__ import annotations

__all__ = ["MlflowLogger", "plain_name"]

import logging
import re
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from time import time
from typing import Any

from lightning_fabric.loggers.logger import Logger
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

_STATUS = {"success": "FINISHED", "stopped": "KILLED"}
_FOLDER = "ram.run"


def plain_name(name: str) -> str:
    """Return a name of the letters that MLflow allows.

    >>> plain_name("validation/umbrella (Hz)")
    'validation/umbrella _Hz_'
    """
    return re.sub(r"[^\w.\- /]", "_", name)


class MlflowLogger(Logger):
    """Tells MLflow of one run; a run that is gone on with is found again by its folder.

    Parameters
    ----------
    uri
        Of the tracking server, or ``sqlite:///FILE``.
    experiment
        The name that MLflow groups runs by.
    run
        The run's folder.
    """

    def __init__(self, uri: str, *, experiment: str, run: Path) -> None:
        logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of each table that it makes
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        self._client, self._name = MlflowClient(tracking_uri=uri), experiment
        found = self._client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else self._client.create_experiment(experiment)
        before = self._client.search_runs([number], filter_string=f"tags.`{_FOLDER}` = '{run}'", max_results=1)
        if before:
            self._run = before[0].info.run_id
            self._client.update_run(self._run, status="RUNNING")
        else:
            self._run = self._client.create_run(number, run_name=run.name, tags={_FOLDER: str(run)}).info.run_id
        # Epochs that a resumed run does again give the same numbers: they are there already.
        self._told = max((one.step for one in self._client.get_metric_history(self._run, "loss")), default=0)

    @property
    def name(self) -> str:
        """Return the name that runs are grouped by."""
        return self._name

    @property
    def version(self) -> str:
        """Return MLflow's name of the run."""
        return str(self._run)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Tell numbers of an epoch."""
        if "loss" in metrics and step is not None and step <= self._told:
            return
        now = int(1000 * time())
        rows = [Metric(plain_name(name), value, now, step or 0) for name, value in metrics.items()]
        self._client.log_batch(self._run, metrics=rows)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        """Tell what the run was asked for; the same again is no change to MLflow."""
        said: Mapping[str, Any] = vars(params) if isinstance(params, Namespace) else params
        rows = [Param(plain_name(name), str(value)) for name, value in said.items()]
        for begin in range(0, len(rows), 100):  # MLflow takes no more at once
            self._client.log_batch(self._run, params=rows[begin : begin + 100])

    def finalize(self, status: str) -> None:
        """Say how the run ended."""
        self._client.set_terminated(self._run, _STATUS.get(status, "FAILED"))
