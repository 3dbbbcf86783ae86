"""Flatten and dense layers in place of GAP: trained, stored and explained like any net, but without an exact map."""

import re

import numpy as np
import pytest
import torch

from ram.errors import ConfigError, ModelError
from ram.maps.methods import METHODS
from ram.runs.config import load_experiment
from ram.runs.exporting import export_onnx
from ram.runs.run import open_run
from ram.training.train import train
from ram.views.map_sections import hero
from ram.views.story import tell

DENSE = ("model.head=dense", "model.dense=[12, 5]")
EXACT = [name for name, method in METHODS.items() if method.kind == "head"]


@pytest.fixture(scope="module")
def run(disc_folder):
    folder = disc_folder / "dense"
    return train(disc_folder / "discs.toml", output=folder, overrides=DENSE, progress=False)


def by_hand(regressor, x):
    """The dense layers in NumPy: flatten, W a + b, cut off below zero."""
    with torch.no_grad():
        hidden = regressor.features(torch.from_numpy(x)).flatten(1).double().numpy()
    for layer in (part for part in regressor.dense if isinstance(part, torch.nn.Linear)):
        hidden = np.maximum(hidden @ layer.weight.detach().double().numpy().T + layer.bias.detach().numpy(), 0.0)
    weight, bias = regressor.head.weight.detach().double().numpy(), regressor.head.bias.detach().double().numpy()
    return regressor.target_mean.numpy() + regressor.target_scale.numpy() * (hidden @ weight.T + bias)


def test_a_dense_head_is_flatten_linear_relu(run):
    data = run.data()
    assert [part.out_features for part in run.regressor.dense if isinstance(part, torch.nn.Linear)] == [12, 5]
    assert run.regressor.dense[1].in_features == 6 * 4 * 4
    np.testing.assert_allclose(run.predict(data).values, by_hand(run.regressor, data.x()), rtol=1e-6)


def test_its_layers_learn(disc_folder, run):
    before = train(
        disc_folder / "discs.toml", output=disc_folder / "dense-slow", progress=False,
        overrides=(*DENSE, "training.epochs=1", "training.learning_rate=1e-9"),
    ).regressor  # fmt: skip
    after = run.regressor
    for name in ("dense.1.weight", "dense.3.weight", "head.weight", "dense.1.bias"):
        assert not torch.equal(before.get_parameter(name), after.get_parameter(name))


def test_an_exact_map_is_refused_with_the_way_out(run):
    asked = r"the net must be one that ends in global average pooling. Got one with flatten and dense layers \(12, 5\)"
    for method in EXACT:
        with pytest.raises(
            ModelError, match=rf"^explain, method ram or cam: {asked}. Make such a net of it by ram.adapt"
        ):
            run.explain(run.data()[:2], method=method)
    with pytest.raises(ModelError, match=asked):
        pytest.importorskip("onnxscript")
        export_onnx(run, run.path.parent / "dense.onnx")


def test_what_it_stores_is_grad_ram_with_its_residual(run):
    assert run.method == "grad-ram"
    for name, one in run.maps().items():
        assert (one.grade, one.method, one.reference) == ("first-order", "grad-ram", "train-mean")
        shown = run.data()[np.isin(run.data().ids, one.ids)]
        again = run.explain(shown, target=name, method="grad-ram")
        np.testing.assert_allclose(again.contributions, one.contributions, rtol=1e-4, atol=1e-7)
        missing = one.prediction - one.baseline - one.total
        np.testing.assert_allclose(one.residual, missing, atol=1e-9)
        assert np.abs(one.residual).max() > 1e-3 * np.abs(one.prediction - one.baseline).max()
    train_part = run.data().subset("train")
    mean = run.explain(train_part, target="mass", method="grad-ram", reference="baseline").contributions.mean(axis=0)
    alone = run.explain(shown, target="mass", method="grad-ram", reference="baseline").contributions
    np.testing.assert_allclose(run.maps()["mass"].contributions, alone - mean, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", [name for name in METHODS if name not in EXACT])
def test_every_other_method_explains_it(run, method):
    options = {"steps": 4} if "steps" in METHODS[method].options else None
    if "samples" in METHODS[method].options:
        options = {"samples": 2}
    channel = "thickness" if METHODS[method].kind == "input" else None
    one = run.explain(run.data()[:2], target="mass", method=method, options=options, channel=channel)
    np.testing.assert_allclose(one.prediction, run.predict(run.data()[:2]).values[:, 1], rtol=1e-6)
    assert np.abs(one.contributions).max() > 0


def test_its_report_says_by_how_much_the_maps_miss(run):
    story = tell(open_run(run.path))
    text = hero(story)["words"]
    assert "These maps are grad-ram, first-order: the net ends in flatten and dense layers (12, 5)" in text
    data = run.data()
    shown = data[np.isin(data.ids, story.shown.maps.ids)]
    one = run.explain(shown, target="umbrella", method="grad-ram", reference=data.reference_design())
    said = re.search(r"miss the prediction by ([\d.]+)\sHz", text)
    np.testing.assert_allclose(float(said[1]), np.abs(one.residual).mean(), rtol=0.05)  # written with few digits


def test_features_are_not_averaged_over_symmetries_before_dense_layers(disc_folder):
    with pytest.raises(ConfigError, match=r"'model' must be head = 'gap' where symmetry_average is true"):
        load_experiment(disc_folder / "discs.toml", overrides=(*DENSE, "model.symmetry_average=true"))


def test_design_parameters_join_behind_the_dense_layers(measured):
    draw = np.random.default_rng(0)
    data = measured(parameters={"load": draw.normal(3.0, 2.0, size=40)})
    config = {
        "name": "signals",
        "data": {"file": str(data.path), "targets": ["frequency"], "parameters": ["load"]},
        "model": {"backbone": "plain", "widths": [4, 4], "head": "dense", "dense": [6]},
        "training": {"epochs": 1, "threads": 1},
    }
    run = train(config, output=data.path.parent / "run", progress=False)
    one = run.explain(data[:3], target="frequency", method="grad-ram", reference="baseline")
    net = run.regressor
    rows = (data[:3].parameter_array(["load"]) - net.parameter_mean.numpy()) / net.parameter_scale.numpy()
    expected = float(net.target_scale[0]) * rows[:, 0] * float(net.head.weight.detach()[0, -1])
    np.testing.assert_allclose(one.parameter_contributions[:, 0], expected, rtol=1e-5)
