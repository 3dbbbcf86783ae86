"""A `ram-dataset/1` file: its head in memory, its large arrays read and verified when they are asked for."""

from __future__ import annotations

__all__ = ["DatasetFile"]

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

from ram.data.head import Head, damaged, read_head
from ram.data.inputs import ChunkedInputs, Inputs, MappedInputs
from ram.data.layout import digest_of
from ram.data.source import Rows, Source
from ram.data.stored import Layout, stored_layout
from ram.storage import hdf5
from ram.storage.stamps import changed, stamp_of

_PIECE_BYTES = 2**18


class DatasetFile(Source):
    """One `ram-dataset/1` file. Pickles as its path; every process opens it for itself, when it first reads.

    A row is verified against its digest when it is first touched in a process.

    Raises
    ------
    DataError
        The file is missing, damaged, no `ram-dataset/1`, or not the one that was opened before.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._digest = ""  # whatever the file has when it is first opened
        self._forget()
        self._digest = self.head.digest

    def __getstate__(self) -> dict[str, Any]:
        """Return the path, and the digest that the file must still have when it is opened again."""
        return {"path": str(self.path.resolve()), "digest": self._digest}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the path; the file is opened when it is first read."""
        self.path, self._digest = Path(state["path"]), str(state["digest"])
        self._forget()

    def _forget(self) -> None:
        self._head: Head | None = None
        self._stamp: tuple[int, ...] = ()
        self._file: h5py.File | None = None
        self._process = 0
        self._layout: Layout | None = None
        self._reader: Inputs | None = None

    @property
    def head(self) -> Head:
        """Names, units, axes and columns; read and verified once."""
        if self._head is None:
            with hdf5.open_for_looking(self.path) as file, hdf5.reading(self.path):
                self._stamp = stamp_of(self.path)
                self._head = read_head(file, self.path)
                self._layout = stored_layout(file)
            if self._digest not in ("", self._head.digest):
                raise changed(self.path)
        return self._head

    @property
    def block_rows(self) -> int:
        """Number of samples that are stored and read together; 0 where each can be read by itself."""
        return self.head.block_rows

    def inputs(self, rows: Rows) -> Float32[np.ndarray, "row channel *space"]:
        """Return the inputs of some rows as a new array."""
        values = np.empty((rows.size, *self._inputs().shape[1:]), dtype=np.float32)
        self.inputs_into(rows, values)
        return values

    def inputs_into(self, rows: Rows, out: Float32[np.ndarray, "row channel *space"]) -> None:
        """Write the inputs of some rows into `out`."""
        reader, packing = self._inputs(), self.head.packing
        rows = self._within(rows)
        if not packing.integer:
            reader.take(rows, out)
            return
        step = max(1, _PIECE_BYTES // reader.row_bytes)  # small enough to be converted while it is in the cache
        for begin in range(0, rows.size, step):
            piece = rows[begin : begin + step]
            stored = np.empty((piece.size, *reader.shape[1:]), dtype=reader.dtype)
            reader.take(piece, stored)
            packing.unpack(stored, out=out[begin : begin + step])

    def keep(self, kept_bytes: int) -> None:
        """Set how much of the file may stay in memory between calls, about."""
        self._inputs().kept_bytes = kept_bytes

    def truth(self, target: str, kind: str, rows: Rows) -> Float32[np.ndarray, " row *space"]:
        """Return the truth maps of some rows, NaN where they were not computed."""
        return self._chunked(f"truth/{target}/{kind}", rows)

    def regions(self, rows: Rows) -> UInt8[np.ndarray, " row *space"]:
        """Return the codes of the regions of some rows, 255 where none are stored."""
        return self._chunked("regions", rows)

    def present(self, name: str, rows: Rows) -> NDArray[np.bool_]:
        """Say for some rows of a chunked array whether they were ever written, without reading them."""
        array = self._opened()[name]
        missing = digest_of(np.full(array.shape[1:], array.fillvalue, dtype=array.dtype))
        return np.asarray(self.head.digests[name][rows] != missing)

    def _chunked(self, name: str, rows: Rows) -> NDArray[Any]:
        """Read chunk by chunk (a row is a chunk); rows never written are not looked for."""
        with hdf5.reading(self.path, f"/{name}"):
            array = self._opened()[name]
            values: NDArray[Any] = np.full((rows.size, *array.shape[1:]), array.fillvalue, dtype=array.dtype)
            present = np.flatnonzero(self.present(name, rows))
        for position in present:
            row = int(rows[position])
            with hdf5.reading(self.path, f"/{name} row {row}"):
                values[position] = array[row]
            if digest_of(values[position]) != self.head.digests[name][row]:
                raise damaged(self.path, f"{name} row {row}")
        return values

    def _inputs(self) -> Inputs:
        """Return the reader of this process; one of chunks holds a handle and is not shared through a fork."""
        head = self.head
        if self._reader is None or (self._layout is None and self._process != os.getpid()):
            self._check_unchanged()
            if self._layout is not None:
                self._reader = MappedInputs(self.path, head, self._layout)
            else:
                self._reader = ChunkedInputs(self.path, head, self._opened())
        return self._reader

    def _opened(self) -> h5py.File:
        """Return this process's own handle: one inherited through a fork is not shared."""
        if self._file is None or self._process != os.getpid():
            _ = self.head
            self._check_unchanged()
            self._file, self._process = hdf5.open_safely(self.path), os.getpid()
        return self._file

    def _within(self, rows: Rows) -> Rows:
        """Return `rows` counted from the start, refused where they lie outside."""
        count = self.head.count
        if rows.size and not (-count <= int(rows.min()) and int(rows.max()) < count):
            raise IndexError(f"{self.path}: a row outside 0 to {count - 1}")
        return np.where(rows < 0, rows + count, rows) if rows.size and int(rows.min()) < 0 else rows

    def _check_unchanged(self) -> None:
        if stamp_of(self.path) != self._stamp:
            raise changed(self.path)
