"""Pictures of maps: signed colours centred on zero, axes with units, the number in the title."""

from __future__ import annotations

__all__ = [
    "disputed_cells",
    "draw_disputed",
    "draw_end",
    "draw_map",
    "draw_over_levels",
    "flat",
    "is_spectrogram",
    "label_of",
    "limit_of",
    "plot_map",
    "shown",
    "spread_evenly",
    "strength",
    "title_of",
]

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike, NDArray

from ram.axes import Axis, readable
from ram.errors import DataError, explained

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

    from ram.maps.ensemble_map import EnsembleMap
    from ram.maps.regression_map import RegressionMap

Array = NDArray[np.float64]

_COLOURS = "RdBu_r"  # safe for the colour-blind; red adds, blue takes away
_INK = "0.15"


def plot_map(
    maps: RegressionMap,
    index: int = 0,
    *,
    image: ArrayLike | None = None,
    ax: Axes | None = None,
    limit: float | None = None,
) -> Figure:
    """Return a picture of one map of a batch.

    Cells are drawn where they lie and as far as they extend, nothing is interpolated; seconds and hertz have the prefix
    that suits them. A map in 3D is summed over its first axis, which keeps the total. A log target is shown in per
    cent. Of an ensemble's map the cells whose sign its members dispute are grey and hatched, and what lies behind the
    end of a padded sample is grey.

    Parameters
    ----------
    index
        Which sample.
    image
        Shape (*space) on the input's grid: the signal, drawn over the map; the spectrogram, in grey below it, where
        the map is as strong as it is; or the design (fill or thickness, 0 in voids), in grey below it and outlined; the
        map is then faint in the voids.
    ax
        Where to draw; a new figure if not given.
    limit
        Colours go from -limit to limit, in the unit of the colour bar; the largest contribution of the whole batch if
        not given, so that all its pictures share one scale.

    Raises
    ------
    DataError
        Where `image` is not on the input's grid.
    """
    from ram.maps.figure import MapFigure

    signal = len(flat(maps.contributions[index], maps.axes)[1]) == 1
    canvas = MapFigure(figsize=(6.4, 3.2) if signal else (5.2, 4.3), layout="constrained") if ax is None else None
    place = canvas.subplots() if canvas is not None else ax
    assert place is not None
    bar = draw_map(place, maps, index, image=image, limit=limit)
    title = title_of(maps[index])
    lines = [title if len(title) < 56 else title.replace(" = ", "\n= ")]
    if isinstance(maps, _ensemble()):
        lines.append(_agreement(maps[index]))
    place.set_title("\n".join(lines), fontsize="small")
    figure = place.get_figure(root=True)
    assert figure is not None
    figure.colorbar(bar, ax=place, label=label_of(maps, _drawn_axes(maps)[0]))
    return figure


def draw_map(
    place: Axes, maps: RegressionMap, index: int = 0, *, image: ArrayLike | None = None, limit: float | None = None
) -> ScalarMappable:
    """Draw one map of a batch into a place, as `plot_map` does; return what a colour bar needs.

    Raises
    ------
    DataError
        Where `image` is not on the input's grid.
    """
    values, _ = flat(shown(maps)[index], maps.axes)
    axes, grid = _drawn_axes(maps)
    design = None if image is None else _on_grid(image, maps)
    if len(axes) == 1:
        mesh = _draw_signal(place, values, axes[0], design, grid[0], meaning=_meaning(maps))
    else:
        mesh = _draw_plane(place, values, axes, design, grid)
    if maps.ends.size:
        draw_end(place, float(np.interp(maps.ends[index], maps.input_axes[-1].edges, grid[-1].edges)), grid[-1])
    size = (limit_of(maps) if limit is None else limit) or 1.0
    mesh.set(cmap=_COLOURS, clim=(-size, size))
    if design is not None and is_spectrogram(grid):
        mesh.set_alpha(strength(values, size))  # type: ignore[arg-type]  # the stubs know of single numbers only
    if isinstance(maps, _ensemble()):
        draw_disputed(place, disputed_cells(maps, index), axes)
    return _opaque(mesh)


def limit_of(maps: RegressionMap) -> float:
    """Return the largest absolute value that pictures of a batch show: the end of the scale that they share."""
    return float(np.abs([flat(one, maps.axes)[0] for one in shown(maps)]).max())


def _drawn_axes(maps: RegressionMap) -> tuple[tuple[Axis, ...], tuple[Axis, ...]]:
    """Return axes of the cells and of the input as they are drawn, with prefixes that people read."""
    _, axes = flat(maps.contributions[0], maps.axes)
    pairs = [readable(*pair) for pair in zip(axes, maps.input_axes[-len(axes) :], strict=True)]
    return tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)


def _ensemble() -> type[EnsembleMap]:
    from ram.maps.ensemble_map import EnsembleMap

    return EnsembleMap


def disputed_cells(maps: EnsembleMap, index: int) -> Bool[np.ndarray, "*cells"]:
    """Return the cells, as they are drawn, whose sign the members dispute: of something in 3D those of the sums."""
    values = np.stack([flat(one.contributions[index], one.axes)[0] for one in maps.members])
    return np.asarray((values > 0).any(axis=0) & (values < 0).any(axis=0))


def draw_disputed(place: Axes, disputed: Bool[np.ndarray, "*cells"], cells: Sequence[Axis]) -> None:
    """Cover disputed cells with hatched grey: whether they raise or lower the value is not known."""
    if not disputed.any():
        return
    grey = np.ma.masked_where(~np.atleast_2d(disputed), np.ones(np.atleast_2d(disputed).shape))
    low, high = place.get_ylim()
    rows = np.array([low, high]) if disputed.ndim == 1 else cells[0].edges
    drawn = place.pcolor(cells[-1].edges, rows, grey, cmap="Greys", vmin=0.0, vmax=6.0, hatch="////", linewidth=0.0)
    drawn.set_edgecolor("0.6")  # the colour of the hatching
    place.set_ylim(low, high)


def draw_end(place: Axes, end: float, axis: Axis) -> None:
    """Cover what lies behind the end of a padded sample along the horizontal axis, and mark the end."""
    last = float(axis.edges[-1])
    if end >= last:
        return
    place.axvspan(end, last, facecolor="0.9", edgecolor="none", alpha=0.75, zorder=2.5)
    place.axvline(end, color=_INK, linewidth=0.8, linestyle=":", zorder=2.6)
    place.annotate("end", (end, 0.97), xycoords=("data", "axes fraction"), xytext=(3, 0), textcoords="offset points",
                   va="top", fontsize="x-small", color=_INK)  # fmt: skip


def _agreement(one: EnsembleMap) -> str:
    share = 100 * float(one.undisputed_share()[0])
    return f"{len(one.members)} members agree on the sign of {share:.0f} % of it; grey: disputed"


def shown(maps: RegressionMap) -> Array:
    """Return what is drawn of maps: contributions, those of a log target as factors less one, in per cent."""
    return 100.0 * np.expm1(maps.contributions) if maps.log else maps.contributions


def flat(values: Array, axes: Sequence[Axis]) -> tuple[Array, tuple[Axis, ...]]:
    """Sum what has three axes over the first one."""
    return (values.sum(axis=0), tuple(axes[1:])) if values.ndim == 3 else (values, tuple(axes))


def _on_grid(image: ArrayLike, maps: RegressionMap) -> Array:
    """Return the image on the grid that is drawn: of something in 3D the mean over the first axis."""
    design = np.asarray(image, dtype=np.float64)
    space = tuple(axis.size for axis in maps.input_axes)
    if design.shape != space:
        raise DataError(
            explained(where="plot", what="image", allowed=f"of shape {space}, the input's grid", got=design.shape)
        )
    return np.asarray(design.mean(axis=0)) if design.ndim == 3 else design


def _draw_signal(
    place: Axes, values: Float[np.ndarray, " cell"], cells: Axis, signal: Array | None, axis: Axis, *, meaning: str
) -> QuadMesh:
    """Bands of colour behind the signal, or bars as high as what each cell adds."""
    place.set(xlabel=axis.label, xlim=(axis.edges[0], axis.edges[-1]))
    height = values if signal is None else signal
    low, high = min(0.0, float(height.min())) if signal is None else float(height.min()), float(height.max())
    margin = 0.06 * (high - low) or 1.0
    mesh = place.pcolormesh(cells.edges, [low - margin, high + margin], values[None, :], rasterized=True)
    if signal is None:
        place.stairs(values, cells.edges, color=_INK, baseline=0.0, linewidth=0.9)
        place.axhline(0.0, color=_INK, linewidth=0.5)
        place.set_ylabel(meaning)
    else:
        place.plot(axis.centres, signal, color=_INK, linewidth=0.8)
    return mesh


def _draw_plane(
    place: Axes, values: Float[np.ndarray, "y x"], cells: Sequence[Axis], design: Array | None, grid: Sequence[Axis]
) -> QuadMesh:
    y, x = grid
    if design is None:
        mesh = place.pcolormesh(cells[1].edges, cells[0].edges, values, rasterized=True)
    elif is_spectrogram(grid):
        mesh = draw_over_levels(place, values, cells, design, grid)
    else:
        mesh = _over_design(place, values, cells, design, (y, x))
    place.set(xlabel=x.label, ylabel=y.label, xlim=(x.edges[0], x.edges[-1]), ylim=(y.edges[0], y.edges[-1]))
    place.set_aspect("equal" if x.unit == y.unit else "auto")
    spread_evenly(place, y)
    return mesh


def is_spectrogram(axes: Sequence[Axis]) -> bool:
    """Whether a plane lies over frequency and time."""
    return len(axes) == 2 and axes[0].unit.endswith("Hz") and axes[1].unit.endswith("s")


def spread_evenly(place: Axes, frequency: Axis) -> None:
    """Give bands that grow with their frequency the same height each, as far as a logarithm can."""
    widths = np.diff(frequency.edges)
    if frequency.unit.endswith("Hz") and frequency.edges[0] > 0 and widths[-1] > 4 * widths[0]:
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

        place.set_yscale("log")
        place.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        place.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))  # no formulas: 0.5, 1, 2, 5
        place.yaxis.set_minor_formatter(NullFormatter())


def draw_over_levels(
    place: Axes, values: Array, cells: Sequence[Axis], levels: Array, grid: Sequence[Axis]
) -> QuadMesh:
    """Draw a spectrogram in grey, loud dark, and the cells over it; how far each covers it is the caller's to say."""
    low, high = np.percentile(levels, (5.0, 99.9))
    place.pcolormesh(
        grid[1].edges, grid[0].edges, levels, cmap="Greys", vmin=low, vmax=max(high, low + 1e-12), rasterized=True
    )
    return place.pcolormesh(cells[1].edges, cells[0].edges, values, rasterized=True)


def strength(values: Array, limit: float) -> Array:
    """Return how far cells cover what lies below them: 0 where they carry nothing."""
    return np.asarray(0.85 * np.clip(np.abs(values) / limit, 0.0, 1.0) ** 0.5)


def _opaque(mesh: QuadMesh) -> ScalarMappable:
    """Return what a colour bar needs, whatever the cells cover."""
    from matplotlib.cm import ScalarMappable

    return ScalarMappable(norm=mesh.norm, cmap=mesh.cmap)


def _over_design(place: Axes, values: Array, cells: Sequence[Axis], design: Array, grid: tuple[Axis, Axis]) -> QuadMesh:
    """Draw the design in grey and over it each point of the input in the colour of its cell, faint in the voids."""
    y, x = grid
    solid = design != 0.0
    place.pcolormesh(x.edges, y.edges, np.abs(design), cmap="Greys", rasterized=True)
    rows, columns = (_cell_of(axis, of) for axis, of in zip(cells, grid, strict=True))
    mesh = place.pcolormesh(x.edges, y.edges, values[np.ix_(rows, columns)], rasterized=True)
    mesh.set_alpha(np.where(solid, 0.8, 0.25))  # type: ignore[arg-type]  # the stubs know of single numbers only
    if solid.any() and not solid.all():
        place.contour(x.centres, y.centres, solid, levels=[0.5], colors=[_INK], linewidths=0.7)
    return mesh


def _cell_of(cells: Axis, grid: Axis) -> NDArray[np.int64]:
    """Return the cell in which each point of the grid lies."""
    return np.clip(np.searchsorted(cells.edges, grid.centres, side="right") - 1, 0, cells.size - 1)


def label_of(maps: RegressionMap, cells: Sequence[Axis]) -> str:
    """Return what the colours mean, with the cell's size."""
    axes = cells[-2:]
    widths = [width_of(axis) for axis in reversed(axes)]
    units = [axis.unit if axis.unit not in {"", "1"} else axis.name for axis in reversed(axes)]
    pairs = " x ".join(f"{width} {unit}" for width, unit in zip(widths, units, strict=True))
    size = f"{' x '.join(widths)} {units[0]}" if len(set(units)) == 1 else pairs
    return f"{_meaning(maps)} per cell of {size}"


def width_of(axis: Axis) -> str:
    """Return how wide cells are: ``"4"``, or ``"0.1 to 1.2"`` where they grow.

    >>> width_of(Axis.uniform("x", "mm", size=8, step=4.0))
    '4'
    """
    widths = np.diff(axis.edges)
    inner = widths[1:-1] if widths.size > 2 else widths  # the ends clip their cells
    narrow, wide = np.percentile(inner, (10.0, 90.0))
    return f"{np.median(widths):.3g}" if wide < 2 * narrow else f"{narrow:.2g} to {wide:.2g}"


def _meaning(maps: RegressionMap) -> str:
    """Return what a value of the map says."""
    if maps.adds_up:
        return "factor - 1 in %" if maps.log else f"contribution in {maps.unit}"
    if maps.grade == "relative":
        return f"{maps.method}, no unit"
    words = {"sensitivity": "sensitivity", "effect": "change when hidden"}
    return f"{words[maps.grade]} in {maps.map_unit}"


def title_of(one: RegressionMap) -> str:
    """Return the number that the map is about: ``"umbrella 572.3 Hz = train-mean 561.0 Hz + 11.3 Hz"``."""
    if not one.adds_up:
        return f"{one.target} {one.prediction[0]:.5g}{'' if one.unit in {'', '1'} else f' {one.unit}'}, {one.method}"
    prediction, baseline = float(one.prediction[0]), float(one.baseline[0])
    change = abs(prediction - baseline) or abs(prediction) or 1.0
    decimals = int(np.clip(2 - np.floor(np.log10(change)), 0, 9))
    prediction, baseline = round(prediction, decimals), round(baseline, decimals)
    unit = "" if one.unit in {"", "1"} else f" {one.unit}"
    parts = f"{one.target} {prediction:.{decimals}f}{unit} = {one.reference} {baseline:.{decimals}f}{unit}"
    if one.log:
        return f"{parts} x {np.exp(one.total[0]):.4f}"
    return f"{parts} {'+' if prediction >= baseline else '-'} {abs(prediction - baseline):.{decimals}f}{unit}"
