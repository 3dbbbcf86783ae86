"""From a laboratory's own HDF5 file to a trained run, its predictions, maps and report: nothing is converted."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import ram
from ram.randomness import generator

Shell = Callable[..., tuple[int, str, str]]
RATE_HZ, RECORDS, CELLS = 500, 18, 600

EXPERIMENT = """\
name = "shaft"
seed = 2

[data]
file = "shaft.h5"
parameters = ["load", "age"]

[data.mapping]
inputs = "/runs/*/acc"
layout = "channel time"
channels = ["radial", "axial"]
sample_rate = "@rate"
window = "0.256 s"
hop = "128 ms"
targets.f1 = { path = "/runs/*@frequency", unit = "Hz" }
targets.speed = "/runs/*/speed"
parameters.load = "/runs/*@load"
parameters.age = { path = "/runs/*@age", unit = "hour" }
groups = "/runs/*@shaft"
split = { seed = 1, validation = 0.2, test = 0.2 }

[model]
backbone = "plain"
widths = [4, 6]

[training]
epochs = 2
batch_size = 16
threads = 1

[explain]
samples = 3
"""


def write_runs(path: Path, *, seed: int, records: int = RECORDS, with_targets: bool = True) -> None:
    """Oscillations of a shaft whose frequency and speed are known; integers, big-endian, time last."""
    with h5py.File(path, "w") as file:
        for number in range(records):
            draw = generator(seed, "shaft", number)
            frequency, time = 40.0 + 20.0 * draw.random(), np.arange(CELLS) / RATE_HZ
            wave = np.sin(2 * np.pi * frequency * time + np.array([[0.0], [1.0]])) + 0.1 * draw.standard_normal(
                (2, CELLS)
            )
            run = file.create_group(f"runs/run{number}")
            acc = run.create_dataset("acc", data=(1_000 * wave).astype(">i2"), chunks=(1, 200), compression="gzip")
            acc.attrs.update({"rate": np.float32(RATE_HZ), "scale_factor": 0.001, "units": "m/s^2"})
            run.attrs.update({"load": 0.5 + 0.01 * number, "load_unit": "kN", "age": 1_000.0 * draw.random()})
            if with_targets:
                run.attrs["frequency"], run.attrs["shaft"] = frequency, f"shaft {number // 2}"
                run["speed"] = 10.0 + 5.0 * time
                run["speed"].attrs["units"] = "m/s"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, experiment and a run; nothing may be written there."""
    folder = tmp_path_factory.mktemp("shaft")
    write_runs(folder / "shaft.h5", seed=1)
    (folder / "shaft.toml").write_text(EXPERIMENT, encoding="utf-8")
    ram.train(folder / "shaft.toml", output=folder / "run", progress=False)
    return folder


def test_the_experiment_tells_what_its_data_are(shell: Shell, folder: Path) -> None:
    code, out, err = shell("data", "info", folder / "shaft.toml", "--json")
    assert code == 0, err
    found = json.loads(out)
    windows = 1 + (600 - 128) // 64
    assert (found["schema"], found["samples"], found["groups"]) == ("mapped", RECORDS * windows, 9)
    assert [(one["name"], one["unit"]) for one in found["targets"]] == [("f1", "Hz"), ("speed", "m/s")]
    assert found["channels"] == [{"name": "radial", "unit": "m/s^2"}, {"name": "axial", "unit": "m/s^2"}]
    assert found["axes"][0]["cells"] == 128
    assert found["digest"] == ram.open_run(folder / "run").provenance["data"]["digest"]


def test_nothing_is_wrong_with_the_mapped_data(shell: Shell, folder: Path) -> None:
    code, out, _ = shell("data", "check", folder / "shaft.toml", "--strict")
    assert code == 0, out


def test_training_regresses_all_mapped_targets_and_the_run_repeats(shell: Shell, folder: Path, tmp_path: Path) -> None:
    code, out, err = shell("train", folder / "shaft.toml", "--output", tmp_path / "run")
    assert code == 0, err
    assert "f1" in out
    first, again = ram.open_run(folder / "run"), ram.open_run(tmp_path / "run")
    assert again.units == {"f1": "Hz", "speed": "m/s"}
    assert np.array_equal(first.predictions("test").values, again.predictions("test").values)
    assert first.provenance["data"] == again.provenance["data"]
    assert first.config.data.mapping == again.config.data.mapping
    parts = {name: set(again.data().subset(name).groups.tolist()) for name in ("train", "validation", "test")}
    assert not parts["train"] & parts["test"]
    assert not parts["validation"] & (parts["train"] | parts["test"])


def test_a_new_file_without_targets_is_predicted(shell: Shell, folder: Path, tmp_path: Path) -> None:
    write_runs(tmp_path / "new.h5", seed=5, records=3, with_targets=False)
    code, _, err = shell("predict", folder / "run", tmp_path / "new.h5", "--output", tmp_path / "table.csv")
    assert code == 0, err
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["id"] for row in rows[:2]] == ["run0-000", "run0-064"]
    assert {"id", "f1_Hz", "speed_m/s", "f1_Hz_lower", "outside"} < set(rows[0])
    assert len(rows) == 24


def test_channels_and_parameters_keep_their_order_in_a_run(folder: Path) -> None:
    run = ram.open_run(folder / "run")
    assert list(run.spec.channels) == ["radial", "axial"]
    assert run.regressor.parameter_names == ("load", "age")
    assert np.array_equal(run.predict(run.data().subset("test")).values, run.predictions("test").values)


def test_maps_of_the_run_sum_to_its_predictions(shell: Shell, folder: Path, tmp_path: Path) -> None:
    words = ["explain", folder / "run", "--samples", "2", "--output", tmp_path / "maps.h5", "--json"]
    code, out, err = shell(*words)
    assert code == 0, err
    for sample in json.loads(out)["targets"]["f1"]["samples"]:
        assert sample["baseline"] + sum(sample["carried"].values()) == pytest.approx(sample["prediction"], rel=1e-5)


def test_the_report_is_written(shell: Shell, folder: Path, tmp_path: Path) -> None:
    code, _, err = shell("train", folder / "shaft.toml", "--output", tmp_path / "run", "--set", "training.epochs=1")
    assert code == 0, err
    code, out, err = shell("report", tmp_path / "run")
    assert code == 0, err
    assert "report.html" in out


def test_a_file_that_changed_is_not_the_run_s(shell: Shell, folder: Path, tmp_path: Path) -> None:
    write_runs(tmp_path / "shaft.h5", seed=1)
    (tmp_path / "shaft.toml").write_text(EXPERIMENT, encoding="utf-8")
    run = ram.train(tmp_path / "shaft.toml", output=tmp_path / "run", progress=False)
    assert len(run.data()) == 144
    write_runs(tmp_path / "shaft.h5", seed=2)
    code, _, err = shell("explain", tmp_path / "run")
    assert code == 2
    assert "the data of this run must be those with digest" in err


def test_a_wrong_path_is_one_paragraph_that_names_the_right_one(shell: Shell, folder: Path) -> None:
    words = ["train", folder / "shaft.toml", "--set", "data.mapping.parameters.load=/runs/*@lod"]
    code, _, err = shell(*words)
    assert code == 2
    assert err.count("\n") == 1
    assert "/runs/*@lod (parameters.load): the attribute must be one of age, frequency, load" in err
    assert "Did you mean 'load'?" in err


def test_a_file_of_the_package_s_own_needs_no_mapping(disc_folder: Path, folder: Path) -> None:
    from ram.runs.opening import open_data

    section = ram.open_run(folder / "run").config.data
    assert open_data(section, disc_folder / "discs.h5").digest == ram.open_dataset(disc_folder / "discs.h5").digest
