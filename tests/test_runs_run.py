"""An opened run: predictions, maps against every reference, checkpoints in which no byte may change."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ram.axes import Axis
from ram.data.dataset import open_dataset
from ram.errors import ConfigError, DataError
from ram.runs.net import load_net
from ram.runs.predictions import Predictions
from ram.runs.run import open_run
from ram.training.train import train


@pytest.fixture
def run(disc_run):
    return open_run(disc_run)


@pytest.fixture
def test_part(run):
    return run.data().subset("test")


def tolerance(one) -> float:
    return 1e-5 * float(np.abs(one.contributions).sum(axis=(1, 2)).max())


def test_predictions_are_the_nets_own(run, test_part):
    predicted = run.predict(test_part)
    with torch.no_grad():
        expected = run.regressor(torch.from_numpy(test_part.x())).numpy()
    np.testing.assert_allclose(predicted.values, expected, rtol=1e-6)
    np.testing.assert_array_equal(predicted.measured, test_part.target_array(["umbrella", "mass"]))
    np.testing.assert_allclose(run.predictions("test").values, predicted.values, rtol=1e-6)
    assert list(run.predictions("test").ids) == list(test_part.ids)


@pytest.mark.parametrize("reference", ["train-mean", "train-mean-design", "baseline"])
def test_maps_add_up_against_every_reference(run, test_part, reference):
    maps = run.explain(test_part, reference=reference)
    for number, (name, one) in enumerate(maps.items()):
        assert (one.target, one.unit, one.reference) == (name, run.units[name], reference)
        np.testing.assert_allclose(one.prediction, run.predict(test_part).values[:, number], rtol=1e-6)
        assert np.abs(one.baseline + one.total - one.prediction).max() < tolerance(one)


def test_the_train_mean_is_the_mean_of_the_training_maps(run, test_part):
    train = run.explain(run.data().subset("train"), target="umbrella", reference="baseline")
    alone = run.explain(test_part, target="umbrella", reference="baseline")
    against = run.explain(test_part, target="umbrella")
    np.testing.assert_allclose(against.baseline, train.prediction.mean(), rtol=1e-7)
    np.testing.assert_allclose(
        against.contributions, alone.contributions - train.contributions.mean(axis=0), atol=tolerance(alone)
    )


def test_the_mean_design_is_predicted_as_the_net_predicts_the_mean_input(run, test_part):
    mean = run.data().subset("train").x().mean(axis=0, dtype=np.float64).astype(np.float32)
    with torch.no_grad():
        expected = run.regressor(torch.from_numpy(mean[None])).numpy()[0, 0]
    one = run.explain(test_part, target="umbrella", reference="train-mean-design")
    np.testing.assert_allclose(one.baseline, expected, rtol=1e-6)
    by_input = run.explain(test_part, target="umbrella", reference=mean)
    np.testing.assert_allclose(by_input.contributions, one.contributions, atol=tolerance(one))


def test_maps_of_reference_are_read_once_and_their_dictionary_is_the_callers(run, monkeypatch):
    fresh = open_run(run.path)
    first = fresh.reference_maps()
    first.clear()
    monkeypatch.setattr("ram.runs.run.load_maps", lambda *_, **__: pytest.fail("read again"))
    assert fresh.reference_maps().keys() == fresh.units.keys()


def test_a_sample_may_be_the_reference(run, test_part):
    one = run.explain(test_part[1:3], target="mass", reference=test_part[0])
    predicted = run.predict(test_part[:3]).values[:, 1]
    assert one.reference == test_part[0].id
    np.testing.assert_allclose(one.total, predicted[1:] - predicted[0], atol=tolerance(one))
    itself = run.explain(test_part[:1], target="mass", reference=test_part[0])
    assert np.abs(itself.contributions).max() < tolerance(one)


def test_stored_maps_are_those_of_explain(run):
    for name, stored in run.maps().items():
        shown = run.data()[np.isin(run.data().ids, stored.ids)]
        np.testing.assert_allclose(
            stored.contributions, run.explain(shown, target=name).contributions, atol=tolerance(stored)
        )


def test_a_file_without_targets_can_be_predicted(run, changed_discs):
    config = changed_discs(lambda record: replace(record, targets={}, truth={}), targets={}, truth={}, reference=None)
    data = open_dataset(config.parent / "discs.h5")
    predicted = run.predict(data)
    np.testing.assert_allclose(predicted.values, run.predict(run.data()).values)
    assert np.isnan(predicted.measured).all()
    ends = [f"{name}_{end}" for name in ("umbrella_Hz", "mass_kg") for end in ("", "lower", "upper")]
    assert list(predicted.rows()[0]) == ["id", *(name.removesuffix("_") for name in ends), "outside", "outside_p"]


def test_inputs_in_another_unit_are_converted(run, changed_discs):
    def in_metres(record):
        return replace(record, x=(record.x * np.array([1, 1e-3]).reshape(2, 1, 1)).astype(np.float32))

    config = changed_discs(in_metres, channels={"fill": "1", "thickness": "m"}, reference=None)
    data = open_dataset(config.parent / "discs.h5")
    np.testing.assert_allclose(run.predict(data).values, run.predict(run.data()).values, rtol=1e-5)
    one = run.explain(data[1:3], target="mass", reference=data[0])
    own = run.explain(run.data()[1:3], target="mass", reference=run.data()[0])
    np.testing.assert_allclose(one.contributions, own.contributions, atol=100 * tolerance(own))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"channels": {"fill": "1", "depth": "mm"}},
            r"the channels must be fill, thickness. Got fill, depth. Give a file",
        ),
        ({"channels": {"fill": "1", "thickness": "kg"}}, r"kg.*mm|mm.*kg"),
        (
            {"axes": tuple(Axis.uniform(n, "mm", size=16, step=5.0, start=-37.5) for n in "yx")},
            r"/y: the axis must be y from -75 mm in steps of 10. Got y from -37.5 mm in steps of 5. Resample",
        ),
    ],
)
def test_data_that_do_not_fit_the_net_are_named(run, changed_discs, spec, message):
    config = changed_discs(reference=None, **spec)
    with pytest.raises(DataError, match=message):
        run.predict(open_dataset(config.parent / "discs.h5"))


def test_unknown_targets_and_references_are_named(run, test_part):
    with pytest.raises(
        ConfigError, match=r"a target must be one of umbrella, mass. Got umbrela. Did you mean 'umbrella'\?"
    ):
        run.explain(test_part, target="umbrela")
    with pytest.raises(ConfigError, match=r"a reference must be train-mean, .*Got train-man. Did you"):
        run.explain(test_part, target="umbrella", reference="train-man")


def test_other_data_than_the_runs_are_refused(changed_discs, tmp_path):
    run = train(changed_discs(), output=tmp_path / "run", overrides=["training.epochs=1"])
    (tmp_path / "discs.h5").unlink()
    changed_discs(lambda record: replace(record, x=record.x + np.float32(1)))
    with pytest.raises(
        DataError, match=r"the data of this run must be those with digest [0-9a-f]{32}. Got [0-9a-f]{32}."
    ):
        open_run(run.path).data()


def test_a_folder_that_is_no_run_is_named(disc_run, tmp_path):
    with pytest.raises(
        DataError, match=r"a run must be a folder that 'ram train' made. Got no such folder. Did you mean 'run'\?"
    ):
        open_run(disc_run.with_name("rum"))
    with pytest.raises(DataError, match=r"Got a folder without checkpoint.safetensors and config.toml"):
        open_run(tmp_path)


def test_a_changed_byte_in_a_checkpoint_is_found(disc_run, tmp_path):
    original = (disc_run / "checkpoint.safetensors").read_bytes()
    net, _ = load_net(disc_run / "checkpoint.safetensors")
    expected = net.state_dict()
    damaged = tmp_path / "checkpoint.safetensors"
    found = 0
    for position in np.random.default_rng(0).choice(len(original), size=60, replace=False):
        content = bytearray(original)
        content[position] ^= 1 << int(position) % 8
        damaged.write_bytes(content)
        try:
            again, _ = load_net(damaged)
        except DataError:
            found += 1
        else:  # a byte that means nothing, such as white space in the header
            for name, value in again.state_dict().items():
                assert torch.equal(value, expected[name])
    assert found >= 57


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\xff" * 4096])
def test_what_is_no_checkpoint_is_named(tmp_path, content):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a checkpoint must be a readable ram-checkpoint/1 file"):
        load_net(path)


def test_predictions_survive_their_file(run, tmp_path):
    predictions = run.predictions("test")
    predictions.save(tmp_path / "p.h5")
    again = Predictions.load(tmp_path / "p.h5")
    assert list(again.ids) == list(predictions.ids)
    assert set(again.part_of) == {"test"}
    assert (again.target_names, again.units) == (predictions.target_names, predictions.units)
    np.testing.assert_array_equal(again.values, predictions.values)


def test_provenance_says_what_the_run_depends_on(run):
    said = run.provenance
    assert (said["data"]["name"], said["data"]["digest"]) == ("discs", run.data().digest)
    assert said["data"]["loading"].startswith("inputs: kept in memory")
    assert (
        said["versions"]["torch"] == torch.__version__.split("+")[0] or said["versions"]["torch"] == torch.__version__
    )
    assert (said["seed"], said["threads"], said["deterministic_algorithms"]) == (3, 1, True)
    assert not any("time" in key or "date" in key for key in said)


def test_a_run_is_opened_from_any_folder(run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert len(open_run(Path(run.path).resolve()).data()) == 30


def test_other_methods_are_held_against_the_mean_input(run, test_part):
    mean = run.data().subset("train").x().mean(axis=0)
    np.testing.assert_allclose(run.mean_input(), mean, rtol=1e-5)
    one = run.explain(test_part, target="umbrella", method="integrated-gradients", options={"steps": 64})
    assert (one.reference, one.grade, one.map_unit) == ("train-mean-design", "complete", "Hz")
    at_mean = run.regressor(torch.from_numpy(mean[None]))[0, 0].item()
    np.testing.assert_allclose(one.baseline, at_mean, rtol=1e-5)
    assert one.completeness().max() < 0.02
    grad = run.explain(test_part, target="umbrella", method="grad-ram")
    exact = run.explain(test_part, target="umbrella", reference="train-mean-design")
    np.testing.assert_allclose(grad.contributions, exact.contributions, atol=tolerance(exact))


def test_a_sensitivity_has_the_unit_of_its_channel(run, test_part):
    one = run.explain(test_part, target="umbrella", method="gradient", channel="thickness")
    assert one.map_unit == "Hz/mm"
    step = test_part.x()
    step[:, 1] += 1e-2
    slope = (run.regressor(torch.from_numpy(step)) - run.regressor(torch.from_numpy(test_part.x())))[:, 0] / 1e-2
    np.testing.assert_allclose(one.contributions.sum((1, 2)), slope.detach().numpy(), rtol=0.05, atol=0.02)


def test_regions_are_those_of_the_data(run, test_part):
    one = run.explain(test_part, target="umbrella", method="region-ablation")
    codes = test_part.regions_array()
    hub = codes[0] == 1
    shown = np.where(hub, run.mean_input(), test_part.x()[0])
    lost = run.predict(test_part).values[0, 0] - run.regressor(torch.from_numpy(shown[None]))[0, 0].item()
    assert one[0].within_mask(hub)[0] == pytest.approx(lost, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"method": "grad-ram", "reference": "train-mean"},
            "for method ram on its own cells only; train-mean-design",
        ),
        ({"method": "gradient", "channel": "thicknes"}, "a channel must be one of .* Did you mean 'thickness'"),
        ({"method": "rum"}, "method must be one of ram.* Did you mean 'ram'"),
        ({"method": "grad-cam", "reference": "train-mean-design"}, "reference must be left out"),
    ],
)
def test_what_a_method_cannot_do_is_named(run, test_part, given, message):
    with pytest.raises(ConfigError, match=message):
        run.explain(test_part, target="umbrella", **given)


def test_a_finer_map_of_a_run(run, test_part):
    fine = run.explain(test_part, target="umbrella", resolution=2)
    coarse = run.explain(test_part, target="umbrella", reference="train-mean-design")
    assert fine.reference == "train-mean-design"
    assert fine.contributions.shape[1] > coarse.contributions.shape[1]
    np.testing.assert_allclose(fine.total, coarse.total, rtol=1e-6, atol=tolerance(coarse))
