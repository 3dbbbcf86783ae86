"""The layers of the backbones: one code for signals (1D), images (2D) and volumes (3D).

Blocks are given the padding of a batch of signals of different length, where there is any.
"""

from __future__ import annotations

__all__ = [
    "NORMS",
    "ConvBlock",
    "Downsample",
    "Gain",
    "InceptionBlock",
    "InceptionModule",
    "Layers",
    "ResidualBlock",
    "convolution",
    "pool",
]

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ram.models.padding import Padding, normalised

_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_BATCH_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_POOLS: dict[int, type[nn.Module]] = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
_MAXIMA: dict[int, type[nn.Module]] = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}

Values = Float[Tensor, "batch feature *cells"]

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


class Layers(nn.Sequential):
    """Layers one behind the other. Padding is zero wherever one of them looks at neighbours."""

    def forward(self, x: Values, padding: Padding | None = None) -> Values:
        """Return what the last layer gives."""
        for layer in self:
            x = _run(layer, x, padding)
        return x


def _run(layer: nn.Module, x: Values, padding: Padding | None) -> Values:
    """Return what one layer makes of `x`, padding having no part in it."""
    if padding is None:
        return layer(x)  # type: ignore[no-any-return]
    if isinstance(layer, (Layers, ResidualBlock, InceptionModule, InceptionBlock)):
        return layer(x, padding)  # type: ignore[no-any-return]
    if isinstance(layer, tuple(_BATCH_NORMS.values())) and layer.training:
        return normalised(layer, x, padding)
    if isinstance(layer, tuple(_MAXIMA.values())):  # what it pads with; infinite ones would have no differences
        return layer(padding.filled(x, torch.finfo(x.dtype).min))  # type: ignore[no-any-return]
    if isinstance(layer, (*_CONVOLUTIONS.values(), *_POOLS.values())):
        return layer(padding.zeroed(x))  # type: ignore[no-any-return]
    return layer(x)  # type: ignore[no-any-return]


class ConvBlock(Layers):
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

    Parameters
    ----------
    kernels
        Width of each convolution of the body; two of width `kernel` if not given.

    Source: He et al. 2016, arXiv:1512.03385, figure 5 left; zero start: Goyal et al. 2017, arXiv:1706.02677, 5.1.
    """

    def __init__(
        self, ndim: int, channels: int, features: int, *, norm: str, kernel: int = 3, halve: bool = False,
        kernels: Sequence[int] = (),
    ) -> None:  # fmt: skip
        super().__init__()
        first, *between, width = kernels or (kernel, kernel)
        stride, first = (2, first + 1) if halve else (1, first)
        last = _normed(ndim, features, features, norm=norm, kernel=width)  # its weights are drawn first
        if norm == "batch":
            nn.init.zeros_(cast(Tensor, last[-1].weight))
        else:
            last.append(Gain())
        body: list[nn.Module] = [ConvBlock(ndim, channels, features, norm=norm, kernel=first, stride=stride)]
        body += [ConvBlock(ndim, features, features, norm=norm, kernel=one) for one in between]
        self.body = Layers(*body, *last)
        self.activation = nn.ReLU()  # a module: methods that change how gradients pass find it
        self.shortcut = _shortcut(ndim, channels, features, norm=norm, halve=halve)

    def forward(self, x: Values, padding: Padding | None = None) -> Values:
        """Return relu(body(x) + shortcut(x))."""
        return self.activation(self.body(x, padding) + self.shortcut(x, padding))  # type: ignore[no-any-return]


class InceptionModule(nn.Module):
    """Three convolutions beside each other behind a bottleneck, and the largest of three neighbours beside them.

    Each of the four makes a quarter of the feature maps, as near as it goes; the bottleneck has as many.

    Source: Ismail Fawaz et al. 2020, arXiv:1909.04939, figure 2.
    """

    def __init__(self, ndim: int, channels: int, features: int, *, norm: str, kernel: int) -> None:
        super().__init__()
        wide, largest, middle, narrow = ((features + 3 - number) // 4 for number in range(4))
        bias, self.bottleneck = norm == "none", Layers()
        if channels > 1:
            self.bottleneck.append(convolution(ndim, channels, wide, kernel=1, bias=bias))
        seen = wide if channels > 1 else channels
        pairs = ((4 * kernel + 3, wide), (2 * kernel + 1, middle), (kernel, narrow))
        self.branches = nn.ModuleList(
            convolution(ndim, seen, count, kernel=width, bias=bias) for width, count in pairs if count
        )
        if largest:
            pooled = _MAXIMA[ndim](3, stride=1, padding=1)
            self.branches.append(Layers(pooled, convolution(ndim, channels, largest, kernel=1, bias=bias)))
        self.last = Layers(*[_BATCH_NORMS[ndim](features)] * (norm == "batch"), nn.ReLU())
        self._convolved = len(self.branches) - (largest > 0)

    def forward(self, x: Values, padding: Padding | None = None) -> Values:
        """Return what the branches see, one behind the other."""
        seen = [self.bottleneck(x, padding)] * self._convolved + [x]
        found = [_run(branch, one, padding) for branch, one in zip(self.branches, seen, strict=False)]
        return self.last(torch.cat(found, dim=1), padding)  # type: ignore[no-any-return]


class InceptionBlock(nn.Module):
    """Inception modules one behind the other, with a shortcut round them; starts as the shortcut.

    Source: Ismail Fawaz et al. 2020, arXiv:1909.04939, figure 1; zero start as in `Gain`.
    """

    def __init__(self, ndim: int, channels: int, features: int, *, norm: str, kernel: int, depth: int) -> None:
        super().__init__()
        before = [channels, *[features] * (depth - 1)]
        modules = [InceptionModule(ndim, c, features, norm=norm, kernel=kernel) for c in before]
        self.body = Layers(*modules, Gain())
        self.activation = nn.ReLU()
        self.shortcut = _shortcut(ndim, channels, features, norm=norm)

    def forward(self, x: Values, padding: Padding | None = None) -> Values:
        """Return relu(body(x) + shortcut(x))."""
        return self.activation(self.body(x, padding) + self.shortcut(x, padding))  # type: ignore[no-any-return]


def _shortcut(ndim: int, channels: int, features: int, *, norm: str, halve: bool = False) -> Layers:
    """Return what is added to a body's result: its input, halved and of as many features where the body is."""
    shortcut = Layers()
    if halve:
        shortcut.append(pool(ndim))
    if channels != features:
        shortcut.extend(_normed(ndim, channels, features, norm=norm, kernel=1))
    return shortcut


def _normed(ndim: int, channels: int, features: int, *, norm: str, kernel: int, stride: int = 1) -> list[nn.Module]:
    """Return a convolution and its batch norm, or one with a bias."""
    without = convolution(ndim, channels, features, kernel=kernel, stride=stride, bias=norm == "none")
    return [without, _BATCH_NORMS[ndim](features)] if norm == "batch" else [without]
