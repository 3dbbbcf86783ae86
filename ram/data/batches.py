"""Batches of samples as tensors, prepared ahead while the net learns from the one before."""

from __future__ import annotations

__all__ = ["Batch", "Batches"]

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ram.data.buffers import Buffers
from ram.data.dataset import Dataset
from ram.data.loading import BATCHES_IN_MEMORY, Loading, choose_loading, shuffled

_BUDGET_BYTES = 4 * 2**30
_AHEAD = BATCHES_IN_MEMORY - 2
_STREAM_BYTES = 2**23


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
    weights
        Shape (batch,), float64, mean 1 over the data set; None where all samples count alike.
    lengths
        Shape (batch,): cells of each sample along the last axis, the rest is padding; None where nobody asks.
    """

    positions: np.ndarray
    x: Tensor
    targets: Tensor
    parameters: Tensor
    weights: Tensor | None = None
    lengths: Tensor | None = None

    def pinned(self) -> Batch:
        """Return the batch in memory that a GPU reads by itself, while the processor goes on."""
        weights, lengths = (None if one is None else one.pin_memory() for one in (self.weights, self.lengths))
        x, targets, parameters = (part.pin_memory() for part in (self.x, self.targets, self.parameters))
        return Batch(self.positions, x, targets, parameters, weights, lengths)


class Batches:
    """The samples of `data` as tensors.

    Parameters
    ----------
    targets
        Shape (sample, target): what is regressed, in the unit that the net answers in.
    parameters
        Names of design parameters that travel with the inputs.
    loading
        How inputs are read; None: chosen for `data` alone, with a budget of 4 GiB.
    channels_last
        Memory layout of inputs with two or three space axes.
    pinned
        Whether batches are put into memory that a GPU reads by itself.
    padded
        Whether batches say how long their samples are.

    Attributes
    ----------
    read_ahead
        Reads the batches of several lists of positions in place of a thread, in order; see `ram.data.workers`.
    """

    def __init__(
        self,
        data: Dataset,
        *,
        targets: np.ndarray,
        parameters: Sequence[str] = (),
        loading: Loading | None = None,
        channels_last: bool = False,
        pinned: bool = False,
        padded: bool = False,
    ) -> None:
        self.data = data
        self.lengths = torch.from_numpy(data.lengths) if padded else None
        self.targets = torch.from_numpy(np.asarray(targets, dtype=np.float64))
        self.parameters = torch.from_numpy(data.parameter_array(list(parameters)))
        self.weights = _weights(data)
        self.loading = loading or choose_loading([data], budget_bytes=_BUDGET_BYTES)
        self.memory_format = _memory_format(len(data.axes), channels_last=channels_last)
        self._pinned = pinned
        self._shape = (len(data.channels), *(axis.size for axis in data.axes))
        # Tensors of one channel are laid out both ways at once: nothing is to be moved.
        self._moved = not torch.empty(2, *self._shape).is_contiguous(memory_format=self.memory_format)
        self.read_ahead: Callable[[Sequence[np.ndarray]], Iterator[Batch]] | None = None
        self._buffers = Buffers()
        self._kept: np.ndarray | None = self._read_all() if self.loading.kind == "memory" else None

    def __len__(self) -> int:
        return len(self.data)

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs: neither inputs in memory nor who reads them here."""
        # torch's memory formats travel by the name of any module that has imported torch, which may not be there.
        last = self.memory_format != torch.contiguous_format
        return {**self.__dict__, "_buffers": None, "_kept": None, "read_ahead": None, "memory_format": last}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what `__getstate__` gave."""
        self.__dict__.update(state)
        self.memory_format = _memory_format(len(self.data.axes), channels_last=state["memory_format"])
        self._buffers = Buffers()

    @property
    def row_bytes(self) -> int:
        """Bytes of one input."""
        return 4 * int(np.prod(self._shape))

    def order(self, *, seed: int, epoch: int) -> np.ndarray:
        """Return the positions of all samples, shuffled: a function of seed, epoch and how the file is stored."""
        return shuffled(self.data, self.loading, seed=seed, epoch=epoch)

    def take(self, positions: np.ndarray) -> Batch:
        """Return the samples at `positions`; its tensors are its own."""
        batch = self.read(positions)
        return batch.pinned() if self._pinned else batch

    def read(self, positions: np.ndarray) -> Batch:
        """Return the samples at `positions`, in ordinary memory."""
        rows = torch.from_numpy(np.asarray(positions, dtype=np.int64))
        x = self._inputs(positions)
        weights, lengths = (None if one is None else one[rows] for one in (self.weights, self.lengths))
        return Batch(positions, x, self.targets[rows], self.parameters[rows], weights, lengths)

    def iterate(self, order: np.ndarray, *, batch_size: int) -> Iterator[Batch]:
        """Yield batches of `batch_size` samples in the given order; the last one may be smaller.

        Batches that are read from a file, or go to a GPU, are prepared by a thread, or by the processes of
        `ram.data.workers`, while the one before is used.
        """
        self.data.keep(self.loading.kept_bytes(batch_size * self.row_bytes))
        pieces = (order[start : start + batch_size] for start in range(0, len(order), batch_size))
        if self.read_ahead is not None:
            for batch in self.read_ahead(list(pieces)):
                yield batch.pinned() if self._pinned else batch
            return
        if self._kept is not None and not self._pinned:
            yield from map(self.take, pieces)
            return
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as thread:
            waiting: deque[Future[Batch]] = deque()
            try:
                for piece in pieces:
                    waiting.append(thread.submit(self.take, piece))
                    if len(waiting) > _AHEAD:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def stream(self) -> Iterator[Batch]:
        """Yield all samples in the order of the data set, in batches of modest size: for one pass over all inputs."""
        size = min(256, max(1, _STREAM_BYTES // self.row_bytes))
        return self.iterate(np.arange(len(self)), batch_size=size)

    def _inputs(self, positions: np.ndarray) -> Tensor:
        """Return inputs as (batch, channel, *space) in the memory format of the batches."""
        if self._kept is None:
            values = self._buffers.empty((len(positions), *self._shape))
            self.data.x(positions, out=values)
            return torch.from_numpy(values).contiguous(memory_format=self.memory_format)
        values = self._buffers.empty((len(positions), *self._kept.shape[1:]))
        np.take(self._kept, positions, axis=0, out=values, mode="clip")  # "raise" would copy twice
        return torch.from_numpy(values).movedim(-1, 1) if self._moved else torch.from_numpy(values)

    def _read_all(self) -> np.ndarray:
        """Return all inputs in the memory layout of a batch; memory holds them once."""
        channels, *space = self._shape
        kept = np.empty(
            (len(self), *space, channels) if self._moved else (len(self), channels, *space), dtype=np.float32
        )
        step = max(1, _STREAM_BYTES // self.row_bytes)
        for begin in range(0, len(self), step):
            part = kept[begin : begin + step]
            self.data[begin : begin + step].x(out=np.moveaxis(part, -1, 1) if self._moved else part)
        return kept


def _weights(data: Dataset) -> Tensor | None:
    """Return the weights with a mean of 1, so that the size of a step does not depend on their scale."""
    weights = data.weights
    if weights.size == 0 or (weights == weights[0]).all():
        return None
    return torch.from_numpy(weights / weights.mean())


def _memory_format(ndim: int, *, channels_last: bool) -> torch.memory_format:
    formats = {2: torch.channels_last, 3: torch.channels_last_3d}
    return formats.get(ndim, torch.contiguous_format) if channels_last else torch.contiguous_format
