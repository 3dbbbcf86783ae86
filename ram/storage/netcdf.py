"""The conventions that make an HDF5 file a netCDF-4 file: named dimensions, text, missing values.

Texts are fixed-length: variable-length ones lie in a heap that no checksum covers.
"""

from __future__ import annotations

__all__ = [
    "add_array",
    "add_blocks",
    "add_chunked",
    "add_contiguous",
    "add_coordinate",
    "add_dimension",
    "add_text_coordinate",
    "add_texts",
    "encoded_texts",
    "set_flags",
    "set_text",
]

from collections.abc import Iterable, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

_NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable."


def add_dimension(file: h5py.File, name: str, *, size: int) -> h5py.Dataset:
    """Add a dimension without coordinates; nothing is stored for its values."""
    scale = file.create_dataset(name, (size,), dtype=">f4", track_times=False)
    return _as_scale(file, scale, f"{_NO_VARIABLE}{size:10d}")


def add_coordinate(file: h5py.File, name: str, values: ArrayLike, *, unit: str, long_name: str = "") -> h5py.Dataset:
    """Add a dimension together with its coordinates and their unit."""
    scale = file.create_dataset(name, data=np.asarray(values), track_times=False)
    set_text(scale, "units", unit)
    if long_name:
        set_text(scale, "long_name", long_name)
    return _as_scale(file, scale, name)


def add_text_coordinate(file: h5py.File, name: str, values: Sequence[str]) -> h5py.Dataset:
    """Add a dimension whose coordinates are texts, such as the names of channels."""
    return _as_scale(file, file.create_dataset(name, data=encoded_texts(values), track_times=False), name)


def add_array(
    file: h5py.File, path: str, values: ArrayLike, *, dims: Sequence[str], unit: str = "", missing: float | None = None
) -> h5py.Dataset:
    """Add a small array at `path`; `missing` is the value that declares a missing entry."""
    group, name = _home(file, path)
    array = group.create_dataset(name, data=np.asarray(values), track_times=False)
    return _described(file, array, dims, unit, missing)


def add_texts(
    file: h5py.File, path: str, values: Iterable[NDArray[np.bytes_]], *, width: int, dims: Sequence[str]
) -> h5py.Dataset:
    """Add texts of one fixed length, UTF-8, padded with zero bytes; `values` are some at a time, in their order."""
    group, name = _home(file, path)
    dtype, size = h5py.string_dtype("utf-8", width), file[dims[0]].shape[0]
    array = group.create_dataset(name, (size,), dtype=dtype, track_times=False)
    begin = 0
    for some in values:
        array[begin : begin + len(some)] = some.astype(dtype)
        begin += len(some)
    return _described(file, array, dims, "", None)


def add_chunked(
    file: h5py.File,
    path: str,
    shape: tuple[int, ...],
    *,
    dtype: DTypeLike,
    dims: Sequence[str],
    missing: float,
    unit: str = "",
) -> h5py.Dataset:
    """Add an array of one row a chunk, compressed and checksummed; rows never written read as `missing`."""
    group, name = _home(file, path)
    array = group.create_dataset(
        name,
        shape,
        dtype=dtype,
        chunks=(1, *shape[1:]),
        compression="gzip",
        compression_opts=1,
        shuffle=True,
        fletcher32=True,
        fillvalue=missing,
        track_times=False,
    )
    return _described(file, array, dims, unit, missing)


def add_contiguous(
    file: h5py.File, path: str, shape: tuple[int, ...], *, dtype: DTypeLike, dims: Sequence[str], unit: str = ""
) -> h5py.Dataset:
    """Add an array in one piece, which can be memory-mapped; every row must be written."""
    group, name = _home(file, path)
    array = group.create_dataset(name, shape, dtype=dtype, fill_time="never", track_times=False)
    return _described(file, array, dims, unit, None)


def add_blocks(
    file: h5py.File,
    path: str,
    shape: tuple[int, ...],
    *,
    dtype: DTypeLike,
    dims: Sequence[str],
    rows: int,
    compression: str | None,
    unit: str = "",
) -> h5py.Dataset:
    """Add an array in chunks of some rows, compressed by ``"gzip"``, ``"zstd"`` or not; every row must be written."""
    group, name = _home(file, path)
    array = group.create_dataset(
        name, shape, dtype=dtype, chunks=(rows, *shape[1:]), fillvalue=0, track_times=False, **_filters(compression)
    )
    return _described(file, array, dims, unit, None)


def _filters(compression: str | None) -> dict[str, Any]:
    if compression is None:
        return {}
    if compression == "gzip":
        return {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    import hdf5plugin  # makes the filter known to the library

    return {"shuffle": True, **hdf5plugin.Zstd(clevel=1)}


def set_flags(array: h5py.Dataset, names: Sequence[str]) -> None:
    """Say what the codes 0, 1, 2 ... of an array mean, as the CF conventions do."""
    array.attrs.create("flag_values", np.arange(len(names), dtype=array.dtype))
    set_text(array, "flag_meanings", " ".join(names))


def set_text(holder: h5py.Group | h5py.Dataset, name: str, text: str) -> None:
    """Set a text attribute of fixed length, UTF-8."""
    encoded = text.encode()
    holder.attrs.create(name, np.array(encoded, dtype=h5py.string_dtype("utf-8", max(1, len(encoded)))))


def _as_scale(file: h5py.File, scale: h5py.Dataset, title: str) -> h5py.Dataset:
    scale.make_scale(title)
    before = sum(1 for other in file.values() if isinstance(other, h5py.Dataset) and other.is_scale)
    scale.attrs["_Netcdf4Dimid"] = np.int32(before - 1)
    return scale


def _home(file: h5py.File, path: str) -> tuple[h5py.Group, str]:
    """Return the group of `path`, made where it is not there yet, and the last name in the path.

    Groups keep the order in which names were added, so that readers list targets as the recipe did.
    """
    *parents, name = path.strip("/").split("/")
    group: h5py.Group = file
    for parent in parents:
        group = group[parent] if parent in group else group.create_group(parent, track_order=True)
    return group, name


def encoded_texts(values: Sequence[str]) -> NDArray[np.bytes_]:
    """Return texts as bytes of one length, UTF-8."""
    encoded = np.array([value.encode() for value in values], dtype=np.bytes_)
    return encoded.astype(h5py.string_dtype("utf-8", max(1, encoded.dtype.itemsize)))


def _described(
    file: h5py.File, array: h5py.Dataset, dims: Sequence[str], unit: str, missing: float | None
) -> h5py.Dataset:
    for position, dim in enumerate(dims):
        array.dims[position].attach_scale(file[dim])
    if unit:
        set_text(array, "units", unit)
    if missing is not None:
        array.attrs.create("_FillValue", np.array([missing], dtype=array.dtype))
    return array
