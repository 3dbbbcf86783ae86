"""Nothing is found in good data: real measurements of other people, and the project's own recipe."""

from __future__ import annotations

import csv
import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ram.axes import Axis
from ram.data import DatasetSpec, Record, open_dataset, write_dataset
from ram.data.checks import find
from ram.data.making import make

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("RAM_SHARED", ROOT.parent / "shared")) / "data"
PARTS = ("train", "train", "train", "validation", "test")
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared folder with measurements of others is not here")


def told(path: Path) -> list[str]:
    return [finding.text for finding in find(open_dataset(path), deep=True)]


@pytest.mark.slow
def test_wheels(tmp_path: Path) -> None:
    options = {"samples": "64", "size": "48", "seed": "1"}
    make(ROOT / "datasets" / "wheel", tmp_path / "w.h5", options)
    assert told(tmp_path / "w.h5") == []


@shared
def test_mechanical_mnist(tmp_path: Path) -> None:
    """Images of digits under tension, and the change of their strain energy."""
    count = 600
    with zipfile.ZipFile(SHARED / "mechanical_mnist" / "mnist_img_test.txt.zip") as archive:
        lines = io.BytesIO(archive.read("mnist_img_test.txt")).readlines()[:count]
    images = np.loadtxt(lines, dtype=np.float32).reshape(count, 1, 28, 28)
    energy = np.loadtxt(SHARED / "mechanical_mnist" / "summary_psi_test_all.txt", max_rows=count)[:, -1]
    spec = DatasetSpec(
        name="mechanical-mnist",
        axes=tuple(Axis.uniform(name, "1", size=28, step=1.0) for name in "yx"),
        channels={"grey": "1"},
        targets={"strain_energy": "1"},
        count=count,
    )
    records = (
        Record(id=f"m{row}", x=x, targets={"strain_energy": energy[row]}, split={"default": PARTS[row % 5]})
        for row, x in enumerate(images)
    )
    write_dataset(tmp_path / "m.h5", spec, records)
    assert told(tmp_path / "m.h5") == []


@shared
@pytest.mark.slow
@pytest.mark.parametrize("by_plate", [True, False])
def test_impact_echo(tmp_path: Path, *, by_plate: bool) -> None:
    """Records of five concrete plates on one time axis; parts by plate, or by point with no plate named."""
    with (SHARED / "impact_echo" / "manifest.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    with tarfile.open(SHARED / "impact_echo" / "raw.tar.xz") as archive:
        texts = {
            member.name.partition("raw/")[2]: (archive.extractfile(member) or io.BytesIO()).read().decode()
            for member in archive
            if member.isfile() and "raw/" in member.name
        }
    parts = {"3717_10cm": "test", "3900_06cm": "validation"}
    records = [
        Record(
            id=row["file"],
            group=row["specimen"] if by_plate else "",
            x=resampled(texts[row["file"]], step_s=float(row["dt_s"])),
            targets={"depth": float(row["depth_cm"])},
            split={"default": parts.get(row["specimen"], "train") if by_plate else PARTS[number % 5]},
        )
        for number, row in enumerate(rows)
    ]
    spec = DatasetSpec(
        name="impact-echo",
        axes=(Axis.uniform("time", "s", size=1024, step=1.6e-6),),
        channels={"surface": "V"},
        targets={"depth": "cm"},
        count=len(records),
    )
    write_dataset(tmp_path / "i.h5", spec, records)
    assert told(tmp_path / "i.h5") == []


def resampled(text: str, *, step_s: float) -> np.ndarray:
    """Return 1.6 ms of one record, from 50 microseconds before the hammer's blow."""
    lines = [line.replace(",", " ").split() for line in text.splitlines()]
    values = np.array([float(words[-1]) for words in lines if words and is_number(words[0]) and is_number(words[-1])])
    height = np.abs(values - np.median(values[:50]))
    blow = int(np.argmax(height > 0.1 * height.max())) * step_s
    time_s = max(blow - 50e-6, 0.0) + np.arange(1024) * 1.6e-6
    return np.interp(time_s, np.arange(values.size) * step_s, values)[None].astype(np.float32)


def is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
