"""The picture of a sweep: which keys matter, and how the trials went."""

from __future__ import annotations

__all__ = ["draw_importance"]

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ram.training.sweep import Sweep

# Colour-blind safe. Source: Okabe & Ito 2008.
_COMPLETE, _PRUNED, _BEST = "#0072B2", "#E69F00", "#000000"


def draw_importance(sweep: Sweep, path: Path) -> None:
    """Write a PNG: the share of each key on the left, the criterion of each trial on the right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 1.6 + max(2.4, 0.4 * len(sweep.best.values))), layout="constrained")
    keys, trials = figure.subplots(1, 2, width_ratios=(1.0, 1.2))
    _draw_keys(keys, sweep)
    _draw_trials(trials, sweep)
    figure.savefig(path, format="png", dpi=120, metadata={"Software": None})


def _draw_keys(axes: Any, sweep: Sweep) -> None:
    axes.set_title("what the criterion depends on")
    if not sweep.importance:
        axes.text(0.5, 0.5, "too few complete trials,\nor all of them equally good", ha="center", va="center")
        axes.set_axis_off()
        return
    names = list(sweep.importance)[::-1]
    shares = [100 * sweep.importance[name] for name in names]
    bars = axes.barh(names, shares, color=_COMPLETE)
    axes.bar_label(bars, fmt="%.0f %%", padding=3)
    axes.set_xlim(0, 115)
    axes.set_xticks(range(0, 101, 25))
    axes.set_xlabel("share of the variance over complete trials (%)")


def _draw_trials(axes: Any, sweep: Sweep) -> None:
    axes.set_title(f"best: trial {sweep.best.number}, {sweep.best.criterion:.4g}")
    for state, colour, marker in (("complete", _COMPLETE, "o"), ("pruned", _PRUNED, "x")):
        shown = [(t.number, t.criterion) for t in sweep.trials if t.state == state and t.criterion is not None]
        if shown:
            axes.scatter(*zip(*shown, strict=True), color=colour, marker=marker, label=state, zorder=2)
    complete = [(t.number, t.criterion) for t in sweep.trials if t.state == "complete" and t.criterion is not None]
    numbers = [number for number, _ in complete]
    best = [min(value for _, value in complete[: place + 1]) for place in range(len(complete))]
    axes.step(numbers, best, where="post", color=_BEST, label="best so far", zorder=1)
    axes.set_yscale("log")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("trial")
    axes.set_ylabel("criterion (1), validation part")
    axes.legend()
