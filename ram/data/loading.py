"""How inputs reach the net: kept in memory, mapped, or in shuffled blocks; and in which order.

Order is a function of the seed, the epoch and how the file is stored, never of what is in memory: the same run is the
same on a machine with less of it.
"""

from __future__ import annotations

__all__ = ["BATCHES_IN_MEMORY", "KINDS", "Loading", "choose_loading", "shuffled"]

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from ram.data.dataset import Dataset
from ram.data.sizes import readable_size
from ram.errors import DataError, explained
from ram.randomness import generator

KINDS = ("auto", "memory", "mapped", "blocks")
"""What a config may ask for."""

BATCHES_IN_MEMORY = 4
"""One that the net learns from, two that wait, one that is being prepared."""

_MIXED_BYTES = 2**26
_BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class Loading:
    """How the samples of one file are read.

    Attributes
    ----------
    kind
        ``"memory"``: all inputs are read once and kept; ``"mapped"``: read when asked for, any sample at the same
        cost; ``"blocks"``: samples that are stored together are read together.
    budget_bytes
        What inputs may take in memory.
    input_bytes
        What all of them would take.
    block_rows
        Samples that are shuffled as one block before they are mixed with those of other blocks; 0: each by itself.
    blocks_mixed
        How many blocks are mixed with each other at any time.
    """

    kind: str
    budget_bytes: int
    input_bytes: int
    block_rows: int = 0
    blocks_mixed: int = 1

    def __str__(self) -> str:
        """Return one line for the user."""
        size, budget = readable_size(self.input_bytes), readable_size(self.budget_bytes)
        how = {
            "memory": f"kept in memory, {size} of a budget of {budget}",
            "mapped": f"mapped, {size} over a budget of {budget}; each sample is read when it is needed",
            "blocks": f"read in blocks, {size} over a budget of {budget}",
        }[self.kind]
        mixed = f"; shuffled in blocks of {self.block_rows} samples, {self.blocks_mixed:,} of them mixed at a time"
        again = "; each block is read several times, for the budget does not hold those that are mixed"
        return f"inputs: {how}{mixed if self.block_rows else ''}{again if self._short else ''}"

    def kept_bytes(self, batch_bytes: int) -> int:
        """Return what of the file is to stay in memory beside some batches of `batch_bytes`."""
        return max(0, self.budget_bytes - BATCHES_IN_MEMORY * batch_bytes)

    @property
    def _short(self) -> bool:
        """Whether the budget is smaller than what is kept of the blocks that are mixed."""
        return self.kind == "blocks" and 2 * self.budget_bytes < 3 * min(_MIXED_BYTES, self.input_bytes)


def choose_loading(parts: Sequence[Dataset], *, loading: str = "auto", budget_bytes: int) -> Loading:
    """Return how the inputs of some parts of one file are best read.

    In memory where all of them fit the budget; else mapped where each sample can be read by itself; else in blocks.

    Parameters
    ----------
    parts
        Views of one file, such as its training and validation parts; they share the budget.
    loading
        One of `KINDS`; ``"auto"`` chooses.

    Raises
    ------
    DataError
        A file in chunks cannot be mapped.
    """
    first = parts[0]
    if loading == "mapped" and first.block_rows:
        raise DataError(
            explained(
                where=str(first.path),
                what="loading",
                allowed="auto, memory or blocks for a file that is stored in chunks",
                got="'mapped'",
                next_step="Leave data.loading out: it is chosen by itself",
            )
        )
    row_bytes = 4 * len(first.channels) * int(np.prod([axis.size for axis in first.axes], dtype=np.int64))
    size = row_bytes * sum(len(part) for part in parts)
    stored_together = first.block_rows
    kind = loading
    if kind == "auto":
        kind = "memory" if size <= budget_bytes else "blocks" if stored_together else "mapped"
    together = stored_together or (max(1, _BLOCK_BYTES // row_bytes) if loading == "blocks" else 0)
    mixed = max(2, _MIXED_BYTES // (row_bytes * together)) if together else 1
    return Loading(kind, budget_bytes, size, together, mixed)


def shuffled(data: Dataset, loading: Loading, *, seed: int, epoch: int) -> Int64[np.ndarray, " sample"]:
    """Return the positions of all samples in the order of an epoch.

    Where samples are stored in blocks, the blocks are shuffled and each sample is moved back at random by up to
    `Loading.blocks_mixed` blocks: so many are mixed at any time, and each is read once in an epoch.
    """
    draw = generator(seed, "order", epoch)
    if not loading.block_rows:
        return draw.permutation(len(data))
    _, block = np.unique(data.indices // loading.block_rows, return_inverse=True)
    count = int(block.max()) + 1 if block.size else 0
    if count <= loading.blocks_mixed:
        return draw.permutation(len(data))
    # Fixed point, 32 bits behind the point: 10 million samples need 80 MB for it.
    place = draw.permutation(count).astype(np.uint64)[block] << np.uint64(32)
    place += draw.integers(2**32, size=len(data), dtype=np.uint64) * np.uint64(loading.blocks_mixed)
    return np.argsort(place, kind="stable")
