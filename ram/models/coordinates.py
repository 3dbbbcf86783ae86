"""Coordinate channels: constant inputs that tell a net where it is.

Convolution and GAP are blind to position: the radius on a wheel or the hertz of a spectrogram reach the number
only through the padding. A coordinate channel says it outright. It is constant, so nothing is attributed to it.

Source: Liu et al. 2018, arXiv:1807.03247 (CoordConv).
"""

from __future__ import annotations

__all__ = ["coordinate_channels"]

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ram.axes import Axis
from ram.errors import ConfigError, explained, nearest


def coordinate_channels(
    names: Sequence[str], axes: Sequence[Axis], *, radius: bool = True
) -> Float[Tensor, "coordinate *space"]:
    """Return one channel for each of `names`, standardised to mean 0 and standard deviation 1.

    Parameters
    ----------
    names
        Names of `axes`, or ``"radius"``: the distance from the origin of all axes, which keeps the symmetries of
        a square.
    axes
        The input's axes in array order, origin where the data set puts it.
    radius
        Whether there is one: hertz and seconds have no distance.

    Raises
    ------
    ConfigError
        For a name that is no axis, nor ``"radius"`` where there is one.
    """
    grids = np.meshgrid(*(axis.centres for axis in axes), indexing="ij")  # each of shape (*space)
    known = {axis.name: grid for axis, grid in zip(axes, grids, strict=True)}
    if radius:
        known["radius"] = np.sqrt(sum(grid**2 for grid in grids))
    for name in names:
        if name not in known:
            raise ConfigError(
                explained(
                    where="model.coordinates",
                    what="a coordinate",
                    allowed=f"one of {', '.join(known)}",
                    got=name,
                    next_step=nearest(name, known),
                )
            )
    channels = [(known[name] - known[name].mean()) / max(float(known[name].std()), 1e-12) for name in names]
    return torch.from_numpy(np.array(channels)).float() if channels else torch.empty(0)
