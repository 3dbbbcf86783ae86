"""A data set as arrays with names, for xarray."""

from __future__ import annotations

__all__ = ["as_tree"]

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ram.data.dataset import Dataset
from ram.errors import DataError, explained

if TYPE_CHECKING:
    import xarray

Array = NDArray[Any]


def as_tree(data: Dataset) -> xarray.DataTree:
    """Return a view as a tree; paths are those of the file, large arrays are read when they are asked for."""
    _check_installed()
    import xarray

    space = tuple(axis.name for axis in data.axes)
    groups: dict[str, dict[str, Any]] = {"/": {"inputs": _inputs(data, space)}}
    for kind, units, values in (
        ("targets", data.targets, data.target_array()),
        ("parameters", data.parameters, data.parameter_array()),
    ):
        columns = zip(units, units.values(), values.T, strict=True)
        groups[kind] = {name: ("sample", column, {"units": unit}) for name, unit, column in columns}
    groups["splits"] = {name: ("sample", data.split_array(name)) for name in data.splits}
    for (target, kind), unit in data.truth_kinds.items():
        array = _truth(data, target, kind, space)
        groups.setdefault(f"truth/{target}", {})[kind] = (("sample", *space), array, {"units": unit})
    if data.region_names:
        attributes = {"flag_meanings": " ".join(data.region_names)}
        groups["/"]["regions"] = (("sample", *space), _regions(data, space), attributes)
    parts = {name: xarray.Dataset(arrays) for name, arrays in groups.items() if arrays}
    parts["/"] = parts["/"].assign_coords(_coordinates(data)).assign_attrs(data.attributes)
    tree: xarray.DataTree = xarray.DataTree.from_dict(parts, name=data.name)
    return tree


def _coordinates(data: Dataset) -> dict[str, Any]:
    axes = {
        axis.name: (axis.name, axis.centres, {"units": axis.unit, "long_name": axis.long_name or axis.name})
        for axis in data.axes
    }
    return {
        "channel": list(data.channels),
        "channel_units": ("channel", list(data.channels.values())),
        "sample": data.ids,
        "group": ("sample", data.groups),
        "weight": ("sample", data.weights),
        "length": ("sample", data.lengths),
        **axes,
    }


def _inputs(data: Dataset, space: tuple[str, ...]) -> Any:
    shape = (len(data), len(data.channels), *(axis.size for axis in data.axes))
    units = set(data.channels.values())
    attributes = {"units": units.pop()} if len(units) == 1 else {}
    return (("sample", "channel", *space), _lazily(data.x, shape, np.dtype(np.float32)), attributes)


def _truth(data: Dataset, target: str, kind: str, space: tuple[str, ...]) -> Any:
    shape = (len(data), *(axis.size for axis in data.axes[: len(space)]))
    return _lazily(lambda rows: data[rows].truth_array(target, kind), shape, np.dtype(np.float32))


def _regions(data: Dataset, space: tuple[str, ...]) -> Any:
    shape = (len(data), *(axis.size for axis in data.axes[: len(space)]))
    return _lazily(lambda rows: data[rows].regions_array(), shape, np.dtype(np.uint8))


def _lazily(read: Callable[[NDArray[np.int64]], Array], shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Return an array for xarray that reads rows when they are asked for."""
    from xarray.backends import BackendArray
    from xarray.core import indexing

    class Lazy(BackendArray):
        def __init__(self) -> None:
            self.shape, self.dtype = shape, dtype

        def __getitem__(self, key: Any) -> Array:
            kind = indexing.IndexingSupport.OUTER
            return np.asarray(indexing.explicit_indexing_adapter(key, shape, kind, self._read))

        def _read(self, key: tuple[Any, ...]) -> Array:
            rows = np.arange(shape[0])[key[0]]
            values = read(np.atleast_1d(rows))
            for axis, one in enumerate(key[1:], start=1):
                # Kept as an axis of one cell until all are done, so that the later ones stay where they are.
                values = values.take(np.atleast_1d(np.arange(shape[axis])[one]), axis=axis)
            return values.reshape(
                [size for size, one in zip(values.shape, key, strict=True) if np.ndim(one) or isinstance(one, slice)]
            )

    return indexing.LazilyIndexedArray(Lazy())


def _check_installed() -> None:
    if importlib.util.find_spec("xarray") is None:
        step = "pip install 'regression-activation-mapping[netcdf]'"
        raise DataError(
            explained(where="to_xarray()", what="the package xarray", allowed="installed", got="none", next_step=step)
        )
