"""What is left of a map when the net forgets what it has learned.

A map that says something of what a net has learned changes when its weights are drawn anew. One that stays shows the
input, whatever the net makes of it.

Source: Adebayo et al. 2018, arXiv:1810.03292, section 3.
"""

from __future__ import annotations

__all__ = ["FLAGGED", "cascade_stages", "forgotten", "rank_kept"]

import copy

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.stats import rankdata
from torch import Tensor, nn

from ram.models.regressor import Regressor
from ram.randomness import seed_of

FLAGGED = 0.2
"""A method that keeps more than this of its ranking, of either sign, after the whole cascade is flagged."""

_STAGES = 5


def cascade_stages(net: Regressor, *, most: int = _STAGES) -> list[int]:
    """Return how many layers are drawn anew at each stage: the linear unit alone first, all layers last.

    >>> from ram.models.backbones import build_backbone
    >>> from ram.models.regressor import TargetScaling
    >>> backbone = build_backbone("plain", ndim=1, channels=1, widths=[2, 2, 2, 2], depth=2)
    >>> cascade_stages(Regressor(backbone, targets=[TargetScaling("f", "Hz")], input_mean=[0.0], input_scale=[1.0]))
    [1, 3, 5, 7, 9]
    """
    count = len(_layers(net))
    return sorted({round(number) for number in np.linspace(1, count, min(most, count))})


def forgotten(net: Regressor, *, layers: int | None = None, seed: int = 0) -> Regressor:
    """Return a copy of the net whose last layers have weights drawn anew; scaling of inputs and targets stays.

    Convolutions and linear units are drawn as for the start of a training (He et al. 2015, arXiv:1502.01852), norms
    begin anew, and other weights are normal numbers as large as the trained ones. The global random state stays as it
    is.

    Parameters
    ----------
    layers
        How many, counted from the linear unit down; all if None.
    """
    fresh = copy.deepcopy(net)
    every = _layers(fresh)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed_of(seed, "weights drawn anew") % 2**63)
        for layer in every[: len(every) if layers is None else layers]:
            _draw_anew(layer)
    return fresh


def rank_kept(
    before: Float[np.ndarray, "sample *cells"],
    after: Float[np.ndarray, "sample *cells"],
    *,
    absolute: bool,
    where: Bool[np.ndarray, "sample *cells"] | None = None,
) -> Float[np.ndarray, " sample"]:
    """Return the rank correlation between two maps of each sample: what is left of the first one's order of cells.

    A map that has become the same everywhere has kept nothing: 0. NaN where a map is not known.

    Parameters
    ----------
    absolute
        Of the sizes of values, as Adebayo et al. also have it, in place of the values with their signs.
    where
        The cells that count; all if None.

    >>> rank_kept(np.array([[1.0, -2.0, 3.0]]), np.array([[-1.0, 2.0, -3.0]]), absolute=False)
    array([-1.])
    """
    found = np.full(len(before), np.nan)
    used = np.ones(before.shape, dtype=bool) if where is None else where
    for row, (*pair, counts) in enumerate(zip(before, after, used, strict=True)):
        a, b = (np.abs(one[counts]) if absolute else one[counts] for one in pair)
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            continue
        a, b = (rankdata(one) - (one.size + 1) / 2 for one in (a, b))
        norm = np.sqrt((a @ a) * (b @ b))
        found[row] = a @ b / norm if norm > 0 else 0.0
    return found


def _layers(net: Regressor) -> list[nn.Module]:
    """Return the parts that have weights of their own, from the linear unit down to the first layer."""
    parts = [part for part in net.modules() if any(True for _ in part.parameters(recurse=False))]
    return [net.head, *(part for part in reversed(parts) if part is not net.head)]


def _draw_anew(layer: nn.Module) -> None:
    if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
        return
    reset = getattr(layer, "reset_parameters", None)
    if callable(reset):
        reset()
        return
    for weight in layer.parameters(recurse=False):
        weight.copy_(_as_large(weight))


def _as_large(weight: Tensor) -> Tensor:
    return torch.randn_like(weight) * weight.square().mean().sqrt()
