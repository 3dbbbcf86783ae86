"""A run and its data, opened once; maps are computed when they are asked for, and the last ones kept."""

from __future__ import annotations

__all__ = ["Inspection", "open_inspection", "require_inside"]

from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ram.data.dataset import Dataset
from ram.data.sample import Sample
from ram.errors import ConfigError, DataError, RamError, explained
from ram.inspector.edits import edited
from ram.inspector.questions import MapOf
from ram.maps.ensemble_map import EnsembleMap
from ram.maps.methods import METHODS, Method, method_called
from ram.maps.plots import shown
from ram.maps.regression_map import RegressionMap
from ram.runs.predictions import Predictions
from ram.runs.run import Run, open_run
from ram.views.numbers import Writer, writer_for

FILE_DESIGN = "file-design"
"""The reference that a data file names: the mean design of its truth."""

_KEPT_MAPS, _KEPT_BYTES = 48, 2**24
_KEPT_INPUT_BYTES = 2**24


@dataclass(eq=False)
class Inspection:
    """What is looked at.

    Attributes
    ----------
    run
        The run, or the ensemble.
    data
        The samples, in the order of `predictions`.
    predictions
        What the net says of each of them.
    """

    run: Run
    data: Dataset
    predictions: Predictions
    _maps: OrderedDict[str, RegressionMap] = field(default_factory=OrderedDict, repr=False)

    @property
    def methods(self) -> list[Method]:
        """The methods that the net allows: nets with dense layers behind their maps have no exact ones."""
        return [one for one in METHODS.values() if one.kind != "head" or self.run.method == "ram"]

    @property
    def usual_reference(self) -> str:
        """What the page begins with: the design that physics is against, where the file holds physics; else nothing."""
        known = any(target in self.run.units for target, _ in self.data.truth_kinds)
        return FILE_DESIGN if known and self.data.reference_design() is not None else ""

    def sample(self, question: MapOf) -> Dataset:
        """Return the data set of the one sample that is asked about, edited as it is said.

        Raises
        ------
        ConfigError
            There is no such sample.
        """
        self.require_row(question.sample)
        if question.edits:
            return edited(self.run, self.data, question.sample, question.edits)
        return self.data[[question.sample]]

    def require_row(self, row: int) -> None:
        """Refuse a row that is not there."""
        if row >= len(self.data):
            raise ConfigError(explained(where="question", what="a sample", allowed=f"below {len(self.data)}", got=row))

    def method(self, question: MapOf) -> Method:
        """Return the method that is asked for; the run's own if none is named."""
        return method_called(question.method or self.run.method)

    def is_own(self, question: MapOf) -> bool:
        """Whether a map is of the kind that the run stores."""
        plain = question.layer is None and question.channel is None and question.resolution == 1
        return plain and self.method(question).name == self.run.method

    def is_slow(self, question: MapOf) -> bool:
        """Whether an answer takes many passes through the net, or draws at random: work for another process."""
        method = self.method(question)
        return method.kind == "input" or method.name in ("score-cam", "ablation-cam") or question.resolution > 1

    def map_of(self, question: MapOf) -> RegressionMap:
        """Return a map, of one row.

        Raises
        ------
        RamError
            As `Run.explain`; or the sample cannot be read.
        """
        fields = set(MapOf.model_fields)
        key = question.model_dump_json(include=fields)
        if key in self._maps:
            self._maps.move_to_end(key)
            return self._maps[key]
        self._maps[key] = found = self._explained(question)
        while len(self._maps) > 1 and (len(self._maps) > _KEPT_MAPS or self._kept_bytes() > _KEPT_BYTES):
            self._maps.popitem(last=False)
        return found

    def _kept_bytes(self) -> int:
        return sum(one.contributions.nbytes + one.part_contributions.nbytes for one in self._maps.values())

    def _explained(self, question: MapOf) -> RegressionMap:
        maps = self.run.explain(
            self.sample(question),
            target=question.target,
            reference=self.reference_of(question),
            method=self.method(question).name,
            layer=question.layer,
            channel=question.channel,
            of=question.of,
            resolution=question.resolution,
        )
        return _against(maps, "mean design") if question.reference == FILE_DESIGN else maps

    def reference_of(self, question: MapOf) -> str | Sample | np.ndarray[Any, Any] | None:
        """Return what the prediction is to be compared with, as `Run.explain` takes it."""
        if question.reference_sample is not None:
            self.require_row(question.reference_sample)
            return self.data[question.reference_sample]
        if question.reference != FILE_DESIGN:
            return question.reference
        design = self.data.reference_design()
        if design is None:
            raise ConfigError(
                explained(where="question", what="the reference", allowed="in the file", got="a file without one")
            )
        return design

    def writer(self, target: str) -> Writer:
        """Return what writes values of a target, with as many digits as its error allows."""
        return self._writers[target]

    @cached_property
    def _writers(self) -> dict[str, Writer]:
        errors = {}
        for name in self.run.units:
            predicted, measured = self.predictions.column(name)
            known = np.abs(predicted - measured)[np.isfinite(measured)]
            errors[name] = float(known.mean()) if known.size else float("nan")
        return {name: writer_for(unit, error=errors[name]) for name, unit in self.run.units.items()}

    def shared_limit(self, target: str) -> float | None:
        """Return the colour limit that the run's stored maps share: 99.5 % of their cells lie within it."""
        return self._limits.get(target)

    @cached_property
    def _limits(self) -> dict[str, float]:
        try:
            stored = self.run.maps()
        except (RamError, OSError):  # a run need not have stored any
            return {}
        return {name: float(np.percentile(np.abs(shown(one)), 99.5)) for name, one in stored.items()}


def open_inspection(
    path: Path,
    data: Path | None = None,
    *,
    predictions: Predictions | None = None,
    predicting: Callable[..., AbstractContextManager[Callable[[int], None]]] | None = None,
) -> Inspection:
    """Return a run with its own samples and their stored predictions, or with those of another file.

    Parameters
    ----------
    data
        The other file.
    predictions
        What the net says of the samples, where that is known.
    predicting
        Called with ``total=`` samples before another file is predicted; shows how far that is.

    Raises
    ------
    DataError
        Where there is no such run, its data are gone, or a file of the run leads out of it.
    """
    require_inside(path)
    run = open_run(path)
    if data is not None:
        other = run.open(data)
        if predictions is None:
            with predicting(total=len(other)) if predicting else nullcontext() as progress:
                predictions = run.predict(other, progress=progress)
        return _ready(run, other, predictions)
    known, stored = run.data(), predictions or run.all_predictions()
    order = np.argsort(known.ids)
    place = np.searchsorted(known.ids, stored.ids, sorter=order)
    rows = order[np.minimum(place, len(order) - 1)]
    if not (known.ids[rows] == stored.ids).all():
        step = "Train again, or look at a file as it is: --data FILE"
        raise DataError(
            explained(where=str(path / "predictions.h5"), what="the ids", allowed=f"those of {known.path}",
                      got="others", next_step=step)
        )  # fmt: skip
    return _ready(run, known[rows], stored)


def _ready(run: Run, data: Dataset, predictions: Predictions) -> Inspection:
    data.keep(_KEPT_INPUT_BYTES)
    return Inspection(run, data, predictions)


def _against(maps: RegressionMap, name: str) -> RegressionMap:
    """Return maps that say what they are against: a design by its name, and not "an input"."""
    if isinstance(maps, EnsembleMap):
        return EnsembleMap.of([_against(one, name) for one in maps.members])
    return replace(maps, reference=name)


def require_inside(path: Path) -> None:
    """Refuse a run in which a link leads to a file outside it: a folder that someone sent could show any other.

    Raises
    ------
    DataError
        Names the link.
    """
    home = path.resolve()
    for found in path.rglob("*"):
        if found.is_symlink() and not found.resolve().is_relative_to(home):
            step = "Take the link away, or put the file itself in its place"
            raise DataError(
                explained(where=str(found), what="a file of a run", allowed="in the run's folder",
                          got="a link that leads out of it", next_step=step)
            )  # fmt: skip
