"""The layers of the backbones: one code for signals (1D), images (2D) and volumes (3D)."""

from __future__ import annotations

__all__ = ["ConvBlock", "Downsample", "ResidualBlock", "convolution", "pool"]

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_POOLS: dict[int, type[nn.Module]] = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}


def convolution(
    ndim: int, channels: int, features: int, *, kernel: int, stride: int = 1, bias: bool = False
) -> nn.Module:
    """Return a convolution whose cells lie symmetrically in the input: "same" for stride 1, halves for stride 2.

    A stride-2 kernel is even, so that cell i is centred between inputs 2i and 2i + 1 and a mirrored input gives
    the mirrored map; the usual odd kernel would centre it on input 2i.
    """
    padding = (kernel - stride) // 2
    return cast(nn.Module, _CONVOLUTIONS[ndim](channels, features, kernel, stride=stride, padding=padding, bias=bias))


def pool(ndim: int) -> nn.Module:
    """Return the mean over pairs along every axis: halves each axis, cells as in a stride-2 `convolution`."""
    return _POOLS[ndim](2)


class ConvBlock(nn.Sequential):
    """Convolution, batch norm, ReLU."""

    def __init__(self, ndim: int, channels: int, features: int, *, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            convolution(ndim, channels, features, kernel=kernel, stride=stride),
            _NORMS[ndim](features),
            nn.ReLU(),
        )


class Downsample(ConvBlock):
    """A `ConvBlock` that halves every axis; its kernel is `kernel` + 1, even."""

    def __init__(self, ndim: int, channels: int, features: int, *, kernel: int = 3) -> None:
        super().__init__(ndim, channels, features, kernel=kernel + 1, stride=2)


class ResidualBlock(nn.Module):
    """Basic block of a ResNet; ``kernel=1`` keeps the receptive field as it is.

    The last batch norm starts at zero, so that a deep net starts as a shallow one.

    Source: He et al. 2016, arXiv:1512.03385, figure 5 left; zero start: Goyal et al. 2017, arXiv:1706.02677, 5.1.
    """

    def __init__(self, ndim: int, channels: int, features: int, *, kernel: int = 3, halve: bool = False) -> None:
        super().__init__()
        stride, first_kernel = (2, kernel + 1) if halve else (1, kernel)
        norm = _NORMS[ndim](features)
        nn.init.zeros_(cast(Tensor, norm.weight))
        self.body = nn.Sequential(
            ConvBlock(ndim, channels, features, kernel=first_kernel, stride=stride),
            convolution(ndim, features, features, kernel=kernel),
            norm,
        )
        self.shortcut = nn.Sequential()
        if halve:
            self.shortcut.append(pool(ndim))
        if channels != features:
            self.shortcut.append(convolution(ndim, channels, features, kernel=1))
            self.shortcut.append(_NORMS[ndim](features))

    def forward(self, x: Float[Tensor, "batch channel *cells"]) -> Float[Tensor, "batch feature *halved"]:
        """Return relu(body(x) + shortcut(x))."""
        return torch.relu(self.body(x) + self.shortcut(x))
