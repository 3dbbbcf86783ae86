"""What the nets say of plates they were not trained on, and which band they use: the figures of card.md.

    python datasets/impact_echo/findings.py RUN EXTRAPOLATION.h5

A run of the random split, and a file made with `--points extrapolation` on the same clock.
"""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np

from ram.data.dataset import Dataset, open_dataset
from ram.physics.impact_echo import THICKNESS_CM
from ram.runs.run import Run, open_run

BANDS_KHZ = (3.0, 7.0, 8.4, 9.4, 11.0, 19.0, 43.0)


def extrapolation(run: Run, data: Dataset) -> None:
    """Print what is said of depths that no plate of the training part has."""
    predictions = run.predict(data)
    measured, said = data.target_array(["depth"])[:, 0], predictions.values[:, 0]
    outside = predictions.is_outside
    print("| depth | points | MAE | mean | from | to | called unlike the training part |")  # noqa: T201
    print("|---|---|---|---|---|---|---|")  # noqa: T201
    for depth in np.unique(measured):
        here = measured == depth
        some = said[here]
        figures = (np.abs(some - depth).mean(), some.mean(), some.min(), some.max())
        words = " | ".join(f"{figure:.1f} cm" for figure in figures)
        print(f"| {depth:g} cm | {here.sum()} | {words} | {np.mean(outside[here]):.0%} |")  # noqa: T201


def bands(run: Run) -> None:
    """Print what integrated gradients against the mean spectrogram give to each band, over solid plate and voids."""
    test = run.data().subset("test")
    measured = test.target_array(["depth"])[:, 0]
    print("\n| band | bins | over solid plate: share of the absolute | cm | over voids: share | cm |")  # noqa: T201
    print("|---|---|---|---|---|---|")  # noqa: T201
    found = []
    for rows in (np.flatnonzero(measured == THICKNESS_CM), np.flatnonzero(measured < THICKNESS_CM)):
        method, mean = "integrated-gradients", "train-mean-design"
        found.append(run.explain(test[rows], target="depth", method=method, reference=mean))
    khz = found[0].axes[0].centres / 1e3
    for low, high in pairwise(BANDS_KHZ):
        inside = (khz >= low) & (khz < high)
        cells = [maps.contributions[:, inside] for maps in found]
        whole = [np.abs(maps.contributions).sum() for maps in found]
        columns = [
            f"{np.abs(some).sum() / all_of_it:.0%} | {some.sum(axis=(1, 2)).mean():+.1f}"
            for some, all_of_it in zip(cells, whole, strict=True)
        ]
        print(f"| {low:g} to {high:g} kHz | {inside.mean():.0%} | {' | '.join(columns)} |")  # noqa: T201


def main(path: str, beyond: str) -> None:
    """Print both tables; raw waveforms have no bands."""
    run = open_run(path)
    extrapolation(run, open_dataset(beyond))
    if run.regressor.front is not None:
        bands(run)


if __name__ == "__main__":
    main(*sys.argv[1:3])
