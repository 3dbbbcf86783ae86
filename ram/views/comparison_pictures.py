"""Pictures of runs side by side: errors as bars, predictions against measurements, maps of the same samples."""

from __future__ import annotations

__all__ = ["error_bars", "map_rows", "scatter_rows"]

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ram.axes import Axis, readable
from ram.data.units import factor_or_none
from ram.maps.plots import width_of
from ram.maps.regression_map import RegressionMap
from ram.runs.comparison import Comparison, MapAgreement
from ram.views.style import BLUE, DIVERGING, GREY, INK, ORANGE, new_figure

# Okabe & Ito 2008: told apart by the colour-blind.
_RUNS = (BLUE, ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#f0e442")
_SAMPLES, _COLUMNS, _TARGETS = 3, 5, 4


def error_bars(comparison: Comparison, *, part: str = "test") -> Figure:
    """Return the mean absolute error of each run, one panel for each target, in the target's unit."""
    metrics = comparison.metrics[part]
    width = max(2.2, 0.55 * len(comparison.names) + 1.2)
    figure = new_figure(max(4.5, width * len(metrics)), 3.6)
    for axes, (target, runs) in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics.items(), strict=True):
        unit = next(iter(runs.values()))["unit"]
        known = {name: of["mae"] for name, of in runs.items() if of["unit"] == unit and of["mae"] is not None}
        places = [comparison.names.index(name) for name in known]
        bars = axes.bar(places, list(known.values()), color=[_RUNS[place % len(_RUNS)] for place in places])
        axes.bar_label(bars, [f"{value:#.3g}" for value in known.values()], padding=2)
        axes.set_xticks(range(len(comparison.names)), comparison.names, rotation=25, ha="right")
        axes.set(title=target, ylabel=f"MAE{_in(unit)}", xlim=(-0.6, len(comparison.names) - 0.4))
        axes.margins(y=0.12)
    figure.suptitle(f"mean absolute error on the {part} part", fontweight="bold")
    return figure


def scatter_rows(comparison: Comparison) -> Figure:
    """Return predicted against measured values of the test part: a row for each target, a column for each run."""
    targets = list(comparison.metrics["test"])[:_TARGETS]
    runs = list(zip(comparison.names, comparison.runs, strict=True))[:_COLUMNS]
    figure = new_figure(2.7 * len(runs) + 0.6, 2.7 * len(targets) + 0.6)
    figure.set_layout_engine("constrained", hspace=0.08)  # a row's label is not the next one's title
    grid = figure.subplots(len(targets), len(runs), squeeze=False)
    for row, target in zip(grid, targets, strict=True):
        unit = next(iter(comparison.metrics["test"][target].values()))["unit"]
        for number, (axes, (name, run)) in enumerate(zip(row, runs, strict=True)):
            predictions = run.predictions("test")
            times = _times(predictions.units, predictions.target_names, target, unit)
            if times is None:
                _say(axes, f"{name}: no {target} in {unit}")
                continue
            predicted, measured = (times * values for values in predictions.column(target))
            figures = comparison.metrics["test"][target].get(name, {"mae": None})
            error = "" if figures["mae"] is None else f": MAE {figures['mae']:.3g}{_with(unit)}"
            _scatter(axes, predicted, measured, colour=_RUNS[number % len(_RUNS)])
            axes.set_title(f"{name}{error}")
            axes.set_xlabel(f"measured {target}{_in(unit)}")
            if axes is row[0]:
                axes.set_ylabel(f"predicted{_in(unit)}")
    return figure


def _times(units: Sequence[str], names: Sequence[str], target: str, unit: str) -> float | None:
    return factor_or_none(units[names.index(target)], to=unit) if target in names else None


def _scatter(axes: Axes, predicted: np.ndarray, measured: np.ndarray, *, colour: str) -> None:
    known = np.isfinite(measured)
    both = np.concatenate([predicted[known], measured[known]])
    if not both.size:
        _say(axes, "nothing measured")
        return
    margin = 0.04 * float(np.ptp(both)) or 1.0
    ends = (float(both.min()) - margin, float(both.max()) + margin)
    axes.plot(ends, ends, color=GREY, linewidth=0.8)
    axes.plot(measured[known], predicted[known], ".", color=colour, markersize=6, alpha=0.6, markeredgewidth=0)
    axes.set(xlim=ends, ylim=ends)
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4))


def _say(axes: Axes, words: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, words, ha="center", va="center", color=GREY, wrap=True, transform=axes.transAxes)


def map_rows(comparison: Comparison) -> Figure | None:
    """Return maps of the same samples by every run, one scale for all; None where no maps can be compared.

    The samples are those on which the runs agree least, in the middle, and most.
    """
    usable = [one for one in comparison.maps if not one.why_not]
    if not usable:
        return None
    target = usable[0].target
    agreements = {one.second: one for one in usable if one.target == target}
    names = [comparison.names[0], *(name for name in comparison.names[1:] if name in agreements)][:_COLUMNS]
    runs = dict(zip(comparison.names, comparison.runs, strict=True))
    maps = {name: runs[name].maps()[target] for name in names}
    ids = _chosen([agreements[name] for name in names[1:]])
    unit = next(iter(maps.values())).unit
    shown = {name: _in_unit(of, ids, unit) for name, of in maps.items()}
    flat = len(next(iter(maps.values())).axes) == 1
    draw = _signals if flat else _planes
    return draw(shown, maps, ids, agreements, unit=f"log {target}" if next(iter(maps.values())).log else unit)


def _chosen(agreements: Sequence[MapAgreement]) -> list[str]:
    """Return samples that all runs share: the one of least agreement, one in the middle, the one of most."""
    shared = [i for i in agreements[0].ids if all(i in one.ids for one in agreements)]
    worst = [min(float(np.nan_to_num(one.correlation[one.ids.index(i)])) for one in agreements) for i in shared]
    order = np.argsort(worst, kind="stable")
    places = np.unique(np.linspace(0, len(order) - 1, min(_SAMPLES, len(order))).round().astype(int))
    return [shared[order[place]] for place in places]


def _in_unit(maps: RegressionMap, ids: Sequence[str], unit: str) -> Float[np.ndarray, "sample *cells"]:
    """Return contributions of some samples, those in 3D summed along the first axis."""
    times = 1.0 if maps.log else factor_or_none(maps.unit, to=unit) or 1.0
    values = times * maps.contributions[[maps.ids.index(i) for i in ids]]
    return values.sum(axis=1) if values.ndim == 4 else values


def _planes(
    shown: dict[str, np.ndarray],
    maps: dict[str, RegressionMap],
    ids: Sequence[str],
    agreements: dict[str, MapAgreement],
    *,
    unit: str,
) -> Figure:
    figure = new_figure(2.7 * len(shown) + 0.9, 2.6 * len(ids) + 0.5)
    grid = figure.subplots(len(ids), len(shown), squeeze=False)
    # Cells of other sizes hold other sums: what is drawn is the contribution for each cell of the first run.
    densities = {name: values * _per_cell(maps, name) for name, values in shown.items()}
    limit = max(float(np.percentile(np.abs(values), 99.5)) for values in densities.values()) or 1.0
    for row, (sample, line) in enumerate(zip(ids, grid, strict=True)):
        for axes, (name, values) in zip(line, densities.items(), strict=True):
            y, x = _read(maps[name].axes[-2:])
            mesh = axes.pcolormesh(
                x.edges, y.edges, values[row], cmap=DIVERGING, vmin=-limit, vmax=limit, rasterized=True
            )
            axes.set_title(_title(name, sample, agreements))
            axes.set_aspect("equal" if x.unit == y.unit else "auto")
            axes.set(xlabel=x.label if row == len(ids) - 1 else "", ylabel=y.label if axes is line[0] else "")
    first = next(iter(maps.values()))
    figure.colorbar(mesh, ax=grid.ravel().tolist(), label=f"{unit} per cell of {_cell(first.axes[-2:])}", shrink=0.7)
    figure.suptitle(f"{first.target}: maps of the same samples, against {first.reference}", fontweight="bold")
    return figure


def _per_cell(maps: dict[str, RegressionMap], name: str) -> np.ndarray:
    """Return by what a run's contributions are multiplied to be those of cells as large as the first run's."""
    first = next(iter(maps.values()))
    reference = float(np.prod([np.median(np.diff(axis.edges)) for axis in first.axes[-2:]]))
    y, x = (np.diff(axis.edges) for axis in maps[name].axes[-2:])
    area = np.outer(y, x)
    return np.asarray(np.divide(reference, area, out=np.zeros_like(area), where=area > 0))


def _read(axes: Sequence[Axis]) -> list[Axis]:
    """Return axes of a plane as people read them."""
    return [readable(axis)[0] for axis in axes]


def _cell(axes: Sequence[Axis]) -> str:
    """Return the size of a cell, x before y as people say it."""
    (height, y), (width, x) = ((width_of(axis), axis.unit) for axis in _read(axes))
    return f"{width} x {height} {x}" if x == y else f"{width} {x} x {height} {y}"


def _title(name: str, sample: str, agreements: dict[str, MapAgreement]) -> str:
    if name not in agreements:
        return f"{name}: {sample}"
    one = agreements[name]
    return f"{name}: r = {one.correlation[one.ids.index(sample)]:.2f}"


def _signals(
    shown: dict[str, np.ndarray],
    maps: dict[str, RegressionMap],
    ids: Sequence[str],
    agreements: dict[str, MapAgreement],
    *,
    unit: str,
) -> Figure:
    figure = new_figure(7.2, 1.9 * len(ids) + 0.8)
    grid = figure.subplots(len(ids), 1, squeeze=False)[:, 0]
    for row, (sample, axes) in enumerate(zip(ids, grid, strict=True)):
        for number, (name, values) in enumerate(shown.items()):
            (cells,) = readable(*maps[name].axes)
            width = np.diff(cells.edges)
            density = np.divide(values[row], width, out=np.zeros_like(width), where=width > 0)
            label = _title(name, sample, agreements) if name in agreements else name
            axes.stairs(
                density, cells.edges, color=_RUNS[number % len(_RUNS)], label=label, linewidth=1.1, baseline=None
            )
        axes.axhline(0.0, color=INK, linewidth=0.5)
        axes.set(ylabel=f"{unit} per {cells.unit}", title=sample)
        axes.legend(frameon=False, loc="best")
    grid[-1].set_xlabel(cells.label)
    first = next(iter(maps.values()))
    figure.suptitle(f"{first.target}: maps of the same samples, against {first.reference}", fontweight="bold")
    return figure


def _in(unit: str) -> str:
    return "" if unit in ("", "1") else f" ({unit})"


def _with(unit: str) -> str:
    return "" if unit in ("", "1") else f" {unit}"
