"""What the page is answered: numbers with their words, and arrays to be drawn."""

from __future__ import annotations

__all__ = ["cohort", "column", "comparison", "map_answer", "overview", "samples", "within"]

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import ram
from ram.axes import Axis, readable
from ram.data.dataset import Dataset
from ram.data.material import fill_channel, material
from ram.errors import ConfigError, explained
from ram.evaluation.localisation import summed_on_cells
from ram.inspector.frames import frame
from ram.inspector.inspection import FILE_DESIGN, Inspection
from ram.inspector.questions import Cohort, Column, Comparison, MapOf, Within
from ram.inspector.words import Said, largest_of
from ram.maps.bounds import in_words
from ram.maps.ensemble_map import EnsembleMap
from ram.maps.fronts import SIDES, over_input
from ram.maps.plots import disputed_cells, flat, label_of, shown, title_of
from ram.maps.regression_map import GRADES, RegressionMap
from ram.runs.explaining import REFERENCES
from ram.views.findings import has_truth, regions_by, truth_in_unit

_MOST_IN_MEAN = 128
_LEAST_VOID = 0.02


def overview(looked: Inspection, *, simulator: str | None) -> bytes:
    """Return what the menus of the page hold."""
    run, data = looked.run, looked.data
    front = run._front is not None
    sides = SIDES if front else (None,)
    references = [*REFERENCES, *([FILE_DESIGN] if data.reference_design() is not None else [])]
    head = {
        "version": ram.__version__,
        "run": run.name,
        "file": data.path.name,
        "samples": len(data),
        "targets": [{"name": name, "unit": unit} for name, unit in run.units.items()],
        "channels": {side or "input": run.labels_of(side) for side in sides},
        "input_channels": dict(run.spec.channels),
        "axes": {side or "input": [_axis(axis) for axis in run.axes_of(side)] for side in sides},
        "methods": [
            {"name": one.name, "grade": one.grade, "kind": one.kind, "summary": one.summary, "cost": one.cost,
             "layer": one.looks_at_layer, "signal": one.kind == "input" and not one.needs_layer}
            for one in looked.methods
        ],
        "grades": dict(GRADES),
        "own_method": run.method,
        "layers": layers_of(looked),
        "references": references,
        "usual_reference": looked.usual_reference,
        "regions": list(data.region_names),
        "spectrogram": front,
        "simulator": simulator,
        "level": looked.predictions.level,
        "intervals": looked.predictions.has_intervals,
        "alarm": looked.predictions.alarm,
    }  # fmt: skip
    return frame(head, {})


def layers_of(looked: Inspection) -> list[str]:
    """Return the layers that a method may look at: the stages of the net."""
    names = [name for name, _ in looked.run._net[0].named_modules()]
    return ["backbone", *(name for name in names if name.startswith("backbone.") and name.count(".") == 2)]


def samples(looked: Inspection) -> bytes:
    """Return of all samples what does not depend on the target."""
    predictions, groups = looked.predictions, looked.data.groups
    names, codes = np.unique(groups, return_inverse=True)
    parts, part_codes = np.unique(predictions.part_of, return_inverse=True)
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "part": part_codes.astype(np.uint8),
        "group": codes.astype(np.uint32),
        "outside": predictions.is_outside.astype(np.uint8),
        "outside_p": predictions.outside.astype(np.float32),
    }
    return frame({"ids": predictions.ids.tolist(), "groups": names.tolist(), "parts": parts.tolist()}, arrays)


def column(looked: Inspection, question: Column) -> bytes:
    """Return measured and predicted values of one target, with intervals."""
    _require_target(looked, question.target)
    predicted, measured = looked.predictions.column(question.target)
    low, high = looked.predictions.interval(question.target)
    arrays = {"predicted": predicted, "measured": measured, "lower": low, "upper": high}
    unit, writer = looked.run.units[question.target], looked.writer(question.target)
    head = {"target": question.target, "unit": unit, "decimals": writer.decimals}
    return frame(head, {name: values.astype(np.float32) for name, values in arrays.items()})


def map_answer(looked: Inspection, question: MapOf) -> bytes:
    """Return a map with what it lies over, its regions, and what its sample is."""
    sample = looked.sample(question)
    maps = looked.map_of(question)
    said = Said(maps, looked.writer(maps.target))
    inputs = looked.run.explained_inputs(sample, question.of)[0]
    head, arrays = drawn(maps, sample)
    head |= {
        "sample": question.sample,
        "id": str(maps.ids[0]),
        "edited": bool(question.edits),
        "said": said.prediction,
        "prediction": float(maps.prediction[0]),
        "residual": said.residual,
        "limit_shared": looked.shared_limit(maps.target) if looked.is_own(question) else None,
        "regions": _regions(looked, question, sample, said),
        "largest": largest_of(maps, said),
        "parts": said.parts,
        "targets": _targets(looked, question, sample),
        "channels": looked.run.labels_of(question.of),
    }
    physics = None if question.edits else _physics(looked, maps, sample)
    if physics is not None:
        head["physics"] = f"Physics: {said.writer.signed(float(physics.sum()))} against the mean design"
        arrays["physics"] = flat(physics, maps.axes)[0].astype(np.float32)
    solid = _solid(sample, maps)
    if solid is not None:
        arrays["solid"] = solid.astype(np.uint8)
    return frame(head, {**arrays, "input": np.asarray(inputs, dtype=np.float32)})


def _solid(sample: Dataset, maps: RegressionMap) -> np.ndarray[Any, Any] | None:
    """Return where the design is, on the input's grid; None for what is no design."""
    if len(sample.axes) == 1 or len(maps.input_axes) != len(sample.axes):
        return None
    x = sample.x()[0]
    solid = material(x, fill_channel(x, list(sample.channels.values())))
    return solid if _LEAST_VOID < solid.mean() < 1 - _LEAST_VOID else None


def drawn(maps: RegressionMap, sample: Dataset | None = None) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """Return what the page needs to draw the first row of `maps`: words and axes, and arrays."""
    values, _ = flat(shown(maps)[0], maps.axes)
    pairs = [readable(*pair) for pair in zip(maps.axes, maps.input_axes, strict=True)]
    cells, grid = tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)
    head = {
        "title": title_of(maps[0]),
        "label": label_of(maps, cells),
        "grade": maps.grade,
        "method": maps.method,
        "target": maps.target,
        "unit": maps.unit,
        "log": maps.log,
        "limit": float(np.abs(values).max()),
        "cells": [_axis(axis, of=old) for axis, old in zip(cells, maps.axes, strict=True)],
        "grid": [_axis(axis, of=old) for axis, old in zip(grid, maps.input_axes, strict=True)],
        "length": None if sample is None else int(sample.lengths[0]),
        "end": _end(maps, grid[-1]),
    }
    arrays: dict[str, np.ndarray[Any, Any]] = {"map": values.astype(np.float32)}
    if isinstance(maps, EnsembleMap):
        arrays["disputed"] = disputed_cells(maps, 0).astype(np.uint8)
        head["agreed"] = float(maps.undisputed_share()[0])
        head["members"] = len(maps.members)
    return head, arrays


def _end(maps: RegressionMap, last: Axis) -> float | None:
    if not maps.ends.size:
        return None
    return float(np.interp(maps.ends[0], maps.input_axes[-1].edges, last.edges))


def within(looked: Inspection, question: Within) -> bytes:
    """Return what a region of a map carries, in words and as a number."""
    maps = looked.map_of(question)
    bounds = dict(question.bounds)
    carried = float(maps.within(**bounds)[0])
    said = Said(maps, looked.writer(maps.target))
    head = {"carried": carried, "where": in_words(bounds, maps.axes), "said": said.of_whole(carried), "bounds": bounds}
    if isinstance(maps, EnsembleMap):
        head["spread"] = said.plain(float(maps.deviation_within(**bounds)[0]))
    return frame(head, {})


def comparison(looked: Inspection, question: Comparison) -> bytes:
    """Return why B's prediction differs from A's: the difference of their maps, and of their regions.

    Raises
    ------
    ConfigError
        For a method whose maps have no unit, and mean nothing beside each other.
    """
    mine = looked.map_of(question)
    if mine.grade == "relative":
        step = "Take one whose maps have a unit, such as ram"
        raise ConfigError(
            explained(where="comparison", what="the method", allowed="one whose maps can be subtracted",
                      got=f"{mine.method}, whose maps are comparable within themselves only", next_step=step)
        )  # fmt: skip
    same = question.model_dump(include=set(MapOf.model_fields))
    theirs_asked = MapOf(**same | {"sample": question.other, "edits": ()})
    theirs = looked.map_of(theirs_asked)
    difference = mine.difference(theirs)
    said = Said(difference, looked.writer(mine.target))
    head, arrays = drawn(difference)
    head |= {
        "a": {"id": str(theirs.ids[0]), "said": Said(theirs, said.writer).prediction},
        "b": {"id": str(mine.ids[0]), "said": Said(mine, said.writer).prediction},
        "title": said.compared(mine.ids[0], float(mine.prediction[0]), theirs.ids[0], float(theirs.prediction[0])),
        "largest": largest_of(difference, said),
        "regions": _compared_regions(
            said, [_table(looked.sample(one), maps) for one, maps in ((theirs_asked, theirs), (question, mine))]
        ),
    }
    arrays["map_a"], arrays["map_b"] = (flat(shown(one)[0], one.axes)[0].astype(np.float32) for one in (theirs, mine))
    return frame(head, arrays)


def cohort(looked: Inspection, question: Cohort) -> bytes:
    """Return the mean map of some samples, of the others, and their difference; of so many, evenly taken, at most."""
    _require_target(looked, question.target)
    chosen = np.zeros(len(looked.data), dtype=np.bool_)
    looked.require_row(max(question.rows))
    chosen[list(question.rows)] = True
    means, tables, figures = [], [], []
    for rows in (np.flatnonzero(chosen), np.flatnonzero(~chosen)):
        if not rows.size:
            raise ConfigError(
                explained(where="cohort", what="the samples", allowed="some, and others to hold them against",
                          got="all samples", next_step="Draw a smaller frame")
            )  # fmt: skip
        taken = rows[np.linspace(0, rows.size - 1, min(rows.size, _MOST_IN_MEAN)).round().astype(int)]
        part = looked.data[taken]
        maps = looked.run.explain(part, target=question.target, method=looked.run.method)
        means.append(maps.mean())
        tables.append(_mean_table(part, maps))
        figures.append(_cohort_figures(looked, question.target, rows, taken.size))
    difference = means[0].difference(means[1])
    said = Said(difference, looked.writer(question.target))
    head, arrays = drawn(difference)
    pair = [float(one.prediction[0]) for one in means]
    head |= {
        "cohort": figures[0],
        "rest": figures[1],
        "title": said.compared("the cohort", pair[0], "the rest", pair[1]),
        "largest": largest_of(difference, said),
        "regions": _compared_regions(said, tables[::-1]),
    }
    arrays["map_b"], arrays["map_a"] = (flat(shown(one)[0], one.axes)[0].astype(np.float32) for one in means)
    return frame(head, arrays)


def _cohort_figures(looked: Inspection, target: str, rows: np.ndarray[Any, Any], taken: int) -> dict[str, Any]:
    """Return what a heading says of some samples."""
    predicted, measured = (values[rows] for values in looked.predictions.column(target))
    known, writer = np.isfinite(measured), looked.writer(target)
    error = float((predicted - measured)[known].mean()) if known.any() else float("nan")
    return {
        "count": int(rows.size),
        "taken": taken,
        "predicted": writer.value(float(predicted.mean())),
        "measured": writer.value(float(measured[known].mean()) if known.any() else None),
        "error": writer.signed(error),
    }


def _axis(axis: Axis, *, of: Axis | None = None) -> dict[str, Any]:
    """Return an axis as the page needs it; `factor`: how many of the data's unit one of the shown unit is."""
    factor = 1.0
    if of is not None and of.unit != axis.unit:
        reach = int(np.abs(of.edges).argmax())
        factor = float(of.edges[reach] / axis.edges[reach])
    return {
        "name": axis.name, "label": axis.label, "unit": "" if axis.unit == "1" else axis.unit,
        "edges": axis.edges.tolist(), "factor": factor,
    }  # fmt: skip


def _targets(looked: Inspection, question: MapOf, sample: Dataset) -> list[dict[str, Any]]:
    """Return what the net says of each target of the sample, with what was measured."""
    before, row = looked.predictions, question.sample
    now = looked.run.predict(sample) if question.edits else None
    found = []
    for number, (name, unit) in enumerate(looked.run.units.items()):
        writer = looked.writer(name)
        predictions, at = (before, row) if now is None else (now, 0)
        low, high = predictions.lower[at, number], predictions.upper[at, number]
        value, old = float(predictions.values[at, number]), float(before.values[row, number])
        finite = bool(np.isfinite([low, high]).all())
        found.append(
            {
                "name": name,
                "unit": unit,
                "predicted": writer.value(value),
                "value": value,
                "before": writer.value(old),
                "change": writer.signed(value - old),
                "measured": writer.value(float(before.measured[row, number])),
                "error": writer.signed(old - float(before.measured[row, number])),
                "interval": f"{writer.bare(float(low))} to {writer.value(float(high))}" if finite else "",
                "outside": bool(predictions.is_outside[at]),
                "spread": writer.value(float(predictions.spread[at, number])),
            }
        )
    return found


def _table(sample: Dataset, maps: RegressionMap) -> Mapping[str, float] | None:
    """Return what each region of one sample carries, by name; None where the file names none, or sums mean nothing."""
    if maps.part_units or not maps.adds_up:
        return None
    table = regions_by(sample, over_input(maps, sample.axes))
    return None if table is None else dict(zip(table.names, map(float, table.net[0]), strict=True))


def _mean_table(part: Dataset, maps: RegressionMap) -> Mapping[str, float] | None:
    table = regions_by(part, over_input(maps, part.axes))
    return None if table is None else {row.name: row.net for row in table.rows}


def _compared_regions(said: Said, tables: Sequence[Mapping[str, float] | None]) -> list[dict[str, str]]:
    first, second = tables
    if first is None or second is None:
        return []
    return [
        {"name": name, "a": said.share(first[name]), "b": said.share(second[name]),
         "difference": said.share(second[name] - first[name])}
        for name in first if name in second
    ]  # fmt: skip


def _regions(looked: Inspection, question: MapOf, sample: Dataset, said: Said) -> list[dict[str, str]]:
    """Return what each region carries, by the net and where it is known by physics."""
    maps = said.maps
    carried = _table(sample, maps)
    if carried is None:
        return []
    physics: Mapping[str, float] = {}
    if not question.edits and has_truth(looked.run, sample, maps.target).all():
        truth = truth_in_unit(looked.run, sample, maps.target)
        table = regions_by(sample, over_input(maps, sample.axes), truth)
        assert table is not None, "the file names regions"
        physics = dict(zip(table.names, map(float, table.physics[0]), strict=True))
    return [
        {"name": name, "carried": said.share(value), "physics": said.writer.signed(physics.get(name))}
        for name, value in carried.items()
    ]


def _physics(looked: Inspection, maps: RegressionMap, sample: Dataset) -> np.ndarray[Any, Any] | None:
    """Return the truth on the cells of a map; None where there is none that the map can be held against."""
    over_signal = [axis.name for axis in maps.input_axes] != [axis.name for axis in sample.axes]
    if over_signal or not maps.adds_up or not has_truth(looked.run, sample, maps.target).all():
        return None
    truth = truth_in_unit(looked.run, sample, maps.target)
    return np.asarray(summed_on_cells(truth, source=maps.input_axes, cells=maps.axes)[0])


def _require_target(looked: Inspection, target: str) -> None:
    if target not in looked.run.units:
        allowed = f"one of {', '.join(looked.run.units)}"
        raise ConfigError(explained(where="question", what="a target", allowed=allowed, got=f"'{target}'"))
