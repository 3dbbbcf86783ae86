"""ram.adapt: trained convolutions under a new linear unit; good from the start, exact maps, a run that opens again."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import ram
from ram.errors import ConfigError, DataError, ModelError
from ram.maps.explain import explain_regressor
from ram.models.regressor import Regressor
from ram.models.trunk import Trunk
from ram.runs.net import load_net, save_net
from ram.runs.run import open_run
from ram.testing import check_regressor
from ram.training.adapting import adapt_run
from ram.training.least_squares import RIDGES, fit_linear
from ram.training.progress import TrainingProgress
from ram.training.starting import take_over
from ram.training.train import train
from ram.views.adapted import adapted as adapted_section
from ram.views.story import tell

TARGETS = ["umbrella", "mass"]
CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOLS = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}


def seeded(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return make()


def dense_net(ndim=2, *, channels=2, cells=16, outputs=2):
    """Somebody's net: convolutions, a pool, flatten, dense layers; in training mode as it was left."""
    return seeded(lambda: nn.Sequential(
        CONVOLUTIONS[ndim](channels, 6, 4, stride=2, padding=1), nn.ReLU(),
        CONVOLUTIONS[ndim](6, 8, 3, padding=1), nn.ReLU(), nn.Dropout(0.1),
        nn.Flatten(), nn.Linear(8 * (cells // 2) ** ndim, 9), nn.ReLU(), nn.Linear(9, outputs),
    ))  # fmt: skip


@pytest.fixture(scope="module")
def discs(disc_folder):
    return ram.open_dataset(disc_folder / "discs.h5")


@pytest.fixture(scope="module")
def adapted(discs):
    return ram.adapt(dense_net(), data=discs, targets=TARGETS, input_mean=[0.5, 20.0], input_scale=[0.5, 5.0])


@pytest.fixture(scope="module")
def fine_tuned(disc_folder, adapted):
    """The adapted net, trained on for two epochs."""
    return train(disc_folder / "discs.toml", output=disc_folder / "fine-tuned", net=adapted, progress=False)


def pooled(regressor, data):
    with torch.no_grad():
        features = regressor.features(torch.from_numpy(data.x()))
        return regressor.pooled(features, torch.from_numpy(data.parameter_array(list(regressor.parameter_names))))


def test_the_linear_unit_starts_where_numpys_least_squares_is(discs):
    net = ram.adapt(dense_net().double(), data=discs, targets=TARGETS, input_scale=[1.0, 20.0], ridge=0.0)
    part = discs.subset("train")
    wanted = net.standardised_targets(torch.from_numpy(part.target_array(TARGETS))).numpy()
    known = np.c_[pooled(net, part).double().numpy(), np.ones(len(part))]
    expected, *_ = np.linalg.lstsq(known, wanted, rcond=None)
    np.testing.assert_allclose(net.head.weight.detach().numpy().T, expected[:-1], rtol=1e-6)
    np.testing.assert_allclose(net.head.bias.detach().numpy(), expected[-1], rtol=1e-6)


def test_the_trunk_is_the_nets_bit_for_bit(discs, adapted):
    net = dense_net()
    for ours, theirs in (("0", net[0]), ("2", net[2])):
        kept = adapted.backbone.net.get_submodule(ours)
        assert torch.equal(kept.weight, theirs.weight)
        assert torch.equal(kept.bias, theirs.bias)
    x = torch.from_numpy(discs.x())
    with torch.no_grad():
        shown = (x - torch.tensor([0.5, 20.0]).view(1, 2, 1, 1)) / torch.tensor([0.5, 5.0]).view(1, 2, 1, 1)
        assert torch.equal(adapted.features(x), net[:4](shown))


def test_what_the_old_net_was_worth_is_measured_on_every_part(discs):
    net = dense_net()
    made = ram.adapt(net, data=discs, targets=TARGETS, target_mean=[500.0, 5.0], target_scale=[20.0, 2.0])
    found = made.adaptation
    with torch.no_grad():
        raw = net.eval()(torch.from_numpy(discs.x())).double().numpy()
    predicted = np.array([500.0, 5.0]) + np.array([20.0, 2.0]) * raw
    measured = discs.target_array(TARGETS)
    for part in ("train", "validation", "test"):
        rows = discs.split_array("default") == part
        for number, name in enumerate(TARGETS):
            expected = np.abs(predicted - measured)[rows, number].mean()
            np.testing.assert_allclose(found.before[part][name]["mae"], expected, rtol=1e-5)
    with torch.no_grad():
        start = made(torch.from_numpy(discs.x())).numpy()
    expected = np.abs(start - measured)[discs.split_array("default") == "test", 1].mean()
    np.testing.assert_allclose(found.start["test"]["mass"]["mae"], expected, rtol=1e-5)
    assert found.start["train"]["mass"]["r2"] > 0.9  # least squares on features that were never trained do that
    assert found.parameters == {
        "before": sum(w.numel() for w in net.parameters()), "after": sum(w.numel() for w in made.parameters())
    }  # fmt: skip
    assert (found.kept, found.layer, found.source) == (False, "3", "Sequential")
    assert set(found.seconds) == {f"{kind}_{when}" for kind in ("prediction", "step") for when in ("before", "after")}
    assert min(found.seconds.values()) > 0


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("outputs", [1, 3])
def test_the_laws_hold_on_an_adapted_net(measured, ndim, outputs):
    draw = np.random.default_rng(ndim)
    x = draw.normal(size=(40, 2, *(8,) * ndim)).astype(np.float32)
    names = {f"t{k}": x.reshape(40, -1)[:, k] + 3.0 * k for k in range(outputs)}
    data = measured(x, targets={name: values.astype(np.float64) for name, values in names.items()})
    net = ram.adapt(dense_net(ndim, cells=8, outputs=outputs).double(), data=data, targets=list(names))
    checks = check_regressor(net, torch.from_numpy(x[:3]).double(), output=outputs - 1)
    assert {check.law for check in checks} >= {"baseline + contributions + residual = prediction"}
    maps = explain_regressor(net, torch.from_numpy(x[:5]).double())
    for one in maps.values():
        assert one.grade == "exact"
        size = np.abs(one.contributions).reshape(5, -1).sum(axis=1)
        assert (np.abs(one.baseline + one.total - one.prediction) < 1e-12 * np.maximum(size, 1.0)).all()
        assert all(axis.size == 4 for axis in one.axes)


def test_a_net_with_gap_and_a_linear_unit_is_kept_exactly(discs):
    net = seeded(lambda: nn.Sequential(nn.Conv2d(2, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                                       nn.Dropout(), nn.Linear(5, 2)))  # fmt: skip
    made = ram.adapt(net, data=discs, targets=TARGETS, target_mean=[500.0, 5.0], target_scale=[20.0, 2.0])
    assert made.adaptation.kept
    assert made.adaptation.ridge is None
    assert torch.equal(made.head.weight, net[-1].weight)
    assert torch.equal(made.head.bias, net[-1].bias)
    assert made.target_mean.tolist() == [500.0, 5.0]
    assert made.adaptation.before["test"]["mass"]["mae"] == pytest.approx(made.adaptation.start["test"]["mass"]["mae"])
    own = ram.explain(net, discs.x()[:3], output=1, target_mean=5.0, target_scale=2.0)
    maps = explain_regressor(made, discs.x()[:3])["mass"]
    np.testing.assert_allclose(maps.contributions, own.contributions, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(maps.baseline, own.baseline, rtol=1e-12)


class TwoHeads(nn.Module):
    """Answers with a dictionary."""

    def __init__(self, *, as_tuple=False, second="umbrella"):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 4, stride=2, padding=1)
        self.first, self.second = nn.Linear(256, 1), nn.Linear(256, 1)
        self.as_tuple, self.name = as_tuple, second

    def forward(self, x):
        y = torch.relu(self.conv(x)).flatten(1)
        first, second = self.first(y)[:, 0], self.second(y)
        return (second[:, 0], first) if self.as_tuple else {"mass": first, self.name: second, "more": second}


def test_answers_may_be_dictionaries_and_tuples(discs):
    by_name = ram.adapt(seeded(TwoHeads), data=discs, targets=TARGETS).adaptation
    in_order = ram.adapt(seeded(lambda: TwoHeads(as_tuple=True)), data=discs, targets=TARGETS).adaptation
    assert by_name.before["test"]["mass"]["mae"] == pytest.approx(in_order.before["test"]["mass"]["mae"])
    assert by_name.before["test"]["mass"]["mae"] != pytest.approx(by_name.before["test"]["umbrella"]["mae"])
    with pytest.raises(
        ModelError, match=r"one column for each of umbrella, mass. Got a dictionary of mass, other, more"
    ):
        ram.adapt(seeded(lambda: TwoHeads(second="other")), data=discs, targets=TARGETS)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"targets": "mass"}, ModelError, r"one column for each of mass. Got shape \(\d+, 2\)"),
        ({"targets": ["mass", "umbrela"]}, DataError, r"umbrela"),
        ({"input_mean": [1.0]}, ConfigError, r"ram.adapt: input_mean must be 2 numbers. Got \[1.0\]"),
        (
            {"input_scale": [1.0, 0.0]},
            ConfigError,
            r"input_scale must be 2 numbers, none of them zero. Got \[1.0, 0.0\]",
        ),
        ({"target_scale": [1.0]}, ConfigError, r"target_scale must be 2 numbers, none of them zero. Got \[1.0\]"),
        (
            {"units": {"umbrella": "kg"}},
            ConfigError,
            r"data.units.umbrella .* convertible from the file's 'Hz'. Got 'kg'",
        ),
    ],
)
def test_what_does_not_fit_is_named(discs, changes, error, message):
    with pytest.raises(error, match=message):
        ram.adapt(dense_net(), **({"data": discs, "targets": TARGETS} | changes))


def test_the_net_is_left_alone(discs):
    net = dense_net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    made = ram.adapt(net, data=discs, targets=TARGETS)
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())
    assert net.training
    assert all(weight.grad is None for weight in net.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        made.backbone.net.get_parameter("0.weight").zero_()
    assert torch.equal(net[0].weight, before["0.weight"])


def test_a_unit_and_a_logarithm_of_the_users_own(discs):
    made = ram.adapt(dense_net(outputs=1), data=discs, targets="umbrella", units={"umbrella": "kHz"},
                     log_targets=["umbrella"], target_mean=-0.7)  # fmt: skip
    assert (made.target_units, made.target_log) == (("kHz",), (True,))
    known = np.log(discs.subset("train").target_array(["umbrella"]) / 1000)
    np.testing.assert_allclose(float(made.target_mean[0]), known.mean(), rtol=1e-9)
    with torch.no_grad():
        shown = torch.from_numpy(discs.subset("test").x())
        expected = np.exp(-0.7 + dense_net(outputs=1).eval()(shown)[:, 0].double().numpy())
    # exp(-0.7 + output), not the output itself
    wanted = np.abs(expected - discs.subset("test").target_array(["umbrella"])[:, 0] / 1000).mean()
    np.testing.assert_allclose(made.adaptation.before["test"]["umbrella"]["mae"], wanted, rtol=1e-4)


def test_half_precision_becomes_single_precision(discs):
    net = dense_net().to(torch.bfloat16)
    made = ram.adapt(net, data=discs, targets=TARGETS)
    kept = made.backbone.net.get_parameter("0.weight")
    assert kept.dtype == torch.float32
    assert torch.equal(kept, net[0].weight.float())


def test_a_compiled_or_parallel_net_is_unwrapped(discs, adapted):
    wrapped = nn.DataParallel(dense_net())
    made = ram.adapt(wrapped, data=discs, targets=TARGETS, input_mean=[0.5, 20.0], input_scale=[0.5, 5.0])
    assert torch.equal(made.head.weight, adapted.head.weight)


# ---- trained on by ram.train


def test_training_starts_from_the_adapted_net_and_keeps_the_start(fine_tuned, adapted):
    start, spec = load_net(fine_tuned.path / "start.safetensors")
    for name, value in adapted.state_dict().items():
        assert torch.equal(start.state_dict()[name], value)
    assert spec.model.backbone == fine_tuned.config.model.backbone == "given"
    moved = fine_tuned.regressor.backbone.net.get_parameter("0.weight")
    assert not torch.equal(moved, adapted.backbone.net.get_parameter("0.weight"))
    assert fine_tuned.adaptation == json.loads(json.dumps(adapted.adaptation.as_dict()))
    assert {"step_before_s", "step_after_s", "prediction_before_s", "training_s"} <= set(fine_tuned.times)


def test_a_run_opened_in_a_new_process_gives_the_same_maps(fine_tuned, tmp_path):
    code = (
        "import sys, numpy as np, ram\n"
        "run = ram.open_run(sys.argv[1])\n"
        "one = run.explain(run.data().subset('test'), target='mass')\n"
        "np.save(sys.argv[2], np.concatenate([one.contributions.ravel(), one.prediction, one.baseline]))\n"
    )
    subprocess.run([sys.executable, "-c", code, fine_tuned.path, tmp_path / "maps.npy"], check=True, timeout=120)
    one = fine_tuned.explain(fine_tuned.data().subset("test"), target="mass")
    expected = np.concatenate([one.contributions.ravel(), one.prediction, one.baseline])
    np.testing.assert_array_equal(np.load(tmp_path / "maps.npy"), expected)
    assert one.grade == "exact"


def test_layers_of_the_net_keep_their_names_for_other_methods(fine_tuned):
    one = fine_tuned.explain(
        fine_tuned.data()[:2], target="mass", method="hirescam", layer="backbone.net.2", reference="baseline"
    )
    assert one.contributions.shape == (2, 8, 8)


def test_a_report_says_nothing_of_what_was_not(disc_run):
    assert adapted_section(tell(open_run(disc_run))) is None


def test_its_report_says_what_pooling_cost(fine_tuned):
    section = adapted_section(tell(open_run(fine_tuned.path)))
    assert "another one (Sequential, cut behind 3)" in section["words"]
    before, after = fine_tuned.adaptation["before"]["test"]["mass"], fine_tuned.metrics["test"]["mass"]
    errors, sizes = (table["rows"] for table in section["tables"])
    assert errors[1][0] == "mass"
    assert errors[1][4] == f"{100 * (after['mae'] / before['mae'] - 1):+.3g} %".replace("-", "−")
    assert sizes[0][1:3] == [f"{fine_tuned.adaptation['parameters'][when]:,}" for when in ("before", "after")]
    assert [row[0] for row in sizes[1:]] == [
        "prediction, a sample (processor)",
        "step of training, a sample (processor)",
    ]


def test_a_checkpoint_whose_backbone_is_changed_is_refused(fine_tuned, tmp_path):
    regressor, spec = load_net(fine_tuned.path / "checkpoint.safetensors")
    steps = [{"name": "a", "do": "function", "of": "os.system", "given": ["true"], "options": {}}]
    for changed in ({"steps": steps}, {"layers": {"0": ["Module", {}]}}, {"layers": 3}, {"features": 99}):
        path = tmp_path / "hostile.safetensors"
        save_net(path, regressor, replace(spec, trunk=dict(spec.trunk) | changed), epoch=1)
        with pytest.raises(
            DataError, match=r"the backbone of a checkpoint must be made of layers known to ram|weights"
        ):
            load_net(path)


def test_a_given_backbone_needs_a_net(disc_folder):
    with pytest.raises(ConfigError, match=r"model.backbone: a backbone that is given must be handed over with the con"):
        train(disc_folder / "discs.toml", overrides=["model.backbone=given"], progress=False)


def test_a_net_trained_before_may_start_a_training(disc_run, disc_folder, tmp_path):
    before = open_run(disc_run)
    settings = ["training.epochs=1", "training.learning_rate=1e-12"]
    run = train(disc_folder / "discs.toml", net=before.regressor, output=tmp_path / "on", overrides=settings,
                progress=False)  # fmt: skip
    np.testing.assert_allclose(run.predictions().values, before.predictions().values, rtol=1e-6)
    assert run.adaptation == {}


def test_a_net_in_another_scale_is_the_same_function(disc_run):
    net, spec = load_net(disc_run / "checkpoint.safetensors")
    targets = tuple(replace(t, mean=t.mean + 3.0, scale=2.5 * t.scale) for t in spec.targets)
    other = replace(spec, targets=targets).build()
    take_over(other.eval(), net)
    x = torch.from_numpy(open_run(disc_run).data().x())
    with torch.no_grad():
        torch.testing.assert_close(other(x), net(x), rtol=1e-6, atol=1e-5)
    assert other.target_scale.tolist() == [t.scale for t in targets]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ['data.targets=["mass"]'],
            r"the targets must be as the config and its data have them: mass \(kg\). Got umbrel",
        ),
        (
            ["model.widths=[4, 8]"],
            r"the weights must be as the config and its data have them: .*8x4x4x4, .* Got .*6x4x4x4",
        ),
    ],
)
def test_a_net_that_the_config_does_not_describe_is_refused(disc_run, disc_folder, overrides, message):
    with pytest.raises(ModelError, match=message):
        train(disc_folder / "discs.toml", net=open_run(disc_run).regressor, overrides=overrides, progress=False)


@pytest.mark.parametrize("broken_at", [1, 2])
def test_a_stopped_training_of_an_adapted_net_goes_on_to_the_same_bytes(
    fine_tuned, adapted, tmp_path, monkeypatch, broken_at
):
    shown = TrainingProgress.on_epoch

    def fail(self, epoch):
        shown(self, epoch)
        if epoch.epoch == broken_at:
            raise RuntimeError("power is out")

    folder = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(TrainingProgress, "on_epoch", fail)
        with pytest.raises(RuntimeError, match="power is out"):
            train(fine_tuned.path.parent / "discs.toml", output=folder, net=adapted, progress=False)
    run = train(folder, resume=True, progress=False)
    for name in ("checkpoint.safetensors", "start.safetensors", "adaptation.json", "history.jsonl", "maps.h5"):
        assert (run.path / name).read_bytes() == (fine_tuned.path / name).read_bytes()
    assert run.provenance["start_sha256"] == fine_tuned.provenance["start_sha256"]
    assert {"step_before_s", "training_s", "evaluation_s"} <= set(run.times)


# ---- our own nets with a dense head


@pytest.fixture(scope="module")
def dense_run(disc_folder):
    folder = disc_folder / "to-adapt"
    changes = ("model.head=dense", "model.dense=[8]", "training.epochs=6")
    return train(disc_folder / "discs.toml", output=folder, overrides=changes, progress=False)


def test_a_run_is_adapted_and_trained_on(dense_run, tmp_path):
    new = adapt_run(dense_run, output=tmp_path / "gap", progress=False)
    assert (new.config.name, new.config.model.head, new.config.training.epochs) == ("discs-adapted", "gap", 6)
    assert new.config.training == dense_run.config.training
    start, _ = load_net(new.path / "start.safetensors")
    for name, value in dense_run.regressor.backbone.state_dict().items():
        assert torch.equal(start.backbone.state_dict()[name], value)
    for name, figures in dense_run.metrics["test"].items():
        assert new.adaptation["before"]["test"][name]["mae"] == pytest.approx(figures["mae"], rel=1e-6)
    assert new.explain(new.data()[:1], target="mass").grade == "exact"
    with pytest.raises(
        ConfigError, match=r"the net must be one with a dense head. Got one with global average pooling"
    ):
        adapt_run(new, output=tmp_path / "again")


def test_the_shell_adapts_a_run_and_says_what_it_cost(dense_run, tmp_path, shell):
    code, out, _ = shell("adapt", dense_run.path, "--output", tmp_path / "gap", "--set", "training.epochs=1")
    assert code == 0
    assert "mean absolute error on the test part" in out
    assert f"run: {tmp_path / 'gap'}" in out
    new = open_run(tmp_path / "gap")
    assert new.config.training.epochs == 1
    counts = new.adaptation["parameters"]
    assert f"parameters: {counts['before']:,} before, {counts['after']:,} after" in out
    code, out, _ = shell("adapt", dense_run.path, "--output", tmp_path / "gap2", "--set", "training.epochs=1", "--json")
    assert code == 0
    assert json.loads(out)["adaptation"]["parameters"] == counts
    code, _, err = shell("adapt", new.path)
    assert code == 2
    assert "must be one with a dense head" in err


def test_a_regressor_with_gap_is_copied(disc_run, discs):
    net = open_run(disc_run).regressor
    made = ram.adapt(net, data=discs, targets=TARGETS)
    assert isinstance(made, Regressor)
    assert not isinstance(made.backbone, Trunk)
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in made.state_dict().items())
    with pytest.raises(ConfigError, match=r"targets must be those of the regressor: umbrella, mass. Got mass"):
        ram.adapt(net, data=discs, targets="mass")


def test_the_same_adaptation_gives_the_same_bytes(dense_run, tmp_path):
    runs = [adapt_run(dense_run, output=tmp_path / name, progress=False) for name in ("a", "b")]
    for name in ("checkpoint.safetensors", "start.safetensors", "adaptation.json", "metrics.json", "maps.h5"):
        assert (runs[0].path / name).read_bytes() == (runs[1].path / name).read_bytes()


# ---- least squares


def known_features(samples=50, features=6, targets=2):
    draw = np.random.default_rng(3)
    x = draw.normal(size=(samples, features)) * np.geomspace(1e-2, 1e3, features) + 5.0
    return x, x @ draw.normal(size=(features, targets)) + draw.normal(size=(samples, targets))


def test_without_a_ridge_it_is_numpys_least_squares():
    x, y = known_features()
    expected, *_ = np.linalg.lstsq(np.c_[x, np.ones(len(x))], y, rcond=None)
    fit = fit_linear(x, y, ridge=0.0)
    np.testing.assert_allclose(fit.weight.T, expected[:-1], rtol=1e-8)
    np.testing.assert_allclose(fit.bias, expected[-1], rtol=1e-8)


def test_with_a_ridge_it_is_the_normal_equation():
    x, y = known_features()
    ridge, centred, spread = 0.3, x - x.mean(axis=0), x.std(axis=0)
    gram = centred.T @ centred / len(x) + ridge * np.diag(spread**2)
    expected = np.linalg.solve(gram, centred.T @ (y - y.mean(axis=0)) / len(x))
    fit = fit_linear(x, y, ridge=ridge)
    np.testing.assert_allclose(fit.weight.T, expected, rtol=1e-8)
    np.testing.assert_allclose(fit(x).mean(axis=0), y.mean(axis=0), rtol=1e-10)


def test_weights_count_samples_and_missing_targets_do_not_count():
    x, y = known_features()
    repeats = np.random.default_rng(0).integers(1, 4, size=len(x))
    several = fit_linear(np.repeat(x, repeats, axis=0), np.repeat(y, repeats, axis=0), ridge=0.1)
    weighted = fit_linear(x, y, ridge=0.1, weights=repeats.astype(float))
    np.testing.assert_allclose(weighted.weight, several.weight, rtol=1e-8)
    gaps = y.copy()
    gaps[::3, 1] = np.nan
    with_gaps = fit_linear(x, gaps, ridge=0.1)
    np.testing.assert_allclose(with_gaps.weight[0], fit_linear(x, y, ridge=0.1).weight[0], rtol=1e-10)
    measured = np.isfinite(gaps[:, 1])
    np.testing.assert_allclose(
        with_gaps.weight[1], fit_linear(x[measured], y[measured], ridge=0.1).weight[1], rtol=1e-10
    )


def test_features_that_say_nothing_get_no_weight():
    x, y = known_features()
    idle = np.c_[x, np.zeros(len(x)), np.full(len(x), 7.0)]
    fit = fit_linear(idle, y, ridge=0.0)
    assert (fit.weight[:, -2:] == 0).all()
    np.testing.assert_allclose(fit.weight[:, :-2], fit_linear(x, y, ridge=0.0).weight, rtol=1e-8)


def test_the_ridge_is_the_one_that_other_samples_like_best():
    draw = np.random.default_rng(1)
    x = draw.normal(size=(12, 10))  # hardly more samples than features: least squares alone overfits
    wanted = x[:, :1] + 0.5 * draw.normal(size=(12, 1))
    other = draw.normal(size=(200, 10))
    judged = other, other[:, :1]
    chosen = fit_linear(x, wanted, judged=judged)
    errors = [((fit_linear(x, wanted, ridge=one)(other) - judged[1]) ** 2).mean() for one in RIDGES]
    assert chosen.ridge == RIDGES[int(np.argmin(errors))]
    assert chosen.ridge > RIDGES[0]
