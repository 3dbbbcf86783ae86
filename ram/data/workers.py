"""Processes that read batches ahead: the same batches in the same order as without them."""

from __future__ import annotations

__all__ = ["reading_ahead"]

import contextlib
import multiprocessing.resource_tracker
import signal
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from ram.data.batches import Batch, Batches

Task = tuple[int, np.ndarray]
_KEPT_FROM_WORKERS = ("SIGINT", "SIGTERM", "SIGUSR1")


@contextlib.contextmanager
def reading_ahead(sources: Sequence[Batches], *, count: int, start: str) -> Iterator[None]:
    """Have the batches of `sources` read by `count` processes while the body runs; by a thread where it is 0.

    Batches whose inputs are kept in memory are not sent through processes. Each process opens the file for itself.

    Parameters
    ----------
    start
        How processes are started: ``"spawn"`` or ``"fork"``.
    """
    reading = [batches for batches in sources if batches.loading.kind != "memory"]
    if not (count and reading):
        yield
        return
    workers = _Workers(reading, count=count, start=start)
    try:
        for number, batches in enumerate(reading):
            batches.read_ahead = partial(workers.read, number)
        yield
    finally:
        for batches in reading:
            batches.read_ahead = None
        workers.close()


class _Workers:
    """The processes, started when they are first needed; they serve all sources one after the other."""

    def __init__(self, sources: Sequence[Batches], *, count: int, start: str) -> None:
        self._tasks: list[Task] = []
        self._loader: DataLoader[Batch] | None = DataLoader(
            _Reader(sources, processes=count),
            batch_size=None,
            sampler=self._tasks,
            num_workers=count,
            multiprocessing_context=start,
            persistent_workers=True,
            collate_fn=_as_it_is,
            generator=torch.Generator(),  # the global one is left alone
        )
        self._batches: Iterator[Batch] | None = None

    def read(self, number: int, pieces: Sequence[np.ndarray]) -> Iterator[Batch]:
        """Yield the batch of each piece of the source with that number."""
        if self._loader is None or not pieces:
            return
        self._tasks[:] = [(number, piece) for piece in pieces]
        with _without_signals():
            self._batches = iter(self._loader)
        while self._batches is not None:  # nobody else refers to it, so that `close` ends the processes
            batch = next(self._batches, None)
            if batch is None:
                return
            yield batch

    def close(self) -> None:
        """End the processes."""
        self._batches = self._loader = None


class _Reader(TorchDataset[Batch]):
    """What a process reads from: its own copy of the sources, without their caches and handles."""

    def __init__(self, sources: Sequence[Batches], *, processes: int) -> None:
        self._sources, self._processes = sources, processes

    def __getitem__(self, task: Task) -> Batch:
        number, positions = task
        source = self._sources[number]
        kept = source.loading.kept_bytes(len(positions) * source.row_bytes)
        source.data.keep(kept // self._processes)
        return source.read(positions)


def _as_it_is(batch: Any) -> Any:
    return batch


@contextlib.contextmanager
def _without_signals() -> Iterator[None]:
    """Start processes that no Ctrl-C and no signal to the whole group ends: whoever started them ends them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    tracker: Any = multiprocessing.resource_tracker
    tracker.ensure_running()  # its start would let the signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [getattr(signal, name) for name in _KEPT_FROM_WORKERS])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
