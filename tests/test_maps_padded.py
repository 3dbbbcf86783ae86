"""Maps of signals of different length: each as it is alone, laid over the padded input, zero behind its own cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import ram
from ram.axes import Axis
from ram.errors import ConfigError, DataError
from ram.maps.explain import explain, explain_regressor
from ram.maps.methods import METHODS
from ram.maps.regression_map import RegressionMap
from ram.models.backbones import BACKBONES, build_backbone
from ram.models.coordinates import coordinate_channels
from ram.models.regressor import Regressor, TargetScaling
from ram.models.spectrogram import Spectrogram
from ram.models.symmetry import symmetry_group

SIZE, LENGTHS = 32, (32, 17, 1, 8)
HEADS = {"last stage": {}, "apart": {"channels_apart": 2}, "two stages": {"head_stages": (1, 2)}}
TIME = Axis.uniform("time", "s", size=SIZE, step=0.5, start=2.0)
ROWS = range(len(LENGTHS))


def regressor(name: str = "plain", *, head: str = "last stage", **options) -> Regressor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        words = {"ndim": 1, "widths": (3, 4), "depth": 1, "channels": 2, **options.pop("model", {}), **HEADS[head]}
        targets = [TargetScaling("f", "Hz", mean=100.0, scale=10.0)]
        backbone = build_backbone(name, **words)
        net = Regressor(backbone, targets=targets, input_mean=[0.3, -1.0], input_scale=[1.5, 0.7], **options)
        for values in net.backbone.parameters():
            if values.ndim == 1:  # gains and biases begin at zero
                values.data.uniform_(0.1, 0.7)
    return net.double().eval()


def spectrogram_net() -> Regressor:
    front = Spectrogram(2, sample_rate_hz=1000.0, length=8, hop=4, divisor=2)
    return regressor(model={"ndim": 2, "widths": (3,)}, front=front)


def signals() -> torch.Tensor:
    x = torch.randn(len(LENGTHS), 2, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for row, length in zip(x, LENGTHS, strict=True):
        row[:, length:] = 0.0
    return x


def alone(net: Regressor, x: torch.Tensor, row: int) -> torch.Tensor:
    """One signal as the shortest input that the net takes, zeros for the net behind its end."""
    shortest = int(net.shortest(torch.tensor([LENGTHS[row]])))
    one = x[row : row + 1, :, :shortest].clone()
    one[:, :, LENGTHS[row] :] = net.input_mean[:, None]
    return one


def maps_of(net: Regressor, method: str = "ram", **words) -> RegressionMap:
    x = signals().numpy()
    return explain_regressor(net, x, method=method, lengths=LENGTHS, input_axes=[TIME], **words)["f"]


def assert_adds_up(one: RegressionMap) -> None:
    parts = [one.contributions.reshape(len(one), -1), one.parameter_contributions]
    size = np.maximum(10.0, np.abs(np.concatenate(parts, axis=1)).sum(axis=1))
    np.testing.assert_array_less(np.abs(one.residual) / size, 1e-12)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_the_law_holds_for_each_signal_and_nothing_lies_behind_its_end(name: str, head: str) -> None:
    net = regressor(name, head=head)
    one = maps_of(net)
    with torch.no_grad():
        expected = net(signals(), None, torch.tensor(LENGTHS))[:, 0].numpy()
    np.testing.assert_allclose(one.prediction, expected, rtol=1e-12)
    assert one.grade == "exact"
    assert_adds_up(one)
    own = -(-np.array(LENGTHS) // net.backbone.divisor) * net.backbone.divisor
    behind = one.axes[0].edges[:-1] >= TIME.edges[own][:, None] - 1e-9
    assert not one.contributions[behind].any()
    assert (np.abs(one.contributions[[0, 1, 3]]).sum(axis=1) > 0).all()


@pytest.mark.parametrize("name", ["resnet", "fcn"])
def test_contributions_by_numpy(name: str) -> None:
    """``s / Z_n  sum_k W_k A_ki`` with the features of the signal alone."""
    net = regressor(name)
    one, weight = maps_of(net), net.head.weight[0].detach().numpy()
    for row in ROWS:
        with torch.no_grad():
            features = net.features(alone(net, signals(), row))[0].numpy()
        cells = features.shape[1]
        np.testing.assert_allclose(one.contributions[row, :cells], 10.0 / cells * weight @ features, rtol=1e-10)
        assert not one.contributions[row, cells:].any()


OPTIONS = {"integrated-gradients": {"steps": 4}, "gradient-shap": {"samples": 2}, "smoothgrad": {"samples": 2}}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_says_of_a_padded_signal_what_it_says_of_it_alone(method: str) -> None:
    net = regressor("fcn", model={"kernel": 3, "halvings": 1})
    words = {"options": OPTIONS.get(method), "channel": 1 if METHODS[method].grade == "sensitivity" else None}
    regions = np.repeat([1, 4, 2, 7], SIZE // 4) if "region" in method else None
    ids = [f"s{row}" for row in ROWS]
    one = maps_of(net, method, regions=regions, ids=ids, **words)
    assert one.ids == tuple(ids)
    for row in ROWS:
        x = alone(net, signals(), row).numpy()
        own, size = x[0, 0].size, LENGTHS[row]
        codes = None if regions is None else regions[:own].copy()
        if codes is not None:
            codes[size:] = 8  # what is no signal is no part of a region
        mine = explain_regressor(net, x, method=method, regions=codes, ids=[ids[row]], **words)["f"]
        cells = mine.contributions.shape[1]
        expected = mine.contributions[0].copy()
        if METHODS[method].kind == "input":
            expected[size:] = 0.0
        np.testing.assert_allclose(one.contributions[row, :cells], expected, rtol=1e-8, atol=1e-11)
        assert not one.contributions[row, cells:].any()
        np.testing.assert_allclose([one.prediction[row], one.baseline[row]], [mine.prediction[0], mine.baseline[0]])
        if mine.adds_up:
            np.testing.assert_allclose(one.residual[row], mine.residual[0], rtol=1e-6, atol=1e-10)


def test_a_finer_map_keeps_the_total_of_each_own_cell() -> None:
    net = regressor("plain")
    coarse, fine = maps_of(net), maps_of(net, resolution=4)
    assert fine.contributions.shape[1] > 2 * coarse.contributions.shape[1]
    assert_adds_up(fine)
    for low, high, column in zip(coarse.axes[0].edges, coarse.axes[0].edges[1:], coarse.contributions.T, strict=False):
        np.testing.assert_allclose(fine.within(time=(low, high)), column, rtol=1e-9, atol=1e-10)
    own = explain_regressor(net, alone(net, signals(), 1).numpy(), resolution=4)["f"]
    np.testing.assert_allclose(fine.contributions[1, : own.contributions.size], own.contributions[0], atol=1e-11)
    assert fine.correction.shape == (len(LENGTHS),)


def test_each_channel_and_stage_is_exact_for_each_signal() -> None:
    for head in ("apart", "two stages"):
        one = maps_of(regressor("resnet", head=head), channels=("a", "b"))
        assert len(one.part_names) == 2
        np.testing.assert_allclose(one.part_contributions.sum(axis=1), one.contributions, rtol=1e-10, atol=1e-12)
        assert_adds_up(one.part(one.part_names[0]))


def test_parameters_coordinates_symmetries_and_logarithms_go_along() -> None:
    targets = [TargetScaling("f", "Hz", mean=4.0, scale=0.5, log=True)]
    net = regressor("fcn", model={"channels": 3}, coordinates=coordinate_channels(["time"], [TIME]))
    other = Regressor(
        net.backbone, targets=targets, input_mean=[0.3, -1.0], input_scale=[1.5, 0.7], parameters={"load": "N"},
        parameter_mean=[2.0], parameter_scale=[3.0], coordinates=net.coordinates,
        symmetries=symmetry_group(["reverse"], space=[SIZE]),
    ).double().eval()  # fmt: skip
    given = np.arange(4.0)[:, None]
    one = maps_of(other, parameters=given)
    with torch.no_grad():
        expected = other(signals(), torch.from_numpy(given), torch.tensor(LENGTHS))[:, 0].numpy()
    np.testing.assert_allclose(one.prediction, expected, rtol=1e-11)
    np.testing.assert_allclose(one.residual, 0.0, atol=1e-11)
    same = maps_of(other, "grad-ram", parameters=given)
    np.testing.assert_allclose(same.contributions, one.contributions, rtol=1e-9, atol=1e-12)


def test_against_a_mean_map_by_position_sums_are_differences_of_predictions() -> None:
    one = maps_of(regressor("fcn"))
    mean = one.mean(name="train-mean")
    np.testing.assert_allclose(mean.contributions[0], one.contributions.sum(axis=0) / len(one), rtol=1e-12)
    assert mean.ends.size == 0
    held = maps_of(regressor("fcn"), reference=mean, reference_name="train-mean")
    assert held.reference == "train-mean"
    np.testing.assert_allclose(held.total, one.prediction - one.prediction.mean(), rtol=1e-10, atol=1e-10)
    behind = TIME.centres > held.ends[1]
    np.testing.assert_allclose(held.contributions[1, behind], -mean.contributions[0, behind], rtol=1e-12)


@pytest.mark.parametrize("method", ["ram", "cam", "grad-ram", "integrated-gradients"])
def test_a_signal_of_another_length_is_a_reference(method: str) -> None:
    net, words = regressor("fcn"), {}
    if method == "integrated-gradients":
        words = {"options": {"steps": 64}}
    reference = signals()[1].numpy()
    if method == "cam":
        with pytest.raises(ConfigError, match="explain, method cam: reference must be left out"):
            maps_of(net, method, reference=reference, reference_length=LENGTHS[1])
        return
    held = maps_of(net, method, reference=reference, reference_length=LENGTHS[1], **words)
    bare = maps_of(net)
    if METHODS[method].kind == "head" or method == "grad-ram":
        np.testing.assert_allclose(held.baseline, bare.prediction[1], rtol=1e-12)
        assert_adds_up(held)
    assert np.abs(held.contributions[1]).max() < 1e-9  # held against itself


@pytest.mark.parametrize("of", [None, "signal"])
def test_maps_of_a_spectrogram_net(of: str | None) -> None:
    net = spectrogram_net()
    time = Axis.uniform("time", "ms", size=SIZE, step=1.0)
    words = {} if of is None else {"of": "signal", "method": "integrated-gradients", "options": {"steps": 8}}
    x = signals().numpy()
    one = explain_regressor(net, x, lengths=LENGTHS, input_axes=[time], **words)["f"]
    with torch.no_grad():
        expected = net(signals(), None, torch.tensor(LENGTHS))[:, 0].numpy()
    np.testing.assert_allclose(one.prediction, expected, rtol=1e-12)
    scale = 1e-3 if of is None else 1.0
    np.testing.assert_allclose(one.ends, scale * (np.array(LENGTHS) - 0.5))
    if of is None:
        np.testing.assert_allclose(one.residual, 0, atol=1e-11)
        assert one.axes[-1].unit == "s"
        assert not one.contributions[3, :, 1:].any()
    else:
        assert not one.contributions[1, 17:].any()
    design = np.zeros((2, *net.front.grid(SIZE)))
    inner = explain_regressor(net, x, lengths=LENGTHS, input_axes=[time], method="grad-ram", reference=design)["f"]
    np.testing.assert_allclose(inner.residual, 0, atol=1e-10)


def test_a_spectrogram_net_knows_the_seconds_of_padded_signals_by_itself() -> None:
    net, x = spectrogram_net(), signals().numpy()
    time = Axis.uniform("time", "s", size=SIZE, step=1e-3)
    for words in ({}, {"of": "signal", "method": "gradient", "channel": 0}):
        bare, given = (explain(net, x, lengths=LENGTHS, axes=axes, **words) for axes in (None, [time]))
        np.testing.assert_allclose(bare.ends, 1e-3 * (np.array(LENGTHS) - 0.5))
        np.testing.assert_array_equal(bare.contributions, given.contributions)
        assert all(map(Axis.same_grid, bare.axes, given.axes))


def test_the_end_belongs_to_the_axis_that_it_lies_on() -> None:
    one = explain(spectrogram_net(), signals(), lengths=LENGTHS)
    np.testing.assert_array_equal(one.along("time").ends, one.ends)
    assert one.along("frequency").ends.size == 0  # it would be read in hertz


@pytest.mark.parametrize("net", [regressor("fcn"), spectrogram_net()], ids=["plain", "spectrogram"])
def test_a_reference_of_another_shape_is_named(net: Regressor) -> None:
    x, short = signals().numpy(), signals()[0, :, :17].numpy()
    with pytest.raises(
        DataError, match=r"reference must be of shape \(2, 32\), as the (inputs|signals).*Got \(2, 17\)"
    ):
        explain(net, x, reference=short)
    with pytest.raises(DataError, match=r"reference must be of shape \(2, 32\), as the inputs. Got \(2, 17\)"):
        explain(net, x, reference=short, lengths=LENGTHS)


def test_ends_are_kept_in_files_and_of_samples_that_are_chosen(tmp_path) -> None:
    one = maps_of(regressor("fcn"))
    np.testing.assert_allclose(one.ends, TIME.edges[list(LENGTHS)])
    one.save(tmp_path / "maps.h5")
    np.testing.assert_array_equal(RegressionMap.load(tmp_path / "maps.h5").ends, one.ends)
    assert one[[2, 0]].ends.tolist() == [one.ends[2], one.ends[0]]
    assert one.on_input_grid().ends.tolist() == one.ends.tolist()
    with pytest.raises(DataError, match=r"RegressionMap: the shape of ends must be \(4,\). Got \(3,\)"):
        replace(one, ends=one.ends[:3])


def test_a_picture_marks_the_end() -> None:
    one = maps_of(regressor("fcn"))
    (axes, _) = one.plot(1, image=signals()[1, 0].numpy()).axes
    assert [text.get_text() for text in axes.texts] == ["end"]
    (line,) = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert line.get_xdata()[0] == one.ends[1]
    (axes, _) = one.plot(0).axes
    assert not axes.texts


def test_explain_itself_takes_lengths_of_a_regressor() -> None:
    net, x = regressor("fcn"), signals()
    one = explain(net, x, lengths=LENGTHS, axes=[TIME])
    np.testing.assert_array_equal(one.contributions, maps_of(net).contributions)
    again = ram.explain(net, x, lengths=torch.tensor(LENGTHS), axes=[TIME], output="f", batch_size=None)
    np.testing.assert_allclose(again.contributions, one.contributions, rtol=1e-12, atol=1e-14)
    with pytest.raises(
        ConfigError, match=r"lengths must be left out for a net that is no ram.Regressor.* a Sequential"
    ):
        explain(nn.Sequential(nn.Conv1d(2, 1, 3)), x.float(), lengths=LENGTHS)


@pytest.mark.parametrize("lengths", [[1, 2, 3], [0, 1, 2, 3], [1, 2, 3, 33], [1.5, 2.0, 3.0, 4.0]])
def test_lengths_that_do_not_fit_are_named(lengths) -> None:
    with pytest.raises(
        DataError, match=r"explain: lengths must be 4 whole numbers from 1 to 32, one a sample. Got shape"
    ):
        explain_regressor(regressor(), signals(), lengths=lengths)
