"""Batches that processes read ahead are those that are read here, in the same order."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch

from ram.data.batches import Batches
from ram.data.dataset import open_dataset
from ram.data.loading import choose_loading
from ram.data.workers import reading_ahead


def batches_of(folder: Path, part: str, loading: str) -> Batches:
    data = open_dataset(folder / "discs.h5").subset(part)
    chosen = choose_loading([data], loading=loading, budget_bytes=2**20)
    return Batches(data, targets=data.target_array(["umbrella"]), loading=chosen, channels_last=True)


def assert_equal(batches: Batches, order: np.ndarray, *, expected: list[torch.Tensor]) -> None:
    found = list(batches.iterate(order, batch_size=4))
    assert len(found) == len(expected)
    for batch, x in zip(found, expected, strict=True):
        assert torch.equal(batch.x, x)
        assert batch.x.stride() == x.stride()
    np.testing.assert_array_equal(np.concatenate([order[:0], *(batch.positions for batch in found)]), order)


def processes() -> set[BaseProcess]:
    """Children of this one; other tests may have left some that joblib keeps for later."""
    return set(multiprocessing.active_children())


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_processes_give_the_same_batches_and_are_gone_afterwards(disc_folder: Path, start: str) -> None:
    train, validation = (batches_of(disc_folder, part, "mapped") for part in ("train", "validation"))
    order = train.order(seed=1, epoch=1)
    expected = [batch.x.clone() for batch in train.iterate(order, batch_size=4)]
    held = [batch.x.clone() for batch in validation.iterate(np.arange(len(validation)), batch_size=4)]
    state = torch.get_rng_state()
    before = processes()
    with reading_ahead((train, validation), count=2, start=start):
        assert_equal(train, order, expected=expected)
        workers = processes() - before
        assert len(workers) == 2
        for worker in workers:  # what Ctrl-C sends to a whole group ends none of them
            os.kill(worker.pid or 0, signal.SIGINT)
            os.kill(worker.pid or 0, signal.SIGTERM)
        assert_equal(validation, np.arange(len(validation)), expected=held)
        assert_equal(train, order[:0], expected=[])
        left = train.iterate(order, batch_size=4)
        next(left)  # an epoch that is broken off
        assert_equal(train, order, expected=expected)
        assert processes() - before == workers
    assert processes() <= before
    assert torch.equal(torch.get_rng_state(), state)
    assert_equal(train, order, expected=expected)


def test_inputs_in_memory_need_no_processes(disc_folder: Path) -> None:
    train = batches_of(disc_folder, "train", "memory")
    before = processes()
    with reading_ahead((train,), count=2, start="spawn"):
        assert len(list(train.iterate(np.arange(len(train)), batch_size=4))) == 5
        assert processes() <= before
