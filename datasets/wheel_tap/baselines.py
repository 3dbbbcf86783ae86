"""What plain methods make of the tap tests, and what the true frequencies tell of the crack: the figures of card.md.

    python datasets/wheel_tap/baselines.py wheel_tap.h5

What a method has to choose is chosen on the validation part; figures are of the test part.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Complex, Float
from scipy.signal import decimate, find_peaks
from sklearn.base import RegressorMixin
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import ram

PARTS = ("train", "validation", "test")
PAIR = ("tilt_lower", "tilt_upper")
LOW_HZ, HIGH_HZ = 200.0, 1300.0
QUIET_S = 2.5e-3  # after the tap begins
PARTNERS = (1.15, 1.2, 1.25, 1.3, 1.35, 1.4, 1.5)  # the two tilts of a wheel lie within such a ratio

Signal = Float[np.ndarray, "channel time"]
Pair = Float[np.ndarray, "2"]
Modes = Float[np.ndarray, " mode"]
Features = Float[np.ndarray, "sample feature"]


def around(values: Float[np.ndarray, "channel *rest"]) -> Complex[np.ndarray, "channel *rest"]:
    """Return the waves around the rim: number 0 is the umbrella's, the next and the last are a tilt's."""
    return np.asarray(np.fft.fft(values, axis=0))


def free_decay(data: ram.Dataset, row: int) -> tuple[Signal, float]:
    """Return a signal from 2.5 ms after the tap on, and its rate in Hz."""
    times = data.axes[0].centres
    return data[row].x[:, times >= QUIET_S].astype(np.float64), 1 / (times[1] - times[0])


def spectral_peaks(signal: Signal, rate_hz: float) -> Modes:
    """Return where the spectrum of what goes once around the rim has peaks less than 30 dB below the highest."""
    points = 2 * signal.shape[1]
    spectrum, hertz = np.fft.rfft(signal, points, axis=1), np.fft.rfftfreq(points, 1 / rate_hz)
    once = np.sum(np.abs(around(spectrum)[[1, -1]]) ** 2, axis=0)
    level = 10 * np.log10(once[(hertz > LOW_HZ) & (hertz < HIGH_HZ)])
    peaks, _ = find_peaks(level, height=level.max() - 30, prominence=6)
    left, top, right = level[peaks - 1], level[peaks], level[peaks + 1]
    between = 0.5 * (left - right) / (left - 2 * top + right)  # of the parabola through three points
    return np.asarray(hertz[hertz > LOW_HZ][0] + (peaks + between) * (hertz[1] - hertz[0]))


def identified(signal: Signal, rate_hz: float) -> tuple[Modes, float]:
    """Return the modes that go once around the rim (Hz, rising), and the damping ratio of all in per cent.

    Poles are those of a shift-invariant signal subspace, all channels together; 16 of them below an eighth of 16 kHz.

    Source: Roy & Kailath 1989, doi:10.1109/29.32276 (ESPRIT).
    """
    factor = max(1, round(rate_hz / 4000))
    slow = decimate(signal, factor, ftype="fir")[:, 40 // factor : 40 // factor + 2000]
    rate = rate_hz / factor
    poles = np.log(_shifts(slow, order=16, rows=200)) * rate
    hertz, ratio = np.abs(poles) / (2 * np.pi), -poles.real / np.abs(poles)
    waves = np.exp(np.outer(np.arange(slow.shape[1]) / rate, poles))  # signal = Re(waves @ amplitudes)
    both = np.linalg.lstsq(np.hstack([waves.real, -waves.imag]), slow.T, rcond=None)[0]
    amplitudes = both[: len(poles)] + 1j * both[len(poles) :]  # (mode, channel)
    power = np.sum(np.abs(amplitudes) ** 2, axis=1)
    damping = np.average(ratio, weights=power * ((ratio > 3e-4) & (ratio < 0.02)))
    turning = np.abs(around(amplitudes.T)) ** 2
    once = turning[[1, -1]].sum(axis=0) > turning[0]
    kept = once & (np.abs(ratio / damping - 1) < 0.15) & (power > 1e-4 * power.max())
    return np.sort(hertz[kept & (hertz > LOW_HZ) & (hertz < HIGH_HZ)]), 100 * float(damping)


def _shifts(signal: Signal, *, order: int, rows: int) -> Complex[np.ndarray, " mode"]:
    """Return exp(pole x step) of the modes, those that turn forward."""
    blocks = [np.lib.stride_tricks.sliding_window_view(channel, rows).T for channel in signal]
    hankel = np.concatenate(blocks)
    subspace = np.linalg.eigh(hankel @ hankel.T)[1][:, -order:].reshape(len(signal), rows, order)
    now, next_one = (part.reshape(-1, order) for part in (subspace[:, :-1], subspace[:, 1:]))
    turns = np.linalg.eigvals(np.linalg.lstsq(now, next_one, rcond=None)[0])
    return np.asarray(turns[turns.imag > 0])


def pair_of(modes: Modes, *, partner: float) -> Pair:
    """Return the two tilts among the modes that go once around: the lowest, and the next if it is near enough.

    >>> pair_of(np.array([500.0, 510.0, 700.0]), partner=1.2), pair_of(np.array([500.0, 700.0]), partner=1.2)
    (array([500., 510.]), array([500., 500.]))
    """
    if len(modes) == 0:
        return np.full(2, np.nan)
    near = len(modes) > 1 and modes[1] <= partner * modes[0]
    return np.array([modes[0], modes[1] if near else modes[0]])


def tilts(pairs: Float[np.ndarray, "sample 2"]) -> tuple[Float[np.ndarray, " sample"], Float[np.ndarray, " sample"]]:
    """Return tilt and splitting in Hz."""
    return np.sqrt(np.mean(pairs**2, axis=1)), pairs[:, 1] - pairs[:, 0]


def table(data: ram.Dataset) -> str:
    """Return the baselines as a Markdown table."""
    parts = {part: data.subset(part) for part in PARTS}
    known = {part: dict(zip(data.targets, one.target_array().T, strict=True)) for part, one in parts.items()}
    lines = ["| method | tilt (MAPE) | splitting (MAE) | damping (MAE) | crack depth (MAE) |", "|---|---|---|---|---|"]
    train, test = known["train"], known["test"]
    mean = {name: np.abs(test[name] - train[name].mean()) for name in data.targets}
    lines.append(_row("mean of training", np.mean(mean["tilt"] / test["tilt"]), mean))
    lowest = _errors(parts["test"].parameter_array(["mode_01", "mode_02"]), test)
    lines.append(_row("true modes, lowest two", np.mean(lowest["tilt"] / test["tilt"]), lowest))
    for name, modes, damping in _methods({part: parts[part] for part in PARTS[1:]}):
        errors = _errors(_best(modes, known["validation"]), test)
        if damping is not None:
            errors["damping"] = np.abs(damping - test["damping"])
        lines.append(_row(name, np.mean(errors["tilt"] / test["tilt"]), errors))
        lines.append(_row(f"{name}: median", np.median(errors["tilt"] / test["tilt"]), errors, take=np.median))
    for name, features in (
        ("oracle: the true pair of tilts", pair_features),
        ("oracle: all true frequencies", all_features),
    ):
        error, model = oracle([features(parts[part]) for part in PARTS], [known[part]["crack_depth"] for part in PARTS])
        lines.append(_row(f"{name} ({model})", None, {"crack_depth": error}))
    return "\n".join(lines)


def _errors(
    pairs: Float[np.ndarray, "sample 2"], known: dict[str, Float[np.ndarray, " sample"]]
) -> dict[str, Float[np.ndarray, " sample"]]:
    tilt, splitting = tilts(pairs)
    return {"tilt": np.abs(tilt - known["tilt"]), "splitting": np.abs(splitting - known["splitting"])}


def _methods(
    parts: dict[str, ram.Dataset],
) -> Iterator[tuple[str, dict[str, list[Modes]], Float[np.ndarray, " sample"] | None]]:
    """Yield each method's name, the modes that it finds in each part, and the damping in the test part."""
    peaks = {part: [spectral_peaks(*free_decay(one, row)) for row in range(len(one))] for part, one in parts.items()}
    yield "FFT, two lowest peaks", peaks, None
    both = {part: [identified(*free_decay(one, row)) for row in range(len(one))] for part, one in parts.items()}
    damping = np.array([ratio for _, ratio in both["test"]])
    yield "subspace identification", {part: [hertz for hertz, _ in found] for part, found in both.items()}, damping


def _best(
    modes: dict[str, list[Modes]], known: dict[str, Float[np.ndarray, " sample"]]
) -> Float[np.ndarray, "sample 2"]:
    """Return the pairs of the test part; how near a partner must be, the validation part says."""

    def pairs(part: str, partner: float) -> Float[np.ndarray, "sample 2"]:
        found = np.array([pair_of(one, partner=partner) for one in modes[part]])
        return np.where(np.isnan(found), known["tilt"].mean(), found)

    def error(partner: float) -> float:
        return float(np.abs(tilts(pairs("validation", partner))[1] - known["splitting"]).mean())

    return pairs("test", min(PARTNERS, key=error))


def pair_features(data: ram.Dataset) -> Features:
    """Return the logarithms of the tilts and of how far apart they are."""
    lower, upper = data.parameter_array(list(PAIR)).T
    return np.stack([np.log(lower), np.log(upper), np.log(1e-3 + (upper - lower) / lower)], axis=1)


def all_features(data: ram.Dataset) -> Features:
    """Return the logarithms of all frequencies, of their ratios to the upper tilt, and of the gaps between them."""
    numbered = [name for name in data.parameters if name.startswith("mode_")]
    named = [name for name in data.parameters if f"{name}_decay" in data.parameters]
    logs = np.log(data.parameter_array([*numbered, *named]))
    upper = np.log(data.parameter_array([PAIR[1]]))
    gaps = np.log(1e-4 + np.diff(logs[:, : len(numbered)], axis=1))
    return np.hstack([logs, logs - upper, gaps, pair_features(data)])


def regressors() -> dict[str, Callable[[], RegressorMixin]]:
    """Return the kinds of regression of which the validation part chooses one."""
    return {
        "ridge": lambda: make_pipeline(StandardScaler(), Ridge(1.0)),
        "nearest neighbours": lambda: make_pipeline(StandardScaler(), KNeighborsRegressor(7, weights="distance")),
        "extra trees": lambda: ExtraTreesRegressor(200, max_features=0.5, random_state=0),
        "gradient boosting": lambda: HistGradientBoostingRegressor(
            loss="absolute_error", max_iter=600, learning_rate=0.05, random_state=0
        ),
    }


def oracle(x: list[Features], y: list[Float[np.ndarray, " sample"]]) -> tuple[Float[np.ndarray, " sample"], str]:
    """Return the errors on the test part of the regression that serves the validation part best, and its name."""
    fitted = {name: kind().fit(x[0], y[0]) for name, kind in regressors().items()}
    best = min(fitted, key=lambda name: np.abs(fitted[name].predict(x[1]) - y[1]).mean())
    return np.abs(fitted[best].predict(x[2]) - y[2]), best


def _row(
    name: str,
    tilt: float | None,
    errors: dict[str, Float[np.ndarray, " sample"]],
    *,
    take: Callable[[Float[np.ndarray, " sample"]], float] = np.mean,
) -> str:
    cells = ["" if tilt is None else f"{100 * tilt:.2g} %"]
    for target, unit in (("splitting", "Hz"), ("damping", "%"), ("crack_depth", "%")):
        cells.append(f"{take(errors[target]):.2g} {unit}" if target in errors else "")
    return f"| {name} | " + " | ".join(cells) + " |"


def quantiles(data: ram.Dataset) -> str:
    """Return least, 5 %, 50 %, 95 % and largest value of targets and of the first modes as a Markdown table."""
    lines = ["| | unit | least | 5 % | 50 % | 95 % | largest |", "|---" * 7 + "|"]
    extra = {
        name: data.parameters[name] for name in ("umbrella", "two_diameter_lower", "mode_06", "mode_08", "mode_16")
    }
    for name, unit in {**data.targets, **extra}.items():
        known = data.target_array([name]) if name in data.targets else data.parameter_array([name])
        values = np.nanquantile(known, [0, 0.05, 0.5, 0.95, 1])
        lines.append(f"| {name} | {unit} | " + " | ".join(f"{value:.4g}" for value in values) + " |")
    return "\n".join(lines)


def counts(data: ram.Dataset) -> str:
    """Return in words how many taps there are, how near the pairs of tilts lie, and the digest."""
    parts = ", ".join(f"{len(data.subset(part))} {part}" for part in PARTS)
    tilt, splitting, damping, depth = data.target_array().T
    bin_hz = 1 / float(data.axes[0].edges[-1] - data.axes[0].edges[0])
    wheels = len(np.unique(data.groups))

    def share(of: Bool[np.ndarray, " sample"]) -> str:
        return f"{100 * of.mean():.0f} %"

    return (
        f"{len(data)} taps on {wheels} wheels ({parts}); {np.isnan(tilt).sum()} failed; {share(depth == 0)} without "
        f"crack.\nThe pair of tilts lies nearer than 1 / record ({bin_hz:.2g} Hz) in {share(splitting < bin_hz)}, "
        f"nearer than its half-power width (2 x damping x frequency) in {share(splitting < 0.02 * damping * tilt)}; "
        f"the umbrella is not the third mode in {share(_umbrella_within(data))}.\nDigest {data.digest}."
    )


def _umbrella_within(data: ram.Dataset) -> Bool[np.ndarray, " sample"]:
    umbrella, upper = data.parameter_array(["umbrella", PAIR[1]]).T
    return np.asarray(umbrella < upper)


def main(path: Path) -> None:
    """Print what card.md says of a data file."""
    data = ram.open_dataset(path)
    print(counts(data), quantiles(data), table(data), sep="\n\n")  # noqa: T201 - a command that prints


if __name__ == "__main__":
    main(Path(sys.argv[1]))
