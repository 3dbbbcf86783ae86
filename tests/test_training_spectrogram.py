"""Nets that begin with a spectrogram: trained, kept, opened again, and explained over frequency, time and signal."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ram.axes import Axis
from ram.data.dataset import open_dataset
from ram.data.layout import write_dataset
from ram.data.spec import Record
from ram.errors import ConfigError, DataError, ModelError
from ram.maps.explain import explain, explain_regressor
from ram.models.backbones import build_backbone
from ram.models.geometry import trace_cells
from ram.models.regressor import Regressor, TargetScaling
from ram.models.spectrogram import Spectrogram
from ram.randomness import generator
from ram.runs.config import load_experiment
from ram.runs.run import open_run
from ram.runs.search import with_values
from ram.testing import check_regressor
from ram.training.train import train

RATE, SAMPLES = 16_000.0, 512


@pytest.fixture
def run(burst_run):
    return open_run(burst_run)


def small_net(*, rate=RATE, length=64, hop=16, scale="dB", seed=3, symmetries=(), **words):
    """A net of one channel with drawn weights, and levels standardised somehow."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = build_backbone("plain", ndim=2, channels=1, widths=(3, 4), depth=1)
        front = Spectrogram(1, sample_rate_hz=rate, length=length, hop=hop, scale=scale, divisor=4, **words)
        front.mean.fill_(-30.0)
        front.deviation.fill_(20.0)
        return Regressor(
            backbone, targets=[TargetScaling("depth", "mm", 12.0, 3.0)], input_mean=[0.1], input_scale=[0.7],
            front=front, symmetries=symmetries,
        ).eval()  # fmt: skip


def signals(count=3, samples=SAMPLES, seed=1):
    return np.random.default_rng(seed).standard_normal((count, 1, samples)).astype(np.float32)


def test_baseline_and_cells_are_the_prediction_over_frequency_and_time(run):
    test = run.data().subset("test")
    predicted = run.predict(test).values[:, 0]
    scale = run.spec.targets[0].scale
    for reference in ("baseline", "train-mean", "train-mean-design"):
        maps = run.explain(test, target="frequency", reference=reference)
        assert [axis.name for axis in maps.axes] == ["frequency", "time"]
        size = np.maximum(scale, np.abs(maps.contributions).sum(axis=(1, 2)))
        assert (np.abs(maps.residual) <= 1e-5 * size).all()
        np.testing.assert_allclose(maps.prediction, predicted, rtol=1e-6)
        early, late = maps.within(time=(-1.0, 0.011), frequency=(0.0, 8000.0)), maps.within(time=(0.011, 0.04))
        np.testing.assert_allclose(early + late, maps.total, rtol=1e-9, atol=1e-9)


def test_the_runs_axes_are_those_of_its_spectrogram(run):
    frequency, time = run.axes_of()
    front = run.regressor.front
    assert (front.length, front.hop, front.divisor) == (64, 16, 4)
    np.testing.assert_allclose(frequency.centres, 500.0 + 250.0 * np.arange(24))
    assert frequency.edges[-1] == pytest.approx(6375.0)  # the divisor asks for one bin more than 6 kHz
    np.testing.assert_allclose(time.edges, (np.arange(33) * 16 - 0.5) / RATE)
    maps = run.explain(run.data().subset("test")[:1], target="frequency")
    assert [a.same_grid(b) for a, b in zip(maps.input_axes, (frequency, time), strict=True)] == [True, True]
    cells = trace_cells(run.regressor.behind.features, torch.zeros(1, 2, 24, 32))
    seen = [one.receptive_field for one in cells]
    assert seen == [23, 26]
    window = 64 / RATE
    assert maps.receptive_field == pytest.approx((6000.0, 25 * 16 / RATE + window))  # Hz: the main lobe, to the ends
    assert run.channels_of() == {"acc_1": "dB", "acc_2": "dB"}


def test_levels_are_standardised_by_the_training_part(run):
    train_part = run.part("train")
    found = run.explained_inputs(train_part).astype(np.float64)
    assert found.shape == (24, 2, 24, 32)
    front = run.regressor.front
    np.testing.assert_allclose(front.mean.numpy(), found.mean(axis=(0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(front.deviation.numpy(), found.std(axis=(0, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize("of", [None, "signal"])
def test_the_mean_design_is_the_mean_of_what_is_explained(run, of):
    mean = torch.from_numpy(run.explained_inputs(run.part("train"), of).mean(axis=0, keepdims=True))
    net = run.regressor if of == "signal" else run.regressor.behind
    with torch.no_grad():
        expected = float(net(mean))
    maps = run.explain(run.data().subset("test")[:2], target="frequency", method="gradient-x-input", of=of)
    assert maps.reference == "train-mean-design"
    np.testing.assert_allclose(maps.baseline, expected, rtol=1e-6)


def test_a_run_opens_again_as_it_was(run, burst_data, tmp_path, bursts):
    again = train(bursts.experiment, data=burst_data, output=tmp_path / "again", progress=False)
    for name in ("checkpoint.safetensors", "predictions.h5", "maps.h5", "references.h5"):
        assert (again.path / name).read_bytes() == (run.path / name).read_bytes(), name
    assert again.config.model == run.config.model == run.spec.model
    assert (again.config.model.spectrogram.length, again.config.model.spectrogram.high) == ("4 ms", "6 kHz")


def test_a_config_without_a_spectrogram_says_nothing_of_one(bursts):
    words = {**bursts.experiment, "model": {"backbone": "plain"}}
    assert "spectrogram" not in load_experiment(words).model_dump(mode="json")["model"]


def test_the_net_behind_its_front_is_the_same_net():
    net, x = small_net(), torch.from_numpy(signals())
    with torch.no_grad():
        behind = net.behind
        assert torch.equal(behind(net.levels(x)), net(x))
        net.double()
        assert net.behind is behind  # what is known of it is kept
        assert torch.equal(net.behind(net.levels(x.double())), net(x.double()))
    assert behind.front is None
    assert behind.backbone is net.backbone
    assert [name for name in net.state_dict() if name.startswith("_behind")] == []


def test_the_laws_of_the_map_hold_behind_the_front():
    net, x = small_net().double(), torch.from_numpy(signals(4)).double()
    check_regressor(net.behind, net.levels(x).detach())
    check_regressor(net, x)


@pytest.mark.parametrize("of", ["spectrogram", "signal"])
def test_integrated_gradients_are_complete_on_both_sides(of):
    net = small_net(scale="amplitude").double()
    maps = explain(net, signals(2), method="integrated-gradients", of=of, options={"steps": 400}, target_scale=1.0)
    assert (maps.axes[-1].name, maps.axes[-1].unit) == ("time", "s")
    assert maps.axes[-1].edges[0] == -0.5 / RATE
    assert maps.contributions.shape[1:] == ((512,) if of == "signal" else (32, 32))
    assert (maps.completeness() < 0.02).all()
    np.testing.assert_allclose(maps.prediction, net(torch.from_numpy(signals(2)).double()).detach()[:, 0])


def test_a_gradient_of_the_signal_is_autograds():
    net = small_net().double()
    x = torch.from_numpy(signals(2)).double().requires_grad_()
    (slope,) = torch.autograd.grad(net(x).sum(), x)
    maps = explain(net, x.detach().numpy(), method="gradient", of="signal", unit="mm", channel_unit="V")
    np.testing.assert_allclose(maps.contributions, slope[:, 0].numpy(), rtol=1e-9)
    assert maps.map_unit == "mm/V"


@pytest.mark.parametrize("rate", [2000.0, 44_100.0, 1e6])
def test_a_bursts_map_peaks_at_its_hertz_and_second_within_one_cell(rate, bursts):
    """Whatever lies in a cell counts for it: the loudest cell is the burst's."""
    net = small_net(rate=rate, length=64, hop=16)
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(weight.abs())
    tone, when = 0.3 * rate, 300.0 / rate
    x = bursts.burst(tone, when, rate=rate)[None, None].astype(np.float32)
    time = Axis.uniform("time", "s", size=SAMPLES, step=1 / rate)
    maps = explain(net, x, axes=[time], target="depth")
    cell = np.unravel_index(maps.contributions[0].argmax(), maps.contributions[0].shape)
    for axis, place, value in zip(maps.axes, cell, (tone, when), strict=True):
        width = axis.edges[place + 1] - axis.edges[place]
        assert axis.edges[place] - 0.5 * width <= value <= axis.edges[place + 1] + 0.5 * width


def test_references_and_regions_may_lie_over_the_signal():
    net, x = small_net(), signals(3)
    time = Axis.uniform("time", "ms", size=SAMPLES, step=1e3 / RATE)
    by_signal = explain(net, x, axes=[time], reference=x[0])
    levels = net.levels(torch.from_numpy(x[:1]))[0].detach().numpy()
    by_levels = explain(net, x, axes=[time], reference=levels)
    np.testing.assert_allclose(by_signal.contributions, by_levels.contributions, atol=1e-9)
    np.testing.assert_allclose(by_signal.contributions[0], 0.0, atol=1e-9)
    codes = (np.arange(SAMPLES) >= 256).astype(np.int64)
    maps = explain(net, x, axes=[time], method="region-ablation", regions=codes)
    halves = maps.contributions.reshape(3, 32, 2, 16)
    assert np.ptp(halves, axis=(1, 3)).max() < 1e-12  # each half of the time is one region
    assert np.abs(np.diff(halves[:, 0, :, 0], axis=1)).min() > 0


def test_of_is_refused_where_it_means_nothing():
    plain = Regressor(
        build_backbone("plain", ndim=1, channels=1, widths=(3,), depth=1), targets=[TargetScaling("depth", "mm")],
        input_mean=[0.0], input_scale=[1.0],
    )  # fmt: skip
    with pytest.raises(
        ConfigError, match=r"of must be left out, for the net begins with no spectrogram\. Got 'signal'"
    ):
        explain(plain, signals(), of="signal")
    with pytest.raises(ConfigError, match=r"of must be one of spectrogram, signal\. Got 'signl'\. Did you mean"):
        explain(small_net(), signals(), of="signl")
    for method in ("ram", "grad-cam", "deeplift", "guided-grad-cam"):
        with pytest.raises(ConfigError, match="method must be one of the input that asks by gradients"):
            explain(small_net(), signals(), of="signal", method=method)


def test_signals_of_another_rate_are_refused(run, burst_data, tmp_path, bursts):
    for rate in (8000.0, 16_010.0):
        axes = (Axis.uniform("time", "s", size=SAMPLES, step=1 / rate),)
        write_dataset(tmp_path / f"{rate:g}.h5", bursts.spec(axes=axes), bursts.records())
        data = open_dataset(tmp_path / f"{rate:g}.h5")
        for ask in (run.predict, run.explain):
            with pytest.raises(DataError, match=rf"the axis must be time .* \(16000 Hz\)\. Got .* \({rate:g} Hz\)"):
                ask(data)
    for words in ({}, {"of": "signal", "method": "gradient"}):
        with pytest.raises(DataError, match=r"the sample rate must be 16000 Hz, the net's\. Got 8000 Hz"):
            explain(small_net(), signals(), axes=[Axis.uniform("time", "s", size=SAMPLES, step=1 / 8000.0)], **words)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"length": 4.0}, r"'model\.spectrogram\.length' must be a number with its unit, such as '4 ms'\. Got 4\.0"),
        ({"length": "4 mm"}, r"a number with its unit, such as '4 ms'\. Got '4 mm'\. Length of the window"),
        ({"hop": "0 ms"}, r"the hop must be 1 to 64 samples at 16000 Hz, the window's length\. Got 0"),
        ({"hop": "5 ms"}, "Got 80. Windows farther apart"),
        ({"high": "9 kHz"}, "the highest frequency must be at most 8000 Hz, half the sample rate. Got 9000 Hz"),
        ({"bands": "mel"}, r"count: the number of bands must be 1 or more, given for mel\. Got 0\. Such as count = 64"),
        ({"windw": "hann"}, r"Got 'model\.spectrogram\.windw'\. Did you mean 'window'\?"),
        ({"window": "han"}, r"Got 'han'\. Did you mean 'hann'\?"),
        ({"length": "40 ms"}, r"at least 640, the window's \(0\.04 s at 16000 Hz\)\. Got 512 \(0\.032 s\)"),
    ],
)
def test_a_section_that_does_not_fit_is_refused_before_anything_is_written(
    burst_data, tmp_path, section, message, bursts
):
    model = {**bursts.experiment["model"], "spectrogram": {**bursts.experiment["model"]["spectrogram"], **section}}
    with pytest.raises((ConfigError, ModelError), match=message):
        train({**bursts.experiment, "model": model}, data=burst_data, output=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_signals_of_different_length_are_answered_and_levelled_as_each_is_alone(bursts, tmp_path):
    lengths = [(512, 400, 203)[row % 3] for row in range(40)]
    inside = [np.arange(SAMPLES) < own for own in lengths]
    rows = (
        replace(one, length=own, x=np.where(here, one.x + 5.0, 0.0).astype(np.float32))
        for one, own, here in zip(bursts.records(), lengths, inside, strict=True)
    )  # an offset: what is padding would show
    write_dataset(tmp_path / "bursts.h5", bursts.spec(lengths=True), rows)
    run = train(bursts.experiment, data=tmp_path / "bursts.h5", output=tmp_path / "run", progress=False)
    net, data = run.regressor, run.data()
    maps = run.explain(data, target="frequency", reference="baseline")
    predicted = run.predict(data).values[:, 0]
    np.testing.assert_allclose(maps.total + maps.baseline, predicted, rtol=1e-5)
    x = torch.from_numpy(data.x())
    with torch.no_grad():
        alone = [float(net(x[row : row + 1, :, :own])) for row, own in enumerate(lengths)]
        np.testing.assert_allclose(predicted, alone, rtol=1e-5)
        part = run.part("train").indices
        frames = [net.levels(x[row : row + 1, :, : lengths[row]])[0, :, :, : -(-lengths[row] // 16)] for row in part]
    known = torch.cat([one.flatten(1) for one in frames], dim=1).double()  # (channel, all levels)
    np.testing.assert_allclose(net.front.mean, known.mean(dim=1), rtol=1e-4)
    np.testing.assert_allclose(net.front.deviation, known.std(dim=1, correction=0), rtol=1e-4)


def test_hertz_and_seconds_have_no_radius(bursts, burst_data, tmp_path):
    model = {**bursts.experiment["model"], "coordinates": ["radius"]}
    with pytest.raises(ConfigError, match=r"a coordinate must be one of frequency, time\. Got radius"):
        train({**bursts.experiment, "model": model}, data=burst_data, output=tmp_path / "run", progress=False)


def test_a_sweep_searches_the_keys_of_the_section(bursts):
    space = {"model.spectrogram.hop": ["1 ms", "2 ms"], "model.spectrogram.floor_db": {"low": -90.0, "high": -40.0}}
    experiment = load_experiment({**bursts.experiment, "sweep": {"space": space}})
    found = with_values(experiment, {"model.spectrogram.hop": "2 ms"}).model.spectrogram
    assert (found.length, found.hop) == ("4 ms", "2 ms")
    with pytest.raises(ConfigError, match=r"'2 mm'|a number with its unit"):
        load_experiment({**bursts.experiment, "sweep": {"space": {"model.spectrogram.hop": ["2 mm"]}}})
    plain = {**bursts.experiment, "model": {"backbone": "plain"}, "sweep": {"space": space}}
    with pytest.raises(ConfigError, match=r"'model\.spectrogram' must be a section of the experiment to search"):
        load_experiment(plain)


def test_what_is_no_signal_over_even_time_is_refused(disc_folder, tmp_path, bursts):
    section = bursts.experiment["model"]["spectrogram"]
    words = {"name": "discs", "data": {"file": "discs.h5", "targets": ["mass"]}, "model": {"spectrogram": section}}
    with pytest.raises(DataError, match=r"must be signals over one axis of time, such as s or ms\. Got 16 cells of y"):
        train(words, data=disc_folder / "discs.h5", output=tmp_path / "run", progress=False)
    time = np.arange(SAMPLES) / RATE
    time[300:] += 0.2 / RATE
    write_dataset(tmp_path / "uneven.h5", bursts.spec(axes=(Axis.from_centres("time", "s", time),)), bursts.records())
    with pytest.raises(DataError, match=r"evenly spaced, within 0\.01 of an interval.*Got sample 299 at .*Resample"):
        train(bursts.experiment, data=tmp_path / "uneven.h5", output=tmp_path / "run", progress=False)


def test_features_are_averaged_over_reversed_signals_only_where_spectrograms_reverse(tmp_path, bursts):
    write_dataset(tmp_path / "bursts.h5", bursts.spec(symmetries=("reverse",)), bursts.records())
    words = {**bursts.experiment, "model": {**bursts.experiment["model"], "symmetry_average": True}}
    odd = {**words["model"], "spectrogram": {"length": "4 ms", "hop": "0.9375 ms"}}
    with pytest.raises(ConfigError, match="such that a reversed signal has the reversed spectrogram, where"):
        train({**words, "model": odd}, data=tmp_path / "bursts.h5", output=tmp_path / "odd", progress=False)
    run = train(words, data=tmp_path / "bursts.h5", output=tmp_path / "run", progress=False)
    x = torch.from_numpy(run.data().x(slice(0, 4)))
    with torch.no_grad():
        torch.testing.assert_close(run.regressor(x.flip(-1)), run.regressor(x), rtol=1e-5, atol=1e-3)
        torch.testing.assert_close(
            run.regressor.behind(run.regressor.levels(x)), run.regressor(x), rtol=1e-5, atol=1e-3
        )


def test_explaining_changes_nothing(run):
    test, net = run.data().subset("test")[:2], run.regressor
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.train()
    try:
        run.explain(test, method="integrated-gradients", of="signal")
        run.explain(test)
        assert all(part.training for part in net.modules())
    finally:
        net.eval()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_batch_is_its_samples_one_by_one(run):
    test = run.data().subset("test")[:4]
    whole = run.explain(test, target="frequency", reference="baseline")
    for row in range(4):
        one = run.explain(test[row : row + 1], target="frequency", reference="baseline")
        np.testing.assert_allclose(one.contributions[0], whole.contributions[row], atol=1e-3)


def test_maps_of_several_targets_share_one_answer():
    net, x = small_net(), signals(2)
    assert list(explain_regressor(net, x)) == ["depth"]
    moved = replace(explain_regressor(net, x)["depth"], ids=("a", "b"))
    assert moved.on_input_grid().contributions.shape == (2, 32, 32)


def trained_on_bursts(bursts, folder, *, rate, target, **model):
    """A run on 200 bursts in one channel, their tone in Hz and level in dB, and where each one is."""
    places, rows = {}, []
    for index in range(200):
        draw = generator(7, "peak", index)
        tone, when = draw.uniform(0.06, 0.32) * rate, draw.uniform(100, 400) / rate
        level = draw.uniform(-10.0, 10.0)
        x = 10 ** (level / 20) * bursts.burst(tone, when, rate=rate) + 0.01 * draw.standard_normal(SAMPLES)
        part = ("train", "train", "train", "validation", "test")[index % 5]
        places[f"s{index:03d}"] = (tone, when)
        rows.append(Record(id=f"s{index:03d}", group=f"g{index}", x=x[None].astype(np.float32),
                           targets={"level": level, "tone": tone}, split={"default": part}))  # fmt: skip
    axes = (Axis.uniform("time", "s", size=SAMPLES, step=1 / rate),)
    spec = bursts.spec(axes=axes, channels={"acc": "V"}, targets={"level": "dB", "tone": "Hz"}, count=200)
    write_dataset(folder / "bursts.h5", spec, rows)
    section = {"length": f"{64 / rate} s", "hop": f"{16 / rate} s"}
    words = {
        **bursts.experiment,
        "data": {"file": "bursts.h5", "targets": [target]},
        "model": {"backbone": "small-field", "widths": [8, 8], "spectrogram": section, **model},
        "training": {"epochs": 80, "batch_size": 16, "threads": 1},
    }
    return train(words, data=folder / "bursts.h5", output=folder / "run", progress=False), places


@pytest.mark.slow
@pytest.mark.parametrize("rate", [2000.0, 44_100.0, 1e6])
def test_a_trained_nets_map_peaks_at_the_tones_hertz_and_second_within_one_cell(bursts, tmp_path, rate):
    run, places = trained_on_bursts(bursts, tmp_path, rate=rate, target="level", coordinates=["frequency"])
    assert run.metrics["test"]["level"]["r2"] > 0.9
    maps = run.explain(run.data().subset("test"), target="level", reference="train-mean")
    assert maps.contributions.shape[1:] == (16, 16)
    for row, name in enumerate(maps.ids):
        cell = np.unravel_index(np.abs(maps.contributions[row]).argmax(), (16, 16))
        for axis, found, value in zip(maps.axes, cell, places[name], strict=True):
            assert abs(found - (np.searchsorted(axis.edges, value) - 1)) <= 1


@pytest.mark.slow
def test_without_a_coordinate_a_net_cannot_tell_one_tone_from_another(bursts, tmp_path):
    errors = {}
    for name, coordinates in (("with", ["frequency"]), ("without", [])):
        (tmp_path / name).mkdir()
        run, _ = trained_on_bursts(bursts, tmp_path / name, rate=RATE, target="tone", coordinates=coordinates)
        errors[name] = run.metrics["test"]["tone"]["mae"]
    assert errors["without"] > 5 * errors["with"], errors
