"""Leave features of a layer out, one at a time: what an output is without each of them."""

from __future__ import annotations

__all__ = ["with_features_left_out"]

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ram.maps.layers import Inputs, Output, passing

_CONVOLUTIONS = {f"conv{ndim}d": ndim for ndim in (1, 2, 3)}
_ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
# What makes each feature of nothing but itself, and takes no second tensor of features.
_APART = frozenset(
    ["relu", "relu_", "relu6", "elu", "elu_", "selu", "celu", "gelu", "silu", "mish", "leaky_relu", "leaky_relu_"]
    + ["hardtanh", "hardswish", "sigmoid", "tanh", "softplus", "batch_norm"]
    + [f"{kind}_pool{ndim}d" for kind in ("max", "avg") for ndim in (1, 2, 3)]
)


def with_features_left_out(
    output: Output, layer: nn.Module, x: Inputs, *, features: range
) -> Float[Tensor, " feature"]:
    """Return the output for one sample with each of some features of `layer` set to zero, one at a time.

    What lies before the layer runs once, what lies behind it once for each feature, as one batch; of the first
    convolution behind it only what each feature adds (`_Lacking`). Where the result is joined with something that
    passes the layer by, such as a skip connection that is concatenated, all runs once for each feature.

    Parameters
    ----------
    x
        Shape (1, channel, *space).
    """
    lacking = _Lacking(features)
    with torch.no_grad(), passing(layer, lacking.begin), lacking:
        try:
            found = output(x)
        except RuntimeError:  # one sample and many copies do not join
            found = x.new_empty(0)
        if len(found) != len(features):
            found = output(x.expand(len(features), *x.shape[1:]).clone())
        return found


@dataclass(frozen=True)
class _Copies:
    """Copies of an activation that differ from the whole one in one feature each; `version` counts later changes."""

    copies: Float[Tensor, "copy feature *cells"]
    whole: Float[Tensor, "1 feature *cells"]
    version: int


class _Lacking(TorchFunctionMode):
    """Follow copies of an activation, each without one feature, as far as the next convolutions.

    A convolution is linear: without a feature it gives what it gives of the whole activation less what that feature
    adds, so that all copies together cost two convolutions instead of one each.
    """

    def __init__(self, features: Sequence[int]) -> None:
        super().__init__()
        self._features = torch.tensor(list(features))
        self._known: dict[int, _Copies] = {}

    def begin(self, result: Tensor) -> Tensor:
        """Return one copy of a layer's result for each feature, without that feature."""
        count = len(self._features)
        copies = result.expand(count, *result.shape[1:]).clone()
        copies[torch.arange(count), self._features] = 0
        self._known = {}
        if result.dtype in {torch.float32, torch.float64}:  # a difference of halves would lose too much
            self._follow(copies, result[:1].clone())
        return copies

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        known = self._known.get(id(args[0])) if args else None
        if known is None or known.copies._version != known.version:  # written to since: nothing is known of it
            return func(*args, **kwargs)
        if name in _CONVOLUTIONS:
            call = dict(zip(_ARGUMENTS, args, strict=False)) | kwargs
            if call.get("groups", 1) == 1 and not isinstance(call.get("padding", 0), str):
                whole = func(known.whole, *args[1:], **kwargs)
                return self._less_added(whole, known, call, _CONVOLUTIONS[name])
        result = func(*args, **kwargs)
        if name in _APART and isinstance(result, Tensor):
            self._follow(result, func(known.whole, *args[1:], **kwargs))
        return result

    def _follow(self, copies: Tensor, whole: Tensor) -> None:
        if not copies.is_inference():
            self._known[id(copies)] = _Copies(copies, whole, copies._version)

    def _less_added(
        self, found: Float[Tensor, "1 feature *cells"], known: _Copies, call: dict[str, Any], ndim: int
    ) -> Float[Tensor, "copy feature *cells"]:
        """Return what a convolution found of the whole activation, less what the feature adds that each copy lacks."""
        weight: Tensor = call["weight"]
        count, kernel = len(known.copies), weight.shape[2:]
        stride, padding, dilation = (_each(call.get(name, usual), ndim) for name, usual in _USUAL)
        lost = known.whole[0, self._features] - known.copies[torch.arange(count), self._features]  # (copy, *cells)
        windows = functional.pad(lost, [part for pad in reversed(padding) for part in (pad, pad)])
        for axis, (size, step, spread) in enumerate(zip(kernel, stride, dilation, strict=True), start=1):
            windows = windows.unfold(axis, (size - 1) * spread + 1, step)[..., ::spread]
        cells = windows.shape[1 : ndim + 1]
        columns = windows.reshape(count, prod(cells), prod(kernel)).transpose(1, 2)  # (copy, kernel, cell)
        own = weight[:, self._features].flatten(2).transpose(0, 1)  # (copy, feature, kernel)
        every = found.flatten(2).expand(count, -1, -1)
        return torch.baddbmm(every, own, columns, alpha=-1).view(count, len(weight), *cells)


_USUAL = (("stride", 1), ("padding", 0), ("dilation", 1))


def _each(value: Any, ndim: int) -> tuple[int, ...]:
    """Return one number an axis, as torch reads them."""
    numbers = (value,) if isinstance(value, int) else tuple(value)
    return numbers * ndim if len(numbers) == 1 else numbers
