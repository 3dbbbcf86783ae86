"""The contestants of maps.py: each way to make a map, in ram and in the packages beside it that are installed."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor, nn

from ram.maps.explain import explain, explain_regressor
from ram.models.backbones import build_backbone
from ram.models.regressor import Regressor, TargetScaling

Action = Callable[[], object]
CASES = {
    f"{name}, b={batch}": (batch, 1, *space)
    for name, space in (("2D 1x128x128", (128, 128)), ("1D 4096", (4096,)))
    for batch in (1, 16, 64)
}
STEPS, COPIES = 32, 32
SLOW = ("ablation-cam, inner layer", "score-cam", "integrated-gradients")
PACKAGES = {"captum": "captum", "torchcam": "torchcam", "monai": "monai", "grad-cam": "pytorch_grad_cam"}
INNER = {"plain": "stages.3", "resnet": "stages.1"}  # the second of three stages


class Standardised(nn.Module):
    """The regressor's net without its units: what other packages can explain."""

    def __init__(self, regressor: Regressor) -> None:
        super().__init__()
        self.backbone, self.head = regressor.backbone, regressor.head

    def forward(self, x: Tensor) -> Tensor:
        """Return W mean(A) + b."""
        return self.head(self.backbone(x).flatten(2).mean(dim=2))  # type: ignore[no-any-return]


def regressor_for(name: str, ndim: int) -> Regressor:
    """Return an untrained net of the size of the project's own."""
    torch.manual_seed(0)
    backbone = build_backbone(name, ndim=ndim, channels=1, widths=(24, 64, 128))
    targets = [TargetScaling("umbrella", "Hz", 560.0, 80.0)]
    return Regressor(backbone, targets=targets, input_mean=[0.0], input_scale=[1.0]).eval()


@dataclass(frozen=True)
class Course:
    """One net on one input: what all contestants are given."""

    regressor: Regressor
    plain: nn.Module
    x: Tensor
    inner: str

    @classmethod
    def of(cls, name: str, shape: tuple[int, ...], *, device: str, dtype: torch.dtype) -> Course:
        """Return a net of the size of the project's own and random input of this shape."""
        regressor = regressor_for(name, len(shape) - 2).to(device, dtype)
        inner = f"backbone.{INNER[name]}"
        x = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(device, dtype)
        return cls(regressor, Standardised(regressor).eval(), x, inner)

    def layer(self, name: str) -> nn.Module:
        """Return a layer of the plain net."""
        return self.plain.get_submodule(name)

    def forward(self) -> object:
        """Run the net, without gradients."""
        with torch.no_grad():
            return self.regressor(self.x)


def installed() -> list[str]:
    """Return the packages of PACKAGES that are there."""
    found = []
    for name in PACKAGES:
        try:
            version(name)
        except PackageNotFoundError:
            continue
        found.append(name)
    return found


def peer(module: str) -> Any:
    """Return a package, or None where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(module)
        except ImportError:
            return None


def families(course: Course, packages: Iterable[str]) -> dict[str, dict[str, Action]]:
    """Return the contestants by what they make, and in it by their name: ram's, and those of `packages`."""
    net, x, inner = course.plain, course.x, course.inner
    steps = {"steps": STEPS}
    found: dict[str, dict[str, Action]] = {
        "exact map": {
            "ram, own net": lambda: explain_regressor(course.regressor, x),
            "ram, any net": lambda: explain(net, x),
        },
        "grad-ram, pooled layer": {
            "ram, own net": lambda: explain_regressor(course.regressor, x, method="grad-ram"),
            "ram, any net": lambda: explain(net, x, method="grad-ram"),
        },
        "grad-ram, inner layer": {"ram, any net": lambda: explain(net, x, method="grad-ram", layer=inner)},
        "resolution 4": {
            "ram, own net": lambda: explain_regressor(course.regressor, x, resolution=4),
            "ram, any net": lambda: explain(net, x, resolution=4),
        },
        "ablation-cam, pooled layer": {"ram, any net": lambda: explain(net, x, method="ablation-cam")},
        "ablation-cam, inner layer": {"ram, any net": lambda: explain(net, x, method="ablation-cam", layer=inner)},
        "score-cam": {"ram, any net": lambda: explain(net, x, method="score-cam")},
        "integrated-gradients": {"ram, any net": lambda: explain(net, x, method="integrated-gradients", options=steps)},
    }
    adding = {"captum": _captum, "torchcam": _torchcam, "monai": _monai, "grad-cam": _grad_cam}
    for name in packages:
        if name in adding:
            adding[name](found, course)
    return found


def _captum(found: dict[str, dict[str, Action]], course: Course) -> None:
    attr = peer("captum.attr")
    if attr is None:
        return
    net, x, inner = course.plain, course.x, course.layer(course.inner)
    size = tuple(x.shape[2:])
    layers = {"pooled": course.layer("backbone"), "inner": inner}
    cams = {name: attr.LayerGradCam(net, layer) for name, layer in layers.items()}

    def cam(name: str) -> object:
        return attr.LayerAttribution.interpolate(cams[name].attribute(x, target=0), size)

    mask = torch.arange(features_of(course), device=x.device).view(1, -1, *(1,) * (x.ndim - 2))
    lost = attr.LayerFeatureAblation(net, inner)

    def ablation() -> object:
        at_once = max(1, COPIES // len(x))
        with torch.no_grad():
            return lost.attribute(x, target=0, layer_mask=mask, perturbations_per_eval=at_once)

    found["exact map"]["captum LayerGradCam"] = lambda: cam("pooled")
    found["grad-ram, pooled layer"]["captum LayerGradCam"] = lambda: cam("pooled")
    found["grad-ram, inner layer"]["captum LayerGradCam"] = lambda: cam("inner")
    found["ablation-cam, inner layer"]["captum LayerFeatureAblation"] = ablation
    integral = attr.IntegratedGradients(net)
    found["integrated-gradients"] |= {
        "captum": lambda: integral.attribute(x, target=0, n_steps=STEPS),
        "captum, 64 at once": lambda: integral.attribute(x, target=0, n_steps=STEPS, internal_batch_size=64),
    }


def features_of(course: Course) -> int:
    """Return how many features the inner layer has."""
    seen: list[Tensor] = []
    handle = course.layer(course.inner).register_forward_hook(lambda _l, _i, result: seen.append(result))
    try:
        with torch.no_grad():
            course.plain(course.x[:1])
    finally:
        handle.remove()
    return seen[0].shape[1]


def _torchcam(found: dict[str, dict[str, Action]], course: Course) -> None:
    methods = peer("torchcam.methods")
    if methods is None:
        return
    net, x = course.plain, course.x
    pooled, inner = course.layer("backbone"), course.layer(course.inner)

    def cam() -> object:
        with methods.CAM(net, pooled, course.layer("head")) as one, torch.no_grad():
            net(x)
            return one(class_idx=0, normalized=False)

    def grad_cam(layer: nn.Module) -> object:
        with methods.GradCAM(net, layer) as one:
            return one(class_idx=0, scores=net(x), normalized=False)

    def score_cam() -> object:
        with methods.ScoreCAM(net, pooled) as one, torch.no_grad():
            net(x)
            return one(class_idx=0, normalized=False)

    found["exact map"]["torchcam CAM"] = cam
    found["grad-ram, pooled layer"]["torchcam GradCAM"] = lambda: grad_cam(pooled)
    found["grad-ram, inner layer"]["torchcam GradCAM"] = lambda: grad_cam(inner)
    if x.ndim > 3:  # it fails on signals behind a stride
        found["score-cam"]["torchcam ScoreCAM"] = score_cam


def _monai(found: dict[str, dict[str, Action]], course: Course) -> None:
    visualize = peer("monai.visualize")
    if visualize is None:
        return
    x = course.x

    def grad_cam() -> object:
        net = Standardised(course.regressor).eval()
        one = visualize.GradCAM(net, "backbone", postprocessing=lambda a: a)
        try:
            return one(x, class_idx=0)
        finally:
            net.backbone._forward_hooks.clear()  # which it leaves behind
            net.backbone._backward_hooks.clear()

    found["grad-ram, pooled layer"]["monai GradCAM"] = grad_cam


def _grad_cam(found: dict[str, dict[str, Action]], course: Course) -> None:
    package = peer("pytorch_grad_cam")
    if package is None or course.x.ndim == 3:  # it takes no signals
        return
    net, x = course.plain, course.x

    def run(name: str, layer: nn.Module) -> object:
        one = getattr(package, name)(net, [layer])
        try:
            return one(x, targets=[lambda y: y[0]] * len(x))
        finally:
            one.activations_and_grads.release()

    pooled, inner = course.layer("backbone"), course.layer(course.inner)
    found["grad-ram, pooled layer"]["grad-cam GradCAM"] = lambda: run("GradCAM", pooled)
    found["ablation-cam, pooled layer"]["grad-cam AblationCAM"] = lambda: run("AblationCAM", pooled)
    found["ablation-cam, inner layer"]["grad-cam AblationCAM"] = lambda: run("AblationCAM", inner)
    found["score-cam"]["grad-cam ScoreCAM"] = lambda: run("ScoreCAM", pooled)
