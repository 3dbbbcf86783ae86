"""What comes in: arrays of any kind, made into tensors that a net may do with as it likes."""

from __future__ import annotations

__all__ = ["axes_of", "first_weight", "own_copy", "require_finite", "require_inputs"]

from collections.abc import Sequence
from functools import lru_cache
from math import isfinite
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ram.axes import Axis
from ram.errors import DataError, explained
from ram.maps.regression_map import RegressionMap

_NAMES = {1: ("x",), 2: ("y", "x"), 3: ("z", "y", "x")}


def require_inputs(x: Any) -> None:
    """Raise DataError unless `x` is a batch of at least one sample of shape (channel, *space)."""
    shape = tuple(getattr(x, "shape", ()))
    if 3 <= len(shape) <= 5 and min(shape) > 0:
        return
    raise DataError(
        explained(
            where="explain",
            what="x",
            allowed="an array or tensor of shape (batch, channel, *space) with one to three axes of space, none empty",
            got=f"shape {shape}" if shape else type(x).__name__,
            next_step="Give a single sample as x[None]",
        )
    )


def axes_of(x: Any, axes: Sequence[Axis] | None) -> tuple[Axis, ...]:
    """Return the input's axes: those given, which must fit, or numbered samples."""
    space = tuple(x.shape[2:])
    if axes is None:
        return _numbered(space)
    sizes = tuple(axis.size for axis in axes)
    if sizes != space:
        allowed = f"of sizes {space}, as x"
        raise DataError(explained(where="explain", what="the input's axes", allowed=allowed, got=sizes))
    return tuple(axes)


@lru_cache(maxsize=64)
def _numbered(space: tuple[int, ...]) -> tuple[Axis, ...]:
    named = zip(_NAMES[len(space)], space, strict=True)
    return tuple(Axis.uniform(name, "1", size=size, step=1.0) for name, size in named)


def own_copy(values: Any, *, like: Tensor, dtype: torch.dtype | None = None, shared: bool = False) -> Tensor:
    """Return a copy on the device of `like`, in `dtype` or that of `like`: a net may overwrite it.

    Where it may not, `shared` lets a tensor that fits be taken as it is.
    """
    wanted = dtype or like.dtype
    if isinstance(values, Tensor):
        if shared and values.dtype is wanted and values.device == like.device and not values.requires_grad:
            return values
        return values.detach().to(like.device, wanted, copy=not shared)
    precise = np.float64 if wanted == torch.float64 else np.float32
    return torch.from_numpy(np.array(values, dtype=precise, order="C")).to(like.device, wanted)


def first_weight(parts: Sequence[nn.Module]) -> Tensor:
    """Return a tensor of the dtype and on the device of a module, given by its parts."""
    for part in parts:
        for weight in part._parameters.values():
            if weight is not None and weight.is_floating_point():
                return weight
    return torch.empty(0)


def require_finite(found: RegressionMap) -> None:
    """Raise DataError where a prediction is not a finite number."""
    finite = [isfinite(value) for value in found.prediction.tolist()]
    if all(finite):
        return
    bad = finite.index(False)
    raise DataError(
        explained(
            where=f"explain, sample {found.ids[bad]}",
            what=f"the prediction of {found.target}",
            allowed="a finite number",
            got=found.prediction[bad],
            next_step="Look for NaN or infinite values in the inputs and the weights",
        )
    )
