"""The head of a data file: everything in it that is small, read and verified when the file is opened."""

from __future__ import annotations

__all__ = ["Head", "damaged", "read_head"]

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xxhash
from numpy.typing import NDArray

from ram.axes import Axis
from ram.data import origin
from ram.data.layout import digest_of, digest_path
from ram.data.packing import Packing
from ram.data.spec import SCHEMA
from ram.data.stored import stored_inputs
from ram.data.units import checked_unit
from ram.errors import DataError, explained
from ram.storage import hdf5

Digests = Mapping[str, NDArray[np.uint64]]
_COLUMNS = ("targets", "parameters", "splits")


@dataclass(frozen=True, eq=False)
class Head:
    """Names, units, axes and one value a sample.

    ``columns`` holds the small arrays by their path (``"ids"``, ``"targets/umbrella"``), ``digests`` one digest
    a sample for the large ones, ``digest`` stands for the whole file. ``inputs_begin`` is where inputs in one piece
    begin in the file; where they lie in chunks, ``block_rows`` is the number of rows in one, else 0.
    """

    attributes: Mapping[str, str]
    axes: tuple[Axis, ...]
    channels: Mapping[str, str]
    targets: Mapping[str, str]
    parameters: Mapping[str, str]
    truth: Mapping[tuple[str, str], str]
    regions: tuple[str, ...]
    splits: tuple[str, ...]
    columns: Mapping[str, NDArray[Any]] = field(repr=False)
    digests: Digests = field(repr=False)
    count: int
    inputs_begin: int
    digest: str
    packing: Packing = field(default_factory=Packing)
    block_rows: int = 0
    valid_min: Mapping[str, float] = field(default_factory=dict)

    @property
    def weights(self) -> NDArray[np.float64] | None:
        """One a sample, or None where the samples are not weighted."""
        return self._optional("weights")

    @property
    def lengths(self) -> NDArray[np.int64] | None:
        """Measured cells along the last axis, one a sample, or None where there is no padding."""
        return self._optional("lengths")

    def _optional(self, name: str) -> NDArray[Any] | None:
        return None if any(axis.name == name for axis in self.axes) else self.columns.get(name)

    @property
    def space(self) -> tuple[int, ...]:
        """Number of cells along each axis."""
        return tuple(axis.size for axis in self.axes)


def read_head(file: h5py.File, path: Path) -> Head:
    """Return the head of an open file; every small array in it is verified against its digest.

    Texts are of fixed length, as ram writes them: the library can crash on damaged texts of varying length.

    Raises
    ------
    DataError
        Another schema, something that leads to another file, a part that is missing or damaged, a unit that is none,
        shapes that do not fit.
    """
    _check_schema(file, path)
    hdf5.check_inside(file, path)
    attributes = {name: hdf5.fixed_text(file, name) for name in sorted(file.attrs) if not name.startswith("_")}
    digests = _read_digests(file, path)
    columns = {name: _column(file, path, name, digests) for name in digests if digests[name].ndim == 0}
    count = int(file["inputs"].shape[0])
    _check_complete(file, path, count, digests)
    stored = stored_inputs(file, path)
    return Head(
        attributes=attributes,
        axes=tuple(_axis(file, path, name, columns) for name in attributes["axes"].split()),
        channels=dict(zip(_texts(columns["channel"]), _texts(columns["channel_units"]), strict=True)),
        targets=_units_in(file, path, "targets"),
        parameters=_units_in(file, path, "parameters"),
        truth={tuple(name.split("/")[1:]): _unit(file, path, name) for name in _truth_maps(file)},  # type: ignore[misc]
        regions=tuple(hdf5.fixed_text(file["regions"], "flag_meanings").split()) if "regions" in file else (),
        splits=tuple(file.get("splits", {})),
        columns=columns,
        digests={name: values for name, values in digests.items() if values.ndim == 1},
        count=count,
        inputs_begin=0 if stored.rows else _plain_begin(file, path, "inputs"),
        digest=_digest_of_file(file, attributes, digests, stored.packing),
        packing=stored.packing,
        block_rows=stored.rows,
        valid_min=_valid_min(file),
    )


def damaged(path: Path, inside: str) -> DataError:
    """Return the error for values that are not those that were written."""
    return DataError(
        explained(
            where=f"{path}:/{inside}",
            what="the values",
            allowed="those that were written",
            got="another digest",
            next_step="The file is damaged; take it from its source again or make it again",
        )
    )


def _check_schema(file: h5py.File, path: Path) -> None:
    """Raise a DataError where an open file is none of ram's; nothing else in it has been looked at."""
    schema = hdf5.fixed_text(file, "schema")
    if schema != SCHEMA:
        raise DataError(
            explained(
                where=f"{path}:/ attribute schema",
                what="the schema",
                allowed=repr(SCHEMA),
                got=repr(schema) if schema else "none",
                next_step="It is a file of another schema; `ram data info` shows what is in it",
            )
        )


def _read_digests(file: h5py.File, path: Path) -> dict[str, NDArray[np.uint64]]:
    names: list[str] = []
    file["digests"].visititems(lambda name, thing: names.append(name) if isinstance(thing, h5py.Dataset) else None)
    arrays = [name.removesuffix("_xxh3") for name in names]
    for name in arrays:
        _plain_begin(file, path, digest_path(name), dtype="<u8")
    return {name: np.asarray(file[digest_path(name)][()]) for name in arrays}


def _column(file: h5py.File, path: Path, name: str, digests: Digests) -> NDArray[Any]:
    _plain_begin(file, path, name)
    values = np.asarray(file[name][()])
    if digest_of(values) != digests[name]:
        raise damaged(path, name)
    return values


def _plain_begin(file: h5py.File, path: Path, name: str, *, dtype: str = "") -> int:
    """Return where an array begins that lies in one piece in the file, so that its size is no mere claim."""
    array = file[name]
    begin, stored = array.id.get_offset(), array.id.get_storage_size()
    inside = begin is not None and stored == array.nbytes and begin + stored <= path.stat().st_size
    if not inside or (dtype and array.dtype != np.dtype(dtype)):
        raise DataError(
            explained(
                where=f"{path}:/{name}",
                what="the array",
                allowed=f"{dtype or array.dtype}, {array.nbytes:,} bytes in one piece inside the file",
                got=f"{array.dtype}, {stored:,} bytes at {begin}",
                next_step="The file is cut short or was not written by ram; make it again",
            )
        )
    return int(begin)


def _check_complete(file: h5py.File, path: Path, count: int, digests: Digests) -> None:
    """Hold every array to its shape, and to have the digest that it must have, before anything is read by it."""
    space = tuple(file[name].shape[0] for name in hdf5.fixed_text(file, "axes").split())
    channels = file["channel"].shape[0]
    shapes = {"inputs": (count, channels, *space), "ids": (count,), "groups": (count,)}
    shapes |= {f"{kind}/{name}": (count,) for kind in _COLUMNS for name in file.get(kind, ())}
    shapes |= dict.fromkeys(_truth_maps(file), (count, *space))
    shapes |= {"regions": (count, *space)} if "regions" in file else {}
    shapes |= {"truth/reference": (channels, *space)} if "truth/reference" in file else {}
    shapes |= {name: (count,) for name in ("weights", "lengths") if name in file and not file[name].is_scale}
    for name, shape in shapes.items():
        whole = name in _COLUMNS or len(shape) == 1 or name == "truth/reference"
        _check_shape(path, name, file[name].shape, shape)
        _check_shape(
            path, digest_path(name), digests[name].shape if name in digests else None, () if whole else (count,)
        )


def _check_shape(path: Path, name: str, got: tuple[int, ...] | None, allowed: tuple[int, ...]) -> None:
    if got != allowed:
        raise DataError(
            explained(
                where=f"{path}:/{name}",
                what="the array",
                allowed=f"there with shape {allowed}",
                got="none" if got is None else got,
                next_step="The file was changed after it was written; make it again",
            )
        )


def _axis(file: h5py.File, path: Path, name: str, columns: Mapping[str, NDArray[Any]]) -> Axis:
    bounds = columns[f"{name}_bounds"]
    edges = np.append(bounds[:, 0], bounds[-1, 1])
    return Axis(name, _unit(file, path, name), columns[name], edges, hdf5.fixed_text(file[name], "long_name"))


def _truth_maps(file: h5py.File) -> list[str]:
    group = file.get("truth", {})
    return [f"truth/{target}/{kind}" for target in group if target != "reference" for kind in group[target]]


def _units_in(file: h5py.File, path: Path, kind: str) -> dict[str, str]:
    return {name: _unit(file, path, f"{kind}/{name}") for name in file.get(kind, ())}


def _valid_min(file: h5py.File) -> dict[str, float]:
    """Return the least value that a target can have, of those that say so; what is no number says nothing."""
    found = {name: hdf5.fixed_number(target, "valid_min") for name, target in file.get("targets", {}).items()}
    return {name: value for name, value in found.items() if value is not None}


def _unit(file: h5py.File, path: Path, name: str) -> str:
    where = f"{path}:/{name} attribute units"
    if "units" not in file[name].attrs:
        raise DataError(explained(where=where, what="the unit", allowed="given", got="none"))
    return checked_unit(hdf5.fixed_text(file[name], "units"), where=where)


def _texts(values: NDArray[Any]) -> list[str]:
    return [value.decode() for value in values.tolist()]


def _digest_of_file(file: h5py.File, attributes: Mapping[str, str], digests: Digests, packing: Packing) -> str:
    """Return one digest of all digests and of every unit, text and scale that gives the values their meaning."""
    units = {name: hdf5.fixed_text(file[name], "units") for name in sorted(digests)}
    words = {name: text for name, text in attributes.items() if name != origin.ATTRIBUTE}
    meaning = [words, units, *([astuple(packing)] if packing.integer else [])]
    total = xxhash.xxh3_128(json.dumps(meaning).encode())
    for name in sorted(digests):
        total.update(name.encode() + b"\0" + digests[name].tobytes())
    return total.hexdigest()
