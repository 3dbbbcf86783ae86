"""Targets that were given to other samples: what a net learns from them is nothing."""

from __future__ import annotations

__all__ = ["permute_targets"]

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ram.data.dataset import Dataset
from ram.data.head import Head
from ram.data.source import Reheaded
from ram.randomness import generator

_PARTS = ("train", "validation")  # what a net is fitted to and chosen by; the test part stays as it was measured


def permute_targets(data: Dataset, *, split: str, seed: int) -> Dataset:
    """Return the samples with the targets of others of their part: of the training part, and of the validation part.

    All targets of a sample go together, what was not measured too; inputs, weights and truth maps stay.

    Source: Adebayo et al. 2018, arXiv:1810.03292, section 3.2 (random labels).
    """
    giver = np.arange(data._source.head.count)
    for part in _PARTS:
        rows = data.subset(part, split=split).indices
        giver[rows] = generator(seed, "permuted targets", part).permutation(rows)
    return Dataset(_Permuted(data._source, giver), data.indices)


@dataclass
class _Permuted(Reheaded):
    """A source whose samples have the targets of others."""

    giver: NDArray[np.int64] = field(repr=False)

    def changed(self, own: Head) -> Head:
        moved = {name: own.columns[name][self.giver] for name in own.columns if name.startswith("targets/")}
        return replace(own, columns={**own.columns, **moved})
