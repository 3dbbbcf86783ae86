"""The pictures of a report that are about many samples: accuracy, regions, training."""

from __future__ import annotations

__all__ = ["Cloud", "accuracy_overview", "errors", "region_bars", "scatter", "training_curve"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ram.evaluation.regions import RegionRow
from ram.views.style import BLUE, GREY, INK, ORANGE, new_figure


@dataclass(frozen=True, eq=False)
class Cloud:
    """Predictions of one target for the samples of the test part that were measured.

    Attributes
    ----------
    headline
        What stands over the pictures: the error as a number with its unit.
    """

    name: str
    unit: str
    predicted: Float[np.ndarray, " sample"] = field(repr=False)
    measured: Float[np.ndarray, " sample"] = field(repr=False)
    headline: str = ""

    def label(self, word: str) -> str:
        """Return the words along an axis: ``"measured (Hz)"``."""
        return word if self.unit == "1" else f"{word} ({self.unit})"


def scatter(cloud: Cloud) -> Figure:
    """Return predicted against measured values; on the line, both are equal."""
    return _single(lambda axes: _scatter(axes, cloud))


def errors(cloud: Cloud) -> Figure:
    """Return the histogram of predicted - measured."""
    return _single(lambda axes: _errors(axes, cloud))


def _single(draw: Callable[[Axes], None]) -> Figure:
    figure = new_figure(3.7, 3.3, layout=None)
    draw(figure.add_axes((0.17, 0.14, 0.79, 0.78)))
    return figure


def accuracy_overview(clouds: Sequence[Cloud]) -> Figure:
    """Return both pictures of every target, one column each."""
    figure = new_figure(3.6 * len(clouds), 6.4)
    grid = figure.subplots(2, len(clouds), squeeze=False)
    for cloud, above, below in zip(clouds, *grid, strict=True):
        _scatter(above, cloud)
        _errors(below, cloud)
    return figure


def _scatter(axes: Axes, cloud: Cloud) -> None:
    both = np.concatenate([cloud.predicted, cloud.measured])
    margin = 0.03 * float(np.ptp(both)) or 1.0
    ends = (float(both.min()) - margin, float(both.max()) + margin)
    axes.plot(ends, ends, color=GREY, linewidth=0.8)
    axes.plot(cloud.measured, cloud.predicted, ".", color=BLUE, markersize=6, alpha=0.55, markeredgewidth=0)
    axes.set(xlabel=cloud.label("measured"), ylabel=cloud.label("predicted"), xlim=ends, ylim=ends)
    axes.set_title(f"{cloud.name}: {cloud.headline}")
    axes.set_aspect("equal")


def _errors(axes: Axes, cloud: Cloud) -> None:
    error = cloud.predicted - cloud.measured
    reach = float(np.abs(error).max()) or 1.0
    count = 2 * min(max(4, round(len(error) ** 0.5)), 20) + 1  # odd: the middle bar holds the smallest errors
    axes.hist(error, bins=np.linspace(-reach, reach, count + 1).tolist(), color=BLUE, edgecolor="white", linewidth=0.4)
    axes.axvline(0.0, color=INK, linewidth=0.8)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    inside = float(np.percentile(np.abs(error), 90))
    axes.set(xlabel=cloud.label("predicted − measured"), ylabel="samples", xlim=(-reach, reach))
    unit = "" if cloud.unit == "1" else f" {cloud.unit}"
    axes.set_title(f"{cloud.name}: 9 of 10 within ±{inside:.2g}{unit}")


def region_bars(rows: Sequence[RegionRow], *, unit: str, title: str) -> Figure:
    """Return what each region carries by the net and by physics: signed mean and mean absolute value."""
    figure = new_figure(8.6, 0.45 * len(rows) + 1.4)
    left, right = figure.subplots(1, 2, sharey=True)
    words = "" if unit == "1" else f" ({unit})"
    _bars(left, rows, ("net", "physics"))
    left.set(xlabel=f"signed mean{words}")
    _bars(right, rows, ("net_absolute", "physics_absolute"))
    right.set(xlabel=f"mean absolute value{words}")
    left.invert_yaxis()
    if any(np.isfinite(row.physics) for row in rows):
        right.legend(frameon=False, loc="best")
    figure.suptitle(title)
    return figure


def _bars(axes: Axes, rows: Sequence[RegionRow], fields: tuple[str, str]) -> None:
    place = np.arange(len(rows))
    for shift, name, colour in zip((-0.19, 0.19), fields, (BLUE, ORANGE), strict=True):
        values = np.array([getattr(row, name) for row in rows])
        if np.isfinite(values).any():
            label = name.removesuffix("_absolute")
            axes.barh(place + shift, np.nan_to_num(values), height=0.36, color=colour, label=label)
    axes.axvline(0.0, color=INK, linewidth=0.6)
    axes.set_yticks(place, [row.name for row in rows])


def training_curve(history: Sequence[Mapping[str, Any]], *, units: Mapping[str, str]) -> Figure:
    """Return loss of the training part and error of the validation part over the epochs; a line marks the one kept."""
    figure = new_figure(8.6, 3.2)
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    kept = max((row["epoch"] for row in history if row["best"]), default=epochs[-1])
    left.plot(epochs, [row["loss"] for row in history], color=INK, linewidth=1.2)
    left.set_title(f"training loss: {history[-1]['loss']:.3g} after {len(history)} epochs")
    for number, (name, unit) in enumerate(units.items()):
        values = [row["validation"].get(name, np.nan) for row in history]
        label = name if unit == "1" else f"{name} ({unit})"
        right.plot(epochs, values, linewidth=1.2, color=_LINES[number % len(_LINES)], label=label)
    right.set_title(f"mean absolute validation error: epoch {kept} is kept")
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.set(xlabel="epoch", yscale="log")
        axes.axvline(kept, color=GREY, linewidth=0.8, linestyle="--")
        _plain_decades(axes)
    return figure


def _plain_decades(axes: Axes) -> None:
    """Label a logarithmic axis 0.1, 0.2, 0.5, 1: its own labels are formulas, which the style leaves unread."""
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


_LINES = (BLUE, ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", INK, GREY)
