"""A data set as pairs of tensors, for training loops that are written that way."""

from __future__ import annotations

__all__ = ["TorchView"]

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

if TYPE_CHECKING:
    from ram.data.dataset import Dataset

Pair = tuple[Tensor, ...]


class TorchView(TorchDataset[Pair]):
    """Samples as ``x, y``, or ``x, parameters, y`` where parameters were asked for; all of them float32.

    It gives a sample for a number, and a whole batch for a list of numbers: with a `BatchSampler` as the sampler and
    ``batch_size=None`` a DataLoader copies nothing.
    """

    def __init__(self, data: Dataset, *, targets: Sequence[str] | None, parameters: Sequence[str]) -> None:
        self.data = data
        columns = [data.parameter_array(list(parameters))] if parameters else []
        self._columns = [torch.from_numpy(array).float() for array in [*columns, data.target_array(targets)]]

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, position: int | Sequence[int]) -> Pair:
        """Return one sample, or the batch of some."""
        if isinstance(position, (int, np.integer)):
            if not -len(self) <= position < len(self):
                raise IndexError(f"{self.data.path}: position {position} of {len(self)} samples")
            return tuple(part[0] for part in self[[int(position)]])
        rows = torch.as_tensor(position)
        return (torch.from_numpy(self.data.x(rows.numpy())), *(column[rows] for column in self._columns))

    def __getitems__(self, positions: Sequence[int]) -> list[Pair]:
        """Return samples that were read at once: what a DataLoader asks for, a batch at a time."""
        return list(zip(*self[positions], strict=True))
