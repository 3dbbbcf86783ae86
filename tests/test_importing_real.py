"""Files of other laboratories, as they are: impact echo on concrete plates, Mechanical MNIST."""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ram.data.dataset import open_dataset

SHARED = Path(os.environ.get("RAM_SHARED", Path(__file__).parents[2] / "shared")) / "data"
Shell = Callable[..., tuple[int, str, str]]
here = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared folder with measured data is not here")


@pytest.fixture
def plates(tmp_path: Path) -> Path:
    """A hundred files of the five plates with their table: three formats, four rates."""
    with tarfile.open(SHARED / "impact_echo" / "raw.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    lines = (SHARED / "impact_echo" / "manifest.csv").read_text(encoding="utf-8").splitlines()
    kept = [lines[0], *lines[1::23], *(line for line in lines[1:] if "LL9" in line)]
    (tmp_path / "table.csv").write_text("\n".join(dict.fromkeys(kept)) + "\n", encoding="utf-8")
    return tmp_path


@here
def test_impact_echo_of_four_rates_and_three_formats(shell: Shell, plates: Path) -> None:
    words = (
        "data",
        "import",
        plates / "table.csv",
        "--files",
        plates / "data/exp/raw",
        "--targets",
        "depth:depth_cm=cm",
    )
    more = ("--group", "specimen", "--resample", "625 kHz", "--rate-column", "dt_s", "--output", plates / "ie.h5")
    code, out, err = shell(*words, *more, "--lengths", "pad")
    assert (code, err) == (0, "")
    assert "5 header lines, separated by space, column 1 is the time (taken to be in s)" in out
    data = open_dataset(plates / "ie.h5")
    assert set(data.target_array()[:, 0]) <= {6.0, 8.0, 10.0, 12.0, 20.0, 25.0} | set(np.arange(8, 12, 0.5))
    assert set(data.lengths.tolist()) == {1875, 1876, 3127, 3130}
    row = int(np.flatnonzero(data.groups == "3717_10cm")[0])
    raw = np.loadtxt(plates / "data/exp/raw/3717_10cm" / f"{data.ids[row]}.txt", skiprows=5)
    np.testing.assert_array_equal(data.x([row])[0, 0, :3127], raw[:, 1].astype(np.float32))


@here
def test_mechanical_mnist_from_two_texts(shell: Shell, tmp_path: Path) -> None:
    folder = SHARED / "mechanical_mnist"
    with zipfile.ZipFile(folder / "mnist_img_test.txt.zip") as archive, archive.open("mnist_img_test.txt") as file:
        (tmp_path / "images.txt").write_bytes(b"".join(next(file) for _ in range(200)))
    lines = (folder / "summary_psi_test_all.txt").read_text(encoding="utf-8").splitlines()[:200]
    (tmp_path / "psi.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = ("--shape", "28x28", "--targets", "psi:column13=1", "--output", tmp_path / "mm.h5")
    code, _, err = shell("data", "import", tmp_path / "psi.txt", "--arrays", tmp_path / "images.txt", *words)
    assert (code, err) == (0, "")
    data = open_dataset(tmp_path / "mm.h5")
    images = np.loadtxt(tmp_path / "images.txt").reshape(-1, 1, 28, 28)
    np.testing.assert_array_equal(data.x(), images)
    np.testing.assert_array_equal(data.target_array()[:, 0], np.loadtxt(tmp_path / "psi.txt")[:, 12])
