"""Pictures of maps of many samples: the mean over each range of the target, and what goes along with errors."""

from __future__ import annotations

__all__ = ["Mean", "error_picture", "range_picture"]

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ram.axes import Axis, readable
from ram.maps.plots import spread_evenly
from ram.views.panels import draw_lines
from ram.views.style import DIVERGING, INK, SEQUENTIAL, new_figure

_COLUMNS = 4


@dataclass(frozen=True, eq=False)
class Mean:
    """A map of many samples.

    Attributes
    ----------
    title
        Which samples, and the sum of the map.
    values
        Shape (*cells).
    lines
        Name of an axis and a place on it, in the unit in which it is read: what physics expects.
    """

    title: str
    values: Float[np.ndarray, "*cells"] = field(repr=False)
    lines: tuple[tuple[str, float], ...] = ()


def range_picture(means: Sequence[Mean], axes: Sequence[Axis], *, label: str, title: str) -> Figure:
    """Return mean maps side by side in one scale; of signals all in one picture, a line for each."""
    cells = [readable(axis)[0] for axis in axes[-2:]]
    if len(axes) == 1:
        return _curves(means, cells[0], label=label, title=title)
    columns = min(len(means), _COLUMNS)
    figure = new_figure(8.6, 3.1)
    places = figure.subplots(1, columns, squeeze=False, sharey=True)[0]
    _planes(figure, list(places), means, cells, label=label)
    figure.suptitle(title)
    return figure


def error_picture(mean: Mean, axes: Sequence[Axis], *, label: str) -> Figure:
    """Return one map of what goes along with errors."""
    cells = [readable(axis)[0] for axis in axes[-2:]]
    if len(axes) == 1:
        return _curves([mean], cells[0], label=label, title="", filled=True)
    figure = new_figure(4.8, 3.6)
    _planes(figure, [figure.subplots()], [mean], cells, label=label)
    return figure


def _planes(figure: Figure, places: list[Axes], means: Sequence[Mean], cells: Sequence[Axis], *, label: str) -> None:
    shown = [mean.values.sum(axis=0) if mean.values.ndim == 3 else mean.values for mean in means]
    reach = max(float(np.percentile(np.abs(values), 99.5)) for values in shown) or 1.0
    y, x = cells
    for place, mean, values in zip(places, means, shown, strict=True):
        mesh = place.pcolormesh(
            x.edges, y.edges, values, cmap=DIVERGING, norm=Normalize(-reach, reach), rasterized=True
        )
        draw_lines(place, mean.lines, cells)
        place.set(xlabel=x.label, xlim=x.edges[[0, -1]], ylim=y.edges[[0, -1]])
        place.set_title(mean.title)
        place.set_aspect("equal" if x.unit == y.unit else "auto")
        spread_evenly(place, y)
    places[0].set_ylabel(y.label)
    figure.colorbar(mesh, ax=places, label=label, extend="both", pad=0.01)


def _curves(means: Sequence[Mean], axis: Axis, *, label: str, title: str, filled: bool = False) -> Figure:
    figure = new_figure(8.6, 3.2)
    place = figure.subplots()
    colours = [INK] if filled else colormaps[SEQUENTIAL](np.linspace(0.0, 0.85, len(means)))
    for mean, colour in zip(means, colours, strict=True):
        name = None if filled else mean.title.replace("\n", ", ")
        place.stairs(mean.values, axis.edges, color=colour, linewidth=1.3, label=name, baseline=None)
        draw_lines(place, mean.lines, [axis], colour=colour)
    if filled:
        place.stairs(means[0].values, axis.edges, color=INK, alpha=0.25, fill=True)
        place.set_title(means[0].title)
    else:
        place.legend(frameon=False, fontsize=8)
        place.set_title(title)
    place.axhline(0.0, color=INK, linewidth=0.5)
    place.set(xlabel=axis.label, ylabel=label, xlim=axis.edges[[0, -1]])
    return figure
