"""`ram data check`, and what `ram train` does with what it finds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

import ram
from ram.data import Dataset, Record

Shell = Callable[..., tuple[int, str, str]]
Write = Callable[..., Path]
ONE_GROUP = "the groups must be of at least two kinds. Got plate for all 30 samples"


def in_one_group(record: Record) -> Record:
    return replace(record, group="plate")


def poisoned(record: Record) -> Record:
    x = record.x.copy()
    x[1, 3, 4] = np.nan if record.id == "d007" else x[1, 3, 4]
    return replace(record, x=x)


def test_good_data_give_exit_code_0(shell: Shell, disc_folder: Path) -> None:
    file = disc_folder / "discs.h5"
    assert shell("data", "check", file) == (0, f"{file}: 30 samples, nothing found\n", "")
    assert shell("data", "check", file, "--strict", "--deep", "--targets", "mass")[0] == 0


def test_errors_give_exit_code_2(shell: Shell, changed_discs: Write) -> None:
    file = changed_discs(poisoned).parent / "discs.h5"
    code, out, err = shell("data", "check", file)
    assert (code, err) == (2, "")
    finding, total = out.splitlines()
    assert finding.startswith(f"error not-finite-input: {file}:/inputs row 7 (id d007): an input must be finite.")
    assert total == f"{file}: 30 samples, 1 error(s), 0 warning(s); train refuses this file (docs/checks.md)"


def test_warnings_count_where_they_are_asked_to(shell: Shell, changed_discs: Write) -> None:
    file = changed_discs(in_one_group).parent / "discs.h5"
    code, out, _ = shell("data", "check", file)
    assert code == 0
    assert ONE_GROUP in out
    assert "0 error(s), 2 warning(s); train takes this file, and keeps the warnings with the run" in out
    assert shell("data", "check", file, "--strict")[0] == 2


def test_findings_for_a_script(shell: Shell, changed_discs: Write) -> None:
    file = changed_discs(poisoned).parent / "discs.h5"
    code, out, _ = shell("data", "check", file, "--json")
    answer = json.loads(out)
    assert code == 2
    assert {key: answer[key] for key in ("file", "samples", "good", "errors", "warnings")} == {
        "file": str(file), "samples": 30, "good": False, "errors": 1, "warnings": 0,
    }  # fmt: skip
    (found,) = answer["findings"]
    assert (found["code"], found["path"], found["rows"], found["count"]) == ("not-finite-input", "/inputs", [7], 1)


def test_what_is_asked_can_be_said(shell: Shell, disc_folder: Path) -> None:
    file = disc_folder / "discs.h5"
    code, out, _ = shell("data", "check", file, "--targets", "mas")
    assert code == 2
    assert "a name must be one of umbrella, mass. Got 'mas'. Did you mean 'mass'?" in out
    assert "Got 'defalt'. Did you mean 'default'?" in shell("data", "check", file, "--split", "defalt")[1]
    assert "/parameters: a name must be left out" in shell("data", "check", file, "--parameters", "load")[1]


def test_an_experiment_is_checked_as_it_would_train(shell: Shell, changed_discs: Write, tmp_path: Path) -> None:
    config = changed_discs(words=('["umbrella", "mass"]', '["masse"]'))
    code, out, _ = shell("data", "check", config)
    assert code == 2
    assert "Got 'masse'. Did you mean 'mass'?" in out


OWN = """\
name = "own"
[data]
file = "daq.h5"
targets = ["frequency"]
[data.mapping]
inputs = "/daq/acc"
sample_rate = "1 kHz"
channels = { surface = "V" }
groups = "/daq/plate"
targets.frequency = { path = "/daq/frequency", unit = "Hz" }
"""


@pytest.fixture
def own(measured: Callable[..., Dataset], tmp_path: Path) -> Callable[..., Path]:
    """A recorder's own file and an experiment that maps it; so many of its rows were written."""

    def write(x: np.ndarray | None = None, *, rows: int = 40) -> Path:
        data = measured()
        with h5py.File(tmp_path / "daq.h5", "w") as file:
            array = file.create_dataset("daq/acc", (40, 256), chunks=(10, 256), dtype=">f8")
            array[:rows] = (data.x()[:, 0] if x is None else x)[:rows]
            file["daq/frequency"] = data.target_array()[:, 0]
            file["daq/plate"] = data.groups.astype(bytes)
        (tmp_path / "own.toml").write_text(OWN, encoding="utf-8")
        return tmp_path / "own.toml"

    return write


def test_a_users_own_file_is_checked_in_place(shell: Shell, own: Callable[..., Path]) -> None:
    config = own()
    assert shell("data", "check", config) == (0, f"{config}: 40 samples, nothing found\n", "")
    code, out, _ = shell("data", "check", own(np.ones((40, 256))))
    assert code == 2
    assert "error constant-inputs: " in out
    assert "daq.h5:/daq/acc: the inputs must be different from sample to sample. Got 1 in every cell" in out


def test_files_that_do_not_open_are_findings_too(shell: Shell, own: Callable[..., Path], tmp_path: Path) -> None:
    code, out, err = shell("data", "check", own(rows=30), "--json")
    (found,) = json.loads(out)["findings"]
    assert (code, err, found["code"]) == (2, "", "unreadable")
    assert "daq.h5:/daq/acc: the array must be stored whole. Got 3 of 4 chunks" in found["text"]
    code, out, _ = shell("data", "check", tmp_path / "dacq.h5")
    assert code == 2
    assert "error unreadable: " in out
    assert "dacq.h5: the file must be there. Got no file. Did you mean 'daq.h5'" in out


def test_training_says_and_keeps_what_was_found(shell: Shell, changed_discs: Write, tmp_path: Path) -> None:
    config = changed_discs(in_one_group)
    code, _, err = shell("train", config, "--set", "training.epochs=1", "--output", tmp_path / "run")
    assert code == 0
    lines = err.splitlines()
    assert lines[0] == "data check: 30 samples, 2 warnings: one-group, group-leak"
    assert lines[1].startswith(f"Warning: {tmp_path / 'discs.h5'}:/groups: {ONE_GROUP}.")
    run = ram.open_run(tmp_path / "run")
    assert [found["code"] for found in run.checks] == ["one-group", "group-leak"]
    assert run.checks[0]["text"].startswith("discs.h5:/groups: ")  # no word on whose disk it was
    page = ram.write_report(run).read_text(encoding="utf-8")
    assert "discs.h5:/groups: the groups must be of at least two kinds" in page


def test_training_refuses_errors_before_anything_is_written(shell: Shell, changed_discs: Write, tmp_path: Path) -> None:
    code, _, err = shell("train", changed_discs(poisoned), "--output", tmp_path / "run")
    assert code == 2
    assert "/inputs row 7 (id d007): an input must be finite" in err
    assert not (tmp_path / "run").exists()
