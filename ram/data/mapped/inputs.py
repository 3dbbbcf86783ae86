"""The inputs of a mapped file: records of channels, and how samples are read from them."""

from __future__ import annotations

__all__ = ["Inputs", "Part"]

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from ram.data.mapped.arrays import Array
from ram.data.mapped.recorded import Recorded
from ram.data.mapped.values import Conversion
from ram.data.mapped.windows import Windows

_SLAB_BYTES = 16 * 2**20


@dataclass(frozen=True, eq=False)
class Part:
    """Channels that lie together in the file."""

    recorded: Recorded
    conversion: Conversion
    text: str


@dataclass(frozen=True, eq=False)
class Inputs:
    """Records of all channels.

    Attributes
    ----------
    parts
        In the order of the channels.
    channels
        Name -> unit.
    layout
        What the axes of the arrays are, in the file's order.
    space
        Names of the axes behind sample and channel, in the order of the samples.
    keys
        For inputs at a path with stars: what the stars stand for in each record.
    """

    parts: tuple[Part, ...]
    channels: dict[str, str]
    layout: tuple[str, ...]
    space: tuple[str, ...]
    keys: tuple[tuple[str, ...], ...]

    @property
    def records(self) -> int:
        """Number of records."""
        return self.parts[0].recorded.count

    @property
    def along(self) -> int:
        """Place in `space` of the axis that windows are cut along."""
        return self.parts[0].recorded.along - 2

    @property
    def array(self) -> Array:
        """The array of the first record, or of all."""
        return self.parts[0].recorded.arrays[0].array

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells along the axes in `space`, of the first record."""
        return self.parts[0].recorded.arrays[0].shape[2:]

    def read(
        self, rows: Int64[np.ndarray, " row"], windows: Windows, *, whole: bool
    ) -> Float32[np.ndarray, "row channel *space"]:
        """Return samples, in float32 and in the channels' units; `whole` where each is a record of its own."""
        space = list(self.shape)
        space[self.along] = windows.length
        out = np.empty((rows.size, len(self.channels), *space), dtype=np.float32)
        first = 0
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf, and checks name it
            for part in self.parts:
                _read_part(part, rows, windows, out[:, first : first + part.recorded.channels], whole=whole)
                first += part.recorded.channels
        if windows.measured is not None:
            for values, size in zip(out, windows.sizes(rows).tolist(), strict=True):
                _cells(values, 1 + self.along, size, windows.length - size)[...] = 0.0  # whatever is stored there
        return out


def _read_part(part: Part, rows: NDArray[np.int64], windows: Windows, out: NDArray[np.float32], *, whole: bool) -> None:
    recorded, along = part.recorded, part.recorded.along - 1
    if windows.measured is not None and not (recorded.stacked and recorded.lengths()[0] == windows.length):
        _read_records(part, rows, windows, out)
        return
    if recorded.view is not None:
        records, begins = windows.places(rows)
        if whole:
            out[...] = _converted(recorded.view[records], part.conversion)
            return
        for row, (record, begin) in enumerate(zip(records.tolist(), begins.tolist(), strict=True)):
            cut = _cells(recorded.view[record], along, begin, windows.length)
            out[row] = _converted(cut[None], part.conversion)[0]
        return
    cell_bytes = math.prod(out.shape[1:]) // windows.length * recorded.arrays[0].array.dtype.itemsize
    for slab in windows.slabs(rows, most_cells=_SLAB_BYTES // max(cell_bytes, 1), whole_records=whole):
        values = recorded.read(slab.first, slab.end, slice(slab.start, slab.stop))
        values = _converted(values, part.conversion)
        if whole:
            out[slab.positions] = values[slab.records]
            continue
        for position, begin in zip(slab.positions.tolist(), slab.begins.tolist(), strict=True):
            out[position] = _cells(values[0], along, begin, windows.length)


def _read_records(part: Part, rows: NDArray[np.int64], windows: Windows, out: NDArray[np.float32]) -> None:
    """Read records of different length one by one, as much of each as counts."""
    places = zip(windows.places(rows)[0].tolist(), windows.sizes(rows).tolist(), strict=True)
    for row, (record, size) in enumerate(places):
        values = part.recorded.read(record, record + 1, slice(0, size))
        _cells(out[row], part.recorded.along - 1, 0, size)[...] = _converted(values, part.conversion)[0]


def _cells(record: NDArray[Any], axis: int, begin: int, length: int) -> NDArray[Any]:
    return record[(*[slice(None)] * axis, slice(begin, begin + length))]


def _converted(values: NDArray[Any], conversion: Conversion) -> NDArray[Any]:
    return values if conversion.is_plain else conversion.apply(values, ndim=values.ndim - 2)
