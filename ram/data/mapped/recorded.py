"""Records in a file: one array that holds all of them, or an array for each, whatever the order of its axes."""

from __future__ import annotations

__all__ = ["Oriented", "Recorded"]

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ram.data.mapped.arrays import Array
from ram.storage import hdf5

Raw = NDArray[Any]


class Oriented:
    """One array as (record, channel, *space), whatever order its axes have in the file.

    Parameters
    ----------
    array
        Where the numbers lie.
    path
        Of the file.
    axes
        For each axis of (record, channel, *space) the axis of the array, None where it has none. Axes of the
        array that are not named have one cell.
    """

    def __init__(self, array: Array, path: Path, axes: Sequence[int | None]) -> None:
        self.array, self.axes = array, tuple(axes)
        self._path = path

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of (record, channel, *space)."""
        return tuple(1 if axis is None else self.array.shape[axis] for axis in self.axes)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of a chunk of the file along the same axes."""
        return tuple(1 if axis is None else self.array.chunks[axis] for axis in self.axes)

    @functools.cached_property
    def view(self) -> Raw | None:
        """All numbers as (record, channel, *space), mapped into memory; None where they lie in chunks."""
        return self._ordered(self.array.mapped(self._path)) if self.array.is_plain else None

    def read(self, records: slice, *, along: int, cells: slice) -> Raw:
        """Return records and a part of the axis `along` (counted in (record, channel, *space)) as they are stored."""
        if self.view is not None:
            wanted = [slice(None)] * self.view.ndim
            wanted[0], wanted[along] = records, cells
            return self.view[tuple(wanted)]
        places = {self.axes[0]: records, self.axes[along]: cells}
        selection = [places.get(axis, slice(None)) for axis in range(len(self.array.shape))]
        with hdf5.reading(self._path, self.array.text):
            return self._ordered(self.array.read(selection))

    def _ordered(self, values: Raw) -> Raw:
        kept = [axis for axis in self.axes if axis is not None]
        ones = [axis for axis in range(values.ndim) if axis not in kept]
        values = values.transpose(*kept, *ones)
        shape = iter(values.shape)
        return values.reshape([1 if axis is None else next(shape) for axis in self.axes])


@dataclass(frozen=True, eq=False)
class Recorded:
    """Some records of the same channels.

    Attributes
    ----------
    arrays
        One that holds all records along its first axis, or one for each record.
    along
        The axis in (record, channel, *space) along which records may have different lengths.
    """

    arrays: tuple[Oriented, ...]
    along: int
    stacked: bool

    @property
    def count(self) -> int:
        """Number of records."""
        return self.arrays[0].shape[0] if self.stacked else len(self.arrays)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.arrays[0].shape[1]

    def lengths(self) -> NDArray[np.int64]:
        """Return the cells of each record along the axis that windows are cut from."""
        if self.stacked:
            return np.full(self.count, self.arrays[0].shape[self.along])
        return np.array([array.shape[self.along] for array in self.arrays])

    @property
    def view(self) -> Raw | None:
        """All records as (record, channel, *space), mapped into memory, where they lie in one piece in the file."""
        return self.arrays[0].view if self.stacked else None

    def read(self, first: int, end: int, cells: slice) -> Raw:
        """Return records `first` to `end` (excluded) as they are stored, shape (record, channel, *space)."""
        if self.stacked:
            return self.arrays[0].read(slice(first, end), along=self.along, cells=cells)
        parts = [self.arrays[n].read(slice(0, 1), along=self.along, cells=cells) for n in range(first, end)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
