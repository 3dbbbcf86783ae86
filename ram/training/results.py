"""What a trained net is worth: calibrated predictions of every part, and the figures of the test part."""

from __future__ import annotations

__all__ = ["calibrating_rows", "figures_of", "metrics", "trust_summary", "write_judged", "write_results"]

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ram.data.dataset import Dataset
from ram.data.parting import independent_groups
from ram.evaluation.accuracy import accuracy
from ram.evaluation.coverage import coverage
from ram.runs.calibration import Calibration
from ram.runs.config import Experiment
from ram.runs.measured import measured_targets
from ram.runs.parts import CALIBRATION, part_of
from ram.runs.predictions import Predictions
from ram.runs.run import CALIBRATION_FILE, Run
from ram.runs.surroundings import Surroundings
from ram.storage.atomic import write_json

PARTS = ("train", "validation", "test")
Figures = dict[str, str | int | float | None]


def write_results(run: Run, data: Dataset, *, progress: Callable[[int], None] | None = None) -> None:
    """Calibrate the run, predict every sample that has a part, and measure; one pass of the net over the data.

    Written into the run's folder: calibration.h5, predictions.h5, metrics.json, trust.json. `progress` counts samples.
    """
    parts = {name: part_of(data, run.config, name) for name in PARTS}
    answers = {name: run.answer(part, progress=progress) for name, part in parts.items()}
    surroundings = Surroundings.of(answers["train"].features)
    rows = calibrating_rows(data, parts["validation"], run.config)
    held_out, found = parts["validation"][rows], answers["validation"]
    calibration = Calibration.of(
        found.values[rows],
        measured_targets(held_out, run.units),
        surroundings.distances(found.features[rows]),
        independent_groups(held_out.groups, held_out.ids),
        targets=run.spec.targets,
        settings=run.config.trust,
        surroundings=surroundings,
    )
    calibration.save(run.path / CALIBRATION_FILE)
    calibrated = Run(run.path)  # opened again: it finds its calibration
    judged = {name: calibrated.judge(part, answers[name]) for name, part in parts.items()}
    write_judged(run.path, judged, calibration)


def write_judged(folder: Path, parts: Mapping[str, Predictions], calibration: Calibration) -> None:
    """Write predictions.h5, metrics.json and trust.json from the predictions of each part."""
    predictions = Predictions.joined([replace(one, part_of=np.full(len(one), name)) for name, one in parts.items()])
    predictions.save(folder / "predictions.h5")
    write_json(folder / "metrics.json", metrics(predictions))
    write_json(folder / "trust.json", trust_summary(calibration, predictions))


def calibrating_rows(data: Dataset, validation: Dataset, experiment: Experiment) -> np.ndarray:
    """Return where in the validation part the samples stand that calibrate, shape (sample,)."""
    calibrating = part_of(data, experiment, CALIBRATION)
    return np.flatnonzero(np.isin(validation.indices, calibrating.indices))


def metrics(predictions: Predictions) -> dict[str, dict[str, Figures]]:
    """Return the accuracy of each part and target, and how the intervals did on the test part.

    None for a figure that does not exist.
    """
    # On the other parts nothing honest could be said of intervals.
    return {part: figures_of(predictions.part(part), intervals=part == "test") for part in PARTS}


def figures_of(rows: Predictions, *, intervals: bool) -> dict[str, Figures]:
    """Return the accuracy of each target that was measured, and how the intervals did where that is asked for."""
    found: dict[str, Figures] = {}
    for name, unit in zip(rows.target_names, rows.units, strict=True):
        predicted, measured = rows.column(name)
        if np.isfinite(measured).any():
            figures = accuracy(predicted, measured, unit=unit, ids=list(rows.ids)).as_dict()
            if intervals and rows.has_intervals:
                figures |= coverage(*rows.interval(name), measured, level=rows.level).as_dict()
            found[name] = {key: _plain(value) for key, value in figures.items()}
    return found


def _plain(value: str | float) -> str | int | float | None:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def trust_summary(calibration: Calibration, predictions: Predictions) -> dict[str, Any]:
    """Return what trust.json says: how the intervals were calibrated, and who of the test part is outside."""
    test = predictions.part("test")
    away = test.is_outside
    settings, units = calibration.settings, dict(zip(test.target_names, test.units, strict=True))
    return {
        "level": settings.level,
        "difficulty": settings.difficulty,
        "intervals": {
            name: {
                "unit": units[name],
                "half_width": _plain(scores.radius(settings.level)),
                "samples": int(scores.values.size),
                "groups": scores.groups,
            }
            for name, scores in calibration.errors.items()
        },
        "outside": {
            "false_alarms": _plain(test.alarm),
            "samples": int(calibration.distances.values.size),
            "groups": calibration.distances.groups,
            "test_samples": len(test),
            "test_outside": int(away.sum()),
            "test_ids": [str(name) for name in test.ids[away]],
        },
    }
