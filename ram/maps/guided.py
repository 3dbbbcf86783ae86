"""Guided Grad-CAM: the published product of two maps, as fine as one and as selective as the other."""

from __future__ import annotations

__all__ = ["guided_grad_cam"]

import torch
from jaxtyping import Float
from torch import Tensor

from ram.maps.cams import grad_cam
from ram.maps.input_methods import Asked, guided_backprop
from ram.maps.layer_methods import from_gradient

_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def guided_grad_cam(asked: Asked) -> Float[Tensor, "batch channel *space"]:
    """Return guided backpropagation times the published Grad-CAM of a layer, upsampled linearly.

    Source: Selvaraju et al. 2017, arXiv:1610.02391, section 3.2.

    Raises
    ------
    ModelError
        As `ram.maps.input_methods.guided_backprop`, and where the layer does not fit.
    """
    where = from_gradient(asked.net, asked.x.clone(), asked.parameters, layer=asked.layer, formula=grad_cam)
    coarse = where.contributions[0][:, asked.number] / asked.net.scale[asked.number]  # (batch, 1, *cells)
    cells = torch.from_numpy(coarse).to(asked.x.device)
    space = tuple(asked.x.shape[2:])
    fine = torch.nn.functional.interpolate(cells, size=space, mode=_MODES[len(space)], align_corners=False)
    return guided_backprop(asked).double() * fine
