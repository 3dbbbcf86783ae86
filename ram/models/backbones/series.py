"""Nets of time series, which keep the grid: each cell is a sample of the signal, and sees far by wide kernels.

Even kernels of the papers are made odd, one less, so that a cell lies symmetrically about its sample: an even kernel
"same" padded sees one more on one side. `kernel` is the narrowest one. A long signal costs less where the grid is
halved before the first stage, `halvings` times. All work on images and volumes, too.
"""

from __future__ import annotations

__all__ = ["FCN", "InceptionTime", "KeepingGrid", "ResNet1d"]

from collections.abc import Iterator, Sequence
from itertools import pairwise

from torch import nn

from ram.models.backbones.backbone import Backbone, Features, Inputs
from ram.models.layers import ConvBlock, Downsample, InceptionBlock, Layers, ResidualBlock
from ram.models.padding import Padding


class KeepingGrid(Backbone):
    """What these nets have in common: halvings, then a stage for each of the `widths`."""

    fewer = "fewer halvings"

    def __init__(
        self, ndim: int, channels: int, *, widths: Sequence[int], depth: int, kernel: int, norm: str,
        head_stages: Sequence[int] = (), halvings: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(ndim, stage_features=widths, divisor=2**halvings, head_stages=head_stages)
        # Features double as the grid halves, up to the first stage's: each halving costs less than the one before.
        before = [channels, *(max(1, widths[0] >> later) for later in reversed(range(halvings)))]
        self.stem = Layers(*(Downsample(ndim, c, n, norm=norm, kernel=kernel) for c, n in pairwise(before)))
        self.stages = nn.ModuleList()
        for number, (c, width) in enumerate(zip([before[-1], *widths[:-1]], widths, strict=True)):
            wider = len(widths) - 1 - number
            self.stages.append(self._stage(ndim, c, width, depth=depth, kernel=kernel, norm=norm, wider=wider))

    @staticmethod
    def _stage(ndim: int, channels: int, features: int, *, depth: int, kernel: int, norm: str, wider: int) -> nn.Module:
        """Return one stage; `wider` counts those that follow it."""
        raise NotImplementedError

    def stage_maps(self, x: Inputs, padding: Padding | None = None) -> Iterator[Features]:
        """Yield what each stage gives; all have the cells space / 2^halvings, the later ones see farther."""
        x = self.stem(x, padding)
        for stage in self.stages:
            x = stage(x, padding)
            yield x


class FCN(KeepingGrid):
    """A fully convolutional net: stages of `depth` convolutions, each stage's kernel two wider than the next one's.

    The paper's three blocks, kernels 8, 5, 3, are three widths, ``depth=1``, ``kernel=3``: 7, 5, 3.

    Source: Wang, Yan & Oates 2017, arXiv:1611.06455, section II.B.
    """

    @staticmethod
    def _stage(ndim: int, channels: int, features: int, *, depth: int, kernel: int, norm: str, wider: int) -> nn.Module:
        before = [channels, *[features] * (depth - 1)]
        return Layers(*(ConvBlock(ndim, c, features, norm=norm, kernel=kernel + 2 * wider) for c in before))


class ResNet1d(KeepingGrid):
    """The ResNet of time series: stages of `depth` residual blocks of three convolutions, kernels 7, 5, 3.

    The paper's net has kernels 8, 5, 3 and three widths, ``depth=1``. What is added to a block's result is its input,
    as it is where the number of feature maps stays, through a convolution of one cell where it changes.

    Source: Wang, Yan & Oates 2017, arXiv:1611.06455, section II.C.
    """

    @staticmethod
    def _stage(ndim: int, channels: int, features: int, *, depth: int, kernel: int, norm: str, wider: int) -> nn.Module:  # noqa: ARG004
        before, kernels = [channels, *[features] * (depth - 1)], (kernel + 4, kernel + 2, kernel)
        return Layers(*(ResidualBlock(ndim, c, features, norm=norm, kernels=kernels) for c in before))


class InceptionTime(KeepingGrid):
    """One net of the ensemble of that name: stages of `depth` inception modules with a shortcut round each stage.

    A module looks through three kernels beside each other, ``kernel``, ``2 kernel + 1`` and ``4 kernel + 3``. The
    paper's net has kernels 10, 20, 40 and a shortcut round every third of six modules, 128 feature maps each:
    ``widths=(128, 128)``, ``depth=3``, ``kernel=9``, so 9, 19, 39.

    Source: Ismail Fawaz et al. 2020, arXiv:1909.04939, section 3.
    """

    @staticmethod
    def _stage(ndim: int, channels: int, features: int, *, depth: int, kernel: int, norm: str, wider: int) -> nn.Module:  # noqa: ARG004
        return InceptionBlock(ndim, channels, features, norm=norm, kernel=kernel, depth=depth)
