"""Arrays by name: NPZ, MATLAB v5 and v7.3, HDF5, text; which axis is what, and what is never read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

from ram.data.dataset import Dataset, open_dataset
from ram.data.importing import plan_of, prepared, write_import
from ram.data.importing.arrays import open_arrays
from ram.data.importing.layouts import guess_layout
from ram.errors import ConfigError, DataError

COUNT, CHANNELS, TIME = 12, 3, 50
ACC = np.random.default_rng(1).normal(size=(COUNT, CHANNELS, TIME))
FREQ = np.arange(COUNT) + 100.0


@contextlib.contextmanager
def silent(words: str, total: int) -> Any:
    yield lambda parts: None


@pytest.fixture
def imported(tmp_path: Path) -> Callable[..., Dataset]:
    """Import a file of arrays with some words of a plan; returns the data set."""

    def run(path: Path, **words: Any) -> Dataset:
        plan = plan_of({"arrays": str(path)}, {"targets": ["freq=Hz"], "inputs": "acc", **words})
        with prepared(plan, progress=silent) as found:
            return open_dataset(write_import(found, tmp_path / "out.h5", progress=silent))

    return run


def matlab73(path: Path, **arrays: np.ndarray) -> None:
    """A file as MATLAB's -v7.3 writes it: axes in reverse order, 512 bytes before the HDF5 begins."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in arrays.items():
            file[name] = values.T
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def write(path: Path, kind: str, acc: np.ndarray, freq: np.ndarray) -> Path:
    if kind == "npz":
        np.savez(path, acc=acc, freq=freq)
    elif kind == "npz compressed":
        np.savez_compressed(path, acc=acc, freq=freq)
    elif kind == "mat5":
        scipy.io.savemat(path, {"acc": acc, "freq": freq})
    elif kind == "mat5 struct":
        scipy.io.savemat(path, {"daq": {"acc": acc, "freq": freq}})
    elif kind == "mat73":
        matlab73(path, acc=acc, freq=freq[:, None])
    else:
        with h5py.File(path, "w") as file:
            file["daq/acc"], file["labels/freq"] = acc, freq
            file["daq/acc"].attrs["units"], file["labels/freq"].attrs["unit"] = "m/s^2", "Hz"
    return path


def test_stored_numbers_mean_what_their_attributes_say(tmp_path: Path, imported: Callable[..., Dataset]) -> None:
    stored = np.random.default_rng(2).integers(-999, 999, (COUNT, CHANNELS, TIME)).astype(np.int16)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["acc"], file["freq"] = stored, np.where(np.arange(COUNT) == 4, -9999.0, FREQ)
        file["acc"].attrs.update({"scale_factor": 0.01, "add_offset": np.array([5.0])})
        file["freq"].attrs["_FillValue"] = -9999.0
    data = imported(tmp_path / "a.h5")
    np.testing.assert_allclose(data.x(), stored * 0.01 + 5.0, rtol=1e-6)
    np.testing.assert_array_equal(data.target_array()[:, 0], np.where(np.arange(COUNT) == 4, np.nan, FREQ))


KINDS = ["npz", "npz compressed", "mat5", "mat5 struct", "mat73", "hdf5"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_arrays_from_any_file(tmp_path: Path, imported: Callable[..., Dataset], kind: str) -> None:
    ending = {"npz": "npz", "mat": "mat", "hdf": "h5"}[kind[:3]]
    data = imported(write(tmp_path / f"a.{ending}", kind, ACC, FREQ))
    np.testing.assert_array_equal(data.x(), ACC.astype(np.float32))
    np.testing.assert_array_equal(data.target_array()[:, 0], FREQ)
    assert dict(data.channels) == dict.fromkeys(
        ["channel1", "channel2", "channel3"], "m/s^2" if kind == "hdf5" else "1"
    )


@pytest.mark.parametrize("kind", ["npz", "mat5", "mat73", "hdf5", "attribute", "step"])
def test_the_rate_that_stands_in_a_file_is_used(tmp_path: Path, imported: Callable[..., Dataset], kind: str) -> None:
    path = tmp_path / "a.bin"
    if kind == "npz":
        with path.open("wb") as file:
            np.savez(file, acc=ACC, freq=FREQ, fs=2000.0)
    elif kind == "mat5":
        scipy.io.savemat(path, {"acc": ACC, "freq": FREQ, "Fs": 2000}, appendmat=False)
    elif kind == "mat73":
        matlab73(path, acc=ACC, freq=FREQ[:, None], fs=np.array([[2000.0]]))
    else:
        with h5py.File(path, "w") as raw:
            raw["acc"], raw["freq"] = ACC, FREQ
            if kind == "hdf5":
                raw["sample_rate"] = 2000.0
            elif kind == "attribute":
                raw["acc"].attrs["sampling_frequency"] = 2000
                raw.attrs["fs"] = 44100
            else:
                raw.attrs["dt"] = 0.0005
    (axis,) = imported(path).axes
    assert (axis.unit, axis.centres[1]) == ("s", 0.0005)
    (axis,) = imported(path, sample_rate="1 kHz").axes
    assert axis.centres[1] == 0.001


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_axes_in_any_order(
    tmp_path: Path, imported: Callable[..., Dataset], kind: str, order: tuple[int, int, int]
) -> None:
    words = ("sample", "channel", "time")
    path = write(tmp_path / ("a.npz" if "npz" in kind else "a.h5"), kind, ACC.transpose(order), FREQ)
    data = imported(path, layout=[words[axis] for axis in order])
    np.testing.assert_array_equal(data.x(), ACC.astype(np.float32))


@pytest.mark.parametrize(
    ("shape", "samples", "layout"),
    [((12, 50), 12, "sample time"), ((50, 12), 12, "time sample"), ((12, 3, 50), 12, "sample channel time"),
     ((12, 50, 3), 12, "sample time channel"), ((12, 28, 28), 12, "sample y x"),
     ((12, 3, 28, 28), 12, "sample channel y x"),
     ((12, 28, 28, 3), 12, "sample y x channel"), ((5000,), None, "time"), ((12, 30, 28, 28), 12, "sample z y x")],
)  # fmt: skip
def test_layouts_that_are_guessed(shape: tuple[int, ...], samples: int | None, layout: str) -> None:
    assert guess_layout(shape, samples=samples) == tuple(layout.split())


@pytest.mark.parametrize(
    ("dtype", "stored", "offset"),
    [(np.uint8, "uint8", 0.0), (np.bool_, "uint8", 0.0), (np.int8, "int16", 0.0), (np.int16, "int16", 0.0),
     (np.uint16, "int16", 32768.0), (np.int32, "float32", 0.0), (np.float16, "float32", 0.0), (">i2", "int16", 0.0)],
)  # fmt: skip
def test_integers_stay_integers(
    tmp_path: Path, imported: Callable[..., Dataset], dtype: Any, stored: str, offset: float
) -> None:
    limits = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" and np.dtype(dtype).itemsize < 4 else None
    draw = np.random.default_rng(1).integers(
        limits.min if limits else 0, (limits.max if limits else 1) + 1, (COUNT, 40)
    )
    values = draw.astype(dtype)
    np.savez(tmp_path / "a.npz", acc=values, freq=FREQ)
    data = imported(tmp_path / "a.npz")
    with h5py.File(data.path) as file:
        assert file["inputs"].dtype == stored
        assert float(file["inputs"].attrs.get("add_offset", 0.0)) == offset
    np.testing.assert_array_equal(data.x()[:, 0], values.astype(np.float32))


@pytest.mark.parametrize("kind", ["mat5", "mat73"])
def test_cells_of_different_length(tmp_path: Path, imported: Callable[..., Dataset], kind: str) -> None:
    signals = [np.arange(10.0 + index) for index in range(COUNT)]
    path = tmp_path / "a.mat"
    if kind == "mat5":
        cells = np.empty((1, COUNT), dtype=object)
        cells[0, :] = signals
        scipy.io.savemat(path, {"acc": cells, "freq": FREQ})
    else:
        matlab73(path, freq=FREQ[:, None])
        with h5py.File(path, "r+") as file:
            for place, signal in enumerate(signals):
                file[f"#refs#/{place}"] = signal[:, None]
            file["acc"] = np.array([[file[f"#refs#/{place}"].ref] for place in range(COUNT)], dtype=h5py.ref_dtype)
            file["acc"].attrs["MATLAB_class"] = np.bytes_("cell")
    with pytest.raises(ConfigError, match=r"the signals must be of one length, or --lengths .* Got 10 to 21 cells"):
        imported(path)
    data = imported(path, lengths="pad")
    assert data.lengths.tolist() == [len(signal) for signal in signals]
    np.testing.assert_array_equal(data.x()[3, 0], np.pad(signals[3], (0, 21 - 13)))


def test_texts_of_a_file_are_ids_and_groups(tmp_path: Path, imported: Callable[..., Dataset]) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["acc"], file["freq"] = ACC, FREQ
        file["who"] = np.array([f"w{index}" for index in range(COUNT)], dtype=h5py.string_dtype())
        file["tool"] = np.array([f"t{index // 3}".encode() for index in range(COUNT)])
        file["meta"] = np.array([(index, 2.0) for index in range(COUNT)], dtype=[("w", "f8"), ("load", "f4")])
    data = imported(tmp_path / "a.h5", id="who", group=["tool"], weight="w", parameters=["load=kN"])
    assert data.ids.tolist() == [f"w{index}" for index in range(COUNT)]
    assert data.groups.tolist() == [f"t{index // 3}" for index in range(COUNT)]
    assert data.weights.tolist() == list(range(COUNT))
    assert data.parameter_array().ravel().tolist() == [2.0] * COUNT


def test_a_matrix_of_text_is_one_sample_a_line(tmp_path: Path, imported: Callable[..., Dataset]) -> None:
    values = np.random.default_rng(1).integers(0, 256, (COUNT, 28))
    np.savetxt(tmp_path / "m.txt", values, fmt="%d")
    (tmp_path / "t.csv").write_text("freq\n" + "\n".join(map(str, FREQ)), encoding="utf-8")
    data = imported(tmp_path / "m.txt", inputs="", table=str(tmp_path / "t.csv"), shape=["4x7"])
    np.testing.assert_array_equal(data.x()[:, 0], values.reshape(COUNT, 4, 7))
    assert [axis.name for axis in data.axes] == ["y", "x"]
    with h5py.File(data.path) as file:
        assert file["inputs"].dtype == np.uint8


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (
            {"inputs": "ac"},
            ConfigError,
            r"the inputs \(--inputs\) must be one of acc \(12 x 3 x 50\), freq \(12\)\. Got 'ac'\. Did",
        ),
        ({"targets": ["f=Hz"]}, ConfigError, r"target 'f' must be one of"),
        (
            {"layout": ["sample", "time"]},
            ConfigError,
            r"the layout must be 3 words, sample once, .* Got 'sample time' for an array",
        ),
        ({"shape": ["7"]}, DataError, r"the shape must be of 50 cells, as each sample has\. Got 7"),
        ({"channels": ["a=V"]}, ConfigError, r"the names must be 3, one for each channel .*Got a\."),
        ({"axes": ["x=1 mm", "y=1 mm"]}, ConfigError, r"the axes must be 1 names, such as time\. Got x, y"),
        ({"axes": ["x=mm"]}, ConfigError, r"--axes x: the value must be a number with a unit"),
        ({"axes": ["x"]}, ConfigError, r"--axes: the value must be name=step, such as x=0\.5 mm\. Got 'x'"),
    ],
)
def test_words_that_do_not_fit_the_arrays(
    tmp_path: Path, imported: Callable[..., Dataset], words: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        imported(write(tmp_path / "a.npz", "npz", ACC, FREQ), **words)


def test_rows_of_a_table_must_be_the_samples(tmp_path: Path, imported: Callable[..., Dataset]) -> None:
    (tmp_path / "t.csv").write_text("freq\n1\n2\n", encoding="utf-8")
    path = write(tmp_path / "a.npz", "npz", ACC, FREQ)
    with pytest.raises(
        ConfigError, match=r"the axis of the samples must be one of 2 samples\. Got 12 x 3 x 50, in which no"
    ):
        imported(path, table=str(tmp_path / "t.csv"))
    with pytest.raises(
        DataError, match=r"the samples must be 2, one for each row of .*t\.csv\. Got 12\. Say which axis"
    ):
        imported(path, table=str(tmp_path / "t.csv"), layout=["sample", "channel", "time"])


def test_an_array_that_could_be_read_two_ways_is_asked_for(tmp_path: Path, imported: Callable[..., Dataset]) -> None:
    path = write(tmp_path / "a.npz", "npz", np.zeros((COUNT, COUNT)), FREQ)
    with pytest.raises(
        ConfigError, match=r"in which several axes of 12 samples could be meant\. Say what the axes are"
    ):
        imported(path)


def test_values_that_are_not_finite_name_sample_and_cell(tmp_path: Path, imported: Callable[..., Dataset]) -> None:
    values = ACC.copy()
    values[4, 1, 7] = np.nan
    with pytest.raises(
        DataError, match=r"a\.npz:acc\[4\]: every value must be a finite number\. Got nan in channel 1, cell 7"
    ):
        imported(write(tmp_path / "a.npz", "npz", values, FREQ))
    values[4, 1, 7] = 1e60  # fits a double, not a float
    with pytest.raises(DataError, match=r"acc\[4\]: every value must be a finite number\. Got 1e\+60"):
        imported(write(tmp_path / "a.npz", "npz", values, FREQ))
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npz", b"PK\x03\x04junk", r"the file must be a whole NPZ file"),
        ("a.mat", b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IMjunk", r"the file must be a whole MATLAB file"),
        ("a.h5", b"\x89HDF\r\n\x1a\njunk", r"must be whole and readable as HDF5|must be an HDF5 file"),
        ("a.txt", b"1 2 3\n4 5\n", r"a\.txt line 2: a line of a matrix must be 3 numbers .* Got '4 5'"),
        ("a.txt", b"1 2 x\n", r"a\.txt line 1: a line of a matrix must be some numbers"),
    ],
)
def test_damaged_files_of_arrays_are_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message), open_arrays(tmp_path / name):
        pass


def test_pickled_objects_in_npz_are_never_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, tuple[Path]]:
            return Path.touch, (tmp_path / "ran",)

    np.savez(tmp_path / "a.npz", acc=np.array([Bomb()], dtype=object), allow_pickle=True)
    with (
        pytest.raises(DataError, match=r"a\.npz:acc: an array must be .* Got pickled objects"),
        open_arrays(tmp_path / "a.npz"),
    ):
        pass
    assert not (tmp_path / "ran").exists()


def test_files_that_lead_to_other_files_are_refused(tmp_path: Path, imported: Callable[..., Dataset]) -> None:
    write(tmp_path / "other.h5", "hdf5", ACC, FREQ)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["acc"] = h5py.ExternalLink("other.h5", "/daq/acc")
        file["freq"] = FREQ
    with pytest.raises(DataError, match=r"everything in the file must be stored in this file\. Got external link"):
        imported(tmp_path / "a.h5")
