"""How much of a net's maps lies on the ridges of the pair of tilts, and how much would by chance: figures of card.md.

    python datasets/wheel_tap/on_ridges.py RUN

Shares of the absolute contributions over the test part, against the net's baseline and against the training mean's map.
"""

from __future__ import annotations

import sys

from ram.evaluation.ridges import ridge_regions, ridge_score, ridges_of
from ram.runs.run import open_run

PAIR = ("tilt_lower", "tilt_upper")
ON_THE_PAIR = ("tilt", "splitting", "crack_depth")


def main(path: str) -> None:
    """Print the table."""
    run = open_run(path)
    test = run.data().subset("test")
    pairs = ridges_of(test, PAIR)
    print("| target | against | on the ridges | by chance |\n|---|---|---|---|")  # noqa: T201
    for target in (name for name in run.units if name in ON_THE_PAIR):
        for reference in ("baseline", "train-mean"):
            maps = run.explain(test, target=target, reference=reference)
            score = ridge_score(maps, ridge_regions(maps, pairs, spectrogram=run.regressor.front))
            row = f"| {target} | {reference} | {score.inside.mean():.0%} | {score.chance.mean():.0%} |"
            print(row, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
