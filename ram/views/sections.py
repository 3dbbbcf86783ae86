"""The sections of a report as words, tables and pictures; the template only places them."""

from __future__ import annotations

__all__ = ["page"]

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ram.evaluation.bootstrap import bootstrap
from ram.evaluation.regions import RegionRow
from ram.views import group_sections, map_sections, population_sections, trust_sections
from ram.views.adapted import adapted
from ram.views.citation import cited
from ram.views.influence import warning
from ram.views.leaderboard_sections import leaderboards
from ram.views.numbers import NOTHING, figure, fixed, per_cent
from ram.views.pictures import errors, scatter, training_curve
from ram.views.story import Story
from ram.views.style import embedded

Content = dict[str, Any]
_EXTREME = 5  # samples in each of the tables of largest and smallest errors
_FIGURES = (
    "The test part took no part in training, nor in choosing when to stop. MAE: mean absolute error; RMSE: root of the "
    "mean squared error; MAPE: mean error relative to the measured value; bias: mean of predicted − measured. 95 %: "
    "where MAEs of other samples like these would lie, groups drawn as a whole."
)


def page(story: Story) -> Content:
    """Return the content of every section."""
    content: Content = {
        "title": _title(story),
        "subtitle": _subtitle(story),
        "summary": summary(story),
        "warnings": [*_permuted(story), *(words for found in story.influences.values() for words in warning(found))],
        "tiles": _tiles(story),
        "hero": map_sections.hero(story),
        "accuracy": _accuracy(story),
        "groups": group_sections.groups(story),
        "adapted": adapted(story),
        "trust": trust_sections.trust(story),
        "gallery": map_sections.gallery(story),
        "ranges": population_sections.ranges(story),
        "errors": population_sections.errors(story),
        "regions": map_sections.regions(story),
        "parts": map_sections.parts(story),
        "physics": map_sections.physics(story),
        "leaderboards": leaderboards(story.run),
        "data": _data(story),
        "training": {"picture": embedded(training_curve(story.run.history, units=story.run.units), "training curves")},
        "config": list(_flat(story.run.config.model_dump(mode="json"))),
        "provenance": list(_flat(story.run.provenance)),
        "cite": cited(story),
    }
    return {**content, "sections": _anchors(content)}


def _permuted(story: Story) -> list[str]:
    """Return the warning that a run is no real one; nothing where it is."""
    if story.run.config.data.permute_targets is None:
        return []
    words = "This net learned from permuted targets (data.permute_targets): its numbers and maps mean nothing."
    return [f"{words} It is there to hold another run's maps against: ram evaluate RUN --maps --permuted THIS."]


def _title(story: Story) -> str:
    return f"{story.run.config.name}: {_named(story.run.units)}"


def _subtitle(story: Story) -> str:
    return (
        f"Regressed from {_named(story.data.channels)} of the data set {story.data.name}. Run folder: {story.run.name}"
    )


def summary(story: Story) -> str:
    """Return the one paragraph with the numbers that matter."""
    counts = {part: len(story.run.predictions(part)) for part in ("train", "validation", "test")}
    sentences = [
        f"The net learned from {counts['train']:,} samples; {_held_out_words(story, counts['validation'])}.",
        _error_sentence(story, counts["test"]),
        group_sections.remembered(story),
        _interval_sentence(story),
        _map_sentence(story),
        _agreement_sentence(story),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _held_out_words(story: Story, count: int) -> str:
    """Say what the validation part was used for."""
    calibration = story.run.calibration
    calibrating = 0 if calibration is None else calibration.distances.values.size
    words = f"{count - calibrating:,} more decided when it was best"
    return f"{words}, {calibrating:,} calibrated its intervals" if calibrating else words


def _error_sentence(story: Story, count: int) -> str:
    figures = story.run.metrics["test"].get(story.first)
    if figures is None:
        return f"None of the {count:,} samples of the test part has a measured {story.first}."
    mean, worst = (story.writers[story.first].value(abs(figures[name])) for name in ("mae", "worst_error"))
    relative = "" if figures["mape"] is None else f" ({figure(figures['mape'])} %)"
    return (
        f"On {figures['samples']:,} samples that it had never seen, {story.first} is off by {mean}{relative} "
        f"on average and by {worst} at worst."
    )


def _interval_sentence(story: Story) -> str:
    """Say how wide the first target's intervals are, and what they hold; nothing where they are infinite."""
    figures = story.run.metrics["test"].get(story.first, {})
    if figures.get("width") is None:
        return ""
    half, meant = story.writers[story.first].value(figures["width"] / 2), per_cent(figures["level"])
    return (
        f"Intervals of ± {half} are meant to hold {meant} of new samples, and hold {100 * figures['coverage']:.1f} %."
    )


def _map_sentence(story: Story) -> str:
    """Say which region carries most of what tells samples apart."""
    found = story.targets[story.first]
    if found.regions is None:
        return ""
    rows = sorted(found.regions.rows, key=lambda row: row.net_absolute, reverse=True)
    parts = [f"{row.name} ({_share_words(row)})" for row in rows[:2]]
    return (
        f"Of what makes {story.first} differ from the {found.reference_words}, the net puts most into "
        f"{', then '.join(parts)}."
    )


def _share_words(row: RegionRow) -> str:
    net = per_cent(row.net_share)
    return net if not np.isfinite(row.physics_share) else f"{net}; physics: {per_cent(row.physics_share)}"


def _agreement_sentence(story: Story) -> str:
    agreement = story.targets[story.first].agreement
    if agreement is None:
        return "The file holds no physics to check these maps against."
    mean, trivial = (fixed(number, decimals=2) for number in (agreement.mean, agreement.trivial))
    return (
        f"Cell by cell, the maps rank the material as physics does with a correlation of {mean} (1 is perfect, 0 is "
        f"chance; a map without any net reaches {trivial})."
    )


def _tiles(story: Story) -> list[Content]:
    return [_tile(story, name, figures) for name, figures in story.run.metrics["test"].items()]


def _tile(story: Story, name: str, figures: Mapping[str, Any]) -> Content:
    relative = "" if figures["mape"] is None else f"{figure(figures['mape'])} %, "
    return {
        "name": f"{name}, mean error on the test part",
        "value": story.writers[name].value(figures["mae"]),
        "note": f"{relative}R² {fixed(figures['r2'], decimals=4)}",
    }


def _anchors(content: Content) -> list[tuple[str, str]]:
    """Return the sections that there are."""
    every = [
        ("accuracy", "Numbers"), ("groups", "Groups"), ("adapted", "Before and after"), ("trust", "Trust"),
        ("maps", "Maps"), ("ranges", "Ranges"), ("errors", "Errors"), ("regions", "Regions"), ("parts", "Parts"),
        ("physics", "Physics"), ("leaderboards", "Methods"), ("data", "Data"),
        ("training", "Training"), ("cite", "How to cite"), ("config", "Config and provenance"),
    ]  # fmt: skip
    return [pair for pair in every if content.get(pair[0], "there") is not None]


def _accuracy(story: Story) -> Content:
    head = ["target", "samples", "MAE", "95 %", "RMSE", "MAPE", "R²", "bias", "worst", "at"]
    rows = [_accuracy_row(story, name) for name in story.run.metrics["test"]]
    return {
        "words": _FIGURES,
        "table": {"head": [*head, "MAE, validation", "R², validation"], "rows": rows},
        "cards": [_accuracy_card(story, name) for name, cloud in story.clouds.items() if cloud.measured.size],
    }


def _accuracy_row(story: Story, name: str) -> list[str]:
    test, writer = story.run.metrics["test"][name], story.writers[name]
    other = story.run.metrics.get("validation", {}).get(name, {})
    return [
        name,
        f"{test['samples']:,}",
        writer.value(test["mae"]),
        _chance(story, name),
        writer.value(test["rmse"]),
        NOTHING if test["mape"] is None else f"{figure(test['mape'])}\N{NO-BREAK SPACE}%",
        fixed(test["r2"], decimals=4),
        writer.signed(test["bias"]),
        writer.signed(test["worst_error"]),
        str(test["worst_id"]),
        writer.value(other.get("mae")),
        fixed(other.get("r2"), decimals=4),
    ]


def _chance(story: Story, name: str) -> str:
    """Return between which values the MAE of other test samples would lie; of one group nobody knows."""
    predicted, measured = story.test.column(name)
    found = bootstrap(np.abs(predicted - measured), groups=group_sections.groups_of_test(story))
    writer = story.writers[name]
    known = found is not None and np.isfinite(found.low)
    return f"{writer.bare(found.low)} … {writer.bare(found.high)}" if found is not None and known else NOTHING


def _accuracy_card(story: Story, name: str) -> Content:
    cloud = story.clouds[name]
    return {
        "title": f"{name}: predicted against measured, errors, best and worst samples",
        "pictures": [
            embedded(scatter(cloud), f"{name}: predicted against measured, {cloud.headline}"),
            embedded(errors(cloud), f"{name}: histogram of the errors"),
        ],
        "tables": _extremes(story, name),
    }


def _extremes(story: Story, name: str) -> list[Content]:
    """Return the samples with the largest and the smallest errors of one target; none is in both tables."""
    predicted, measured = story.test.column(name)
    known = np.flatnonzero(np.isfinite(measured))
    order = known[np.argsort(-np.abs(predicted - measured)[known], kind="stable")]
    count = min(_EXTREME, (len(order) + 1) // 2)
    chosen = {"largest errors": order[:count], "smallest errors": order[count:][::-1][:count]}
    unit = "" if story.run.units[name] == "1" else f" ({story.run.units[name]})"
    head = ["sample", "predicted", "measured", "error"]
    return [
        {"caption": f"{words}{unit}", "head": head, "rows": [_extreme_row(story, name, row) for row in rows]}
        for words, rows in chosen.items() if len(rows)
    ]  # fmt: skip


def _extreme_row(story: Story, name: str, row: int) -> list[str]:
    writer = story.writers[name]
    predicted, measured = (column[row] for column in story.test.column(name))
    error = writer.bare(predicted - measured, sign=True)
    return [str(story.test.ids[row]), writer.bare(predicted), writer.bare(measured), error]


def _data(story: Story) -> list[tuple[str, str]]:
    data, about = story.data, story.data.attributes
    parts = data.split_array(story.run.config.data.split)
    rows = [
        ("name", data.name), ("source", about.get("source", "")), ("licence", about.get("licence", "")),
        ("made with", about.get("created_with", "")), ("notes", about.get("notes", "")), ("digest", data.digest),
        ("samples", ", ".join(f"{int((parts == part).sum()):,} {part}" for part in ("train", "validation", "test"))),
        ("channels", _named(data.channels)), ("targets in the file", _named(data.targets)),
        ("parameters", _named(data.parameters)), ("regions", ", ".join(data.region_names)),
        ("symmetries", ", ".join(data.symmetries)),
    ]  # fmt: skip
    rows += [
        (f"axis {axis.label}", f"{axis.size} points, {figure(axis.edges[0])} to {figure(axis.edges[-1])}")
        for axis in data.axes
    ]
    rows += [("data check", found["text"]) for found in story.run.checks] or [("data check", "nothing found")]
    return [(name, text) for name, text in rows if text]


def _named(units: Mapping[str, str]) -> str:
    return ", ".join(name if unit == "1" else f"{name} ({unit})" for name, unit in units.items())


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Yield ``("training.epochs", "30")`` for every value in nested mappings."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
            yield f"{prefix}{key}", text or "–"
