"""Trackers: real files of TensorBoard and MLflow; one that fails ends nothing; the run's own bytes do not change."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pytest

from ram.errors import ConfigError
from ram.training import trackers
from ram.training.train import train

CHOSEN = ['training.trackers=["tensorboard", "mlflow"]']


@pytest.mark.filterwarnings("ignore")  # MLflow's own, of what SQLAlchemy will not have any more
def test_both_are_told_and_the_run_has_the_bytes_that_it_has_without(
    disc_folder: Path, disc_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = train(disc_folder / "discs.toml", output=tmp_path / "run", overrides=CHOSEN, progress=False)
    for name in ("checkpoint.safetensors", "history.jsonl", "predictions.h5", "maps.h5"):
        digests = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for folder in (run.path, disc_run)]
        assert digests[0] == digests[1]
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tracking" / "tensorboard" / "run")).Reload()
    told = {one.step: one.value for one in events.Scalars("validation/umbrella (Hz)")}
    assert told == pytest.approx({row["epoch"]: row["validation"]["umbrella"] for row in run.history})
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'tracking' / 'mlflow.db'}")
    (found,) = client.search_runs([client.get_experiment_by_name("discs").experiment_id])
    assert found.info.status == "FINISHED"
    losses = sorted((one.step, one.value) for one in client.get_metric_history(found.info.run_id, "loss"))
    assert losses == [(row["epoch"], row["loss"]) for row in run.history]
    assert found.data.metrics["test/umbrella mae"] == run.metrics["test"]["umbrella"]["mae"]
    assert found.data.params["training.epochs"] == "2"


def test_a_tracker_that_fails_is_left_out_with_one_warning(
    disc_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(trackers, "_tensorboard", broken)
    with pytest.warns(UserWarning, match="the tracker tensorboard is left out from here on: OSError: no room") as said:
        run = train(
            disc_folder / "discs.toml",
            output=tmp_path / "run",
            overrides=['training.trackers=["tensorboard"]'],
            progress=False,
        )
    assert len([one for one in said if "tracker" in str(one.message)]) == 1
    assert len(run.history) == 2


def test_a_tracker_that_is_not_installed(disc_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    message = r"tensorboard must be installed\. Got no module tensorboard\. pip install"
    with pytest.raises(ConfigError, match=message), trackers.tracking(_experiment(disc_folder), tmp_path, {}):
        pass


def _experiment(folder: Path):  # type: ignore[no-untyped-def]
    from ram.runs.config import load_experiment

    return load_experiment(folder / "discs.toml", overrides=CHOSEN)


def test_the_history_is_there_as_csv(disc_run: Path) -> None:
    from ram.runs.run import open_run

    rows = list(csv.DictReader((disc_run / "history.csv").read_text(encoding="utf-8").splitlines()))
    assert [float(row["loss"]) for row in rows] == [row["loss"] for row in open_run(disc_run).history]
    assert [float(row["validation_mass"]) for row in rows] == [
        row["validation"]["mass"] for row in open_run(disc_run).history
    ]
