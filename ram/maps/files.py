"""Maps in a file: HDF5 that is valid netCDF-4, one group for each map, written whole or not at all.

Each group carries what a reader needs to make sense of it: contributions with their unit, the cells' axes with
edges, baseline, prediction, residual, ids, grade, method and reference.
"""

from __future__ import annotations

__all__ = ["load_maps", "save_maps"]

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from ram.axes import Axis
from ram.errors import DataError, explained
from ram.storage.atomic import writing
from ram.storage.hdf5 import create, open_safely, read_text, reading
from ram.storage.netcdf import set_text

if TYPE_CHECKING:
    from ram.maps.regression_map import RegressionMap

_SCHEMA = "ram-maps/1"


def save_maps(path: str | os.PathLike[str], maps: Mapping[str, RegressionMap]) -> None:
    """Write maps by name, such as ``{"umbrella": ..., "tilt": ...}``, to one file.

    A name may hold slashes: ``"train-mean/umbrella"`` is found again by ``load_maps(path, prefix="train-mean")``.

    Raises
    ------
    DataError
        Where the file cannot be written, or a map has no samples.
    """
    _write_maps(path, maps)


def load_maps(path: str | os.PathLike[str], *, prefix: str = "") -> dict[str, RegressionMap]:
    """Return the maps in a file by name, those below `prefix` by the rest of their name.

    Raises
    ------
    DataError
        Where the file is missing, damaged or of another schema, or has no maps below `prefix`.
    """
    return {name: _from_fields(fields) for name, fields in _read_maps(path, prefix=prefix).items()}


def _from_fields(fields: Mapping[str, Any]) -> RegressionMap:
    from ram.maps.ensemble_map import EnsembleMap
    from ram.maps.regression_map import RegressionMap

    members = fields.get("members")
    return RegressionMap(**fields) if members is None else EnsembleMap.of([RegressionMap(**one) for one in members])


def _write_maps(path: str | os.PathLike[str], maps: Mapping[str, RegressionMap]) -> None:
    """Write maps by name; a name may hold slashes.

    Raises
    ------
    DataError
        Where the file cannot be written, or there is nothing to write.
    """
    for name, one in maps.items():
        if not len(one):
            raise DataError(explained(where=str(path), what=f"the map {name}", allowed="of 1 sample or more", got=0))
    with writing(path) as temporary, create(temporary) as file:
        set_text(file, "schema", _SCHEMA)
        for name, one in maps.items():
            group = file.create_group(name, track_order=True)
            _write(group, one)
            _write_members(group, one)


def _read_maps(path: str | os.PathLike[str], *, prefix: str = "") -> dict[str, dict[str, Any]]:
    """Return the fields of each map in a file by name, those below `prefix` by the rest of their name.

    Raises
    ------
    DataError
        Where the file is missing, damaged or of another schema, or has no maps below `prefix`.
    """
    with open_safely(path) as file, reading(path):
        schema = read_text(file, "schema")
        if schema != _SCHEMA:
            raise DataError(explained(where=str(path), what="the schema", allowed=_SCHEMA, got=schema or "none"))
        found = dict(_groups(file, ""))
        start = f"{prefix.strip('/')}/" if prefix else ""
        maps = {name.removeprefix(start): _read(group) for name, group in found.items() if name.startswith(start)}
    if prefix and not maps:
        allowed = f"the beginning of one of {', '.join(found)}"
        raise DataError(explained(where=str(path), what="the prefix of maps", allowed=allowed, got=prefix))
    return maps


def _groups(parent: h5py.Group, path: str) -> Iterator[tuple[str, h5py.Group]]:
    """Yield the groups that hold a map, by their path."""
    for name, child in parent.items():
        if isinstance(child, h5py.Group):
            place = f"{path}{name}"
            if "contributions" in child:
                yield place, child
            else:
                yield from _groups(child, f"{place}/")


def _write_members(group: h5py.Group, one: RegressionMap) -> None:
    """Write what an ensemble's map has besides: disagreement, and the members' own maps."""
    from ram.maps.ensemble_map import EnsembleMap

    if isinstance(one, EnsembleMap):
        dims = ["map", *(axis.name for axis in one.axes)]
        _array(group, "deviation", one.deviation, dims, "1" if one.log else one.map_unit)
        _array(group, "disputed", one.disputed.astype(np.int8), dims)
        for number, member in enumerate(one.members):
            _write(group.create_group(f"members/{number:03d}", track_order=True), member)


def _write(group: h5py.Group, one: RegressionMap) -> None:
    for name in ("target", "unit", "grade", "method", "reference"):
        set_text(group, name, getattr(one, name))
    if one.map_unit != one.unit:
        set_text(group, "map_unit", one.map_unit)
    group.attrs["log"] = np.int8(one.log)
    _scale(group, "map", np.arange(len(one), dtype=np.float64))  # not "sample": an axis may be called so
    cells = [_write_axis(group, axis, axis.name) for axis in one.axes]
    for axis in one.input_axes:
        _write_axis(group, axis, f"input_{axis.name}")
    unit = "1" if one.log else one.map_unit
    _array(group, "contributions", one.contributions, ["map", *cells], unit)
    _array(group, "residual", one.residual, ["map"], unit)
    _array(group, "baseline", one.baseline, ["map"], one.unit)
    _array(group, "prediction", one.prediction, ["map"], one.unit)
    _array(group, "ids", _texts(one.ids), ["map"])
    if one.correction.size:
        _array(group, "correction", one.correction, ["map"], "1")
    if one.ends.size:
        _array(group, "ends", one.ends, ["map"], one.axes[-1].unit)
    if one.parameter_names:
        _scale(group, "parameter", _texts(one.parameter_names))
        _array(group, "parameter_contributions", one.parameter_contributions, ["map", "parameter"], unit)
    if one.part_names:
        _write_parts(group, one, cells, unit)
    set_text(group, "axes", " ".join(axis.name for axis in one.axes))
    if one.receptive_field:
        group.attrs["receptive_field"] = np.array(one.receptive_field)


def _write_parts(group: h5py.Group, one: RegressionMap, cells: list[str], unit: str) -> None:
    _scale(group, "part", _texts(one.part_names))
    set_text(group["part"], "long_name", one.part_kind)
    _array(group, "part_contributions", one.part_contributions, ["map", "part", *cells], "" if one.part_units else unit)
    if one.part_units:
        _array(group, "part_unit", _texts(one.part_units), ["part"])


def _read_parts(group: h5py.Group) -> dict[str, Any]:
    if "part" not in group:
        return {}
    return {
        "part_names": tuple(group["part"].asstr()[()]),
        "part_kind": read_text(group["part"], "long_name"),
        "part_contributions": group["part_contributions"][()],
        "part_units": tuple(group["part_unit"].asstr()[()]) if "part_unit" in group else (),
    }


def _read(group: h5py.Group) -> dict[str, Any]:
    """Return the fields of a map; of an ensemble's map those of its members, ``{"members": [...]}``, which say all."""
    if "members" in group:
        return {"members": [_read(group["members"][key]) for key in sorted(group["members"])]}
    names = read_text(group, "axes").split()
    parameters = tuple(group["parameter"].asstr()[()]) if "parameter" in group else ()
    return dict(
        contributions=group["contributions"][()],
        baseline=group["baseline"][()],
        prediction=group["prediction"][()],
        axes=tuple(_read_axis(group, name, name) for name in names),
        input_axes=tuple(_read_axis(group, f"input_{name}", name) for name in names),
        parameter_contributions=group["parameter_contributions"][()] if parameters else np.empty((0, 0)),
        parameter_names=parameters,
        ids=tuple(group["ids"].asstr()[()]),
        log=bool(group.attrs["log"]),
        correction=group["correction"][()] if "correction" in group else np.empty(0),
        ends=group["ends"][()] if "ends" in group else np.empty(0),
        map_unit=read_text(group, "map_unit"),
        receptive_field=tuple(map(float, group.attrs.get("receptive_field", ()))),
        **_read_parts(group),
        **{name: read_text(group, name) for name in ("target", "unit", "grade", "method", "reference")},
    )


def _write_axis(group: h5py.Group, axis: Axis, name: str) -> str:
    scale = _scale(group, name, axis.centres)
    set_text(scale, "units", axis.unit)
    set_text(scale, "long_name", axis.long_name or axis.name)
    _scale(group, f"{name}_edge", axis.edges)
    set_text(group[f"{name}_edge"], "units", axis.unit)
    return name


def _read_axis(group: h5py.Group, stored: str, name: str) -> Axis:
    scale = group[stored]
    long_name = read_text(scale, "long_name")
    edges = group[f"{stored}_edge"][()]
    return Axis(name, read_text(scale, "units"), scale[()], edges, "" if long_name == name else long_name)


def _scale(group: h5py.Group, name: str, values: Any) -> h5py.Dataset:
    scale = group.create_dataset(name, data=values, track_times=False)
    scale.make_scale(name)
    return scale


def _array(group: h5py.Group, name: str, values: Any, dims: list[str], unit: str = "") -> None:
    array = group.create_dataset(name, data=values, track_times=False)
    for number, dim in enumerate(dims):
        array.dims[number].attach_scale(group[dim])
    if unit:
        set_text(array, "units", unit)


def _texts(values: tuple[str, ...]) -> Any:
    """Fixed-length texts: variable-length ones lie in a heap that no checksum covers."""
    encoded = np.array([value.encode() for value in values], dtype=np.bytes_)
    return encoded.astype(h5py.string_dtype("utf-8", max(1, encoded.dtype.itemsize)))
