"""One sample as a picture: its input, and what each cell of it carries, laid over the design or the signal."""

from __future__ import annotations

__all__ = [
    "Scale",
    "Scene",
    "draw_contributions",
    "draw_input",
    "draw_lines",
    "draw_over",
    "gallery",
    "panel",
    "shared_scale",
]

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from ram.axes import Axis
from ram.maps.plots import draw_disputed, draw_end, draw_over_levels, is_spectrogram, spread_evenly, strength, width_of
from ram.views.style import DIVERGING, INK, SEQUENTIAL, new_figure


@dataclass(frozen=True, eq=False)
class Scene:
    """What the pictures of one sample need; of an input in 3D, one slice and the sums over the cells behind it.

    Attributes
    ----------
    input
        Shape space, NaN where nothing is to be drawn (voids).
    input_label, input_axes
        Name and unit of the channel shown, and its grid: one or two axes.
    net, truth
        Shape cells: contributions by the net and by physics, or None where physics does not say.
    cells
        The grid of `net` and `truth`.
    solid
        Shape space: where the design is; its outline is drawn over the maps. None: no outline.
    heading, net_title, truth_title
        What the sample and the two pictures are about, with the number and its unit.
    disputed
        Shape cells: whose sign the members of an ensemble dispute; None for a single net.
    end
        Where a padded sample ends, on the last axis of `input_axes`; None where nothing is padding.
    lines
        Name of an axis of `input_axes` and a place on it: lines that physics expects.
    """

    name: str
    heading: str
    input: Float[np.ndarray, "*space"] = field(repr=False)
    input_label: str
    input_axes: tuple[Axis, ...]
    net: Float[np.ndarray, "*cells"] = field(repr=False)
    truth: Float[np.ndarray, "*cells"] | None = field(repr=False)
    cells: tuple[Axis, ...]
    solid: Bool[np.ndarray, "*space"] | None = field(repr=False)
    net_title: str
    truth_title: str
    disputed: Bool[np.ndarray, "*cells"] | None = field(default=None, repr=False)
    end: float | None = None
    lines: tuple[tuple[str, float], ...] = ()


PALE = 2.5  # a map that fills less than 1 / 2.5 of the shared scale is shown on its own as well


@dataclass(frozen=True)
class Scale:
    """The one scale that all pictures of a report share.

    Attributes
    ----------
    low, high
        Of the input.
    limit
        Contributions by net and physics are coloured from -limit to limit.
    net_limit
        What `limit` would be for the net alone.
    label
        What the colour bar of the contributions says, with unit.
    over
        Whether inputs are spectrograms, which maps are laid over as well.
    """

    low: float
    high: float
    limit: float
    net_limit: float
    label: str
    over: bool = False

    @property
    def stretch(self) -> float:
        """How much stronger the colours of the net's maps would be on a scale of their own."""
        return self.limit / self.net_limit

    @property
    def parts(self) -> tuple[str, ...]:
        """The pictures of a sample; the net's map once more, ``"close"``, where the shared scale leaves it pale."""
        over, close = ["over"] if self.over else [], ["close"] if self.stretch > PALE else []
        return ("input", "net", *over, "truth", *close)


def shared_scale(scenes: Sequence[Scene], *, unit: str) -> Scale:
    """Return the scale for all `scenes`: 99.5 % of the cells lie within it, the others show its end colours."""
    inputs = np.concatenate([scene.input[np.isfinite(scene.input)] for scene in scenes])
    low, high = (float(inputs.min()), float(inputs.max())) if inputs.size else (0.0, 1.0)
    net = _reach([scene.net for scene in scenes]) or 1.0
    limit = max(net, _reach([scene.truth for scene in scenes if scene.truth is not None]))
    label = f"{unit} per cell of {_cell_size(scenes[0].cells)}"
    return Scale(low, high, limit, net, label, is_spectrogram(scenes[0].input_axes))


def _reach(maps: Sequence[Float[np.ndarray, "*cells"]]) -> float:
    return max((float(np.percentile(np.abs(values), 99.5)) for values in maps), default=0.0)


def _cell_size(cells: Sequence[Axis]) -> str:
    """Return ``"6.7 x 6.7 mm"``, x before y as people say it; of axes without a unit the numbers alone."""
    widths = [width_of(axis) for axis in reversed(cells)]
    units = ["" if axis.unit == "1" else f" {axis.unit}" for axis in reversed(cells)]
    if len(set(units)) == 1:
        return f"{' x '.join(widths)}{units[0]}"
    return " x ".join(f"{width}{unit}" for width, unit in zip(widths, units, strict=True))


def draw_input(axes: Axes, scene: Scene, *, scale: Scale) -> ScalarMappable | None:
    """Draw the input; return what a colour bar needs, None for a signal."""
    if len(scene.input_axes) == 1:
        _draw_signal(axes, scene)
        return None
    mesh = _mesh(axes, scene.input, scene.input_axes)
    mesh.set(cmap=SEQUENTIAL, norm=Normalize(scale.low, scale.high))
    _finish(axes, scene.input_axes)
    draw_lines(axes, scene.lines, scene.input_axes)
    return mesh


def draw_contributions(
    axes: Axes, scene: Scene, values: Float[np.ndarray, "*cells"], *, limit: float
) -> ScalarMappable:
    """Draw contributions over the design's outline, or behind the signal; return what a colour bar needs."""
    if len(scene.input_axes) == 1:
        mesh = _bands(axes, values, scene)
        _draw_signal(axes, scene)
    else:
        mesh = _mesh(axes, values, scene.cells)
        _outline(axes, scene)
        _finish(axes, scene.input_axes)
    draw_lines(axes, scene.lines, scene.input_axes)
    mesh.set(cmap=DIVERGING, norm=Normalize(-limit, limit))
    return mesh


def draw_over(axes: Axes, scene: Scene, *, limit: float) -> ScalarMappable:
    """Draw the net's map over the spectrogram, each cell as far as it carries something."""
    mesh = draw_over_levels(axes, scene.net, scene.cells, scene.input, scene.input_axes)
    mesh.set(cmap=DIVERGING, norm=Normalize(-limit, limit), alpha=strength(scene.net, limit))
    _finish(axes, scene.input_axes)
    draw_lines(axes, scene.lines, scene.input_axes)
    return ScalarMappable(norm=mesh.norm, cmap=mesh.cmap)


def draw_lines(axes: Axes, lines: Sequence[tuple[str, float]], grid: Sequence[Axis], *, colour: Any = INK) -> None:
    """Draw lines across an axis of `grid`, broken, where they lie on it."""
    for name, place in lines:
        for axis, draw in zip(reversed(grid), (axes.axvline, axes.axhline), strict=False):
            if axis.name == name and axis.edges[0] <= place <= axis.edges[-1]:
                draw(place, color="white", linewidth=1.8)
                draw(place, color=colour, linewidth=0.9, linestyle=(0, (4, 3)))


def _mesh(axes: Axes, values: Float[np.ndarray, "y x"], grid: Sequence[Axis]) -> QuadMesh:
    y, x = grid
    return axes.pcolormesh(x.edges, y.edges, np.ma.masked_invalid(values), rasterized=True)


def _bands(axes: Axes, values: Float[np.ndarray, " cell"], scene: Scene) -> QuadMesh:
    low, high = _range(scene)
    return axes.pcolormesh(scene.cells[0].edges, [low, high], values[None, :], rasterized=True)


def _range(scene: Scene) -> tuple[float, float]:
    low, high = float(np.nanmin(scene.input)), float(np.nanmax(scene.input))
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def _draw_signal(axes: Axes, scene: Scene) -> None:
    (time,) = scene.input_axes
    axes.plot(time.centres, scene.input, color=INK, linewidth=0.7)
    axes.set(xlabel=time.label, ylabel=scene.input_label, xlim=time.edges[[0, -1]], ylim=_range(scene))


def _outline(axes: Axes, scene: Scene) -> None:
    if scene.solid is None or scene.solid.all() or not scene.solid.any():
        return
    y, x = scene.input_axes
    axes.contour(x.centres, y.centres, scene.solid, levels=[0.5], colors=[INK], linewidths=0.7)


def _finish(axes: Axes, grid: Sequence[Axis]) -> None:
    y, x = grid
    axes.set(xlabel=x.label, ylabel=y.label, xlim=x.edges[[0, -1]], ylim=y.edges[[0, -1]])
    axes.set_aspect("equal" if x.unit == y.unit else "auto")
    spread_evenly(axes, y)


def panel(scene: Scene, part: str, *, scale: Scale) -> Figure:
    """Return one picture of a sample: one of `Scale.parts`."""
    figure = new_figure(3.3, 2.6, layout=None)  # placed by hand: the engine would take most of a report's time
    axes, bar = figure.add_axes((0.19, 0.16, 0.58, 0.75)), figure.add_axes((0.79, 0.16, 0.033, 0.75))
    drawn = _draw(axes, scene, part, scale=scale)
    if drawn is None:
        bar.remove()
        axes.set_position((0.19, 0.16, 0.78, 0.75))
    else:
        _colour_bar(figure, drawn, part, scale, scene, cax=bar)
    return figure


def _draw(axes: Axes, scene: Scene, part: str, *, scale: Scale) -> ScalarMappable | None:
    """Draw one part of a scene with its title, and where a padded sample ends."""
    drawn = _draw_part(axes, scene, part, scale=scale)
    if scene.end is not None:
        draw_end(axes, scene.end, scene.input_axes[-1])
    return drawn


def _draw_part(axes: Axes, scene: Scene, part: str, *, scale: Scale) -> ScalarMappable | None:
    if part == "input":
        axes.set_title(f"{'Spectrogram' if scale.over else 'Input'}: {scene.input_label}")
        return draw_input(axes, scene, scale=scale)
    if part == "over":
        axes.set_title("Net over the spectrogram")
        return draw_over(axes, scene, limit=scale.net_limit)
    if part == "truth":
        assert scene.truth is not None, "the caller asks for the truth only where there is one"
        axes.set_title(scene.truth_title)
        return draw_contributions(axes, scene, scene.truth, limit=scale.limit)
    axes.set_title(scene.net_title if part == "net" else f"Net, colours × {scale.stretch:.2g}")
    drawn = draw_contributions(axes, scene, scene.net, limit=scale.limit if part == "net" else scale.net_limit)
    if scene.disputed is not None:
        draw_disputed(axes, scene.disputed, scene.cells)
    return drawn


def _colour_bar(figure: Figure, drawn: ScalarMappable, part: str, scale: Scale, scene: Scene, **place: Any) -> None:
    numbers = ScalarFormatter()
    numbers.set_powerlimits((-2, 4))
    extend = "neither" if part == "input" else "both"
    bar = figure.colorbar(drawn, extend=extend, ticks=MaxNLocator(5), format=numbers, **place)
    bar.set_label(scene.input_label if part == "input" else scale.label)


def gallery(scenes: Sequence[Scene], *, scale: Scale, title: str) -> Figure:
    """Return input | net | physics of some samples, one below the other, in one scale."""
    known = any(scene.truth is not None for scene in scenes)
    parts = [part for part in scale.parts if part != "truth" or known]
    figure = new_figure(3.1 * len(parts), 2.9 * len(scenes) + 1.1)
    grid = figure.subplots(len(scenes), len(parts), squeeze=False)
    drawn: dict[str, ScalarMappable | None] = {}
    for row, scene in zip(grid, scenes, strict=True):
        for axes, part in zip(row, parts, strict=True):
            if part == "truth" and scene.truth is None:
                axes.set_axis_off()
            else:
                drawn[part] = _draw(axes, scene, part, scale=scale)
        row[0].set_title(scene.heading)
    shared = 1 + sum(part in ("net", "over", "truth") for part in parts)  # columns before the net's own scale
    for part, columns in (("input", grid[:, :1]), ("net", grid[:, 1:shared]), ("close", grid[:, shared:])):
        if (mappable := drawn.get(part)) is not None:
            place = {"ax": columns.ravel().tolist(), "location": "bottom", "shrink": 0.9 / columns.shape[1]}
            _colour_bar(figure, mappable, part, scale, scenes[0], **place, aspect=30, pad=0.01)
    figure.suptitle(title, fontweight="bold")
    return figure
