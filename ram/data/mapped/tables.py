"""Columns of what programs call a table: compound types, data frames of pandas, structures of Julia, plain columns."""

from __future__ import annotations

__all__ = ["column_of", "columns_in"]

from collections.abc import Iterator

import h5py
import numpy as np

from ram.data.mapped.arrays import Array
from ram.storage import hdf5

_MOST_COLUMNS = 10_000


def columns_in(holder: h5py.Group | h5py.Dataset) -> list[str]:
    """Return the names of the columns of a table; numbers for those of a plain array, none where it is no table."""
    if isinstance(holder, h5py.Group):
        return [name for name, _, _ in _frame_columns(holder)]
    if holder.dtype.names:
        return list(_fields(holder.dtype))
    columns = holder.shape[-1] if holder.ndim > 1 else 0
    return [str(number) for number in range(min(columns, _MOST_COLUMNS))]


def column_of(holder: h5py.Group | h5py.Dataset, name: str, text: str) -> Array | h5py.h5r.Reference | None:
    """Return a column of a table, the reference that stands there, or None where there is no such column."""
    if isinstance(holder, h5py.Group):
        found = next((block for block in _frame_columns(holder) if block[0] == name), None)
        return None if found is None else Array(holder[found[1]], text, pick=found[2])
    if holder.dtype.names:
        if name not in _fields(holder.dtype):
            return None
        column = Array(holder, text, field=tuple(name.split(".")))
        is_one_reference = h5py.check_ref_dtype(column.dtype) is not None and not holder.shape
        return column.read().item() if is_one_reference else column
    if name.isdecimal() and holder.ndim > 1 and int(name) < holder.shape[-1]:
        return Array(holder, text, pick=int(name))
    return None


def _fields(dtype: np.dtype[np.void], before: str = "") -> Iterator[str]:
    """Yield the fields of a compound type, inner ones with a dot: ``time.step``."""
    for name in dtype.names or ():
        inner = dtype[name].base
        if inner.names:
            yield from _fields(inner, f"{before}{name}.")
        else:
            yield before + name


def _frame_columns(group: h5py.Group) -> Iterator[tuple[str, str, int]]:
    """Yield name, block and place in the block of the columns of a frame that pandas stored as plain arrays."""
    kept = [name for name in group if name.startswith("block") and name.endswith("_items")]
    for items in kept:
        values, names = items.replace("_items", "_values"), group.get(items)
        if values in group and isinstance(names, h5py.Dataset) and names.ndim == 1 and names.size <= _MOST_COLUMNS:
            with hdf5.reading(group.file.filename, f"{group.name}/{items}"):
                found = names[()].tolist() if names.dtype.kind == "S" else []
            for number, name in enumerate(found):
                yield name.decode(errors="replace"), values, number
