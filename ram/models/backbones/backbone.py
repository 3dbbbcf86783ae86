"""What every backbone is, and several of them beside each other: a net for each channel."""

from __future__ import annotations

__all__ = ["Backbone", "ChannelsApart", "Features", "Inputs", "joined"]

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ram.errors import ConfigError, ModelError, explained
from ram.models.padding import Padding

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
    fewer = "fewer widths (each halves the grid once)"  # of what makes the divisor

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

    def stage_maps(self, x: Inputs, padding: Padding | None = None) -> Iterator[Features]:
        """Yield what each stage gives, one after the other: who takes a few runs no more than these.

        What stands in cells that are padding is nobody's.
        """
        raise NotImplementedError

    def feature_maps(self, x: Inputs, padding: Padding | None = None) -> Iterator[Features]:
        """Yield the feature maps of the stages that are pooled, each on its own cells."""
        every = islice(self.stage_maps(x, padding), self.head_stages[-1])
        return (maps for number, maps in enumerate(every, start=1) if number in self.head_stages)

    def forward(self, x: Inputs, padding: Padding | None = None) -> Features:
        """Return the feature maps of all stages that are pooled, on the finest one's cells."""
        return joined(list(self.feature_maps(x, padding)))

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
                next_step=f"Crop or resample the inputs, or choose {self.fewer}",
            )
        )


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

    def stage_maps(self, x: Inputs, padding: Padding | None = None) -> Iterator[Features]:
        """Yield what each stage gives: the features of the first channel's net, then the second's ..."""
        coordinates = x[:, self.channels_apart :]
        seen = [torch.cat([x[:, i : i + 1], coordinates], dim=1) for i in range(self.channels_apart)]
        every = [cast(Backbone, net).stage_maps(own, padding) for net, own in zip(self.nets, seen, strict=True)]
        return (torch.cat(maps, dim=1) for maps in zip(*every, strict=True))


def _require_stages(numbers: Sequence[int], count: int) -> None:
    if sorted(set(numbers)) == list(numbers) and numbers[0] >= 1 and numbers[-1] <= count:
        return
    allowed = f"ascending numbers from 1 to {count}, one for each width"
    raise ConfigError(explained(where="model.head_stages", what="stages", allowed=allowed, got=list(numbers)))
