"""Law 8: explaining changes nothing, whatever happens inside."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ram.errors import ModelError
from ram.maps.activation import evaluating, untouched
from ram.maps.explain import explain, explain_regressor
from ram.models.backbones import build_backbone
from ram.models.regressor import Regressor, TargetScaling


def body() -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU())


def images(batch: int = 3, size: int = 8) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(batch, 1, size, size)).astype(np.float32)


def regressor() -> Regressor:
    torch.manual_seed(2)
    backbone = build_backbone("plain", ndim=2, channels=1, widths=(3, 4), depth=1)
    targets = [TargetScaling("umbrella", "Hz", 560.0, 80.0), TargetScaling("mass", "kg", 7.0, 1.0)]
    return Regressor(backbone, input_mean=[0.0], input_scale=[1.0], targets=targets)


class Plain(nn.Module):
    """A net that ends in a mean and a linear unit."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = body(), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x).mean((2, 3)))


class Restless(nn.Module):
    """A net that changes all it can while it runs: its input, buffers, generators; and fails when asked."""

    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.body, self.dropout, self.fc = body(), nn.Dropout(0.5), nn.Linear(4, 1)
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("kept", torch.ones(2))
        self.fails: BaseException | None = None

    def forward(self, x: Tensor) -> Tensor:
        x.mul_(0.5)
        self.count += 1
        self.kept = self.kept + 1
        torch.rand(3)
        a = self.dropout(self.body(x))
        if self.fails is not None:
            raise self.fails
        return self.fc(a.mean((2, 3)))


def state_of(net: nn.Module) -> dict[str, Any]:
    return {
        "state": {name: value.clone() for name, value in net.state_dict().items()},
        "identity": {name: id(value) for name, value in net.state_dict(keep_vars=True).items()},
        "training": {name: part.training for name, part in net.named_modules()},
        "grad": {name: None if w.grad is None else (id(w.grad), w.grad.clone()) for name, w in net.named_parameters()},
        "requires_grad": {name: w.requires_grad for name, w in net.named_parameters()},
        "hooks": {name: (dict(p._forward_hooks), dict(p._forward_pre_hooks)) for name, p in net.named_modules()},
        "random": torch.get_rng_state(),
        "grad mode": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
    }


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple):
        return all(map(same, a, b))
    return bool(a == b)


@contextmanager
def nothing_changes(net: nn.Module, *values: Any) -> Iterator[None]:
    before, copies = state_of(net), [value.copy() for value in values]
    yield
    after = state_of(net)
    for what, value in before.items():
        assert same(value, after[what]), what
    for value, kept in zip(values, copies, strict=True):
        np.testing.assert_array_equal(value, kept)
    assert torch.overrides._get_current_function_mode_stack() == []
    assert torch.utils._python_dispatch._get_current_dispatch_mode_stack() == []


def restless() -> Restless:
    """Some parts in training mode, some not; some weights frozen, one with a gradient; a hook of the user's own."""
    net = Restless().train()
    net.body[1].eval()
    net.body[0].weight.requires_grad_(False)  # noqa: FBT003 - torch's
    net.fc.weight.grad = torch.ones_like(net.fc.weight)
    net.body.register_forward_hook(lambda *_: None)
    return net


def test_explaining_changes_nothing() -> None:
    net, x = restless(), images()
    with nothing_changes(net, x):
        explain(net, x)
    with nothing_changes(net, x):
        explain(net, x, layer="body", reference=x[0])


@pytest.mark.parametrize(
    "failure", [ValueError("in the forward pass"), KeyboardInterrupt()], ids=["error", "interrupt"]
)
@pytest.mark.parametrize("known", [False, True], ids=["first call", "later call"])
def test_a_failure_inside_changes_nothing(failure: BaseException, *, known: bool) -> None:
    net, x = restless(), images()
    if known:
        explain(net, x)
    net.fails = failure
    with nothing_changes(net, x), pytest.raises(type(failure)):
        explain(net, x)
    net.fails = None
    np.testing.assert_allclose(explain(net, x).residual, 0.0, atol=1e-6)


def test_a_tensor_that_the_net_overwrites_is_not_the_callers() -> None:
    x = torch.from_numpy(images())
    explain(restless(), x, reference=x[0])
    np.testing.assert_array_equal(x.numpy(), images())


def test_a_wrong_layer_changes_nothing() -> None:
    net, x = restless(), images()
    with nothing_changes(net, x), pytest.raises(ModelError, match="layer must be one of"):
        explain(net, x, layer="none")
    with nothing_changes(net, x), pytest.raises(ModelError, match="whose mean is not what goes into fc"):
        explain(net, x, layer="body.0")


@pytest.mark.parametrize("failure", [None, RuntimeError("stop"), KeyboardInterrupt()])
def test_a_regressor_is_left_as_it_was(failure: BaseException | None, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = regressor().train(), images()
    net.backbone.stages[0][1].eval()
    net.head.weight.grad = torch.ones_like(net.head.weight)
    if failure is None:
        with nothing_changes(net, x):
            explain_regressor(net, x, reference=x[0])
        return

    def broken(*_: Any) -> Tensor:
        raise failure

    monkeypatch.setattr(net, "standardised", broken)
    with nothing_changes(net, x), pytest.raises(type(failure)):
        explain_regressor(net, x)


def test_gradients_and_flags_are_set_aside_within() -> None:
    net = restless()
    with nothing_changes(net), untouched(net):
        assert not any(part.training for part in net.modules())
        assert net.fc.weight.grad is None
        net(torch.zeros(1, 1, 8, 8)).sum().backward()
        net.fc.weight.requires_grad_(False)  # noqa: FBT003 - torch's
        assert net.fc.weight.grad is not None


def test_dropout_and_batch_norm_are_in_evaluation_mode() -> None:
    net = restless()
    first, second = explain(net, images()), explain(net, images())
    np.testing.assert_array_equal(first.contributions, second.contributions)
    np.testing.assert_array_equal(first.contributions, explain(net.eval(), images()).contributions)


def test_nothing_is_left_behind_by_many_calls() -> None:
    net, x = Plain(), images(1)
    explain(net, x)
    gc.collect()
    before = sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())
    for _ in range(200):
        explain(net, x)
    gc.collect()
    assert sum(issubclass(type(thing), Tensor) for thing in gc.get_objects()) <= before


def test_a_net_that_is_gone_is_forgotten() -> None:
    from ram.maps import remembered

    net = Plain()
    explain(net, images())
    assert net in remembered._KNOWN
    gc.collect()
    known = len(remembered._KNOWN)
    del net
    gc.collect()
    assert len(remembered._KNOWN) == known - 1


def test_what_is_known_of_a_net_holds_as_long_as_it_is_built_so() -> None:
    """Same shapes, another receptive field: a convolution put in place of another, and one that is changed."""
    net, x = Plain(), images()
    first = explain(net, x)
    net.body[0] = nn.Conv2d(1, 4, 5, stride=2, padding=2)
    wider = explain(net, x)
    assert wider.receptive_field[0] > first.receptive_field[0]
    net.body[0].dilation, net.body[0].padding = (2, 2), (4, 4)
    widest = explain(net, x)
    assert widest.receptive_field[0] > wider.receptive_field[0]
    fresh = Plain()
    fresh.body = net.body
    fresh.load_state_dict(net.state_dict())
    np.testing.assert_array_equal(widest.contributions, explain(fresh, x).contributions)


def test_weights_are_never_remembered() -> None:
    net, x = Plain(), images()
    before = explain(net, x).contributions
    with torch.no_grad():
        net.fc.weight *= -2
    np.testing.assert_allclose(explain(net, x).contributions, -2 * before, rtol=1e-6)
    net.fc.weight = nn.Parameter(net.fc.weight / -2)
    np.testing.assert_allclose(explain(net, x).contributions, before, rtol=1e-6)


def test_an_interrupt_while_flags_are_set_leaves_them_as_they_were() -> None:
    class Stubborn(nn.Module):
        def __setattr__(self, name: str, value: Any) -> None:
            if name == "training" and self.__dict__.pop("armed", False):
                raise KeyboardInterrupt
            super().__setattr__(name, value)

    net = nn.Sequential(nn.Linear(1, 1), Stubborn()).train()
    net[1].__dict__["armed"] = True
    with nothing_changes(net), pytest.raises(KeyboardInterrupt), evaluating(net):
        pass
