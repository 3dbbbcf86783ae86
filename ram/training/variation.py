"""Variation of training inputs that leaves their targets as they are: another gain, a late trigger, noise.

What a laboratory changes from one day to the next, a net should not learn from. Each draw is a function of (seed,
epoch, row in the file): neither the number of workers nor an interruption changes it.
"""

from __future__ import annotations

__all__ = ["Variation"]

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ram.randomness import generator
from ram.runs.config import VariationConfig

Inputs = Float[Tensor, "batch channel *space"]


@dataclass(frozen=True, eq=False)
class Variation:
    """How inputs are varied.

    Attributes
    ----------
    config
        The experiment's ``training.variation`` section.
    seed
        Of the experiment.
    noise
        Shape (channel,): standard deviation of the noise, in the unit of each channel.
    """

    config: VariationConfig
    seed: int
    noise: Float[np.ndarray, " channel"]

    @classmethod
    def of(cls, config: VariationConfig, *, seed: int, input_scale: Float[Tensor, " channel"]) -> Variation | None:
        """Return the variation, None where nothing is varied; `input_scale` is each channel's standard deviation."""
        if not (config.gain or config.noise or config.shift):
            return None
        return cls(config, seed, config.noise * input_scale.cpu().double().numpy())

    def apply(self, x: Inputs, *, rows: Int[np.ndarray, " batch"], epoch: int) -> Inputs:
        """Return inputs as they might have been measured on another day; `rows` are their rows in the file.

        >>> config = VariationConfig(gain=0.1)
        >>> varied = Variation.of(config, seed=0, input_scale=torch.ones(1))
        >>> varied.apply(torch.ones(2, 1, 3), rows=np.array([0, 1]), epoch=1)
        tensor([[[1.0145, 1.0145, 1.0145]],
        <BLANKLINE>
                [[1.0127, 1.0127, 1.0127]]])
        """
        varied = torch.empty_like(x)
        for place, row in enumerate(rows.tolist()):
            varied[place] = self._one(x[place], generator(self.seed, "variation", epoch, row))
        return varied

    def _one(self, x: Tensor, draw: np.random.Generator) -> Tensor:
        """Return one sample, shape (channel, *space), varied; all draws are made, whatever is asked for."""
        gain, share = float(np.exp(self.config.gain * draw.standard_normal())), float(draw.uniform(-1.0, 1.0))
        varied = gain * shifted(x, round(share * self.config.shift))
        if not self.config.noise:
            return varied
        noise = draw.standard_normal(tuple(x.shape), dtype=np.float32)
        return varied + torch.from_numpy(noise * self.noise.reshape(-1, *[1] * (x.ndim - 1)).astype(np.float32))


def shifted(x: Float[Tensor, "channel *space"], cells: int) -> Float[Tensor, "channel *space"]:
    """Return `x` moved to later cells of the last axis, or to earlier ones; the first or last value goes on.

    >>> shifted(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), 1), shifted(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), -2)
    (tensor([[1., 1., 2., 3.]]), tensor([[3., 4., 4., 4.]]))
    """
    size = x.shape[-1]
    return x[..., (torch.arange(size) - cells).clamp(0, size - 1)] if cells else x
