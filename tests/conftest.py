"""What several rooms' tests stand on: a small data file, its experiment and a run of it."""

from __future__ import annotations

import os

# Before anything loads a BLAS: tests run side by side on few cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "agg")

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ram.axes import Axis
from ram.data.layout import write_dataset
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
            group=f"g{index // 2}",
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


@pytest.fixture
def bare_discs(tmp_path: Path) -> Path:
    """The same discs in a file without targets, truth and regions: what a user wants predicted."""
    spec = disc_spec(targets={}, truth={}, regions=(), reference=None)
    records = [Record(id=disc.id, x=disc.x, targets={}, split={"default": "test"}) for disc in disc_records()]
    write_dataset(tmp_path / "bare.h5", spec, records)
    return tmp_path / "bare.h5"


@pytest.fixture
def changed_discs(tmp_path: Path) -> Callable[..., Path]:
    """Write discs.h5, each record changed, and discs.toml, some words replaced; returns the config."""

    def write(
        change: Callable[[Record], Record] | None = None, *, words: tuple[str, str] = ("", ""), **spec: Any
    ) -> Path:
        records = list(disc_records(count=spec.get("count", COUNT)))
        write_dataset(tmp_path / "discs.h5", disc_spec(**spec), [change(r) if change else r for r in records])
        (tmp_path / "discs.toml").write_text(EXPERIMENT.replace(*words), encoding="utf-8")
        return tmp_path / "discs.toml"

    return write
