"""How weights move: Muon for the kernels of convolutions and the matrices of linear layers, AdamW for the rest."""

from __future__ import annotations

__all__ = ["Muon", "optimizers"]

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ram.models.regressor import Regressor
from ram.runs.config import TrainingConfig

_MOMENTUM = 0.95
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


def optimizers(regressor: Regressor, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    """Return the optimizers that move all weights of `regressor` together.

    Kernels decay by ``config.weight_decay``; biases, the scales of norms and the linear unit do not under Muon, and
    biases and scales do not under AdamW.
    """
    if config.optimizer == "adamw":
        return [_adamw(regressor.parameters(), config)]
    hidden = () if regressor.dense is None else regressor.dense.parameters()
    kernels = [weight for weight in (*regressor.backbone.parameters(), *hidden) if weight.ndim > 1]
    known = {id(weight) for weight in kernels}
    rest = [weight for weight in regressor.parameters() if id(weight) not in known]
    muon = Muon(kernels, lr=config.learning_rate, weight_decay=config.weight_decay)
    return [muon, torch.optim.AdamW(rest, lr=config.learning_rate, weight_decay=0.0)]


class Muon(torch.optim.Optimizer):
    """Momentum whose step has all singular values near one: every direction of a kernel learns at the same speed.

    A kernel (feature, channel, *size) is taken as a matrix of `feature` rows. The step is scaled to the size that
    AdamW's would have, so that one learning rate and weight decay serve both. All is computed in float32 or better;
    ``torch.optim.Muon`` refuses kernels of convolutions and computes in bfloat16.

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks" (momentum, quintic
    iteration); scale: Liu et al. 2025, arXiv:2502.16982, section 2.2.
    """

    def __init__(self, weights: Iterable[Tensor], *, lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every weight that has a gradient; a closure is not supported."""
        if closure is not None:
            raise NotImplementedError("Muon takes no closure")
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, lr=group["lr"], weight_decay=group["weight_decay"])

    def _move(self, weight: Tensor, *, lr: float, weight_decay: float) -> None:
        state: dict[str, Any] = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        momentum: Tensor = state["momentum"].lerp_(weight.grad, 1 - _MOMENTUM)
        ahead = weight.grad.lerp(momentum, _MOMENTUM)  # type: ignore[union-attr]  # Nesterov
        step = orthogonalised(ahead.flatten(1))
        weight.mul_(1 - lr * weight_decay)
        weight.add_(step.reshape(weight.shape), alpha=-lr * 0.2 * math.sqrt(max(step.shape)))


def orthogonalised(matrix: Float[Tensor, "row column"]) -> Float[Tensor, "row column"]:
    """Return U V^T of the singular value decomposition, roughly: singular values between about 0.7 and 1.2.

    >>> matrix = torch.linspace(-1, 1, 12).sin().reshape(3, 4) + torch.eye(3, 4)
    >>> values = torch.linalg.svdvals(orthogonalised(matrix))
    >>> bool((values > 0.6).all() and (values < 1.3).all())
    True
    """
    a, b, c = _QUINTIC
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x: Tensor = wide / wide.norm().clamp(min=1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T


def _adamw(weights: Iterable[Tensor], config: TrainingConfig) -> torch.optim.Optimizer:
    weights = list(weights)
    groups = [
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate)
