"""Which layers and functions a net of others may be made of, by name, and how their arguments are written down.

A net is kept as data: a list of steps, each a known layer or function with plain arguments. What is not on these
lists cannot be named by a file, so that a file can name no code to run.
"""

from __future__ import annotations

__all__ = ["FUNCTIONS", "LAYERS", "METHODS", "decoded", "encoded", "layer_options", "name_of"]

import inspect
import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ram.errors import ModelError

_DIMENSIONED = """
    Conv ConvTranspose BatchNorm InstanceNorm MaxPool AvgPool AdaptiveAvgPool AdaptiveMaxPool LPPool Dropout
    ZeroPad ConstantPad ReflectionPad ReplicationPad CircularPad
"""
_PLAIN = """
    AlphaDropout CELU ChannelShuffle Dropout ELU FeatureAlphaDropout Flatten GELU GLU GroupNorm Hardshrink Hardsigmoid
    Hardswish Hardtanh Identity LayerNorm LeakyReLU Linear LocalResponseNorm LogSigmoid Mish PReLU PixelShuffle
    PixelUnshuffle ReLU ReLU6 RMSNorm RReLU SELU SiLU Sigmoid Softmax Softplus Softshrink Softsign Tanh Tanhshrink
    Threshold Unflatten Upsample UpsamplingBilinear2d UpsamplingNearest2d
"""
_OPERATORS = "add floordiv getitem iadd imul isub itruediv matmul mod mul neg pow sub truediv"
_TORCH = """
    abs adaptive_avg_pool1d add amax amin avg_pool1d batch_norm bmm cat chunk clamp concat conv1d conv2d conv3d cos div
    einsum exp flatten flip group_norm instance_norm layer_norm log log1p matmul max_pool1d max_pool2d max_pool3d
    maximum mean minimum movedim mul neg permute pow relu relu_ reshape roll rsqrt sigmoid sin softmax split sqrt
    square squeeze stack std sub sum tanh transpose unsqueeze var where
"""
_FUNCTIONAL = """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
    adaptive_max_pool3d avg_pool1d avg_pool2d avg_pool3d batch_norm celu conv1d conv2d conv3d conv_transpose1d
    conv_transpose2d conv_transpose3d elu gelu glu group_norm hardshrink hardsigmoid hardswish hardtanh instance_norm
    interpolate layer_norm leaky_relu linear local_response_norm logsigmoid lp_pool1d lp_pool2d max_pool1d max_pool2d
    max_pool3d mish normalize pad pixel_shuffle pixel_unshuffle prelu relu relu6 relu_ selu sigmoid silu softmax
    softplus softshrink softsign tanh tanhshrink threshold upsample
"""
_METHODS = """
    abs add add_ amax amin chunk clamp clamp_ clone contiguous div div_ double exp expand expand_as flatten flip float
    log matmul mean movedim mul mul_ permute pow relu relu_ repeat reshape roll rsqrt sigmoid size softmax split sqrt
    square squeeze std sub sub_ sum tanh transpose type_as unflatten unsqueeze var view view_as
"""

_ATTRIBUTES = ("device", "dtype", "ndim", "shape")


def _attribute(value: Tensor, name: str) -> Any:
    """Return what a net may ask of a tensor besides its numbers."""
    if name not in _ATTRIBUTES:
        raise ModelError(f"no attribute of a tensor that a net may ask for: {name!r}")
    return getattr(value, name)


def _listed(room: Any, names: str, prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}{name}": getattr(room, name) for name in names.split()}


LAYERS: dict[str, type[nn.Module]] = _listed(nn, _PLAIN) | {
    f"{name}{ndim}d": getattr(nn, f"{name}{ndim}d")
    for name in _DIMENSIONED.split() for ndim in (1, 2, 3) if hasattr(nn, f"{name}{ndim}d")
}  # fmt: skip
FUNCTIONS: dict[str, Callable[..., Any]] = (
    _listed(operator, _OPERATORS, "operator.")
    | _listed(torch, _TORCH, "torch.")
    | _listed(nn.functional, _FUNCTIONAL, "functional.")
    | {"getattr": _attribute}
)
METHODS = frozenset(_METHODS.split())

_NAMES: dict[Any, str] = {function: name for name, function in FUNCTIONS.items()} | {getattr: "getattr"}


def name_of(function: Callable[..., Any]) -> str | None:
    """Return the name of a function on the list, or None.

    >>> name_of(torch.relu), name_of(nn.functional.max_pool2d), name_of(print)
    ('torch.relu', 'functional.max_pool2d', None)
    """
    return _NAMES.get(function)


def layer_options(layer: nn.Module) -> dict[str, Any]:
    """Return what a layer on the list was made with, by the names of its constructor.

    >>> layer_options(nn.MaxPool1d(2))["stride"], layer_options(nn.Conv1d(1, 2, 3, bias=False))["bias"]
    (2, False)
    """
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    given = (one.name for one in inspect.signature(type(layer)).parameters.values() if one.kind in named)
    return {name: _option(layer, name) for name in given if name not in _LEFT_OUT}


# Where weights lie is not how a layer is made; the last two are Hardtanh's old names for other options.
_LEFT_OUT = ("device", "dtype", "min_value", "max_value")


def _option(layer: nn.Module, name: str) -> Any:
    value = getattr(layer, name)
    return value is not None if name == "bias" else value


def encoded(value: Any, *, step_of: Callable[[Any], str | None] = lambda _: None) -> Any:
    """Return an argument as what JSON can hold; ``step_of(value)`` names the step that a value comes from.

    >>> encoded((2, slice(None, 3)))
    {'tuple': [2, {'slice': [None, 3, None]}]}

    Raises
    ------
    ModelError
        For an argument of another kind.
    """

    def inner(one: Any) -> Any:
        return encoded(one, step_of=step_of)

    step = step_of(value)
    if step is not None:
        return {"step": step}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, slice):
        return {"slice": [inner(value.start), inner(value.stop), inner(value.step)]}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, (tuple, list)):  # a torch.Size, too
        return {"tuple": [inner(one) for one in value]} if isinstance(value, tuple) else [inner(one) for one in value]
    raise ModelError(f"an argument of type {type(value).__name__}")


def decoded(value: Any, values: Mapping[str, Any]) -> Any:
    """Return the argument that was `encoded`, with the results of the steps in `values`.

    >>> decoded({"tuple": [{"step": "relu"}, 1]}, {"relu": 0.5})
    (0.5, 1)
    """
    if isinstance(value, list):
        return [decoded(one, values) for one in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "step":
        return values[content]
    if kind == "tuple":
        return tuple(decoded(one, values) for one in content)
    if kind == "slice":
        return slice(*(decoded(one, values) for one in content))
    return _DTYPES[content] if kind == "dtype" else Ellipsis


_DTYPES = {str(one).removeprefix("torch."): one for one in vars(torch).values() if isinstance(one, torch.dtype)}
