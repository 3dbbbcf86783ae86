"""Honest baselines of the wheel data: what a ridge regression on the radial profile already knows.

    python datasets/wheel/baselines.py wheel.h5

prints the table of card.md. The strength of the ridge is chosen on the validation part; figures are of the test part.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_percentage_error, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import ram

RINGS = 24
STRENGTHS = np.logspace(-4, 4, 17)

CHUNK = 500  # samples in memory at a time

Array = Float[np.ndarray, "sample y x"]
Features = Float[np.ndarray, "sample feature"]


@dataclass(frozen=True)
class Score:
    """How well one baseline predicts one target on the test part."""

    baseline: str
    target: str
    r2: float
    mape: float


def rings_of(data: ram.Dataset) -> Callable[[Array], Features]:
    """Return the function that takes the mean of images over rings of equal width."""
    y, x = (axis.centres for axis in data.axes)
    radius = np.hypot(y[:, None], x)
    edges = np.linspace(0, 220, RINGS + 1)[1:-1]
    members = np.eye(RINGS)[np.digitize(radius, edges).ravel()]  # (pixel, ring)
    shares = members / members.sum(axis=0).clip(1)
    return lambda images: np.asarray(images.reshape(len(images), -1) @ shares)


def features_of(data: ram.Dataset) -> dict[str, Features]:
    """Return what each baseline sees of the images, shape (sample, feature)."""
    rings = rings_of(data)
    pieces = [_profiles(data.x(range(at, min(at + CHUNK, len(data)))), rings) for at in range(0, len(data), CHUNK)]
    mass, fill, material, cubes = (np.concatenate(columns) for columns in zip(*pieces, strict=True))
    return {
        "mass alone": mass,
        "outline alone (ring-mean fill)": fill,
        "ring-mean thickness": material,
        "rings + t^3": np.hstack([fill, material, cubes]),
    }


def _profiles(x: Float[np.ndarray, "sample channel y x"], rings: Callable[[Array], Features]) -> tuple[Features, ...]:
    """Return total fill x thickness, and the rings' means of fill, fill x thickness, fill x thickness^3."""
    fill, thickness = x[:, 0].astype(np.float64), x[:, 1].astype(np.float64)
    total = np.sum(fill * thickness, axis=(1, 2))[:, None]
    return total, rings(fill), rings(fill * thickness), rings(fill * thickness**3)


def scores(data: ram.Dataset) -> Iterator[Score]:
    """Yield the score of every baseline on every target that has values."""
    parts = [data.subset(part) for part in ("train", "validation", "test")]
    features = [features_of(part) for part in parts]
    for target in data.targets:
        values = [part.target_array([target])[:, 0] for part in parts]
        known = [np.isfinite(column) for column in values]
        for baseline in features[0]:
            x = [seen[baseline][rows] for seen, rows in zip(features, known, strict=True)]
            y = [column[rows] for column, rows in zip(values, known, strict=True)]
            yield _score(baseline, target, x, y)


def _score(baseline: str, target: str, x: list[Features], y: list[Float[np.ndarray, " sample"]]) -> Score:
    nets = [make_pipeline(StandardScaler(), Ridge(alpha=strength)).fit(x[0], y[0]) for strength in STRENGTHS]
    best = max(nets, key=lambda net: net.score(x[1], y[1]))
    predicted = best.predict(x[2])
    return Score(baseline, target, r2_score(y[2], predicted), 100 * mean_absolute_percentage_error(y[2], predicted))


def table(data: ram.Dataset) -> str:
    """Return the scores as a Markdown table: R2 (mean absolute error in per cent)."""
    targets = list(data.targets)
    lines = ["| baseline | " + " | ".join(targets) + " |", "|---" * (len(targets) + 1) + "|"]
    cells: dict[str, list[str]] = {}
    for score in scores(data):
        text = f"{score.r2:.3f}" + ("" if score.target == "tilt_splitting" else f" ({score.mape:.2f} %)")
        cells.setdefault(score.baseline, []).append(text)
    return "\n".join(lines + [f"| {name} | " + " | ".join(row) + " |" for name, row in cells.items()])


def quantiles(data: ram.Dataset) -> str:
    """Return least, 5 %, 50 %, 95 % and largest value of every target as a Markdown table."""
    lines = ["| target | unit | least | 5 % | 50 % | 95 % | largest |", "|---" * 7 + "|"]
    for name, unit in data.targets.items():
        values = np.nanquantile(data.target_array([name])[:, 0], [0, 0.05, 0.5, 0.95, 1])
        lines.append(f"| {name} | {unit} | " + " | ".join(f"{value:.4g}" for value in values) + " |")
    return "\n".join(lines)


def counts(data: ram.Dataset) -> str:
    """Return in words how many wheels there are, how they were solved, and the digest."""
    parts = ", ".join(f"{len(data.subset(part))} {part}" for part in ("train", "validation", "test"))
    status = data.parameter_array(["solver_status"])[:, 0]
    truth = data.parameter_array(["truth_points", "truth_residual"])
    carried = np.isfinite(truth[:, 0])
    return (
        f"{len(data)} wheels ({parts}); {np.sum(status == 0)} solved, {np.sum(status == 1)} odd, "
        f"{np.sum(status == 2)} failed.\n"
        f"{carried.sum()} carry truth maps; Gauss points {np.unique(truth[carried, 0], return_counts=True)}; "
        f"residual median {100 * np.median(truth[carried, 1]):.3f} %, largest {100 * truth[carried, 1].max():.3f} %.\n"
        f"Digest {data.digest}."
    )


def main(path: Path) -> None:
    """Print what card.md says of a data file."""
    data = ram.open_dataset(path)
    print(counts(data), quantiles(data), table(data), sep="\n\n")  # noqa: T201 - a command that prints


if __name__ == "__main__":
    main(Path(sys.argv[1]))
