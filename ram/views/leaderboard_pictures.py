"""The picture of a leaderboard: a dot for each map, a line for its interval."""

from __future__ import annotations

__all__ = ["board_picture"]

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ram.evaluation.leaderboard import TRIVIAL, Column, Leaderboard, Row
from ram.views.leaderboard_words import headline, merged, shortened
from ram.views.style import BLUE, GREY, INK, ORANGE, new_figure

_PANELS = (("spearman", "auc"), ("top", "mass"), ("ordering",), ("kept",))
_PLAIN = {
    "spearman": "order of cells as in physics",
    "auc": "finds the true region (AUC)",
    "top": "finds the strongest tenth",
    "mass": "share in the true region",
    "ordering": "moves the net",
    "kept": "left without the weights",
}


def board_picture(board: Leaderboard) -> Figure:
    """Return the maps of a board from the best to the worst: agreement with physics, then with the net.

    Methods are blue, maps without a net orange; the dashed line is the best of the latter in each panel.
    """
    rows = merged(board)
    known = [name for names in _PANELS for name in names if name in {column.name for column in board.columns}]
    columns = [
        board.column(next(name for name in names if name in known)) for names in _PANELS if set(names) & set(known)
    ]
    figure = new_figure(3.0 + 2.45 * max(len(columns), 1), 0.235 * max(len(rows), 1) + 1.35)
    panels = np.atleast_1d(figure.subplots(1, max(len(columns), 1), sharey=True))
    for axes, column in zip(panels, columns, strict=False):
        _panel(axes, column, [row for _, row in rows], chosen=board.choice.get("method", ""))
    first = panels[0]
    first.set_yticks(np.arange(len(rows)), [shortened(name) for name, _ in rows])
    first.set_ylim(len(rows) - 0.4, -0.6)
    for label, (_, row) in zip(first.get_yticklabels(), rows, strict=True):
        label.set_color(ORANGE if row.kind == TRIVIAL else INK)
    figure.suptitle(headline(board), fontsize=9.5, fontweight="bold")
    dots = [
        Line2D([], [], color=BLUE, marker="o", linewidth=1.3, markersize=4.5, label="method"),
        Line2D([], [], color=ORANGE, marker="o", linewidth=1.3, markersize=4.5, label="map without a trained net"),
        Line2D([], [], color=ORANGE, linestyle="--", linewidth=0.9, label="the best of these"),
        Line2D([], [], color=GREY, linewidth=0.7, label="chance"),
    ]
    figure.legend(handles=dots, loc="outside lower center", ncols=len(dots), frameon=False, fontsize=8)
    return figure


def _panel(axes: Axes, column: Column, rows: Sequence[Row], *, chosen: str) -> None:
    known = [(place, row, row.figures[column.name]) for place, row in enumerate(rows) if column.name in row.figures]
    for place, row, found in known:
        colour = ORANGE if row.kind == TRIVIAL else BLUE
        if np.isfinite(found.low):
            axes.plot([found.low, found.high], [place, place], color=colour, linewidth=1.3, alpha=0.6)
        size = 7 if row.name == chosen else 4.5
        axes.plot(found.value, place, "D" if row.name == chosen else "o", color=colour, markersize=size)
    if column.chance is not None:
        axes.axvline(column.chance, color=GREY, linewidth=0.7)
    trivial = [found.value for _, row, found in known if row.kind == TRIVIAL]
    if trivial and column.better != "zero":
        best = max(trivial) if column.better == "higher" else min(trivial)
        axes.axvline(best, color=ORANGE, linewidth=0.9, linestyle="--")
    unit = "" if column.unit in ("", "1") else f" ({column.unit})"
    axes.set_title(f"{_PLAIN.get(column.name, column.title)}{unit}")
    words = "nearer to 0 is better" if column.better == "zero" else f"{column.better} is better"
    axes.set_xlabel(words, color=GREY)
    axes.grid(axis="y", color="#eeeeee", linewidth=0.6)
    axes.set_axisbelow(True)
