"""Training: the same bits again, troubles named before anything is written, figures that are the net's."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ram.data.dataset import open_dataset
from ram.errors import ConfigError, DataError, ModelError, TrainingError
from ram.runs.config import load_experiment
from ram.runs.repeatable import repeatable
from ram.runs.run import open_run
from ram.training import loop
from ram.training.prepare import prepare
from ram.training.train import shown_samples, train


def digests(folder: Path) -> dict[str, str]:
    timed = {"times.json", "manifest.json"}
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir() if file.name not in timed
    }


def test_the_same_config_gives_the_same_bytes(disc_folder, disc_run, tmp_path):
    torch.manual_seed(99)  # the global state must not matter
    again = train(disc_folder / "discs.toml", output=disc_folder / f"again-{tmp_path.name}", progress=False).path
    first, second = digests(disc_run), digests(again)
    assert len(first) == 13
    assert first == second


def test_another_seed_gives_other_weights(disc_folder, disc_run, tmp_path):
    other = train(disc_folder / "discs.toml", output=tmp_path / "other", overrides=["seed=4"], progress=False).path
    assert digests(other)["checkpoint.safetensors"] != digests(disc_run)["checkpoint.safetensors"]


def test_training_learns(changed_discs, tmp_path):
    config = changed_discs(count=150)
    overrides = ["training.epochs=20", "training.learning_rate=1e-2", "model.coordinates=['radius']"]
    run = train(config, output=tmp_path / "run", overrides=[*overrides, "model.widths=[8, 16]"])
    assert run.metrics["test"]["umbrella"]["r2"] > 0.8
    assert run.history[-1]["loss"] < 0.5 * run.history[0]["loss"]


def test_the_manifest_names_every_file_with_its_digest(disc_run):
    manifest = json.loads((disc_run / "manifest.json").read_text(encoding="utf-8"))["sha256"]
    names = {file.relative_to(disc_run).as_posix() for file in disc_run.rglob("*") if file.is_file()}
    assert set(manifest) == names - {"manifest.json"}
    for name, digest in manifest.items():
        assert hashlib.sha256((disc_run / name).read_bytes()).hexdigest() == digest


def test_the_best_epoch_is_kept_and_early_stopping_stops(disc_folder, tmp_path):
    overrides = ["training.epochs=30", "training.patience=2", "training.learning_rate=0.2"]
    run = train(disc_folder / "discs.toml", output=tmp_path / "run", overrides=overrides)
    criteria = [row["criterion"] for row in run.history]
    assert len(criteria) < 30
    assert len(criteria) - 1 - int(np.argmin(criteria)) == 2
    assert [row["best"] for row in run.history] == [c == min(criteria[: i + 1]) for i, c in enumerate(criteria)]
    # Half of the validation part chooses; the other half is kept for the intervals.
    rows = np.isin(run.predictions("validation").ids, run.part("choosing").ids)
    predicted, measured = (column[rows] for column in run.predictions("validation").column("umbrella"))
    assert run.history[int(np.argmin(criteria))]["validation"]["umbrella"] == pytest.approx(
        np.abs(predicted - measured).mean()
    )


def test_metrics_are_those_of_the_stored_predictions(disc_run):
    run = open_run(disc_run)
    predicted, measured = run.predictions("test").column("mass")
    figures = run.metrics["test"]["mass"]
    assert figures["mae"] == pytest.approx(np.abs(predicted - measured).mean())
    assert figures["mape"] == pytest.approx(100 * np.abs(predicted / measured - 1).mean())
    assert figures["samples"] == 6


def test_the_unit_of_a_target_may_be_chosen(disc_folder, tmp_path):
    run = train(disc_folder / "discs.toml", output=tmp_path / "run", overrides=["data.units.umbrella='kHz'"])
    assert run.units == {"umbrella": "kHz", "mass": "kg"}
    _, measured = run.predictions("test").column("umbrella")
    np.testing.assert_allclose(measured, run.data().subset("test").target_array(["umbrella"])[:, 0] / 1000)


def test_a_log_target_is_regressed_in_factors(disc_folder, tmp_path):
    overrides = ["data.log_targets=['umbrella']", "data.targets=['umbrella']"]
    run = train(disc_folder / "discs.toml", output=tmp_path / "run", overrides=overrides)
    data = run.data().subset("test")
    one = run.explain(data, target="umbrella")
    product = one.baseline * np.prod(one.factors, axis=(1, 2))
    np.testing.assert_allclose(product, run.predict(data).values[:, 0], rtol=1e-5)


def test_missing_targets_are_left_out_of_the_loss(changed_discs, tmp_path):
    def forget(record):
        missing = record.id in {"d000", "d001", "d006"}
        return replace(record, targets={**record.targets, "mass": float("nan")}) if missing else record

    run = train(changed_discs(forget), output=tmp_path / "run")
    assert np.isfinite([row["loss"] for row in run.history]).all()
    assert run.metrics["train"]["mass"]["samples"] == 15
    assert run.metrics["train"]["umbrella"]["samples"] == 18


def test_the_masked_loss_is_the_mean_over_what_was_measured():
    predicted = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    wanted = torch.tensor([[0.0, float("nan")], [3.0, 2.0]], dtype=torch.float64)
    assert float(loop._loss(predicted, wanted, kind="squared")) == pytest.approx((0.5 + 0.0 + 2.0) / 3)
    assert float(loop._loss(predicted, wanted, kind="huber")) == pytest.approx((0.3 * 0.85 + 0.3 * 1.85) / 3)


def test_augmentation_is_a_function_of_seed_epoch_and_row():
    config = load_experiment({"name": "a", "data": {"file": "x", "targets": ["y"]}}).training
    group = tuple(range(8))

    def choice(rows, *, epoch=1, seed=0):
        fit = loop.Fit(config, seed, group, np.asarray(rows), lambda _: None, lambda _: None)
        return loop._augmentation(fit, epoch)

    whole = choice(range(100))
    np.testing.assert_array_equal(choice([7, 99, 3]), whole[[7, 99, 3]])
    assert (whole != choice(range(100), epoch=2)).any()
    assert (whole != choice(range(100), seed=1)).any()
    assert set(whole) == set(range(8))


def test_frozen_norms_keep_their_running_statistics_and_still_learn():
    net = torch.nn.Sequential(torch.nn.Conv1d(1, 2, 3), torch.nn.BatchNorm1d(2)).eval()
    loop._train_mode(net, frozen_norms=True)
    before = net[1].running_mean.clone()
    net(torch.randn(4, 1, 8)).sum().backward()
    assert net.training
    assert torch.equal(net[1].running_mean, before)
    assert net[1].weight.grad is not None
    loop._train_mode(net, frozen_norms=False)
    net(torch.randn(4, 1, 8))
    assert not torch.equal(net[1].running_mean, before)


def test_a_loss_that_is_not_finite_stops_at_once_and_names_samples(disc_folder, tmp_path, monkeypatch):
    seen = []
    real = loop._loss

    def poisoned(predicted, wanted, *, weights, kind, known, complete):
        seen.append(len(seen))
        factor = float("nan") if len(seen) == 5 else 1.0
        return factor * real(predicted, wanted, weights=weights, kind=kind, known=known, complete=complete)

    monkeypatch.setattr(loop, "_loss", poisoned)
    with pytest.raises(
        TrainingError, match=r"epoch 2, batch 2, samples d0.*: loss and gradient must be finite. Got loss nan"
    ):
        train(disc_folder / "discs.toml", output=tmp_path / "run", overrides=["training.batch_size=6"])
    assert len(seen) == 5
    assert (tmp_path / "run" / "checkpoint.safetensors").is_file()  # of epoch 1
    assert not (tmp_path / "run" / "manifest.json").exists()
    with torch.no_grad():
        weights = open_run(tmp_path / "run").regressor.head.weight
    assert torch.isfinite(weights).all()


def test_channel_statistics_are_those_of_the_training_part(disc_folder):
    prepared = prepare(load_experiment(disc_folder / "discs.toml"))
    x = open_dataset(disc_folder / "discs.h5").subset("train").x().astype(np.float64)
    np.testing.assert_allclose(prepared.regressor.input_mean, x.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(prepared.regressor.input_scale, x.std(axis=(0, 2, 3)), rtol=1e-6)


def test_design_parameters_join_and_keep_their_share(changed_discs, tmp_path):
    def tyre(record):
        load = float(int(record.id[1:]) % 7)
        shifted = {**record.targets, "umbrella": record.targets["umbrella"] + 20 * load}
        return replace(record, targets=shifted, parameters={"tyre_load": load})

    config = changed_discs(tyre, parameters={"tyre_load": "N"}, count=90)
    overrides = ["data.parameters=['tyre_load']", "training.epochs=30", "training.learning_rate=1e-2"]
    run = train(config, output=tmp_path / "run", overrides=overrides)
    test = run.data().subset("test")
    one = run.explain(test, target="umbrella")
    assert one.parameter_names == ("tyre_load",)
    share, load = one.parameter_contributions[:, 0], test.parameter_array(["tyre_load"])[:, 0]
    slope = np.polyfit(load, share, 1)[0]
    assert slope == pytest.approx(20, rel=0.4)
    np.testing.assert_allclose(one.baseline + one.total, one.prediction, rtol=1e-5)


def test_shown_samples_prefer_those_with_truth(disc_folder):
    data = open_dataset(disc_folder / "discs.h5")
    assert list(shown_samples(data, 3).ids) == list(data.subset("test").ids[:3])
    assert len(shown_samples(data, 100)) == len(data)


def test_an_existing_folder_is_left_alone(disc_folder, disc_run):
    before = digests(disc_run)
    with pytest.raises(ConfigError, match=r"the run's folder must be new. Got a folder or file that exists. Choose"):
        train(disc_folder / "discs.toml", output=disc_run)
    assert digests(disc_run) == before


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["data.targets=['umbrela']"], DataError, r"umbrela"),
        (["data.units.umbrella='mm'"], ConfigError, r"the unit must be convertible from the file's 'Hz'. Got 'mm'."),
        (["data.units.umbrella='herzz'"], ConfigError, r"convertible from the file's 'Hz'. Got 'herzz'."),
        (["data.log_targets=['tilt']"], ConfigError, r"one of data.targets: umbrella, mass. Got tilt"),
        (["model.widths=[4,4,4,4,4]"], ModelError, r"each a multiple of 32. Got 16 x 16. Crop or resample"),
        (["model.coordinates=['z']"], ConfigError, r"a coordinate must be one of y, x, radius. Got z."),
        (["data.split='folds'"], DataError, r"folds"),
    ],
)
def test_what_does_not_fit_is_named_before_anything_is_written(disc_folder, tmp_path, overrides, error, message):
    with pytest.raises(error, match=message):
        train(disc_folder / "discs.toml", output=tmp_path / "run", overrides=overrides)
    assert not (tmp_path / "run").exists()


def test_threads_and_determinism_are_as_before_afterwards(disc_folder, tmp_path):
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with pytest.raises(DataError):
        train(
            disc_folder / "discs.toml", output=tmp_path / "run", overrides=["data.targets=['no']", "training.threads=2"]
        )
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_what_makes_runs_repeat_is_put_back() -> None:
    def settings() -> tuple[int, bool, bool]:
        filled: bool = torch.utils.deterministic.fill_uninitialized_memory
        return torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), filled

    before = settings()
    with pytest.raises(KeyboardInterrupt), repeatable(before[0] + 1):
        assert settings() == (before[0] + 1, True, False)
        raise KeyboardInterrupt
    assert settings() == before


@pytest.mark.parametrize("kind", ["squared", "huber"])
@pytest.mark.parametrize("weighted", [False, True])
def test_where_all_targets_are_there_nothing_changes_but_the_time(kind, weighted):
    draw = torch.Generator().manual_seed(5)
    wanted = torch.randn(7, 3, generator=draw, dtype=torch.float64)
    weights = torch.rand(7, generator=draw, dtype=torch.float64) if weighted else None
    outcomes = []
    for complete in (False, True):
        predicted = torch.randn(7, 3, generator=torch.Generator().manual_seed(6)).requires_grad_()
        loss = loop._loss(predicted, wanted, kind=kind, weights=weights, complete=complete)
        loss.backward()
        assert predicted.grad is not None
        outcomes.append((loss.detach(), predicted.grad))
    assert torch.equal(outcomes[0][0], outcomes[1][0])
    assert torch.equal(outcomes[0][1], outcomes[1][1])
