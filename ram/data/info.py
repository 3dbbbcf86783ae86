"""What is in a data file, told without reading what is large."""

from __future__ import annotations

__all__ = ["DatasetInfo", "TreeInfo", "describe"]

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ram.axes import Axis
from ram.data.dataset import Dataset, open_dataset
from ram.data.spec import PARTS, SCHEMA
from ram.storage import hdf5

_LONGEST_TEXT = 60
_MOST_VALUES = 1_000


@dataclass(frozen=True)
class DatasetInfo:
    """What a `ram-dataset/1` file holds."""

    content: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON can hold it; numbers that are missing are None."""
        return dict(self.content)

    def as_text(self) -> str:
        """Return it as a page for a terminal."""
        content = self.content
        head = [(key, content[key]) for key in ("file", "schema", "name", "source", "licence", "created_with", "notes")]
        facts = [
            ("digest", content["digest"]),
            ("size", f"{content['bytes']:,} bytes"),
            ("samples", f"{content['samples']:,} in {content['groups']:,} groups"),
            *((f"split {name}", _counts(parts)) for name, parts in content["splits"].items()),
            ("symmetries", ", ".join(content["symmetries"]) or "none"),
            ("regions", ", ".join(content["regions"]) or "none"),
        ]
        ranges = [[a["name"], a["unit"], a["cells"], f"{a['first']:g}", f"{a['last']:g}"] for a in content["axes"]]
        parts = [
            _facts([(key, text) for key, text in head if text] + facts),
            _table(["axis", "unit", "cells", "first", "last"], ranges),
            _table(["channel", "unit"], [[row["name"], row["unit"]] for row in content["channels"]]),
            _table(["target", *_STATISTICS], _statistics_rows(content["targets"])),
        ]
        if content["parameters"]:
            parts.append(_table(["parameter", *_STATISTICS], _statistics_rows(content["parameters"])))
        if content["truth"]:
            rows = [[row["target"], row["kind"], row["unit"], _counts(row["samples"])] for row in content["truth"]]
            parts.append(_table(["truth", "kind", "unit", "samples that have it"], rows))
        return "\n\n".join(parts)


@dataclass(frozen=True)
class TreeInfo:
    """The tree of any HDF5 file: names, shapes, types, units, chunks; links are named and not followed."""

    content: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        return dict(self.content)

    def as_text(self) -> str:
        """Return it as a page for a terminal."""
        content = self.content
        facts = [("file", content["file"]), ("schema", "none of ram's"), ("size", f"{content['bytes']:,} bytes")]
        facts += [(f"@{name}", text) for name, text in content["attributes"].items()]
        rows = [
            [node["path"], node["kind"], _shape(node), node.get("dtype", ""), node.get("unit", ""), _storage(node)]
            for node in content["tree"]
        ]
        return f"{_facts(facts)}\n\n{_table(['path', 'kind', 'shape', 'type', 'unit', 'stored'], rows)}"


def describe(path: str | os.PathLike[str]) -> DatasetInfo | TreeInfo:
    """Return what is in a file: of a `ram-dataset/1` file its samples, of any other HDF5 file its tree.

    Only small arrays are read, and nothing outside the file.

    Raises
    ------
    DataError
        Missing, not HDF5, damaged; a `ram-dataset/1` file that leads to other files.
    """
    place = Path(path)
    with hdf5.open_for_looking(place) as file, hdf5.reading(place):
        if hdf5.read_text(file, "schema") != SCHEMA:
            return TreeInfo(_tree(file, place))
    return DatasetInfo(_dataset(open_dataset(place)))


def _dataset(data: Dataset) -> dict[str, Any]:
    parts = {split: data.split_array(split) for split in data.splits}
    texts = {
        key: data.attributes.get(key, "") for key in ("schema", "name", "source", "licence", "created_with", "notes")
    }
    return {
        "file": str(data.path),
        **texts,
        "digest": data.digest,
        "bytes": data.path.stat().st_size,
        "samples": len(data),
        "groups": int(np.unique(data.groups).size),
        "splits": {split: _count_parts(values) for split, values in parts.items()},
        "axes": [_axis(axis) for axis in data.axes],
        "channels": [{"name": name, "unit": unit} for name, unit in data.channels.items()],
        "targets": [_statistics(data.target_array([name])[:, 0], name, unit) for name, unit in data.targets.items()],
        "parameters": [
            _statistics(data.parameter_array([name])[:, 0], name, unit) for name, unit in data.parameters.items()
        ],
        "truth": [_truth(data, target, kind, unit) for (target, kind), unit in data.truth_kinds.items()],
        "regions": list(data.region_names),
        "symmetries": list(data.symmetries),
    }


def _axis(axis: Axis) -> dict[str, Any]:
    """First and last are the ends of the outermost cells."""
    return {
        "name": axis.name,
        "unit": axis.unit,
        "cells": axis.size,
        "first": float(axis.edges[0]),
        "last": float(axis.edges[-1]),
    }


def _statistics(values: NDArray[np.float64], name: str, unit: str) -> dict[str, Any]:
    known = values[np.isfinite(values)]
    numbers = dict.fromkeys(("min", "median", "max")) if known.size == 0 else _quantiles(known)
    return {"name": name, "unit": unit, **numbers, "missing": int(values.size - known.size)}


def _quantiles(values: NDArray[np.float64]) -> dict[str, float]:
    low, middle, high = np.quantile(values, [0.0, 0.5, 1.0])
    return {"min": float(low), "median": float(middle), "max": float(high)}


def _truth(data: Dataset, target: str, kind: str, unit: str) -> dict[str, Any]:
    there = data.has_truth(target, kind)
    counts = _count_parts(data.split_array(data.splits[0])[there]) if data.splits else {"all": int(there.sum())}
    return {"target": target, "kind": kind, "unit": unit, "samples": counts}


def _count_parts(parts: NDArray[np.str_]) -> dict[str, int]:
    counts = Counter(parts.tolist())
    return {part: counts[part] for part in PARTS}


def _tree(file: h5py.File, path: Path) -> dict[str, Any]:
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "attributes": _attributes(file),
        "tree": [_described(file, node) for node in hdf5.nodes(file)],
    }


def _described(file: h5py.File, node: hdf5.Node) -> dict[str, Any]:
    found: dict[str, Any] = {"path": node.path, "kind": node.kind}
    if node.leads_to:
        found["leads_to"] = node.leads_to
    if node.kind in {"dataset", "virtual dataset", "external storage"}:
        found |= _array(file[node.raw])
    if node.kind in {"group", "dataset"}:
        found["attributes"] = _attributes(file[node.raw])
    return found


def _array(array: h5py.Dataset) -> dict[str, Any]:
    found: dict[str, Any] = {"shape": None if array.shape is None else list(array.shape), "dtype": _type(array.dtype)}
    found |= {"unit": _unit(array), "bytes": int(array.id.get_storage_size())}
    if array.chunks:
        found["chunks"] = list(array.chunks)
    filters = [name for name, on in (("shuffle", array.shuffle), ("fletcher32", array.fletcher32)) if on]
    filters += [array.compression] if array.compression else []
    return found | ({"filters": filters} if filters else {})


def _type(dtype: np.dtype[Any]) -> str:
    """Return a short word for a type: ``int16``, ``text``, ``compound of a, b``."""
    if h5py.check_string_dtype(dtype) is not None:
        return "text"
    if dtype.names:
        return f"compound of {', '.join(dtype.names)}"
    return "reference" if h5py.check_ref_dtype(dtype) else "varying" if dtype.kind == "O" else str(dtype)


def _unit(array: h5py.Dataset) -> str:
    """Return the unit under the names that files use for it."""
    names = [name for name in array.attrs if name.lower() in {"unit", "units"}]
    return hdf5.read_text(array, names[0]) if names else ""


def _attributes(holder: h5py.Group | h5py.Dataset) -> dict[str, str]:
    """Return attributes as short texts; those that netCDF needs for itself are left out."""
    hidden = {"DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME", "_Netcdf4Dimid", "_Netcdf4Coordinates"}
    return {name: _short(holder, name) for name in holder.attrs if name not in hidden}


def _short(holder: h5py.Group | h5py.Dataset, name: str) -> str:
    plan = holder.attrs.get_id(name)
    size = int(np.prod(plan.shape, dtype=np.int64)) if plan.shape is not None else 0
    if size > _MOST_VALUES:
        return f"({size:,} values)"
    value = "" if size == 0 else holder.attrs[name]
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"


_STATISTICS = ("unit", "min", "median", "max", "missing")


def _statistics_rows(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return [
        [row["name"], row["unit"], *(_number(row[key]) for key in ("min", "median", "max")), str(row["missing"])]
        for row in rows
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"


def _counts(parts: Mapping[str, int]) -> str:
    return ", ".join(f"{part} {count:,}" for part, count in parts.items())


def _shape(node: Mapping[str, Any]) -> str:
    if node.get("leads_to"):
        return f"-> {node['leads_to']}"
    shape = node.get("shape")
    return "" if shape is None else " x ".join(map(str, shape)) or "scalar"


def _storage(node: Mapping[str, Any]) -> str:
    chunks = f"chunks {' x '.join(map(str, node['chunks']))}" if "chunks" in node else ""
    return " ".join([chunks, *node.get("filters", [])]).strip()


def _facts(pairs: Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in pairs)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in pairs)


def _table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return columns set below each other, numbers to the right."""
    cells = [list(names), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(names))]
    right = [all(_is_number(row[column]) for row in cells[1:]) for column in range(len(names))]
    lines = [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _is_number(text: str) -> bool:
    return not text or text.replace(",", "").lstrip("-").replace(".", "").replace("e+", "").replace("e-", "").isdigit()
