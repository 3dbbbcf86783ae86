"""Impact echo on concrete plates: a tap's waveform -> depth of what reflects below it (cm). Measured, not computed.

    ram data make datasets/impact_echo --output impact_echo.h5                     # fetches the published files
    ram data make datasets/impact_echo --source raw.tar.xz --output impact_echo.h5 # a folder or archive of them

Every waveform is brought to one clock whose zero is the peak of the Rayleigh wave, to one polarity and to a root mean
square of one. What was done with each file stands in a table beside the data file.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float
from rich.progress import track
from scipy.interpolate import CubicSpline
from scipy.signal import butter, sosfiltfilt

from ram.axes import Axis
from ram.data.importing.laboratory import read_text
from ram.data.layout import DatasetSpec, Record, write_dataset
from ram.data.parting import draw_parts
from ram.data.sources import Published, sha256_of, source_folder
from ram.data.spec import PARTS
from ram.errors import ConfigError, DataError, explained
from ram.physics.impact_echo import Arrival, Void, arrival, polarity
from ram.storage.atomic import write_text

VERSION = 1  # raise it when the same files give other values
HERE = Path("datasets/impact_echo")
REPOSITORY = "hui30319/Analysis-of-Impact-Echo-Time-Signals-by-Deep-Learning"
COMMIT = "f3230a1a271a7249f9a494840facc533ed04a55c"
URL = f"https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}/data/exp/raw/"
REGISTRY = Path(__file__).with_name("registry.txt").read_text(encoding="utf-8")  # file and SHA-256, as published
PUBLISHED = Published("impact_echo", URL, dict(line.split() for line in REGISTRY.splitlines()))
RECORD_S = 3e-3  # length of the records that come without a time axis
SPECIMEN = re.compile(r"(?P<speed>\d{4})_(?P<first>\d+)(?:-(?P<last>\d+))?cm")
POINT = re.compile(r"x(\d\d)y(\d\d)(--\d+)?(\.txt)?")
LOOSE = re.compile(r"(crack\d+_LL\d+|\d+mm--\d+)(\.txt)?")
PITCH_CM = 4.0
PARAMETERS = {
    "p_wave_speed": "m/s",
    "x": "cm",
    "y": "cm",
    "reliable": "1",
    "impactor": "mm",
    "recorded_interval": "us",
    "samples_recorded": "1",
    "arrival": "ms",
    "arrival_share": "1",
    "polarity": "1",
    "rms": "V",
}
CLOCK_SPEED = "clock_speed"  # m/s; of a nominal clock, whose hertz are those of a wave of this speed
SHARES = (0.7, 0.1, 0.2)
DOUBTFUL = 0.7
LEAST_S, LEAST_HZ = 1e-3, 1e5

NOMINAL_M_S = 3700.0  # of the P-wave, where a clock in cm is described in ms

Points = Literal["reliable", "gridded", "extrapolation"]
Kind = Literal["time", "nominal", "depth"]
Signal = Float[np.ndarray, " time"]
Parts = dict[str, list[str]]
Row = dict[str, str]


@dataclass(frozen=True)
class Place:
    """What the name of a file says.

    Attributes
    ----------
    name
        Below the folder of all specimens: ``3542_12-8cm/x01y01--00000.txt``.
    at_cm
        x and y of the point; None where it has no coordinates: it lies over the void then.
    impactor_mm
        Diameter of the steel ball, NaN where it is not said.
    """

    name: str
    specimen: str
    speed_m_s: float
    void: Void
    at_cm: tuple[float, float] | None
    impactor_mm: float

    @property
    def depth_cm(self) -> float:
        """Depth of what reflects."""
        return self.void.depth_cm[0] if self.at_cm is None else self.void.reflector_cm(*self.at_cm)

    @property
    def reliable(self) -> bool:
        """Whether it is a point of a grid, away from edges."""
        return self.at_cm is not None and self.void.is_reliable(*self.at_cm)

    def belongs_to(self, points: Points) -> bool:
        """Whether it is one of the points that are asked for."""
        return {"reliable": self.reliable, "gridded": self.at_cm is not None, "extrapolation": self.at_cm is None}[
            points
        ]


@dataclass(frozen=True)
class Clock:
    """The places at which each waveform is read off, from the peak of the Rayleigh wave.

    Attributes
    ----------
    kind
        ``"time"``; or a clock on which the echo of the same depth comes at the same place whatever the concrete's
        speed: ``"nominal"``, the times at which a wave of `NOMINAL_M_S` would be as far; ``"depth"``, half of its way.
    nominal_s
        Times; but for the first kind those of a wave of `NOMINAL_M_S`.
    """

    kind: Kind
    nominal_s: Signal = field(repr=False)

    def times_s(self, speed_m_s: float) -> Signal:
        """Return when a wave of this speed is there."""
        return self.nominal_s if self.kind == "time" else self.nominal_s * (NOMINAL_M_S / speed_m_s)

    @property
    def parameters(self) -> dict[str, str]:
        """Parameters of the data file with their units: a nominal clock says what its seconds mean."""
        return PARAMETERS | ({CLOCK_SPEED: "m/s"} if self.kind == "nominal" else {})

    @property
    def axis(self) -> Axis:
        """The axis of the data file: time in s, or depth in cm."""
        name, unit, scale, words = {
            "time": ("time", "s", 1.0, ""),
            "nominal": ("time", "s", 1.0, f"time of a wave of {NOMINAL_M_S:,.0f} m/s"),
            "depth": ("depth", "cm", 100 * NOMINAL_M_S / 2, "depth of an echo, v t / 2"),
        }[self.kind]
        places = scale * self.nominal_s
        step = float(places[1] - places[0])
        return Axis.uniform(name, unit, size=len(places), step=step, start=float(places[0]), long_name=words)

    def __str__(self) -> str:
        """Return the words of the data file's account of itself."""
        step, begin = self.nominal_s[1] - self.nominal_s[0], self.nominal_s[0]
        said = f"clock {begin * 1e3:g} ms + {len(self.nominal_s)} x {step * 1e6:g} us"
        return said if self.kind == "time" else f"{said} of a wave of {NOMINAL_M_S:g} m/s"


@dataclass(frozen=True)
class Measured:
    """A file, read."""

    place: Place
    signal: Signal = field(repr=False)
    step_s: float
    layout: str
    sha256: str


def make(
    output: Path,
    *,
    source: Path | None = None,
    points: Points = "reliable",
    clock: Kind = "time",
    rate_khz: float = 500.0,
    begin_ms: float = -0.1,
    samples: int = 1472,
    seed: int = 0,
    progress: bool | Callable[[int, int], None] = True,
) -> None:
    """Write the measured waveforms as one data file, and what was done with each file as ``<output>.files.csv``.

    Parameters
    ----------
    output
        The data file.
    source
        A folder or an archive (tar, zip) of the published files; None: they are fetched, and checked by SHA-256.
    points
        ``reliable``: points of the three gridded plates, away from edges; ``gridded``: all points of these, those
        near edges with a weight of 0 and in the training part; ``extrapolation``: the points over 12 and 25 cm, which
        have no coordinates, all in the test part.
    clock
        ``time``: seconds; ``nominal``: seconds in which a wave of 3,700 m/s would go as far as the specimen's P-wave;
        ``depth``: v t / 2 in cm, with the speed v of that wave. Zero is the peak of the Rayleigh wave.
    rate_khz, begin_ms, samples
        Of the common clock; for ``nominal`` and ``depth`` those of a wave of 3,700 m/s.
    seed
        Of the random split.
    progress
        Whether to show a bar, or who is told (done, in all).

    Raises
    ------
    ConfigError
        The source is neither folder nor archive, or holds no measurement.
    DataError
        A file is no waveform.
    """
    if min(rate_khz, samples) <= 0:
        got = f"{rate_khz:g} and {samples}"
        raise ConfigError(explained(where=str(HERE), what="rate_khz and samples", allowed="positive", got=got))
    with source_folder(source, published=PUBLISHED) as folder:
        measured, account = read_all(folder, points=points, progress=progress)
    common = Clock(clock, begin_ms / 1e3 + np.arange(samples) / (rate_khz * 1e3))
    parts = _parts([one.place for one in measured], points=points, seed=seed)
    records = list(_records(measured, common, parts))
    spec = _specification(len(records), common, parts, points=points, seed=seed)
    write_dataset(output, spec, records)
    account += [_row(one, record) for one, record in zip(measured, records, strict=True)]
    _write_account(Path(f"{output}.files.csv"), account)
    _tell(account, Path(f"{output}.files.csv"))


def read_all(
    folder: Path, *, points: Points, progress: bool | Callable[[int, int], None] = False
) -> tuple[list[Measured], list[Row]]:
    """Return the measurements below `folder` that belong to `points`, by name, and the files that were left out."""
    paths = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.as_posix())
    found: list[Measured] = []
    left_out: list[Row] = []
    for path in tracked(paths, progress=progress):
        place = place_of(path.relative_to(folder))
        if place is None:
            left_out.append({"file": path.relative_to(folder).as_posix(), "taken": "no", "remark": "no measurement"})
        elif place.belongs_to(points):
            found.append(_read(path, place))
        else:
            left_out.append({"file": place.name, "taken": "no", "remark": f"none of the {points} points"})
    if not found:
        allowed = f"a folder with {points} points, such as 3542_12-8cm/x01y01--00000.txt"
        got = f"{len(paths)} other files"
        raise ConfigError(explained(where=str(folder), what="the source", allowed=allowed, got=got))
    return found, left_out


def tracked(paths: Sequence[Path], *, progress: bool | Callable[[int, int], None]) -> Iterator[Path]:
    """Yield `paths` while a bar shows how far it is, on a terminal, or somebody is told."""
    if callable(progress):
        for number, path in enumerate(paths):
            yield path
            progress(number + 1, len(paths))
    else:
        yield from track(paths, "reading", disable=not (progress and sys.stdout.isatty()))


def place_of(path: Path) -> Place | None:
    """Return what the name of a file says; None for one that is no measurement.

    >>> place_of(Path("raw/3542_12-8cm/x10y02--00000.txt")).depth_cm
    10.0
    >>> place_of(Path("raw/LICENSE"))
    """
    level = next((place for place, word in enumerate(path.parts[:-1]) if SPECIMEN.fullmatch(word)), None)
    point, loose = POINT.fullmatch(path.name), LOOSE.fullmatch(path.name)
    if level is None or not (point or loose):
        return None
    words = SPECIMEN.fullmatch(path.parts[level])
    assert words is not None
    first, last = float(words["first"]), float(words["last"] or words["first"])
    impactor = re.match(r"(\d+)mm", path.name)
    return Place(
        name="/".join(path.parts[level:]),
        specimen=path.parts[level],
        speed_m_s=float(words["speed"]),
        void=Void((first, last), strip=words["last"] is not None),
        at_cm=(PITCH_CM * int(point[1]), PITCH_CM * int(point[2])) if point else None,
        impactor_mm=float(impactor[1]) if impactor else np.nan,
    )


def _read(path: Path, place: Place) -> Measured:
    text = read_text(path)
    signal = text.values[-1]
    step_s, layout = text.step, text.said
    if step_s is None and len(text.values) > 1:
        allowed, got = "one column, or the time in even steps beside it", f"{len(text.values)} columns, {layout}"
        step = "Look at the first lines of the file"
        raise DataError(explained(where=str(path), what="a waveform", allowed=allowed, got=got, next_step=step))
    if step_s is None:
        step_s, layout = RECORD_S / (len(signal) - len(signal) % 2), f"{text.said}no time: a record of 3 ms"
    if len(signal) * step_s < LEAST_S or 1 / step_s < LEAST_HZ:
        allowed = f"{LEAST_S * 1e3:g} ms long or more, at {LEAST_HZ / 1e3:g} kHz or more"
        got = f"{len(signal)} samples at {1e-3 / step_s:.0f} kHz"
        step = "Leave the file out, or look whether it is whole"
        raise DataError(explained(where=str(path), what="a waveform", allowed=allowed, got=got, next_step=step))
    return Measured(place, signal, step_s, layout, sha256_of(path))


def _records(measured: Sequence[Measured], clock: Clock, parts: Parts) -> Iterator[Record]:
    """Yield the waveforms on one clock, in one polarity, with a root mean square of one."""
    of = {one.place.specimen: [o for o in measured if o.place.specimen == one.place.specimen] for one in measured}
    signs = {name: polarity([(one.signal, one.step_s) for one in several]) for name, several in of.items()}
    for number, one in enumerate(measured):
        sign = signs[one.place.specimen]
        comes = arrival(one.signal, one.step_s, sign=sign)
        times_s = clock.times_s(one.place.speed_m_s) + comes.time_s
        aligned = -sign * on_clock(one.signal - comes.rest, one.step_s, times_s)
        rms = float(np.sqrt(np.mean(aligned**2)))
        known = _parameters(one, comes, sign=sign, rms=rms) | {CLOCK_SPEED: NOMINAL_M_S}
        yield Record(
            id=one.place.name.removesuffix(".txt"),
            x=(aligned / rms).astype(np.float32)[None],
            targets={"depth": one.place.depth_cm},
            parameters={name: known[name] for name in clock.parameters},
            group=one.place.specimen,
            split={name: codes[number] for name, codes in parts.items()},
            weight=1.0 if one.place.reliable or one.place.at_cm is None else 0.0,
        )


def on_clock(signal: Signal, step_s: float, times_s: Signal) -> Signal:
    """Return the signal at other times: below 0.4 of the lower sampling rate, zero where nothing was recorded."""
    rate = 1 / step_s
    wanted = 1 / (times_s[1] - times_s[0])
    if rate > wanted:
        signal = sosfiltfilt(butter(4, 0.4 * wanted, fs=rate, output="sos"), signal)
    own = step_s * np.arange(len(signal))
    inside = (times_s >= 0) & (times_s <= own[-1])
    return np.where(inside, CubicSpline(own, signal)(np.clip(times_s, 0, own[-1])), 0.0)


def _parameters(one: Measured, comes: Arrival, *, sign: int, rms: float) -> dict[str, float]:
    x_cm, y_cm = one.place.at_cm or (np.nan, np.nan)
    return {
        "p_wave_speed": one.place.speed_m_s,
        "x": x_cm,
        "y": y_cm,
        "reliable": float(one.place.reliable),
        "impactor": one.place.impactor_mm,
        "recorded_interval": one.step_s * 1e6,
        "samples_recorded": float(len(one.signal)),
        "arrival": comes.time_s * 1e3,
        "arrival_share": comes.share,
        "polarity": float(sign),
        "rms": rms,
    }


def _parts(places: Sequence[Place], *, points: Points, seed: int) -> Parts:
    """Return each sample's part for each split: at random, and one split for each specimen that is left out."""
    if points == "extrapolation":
        return {"default": ["test"] * len(places)}
    names = [place.name for place in places]
    held = np.array([place.reliable for place in places])
    specimens = [place.specimen for place in places]
    splits = {"default": draw_parts(names, SHARES, seed=seed)}
    for specimen in dict.fromkeys(specimens):
        here = np.array([other == specimen for other in specimens])
        drawn = draw_parts(names, (1 - SHARES[1], SHARES[1], 0.0), seed=seed)
        splits[f"without_{specimen.partition('_')[2]}"] = np.where(here, PARTS.index("test"), drawn).astype(np.uint8)
    return {
        name: [PARTS[code] if kept else "train" for code, kept in zip(codes, held, strict=True)]
        for name, codes in splits.items()
    }


def _specification(count: int, clock: Clock, parts: Parts, *, points: Points, seed: int) -> DatasetSpec:
    return DatasetSpec(
        name="impact_echo",
        source=f"measured: github.com/{REPOSITORY}, commit {COMMIT}, data/exp/raw; doi:10.6342/NTU202403450",
        licence="MIT, Copyright (c) 2024 hui30319",
        created_with=f"datasets/impact_echo version {VERSION}, {points} points, {clock}, seed {seed}",
        axes=(clock.axis,),
        channels={"surface": "1"},
        targets={"depth": "cm"},
        parameters=clock.parameters,
        splits=tuple(parts),
        count=count,
        weighted=points == "gridded",
        notes=f"{clock.axis.name.capitalize()} runs from the peak of the Rayleigh wave, which is negative; the root "
        "mean square of each waveform is 1, parameter rms says what that was in V. Groups are specimens.",
    )


def _row(one: Measured, record: Record) -> Row:
    """Return what was done with a file."""
    remarks = ["the arrival is doubtful"] * (record.parameters["arrival_share"] < DOUBTFUL)
    remarks += ["not as published"] * (PUBLISHED.sha256.get(one.place.name) != one.sha256)
    return {
        "file": one.place.name,
        "taken": "yes",
        "layout": one.layout,
        "depth_cm": f"{one.place.depth_cm:g}",
        **{name: "" if np.isnan(value) else f"{value:.6g}" for name, value in record.parameters.items()},
        "remark": ", ".join(remarks),
    }


def _write_account(path: Path, rows: Sequence[Row]) -> None:
    columns = list(dict.fromkeys(key for row in sorted(rows, key=len, reverse=True) for key in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: row["file"]))
    write_text(path, text.getvalue())


def _tell(rows: Sequence[Row], account: Path) -> None:
    """Say in a few lines what was done; the account has each file."""
    taken = [row for row in rows if row["taken"] == "yes"]
    for (specimen, layout), count in sorted(
        Counter((row["file"].partition("/")[0], row["layout"]) for row in taken).items()
    ):
        print(f"{specimen}: {count} files, {layout or 'one column'}")  # noqa: T201 - a recipe reports to its user
    left_out = Counter(row["remark"] for row in rows if row["taken"] == "no")
    for remark, count in left_out.items():
        print(f"left out: {count} files, {remark}")  # noqa: T201
    remarks = Counter(remark for row in taken for remark in row["remark"].split(", ") if remark)
    for remark, count in remarks.items():
        print(f"taken, but {remark}: {count} files")  # noqa: T201
    print(f"{len(taken)} waveforms; what was done with each file: {account}")  # noqa: T201
