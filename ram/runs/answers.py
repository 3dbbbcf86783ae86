"""What a net answers for many samples: predictions, and the features that they were made of."""

from __future__ import annotations

__all__ = ["Answer", "answer"]

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int

from ram.models.regressor import Regressor

Given = tuple[
    Float[np.ndarray, "batch channel *space"], Float[np.ndarray, "batch parameter"], Int[np.ndarray, " batch"] | None
]
"""Inputs, design parameters, and how long padded inputs are."""


@dataclass(frozen=True, eq=False)
class Answer:
    """Predictions of some samples.

    Attributes
    ----------
    values
        Shape (sample, target), in the targets' units.
    features
        Shape (sample, pooled), float64: what the linear unit saw.
    """

    values: Float[np.ndarray, "sample target"] = field(repr=False)
    features: Float[np.ndarray, "sample pooled"] = field(repr=False)


def answer(regressor: Regressor, batches: Iterable[Given], *, progress: Callable[[int], None] | None = None) -> Answer:
    """Return what a net answers for batches of inputs, design parameters and lengths, one pass."""
    values = [np.empty((0, len(regressor.target_names)))]
    features = [np.empty((0, regressor.head.in_features))]
    for inputs, given, known in batches:
        parameters, lengths = torch.from_numpy(given), None if known is None else torch.from_numpy(known)
        with torch.inference_mode():
            maps = regressor.features(torch.from_numpy(inputs), lengths=lengths)
            values.append(regressor.destandardise(regressor.standardised(maps, parameters)).numpy())
            features.append(regressor.pooled(maps, parameters).double().numpy())
        if progress:
            progress(len(inputs))
    return Answer(np.concatenate(values), np.concatenate(features))
