"""What plain methods make of Mechanical MNIST: the figures of card.md.

    python datasets/mechanical_mnist/baselines.py mnist.h5

Fitted on the training part, the ridge's strength chosen on the validation part; figures are of the test part.
"""

from __future__ import annotations

import sys

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score, root_mean_squared_error

from ram.data.dataset import open_dataset

STRENGTHS = np.logspace(-2, 5, 15)
TARGET = "energy_14"


def main(path: str) -> None:
    """Print the table of card.md."""
    data = open_dataset(path)
    part, wanted = data.split_array("default"), data.target_array([TARGET])[:, 0]
    pixels = data.x().reshape(len(data), -1) / 255.0
    print(f"| baseline, {TARGET} | RMSE | R2 |\n|---|---|---|")  # noqa: T201
    for name, features in (("mean intensity", pixels.mean(axis=1, keepdims=True)), ("ridge on pixels", pixels)):
        answer = fitted(features, wanted, part)
        known = wanted[part == "test"]
        print(f"| {name} | {root_mean_squared_error(known, answer):.2f} | {r2_score(known, answer):.3f} |")  # noqa: T201


def fitted(
    features: Float[np.ndarray, "sample feature"], wanted: Float[np.ndarray, " sample"], part: np.ndarray
) -> Float[np.ndarray, " test"]:
    """Return what the ridge that serves validation best says of the test part."""

    def error(strength: float) -> float:
        model = Ridge(strength).fit(features[part == "train"], wanted[part == "train"])
        return float(
            root_mean_squared_error(wanted[part == "validation"], model.predict(features[part == "validation"]))
        )

    best = Ridge(min(STRENGTHS, key=error)).fit(features[part == "train"], wanted[part == "train"])
    return np.asarray(best.predict(features[part == "test"]))


if __name__ == "__main__":
    main(sys.argv[1])
