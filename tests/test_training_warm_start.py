"""Starting from a run: the same function where channels, units and targets are the same in whatever order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ram.errors import ConfigError, ModelError
from ram.runs.config import load_experiment
from ram.runs.run import Run, open_run
from ram.training.prepare import Prepared, prepare
from ram.training.rerun import rerun
from ram.training.train import train
from ram.training.warm_start import WarmStart, start_warm

Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def source(disc_run: Path) -> Run:
    return open_run(disc_run)


def warmed(config: Path, source: Run, *overrides: str) -> tuple[Prepared, WarmStart]:
    prepared = prepare(load_experiment(config, overrides=["seed=77", *overrides]))
    return prepared, start_warm(prepared.regressor, prepared.spec, source)


def answers(prepared: Prepared, name: str) -> np.ndarray:
    data, net = prepared.data, prepared.regressor.eval()
    with torch.no_grad():
        values = net(torch.from_numpy(data.x()), torch.from_numpy(data.parameter_array(list(net.parameter_names))))
    return values.numpy()[:, net.target_names.index(name)]


def test_the_same_experiment_begins_as_the_source_ended(disc_folder: Path, source: Run) -> None:
    prepared, warm = warmed(disc_folder / "discs.toml", source)
    expected = source.predict(source.data())
    for name in ("umbrella", "mass"):
        np.testing.assert_allclose(answers(prepared, name), expected.column(name)[0], rtol=1e-6)
    assert warm.left == {}
    assert {"target umbrella", "target mass", "channel fill", "backbone.stages.0.0.weight"} <= set(warm.taken)
    assert warm.checkpoint_sha256 == hashlib.sha256((source.path / "checkpoint.safetensors").read_bytes()).hexdigest()


def test_other_scales_units_and_order_change_nothing(source: Run, changed_discs: Callable[..., Path]) -> None:
    """Channels swapped and in metres, targets swapped and in kHz, and targets of another mean and spread."""

    def change(record: object) -> object:
        x = record.x[::-1] * np.array([1e-3, 1]).reshape(2, 1, 1)  # type: ignore[attr-defined]
        targets = {"mass": 3 * record.targets["mass"], "umbrella": 50 + 2 * record.targets["umbrella"]}  # type: ignore[attr-defined]
        return replace(record, x=x.astype(np.float32), targets=targets)  # type: ignore[type-var]

    config = changed_discs(change, channels={"thickness": "m", "fill": "1"}, reference=None)
    prepared, warm = warmed(config, source, "data.targets=['mass', 'umbrella']", "data.units.umbrella='kHz'")
    assert warm.left == {}
    expected = source.predict(source.data())
    np.testing.assert_allclose(answers(prepared, "umbrella"), expected.column("umbrella")[0] / 1000, rtol=1e-5)
    np.testing.assert_allclose(answers(prepared, "mass"), expected.column("mass")[0], rtol=1e-5)
    assert prepared.regressor.target_names == ("mass", "umbrella")
    assert not np.allclose(prepared.regressor.target_mean[1] * 1000, source.regressor.target_mean[0], rtol=0.05)


def test_a_log_target_in_another_unit_keeps_its_function(disc_folder: Path, tmp_path: Path) -> None:
    words = ["data.targets=['umbrella']", "data.log_targets=['umbrella']"]
    source = train(disc_folder / "discs.toml", output=tmp_path / "log", overrides=words, progress=False)
    prepared, warm = warmed(disc_folder / "discs.toml", source, *words, "data.units.umbrella='kHz'")
    assert warm.left == {}
    expected = source.predict(source.data()).values[:, 0]
    np.testing.assert_allclose(answers(prepared, "umbrella"), expected / 1000, rtol=1e-5)


def test_design_parameters_keep_their_share(changed_discs: Callable[..., Path], tmp_path: Path) -> None:
    def tyre(record: object) -> object:
        load = float(int(record.id[1:]) % 7)  # type: ignore[attr-defined]
        return replace(record, parameters={"load": load, "wear": load**2})  # type: ignore[type-var]

    config = changed_discs(tyre, parameters={"load": "N", "wear": "mm"})
    source = train(config, output=tmp_path / "a", overrides=["data.parameters=['load', 'wear']"], progress=False)
    expected = source.predict(source.data())

    def in_kilonewtons(record: object) -> object:
        of = tyre(record).parameters  # type: ignore[attr-defined]
        return replace(record, parameters={"wear": of["wear"], "load": 1e-3 * of["load"], "age": 1.0})  # type: ignore[type-var]

    config = changed_discs(in_kilonewtons, parameters={"wear": "mm", "load": "kN", "age": "s"})
    prepared, warm = warmed(config, source, "data.parameters=['age', 'wear', 'load']")
    assert warm.left == {"parameter age": "not there"}
    np.testing.assert_allclose(answers(prepared, "umbrella"), expected.column("umbrella")[0], rtol=1e-5)


def test_what_does_not_fit_is_left_out_and_said(disc_folder: Path, source: Run) -> None:
    prepared, warm = warmed(disc_folder / "discs.toml", source, "model.widths=[4, 6, 8]")
    assert set(warm.left) == {
        "backbone.stages.2.0.weight",
        "backbone.stages.2.0.bias",
        "target umbrella",
        "target mass",
    }
    assert warm.left["target mass"] == "the features are others"
    fresh = prepare(prepared.experiment).regressor
    state, given = prepared.regressor.state_dict(), source.regressor.state_dict()
    assert torch.equal(state["backbone.stages.1.0.weight"], given["backbone.stages.1.0.weight"])
    assert torch.equal(state["head.weight"], fresh.state_dict()["head.weight"])
    assert "not taken: backbone.stages.2.0.weight: not there" in str(warm)


def test_a_new_channel_and_target_begin_without_effect(source: Run, changed_discs: Callable[..., Path]) -> None:
    def wider(record: object) -> object:
        noise = np.full((1, 16, 16), 5.0, np.float32)
        x = np.concatenate([record.x[:1], noise, record.x[1:]])  # type: ignore[attr-defined]
        return replace(record, x=x, targets={**record.targets, "age": float(len(record.id))})  # type: ignore[attr-defined, type-var]

    channels, targets = {"fill": "1", "heat": "K", "thickness": "mm"}, {"umbrella": "Hz", "mass": "kg", "age": "s"}
    config = changed_discs(wider, channels=channels, targets=targets, reference=None)
    prepared, warm = warmed(config, source, "data.targets=['umbrella', 'mass']", "data.log_targets=['mass']")
    assert warm.left == {"channel heat": "not there", "target mass": "in kg there, in the logarithm of kg here"}
    assert warm.notes == ("heat begins without effect",)
    expected = source.predict(source.data()).column("umbrella")[0]
    np.testing.assert_allclose(answers(prepared, "umbrella"), expected, rtol=1e-5)


def test_a_run_of_which_nothing_fits_is_refused(disc_folder: Path, source: Run) -> None:
    with pytest.raises(ModelError, match=r"the run to start from must be one whose weights fit.*Got plain with widths"):
        warmed(disc_folder / "discs.toml", source, "model.backbone='resnet'", "model.widths=[5, 7]")


def test_a_warm_run_keeps_its_start_and_is_made_again_from_it(
    shell: Shell, disc_folder: Path, disc_run: Path, tmp_path: Path
) -> None:
    words = ["train", disc_folder / "discs.toml", "--set", "training.epochs=1", "--set", "seed=5"]
    code, _, err = shell(*words, "--init-from", disc_run, "--output", tmp_path / "warm")
    assert code == 0
    assert "start: " in err
    warm = open_run(tmp_path / "warm")
    said = warm.provenance["start"]
    assert said["checkpoint_sha256"] == hashlib.sha256((disc_run / "checkpoint.safetensors").read_bytes()).hexdigest()
    assert said["run"] == "run"
    cold = train(disc_folder / "discs.toml", output=tmp_path / "cold", overrides=["training.epochs=1", "seed=5"])
    assert warm.history[0]["loss"] != cold.history[0]["loss"]
    again = rerun(warm, output=tmp_path / "again", progress=False)
    assert again.differences.identical
    assert "start.safetensors" in again.differences.equal
    (tmp_path / "warm/start.safetensors").unlink()
    with pytest.raises(Exception, match=r"the net that the run began with must be there, with SHA-256 .*Got none"):
        rerun(warm, output=tmp_path / "third")


def test_going_on_keeps_to_the_start(shell: Shell, disc_folder: Path, disc_run: Path, tmp_path: Path) -> None:
    other = train(disc_folder / "discs.toml", output=tmp_path / "other", overrides=["seed=8"], progress=False).path
    words = {"output": tmp_path / "warm", "overrides": ["training.epochs=1"], "progress": False}
    run = train(disc_folder / "discs.toml", init_from=disc_run, **words)  # type: ignore[arg-type]
    expected = (run.path / "checkpoint.safetensors").read_bytes()
    for name in ("manifest.json", "checkpoint.safetensors", "training.safetensors", "history.jsonl"):
        (run.path / name).unlink(missing_ok=True)
    with pytest.raises(ConfigError, match=r"the run to start from must be the one that it was begun with, run. Got"):
        train(disc_folder / "discs.toml", init_from=other, resume=True, **words)  # type: ignore[arg-type]
    train(disc_folder / "discs.toml", init_from=disc_run, resume=True, **words)  # type: ignore[arg-type]
    assert (run.path / "checkpoint.safetensors").read_bytes() == expected
    assert json.loads((run.path / "start.json").read_text(encoding="utf-8"))["run"] == "run"


def test_a_net_or_seeds_beside_a_run_are_refused(disc_folder: Path, source: Run) -> None:
    with pytest.raises(ConfigError, match=r"init_from must be given without net. Got both."):
        train(disc_folder / "discs.toml", init_from=source.path, net=source.regressor)
    with pytest.raises(ConfigError, match=r"init_from must be given without seeds. Got both."):
        train(disc_folder / "discs.toml", init_from=source.path, seeds=2)
