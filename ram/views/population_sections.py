"""The sections of a report about maps of many samples: how maps change with the target, and where errors come from."""

from __future__ import annotations

__all__ = ["errors", "ranges"]

from typing import Any

import numpy as np
from jaxtyping import Float

from ram.axes import readable, share_within
from ram.data.lines import Line
from ram.evaluation.populations import ErrorMap, RangeMean, error_map, means_by_range
from ram.maps.regression_map import RegressionMap
from ram.views.carried import most_of_it
from ram.views.findings import Explained
from ram.views.numbers import Writer, figure, fixed, per_cent
from ram.views.population_pictures import Mean, error_picture, range_picture
from ram.views.story import Story
from ram.views.style import embedded

Content = dict[str, Any]
_FEWEST = 8  # samples that a mean over ranges can be of
_NEAR = 0.1  # of the place of a line: what counts as lying on it

_RANGES = (
    "Samples of the test part by their measured value, in ranges of about as many; the mean of their maps against the "
    "{reference}, in one scale. What is blue for small values and red for large ones is what the net tells them apart "
    "by; what looks the same in all ranges tells nothing apart."
)
_LINES = (
    "Broken: where physics expects something, {lines} (the mean over the samples of a range). Near it, within {near}, "
    "lies the share of the absolute contributions that the table says, sample by sample; chance is the share of the "
    "map's area there."
)
_ERRORS = (
    "Errors that follow the measured value are taken out first (small values overrated, large ones underrated, say: a "
    "negative slope). Among samples of one measured value the error varies as the prediction does, and that is parted "
    "among the cells: how much a cell's contribution rises, on average, where the error is larger by one of its "
    "standard deviations. Red: too large predictions come with more from there, too small ones with less. It says what "
    "goes along with errors, not what causes them."
)


def ranges(story: Story) -> Content | None:
    """Return the mean map of each range of each target; None where too few samples were measured."""
    cards = [card for name, found in story.targets.items() if (card := _range_card(story, name, found))]
    if not cards:
        return None
    words = [_RANGES.format(reference=story.targets[story.first].reference_words)]
    if story.lines:
        said = ", ".join(str(line) for line in story.lines)
        words.append(_LINES.format(lines=said, near=per_cent(_NEAR)))
    return {"words": words, "cards": cards}


def errors(story: Story) -> Content | None:
    """Return which cells go along with the errors of each target; None where too few samples were measured."""
    cards = [card for name, found in story.targets.items() if (card := _error_card(story, name, found))]
    if not cards:
        return None
    return {"words": [_ERRORS], "cards": cards}


def _measured(story: Story, found: Explained) -> Float[np.ndarray, " sample"]:
    """Return the measured target of each sample that was explained, in the unit of the maps."""
    of = dict(zip(story.test.ids.tolist(), story.test.column(found.maps.target)[1].tolist(), strict=True))
    return np.array([of.get(name, np.nan) for name in found.maps.ids])


def _writer(story: Story, maps: RegressionMap) -> Writer:
    return Writer("%", 2) if maps.log else story.writers[maps.target]


def _times(maps: RegressionMap) -> float:
    return 100.0 if maps.log else 1.0  # a small logarithm is so many per cent


def _range_card(story: Story, name: str, found: Explained) -> Content | None:
    maps, measured = found.maps, _measured(story, found)
    if np.isfinite(measured).sum() < _FEWEST or len(means := means_by_range(maps, measured)) < 2:
        return None
    writer, times = _writer(story, maps), _times(maps)
    own = Writer(maps.unit, story.writers[name].decimals)
    places = [(line, line.places(found.data, maps.axes)) for line in story.lines]
    drawn = [
        Mean(
            f"{_range_words(one, own)}\n{writer.signed(times * one.contributions.sum())} ({one.rows.size})",
            times * one.contributions,
            tuple((line.axis, _shown_place(line, maps, at[one.rows])) for line, at in places),
        )
        for one in means
    ]
    title = f"{name}: mean maps by range, with their sum (and how many samples)"
    label = f"{writer.unit} per cell" if writer.unit != "1" else "per cell"
    rows = [
        [
            _range_words(one, own),
            f"{one.rows.size:,}",
            writer.signed(times * one.contributions.sum()),
            *(cell for line, at in places for cell in _line_cells(maps[one.rows], line, at[one.rows])),
        ]
        for one in means
    ]
    head = ["measured", "samples", "mean of the maps"]
    head += [word for number, _ in enumerate(places, start=1) for word in _line_heads(number, len(places))]
    most = [
        f"{_range_words(one, own)}: {most_of_it(maps, one.contributions, unit=writer.unit, times=times)}."
        for one in means
    ]
    return {
        "table": {"caption": f"{name} by range", "head": head, "rows": rows},
        "picture": embedded(range_picture(drawn, maps.axes, label=label, title=title), title),
        "words": ["What carries most in each range: " + " ".join(most)],
    }


def _line_heads(number: int, count: int) -> list[str]:
    of = "" if count == 1 else f" {number}"
    return [f"line{of} at", "near it", "chance"]


def _line_cells(maps: RegressionMap, line: Line, at: Float[np.ndarray, " sample"]) -> list[str]:
    near, chance = _near(maps, line, at)
    (axis,) = readable(next(axis for axis in maps.axes if axis.name == line.axis))
    return [f"{figure(_shown_place(line, maps, at))} {axis.unit}", per_cent(near), per_cent(chance)]


def _range_words(one: RangeMean, writer: Writer) -> str:
    if one.low == one.high:
        return writer.value(one.low)
    return f"{writer.bare(one.low)} to {writer.value(one.high)}"


def _shown_place(line: Line, maps: RegressionMap, at: Float[np.ndarray, " sample"]) -> float:
    """Return the mean place of a line over some samples, in the unit in which its axis is read."""
    axis = next(axis for axis in maps.axes if axis.name == line.axis)
    (shown,) = readable(axis)
    known = at[np.isfinite(at)]
    size = float(shown.edges[-1] / axis.edges[-1]) if axis.edges[-1] else 1.0
    return float(known.mean()) * size if known.size else float("nan")


def _near(maps: RegressionMap, line: Line, at: Float[np.ndarray, " sample"]) -> tuple[float, float]:
    """Return which share of the absolute contributions, and of the map's area, lies near a line; means over samples."""
    number = next(number for number, axis in enumerate(maps.axes) if axis.name == line.axis)
    axis, shares, areas = maps.axes[number], [], []
    others = tuple(place for place in range(len(maps.axes)) if place != number)
    for values, place in zip(np.abs(maps.contributions), at, strict=True):
        if not np.isfinite(place) or not values.any():
            continue
        low, high = sorted(((1 - _NEAR) * place, (1 + _NEAR) * place))
        inside = share_within(axis, (low, high))
        along = values.sum(axis=others)
        shares.append(float(inside @ along / along.sum()))
        areas.append(float(inside @ np.diff(axis.edges) / np.diff(axis.edges).sum()))
    return (float(np.mean(shares)), float(np.mean(areas))) if shares else (float("nan"), float("nan"))


def _error_card(story: Story, name: str, found: Explained) -> Content | None:
    maps = found.maps
    errors = error_map(maps, _measured(story, found)) if maps.adds_up else None
    if errors is None or errors.samples < _FEWEST:
        return None
    writer, times = _writer(story, maps), _times(maps)
    title = f"{name}: what goes along with an error of {writer.value(times * errors.deviation)}"
    label = f"{writer.unit} per cell" if writer.unit != "1" else "per cell"
    mean = Mean(title, times * errors.contributions)
    most, slope = most_of_it(maps, errors.contributions, unit=writer.unit, times=times), fixed(errors.slope, decimals=3)
    return {
        "table": _error_table(name, errors, maps, writer, times),
        "picture": embedded(error_picture(mean, maps.axes, label=label), title),
        "words": [f"Most of it: {most}. The error follows the measured value with a slope of {slope}."],
    }


def _error_table(name: str, errors: ErrorMap, maps: RegressionMap, writer: Writer, times: float) -> Content:
    shares = zip(maps.parameter_names, errors.parameters, strict=True)
    parts = [("all cells", float(errors.contributions.sum())), *shares]
    if abs(errors.left_over) > 1e-3 * errors.deviation:
        parts.append(("left over by the maps", errors.left_over))
    return {
        "caption": f"{name}: one standard deviation of the error over {errors.samples:,} samples, by what goes along",
        "head": ["", "goes along"],
        "rows": [[part, writer.signed(times * value)] for part, value in parts],
        "foot": ["standard deviation of the error", writer.value(times * errors.deviation)],
    }
