"""A user's own HDF5 file read in place: what a mapping makes of it equals what plain NumPy makes of the arrays."""

from __future__ import annotations

import multiprocessing
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import ram
from ram.data.mapped.settings import load_mapping
from ram.randomness import generator

COUNT, CHANNELS, CELLS = 24, 3, 50
LONG, WINDOW, HOP = 4_000, 100, 50


def arrays() -> dict[str, np.ndarray]:
    draw = generator(1, "mapped")
    return {
        "acc": draw.integers(-2_000, 2_000, (COUNT, CHANNELS, CELLS)).astype(np.int16),
        "force": draw.standard_normal((COUNT, CELLS)).astype(np.float32),
        "freq": 100 + draw.standard_normal(COUNT),
        "long": draw.standard_normal((LONG, 2)).astype(np.float32),
        "speed": np.linspace(0.0, 40.0, LONG),
    }


@pytest.fixture(scope="module")
def known() -> dict[str, np.ndarray]:
    return arrays()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, known: dict[str, np.ndarray]) -> Path:
    """A file as a laboratory has it; nothing may be written there."""
    path = tmp_path_factory.mktemp("lab") / "daq.h5"
    write_lab(path, known)
    return path


def write_lab(path: Path, known: dict[str, np.ndarray]) -> None:
    with h5py.File(path, "w") as file:
        acc = file.create_dataset("daq/acc", data=known["acc"])
        acc.attrs.update({"sample_rate": 2_000, "units": "m/s^2", "gain": 0.5})
        file.create_dataset("daq/packed", data=known["acc"], chunks=(5, 3, 20), compression="gzip", shuffle=True)
        file["daq/force"] = known["force"]
        file["daq/turned"] = known["acc"].transpose(2, 1, 0).astype(">i2")  # time, channel, sample
        file["daq/names"] = np.array([b"x", b"y", b"z"])
        file["daq/gains"] = np.array([1.0, 2.0, 4.0])
        file["labels/freq"] = known["freq"] / 1_000
        file["labels/freq"].attrs["units"] = "kHz"
        file["labels/some"] = np.where(np.arange(COUNT) % 4 == 1, -999.0, known["freq"])
        file["labels/specimen"] = [f"s{row // 4}" for row in range(COUNT)]
        file["labels/part"] = [["train", "val", "Test"][row % 3] for row in range(COUNT)]
        long = file.create_dataset("record/raw", data=known["long"], chunks=(300, 1), compression="gzip")
        long.attrs["fs"] = b"1 kHz"
        file["record/speed"] = known["speed"]
        file["record/speed"].attrs["unit"] = "m/s"
        file["record/phase"] = np.repeat([0, 1, 2], [2_510, 740, 750]).astype(np.int8)
        file["record/mean_load"] = 4.5
        runs = file.create_group("runs")
        for number in range(12):
            run = runs.create_group(f"run{number}")
            run["acc"] = known["long"][number * 300 : number * 300 + 210 + 10 * (number % 3), 0].astype(np.float64)
            run.attrs.update({"load": float(number), "load_unit": "kN", "fs": 500.0})
            if number % 5:
                run["wear"] = np.float64(0.1 * number)
        runs["readme"] = b"what was measured"


def replace(path: Path, change: Callable[[h5py.File], None]) -> None:
    """Put a changed copy in the place of a file, which may be open."""
    shutil.copy(path, path.with_suffix(".new"))
    with h5py.File(path.with_suffix(".new"), "r+") as file:
        change(file)
    path.with_suffix(".new").replace(path)


def opened(path: Path, **mapping: Any) -> ram.Dataset:
    return ram.open_dataset(path, mapping=mapping)


def test_inputs_targets_units_and_axis_are_those_of_the_file(lab, known):
    targets = {"f1": {"path": "/labels/freq", "unit": "Hz"}}
    data = opened(lab, inputs="/daq/acc", sample_rate="@sample_rate", targets=targets)
    assert np.array_equal(data.x(), known["acc"].astype(np.float32))
    np.testing.assert_allclose(data.target_array(["f1"])[:, 0], known["freq"], rtol=1e-12)
    assert data.targets == {"f1": "Hz"}
    assert data.channels == {"acc1": "m/s^2", "acc2": "m/s^2", "acc3": "m/s^2"}
    assert [axis.name for axis in data.axes] == ["time"]
    np.testing.assert_allclose(data.axes[0].centres, np.arange(CELLS) / 2_000, rtol=1e-12)
    assert data.axes[0].unit == "s"
    assert "converted from kHz to Hz" in data.attributes["notes"]


@pytest.mark.parametrize(
    "mapping",
    [
        {"inputs": "/daq/packed"},
        {"inputs": "/daq/turned", "layout": "time channel sample"},
        {"inputs": "/daq/turned", "layout": ["time", "channel", "sample"]},
    ],
)
def test_chunks_and_the_order_of_axes_do_not_matter(lab, known, mapping):
    data = opened(lab, **mapping)
    rows = np.array([7, 3, 3, 20, 4, 5, 23, 0])
    assert np.array_equal(data.x(rows), known["acc"][rows].astype(np.float32))
    assert np.array_equal(data[3].x, known["acc"][3])
    assert np.array_equal(data.x(), known["acc"])


@pytest.mark.parametrize(
    ("inputs", "wanted"),
    [
        ({"path": "/daq/acc", "scale": 0.01, "offset": 1.5, "unit": "V"}, lambda raw: raw * 0.01 + 1.5),
        ({"path": "/daq/acc", "scale": "@gain"}, lambda raw: raw * 0.5),
        ({"path": "/daq/acc", "scale": "/daq/gains"}, lambda raw: raw * np.array([[1.0], [2.0], [4.0]])),
        ({"path": "/daq/acc", "unit": "mm/s^2"}, lambda raw: raw * 1_000.0),
    ],
)
def test_stored_integers_are_scaled_into_the_unit(lab, known, inputs, wanted):
    data = opened(lab, inputs=inputs)
    np.testing.assert_allclose(data.x(), wanted(known["acc"].astype(np.float64)), rtol=1e-6)


def test_filters_of_other_programs_are_undone(tmp_path, known):
    """In a process of its own: here the filter may have been made known already."""
    hdf5plugin = pytest.importorskip("hdf5plugin")
    with h5py.File(tmp_path / "z.h5", "w") as file:
        file.create_dataset("acc", data=known["acc"], chunks=(4, 3, 50), **hdf5plugin.Zstd())
    code = (
        f"import ram\nprint(int(ram.open_dataset({str(tmp_path / 'z.h5')!r}, mapping={{'inputs': '/acc'}}).x().sum()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == known["acc"].sum()


def test_a_file_that_another_program_writes_says_so(tmp_path, known):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["acc"] = known["acc"]
        file.flush()
        code = f"import ram\nram.open_dataset({str(tmp_path / 'w.h5')!r}, mapping={{'inputs': '/acc'}})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "must be complete. Got a file that another program is writing. Close it there first." in done.stderr


def test_each_channel_can_lie_at_a_path_of_its_own(lab, known):
    data = opened(lab, inputs={"force": {"path": "/daq/force", "unit": "N"}, "again": "/daq/force"})
    assert data.channels == {"force": "N", "again": "1"}
    assert np.array_equal(data.x(), np.stack([known["force"]] * 2, axis=1))


@pytest.mark.parametrize(
    ("channels", "wanted"),
    [
        ("/daq/names", {"x": "m/s^2", "y": "m/s^2", "z": "m/s^2"}),
        (["a", "b", "c"], {"a": "m/s^2", "b": "m/s^2", "c": "m/s^2"}),
        ({"a": "mm/s^2", "b": "m/s^2", "c": "m/s^2"}, {"a": "mm/s^2", "b": "m/s^2", "c": "m/s^2"}),
    ],
)
def test_channels_are_called_as_the_user_or_the_file_says(lab, known, channels, wanted):
    data = opened(lab, inputs="/daq/acc", channels=channels)
    assert data.channels == wanted
    first = known["acc"][:, 0] * (1_000.0 if wanted.get("a") == "mm/s^2" else 1.0)
    np.testing.assert_allclose(data.x()[:, 0], first, rtol=1e-6)


def test_numbers_that_mean_nothing_are_missing(lab, known):
    place = {"path": "/labels/some", "unit": "Hz", "missing": -999}
    values = opened(lab, inputs="/daq/acc", targets={"f": place}).target_array()[:, 0]
    absent = np.arange(COUNT) % 4 == 1
    assert np.array_equal(np.isnan(values), absent)
    assert np.array_equal(values[~absent], known["freq"][~absent])


def test_a_draw_keeps_groups_together_and_is_a_function_of_the_seed(lab):
    mapping = {"inputs": "/daq/acc", "targets": {"f": "/labels/freq"}, "groups": "/labels/specimen"}
    data = opened(lab, **mapping, split={"seed": 3, "validation": 0.2, "test": 0.2})
    parts = data.split_array()
    for group in set(data.groups.tolist()):
        assert len(set(parts[data.groups == group].tolist())) == 1
    assert {part: int((parts == part).sum()) for part in ("train", "validation", "test")} == {
        "train": 16, "validation": 4, "test": 4,
    }  # fmt: skip
    again = opened(lab, **mapping, split={"seed": 3, "validation": 0.2, "test": 0.2})
    assert np.array_equal(again.split_array(), parts)
    others = [opened(lab, **mapping, split={"seed": seed}).split_array() for seed in range(4)]
    assert any(not np.array_equal(others[0], other) for other in others)


def test_parts_come_from_the_words_in_the_file(lab):
    data = opened(lab, inputs="/daq/acc", targets={"f": "/labels/freq"}, split="/labels/part")
    assert data.split_array()[:4].tolist() == ["train", "validation", "test", "train"]
    words = {"s1": "test", "s3": "validation", "*": "train"}
    data = opened(lab, inputs="/daq/acc", split={"path": "/labels/specimen", "words": words})
    assert np.array_equal(np.flatnonzero(data.split_array() == "test"), np.arange(4, 8))
    assert len(data.subset("train")) == 16


def test_windows_of_a_long_record(lab, known):
    data = opened(
        lab, inputs="/record/raw", layout="time channel", sample_rate="@fs", targets={"v": "/record/speed"},
        window="0.1 s", hop="50 ms", stretch="1 s",
    )  # fmt: skip
    begins = [1_000 * part + HOP * number for part in range(4) for number in range(19)]
    assert len(data) == len(begins)
    assert np.array_equal(data.x(), np.stack([known["long"][b : b + WINDOW].T for b in begins]))
    assert np.array_equal(data[30].x, known["long"][begins[30] : begins[30] + WINDOW].T)
    np.testing.assert_allclose(
        data.target_array()[:, 0], [known["speed"][b : b + WINDOW].mean() for b in begins], rtol=1e-12
    )
    assert len(set(data.groups.tolist())) == 4
    assert data.axes[0].size == WINDOW
    assert data.axes[0].centres[0] == 0.0
    assert data.ids[20] == "1050"


@pytest.mark.parametrize(
    ("take", "pick"),
    [
        ("first", lambda w: w[0]),
        ("middle", lambda w: w[50]),
        ("last", lambda w: w[-1]),
        ("max", np.max),
        ("min", np.min),
    ],
)
def test_what_a_window_takes_of_values_along_time(lab, known, take, pick):
    place = {"path": "/record/speed", "take": take}
    data = opened(lab, inputs="/record/raw", layout="time channel", window=WINDOW, stretch=500, targets={"v": place})
    assert data.target_array()[7, 0] == pick(known["speed"][700:800])


def test_windows_over_which_the_part_changes_are_left_out(lab):
    data = opened(
        lab, inputs="/record/raw", layout="time channel", window=WINDOW, hop=HOP, targets={"v": "/record/speed"},
        split="/record/phase",
    )  # fmt: skip
    whole = 1 + (LONG - WINDOW) // HOP
    begins = np.arange(whole) * HOP
    across = [any(begin < edge < begin + WINDOW for edge in (2_510, 3_250)) for begin in begins.tolist()]
    assert len(data) == whole - sum(across)
    assert [data.ids[row] for row in (0, -1)] == ["0000", "3900"]
    assert np.array_equal(data.split_array() == "test", np.array([int(name) for name in data.ids]) >= 3_250)


def test_one_group_of_the_file_for_each_record(lab, known):
    data = opened(
        lab, inputs="/runs/*/acc", sample_rate="/runs/*@fs", window=100, hop=50,
        targets={"load": "/runs/*@load", "wear": {"path": "/runs/*/wear", "unit": "mm"}},
    )  # fmt: skip
    assert data.ids[:4].tolist() == ["run0-000", "run0-050", "run0-100", "run1-000"]
    assert list(dict.fromkeys(data.groups.tolist())) == [f"run{number}" for number in range(12)]
    rows = np.flatnonzero(data.groups == "run11")
    np.testing.assert_array_equal(data.x(rows)[1, 0], known["long"][3_350:3_450, 0])
    assert data.targets == {"load": "kN", "wear": "mm"}
    assert set(data[rows].target_array(["load"])[:, 0]) == {11.0}
    assert np.array_equal(np.isnan(data.target_array(["wear"])[:, 0]), np.isin(data.groups, ["run0", "run5", "run10"]))


def test_a_record_has_one_target_for_all_its_windows(lab):
    place = {"path": "/record/mean_load", "unit": "kN"}
    data = opened(lab, inputs="/record/raw", layout="time channel", window=200, stretch=500, targets={"load": place})
    assert set(data.target_array()[:, 0]) == {4.5}


def test_weights_are_read(lab, known):
    data = opened(lab, inputs="/daq/acc", weights="/labels/freq")
    np.testing.assert_allclose(data.weights, known["freq"] / 1_000, rtol=1e-12)


def test_a_mapping_in_a_toml_file_is_the_same(lab, tmp_path):
    (tmp_path / "m.toml").write_text('inputs = "/daq/acc"\ntargets.f1 = "/labels/freq"\n', encoding="utf-8")
    (tmp_path / "e.toml").write_text(
        'name = "e"\n[data]\nfile = "x.h5"\n[data.mapping]\ninputs = "/daq/acc"\ntargets.f1 = "/labels/freq"\n',
        encoding="utf-8",
    )
    digests = {ram.open_dataset(lab, mapping=tmp_path / name).digest for name in ("m.toml", "e.toml")}
    digests.add(opened(lab, inputs="/daq/acc", targets={"f1": "/labels/freq"}).digest)
    assert len(digests) == 1


def test_a_mapping_is_written_and_read_back_the_same():
    mapping = load_mapping(
        {
            "inputs": {"a": {"path": "/a", "scale": "@gain"}, "b": "/b"}, "layout": "sample time", "window": "0.5 s",
            "sample_rate": {"path": "/@fs", "unit": "kHz"}, "targets": {"f": {"path": "/f", "missing": -1}},
            "axes": {"time": {"long_name": "time since the hit"}}, "split": {"seed": 4}, "symmetries": ["reverse"],
        }
    )  # fmt: skip
    import tomllib

    import tomli_w

    assert load_mapping(tomllib.loads(tomli_w.dumps(mapping.model_dump(mode="json")))) == mapping


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_other_processes_open_the_file_for_themselves(lab, known, way):
    data = opened(lab, inputs="/daq/packed")
    assert len(data.digest) == 32
    with multiprocessing.get_context(way).Pool(1) as pool:
        # A method, for a new process may not be able to import this module; a timeout, for a pool waits for ever.
        inputs = pool.apply_async(ram.Dataset.x, (data,)).get(timeout=60)
    np.testing.assert_array_equal(inputs, data.x())
    assert float(inputs.sum()) == float(known["acc"].astype(np.float32).sum())


def test_chunks_stay_in_memory_as_far_as_they_may(lab, known):
    data = opened(lab, inputs="/record/raw", layout="time channel", window=WINDOW, hop=HOP)
    before = data.x([0, 70, 3])
    source = data._source
    assert source.block_rows == 300 // HOP
    source.keep(3_000_000)
    assert source.head.count == len(data)
    caches = [one.array.dataset.id.get_access_plist().get_chunk_cache()[1] for one in recorded_arrays(source)]
    assert caches == [3_000_000]
    assert np.array_equal(data.x([0, 70, 3]), before)


def recorded_arrays(source: Any) -> list[Any]:
    return [array for part in source._opened().inputs.parts for array in part.recorded.arrays]


# The digest


def test_the_digest_stands_for_every_number_and_its_meaning(tmp_path, known):
    def digest(change=None, **mapping):
        write_lab(tmp_path / "daq.h5", known)
        if change:
            with h5py.File(tmp_path / "daq.h5", "r+") as file:
                change(file)
        base = {"inputs": "/daq/acc", "sample_rate": "@sample_rate", "targets": {"f": "/labels/freq"}}
        return opened(tmp_path / "daq.h5", **(base | mapping)).digest

    def set_number(path, at, value):
        def change(file):
            file[path][at] = value

        return change

    same = {digest(), digest(), digest(set_number("/daq/force", (0, 0), 7.0))}
    others = [
        digest(set_number("/daq/acc", (5, 1, 7), 4_000)),
        digest(set_number("/labels/freq", 3, 0.5)),
        digest(lambda file: file["daq/acc"].attrs.__setitem__("sample_rate", 1_000)),
        digest(lambda file: file["daq/acc"].attrs.__setitem__("units", "V")),
        digest(inputs={"path": "/daq/acc", "scale": 2}),
        digest(split={"seed": 1}),
        digest(groups="/labels/specimen"),
        digest(channels=["x", "y", "z"]),
    ]
    assert len(same) == 1
    assert len({*same, *others}) == 1 + len(others)


@pytest.mark.parametrize("path", ["/daq/acc", "/daq/packed"])
def test_a_number_that_changed_on_the_way_to_another_process_is_found(tmp_path, known, path):
    write_lab(tmp_path / "daq.h5", known)
    data = opened(tmp_path / "daq.h5", inputs=path)
    assert data.digest
    sent = pickle.dumps(data)
    replace(tmp_path / "daq.h5", lambda file: file[path].__setitem__((20, 0, 0), 9_999))
    arrived = pickle.loads(sent)
    with pytest.raises(ram.DataError, match=rf"daq.h5:{path} record \d+: the values must be those that were written"):
        arrived.x()


def test_a_target_that_changed_on_the_way_to_another_process_is_found(tmp_path, known):
    write_lab(tmp_path / "daq.h5", known)
    data = opened(tmp_path / "daq.h5", inputs="/daq/acc", targets={"f": "/labels/freq"})
    assert data.digest
    sent = pickle.dumps(data)
    replace(tmp_path / "daq.h5", lambda file: file["/labels/freq"].__setitem__(2, 0.2))
    with pytest.raises(
        ram.DataError, match=r"the file must be the one that was opened before. Got one that was written"
    ):
        pickle.loads(sent).target_array()


def test_a_file_that_is_written_to_is_no_longer_read(tmp_path, known):
    write_lab(tmp_path / "daq.h5", known)
    data = opened(tmp_path / "daq.h5", inputs="/daq/acc")
    data.x([0])
    write_lab(tmp_path / "other.h5", {**known, "acc": known["acc"] + 1})
    (tmp_path / "other.h5").replace(tmp_path / "daq.h5")
    with pytest.raises(ram.DataError, match=r"written to, replaced or removed meanwhile. Open it again"):
        data.x([0])


def test_the_digest_is_computed_once_in_a_process(lab, monkeypatch):
    mapping = {"inputs": "/daq/packed", "targets": {"f": "/labels/freq"}}
    first = opened(lab, **mapping).digest
    monkeypatch.setattr("ram.data.mapped.source.digest_inputs", None)
    assert opened(lab, **mapping).digest == first
