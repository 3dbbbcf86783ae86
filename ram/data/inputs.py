"""Reading the inputs of a data file: any rows, in the numbers that are stored, verified when first touched."""

from __future__ import annotations

__all__ = ["ChunkedInputs", "Inputs", "MappedInputs"]

import mmap
import os
import threading
import weakref
import zlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xxhash
from numpy.typing import NDArray

from ram.data.head import Head, damaged
from ram.data.stored import GZIP, ZSTD, Layout, stored_inputs
from ram.errors import DataError, explained
from ram.storage import hdf5

Array = NDArray[Any]
Rows = NDArray[np.int64]
_KEPT_BYTES = 2**27
_READS_AT = hasattr(os, "preadv")  # not on Windows


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

    def verify(self, rows: Rows, content: memoryview, places: Rows) -> None:
        """Hold rows that were not touched before against their digests; ``places[i]`` is where in `content` one is."""
        new = np.flatnonzero(~self._verified[rows])
        size, digest = self.row_bytes, xxhash.xxh3_64_intdigest
        for place, row in zip(places[new].tolist(), rows[new].tolist(), strict=True):
            if digest(content[place * size : (place + 1) * size]) != self._digests[row]:
                raise damaged(self.path, f"inputs row {row}")
        self._verified[rows[new]] = True


class MappedInputs(Inputs):
    """Inputs that are not compressed: mapped into memory as far as they may stay there, read row by row beyond.

    Linux maps up to 2 MiB around each page that is touched: rows in any order would fill the memory with the whole
    file, and letting go of pages costs more than reading does. So the first rows of the file alone are mapped.

    Parameters
    ----------
    layout
        Where in the file they are.
    """

    def __init__(self, path: Path, head: Head, layout: Layout) -> None:
        super().__init__(path, head)
        self._layout = layout
        self._file = path.open("rb", buffering=0)
        weakref.finalize(self, self._file.close)
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self._advised = hasattr(os, "posix_fadvise") and layout.end > _most_cached()
        self._check_whole()

    def take(self, rows: Rows, out: Array) -> None:
        """Write the stored numbers of `rows` into `out`."""
        self._check_whole()
        values = out if out.flags.c_contiguous else np.empty(out.shape, dtype=self.dtype)
        if self._layout.whole and self.row_bytes * self.shape[0] <= self.kept_bytes:
            self._take_mapped(rows, values)
        else:
            self._read(rows, values)
        if values is not out:
            out[...] = values

    def _take_mapped(self, rows: Rows, out: Array) -> None:
        if not self._verified[rows].all():
            self._read(rows, out)
            return
        begin, end = int(self._layout.begins[0]), self._layout.end
        memory = np.frombuffer(self._map, np.uint8)[begin:end].view(self.dtype).reshape(self.shape)
        np.take(memory, rows, axis=0, out=out, mode="clip")  # in bounds; "raise" copies twice

    def _read(self, rows: Rows, out: Array) -> None:
        size, digest, wanted = self.row_bytes, xxhash.xxh3_64_intdigest, self._digests[rows].tolist()
        content, memory = out.reshape(-1).view(np.uint8).data, memoryview(self._map)
        offsets, new = self._layout.offsets(rows), (~self._verified[rows]).tolist()
        near = offsets + size <= (self._layout.begin + self.kept_bytes if _READS_AT else self._layout.end)
        self._announce(offsets[~near])
        file = self._file.fileno()
        # A row costs microseconds: what can be done for all of them at once is, and one that is new is verified while
        # the processor has it at hand.
        places = zip(range(0, size * rows.size, size), offsets.tolist(), near.tolist(), new, wanted, strict=True)
        for begin, offset, is_near, is_new, value in places:
            row = content[begin : begin + size]
            if is_near:
                row[:] = memory[offset : offset + size]
            elif os.preadv(file, (row,), offset) != size:
                self._check_whole()
                row[:] = memory[offset : offset + size]
            if is_new and digest(row) != value:
                raise damaged(self.path, f"inputs row {rows[begin // size]}")
        self._verified[rows] = True

    def _announce(self, offsets: NDArray[np.int64]) -> None:
        """Have the disk fetch rows side by side, where the system cannot have the file in memory."""
        if self._advised:
            for offset in offsets.tolist():
                os.posix_fadvise(self._file.fileno(), offset, self.row_bytes, os.POSIX_FADV_WILLNEED)

    def _check_whole(self) -> None:
        """Refuse a file that was cut short: touching a page beyond its end would kill the interpreter."""
        if self._map.size() < self._layout.end:
            raise DataError(
                explained(
                    where=f"{self.path}:/inputs",
                    what="the file",
                    allowed=f"at least {self._layout.end:,} bytes long",
                    got=f"{self._map.size():,} bytes",
                    next_step="It was cut short while it was open; make it again",
                )
            )


class ChunkedInputs(Inputs):
    """Inputs in chunks of some rows, compressed or not; those used last are kept as they were decoded."""

    def __init__(self, path: Path, head: Head, file: h5py.File) -> None:
        super().__init__(path, head)
        self._array, self._rows = file["inputs"], head.block_rows
        self._filters = stored_inputs(file, path).filters
        if ZSTD in self._filters:
            import hdf5plugin  # noqa: F401 - makes the filter known to the library
        self._slot_of = np.full(-(-head.count // head.block_rows), -1)
        self._kept: Array = np.empty((0, self._rows, *self.shape[1:]), dtype=self.dtype)
        self._holds = self._last_used = np.zeros(0, dtype=np.int64)
        self._clock = 0
        self._lock = threading.Lock()

    def take(self, rows: Rows, out: Array) -> None:
        """Write the stored numbers of `rows` into `out`, block by block where they are more than are kept."""
        with self._lock:
            self._make_room()
            blocks = rows // self._rows
            needed, most = np.unique(blocks), len(self._kept)
            # Blocks in memory first, before others take their place.
            needed = needed[np.argsort(self._slot_of[needed] < 0, kind="stable")]
            for begin in range(0, needed.size, most):
                some = needed[begin : begin + most]
                self._load(some)
                places = ... if needed.size <= most else np.flatnonzero(np.isin(blocks, some))
                self._gather(rows[places], out, places)

    def _gather(self, rows: Rows, out: Array, places: Any) -> None:
        """Write rows of blocks in memory to their places in `out`."""
        kept = self._kept.reshape(-1, *self.shape[1:])
        stand = self._slot_of[rows // self._rows] * self._rows + rows % self._rows
        if places is ...:
            np.take(kept, stand, axis=0, out=out, mode="clip")  # rows are in bounds; "raise" copies twice
        else:
            out[places] = kept[stand]

    def _make_room(self) -> None:
        """Let go of all blocks where more or fewer of them are to be kept than before."""
        slots = min(self._slot_of.size, max(1, self.kept_bytes // (self._rows * self.row_bytes)))
        if slots != len(self._kept):
            self._slot_of[:] = -1
            self._kept = np.empty((slots, self._rows, *self.shape[1:]), dtype=self.dtype)
            self._holds, self._last_used = np.full(slots, -1), np.zeros(slots, dtype=np.int64)

    def _load(self, blocks: Rows) -> None:
        """Bring blocks into memory, verified, in the place of those that were not used for longest."""
        self._clock += 1
        there = self._slot_of[blocks]
        self._last_used[there[there >= 0]] = self._clock
        missing = blocks[there < 0]
        for block, slot in zip(missing.tolist(), np.argsort(self._last_used, kind="stable").tolist(), strict=False):
            if self._holds[slot] >= 0:
                self._slot_of[self._holds[slot]] = self._holds[slot] = -1
            self._decode(block, self._kept[slot])
            self._holds[slot], self._slot_of[block], self._last_used[slot] = block, slot, self._clock

    def _decode(self, block: int, values: Array) -> None:
        """Read a block into `values` and verify it."""
        first = block * self._rows
        end = min(first + self._rows, self.shape[0])
        with hdf5.reading(self.path, f"/inputs rows {first} to {end - 1}"):
            if GZIP in self._filters:
                _inflate(self._chunk(first), values)
            else:
                if ZSTD in self._filters:
                    _check_zstd(self._chunk(first), values.nbytes)
                self._array.read_direct(values, np.s_[first:end], np.s_[: end - first])
        self.verify(np.arange(first, end), values.data.cast("B"), np.arange(end - first))

    def _chunk(self, first: int) -> bytes:
        """Return a chunk as it lies in the file."""
        place = (first, *[0] * (len(self.shape) - 1))
        mask, content = self._array.id.read_direct_chunk(place)
        if mask:
            raise ValueError("a chunk that some filter left out")
        return content  # type: ignore[no-any-return]  # h5py has no types


def _most_cached() -> int:
    """Return how much of a file the system can keep in memory, at most."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**63


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
