"""What is in a data file, told without reading what is large."""

from __future__ import annotations

__all__ = ["DatasetInfo", "TreeInfo", "describe", "describe_dataset"]

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ram.axes import Axis
from ram.data.dataset import Dataset, open_dataset
from ram.data.info_finds import find
from ram.data.info_foreign import TreeInfo
from ram.data.origin import ATTRIBUTE, Origin
from ram.data.spec import PARTS, SCHEMA
from ram.storage import guarded, hdf5


@dataclass(frozen=True)
class DatasetInfo:
    """What a `ram-dataset/1` file holds."""

    content: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON can hold it; numbers that are missing are None."""
        return dict(self.content)

    def as_text(self, *, width: int = 100) -> str:  # noqa: ARG002  its tables are as wide as their words
        """Return it as a page for a terminal."""
        content = self.content
        head = [(key, content[key]) for key in ("file", "schema", "name", "source", "licence", "created_with", "notes")]
        facts = [
            *([("made by", content["recipe"])] if content["recipe"] else []),
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


def describe(path: str | os.PathLike[str]) -> DatasetInfo | TreeInfo:
    """Return what is in a file: of a `ram-dataset/1` file its samples, of any other HDF5 file its tree.

    Only small arrays are read, and nothing outside the file.

    Raises
    ------
    DataError
        Missing, not HDF5 (the message says what it is), damaged; a `ram-dataset/1` file that leads to other files.
    """
    place = hdf5.check_is_hdf5(path)
    if hdf5.schema_of(place) == SCHEMA:
        return describe_dataset(open_dataset(place))
    facts = guarded.survey(place)
    return TreeInfo(place, facts, find(facts, file=place.name))


def describe_dataset(data: Dataset) -> DatasetInfo:
    """Return what an opened data set holds, a mapped file's too."""
    return DatasetInfo(_dataset(data))


def _recipe(data: Dataset) -> str:
    """Return the recipe that made a file, with its options as the command takes them."""
    origin = Origin.from_text(data.attributes.get(ATTRIBUTE, ""))
    if origin is None:
        return ""
    return " ".join([origin.recipe, *(f"--{name.replace('_', '-')} {value}" for name, value in origin.options.items())])


def _dataset(data: Dataset) -> dict[str, Any]:
    parts = {split: data.split_array(split) for split in data.splits}
    texts = {
        key: data.attributes.get(key, "") for key in ("schema", "name", "source", "licence", "created_with", "notes")
    }
    return {
        "file": str(data.path),
        **texts,
        "recipe": _recipe(data),
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
