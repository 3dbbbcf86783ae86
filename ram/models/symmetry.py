"""Symmetries that leave a target unchanged, acting on the last axes of inputs and feature maps alike.

A data set declares them by name: ``rotate90`` (the last two axes), ``mirror`` and ``reverse`` (the last axis).
Together they generate a group; ``rotate90`` and ``mirror`` give the eight symmetries of a square.
"""

from __future__ import annotations

__all__ = ["Symmetry", "augment", "symmetry_group", "undone"]

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ram.axes import SYMMETRIES
from ram.errors import ModelError, explained, nearest
from ram.models.padding import Padding


@dataclass(frozen=True)
class Symmetry:
    """One element of the group: a mirror of the last axis, then quarter turns of the last two."""

    quarter_turns: int = 0
    mirrored: bool = False

    def apply(self, x: Tensor, padding: Padding | None = None) -> Tensor:
        """Return `x`, shape (..., [y,] x), mirrored and turned; of padded samples the own cells are mirrored."""
        if self.mirrored:
            x = _mirrored(x, padding)
        return torch.rot90(x, self.quarter_turns, (-2, -1)) if self.quarter_turns else x

    def undo(self, x: Tensor, padding: Padding | None = None) -> Tensor:
        """Return what `apply` would turn into `x`."""
        if self.quarter_turns:
            x = torch.rot90(x, -self.quarter_turns, (-2, -1))
        return _mirrored(x, padding) if self.mirrored else x


def _mirrored(x: Tensor, padding: Padding | None) -> Tensor:
    return x.flip(-1) if padding is None else padding.reversed(x)


def symmetry_group(names: Sequence[str], *, space: Sequence[int]) -> tuple[Symmetry, ...]:
    """Return all elements of the group that `names` generate for inputs of size `space`; the identity first.

    Raises
    ------
    ModelError
        For an unknown name, or for quarter turns of a grid that is not square.
    """
    for name in names:
        if name not in SYMMETRIES:
            known = ", ".join(SYMMETRIES)
            raise ModelError(
                explained(
                    where="symmetries", what="a symmetry", allowed=known, got=name, next_step=nearest(name, SYMMETRIES)
                )
            )
    if "rotate90" in names and (len(space) < 2 or space[-1] != space[-2]):
        got = " x ".join(map(str, space))
        raise ModelError(explained(where="symmetries", what="inputs turned by 90 degrees", allowed="square", got=got))
    mirrors = (False, True) if {"mirror", "reverse"} & set(names) else (False,)
    turns = range(4) if "rotate90" in names else range(1)
    return tuple(Symmetry(turn, mirrored) for mirrored in mirrors for turn in turns)


def augment(
    x: Float[Tensor, "batch channel *space"],
    group: Sequence[Symmetry],
    choice: Int[np.ndarray, " batch"],
    *,
    lengths: Int[Tensor, " batch"] | None = None,
) -> Float[Tensor, "batch channel *space"]:
    """Return `x` with the group element ``choice[i]`` applied to sample i; the memory format is kept.

    Parameters
    ----------
    lengths
        Cells of each sample along the last axis, where the rest is padding: it stays behind the sample.
    """
    out = torch.empty_like(x)
    padding = None if lengths is None else Padding(lengths, x.shape[-1])
    for number, element in enumerate(group):
        rows = torch.from_numpy(np.flatnonzero(choice == number)).to(x.device)
        if rows.numel():
            out[rows] = element.apply(x[rows], None if padding is None else padding[rows])
    return out


def undone(
    maps: Float[Tensor, "batch output *cells"], group: Sequence[Symmetry], choice: Int[np.ndarray, " batch"]
) -> Float[Tensor, "batch output *cells"]:
    """Return maps of augmented samples as they lie over the samples themselves; gradients pass."""
    if len(group) < 2:
        return maps
    views = [element.undo(maps) for element in group]
    chosen = torch.from_numpy(np.asarray(choice)).to(maps.device).view(-1, *(1,) * (maps.ndim - 1))
    out = views[0]
    for number, view in enumerate(views[1:], start=1):
        out = torch.where(chosen == number, view, out)
    return out
