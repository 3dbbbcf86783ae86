"""Methods of layers and of the input: what each grade claims, oracles, and what they do not do to the net."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ram.errors import ConfigError, DataError, ModelError
from ram.maps.explain import explain, explain_regressor
from ram.maps.methods import METHODS, options_for
from ram.maps.regression_map import GRADES, load_maps, save_maps
from ram.models.backbones import build_backbone
from ram.models.dense import DenseLayers
from ram.models.regressor import Regressor, TargetScaling
from ram.models.symmetry import symmetry_group

CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOL = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
LAYERED = [name for name, method in METHODS.items() if method.kind == "layer"]
OF_INPUT = [name for name, method in METHODS.items() if method.kind == "input"]
SHAPE = {1: (3, 2, 16), 2: (3, 2, 8, 12), 3: (2, 2, 4, 4, 8)}


def inputs(ndim: int = 2, *, seed: int = 0) -> torch.Tensor:
    return torch.rand(SHAPE[ndim], dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def curved(ndim: int = 2, *, outputs: int = 1) -> nn.Sequential:
    """A net whose output is not linear in its last activation: a dense head with a ReLU."""
    torch.manual_seed(1)
    return nn.Sequential(
        CONVOLUTION[ndim](2, 5, 4, stride=2, padding=1), nn.ReLU(),
        CONVOLUTION[ndim](5, 6, 3, padding=1), nn.ReLU(),
        POOL[ndim](2), nn.Flatten(), nn.Linear(6 * 2**ndim, 7), nn.ReLU(), nn.Linear(7, outputs),
    ).double().eval()  # fmt: skip


def pooled(ndim: int = 2, *, outputs: int = 1) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        CONVOLUTION[ndim](2, 5, 4, stride=2, padding=1), nn.ReLU(),
        CONVOLUTION[ndim](5, 6, 3, padding=1), nn.ReLU(),
        POOL[ndim](1), nn.Flatten(), nn.Linear(6, outputs),
    ).double().eval()  # fmt: skip


def asked(name: str, ndim: int = 2) -> dict[str, object]:
    """What a method wants besides net and inputs."""
    wanted: dict[str, object] = {}
    if METHODS[name].grade == "sensitivity":
        wanted |= {"channel": 1, "channel_unit": "mm"}
    if "region" in name:
        codes = np.zeros(SHAPE[ndim][2:], dtype=np.uint8)
        codes[..., 3:6], codes[..., 6:] = 4, 9
        wanted |= {"regions": codes}
    if "samples" in METHODS[name].options:
        wanted |= {"options": {"samples": 3}}
    return wanted


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("name", [*LAYERED, *OF_INPUT])
def test_every_method_answers_for_any_net_in_any_dimension(name: str, ndim: int) -> None:
    x = inputs(ndim)
    one = explain(curved(ndim, outputs=3), x, method=name, output=2, target="f", unit="Hz", target_scale=10.0,
                  target_mean=50.0, **asked(name, ndim))  # fmt: skip
    assert one.grade in GRADES
    assert (one.grade, one.method) == (METHODS[name].grade, name)
    cells = x.shape[2:] if METHODS[name].kind == "input" else tuple(size // 2 for size in x.shape[2:])
    assert one.contributions.shape == (len(x), *cells)
    assert np.isfinite(one.contributions).all()
    expected = 50 + 10 * curved(ndim, outputs=3)(x)[:, 2].detach().numpy()
    np.testing.assert_allclose(one.prediction, expected, rtol=1e-12)
    units = {"sensitivity": "Hz/mm", "relative": "1"}
    assert one.map_unit == units.get(one.grade, "Hz")
    if one.adds_up:
        np.testing.assert_allclose(one.baseline + one.total + one.residual, one.prediction, rtol=1e-12)
    else:
        assert np.isnan(one.residual).all()
        assert np.isnan(one.baseline).all()


@pytest.mark.parametrize("name", ["grad-ram", "hirescam", "xgrad-cam", "ablation-cam"])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_first_order_methods_are_exact_ram_where_the_net_is_linear(name: str, ndim: int) -> None:
    net, x = pooled(ndim, outputs=2), inputs(ndim)
    ram = explain(net, x, output=1, target_scale=3.0, target_mean=7.0)
    for layer in (None, "3"):  # closed form, and by the gradient
        one = explain(net, x, output=1, method=name, layer=layer, target_scale=3.0, target_mean=7.0)
        np.testing.assert_allclose(one.contributions, ram.contributions, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(one.baseline, ram.baseline, rtol=1e-9)
        np.testing.assert_allclose(one.residual, 0.0, atol=1e-9)
        assert all(a.same_grid(b) for a, b in zip(one.axes, ram.axes, strict=True))


def test_the_residual_of_a_first_order_map_is_what_the_expansion_misses() -> None:
    net, x = curved(), inputs()
    one = explain(net, x, method="hirescam", layer="1")
    a = net[:2](x).detach().requires_grad_()
    y = net[2:](a)[:, 0]
    (g,) = torch.autograd.grad(y.sum(), a)
    silent = net[2:](torch.zeros_like(a))[:, 0]
    np.testing.assert_allclose(one.contributions, (a * g).sum(1).detach().numpy(), rtol=1e-10)
    np.testing.assert_allclose(one.residual, (y - silent - (a * g).flatten(1).sum(1)).detach().numpy(), atol=1e-12)
    assert np.abs(one.residual).max() > 1e-3


def captum_grad_cam(net: nn.Module, x: torch.Tensor, layer: nn.Module) -> np.ndarray:
    from captum.attr import LayerGradCam

    return LayerGradCam(net, layer).attribute(x, target=0)[:, 0].detach().numpy()


@pytest.mark.parametrize("layer", [0, 1, 2, 3])
def test_grad_ram_is_captums_grad_cam_and_the_published_one_its_positive_part(layer: int) -> None:
    net, x = curved(), inputs()
    expected = captum_grad_cam(net, x, net[layer])
    signed = explain(net, x, method="grad-ram", layer=str(layer)).contributions
    np.testing.assert_allclose(signed, expected, rtol=1e-10, atol=1e-14)
    positive = explain(net, x, method="grad-cam", layer=str(layer)).contributions
    np.testing.assert_allclose(positive, np.maximum(expected, 0), rtol=1e-10, atol=1e-14)


def test_captums_published_numbers_for_its_own_net() -> None:
    from captum.testing.helpers.basic_models import BasicModel_ConvNet_One_Conv

    net = BasicModel_ConvNet_One_Conv().eval()
    x = torch.arange(16.0).view(1, 1, 4, 4)
    one = explain(net, x, method="grad-ram", layer="conv1")
    np.testing.assert_allclose(one.contributions[0].ravel(), [11.25, 13.5, 20.25, 22.5])


def loops(net: nn.Module, x: torch.Tensor, weigh: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """A map by NumPy from activation and gradient of layer 1, sample by sample."""
    a = net[:2](x).detach().requires_grad_()
    (g,) = torch.autograd.grad(net[2:](a).sum(), a)
    pairs = zip(a.detach().numpy(), g.numpy(), strict=True)
    return np.stack([weigh(one, slope) for one, slope in pairs])


def np_plus_plus(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    total = np.zeros(a.shape[1:])
    for one, slope in zip(a, g, strict=True):
        below = 2 * slope**2 + one.sum() * slope**3
        alpha = np.divide(slope**2, below, out=np.zeros_like(below), where=below != 0)
        total += (alpha * np.maximum(slope, 0)).sum() * one
    return np.maximum(total, 0)


def np_xgrad(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    return sum((one * slope).sum() / one.sum() * one if one.sum() else 0 * one for one, slope in zip(a, g, strict=True))


def np_layer(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    return np.maximum((np.maximum(g, 0) * a).sum(axis=0), 0)


def np_eigen(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    flat = a.reshape(len(a), -1).T
    values, vectors = np.linalg.eigh(flat.T @ flat)
    along = flat @ vectors[:, np.argmax(values)]
    return (along * (1 if along.sum() >= 0 else -1)).reshape(a.shape[1:])


@pytest.mark.parametrize(
    ("name", "weigh"),
    [("grad-cam++", np_plus_plus), ("xgrad-cam", np_xgrad), ("layercam", np_layer), ("eigen-cam", np_eigen)],
)
def test_the_formulas_are_those_of_the_papers(name: str, weigh: Callable[..., np.ndarray]) -> None:
    net, x = curved(), inputs()
    expected = loops(net, x, weigh)
    np.testing.assert_allclose(explain(net, x, method=name, layer="1").contributions, expected, rtol=1e-8, atol=1e-12)


def test_ablation_takes_features_away_one_by_one() -> None:
    net, x = curved(), inputs()
    one = explain(net, x, method="ablation-cam", layer="1")
    a = net[:2](x).detach()
    expected = np.zeros(one.contributions.shape)
    for k in range(a.shape[1]):
        without = a.clone()
        without[:, k] = 0
        lost = (net[2:](a) - net[2:](without))[:, 0].detach().numpy()
        share = (a[:, k] / a[:, k].sum((1, 2), keepdim=True).clamp(min=1e-30)).numpy()
        expected += lost[:, None, None] * share
    np.testing.assert_allclose(one.contributions, expected, rtol=1e-9, atol=1e-12)


def test_score_cam_shows_the_input_where_a_feature_is() -> None:
    net, x = curved(), inputs()
    background = torch.full(x.shape[1:], 0.25, dtype=torch.float64)
    one = explain(net, x, method="score-cam", layer="1", reference=background)
    a = net[:2](x).detach()
    expected = np.zeros(one.contributions.shape)
    for k in range(a.shape[1]):
        fine = functional.interpolate(a[:, k : k + 1], size=x.shape[2:], mode="bilinear", align_corners=False)
        low, high = fine.amin((1, 2, 3), keepdim=True), fine.amax((1, 2, 3), keepdim=True)
        mask = (fine - low) / torch.where(high > low, high - low, 1.0)
        gained = (net(background + mask * (x - background)) - net(background[None]))[:, 0]
        expected += (gained[:, None, None] * a[:, k]).detach().numpy()
    np.testing.assert_allclose(one.contributions, expected, rtol=1e-9, atol=1e-12)


def test_integrated_gradients_sum_to_the_difference_from_the_reference() -> None:
    net, x = curved(), inputs()
    reference = torch.full(x.shape[1:], 0.4, dtype=torch.float64)
    few, many = (
        explain(net, x, method="integrated-gradients", reference=reference, options={"steps": n}) for n in (8, 256)
    )
    np.testing.assert_allclose(many.baseline, net(reference[None])[0, 0].item(), rtol=1e-12)
    assert many.completeness().max() < 1e-3
    assert few.completeness().max() > many.completeness().max()
    assert many.reference == "the given design"


@pytest.mark.parametrize("name", ["deeplift", "shapley-regions"])
def test_other_complete_methods_are_complete(name: str) -> None:
    one = explain(curved(), inputs(), method=name, **asked(name))
    assert one.completeness().max() < 1e-6


def test_shapley_values_of_regions_are_those_of_the_definition() -> None:
    net, x = curved(), inputs()
    wanted = asked("shapley-regions")
    codes = wanted["regions"]
    one = explain(net, x, method="shapley-regions", regions=codes)
    values = {}
    for shown in range(8):
        keep = torch.from_numpy(sum((shown >> bit & 1) * (codes == code) for bit, code in enumerate((0, 4, 9))) > 0)
        values[shown] = net(x * keep)[:, 0].detach().numpy()
    weight = {0: 1 / 3, 1: 1 / 6, 2: 1 / 3}
    for bit, code in enumerate((0, 4, 9)):
        rest = [shown for shown in range(8) if not shown >> bit & 1]
        expected = sum(weight[shown.bit_count()] * (values[shown | 1 << bit] - values[shown]) for shown in rest)
        np.testing.assert_allclose(one.within_mask(codes == code), expected, rtol=1e-6)  # captum sums in float32


def test_a_region_taken_away_is_worth_what_is_lost() -> None:
    net, x = curved(), inputs()
    codes = asked("region-ablation")["regions"]
    one = explain(net, x, method="region-ablation", regions=codes, target_scale=10.0)
    for code in (0, 4, 9):
        lost = 10 * (net(x) - net(x * torch.from_numpy(codes != code)))[:, 0].detach().numpy()
        np.testing.assert_allclose(one.within_mask(codes == code), lost, rtol=1e-9)


def test_the_gradient_is_the_slope_of_the_prediction() -> None:
    net, x = curved(), inputs()
    one = explain(net, x, method="gradient", channel=1, channel_unit="mm", unit="Hz", target_scale=10.0)
    step = torch.zeros_like(x)
    step[:, 1, 2, 3] = 1e-6
    slope = 10 * ((net(x + step) - net(x - step)) / 2e-6)[:, 0].detach().numpy()
    np.testing.assert_allclose(one.contributions[:, 2, 3], slope, rtol=1e-6)
    assert repr(one).endswith("Hz/mm, sensitivity against zero")


def test_guided_backpropagation_lets_positive_gradients_pass() -> None:
    net, x = nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 1)).double(), inputs(1)[:, :1]
    one = explain(net, x, method="guided-backprop")
    hidden = net[1](x.flatten(1)).detach()
    passed = torch.clamp(net[3].weight.detach(), min=0) * (hidden > 0)
    np.testing.assert_allclose(one.contributions, (passed @ net[1].weight.detach()).numpy(), rtol=1e-12)


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 4, 3, padding=1), nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(functional.relu(self.first(x)).mean((2, 3)))


@pytest.mark.parametrize("name", ["deeplift", "guided-backprop"])
def test_a_functional_relu_is_an_error_where_it_would_be_ignored(name: str) -> None:
    message = rf"explain, method {name}: the net must be built of modules such as nn.ReLU.* calls relu as a function"
    with pytest.raises(ModelError, match=message):
        explain(Functional().double(), inputs(), method=name)


def test_a_module_that_is_called_twice_is_an_error_where_each_call_has_a_rule() -> None:
    relu = nn.ReLU()
    layers = nn.Conv2d(2, 3, 3), relu, nn.Conv2d(3, 3, 3), relu, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1)
    net = nn.Sequential(*layers).double()
    with pytest.raises(ModelError, match=r"method deeplift: each nonlinear module .* called once .*Got a Sequential"):
        explain(net, inputs(), method="deeplift")


def test_deeplift_of_a_net_that_averages_over_views_is_that_of_a_net_for_each_view() -> None:
    group, x = symmetry_group(("rotate90", "mirror"), space=(8, 8)), torch.rand(2, 2, 8, 8, dtype=torch.float64)
    net, single = regressor(symmetries=group), regressor()
    one = explain(net, x, method="deeplift", output="f")
    np.testing.assert_allclose(one.prediction, net.eval()(x)[:, 0].detach(), rtol=1e-12)
    assert one.completeness().max() < 1e-9
    by_view = [explain(single, view.apply(x), method="deeplift", output="f") for view in group]
    views = [view.undo(torch.from_numpy(of.contributions.copy())) for view, of in zip(group, by_view, strict=True)]
    np.testing.assert_allclose(one.contributions, torch.stack(views).mean(dim=0), rtol=1e-9, atol=1e-12)
    dense = regressor(symmetries=group, dense=DenseLayers(6 * 4, [3]))
    with pytest.raises(ModelError, match=r"Got a Regressor that calls one several times. Put a module of its own"):
        explain(dense, x, method="deeplift", output="f")


def regressor(**options: object) -> Regressor:
    torch.manual_seed(5)
    backbone = build_backbone("resnet", ndim=2, channels=2, widths=(4, 6), depth=1)
    targets = [TargetScaling("f", "Hz", 500.0, 80.0), TargetScaling("m", "kg", 7.0, 0.5)]
    net = Regressor(backbone, targets=targets, input_mean=[0.5, 0.2], input_scale=[0.3, 0.4], **options)
    for name, weight in net.named_parameters():
        if name.endswith("factor"):
            weight.data.fill_(0.6)
    net.head.bias.data.uniform_(-0.5, 0.5)
    return net.double()


@pytest.mark.parametrize("name", [*LAYERED, *OF_INPUT])
def test_every_method_answers_for_our_own_nets_target_by_target(name: str) -> None:
    net, x = regressor(), torch.rand(2, 2, 8, 8, dtype=torch.float64)
    wanted = asked(name)
    if "regions" in wanted:
        wanted["regions"] = np.tile(np.arange(2, dtype=np.uint8), (8, 4))
    both = explain_regressor(net, x, method=name, **wanted)
    assert list(both) == ["f", "m"]
    expected = net.eval()(x).detach().numpy()
    for number, (target, unit) in enumerate((("f", "Hz"), ("m", "kg"))):
        alone = explain_regressor(net, x, method=name, targets=[target], **wanted)[target]
        np.testing.assert_allclose(alone.contributions, both[target].contributions, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(both[target].prediction, expected[:, number], rtol=1e-12)
        assert both[target].unit == unit


def test_an_inner_layer_of_a_net_that_averages_over_symmetries() -> None:
    group = symmetry_group(("rotate90", "mirror"), space=(8, 8))
    net, x = regressor(symmetries=group), torch.rand(2, 2, 8, 8, dtype=torch.float64)
    inner = explain_regressor(net, x, method="grad-ram", layer="backbone.stem")["f"]
    np.testing.assert_allclose(inner.prediction, net.eval()(x)[:, 0].detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(inner.baseline + inner.total + inner.residual, inner.prediction, rtol=1e-12)
    for element in group:
        turned = explain_regressor(net, element.apply(x), method="grad-ram", layer="backbone.stem")["f"]
        back = element.undo(torch.tensor(turned.contributions))
        np.testing.assert_allclose(back, inner.contributions, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["grad-ram", "ablation-cam", "integrated-gradients", "occlusion", "score-cam"])
def test_design_parameters_beside_the_input_go_with_their_sample(name: str) -> None:
    net = regressor(parameters={"load": "N"}, parameter_mean=[100.0], parameter_scale=[20.0])
    x, load = torch.rand(3, 2, 8, 8, dtype=torch.float64), np.array([[80.0], [100.0], [140.0]])
    layer = "backbone.stages.0" if METHODS[name].kind == "layer" else None
    whole = explain_regressor(net, x, parameters=load, method=name, layer=layer)["f"]
    for row in range(3):
        alone = explain_regressor(net, x[[row]], parameters=load[[row]], method=name, layer=layer)["f"]
        np.testing.assert_allclose(alone.contributions[0], whole.contributions[row], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(alone.baseline[0], whole.baseline[row], rtol=1e-9)
    expected = net.eval()(x, torch.from_numpy(load))[:, 0].detach().numpy()
    np.testing.assert_allclose(whole.prediction, expected, rtol=1e-12)


@pytest.mark.parametrize("name", [*LAYERED, *OF_INPUT])
def test_batches_do_not_matter_and_the_net_is_left_alone(name: str) -> None:
    net, x = curved().train(), inputs()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    kept, random = x.clone(), torch.get_rng_state()
    whole = explain(net, x, method=name, seed=4, **asked(name))
    by_one = explain(net, x, method=name, seed=4, batch_size=1, **asked(name))
    np.testing.assert_allclose(by_one.contributions, whole.contributions, rtol=1e-8, atol=1e-12)
    alone = explain(net, x[[1]], method=name, seed=4, **asked(name))
    np.testing.assert_allclose(alone.contributions[0], whole.contributions[1], rtol=1e-8, atol=1e-12)
    again = explain(net, x, method=name, seed=4, **asked(name))
    np.testing.assert_array_equal(again.contributions, whole.contributions)
    assert torch.equal(x, kept)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert all(part.training for part in net.modules())
    assert all(weight.grad is None and weight.requires_grad for weight in net.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks or part._backward_hooks for part in net.modules())


@pytest.mark.parametrize("name", ["grad-ram", "ablation-cam"])
def test_a_reference_is_taken_from_maps_that_add_up(name: str) -> None:
    net, x = curved(), inputs()
    one = explain(net, x, method=name, layer="1", reference=x[0])
    np.testing.assert_allclose(one.contributions[0], 0.0, atol=1e-12)
    np.testing.assert_allclose(one.baseline, one.prediction[0])


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"method": "grad-cam", "reference": inputs()[0]}, ConfigError, r"method grad-cam: reference must be left out"),
        ({"method": "gradient"}, ConfigError, r"method gradient: channel must be given, 0 to 1 or 'each': slopes by"),
        ({"method": "gradient", "channel": 2}, ConfigError, r"channel must be 0 to 1, or 'each'. Got 2"),
        ({"method": "gradient", "channel": 1, "layer": "1"}, ConfigError, r"layer must be left out. Got one given"),
        ({"method": "grad-ram", "channel": 1}, ConfigError, r"method grad-ram: channel must be left out"),
        ({"method": "region-ablation"}, ConfigError, r"regions must be given. Got none. Give regions="),
        ({"method": "occlusion", "regions": np.zeros((8, 12))}, ConfigError, r"regions must be left out"),
        ({"method": "region-ablation", "regions": np.zeros((3, 3))}, DataError, r"regions must be of shape \(8, 12\)"),
        ({"method": "occlusion", "reference": np.zeros((2, 4, 4))}, DataError, r"reference must be of shape \(2, 8"),
        ({"method": "occlusion", "options": {"steps": 2}}, ConfigError, r"an option must be one of window. Got steps"),
        ({"method": "ram", "options": {"steps": 2}}, ConfigError, r"an option must be left out, for the method"),
        ({"method": "integrated-gradients", "options": {"steps": 0}}, ConfigError, r"steps must be a whole number"),
        ({"method": "integrated-gradients", "options": {"steps": 2.5}}, ConfigError, r"a whole number .* Got 2.5"),
        ({"method": "layercam", "layer": "7"}, ModelError, r"the result of layer 7 must be an activation of shape"),
        ({"method": "layercam", "layer": "seven"}, ModelError, r"layer must be one of 0, 1, .* Got seven"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(given: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        explain(curved(), inputs(), **given)


def test_a_layer_that_runs_twice_is_named() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Conv2d(2, 2, 3, padding=1), nn.Linear(2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.tanh(self.body(self.body(x)).mean((2, 3))))

    with pytest.raises(ModelError, match=r"layer body must be run once\. Got one that is run 2 times"):
        explain(Twice().double(), inputs(), method="grad-ram", layer="body")


def test_maps_are_kept_with_their_unit(tmp_path) -> None:
    one = explain(curved(), inputs(), method="gradient", channel=0, channel_unit="mm", unit="Hz", target="f")
    save_maps(tmp_path / "maps.h5", {"f": one})
    again = load_maps(tmp_path / "maps.h5")["f"]
    assert (again.map_unit, again.grade, again.method) == ("Hz/mm", "sensitivity", "gradient")
    np.testing.assert_array_equal(again.contributions, one.contributions)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_says_what_it_is(name: str) -> None:
    method = METHODS[name]
    assert method.grade in GRADES
    assert method.summary
    assert any(mark in method.paper for mark in ("arXiv:", "doi:"))
    assert options_for(method, None) == dict(method.options)


def test_no_method_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in (*LAYERED, *OF_INPUT):
            explain(curved(), inputs(), method=name, **asked(name))


class Joined(nn.Module):
    """A skip connection that is concatenated behind the layer, as in an encoder and decoder."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(6)
        self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)
        self.last = nn.Linear(7, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.first(x)
        return self.last(torch.cat([a, self.second(a).tanh()], dim=1).square().mean((2, 3)))


def test_features_beside_a_concatenated_skip_are_taken_away_too() -> None:
    net, x = Joined().double(), inputs()
    one = explain(net, x, method="ablation-cam", layer="second")
    a, b = net.first(x), net.second(net.first(x))
    expected = np.zeros(one.contributions.shape)
    for k in range(3):
        without = b * (torch.arange(3) != k).view(3, 1, 1)
        answers = [net.last(torch.cat([a, c.tanh()], dim=1).square().mean((2, 3))) for c in (b, without)]
        lost = (answers[0] - answers[1])[:, 0].detach()
        total, size = b[:, k].detach().sum((1, 2)), b[:, k].abs().sum((1, 2))
        assert (total.abs() > 0.1 * size).all()  # otherwise shared by size
        expected += (lost / total)[:, None, None].numpy() * b[:, k].detach().numpy()
    np.testing.assert_allclose(one.contributions, expected, rtol=1e-9, atol=1e-12)


def layered(*between: nn.Module, ndim: int = 2, **convolution: Any) -> nn.Sequential:
    """Return a net with something between its first layer and the convolution behind it."""
    torch.manual_seed(7)
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[ndim - 1]
    pooled = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[ndim - 1](1)
    first, behind = conv(2, 4, 3, padding=1), conv(4, 6, 3, **convolution)
    return nn.Sequential(first, *between, behind, nn.Tanh(), pooled, nn.Flatten(), nn.Linear(6, 1))


def normed() -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(4)
    for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        nn.init.uniform_(values, 0.5, 1.5)  # type: ignore[arg-type]
    return norm


@pytest.mark.parametrize(
    "net",
    [
        layered(padding=1),
        layered(nn.ReLU(), stride=2, dilation=2, padding=1),
        layered(nn.ReLU(inplace=True), padding="same"),
        layered(normed(), nn.ReLU(inplace=True), nn.MaxPool2d(2), bias=False),
        layered(nn.Softmax(dim=1), padding=1),  # a feature that is gone changes the others
        layered(groups=2),
        layered(padding=1, padding_mode="circular"),
        layered(nn.AvgPool1d(2), ndim=1, stride=2),
        layered(nn.ReLU(), ndim=3, padding=1),
    ],
)
def test_features_are_taken_away_whatever_lies_behind_them(net: nn.Sequential) -> None:
    """Of the first convolution only what a feature adds is computed; compared with passes of the rest of the net."""
    net = net.double().eval()
    ndim = next(weight.ndim for weight in net.parameters()) - 2
    x = torch.rand(2, 2, *(8,) * ndim, dtype=torch.float64)
    one = explain(net, x, method="ablation-cam", layer="0")
    with torch.no_grad():
        a = net[0](x)
        weighed = torch.zeros(2, *a.shape[2:], dtype=torch.float64)
        for k in range(4):
            without = a.clone()
            without[:, k] = 0
            lost = (net[1:](a.clone()) - net[1:](without))[:, 0]
            total, size = a[:, k].flatten(1).sum(1), a[:, k].flatten(1).abs().sum(1)
            shared = torch.where((total.abs() < 0.1 * size).view(-1, *(1,) * ndim), a[:, k].abs(), a[:, k])
            weighed += (lost / shared.flatten(1).sum(1)).view(-1, *(1,) * ndim) * shared
    np.testing.assert_allclose(one.contributions, weighed.numpy(), rtol=1e-9, atol=1e-12)
