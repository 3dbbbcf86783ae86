"""The layers of the backbones: one code for signals (1D), images (2D) and volumes (3D)."""

from __future__ import annotations

__all__ = ["NORMS", "ConvBlock", "Downsample", "ResidualBlock", "convolution", "pool"]

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_BATCH_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_POOLS: dict[int, type[nn.Module]] = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}

NORMS = ("none", "batch")
"""What may follow a convolution: nothing but its bias, or a batch norm."""


def convolution(
    ndim: int, channels: int, features: int, *, kernel: int, stride: int = 1, bias: bool = False
) -> nn.Module:
    """Return a convolution whose cells lie symmetrically in the input: "same" for stride 1, halves for stride 2.

    A stride-2 kernel is even, so that cell i is centred between inputs 2i and 2i + 1 and a mirrored input gives
    the mirrored map; the usual odd kernel would centre it on input 2i.

    Source of the first weights: He et al. 2015, arXiv:1502.01852, equation 10.
    """
    padding = (kernel - stride) // 2
    layer = _CONVOLUTIONS[ndim](channels, features, kernel, stride=stride, padding=padding, bias=bias)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return cast(nn.Module, layer)


def pool(ndim: int) -> nn.Module:
    """Return the mean over pairs along every axis: halves each axis, cells as in a stride-2 `convolution`."""
    return _POOLS[ndim](2)


class ConvBlock(nn.Sequential):
    """Convolution, batch norm where asked for, ReLU."""

    def __init__(self, ndim: int, channels: int, features: int, *, norm: str, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            *_normed(ndim, channels, features, norm=norm, kernel=kernel, stride=stride),
            nn.ReLU(),
        )


class Downsample(ConvBlock):
    """A `ConvBlock` that halves every axis; its kernel is `kernel` + 1, even."""

    def __init__(self, ndim: int, channels: int, features: int, *, norm: str, kernel: int = 3) -> None:
        super().__init__(ndim, channels, features, norm=norm, kernel=kernel + 1, stride=2)


class Gain(nn.Module):
    """One learned factor, zero at first. Source: De & Smith 2020, arXiv:2002.10444, SkipInit."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` times the factor."""
        return self.factor * x


class ResidualBlock(nn.Module):
    """Basic block of a ResNet; ``kernel=1`` keeps the receptive field as it is.

    The body starts at zero, so that a deep net starts as a shallow one: by the scale of its last batch norm, or by
    a gain where there are no norms.

    Source: He et al. 2016, arXiv:1512.03385, figure 5 left; zero start: Goyal et al. 2017, arXiv:1706.02677, 5.1.
    """

    def __init__(
        self, ndim: int, channels: int, features: int, *, norm: str, kernel: int = 3, halve: bool = False
    ) -> None:
        super().__init__()
        stride, first_kernel = (2, kernel + 1) if halve else (1, kernel)
        last = _normed(ndim, features, features, norm=norm, kernel=kernel)
        if norm == "batch":
            nn.init.zeros_(cast(Tensor, last[-1].weight))
        else:
            last.append(Gain())
        self.body = nn.Sequential(
            ConvBlock(ndim, channels, features, norm=norm, kernel=first_kernel, stride=stride), *last
        )
        self.activation = nn.ReLU()  # a module: methods that change how gradients pass find it
        self.shortcut = nn.Sequential()
        if halve:
            self.shortcut.append(pool(ndim))
        if channels != features:
            self.shortcut.extend(_normed(ndim, channels, features, norm=norm, kernel=1))

    def forward(self, x: Float[Tensor, "batch channel *cells"]) -> Float[Tensor, "batch feature *halved"]:
        """Return relu(body(x) + shortcut(x))."""
        return self.activation(self.body(x) + self.shortcut(x))  # type: ignore[no-any-return]


def _normed(ndim: int, channels: int, features: int, *, norm: str, kernel: int, stride: int = 1) -> list[nn.Module]:
    """Return a convolution and its batch norm, or one with a bias."""
    without = convolution(ndim, channels, features, kernel=kernel, stride=stride, bias=norm == "none")
    return [without, _BATCH_NORMS[ndim](features)] if norm == "batch" else [without]
