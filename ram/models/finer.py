"""The same net on a finer grid: strides of its last stages removed, what follows dilated, on the same weights.

A convolution of stride s gives every s-th value of the same convolution with stride 1; a later convolution finds its
neighbours s apart. So the finer features hold the coarse ones, unchanged, and new ones between them. That is exact
for zero padding and for whatever looks at one cell at a time; what looks at all cells (squeeze-excite, norms over
space), pads otherwise or resamples is refused.

Source: Holschneider et al. 1990 (algorithme a trous); Yu & Koltun 2016, arXiv:1511.07122; Chen et al. 2017,
arXiv:1606.00915.
"""

from __future__ import annotations

__all__ = ["every", "finer_cells", "finer_features", "strides_of"]

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from ram.errors import ConfigError, ModelError, explained
from ram.models.geometry import CellGeometry

Features = Float[Tensor, "batch feature *cells"]
Function = Callable[[Tensor], Tensor]
Steps = tuple[int, ...]

_CONVOLUTIONS = {f"conv{ndim}d": ndim for ndim in (1, 2, 3)}
_POOLS = {f"{kind}_pool{ndim}d": ndim for kind in ("max", "avg") for ndim in (1, 2, 3)}
# One cell at a time, or copies; arithmetic among tensors of one grid is safe too.
_CELLWISE = frozenset(
    ["relu", "relu_", "relu6", "elu", "elu_", "selu", "celu", "gelu", "silu", "mish", "leaky_relu", "leaky_relu_"]
    + ["prelu", "hardtanh", "hardtanh_", "hardswish", "hardsigmoid", "sigmoid", "sigmoid_", "tanh", "tanh_"]
    + ["softplus", "logsigmoid", "exp", "log", "abs", "neg", "square", "sqrt", "clamp", "clamp_", "clamp_min", "pow"]
    + ["batch_norm", "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "cat", "concat", "where"]
    + ["maximum", "minimum", "contiguous", "clone", "detach", "to", "float", "double", "half", "bfloat16", "type_as"]
    + [f"{name}{end}" for name in ("add", "sub", "mul", "div") for end in ("", "_")]
    + [f"__{side}{name}__" for name in ("add", "sub", "mul", "truediv", "pow") for side in ("", "r", "i")]
)  # fmt: skip
_QUESTIONS = frozenset(["size", "dim", "__get__", "is_floating_point", "numel", "stride", "is_contiguous", "__len__"])


@dataclass(frozen=True)
class _Grid:
    """How far apart neighbouring cells of a tensor lie, in samples of the input: in the net as it is, and here."""

    nominal: Steps
    actual: Steps

    @property
    def dilation(self) -> Steps:
        return tuple(a // b for a, b in zip(self.nominal, self.actual, strict=True))

    @property
    def finer(self) -> bool:
        return self.nominal != self.actual


def strides_of(function: Function, x: Float[Tensor, "batch channel *space"]) -> Steps:
    """Return how far apart the cells of ``function(x)`` lie, in samples of the input, one number an axis."""
    with _Finer(x, largest=None) as watch:
        features = function(x)
    grid: _Grid = watch.grid_of(features)
    return grid.nominal


def every(features: Features, times: int) -> Features:
    """Return every `times`-th cell along each axis, beginning with the first, out of sight of a `_Finer`.

    >>> every(torch.arange(5.0).view(1, 1, 5), 2).tolist()
    [[[0.0, 2.0, 4.0]]]
    """
    with torch._C.DisableTorchFunction():
        for axis in range(2, features.ndim):
            features = features[(slice(None),) * axis + (slice(None, None, times),)]
        return features.contiguous()


def finer_features(
    function: Function, x: Float[Tensor, "batch channel *space"], *, times: int, strides: Steps | None = None
) -> Features:
    """Return the features of ``function(x)`` on a grid that is finer `times` over along every axis.

    Every `times`-th cell, beginning with the first, holds what the net itself computes.

    Parameters
    ----------
    function
        From an input to feature maps, run without gradients in evaluation mode.
    times
        Must divide the strides of the net.
    strides
        What `strides_of` finds, where it is known already: it costs a pass.

    Raises
    ------
    ConfigError
        Where strides cannot be removed to that factor.
    ModelError
        Where the net has an operation that a finer grid would change.

    >>> net = torch.nn.Conv1d(1, 1, 2, stride=2, bias=False)
    >>> _ = torch.nn.init.ones_(net.weight)
    >>> x = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
    >>> net(x).tolist(), finer_features(net, x, times=2).tolist()
    ([[[3.0, 7.0]]], [[[3.0, 5.0, 7.0]]])
    """
    strides = strides or strides_of(function, x[:1])
    if any(stride % times for stride in strides):
        common = math.gcd(*strides)
        allowed = ", ".join(str(number) for number in range(1, common + 1) if common % number == 0)
        raise ConfigError(explained(where="explain", what="resolution", allowed=f"one of {allowed}", got=times))
    with _Finer(x, largest=tuple(stride // times for stride in strides)):
        return function(x)


def finer_cells(cells: CellGeometry, *, times: int, count: int) -> CellGeometry:
    """Return the `count` cells of a grid that is finer `times` over and begins with the same cell."""
    jump = cells.jump / times
    centres = cells.offset + jump * np.arange(count, dtype=np.float64)
    before, after = cells.offset - cells.low[0], cells.high[-1] - cells.centres[-1]
    half = max((cells.receptive_field - 1) / 2, before, after)  # the first and last cell see less, for there is no more
    low, high = np.clip(centres - half, 0, cells.size - 1), np.clip(centres + half, 0, cells.size - 1)
    return replace(cells, centres=centres, low=low, high=high)


class _Finer(TorchFunctionMode):
    """Run convolutions and pools so that no grid is coarser than `largest`; None: as they are."""

    def __init__(self, x: Tensor, *, largest: Steps | None) -> None:
        super().__init__()
        ones = (1,) * (x.ndim - 2)
        self._largest = largest
        self._grids = WeakTensorKeyDictionary()
        self._grids[x] = _Grid(ones, ones)

    def grid_of(self, tensor: Tensor) -> _Grid:
        """Return the grid of a tensor that was made from the input."""
        if tensor not in self._grids:
            got = "features that were not followed from the input"
            raise ModelError(explained(where="explain", what="the net", allowed="made of layers on a grid", got=got))
        found: _Grid = self._grids[tensor]
        return found

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        known = [self._grids[one] for one in _tensors((*args, *kwargs.values())) if one in self._grids]
        if not known or name in _QUESTIONS:
            return func(*args, **kwargs)
        if name in _CONVOLUTIONS:
            return self._convolved(_CONVOLUTIONS[name], known[0], _convolution(*args, **kwargs))
        if name in _POOLS:
            return self._pooled(_POOLS[name], known[0], _CALLS[name[:3]](*args, **kwargs), kind=name[:3])
        if any(grid != known[0] for grid in known) or (known[0].finer and name not in _CELLWISE):
            raise ModelError(_refusal(name or str(func)))
        result = func(*args, **kwargs)
        for one in _tensors((result,)):
            if one.ndim == len(known[0].actual) + 2:
                self._grids[one] = known[0]
        return result

    def _moved(self, grid: _Grid, stride: Steps) -> tuple[_Grid, Steps]:
        """Return the grid behind a layer of this stride, and the stride that it is run with here."""
        nominal = tuple(a * b for a, b in zip(grid.nominal, stride, strict=True))
        actual = nominal
        if self._largest is not None:
            actual = tuple(min(a, b) for a, b in zip(nominal, self._largest, strict=True))
        if any(new % old for new, old in zip(actual, grid.actual, strict=True)):
            raise ModelError(_refusal(f"a stride of {stride} that the resolution does not divide"))
        steps = tuple(new // old for new, old in zip(actual, grid.actual, strict=True))
        return _Grid(nominal, actual), steps

    def _convolved(self, ndim: int, grid: _Grid, one: _Layer) -> Tensor:
        after, steps = self._moved(grid, _each(one.stride, ndim))
        dilation = tuple(a * b for a, b in zip(_each(one.dilation, ndim), grid.dilation, strict=True))
        assert one.weight is not None
        x, padding = one.x, one.padding
        if padding == "valid":
            padding = 0
        if isinstance(padding, str):
            totals = [d * (size - 1) for d, size in zip(dilation, one.weight.shape[2:], strict=True)]
            x = functional.pad(x, [part for total in reversed(totals) for part in (total // 2, total - total // 2)])
            spread: Steps = (0,) * ndim
        else:
            spread = tuple(a * b for a, b in zip(_each(padding, ndim), grid.dilation, strict=True))
        convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[ndim - 1]
        result: Tensor = convolve(x, one.weight, one.bias, steps, spread, dilation, one.groups)
        self._grids[result] = after
        return result

    def _pooled(self, ndim: int, grid: _Grid, one: _Layer, *, kind: str) -> Tensor:
        kernel = _each(one.kernel, ndim)
        after, steps = self._moved(grid, _each(one.stride or one.kernel, ndim))
        if one.ceil_mode and after.finer:
            raise ModelError(_refusal(f"{kind}_pool{ndim}d with ceil_mode"))
        windows = _windows(one, kernel, steps, grid.dilation, ndim=ndim, fill=-math.inf if kind == "max" else 0.0)
        result: Tensor = windows.amax(dim=-1) if kind == "max" else _mean(windows, one, kernel, steps, grid.dilation)
        self._grids[result] = after
        return result


@dataclass(frozen=True)
class _Layer:
    """What a convolution or a pool was called with."""

    x: Tensor
    weight: Tensor | None = None
    bias: Tensor | None = None
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: int = 1
    kernel: Any = 1
    ceil_mode: bool = False
    count_include_pad: bool = True


def _convolution(  # noqa: PLR0917 - torch's own order
    input: Tensor,  # noqa: A002 - torch's own name
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> _Layer:
    return _Layer(input, weight, bias, stride, padding, dilation, groups)


def _max_pool(  # noqa: PLR0917 - torch's own order
    input: Tensor,  # noqa: A002 - torch's own name
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,  # noqa: FBT001, FBT002 - torch's own order
    return_indices: bool = False,  # noqa: FBT001, FBT002
) -> _Layer:
    if return_indices or any(number != 1 for number in _each(dilation, 1)):
        raise ModelError(_refusal("a pool with dilation or indices"))
    return _Layer(input, stride=stride, padding=padding, kernel=kernel_size, ceil_mode=ceil_mode)


def _avg_pool(  # noqa: PLR0917 - torch's own order
    input: Tensor,  # noqa: A002 - torch's own name
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,  # noqa: FBT001, FBT002 - torch's own order
    count_include_pad: bool = True,  # noqa: FBT001, FBT002
    divisor_override: int | None = None,
) -> _Layer:
    if divisor_override is not None:
        raise ModelError(_refusal("a pool with a divisor of its own"))
    return _Layer(
        input, stride=stride, padding=padding, kernel=kernel_size, ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
    )  # fmt: skip


_CALLS: dict[str, Callable[..., _Layer]] = {"max": _max_pool, "avg": _avg_pool}


def _windows(
    one: _Layer, kernel: Steps, steps: Steps, dilation: Steps, *, ndim: int, fill: float
) -> Float[Tensor, "batch feature *cells window"]:
    """Return what each cell of a pool looks at, padding filled."""
    padding = [a * b for a, b in zip(_each(one.padding, ndim), dilation, strict=True)]
    x = functional.pad(one.x, [part for pad in reversed(padding) for part in (pad, pad)], value=fill)
    for axis, (size, step, spread) in enumerate(zip(kernel, steps, dilation, strict=True), start=2):
        x = x.unfold(axis, (size - 1) * spread + 1, step)[..., ::spread]
    return x.flatten(-ndim)


def _mean(windows: Tensor, one: _Layer, kernel: Steps, steps: Steps, dilation: Steps) -> Tensor:
    """Return the windows' means; padding counts as zeros, or not at all."""
    if one.count_include_pad:
        return windows.mean(dim=-1)
    inside = _Layer(torch.ones_like(one.x[:1, :1]), padding=one.padding)
    counted = _windows(inside, kernel, steps, dilation, ndim=len(kernel), fill=0.0)
    return windows.sum(dim=-1) / counted.sum(dim=-1)


def _each(value: Any, ndim: int) -> Steps:
    """Return one number an axis, as torch reads them."""
    numbers = (value,) if isinstance(value, int) else tuple(value)
    return tuple(map(int, numbers * ndim if len(numbers) == 1 else numbers))


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (tuple, list)):
            found += _tensors(value)
    return found


def _refusal(what: str) -> str:
    return explained(
        where="explain, resolution",
        what="the net behind the first stride that is removed",
        allowed="made of convolutions with zero padding, pools, norms in evaluation mode and cell by cell operations",
        got=what,
        next_step="Take a smaller resolution, or method 'layercam' at an earlier layer",
    )
