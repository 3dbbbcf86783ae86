"""Where other packages fail on a net that regresses a number, ram answers, and is right.

Each test asks ram first. Then, where the other package is installed, its failure is shown, so that the claim stays
true; a version that has mended it makes the test skip with a word about it.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ram.maps.explain import explain
from ram.maps.methods import METHODS

CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOL = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
LAYERED = [name for name, method in METHODS.items() if method.kind in {"head", "layer"}]


def net_of(ndim: int = 2, *, outputs: int = 1, stride: int = 4) -> nn.Sequential:
    """A net that ends in pooling and a linear unit, as all of these packages want it."""
    torch.manual_seed(3)
    net = nn.Sequential(
        CONVOLUTION[ndim](1, 4, stride, stride=stride), nn.ReLU(), POOL[ndim](1), nn.Flatten(), nn.Linear(4, outputs)
    )
    with torch.no_grad():
        net[4].weight.abs_().mul_(torch.tensor([1.0, -1.0, 1.0, -1.0]))
    return net.eval()


def inputs(ndim: int = 2, *, batch: int = 2, size: int = 16) -> Tensor:
    return torch.randn(batch, 1, *[size] * ndim, generator=torch.Generator().manual_seed(ndim))


def peer(module: str) -> Any:
    """Return a package, or None where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(module)
        except ImportError:
            return None


def mended(package: str) -> None:
    """Skip: what is said of the package is true no longer."""
    try:
        number = version(package)
    except PackageNotFoundError:
        number = ""
    pytest.skip(f"{package} {number} does not fail here any more; say so where it is compared")


def expect_failure(package: str, call: Callable[[], object], *errors: type[Exception]) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call()
    except errors:
        return
    mended(package)


def grad_cam(name: str, net: nn.Module, layer: nn.Module, x: Tensor, targets: list[Any] | None = None) -> np.ndarray:
    cam = getattr(importlib.import_module("pytorch_grad_cam"), name)(
        net, [layer]
    )  # as a context it hides an IndexError
    try:
        return np.asarray(cam(x, targets=targets or [lambda y: y[0]] * len(x)))
    finally:
        cam.activations_and_grads.release()


class TestPytorchGradCam:
    """The checks against the package itself run where ``pytorch_grad_cam`` is installed."""

    @pytest.mark.parametrize("name", LAYERED)
    def test_signals_of_one_dimension(self, name: str) -> None:
        net, x = net_of(1), inputs(1)
        one = explain(net, x, method=name)
        assert one.contributions.shape == (2, 4)
        np.testing.assert_allclose(one.prediction, net(x)[:, 0].detach().numpy(), rtol=1e-6)
        if one.adds_up:
            np.testing.assert_allclose(one.baseline + one.total, one.prediction, rtol=1e-5)
        if peer("pytorch_grad_cam"):
            expect_failure("grad-cam", lambda: grad_cam("GradCAM", net, net[1], x), ValueError)

    def test_a_head_of_a_hundred_times_the_weight_gives_a_hundred_times_the_map(self) -> None:
        net, x = net_of(), inputs()
        before = explain(net, x, method="grad-ram").contributions
        theirs = [grad_cam("GradCAM", net, net[1], x)] if peer("pytorch_grad_cam") else []
        net[4].weight.data *= 100
        np.testing.assert_allclose(explain(net, x, method="grad-ram").contributions, 100 * before, rtol=1e-5)
        assert before.min() < 0 < before.max()
        for one in theirs:
            again = grad_cam("GradCAM", net, net[1], x)
            if not np.allclose(one, again, atol=1e-5):
                mended("grad-cam")
            assert one.min() >= 0

    def test_a_map_that_is_negative_everywhere_is_not_blank(self) -> None:
        net, x = net_of(), inputs()
        net[4].weight.data = -net[4].weight.data.abs()
        one = explain(net, x)
        assert one.contributions.max() <= 0 > one.contributions.min()
        np.testing.assert_allclose(one.total, (net(x) - net[4].bias)[:, 0].detach().numpy(), rtol=1e-5)
        if peer("pytorch_grad_cam") and grad_cam("GradCAM", net, net[1], x).any():
            mended("grad-cam")

    def test_an_answer_of_shape_batch(self) -> None:
        net, x = net_of(), inputs()
        flat = nn.Sequential(*net, nn.Flatten(0))
        assert flat(x).shape == (2,)
        np.testing.assert_array_equal(explain(flat, x).contributions, explain(net, x).contributions)
        if peer("pytorch_grad_cam"):
            expect_failure("grad-cam", lambda: grad_cam("GradCAM", flat, flat[1], x), IndexError, TypeError)

    def test_training_mode_and_gradients_are_left_as_they_were(self) -> None:
        for name in LAYERED:
            net = net_of().train()
            explain(net, inputs(), method=name, layer=None if name in {"ram", "cam"} else "0")
            assert all(part.training for part in net.modules()), name
            assert all(weight.grad is None for weight in net.parameters()), name
        if peer("pytorch_grad_cam"):
            net = net_of().train()
            grad_cam("GradCAM", net, net[1], inputs())
            if net.training or net[4].weight.grad is None:
                mended("grad-cam")

    def test_an_ablation_that_fails_leaves_the_net_as_it_was(self) -> None:
        net, x = net_of(), inputs()
        before, parts = net(x), [type(part) for part in net.modules()]
        runs = []

        def fail(*_: object) -> None:
            runs.append(1)
            if len(runs) > 2:
                raise RuntimeError("in the middle")

        handle = net[4].register_forward_hook(fail)
        with pytest.raises(RuntimeError, match="in the middle"):
            explain(net, x, method="ablation-cam", layer="1")
        handle.remove()
        assert [type(part) for part in net.modules()] == parts
        assert torch.equal(net(x), before)
        if peer("pytorch_grad_cam"):
            asked = iter([0.0] * 4)
            with pytest.raises(StopIteration):
                grad_cam("AblationCAM", net, net[1], x, [lambda y: y[0] + next(asked)] * 2)
            if [type(part) for part in net.modules()] == parts:
                mended("grad-cam")


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_captum_loses_the_sum_on_the_way_to_the_inputs_grid(ndim: int) -> None:
    net, x = net_of(ndim), inputs(ndim)
    one = explain(net, x)
    carried = (net(x) - net[4].bias)[:, 0].detach().numpy()
    np.testing.assert_allclose(one.total, carried, rtol=1e-5)
    np.testing.assert_allclose(one.on_input_grid().total, carried, rtol=1e-5)
    if attr := peer("captum.attr"):
        theirs = attr.LayerGradCam(net, net[1]).attribute(x, target=0)
        np.testing.assert_allclose(theirs.flatten(1).sum(1).detach(), carried, rtol=1e-5)  # true there, if unsaid
        fine = attr.LayerAttribution.interpolate(theirs, tuple(x.shape[2:]), "nearest")
        np.testing.assert_allclose(fine.flatten(1).sum(1).detach().numpy() / carried, 4.0**ndim, rtol=1e-4)


class TestTorchcam:
    def test_score_cam_on_a_signal_behind_a_stride(self) -> None:
        net, x = net_of(1), inputs(1)
        one = explain(net, x, method="score-cam", layer="1")
        a = net[:2](x).detach()
        fine = nn.functional.interpolate(a, size=16, mode="linear")
        low, high = fine.amin(2, keepdim=True), fine.amax(2, keepdim=True)
        masks = (fine - low) / (high - low).clamp(min=1e-30)
        gained = torch.stack([net(masks[:, k : k + 1] * x) - net(0 * x) for k in range(4)], dim=1).detach()
        np.testing.assert_allclose(one.contributions, (gained * a).sum(1), rtol=1e-4, atol=1e-6)
        if methods := peer("torchcam.methods"):

            def theirs() -> object:
                with methods.ScoreCAM(net, net[1]) as cam, torch.no_grad():
                    net(x)
                    return cam(class_idx=0)

            expect_failure("torchcam", theirs, ValueError)

    def test_an_output_is_all_that_cam_is_asked_for(self) -> None:
        net, x = net_of(outputs=3), inputs()
        for output in range(3):
            one = explain(net, x, output=output)
            np.testing.assert_allclose(one.prediction, net(x)[:, output].detach().numpy(), rtol=1e-6)
        if methods := peer("torchcam.methods"):

            def theirs() -> object:
                with methods.CAM(net, net[1], net[4]) as cam, torch.no_grad():
                    net(x)
                    return cam(targets=lambda y: y[2])

            expect_failure("torchcam", theirs, ValueError)

    def test_the_unit_is_kept_by_default(self) -> None:
        net, x = net_of(), inputs()
        one, scaled = (explain(net, x, target_scale=scale, unit=unit) for scale, unit in ((1.0, "Hz"), (1e-3, "kHz")))
        np.testing.assert_allclose(scaled.contributions, 1e-3 * one.contributions, rtol=1e-12)
        if methods := peer("torchcam.methods"):
            with methods.CAM(net, net[1], net[4]) as cam, torch.no_grad():
                net(x)
                (theirs,) = cam(class_idx=0)
            if not (theirs.min() >= 0 and abs(float(theirs.max()) - 1) < 1e-4):
                mended("torchcam")


@pytest.mark.slow  # MONAI takes four seconds to import
class TestMonai:
    def test_what_adds_most_is_shown_highest(self) -> None:
        net, x = net_of(), inputs(batch=1)
        one = explain(net, x)
        (drawn,) = (image for ax in one.plot().axes[:1] for image in [*ax.images, *ax.collections])
        shown = np.asarray(drawn.get_array()).reshape(one.contributions.shape[1:])
        assert np.argmax(shown) in {np.argmax(one.contributions[0]), np.argmax(one.contributions[0][::-1])}
        assert np.ptp(shown) == pytest.approx(np.ptp(one.contributions))
        if visualize := peer("monai.visualize"):
            plain = visualize.CAM(net, "1", fc_layers="4", postprocessing=lambda a: a)(x)
            theirs = visualize.CAM(net, "1", fc_layers="4")(x)
            if int(theirs.argmax()) != int(plain.argmin()):
                mended("monai")

    def test_the_output_is_a_whole_number(self) -> None:
        net, x = net_of(outputs=3), inputs()
        np.testing.assert_allclose(explain(net, x, output=1).prediction, net(x)[:, 1].detach().numpy(), rtol=1e-6)
        if visualize := peer("monai.visualize"):
            expect_failure("monai", lambda: visualize.CAM(net, "1", fc_layers="4")(x, class_idx=1), TypeError)

    def test_no_hook_stays_and_nothing_is_set_otherwise(self) -> None:
        net = net_of()
        net[1].inplace = True
        explain(net, inputs(), method="grad-ram", layer="1")
        assert net[1].inplace
        assert not any(part._forward_hooks or part._backward_hooks for part in net.modules())
        if visualize := peer("monai.visualize"):
            visualize.GradCAM(net, "1")(inputs(), class_idx=0)
            if net[1].inplace or not net[1]._forward_hooks:
                mended("monai")


@pytest.mark.parametrize("name", [*LAYERED, "gradient", "integrated-gradients"])
def test_tsai_averages_gradients_over_the_batch_and_ram_does_not(name: str) -> None:
    """What one sample gets does not depend on what it is asked beside."""
    net, x = net_of(1).double(), inputs(1, batch=5).double()
    together = explain(net, x, method=name).contributions
    for row in range(5):
        alone = explain(net, x[row : row + 1], method=name).contributions
        np.testing.assert_allclose(together[row : row + 1], alone, rtol=1e-9, atol=1e-13)


def test_quantus_asks_whether_floats_are_equal_and_ram_says_how_far_they_are_apart() -> None:
    """Completeness is a share of what was distributed, for a prediction that is a number like 437.2 Hz."""
    net, x = net_of(), inputs()
    one = explain(net, x, target_mean=437.2, target_scale=81.3, unit="Hz")
    assert not np.array_equal(one.baseline + one.total, one.prediction)  # what == would have said
    assert one.completeness().max() < 1e-6
    rough = explain(net, x, method="grad-ram", layer="0", target_mean=437.2, target_scale=81.3, unit="Hz")
    np.testing.assert_allclose(rough.completeness() * np.abs(rough.contributions).sum((1, 2)), np.abs(rough.residual))
    assert rough.completeness().min() > 1e-3
