"""Several stages pooled, channels kept apart: their contributions add up, each on its own cells, in the unit."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ram.axes import Axis, overlap
from ram.errors import ConfigError, DataError, ModelError
from ram.maps.explain import explain, explain_regressor
from ram.maps.regression_map import RegressionMap, load_maps, save_maps
from ram.models.backbones import BACKBONES, build_backbone
from ram.models.regressor import Regressor, TargetScaling
from ram.models.symmetry import symmetry_group

CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
SPACE = {1: (32,), 2: (16, 24), 3: (8, 8, 16)}
TARGETS = [
    TargetScaling("f", "Hz", 560.0, 80.0),
    TargetScaling("m", "kg", 7.0, 0.5),
    TargetScaling("d", "cm", 3.0, 2.0),
]
HEADS: dict[str, dict[str, Any]] = {
    "stages": {"head_stages": (1, 2, 3)},
    "two stages": {"head_stages": (1, 3)},
    "apart": {"channels_apart": 2},
    "both": {"head_stages": (2, 3), "channels_apart": 2},
}


def awake(net: nn.Module) -> nn.Module:
    """Give gains, norms and biases that start at zero a value, so that every branch takes part."""
    for name, weight in net.named_parameters():
        if name.endswith(("factor", "bias")):
            weight.data.uniform_(0.3, 0.8)
    return net


def regressor(
    name: str = "plain", ndim: int = 2, *, outputs: int = 1, widths: tuple[int, ...] = (3, 4, 5), extra: int = 0,
    head: dict[str, Any] | None = None, **options: Any,
) -> Regressor:  # fmt: skip
    torch.manual_seed(7)
    backbone = build_backbone(name, ndim=ndim, channels=2 + extra, widths=widths, depth=1, **(head or HEADS["stages"]))
    net = Regressor(backbone, targets=TARGETS[:outputs], input_mean=[0.2, 1.0], input_scale=[1.5, 0.7], **options)
    return awake(net).double()


def inputs(ndim: int, *, batch: int = 3) -> Tensor:
    draw = torch.Generator().manual_seed(ndim)
    return torch.randn((batch, 2, *SPACE[ndim]), dtype=torch.float64, generator=draw)


def axes(ndim: int) -> tuple[Axis, ...]:
    return tuple(Axis.uniform(n, "mm", size=s, step=0.5) for n, s in zip("zyx"[-ndim:], SPACE[ndim], strict=True))


def assert_adds_up(one: RegressionMap, scale: float) -> None:
    size = np.maximum(scale, np.abs(one.contributions).reshape(len(one), -1).sum(axis=1))
    np.testing.assert_array_less(np.abs(one.residual) / size, 1e-12)


ALL_HEADS = [pytest.param(head, marks=[pytest.mark.slow] * (head in ("two stages", "apart"))) for head in HEADS]


@pytest.mark.parametrize("outputs", [pytest.param(1, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("head", ALL_HEADS)
@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_what_the_parts_carry_adds_up_to_the_prediction(name: str, head: str, ndim: int, outputs: int) -> None:
    net, x = regressor(name, ndim, outputs=outputs, head=HEADS[head]), inputs(ndim)
    maps = explain_regressor(net, x, input_axes=axes(ndim))
    expected = net.eval()(x).detach().numpy()
    with torch.no_grad():
        stages = net.feature_maps(x)
    for number, (target, one) in enumerate(maps.items()):
        np.testing.assert_allclose(one.prediction, expected[:, number], rtol=1e-12)
        assert one.grade == "exact"
        assert_adds_up(one, float(net.target_scale[number]))
        assert one.contributions.shape[1:] == max((tuple(a.shape[2:]) for a in stages), key=np.prod)
        np.testing.assert_allclose(one.part_contributions.sum(axis=1), one.contributions, rtol=1e-10, atol=1e-12)
        assert (np.abs(one.part_totals) > 1e-6).all(), target
        assert len(one.part_names) == (2 if "apart" in HEADS[head].get("", head) or head == "both" else len(stages))


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_each_stage_carries_its_features_and_weights_by_numpy(name: str, ndim: int) -> None:
    net, x = regressor(name, ndim, outputs=3), inputs(ndim)
    one = explain_regressor(net, x, input_axes=axes(ndim))["m"]
    weight, first = net.head.weight[1].detach().numpy(), 0
    with torch.no_grad():
        stages = [a.numpy() for a in net.eval().feature_maps(x)]
    for number, a in enumerate(stages):
        own = weight[first : first + a.shape[1]]
        first += a.shape[1]
        worth = 0.5 / a[0, 0].size * np.einsum("k,bk...->b...", own, a)
        for axis, (fine, few) in enumerate(zip(one.contributions.shape[1:], a.shape[2:], strict=True), start=1):
            worth = np.repeat(worth, fine // few, axis=axis) / (fine // few)  # a coarse cell covers so many fine ones
        np.testing.assert_allclose(one.part_contributions[:, number], worth, rtol=1e-11, atol=1e-13)
    assert first == weight.size


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_channel_apart_is_what_the_net_says_without_the_others(ndim: int) -> None:
    """Cut the other channel's columns from the linear unit: what is left is that channel's share."""
    net, x = regressor("resnet", ndim, outputs=3, head=HEADS["both"]), inputs(ndim)
    maps = explain_regressor(net, x, channels=("acc_x", "acc_y"))
    x[:, 1] += 5.0  # another channel changes nothing in the first one's share
    moved = explain_regressor(net, x, channels=("acc_x", "acc_y"))
    for number, target in enumerate(net.target_names):
        one = maps[target]
        assert (one.part_names, one.part_kind) == (("acc_x", "acc_y"), "channel")
        np.testing.assert_array_equal(moved[target].part("acc_x").contributions, one.part("acc_x").contributions)
        assert not np.allclose(moved[target].part_totals[:, 1], one.part_totals[:, 1])
        alone = one.part("acc_x")
        np.testing.assert_allclose(alone.parameter_contributions[:, 0], one.part_totals[:, 1])
        assert alone.parameter_names == ("acc_y",)
        assert_adds_up(alone, float(net.target_scale[number]))
    first = net.backbone.nets[0]
    with torch.no_grad():
        own = list(first.feature_maps((inputs(ndim)[:, :1] - net.input_mean[0]) / net.input_scale[0]))
    columns = np.concatenate([net.head.weight[0, :4].detach(), net.head.weight[0, 8:13].detach()])
    total = 80 * np.concatenate([m.flatten(2).mean(2).numpy() for m in own], axis=1) @ columns
    np.testing.assert_allclose(maps["f"].part_totals[:, 0], total, rtol=1e-10)


@pytest.mark.parametrize("head", ALL_HEADS)
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_batch_is_its_samples_one_by_one_and_in_chunks(ndim: int, head: str) -> None:
    net, x = regressor("resnet", ndim, head=HEADS[head]), inputs(ndim, batch=5)
    whole = explain_regressor(net, x, batch_size=None)["f"]
    for size in (1, 2):
        some = explain_regressor(net, x, batch_size=size)["f"]
        np.testing.assert_allclose(some.part_contributions, whole.part_contributions, rtol=1e-11, atol=1e-12)
    assert whole[[3]].part_contributions.shape[0] == 1


@pytest.mark.parametrize("head", HEADS)
def test_state_sign_and_scale(head: str) -> None:
    net, x = regressor("resnet", head=HEADS[head]).train(), inputs(2)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    kept, random = x.clone(), torch.get_rng_state()
    one = explain_regressor(net, x)["f"]
    assert torch.equal(x, kept)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(part.training for part in net.modules())
    net.target_scale.mul_(-3.0)
    np.testing.assert_allclose(
        explain_regressor(net, x)["f"].part_contributions, -3 * one.part_contributions, rtol=1e-12
    )


@pytest.mark.parametrize("head", ALL_HEADS)
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_on_the_inputs_grid_and_within_a_region_sums_are_kept(ndim: int, head: str) -> None:
    one = explain_regressor(regressor("resnet", ndim, head=HEADS[head]), inputs(ndim), input_axes=axes(ndim))["f"]
    fine = one.on_input_grid()
    np.testing.assert_allclose(fine.total, one.total, rtol=1e-12)
    np.testing.assert_allclose(fine.part_totals, one.part_totals, rtol=1e-11, atol=1e-12)
    bounds = {axis.name: (axis.edges[0], axis.edges[axis.size // 2]) for axis in one.axes}
    parts = sum(one.part(name).within(**bounds) for name in one.part_names)
    np.testing.assert_allclose(one.within(**bounds), parts, rtol=1e-10, atol=1e-12)


def test_symmetries_parameters_and_coordinates() -> None:
    group = symmetry_group(("rotate90", "mirror"), space=(16, 16))
    coordinates = torch.linspace(-1, 1, 256, dtype=torch.float32).reshape(1, 16, 16)
    coordinates = sum(element.apply(coordinates) for element in group)
    net = regressor(
        "resnet", head=HEADS["both"], extra=1, symmetries=group, coordinates=coordinates, parameters={"load": "N"},
        parameter_mean=[3.0], parameter_scale=[2.0],
    )  # fmt: skip
    x, load = torch.randn(2, 2, 16, 16, dtype=torch.float64), np.array([[5.0], [1.0]])
    one = explain_regressor(net, x, parameters=load)["f"]
    assert_adds_up(one, 80.0)
    assert np.abs(one.parameter_contributions).min() > 0
    np.testing.assert_allclose(one.prediction, net.eval()(x, torch.from_numpy(load))[:, 0].detach(), rtol=1e-12)
    alone = one.part("channel 1")
    assert alone.parameter_names == ("channel 0", "load")
    assert_adds_up(alone, 80.0)
    for element in group:
        turned = explain_regressor(net, element.apply(x), parameters=load)["f"]
        back = element.undo(torch.tensor(turned.part_contributions)).numpy()
        np.testing.assert_allclose(back, one.part_contributions, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("head", HEADS)
def test_references(head: str) -> None:
    net, x = regressor(head=HEADS[head], outputs=3), inputs(2)
    plain = explain_regressor(net, x)
    against = explain_regressor(net, x, reference=x[1])
    mean = {name: one.mean(name="train-mean") for name, one in plain.items()}
    for target, one in explain_regressor(net, x, reference=mean).items():
        np.testing.assert_allclose(one.baseline, plain[target].prediction.mean())
        np.testing.assert_allclose(one.part_contributions.mean(axis=0), 0.0, atol=1e-10)
        np.testing.assert_allclose(against[target].part_contributions[1], 0.0, atol=1e-12)
        np.testing.assert_allclose(against[target].total, one.prediction - one.prediction[1], rtol=1e-9, atol=1e-10)
    other = explain_regressor(regressor(head={"head_stages": (3,)}, outputs=3), x)
    with pytest.raises(DataError, match="the part names of the other map must be"):
        explain_regressor(net, x, reference=other)


@pytest.mark.parametrize("times", [2, 4])
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("head", ["two stages", "both"])
def test_a_finer_map_keeps_the_total_of_each_stages_own_cells(head: str, ndim: int, times: int) -> None:
    net, x = regressor("resnet", ndim, head=HEADS[head] | {"head_stages": (2, 3)}), inputs(ndim, batch=1)
    coarse = explain_regressor(net, x, input_axes=axes(ndim))["f"]
    fine = explain_regressor(net, x, input_axes=axes(ndim), resolution=times)["f"]
    assert_adds_up(fine, 80.0)
    assert 0 < fine.correction[0] < 1
    np.testing.assert_allclose(fine.part_totals, coarse.part_totals, rtol=1e-9)
    assert all(many.size > few.size for many, few in zip(fine.axes, coarse.axes, strict=True))
    coarsest = 8  # samples of the input that a cell of the third stage spans
    for axis in fine.axes:  # every cell of the coarsest stage keeps what all stages together carry in it
        step = coarsest * 0.5
        edges = axis.edges[0] + step * np.arange(round((axis.edges[-1] - axis.edges[0]) / step) + 1)
        for low, high in pairwise(edges):
            bounds = {axis.name: (low, high)}
            np.testing.assert_allclose(fine.within(**bounds), coarse.within(**bounds), rtol=1e-9, atol=1e-9)


def test_a_finer_stage_is_what_that_stage_alone_would_show() -> None:
    """Each stage's part of the finer map equals the finer map of a net that pools this stage alone."""
    net, x = regressor("plain", 1, head={"head_stages": (2, 3)}), inputs(1)
    fine = explain_regressor(net, x, resolution=2)["f"]
    for stage, columns in ((2, slice(0, 4)), (3, slice(4, 9))):
        alone = regressor("plain", 1, head={"head_stages": (stage,)})
        state = net.state_dict() | {"head.weight": net.head.weight[:, columns]}
        alone.load_state_dict({name: value for name, value in state.items() if name in alone.state_dict()})
        own = explain_regressor(alone, x, resolution=2)["f"]
        moved = own.contributions @ overlap(own.axes[0], fine.axes[0]).T
        np.testing.assert_allclose(fine.part(f"stage {stage}").contributions, moved, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", ["grad-ram", "hirescam", "xgrad-cam", "ablation-cam"])
@pytest.mark.parametrize("head", ["stages", "both"])
def test_methods_of_a_layer_agree_at_the_features(head: str, method: str) -> None:
    net, x = regressor("resnet", head=HEADS[head]), inputs(2)
    one, exact = explain_regressor(net, x, method=method)["f"], explain_regressor(net, x)["f"]
    np.testing.assert_allclose(one.contributions, exact.contributions, rtol=1e-9, atol=1e-11)
    assert all(a.same_grid(b) for a, b in zip(one.axes, exact.axes, strict=True))


def test_parts_are_kept_in_a_file(tmp_path) -> None:
    one = explain_regressor(regressor(), inputs(2), input_axes=axes(2))["f"]
    save_maps(tmp_path / "maps.h5", {"f": one})
    again = load_maps(tmp_path / "maps.h5")["f"]
    assert (again.part_names, again.part_kind) == (("stage 1", "stage 2", "stage 3"), "stage")
    np.testing.assert_array_equal(again.part_contributions, one.part_contributions)
    with pytest.raises(ConfigError, match=r"a part must be one of stage 1, .* Got stage2. Did you mean 'stage 2'"):
        again.part("stage2")
    with pytest.raises(ConfigError, match=r"a part must be left out, for the map has none\. Got stage 2"):
        again.part("stage 1").part("stage 2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"part_names": ("a", "b")}, r"shape of part_contributions must be \(3, 2, 8, 12\). Got \(3, 3, 8, 12\)"),
        ({"part_kind": "piece"}, r"part_kind must be one of channel, stage, layer. Got piece"),
        ({"part_units": ("mm",)}, r"the length of part_units must be 3. Got 1"),
    ],
)
def test_parts_must_belong_to_their_map(change: dict[str, Any], message: str) -> None:
    from dataclasses import replace

    one = explain_regressor(regressor(), inputs(2))["f"]
    with pytest.raises(DataError, match=message):
        replace(one, **change)


@pytest.mark.parametrize("stages", [(0, 1), (1, 4), (2, 1), (1, 1)])
def test_stages_that_are_not_there(stages: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"model.head_stages: stages must be ascending numbers from 1 to 3, one for"):
        regressor(head={"head_stages": stages})


class Pyramid(nn.Module):
    """A net of somebody's own: the means of three activations beside each other, on cells that do not nest."""

    def __init__(self, ndim: int, *, outputs: int = 3, summed: bool = False, stride: int = 3) -> None:
        super().__init__()
        torch.manual_seed(4)
        conv = CONVOLUTION[ndim]
        self.first, self.second = conv(2, 4, 3, padding=1, stride=2), conv(4, 5, 3, stride=stride, padding=1)
        self.third, self.summed = conv(5, 3, 1), summed
        self.mix, self.last = nn.Linear(12, 6), nn.Linear(6, outputs)

    def forward(self, x: Tensor) -> Tensor:
        a = torch.relu(self.first(x))
        b = torch.relu(self.second(a))
        c = torch.tanh(self.third(b))
        means = [one.flatten(2).mean(2) for one in (c, a, b)]
        if self.summed:
            means[1] = a.flatten(2).sum(2)
        return self.last(self.mix(torch.cat(means, dim=1)))


@pytest.mark.parametrize("summed", [False, True])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_multi_scale_head_of_the_users_own_is_found(ndim: int, outputs: int, summed: bool) -> None:  # noqa: FBT001
    net, x = Pyramid(ndim, outputs=outputs, summed=summed).double().train(), inputs(ndim)
    one = explain(net, x, output=outputs - 1, target_scale=10.0, target_mean=50.0, axes=axes(ndim))
    with torch.no_grad():
        np.testing.assert_allclose(one.prediction, 50 + 10 * net(x)[:, outputs - 1], rtol=1e-12)
        a = torch.relu(net.first(x)).numpy()
    assert_adds_up(one, 10.0)
    assert one.grade == "exact"
    assert one.part_names == ("stage 1", "stage 2", "stage 3")
    assert one.contributions.shape[1:] == a.shape[2:]
    weight = (net.last.weight @ net.mix.weight)[outputs - 1].detach().numpy()[3:7] * (a[0, 0].size if summed else 1)
    expected = 10 / a[0, 0].size * np.einsum("k,bk...->b...", weight, a)
    np.testing.assert_allclose(one.part_contributions[:, 1], expected, rtol=1e-10, atol=1e-13)
    alone = explain(net, x[[1]], output=outputs - 1, target_scale=10.0, target_mean=50.0)
    np.testing.assert_allclose(alone.contributions[0], one.contributions[1], rtol=1e-10, atol=1e-13)


def test_methods_of_a_layer_take_the_last_one_of_such_a_net() -> None:
    net, x = Pyramid(2).double(), inputs(2)
    one = explain(net, x, method="grad-ram", output=1)
    np.testing.assert_array_equal(
        one.contributions, explain(net, x, method="grad-ram", output=1, layer="third").contributions
    )
    np.testing.assert_allclose(one.baseline + one.total + one.residual, one.prediction, rtol=1e-12)


def test_a_finer_map_of_such_a_net() -> None:
    net, x = Pyramid(1, stride=2).double(), inputs(1)
    coarse, fine = explain(net, x), explain(net, x, resolution=2)
    np.testing.assert_allclose(fine.part_totals, coarse.part_totals, rtol=1e-9, atol=1e-12)
    assert_adds_up(fine, 1.0)


def test_a_head_of_which_a_part_is_no_mean_is_told_which() -> None:
    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Conv2d(2, 4, 3), nn.Linear(6, 1)

        def forward(self, x: Tensor) -> Tensor:
            a = torch.relu(self.body(x))
            return self.head(torch.cat([a.mean((2, 3)), x.amax((2, 3))], dim=1))

    with pytest.raises(ModelError, match=r"Got 6 inputs of head, of which those from 4 on are no such mean"):
        explain(Beside().double(), inputs(2))
