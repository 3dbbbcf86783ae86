"""Reading the inputs of a data file: any rows, in the numbers that are stored, verified when first touched."""

from __future__ import annotations

__all__ = ["ChunkedInputs", "Inputs", "MappedInputs"]

import mmap
import threading
import zlib
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xxhash
from numpy.typing import NDArray

from ram.data.head import Head, damaged
from ram.data.stored import GZIP, ZSTD, stored_inputs
from ram.errors import DataError, explained
from ram.storage import hdf5

Array = NDArray[Any]
Rows = NDArray[np.int64]
_KEPT_BYTES = 2**28


class Inputs(ABC):
    """The stored numbers of all samples; a row is verified against its digest when it is first touched.

    Threads may read side by side.

    Attributes
    ----------
    kept_bytes
        How much of the file stays in memory between calls, about.
    """

    def __init__(self, path: Path, head: Head) -> None:
        self.path = path
        self.shape = (head.count, len(head.channels), *head.space)
        self.dtype = head.packing.stored
        self.kept_bytes = _KEPT_BYTES
        self._digests = head.digests["inputs"]
        self._verified: NDArray[np.bool_] = np.zeros(head.count, dtype=np.bool_)

    @property
    def row_bytes(self) -> int:
        """Bytes of one sample as it is stored."""
        return self.dtype.itemsize * int(np.prod(self.shape[1:]))

    @abstractmethod
    def take(self, rows: Rows, out: Array) -> None:
        """Write the stored numbers of `rows` into `out`, shape (row, channel, *space).

        Raises
        ------
        DataError
            A row is not what was written, or the file is cut short.
        """

    def verify(self, rows: Rows, content: memoryview, *, first: int = 0) -> None:
        """Hold rows that were not touched before against their digests; `content` begins with row `first`."""
        new = rows[~self._verified[rows]]
        size, digest = self.row_bytes, xxhash.xxh3_64_intdigest
        for row, wanted in zip(new.tolist(), self._digests[new].tolist(), strict=True):
            begin = (row - first) * size
            if digest(content[begin : begin + size]) != wanted:
                raise damaged(self.path, f"inputs row {row}")
        self._verified[new] = True


class MappedInputs(Inputs):
    """Inputs in one piece, mapped into memory: the pages that are touched are read, and given back after a while."""

    def __init__(self, path: Path, head: Head) -> None:
        super().__init__(path, head)
        self._end = head.inputs_begin + self.row_bytes * head.count
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._check_whole()
        flat = np.frombuffer(self._map, self.dtype, count=int(np.prod(self.shape)), offset=head.inputs_begin)
        self._memory: Array = flat.reshape(self.shape)
        self._content = memoryview(self._map)[head.inputs_begin : self._end]
        self._touched = 0

    def take(self, rows: Rows, out: Array) -> None:
        """Write the stored numbers of `rows` into `out`."""
        self._check_whole()
        self.verify(rows, self._content)
        first, end = (int(rows[0]), int(rows[0]) + rows.size) if rows.size else (0, 0)
        if np.array_equal(rows, np.arange(first, end)):
            np.copyto(out, self._memory[first:end])
        else:
            np.take(self._memory, rows, axis=0, out=out, mode="clip")  # rows are in bounds; "raise" copies twice
        self._give_back(rows.size)

    def _check_whole(self) -> None:
        """Refuse a file that was cut short: touching a page beyond its end would kill the interpreter."""
        if self._map.size() < self._end:
            raise DataError(
                explained(
                    where=f"{self.path}:/inputs",
                    what="the file",
                    allowed=f"at least {self._end:,} bytes long",
                    got=f"{self._map.size():,} bytes",
                    next_step="It was cut short while it was open; make it again",
                )
            )

    def _give_back(self, rows: int) -> None:
        """Drop pages from this process when many were touched; they stay in the system's cache of the file."""
        self._touched += rows * max(self.row_bytes, mmap.PAGESIZE)
        if self._touched > self.kept_bytes and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
            self._touched = 0


class ChunkedInputs(Inputs):
    """Inputs in chunks of some rows, compressed or not; those used last are kept as they were decoded."""

    def __init__(self, path: Path, head: Head, file: h5py.File) -> None:
        super().__init__(path, head)
        self._array, self._rows = file["inputs"], head.block_rows
        self._filters = stored_inputs(file, path).filters
        self._kept: OrderedDict[int, Array] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, rows: Rows, out: Array) -> None:
        """Write the stored numbers of `rows` into `out`, block by block."""
        with self._lock:
            for block, places in self._by_block(rows):
                values = self._block(block)
                out[places] = values[rows[places] - block * self._rows]

    def _by_block(self, rows: Rows) -> Iterator[tuple[int, Rows]]:
        """Yield blocks with the places in `rows` that lie in them; those in memory first, before they are let go."""
        blocks = rows // self._rows
        order = np.argsort(blocks, kind="stable")
        found, begins = np.unique(blocks[order], return_index=True)
        parts = dict(zip(found.tolist(), np.split(order, begins[1:]), strict=False))  # [] splits into [[]]
        for block in sorted(parts, key=lambda one: (one not in self._kept, one)):
            yield block, parts[block]

    def _block(self, block: int) -> Array:
        """Return the rows of a block, from memory or decoded and verified."""
        if block in self._kept:
            self._kept.move_to_end(block)
            return self._kept[block]
        first, end = block * self._rows, min((block + 1) * self._rows, self.shape[0])
        most = max(1, self.kept_bytes // (self._rows * self.row_bytes))
        spare = None
        while len(self._kept) >= most:
            _, spare = self._kept.popitem(last=False)
        values = self._decoded(block, spare)
        self.verify(np.arange(first, end), values.data.cast("B"), first=first)
        self._kept[block] = values
        return values

    def _decoded(self, block: int, spare: Array | None) -> Array:
        first, shape = block * self._rows, (self._rows, *self.shape[1:])
        values = np.empty(shape, self.dtype) if spare is None else spare
        where = f"/inputs rows {first} to {min(first + self._rows, self.shape[0]) - 1}"
        with hdf5.reading(self.path, where):
            if GZIP in self._filters:
                _inflate(self._chunk(first), values)
            else:
                if ZSTD in self._filters:
                    _check_zstd(self._chunk(first), values.nbytes)
                rows = min(self._rows, self.shape[0] - first)
                self._array.read_direct(values, np.s_[first : first + rows], np.s_[:rows])
        return values

    def _chunk(self, first: int) -> bytes:
        """Return a chunk as it lies in the file."""
        place = (first, *[0] * (len(self.shape) - 1))
        mask, content = self._array.id.read_direct_chunk(place)
        if mask:
            raise ValueError("a chunk that some filter left out")
        return bytes(content)


def _inflate(content: bytes, out: Array) -> None:
    """Undo deflate and shuffle; a stream that would be longer than a chunk is not unpacked further."""
    unpacked = zlib.decompressobj().decompress(content, out.nbytes + 1)
    if len(unpacked) != out.nbytes:
        raise ValueError(f"a chunk of another length than {out.nbytes:,} bytes")
    planes = np.frombuffer(unpacked, np.uint8).reshape(out.dtype.itemsize, -1)
    out.reshape(-1).view(np.uint8).reshape(-1, out.dtype.itemsize)[...] = planes.T


def _check_zstd(content: bytes, size: int) -> None:
    """Refuse a frame that says another length than that of a chunk: the filter would ask for as much memory.

    Source: RFC 8878, section 3.1.1.1.
    """
    if content[:4] != b"\x28\xb5\x2f\xfd" or len(content) < 14:
        raise ValueError("a chunk that is no zstd frame")
    descriptor = content[4]
    width = (0, 2, 4, 8)[descriptor >> 6] or (1 if descriptor & 0x20 else 0)
    begin = 5 + (0 if descriptor & 0x20 else 1) + (0, 1, 2, 4)[descriptor & 3]
    said = int.from_bytes(content[begin : begin + width], "little") + (256 if width == 2 else 0)
    if width == 0 or said != size:
        raise ValueError(f"a chunk of {said:,} bytes, another length than {size:,}")
