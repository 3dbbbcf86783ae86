"""Look into a net at one of its layers: what it passes on, and what the output makes of it."""

from __future__ import annotations

__all__ = ["LayerPass", "known_layer", "last_layer", "passing", "run_layer"]

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ram.errors import ModelError, explained, nearest

Inputs = Float[Tensor, "batch channel *space"]
Output = Callable[[Inputs], Float[Tensor, " batch"]]

_POOLS = tuple(part for name, part in vars(nn.modules.pooling).items() if name.endswith(("Pool1d", "Pool2d", "Pool3d")))


@dataclass(frozen=True)
class LayerPass:
    """What one pass through a net gave at one layer.

    Attributes
    ----------
    activation
        A, shape (batch, feature, *cells).
    gradient
        dy/dA, of the same shape or broadcast to it.
    output
        y, shape (batch,).
    silent
        What y is where A is zero, shape (batch,): the part of the output that the layer does not carry.
    name
        The layer's; empty where y is linear in A, so that the gradient says all.
    """

    activation: Float[Tensor, "batch feature *cells"]
    gradient: Tensor
    output: Float[Tensor, " batch"]
    silent: Float[Tensor, " batch"]
    name: str = ""

    @classmethod
    def at_head(
        cls,
        features: Float[Tensor, "batch feature *cells"],
        weight: Float[Tensor, " feature"],
        output: Float[Tensor, " batch"],
        silent: Float[Tensor, " batch"],
    ) -> LayerPass:
        """Return the pass at the feature maps whose mean a linear unit takes: nothing has to be differentiated."""
        gradient = (weight / features[0, 0].numel()).view(1, -1, *(1,) * (features.ndim - 2))
        return cls(features, gradient, output, silent)


def run_layer(output: Output, layer: nn.Module, x: Inputs, *, name: str) -> LayerPass:
    """Return what `layer` gives on the way from `x` to ``output(x)``, and the gradient of the output at it.

    Weights get no gradients.

    Raises
    ------
    ModelError
        Where the layer runs not once, gives no activation with the input's axes, or the output does not depend on it.
    """
    seen: list[Tensor] = []
    with torch.no_grad(), passing(layer, lambda result: torch.zeros_like(_activation(result, x, name))):
        silent = output(x.clone())  # before anything is kept that takes memory

    def note(result: Tensor) -> Tensor:
        seen.append(_activation(result, x, name).detach().requires_grad_())
        torch.set_grad_enabled(True)  # from here on: what lies before keeps no graph
        return seen[-1].clone()  # a layer that follows may write in place

    with torch.no_grad(), passing(layer, note):
        y = output(x)
    if seen and not y.requires_grad:  # the layer lies within a block of the net that sets gradients as it likes
        seen.clear()
        with torch.enable_grad(), passing(layer, note):
            y = output(x)
    with torch.enable_grad():
        if len(seen) != 1:
            raise ModelError(_not_once(name, len(seen)))
        (gradient,) = torch.autograd.grad(y.sum(), seen[0], allow_unused=True) if y.requires_grad else (None,)
    if gradient is None:
        raise ModelError(_without_effect(name))
    return LayerPass(seen[0].detach(), gradient, y.detach(), silent, name)


def last_layer(net: nn.Module, output: Output, x: Inputs) -> str:
    """Return the name of the last layer that gives an activation of several cells with the input's axes.

    What a pooling layer made coarse is not taken, so that the map is as fine as the last convolution.

    Raises
    ------
    ModelError
        Where there is none.
    """
    found: list[str] = []
    coarse: list[Any] = []

    def note(name: str, part: nn.Module, _inputs: Any, result: Any) -> None:
        if isinstance(part, _POOLS):
            coarse.append(result)
        elif _several(result, x) and not any(result is one for one in coarse):
            found.append(name)

    handles = [part.register_forward_hook(partial(note, name)) for name, part in net.named_modules() if name]
    try:
        with torch.no_grad():
            output(x)
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        allowed = f"one with a layer that gives (batch, feature, {x.ndim - 2} axes of cells)"
        raise ModelError(explained(where="explain", what="the net", allowed=allowed, got=f"a {type(net).__name__}"))
    return found[-1]


def known_layer(net: nn.Module, name: str) -> nn.Module:
    """Return the layer of this name.

    Raises
    ------
    ModelError
        Where there is none; names the nearest ones.
    """
    # What torch.compile wraps stands one floor lower; nobody wants to spell that.
    known: dict[str, nn.Module] = {
        found.replace("_orig_mod.", ""): part for found, part in net.named_modules() if found
    }
    if name not in known:
        allowed = f"one of {', '.join(known)}"
        raise ModelError(
            explained(where="explain", what="layer", allowed=allowed, got=name, next_step=nearest(name, known))
        )
    return known[name]


@contextmanager
def passing(layer: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within the block, `layer` passes on ``change(result)``."""
    handle = layer.register_forward_hook(lambda _layer, _inputs, result: change(result))
    try:
        yield
    finally:
        handle.remove()


def _activation(result: Any, x: Tensor, name: str) -> Tensor:
    if isinstance(result, Tensor) and result.ndim == x.ndim and result.is_floating_point():
        return result
    raise ModelError(
        explained(
            where="explain",
            what=f"the result of layer {name}",
            allowed=f"an activation of shape (batch, feature, {x.ndim - 2} axes of cells)",
            got=f"shape {tuple(result.shape)}" if isinstance(result, Tensor) else type(result).__name__,
            next_step="Name a layer before the pooling",
        )
    )


def _several(result: Any, x: Tensor) -> bool:
    fits = isinstance(result, Tensor) and result.ndim == x.ndim and result.is_floating_point()
    return bool(fits and result[0, 0].numel() > 1)


def _not_once(name: str, times: int) -> str:
    got = "is not run" if times == 0 else f"is run {times} times"
    step = "Name a layer that every sample passes once"
    return explained(where="explain", what=f"layer {name}", allowed="run once", got=f"one that {got}", next_step=step)


def _without_effect(name: str) -> str:
    got = "an output that does not change with it"
    return explained(where="explain", what=f"layer {name}", allowed="what the output is made of", got=got)
