"""Other packages as oracles, where they are right, and the numbers that they have published."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ram.maps.explain import explain

CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOL = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
SHAPE = {1: (3, 2, 24), 2: (2, 2, 8, 12), 3: (2, 2, 4, 6, 8)}
SCALE = 3.0
SIZES = [(ndim, outputs) for ndim in (1, 2, 3) for outputs in (1, 3)]


def curved(ndim: int, *, outputs: int = 1) -> nn.Sequential:
    """Two convolutions and a dense head with a ReLU: the output is not linear in any layer."""
    torch.manual_seed(1)
    return nn.Sequential(
        CONVOLUTION[ndim](2, 5, 4, stride=2, padding=1), nn.ReLU(),
        CONVOLUTION[ndim](5, 6, 3, padding=1), nn.ReLU(),
        POOL[ndim](2), nn.Flatten(), nn.Linear(6 * 2**ndim, 7), nn.ReLU(), nn.Linear(7, outputs),
    ).double().eval()  # fmt: skip


def pooled(ndim: int, *, outputs: int = 1) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        CONVOLUTION[ndim](2, 5, 4, stride=2, padding=1), nn.ReLU(), POOL[ndim](1), nn.Flatten(), nn.Linear(5, outputs)
    ).double().eval()  # fmt: skip


def inputs(ndim: int) -> Tensor:
    return torch.randn(SHAPE[ndim], dtype=torch.float64, generator=torch.Generator().manual_seed(ndim))


def regions(ndim: int) -> np.ndarray:
    codes = np.zeros(SHAPE[ndim][2:], dtype=np.uint8)
    codes[..., 2:5], codes[..., 5:] = 1, 2
    return codes


CAPTUM: dict[str, tuple[Callable[..., Tensor], dict[str, Any]]] = {
    "gradient": (lambda attr, net, x, k: attr.Saliency(net).attribute(x, target=k, abs=False), {}),
    "gradient-x-input": (lambda attr, net, x, k: attr.InputXGradient(net).attribute(x, target=k), {}),
    "integrated-gradients": (
        lambda attr, net, x, k: attr.IntegratedGradients(net).attribute(x, target=k, n_steps=12),
        {"options": {"steps": 12}},
    ),
    "deeplift": (lambda attr, net, x, k: attr.DeepLift(net).attribute(x, target=k), {}),
    "guided-backprop": (lambda attr, net, x, k: attr.GuidedBackprop(net).attribute(x, target=k), {}),
}


@pytest.mark.parametrize(("ndim", "outputs"), SIZES)
@pytest.mark.parametrize("name", CAPTUM)
@pytest.mark.filterwarnings("ignore:Setting (forward, )?backward hooks", "ignore:Input Tensor")
def test_gradients_by_captum(name: str, ndim: int, outputs: int) -> None:
    attr = importlib.import_module("captum.attr")
    net, x = curved(ndim, outputs=outputs), inputs(ndim)
    theirs, options = CAPTUM[name]
    expected = theirs(attr, net, x.clone().requires_grad_(), outputs - 1).detach().numpy() * SCALE
    options = {**options, "output": outputs - 1, "target_scale": SCALE}
    if name != "gradient":
        expected = expected.sum(axis=1)
        ours = explain(net, x, method=name, **options).contributions
        np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-9)
    else:
        for channel in range(2):
            ours = explain(net, x, method=name, channel=channel, **options).contributions
            np.testing.assert_allclose(ours, expected[:, channel], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("ndim", "outputs"), SIZES)
def test_perturbations_by_captum(ndim: int, outputs: int) -> None:
    attr = importlib.import_module("captum.attr")
    net, x, options = curved(ndim, outputs=outputs), inputs(ndim), {"output": outputs - 1, "target_scale": SCALE}
    mask = torch.from_numpy(regions(ndim).astype(np.int64))[None, None]
    for name, kind in (("region-ablation", attr.FeatureAblation), ("shapley-regions", attr.ShapleyValues)):
        expected = SCALE * kind(net).attribute(x, target=outputs - 1, feature_mask=mask)
        ours = explain(net, x, method=name, regions=regions(ndim), **options)
        for code in range(3):
            inside = regions(ndim) == code
            theirs = expected[:, 0][:, torch.from_numpy(inside)][:, 0].numpy()  # the same at every value of a region
            np.testing.assert_allclose(ours.within_mask(inside), theirs, rtol=1e-5, atol=1e-6)
    window = tuple(max(1, round(0.25 * n)) for n in SHAPE[ndim][2:])
    stride = tuple(max(1, n // 2) for n in window)
    occlusion = attr.Occlusion(net).attribute(
        x, target=outputs - 1, sliding_window_shapes=(2, *window), strides=(2, *stride)
    )
    ours = explain(net, x, method="occlusion", options={"window": 0.25}, **options).contributions
    np.testing.assert_allclose(ours, SCALE * occlusion[:, 0].numpy(), rtol=1e-6, atol=1e-9)  # a loss, not one a channel
    alone = attr.Occlusion(net).attribute(
        x, target=outputs - 1, sliding_window_shapes=(1, *window), strides=(1, *stride)
    )
    ours = explain(net, x, method="occlusion", options={"window": 0.25}, channel="each", **options)
    np.testing.assert_allclose(ours.part_contributions, SCALE * alone.numpy(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("ndim", "outputs"), SIZES)
@pytest.mark.parametrize("layer", [0, 1, 2, 3])
def test_grad_cam_by_captum(ndim: int, outputs: int, layer: int) -> None:
    attr = importlib.import_module("captum.attr")
    net, x = curved(ndim, outputs=outputs), inputs(ndim)
    expected = attr.LayerGradCam(net, net[layer]).attribute(x, target=outputs - 1)[:, 0].detach().numpy()
    ours = explain(net, x, method="grad-ram", layer=str(layer), output=outputs - 1).contributions
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-14)
    times = attr.LayerGradientXActivation(net, net[layer]).attribute(x, target=outputs - 1).sum(1).detach().numpy()
    ours = explain(net, x, method="hirescam", layer=str(layer), output=outputs - 1).contributions
    np.testing.assert_allclose(ours, times, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_ablation_by_captum(ndim: int) -> None:
    """What the output loses without each feature, which Ablation-CAM spreads over the cells."""
    attr = importlib.import_module("captum.attr")
    net, x = curved(ndim), inputs(ndim)
    a = net[:2](x).detach()
    mask = torch.arange(5).view(1, 5, *(1,) * ndim).expand_as(a[:1])
    lost = attr.LayerFeatureAblation(net, net[1]).attribute(x, target=0, layer_mask=mask, perturbations_per_eval=5)
    total = a.flatten(2).sum(2).view(len(x), 5, *(1,) * ndim)
    expected = (lost * a / torch.where(total != 0, total, 1.0)).sum(1)
    ours = explain(net, x, method="ablation-cam", layer="1").contributions
    np.testing.assert_allclose(ours, expected.detach().numpy(), rtol=1e-5, atol=1e-8)  # captum sums in float32


@contextmanager
def torchcam(name: str, net: nn.Module, *layers: nn.Module) -> Iterator[Any]:
    """One of torchcam's methods, without its ReLU; asked with ``normalized=False`` its map is the raw one."""
    methods = pytest.importorskip("torchcam.methods")
    with getattr(methods, name)(net, *layers) as cam:
        cam._relu = False
        yield cam


@pytest.mark.parametrize(("ndim", "outputs"), SIZES)
@pytest.mark.parametrize(
    ("theirs", "name"), [("GradCAM", "grad-ram"), ("XGradCAM", "xgrad-cam"), ("LayerCAM", "layercam")]
)
def test_the_cam_family_by_torchcam(theirs: str, name: str, ndim: int, outputs: int) -> None:
    net, x = curved(ndim, outputs=outputs), inputs(ndim)
    with torchcam(theirs, net, net[1]) as cam:
        (raw,) = cam(class_idx=outputs - 1, scores=net(x), normalized=False)
    if name == "layercam":
        raw = raw.relu()  # in the published form
    ours = explain(net, x, method=name, layer="1", output=outputs - 1).contributions
    # 1e-8 is added to a sum that torchcam divides by.
    np.testing.assert_allclose(ours, raw.detach().numpy(), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(("ndim", "outputs"), SIZES)
def test_cam_by_torchcam(ndim: int, outputs: int) -> None:
    """Its CAM sums to the output where the head sums; a mean counts each of Z cells 1/Z."""
    net, x = pooled(ndim, outputs=outputs), inputs(ndim)
    with torchcam("CAM", net, net[1], net[4]) as cam:
        net(x)
        (raw,) = cam(class_idx=outputs - 1, normalized=False)
    cells = raw[0].numel()
    ours = explain(net, x, output=outputs - 1).contributions
    np.testing.assert_allclose(ours, raw.numpy() / cells, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("ndim", [2, 3])
def test_score_cam_by_torchcam(ndim: int) -> None:
    """Its softmax hides what each feature gains but for a constant, which one feature's gain by hand gives back."""
    torch.manual_seed(2)
    net = nn.Sequential(
        CONVOLUTION[ndim](2, 4, 3, padding=1), nn.ReLU(), POOL[ndim](2), nn.Flatten(), nn.Linear(4 * 2**ndim, 1)
    ).double().eval()  # fmt: skip
    x = inputs(ndim)
    with torchcam("ScoreCAM", net, net[1]) as cam, torch.no_grad():
        net(x)
        (weights,) = cam._get_weights(0)
        a = net[1](net[0](x))
        first = a[:, :1]
        low, high = (
            extreme(first, dim=tuple(range(2, ndim + 2)), keepdim=True) for extreme in (torch.amin, torch.amax)
        )
        by_hand = (net((first - low) / (high - low) * x) - net(0 * x))[:, 0]
        gained = weights.log() - weights[:, :1].log() + by_hand[:, None]
        expected = torch.einsum("bk,bk...->b...", gained, a)
    ours = explain(net, x, method="score-cam", layer="1").contributions
    np.testing.assert_allclose(ours, expected.numpy(), rtol=1e-6, atol=1e-9)  # 1e-8 is added to what it divides by


@pytest.mark.slow  # MONAI takes four seconds to import
@pytest.mark.parametrize(("ndim", "outputs"), SIZES)
def test_cam_and_grad_cam_by_monai(ndim: int, outputs: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        visualize = pytest.importorskip("monai.visualize")
    net, x = pooled(ndim, outputs=outputs), inputs(ndim)
    asked = [outputs - 1] * len(x)
    one = explain(net, x, output=outputs - 1)
    cells = one.contributions[0].size
    theirs = visualize.CAM(net, "1", fc_layers="4").compute_map(x, class_idx=asked)[:, 0].detach().numpy()
    expected = cells * one.contributions + one.baseline.reshape(-1, *(1,) * ndim)  # it adds the bias to every cell
    np.testing.assert_allclose(expected, theirs, rtol=1e-10)
    np.testing.assert_allclose(theirs.reshape(len(x), -1).mean(axis=1), one.prediction, rtol=1e-10)
    net = curved(ndim, outputs=outputs)
    theirs = visualize.GradCAM(net, "1").compute_map(x, class_idx=outputs - 1)[:, 0].detach().numpy()
    ours = explain(curved(ndim, outputs=outputs), x, method="grad-cam", layer="1", output=outputs - 1).contributions
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-14)


def one_conv(*, plus: float = 0.0) -> tuple[nn.Module, Tensor]:
    """captum's small net and input; `plus` is what its tests pass as a second input, added to the first."""
    models = pytest.importorskip("captum.testing.helpers.basic_models")

    class Added(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = models.BasicModel_ConvNet_One_Conv()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x + plus)

    return Added().eval(), torch.arange(16.0).view(1, 1, 4, 4)


# Source: captum's own tests, tests/attr/test_guided_backprop.py, test_occlusion.py and layer/test_layer_ablation.py.
def test_captums_published_guided_backpropagation() -> None:
    net, x = one_conv()
    one = explain(net, x, method="guided-backprop").contributions[0]
    np.testing.assert_allclose(one, [[0, 1, 1, 1], [1, 3, 3, 2], [1, 3, 3, 2], [1, 2, 2, 1]])
    net, x = one_conv(plus=1.0)
    one = explain(net, x, method="guided-backprop").contributions[0]
    np.testing.assert_allclose(one, [[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]])


def test_captums_published_ablation_of_everything() -> None:
    net, x = one_conv(plus=1.0)
    one = explain(net, x, method="region-ablation", regions=np.zeros((4, 4), np.uint8))
    assert one.within_mask(np.ones((4, 4)))[0] == pytest.approx(67)


def test_captums_published_ablation_of_a_layers_cells_is_ours_by_feature() -> None:
    """Its numbers for the cells of feature 0 (4, 13, 40, 49) sum to what the feature carries alone, 106."""
    net, x = one_conv(plus=1.0)
    net.net.fc1.weight.data[:, 5:] = 0  # feature 1 is then out of the way, and no ReLU bends
    one = explain(net, x, method="ablation-cam", layer="net.relu1")
    np.testing.assert_allclose(one.contributions[0].ravel(), [4, 13, 40, 49], rtol=1e-6)


# Source: captum's tests/attr/test_guided_grad_cam.py, test_simple_input_conv and test_simple_multi_input_conv.
GUIDED = {
    "relu1": (0.0, [[0, 0, 4, 4], [0, 0, 12, 8], [28, 84, 97.5, 65], [28, 56, 65, 32.5]]),
    "conv1": (1.0, [[14.5, 29, 38, 19], [29, 58, 76, 38], [65, 130, 148, 74], [32.5, 65, 74, 37]]),
}


@pytest.mark.parametrize("layer", GUIDED)
def test_captums_published_guided_grad_cam(layer: str) -> None:
    """It repeats the coarse map's cells, ours goes on straight lines between them: equal where both keep a cell."""
    plus, published = GUIDED[layer]
    net, x = one_conv(plus=plus)
    guided = explain(net, x, method="guided-backprop").contributions
    coarse = explain(net, x, method="grad-cam", layer=f"net.{layer}").contributions
    np.testing.assert_allclose((guided * coarse.repeat(2, axis=1).repeat(2, axis=2))[0], published)
    ours = explain(net, x, method="guided-grad-cam", layer=f"net.{layer}").contributions
    corners = np.ix_([0], [0, -1], [0, -1])
    np.testing.assert_allclose(ours[corners], np.asarray([published])[corners])
    fine = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])  # two cells at twice the resolution, edges held
    np.testing.assert_allclose(ours, guided * (fine @ coarse @ fine.T), rtol=1e-6)
