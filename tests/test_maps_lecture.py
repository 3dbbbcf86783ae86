"""The lecture's systems by their published formulas, written again in NumPy, and its worked examples.

The net is two convolutions with ReLUs, global average pooling and a linear unit: ``output=k`` is the number for class
k before any softmax, or a quantity that is regressed.
"""

from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ram.maps.explain import explain
from ram.maps.methods import METHODS

Array = NDArray[np.float64]
PAGE = Path(__file__).resolve().parents[1] / "docs" / "worked_examples.md"
CHOICES = (0, 1, 2)


def classifier(*, outputs: int = 3) -> nn.Sequential:
    torch.manual_seed(11)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, outputs),
    ).double().eval()  # fmt: skip


def images() -> Tensor:
    return torch.randn(3, 2, 9, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def convolved(x: Array, layer: nn.Conv2d) -> Array:
    """A convolution in loops, one image of shape (channel, y, x)."""
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    height, width = x.shape[1] - 2, x.shape[2] - 2
    found = np.empty((len(weight), height, width))
    for k, i, j in np.ndindex(found.shape):
        found[k, i, j] = bias[k] + (weight[k] * x[:, i : i + 3, j : j + 3]).sum()
    return found


def sent_back(g: Array, layer: nn.Conv2d) -> Array:
    """The gradient at the convolution's input from that at its result."""
    weight = layer.weight.detach().numpy()
    found = np.zeros((weight.shape[1], g.shape[1] + 2, g.shape[2] + 2))
    for k, i, j in np.ndindex(g.shape):
        found[:, i : i + 3, j : j + 3] += g[k, i, j] * weight[k]
    return found


class Written:
    """The net for one image, and what its papers make of it for output k."""

    def __init__(self, net: nn.Sequential, x: Array) -> None:
        self.net = net
        self.before = [convolved(x, net[0])]
        self.before.append(convolved(np.maximum(self.before[0], 0), net[2]))
        self.features = np.maximum(self.before[1], 0)
        self.weight, self.bias = net[6].weight.detach().numpy(), net[6].bias.detach().numpy()
        self.cells = self.features[0].size

    def answer(self, k: int) -> float:
        return float(self.weight[k] @ self.features.mean(axis=(1, 2)) + self.bias[k])

    def cam(self, k: int) -> Array:
        """M(x, y) = sum_k w_k f_k(x, y). Source: Zhou et al. 2016, arXiv:1512.04150, equation 2."""
        return np.einsum("k,kyx->yx", self.weight[k], self.features)

    def gradient(self, k: int) -> Array:
        return np.broadcast_to(self.weight[k][:, None, None] / self.cells, self.features.shape)

    def grad_cam(self, k: int) -> Array:
        """ReLU(sum_k alpha_k A_k). Source: Selvaraju et al. 2017, arXiv:1610.02391, equations 1 and 2."""
        alpha = self.gradient(k).sum(axis=(1, 2)) / self.cells
        return np.maximum(np.einsum("k,kyx->yx", alpha, self.features), 0)

    def guided(self, k: int) -> Array:
        """R = (f > 0) (R > 0) R at each ReLU. Source: Springenberg et al. 2015, arXiv:1412.6806, section 3.4."""
        back = self.gradient(k)
        for before, layer in zip(self.before[::-1], (self.net[2], self.net[0]), strict=True):
            back = sent_back(np.where((before > 0) & (back > 0), back, 0.0), layer)
        return back


def every(method: str, k: int, **options: object) -> tuple[list[Written], Array]:
    net, x = classifier(), images()
    return [Written(net, one) for one in x.numpy()], explain(net, x, method=method, output=k, **options).contributions


@pytest.mark.parametrize("k", CHOICES)
def test_zhous_cam_is_the_map_of_one_output(k: int) -> None:
    written, found = every("ram", k)
    for one, ours in zip(written, found, strict=True):
        np.testing.assert_allclose(one.cells * ours, one.cam(k), rtol=1e-10, atol=1e-14)
        assert ours.sum() + one.bias[k] == pytest.approx(one.answer(k), rel=1e-12)


@pytest.mark.parametrize("k", CHOICES)
def test_selvarajus_grad_cam(k: int) -> None:
    for layer in (None, "3"):
        written, found = every("grad-cam", k, layer=layer)
        for one, ours in zip(written, found, strict=True):
            np.testing.assert_allclose(ours, one.grad_cam(k), rtol=1e-10, atol=1e-14)


def test_grad_cam_is_cam_where_the_net_ends_in_pooling() -> None:
    """Selvaraju et al., section 3.1: the same map but for the number of cells, where nothing is cut off."""
    written, found = every("grad-ram", 1)
    for one, ours in zip(written, found, strict=True):
        np.testing.assert_allclose(one.cells * ours, one.cam(1), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("k", CHOICES)
def test_springenbergs_guided_backpropagation(k: int) -> None:
    for channel in (None, 0, 1):
        written, found = every("guided-backprop", k, channel=channel)
        for one, ours in zip(written, found, strict=True):
            expected = one.guided(k).sum(axis=0) if channel is None else one.guided(k)[channel]
            np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-14)


def test_wang_and_yangs_ram_for_a_number() -> None:
    """M(x, y) = sum_k w_k f_k(x, y) for the one output of a regression. Source: arXiv:1703.10757, section 3."""
    net, x = classifier(outputs=1), images()
    one = explain(net, x, target="severity", target_mean=2.0, target_scale=0.5)
    for row, image in enumerate(x.numpy()):
        written = Written(net, image)
        np.testing.assert_allclose(one.contributions[row], 0.5 * written.cam(0) / written.cells, rtol=1e-10, atol=1e-14)
        assert one.prediction[row] == pytest.approx(2.0 + 0.5 * written.answer(0), rel=1e-12)
        assert one.baseline[row] == pytest.approx(2.0 + 0.5 * written.bias[0], rel=1e-12)


def test_the_worked_examples_print_what_the_page_says() -> None:
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert tried > 25
    assert failed == 0


def test_the_methods_of_the_lecture_are_all_there() -> None:
    assert {"ram", "grad-cam", "guided-backprop"} <= set(METHODS)
