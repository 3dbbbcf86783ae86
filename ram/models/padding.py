"""Signals of different length in one batch: which cells of any grid are a signal's own, and which are padding.

A signal's own cells are those of the shortest input that holds it and that the net takes: its length, made a multiple
of the net's divisor. Padding is zero wherever a layer looks at neighbours, as it is beyond the ends of an input, and
counts nothing in averages. So a signal gets the features, and the prediction, that it has alone.
"""

from __future__ import annotations

__all__ = ["Padding", "normalised"]

from dataclasses import dataclass, field
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

Values = Float[Tensor, "batch feature *cells"]


@dataclass(frozen=True, eq=False)
class Padding:
    """Which cells along the last axis are the samples' own, on every grid that parts the input evenly.

    Parameters
    ----------
    own
        Shape (batch,): how many of the `size` cells of the input, counted from the first, are each sample's own.
    size
        Cells of the input along its last axis.

    >>> padding = Padding(torch.tensor([2, 4]), size=4)
    >>> padding.inside(2)
    tensor([[ True, False],
            [ True,  True]])
    >>> padding.shared(torch.tensor([[[1.0, 3.0, 9.0, 9.0]], [[1.0, 3.0, 5.0, 7.0]]])).mean(dim=2)
    tensor([[2.],
            [4.]])
    """

    own: Int[Tensor, " batch"]
    size: int
    _known: dict[int, Tensor] = field(default_factory=dict, repr=False)

    def inside(self, cells: int) -> Bool[Tensor, "batch cells"]:
        """Say which cells of a grid of so many along the last axis are each sample's own."""
        if cells not in self._known:
            index = torch.arange(cells, device=self.own.device)
            self._known[cells] = index * self.size < self.own[:, None] * cells
        return self._known[cells]

    def zeroed(self, x: Values) -> Values:
        """Return `x` with zeros in the place of padding: what zero padding would show there."""
        return self.filled(x, 0.0)

    def filled(self, x: Values, value: float) -> Values:
        """Return `x` with `value` in the place of padding."""
        return torch.where(self._over(x), x, torch.full((), value, dtype=x.dtype, device=x.device))

    def shared(self, x: Values) -> Values:
        """Return `x` such that its mean is that of each sample's own cells: these times all over own, others zero."""
        times = x.shape[-1] / self.inside(x.shape[-1]).sum(dim=1).to(x.dtype)
        return self.zeroed(x) * times.view(-1, *(1,) * (x.ndim - 1))

    def reversed(self, x: Values) -> Values:
        """Return each sample's own cells in the opposite order along the last axis; padding stays where it is."""
        index = torch.arange(x.shape[-1], device=x.device)
        inside = self.inside(x.shape[-1])
        order = torch.where(inside, inside.sum(dim=1, keepdim=True) - 1 - index, index)
        return x.gather(-1, _over_space(order, x).expand_as(x))

    def __getitem__(self, rows: Int[Tensor, " rows"]) -> Padding:
        """Return the padding of some samples."""
        return Padding(self.own[rows], self.size)

    def _over(self, x: Values) -> Tensor:
        return _over_space(self.inside(x.shape[-1]), x)


def _over_space(values: Tensor, x: Tensor) -> Tensor:
    """Return values of shape (batch, cells) as (batch, 1, ..., 1, cells), which lies over `x`."""
    return values.view(values.shape[0], *(1,) * (x.ndim - 2), values.shape[1])


def normalised(norm: nn.Module, x: Values, padding: Padding) -> Values:
    """Return what a batch norm makes of `x` while it learns: mean and variance are those of the samples' own cells.

    Source: Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 1.
    """
    batch_norm = cast(nn.BatchNorm1d, norm)
    axes = [0, *range(2, x.ndim)]
    values = x.to(torch.promote_types(x.dtype, torch.float32))
    inside = _over_space(padding.inside(x.shape[-1]), x).expand(-1, 1, *x.shape[2:]).to(values.dtype)
    count = inside.sum()
    mean = (values * inside).sum(dim=axes) / count  # (feature,)
    centred = values - _over_features(mean, x)
    variance = (centred.square() * inside).sum(dim=axes) / count
    with torch.no_grad():
        assert batch_norm.running_mean is not None
        assert batch_norm.running_var is not None
        assert batch_norm.num_batches_tracked is not None
        share = cast(float, batch_norm.momentum)
        unbiased = variance * count / (count - 1).clamp(min=1)
        batch_norm.running_mean.lerp_(mean.to(batch_norm.running_mean.dtype), share)
        batch_norm.running_var.lerp_(unbiased.to(batch_norm.running_var.dtype), share)
        batch_norm.num_batches_tracked.add_(1)
    scaled = centred * _over_features((variance + batch_norm.eps).rsqrt() * batch_norm.weight, x)
    return (scaled + _over_features(batch_norm.bias, x)).to(x.dtype)


def _over_features(values: Tensor, x: Tensor) -> Tensor:
    return values.view(1, -1, *(1,) * (x.ndim - 2))
