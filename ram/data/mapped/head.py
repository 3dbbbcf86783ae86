"""From a mapping to names, units, axes and one value a sample."""

from __future__ import annotations

__all__ = ["Layout", "lay_out"]

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ram.axes import Axis
from ram.data.head import Head
from ram.data.mapped.columns import numbers_along, optional_series_of, series_of
from ram.data.mapped.finding import find_inputs
from ram.data.mapped.grids import grids_of
from ram.data.mapped.inputs import Inputs
from ram.data.mapped.labels import Labels, labels_of
from ram.data.mapped.lengths import said_of, windows_of
from ram.data.mapped.places import Places
from ram.data.mapped.settings import DataMapping, Quantity
from ram.data.mapped.windows import Windows
from ram.data.spec import DatasetSpec

_SPLIT = "default"


@dataclass(frozen=True, eq=False)
class Layout:
    """All that is known of a mapped file before its inputs are read.

    Attributes
    ----------
    whole
        Whether each sample is a record of its own.
    paths
        Name as in a `ram-dataset/1` file (``"inputs"``, ``"targets/f1"``) -> path in this file.
    """

    head: Head
    inputs: Inputs
    windows: Windows
    whole: bool
    paths: Mapping[str, str]

    @functools.cached_property
    def beginning(self) -> bytes:
        """All that gives the inputs' numbers their meaning, for the digest."""
        head, windows = self.head, self.windows
        words: list[Any] = [dict(head.channels), dict(head.targets), dict(head.parameters)]
        words += [head.attributes["symmetries"], windows.length, windows.hop]
        words += [[axis.name, axis.unit, axis.edges.tolist()] for axis in head.axes]
        words += [[part.conversion.scale.tolist(), part.conversion.offset.tolist()] for part in self.inputs.parts]
        columns = [name.encode() + values.tobytes() for name, values in sorted(head.columns.items())]
        cuts = [values.tobytes() for values in (windows.record, windows.begin, windows.ends)]
        return b"\0".join([json.dumps(words).encode(), *columns, *cuts])


def lay_out(places: Places, mapping: DataMapping, *, for_prediction: bool = False) -> Layout:
    """Return what a mapping makes of a file; no inputs are read.

    Parameters
    ----------
    for_prediction
        The file needs no targets, groups, weights and parts: those that are not there are left out.

    Raises
    ------
    DataError
        Something does not stand where the mapping says, or is not what it must be there.
    """
    inputs = find_inputs(places, mapping)
    grids = grids_of(places, mapping, inputs)
    whole = mapping.window is None and mapping.stretch is None
    windows = windows_of(places, mapping, inputs, grids[inputs.along])
    windows, labels = labels_of(
        places, mapping, inputs, windows, for_prediction=for_prediction, draw=bool(mapping.targets)
    )
    axes = [
        grid.axis(size if place != inputs.along else windows.length, windowed=place == inputs.along and not whole)
        for place, (grid, size) in enumerate(zip(grids, inputs.shape, strict=True))
    ]
    columns, units, said = _columns(places, mapping, inputs, windows, for_prediction=for_prediction)
    said += [part.conversion.said for part in inputs.parts] + [said_of(windows)]
    columns |= _column_of_lengths(windows)
    columns |= _columns_of_labels(labels)
    head = _head(
        places, mapping, inputs, tuple(axes), columns=columns, units=units, notes="; ".join(filter(None, said))
    )
    return Layout(head, inputs, windows, whole, _paths(places, mapping))


def _columns(
    places: Places, mapping: DataMapping, inputs: Inputs, windows: Windows, *, for_prediction: bool
) -> tuple[dict[str, NDArray[Any]], dict[str, dict[str, str]], list[str]]:
    """Return the columns, the units by kind and name, and what was converted."""
    wanted = [("targets", name, place) for name, place in mapping.targets.items()]
    wanted += [("parameters", name, place) for name, place in mapping.parameters.items()]
    wanted += [("weights", "", mapping.weights)] if mapping.weights else []
    columns: dict[str, NDArray[Any]] = {}
    units: dict[str, dict[str, str]] = {"targets": {}, "parameters": {}, "weights": {}}
    said = []
    for kind, name, place in wanted:
        key = f"{kind}.{name}".rstrip(".")
        if for_prediction and kind != "parameters" and optional_series_of(places, place.path, inputs, key=key) is None:
            continue
        series = series_of(places, place.path, inputs, key=key)
        values, conversion = numbers_along(places, place, series, windows, key=key, needed=kind != "weights")
        columns[f"{kind}/{name}".rstrip("/")] = values
        units[kind][name] = conversion.unit
        said.append(conversion.said)
    return columns, units, said


def _column_of_lengths(windows: Windows) -> dict[str, NDArray[Any]]:
    sizes = windows.sizes(np.arange(windows.count))
    return {"lengths": sizes} if (sizes < windows.length).any() else {}


def _columns_of_labels(labels: Labels) -> dict[str, NDArray[Any]]:
    return {
        "ids": np.char.encode(labels.ids, "utf-8"),
        "groups": np.char.encode(labels.groups, "utf-8"),
        f"splits/{_SPLIT}": labels.parts,
    }


def _head(
    places: Places,
    mapping: DataMapping,
    inputs: Inputs,
    axes: tuple[Axis, ...],
    *,
    columns: Mapping[str, NDArray[Any]],
    units: Mapping[str, Mapping[str, str]],
    notes: str,
) -> Head:
    # A specification holds names, units and symmetries to the same rules as a file of the package's own.
    spec = DatasetSpec(
        name=places.path.name, axes=axes, channels=_safe(inputs.channels), targets=units["targets"],
        parameters=units["parameters"], count=columns["ids"].size, symmetries=mapping.symmetries,
    )  # fmt: skip
    attributes = {"schema": "mapped", "name": places.path.stem, "source": "", "licence": "", "created_with": ""}
    attributes |= {"notes": notes, "axes": " ".join(inputs.space), "symmetries": " ".join(spec.symmetries)}
    return Head(
        attributes=attributes, axes=axes, channels=inputs.channels, targets=spec.targets, parameters=spec.parameters,
        truth={}, regions=(), splits=(_SPLIT,), columns=columns, digests={}, count=spec.count,
        inputs_begin=-1, digest="",
    )  # fmt: skip


def _safe(channels: Mapping[str, str]) -> dict[str, str]:
    """Channels are called as the file calls them, whatever letters that takes; their units are checked."""
    return {f"channel{number}": unit for number, unit in enumerate(channels.values())}


def _paths(places: Places, mapping: DataMapping) -> dict[str, str]:
    paths = {"inputs": ", ".join(places.whole(place.path) for place in mapping.inputs.values())}
    paths |= {f"targets/{name}": places.whole(place.path) for name, place in mapping.targets.items()}
    paths |= {f"parameters/{name}": places.whole(place.path) for name, place in mapping.parameters.items()}
    others = {"ids": mapping.ids, "groups": mapping.groups, f"splits/{_SPLIT}": mapping.split.path}
    others |= {"weights": mapping.weights.path if mapping.weights else None}
    others |= {"lengths": mapping.lengths.path if isinstance(mapping.lengths, Quantity) else None}
    return paths | {name: places.whole(path) for name, path in others.items() if path}
