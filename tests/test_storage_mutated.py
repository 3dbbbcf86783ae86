"""Damaged files: whatever happens to the bytes, a value is as it was written, or the file is refused by name."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ram.data.info import describe
from ram.errors import DataError

PROGRAM = Path(__file__).with_name("mutated_files.py")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the limits on the reading process are POSIX's")


def read_damaged(template: Path, work: Path, count: int, *, foreign: bool = False) -> list[dict[str, Any]]:
    """Read `count` damaged copies of a file in other processes; a new one goes on where one has died."""
    reports: list[dict[str, Any]] = []
    kind = "foreign" if foreign else "ours"
    while len(reports) < count:
        words = [str(PROGRAM), json.dumps(sys.path), str(template), str(work), str(len(reports)), str(count), kind]
        ended = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=900, check=False)
        lines = [json.loads(line) for line in ended.stdout.splitlines()]
        assert lines, ended.stderr[-1000:]
        reports += [line for line in lines if "result" in line]
        if ended.returncode:
            reports.append({"number": lines[-1]["begin"], "result": f"died: {ended.returncode}", "seconds": 0.0})
    return reports


@pytest.fixture(params=["plain", "packed"])
def ours(request: pytest.FixtureRequest, disc_folder: Path, changed_discs: Callable[..., Path]) -> Path:
    """A data file as the recipes write it, and one of integers in compressed chunks with weights and lengths."""
    if request.param == "plain":
        return disc_folder / "discs.h5"
    changes = {"dtype": "int16", "scale": 0.001, "weighted": True, "lengths": True, "compression": "gzip"}
    return changed_discs(lambda record: replace(record, weight=1.5, length=12), **changes).parent / "discs.h5"


@pytest.mark.parametrize("count", [100, pytest.param(1_000, marks=pytest.mark.slow)])
def test_damage_is_found_or_does_not_matter(ours: Path, count: int, tmp_path: Path) -> None:
    reports = read_damaged(ours, tmp_path, count)
    results = Counter(report["result"] for report in reports)
    assert set(results) <= {"same", "refused"}, results
    assert results["refused"] > 0.5 * count  # else the damage was not worth the name
    assert max(report["seconds"] for report in reports) < 5.0


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file as most programs write it: nothing in it has a checksum, texts lie in a heap."""
    path = tmp_path / "old.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file.attrs["instrument"] = "DAQ 7"
        file.attrs["channels"] = ["a", "bb"]
        for index in range(12):
            values = np.full((20, 3), index)
            made = file.create_dataset(f"rec/acc_{index:03d}", data=values, chunks=(5, 3), compression=4)
            made.attrs["units"] = "m/s^2"
        file["labels/freq"] = np.arange(12.0)
        file["names"] = ["a", "b"]
        file["table"] = np.zeros(3, dtype=[("t", "f8"), ("v", "i4", (3,)), ("s", "S5")])
        file["reference"] = file["rec"].ref
        file["soft"] = h5py.SoftLink("/rec/acc_001")
    return path


@pytest.mark.parametrize("count", [100, pytest.param(1_000, marks=pytest.mark.slow)])
def test_damage_to_the_files_of_others_ends_the_helper_at_most(count: int, old: Path, tmp_path: Path) -> None:
    """The library crashes or hangs on a few of them; then the file is refused by name."""
    mutated = runpy.run_path(str(PROGRAM))["mutated"]
    reports = read_damaged(old, tmp_path, count, foreign=True)
    ends = [report for report in reports if report["result"].startswith("died")]
    assert {report["result"] for report in reports} - {report["result"] for report in ends} <= {"same", "refused"}
    assert max(report["seconds"] for report in reports) < 5.0
    for report in ends[:5]:
        damaged = tmp_path / "dead.h5"
        damaged.write_bytes(mutated(old.read_bytes(), report["number"]))
        with pytest.raises(DataError, match=r"dead\.h5: the file must be whole and readable as HDF5"):
            describe(damaged)
