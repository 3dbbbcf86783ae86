"""Class activation maps in the forms that hold for a number: from an activation and the output's gradient to a map.

Every function takes ``A`` (batch, feature, *cells) and ``G = dy/dA`` of the same shape, or broadcast to it, and
returns (batch, *cells) in the unit of y. Sign and scale are kept but where the published form clips them.
"""

from __future__ import annotations

__all__ = ["eigen_cam", "grad_cam", "grad_cam_plus_plus", "grad_ram", "hires_cam", "layer_cam", "xgrad_cam"]

import torch
from jaxtyping import Float
from torch import Tensor

Activation = Float[Tensor, "batch feature *cells"]
Map = Float[Tensor, "batch *cells"]


def grad_ram(a: Activation, g: Activation) -> Map:
    """Return ``sum_k mean(G_k) A_k``: Grad-CAM with its sign, first-order in the activation.

    Source: Selvaraju et al. 2017, arXiv:1610.02391, equations 1 and 2 without the ReLU.

    >>> a, g = torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[0.5, -1.5]]])
    >>> grad_ram(a, g)
    tensor([[-0.5000, -1.5000]])
    """
    weight = g.flatten(2).mean(dim=2).expand(a.shape[:2])  # before it is as large as A, where it is the same everywhere
    return torch.bmm(weight[:, None], a.flatten(2)).view(len(a), *a.shape[2:])


def grad_cam(a: Activation, g: Activation) -> Map:
    """Return the published Grad-CAM, ``ReLU(sum_k mean(G_k) A_k)``.

    Source: Selvaraju et al. 2017, arXiv:1610.02391, equation 2.
    """
    return grad_ram(a, g).relu()


def hires_cam(a: Activation, g: Activation) -> Map:
    """Return ``sum_k G_k A_k``, cell by cell: what a first-order expansion gives each cell.

    Source: Draelos & Carin 2020, arXiv:2011.08891, equation 6, without the ReLU.
    """
    return (a * g).sum(dim=1)


def xgrad_cam(a: Activation, g: Activation) -> Map:
    """Return ``sum_k w_k A_k`` with ``w_k = sum(G_k A_k) / sum(A_k)``: it sums to what `hires_cam` sums to.

    A feature that sums to zero carries nothing. Source: Fu et al. 2020, arXiv:2008.02312, equation 8.
    """
    total = a.flatten(2).sum(dim=2)
    carried = (a * g).flatten(2).sum(dim=2)
    weight = torch.where(total != 0, carried / torch.where(total != 0, total, 1.0), 0.0)
    return torch.einsum("bk...,bk->b...", a, weight)


def layer_cam(a: Activation, g: Activation) -> Map:
    """Return ``ReLU(sum_k ReLU(G_k) A_k)``.

    Source: Jiang et al. 2021, doi:10.1109/TIP.2021.3089943, equations 5 to 7.
    """
    return (a * g.relu()).sum(dim=1).relu()


def grad_cam_plus_plus(a: Activation, g: Activation) -> Map:
    """Return Grad-CAM++ with the output itself in the place of its exponential's derivatives.

    ``ReLU(sum_k w_k A_k)`` with ``w_k = sum(alpha_k ReLU(G_k))`` and ``alpha_k = G^2 / (2 G^2 + sum(A_k) G^3)``.

    Source: Chattopadhay et al. 2018, arXiv:1710.11063, equations 10 and 19.
    """
    g = _whole(g, a)
    total = a.sum(dim=tuple(range(2, a.ndim)), keepdim=True)
    below = 2 * g**2 + total * g**3
    alpha = torch.where(below != 0, g**2 / torch.where(below != 0, below, 1.0), 0.0)
    weight = (alpha * g.relu()).flatten(2).sum(dim=2)
    return torch.einsum("bk...,bk->b...", a, weight).relu()


def eigen_cam(a: Activation, g: Activation) -> Map:  # noqa: ARG001 - no gradient: what is active, not what matters
    """Return the cells' coordinate along the activation's first principal direction, its sum positive.

    Source: Muhammad & Yeasin 2020, arXiv:2008.00299, equation 3.
    """
    a = a if a.dtype in {torch.float32, torch.float64} else a.float()  # half precision has no such decomposition
    flat = a.flatten(2).transpose(1, 2)  # (batch, cells, feature)
    _, _, directions = torch.linalg.svd(flat, full_matrices=False)
    along = torch.einsum("bck,bk->bc", flat, directions[:, 0])
    upright = torch.where(along.sum(dim=1, keepdim=True) < 0, -along, along)
    return upright.reshape(len(a), *a.shape[2:])


def _whole(g: Activation, a: Activation) -> Activation:
    return g.expand_as(a)
