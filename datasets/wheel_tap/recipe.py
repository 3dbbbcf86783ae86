"""Tap tests on wheels: accelerations of the rim -> frequency, splitting and damping of the tilt modes, crack depth.

    ram data make datasets/wheel_tap --samples 4000 --seed 1 --jobs 2 --output wheel_tap.h5

Wheels are those of datasets/wheel; in three of four a crack runs across the root of one spoke. Sample i depends on
(seed, i) alone. All taps on a wheel are in one part: of ten wheels in a row the first is for the test, the second for
validation, the others for training.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ram.axes import Axis
from ram.data.layout import DatasetSpec, Record, write_dataset
from ram.data.making import compute_in_order, partial_folder
from ram.errors import ConfigError, SolverError, explained
from ram.physics import crack as cracks
from ram.physics import tap
from ram.physics.crack import Crack
from ram.physics.design import OUTER_RADIUS_MM, Design, design, rasterise
from ram.randomness import generator

VERSION = 1  # raise it when the same seed gives other signals or other values
TARGETS = {"tilt": "Hz", "splitting": "Hz", "damping": "%", "crack_depth": "%"}
NAMED = ("umbrella", "tilt_lower", "tilt_upper", "two_diameter_lower", "two_diameter_upper")
RINGING = ("tilt_lower", "tilt_upper")  # modes whose amplitude is kept for each channel
SENSOR_RADIUS_MM = 205.0
MARGIN_MM = 4.0  # a tap keeps away from the edges of the rim
BEFORE_S = 0.01  # the record begins before the tap
UNCRACKED = 0.25
DAMPING = (0.001, 0.004)
FORCE_N = (50.0, 150.0)
NOISE_DB = (20.0, 50.0)
ROUNDING_HZ = 1e-6  # what the solver leaves between two modes that are equal
STEP = 1 / 32  # m/s^2, of the converter
RANGE = 32000 * STEP
SOLVED, FAILED = 0, 2  # values of solver_status, as in datasets/wheel


@dataclasses.dataclass(frozen=True)
class Specimen:
    """One wheel: its design, its crack, and the damping ratio of all its modes (1)."""

    design: Design
    crack: Crack
    damping: float


@dataclasses.dataclass(frozen=True)
class Tap:
    """One tap: where (mm from the centre, rad), how hard (N), and how far its noise lies below the signal (dB)."""

    radius_mm: float
    angle: float
    peak_n: float
    noise_db: float


@dataclasses.dataclass(frozen=True)
class Recorder:
    """What records: accelerometers at equal angles on the rim, and a clock."""

    channels: int
    rate_hz: float
    samples: int

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the channels, by their angle in degrees."""
        return tuple(f"rim_{360 * number / self.channels:.0f}" for number in range(self.channels))

    @property
    def axis(self) -> Axis:
        """Time, which is 0 where the hammer touches the wheel."""
        start = -round(BEFORE_S * self.rate_hz) / self.rate_hz
        return Axis.uniform("time", "s", size=self.samples, step=1 / self.rate_hz, start=start)

    @property
    def parameters(self) -> dict[str, str]:
        """Names and units of all that is kept of a sample beside signal and targets."""
        numbers = {f"mode_{number:02d}": "Hz" for number in range(1, tap.MODES + 1)}
        ridges = dict.fromkeys(NAMED, "Hz") | {f"{name}_decay": "s" for name in NAMED}
        amplitudes = {f"{name}_{channel}": "m/s^2" for name in RINGING for channel in self.names}
        return {
            "n_spokes": "1",
            "thin_spot_depth": "1",
            "crack_spoke": "1",
            "crack_thickness": "mm",
            "tap_radius": "mm",
            "tap_angle": "rad",
            "tap_force": "N",
            "signal_to_noise": "dB",
            **ridges,
            **amplitudes,
            **numbers,
            "solver_status": "1",
        }


def part_of(wheel: int) -> str:
    """Return the part of the split that a wheel belongs to.

    >>> [part_of(i) for i in (0, 1, 2, 9, 10)]
    ['test', 'validation', 'train', 'train', 'test']
    """
    return {0: "test", 1: "validation"}.get(wheel % 10, "train")


def specimen(seed: int, wheel: int) -> Specimen:
    """Return wheel `wheel` of the family `seed`; its design is that of datasets/wheel."""
    shape, random = design(seed, wheel), generator(seed, "tapped wheel", wheel)
    depth = 0.0 if random.random() < UNCRACKED else random.uniform(0.0, cracks.DEEPEST)
    crack = Crack(int(random.integers(shape.n_spokes)), float(depth))
    return Specimen(shape, crack, float(np.exp(random.uniform(*np.log(DAMPING)))))


def strike(seed: int, index: int, shape: Design) -> Tap:
    """Return tap `index` of the family `seed`, somewhere on the rim."""
    random = generator(seed, "tap", index)
    return Tap(
        radius_mm=random.uniform(shape.rim_inner_radius_mm + MARGIN_MM, OUTER_RADIUS_MM - MARGIN_MM),
        angle=random.uniform(0, 2 * np.pi),
        peak_n=float(np.exp(random.uniform(*np.log(FORCE_N)))),
        noise_db=random.uniform(*NOISE_DB),
    )


def make(
    output: Path,
    *,
    samples: int = 4000,
    taps: int = 1,
    channels: int = 3,
    duration: float = 1.0,
    rate: float = 16000.0,
    size: int = 48,
    seed: int = 0,
    jobs: int = 1,
    progress: bool | Callable[[int, int], None] = True,
) -> None:
    """Write `samples` tap tests to `output`.

    Parameters
    ----------
    output
        The data file; finished parts lie in ``<output>.partial`` until it is whole.
    samples, taps
        How many taps, and how many of them on one wheel.
    channels
        Accelerometers at equal angles on the rim; three tell the modes with no and with one nodal diameter apart.
    duration, rate
        Length of a record (s), which begins 10 ms before the tap, and samples per second. Modes beyond half the rate
        are filtered out.
    size, seed
        Pixels along one side of a wheel, and which family of wheels.
    jobs
        Worker processes; the bytes of the file do not depend on it.
    progress
        Whether to show a bar, or who is told (done, in all).

    Raises
    ------
    ConfigError
        An option is out of range.
    """
    _check(samples=samples, taps=taps, channels=channels, size=size, rate=rate, duration=duration)
    recorder = Recorder(channels, rate, round(duration * rate))
    results = compute_in_order(
        partial(rung, taps=taps, samples=samples, recorder=recorder, size=size, seed=seed),
        range(-(-samples // taps)),
        jobs=jobs,
        folder=partial_folder(output),
        fingerprint=f"wheel_tap {VERSION} {samples} {taps} {recorder} {size} {seed}",
        progress=progress,
    )
    failures: list[str] = []
    spec = specification(recorder, samples=samples, taps=taps, size=size, seed=seed)
    write_dataset(output, spec, _records(results, recorder, samples=samples, taps=taps, seed=seed, failures=failures))
    _tell(failures, -(-samples // taps))


def _check(*, samples: int, taps: int, channels: int, size: int, rate: float, duration: float) -> None:
    least = {"samples": 3 * taps, "taps": 1, "channels": 1, "size": 24, "rate": 4000, "duration": 0.05}
    given = {
        "taps": taps, "samples": samples, "channels": channels, "size": size, "rate": rate, "duration": duration,
    }  # fmt: skip
    for name, value in given.items():
        if not value >= least[name]:
            allowed = f"at least {least[name]:g}"
            raise ConfigError(explained(where="datasets/wheel_tap", what=name, allowed=allowed, got=value))


def rung(
    wheel: int, *, taps: int, samples: int, recorder: Recorder, size: int, seed: int
) -> dict[str, NDArray[Any] | float]:
    """Return all taps on one wheel: signals ``x``, and targets and parameters by name, one value a tap."""
    one = specimen(seed, wheel)
    ringing = tap.ringing(one.design, one.crack, size=size)
    indices = range(wheel * taps, min((wheel + 1) * taps, samples))
    heard = [_heard(one, ringing, recorder, seed=seed, index=index) for index in indices]
    columns = {name: np.array([values[name] for _, values in heard]) for name in heard[0][1]}
    shared = {name: np.full(len(heard), value) for name, value in _known(one, ringing, size=size).items()}
    return {"x": np.stack([x for x, _ in heard]), **columns, **shared}


def _heard(
    one: Specimen, ringing: tap.Ringing, recorder: Recorder, *, seed: int, index: int
) -> tuple[Float[np.ndarray, "channel time"], dict[str, float]]:
    """Return the signal of one tap and what is kept of it; one that would leave the recorder's range is softer."""
    given = strike(seed, index, one.design)
    angles = 2 * np.pi * np.arange(recorder.channels) / recorder.channels
    at_tap = ringing.deflections(given.radius_mm, given.angle)
    gains = ringing.deflections(SENSOR_RADIUS_MM, angles).T * at_tap.reshape(-1)
    passed = ringing.frequencies < recorder.rate_hz / 2
    frequencies, gains = ringing.frequencies[passed], gains[:, passed]
    clean = tap.accelerations(frequencies, one.damping, gains, recorder.axis.centres, peak_n=given.peak_n)
    x = tap.noisy(clean, ratio_db=given.noise_db, random=generator(seed, "noise of a tap", index))
    softer = min(1.0, RANGE / float(np.abs(x).max()))
    amplitudes = tap.complex_amplitudes(frequencies, one.damping, gains, peak_n=softer * given.peak_n)
    kept = {
        f"{name}_{channel}": float(abs(amplitudes[row, mode]))
        for name, mode in zip(RINGING, ringing.named["tilt"], strict=True)
        for row, channel in enumerate(recorder.names)
    }
    kept |= {"tap_radius": given.radius_mm, "tap_angle": given.angle, "tap_force": softer * given.peak_n}
    return (softer * x).astype(np.float32), kept | {"signal_to_noise": given.noise_db}


def _known(one: Specimen, ringing: tap.Ringing, *, size: int) -> dict[str, float]:
    """Return targets and parameters that all taps on a wheel share."""
    frequencies = ringing.frequencies
    modes = [mode for name in ("umbrella", "tilt", "two_diameter") for mode in ringing.named[name]]
    named = dict(zip(NAMED, frequencies[modes].tolist(), strict=True))
    return {
        "tilt": ringing.tilt_hz,
        "splitting": ringing.splitting_hz if ringing.splitting_hz > ROUNDING_HZ else 0.0,
        "damping": 100 * one.damping,
        "crack_depth": 100 * one.crack.depth,
        "crack_thickness": cracks.crack_thickness_mm(one.design, rasterise(one.design, size), one.crack),
        **named,
        **{f"{name}_decay": 1 / (2 * np.pi * one.damping * value) for name, value in named.items()},
        **{f"mode_{number:02d}": value for number, value in enumerate(frequencies.tolist(), start=1)},
    }


def specification(recorder: Recorder, *, samples: int, taps: int, size: int, seed: int) -> DatasetSpec:
    """Return what the data set declares."""
    return DatasetSpec(
        name="wheel_tap",
        source="generated: ram.physics.tap",
        licence="MIT",
        created_with=f"datasets/wheel_tap version {VERSION}, samples {samples}, taps {taps}, {recorder.channels} "
        f"channels, {recorder.samples} values at {recorder.rate_hz:g} Hz, size {size}, seed {seed}",
        axes=(recorder.axis,),
        channels=dict.fromkeys(recorder.names, "m/s^2"),
        targets=TARGETS,
        valid_min={"crack_depth": 0.0},
        parameters=recorder.parameters,
        count=samples,
        dtype="int16",
        scale=STEP,
        notes="Half-sine tap of 0.6 ms at time 0 on the rim of a planar aluminium disc, 16 bending modes, one damping "
        "ratio for all. crack_depth in per cent of the spoke's thickness. Parameters <mode> (Hz), <mode>_decay (s, to "
        "1/e) and <mode>_<channel> (m/s^2 at the end of the tap) tell where its ridge lies. Groups are wheels.",
    )


def _records(
    results: Iterator[Mapping[str, NDArray[Any] | float] | str],
    recorder: Recorder,
    *,
    samples: int,
    taps: int,
    seed: int,
    failures: list[str],
) -> Iterator[Record]:
    for wheel, result in enumerate(results):
        if isinstance(result, str):
            failures.append(f"wheel {wheel} of seed {seed}: {result}")
            if not result.startswith(SolverError.__name__):
                raise RuntimeError(failures[-1])
        values = {} if isinstance(result, str) else result
        for index in range(wheel * taps, min((wheel + 1) * taps, samples)):
            yield _record(index, index - wheel * taps, wheel, values, recorder, seed=seed)


def _record(index: int, place: int, wheel: int, result: Mapping[str, Any], recorder: Recorder, *, seed: int) -> Record:
    one = specimen(seed, wheel)
    kept = {name: float(column[place]) for name, column in result.items() if name != "x"}
    kept |= {
        "n_spokes": one.design.n_spokes,
        "thin_spot_depth": one.design.thin_spot.depth if one.design.thin_spot else 0.0,
        "crack_spoke": one.crack.spoke,
        "solver_status": SOLVED if result else FAILED,
    }
    return Record(
        id=f"tap-{seed}-{index:06d}",
        x=result["x"][place] if result else np.zeros((recorder.channels, recorder.samples), dtype=np.float32),
        targets={name: kept.get(name, np.nan) for name in TARGETS},
        parameters={name: kept.get(name, np.nan) for name in recorder.parameters},
        group=f"wheel-{seed}-{wheel:06d}",
        split={"default": part_of(wheel)},
    )


def _tell(failures: Iterable[str], wheels: int) -> None:
    failed = list(failures)
    for failure in failed:
        print(failure)  # noqa: T201 - a recipe reports to its user
    print(f"{wheels - len(failed)} of {wheels} wheels solved, {len(failed)} failed (targets NaN)")  # noqa: T201
