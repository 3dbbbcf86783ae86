"""A data set in which the input of one sample is another one: "what if it were thicker there?"."""

from __future__ import annotations

__all__ = ["with_input"]

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32

from ram.data.dataset import Dataset
from ram.data.source import Derived, Rows
from ram.errors import DataError, explained


def with_input(data: Dataset, position: int, x: Float32[np.ndarray, "channel *space"]) -> Dataset:
    """Return the data set of one sample of `data`, with `x` in the place of its input.

    Everything else is as the file has it: id, targets, regions and truth are those of the input that was there.

    Raises
    ------
    DataError
        `x` has another shape than an input, or values that are not finite.
    """
    space = (len(data.channels), *(axis.size for axis in data.axes))
    if x.shape != space:
        raise DataError(explained(where="with_input", what="x", allowed=f"of shape {space}", got=x.shape))
    if not np.isfinite(x).all():
        raise DataError(explained(where="with_input", what="x", allowed="finite", got="NaN or inf in it"))
    row = int(data.indices[position])
    return Dataset(_Edited(data._source, row, x.astype(np.float32)), np.array([row]))


@dataclass
class _Edited(Derived):
    """A source with another input in one row."""

    row: int
    x: Float32[np.ndarray, "channel *space"] = field(repr=False)

    def inputs(self, rows: Rows) -> Float32[np.ndarray, "row channel *space"]:
        found = np.empty((len(rows), *self.x.shape), dtype=np.float32)
        self.inputs_into(rows, found)
        return found

    def inputs_into(self, rows: Rows, out: Float32[np.ndarray, "row channel *space"]) -> None:
        own = rows == self.row
        if not own.all():
            super().inputs_into(rows, out)
        out[own] = self.x
