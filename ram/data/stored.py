"""How the inputs of a data file are stored, held to what can be read safely."""

from __future__ import annotations

__all__ = ["GZIP", "SHUFFLE", "ZSTD", "Layout", "Stored", "stored_inputs", "stored_layout"]

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from ram.data.packing import DTYPES, Packing
from ram.errors import DataError, explained

SHUFFLE, GZIP, ZSTD = 2, 1, 32015
"""Numbers of filters, as in the registry of HDF5."""
_PIPELINES = ((), (SHUFFLE, GZIP), (SHUFFLE, ZSTD))
_MODEST_BYTES = 2**26
_MOST_SHRUNK = 1_000


@dataclass(frozen=True)
class Stored:
    """What the inputs are stored as.

    Attributes
    ----------
    rows
        Samples in one chunk; 0 where the inputs lie in one piece.
    filters
        Numbers of the chunks' filters, in HDF5's registry.
    """

    packing: Packing
    rows: int
    filters: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Where samples lie in a file whose inputs are not compressed.

    Attributes
    ----------
    row_bytes
        Bytes of one sample.
    begins
        Byte in the file where each chunk begins; only one where all samples lie in one piece.
    rows
        Samples in one chunk.
    end
        Byte behind the last sample.
    """

    row_bytes: int
    begins: NDArray[np.int64]
    rows: int
    end: int

    @property
    def whole(self) -> bool:
        """Whether all samples lie in one piece."""
        return self.begins.size == 1

    @property
    def begin(self) -> int:
        """Byte where the first sample in the file begins."""
        return int(self.begins.min(initial=self.end))

    def offsets(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the byte in the file where each of some rows begins."""
        return self.begins[rows // self.rows] + rows % self.rows * self.row_bytes


def stored_layout(file: h5py.File) -> Layout | None:
    """Return where the samples lie, None where they are compressed."""
    array = file["inputs"]
    count, row_bytes = int(array.shape[0]), int(np.prod(array.shape[1:], dtype=np.int64)) * array.dtype.itemsize
    if array.chunks is None:
        begin = int(array.id.get_offset())
        return Layout(row_bytes, np.array([begin]), count, begin + count * row_bytes)
    if array.id.get_create_plist().get_nfilters():
        return None
    rows, rest = int(array.chunks[0]), (0,) * (array.ndim - 1)
    begins = [array.id.get_chunk_info_by_coord((row, *rest)).byte_offset for row in range(0, count, rows)]
    in_chunk = np.minimum(rows, count - np.arange(0, count, rows))
    return Layout(row_bytes, np.array(begins), rows, int((np.array(begins) + in_chunk * row_bytes).max()))


def stored_inputs(file: h5py.File, path: Path) -> Stored:
    """Return how ``/inputs`` is stored.

    Raises
    ------
    DataError
        Another type, chunks that part a sample or that were never written, filters that are not ram's, or
        chunks that claim to be far larger than the file.
    """
    array = file["inputs"]
    words = {np.dtype(code): word for word, code in DTYPES.items()}
    if array.dtype not in words:
        raise _refused(
            path,
            f"of type {', '.join(DTYPES)}, little-endian",
            array.dtype if array.dtype.isnative else array.dtype.str,
        )
    scale, offset = (float(array.attrs.get(name, value)) for name, value in (("scale_factor", 1), ("add_offset", 0)))
    try:
        packing = Packing(words[array.dtype], scale, offset)
    except ValueError as error:
        raise DataError(f"{path}:/inputs: {error}.") from None
    if array.chunks is None:
        return Stored(packing, 0, ())
    return Stored(packing, _rows(array, path), _filters(array, path))


def _rows(array: h5py.Dataset, path: Path) -> int:
    rows = int(array.chunks[0])
    if array.chunks[1:] != array.shape[1:] or rows > array.shape[0]:
        allowed = f"in chunks of whole samples, (rows, {', '.join(map(str, array.shape[1:]))})"
        raise _refused(path, allowed, array.chunks)
    needed, there = -(-array.shape[0] // rows), array.id.get_num_chunks()
    if needed != there:
        raise _refused(path, f"written whole, {needed:,} chunks", f"{there:,}")
    claimed = int(np.prod(array.chunks)) * array.dtype.itemsize
    if claimed > max(_MODEST_BYTES, _MOST_SHRUNK * path.stat().st_size):
        raise _refused(path, "in chunks not far larger than the file", f"one of {claimed:,} bytes")
    return rows


def _filters(array: h5py.Dataset, path: Path) -> tuple[int, ...]:
    plan = array.id.get_create_plist()
    found = tuple(int(plan.get_filter(place)[0]) for place in range(plan.get_nfilters()))
    if found not in _PIPELINES:
        raise _refused(path, "plain, or shuffled and compressed by gzip or zstd", f"filters {found}")
    return found


def _refused(path: Path, allowed: str, got: object) -> DataError:
    step = "The file was not written by ram; name its arrays in [data.mapping], or import it"
    return DataError(explained(where=f"{path}:/inputs", what="the array", allowed=allowed, got=got, next_step=step))
