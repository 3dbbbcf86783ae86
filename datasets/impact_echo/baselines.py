"""What a plain method makes of the impact-echo waveforms: the figures of card.md.

    python datasets/impact_echo/baselines.py impact_echo.h5

Nearest neighbours on the aligned waveforms and on their amplitude spectra, the number of neighbours chosen on the
validation part; for each split, the random one and those that leave a specimen out.
"""

from __future__ import annotations

import sys

import numpy as np
from jaxtyping import Float
from sklearn.neighbors import KNeighborsRegressor

from ram.data.dataset import Dataset, open_dataset

NEIGHBOURS = (1, 3, 5, 9)
SPECTRUM_HZ = 60e3
FIRST_S = 0.6e-3

Features = Float[np.ndarray, "sample feature"]


def waveforms(data: Dataset) -> Features:
    """Return the waveforms as they are."""
    return data.x()[:, 0]


def first_echoes(data: Dataset) -> Features:
    """Return the waveforms until 0.6 ms after the Rayleigh wave: before the plate as a whole swings."""
    x = data.x()[:, 0, data.axes[0].centres < FIRST_S]
    return np.asarray(x / np.sqrt(np.square(x).mean(axis=1, keepdims=True)))


def spectra(data: Dataset) -> Features:
    """Return amplitudes up to 60 kHz, of length one."""
    x = data.x()[:, 0]
    frequencies = np.fft.rfftfreq(x.shape[1], data.axes[0].centres[1] - data.axes[0].centres[0])
    amplitudes = np.abs(np.fft.rfft(x, axis=1))[:, (frequencies > 0) & (frequencies <= SPECTRUM_HZ)]
    return np.asarray(amplitudes / np.linalg.norm(amplitudes, axis=1, keepdims=True))


def error_cm(features: Features, depth: Float[np.ndarray, " sample"], part: np.ndarray) -> tuple[float, int]:
    """Return the mean absolute error on the test part, and the number of neighbours that served validation best."""

    def error(count: int, on: str) -> float:
        model = KNeighborsRegressor(count).fit(features[part == "train"], depth[part == "train"])
        return float(np.abs(model.predict(features[part == on]) - depth[part == on]).mean())

    best = min(NEIGHBOURS, key=lambda count: error(count, "validation"))
    return error(best, "test"), best


def main(path: str) -> None:
    """Print the table of card.md."""
    data = open_dataset(path)
    depth = data.target_array(["depth"])[:, 0]
    print("| split | test samples | mean of training | nearest waveforms | nearest first 0.6 ms | nearest spectra |")  # noqa: T201
    print("|---|---|---|---|---|---|")  # noqa: T201
    for split in data.splits:
        part = data.split_array(split)
        mean = np.abs(depth[part == "test"] - depth[part == "train"].mean()).mean()
        cells = [f"{mean:.2f}"]
        for features in (waveforms(data), first_echoes(data), spectra(data)):
            error, count = error_cm(features, depth, part)
            cells.append(f"{error:.2f} (k = {count})")
        print(f"| {split} | {(part == 'test').sum()} | {' | '.join(cells)} |")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
