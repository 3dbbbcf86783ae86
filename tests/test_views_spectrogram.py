"""Spectrogram nets in the shell, in pictures and in the report; and on their way to other nets and runtimes."""

import json
import re
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

from ram.axes import Axis, readable
from ram.data.dataset import open_dataset
from ram.data.layout import write_dataset
from ram.errors import ConfigError
from ram.evaluation.regions import region_table
from ram.maps.fronts import over_input
from ram.maps.regression_map import RegressionMap, load_maps
from ram.models.spectrogram import Spectrogram
from ram.runs.exporting import export_onnx
from ram.runs.run import open_run
from ram.training.adapting import adapt_run
from ram.training.prepare import prepare
from ram.training.train import train
from ram.training.warm_start import start_warm
from ram.views.panels import Scale, Scene, panel, shared_scale
from ram.views.report import write_report


@pytest.fixture
def run(burst_run):
    return open_run(burst_run)


@pytest.fixture
def fresh(bursts, burst_data, tmp_path):
    """Train once more, some words of the experiment changed, in a folder that may be written to."""

    def go(data=None, *, name="fresh", seeds=None, **sections):
        words = {**bursts.experiment, **{key: {**bursts.experiment[key], **more} for key, more in sections.items()}}
        return train(words, data=data or burst_data, output=tmp_path / name, seeds=seeds, progress=False)

    return go


def test_seconds_and_hertz_are_read_with_the_prefix_that_suits_both_grids():
    frequency = Axis.uniform("frequency", "Hz", size=65, step=125.0)
    coarse = Axis.uniform("frequency", "Hz", size=8, step=1000.0, start=500.0)
    fine, cells = readable(frequency, coarse)
    assert (fine.label, cells.label) == ("frequency (kHz)", "frequency (kHz)")
    np.testing.assert_allclose(fine.centres, frequency.centres / 1000.0)
    np.testing.assert_allclose(cells.edges, coarse.edges / 1000.0)
    for last, unit in ((2.0, "s"), (0.99995, "s"), (0.5, "ms"), (3e-4, "\N{MICRO SIGN}s"), (2e-8, "ns")):
        (time,) = readable(Axis.uniform("time", "s", size=5, step=last / 4.5))
        assert time.unit == unit
    millimetres = Axis.uniform("x", "mm", size=8, step=1e4)
    assert readable(millimetres) == (millimetres,)
    assert readable(frequency, millimetres) == (frequency, millimetres)  # not along one direction


def test_a_map_along_one_axis_keeps_what_it_carries(run):
    maps = run.explain(run.data().subset("test"), target="frequency")
    for name in ("time", "frequency"):
        along = maps.along(name)
        np.testing.assert_allclose(along.total, maps.total, rtol=1e-12)
        assert [axis.name for axis in along.axes] == [name]
        np.testing.assert_allclose(along.residual, maps.residual, atol=1e-9)
    early = maps.along("time").within(time=(-1.0, 0.01))
    np.testing.assert_allclose(early, maps.within(time=(-1.0, 0.01)), rtol=1e-12)
    with pytest.raises(ConfigError, match=r"an axis must be one of frequency, time\. Got tme\. Did you mean 'time'"):
        maps.along("tme")


def test_pictures_lie_over_the_spectrogram_in_kilohertz_and_milliseconds(run):
    test = run.data().subset("test")[:2]
    maps, levels = run.explain(test, target="frequency"), run.explained_inputs(test)
    figure = maps.plot(1, image=levels[1, 0])
    place, bar = figure.axes
    assert (place.get_xlabel(), place.get_ylabel()) == ("time (ms)", "frequency (kHz)")
    assert place.get_xlim() == pytest.approx((-0.5 / 16, 32.0 - 0.5 / 16))
    assert place.get_ylim() == pytest.approx((0.375, 6.375))
    assert bar.get_ylabel() == "contribution in Hz per cell of 4 ms x 1 kHz"
    below, over = place.collections
    np.testing.assert_array_equal(np.ravel(below.get_array()), levels[1, 0].ravel())
    strongest = int(np.abs(maps.contributions[1]).argmax())
    assert int(np.ravel(over.get_alpha()).argmax()) == strongest
    assert np.ravel(over.get_alpha()).min() < 0.5 < np.ravel(over.get_alpha()).max() <= 0.85


def test_bands_that_grow_are_drawn_on_a_logarithm():
    edges = np.geomspace(100.0, 6400.0, 7)
    frequency = Axis("frequency", "Hz", np.sqrt(edges[1:] * edges[:-1]), edges)
    time = Axis.uniform("time", "s", size=4, step=0.01)
    maps = RegressionMap(np.ones((1, 6, 4)), np.zeros(1), np.full(1, 24.0), "depth", "cm", (frequency, time),
                         (frequency, time))  # fmt: skip
    place, bar = maps.plot().axes
    assert place.get_yscale() == "log"
    place.figure.canvas.draw()
    assert [text.get_text() for text in place.get_yticklabels() if 0.1 <= text.get_position()[1] <= 6.4] == [
        "0.1",
        "0.2",
        "0.5",
        "1",
        "2",
        "5",
    ]
    assert bar.get_ylabel() == "contribution in cm per cell of 10 ms x 0.26 to 1.4 kHz"
    assert maps.plot(image=np.zeros((6, 4))).axes[0].get_yscale() == "log"


def test_the_overlay_is_as_strong_as_the_map():
    levels = np.full((4, 6), -60.0)
    levels[1, 2] = 0.0
    grid = (Axis.uniform("frequency", "kHz", size=4, step=1.0), Axis.uniform("time", "ms", size=6, step=1.0))
    cells = (Axis.uniform("frequency", "kHz", size=2, step=2.0, start=0.5),
             Axis.uniform("time", "ms", size=3, step=2.0, start=0.5))  # fmt: skip
    net = np.array([[0.0, 4.0, -1.0], [0.0, 0.0, 0.0]])
    one = Scene("s", "s", levels, "acc (dB re 1 V)", grid, net, None, cells, None, "Net", "")
    scale = shared_scale([one], unit="Hz")
    assert isinstance(scale, Scale)
    assert scale.parts == ("input", "net", "over", "truth")
    figure = panel(one, "over", scale=scale)
    alpha = np.ravel(figure.axes[0].collections[1].get_alpha())
    np.testing.assert_allclose(alpha[[0, 3, 4, 5]], 0.0)
    assert alpha[1] > alpha[2] > 0
    assert figure.axes[0].get_ylabel() == "frequency (kHz)"


def test_the_shell_explains_the_spectrogram_and_the_signal(shell, burst_run, tmp_path):
    code, out, _ = shell(
        "explain", burst_run, "--samples", 2, "--pictures", tmp_path / "p", "--output", tmp_path / "m.h5"
    )
    assert code == 0
    assert len(list((tmp_path / "p").glob("*.png"))) == 2
    assert [axis.unit for axis in load_maps(tmp_path / "m.h5")["frequency"].axes] == ["Hz", "s"]
    words = ("explain", burst_run, "--samples", 1, "--method", "gradient-x-input", "--of", "signal")
    code, out, _ = shell(*words, "--pictures", tmp_path / "q", "--json")
    assert code == 0
    assert json.loads(out)["targets"]["frequency"]["method"] == "gradient-x-input"
    code, _, err = shell("explain", burst_run, "--samples", 1, "--of", "signal")
    assert code == 2
    assert "method must be one of the input that asks by gradients" in " ".join(err.split())
    code, out, _ = shell("verify", burst_run, "--deep")
    assert code == 0


def test_an_ensemble_of_spectrogram_nets_answers_as_one(fresh):
    ensemble = fresh(seeds=2, name="ensemble", training={"epochs": 1})
    test = ensemble.data().subset("test")[:3]
    maps = ensemble.explain(test, target="frequency")
    np.testing.assert_allclose(maps.prediction, ensemble.predict(test).values[:, 0], rtol=1e-6)
    assert ensemble.explained_inputs(test).shape == (3, 2, 24, 32)
    np.testing.assert_allclose(maps.along("time").total, maps.total, rtol=1e-9)
    assert over_input(maps, test.axes).on_input_grid().contributions.shape == (3, 512)


def test_the_report_shows_map_and_overlay_and_holds_regions_against_the_map_along_time(bursts, fresh, tmp_path):
    codes = (np.arange(bursts.samples) >= 200).astype(np.uint8)
    share = np.zeros(bursts.samples)
    extra = {"regions": codes, "truth": {("frequency", "contribution"): share}}
    spec = bursts.spec(regions=("early", "late"), truth={("frequency", "contribution"): "Hz"},
                       reference=np.zeros((2, bursts.samples)))  # fmt: skip
    write_dataset(tmp_path / "regions.h5", spec, bursts.records(**extra))
    run = fresh(tmp_path / "regions.h5", explain={"samples": 1})
    test = run.data().subset("test")
    maps = run.explain(test, target="frequency")
    table = region_table(over_input(maps, test.axes), test.regions_array(), test.region_names)
    np.testing.assert_allclose(table.net.sum(axis=1), maps.total, rtol=1e-9)
    border = (200 - 0.5) / bursts.rate
    np.testing.assert_allclose(table.net[:, 0], maps.within(time=(-1.0, border)), rtol=1e-6)
    by_region = run.explain(test[:2], target="frequency", method="region-ablation")
    assert np.unique(by_region.contributions[0]).size == 2
    page = write_report(run).read_text(encoding="utf-8")
    text = re.sub(r"\s+", " ", page.replace("\N{NO-BREAK SPACE}", " "))
    for words in (
        "They are left out: these maps lie over frequency and time",
        "windows of 4 ms, 1 ms apart. Maps lie over frequency and time.",
        "A cell sees 6 kHz and 29 ms, window and main lobe included",
        "per cell of 4 ms x 1 kHz",
        "early",
    ):
        assert words in text
    assert page.count('over the spectrogram"') == 2  # the sample, and once more to learn by


def test_a_dense_head_reads_the_spectrogram_and_is_adapted(fresh):
    run = fresh(model={"head": "dense", "dense": [6]})
    assert run.regressor.dense[1].in_features == 6 * 6 * 8
    maps = run.explain(run.data().subset("test")[:2], target="frequency", method="grad-ram")
    assert maps.axes[0].name == "frequency"
    adapted = adapt_run(run, output=run.path.parent / "adapted", progress=False)
    assert adapted.regressor.front is not None
    assert (adapted.explain(adapted.data().subset("test"), target="frequency").completeness() < 1e-4).all()


def test_the_exported_file_answers_for_raw_signals(run, tmp_path):
    path = export_onnx(run, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    test = run.data().subset("test")
    prediction, contributions, _ = session.run(None, {"inputs": test.x()})
    np.testing.assert_allclose(prediction, run.predict(test).values, rtol=1e-5)
    maps = run.explain(test, target="frequency", reference="baseline")
    size = np.abs(maps.contributions).sum(axis=(1, 2)).max()
    np.testing.assert_allclose(contributions[:, 0], maps.contributions, atol=1e-4 * size)
    axes = json.loads(session.get_modelmeta().custom_metadata_map["map_axes"])
    assert [(one["name"], one["unit"]) for one in axes] == [("frequency", "Hz"), ("time", "s")]


@pytest.mark.parametrize("nfft", [0, 50])
@pytest.mark.parametrize(("bands", "count"), [("linear", 0), ("log", 6)])
def test_by_convolution_a_spectrogram_is_the_same(bands, count, nfft):
    layer = Spectrogram(2, sample_rate_hz=1000.0, length=32, hop=7, nfft=nfft, bands=bands, count=count, low_hz=40.0)
    x = torch.randn(3, 2, 100, generator=torch.Generator().manual_seed(4))
    plain = layer(x)
    with layer.by_convolution():
        convolved = layer(x)
    torch.testing.assert_close(convolved, plain, atol=1e-3, rtol=1e-4)
    assert torch.equal(layer(x), plain)


@pytest.mark.parametrize("scale", ["dB", "amplitude", "power"])
def test_a_start_from_a_run_is_the_same_function_in_other_units(bursts, fresh, tmp_path, scale):
    section = {**bursts.experiment["model"]["spectrogram"], "scale": scale}
    source = fresh(model={"spectrogram": section}, training={"epochs": 1})
    changed = (replace(one, x=(1e3 * one.x[::-1]).astype(np.float32)) for one in bursts.records())
    spec = bursts.spec(channels={"acc_2": "mm/s**2", "acc_1": "mm/s**2"})
    write_dataset(tmp_path / "other.h5", spec, changed)
    prepared = prepare(source.config.model_copy(update={"seed": 9}), data=tmp_path / "other.h5")
    warm = start_warm(prepared.regressor, prepared.spec, source)
    assert not warm.left
    with torch.no_grad():
        found = prepared.regressor.eval()(torch.from_numpy(prepared.data.x()))[:, 0].numpy()
    np.testing.assert_allclose(found, source.predict(source.data()).values[:, 0], rtol=1e-4)
    other = source.config.model_dump()
    other["model"]["spectrogram"]["length"] = "6 ms"
    again = prepare(type(source.config).model_validate(other), data=source.data())
    notes = start_warm(again.regressor, again.spec, source).notes
    assert any("the spectrogram is another one here" in note for note in notes)


def test_what_was_stopped_goes_on_to_the_same_bytes(fresh, burst_run, tmp_path):
    class EnoughError(Exception):
        pass

    def stop(epoch):
        if epoch.epoch == 1:
            raise EnoughError

    config, data = open_run(burst_run).config, open_dataset(open_run(burst_run).data().path)
    with pytest.raises(EnoughError):
        train(config, data=data, output=tmp_path / "stopped", progress=False, on_epoch=stop)
    again = train(config, data=data, output=tmp_path / "stopped", progress=False, resume=True)
    for name in ("checkpoint.safetensors", "predictions.h5", "maps.h5"):
        assert (again.path / name).read_bytes() == (burst_run / name).read_bytes(), name
