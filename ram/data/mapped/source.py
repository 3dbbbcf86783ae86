"""Samples of a user's own HDF5 file, read in place."""

from __future__ import annotations

__all__ = ["MappedFile"]

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

from ram.data.head import Head
from ram.data.mapped.digests import Digests, Verified, digest_inputs, same_beginning
from ram.data.mapped.head import Layout, lay_out
from ram.data.mapped.places import Places
from ram.data.mapped.settings import DataMapping, load_mapping
from ram.data.source import Rows, Source
from ram.storage import guarded, hdf5
from ram.storage.stamps import Stamp, changed, stamp_of

_KEPT_BYTES = 2**26
_known: dict[tuple[Path, str, bool], tuple[Stamp, Digests]] = {}
"""Digests that this process has computed, and the stamp of the file at that time."""


class MappedFile(Source):
    """One HDF5 file and a mapping. Pickles as both; every process opens the file for itself, when it first reads.

    Once the digest was asked for, every other process verifies what it reads against it, block by block; in the
    process that computed it, size and time of the last change stand for the content.

    Raises
    ------
    ConfigError
        The mapping has a key or a value that is not allowed.
    DataError
        The file is missing, no HDF5, or does not hold what the mapping says.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        mapping: DataMapping | Mapping[str, Any] | str | os.PathLike[str],
        *,
        for_prediction: bool = False,
    ) -> None:
        self.path, self.mapping = Path(path), load_mapping(mapping)
        self._for_prediction = for_prediction
        self._digests: Digests | None = None
        self._stamp: Stamp = ()
        self._forget()
        guarded.survey_once(hdf5.check_is_hdf5(self.path))  # the library crashes on some damaged files
        _ = self.head

    def __getstate__(self) -> dict[str, Any]:
        """Return file and mapping, the file's stamp, and the digests that its content must still have."""
        return {
            "path": str(self.path.resolve()),
            "mapping": self.mapping.model_dump(mode="json"),
            "for_prediction": self._for_prediction,
            "stamp": self._stamp,
            "digests": self._digests,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what was pickled; the file is opened when it is first read.

        Where digests are known they are what counts: a copy on another machine has another time stamp.
        """
        self.path, self.mapping = Path(state["path"]), load_mapping(state["mapping"])
        self._for_prediction, self._digests = bool(state["for_prediction"]), state["digests"]
        self._forget()
        self._stamp, self._trusted = () if self._digests else state["stamp"], False

    def _forget(self) -> None:
        self._stamp = ()
        self._layout: Layout | None = None
        self._file: h5py.File | None = None
        self._verified: Verified | None = None
        self._trusted = True
        self._process = 0
        self._kept_bytes = _KEPT_BYTES

    @property
    def head(self) -> Head:
        """Names, units, axes and columns; read once."""
        return self._opened().head

    @property
    def digest(self) -> str:
        """32 hexadecimal digits for all that is used: every value, unit and name; one pass over the inputs."""
        if self._digests is None:
            layout = self._opened()
            key = (self.path.resolve(), self.mapping.model_dump_json(), self._for_prediction)
            stamp, digests = _known.get(key, ((), None))
            if digests is None or stamp != self._stamp:
                digests = digest_inputs(layout.inputs, layout.beginning, path=self.path)
                self._check_unchanged()
                _known[key] = (self._stamp, digests)
            self._digests = digests
        return self._digests.whole

    def place(self, name: str) -> str:
        """Return the path in the file of ``"inputs"``, ``"targets/f1"`` and so on."""
        return self._opened().paths.get(name, f"/{name}")

    def inputs(self, rows: Rows) -> Float32[np.ndarray, "row channel *space"]:
        """Return the inputs of some rows as a new array."""
        layout = self._opened()
        self._check_unchanged()
        if self._verified is not None:
            self._verified.check(self.path, *layout.windows.places(rows), layout.windows.length)
        return layout.inputs.read(rows, layout.windows, whole=layout.whole)

    @property
    def block_rows(self) -> int:
        """Number of samples that lie in one chunk of the file; 0 where each can be read by itself."""
        layout = self._opened()
        recorded = layout.inputs.parts[0].recorded
        if self._is_plain():
            return 0
        chunks = recorded.arrays[0].chunks
        rows = chunks[0] if layout.whole else chunks[recorded.along] // layout.windows.hop
        return rows if rows > 1 else 0

    def keep(self, kept_bytes: int) -> None:
        """Set how much of the file's chunks may stay in memory between two reads, about."""
        if kept_bytes != self._kept_bytes and not self._is_plain():
            self._kept_bytes = kept_bytes
            self._layout = None  # what an open data set keeps cannot be changed
            if self._file is not None:
                self._file.close()

    def _is_plain(self) -> bool:
        arrays = (array for part in self._opened().inputs.parts for array in part.recorded.arrays)
        return all(array.view is not None for array in arrays)

    def truth(self, target: str, kind: str, rows: Rows) -> Float32[np.ndarray, " row *space"]:  # noqa: ARG002
        """Return maps that are nowhere known: a mapped file has none."""
        return np.full((rows.size, *self.head.space), np.nan, dtype=np.float32)

    def regions(self, rows: Rows) -> UInt8[np.ndarray, " row *space"]:
        """Return 255 everywhere: a mapped file has no regions."""
        return np.full((rows.size, *self.head.space), 255, dtype=np.uint8)

    def present(self, name: str, rows: Rows) -> NDArray[np.bool_]:  # noqa: ARG002
        """Return False for all: a mapped file has neither truth nor regions."""
        return np.zeros(rows.size, dtype=np.bool_)

    def _opened(self) -> Layout:
        """Return the layout with this process's own handle: one inherited through a fork is not shared."""
        if self._layout is None or self._process != os.getpid():
            stamp = stamp_of(self.path)
            if self._stamp not in ((), stamp):
                raise changed(self.path)
            self._file = hdf5.open_for_looking(self.path)
            with hdf5.reading(self.path):
                inputs = next(iter(self.mapping.inputs.values())).path
                places = Places(self._file, self.path, inputs=inputs, kept_bytes=self._kept_bytes)
                self._layout = lay_out(places, self.mapping, for_prediction=self._for_prediction)
            self._stamp, self._process = stamp, os.getpid()
            self._verified = None if self._trusted else self._to_verify(self._layout)
        return self._layout

    def _to_verify(self, layout: Layout) -> Verified | None:
        if self._digests is not None and not same_beginning(self._digests, layout.beginning):
            raise changed(self.path)
        return Verified(layout.inputs, self._digests) if self._digests is not None else None

    def _check_unchanged(self) -> None:
        if stamp_of(self.path) != self._stamp:
            raise changed(self.path)
