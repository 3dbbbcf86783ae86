"""Backbones: from a standardised input to the feature maps that global average pooling (GAP) averages.

Every backbone maps (batch, channel, *space) to (batch, feature, *cells) in one, two or three dimensions. Its
cells lie symmetrically in the input and part it evenly, and no layer looks at the size of the input. It runs in
stages; which of them are pooled is said when it is built, the last one alone by itself.

``backbone`` says what each of them is, ``halving`` holds those that halve the grid on their way, ``series`` the nets
of time series, which keep it, and ``building`` builds them by name.
"""

from __future__ import annotations

__all__ = [
    "BACKBONES",
    "FCN",
    "Backbone",
    "ChannelsApart",
    "EncoderDecoder",
    "InceptionTime",
    "Plain",
    "ResNet",
    "ResNet1d",
    "SmallField",
    "build_backbone",
    "joined",
    "parameter_count",
]

from ram.models.backbones.backbone import Backbone, ChannelsApart, joined
from ram.models.backbones.building import BACKBONES, build_backbone, parameter_count
from ram.models.backbones.halving import EncoderDecoder, Plain, ResNet, SmallField
from ram.models.backbones.series import FCN, InceptionTime, ResNet1d
