"""Run a net whose head is known: its feature maps, the linear unit behind them, and its output."""

from __future__ import annotations

__all__ = ["HeadCall", "features_at", "ran_another_way", "run_head"]

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ram.errors import ModelError, explained
from ram.maps.heads import Head, Pooled
from ram.maps.outputs import Choice, output_of
from ram.maps.watching import LinearCall, Watch


@dataclass(frozen=True)
class HeadCall:
    """What one pass through a net gave: ``output = sum over stages of weight mean(features) + bias``."""

    features: tuple[Float[Tensor, "batch feature *cells"], ...]
    weights: tuple[Float[Tensor, "1 feature"], ...]
    bias: Float[Tensor, " 1"]
    output: Float[Tensor, " batch"]
    finer: Float[Tensor, "batch feature *finer"] | None = None


def run_head(
    net: nn.Module, x: Float[Tensor, "batch channel *space"], head: Head, *, output: Choice, times: int = 1
) -> HeadCall:
    """Return the feature maps of `x`, the linear unit that turns their mean into the output, and the output.

    Parameters
    ----------
    times
        The features, of a head with one activation, come on a grid that is finer `times` over; the net goes on with
        those of its own grid.

    Raises
    ------
    ModelError
        Where the net did not run the way it did when the head was found.
    """
    if head.names and times == 1:
        return _listen(net, x, head, output=output)
    activations = [one.activation for one in head.pooled]
    thinned = activations[0] if times > 1 else -1
    with Watch({*activations, *head.linear}, thinned=thinned, times=times) as watch:
        y = output_of(net(x), output)
    calls = watch.calls
    if set(activations) != set(calls.results) or set(head.linear) != set(calls.linears):
        raise ModelError(ran_another_way(net))
    features = tuple(calls.results[number] for number in activations)
    folded = _folded([calls.linears[number] for number in head.linear], head.column, like=features[0])
    return replace(_head_call(net, head, features, folded, y), finer=watch.finer)


def _listen(net: nn.Module, x: Tensor, head: Head, *, output: Choice) -> HeadCall:
    """Do as `run_head` where modules make the calls."""
    parts: list[Any] = [_part(net, name) for name in head.names]
    count = len(head.pooled)
    seen: dict[int, list[Any]] = {}
    handles = [part.register_forward_hook(partial(_note, seen, number)) for number, part in enumerate(parts[:count])]
    try:
        y = output_of(net(x), output)
    finally:
        for handle in handles:
            handle.remove()
    folded = _folded([LinearCall(0, y, unit.weight, unit.bias, y) for unit in parts[count:]], head.column, like=y)
    features = tuple(seen[number][0] for number in sorted(seen) if len(seen[number]) == 1)
    if len(features) != count or not all(isinstance(one, Tensor) for one in features):
        raise ModelError(ran_another_way(net))
    return _head_call(net, head, features, folded, y)


def _part(net: nn.Module, name: str) -> nn.Module:
    """Return a submodule that is there; torch's own ``get_submodule`` looks twice at each step."""
    for step in name.split("."):
        net = net._modules[step]  # type: ignore[assignment]
    return net


def _note(seen: dict[int, list[Any]], number: int, _part: nn.Module, _inputs: object, result: Any) -> None:
    seen.setdefault(number, []).append(result)


def _head_call(
    net: nn.Module, head: Head, features: tuple[Tensor, ...], folded: tuple[Tensor, Tensor], y: Tensor
) -> HeadCall:
    """Return what one pass gave, the linear unit's columns parted among the activations."""
    weight, bias = folded
    widths = [last - first for first, last in (one.columns for one in head.pooled)]
    if [one.shape[1] for one in features] != widths or weight.shape[1] != sum(widths):
        raise ModelError(ran_another_way(net))
    weights = torch.split(weight, widths, dim=1) if len(widths) > 1 else (weight,)
    summed = zip(weights, head.pooled, features, strict=True)
    weights = tuple(own * maps[0, 0].numel() if one.summed else own for own, one, maps in summed)
    return HeadCall(features, weights, bias, y)


class _Reached(Exception):  # noqa: N818 - no error
    """The forward pass has got as far as was wanted."""

    def __init__(self, result: Tensor) -> None:
        super().__init__()
        self.result = result


class _StopAt(TorchFunctionMode):
    """End a forward pass at one of its calls."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._left = number

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if self._left == 0:
            raise _Reached(result)
        self._left -= 1
        return result


def features_at(net: nn.Module, x: Float[Tensor, "batch channel *space"], pooled: Pooled) -> Tensor:
    """Return the feature maps of `x` alone: what follows them in the net is not run."""
    try:
        with _StopAt(pooled.activation):
            net(x)
    except _Reached as reached:
        return reached.result
    raise ModelError(ran_another_way(net))


def _folded(units: Sequence[LinearCall], column: int, *, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight (1, feature) and bias (1,) of linear units in a row, the last one first; of none, the identity's.

    `like` are the features, where there are no units.
    """
    if not units:
        weight = like.new_zeros(1, like.shape[1])
        weight[0, column] = 1
        return weight, like.new_zeros(1)
    weight, bias = units[0].weight, units[0].bias
    if len(weight) > 1:
        weight, bias = weight[column : column + 1], None if bias is None else bias[column : column + 1]
    if bias is None:
        bias = weight.new_zeros(1)
    if len(units) > 1:
        weight, bias = weight.double(), bias.double()
    for unit in units[1:]:
        if unit.bias is not None:
            bias = bias + weight @ unit.bias.double()
        weight = weight @ unit.weight.double()
    return weight, bias


def ran_another_way(net: nn.Module) -> str:
    """Say that a net's calls are not those that were found."""
    return explained(
        where="ram.explain, method ram", what="the net", allowed="run the same way for every batch",
        got=f"a {type(net).__name__} whose calls differ from batch to batch", next_step="Explain samples one by one",
    )  # fmt: skip
