"""The laws of the map, asked of any net and any method."""

from __future__ import annotations

__all__ = ["Check", "check_method", "check_regressor"]

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from ram.maps.explain import explain
from ram.maps.outputs import Choice, output_of
from ram.maps.regression_map import RegressionMap

Inputs = Float[Tensor, "batch channel *space"]
MapMaker = Callable[[nn.Module, Inputs, Any], RegressionMap]
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


@dataclass(frozen=True)
class Check:
    """One law, and by how much it was missed.

    Attributes
    ----------
    law
        What was asked.
    error
        Largest error, relative to the larger of 1 and the sum of absolute contributions.
    allowed
        Largest error that rounding explains.
    """

    law: str
    error: float
    allowed: float

    @property
    def kept(self) -> bool:
        """Whether the law holds."""
        return self.error <= self.allowed


def check_regressor(
    net: nn.Module, x: Inputs, *, output: Choice = 0, method: str = "ram", **options: Any
) -> list[Check]:
    """Hold the maps of one net to the laws; returns what was checked.

    Parameters
    ----------
    net
        Any module that answers (batch,) or (batch, outputs).
    x
        Shape (batch, channel, *space): two samples at least, such as the net is used on.
    output, method
        As for `ram.explain`; `options` are passed on to it.

    Raises
    ------
    AssertionError
        Where a law is broken: says which, and by how much.

    Source of the idea: scikit-learn's ``check_estimator``.
    """

    def make(net: nn.Module, x: Inputs, output: Any) -> RegressionMap:
        return explain(net, x, output=output, method=method, **options)

    return _held(list(_laws(make, net, x, output)), f"method {method} on a {type(net).__name__}")


def check_method(method: MapMaker, *, dimensions: tuple[int, ...] = (1, 2, 3)) -> list[Check]:
    """Hold a method of the user's own to the laws that its grade claims, over small nets.

    Parameters
    ----------
    method
        ``method(net, x, output)`` returns a `RegressionMap` of one output for x of shape (batch, channel, *space).
    dimensions
        Numbers of space axes that the method is made for.

    Raises
    ------
    AssertionError
        Where a law is broken: says which, on which net, and by how much.
    """
    checks = []
    for ndim in dimensions:
        for outputs in (1, 3):
            net, x = _small_net(ndim, outputs), _small_inputs(ndim)
            found = list(_laws(method, net, x, outputs - 1))
            checks += _held(found, f"a net with {ndim} space axes and {outputs} outputs")
    return checks


def _laws(make: MapMaker, net: nn.Module, x: Inputs, output: Any) -> Iterator[Check]:
    """Yield every law that the maps claim to keep."""
    if len(x) < 2:
        raise ValueError("two samples at least: a batch must give what its samples give")
    before = _state(net, x)
    whole = make(net, x, output)
    yield Check("explaining leaves the net and its inputs as they were", _changed(before, _state(net, x)), 0.0)
    allowed = _TOLERANCE.get(x.dtype, 5e-2)
    size = np.maximum(1.0, np.abs(whole.contributions).reshape(len(whole), -1).sum(axis=1))
    with torch.no_grad():
        answered = _column(net, x, output)
    yield Check("the map is of what the net predicts", _worst(whole.prediction - answered, np.abs(answered)), allowed)
    if whole.adds_up:
        missing = whole.baseline + whole.total + whole.residual - whole.prediction
        yield Check("baseline + contributions + residual = prediction", _worst(missing, size), allowed)
    if whole.grade == "exact":
        yield Check("an exact map has no residual", _worst(whole.residual, size), allowed)
    ones = [make(net, x[[row]], output).contributions[0] for row in range(len(x))]
    yield Check(
        "a batch gives what its samples give one by one", _worst(np.stack(ones) - whole.contributions, size), allowed
    )
    again = make(net, x, output).contributions
    yield Check("asked again, the answer is the same", _worst(again - whole.contributions, size), allowed)
    fine = whole.on_input_grid()
    yield Check("resampling keeps the sum", _worst(fine.total - whole.total, size), 1e-9)
    inside = [(axis.edges[0], axis.edges[-1]) for axis in whole.axes]
    everything = whole.within(**{axis.name: bounds for axis, bounds in zip(whole.axes, inside, strict=True)})
    yield Check("the whole input carries the whole sum", _worst(everything - whole.total, size), 1e-9)


def _held(checks: list[Check], where: str) -> list[Check]:
    broken = [check for check in checks if not check.kept]
    if broken:
        lines = [f"{check.law}: missed by {check.error:.3g}, {check.allowed:.0e} allowed" for check in broken]
        raise AssertionError(f"{where}: " + "; ".join(lines))
    return checks


def _column(net: nn.Module, x: Inputs, output: Any) -> NDArray[np.float64]:
    flags = [(part, part.training) for part in net.modules()]
    try:
        y = net.eval()(x.clone())
    finally:
        for part, training in flags:
            part.training = training
    return np.asarray(output_of(y, output).double().cpu().numpy())


def _state(net: nn.Module, x: Inputs) -> dict[str, Any]:
    """Return all that explaining must leave alone."""
    state: dict[str, Any] = {f"state {name}": value.clone() for name, value in net.state_dict().items()}
    state |= {f"grad {name}": weight.grad for name, weight in net.named_parameters()}
    state |= {f"requires {name}": weight.requires_grad for name, weight in net.named_parameters()}
    state |= {f"training {name}": part.training for name, part in net.named_modules()}
    state |= {
        f"hooks {name}": len(part._forward_hooks) + len(part._backward_hooks) for name, part in net.named_modules()
    }
    return state | {"inputs": x.clone(), "random numbers": torch.get_rng_state()}


def _changed(before: dict[str, Any], after: dict[str, Any]) -> float:
    """Return how many things are not what they were."""
    same = partial(_equal, after)
    return float(sum(not same(name, value) for name, value in before.items()))


def _equal(after: dict[str, Any], name: str, value: Any) -> bool:
    if isinstance(value, Tensor):
        return isinstance(after[name], Tensor) and torch.equal(value, after[name])
    return bool(after[name] is value or after[name] == value)


def _worst(difference: NDArray[Any], size: NDArray[Any]) -> float:
    """Return the largest difference of any sample, relative to its size."""
    largest = np.abs(difference).reshape(len(difference), -1).max(axis=1)
    return float(np.max(largest / np.maximum(1.0, size)))


_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_POOLS: dict[int, type[nn.Module]] = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}


def _small_net(ndim: int, outputs: int) -> nn.Module:
    """Return a net that ends in global average pooling and a linear unit, in training mode as users leave it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(ndim)
        return nn.Sequential(
            _CONVOLUTIONS[ndim](2, 4, 4, stride=2, padding=1), nn.ReLU(), nn.Dropout(),
            _CONVOLUTIONS[ndim](4, 5, 3, padding=1), nn.ReLU(),
            _POOLS[ndim](1), nn.Flatten(), nn.Linear(5, outputs),
        ).double()  # fmt: skip


def _small_inputs(ndim: int) -> Inputs:
    draw = torch.Generator().manual_seed(ndim)
    return torch.rand((3, 2, *(8, 12, 8)[:ndim]), dtype=torch.float64, generator=draw)
