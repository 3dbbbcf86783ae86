"""The laws of the map, over dimensions, numbers of outputs, precisions and backbones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ram.axes import Axis
from ram.maps.activation import contributions
from ram.maps.explain import explain, explain_regressor
from ram.maps.regression_map import RegressionMap
from ram.models.backbones import BACKBONES, build_backbone
from ram.models.regressor import Regressor, TargetScaling
from ram.models.symmetry import symmetry_group

NDIMS = (1, 2, 3)
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOL = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}


def scalings(outputs: int, *, mean: float = 560.0, scale: float = 80.0) -> list[TargetScaling]:
    units = ("Hz", "kg", "cm")
    return [TargetScaling(f"t{i}", units[i], mean * (i + 1), scale / (i + 1)) for i in range(outputs)]


def regressor(
    name: str = "plain", *, ndim: int = 2, outputs: int = 1, dtype: torch.dtype = torch.float32, **options: Any
) -> Regressor:
    torch.manual_seed(7)
    backbone = build_backbone(name, ndim=ndim, channels=2, widths=(3, 5), depth=1)
    options = {"targets": scalings(outputs), **options}
    net = Regressor(backbone, input_mean=[0.2, 1.0], input_scale=[1.5, 0.7], **options).to(dtype)
    for part in net.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            part.weight.data.uniform_(0.5, 1.5)
            part.bias.data.uniform_(-0.3, 0.3)
    net.head.bias.data.uniform_(-0.5, 0.5)
    return net


def small_net(ndim: int, *, outputs: int = 1, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        CONVOLUTION[ndim](1, 4, 3, padding=1, stride=2),
        NORM[ndim](4),
        nn.ReLU(),
        CONVOLUTION[ndim](4, 5, 3, padding=1),
        nn.ReLU(),
        POOL[ndim](1),
        nn.Flatten(),
        nn.Linear(5, outputs),
    ).to(dtype)


def inputs(ndim: int, *, batch: int = 3, channels: int = 2, size: int = 8) -> np.ndarray:
    return np.random.default_rng(ndim).normal(size=(batch, channels, *[size] * ndim))


def assert_adds_up(found: RegressionMap, *, scale: float, tolerance: float) -> None:
    """Law 1: baseline + sum of contributions = prediction, relative to max(s, sum |contribution|)."""
    every = [found.contributions.reshape(len(found), -1), found.parameter_contributions]
    size = np.maximum(scale, np.abs(np.concatenate(every, axis=1)).sum(axis=1))
    total = found.baseline + sum(part.sum(axis=1) for part in every)
    if found.log:
        total = found.baseline * np.exp(sum(part.sum(axis=1) for part in every))
        size = size * found.prediction
    np.testing.assert_array_less(np.abs(found.prediction - total) / size, tolerance)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("ndim", NDIMS)
@pytest.mark.parametrize("name", sorted(BACKBONES))
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_contributions_and_baseline_sum_to_the_prediction(
    name: str, ndim: int, outputs: int, dtype: torch.dtype
) -> None:
    net = regressor(name, ndim=ndim, outputs=outputs, dtype=dtype)
    x = inputs(ndim)
    maps = explain_regressor(net, x)
    with torch.no_grad():
        expected = net.eval()(torch.from_numpy(x).to(dtype)).numpy()
    for number, target in enumerate(net.target_names):
        one = maps[target]
        np.testing.assert_allclose(one.prediction, expected[:, number], rtol=1e-12)
        assert_adds_up(one, scale=float(net.target_scale[number]), tolerance=TOLERANCE[dtype])
        assert one.grade == "exact"
        assert np.ptp(one.contributions) > 0.0


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("ndim", NDIMS)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_any_net_adds_up_too(ndim: int, outputs: int, dtype: torch.dtype) -> None:
    net = small_net(ndim, outputs=outputs, dtype=dtype)
    for output in range(outputs):
        one = explain(net, inputs(ndim, channels=1), output=output, target_mean=560.0, target_scale=80.0, unit="Hz")
        assert_adds_up(one, scale=80.0, tolerance=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_an_offset_of_2e5_costs_no_digits(dtype: torch.dtype) -> None:
    net = regressor(outputs=1, dtype=dtype, targets=[TargetScaling("pressure", "Pa", mean=2e5, scale=100.0)])
    one = explain_regressor(net, inputs(2, batch=8))["pressure"]
    assert one.baseline[0] > 1.9e5
    assert_adds_up(one, scale=100.0, tolerance=TOLERANCE[dtype])


def test_contributions_equal_loops_in_numpy() -> None:
    net = regressor(ndim=2, outputs=3, dtype=torch.float64)
    x = inputs(2)
    maps = explain_regressor(net, x)
    with torch.no_grad():
        features = net.eval().features(torch.from_numpy(x)).numpy()
    weight, bias = net.head.weight.detach().numpy(), net.head.bias.detach().numpy()
    batch, width, rows, columns = features.shape
    for k, target in enumerate(net.target_names):
        m, s = float(net.target_mean[k]), float(net.target_scale[k])
        expected = np.zeros((batch, rows, columns))
        for n, c, i, j in np.ndindex(batch, width, rows, columns):
            expected[n, i, j] += s / (rows * columns) * weight[k, c] * features[n, c, i, j]
        np.testing.assert_allclose(maps[target].contributions, expected, rtol=1e-12, atol=1e-12 * s)
        np.testing.assert_allclose(maps[target].baseline, m + s * bias[k], rtol=1e-15)


def test_three_feature_maps_of_5x5_weighted_into_one_by_hand() -> None:
    """The lecture's example: three 5 x 5 maps, weights 2, -1 and 0.5; a mean, so each cell counts 1/25."""
    first, second, third = torch.zeros(5, 5), torch.zeros(5, 5), torch.full((5, 5), 4.0)
    first[0, 0], second[4, 4] = 25.0, 50.0
    features = torch.stack([first, second, third])[None]
    (found,) = contributions(features, torch.tensor([[2.0, -1.0, 0.5]]), scale=np.array([1.0]))[0]
    assert found[0, 0] == pytest.approx(2 * 25 / 25 + 0.5 * 4 / 25)
    assert found[4, 4] == pytest.approx(-50 / 25 + 0.5 * 4 / 25)
    assert found[2, 2] == pytest.approx(0.08)
    assert found.sum() == pytest.approx(2 * 1.0 - 1 * 2.0 + 0.5 * 4.0)


@pytest.mark.parametrize("ndim", NDIMS)
def test_captums_grad_cam_says_the_same(ndim: int) -> None:
    """captum's LayerGradCam without ReLU on a GAP net sums to y - b; ours is that map, cell by cell."""
    attr = pytest.importorskip("captum.attr")
    net = small_net(ndim, outputs=3).eval()
    x = inputs(ndim, channels=1)
    for output in range(3):
        ours = explain(net, x, output=output)
        theirs = attr.LayerGradCam(net, net[4]).attribute(torch.from_numpy(x), target=output, relu_attributions=False)
        np.testing.assert_allclose(ours.contributions, theirs.detach().numpy()[:, 0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("ndim", NDIMS)
def test_a_batch_is_its_samples_one_by_one_and_in_chunks(ndim: int) -> None:
    net = regressor("resnet", ndim=ndim, dtype=torch.float64)
    x = inputs(ndim, batch=5)
    whole = explain_regressor(net, x, batch_size=None)["t0"]
    for size in (1, 2, 5, 64):
        parts = explain_regressor(net, x, batch_size=size)["t0"]
        np.testing.assert_allclose(parts.contributions, whole.contributions, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(parts.prediction, whole.prediction, rtol=1e-13)


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(1e-6, 1e6), offset=st.floats(-1e3, 1e3))
def test_scaling_the_unit_scales_the_map(factor: float, offset: float) -> None:
    net = small_net(2)
    x = inputs(2, channels=1)
    plain = explain(net, x, target_mean=3.0, target_scale=2.0)
    scaled = explain(net, x, target_mean=3.0 * factor + offset, target_scale=2.0 * factor)
    np.testing.assert_allclose(scaled.contributions, factor * plain.contributions, rtol=1e-12)
    np.testing.assert_allclose(scaled.baseline, factor * plain.baseline + offset, rtol=1e-9, atol=1e-9 * factor)


def test_the_sign_survives() -> None:
    net = small_net(2)
    x = inputs(2, channels=1)
    up = explain(net, x).contributions
    net[-1].weight.data.neg_()
    down = explain(net, x).contributions
    np.testing.assert_array_equal(down, -up)
    assert up.min() < 0.0 < up.max()


@pytest.mark.parametrize("ndim", NDIMS)
@pytest.mark.parametrize("name", ["plain", "small-field"])
def test_shifting_the_input_by_one_stride_shifts_the_cells(name: str, ndim: int) -> None:
    """In the middle, which no cell's receptive field leaves."""
    net = regressor(name, ndim=ndim, dtype=torch.float64)
    stride = net.backbone.divisor
    x = np.zeros((2, 2, *[32] * ndim))
    middle = (slice(12, 20),) * ndim
    x[(0, slice(None), *middle)] = inputs(ndim, batch=1)[0]
    x[1] = np.roll(x[0], stride, axis=-1)
    one = explain_regressor(net, x)["t0"]
    assert max(one.receptive_field) / 2 < 12
    edge = 3 * one.contributions.shape[1] // 8
    inner = (slice(edge, -edge),) * ndim
    still, moved = one.contributions[0], np.roll(one.contributions[1], -1, axis=-1)
    np.testing.assert_allclose(moved[inner], still[inner], rtol=1e-10, atol=1e-12)
    assert not np.allclose(one.contributions[1][inner], still[inner])
    assert one.axes[-1].centres[1] - one.axes[-1].centres[0] == stride


def test_against_another_sample_the_sum_is_the_difference_of_the_predictions() -> None:
    net = regressor(outputs=3, dtype=torch.float64)
    x = inputs(2, batch=4)
    against = explain_regressor(net, x, reference=x[2])
    for target, one in explain_regressor(net, x).items():
        found = against[target]
        np.testing.assert_allclose(found.total, one.prediction - one.prediction[2], rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(found.baseline, one.prediction[2])
        np.testing.assert_allclose(found.contributions[2], 0.0, atol=1e-12)
        assert found.reference == "the given design"
        assert_adds_up(found, scale=80.0, tolerance=1e-12)


def test_against_the_train_mean_the_baseline_is_the_mean_prediction() -> None:
    net = regressor(outputs=1, dtype=torch.float64)
    train = explain_regressor(net, inputs(2, batch=6))["t0"].mean(name="train-mean")
    found = explain_regressor(net, inputs(2), reference=train)["t0"]
    plain = explain_regressor(net, inputs(2))["t0"]
    assert found.reference == "train-mean"
    np.testing.assert_allclose(found.baseline, train.prediction[0])
    np.testing.assert_allclose(found.contributions, plain.contributions - train.contributions)
    assert_adds_up(found, scale=80.0, tolerance=1e-12)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_design_parameters_carry_their_own_share(dtype: torch.dtype) -> None:
    options = {"parameters": {"load": "N", "age": "s"}, "parameter_mean": [3.0, -1.0], "parameter_scale": [2.0, 4.0]}
    net = regressor(outputs=3, dtype=dtype, **options)
    own = np.array([[5.0, 1.0], [3.0, -1.0], [0.0, 2.0]])
    maps = explain_regressor(net, inputs(2), parameters=own)
    weight = net.head.weight.detach().double().numpy()[:, -2:]
    for k, target in enumerate(net.target_names):
        one = maps[target]
        expected = float(net.target_scale[k]) * weight[k] * (own - [3.0, -1.0]) / [2.0, 4.0]
        np.testing.assert_allclose(one.parameter_contributions, expected, rtol=1e-12)
        assert one.parameter_names == ("load", "age")
        assert_adds_up(one, scale=float(net.target_scale[k]), tolerance=TOLERANCE[dtype])
    mean = explain_regressor(net, inputs(2), parameters=own, reference=inputs(2)[0])["t0"]
    np.testing.assert_allclose(mean.parameter_contributions, maps["t0"].parameter_contributions)


def test_a_log_target_multiplies_its_factors() -> None:
    net = regressor(dtype=torch.float64, targets=[TargetScaling("life", "h", mean=2.0, scale=0.5, log=True)])
    x = inputs(2)
    one = explain_regressor(net, x)["life"]
    with torch.no_grad():
        np.testing.assert_allclose(one.prediction, net.eval()(torch.from_numpy(x)).numpy()[:, 0])
    product = one.factors.reshape(3, -1).prod(axis=1)
    np.testing.assert_allclose(one.baseline * product, one.prediction, rtol=1e-12)
    np.testing.assert_allclose(one.residual, 0.0, atol=1e-12)
    against = explain_regressor(net, x, reference=x[0])["life"]
    np.testing.assert_allclose(against.baseline * np.exp(against.total), one.prediction, rtol=1e-12)
    np.testing.assert_allclose(against.baseline, one.prediction[0])


def test_features_averaged_over_symmetries_are_an_ordinary_map() -> None:
    group = symmetry_group(["rotate90", "mirror"], space=(16, 16))
    net = regressor("resnet", dtype=torch.float64, symmetries=group)
    x = inputs(2, size=16)
    one = explain_regressor(net, x)["t0"]
    assert_adds_up(one, scale=80.0, tolerance=1e-12)
    turned = explain_regressor(net, np.rot90(x, axes=(2, 3)))["t0"]
    np.testing.assert_allclose(turned.contributions, np.rot90(one.contributions, axes=(1, 2)), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("ndim", NDIMS)
@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_cells_carry_the_inputs_units_and_lie_mirrored(name: str, ndim: int) -> None:
    axes = tuple(Axis.uniform(n, "mm", size=16, step=2.5, start=-18.75) for n in ("z", "y", "x")[-ndim:])
    one = explain_regressor(regressor(name, ndim=ndim), inputs(ndim, batch=1, size=16), input_axes=axes)["t0"]
    for cells, grid in zip(one.axes, axes, strict=True):
        assert (cells.name, cells.unit) == (grid.name, "mm")
        np.testing.assert_allclose(cells.centres, -cells.centres[::-1], atol=1e-12)
        np.testing.assert_allclose(cells.edges[[0, -1]], [-20.0, 20.0])
    assert all(2.5 <= extent <= 40.0 for extent in one.receptive_field)


def test_half_precision_adds_up_to_its_own_rounding() -> None:
    net = small_net(2, dtype=torch.bfloat16)
    one = explain(net, inputs(2, channels=1), target_scale=10.0)
    assert_adds_up(one, scale=10.0, tolerance=2e-2)


@pytest.mark.parametrize("ndim", NDIMS)
def test_on_the_inputs_grid_every_union_of_cells_keeps_its_sum(ndim: int) -> None:
    one = explain_regressor(regressor(ndim=ndim, dtype=torch.float64), inputs(ndim, size=16))["t0"]
    fine = one.on_input_grid()
    assert fine.contributions.shape[1:] == (16,) * ndim
    np.testing.assert_allclose(fine.total, one.total, rtol=1e-12, atol=1e-12)
    blocks = fine.contributions.reshape(len(one), *(n for _ in range(ndim) for n in (4, 4)))
    summed = blocks.sum(axis=tuple(range(2, 2 * ndim + 1, 2)))
    np.testing.assert_allclose(summed, one.contributions, rtol=1e-10, atol=1e-12)
    assert replace(one).on_input_grid().axes == one.input_axes
