"""Backbones: from a standardised input to the feature maps that global average pooling (GAP) averages.

Every backbone maps (batch, channel, *space) to (batch, feature, *cells) in one, two or three dimensions. Its
cells lie symmetrically in the input, and no layer looks at the size of the input.
"""

from __future__ import annotations

__all__ = [
    "BACKBONES",
    "Backbone",
    "EncoderDecoder",
    "Plain",
    "ResNet",
    "SmallField",
    "build_backbone",
    "parameter_count",
]

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from ram.errors import ConfigError, ModelError, explained, nearest
from ram.models.layers import NORMS, ConvBlock, Downsample, ResidualBlock, convolution

Features = Float[Tensor, "batch feature *cells"]
Inputs = Float[Tensor, "batch channel *space"]


class Backbone(nn.Module):
    """What all backbones say of themselves.

    Attributes
    ----------
    ndim
        Number of space axes, 1 to 3.
    features
        Number of feature maps, the inputs of the linear unit.
    divisor
        Every axis of the input must be a multiple of this number of samples.
    """

    ndim: int
    features: int
    divisor: int

    def __init__(self, ndim: int, *, features: int, divisor: int) -> None:
        super().__init__()
        self.ndim, self.features, self.divisor = ndim, features, divisor

    def check_size(self, space: Sequence[int]) -> None:
        """Raise ModelError where an input of size `space` does not fit this net."""
        if len(space) == self.ndim and all(size and size % self.divisor == 0 for size in space):
            return
        raise ModelError(
            explained(
                where=f"model.backbone ({type(self).__name__})",
                what="the size of an input",
                allowed=f"{self.ndim} axes, each a multiple of {self.divisor}",
                got=" x ".join(map(str, space)),
                next_step="Crop or resample the inputs, or choose fewer widths (each halves the grid once)",
            )
        )


class Plain(Backbone):
    """Convolutions that halve the grid, each followed by `depth` - 1 that keep it.

    The grid is halved once for each of the `widths`: three widths make cells of 8 x 8 pixels.
    """

    def __init__(self, ndim: int, channels: int, *, widths: Sequence[int], depth: int, kernel: int, norm: str) -> None:
        super().__init__(ndim, features=widths[-1], divisor=2 ** len(widths))
        stages: list[nn.Module] = []
        for before, width in zip([channels, *widths[:-1]], widths, strict=True):
            stages.append(Downsample(ndim, before, width, norm=norm, kernel=kernel))
            stages += [ConvBlock(ndim, width, width, norm=norm, kernel=kernel) for _ in range(depth - 1)]
        self.stages = nn.Sequential(*stages)

    def forward(self, x: Inputs) -> Features:
        """Return the feature maps, cells = space / 2^widths."""
        return self.stages(x)  # type: ignore[no-any-return]


def _residual_stages(ndim: int, widths: Sequence[int], *, depth: int, kernel: int, norm: str) -> nn.ModuleList:
    """Stages of `depth` residual blocks; the first keeps the grid, each later one halves it."""
    stages = nn.ModuleList()
    for before, width in zip([widths[0], *widths[:-1]], widths, strict=True):
        first = ResidualBlock(ndim, before, width, norm=norm, kernel=kernel, halve=len(stages) > 0)
        rest = [ResidualBlock(ndim, width, width, norm=norm, kernel=kernel) for _ in range(depth - 1)]
        stages.append(nn.Sequential(first, *rest))
    return stages


class ResNet(Backbone):
    """A stem that halves the grid, then stages of `depth` residual blocks.

    Source: He et al. 2016, arXiv:1512.03385; for signals Wang, Yan & Oates 2017, arXiv:1611.06455.
    """

    def __init__(self, ndim: int, channels: int, *, widths: Sequence[int], depth: int, kernel: int, norm: str) -> None:
        super().__init__(ndim, features=widths[-1], divisor=2 ** len(widths))
        self.stem = Downsample(ndim, channels, widths[0], norm=norm, kernel=kernel)
        self.stages = _residual_stages(ndim, widths, depth=depth, kernel=kernel, norm=norm)

    def forward(self, x: Inputs) -> Features:
        """Return the feature maps, cells = space / 2^widths."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return x


class EncoderDecoder(Backbone):
    """A ResNet whose coarse features are carried back to fine cells: half the input's grid.

    Going up, features are repeated twofold along each axis and added to the encoder's of that grid.

    Source: Ronneberger et al. 2015, arXiv:1505.04597; sums as in Lin et al. 2017, arXiv:1612.03144.
    """

    def __init__(self, ndim: int, channels: int, *, widths: Sequence[int], depth: int, kernel: int, norm: str) -> None:
        super().__init__(ndim, features=2 * widths[0], divisor=2 ** len(widths))
        self.stem = Downsample(ndim, channels, widths[0], norm=norm, kernel=kernel)
        self.down = _residual_stages(ndim, widths, depth=depth, kernel=kernel, norm=norm)
        self.narrow = nn.ModuleList()
        self.up = nn.ModuleList()
        for fine, coarse in zip(widths[-2::-1], widths[:0:-1], strict=True):
            self.narrow.append(convolution(ndim, coarse, fine, kernel=1))
            self.up.append(ResidualBlock(ndim, fine, fine, norm=norm, kernel=kernel))
        self.widen = ConvBlock(ndim, widths[0], self.features, norm=norm, kernel=1)

    def forward(self, x: Inputs) -> Features:
        """Return the feature maps, cells = space / 2."""
        x = self.stem(x)
        encoded = []
        for stage in self.down:
            x = stage(x)
            encoded.append(x)
        for narrow, up, fine in zip(self.narrow, self.up, encoded[-2::-1], strict=True):
            x = up(nn.functional.interpolate(narrow(x), scale_factor=2, mode="nearest") + fine)
        return self.widen(x)  # type: ignore[no-any-return]


class SmallField(Backbone):
    """A net whose cells see only a few pixels: half the input's grid, depth from 1 x 1 convolutions.

    After the stem one block of each width looks at its neighbours (`kernel`), `depth` - 1 do not: with a kernel
    of 3 and three widths a cell sees 4 + 2 x 2 x 2 x 3 = 28 pixels.

    Source: Brendel & Bethge 2019, arXiv:1904.00760 (BagNet).
    """

    def __init__(self, ndim: int, channels: int, *, widths: Sequence[int], depth: int, kernel: int, norm: str) -> None:
        super().__init__(ndim, features=widths[-1], divisor=2)
        self.stem = Downsample(ndim, channels, widths[0], norm=norm, kernel=kernel)
        blocks: list[nn.Module] = []
        for before, width in zip([widths[0], *widths[:-1]], widths, strict=True):
            blocks.append(ResidualBlock(ndim, before, width, norm=norm, kernel=kernel))
            blocks += [ResidualBlock(ndim, width, width, norm=norm, kernel=1) for _ in range(depth - 1)]
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Inputs) -> Features:
        """Return the feature maps, cells = space / 2."""
        return self.blocks(self.stem(x))  # type: ignore[no-any-return]


BACKBONES: dict[str, type[Plain | ResNet | EncoderDecoder | SmallField]] = {
    "plain": Plain,
    "resnet": ResNet,
    "encoder-decoder": EncoderDecoder,
    "small-field": SmallField,
}


def build_backbone(
    name: str, *, ndim: int, channels: int, widths: Sequence[int], depth: int = 2, kernel: int = 3, norm: str = "none"
) -> Backbone:
    """Return the backbone called `name` for inputs with `channels` channels and `ndim` space axes.

    Parameters
    ----------
    widths
        Feature maps of each stage.
    depth
        Convolutions or residual blocks of a stage.
    kernel
        Width of the convolutions in cells, odd.
    norm
        What follows a convolution: ``"none"`` or ``"batch"``.

    Raises
    ------
    ConfigError
        For an unknown name or norm, an even kernel, empty widths or another number of axes than 1, 2 or 3.
    """
    if name not in BACKBONES:
        raise ConfigError(
            explained(
                where="model.backbone",
                what="a backbone",
                allowed=f"one of {', '.join(BACKBONES)}",
                got=name,
                next_step=nearest(name, BACKBONES),
            )
        )
    if norm not in NORMS:
        allowed = f"one of {', '.join(NORMS)}"
        raise ConfigError(explained(where="model.norm", what="a norm", allowed=allowed, got=norm))
    if kernel % 2 == 0 or kernel < 1:
        raise ConfigError(explained(where="model.kernel", what="a kernel", allowed="odd and positive", got=kernel))
    if not widths or min(widths) < 1 or depth < 1:
        got = f"widths {list(widths)}, depth {depth}"
        raise ConfigError(explained(where="model.widths", what="widths and depth", allowed="1 or more", got=got))
    if ndim not in (1, 2, 3):
        raise ConfigError(explained(where="inputs", what="the number of space axes", allowed="1, 2 or 3", got=ndim))
    return BACKBONES[name](ndim, channels, widths=list(widths), depth=depth, kernel=kernel, norm=norm)


def parameter_count(module: nn.Module) -> int:
    """Return how many trainable numbers `module` has."""
    return sum(weight.numel() for weight in module.parameters() if weight.requires_grad)
