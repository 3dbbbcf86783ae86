"""What a net answers about a batch: contributions, baseline and prediction, before they get names and axes."""

from __future__ import annotations

__all__ = ["Answer", "Target", "Viewed", "numbers"]

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ram.maps.activation import array_of
from ram.maps.layers import LayerPass
from ram.models.symmetry import Symmetry


@dataclass(frozen=True)
class Target:
    """What an output stands for: ``mean + scale * output``, or its exponential where `log`."""

    name: str
    unit: str
    mean: float = 0.0
    scale: float = 1.0
    log: bool = False

    def in_unit(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return `values`, where contributions add up, in the target's unit."""
        return np.asarray(np.exp(values) if self.log else values)


@dataclass(frozen=True)
class Answer:
    """What each target is made of, float64, where contributions add up: for log targets in the logarithm.

    Attributes
    ----------
    contributions
        One array for each grid of cells, shape (batch, target, channel, *cells): several grids where several stages are
        pooled or several layers asked, several channels where each is asked for; the same in all grids.
    parameters
        Shape (batch, target, parameter).
    baseline, prediction
        Shape (batch, target); the prediction is what the net itself answers.
    finer
        As `contributions`, where a finer grid was asked for: ``s W A`` on it.
    grids
        What the grids are called, where there are several.
    averaged
        Over how many cells the features of each grid are averaged; 1 where they are summed.
    """

    contributions: tuple[NDArray[np.float64], ...]
    parameters: NDArray[np.float64]
    baseline: NDArray[np.float64]
    prediction: NDArray[np.float64]
    finer: tuple[NDArray[np.float64], ...] = ()
    grids: tuple[str, ...] = ()
    averaged: tuple[int, ...] = ()

    def as_sums(self) -> Answer:
        """Return ``s W A``, the sums of Zhou's class activation map, in the place of the shares of a mean.

        Source: Zhou et al. 2016, arXiv:1512.04150, equation 2.
        """
        pairs = zip(self.contributions, self.averaged, strict=True)
        return replace(self, contributions=tuple(one * cells for one, cells in pairs))

    @classmethod
    def joined(cls, parts: Sequence[Answer]) -> Answer:
        """Return the answer to all batches in a row."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            tuple(map(np.concatenate, zip(*(part.contributions for part in parts), strict=True))),
            np.concatenate([part.parameters for part in parts]),
            np.concatenate([part.baseline for part in parts]),
            np.concatenate([part.prediction for part in parts]),
            tuple(map(np.concatenate, zip(*(part.finer for part in parts), strict=True))),
            parts[0].grids,
            parts[0].averaged,
        )


@dataclass(frozen=True)
class Viewed:
    """A pass at a layer, and the symmetry under which the input was shown; maps are turned back by it."""

    view: Symmetry
    layer: LayerPass


def numbers(tensor: Tensor) -> NDArray[np.float64]:
    """Return a tensor as float64, from whatever precision and device."""
    return array_of(tensor).astype(np.float64, copy=False)
