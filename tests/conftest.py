"""What several rooms' tests stand on: a small data file, its experiment and a run of it."""

from __future__ import annotations

import os

# Before anything loads a BLAS: tests run side by side on few cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "agg")

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from ram.axes import Axis
from ram.data.dataset import Dataset, open_dataset
from ram.data.layout import digest_of, digest_path, write_dataset
from ram.data.spec import DatasetSpec, Record
from ram.randomness import generator

SIZE, COUNT = 16, 30

EXPERIMENT = """\
name = "discs"
seed = 3

[data]
file = "discs.h5"
targets = ["umbrella", "mass"]

[model]
backbone = "plain"
widths = [4, 6]

[training]
epochs = 2
batch_size = 8
threads = 1

[explain]
samples = 3
"""


def disc_spec(**changes: Any) -> DatasetSpec:
    """A data set of discs: 16 x 16 cells of 10 mm, thickness and fill, two targets, truth for the test part."""
    axes = tuple(Axis.uniform(name, "mm", size=SIZE, step=10.0, start=-75.0) for name in ("y", "x"))
    content: dict[str, Any] = {
        "name": "discs",
        "source": "made for the tests",
        "licence": "MIT",
        "created_with": "tests",
        "axes": axes,
        "channels": {"fill": "1", "thickness": "mm"},
        "targets": {"umbrella": "Hz", "mass": "kg"},
        "truth": {("umbrella", "contribution"): "Hz"},
        "regions": ("void", "hub", "rim"),
        "symmetries": ("rotate90", "mirror"),
        "count": COUNT,
        "reference": np.stack([np.ones((SIZE, SIZE)), np.full((SIZE, SIZE), 20.0)]),
    }
    return DatasetSpec(**(content | changes))


def disc_records(*, seed: int = 1, count: int = COUNT) -> Iterator[Record]:
    """The frequency rises with the thickness near the middle, the mass with all of it."""
    y, x = np.meshgrid(np.arange(SIZE) - 7.5, np.arange(SIZE) - 7.5, indexing="ij")
    radius = np.hypot(x, y)
    fill = (radius < 7.6).astype(np.float64)
    hub = fill * (radius < 4.0)
    regions = (fill + (fill > hub)).astype(np.uint8)
    for index in range(count):
        draw = generator(seed, "disc", index)
        thickness = 20.0 + 4.0 * draw.standard_normal() * hub + 4.0 * draw.standard_normal() * fill
        share = 0.05 * hub * (thickness - 20.0)
        part = ("train", "train", "train", "validation", "test")[index % 5]
        yield Record(
            id=f"d{index:03d}",
            group=f"g{index % 5 + 5 * (index // 10)}",  # two of one part: groups keep the parts apart
            x=np.stack([fill, thickness]).astype(np.float32),
            targets={"umbrella": 500.0 + float(share.sum()), "mass": float((fill * thickness).sum()) / 500.0},
            split={"default": part},
            truth={("umbrella", "contribution"): share} if part == "test" else {},
            regions=regions,
        )


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process; returns its exit code, standard output and standard error."""
    from ram.cli import main

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture(scope="session")
def disc_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with discs.h5 and discs.toml; nothing may be written there."""
    folder = tmp_path_factory.mktemp("discs")
    write_dataset(folder / "discs.h5", disc_spec(), disc_records())
    (folder / "discs.toml").write_text(EXPERIMENT, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def disc_run(disc_folder: Path) -> Path:
    """The folder of a run of two epochs; nothing may be written there."""
    from ram.training.train import train

    return train(disc_folder / "discs.toml", output=disc_folder / "run", progress=False).path


@pytest.fixture(scope="session")
def many_discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 300 discs, each for itself, and their experiment: enough to calibrate intervals on 30."""
    folder = tmp_path_factory.mktemp("many")
    records = [replace(record, group="") for record in disc_records(count=300)]
    write_dataset(folder / "discs.h5", disc_spec(count=300), records)
    (folder / "discs.toml").write_text(EXPERIMENT, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def many_run(many_discs: Path) -> Path:
    """The folder of a run on 300 discs; nothing may be written there."""
    from ram.training.train import train

    return train(many_discs / "discs.toml", output=many_discs / "run", progress=False).path


@pytest.fixture(scope="session")
def many_ensemble(many_discs: Path) -> Path:
    """The folder of an ensemble of two seeds on 300 discs; nothing may be written there."""
    from ram.training.train import train

    return train(many_discs / "discs.toml", seeds=2, output=many_discs / "ensemble", progress=False).path


@pytest.fixture
def bare_discs(tmp_path: Path) -> Path:
    """The same discs in a file without targets, truth and regions: what a user wants predicted."""
    spec = disc_spec(targets={}, truth={}, regions=(), reference=None)
    records = [Record(id=disc.id, x=disc.x, targets={}, split={"default": "test"}) for disc in disc_records()]
    write_dataset(tmp_path / "bare.h5", spec, records)
    return tmp_path / "bare.h5"


@pytest.fixture(scope="session")
def discs_in() -> Callable[..., Path]:
    """Write discs.h5, each record changed, and discs.toml, some words replaced, to a folder; returns the config."""

    def write(
        folder: Path,
        change: Callable[[Record], Record] | None = None,
        *,
        words: tuple[str, str] = ("", ""),
        **spec: Any,
    ) -> Path:
        records = list(disc_records(count=spec.get("count", COUNT)))
        write_dataset(folder / "discs.h5", disc_spec(**spec), [change(r) if change else r for r in records])
        (folder / "discs.toml").write_text(EXPERIMENT.replace(*words), encoding="utf-8")
        return folder / "discs.toml"

    return write


@pytest.fixture
def changed_discs(discs_in: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Write discs.h5, each record changed, and discs.toml, some words replaced; returns the config."""
    return partial(discs_in, tmp_path)


def signal_inputs(count: int = 40, cells: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Decaying vibrations at 1 kHz with noise, (sample, 1, time), and their frequencies in Hz."""
    draw = generator(5, "signals")
    time_s = np.arange(cells) * 1e-3
    frequency = draw.uniform(40.0, 120.0, size=count)
    swing = draw.uniform(1.0, 2.0, size=(count, 1)) * np.exp(-4.0 * time_s)
    swing *= np.sin(2 * np.pi * frequency[:, None] * time_s + draw.uniform(0.0, 6.0, size=(count, 1)))
    return (swing + 0.02 * draw.standard_normal(swing.shape))[:, None].astype(np.float32), frequency


def _axes_of(space: list[int]) -> tuple[Axis, ...]:
    """Time in s for one axis, a grid of 1 mm for more."""
    if len(space) == 1:
        return (Axis.uniform("time", "s", size=space[0], step=1e-3),)
    return tuple(
        Axis.uniform(name, "mm", size=n, step=1.0) for name, n in zip("zyx"[-len(space) :], space, strict=True)
    )


@pytest.fixture
def measured(tmp_path: Path) -> Callable[..., Dataset]:
    """Write records over time, good ones but for what is said, and open the file.

    Columns are given for all samples: ``x`` (sample, channel, *space), ``targets={name: values}``, ``parameters``,
    ``groups``, ``parts``, ``weights``, ``lengths``, ``units`` of targets; other words are those of `DatasetSpec`.
    """

    def write(
        x: np.ndarray | None = None,
        *,
        targets: dict[str, np.ndarray] | None = None,
        parameters: dict[str, np.ndarray] | None = None,
        units: dict[str, str] | None = None,
        **words: Any,
    ) -> Dataset:
        good, frequency = signal_inputs(40 if x is None else len(x))
        x = good if x is None else x
        count, channels, *space = x.shape
        known = {"frequency": frequency} if targets is None else targets
        given = parameters or {}
        columns = {name: words.pop(name, None) for name in ("groups", "parts", "weights", "lengths")}
        usual = (*("train",) * 3, "validation", "test")
        records = (
            Record(
                id=f"s{row:03d}",
                x=x[row],
                targets={name: float(values[row]) for name, values in known.items()},
                parameters={name: float(values[row]) for name, values in given.items()},
                group=f"g{row // 4}" if columns["groups"] is None else columns["groups"][row],
                split={"default": usual[row // 4 % 5] if columns["parts"] is None else columns["parts"][row]},
                **({} if columns["weights"] is None else {"weight": columns["weights"][row]}),
                **({} if columns["lengths"] is None else {"length": columns["lengths"][row]}),
            )
            for row in range(count)
        )
        content: dict[str, Any] = {
            "name": "measured",
            "axes": _axes_of(space),
            "channels": {f"c{number}": "V" for number in range(channels)},
            "targets": {name: "Hz" if name == "frequency" else "mm" for name in known} | (units or {}),
            "parameters": dict.fromkeys(given, "1"),
            "weighted": columns["weights"] is not None,
            "lengths": columns["lengths"] is not None,
            "count": count,
        }
        path = write_dataset(tmp_path / "measured.h5", DatasetSpec(**(content | words)), records)
        return open_dataset(path)

    return write


def rewrite(path: Path, name: str, values: np.ndarray) -> Dataset:
    """Put other values into a small array of a data file, with a digest that fits: what a foreign writer could do."""
    with h5py.File(path, "r+") as file:
        array = file[name]
        stored = np.ascontiguousarray(values, dtype=array.dtype)
        array.id.write(h5py.h5s.ALL, h5py.h5s.ALL, stored, mtype=array.id.get_type())  # texts keep their encoding
        file[digest_path(name)][...] = digest_of(array[()])
    return open_dataset(path)


@pytest.fixture(name="rewrite")
def _rewrite() -> Callable[..., Dataset]:
    return rewrite


BURST_RATE, BURST_SAMPLES, BURST_COUNT = 16_000.0, 512, 40
BURST_EXPERIMENT: dict[str, Any] = {
    "name": "bursts",
    "seed": 2,
    "data": {"file": "bursts.h5", "targets": ["frequency"]},
    "model": {
        "backbone": "resnet",
        "widths": [4, 6],
        "coordinates": ["frequency"],
        "spectrogram": {"length": "4 ms", "hop": "1 ms", "low": "500 Hz", "high": "6 kHz"},
    },
    "training": {"epochs": 2, "batch_size": 8, "threads": 1},
    "explain": {"samples": 3},
}


def burst(
    tone: float, when: float, *, rate: float = BURST_RATE, samples: int = BURST_SAMPLES, width: float = 16.0
) -> np.ndarray:
    """A tone of a few milliseconds."""
    time = np.arange(samples) / rate
    return np.exp(-(((time - when) * rate / width) ** 2)) * np.sin(2 * np.pi * tone * time)


def burst_records(count: int = BURST_COUNT, **columns: Any) -> Iterator[Record]:
    """Bursts in two channels, the second one half as loud and noisy."""
    for index in range(count):
        draw = generator(7, "burst", index)
        tone = draw.uniform(1000.0, 5000.0)
        x = draw.uniform(1.0, 3.0) * burst(tone, draw.uniform(0.006, 0.026))
        both = np.stack([x, 0.5 * x]) + np.array([[0.01], [0.05]]) * draw.standard_normal((2, BURST_SAMPLES))
        part = ("train", "train", "train", "validation", "test")[index % 5]
        yield Record(id=f"s{index:03d}", group=f"g{index}", x=both.astype(np.float32), targets={"frequency": tone},
                     split={"default": part}, **columns)  # fmt: skip


def burst_spec(**changes: Any) -> DatasetSpec:
    """Bursts at two accelerometers."""
    content = {
        "name": "bursts", "source": "made for the tests", "licence": "MIT", "created_with": "tests",
        "axes": (Axis.uniform("time", "s", size=BURST_SAMPLES, step=1 / BURST_RATE),),
        "channels": {"acc_1": "m/s**2", "acc_2": "m/s**2"}, "targets": {"frequency": "Hz"}, "count": BURST_COUNT,
    }  # fmt: skip
    return DatasetSpec(**(content | changes))


@pytest.fixture(scope="session")
def bursts() -> SimpleNamespace:
    """How burst data are made: ``experiment``, ``records(count)``, ``spec(**changes)``, ``burst(tone, when)``."""
    return SimpleNamespace(
        experiment=BURST_EXPERIMENT, records=burst_records, spec=burst_spec, burst=burst, rate=BURST_RATE,
        samples=BURST_SAMPLES,
    )  # fmt: skip


@pytest.fixture(scope="session")
def burst_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 40 bursts; nothing may be written there."""
    path = tmp_path_factory.mktemp("bursts") / "bursts.h5"
    write_dataset(path, burst_spec(), burst_records())
    return path


@pytest.fixture(scope="session")
def burst_run(burst_data: Path) -> Path:
    """The folder of a run of two epochs whose net begins with a spectrogram; nothing may be written there."""
    from ram.training.train import train

    return train(BURST_EXPERIMENT, data=burst_data, output=burst_data.parent / "run", progress=False).path


@pytest.fixture(scope="session")
def serve() -> Callable[..., AbstractContextManager[Any]]:
    """Serve a run as ``ram inspect`` does, in a thread: ``with serve(run) as server``."""
    import threading

    from ram.inspector.inspection import open_inspection
    from ram.inspector.server import Server, listening
    from ram.inspector.solving import Solver

    @contextmanager
    def serving(run: Path, data: Path | None = None, *, simulator: str | None = None) -> Iterator[Server]:
        solver = None if simulator is None else Solver(simulator)
        with listening() as socket:
            server = Server(open_inspection(run, data), socket, run, data, solver)
            thread = threading.Thread(target=server.run)
            thread.start()
            try:
                yield server
            finally:
                server.stop()
                thread.join(20)
                assert not thread.is_alive(), "the server does not end"

    return serving
