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
NOMINAL_CM_S = 3700.0 * 100 / 2  # a clock of depths runs at half the speed of the P-wave

Features = Float[np.ndarray, "sample feature"]


def waveforms(data: Dataset) -> Features:
    """Return the waveforms as they are."""
    return data.x()[:, 0]


def first_echoes(data: Dataset) -> Features:
    """Return the waveforms until 0.6 ms after the Rayleigh wave: before the plate as a whole swings."""
    x = data.x()[:, 0, data.axes[0].centres < FIRST_S]
    return np.asarray(x / np.sqrt(np.square(x).mean(axis=1, keepdims=True)))


def spectra(data: Dataset) -> Features:
    """Return amplitudes up to 60 kHz, of length one; on a clock of depths up to as many over the wave's speed."""
    x, axis = data.x()[:, 0], data.axes[0]
    most = SPECTRUM_HZ if axis.unit == "s" else SPECTRUM_HZ / NOMINAL_CM_S
    frequencies = np.fft.rfftfreq(x.shape[1], axis.centres[1] - axis.centres[0])
    amplitudes = np.abs(np.fft.rfft(x, axis=1))[:, (frequencies > 0) & (frequencies <= most)]
    return np.asarray(amplitudes / np.linalg.norm(amplitudes, axis=1, keepdims=True))


def error_cm(features: Features, depth: Float[np.ndarray, " sample"], part: np.ndarray) -> tuple[float, int]:
    """Return the mean absolute error on the test part, and the number of neighbours that served validation best."""

    def error(count: int, on: str) -> float:
        model = KNeighborsRegressor(count).fit(features[part == "train"], depth[part == "train"])
        return float(np.abs(model.predict(features[part == on]) - depth[part == on]).mean())

    best = min(NEIGHBOURS, key=lambda count: error(count, "validation"))
    return error(best, "test"), best


def ways(data: Dataset) -> dict[str, Features]:
    """Return what neighbours are looked for in; on a clock of depths all that is there comes early."""
    early = {"nearest first 0.6 ms": first_echoes(data)} if data.axes[0].unit == "s" else {}
    return {"nearest waveforms": waveforms(data), **early, "nearest spectra": spectra(data)}


def main(path: str) -> None:
    """Print the table of card.md."""
    data = open_dataset(path)
    depth, every = data.target_array(["depth"])[:, 0], ways(data)
    print(f"| split | test samples | mean of training | {' | '.join(every)} |")  # noqa: T201
    print("|---|" + "---|" * (2 + len(every)))  # noqa: T201
    for split in data.splits:
        part = data.split_array(split)
        mean = np.abs(depth[part == "test"] - depth[part == "train"].mean()).mean()
        cells = [f"{mean:.2f}"]
        for features in every.values():
            error, count = error_cm(features, depth, part)
            cells.append(f"{error:.2f} (k = {count})")
        print(f"| {split} | {(part == 'test').sum()} | {' | '.join(cells)} |")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
