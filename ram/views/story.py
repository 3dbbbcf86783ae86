"""All that a report says of a run, computed once before a page or a picture is made of it."""

from __future__ import annotations

__all__ = ["Story", "tell"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ram.data.dataset import Dataset
from ram.data.lines import Line, line_in
from ram.data.simulators import Simulator
from ram.maps.regression_map import RegressionMap
from ram.runs.predictions import Predictions
from ram.runs.run import Run
from ram.views.findings import Explained, explained, explained_targets, has_truth
from ram.views.influence import Influence, influences
from ram.views.numbers import Writer, fixed, writer_for
from ram.views.panels import Scale, Scene, shared_scale
from ram.views.pictures import Cloud
from ram.views.scenes import scenes

_SHOWN = 12  # a dozen samples in the gallery, however many the run has stored maps of


@dataclass(frozen=True, eq=False)
class Story:
    """What page and pictures are made of.

    Attributes
    ----------
    data
        The whole data set of the run.
    test
        Predictions of the test part.
    clouds, writers
        By target: what was measured and predicted; how its numbers are written.
    targets
        By target: maps and regions averaged over samples of the test part.
    shown
        The first target for the samples of the gallery, from the lowest prediction to the highest.
    stored
        The same samples and target against the reference of the maps that the run stores.
    scenes, scale
        Their pictures, and the one scale of them all.
    lines
        That physics expects on the maps.
    influences
        By target: what regions do to map, net and physics, where physics is known.
    """

    run: Run
    data: Dataset
    test: Predictions
    clouds: Mapping[str, Cloud]
    writers: Mapping[str, Writer]
    targets: Mapping[str, Explained]
    shown: Explained
    stored: RegressionMap
    scenes: list[Scene]
    scale: Scale
    lines: tuple[Line, ...] = ()
    influences: Mapping[str, Influence] = field(default_factory=dict)

    @property
    def first(self) -> str:
        """The target of the gallery: the first one in the config."""
        return next(iter(self.run.units))

    @property
    def hero(self) -> int:
        """Which sample of the gallery stands for all: the one farthest from the reference, with truth if any has it."""
        distance = np.abs(self.shown.maps.prediction - self.shown.maps.baseline)
        known = np.array([scene.truth is not None for scene in self.scenes])
        return int(np.where(known | ~known.any(), distance, -1.0).argmax())

    def measured(self, name: str) -> float:
        """Return what was measured at a sample of the test part for the gallery's target; NaN where nothing was."""
        return float(self.test.column(self.first)[1][np.flatnonzero(self.test.ids == name)[0]])


def tell(run: Run, *, lines: Sequence[str] = (), simulator: Simulator | None = None, jobs: int = 1) -> Story:
    """Return what a run has to say.

    Parameters
    ----------
    lines
        That physics expects on maps, besides those of the run's config: ``"frequency = 0.96 * speed / (2 * depth)"``.

    simulator
        Asked what regions do to the target, in place of the contributions in the file.
    jobs
        Of the simulator's work.

    Raises
    ------
    ConfigError
        Where one of them is no line, or names what is not in the data file.
    DataError
        Where the run's data file is gone or another one.
    """
    expected = tuple(line_in(text) for text in (*run.config.explain.lines, *lines))
    data = run.data()
    part = data.subset("test", split=run.config.data.split)
    predictions = run.predictions("test")
    writers = {name: writer_for(unit, error=_error(run, name)) for name, unit in run.units.items()}
    first = next(iter(run.units))
    rows = part[_gallery(run, part, predictions, first)]
    shown = explained(run, rows, [first], with_truth=bool(has_truth(run, rows, first).any()))[first]
    drawn = scenes(
        shown, writer=writers[first], inputs=run.explained_inputs(rows), channels=run.labels_of(), lines=expected
    )
    return Story(
        run=run,
        data=data,
        test=predictions,
        clouds={name: _cloud(predictions, name, unit, run) for name, unit in run.units.items()},
        writers=writers,
        targets=explained_targets(run, part),
        shown=shown,
        stored=run.explain(rows, target=first, reference=run.config.explain.reference, method=run.method),
        scenes=drawn,
        scale=shared_scale(drawn, unit="%" if shown.maps.log else run.units[first]),
        lines=expected,
        influences=influences(run, part, simulator=simulator, jobs=jobs),
    )


def _error(run: Run, target: str) -> float:
    return float(run.metrics["test"].get(target, {}).get("mae") or float("nan"))


def _gallery(run: Run, part: Dataset, predictions: Predictions, target: str) -> NDArray[np.intp]:
    """Return which samples of the test part are shown: from the lowest to the highest prediction, evenly between them.

    Those that physics knows come first; the first samples of a file are often alike.
    """
    count = min(_SHOWN, len(run.maps()[target]))
    of = dict(zip(predictions.ids.tolist(), predictions.column(target)[0].tolist(), strict=True))
    value = np.array([of[name] for name in part.ids.tolist()])
    known = has_truth(run, part, target)
    chosen = _evenly(np.flatnonzero(known), value, count)
    chosen += _evenly(np.flatnonzero(~known), value, count - len(chosen))
    return np.array(sorted(chosen, key=lambda row: (value[row], row)), dtype=np.intp)


def _evenly(rows: NDArray[np.intp], value: Float[np.ndarray, " sample"], count: int) -> list[int]:
    """Return so many of `rows` as their values lie nearest to as many places, evenly between the ends."""
    left = rows.tolist()
    wanted = np.linspace(value[rows].min(), value[rows].max(), count) if left else ()
    chosen = []
    for place in wanted[: len(left)]:
        nearest = min(left, key=lambda row: (abs(value[row] - place), row))
        left.remove(nearest)
        chosen.append(nearest)
    return chosen


def _cloud(predictions: Predictions, name: str, unit: str, run: Run) -> Cloud:
    predicted, measured = predictions.column(name)
    known = np.isfinite(measured)
    figures = run.metrics["test"].get(name, {})
    mae, r2 = figures.get("mae"), figures.get("r2")
    writer = writer_for(unit, error=_error(run, name))
    headline = f"MAE {writer.value(mae)}" + ("" if r2 is None else f", R² {fixed(r2, decimals=4)}")
    return Cloud(name, unit, predicted[known], measured[known], headline)
