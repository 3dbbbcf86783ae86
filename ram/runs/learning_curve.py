"""A learning curve: runs of one experiment on nested shares of its training part."""

from __future__ import annotations

__all__ = ["CURVE_FILE", "LearningCurve", "Row", "falls_as", "folder_name"]

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ram.errors import DataError, explained
from ram.runs.run import Run, open_run

if TYPE_CHECKING:
    from matplotlib.axis import YAxis
    from matplotlib.figure import Figure

CURVE_FILE = "learning_curve.json"
_COLOUR = "#0072b2"  # Okabe & Ito 2008
Row = dict[str, Any]


@dataclass(frozen=True)
class LearningCurve:
    """An opened learning curve.

    Attributes
    ----------
    path
        Its folder, with one run (or ensemble) for each share.
    """

    path: Path

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Shares, seeds, and whether every run takes as many steps."""
        return dict(json.loads((self.path / CURVE_FILE).read_text(encoding="utf-8")))

    @property
    def shares(self) -> tuple[float, ...]:
        """The shares of the training part, ascending."""
        return tuple(self.settings["shares"])

    @property
    def runs(self) -> tuple[Run, ...]:
        """One for each share; ensembles where several seeds were asked for."""
        return tuple(open_run(self.path / folder_name(share)) for share in self.shares)

    @cached_property
    def table(self) -> list[Row]:
        """One row for each share and target: samples, error on the test part, its spread over the seeds.

        Raises
        ------
        DataError
            Where the curve is not finished.
        """
        path = self.path / "table.json"
        if not path.is_file():
            step = f"Go on with 'ram learning-curve --resume {self.path}'"
            raise DataError(
                explained(where=str(path), what="a learning curve", allowed="finished", got="no table", next_step=step)
            )
        return list(json.loads(path.read_text(encoding="utf-8"))["rows"])

    def plot(self) -> Figure:
        """Return the error against the number of training samples, one picture for each target."""
        from matplotlib.figure import Figure
        from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

        targets = list(dict.fromkeys(row["target"] for row in self.table))
        figure = Figure(figsize=(3.4 * len(targets), 3.1), layout="constrained")
        places = figure.subplots(1, len(targets), squeeze=False)[0]
        for axes, target in zip(places, targets, strict=True):
            rows = [row for row in self.table if row["target"] == target]
            samples, errors = [row["samples"] for row in rows], [row["mae"] for row in rows]
            spread = None if rows[0]["mae_std"] is None else [row["mae_std"] or 0.0 for row in rows]
            axes.errorbar(samples, errors, yerr=spread, color=_COLOUR, marker="o", markersize=4, capsize=3, linewidth=1.2)
            unit = "" if rows[0]["unit"] in ("", "1") else f" ({rows[0]['unit']})"
            axes.set(xscale="log", yscale="log", xlabel="training samples", ylabel=f"MAE on the test part{unit}")
            axes.xaxis.set_major_locator(FixedLocator(samples))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axes.xaxis.set_minor_locator(NullLocator())
            _plain(axes.yaxis)
            axes.set_title(_title(target, rows), fontsize="small")
        return figure


def folder_name(share: float) -> str:
    """Return where the run of a share lies, below the curve's folder."""
    return f"share-{share:g}"


def falls_as(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Return b of error = a n^-b by least squares of logarithms; None for one share, or an error of zero.

    >>> round(falls_as([{"samples": n, "mae": 10 * n**-0.5} for n in (10, 100, 1000)]), 3)
    0.5
    """
    samples, errors = (np.array([row[key] for row in rows], dtype=np.float64) for key in ("samples", "mae"))
    if np.unique(samples).size < 2 or (errors <= 0).any():
        return None
    return float(-np.polyfit(np.log(samples), np.log(errors), 1)[0])


def _title(target: str, rows: Sequence[Row]) -> str:
    last, slope = rows[-1], falls_as(rows)
    unit = "" if last["unit"] in ("", "1") else f" {last['unit']}"
    words = f"{target}: {last['mae']:.3g}{unit} from {last['samples']:,} samples"
    return words if slope is None else f"{words}\nerror falls as n to the {-slope:.2f}".replace("-", "−")


def _plain(axis: YAxis) -> None:
    """Label a logarithmic axis 0.1, 0.2, 0.5, 1."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
