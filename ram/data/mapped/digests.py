"""Whether a file is still the one it was: digests of blocks of the inputs, from one pass over them."""

from __future__ import annotations

__all__ = ["Blocks", "Digests", "Verified", "digest_inputs", "same_beginning"]

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash
from jaxtyping import Int64, UInt64
from rich.progress import Progress

from ram.data.head import damaged
from ram.data.mapped.inputs import Inputs
from ram.data.mapped.recorded import Recorded

_BLOCK_BYTES = 4 * 2**20


@dataclass(frozen=True, eq=False)
class Blocks:
    """How records are parted into blocks: some records, or some cells of one, so that each is read in one piece.

    Attributes
    ----------
    records, cells
        Of one block.
    before
        Shape (blocks of records + 1,): the number of blocks before the first one of each.
    """

    records: int
    cells: int
    lengths: Int64[np.ndarray, " record"]
    before: Int64[np.ndarray, " place"]

    @classmethod
    def of(cls, recorded: Recorded) -> Blocks:
        """Return blocks of about 4 MiB that cut no chunk of the file."""
        shape, chunks = recorded.arrays[0].shape, recorded.arrays[0].chunks
        lengths = recorded.lengths()
        longest = int(lengths.max())
        itemsize = recorded.arrays[0].array.dtype.itemsize
        cell_bytes = itemsize * int(np.prod(shape[1:])) // shape[recorded.along]
        cells = _grown(chunks[recorded.along], longest, cell_bytes * (chunks[0] if recorded.stacked else 1))
        records = _grown(chunks[0], recorded.count, cell_bytes * cells) if recorded.stacked and cells >= longest else 1
        records = max(records, chunks[0]) if recorded.stacked else 1
        of_each = -(-lengths[::records] // cells)
        return cls(records, cells, lengths, np.concatenate([[0], np.cumsum(of_each)]))

    @property
    def count(self) -> int:
        """Number of blocks."""
        return int(self.before[-1])

    def touching(self, record: int, begin: int, end: int) -> range:
        """Return the numbers of the blocks that hold cells `begin` to `end` of a record."""
        first = int(self.before[record // self.records])
        return range(first + begin // self.cells, first + (end - 1) // self.cells + 1)

    def read(self, recorded: Recorded, number: int) -> int:
        """Return the digest of one block as it is in the file now."""
        row = int(np.searchsorted(self.before, number, side="right")) - 1
        begin = (number - int(self.before[row])) * self.cells
        first, end = row * self.records, min((row + 1) * self.records, self.lengths.size)
        values = recorded.read(first, end, slice(begin, min(begin + self.cells, int(self.lengths[first]))))
        return xxhash.xxh3_64_intdigest(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)


@dataclass(frozen=True, eq=False)
class Digests:
    """Digests of all blocks of each part of the inputs, and one of everything."""

    whole: str
    blocks: tuple[UInt64[np.ndarray, " block"], ...]


class Verified:
    """Which blocks this process has found to be as they were."""

    def __init__(self, inputs: Inputs, digests: Digests | None) -> None:
        self._parts = [(part, Blocks.of(part.recorded)) for part in inputs.parts]
        self._digests = digests
        self._done = [np.zeros(blocks.count, dtype=np.bool_) for _, blocks in self._parts]

    def check(
        self, path: Path, records: Int64[np.ndarray, " row"], begins: Int64[np.ndarray, " row"], length: int
    ) -> None:
        """Verify what was not yet read of some windows.

        Raises
        ------
        DataError
            A block is not what it was; the message names its records and cells.
        """
        if self._digests is None:
            return
        for (part, blocks), digests, done in zip(self._parts, self._digests.blocks, self._done, strict=True):
            ends = np.minimum(begins + length, blocks.lengths[records])
            for record, begin, end in zip(records.tolist(), begins.tolist(), ends.tolist(), strict=True):
                for number in blocks.touching(record, begin, end):
                    if not done[number] and blocks.read(part.recorded, number) != digests[number]:
                        raise damaged(path, f"{part.text.lstrip('/')} record {record}")
                    done[number] = True


def digest_inputs(inputs: Inputs, beginning: bytes, *, path: Path) -> Digests:
    """Return the digests of all blocks in one pass, and one that stands for them and for `beginning`."""
    kept = []
    parts = [(part.recorded, Blocks.of(part.recorded)) for part in inputs.parts]
    with Progress(disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task(f"digest of {path.name}", total=sum(blocks.count for _, blocks in parts))
        for recorded, blocks in parts:
            digests = np.empty(blocks.count, dtype=np.uint64)
            for number in range(blocks.count):
                digests[number] = blocks.read(recorded, number)
                progress.advance(task)
            kept.append(digests)
    return Digests(_whole(beginning, kept), tuple(kept))


def same_beginning(digests: Digests, beginning: bytes) -> bool:
    """Whether everything but the inputs themselves is what it was when the digests were computed."""
    return digests.whole == _whole(beginning, digests.blocks)


def _whole(beginning: bytes, blocks: Sequence[UInt64[np.ndarray, " block"]]) -> str:
    total = xxhash.xxh3_128(beginning)
    for digests in blocks:
        total.update(digests.tobytes())
    return total.hexdigest()


def _grown(chunk: int, size: int, cell_bytes: int) -> int:
    """Return a multiple of a chunk that makes a block of about 4 MiB, `size` at most."""
    return min(size, max(1, _BLOCK_BYTES // max(1, cell_bytes * chunk)) * chunk)
