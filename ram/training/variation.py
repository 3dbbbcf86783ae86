"""Variation of training inputs that leaves targets as they are: another gain, another sensor, a late trigger, noise.

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

_WAVES = 3

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
        if not (config.gain or config.colour or config.noise or config.shift):
            return None
        return cls(config, seed, config.noise * input_scale.cpu().double().numpy())

    def apply(
        self, x: Inputs, *, rows: Int[np.ndarray, " batch"], epoch: int, lengths: Int[Tensor, " batch"] | None = None
    ) -> Inputs:
        """Return inputs as they might have been measured on another day; `rows` are their rows in the file.

        Of padded samples with `lengths` the end of the signal, not padding, goes on where they are shifted.

        >>> config = VariationConfig(gain=0.1)
        >>> varied = Variation.of(config, seed=0, input_scale=torch.ones(1))
        >>> varied.apply(torch.ones(2, 1, 3), rows=np.array([0, 1]), epoch=1)
        tensor([[[1.0145, 1.0145, 1.0145]],
        <BLANKLINE>
                [[1.0127, 1.0127, 1.0127]]])
        """
        varied = torch.empty_like(x)
        for place, row in enumerate(rows.tolist()):
            length = x.shape[-1] if lengths is None else int(lengths[place])
            varied[place] = self._one(x[place], generator(self.seed, "variation", epoch, row), length)
        return varied

    def _one(self, x: Tensor, draw: np.random.Generator, length: int) -> Tensor:
        """Return one sample, shape (channel, *space), varied; of what is not asked for nothing is drawn but noise."""
        gain, share = float(np.exp(self.config.gain * draw.standard_normal())), float(draw.uniform(-1.0, 1.0))
        varied = gain * shifted(x, round(share * self.config.shift), length=length)
        if self.config.colour and length > 1:
            heights, phases = self.config.colour * draw.standard_normal(_WAVES), draw.uniform(0, 2, _WAVES)
            varied[..., :length] = coloured(varied[..., :length], heights, phases)
        if not self.config.noise:
            return varied
        noise = draw.standard_normal(tuple(x.shape), dtype=np.float32)
        return varied + torch.from_numpy(noise * self.noise.reshape(-1, *[1] * (x.ndim - 1)).astype(np.float32))


def coloured(
    x: Float[Tensor, "channel *space"], heights: Float[np.ndarray, " wave"], phases: Float[np.ndarray, " wave"]
) -> Float[Tensor, "channel *space"]:
    """Return `x` with another gain for each frequency along the last axis, as another sensor or hammer would have.

    The logarithm of the gain is a sum of waves over the logarithm of the frequency, the first of half a period from the
    lowest frequency to the highest; delays stay as they are. Of several channels all are changed alike.

    Parameters
    ----------
    heights, phases
        Of the waves; phases in units of pi. The sum has the standard deviation of a height.

    >>> flat = coloured(torch.eye(1, 64), np.zeros(3), np.zeros(3))
    >>> torch.allclose(flat, torch.eye(1, 64), atol=1e-6)
    True
    """
    size = x.shape[-1]
    octaves = np.log2(np.arange(size + 1).clip(min=1)) / np.log2(size)  # of a signal with as many zeros behind it
    waves = np.cos(np.pi * (np.outer(np.arange(1, len(heights) + 1), octaves) + phases[:, None]))
    gain = np.exp(np.sqrt(2 / len(heights)) * (heights @ waves)).astype(np.float32)
    spectrum = torch.fft.rfft(x, n=2 * size) * torch.from_numpy(gain)
    heard: Tensor = torch.fft.irfft(spectrum, n=2 * size)
    return heard[..., :size]


def shifted(
    x: Float[Tensor, "channel *space"], cells: int, *, length: int | None = None
) -> Float[Tensor, "channel *space"]:
    """Return `x` moved to later cells of the last axis, or to earlier ones; the first or last value goes on.

    Of `length` cells the last one is the last value, what stands behind it is padding.

    >>> shifted(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), 1), shifted(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), -2)
    (tensor([[1., 1., 2., 3.]]), tensor([[3., 4., 4., 4.]]))
    """
    size = x.shape[-1]
    last = (size if length is None else length) - 1
    return x[..., (torch.arange(size) - cells).clamp(0, last)] if cells else x
