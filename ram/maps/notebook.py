"""Maps as a notebook shows them: numbers in a table, and small pictures of the first samples.

The page around them belongs to somebody else, light or dark: words take its colours, pictures bring a white ground. No
script, nothing from elsewhere, and every name is escaped.
"""

from __future__ import annotations

__all__ = ["as_html"]

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ram.axes import Axis, readable
from ram.maps.ensemble_map import EnsembleMap
from ram.maps.pictured import Pictured
from ram.maps.plots import draw_map, is_spectrogram, label_of, limit_of, spread_evenly, title_of, width_of
from ram.maps.regression_map import GRADES, RegressionMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

_MOST_DRAWN, _MOST_ROWS, _SLICES = 3, 8, 3
_DPI = 90
_LINE = "rgba(128,128,128,0.35)"
_CELL = f"padding:2px 12px 2px 0;text-align:right;border-bottom:1px solid {_LINE};white-space:nowrap"
_STYLE = {"text.parse_math": False, "axes.formatter.use_mathtext": False, "font.size": 8.0, "axes.linewidth": 0.6}


def as_html(maps: RegressionMap, *, most: int = _MOST_DRAWN) -> str:
    """Return maps as HTML.

    Parameters
    ----------
    most
        So many samples are drawn: input, map, and map over the input; of signals the signal over its map, of something
        in 3D slices. Inputs are those that the map was made from, as far as it has kept them.
    """
    return (
        '<div style="max-width:70em;line-height:1.45">'
        f"{_heading(maps)}{_facts(maps)}{_table(maps)}{''.join(_figures(maps, most))}{_rest(maps, most)}</div>"
    )


def _heading(maps: RegressionMap) -> str:
    unit = "" if maps.unit in ("", "1") else f" in {maps.unit}"
    ensemble = f", mean of {len(maps.members)} members" if isinstance(maps, EnsembleMap) else ""
    count = f"{len(maps):,} sample{'s' if len(maps) != 1 else ''}"
    return f"<div><b>{escape(maps.target + unit)}</b>: regression activation map, {count}{escape(ensemble)}</div>"


def _facts(maps: RegressionMap) -> str:
    """Return how the map was made and what its cells are, in one line each."""
    said = [
        f"method {maps.method}, {maps.grade}: {GRADES[maps.grade]}",
        f"against {maps.reference}" if maps.adds_up else "",
        f"{' x '.join(str(axis.size) for axis in maps.axes)} cells of {_size_of(maps.axes)}",
        f"parts by {maps.part_kind}: {', '.join(maps.part_names)}" if maps.part_names else "",
        "regressed in the logarithm: contributions are factors" if maps.log and maps.adds_up else "",
    ]
    words = " \N{MIDDLE DOT} ".join(escape(one) for one in said if one)
    return f'<div style="opacity:0.75;font-size:90%">{words}</div>'


def _size_of(axes: Sequence[Axis]) -> str:
    """Return how large cells are, as people read it: ``"3.91 kHz x 128 \N{MICRO SIGN}s"``."""
    shown = [readable(axis)[0] for axis in axes]
    return " x ".join(f"{width_of(axis)} {axis.unit if axis.unit not in ('', '1') else axis.name}" for axis in shown)


def _table(maps: RegressionMap) -> str:
    head = ["sample", "prediction", "baseline", "cells carry", *maps.parameter_names, "residual"]
    rows = [_row(maps, number) for number in range(min(len(maps), _MOST_ROWS))]
    if not maps.adds_up:
        head, rows = head[:2], [row[:2] for row in rows]
    cells = (f"<tr>{''.join(_cells('td', row))}</tr>" for row in rows)
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse;margin:6px 0;background:none">'
        f"<thead><tr>{''.join(_cells('th', head))}</tr></thead><tbody>{''.join(cells)}</tbody></table></div>"
    )


def _row(maps: RegressionMap, number: int) -> list[str]:
    write = _writer(maps)
    values = [maps.prediction[number], maps.baseline[number]]
    shares = [maps.contributions[number].sum(), *maps.parameter_contributions[number]]
    carried = [f"x {np.exp(one):.4f}" if maps.log else f"{write(one, sign=True)}" for one in shares]
    missed = maps.residual[number]
    residual = f"{missed:.1g}" if maps.log or not np.isfinite(missed) else f"{missed:.1g} {_unit(maps)}".rstrip()
    return [maps.ids[number], *(write(one) for one in values), *carried, residual]


def _unit(maps: RegressionMap) -> str:
    return "" if maps.unit in ("", "1") else maps.unit


def _writer(maps: RegressionMap) -> Callable[..., str]:
    """Return what writes numbers of the target: two digits of what the cells usually carry, and one more."""
    size = float(np.median(np.abs(maps.prediction - maps.baseline))) if maps.adds_up else 0.0
    size = size or float(np.abs(maps.prediction).max()) or 1.0
    decimals = int(np.clip(2 - np.floor(np.log10(size)), 0, 9))

    def write(value: float, *, sign: bool = False) -> str:
        return f"{value:{'+' if sign else ''}.{decimals}f} {_unit(maps)}".rstrip()

    return write


def _cells(tag: str, words: Iterable[str]) -> Iterable[str]:
    for number, word in enumerate(words):
        style = _CELL if number else _CELL.replace("right", "left", 1)
        yield f'<{tag} style="{style}">{escape(word)}</{tag}>'


def _rest(maps: RegressionMap, most: int) -> str:
    """Say what is not shown, and how it is seen."""
    count = min(len(maps), most)
    more = len(maps) - count
    if not more:
        return ""
    words = f"Drawn: the first {count} of {len(maps):,}. maps[{count}:{min(len(maps), 2 * count)}] shows the next."
    return f'<div style="opacity:0.75;font-size:90%">{words}</div>'


def _figures(maps: RegressionMap, most: int) -> Iterable[str]:
    import matplotlib as mpl
    from matplotlib import style

    limit = _limit(maps)
    for number in range(min(len(maps), most)):
        with mpl.rc_context(), style.context(["default", _STYLE]):
            content = base64.b64encode(_png(_drawn(maps, number, limit))).decode()
        words = escape(f"{maps.ids[number]}: {title_of(maps[number])}")
        yield (
            f'<figure style="margin:6px 0"><figcaption>{words}</figcaption><img alt="{words}" style="max-width:100%;'
            f'height:auto;background:#fff;border-radius:4px" src="data:image/png;base64,{content}"></figure>'
        )


def _png(figure: Figure) -> bytes:
    with io.BytesIO() as buffer:
        figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
        return buffer.getvalue()


def _limit(maps: RegressionMap) -> float:
    """Return the one scale of all pictures; of something in 3D that of its slices."""
    if len(maps.axes) < 3:
        return limit_of(maps)
    planes = (_plane(maps, number, cell) for number in range(min(len(maps), _MOST_DRAWN)) for cell in _slices(maps))
    return max(limit_of(one) for one in planes)


def _drawn(maps: RegressionMap, number: int, limit: float) -> Figure:
    """Return the picture of one sample."""
    image, label = _input_of(maps, number)
    if len(maps.axes) == 1:
        return _signal(maps, number, image, label, limit)
    if len(maps.axes) == 3:
        return _volume(maps, number, image, limit)
    return _plane_beside(maps, number, image, label, limit)


def _input_of(maps: RegressionMap, number: int) -> tuple[Array | None, str]:
    """Return one channel of a sample on the input's grid, and what it is called; None where it was not kept."""
    found = maps.pictured.of(maps.ids[number])
    if found is None or found[0].ndim != len(maps.input_axes):
        return None, ""
    image, short = found[0].astype(np.float64), maps.input_axes[-1].size - found[0].shape[-1]
    if short > 0:  # a padded signal was looked at as far as it goes
        image = np.pad(image, [(0, 0)] * (image.ndim - 1) + [(0, short)], mode="edge")
    fits = image.shape == tuple(axis.size for axis in maps.input_axes)
    return (image if fits else None), found[1]


def _new(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _signal(maps: RegressionMap, number: int, image: Array | None, label: str, limit: float) -> Figure:
    """Return a signal over its map, and below it the map as bars."""
    figure = _new(8.0, 2.0 if image is None else 3.2)
    places = figure.subplots(1 if image is None else 2, 1, sharex=True, squeeze=False)[:, 0]
    bar = draw_map(places[-1], maps, number, limit=limit)
    if image is not None:
        draw_map(places[0], maps, number, image=image, limit=limit)
        places[0].set(ylabel=label, xlabel="")
    figure.colorbar(bar, ax=list(places), label=label_of(maps, _readable(maps.axes)), pad=0.01)
    return figure


def _plane_beside(maps: RegressionMap, number: int, image: Array | None, label: str, limit: float) -> Figure:
    """Return input, map, and map over the input side by side; the map alone where the input is not known."""
    figure = _new(9.6, 2.9) if image is not None else _new(4.2, 2.9)
    places = figure.subplots(1, 3 if image is not None else 1, squeeze=False)[0]
    if image is not None:
        _draw_input(places[0], maps, image, label)
        draw_map(places[2], maps, number, image=image, limit=limit)
        places[0].set_title("input")
        places[2].set_title("map over the input")
    bar = draw_map(places[min(1, len(places) - 1)], maps, number, limit=limit)
    places[min(1, len(places) - 1)].set_title("map")
    for place in places[1:]:
        place.set_ylabel("")
    figure.colorbar(bar, ax=list(places[-2:]), label=label_of(maps, _readable(maps.axes)), pad=0.01)
    return figure


def _draw_input(place: Axes, maps: RegressionMap, image: Array, label: str) -> None:
    y, x = _readable(maps.input_axes)
    void = np.abs(image).min() == 0.0 and not is_spectrogram((y, x))
    values = np.where(image != 0.0, image, np.nan) if void else image
    mesh = place.pcolormesh(x.edges, y.edges, values, cmap="viridis", rasterized=True)
    place.set(xlabel=x.label, ylabel=y.label, xlim=x.edges[[0, -1]], ylim=y.edges[[0, -1]])
    place.set_aspect("equal" if x.unit == y.unit else "auto")
    spread_evenly(place, y)
    place.figure.colorbar(mesh, ax=place, label=label, pad=0.02)


def _volume(maps: RegressionMap, number: int, image: Array | None, limit: float) -> Figure:
    """Return slices across the first axis, evenly taken, over the input where it is known."""
    cells = _slices(maps)
    figure = _new(9.6, 3.1)
    places = figure.subplots(1, len(cells), squeeze=False)[0]
    first, grid = (readable(axis)[0] for axis in (maps.axes[0], maps.input_axes[0]))
    for place, cell in zip(places, cells, strict=True):
        one = _plane(maps, number, cell)
        nearest = int(np.abs(grid.centres - first.centres[cell]).argmin())
        bar = draw_map(place, one, image=None if image is None else image[nearest], limit=limit)
        unit = "" if first.unit in ("", "1") else f" {first.unit}"
        place.set_title(f"{first.name} = {first.centres[cell]:.3g}{unit}")
    for place in places[1:]:
        place.set_ylabel("")
    figure.colorbar(bar, ax=list(places), label=label_of(maps, _readable(maps.axes)), pad=0.01)
    return figure


def _slices(maps: RegressionMap) -> list[int]:
    count = maps.axes[0].size
    places = (np.arange(_SLICES) + 0.5) / _SLICES * count
    return sorted({int(place) for place in places})


def _plane(maps: RegressionMap, number: int, cell: int) -> RegressionMap:
    """Return one layer of cells of a map in 3D as a map of its own."""
    return RegressionMap(
        maps.contributions[number : number + 1, cell], maps.baseline[number : number + 1],
        maps.prediction[number : number + 1], maps.target, maps.unit, maps.axes[1:], maps.input_axes[1:],
        grade=maps.grade, method=maps.method, map_unit=maps.map_unit, log=maps.log, pictured=Pictured(),
    )  # fmt: skip


def _readable(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    return tuple(readable(axis)[0] for axis in axes[-2:])
