from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ram.axes import Axis
from ram.data import DatasetSpec, Record, open_dataset, write_dataset
from ram.data.units import checked_unit, compatible, convert, factor
from ram.errors import DataError


def spec(**changes: Any) -> DatasetSpec:
    content: dict[str, Any] = {
        "name": "taps",
        "axes": (Axis.uniform("time", "s", size=5, step=0.1),),
        "channels": {"pressure": "Pa"},
        "targets": {"depth": "cm"},
        "parameters": {"distance": "m"},
        "truth": {("depth", "sensitivity"): "cm/Pa"},
        "regions": ("before", "after"),
        "count": 3,
    }
    return DatasetSpec(**(content | changes))


def record(index: int, **changes: Any) -> Record:
    content: dict[str, Any] = {
        "id": f"t{index}",
        "x": np.full((1, 5), float(index), dtype=np.float32),
        "targets": {"depth": 3.0 * index},
        "parameters": {"distance": 0.5},
    }
    return Record(**(content | changes))


def one_odd(**changes: Any) -> list[Record]:
    return [record(0), record(1, **changes), record(2)]


# What does not fit is refused with its row, and leaves no trace


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (one_odd(id="t0"), r"taps\.h5 row 1: the id must be unique\. Got 't0', which row 0 has too\."),
        (one_odd(id=""), "row 1: the id must be a text without zero bytes, not empty. Got ''"),
        (one_odd(id="a\0"), "row 1: the id must be a text without zero bytes"),
        (one_odd(x=np.zeros((1, 6), np.float32)), r"row 1: x must be of shape \(1, 5\)\. Got \(1, 6\)\."),
        (one_odd(x=np.zeros(5, np.float32)), r"row 1: x must be of shape \(1, 5\)\. Got \(5,\)\."),
        (one_odd(x=np.zeros((1, 5), np.complex64)), r"row 1: x must be real numbers\. Got complex64\."),
        (one_odd(targets={"dept": 1.0}), "row 1: a target must be one of depth. Got 'dept'. Did you mean 'depth'?"),
        (one_odd(parameters={}), "row 1: parameter 'distance' must be given for every sample. Got none."),
        (one_odd(parameters={"distance": 1.0, "x": 0.0}), "row 1: a parameter must be one of distance. Got 'x'."),
        (one_odd(split={"default": "tset"}), "row 1: split 'default' must be one of train, validation, test. Got 't"),
        (one_odd(split={}), "row 1: split 'default' must be one of train, validation, test. Got None"),
        (one_odd(truth={("depth", "sens"): np.zeros(5)}), "row 1: a truth must be one of depth/sensitivity. Got"),
        (one_odd(truth={("depth", "sensitivity"): np.zeros(4)}), r"row 1: truth depth/sensitivity must be of shape"),
        (one_odd(regions=np.full(5, 2, np.uint8)), "row 1: the code of a region must be 0 to 1. Got 2."),
        (one_odd(regions=np.zeros(4, np.uint8)), r"row 1: regions must be of shape \(5,\)"),
        (one_odd()[:2], "row 2: the records must be 3 as declared. Got 2."),
        ([*one_odd(), record(3)], "row 3: the records must be 3 as declared. Got more."),
    ],
)  # fmt: skip
def test_a_record_that_does_not_fit(tmp_path: Path, records: list[Record], message: str) -> None:
    old = write_dataset(tmp_path / "taps.h5", spec(licence="old"), [record(index) for index in range(3)])
    content = old.read_bytes()
    with pytest.raises(DataError, match=message.replace("?", r"\?")):
        write_dataset(tmp_path / "taps.h5", spec(), records)
    assert old.read_bytes() == content
    assert list(tmp_path.iterdir()) == [old]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": {"depth": "cmm"}, "truth": {}}, "taps: target depth: the unit must be one that pint knows"),
        ({"channels": {"pressure": "banana"}}, "taps: channel pressure: the unit must be"),
        ({"parameters": {"distance": "2 m"}}, "taps: parameter distance: the unit must be"),
        ({"truth": {("depth", "sensitivity"): "cm/Po"}}, "taps: truth depth/sensitivity: the unit must be"),
        ({"axes": (Axis.uniform("time", "sek", size=5, step=0.1),)}, "taps: axis time: the unit must be"),
        ({"axes": (Axis.uniform("inputs", "s", size=5, step=0.1),)}, "the names of the axes must be distinct and"),
        ({"axes": (Axis.uniform("a/b", "s", size=5, step=0.1),)}, "the name of a axis must be letters, digits"),
        ({"targets": {"depth of cut": "cm"}, "truth": {}}, "the name of a target must be letters.* Got 'depth of cut'"),
        ({"targets": {"reference": "cm"}, "truth": {}}, "a target must be not called 'reference'"),
        ({"truth": {("dept", "sensitivity"): "1"}}, "truth dept/sensitivity must be of one of the targets depth"),
        ({"symmetries": ("rotate",)}, "a symmetry must be one of rotate90, mirror, reverse. Got 'rotate'. Did you"),
        ({"regions": ("hub", "hub")}, "the names of the regions must be distinct. Got 'hub'"),
        ({"regions": ("spoke roots",)}, "a region must be one word. Got 'spoke roots'"),
        ({"count": 0}, "count must be at least 1. Got 0."),
        ({"axes": ()}, "the input must be of at least one axis and channel"),
        ({"reference": np.zeros((2, 5))}, r"the reference must be of shape \(1, 5\). Got \(2, 5\)\."),
        ({"splits": ("a", "a")}, "the names of the splits must be distinct. Got 'a'"),
    ],
)  # fmt: skip
def test_a_specification_that_makes_no_sense(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        spec(**changes)


@pytest.mark.parametrize("trouble", [RuntimeError, KeyboardInterrupt, GeneratorExit])
def test_a_stream_that_breaks_off_leaves_no_trace(tmp_path: Path, trouble: type[BaseException]) -> None:
    def broken() -> Iterator[Record]:
        yield record(0)
        raise trouble

    with pytest.raises(trouble):
        write_dataset(tmp_path / "taps.h5", spec(), broken())
    assert not list(tmp_path.iterdir())


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "taps.h5", spec(), [record(index) for index in range(3)])
    content = path.read_bytes()
    code = f"""
        import importlib.util as u, os
        s = u.spec_from_file_location("t", {__file__!r}); t = u.module_from_spec(s); s.loader.exec_module(t)
        def dying():
            yield t.record(0)
            os._exit(9)
        t.write_dataset({str(path)!r}, t.spec(), dying())
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False).returncode == 9
    assert path.read_bytes() == content
    assert open_dataset(path).x().shape == (3, 1, 5)


def test_a_disk_that_fills_up_at_any_byte_is_named_and_crashes_nothing(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="limits on file sizes exist on POSIX only")
    code = f"""
        import importlib.util as u, resource, signal
        s = u.spec_from_file_location("t", {__file__!r}); t = u.module_from_spec(s); s.loader.exec_module(t)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        axis = t.Axis.uniform("time", "s", size=50_000, step=0.1)
        for limit in (0, 1, 100, 3_000, 100_000, 300_000, 1_200_000, 1_800_000, 1_815_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            records = (t.record(i, x=t.np.random.default_rng(i).random((1, 50_000), dtype="f4")) for i in range(3))
            try:
                t.write_dataset({str(tmp_path / "big.h5")!r}, t.spec(axes=(axis,)), records)
            except t.DataError as error:
                print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("big.h5: the file must be writable as a whole. Got 'File too large' with ") == 9
    assert not list(tmp_path.iterdir())


def test_inputs_that_cannot_fit_are_refused_before_the_first_record(tmp_path: Path) -> None:
    def untouched() -> Iterator[Record]:
        raise AssertionError("no record was to be asked for")
        yield record(0)

    with pytest.raises(
        DataError, match=r"the disk must be free by at least 20,000,000,000,000,000 bytes\. Got .* bytes\."
    ):
        write_dataset(tmp_path / "taps.h5", spec(count=10**15), untouched())


def test_memory_does_not_grow_with_the_number_of_records(tmp_path: Path) -> None:
    tracemalloc = pytest.importorskip("tracemalloc")
    axis = Axis.uniform("time", "s", size=25_000, step=0.1)
    records = (record(index, x=np.full((1, 25_000), float(index), dtype=np.float32)) for index in range(200))
    tracemalloc.start()
    write_dataset(tmp_path / "long.h5", spec(axes=(axis,), count=200), records)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000  # 200 records of 100,000 bytes went through


def test_a_truth_map_of_nothing_is_not_stored(tmp_path: Path) -> None:
    truth = {("depth", "sensitivity"): np.full(5, np.nan)}
    path = write_dataset(tmp_path / "taps.h5", spec(), [record(index, truth=truth) for index in range(3)])
    assert not open_dataset(path).has_truth("depth", "sensitivity").any()
    with h5py.File(path) as raw:
        assert raw["truth/depth/sensitivity"].id.get_num_chunks() == 0


def test_inputs_of_other_real_types_become_float32(tmp_path: Path) -> None:
    kinds = ["f8", "i2", "u1"]
    records = [record(index, x=np.arange(5, dtype=kind)[None]) for index, kind in enumerate(kinds)]
    x = open_dataset(write_dataset(tmp_path / "taps.h5", spec(), records)).x()
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, np.broadcast_to(np.arange(5.0), (3, 1, 5)))


# Units


def test_units_are_compared_and_converted_by_what_they_mean() -> None:
    assert compatible("Hz", "1/s")
    assert compatible("1", "%")
    assert not compatible("Hz", "mm")
    np.testing.assert_allclose(convert(np.array([1.0, np.nan]), unit="kHz", to="Hz"), [1000.0, np.nan], rtol=1e-15)
    assert factor("cm", to="mm") == pytest.approx(10.0, rel=1e-15)
    assert checked_unit("", where="x") == "1"


def test_units_that_do_not_fit_are_errors() -> None:
    with pytest.raises(DataError, match=r"unit 'Hz': it must be convertible to 'mm'\. Got another dimension"):
        convert(np.zeros(1), unit="Hz", to="mm")
    with pytest.raises(DataError, match=r"unit 'degC': it must be a multiple of 'K'\. Got a unit with another zero"):
        factor("degC", to="K")
