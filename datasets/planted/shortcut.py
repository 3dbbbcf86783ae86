"""Choose, on validation parts alone, from which share on a shortcut is warned of, and what masks should weigh.

    python datasets/planted/shortcut.py --cache build/truth

In the validation part the sticker follows the target as in the training part, so that the number there says nothing
against it: the shares of map and answers that a region without influence has do. Warned should be of the nets that were
told nothing, not of those that were told all maps. Of the weights of masks the one is taken whose map is most like
physics.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from ram.benchmark.running import Plan, trained_runs
from ram.benchmark.tasks import EVERY, MASKS, PLAIN, TASKS, Task
from ram.evaluation.influence import LEAST
from ram.evaluation.scoring import score_maps
from ram.runs.run import Run
from ram.views.influence import influences
from ram.views.leaderboards import default_target, subject_of

WEIGHTS = (0.1, 0.3)  # beside that of the benchmark
STICKER = "sticker"


def asked(task: Task) -> Task:
    """Return a task with nets of other weights beside its own."""
    outside, regions = task.nets[MASKS]
    key = outside.partition("=")[0]
    others = {f"{MASKS} {weight:g}": (f"{key}={weight:g}", regions) for weight in WEIGHTS}
    return replace(task, nets={**task.nets, **others})


def figures(run: Run) -> tuple[float, float, float, float]:
    """Return the sticker's share of map, answers and physics, and the map's Pearson, on the validation part."""
    part = run.part("validation")
    target = default_target(run, part)
    found = influences(run, part, samples=200, progress=False)[target]
    shares = [float(of[found.names.index(STICKER)]) for of in found.shares]
    board = score_maps(subject_of(run, part, target), methods=["ram"])
    return shares[0], shares[1], shares[2], board.row("ram").figures["pearson"].value


def main() -> None:
    """Read the options, train what is not there, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path("build/truth"))
    parser.add_argument("--tasks", nargs="+", default=["shortcut-1d", "shortcut-2d"])
    options = parser.parse_args()
    head = "| task | net | sticker: of the map | of the answers | of physics | Pearson with physics |"
    told, untold, lines = [], [], [head, "|---|---|---|---|---|---|"]
    for name in options.tasks:
        task = asked(TASKS[name])
        for net, run in zip(task.nets, trained_runs(task, Plan([task], options.cache)), strict=True):
            carried, answered, true, pearson = figures(run)
            row = [*(f"{100 * share:.1f} %" for share in (carried, answered, true)), f"{pearson:.3f}"]
            lines.append(f"| {task.title} | {net} | {' | '.join(row)} |")
            if net in (PLAIN, EVERY):
                (untold if net == PLAIN else told).append(min(carried, answered))
    low, high = max(told), min(untold)
    middle = float(np.sqrt(low * high))  # shares are held against each other by their ratio
    lines.append(f"told at most {low:.1%}, untold at least {high:.1%}, mean {middle:.1%}; warned from {LEAST:.0%} on")
    print("\n".join(lines))  # noqa: T201 - a command that prints


if __name__ == "__main__":
    main()
