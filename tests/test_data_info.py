from __future__ import annotations

import json
import os
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ram.data import Record, open_dataset
from ram.data.info import DatasetInfo, describe
from ram.data.info_finds import find
from ram.data.info_foreign import TreeInfo
from ram.data.mapped.settings import load_mapping
from ram.errors import DataError
from ram.storage.survey import survey

# Files of many instruments, kept beside the repository and too large for it.
ZOO = Path(os.environ.get("RAM_SHARED", Path(__file__).parents[2] / "shared")) / "data" / "hdf5_zoo"


def test_a_data_set_is_told_by_its_numbers(disc_folder: Path) -> None:
    path = disc_folder / "discs.h5"
    info, data = describe(path), open_dataset(path)
    assert isinstance(info, DatasetInfo)
    found = json.loads(json.dumps(info.as_json(), allow_nan=False))
    mass = data.target_array(["mass"])[:, 0]
    assert found["targets"][1] == {
        "name": "mass",
        "unit": "kg",
        "min": mass.min(),
        "median": np.median(mass),
        "max": mass.max(),
        "missing": 0,
    }
    assert (found["samples"], found["groups"], found["digest"]) == (30, 15, data.digest)
    assert found["splits"] == {"default": {"train": 18, "validation": 6, "test": 6}}
    assert found["truth"] == [
        {
            "target": "umbrella",
            "kind": "contribution",
            "unit": "Hz",
            "samples": {"train": 0, "validation": 0, "test": 6},
        }
    ]
    assert found["axes"][0] == {"name": "y", "unit": "mm", "cells": 16, "first": -80.0, "last": 80.0}
    assert found["channels"] == [{"name": "fill", "unit": "1"}, {"name": "thickness", "unit": "mm"}]
    assert (found["symmetries"], found["regions"]) == (["rotate90", "mirror"], ["void", "hub", "rim"])
    assert found["bytes"] == path.stat().st_size


def test_a_data_set_as_text(disc_folder: Path) -> None:
    lines = describe(disc_folder / "discs.h5").as_text().splitlines()
    assert "schema         ram-dataset/1" in lines
    assert "samples        30 in 15 groups" in lines
    assert "split default  train 18, validation 6, test 6" in lines
    assert [line.split() for line in lines if line.startswith("y ")] == [["y", "mm", "16", "-80", "80"]]
    assert [line for line in lines if line.endswith("train 0, validation 0, test 6")]
    assert max(map(len, lines[1:])) <= 100  # the first line is the path
    assert not [line for line in lines if line != line.rstrip()]


def test_missing_targets_have_no_numbers(changed_discs: Any) -> None:
    def drop(record: Record) -> Record:
        return replace(record, targets={"mass": 1.0} if record.id == "d001" else {})

    info = describe(changed_discs(drop).parent / "discs.h5")
    umbrella, mass = info.as_json()["targets"]
    assert (umbrella["min"], umbrella["missing"]) == (None, 30)
    assert (mass["min"], mass["max"], mass["missing"]) == (1.0, 1.0, 29)
    assert "nan" not in info.as_text()


def test_no_input_is_read(disc_folder: Path, tmp_path: Path) -> None:
    """A damaged input is not noticed, for nobody looked at it."""
    path = Path(shutil.copy(disc_folder / "discs.h5", tmp_path / "discs.h5"))
    with h5py.File(path) as file:
        begin, size = file["inputs"].id.get_offset(), file["inputs"].id.get_storage_size()
    content = bytearray(path.read_bytes())
    content[begin : begin + size] = bytes(size)
    path.write_bytes(content)
    assert describe(path).as_json()["samples"] == 30


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    path = tmp_path / "foreign.h5"
    with h5py.File(path, "w") as file:
        file.attrs["instrument"] = ["DAQ 7"]
        file.attrs["nothing"] = h5py.Empty("S1")
        file.attrs["long"] = "x" * 100
        file.attrs["many"] = np.zeros(2_000)
        made = file.create_dataset(
            "daq/acc", (10**6, 4), dtype="<i2", chunks=(1000, 4), compression="gzip", shuffle=True
        )
        made.attrs["Units"] = np.bytes_(b"m/s^2")
        file["daq/names"] = ["a", "b"]
        file["daq/table"] = np.zeros(2, dtype=[("t", "f8"), ("v", "i4")])
        file["elsewhere"] = h5py.ExternalLink("/nowhere/secret.h5", "/x")
        file["soft"] = h5py.SoftLink("/daq/acc")
        file[b"caf\xe9"] = 1.0
        file["up"] = file["/"]
    return path


def test_any_hdf5_is_shown_as_a_tree_and_no_link_is_followed(foreign: Path) -> None:
    info = describe(foreign)
    assert isinstance(info, TreeInfo)
    found = json.loads(json.dumps(info.as_json(), allow_nan=False))
    tree = {node.pop("path"): node for node in found["tree"]}
    assert tree["/daq/acc"] == {
        "kind": "dataset",
        "shape": [1_000_000, 4],
        "dtype": "int16",
        "number": "i",
        "itemsize": 2,
        "bytes": 0,
        "chunks": [1000, 4],
        "filters": ["shuffle", "gzip 4"],
        "attributes": {"Units": "m/s^2"},
    }
    assert (tree["/daq/names"]["dtype"], tree["/daq/names"]["values"]) == ("text", ["a", "b"])
    assert tree["/daq/table"]["dtype"] == "compound: t float64, v int32"
    assert tree["/elsewhere"] == {"kind": "external link", "leads_to": "/nowhere/secret.h5:/x"}
    assert tree["/soft"] == {"kind": "soft link", "leads_to": "/daq/acc"}
    assert tree["/caf\N{REPLACEMENT CHARACTER}"]["values"] == [1.0]
    assert tree["/up"] == {"kind": "again", "leads_to": "/"}
    assert found["attributes"]["instrument"] == "DAQ 7"
    assert found["attributes"]["nothing"] == ""
    assert found["attributes"]["many"] == "(2,000 of float64, 16,000 bytes)"
    assert found["attributes"]["long"] == "x" * 100


def test_the_tree_as_text(foreign: Path) -> None:
    lines = [" ".join(line.split()) for line in describe(foreign).as_text().splitlines()]
    assert lines[1].startswith("HDF5, none of ram's own, ")
    assert lines[1].endswith(" kB, 4 arrays, 1 group, 1 again, 1 external link, 1 soft link")
    place = lines.index("acc 1000000 x 4 int16 m/s^2")
    assert lines[place + 1] == "chunks 1000 x 4; shuffle + gzip 4; nothing written of 8 MB"
    assert "elsewhere external link -> /nowhere/secret.h5:/x, not followed" in lines
    assert "soft soft link -> /daq/acc" in lines
    assert "up the same as /" in lines
    assert "table 2 compound: t float64, v int32" in lines


def test_what_is_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.h5: the file must be there"):
        describe(tmp_path / "no.h5")
    (tmp_path / "text.h5").write_text("not data")
    with pytest.raises(
        DataError,
        match=r"text\.h5: the file must be an HDF5 file\. Got text, 8 bytes\. Check the path, or the download",
    ):
        describe(tmp_path / "text.h5")


@pytest.mark.skipif(not ZOO.is_dir(), reason="the shared folder with files from other instruments is not here")
def test_files_from_other_instruments_are_shown_or_refused_as_no_hdf5() -> None:
    """In this process: these are whole, and a process for each takes its time."""
    paths = sorted(path for path in ZOO.glob("*/*") if path.suffix)
    shown = 0
    for path in paths:
        if h5py.is_hdf5(path):
            facts = survey(str(path))
            info = TreeInfo(path, facts, find(facts, file=path.name))
            json.dumps(info.as_json(), allow_nan=False)
            assert not [node for node in facts["tree"] if "trouble" in node]
            if info.finds.mapping:
                load_mapping(tomllib.loads(info.finds.mapping)["data"]["mapping"])
            for width in (60, 100):
                lines = info.as_text(width=width).splitlines()
                assert len(lines) > 10
                assert [line for line in lines if line != line.rstrip()] == []
            shown += 1
        else:
            with pytest.raises(DataError, match="must be an HDF5 file"):
                describe(path)
    assert shown >= 20


@pytest.mark.slow
@pytest.mark.skipif(not ZOO.is_dir(), reason="the shared folder with files from other instruments is not here")
def test_the_mapping_that_is_offered_opens_the_file() -> None:
    opened = 0
    for path in sorted(path for path in ZOO.glob("*/*") if path.suffix and h5py.is_hdf5(path)):
        info = describe(path)
        assert isinstance(info, TreeInfo)
        if info.finds.mapping:
            offered = tomllib.loads(info.finds.mapping)["data"]["mapping"]
            assert open_dataset(path, mapping=offered).x([0]).size, path.name
            opened += 1
    assert opened >= 20
