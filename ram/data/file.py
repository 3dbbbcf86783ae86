"""A `ram-dataset/1` file: its head in memory, its large arrays read and verified when they are asked for."""

from __future__ import annotations

__all__ = ["DatasetFile"]

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xxhash
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

from ram.data.head import Head, damaged, read_head
from ram.data.layout import digest_of
from ram.data.source import Rows, Source
from ram.errors import DataError, explained
from ram.storage import hdf5


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
        self._memory: NDArray[np.float32] | None = None
        self._verified: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)

    @property
    def head(self) -> Head:
        """Names, units, axes and columns; read and verified once."""
        if self._head is None:
            with hdf5.open_safely(self.path) as file, hdf5.reading(self.path):
                self._stamp = _stamp(self.path)
                self._head = read_head(file, self.path)
            if self._digest not in ("", self._head.digest):
                raise _changed(self.path)
            self._verified = np.zeros(self._head.count, dtype=np.bool_)
        return self._head

    def inputs(self, rows: Rows) -> Float32[np.ndarray, "row channel *space"]:
        """Return the inputs of some rows as a new array."""
        memory = self._mapped_inputs()
        self._verify_inputs(memory, rows)
        first, end = (int(rows[0]), int(rows[0]) + rows.size) if rows.size else (0, 0)
        if np.array_equal(rows, np.arange(first, end)):
            return np.array(memory[first:end])  # one copy of one piece
        return np.asarray(memory[rows])

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

    def _verify_inputs(self, memory: NDArray[np.float32], rows: Rows) -> None:
        """Verify those rows that this process has not touched before."""
        digests = self.head.digests["inputs"]
        new = rows[~self._verified[rows]]
        for row in new:
            if xxhash.xxh3_64_intdigest(memory[row].data) != digests[row]:
                raise damaged(self.path, f"inputs row {row}")
        self._verified[new] = True

    def _mapped_inputs(self) -> NDArray[np.float32]:
        """Return the inputs mapped into memory; pages are read as they are touched."""
        head = self.head
        if self._memory is None:
            self._check_unchanged()
            shape = (head.count, len(head.channels), *head.space)
            mapped = np.memmap(self.path, dtype="<f4", mode="r", offset=head.inputs_begin, shape=shape)
            self._memory = mapped.view(np.ndarray)
        return self._memory

    def _opened(self) -> h5py.File:
        """Return this process's own handle: one inherited through a fork is not shared."""
        if self._file is None or self._process != os.getpid():
            _ = self.head
            self._check_unchanged()
            self._file, self._process = hdf5.open_safely(self.path), os.getpid()
        return self._file

    def _check_unchanged(self) -> None:
        if _stamp(self.path) != self._stamp:
            raise _changed(self.path)


def _stamp(path: Path) -> tuple[int, ...]:
    """Return what tells a file from another one that took its name."""
    found = path.stat() if path.exists() else None
    return (found.st_ino, found.st_size, found.st_mtime_ns) if found else ()


def _changed(path: Path) -> DataError:
    return DataError(
        explained(
            where=str(path),
            what="the file",
            allowed="the one that was opened before",
            got="another one",
            next_step="It was replaced or removed meanwhile; open it again",
        )
    )
