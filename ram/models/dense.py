"""Flatten and dense layers in place of global average pooling: what GAP is measured against."""

from __future__ import annotations

__all__ = ["HEADS", "DenseLayers"]

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

HEADS = ("gap", "dense")
"""What stands between feature maps and the linear unit: their average, or flatten and dense layers."""


class DenseLayers(nn.Sequential):
    """From feature maps of a fixed size to hidden features: flatten, then linear layers with ReLU.

    Parameters
    ----------
    inputs
        Number of values of all feature maps of a sample.
    hidden
        Width of each layer; the last one feeds the linear unit.

    >>> DenseLayers(4 * 8 * 8, [32, 16]).features
    16
    """

    def __init__(self, inputs: int, hidden: Sequence[int]) -> None:
        layers: list[nn.Module] = [nn.Flatten()]
        for before, width in pairwise([inputs, *hidden]):
            layers += [_linear(before, width), nn.ReLU()]
        super().__init__(*layers)
        self.features = hidden[-1]

    def forward(self, features: Float[Tensor, "batch feature *cells"]) -> Float[Tensor, "batch hidden"]:
        """Return the hidden features."""
        return super().forward(features)  # type: ignore[no-any-return, no-untyped-call]


def _linear(before: int, width: int) -> nn.Linear:
    """Return a layer whose first weights suit a ReLU. Source: He et al. 2015, arXiv:1502.01852, equation 10."""
    layer = nn.Linear(before, width)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer
