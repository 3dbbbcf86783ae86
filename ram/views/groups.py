"""Figures group by group as a table and a picture, for the report of a run and the page of a cross-validation."""

from __future__ import annotations

__all__ = ["MOST_SHOWN", "group_picture", "group_table"]

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ram.evaluation.groups import GroupRow
from ram.views.numbers import NOTHING, Writer, fixed, per_cent
from ram.views.style import BLUE, GREY, INK, ORANGE, new_figure

MOST_SHOWN = 20
"""Groups in a table or picture: those with the largest errors, where there are more."""

# Okabe & Ito 2008: told apart by the colour-blind.
_COLOURS = (BLUE, ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", INK)
_HEAD = ("group", "samples", "MAE", "RMSE", "bias", "R²", "MAE, shifted", "MAE of the mean", "interval held", "outside")
_FIGURES = ("mae", "rmse", "bias", "r2", "shifted_mae", "constant_mae", "held", "outside")


def _worst(rows: Sequence[GroupRow]) -> list[GroupRow]:
    """Return the groups that are shown, by name: those with the largest errors where there are many."""
    chosen = sorted(rows, key=lambda row: row.mae, reverse=True)[:MOST_SHOWN]
    return sorted(chosen, key=lambda row: row.group)


def group_table(
    rows: Sequence[GroupRow],
    *,
    over_groups: Mapping[str, Mapping[str, float | None]],
    over_samples: Mapping[str, Any],
    writer: Writer,
) -> dict[str, Any]:
    """Return head and rows of the table: each group, the mean over groups, all samples; empty columns are left out."""
    shown = [[row.group, f"{row.samples:,}", *_cells(row.as_dict(), writer)] for row in _worst(rows)]
    means = {name: of["mean"] for name, of in over_groups.items()}
    spreads = {name: of["std"] for name, of in over_groups.items()}
    mean = _cells(means, writer)
    spread = [
        text if name in ("mae", "rmse") else "" for name, text in zip(_FIGURES, _cells(spreads, writer), strict=True)
    ]
    both = [f"{one} ± {other}" if other not in ("", NOTHING) else one for one, other in zip(mean, spread, strict=True)]
    table = [
        *shown,
        [f"mean over {len(rows):,} groups", "", *both],
        ["all samples", f"{over_samples['samples']:,}", *_cells(over_samples, writer)],
    ]
    kept = [place for place, _ in enumerate(_HEAD) if any(row[place] not in ("", NOTHING) for row in table)]
    return {
        "head": tuple(_HEAD[place] for place in kept),
        "rows": tuple(tuple(row[place] for place in kept) for row in table),
    }


def _cells(of: Mapping[str, Any], writer: Writer) -> list[str]:
    share = {name: NOTHING if of[name] is None else per_cent(of[name]) for name in ("held", "outside")}
    return [
        writer.value(of["mae"]),
        writer.value(of["rmse"]),
        writer.signed(of["bias"]),
        fixed(of["r2"], decimals=3),
        writer.value(of["shifted_mae"]),
        writer.value(of["constant_mae"]),
        share["held"],
        share["outside"],
    ]


def group_picture(
    predicted: Float[np.ndarray, " sample"],
    measured: Float[np.ndarray, " sample"],
    groups: NDArray[np.str_],
    rows: Sequence[GroupRow],
    *,
    title: str,
) -> Figure:
    """Return predicted against measured values in the groups' colours, and each group's error beside a constant's."""
    shown = _worst(rows)
    figure = new_figure(8.6, max(3.6, 0.32 * len(shown) + 1.2))
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.15))
    colours = dict(zip((row.group for row in shown), _COLOURS, strict=False)) if len(shown) <= len(_COLOURS) else {}
    unit = "" if rows[0].unit == "1" else f" ({rows[0].unit})"
    _points(left, predicted, measured, groups, colours)
    left.set(xlabel=f"measured{unit}", ylabel=f"predicted{unit}")
    _bars(right, shown, colours)
    right.set(xlabel=f"mean absolute error{unit}")
    figure.suptitle(title)
    return figure


def _points(
    axes: Axes, predicted: np.ndarray, measured: np.ndarray, groups: NDArray[np.str_], colours: Mapping[str, str]
) -> None:
    known = np.isfinite(measured)
    both = np.concatenate([predicted[known], measured[known]])
    margin = 0.04 * float(np.ptp(both)) or 1.0
    ends = (float(both.min()) - margin, float(both.max()) + margin)
    axes.plot(ends, ends, color=GREY, linewidth=0.8)
    drawn = colours or {"": BLUE}
    for name, colour in drawn.items():
        here = known & ((groups == name) if name else True)
        axes.plot(measured[here], predicted[here], ".", color=colour, markersize=6, alpha=0.5, markeredgewidth=0)
    axes.set(xlim=ends, ylim=ends)
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))


def _bars(axes: Axes, rows: Sequence[GroupRow], colours: Mapping[str, str]) -> None:
    places = np.arange(len(rows))
    errors, constants = ([getattr(row, name) for row in rows] for name in ("mae", "constant_mae"))
    bars = axes.barh(places, errors, height=0.62, color=[colours.get(row.group, BLUE) for row in rows])
    axes.bar_label(bars, [f"{error:.3g}" for error in errors], label_type="center", color="white", fontsize=8)
    axes.plot(constants, places, "|", color=INK, markersize=12, markeredgewidth=1.6, label="mean of the training part")
    axes.set_yticks(places, [row.group if len(row.group) <= 24 else f"{row.group[:23]}…" for row in rows])
    axes.set_xlim(left=0)
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0))
