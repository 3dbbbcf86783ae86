"""Batches of samples as tensors: from memory where the data fit a budget, else read as they are asked for."""

from __future__ import annotations

__all__ = ["Batches"]

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ram.data.dataset import Dataset

_BUDGET_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Batch:
    """Some samples of a data set.

    Attributes
    ----------
    positions
        Shape (batch,): where the samples stand in the data set that the batches were made of.
    x
        Shape (batch, channel, *space), float32.
    targets
        Shape (batch, target), float64, NaN where not measured.
    parameters
        Shape (batch, parameter), float64.
    """

    positions: np.ndarray
    x: Tensor
    targets: Tensor
    parameters: Tensor


class Batches:
    """The samples of `data` as tensors.

    Parameters
    ----------
    targets
        Shape (sample, target): what is regressed, in the unit that the net answers in.
    parameters
        Names of design parameters that travel with the inputs.
    budget_bytes
        Inputs are kept in memory where they take no more than this.
    channels_last
        Memory layout of inputs with two or three space axes.
    """

    def __init__(
        self,
        data: Dataset,
        *,
        targets: np.ndarray,
        parameters: Sequence[str] = (),
        budget_bytes: int = _BUDGET_BYTES,
        channels_last: bool = False,
    ) -> None:
        self.data = data
        self.targets = torch.from_numpy(np.asarray(targets, dtype=np.float64))
        self.parameters = torch.from_numpy(data.parameter_array(list(parameters)))
        self.memory_format = _memory_format(len(data.axes), channels_last=channels_last)
        size = 4 * len(data) * len(data.channels) * int(np.prod([axis.size for axis in data.axes]))
        self.kept = self._tensor(data.x()) if size <= budget_bytes else None

    def __len__(self) -> int:
        return len(self.data)

    def take(self, positions: np.ndarray) -> Batch:
        """Return the samples at `positions`."""
        rows = torch.from_numpy(np.asarray(positions, dtype=np.int64))
        x = self.kept[rows] if self.kept is not None else self._tensor(self.data.x(positions))
        return Batch(
            positions, x.contiguous(memory_format=self.memory_format), self.targets[rows], self.parameters[rows]
        )

    def iterate(self, order: np.ndarray, *, batch_size: int) -> Iterator[Batch]:
        """Yield batches of `batch_size` samples in the given order; the last one may be smaller."""
        for start in range(0, len(order), batch_size):
            yield self.take(order[start : start + batch_size])

    def _tensor(self, x: np.ndarray) -> Tensor:
        values = np.ascontiguousarray(x, dtype=np.float32)
        return torch.from_numpy(values).contiguous(memory_format=self.memory_format)


def _memory_format(ndim: int, *, channels_last: bool) -> torch.memory_format:
    formats = {2: torch.channels_last, 3: torch.channels_last_3d}
    return formats.get(ndim, torch.contiguous_format) if channels_last else torch.contiguous_format
