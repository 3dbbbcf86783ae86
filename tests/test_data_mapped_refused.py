"""What does not fit is answered in one paragraph: file, path, key of the mapping, what is allowed, the next step."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import ram
from ram.errors import ConfigError, DataError

ACC, FREQ = np.arange(600.0).reshape(10, 3, 20), 40.0 + np.arange(10)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file; nothing may be written there."""
    path = tmp_path_factory.mktemp("refused") / "daq.h5"
    with h5py.File(path, "w") as daq:
        daq["daq/acc"] = ACC
        daq["daq/acc"].attrs.update({"rate": 100.0, "units": "m/s^2", "bad_rate": -1.0, "word": "fast"})
        daq["daq/square"] = np.zeros((20, 20))
        daq["daq/waves"] = np.zeros((4, 3), dtype=np.complex64)
        daq["daq/names"] = np.array([b"x", b"x", b"z"])
        daq["labels/freq"] = FREQ
        daq["labels/freq"].attrs["units"] = "Hz"
        daq["labels/bare"] = FREQ
        daq["labels/odd"] = FREQ
        daq["labels/odd"].attrs["units"] = "furlongs per fortnite"
        daq["labels/twenty"] = np.zeros(20)
        daq["labels/same"] = [b"a"] * 9 + [b"b"]
        daq["labels/text"] = [b"fast"] * 10
        daq["table"] = np.zeros(10, dtype=[("volt", "f4"), ("amp", "f4")])
        daq["clock/gap"] = np.append(np.arange(15), np.arange(17, 22)) * 0.1
        daq["clock/back"] = np.append(np.arange(15), np.arange(13, 18)) * 0.1
        for number, cells in enumerate((20, 20, 25)):
            run = daq.create_group(f"runs/r{number}")
            run["acc"] = np.zeros(cells)
            run.attrs["rate"] = 100.0 + number
            run["unit"] = np.zeros(20)
            run["unit"].attrs["units"] = "m" if number < 2 else "s"
    return path


GOOD: dict[str, Any] = {"inputs": "/daq/acc", "sample_rate": "@rate", "targets": {"f": "/labels/freq"}}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"inputs": "/dag/acc"}, r"daq.h5:/dag/acc \(inputs\): the path must be in the file.*Did you mean '/daq/acc'\?"),
    (
        {"inputs": "/daq/ac"},
        r"/daq/ac \(inputs\): the path must be in the file. Got nothing there. Did you mean '/daq/acc'",
    ),
    ({"inputs": "/runs/*/ac", "window": 5}, r"Got nothing there. Did you mean '/runs/\*/acc'\?"),
    ({"inputs": "/rums/*/acc"}, r"Got nothing there. Did you mean '/runs/r\d/acc'\?"),
    ({"inputs": "/daq"}, r"/daq \(inputs\): the inputs must be a data set. Got a group. Name the data set in it"),
    ({"inputs": "/daq/waves"}, r"the inputs must be real numbers. Got values of complex64. Map real numbers"),
    ({"inputs": "/daq/names"}, r"the inputs must be real numbers. Got values of \|S1"),
    ({"inputs": "/daq/acc@rate"}, r"the inputs must be a data set. Got an attribute"),
    ({"inputs": "/table:vlt"}, r"the column must be one of volt, amp. Got 'vlt'. Did you mean 'volt'\?"),
    (
        {"inputs": "/daq/square"},
        r"the layout must be given. Got an array of shape \(20, 20\), whose axes have the same",
    ),
    (
        {"layout": "sample time"},
        r"\(layout\): the layout must be one word for each axis of shape \(10, 3, 20\).*channel",
    ),
    ({"layout": "sample sample time"}, r"Got 'sample sample time'. Such as layout = \"sample channel time\""),
    ({"layout": "channel sample time"}, r"must be one for each of 3 records.*Is it layout = \"sample channel time\"\?"),
    ({"channels": ["x", "y"]}, r"\(channels\): the names must be 3 different ones.*Got 2: x, y"),
    ({"channels": "/daq/names"}, r"/daq/names \(channels\): the names must be 3 different ones.*Got 3: x, x, z"),
    ({"channels": {"x": "kg", "y": "", "z": ""}}, r"the unit must be convertible from the file's 'm/s\^2'. Got 'kg'"),
    ({"inputs": {"path": "/daq/acc", "unit": "Hz"}}, r"convertible from the file's 'm/s\^2'. Got 'Hz'. Mend the unit"),
    ({"inputs": {"path": "/daq/acc", "unit": "Hurz"}}, r"the unit must be one that pint knows.*Got 'Hurz'"),
    ({"inputs": {"path": "/daq/acc", "scale": "/labels/freq"}}, r"scale and offset must be one, or 3.*Got 10"),
    ({"sample_rate": "@rat"}, r"the attribute must be one of.*rate.*Got 'rat'. Did you mean 'rate'\?"),
    ({"sample_rate": "@bad_rate"}, r"\(sample_rate\): the sample rate must be positive, in Hz or alike. Got -1 Hz"),
    ({"sample_rate": "@word"}, r"\(sample_rate\): the value must be a number. Got 'fast'"),
    ({"sample_rate": "/labels/freq"}, r"the number must be one finite number. Got 10 of them"),
    ({"sample_rate": "2 ms"}, r"the sample rate must be positive, in Hz.*Got 2 ms. Give axes.time.step"),
    (
        {"axes": {"tim": {"step": 1}}},
        r"\(axes.tim\): an axis must be one of the layout's: time. Got 'tim'. Did you mean",
    ),
    ({"axes": {"time": {"step": "1 ms"}}}, r"the time axis must be given once. Got sample_rate and axes.time.step"),
    ({"sample_rate": None, "axes": {"time": {"centres": "/labels/freq"}}}, r"of 20 values, one for each cell of time"),
    (
        {"sample_rate": None, "axes": {"time": {"centres": "/clock/back"}}},
        r"finite and increasing. Got 1.3 1 in row 15",
    ),
    (
        {"sample_rate": None, "window": 5, "axes": {"time": {"centres": "/clock/gap"}}},
        r"the coordinates must be even. Got a step of 0.3 1 before row 15, elsewhere 0.1. Cut the record there",
    ),
    ({"window": "1 kg"}, r"\(window\): the length must be in the axis' unit 's', or a number of cells. Got 'kg'"),
    (
        {"window": "1 ms"},
        r"\(window\): the length must be at least one cell, a whole number.*which is 0 cells of 0.01 s",
    ),
    ({"window": 2.5}, r"\(window\): the length must be at least one cell, a whole number. Got 2.5"),
    ({"window": "1 s"}, r"\(window\): a window must be at most 20 cells, the longest record. Got 100"),
    ({"window": 5, "along": "x"}, r"\(along\): the axis of the windows must be one of time. Got 'x'"),
    (
        {"targets": {"f": "/labels/frequ"}},
        r"\(targets.f\): the path must be in the file.*Did you mean '/labels/freq'\?",
    ),
    (
        {"targets": {"f": "/labels/bare"}},
        r"/labels/bare \(targets.f\): the unit must be said here or stored.*unit = \"Hz\"",
    ),
    ({"targets": {"f": "/labels/odd"}}, r"the unit must be one that pint knows.*Say it in the mapping: unit ="),
    ({"targets": {"f": "/labels/text"}}, r"/labels/text \(targets.f\): the values must be numbers. Got values of"),
    ({"targets": {"f": "/labels/*"}}, r"the path must be with at most 0 stars, as the inputs' path. Got 1"),
    ({"targets": {"f": "/labels"}}, r"\(targets.f\): the values must be one for each of 10 records"),
    ({"ids": "/labels/same"}, r"\(ids\): an id must be unique. Got 'a' for samples 0 and 1. Leave `ids` out"),
    (
        {"split": "/labels/same"},
        r"\(split\): a part must be one of test, train, validation.*Got 'a' for sample 0 \(id 0\).*words = { a =",
    ),
    ({"groups": "/labels/same"}, r"\(split\): the groups must be at least 3, one for each part.*Got 2. Part a long"),
    ({"symmetries": ["revers"]}, r"a symmetry must be one of rotate90.*Did you mean 'reverse'"),
    (
        {"inputs": "/runs/*/acc", "targets": {}},
        r"r2/acc \(inputs\): a record must be of shape \(20,\).*window = \"0.5 s\"",
    ),
    (
        {"inputs": "/runs/*/unit", "targets": {}, "sample_rate": "1 Hz"},
        r"unit and scale must be the same for all records: m",
    ),
    (
        {"inputs": "/runs/*/acc", "targets": {}, "sample_rate": "/runs/*@rate", "window": 5},
        r"the same for all records: 100 as in /runs/r0",
    ),
    ({"inputs": "/runs/*/acc", "layout": "sample", "targets": {}}, r"the layout must be"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_what_does_not_fit_is_named_with_the_next_step(file: Path, change: dict[str, Any], message: str) -> None:
    mapping = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
    with pytest.raises(DataError, match=message):
        ram.open_dataset(file, mapping=mapping)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"input": "/daq/acc"}, r"mapping: a key must be one of inputs, layout.*Got 'input'. Did you mean 'inputs'\?"),
        ({}, r"'inputs' must be given. Got nothing. Path of the inputs"),
        ({"inputs": "/a", "targets": {"f": {"path": "/f", "unt": "Hz"}}}, r"Got 'targets.f.unt'. Did you mean 'unit'"),
        ({"inputs": "/a", "targets": {"f": {"unit": "Hz"}}}, r"'targets.f.path' must be given"),
        ({"inputs": "/a", "window": "half"}, r"'window' must be a number, a number with a unit such as '2 kHz'"),
        ({"inputs": "/a", "sample_rate": {"unit": "Hz"}}, r"'sample_rate' must be either a value or a path"),
        ({"inputs": "/a", "split": {"test": 0.6, "validation": 0.5}}, r"validation and test together less than 1"),
        (
            {"inputs": "/a", "split": {"path": "/p", "words": {"a": "trian"}}},
            r"must be 'train', 'validation' or 'test'",
        ),
        ({"inputs": "/a", "targets": {"f": {"path": "/f", "take": "mode"}}}, r"must be 'mean', 'first', 'middle'"),
    ],
)
def test_a_mapping_that_is_none_is_refused_before_the_file(mapping: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ram.open_dataset("nowhere.h5", mapping=mapping)


def test_a_missing_file_and_one_that_is_no_hdf5_say_so(tmp_path: Path, file: Path) -> None:
    with pytest.raises(DataError, match=r"daq5.h5: the file must be there. Got no file"):
        ram.open_dataset(tmp_path / "daq5.h5", mapping=GOOD)
    (tmp_path / "table.h5").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"table.h5: the file must be an HDF5 file"):
        ram.open_dataset(tmp_path / "table.h5", mapping=GOOD)


# Files that lead out, or claim to be what they are not


def external_link(file: h5py.File, folder: Path) -> None:
    with h5py.File(folder / "secret.h5", "w") as other:
        other["acc"] = ACC
    file["acc"] = h5py.ExternalLink("secret.h5", "/acc")


def link_to_a_link_out(file: h5py.File, folder: Path) -> None:
    external_link(file, folder)
    file.move("acc", "other")
    file["acc"] = h5py.SoftLink("/other")


def external_storage(file: h5py.File, folder: Path) -> None:
    (folder / "secret.bin").write_bytes(ACC.tobytes())
    file.create_dataset("acc", ACC.shape, "f8", external=[(str(folder / "secret.bin"), 0, h5py.h5f.UNLIMITED)])


def virtual(file: h5py.File, folder: Path) -> None:
    with h5py.File(folder / "secret.h5", "w") as other:
        other["acc"] = ACC
    layout = h5py.VirtualLayout(ACC.shape, "f8")
    layout[:] = h5py.VirtualSource(str(folder / "secret.h5"), "acc", ACC.shape)
    file.create_virtual_dataset("acc", layout)


def cycle(file: h5py.File, folder: Path) -> None:
    file["acc"], file["other"] = h5py.SoftLink("/other"), h5py.SoftLink("/acc")


def never_written(file: h5py.File, folder: Path) -> None:
    file.create_dataset("acc", (2**20, 3, 2_000), "f8", chunks=(1, 3, 2_000), compression="gzip")


def written_in_part(file: h5py.File, folder: Path) -> None:
    acc = file.create_dataset("acc", (10, 3, 20), "f8", chunks=(1, 3, 20), compression="gzip")
    acc[:4] = ACC[:4]


def huge_chunk(file: h5py.File, folder: Path) -> None:
    file.create_dataset("acc", (10, 3, 2**28), "f4", chunks=(1, 3, 2**28 // 2), compression="gzip")


def unwritten_in_one_piece(file: h5py.File, folder: Path) -> None:
    file.create_dataset("acc", (2**18, 3, 2_000), "f8")


def group_of_references_to_groups(file: h5py.File, folder: Path) -> None:
    inner = file.create_group("inner")
    file["acc"] = np.array([inner.ref, inner.ref], dtype=h5py.ref_dtype)


HOSTILE: list[tuple[Callable[[h5py.File, Path], None], str]] = [
    (
        external_link,
        r"everything that is mapped must be stored in this file. Got a link to secret.h5:/acc. Map that file",
    ),
    (link_to_a_link_out, r"must be stored in this file. Got a link to secret.h5"),
    (external_storage, r"the array must be stored in this file. Got numbers in another file"),
    (virtual, r"the array must be stored in this file. Got a virtual data set"),
    (cycle, r"/acc \(inputs\): the path must be in the file"),
    (never_written, r"the array must be stored whole. Got 0 of 1,048,576 chunks"),
    (written_in_part, r"the array must be stored whole. Got 4 of 10 chunks.*Was the recording cut short"),
    (huge_chunk, r"in chunks of at most 1,073,741,824 bytes. Got 1,610,612,736 bytes. Repack it"),
    (unwritten_in_one_piece, r"the array must be stored whole, 12,582,912,000 bytes. Got 0 of them"),
    (group_of_references_to_groups, r"a reference must be to a data set. Got a group"),
]


@pytest.mark.parametrize(("build", "message"), HOSTILE, ids=[build.__name__ for build, _ in HOSTILE])
def test_nothing_is_followed_out_of_the_file_and_no_claim_is_believed(tmp_path: Path, build, message) -> None:
    with h5py.File(tmp_path / "h.h5", "w") as hostile:
        build(hostile, tmp_path)
    with pytest.raises(DataError, match=message):
        ram.open_dataset(tmp_path / "h.h5", mapping={"inputs": "/acc"})


def test_links_that_are_not_used_do_no_harm(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "h.h5", "w") as master:
        external_link(master, tmp_path)
        master["mine"] = ACC
        master["here"] = h5py.SoftLink("/mine")
    assert np.array_equal(ram.open_dataset(tmp_path / "h.h5", mapping={"inputs": "/here"}).x(), ACC)


def test_pickled_objects_are_not_read(tmp_path: Path) -> None:
    """PyTables keeps Python objects as pickles in attributes; a mapping neither needs nor loads them."""
    import pickle

    class Loud:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (__import__("pathlib").Path(tmp_path / "executed").write_text, ("yes",))

    with h5py.File(tmp_path / "p.h5", "w") as file:
        file["acc"] = ACC
        file["acc"].attrs["units"] = "V"
        for name in ("rate", "kind"):
            file["acc"].attrs[name] = np.void(pickle.dumps(Loud()))
    with pytest.raises(DataError, match=r"\(sample_rate\): the value must be a number"):
        ram.open_dataset(tmp_path / "p.h5", mapping={"inputs": "/acc", "sample_rate": "@rate"})
    assert len(ram.open_dataset(tmp_path / "p.h5", mapping={"inputs": "/acc"})) == 10
    assert not (tmp_path / "executed").exists()


def test_a_claim_of_many_gigabytes_takes_no_memory_and_no_time(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "h.h5", "w") as hostile:
        never_written(hostile, tmp_path)
    code = (
        "import resource, sys, time, ram\nfrom ram.data.mapped import source\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nstart = time.perf_counter()\n"
        f"try:\n    ram.open_dataset({str(tmp_path / 'h.h5')!r}, mapping={{'inputs': '/acc'}})\n"
        "except ram.DataError:\n    pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, time.perf_counter() - start)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    grown_kib, seconds = map(float, done.stdout.split())
    assert grown_kib < 50 * 1024
    assert seconds < 10  # most of it is another process that looks first
