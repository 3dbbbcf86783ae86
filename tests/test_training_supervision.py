"""Maps of training samples fitted to what physics or an engineer knows of them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import ram
from ram.axes import Axis
from ram.data.layout import write_dataset
from ram.data.spec import DatasetSpec, Record
from ram.errors import ConfigError, DataError
from ram.evaluation.localisation import summed_on_cells
from ram.models.symmetry import augment, symmetry_group, undone
from ram.runs.config import load_experiment
from ram.training.prepare import prepare

TRUTH = ("umbrella", "contribution")


def with_truth(record: Record) -> Record:
    """Contributions to umbrella, but for every tenth disc."""
    fill, thickness = record.x.astype(np.float64)
    share = np.where(record.regions == 1, 0.05 * fill * (thickness - 20.0), 0.0)
    return replace(record, truth={} if int(record.id[1:]) % 10 == 0 else {TRUTH: share})


@pytest.fixture(scope="module")
def folder(discs_in, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("supervised")
    discs_in(place, with_truth, count=120)
    return place


def experiment(folder: Path, **section: object):
    words = [f"training.map_supervision.{name}={json.dumps(value)}" for name, value in section.items()]
    return load_experiment(folder / "discs.toml", overrides=words)


def prepared(folder: Path, **section: object):
    return prepare(experiment(folder, **section))


def truth_on_cells(data: ram.Dataset, maps: ram.RegressionMap) -> np.ndarray:
    return summed_on_cells(data.truth_array(*TRUTH).astype(np.float64), source=data.axes, cells=maps.axes)


def test_the_map_that_gradients_pass_is_the_exact_ram(folder):
    net = prepared(folder, weight=1.0).regressor.double().eval()
    x = torch.from_numpy(ram.open_dataset(folder / "discs.h5")[:5].x()).double()
    predicted, maps = net.prediction_and_contributions(x)
    assert maps.requires_grad
    total = maps.flatten(2).sum(dim=2) + net.head.bias
    torch.testing.assert_close(total, predicted, rtol=0, atol=1e-12)
    for number, (name, scale) in enumerate(zip(net.target_names, net.target_scale, strict=True)):
        explained = ram.explain(net, x, output=number, target=name)
        np.testing.assert_allclose(maps[:, number].detach() * scale, explained.contributions, atol=1e-12)


def test_maps_of_augmented_samples_are_turned_back():
    group = symmetry_group(["rotate90", "mirror"], space=[4, 4])
    x, choice = torch.randn(16, 2, 4, 4), np.arange(16) % 8
    assert torch.equal(undone(augment(x, group, choice), group, choice), x)
    assert undone(x, (), choice) is x


def test_a_misfit_is_zero_for_the_truth_and_one_for_a_map_of_zeros(folder):
    ready = prepared(folder, weight=1.0)
    known = ready.supervision
    assert known.known.sum(axis=0).tolist() == [sum(i % 10 > 0 for i in range(120) if i % 5 < 3), 0]
    positions = np.arange(len(known.place))
    rows = known.place[positions]
    maps = torch.where(torch.from_numpy(rows >= 0).view(-1, 1, 1, 1), known.truth[np.maximum(rows, 0)], 3.0)
    assert known._misfit(maps, positions, positions).item() == 0
    assert known._misfit(0 * maps, positions, positions).item() == pytest.approx(1.0, rel=1e-6)
    # Shares of a batch, as two processes have them, sum to the whole's.
    halves = [known._misfit(0.5 * maps[part], positions[part], positions) for part in (slice(0, 7), slice(7, None))]
    assert float(sum(halves)) == pytest.approx(0.25, rel=1e-6)


class Mapped:
    """Stands for a net: answers with maps that are given, one for each input."""

    def __init__(self, maps: torch.Tensor) -> None:
        self.maps = maps

    def prediction_and_contributions(self, x, parameters):
        assert len(x) == len(self.maps)
        assert parameters is None
        return self.maps.flatten(2).sum(dim=2), self.maps


def test_maps_are_held_as_they_lie_over_the_sample_and_against_the_reference(folder):
    ready = prepared(folder, weight=1.0)
    known, group = ready.supervision, ready.group
    positions = np.flatnonzero(known.place >= 0)[:16]
    choice = np.arange(16) % len(group)
    x = torch.zeros(16, 2, 16, 16)
    reference = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))  # no symmetry of its own
    right = augment(known.truth[known.place[positions]] + reference, group, choice)
    words = {"positions": positions, "choice": choice, "whole": positions, "epoch": 1}

    def loss_of(maps: torch.Tensor) -> float:
        predicted, loss = known.answer(Mapped(maps), x, torch.zeros(16, 0), **words)
        assert predicted.shape == (16, 2)  # the reference's is left out
        return float(loss)

    assert loss_of(torch.cat([right, reference])) == pytest.approx(0.0, abs=1e-10)
    assert loss_of(torch.cat([undone(right, group, choice), reference])) > 0.1  # as if it had not been turned
    assert loss_of(torch.cat([right, 0 * reference])) > 0.1


def test_the_truth_is_in_standard_deviations_and_sums_to_the_change(folder):
    ready = prepared(folder, weight=1.0)
    train, known = ready.train.data, ready.supervision
    change = train.target_array(["umbrella"])[:, 0] - 500.0
    rows = np.flatnonzero(known.place >= 0)
    total = known.truth[known.place[rows], 0].flatten(1).sum(dim=1) * float(ready.regressor.target_scale[0])
    np.testing.assert_allclose(total, change[rows], rtol=1e-5, atol=1e-4)


def test_a_small_share_is_part_of_a_large_one_and_drawn_by_the_seed(folder):
    chosen = {share: prepared(folder, weight=1.0, share=share).supervision.known[:, 0] for share in (0.1, 0.5, 1.0)}
    counts = [int(one.sum()) for one in chosen.values()]
    assert counts == [round(share * counts[-1]) for share in chosen]
    assert (chosen[0.1] <= chosen[0.5]).all()
    assert (chosen[0.5] <= chosen[1.0]).all()
    other = load_experiment(experiment(folder, weight=1.0, share=0.1), overrides=["seed=4"])
    assert (prepare(other).supervision.known[:, 0] != chosen[0.1]).any()


WISHES = {
    "plain": {},
    "maps": {"weight": 1.0},
    "hub": {"regions": ["hub"], "outside": 0.2},
    "smooth": {"smooth": 0.3},
    "symmetric": {"symmetric": 0.3},
}


@pytest.fixture(scope="module")
def runs(folder) -> dict[str, ram.Run]:
    words = ["training.epochs=25", "training.learning_rate=1e-2"]
    configs = {name: load_experiment(experiment(folder, **wish), overrides=words) for name, wish in WISHES.items()}
    return {name: ram.train(config, output=folder / name, progress=False) for name, config in configs.items()}


def test_supervised_maps_agree_with_physics_where_plain_ones_do_not(runs):
    agreement, outside, error = {}, {}, {}
    for name in ("plain", "maps", "hub"):
        test = runs[name].data().subset("test")
        test = test[np.flatnonzero(test.has_truth(*TRUTH))]
        maps = runs[name].explain(test, target="umbrella", reference="train-mean-design")
        truth = truth_on_cells(test, maps)
        agreement[name] = np.corrcoef(maps.contributions.ravel(), truth.ravel())[0, 1]
        own = np.abs(runs[name].explain(test, target="umbrella", reference="baseline").contributions)
        outside[name] = own[truth == 0].sum() / own.sum()
        error[name] = runs[name].metrics["test"]["umbrella"]["mae"] / test.target_array(["umbrella"]).std()
    assert agreement["maps"] > 0.97 > agreement["plain"] + 0.2
    assert outside["hub"] < 0.3 * outside["plain"]
    assert error["maps"] < 0.3  # of 72 discs, in standard deviations: the value is still learned


def test_a_smooth_map_has_smaller_steps_and_a_symmetric_one_turns_with_the_sample(runs):
    steps, turns = {}, {}
    for name in ("plain", "smooth", "symmetric"):
        net, x = runs[name].regressor, runs[name].data().subset("test").x()
        maps, turned = (ram.explain(net, one).contributions for one in (x, np.rot90(x, axes=(2, 3)).copy()))
        steps[name] = sum(np.abs(np.diff(maps, axis=axis)).sum() for axis in (1, 2))
        turns[name] = np.abs(np.rot90(maps, axes=(1, 2)) - turned).sum() / np.abs(maps).sum()
    assert steps["smooth"] < 0.3 * steps["plain"]
    assert turns["symmetric"] < 0.2 * turns["plain"]


@pytest.mark.slow
def test_a_supervised_training_that_was_stopped_goes_on_to_the_same_bytes(folder):
    config = folder / "stopped.toml"
    section = '\n[training.map_supervision]\nweight = 1.0\nregions = ["hub"]\noutside = 0.1\nsymmetric = 0.1\n'
    config.write_text((folder / "discs.toml").read_text().replace("\n[explain]", f"{section}\n[explain]"))
    plans = [
        {"folder": str(folder / "whole"), "attempts": [{}]},
        {"folder": str(folder / "killed"), "attempts": [{"event": "step", "number": 11}, {}]},
    ]
    (folder / "plans.json").write_text(json.dumps(plans))
    script = Path(__file__).with_name("stopped_runs.py")
    said = subprocess.run(
        [sys.executable, str(script), str(config), str(folder / "plans.json")],
        capture_output=True,
        text=True,
        check=True,
    )
    whole, killed = json.loads(said.stdout)
    assert killed["statuses"][0] != 0
    assert killed["digests"] == whole["digests"]


@pytest.mark.parametrize(
    ("words", "error", "match"),
    [
        (["training.map_supervision.outside=1.0"], ConfigError, "must be regions or ridges together with outside abo"),
        (["training.map_supervision.wieght=1.0"], ConfigError, "Did you mean 'weight'"),
        (["training.map_supervision.weight=1.0", "training.map_supervision.kind=contributions"], DataError,
         r"/truth: maps of kind 'contributions' must be there for a target that is regressed.*Did you mean 'contrib"),
        (["training.map_supervision.weight=1.0", "model.head=dense"], ConfigError, "the head must be 'gap', of which"),
        (["training.map_supervision.weight=1.0", 'data.log_targets=["umbrella"]'], ConfigError,
         "'umbrella', which has maps must be no log target"),
        (['training.map_supervision.regions=["hubb"]', "training.map_supervision.outside=1.0"], ConfigError,
         "a region must be one of void, hub, rim.*Did you mean 'hub'"),
        (['training.map_supervision.ridges=["tilt"]', "training.map_supervision.outside=1.0"], ConfigError,
         "the net must be one that sees a spectrogram"),
        (["training.map_supervision.symmetric=1.0", "training.augment=false"], ConfigError,
         "training must be with symmetries of the data set"),
    ],
)  # fmt: skip
def test_what_cannot_be_supervised_is_refused(folder, words, error, match):
    with pytest.raises(error, match=match):
        prepare(load_experiment(folder / "discs.toml", overrides=words))


def test_weights_of_zero_ask_for_nothing(folder):
    assert prepared(folder, weight=0.0).supervision is None


def test_maps_without_the_design_that_they_are_against_are_refused(discs_in, tmp_path):
    discs_in(tmp_path, lambda record: replace(record, truth={}), truth={})
    with pytest.raises(DataError, match=r"maps of kind 'contribution' must be there .* Got none\. Make it with maps"):
        prepared(tmp_path, weight=1.0)
    (tmp_path / "bare").mkdir()
    discs_in(tmp_path / "bare", with_truth, reference=None)
    with pytest.raises(DataError, match=r"/truth/reference: the design that maps are against must be in the file"):
        prepared(tmp_path / "bare", weight=1.0)


def test_maps_in_another_unit_than_the_target_s(folder):
    plain = prepared(folder, weight=1.0)
    words = ['data.units={umbrella="kHz"}', "training.map_supervision.weight=1.0"]
    other = prepare(load_experiment(folder / "discs.toml", overrides=words))
    torch.testing.assert_close(other.supervision.truth, plain.supervision.truth)


def test_ridges_of_a_spectrogram(folder, tmp_path):
    """Cells that touch the ridge may carry the prediction, all others count as outside."""
    rate, size, count = 1000.0, 256, 20
    time, hertz = np.arange(size) / rate, np.random.default_rng(0).uniform(60, 400, count)
    spec = DatasetSpec(
        name="tones", source="made for the tests", licence="MIT", created_with="tests", count=count,
        axes=(Axis.uniform("time", "s", size=size, step=1 / rate),), channels={"a": "m/s^2"},
        targets={"umbrella": "Hz", "mass": "kg"}, parameters={"tone": "Hz", "tone_decay": "s"},
    )  # fmt: skip
    records = [
        Record(
            id=f"t{number}", x=(np.exp(-time / 0.05) * np.sin(2 * np.pi * f * time))[None].astype(np.float32),
            targets={"umbrella": f, "mass": 1 + f / 500}, parameters={"tone": f, "tone_decay": 0.05},
            split={"default": ("train", "train", "validation", "test")[number % 4]},
        )
        for number, f in enumerate(hertz)
    ]  # fmt: skip
    write_dataset(tmp_path / "discs.h5", spec, records)
    front = '[model.spectrogram]\nlength = "32 ms"\nhop = "16 ms"\n\n[training]'
    (tmp_path / "discs.toml").write_text((folder / "discs.toml").read_text().replace("[training]", front))
    ready = prepared(tmp_path, ridges=["tone"], outside=1.0)
    inside = 1 - ready.supervision.outside.numpy()
    assert set(np.unique(inside)) == {0.0, 1.0}
    assert 0.02 < inside.mean() < 0.6
    rows = [np.flatnonzero(one.any(axis=1)).mean() for one in inside]
    assert np.corrcoef(rows, ready.train.data.parameter_array(["tone"])[:, 0])[0, 1] > 0.95
    with pytest.raises(ConfigError, match="what the net sees must be the file's own inputs"):
        prepared(tmp_path, weight=1.0)
    with pytest.raises(ConfigError, match="a mode must be one of tone"):
        prepared(tmp_path, ridges=["tome"], outside=1.0)
