"""How well maps of wheel runs agree with the solver's contributions: figures of docs/supervision.md.

    python docs/supervision.py DATA.h5 RUN [RUN ...] --target umbrella --methods ram,integrated-gradients

Over the wheels of a part that carry contributions (test if not said), on the cells of the net that physics gives
anything to, against the mean design; integrated gradients with four points on the way, as the solver took.
"""

from __future__ import annotations

import argparse

import numpy as np

from ram.data.dataset import open_dataset
from ram.evaluation.agreement import linear_agreement, top_overlap
from ram.evaluation.localisation import rank_agreement, summed_on_cells
from ram.runs.run import open_run

STEPS = 4


def main() -> None:
    """Print one row for each run and method."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("data")
    words.add_argument("runs", nargs="+")
    words.add_argument("--part", default="test")
    words.add_argument("--target", default="umbrella")
    words.add_argument("--samples", type=int, default=200)
    words.add_argument("--methods", default="ram,gradient-x-input,integrated-gradients")
    given = words.parse_args()
    part = open_dataset(given.data).subset(given.part)[: given.samples]
    part = part[np.flatnonzero(part.has_truth(given.target, "contribution"))]
    truth = part.truth_array(given.target, "contribution").astype(np.float64)
    print(f"{len(part)} wheels, {given.target}\n")
    print("| run | MAPE of the value | method | Spearman | Pearson | top tenth |\n|---|---|---|---|---|---|")
    for path in given.runs:
        run = open_run(path)
        own = run.explain(part[:1], target=given.target).axes
        physics = summed_on_cells(truth, source=part.axes, cells=own)
        used = {"where": physics != 0}
        for method in given.methods.split(","):
            options = {"steps": STEPS} if method == "integrated-gradients" else None
            maps = run.explain(
                part, target=given.target, method=method, reference="train-mean-design", options=options
            ).on_input_grid()
            claims = summed_on_cells(maps.contributions, source=part.axes, cells=own)
            figures = (
                np.nanmean(rank_agreement(claims, physics, **used)),
                np.nanmean(linear_agreement(claims, physics, **used)),
                np.nanmean(top_overlap(claims, physics, **used)),
            )
            words_of_run = " | ".join(f"{figure:.3f}" for figure in figures)
            error = run.metrics[given.part][given.target]["mape"]
            print(f"| {run.path.name} | {error:.2f} % | {method} | {words_of_run} |", flush=True)


if __name__ == "__main__":
    main()
