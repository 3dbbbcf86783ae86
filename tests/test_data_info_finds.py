"""What could be inputs, targets and axes of a foreign file; the mapping that is offered opens it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ram.data import open_dataset
from ram.data.info_finds import Finds, find
from ram.data.info_foreign import TreeInfo
from ram.data.info_tree import tree_lines
from ram.storage.survey import survey


def found(path: Path) -> Finds:
    return find(survey(str(path)), file=path.name)


def mapping(path: Path) -> dict[str, Any]:
    content = tomllib.loads(found(path).mapping)
    assert content["data"]["file"] == path.name
    return dict(content["data"]["mapping"])


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """One value a sample beside the inputs, with columns that are called as they are used."""
    path, draw = tmp_path / "lab.h5", np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        acc = file.create_dataset("daq/acc", data=draw.normal(size=(60, 3, 64)).astype("f4"), compression="gzip")
        acc.attrs["units"], acc.attrs["fs"] = "m/s^2", 2000.0
        file["daq/channels"] = ["x", "y", "z"]
        file["labels/freq"] = draw.normal(300, 20, 60)
        file["labels/freq"].attrs["units"] = "Hz"
        file["labels/mass"] = draw.normal(30, 2, 60)
        file["labels/specimen"] = np.repeat(np.arange(12), 5)
        file["labels/time"] = 1.7e9 + np.arange(60.0)
        file["ids"] = np.array([f"s{index}".encode() for index in range(60)])
        file["settings/gain"] = 4.0
    return path


def test_samples_with_targets_beside_them(lab: Path) -> None:
    assert mapping(lab) == {
        "inputs": "/daq/acc",
        "layout": "sample channel time",
        "channels": "/daq/channels",
        "sample_rate": {"path": "@fs", "unit": "Hz"},
        "ids": "/ids",
        "groups": "/labels/specimen",
        "targets": {"freq": "/labels/freq", "mass": {"path": "/labels/mass", "unit": "1"}},
    }
    data = open_dataset(lab, mapping=mapping(lab))
    assert (len(data), data.x([0]).shape, list(data.channels)) == (60, (1, 3, 64), ["x", "y", "z"])
    assert data.targets == {"freq": "Hz", "mass": "1"}
    assert data.axes[0].centres[1] == 0.0005


def test_each_guess_has_its_reason(lab: Path) -> None:
    finds = found(lab)
    assert [(one.path, one.reason) for one in finds.inputs] == [("/daq/acc", "11,520 numbers, 3 axes")]
    assert [(one.path, one.unit, one.reason) for one in finds.targets] == [
        ("/labels/freq", "Hz", "60 values, as many as /daq/acc has rows"),
        ("/labels/mass", "", "60 values, as many as /daq/acc has rows"),
    ]
    assert [(axis.name, axis.reason) for axis in finds.axes] == [
        ("sample", "as many as there are targets"),
        ("channel", "named by /daq/channels"),
        ("time?", "a guess, nothing tells"),
    ]
    assert finds.rates == [(2000.0, "@fs")]
    text = TreeInfo(lab, survey(str(lab)), finds).as_text()
    assert "  target  /labels/freq      60 values, as many as /daq/acc has rows\n" in text
    assert 'targets.mass = { path = "/labels/mass", unit = "1" }   # the file names no unit: say it here' in text


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A group for each record, of its own length, with numbers that belong to it."""
    path, draw = tmp_path / "runs.h5", np.random.default_rng(2)
    with h5py.File(path, "w") as file:
        for index in range(12):
            group = file.create_group(f"runs/run_{index + 1}")
            group["acc"] = draw.normal(size=(2, 100 + index)).astype("f4")
            group["acc"].attrs["sample_rate"] = 2000.0
            group.attrs["crack_depth_mm"] = draw.uniform()
            group.attrs["operator_id"] = index
            group["temperature"] = draw.uniform()
            group["temperature"].attrs["unit"] = "degC"
    return path


def test_records_under_numbered_names(runs: Path) -> None:
    assert mapping(runs) == {
        "inputs": "/runs/run_*/acc",
        "layout": "channel time",
        "sample_rate": {"path": "@sample_rate", "unit": "Hz"},
        "lengths": "pad",
        "targets": {
            "crack_depth_mm": {"path": "/runs/run_*@crack_depth_mm", "unit": "1"},
            "temperature": "/runs/run_*/temperature",
        },
    }
    assert found(runs).inputs[0].reason == "12 arrays of one kind, 2,532 numbers: each a sample or a record"


def test_labels_in_a_row_are_no_coordinates(tmp_path: Path) -> None:
    path = tmp_path / "taps.h5"
    with h5py.File(path, "w") as file:
        file["daq/acc"] = np.random.default_rng(3).normal(size=(40, 2, 256))
        file["labels/freq"] = np.arange(50.0, 90.0)
        file["labels/freq"].attrs["units"] = "Hz"
    assert [(one.path, one.unit) for one in found(path).targets] == [("/labels/freq", "Hz")]
    assert mapping(path)["targets"] == {"freq": "/labels/freq"}


def test_a_record_is_cut_along_its_time(tmp_path: Path) -> None:
    path = tmp_path / "record.h5"
    with h5py.File(path, "w") as file:
        file["raw"] = np.random.default_rng(3).normal(size=(2000, 5))
        file["clock"] = (np.arange(2000) * 500_000 + 1_650_000_000_000_000_000).astype("i8")
        file["clock"].make_scale("time")
        file["raw"].dims[0].attach_scale(file["clock"])
        file["raw"].dims[1].label = "distance"
        file["distance"] = np.arange(5) * 0.5
        file["Sampling Rate (Hz)"] = 1.0
    finds = found(path)
    assert mapping(path) == {
        "inputs": "/raw",
        "layout": "time distance",
        "sample_rate": "2000 Hz",
        "window": 96,
        "stretch": 384,
        "axes": {"distance": {"centres": "/distance"}},
    }
    assert finds.rates[0] == (2000.0, "1 / step of /clock")
    assert "# targets.NAME" in finds.mapping
    data = open_dataset(path, mapping=mapping(path))
    assert (len(data), data.axes[0].name, data.axes[0].centres[1]) == (20, "time", 0.0005)


def test_a_setting_that_agrees_with_the_clock_wins_over_one_that_is_only_called_so(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = np.ones((200, 5))
        file["time"] = np.arange(200) * 0.01
        file["raw"].attrs["SamplingFrequency[Hz]"] = 5e8  # the converter's, before it was decimated
        file.attrs["dT"] = "0.01"
    finds = found(tmp_path / "a.h5")
    assert finds.rates == [(100.0, "@dT, as the time axis says"), (5e8, "@SamplingFrequency[Hz]")]
    assert 'sample_rate = "100 Hz"   # @dT, as the time axis says' in finds.mapping


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda file: file.create_group("a"), "it holds no arrays"),
        (lambda file: file.create_dataset("a", data=np.arange(3)), "it holds no array of 32 numbers or more"),
        (lambda file: file.__setitem__("a", h5py.ExternalLink("b.h5", "/")), "its values lie in other files"),
        (lambda file: file.create_dataset("a", data=file.ref, dtype=h5py.ref_dtype), "through references only"),
    ],
)
def test_where_nothing_could_be_inputs_it_says_why(tmp_path: Path, build: Any, why: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        build(file)
    finds = found(tmp_path / "a.h5")
    assert (finds.mapping, why in finds.why_not) == ("", True)
    text = TreeInfo(tmp_path / "a.h5", survey(str(tmp_path / "a.h5")), finds).as_text()
    assert f"Nothing could be inputs: {finds.why_not}." in " ".join(text.split())


def lines_of(path: Path, *, width: int = 100, most: int = 100) -> list[str]:
    facts = survey(str(path))
    return tree_lines(facts, facts["tree"], width=width, most=most)


def test_like_things_are_folded_and_settings_flow(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for index in range(1, 1000):
            file[f"acc_{index:04d}"] = np.zeros((10 + index % 5, 3), "f4")
        for name, value in {"gain": 2.5, "on": 1, "range": 10, "serial": 77}.items():
            file[f"device/{name}"] = value
        file["device/range"].attrs["unit"] = "V"
    lines = [" ".join(line.split()) for line in lines_of(tmp_path / "a.h5")]
    assert lines == [
        "acc_0001 ... acc_0999: 999 alike 10..14 x 3 float32 144 kB in all",
        "device/",
        "gain=2.5 on=1 range=10 V serial=77",
    ]


def test_a_narrow_terminal_gets_short_lines_and_a_long_tree_an_end(lab: Path) -> None:
    lines = lines_of(lab, width=40)
    assert max(map(len, lines)) <= 40
    assert [line.strip() for line in lines if "2000" in line] == ["@fs=2000"]
    assert lines_of(lab, most=3)[3:] == ["... 9 lines more (--json has all of it)"]


def test_types_are_told_in_words(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["big"] = np.zeros(9, ">i4")
        file["complex"] = np.zeros(9, "c16")
        file["codes"] = np.zeros(9, h5py.enum_dtype({"idle": 0, "run": 1, "fault": 7}))
        file["flags"] = np.zeros(9, bool)
        file["nothing"] = h5py.Empty("f4")
        file["none"] = np.zeros((0, 3))
        file["opaque"] = np.zeros(9, "V16")
        file["long"] = np.zeros(9, np.longdouble)
        file["table"] = np.zeros(9, [("t", "f8"), ("xyz", [("x", "f4"), ("n", "i2", (3,))]), ("name", "S12")])
        file.create_dataset("varying", (9,), h5py.vlen_dtype("f4"))
        space = h5py.h5s.create_simple((9,))
        h5py.h5d.create(file.id, b"bits", h5py.h5t.STD_B16LE, space)
        h5py.h5d.create(file.id, b"clock", h5py.h5t.UNIX_D32LE, space)
    nodes = {node["path"][1:]: node for node in survey(str(tmp_path / "a.h5"))["tree"]}
    assert {name: node["dtype"] for name, node in nodes.items()} == {
        "big": "int32 big-endian",
        "bits": "bits (16)",
        "clock": "time (32 bits)",
        "codes": "codes: 0 idle, 1 run, 7 fault",
        "complex": "complex128",
        "flags": "bool",
        "long": nodes["long"]["dtype"],  # a matter of the machine
        "none": "float64",
        "nothing": "float32",
        "opaque": "opaque (16 bytes)",
        "table": "compound: t float64, xyz (compound: x float32, n int16 [3]), name text (12)",
        "varying": "varying number of float32",
    }
    assert (nodes["nothing"]["shape"], nodes["none"]["shape"], nodes["long"]["max"]) == (None, [0, 3], 0.0)


def test_a_file_of_very_many_names_is_looked_at_in_part_and_says_so(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        group = file.create_group("records")
        for index in range(3_000):
            h5py.h5g.create(group.id, b"acc_%06d" % index)
        file["labels"] = np.random.default_rng(0).normal(size=50)
    facts = survey(str(tmp_path / "a.h5"))
    assert len(facts["tree"]) == 1_002
    lines = [" ".join(line.split()) for line in lines_of(tmp_path / "a.h5")]
    assert "acc_000000/ ... acc_000999: 1,000 alike" in lines
    assert "... 2,000 names, not looked at" in lines
