"""The public checks: they pass what keeps the laws and name what breaks them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from ram.maps.explain import explain
from ram.maps.methods import METHODS
from ram.maps.regression_map import RegressionMap
from ram.testing import check_method, check_regressor

PLAIN = [name for name, one in METHODS.items() if one.grade != "sensitivity" and "region" not in name]


@pytest.mark.parametrize("name", [name for name in PLAIN if name != "gradient-shap"])  # its draws depend on the batch
def test_our_own_methods_pass(name: str) -> None:
    checks = check_method(lambda net, x, output: explain(net, x, output=output, method=name))
    assert all(check.kept for check in checks)
    assert any("contributions + residual" in check.law for check in checks) == METHODS[name].adds_up


def test_a_net_is_checked_on_its_own_inputs() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)
    )
    checks = check_regressor(net, torch.rand(2, 1, 8, 8), output=1)
    assert "an exact map has no residual" in [check.law for check in checks]
    assert max(check.error for check in checks) < 1e-5


def exact(net: nn.Module, x: torch.Tensor, output: int) -> RegressionMap:
    return explain(net, x, output=output)


def doubled(net: nn.Module, x: torch.Tensor, output: int) -> RegressionMap:
    one = exact(net, x, output)
    return replace(one, contributions=2 * one.contributions)


def by_batch(net: nn.Module, x: torch.Tensor, output: int) -> RegressionMap:
    one = exact(net, x, output)
    shift = one.contributions.mean() - one.contributions.mean(
        axis=tuple(range(1, one.contributions.ndim)), keepdims=True
    )
    return replace(one, contributions=one.contributions + shift, grade="first-order")


def left_in_evaluation(net: nn.Module, x: torch.Tensor, output: int) -> RegressionMap:
    return exact(net.eval(), x, output)


def leaves_gradients(net: nn.Module, x: torch.Tensor, output: int) -> RegressionMap:
    net(x).sum().backward()
    return exact(net, x, output)


def changes_inputs(net: nn.Module, x: torch.Tensor, output: int) -> RegressionMap:
    one = exact(net, x, output)
    x.add_(1.0)
    return one


def random(net: nn.Module, x: torch.Tensor, output: int) -> RegressionMap:
    one = exact(net, x, output)
    return replace(one, contributions=np.random.default_rng().normal(size=one.contributions.shape), grade="relative")


def of_another_output(net: nn.Module, x: torch.Tensor, output: int) -> RegressionMap:
    return replace(exact(net, x, output), prediction=exact(net, x, output).prediction + 1.0, grade="relative")


@pytest.mark.parametrize(
    ("method", "law"),
    [
        (doubled, "an exact map has no residual: missed by"),
        (by_batch, "a batch gives what its samples give one by one"),
        (left_in_evaluation, "leaves the net and its inputs as they were"),
        (leaves_gradients, "leaves the net and its inputs as they were"),
        (changes_inputs, "leaves the net and its inputs as they were"),
        (random, "asked again, the answer is the same"),
        (of_another_output, "the map is of what the net predicts"),
    ],
)
def test_what_breaks_a_law_is_named(method, law: str) -> None:
    with pytest.raises(AssertionError, match=rf"a net with 2 space axes and 1 outputs: .*{law}"):
        check_method(method, dimensions=(2,))


def test_one_sample_is_too_few() -> None:
    with pytest.raises(ValueError, match="two samples at least"):
        check_regressor(nn.Conv1d(1, 1, 1), torch.rand(1, 1, 8))
