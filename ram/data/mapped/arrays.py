"""One array of numbers in a file: a data set, a field of a table, or one column of either."""

from __future__ import annotations

__all__ = ["Array", "check_stored", "keeping"]

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ram.errors import DataError, explained

Values = NDArray[Any]
_LARGEST_CHUNK = 2**30
_FILTERS_OWN = 1_024  # bytes that filters add to a chunk
_MODEST_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_LZF, h5py.h5z.FILTER_SZIP}
_MOST_PACKED, _MOST_PACKED_BY_OTHERS = 1_100, 50_000  # deflate reaches 1,032; zstd on zeros some 30,000


@dataclass(frozen=True, eq=False)
class Array:
    """Numbers in a data set; nothing is read before `read`.

    Attributes
    ----------
    dataset
        Stored in the file itself: neither virtual nor external.
    text
        What the user wrote, for messages.
    field
        Names that lead to a field of a compound type; empty for plain numbers.
    pick
        Which column of the last axis; None for all.
    """

    dataset: h5py.Dataset
    text: str
    field: tuple[str, ...] = ()
    pick: int | None = None

    @functools.cached_property
    def dtype(self) -> np.dtype[Any]:
        """Type of one number as it is stored."""
        return _field_type(self.dataset.dtype, self.field).base

    @functools.cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape with the inner axes of a field, without the column's."""
        shape = (*self.dataset.shape, *_field_type(self.dataset.dtype, self.field).shape)
        return shape if self.pick is None else shape[:-1]

    @property
    def is_plain(self) -> bool:
        """Whether the numbers lie in one piece in the file, as they are read."""
        return self.dataset.chunks is None and self.dataset.id.get_offset() is not None

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of a chunk along the axes of `shape`; one cell for numbers in one piece."""
        chunks = self.dataset.chunks or (1,) * self.dataset.ndim
        return (*chunks, *self.shape[self.dataset.ndim :])[: len(self.shape)]

    def read(self, selection: Sequence[slice] = ()) -> Values:
        """Return the numbers of a selection along the axes of `shape`; all of them without one."""
        chosen = (*selection, *[slice(None)] * (len(self.shape) - len(selection)))
        outer, inner = chosen[: self.dataset.ndim], chosen[self.dataset.ndim :]
        last = () if self.pick is None else (self.pick,)
        if not self.field:
            return np.asarray(self.dataset[(*outer, *last)])
        values = self.dataset[outer] if not self.dataset.shape else self.dataset.fields(self.field[0])[outer]
        for name in self.field if not self.dataset.shape else self.field[1:]:
            values = values[name]
        return np.asarray(np.asarray(values)[(*[slice(None)] * len(outer), *inner, *last)])

    def mapped(self, path: Path) -> Values:
        """Return the numbers mapped into memory, for an array that `is_plain`."""
        shape, offset = self.dataset.shape, self.dataset.id.get_offset()
        values: Values = np.memmap(path, dtype=self.dataset.dtype, mode="r", offset=offset, shape=shape)
        for name in self.field:
            values = values[name]
        values = values if self.pick is None else values[..., self.pick]
        return values.view(np.ndarray)


def keeping(arrays: list[Array], kept_bytes: int) -> list[Array]:
    """Return arrays that keep about so much of their chunks in memory, all together.

    The library keeps a few chunks of every open data set: of ten thousand records, more than memory. The arrays
    that are handed in are closed, since what an open data set keeps cannot be changed.
    """
    if all(array.dataset.chunks is None for array in arrays):
        return arrays
    each = kept_bytes // len(arrays)
    file = arrays[0].dataset.file
    plain = [(array.dataset.name, array.text, array.field, array.pick) for array in arrays]
    slots = max(521, 10 * each // max(1, math.prod(arrays[0].chunks) * arrays[0].dtype.itemsize)) | 1
    arrays.clear()
    plan = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    plan.set_chunk_cache(slots, each, 1.0)
    return [
        Array(h5py.Dataset(h5py.h5d.open(file.id, name.encode(), plan)), text, field, pick)
        for name, text, field, pick in plain
    ]


def _field_type(dtype: np.dtype[Any], names: Sequence[str]) -> np.dtype[Any]:
    for name in names:
        dtype = dtype.base[name]
    return dtype


def check_stored(dataset: h5py.Dataset, *, where: str, file_bytes: int) -> None:
    """Refuse an array whose size is a mere claim, before memory is asked for it.

    Raises
    ------
    DataError
        Cut short, never written in part, packed more than any filter can, or in chunks that are too large.
    """
    if dataset.shape is None or dataset.size == 0:
        raise _refused(where, "of at least one value", "none", "It was declared and not filled")
    stored = dataset.id.get_storage_size()
    if dataset.chunks is None:
        offset = dataset.id.get_offset()
        if stored < dataset.nbytes or (offset is not None and offset + stored > file_bytes):
            got = f"{min(stored, file_bytes):,} of them"
            raise _refused(where, f"stored whole, {dataset.nbytes:,} bytes", got, "Was the recording cut short")
        return
    _check_chunks(dataset, where, stored)


def _check_chunks(dataset: h5py.Dataset, where: str, stored: int) -> None:
    wanted = math.prod(math.ceil(size / chunk) for size, chunk in zip(dataset.shape, dataset.chunks, strict=True))
    chunk_bytes = math.prod(dataset.chunks) * dataset.dtype.itemsize
    if chunk_bytes > _LARGEST_CHUNK:
        got, step = f"{chunk_bytes:,} bytes", "Repack it with smaller chunks (h5repack -l CHUNK=...)"
        raise _refused(where, f"in chunks of at most {_LARGEST_CHUNK:,} bytes", got, step)
    # A filter makes what it cannot pack a little larger, never much: more than that unpacks to no one knows what.
    room = dataset.id.get_num_chunks() * (chunk_bytes + chunk_bytes // 8 + _FILTERS_OWN)
    if stored > room:
        allowed = f"in chunks that hold what they claim, {chunk_bytes:,} bytes each"
        raise _refused(where, allowed, f"{stored:,} bytes stored", "It is damaged or made to harm; do not open it")
    filters = _filters(dataset, where)
    packing = filters - {h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
    most = (_MOST_PACKED if packing <= _MODEST_FILTERS else _MOST_PACKED_BY_OTHERS) if packing else 1
    # Chunks at the edges are stored whole, so an array may hold less than is stored, never more.
    if stored * most < dataset.nbytes or dataset.id.get_num_chunks() < wanted:
        there = dataset.id.get_num_chunks() if stored else 0
        got = f"{there:,} of {wanted:,} chunks, {stored:,} bytes for {dataset.nbytes:,}"
        raise _refused(where, "stored whole", got, "Was the recording cut short; leave out what was never written")


def _filters(dataset: h5py.Dataset, where: str) -> set[int]:
    """Return the codes of the filters that chunks went through; all of them can be undone here."""
    plan = dataset.id.get_create_plist()
    found = {code: name for code, _, _, name in map(plan.get_filter, range(plan.get_nfilters()))}
    if not all(map(h5py.h5z.filter_avail, found)):
        import hdf5plugin  # noqa: F401 - makes its filters known to the library

    for code, name in found.items():
        if not h5py.h5z.filter_avail(code):
            got = f"{name.decode(errors='replace')[:80] or 'one without a name'} ({code})"
            step = "Repack the file without it (h5repack -f GZIP=1), where the program that wrote it is installed"
            raise _refused(where, "compressed with a filter that h5py or hdf5plugin has", got, step)
    return set(found)


def _refused(where: str, allowed: str, got: str, step: str) -> DataError:
    return DataError(explained(where=where, what="the array", allowed=allowed, got=got, next_step=step))
