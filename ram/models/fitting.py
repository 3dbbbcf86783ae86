"""Whether inputs fit a regressor: channels, sizes, and the lengths of padded signals."""

from __future__ import annotations

__all__ = ["require_inputs", "require_lengths"]

from typing import TYPE_CHECKING

import torch
from jaxtyping import Int
from torch import Tensor

from ram.errors import ModelError, explained

if TYPE_CHECKING:
    from ram.models.regressor import Regressor


def require_inputs(net: Regressor, x: Tensor) -> None:
    """Raise ModelError where channels or sizes of a batch do not fit the net."""
    channels = net.input_mean.numel()
    if x.ndim != net.ndim + 2 or x.shape[1] != channels:
        allowed = f"of shape (batch, {channels}, {net.ndim} space axes)"
        raise ModelError(
            explained(
                where="regressor",
                what="inputs",
                allowed=allowed,
                got="x".join(map(str, x.shape)),
                next_step="Give the data set that the net was trained on, or one made like it",
            )
        )
    space = tuple(x.shape[2:])
    if net.front is not None:
        net.front.check_size(space[0])
        space = net.front.grid(space[0])
    net.backbone.check_size(space)
    known = tuple(net.coordinates.shape[1:])
    if known and not (known[:-1] == space[:-1] and space[-1] <= known[-1]):
        allowed = f"of the size of the coordinate channels, {known}, or shorter along the last axis"
        raise ModelError(
            explained(
                where="regressor",
                what="inputs",
                allowed=allowed,
                got=space,
                next_step="Train without coordinates, or on inputs of this size",
            )
        )


def require_lengths(net: Regressor, x: Tensor, lengths: Int[Tensor, " batch"]) -> None:
    """Raise ModelError where the lengths of padded signals do not fit them, or the net cannot tell padding."""
    require_inputs(net, x)
    turned = any(element.quarter_turns for element in net.symmetries)
    if net.dense is not None or turned:
        raise ModelError(
            explained(
                where="regressor, lengths",
                what="the net",
                allowed="one whose average leaves padding out",
                got="one averaged over quarter turns" if turned else "one with dense layers",
                next_step="Leave lengths out: it takes padding for signal",
            )
        )
    if torch.compiler.is_compiling():  # an exported net looks at no values
        return
    size, whole = x.shape[-1], not lengths.is_floating_point()
    if lengths.shape == (len(x),) and whole and (not len(x) or 1 <= int(lengths.min()) <= int(lengths.max()) <= size):
        return
    got = f"shape {tuple(lengths.shape)}, {lengths.dtype}, {lengths.flatten()[:4].tolist()}"
    allowed = f"{len(x)} whole numbers from 1 to {size}, one a sample"
    raise ModelError(explained(where="regressor", what="lengths", allowed=allowed, got=got))
