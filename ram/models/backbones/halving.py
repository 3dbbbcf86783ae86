"""Backbones that halve the grid on their way, for signals, images and volumes."""

from __future__ import annotations

__all__ = ["EncoderDecoder", "Plain", "ResNet", "SmallField"]

from collections.abc import Iterator, Sequence

from torch import nn

from ram.models.backbones.backbone import Backbone, Features, Inputs
from ram.models.layers import ConvBlock, Downsample, Layers, ResidualBlock, convolution
from ram.models.padding import Padding


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
        self.stages = Layers(*stages)

    def stage_maps(self, x: Inputs, padding: Padding | None = None) -> Iterator[Features]:
        """Yield what each stage gives; the cells of stage i are space / 2^i."""
        return _run_stages(self.stages, x, padding, length=len(self.stages) // len(self.stage_features))


def _run_stages(blocks: Layers, x: Inputs, padding: Padding | None, *, length: int) -> Iterator[Features]:
    """Yield what stands behind every `length` blocks."""
    for number, block in enumerate(blocks, start=1):
        x = block(x, padding)
        if number % length == 0:
            yield x


def _residual_stages(ndim: int, widths: Sequence[int], *, depth: int, kernel: int, norm: str) -> nn.ModuleList:
    """Stages of `depth` residual blocks; the first keeps the grid, each later one halves it."""
    stages = nn.ModuleList()
    for before, width in zip([widths[0], *widths[:-1]], widths, strict=True):
        first = ResidualBlock(ndim, before, width, norm=norm, kernel=kernel, halve=len(stages) > 0)
        rest = [ResidualBlock(ndim, width, width, norm=norm, kernel=kernel) for _ in range(depth - 1)]
        stages.append(Layers(first, *rest))
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

    def stage_maps(self, x: Inputs, padding: Padding | None = None) -> Iterator[Features]:
        """Yield what each stage gives; the cells of stage i are space / 2^i."""
        x = self.stem(x, padding)
        for stage in self.stages:
            x = stage(x, padding)
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

    def stage_maps(self, x: Inputs, padding: Padding | None = None) -> Iterator[Features]:
        """Yield what each stage gives, the cells of the last are space / 2."""
        x = self.stem(x, padding)
        encoded = []
        for stage in self.down:
            x = stage(x, padding)
            encoded.append(x)
        for narrow, up, fine in zip(self.narrow, self.up, encoded[-2::-1], strict=True):
            yield x
            x = up(nn.functional.interpolate(narrow(x), scale_factor=2, mode="nearest") + fine, padding)
        yield self.widen(x, padding)


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
        self.blocks = Layers(*blocks)

    def stage_maps(self, x: Inputs, padding: Padding | None = None) -> Iterator[Features]:
        """Yield what each stage gives; all have the cells space / 2, the later ones see farther."""
        return _run_stages(
            self.blocks, self.stem(x, padding), padding, length=len(self.blocks) // len(self.stage_features)
        )
