"""The file `ram-dataset/1`: what lies where, and how it is written.

::

    /inputs (sample, channel, *space)                         /channel, /channel_units, /<axis>, /<axis>_bounds
    /ids /groups (sample)                                     /splits/<name> (sample): 0 train, 1 validation, 2 test
    /weights (sample) float64, where they are weighted        /lengths (sample) int64, where they differ
    /targets/<name> /parameters/<name> (sample) float64       /truth/<target>/<kind> (sample, *space) float32
    /regions (sample, *space) uint8                           /truth/reference (channel, *space) float64
    /digests/<path>_xxh3 digest of the array at <path>: one a sample for inputs, truth and regions, else one in all

A target may carry ``valid_min`` (CF), the least value that the quantity can have: no part of the file's digest.
Inputs are float32, or int16 or uint8 with attributes ``scale_factor`` and ``add_offset`` (CF conventions); they lie in
one piece, or in chunks of some rows, compressed or not. A digest is that of the stored numbers, whatever the chunks.

Root attributes: schema, name, source, licence, created_with, notes, axes, symmetries; recipe where one made it.
"""

from __future__ import annotations

__all__ = ["DatasetSpec", "Record", "digest_of", "digest_path", "write_dataset"]

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xxhash
from numpy.typing import NDArray

from ram.data import origin
from ram.data.spec import PARTS, SCHEMA, DatasetSpec, Record
from ram.data.texts import Ids, Texts
from ram.errors import DataError, explained, nearest
from ram.storage import atomic, hdf5, netcdf

Array = NDArray[Any]
_NO_REGION = 255
_BLOCK_BYTES = 2**20


def write_dataset(path: str | os.PathLike[str], spec: DatasetSpec, records: Iterable[Record]) -> Path:
    """Write a data file from a stream of records; memory holds one record and the small columns.

    The file appears under its name when it is whole; after any exception there is no trace of it. The same
    specification and records give the same bytes.

    Parameters
    ----------
    path
        Where to; a file that stands there is replaced.
    spec
        What the data set declares, the number of records too.
    records
        In the order of the file.

    Raises
    ------
    DataError
        A record does not fit the specification (the message names its row and id), there are more or fewer
        than ``spec.count``, or the disk is full.
    """
    _check_room(Path(path), spec)
    with atomic.writing(path) as temporary, hdf5.create(temporary) as file:
        writer = _Writer(file, spec, str(path))
        for record in records:
            writer.add(record)
        writer.finish()
    return Path(path)


def digest_of(values: Array) -> int:
    """Return the xxh3-64 digest of the bytes of an array, in row order.

    >>> digest_of(np.arange(3.0)) == digest_of(np.arange(3.0)[:]) != digest_of(np.arange(1.0, 4.0))
    True
    """
    return xxhash.xxh3_64_intdigest(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)


def digest_path(path: str) -> str:
    """Return where the digest of an array lies; a name of its own, for netCDF knows dimensions by their names.

    >>> digest_path("targets/umbrella")
    'digests/targets/umbrella_xxh3'
    """
    return f"digests/{path}_xxh3"


class _Writer:
    """Fills one open file; large arrays row by row, small ones at the end."""

    def __init__(self, file: h5py.File, spec: DatasetSpec, path: str) -> None:
        self._file, self._spec, self._path = file, spec, path
        self._row = 0
        self._ids, self._groups = Ids(), Texts()
        self._packing = spec.packing
        self._columns = {
            **{f"targets/{name}": np.full(spec.count, np.nan) for name in spec.targets},
            **{f"parameters/{name}": np.full(spec.count, np.nan) for name in spec.parameters},
            **{f"splits/{name}": np.zeros(spec.count, dtype=np.uint8) for name in spec.splits},
            **({"weights": np.ones(spec.count)} if spec.weighted else {}),
            **({"lengths": np.full(spec.count, spec.space[-1], dtype=np.int64)} if spec.lengths else {}),
        }
        self._add_head()
        self._large = self._add_large()
        empty = {name: digest_of(np.full(array.shape[1:], array.fillvalue)) for name, array in self._large.items()}
        self._digests = {name: np.full(spec.count, value, dtype=np.uint64) for name, value in empty.items()}
        row_bytes = self._packing.stored.itemsize * int(np.prod(spec.input_shape))
        rows = spec.rows_together or max(1, min(spec.count, _BLOCK_BYTES // row_bytes))
        self._block: Array = np.zeros((rows, *spec.input_shape), dtype=self._packing.stored)

    def add(self, record: Record) -> None:
        """Write the next row."""
        self._check(record)
        self._ids.add(record.id)
        self._groups.add(record.group)
        for name, value in record.targets.items():
            self._columns[f"targets/{name}"][self._row] = value
        for name, value in record.parameters.items():
            self._columns[f"parameters/{name}"][self._row] = value
        for name in self._spec.splits:
            self._columns[f"splits/{name}"][self._row] = PARTS.index(record.split[name])
        if self._spec.weighted:
            self._columns["weights"][self._row] = record.weight
        if self._spec.lengths and record.length is not None:
            self._columns["lengths"][self._row] = record.length
        self._put_input(record)
        for name, values in self._maps_of(record).items():
            self._put(name, values)
        self._row += 1

    def finish(self) -> None:
        """Write the small arrays and the digests."""
        if self._row != self._spec.count:
            self._refuse("the records", f"{self._spec.count} as declared", self._row)
        self._flush_block()
        file = self._file
        for name, texts in (("ids", self._ids), ("groups", self._groups)):
            netcdf.add_texts(file, name, texts.blocks(), width=texts.width, dims=("sample",))
        for path, values in self._columns.items():
            self._add_column(path, values)
        for path, digests in self._digests.items():
            netcdf.add_array(file, digest_path(path), digests, dims=("sample",))
        for path in _small_arrays(file):
            netcdf.add_array(file, digest_path(path), np.uint64(digest_of(file[path][()])), dims=())

    def _add_head(self) -> None:
        file, spec = self._file, self._spec
        for name, text in _attributes(spec).items():
            netcdf.set_text(file, name, text)
        netcdf.add_dimension(file, "sample", size=spec.count)
        netcdf.add_text_coordinate(file, "channel", list(spec.channels))
        units = netcdf.encoded_texts(list(spec.channels.values()))
        netcdf.add_texts(file, "channel_units", [units], width=units.dtype.itemsize, dims=("channel",))
        netcdf.add_dimension(file, "bound", size=2)
        for axis in spec.axes:
            scale = netcdf.add_coordinate(file, axis.name, axis.centres, unit=axis.unit, long_name=axis.long_name)
            netcdf.set_text(scale, "bounds", f"{axis.name}_bounds")
            bounds = np.stack([axis.edges[:-1], axis.edges[1:]], axis=-1)  # (cells, 2)
            netcdf.add_array(file, f"{axis.name}_bounds", bounds, dims=(axis.name, "bound"))
        if spec.reference is not None:
            dims = ("channel", *(axis.name for axis in spec.axes))
            netcdf.add_array(file, "truth/reference", np.asarray(spec.reference, dtype=np.float64), dims=dims)

    def _add_large(self) -> dict[str, h5py.Dataset]:
        """Declare the arrays with one row a sample; contiguous inputs can be memory-mapped."""
        file, spec = self._file, self._spec
        space = tuple(axis.name for axis in spec.axes)
        shape = (spec.count, *spec.space)
        large = {"inputs": self._add_inputs()}
        for (target, kind), unit in spec.truth.items():
            large[f"truth/{target}/{kind}"] = netcdf.add_chunked(
                file, f"truth/{target}/{kind}", shape, dtype="<f4", dims=("sample", *space), missing=np.nan, unit=unit
            )
        if spec.regions:
            large["regions"] = netcdf.add_chunked(
                file, "regions", shape, dtype="u1", dims=("sample", *space), missing=_NO_REGION
            )
            netcdf.set_flags(large["regions"], spec.regions)
        return large

    def _add_inputs(self) -> h5py.Dataset:
        spec = self._spec
        units = set(spec.channels.values())
        shape, dims = (spec.count, *spec.input_shape), ("sample", "channel", *(axis.name for axis in spec.axes))
        dtype, unit = spec.packing.stored, units.pop() if len(units) == 1 else ""
        if not spec.rows_together:
            inputs = netcdf.add_contiguous(self._file, "inputs", shape, dtype=dtype, dims=dims, unit=unit)
        else:
            rows, kind = spec.rows_together, spec.compression
            inputs = netcdf.add_blocks(
                self._file, "inputs", shape, dtype=dtype, dims=dims, unit=unit, rows=rows, compression=kind
            )
        if spec.packing.integer:
            inputs.attrs["scale_factor"], inputs.attrs["add_offset"] = spec.packing.scale, spec.packing.offset
        return inputs

    def _add_column(self, path: str, values: Array) -> None:
        if "/" not in path:
            netcdf.add_array(self._file, path, values, dims=("sample",))
            return
        kind, name = path.split("/")
        if kind == "splits":
            netcdf.set_flags(netcdf.add_array(self._file, path, values, dims=("sample",)), PARTS)
            return
        unit = (self._spec.targets if kind == "targets" else self._spec.parameters)[name]
        array = netcdf.add_array(self._file, path, values, dims=("sample",), unit=unit or "1", missing=np.nan)
        if kind == "targets" and name in self._spec.valid_min:
            array.attrs["valid_min"] = float(self._spec.valid_min[name])

    def _maps_of(self, record: Record) -> dict[str, Array]:
        """Return the truth and regions of a record, those that were not computed left out."""
        maps: dict[str, Array] = {}
        for (target, kind), values in record.truth.items():
            known = np.asarray(values, dtype=np.float32)
            if not np.all(np.isnan(known)):
                maps[f"truth/{target}/{kind}"] = known
        if record.regions is not None:
            maps["regions"] = np.asarray(record.regions, dtype=np.uint8)
        return maps

    def _put(self, name: str, values: Array) -> None:
        self._large[name][self._row] = values
        self._digests[name][self._row] = digest_of(values)

    def _put_input(self, record: Record) -> None:
        """Store the input; many are written at once: a call costs more than small ones do, half a chunk twice."""
        try:
            stored = self._packing.pack(record.x)
        except ValueError as error:
            reason = f"{self._path} row {self._row} (id {record.id!r}): x must be {error}."
            raise DataError(f"{reason} Choose another scale and offset, or float32.") from None
        self._digests["inputs"][self._row] = digest_of(stored)
        self._block[self._row % len(self._block)] = stored
        if (self._row + 1) % len(self._block) == 0:
            self._large["inputs"][self._row + 1 - len(self._block) : self._row + 1] = self._block

    def _flush_block(self) -> None:
        """Write the rows of a last chunk that is not full."""
        rest = self._row % len(self._block)
        if rest:
            self._large["inputs"][self._row - rest : self._row] = self._block[:rest]

    def _check(self, record: Record) -> None:
        spec = self._spec
        if self._row >= spec.count:
            self._refuse("the records", f"{spec.count} as declared", "more")
        self._check_id(record.id)
        self._check_shape("x", record.x, spec.input_shape)
        self._check_known("a target", record.targets, spec.targets)
        for name, least in spec.valid_min.items():
            if record.targets.get(name, least) < least:
                self._refuse(f"target {name!r}", f"at least {least:g}, its valid_min", record.targets[name])
        self._check_known("a parameter", record.parameters, spec.parameters)
        self._check_known("a truth", record.truth, spec.truth)
        for name in spec.parameters:
            if name not in record.parameters:
                self._refuse(f"parameter {name!r}", "given for every sample", "none")
        for name in spec.splits:
            part = record.split.get(name)
            if part not in PARTS:
                self._refuse(f"split {name!r}", f"one of {', '.join(PARTS)}", repr(part))
        for (target, kind), values in record.truth.items():
            self._check_shape(f"truth {target}/{kind}", values, spec.space)
        self._check_regions(record.regions)
        self._check_weight(record)

    def _check_id(self, name: str) -> None:
        if not name or "\x00" in name:
            self._refuse("the id", "a text without zero bytes, not empty", repr(name))
        row = self._ids.row_of(name)
        if row is not None:
            self._refuse("the id", "unique", f"{name!r}, which row {row} has too")

    def _check_shape(self, what: str, values: Array, shape: tuple[int, ...]) -> None:
        if np.shape(values) != shape:
            self._refuse(what, f"of shape {shape}", np.shape(values))
        if np.asarray(values).dtype.kind not in "fiub":
            self._refuse(what, "real numbers", np.asarray(values).dtype)

    def _check_known(self, what: str, given: Mapping[Any, object], known: Mapping[Any, str]) -> None:
        for key in given:
            if key not in known:
                words = ["/".join(word) if isinstance(word, tuple) else word for word in known]
                word = "/".join(key) if isinstance(key, tuple) else key
                self._refuse(what, f"one of {', '.join(words) or 'none'}", repr(word), nearest(word, words))

    def _check_regions(self, regions: Array | None) -> None:
        if regions is None:
            return
        self._check_shape("regions", regions, self._spec.space)
        highest = int(np.max(regions))
        if highest >= len(self._spec.regions) or int(np.min(regions)) < 0:
            self._refuse("the code of a region", f"0 to {len(self._spec.regions) - 1}", highest)

    def _check_weight(self, record: Record) -> None:
        if not (np.isfinite(record.weight) and record.weight >= 0):
            self._refuse("the weight", "finite and not negative", record.weight)
        if record.weight != 1.0 and not self._spec.weighted:
            self._refuse("the weight", "1, for the data set is declared without weights", record.weight)
        if record.length is None:
            return
        if not self._spec.lengths:
            self._refuse("the length", "left out, for the data set is declared without lengths", record.length)
        if not 1 <= record.length <= self._spec.space[-1]:
            self._refuse("the length", f"1 to {self._spec.space[-1]} cells", record.length)

    def _refuse(self, what: str, allowed: str, got: object, next_step: str = "") -> None:
        where = f"{self._path} row {self._row}"
        raise DataError(explained(where=where, what=what, allowed=allowed, got=got, next_step=next_step))


def _attributes(spec: DatasetSpec) -> dict[str, str]:
    made_by = origin.current_origin()
    return {
        "schema": SCHEMA,
        "name": spec.name,
        "source": spec.source,
        "licence": spec.licence,
        "created_with": spec.created_with,
        "notes": spec.notes,
        "axes": " ".join(axis.name for axis in spec.axes),
        "symmetries": " ".join(spec.symmetries),
        **({origin.ATTRIBUTE: made_by.as_text()} if made_by else {}),
    }


def _small_arrays(file: h5py.File) -> list[str]:
    """Return the paths of the arrays that get one digest in all, in the order of the file."""
    paths: list[str] = []

    def visit(path: str, thing: h5py.Group | h5py.Dataset) -> None:
        bare = isinstance(thing, h5py.Group) or path in ("sample", "bound")
        if not bare and not path.startswith("digests/") and digest_path(path) not in file:
            paths.append(path)

    file.visititems(visit)
    return sorted(paths)


def _check_room(path: Path, spec: DatasetSpec) -> None:
    """Refuse before the first byte where the inputs alone do not fit on the disk; how far they shrink is not known."""
    needed = 0 if spec.compression else spec.packing.stored.itemsize * spec.count * int(np.prod(spec.input_shape))
    free = shutil.disk_usage(path.resolve().parent).free if path.resolve().parent.is_dir() else needed
    if free < needed:
        raise DataError(
            explained(
                where=str(path),
                what="the disk",
                allowed=f"free by at least {needed:,} bytes",
                got=f"{free:,} bytes",
                next_step="Make room, choose another folder, or ask for fewer samples",
            )
        )
