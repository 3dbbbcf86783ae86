"""Backbones by name."""

from __future__ import annotations

__all__ = ["BACKBONES", "build_backbone", "parameter_count"]

from collections.abc import Sequence

from torch import nn

from ram.errors import ConfigError, explained, nearest
from ram.models.backbones.backbone import Backbone, ChannelsApart
from ram.models.backbones.halving import EncoderDecoder, Plain, ResNet, SmallField
from ram.models.backbones.series import FCN, InceptionTime, KeepingGrid, ResNet1d
from ram.models.layers import NORMS

BACKBONES: dict[str, type[Plain | ResNet | EncoderDecoder | SmallField | KeepingGrid]] = {
    "plain": Plain,
    "resnet": ResNet,
    "encoder-decoder": EncoderDecoder,
    "small-field": SmallField,
    "fcn": FCN,
    "resnet-1d": ResNet1d,
    "inception-time": InceptionTime,
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
    halvings: int = 0,
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
    halvings
        Times the grid is halved before the first stage, for backbones that keep it.

    Raises
    ------
    ConfigError
        For an unknown name or norm, an even kernel, empty widths, stages that are not there, another number of axes
        than 1, 2 or 3, or halvings of a backbone that halves the grid by itself.
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
    options = {} if not halvings else {"halvings": halvings}
    if halvings and not issubclass(BACKBONES[name], KeepingGrid):
        keeping = ", ".join(known for known, kind in BACKBONES.items() if issubclass(kind, KeepingGrid))
        raise ConfigError(
            explained(
                where="model.halvings",
                what="the backbone of a net with halvings",
                allowed=f"one of {keeping}",
                got=name,
                next_step="Leave halvings out: this one halves the grid once for each of its widths, or once in all",
            )
        )
    apart = max(1, channels_apart)
    nets = [
        BACKBONES[name](
            ndim, channels + 1 - apart, widths=list(widths), depth=depth, kernel=kernel, norm=norm,
            head_stages=head_stages, **options,
        )
        for _ in range(apart)
    ]  # fmt: skip
    return nets[0] if apart == 1 else ChannelsApart(nets)


def parameter_count(module: nn.Module) -> int:
    """Return how many trainable numbers `module` has."""
    return sum(weight.numel() for weight in module.parameters() if weight.requires_grad)
