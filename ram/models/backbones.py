"""Backbones: from a standardised input to the feature maps that global average pooling (GAP) averages.

Every backbone maps (batch, channel, *space) to (batch, feature, *cells) in one, two or three dimensions. Its
cells lie symmetrically in the input, and no layer looks at the size of the input. It runs in stages; which of them
are pooled is said when it is built, the last one alone by itself.
"""

from __future__ import annotations

__all__ = [
    "BACKBONES",
    "Backbone",
    "ChannelsApart",
    "EncoderDecoder",
    "Plain",
    "ResNet",
    "SmallField",
    "build_backbone",
    "joined",
    "parameter_count",
]

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import cast

import torch
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
    stage_features
        Number of feature maps of each stage, in the order in which they run.
    head_stages
        Numbers of the stages that are pooled, from 1, ascending; the last one alone where none are given.
    divisor
        Every axis of the input must be a multiple of this number of samples.
    channels_apart
        Into how many equal parts the features of each stage fall, one an input channel; 1 where channels are mixed.
    """

    ndim: int
    stage_features: tuple[int, ...]
    head_stages: tuple[int, ...]
    divisor: int
    channels_apart: int = 1

    def __init__(
        self, ndim: int, *, stage_features: Sequence[int], divisor: int, head_stages: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.ndim, self.divisor = ndim, divisor
        self.stage_features = tuple(stage_features)
        self.head_stages = tuple(head_stages) or (len(self.stage_features),)
        _require_stages(self.head_stages, len(self.stage_features))

    @property
    def features(self) -> int:
        """Number of inputs of the linear unit: the feature maps of all stages that are pooled."""
        return sum(self.head_features)

    @property
    def head_features(self) -> list[int]:
        """Number of feature maps of each stage that is pooled."""
        return [self.stage_features[number - 1] for number in self.head_stages]

    def stage_maps(self, x: Inputs) -> Iterator[Features]:
        """Yield what each stage gives, one after the other: who takes a few runs no more than these."""
        raise NotImplementedError

    def feature_maps(self, x: Inputs) -> Iterator[Features]:
        """Yield the feature maps of the stages that are pooled, each on its own cells."""
        every = islice(self.stage_maps(x), self.head_stages[-1])
        return (maps for number, maps in enumerate(every, start=1) if number in self.head_stages)

    def forward(self, x: Inputs) -> Features:
        """Return the feature maps of all stages that are pooled, on the finest one's cells."""
        return joined(list(self.feature_maps(x)))

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

    def __init__(
        self, ndim: int, channels: int, *, widths: Sequence[int], depth: int, kernel: int, norm: str,
        head_stages: Sequence[int] = (),
    ) -> None:  # fmt: skip
        super().__init__(ndim, stage_features=widths, divisor=2 ** len(widths), head_stages=head_stages)
        stages: list[nn.Module] = []
        for before, width in zip([channels, *widths[:-1]], widths, strict=True):
            stages.append(Downsample(ndim, before, width, norm=norm, kernel=kernel))
            stages += [ConvBlock(ndim, width, width, norm=norm, kernel=kernel) for _ in range(depth - 1)]
        self.stages = nn.Sequential(*stages)

    def stage_maps(self, x: Inputs) -> Iterator[Features]:
        """Yield what each stage gives; the cells of stage i are space / 2^i."""
        return _run_stages(self.stages, x, length=len(self.stages) // len(self.stage_features))


def _run_stages(blocks: nn.Sequential, x: Inputs, *, length: int) -> Iterator[Features]:
    """Yield what stands behind every `length` blocks."""
    for number, block in enumerate(blocks, start=1):
        x = block(x)
        if number % length == 0:
            yield x


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

    def __init__(
        self, ndim: int, channels: int, *, widths: Sequence[int], depth: int, kernel: int, norm: str,
        head_stages: Sequence[int] = (),
    ) -> None:  # fmt: skip
        super().__init__(ndim, stage_features=widths, divisor=2 ** len(widths), head_stages=head_stages)
        self.stem = Downsample(ndim, channels, widths[0], norm=norm, kernel=kernel)
        self.stages = _residual_stages(ndim, widths, depth=depth, kernel=kernel, norm=norm)

    def stage_maps(self, x: Inputs) -> Iterator[Features]:
        """Yield what each stage gives; the cells of stage i are space / 2^i."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
            yield x


class EncoderDecoder(Backbone):
    """A ResNet whose coarse features are carried back to fine cells: half the input's grid.

    Going up, features are repeated twofold along each axis and added to the encoder's of that grid. Its stages are
    those on the way up: the first is the coarsest, the last has half the input's grid.

    Source: Ronneberger et al. 2015, arXiv:1505.04597; sums as in Lin et al. 2017, arXiv:1612.03144.
    """

    def __init__(
        self, ndim: int, channels: int, *, widths: Sequence[int], depth: int, kernel: int, norm: str,
        head_stages: Sequence[int] = (),
    ) -> None:  # fmt: skip
        rising = [*widths[:0:-1], 2 * widths[0]]
        super().__init__(ndim, stage_features=rising, divisor=2 ** len(widths), head_stages=head_stages)
        self.stem = Downsample(ndim, channels, widths[0], norm=norm, kernel=kernel)
        self.down = _residual_stages(ndim, widths, depth=depth, kernel=kernel, norm=norm)
        self.narrow = nn.ModuleList()
        self.up = nn.ModuleList()
        for fine, coarse in zip(widths[-2::-1], widths[:0:-1], strict=True):
            self.narrow.append(convolution(ndim, coarse, fine, kernel=1))
            self.up.append(ResidualBlock(ndim, fine, fine, norm=norm, kernel=kernel))
        self.widen = ConvBlock(ndim, widths[0], 2 * widths[0], norm=norm, kernel=1)

    def stage_maps(self, x: Inputs) -> Iterator[Features]:
        """Yield what each stage gives, the cells of the last are space / 2."""
        x = self.stem(x)
        encoded = []
        for stage in self.down:
            x = stage(x)
            encoded.append(x)
        for narrow, up, fine in zip(self.narrow, self.up, encoded[-2::-1], strict=True):
            yield x
            x = up(nn.functional.interpolate(narrow(x), scale_factor=2, mode="nearest") + fine)
        yield self.widen(x)


class SmallField(Backbone):
    """A net whose cells see only a few pixels: half the input's grid, depth from 1 x 1 convolutions.

    After the stem one block of each width looks at its neighbours (`kernel`), `depth` - 1 do not: with a kernel
    of 3 and three widths a cell sees 4 + 2 x 2 x 2 x 3 = 28 pixels.

    Source: Brendel & Bethge 2019, arXiv:1904.00760 (BagNet).
    """

    def __init__(
        self, ndim: int, channels: int, *, widths: Sequence[int], depth: int, kernel: int, norm: str,
        head_stages: Sequence[int] = (),
    ) -> None:  # fmt: skip
        super().__init__(ndim, stage_features=widths, divisor=2, head_stages=head_stages)
        self.stem = Downsample(ndim, channels, widths[0], norm=norm, kernel=kernel)
        blocks: list[nn.Module] = []
        for before, width in zip([widths[0], *widths[:-1]], widths, strict=True):
            blocks.append(ResidualBlock(ndim, before, width, norm=norm, kernel=kernel))
            blocks += [ResidualBlock(ndim, width, width, norm=norm, kernel=1) for _ in range(depth - 1)]
        self.blocks = nn.Sequential(*blocks)

    def stage_maps(self, x: Inputs) -> Iterator[Features]:
        """Yield what each stage gives; all have the cells space / 2, the later ones see farther."""
        return _run_stages(self.blocks, self.stem(x), length=len(self.blocks) // len(self.stage_features))


def joined(maps: Sequence[Features]) -> Features:
    """Return the feature maps of several stages as one on the finest one's cells: coarser cells are repeated.

    Its mean is the stages' means in a row, so it may stand for them wherever a feature map is pooled.

    >>> joined([torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[5.0]]])])
    tensor([[[1., 2.],
             [5., 5.]]])
    """
    if len(maps) == 1:
        return maps[0]
    finest = max((one.shape[2:] for one in maps), key=lambda cells: cells.numel())
    fine = [one if one.shape[2:] == finest else nn.functional.interpolate(one, size=finest) for one in maps]
    return torch.cat(fine, dim=1)


class ChannelsApart(Backbone):
    """One net for each channel of the input: they meet at the linear unit and nowhere before.

    What a prediction owes to each channel is then exact, and so is its place in that channel. Coordinate channels,
    which come last, go to each of the nets.

    Parameters
    ----------
    nets
        One a channel, all built alike; each sees its channel and the coordinates.
    """

    def __init__(self, nets: Sequence[Backbone]) -> None:
        first, count = nets[0], len(nets)
        together = [features * count for features in first.stage_features]
        super().__init__(first.ndim, stage_features=together, divisor=first.divisor, head_stages=first.head_stages)
        self.nets = nn.ModuleList(nets)
        self.channels_apart = count

    def stage_maps(self, x: Inputs) -> Iterator[Features]:
        """Yield what each stage gives: the features of the first channel's net, then the second's ..."""
        coordinates = x[:, self.channels_apart :]
        seen = [torch.cat([x[:, i : i + 1], coordinates], dim=1) for i in range(self.channels_apart)]
        every = [cast(Backbone, net).stage_maps(own) for net, own in zip(self.nets, seen, strict=True)]
        return (torch.cat(maps, dim=1) for maps in zip(*every, strict=True))


BACKBONES: dict[str, type[Plain | ResNet | EncoderDecoder | SmallField]] = {
    "plain": Plain,
    "resnet": ResNet,
    "encoder-decoder": EncoderDecoder,
    "small-field": SmallField,
}


def build_backbone(
    name: str,
    *,
    ndim: int,
    channels: int,
    widths: Sequence[int],
    depth: int = 2,
    kernel: int = 3,
    norm: str = "none",
    head_stages: Sequence[int] = (),
    channels_apart: int = 0,
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
    head_stages
        Stages that are pooled, numbered from 1 in the order in which they run, one for each width; the last if none.
    channels_apart
        How many of the channels, the first ones, get a net of these widths of their own; the others go to each.
        0 or 1: one net for all.

    Raises
    ------
    ConfigError
        For an unknown name or norm, an even kernel, empty widths, stages that are not there or another number of axes
        than 1, 2 or 3.
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
    apart = max(1, channels_apart)
    nets = [
        BACKBONES[name](
            ndim, channels + 1 - apart, widths=list(widths), depth=depth, kernel=kernel, norm=norm,
            head_stages=head_stages,
        )
        for _ in range(apart)
    ]  # fmt: skip
    return nets[0] if apart == 1 else ChannelsApart(nets)


def _require_stages(numbers: Sequence[int], count: int) -> None:
    if sorted(set(numbers)) == list(numbers) and numbers[0] >= 1 and numbers[-1] <= count:
        return
    allowed = f"ascending numbers from 1 to {count}, one for each width"
    raise ConfigError(explained(where="model.head_stages", what="stages", allowed=allowed, got=list(numbers)))


def parameter_count(module: nn.Module) -> int:
    """Return how many trainable numbers `module` has."""
    return sum(weight.numel() for weight in module.parameters() if weight.requires_grad)
