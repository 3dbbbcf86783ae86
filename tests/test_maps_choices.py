"""What a user may choose: outputs, layers, channels, sums for means; nets compiled, halved, frozen."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ram.errors import ConfigError, ModelError
from ram.maps.explain import explain, explain_regressor
from ram.maps.methods import METHODS
from ram.maps.regression_map import RegressionMap, load_maps, save_maps
from ram.models.backbones import build_backbone
from ram.models.regressor import Regressor, TargetScaling
from ram.testing import check_regressor

CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOL = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
SHAPE = {1: (3, 2, 16), 2: (3, 2, 8, 12), 3: (2, 2, 4, 4, 8)}
ADDING = ["grad-ram", "hirescam", "xgrad-cam", "ablation-cam"]
PUBLISHED = ["grad-cam", "grad-cam++", "layercam"]


def inputs(ndim: int = 2) -> Tensor:
    return torch.rand(SHAPE[ndim], dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def curved(ndim: int = 2, *, outputs: int = 1) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        CONVOLUTION[ndim](2, 5, 4, stride=2, padding=1), nn.ReLU(),
        CONVOLUTION[ndim](5, 6, 3, padding=1, stride=2), nn.ReLU(),
        POOL[ndim](2), nn.Flatten(), nn.Linear(6 * 2**ndim, 7), nn.ReLU(), nn.Linear(7, outputs),
    ).double().eval()  # fmt: skip


def pooled(*, outputs: int = 1, ndim: int = 2) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        CONVOLUTION[ndim](2, 5, 4, stride=2, padding=1), nn.ReLU(), CONVOLUTION[ndim](5, 6, 3, padding=1), nn.ReLU(),
        POOL[ndim](1), nn.Flatten(), nn.Linear(6, outputs),
    ).double().eval()  # fmt: skip


# Outputs


class Answers(nn.Module):
    """A net that answers as `form` says: a dict, a tuple, both."""

    def __init__(self, form: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.net, self.form = pooled(outputs=3), form

    def forward(self, x: Tensor) -> Any:
        return self.form(self.net(x))


FORMS: dict[str, tuple[Callable[[Tensor], Any], Any]] = {
    "a dict": (lambda y: {"depth": y[:, 1], "width": y[:, 0]}, "depth"),
    "a dict of columns": (lambda y: {"depth": y[:, 1:2]}, "depth"),
    "a dict of several": (lambda y: {"both": y, "rest": y[:, :1]}, ("both", 1)),
    "a tuple": (lambda y: (y[:, 0], y[:, 1]), 1),
    "a tuple of several": (lambda y: (y[:, :1], y[:, :2]), (1, 1)),
    "a dict in a tuple": (lambda y: (None, {"depth": y}), (1, "depth", 1)),
    "one alone": (lambda y: {"depth": y[:, 1]}, ("depth", 0)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("method", ["ram", "grad-ram", "integrated-gradients"])
def test_an_output_by_its_name_or_place(form: str, method: str) -> None:
    answers, output = FORMS[form]
    one = explain(Answers(answers).double(), inputs(), method=method, output=output)
    expected = explain(pooled(outputs=3), inputs(), method=method, output=1)
    np.testing.assert_allclose(one.contributions, expected.contributions, rtol=1e-9, atol=1e-12)
    assert one.target == (output if isinstance(output, str) else f"output {output}")
    check_regressor(Answers(answers).double(), inputs(), output=output, method=method)


@pytest.mark.parametrize(
    ("form", "output", "message"),
    [
        ("a dict", 0, r"output must be one of depth, width. Got 0"),
        ("a dict", "deph", r"output must be one of depth, width. Got deph. Did you mean 'depth'\?"),
        ("a dict of several", "both", r"a name and a column, 0 to 2: what is named has 3. Got both"),
        ("a dict of several", ("both", 3), r"a name and a column, 0 to 2: what is named has 3. Got \('both', 3\)"),
        ("a dict of several", ("both", 1, 1), r"a name and a column, 0 to 2"),
        ("a tuple", 2, r"output must be one of 0, 1. Got 2. Name a column of it by a tuple: output=\(name, column\)"),
        ("a dict in a tuple", 0, r"the net's output must be of shape \(batch,\) or \(batch, outputs\). Got NoneType"),
        ("a dict in a tuple", (0, 1), r"output must be a tensor, or a dict or tuple of tensors. Got NoneType"),
    ],
)  # fmt: skip
def test_an_output_that_is_not_there(form: str, output: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        explain(Answers(FORMS[form][0]).double(), inputs(), output=output)


def regressor() -> Regressor:
    torch.manual_seed(5)
    backbone = build_backbone("resnet", ndim=2, channels=2, widths=(4, 6), depth=1)
    targets = [TargetScaling("f", "Hz", 500.0, 80.0), TargetScaling("m", "kg", 7.0, 0.5)]
    net = Regressor(backbone, targets=targets, input_mean=[0.5, 0.2], input_scale=[0.3, 0.4])
    for name, weight in net.named_parameters():
        if name.endswith(("factor", "bias")):
            weight.data.fill_(0.6)
    return net.double()


def test_a_regressors_output_by_its_target() -> None:
    one = explain(regressor(), inputs(), output="m")
    np.testing.assert_array_equal(one.contributions, explain(regressor(), inputs(), output=1).contributions)
    with pytest.raises(ConfigError, match=r"output must be one of 0, 1, f, m. Got mm. Did you mean 'm'"):
        explain(regressor(), inputs(), output="mm")


# Heads


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("summed", [False, True])
def test_a_net_without_a_linear_unit_whose_output_is_a_features_mean(ndim: int, summed: bool) -> None:  # noqa: FBT001
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(2)
            self.body, self.last = CONVOLUTION[ndim](2, 4, 3, padding=1, stride=2), CONVOLUTION[ndim](4, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            a = self.last(torch.relu(self.body(x))).flatten(2)
            return a.sum(dim=2) if summed else a.mean(dim=2)

    net, x = Bare().double(), inputs(ndim)
    one = explain(net, x, output=2, target_mean=3.0, target_scale=2.0)
    a = net.last(torch.relu(net.body(x)))[:, 2].detach().numpy()
    np.testing.assert_allclose(one.contributions, 2 * a / (1 if summed else a[0].size), rtol=1e-12)
    np.testing.assert_allclose(one.baseline, 3.0)
    np.testing.assert_allclose(one.residual, 0.0, atol=1e-12)
    assert one.grade == "exact"


# Sums for means


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_zhous_map_is_the_sum_of_weighed_features_and_ram_its_share_of_the_mean(ndim: int) -> None:
    net, x = pooled(outputs=3, ndim=ndim), inputs(ndim)
    cam, ram = (explain(net, x, method=name, output=2, target_scale=10.0) for name in ("cam", "ram"))
    with torch.no_grad():
        a = net[:4](x)
        expected = 10 * torch.einsum("k,bk...->b...", net[-1].weight[2], a)
    np.testing.assert_allclose(cam.contributions, expected, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(cam.contributions, ram.contributions * a[0, 0].numel(), rtol=1e-12)
    assert (cam.grade, cam.map_unit) == ("relative", "1")
    assert np.isnan(cam.residual).all()


def test_where_the_net_sums_both_are_the_same() -> None:
    class Summed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.body, self.fc = nn.Conv2d(2, 4, 3), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(torch.relu(self.body(x)).sum((2, 3)))

    net = Summed().double()
    np.testing.assert_allclose(
        explain(net, inputs(), method="cam").contributions, explain(net, inputs()).contributions, rtol=1e-12
    )


def test_the_map_of_several_stages_sums_what_stands_at_a_place() -> None:
    torch.manual_seed(3)
    backbone = build_backbone("plain", ndim=1, channels=2, widths=(3, 4), depth=1, head_stages=(1, 2))
    net = Regressor(backbone, targets=[TargetScaling("f", "Hz", 5.0, 8.0)], input_mean=[0, 0], input_scale=[1, 1])
    net, x = net.double().eval(), inputs(1)
    with torch.no_grad():
        first, second = net.feature_maps(x)
        weight = 8 * net.head.weight[0]
        expected = torch.einsum("k,bkc->bc", weight[:3], first)
        expected += torch.einsum("k,bkc->bc", weight[3:], second).repeat_interleave(2, dim=1)
    np.testing.assert_allclose(explain(net, x, method="cam").contributions, expected, rtol=1e-10)


# Several layers


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("method", ADDING)
def test_maps_that_add_up_are_averaged_over_layers_and_still_add_up(method: str, ndim: int) -> None:
    net, x = curved(ndim, outputs=3), inputs(ndim)
    options = {"method": method, "output": 2, "target_scale": 10.0, "target_mean": 50.0}
    one = explain(net, x, layer=["1", "3"], **options)
    alone = [explain(net, x, layer=layer, **options) for layer in ("1", "3")]
    np.testing.assert_allclose(one.total, np.mean([a.total for a in alone], axis=0), rtol=1e-10)
    np.testing.assert_allclose(one.baseline, np.mean([a.baseline for a in alone], axis=0), rtol=1e-12)
    np.testing.assert_allclose(one.residual, np.mean([a.residual for a in alone], axis=0), atol=1e-11)
    np.testing.assert_allclose(one.baseline + one.total + one.residual, one.prediction, rtol=1e-12)
    assert (one.grade, one.part_kind, one.part_names) == ("first-order", "layer", ("1", "3"))
    np.testing.assert_allclose(one.part("1").contributions, alone[0].contributions / 2, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(one.part_totals[:, 1], alone[1].contributions.reshape(len(x), -1).sum(1) / 2, rtol=1e-9)
    assert all(a.same_grid(b) for a, b in zip(one.axes, alone[0].axes, strict=True))
    row = explain(net, x[[1]], layer=["1", "3"], **options)
    np.testing.assert_allclose(row.contributions[0], one.contributions[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", PUBLISHED)
def test_published_maps_of_several_layers_are_joined_by_their_maximum(method: str) -> None:
    net, x = curved(), inputs()
    one = explain(net, x, method=method, layer=["1", "3"])
    fine, coarse = (explain(net, x, method=method, layer=layer) for layer in ("1", "3"))
    expected = []
    for row in range(len(x)):
        pair = [np.tanh(2 * m.contributions[row] / (m.contributions[row].max() or 1.0)) for m in (fine, coarse)]
        area = [np.diff(axis.edges) for axis in fine.axes]
        inside = [
            np.clip(np.minimum(c.edges[1:], f.edges[1:, None]) - np.maximum(c.edges[:-1], f.edges[:-1, None]), 0, None)
            for c, f in zip(coarse.axes, fine.axes, strict=True)
        ]
        lying = (inside[0] / area[0][:, None]) @ pair[1] @ (inside[1] / area[1][:, None]).T
        expected.append(np.maximum(pair[0], lying))
    np.testing.assert_allclose(one.contributions, expected, rtol=1e-9, atol=1e-12)
    assert one.contributions.max() == pytest.approx(np.tanh(2.0))
    assert (one.grade, one.map_unit) == ("relative", "1")


def test_layers_of_a_regressor_with_parameters_beside() -> None:
    net, x = regressor(), inputs()
    layers = ["backbone.stem", "backbone.stages.1", "backbone"]
    one = explain_regressor(net, x, method="grad-ram", layer=layers)["f"]
    np.testing.assert_allclose(one.baseline + one.total + one.residual, one.prediction, rtol=1e-12)
    exact = explain_regressor(net, x)["f"]
    np.testing.assert_allclose(one.part_totals[:, 2], exact.total / 3, rtol=1e-9)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "eigen-cam", "layer": ["1", "3"]}, r"method eigen-cam: layer must be one name. Got 2. Maps that"),
        ({"method": "ram", "layer": ["1", "3"]}, r"method ram: layer must be one name. Got 2"),
        ({"method": "grad-ram", "layer": []}, r"layer must be one name or several, each once. Got \[\]"),
        ({"method": "grad-ram", "layer": ["1", "1"]}, r"each once. Got \['1', '1'\]"),
        ({"method": "guided-grad-cam", "layer": ["1", "3"]}, r"method guided-grad-cam: layer must be one name. Got 2"),
        ({"method": "gradient", "channel": 0, "layer": "1"}, r"method gradient: layer must be left out"),
        ({"method": "gradient", "channel": "each", "channel_unit": ["m"]}, r"channel_unit must be one for all .* or 2"),
        ({"method": "gradient", "channel": "all"}, r"channel must be 0 to 1, or 'each'. Got all"),
    ],
)  # fmt: skip
def test_what_cannot_be_put_together(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        explain(curved(), inputs(), **given)


# Guided Grad-CAM


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_guided_grad_cam_is_the_product_of_the_two_maps_by_numpy(ndim: int) -> None:
    net, x = curved(ndim), inputs(ndim)
    one = explain(net, x, method="guided-grad-cam", layer="3", channel="each", target_scale=10.0)
    guided = explain(net, x, method="guided-backprop", channel="each").part_contributions
    cam = torch.from_numpy(explain(net, x, method="grad-cam", layer="3").contributions[:, None].copy())
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[ndim]
    fine = functional.interpolate(cam, size=tuple(x.shape[2:]), mode=mode, align_corners=False).numpy()
    np.testing.assert_allclose(one.part_contributions, 10 * guided * fine, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(one.contributions, (10 * guided * fine).sum(axis=1), rtol=1e-9, atol=1e-14)
    assert (one.grade, one.map_unit) == ("relative", "1")


def test_captums_guided_grad_cam_says_the_same() -> None:
    from captum.attr import GuidedGradCam

    net, x = curved(outputs=2), inputs()
    with pytest.warns(UserWarning, match="backward hooks"):
        theirs = GuidedGradCam(net, net[3]).attribute(x.clone().requires_grad_(), target=1, interpolate_mode="bilinear")
    one = explain(net, x, method="guided-grad-cam", layer="3", output=1, channel="each")
    np.testing.assert_allclose(one.part_contributions, theirs.detach().numpy(), rtol=1e-6, atol=1e-10)


def test_what_outlives_the_weights_is_said_as_measured() -> None:
    """The figures in the methods' own words are those that benchmarks/randomisation.py wrote, of both its nets."""
    file = Path(__file__).resolve().parents[1] / "benchmarks" / "results" / "randomisation.json"
    found = [one["rank_correlation"] for one in json.loads(file.read_text(encoding="utf-8")).values()]
    for name in ("guided-backprop", "guided-grad-cam"):
        low, high = sorted(one[name][-1] for one in found)
        said = f"all weights drawn anew, {low:.2f} to {high:.2f} of its ranking stays in two nets"
        assert said in METHODS[name].summary
    (left,) = {f"{one['gradient'][-1]:.2f}" for one in found}
    assert f"(gradient: {left})" in METHODS["guided-backprop"].summary
    # What docs/results.py says of the two nets: at every depth more than the gradient, and not so.
    more = [np.greater(one["guided-backprop"], one["gradient"]) for one in found]
    assert more[0].all()
    assert not more[1].all()


# Each channel


def asked(name: str, ndim: int = 2) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    if "region" in name:
        codes = np.zeros(SHAPE[ndim][2:], dtype=np.uint8)
        codes[..., 3:6] = 4
        wanted |= {"regions": codes}
    if "samples" in METHODS[name].options:
        wanted |= {"options": {"samples": 3}}
    return wanted


OF_INPUT = [name for name, method in METHODS.items() if method.kind == "input"]


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("name", OF_INPUT)
def test_each_channel_at_once_is_what_one_at_a_time_gives(name: str, ndim: int) -> None:
    net, x = curved(ndim, outputs=3), inputs(ndim)
    options = {"method": name, "output": 2, "target_scale": 10.0, **asked(name, ndim)}
    each = explain(net, x, channel="each", **options)
    assert (each.part_names, each.part_kind) == (("channel 0", "channel 1"), "channel")
    for channel in range(2):
        alone = explain(net, x, channel=channel, **options)
        part = each.part(f"channel {channel}")
        np.testing.assert_allclose(part.contributions, alone.contributions, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(each.part_contributions.sum(axis=1), each.contributions, rtol=1e-10, atol=1e-13)
    if METHODS[name].grade not in {"sensitivity", "effect"} and name != "shapley-regions":
        both = explain(net, x, **options)  # what is taken away together is another question
        np.testing.assert_allclose(each.contributions, both.contributions, rtol=1e-9, atol=1e-12)
    if each.adds_up:
        part = each.part("channel 1")
        np.testing.assert_allclose(part.residual, each.residual, atol=1e-11)
    else:
        assert each.part("channel 1").parameter_names == ()


def test_slopes_in_different_units_have_no_sum(tmp_path) -> None:
    options = {"method": "gradient", "channel": "each", "unit": "Hz", "target": "f"}
    one = explain(curved(), inputs(), channel_unit=["mm", "1"], **options)
    assert one.part_units == ("Hz/mm", "Hz")
    assert one.part("channel 0").map_unit == "Hz/mm"
    assert np.isnan(one.contributions).all()
    assert np.isfinite(one.part("channel 1").contributions).all()
    same = explain(curved(), inputs(), channel_unit="mm", **options)
    assert (same.map_unit, same.part_units) == ("Hz/mm", ())
    np.testing.assert_array_equal(same.part_contributions, one.part_contributions)
    save_maps(tmp_path / "maps.h5", {"f": one})
    again = load_maps(tmp_path / "maps.h5")["f"]
    assert again.part_units == one.part_units
    np.testing.assert_array_equal(again.part("channel 0").contributions, one.part("channel 0").contributions)


def test_one_channel_is_a_part_too() -> None:
    net = nn.Sequential(nn.Conv1d(1, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(3, 1)).double()
    one = explain(net, inputs(1)[:, :1], method="gradient", channel="each", channel_unit=["mm"], unit="Hz")
    assert (one.part_names, one.part_units, one.map_unit) == (("channel 0",), (), "Hz/mm")
    np.testing.assert_array_equal(one.part("channel 0").contributions, one.contributions)


@pytest.mark.parametrize("name", ["occlusion", "region-ablation"])
def test_what_a_channel_loses_is_what_is_lost_without_it_alone(name: str) -> None:
    net, x = curved(), inputs()
    codes = np.zeros(SHAPE[2][2:], dtype=np.uint8)
    wanted = {"regions": codes} if name == "region-ablation" else {"options": {"window": 1.0}}
    one = explain(net, x, method=name, channel="each", **wanted)
    for channel in range(2):
        without = x.clone()
        without[:, channel] = 0
        lost = (net(x) - net(without))[:, 0].detach().numpy()
        area = codes.size if name == "occlusion" else 1  # a window's loss stands at each of its values
        np.testing.assert_allclose(one.part_totals[:, channel] / area, lost, rtol=1e-6)  # captum averages in float32
    together = explain(net, x, method=name, **wanted)
    lost = (net(x) - net(0 * x))[:, 0].detach().numpy()
    np.testing.assert_allclose(together.total / area, lost, rtol=1e-6)


# Draws


@pytest.mark.parametrize("name", ["smoothgrad", "gradient-shap"])
def test_draws_belong_to_a_samples_id(name: str) -> None:
    net, x = curved(), inputs()
    options = {"method": name, "channel": "each", "options": {"samples": 4}, "seed": 7}
    if name == "gradient-shap":
        options["reference"] = torch.rand(5, *x.shape[1:], dtype=torch.float64)
    whole = explain(net, x, ids=["a", "b", "c"], **options)
    turned = explain(net, x[[2, 0]], ids=["c", "a"], **options)
    np.testing.assert_allclose(turned.part_contributions, whole.part_contributions[[2, 0]], rtol=1e-10, atol=1e-13)
    for size in (1, 2):
        some = explain(net, x, ids=["a", "b", "c"], batch_size=size, **options)
        np.testing.assert_allclose(some.part_contributions, whole.part_contributions, rtol=1e-10, atol=1e-13)
    other = explain(net, x, ids=["a", "b", "d"], **options)
    assert not np.allclose(other.part_contributions[2], whole.part_contributions[2])
    again = explain(net, x, ids=["a", "b", "c"], **{**options, "seed": 8})
    assert not np.allclose(again.part_contributions, whole.part_contributions)


def test_shapley_values_of_regions_of_each_samples_own_do_not_depend_on_the_batch() -> None:
    net, x = curved(), inputs()
    codes = np.stack([np.arange(96).reshape(8, 12) // width for width in (10, 30, 12)]).astype(np.uint8)
    whole = explain(net, x, method="shapley-regions", regions=codes, options={"samples": 2})
    alone = explain(net, x[[0]], method="shapley-regions", regions=codes[:1], options={"samples": 2})
    np.testing.assert_allclose(alone.contributions[0], whole.contributions[0], rtol=1e-6, atol=1e-9)


# Nets as users have them


def wish_for(name: str) -> dict[str, Any]:
    wanted = asked(name)
    if METHODS[name].grade == "sensitivity":
        wanted |= {"channel": "each"}
    if METHODS[name].looks_at_layer and METHODS[name].kind != "head":
        wanted |= {"layer": "3"}
    return wanted


@pytest.mark.parametrize("name", METHODS)
def test_frozen_nets_in_training_mode(name: str) -> None:
    net, x = pooled().train(), inputs()
    expected = explain(copy.deepcopy(net), x, method=name, **wish_for(name))
    net.requires_grad_(False)  # noqa: FBT003 - torch's
    one = explain(net, x, method=name, **wish_for(name))
    np.testing.assert_allclose(one.contributions, expected.contributions, rtol=1e-12, atol=1e-15)
    assert not any(weight.requires_grad for weight in net.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", METHODS)
def test_nets_in_half_precision(name: str, dtype: torch.dtype) -> None:
    """As in full precision, to what half of it rounds away."""
    full, x = pooled().float(), inputs().float()
    expected = explain(full, x, method=name, **wish_for(name))
    one = explain(copy.deepcopy(full).to(dtype), x, method=name, **wish_for(name))
    assert one.grade == METHODS[name].grade
    np.testing.assert_allclose(one.prediction, expected.prediction, rtol=0.05, atol=0.02)
    if name != "deeplift":  # differences of rounded activations are divided by each other
        agreed = np.corrcoef(one.contributions.ravel(), expected.contributions.ravel())[0, 1]
        assert agreed > (0.8 if METHODS[name].kind == "input" else 0.98), name


def same_maps(one: RegressionMap, other: RegressionMap) -> None:
    np.testing.assert_allclose(one.contributions, other.contributions, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(one.prediction, other.prediction, rtol=1e-12)


def compiled_in_part(net: nn.Sequential, backend: str) -> nn.Module:
    return nn.Sequential(torch.compile(net[:4], backend=backend), *net[4:])


def compiled_in_place(net: nn.Sequential, backend: str) -> nn.Module:
    net.compile(backend=backend)
    return net


WAYS: dict[str, Callable[[nn.Sequential, str], nn.Module]] = {
    "whole": lambda net, backend: torch.compile(net, backend=backend),
    "in part": compiled_in_part,
    "in place": compiled_in_place,
}


@pytest.mark.slow  # loads torch's compiler; inductor runs a C++ compiler
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # inductor's own
@pytest.mark.parametrize("backend", ["eager", "aot_eager", "inductor"])
@pytest.mark.parametrize("way", WAYS)
def test_compiled_nets_are_explained_as_they_were_written(way: str, backend: str) -> None:
    plain, x = pooled(), inputs()
    net = WAYS[way](copy.deepcopy(plain), backend)
    with torch.no_grad():
        np.testing.assert_allclose(net(x), plain(x), rtol=1e-9)  # it has run, compiled
    for name in ("ram", "grad-ram", "layercam", "ablation-cam", "integrated-gradients", "guided-backprop", "occlusion"):
        wanted = wish_for(name)
        if way == "in part" and "layer" in wanted:
            wanted["layer"] = "0.3"
        same_maps(explain(net, x, method=name, **wanted), explain(plain, x, method=name, **wish_for(name)))
    with torch.no_grad():
        np.testing.assert_allclose(net(x), plain(x), rtol=1e-9)  # and runs again
