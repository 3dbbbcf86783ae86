"""The section of a report that says how far its numbers may be trusted: intervals, strange samples, seeds."""

from __future__ import annotations

__all__ = ["trust"]

import math
from typing import Any

import numpy as np

from ram.maps.ensemble_map import EnsembleMap
from ram.runs.calibration import Calibration
from ram.runs.conformal import coverage_by_chance
from ram.runs.ensemble import Ensemble
from ram.views.numbers import NOTHING, figure, fixed, per_cent
from ram.views.story import Story

Content = dict[str, Any]
_SHOWN = 12  # strange samples that are named one by one

_INTERVALS = (
    "Every prediction has an interval that is meant to hold {level} of new samples like these. It comes from the "
    "errors of {count} samples that took part neither in training nor in choosing the epoch; the test part had no "
    "part in it, and says what it is worth."
)
_GROUPS = " They belong to {groups} groups, and the promise is for a sample of a new group."
_INFINITE = (
    "The intervals of {targets} are infinite: {level} needs {needed} samples or groups that calibrate, and there are "
    "{groups}. A larger validation part, or a lower trust.level, makes them finite."
)
_OLD = "This run was not calibrated: it has no intervals, and does not know which samples are strange to it."
_OUTSIDE = (
    "{many} of {count} samples of the test part {are} unlike what the net was trained on, by the distance of their "
    "pooled features from the training part's; of samples like those, {rate} would be called so by mistake."
)
_UNKNOWN = "Too few samples calibrated to say which ones are unlike the training part: 19 or more are needed."
_MEMBERS = (
    "{count} nets were trained that differ in their seed alone ({seeds}). The table says what one of them is worth, "
    "mean ± standard deviation over the seeds, and what their mean prediction is worth, which all else in this report "
    "is about. The training curves are those of the first."
)
_AGREEMENT = (
    "Spread: standard deviation of the members' predictions. Undisputed: share of the absolute contribution that lies "
    "in cells whose sign all members agree on."
)


def trust(story: Story) -> Content:
    """Return what a reader must know before using a number."""
    calibration = story.run.calibration
    if calibration is None or not story.test.has_intervals:
        return {"words": [_OLD], "tables": []}
    words = [_interval_words(story, calibration), *_infinite(story, calibration), _outside_words(story)]
    tables = [_interval_table(story, calibration), *_outside_table(story)]
    if isinstance(story.run, Ensemble):
        seeds = ", ".join(map(str, story.run.seeds))
        words += [_MEMBERS.format(count=len(story.run.seeds), seeds=seeds), _AGREEMENT]
        tables += [_member_table(story, story.run), *_agreement_table(story)]
    return {"words": words, "tables": tables}


def _interval_words(story: Story, calibration: Calibration) -> str:
    scores = calibration.errors[story.first]
    words = _INTERVALS.format(level=per_cent(story.test.level), count=f"{scores.values.size:,}")
    return words + (_GROUPS.format(groups=scores.groups) if scores.groups < scores.values.size else "")


def _infinite(story: Story, calibration: Calibration) -> list[str]:
    level = story.test.level
    wide = [name for name, scores in calibration.errors.items() if math.isinf(scores.radius(level))]
    if not wide:
        return []
    needed = math.ceil(level / (1 - level) - 1e-9)
    groups = min(calibration.errors[name].groups for name in wide)
    return [_INFINITE.format(targets=", ".join(wide), level=per_cent(level), needed=needed, groups=groups)]


def _interval_table(story: Story, calibration: Calibration) -> Content:
    rows = [_interval_row(story, calibration, name) for name in story.run.metrics["test"]]
    held = f"held on the test part ({per_cent(story.test.level)} meant)"
    return {
        "caption": "Intervals: half their mean width, and how much of the test part they hold",
        "head": ["target", "prediction ±", held, "chance allows", "calibrated by"],
        "rows": rows,
    }


def _interval_row(story: Story, calibration: Calibration, name: str) -> list[str]:
    test, scores = story.run.metrics["test"][name], calibration.errors[name]
    covered, width = test.get("coverage"), test.get("width")
    single = scores.groups == scores.values.size  # groups have no such law
    low, high = coverage_by_chance(story.test.level, calibrated=scores.groups, tested=test["samples"])
    return [
        name,
        "infinite" if width is None else story.writers[name].value(width / 2),
        NOTHING if covered is None else f"{100 * covered:.1f} %",
        f"{per_cent(low)} to {per_cent(high)}" if single and width is not None else NOTHING,
        f"{scores.values.size:,} samples" + ("" if single else f" of {scores.groups:,} groups"),
    ]


def _outside_words(story: Story) -> str:
    if not story.test.alarm > 0:
        return _UNKNOWN
    many = int(story.test.is_outside.sum())
    rate = f"{100 * story.test.alarm:.2g} %"
    return _OUTSIDE.format(many=many, count=f"{len(story.test):,}", are="is" if many == 1 else "are", rate=rate)


def _outside_table(story: Story) -> list[Content]:
    """Return the strange samples of the test part, the strangest first."""
    test, writer = story.test, story.writers[story.first]
    rows = np.flatnonzero(test.is_outside)
    if not rows.size:
        return []
    order = rows[np.argsort(test.outside[rows], kind="stable")][:_SHOWN]
    predicted, measured = test.column(story.first)
    more = f", the first {_SHOWN} of {rows.size}" if rows.size > _SHOWN else ""
    return [
        {
            "caption": f"Samples unlike the training part{more}",
            "head": ["sample", "p", f"{story.first}, predicted", "measured", "error"],
            "rows": [
                [
                    str(test.ids[row]),
                    figure(test.outside[row], digits=2),
                    writer.value(predicted[row]),
                    writer.value(measured[row]),
                    writer.signed(predicted[row] - measured[row]),
                ]
                for row in order
            ],
        }
    ]


def _member_table(story: Story, run: Ensemble) -> Content:
    rows = []
    for name, of in run.spread["test"].items():
        writer, own = story.writers[name], run.metrics["test"][name]
        pairs = [(writer.value, "mae"), (writer.value, "rmse"), (lambda value: fixed(value, decimals=4), "r2")]
        row = [name]
        for write, key in pairs:
            row += [f"{write(of[key]['mean'])} ± {write(of[key]['std'])}", write(own[key])]
        rows.append(row)
    head = ["target", *(f"{key}, {who}" for key in ("MAE", "RMSE", "R²") for who in ("one net", "their mean"))]
    return {"caption": "Test part, over the seeds", "head": head, "rows": rows}


def _agreement_table(story: Story) -> list[Content]:
    maps = story.shown.maps
    if not isinstance(maps, EnsembleMap):
        return []
    writer = story.writers[story.first]
    spread = dict(zip(map(str, story.test.ids), story.test.spread[:, 0], strict=True))
    rows = [
        [name, writer.value(value), writer.value(spread.get(name)), per_cent(share), str(int(count))]
        for name, value, share, count in zip(
            map(str, maps.ids),
            maps.prediction,
            maps.undisputed_share(),
            maps.disputed.reshape(len(maps), -1).sum(axis=1),
            strict=True,
        )
    ]
    return [
        {
            "caption": f"{story.first} of the samples shown: what the members agree on",
            "head": ["sample", "prediction", "spread", "undisputed", "disputed cells"],
            "rows": rows,
        }
    ]
