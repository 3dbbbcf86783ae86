"""Records of different length in a file that is read in place: padded, cut, or measured as the file says."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import ram
from ram.data.mapped.settings import load_mapping
from ram.errors import ConfigError, DataError
from ram.randomness import generator

LENGTHS = [30, 42, 17, 55, 42, 33, 28, 19, 40, 51]
COUNTED = [max(5, cells - 10) for cells in LENGTHS]
RATE_HZ = 1_000.0


def signals() -> list[np.ndarray]:
    draw = generator(2, "lengths")
    return [draw.standard_normal((2, cells)).astype(np.float32) for cells in LENGTHS]


@pytest.fixture(scope="module", params=["plain", "gzip"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A group for each record, and the same numbers stacked, NaN behind each; nothing may be written there."""
    path = tmp_path_factory.mktemp("lengths") / "daq.h5"
    stored = {"compression": "gzip", "chunks": True} if request.param == "gzip" else {}
    with h5py.File(path, "w") as file:
        for number, values in enumerate(signals()):
            record = file.create_group(f"records/r{number}")
            record.create_dataset("signal", data=values, **stored)
            record.create_dataset("trigger", data=values[0] * 2, **stored)
            record["temperature"] = np.arange(values.shape[1], dtype=np.float64)
            record["image"] = np.zeros((values.shape[1], 3))
            record.attrs.update({"fs": RATE_HZ, "n": COUNTED[number], "f": float(number), "f_unit": "Hz"})
        apart = [np.pad(values, [(0, 0), (0, 60 - values.shape[1])], constant_values=np.nan) for values in signals()]
        file.create_dataset("stack/signal", data=np.stack(apart), **stored)
        file["stack/n"], file["stack/t"] = np.array(LENGTHS), np.array(LENGTHS) / RATE_HZ
        file["stack/t"].attrs["units"] = "s"
        file["stack/zero"], file["stack/f"] = np.arange(10), np.arange(10.0)
        file["stack/clock"] = np.arange(60) / RATE_HZ - 0.01
        file["stack/clock"].attrs["units"] = "s"
    return path


RECORDS = {"inputs": "/records/*/signal", "sample_rate": "/records/*@fs", "targets": {"f": "/records/*@f"}}
STACK = {
    "inputs": "/stack/signal", "layout": "sample channel time", "sample_rate": "1 kHz",
    "targets": {"f": {"path": "/stack/f", "unit": "Hz"}},
}  # fmt: skip


def opened(path: Path, mapping: dict[str, Any], **more: Any) -> ram.Dataset:
    return ram.open_dataset(path, mapping={**mapping, **more})


def expected(cells: int, lengths: list[int]) -> np.ndarray:
    """Return what plain NumPy makes of the records."""
    out = np.zeros((len(LENGTHS), 2, cells), np.float32)
    for row, (values, length) in enumerate(zip(signals(), lengths, strict=True)):
        size = min(cells, length)
        out[row, :, :size] = values[:, :size]
    return out


@pytest.mark.parametrize(
    ("mapping", "lengths", "cells", "counted"),
    [
        (RECORDS, "pad", 55, LENGTHS),
        (RECORDS, "crop", 17, LENGTHS),
        (RECORDS, 40, 40, LENGTHS),
        (RECORDS, "40 ms", 40, LENGTHS),
        (RECORDS, 99, 99, LENGTHS),
        (RECORDS, "/records/*@n", 45, COUNTED),
        (STACK, "/stack/n", 60, LENGTHS),
        (STACK, "/stack/t", 60, LENGTHS),
        (STACK, {"path": "/stack/n"}, 60, LENGTHS),
    ],
    ids=str,
)
def test_records_of_different_length_are_cut_or_padded_and_keep_their_lengths(lab, mapping, lengths, cells, counted):
    data = opened(lab, mapping, lengths=lengths)
    wanted = expected(cells, counted)
    assert np.array_equal(data.x(), wanted)
    rows = np.array([7, 3, 3, 9, 0])
    assert np.array_equal(data.x(rows), wanted[rows])
    assert data.lengths.tolist() == [min(cells, length) for length in counted]
    assert data.axes[0].size == cells
    assert float(data.axes[0].centres[1] - data.axes[0].centres[0]) == pytest.approx(1e-3)
    short, cut = (sum(length < cells for length in counted), sum(length > cells for length in counted))
    said = f"records of {min(counted):,} to {max(counted):,} cells: {cut} cut to {cells:,}, {short} padded with zeros"
    assert said in data.attributes["notes"]


def test_one_length_for_all_may_be_shorter_or_longer_than_a_stack(lab):
    for cells in (20, 80):
        data = opened(lab, {**STACK, "inputs": "/stack/signal"}, lengths=cells)
        x = data.x([2, 5])
        assert x.shape == (2, 2, cells)
        assert np.array_equal(x[:, :, :15], expected(15, LENGTHS)[[2, 5]])
        assert data.lengths.tolist() == [min(cells, 60)] * 10


def test_windows_are_cut_from_what_was_measured_alone(lab):
    data = opened(lab, STACK, lengths="/stack/n", window=10, hop=5)
    assert len(data) == sum((length - 10) // 5 + 1 for length in LENGTHS)
    assert not np.isnan(data.x()).any()
    assert (data.lengths == 10).all()


def test_several_channels_at_paths_of_their_own_are_padded_alike(lab):
    inputs = {"tap": "/records/*/trigger", "answer": "/records/*/temperature"}
    data = opened(lab, RECORDS, inputs=inputs, lengths="pad")
    assert np.array_equal(data.x()[:, 0], 2 * expected(55, LENGTHS)[:, 0])
    assert data.x()[2, 1].tolist() == [*range(17), *[0] * 38]


def test_a_padded_record_takes_the_mean_of_what_was_measured(lab):
    place = {"path": "/records/*/temperature", "unit": "degC"}
    data = opened(lab, RECORDS, lengths="/records/*@n", parameters={"t": place})
    np.testing.assert_allclose(data.parameter_array()[:, 0], (np.array(COUNTED) - 1) / 2)
    data = opened(lab, RECORDS, lengths=20, parameters={"t": {**place, "take": "last"}})
    assert data.parameter_array()[:, 0].tolist() == [min(20, length) - 1 for length in LENGTHS]


def test_the_axis_of_padded_records_begins_where_theirs_does(lab):
    clock = {"axes": {"time": {"centres": "/stack/clock"}}}
    mapping = {key: value for key, value in STACK.items() if key != "sample_rate"}
    for cells in (60, 80):
        data = opened(lab, mapping, lengths=cells, **clock)
        np.testing.assert_allclose(data.axes[0].centres, np.arange(cells) / RATE_HZ - 0.01, atol=1e-12)


def test_the_digest_knows_the_lengths_and_every_process_verifies_padded_records(lab, tmp_path):
    digests = {str(n): opened(lab, RECORDS, lengths=n).digest for n in ("pad", "crop", 40, "/records/*@n", "40 ms")}
    assert len(set(digests.values())) == 4
    assert digests["40"] == digests["40 ms"]
    data = opened(lab, RECORDS, lengths="pad")
    assert data.digest == digests["pad"]
    (tmp_path / "data.pickle").write_bytes(pickle.dumps(data))
    code = (
        "import pickle, sys, numpy as np; data = pickle.loads(open(sys.argv[1], 'rb').read());"
        "print(data.x([9, 0, 3]).shape, repr(float(data.x().astype(np.float64).sum())))"
    )
    words = [sys.executable, "-c", code, tmp_path / "data.pickle"]
    ended = subprocess.run(words, capture_output=True, text=True, check=True)
    assert ended.stdout.split(")")[1].strip() == repr(float(data.x().astype(np.float64).sum()))


@pytest.mark.parametrize(
    ("mapping", "change", "message"),
    [
        (RECORDS, {}, r"r1/signal \(inputs\): a record must be of shape \(2, 30\).*lengths = \"pad\".*\"crop\".*"),
        (RECORDS, {"lengths": 2.5}, r"\(lengths\): the length must be at least one cell, a whole number\. Got 2\.5"),
        (RECORDS, {"lengths": "1 kg"}, r"\(lengths\): the length must be in the axis' unit 's'.*Got 'kg'"),
        (RECORDS, {"lengths": "/nope"}, r"/nope \(lengths\): the path must be in the file"),
        (RECORDS, {"lengths": "pad", "window": 5}, r"\(lengths\): it must be left out where.*Got 'pad'"),
        (RECORDS, {"lengths": 5, "stretch": 9}, r"\(lengths\): it must be left out.*Got one length for all"),
        (
            STACK,
            {"lengths": "/stack/zero"},
            r"whole numbers of cells, 1 to the 60 that are stored\. Got 0 for record 0",
        ),
        (STACK, {"lengths": "/stack/clock"}, r"\(lengths\): the values must be one for each of 10 records"),
        (STACK, {"lengths": {"path": "/stack/f", "unit": "mm"}}, r"lengths must be in the axis' unit 's'.*Got 'mm'"),
        (
            RECORDS,
            {"inputs": "/records/*/image", "layout": "time sensor", "lengths": "pad"},
            r"\(lengths\): padding must be along the last axis, 'sensor'\. Got along 'time'\. Cut windows, or",
        ),
    ],
)
def test_lengths_that_cannot_be_are_refused_with_the_next_step(lab, mapping, change, message):
    with pytest.raises(DataError, match=message):
        opened(lab, mapping, **change)


@pytest.mark.parametrize("lengths", ["padd", "5 ", True, [3]])
def test_words_that_are_no_lengths_are_refused_before_the_file(lab, lengths):
    with pytest.raises(ConfigError, match=r"'lengths"):
        opened(lab, RECORDS, lengths=lengths if lengths != "5 " else "five")


@pytest.mark.parametrize("lengths", ["pad", "crop", 40, "40 ms", "/records/*@n"])
def test_lengths_are_written_and_read_back_the_same(lengths):
    mapping = load_mapping({**RECORDS, "lengths": lengths})
    again = load_mapping(mapping.model_dump(mode="json"))
    assert again == mapping
    assert again.lengths == mapping.lengths != None  # noqa: E711 - a chain: there, and the same


def test_a_run_reads_another_file_at_the_length_it_was_trained_on(lab):
    from ram.runs.config import DataConfig
    from ram.runs.opening import open_data

    section = DataConfig.model_validate({"file": str(lab), "targets": ("f",), "mapping": {**RECORDS, "lengths": "pad"}})
    assert open_data(section).axes[-1].size == 55
    assert open_data(section, for_prediction=True, cells=47).axes[-1].size == 47


def test_what_info_proposes_for_such_a_file_can_be_used(tmp_path):
    path = tmp_path / "daq.h5"
    with h5py.File(path, "w") as file:
        for number in range(12):
            record = file.create_group(f"records/r{number}")
            record["signal"] = np.arange(200.0 + 10 * number)
            record.attrs.update({"fs": RATE_HZ, "depth": float(number), "depth_unit": "mm"})
    proposed = inspected(path)
    assert 'lengths = "pad"   # records of 200 to 310 cells; or "crop"' in proposed
    (tmp_path / "mapping.toml").write_text(proposed, encoding="utf-8")
    data = ram.open_dataset(path, mapping=tmp_path / "mapping.toml")
    assert data.lengths.tolist() == [200 + 10 * number for number in range(12)]


def inspected(path: Path) -> str:
    """Return the mapping that ``ram data info`` proposes."""
    from ram.data.info_finds import find
    from ram.storage.survey import survey

    return find(survey(str(path)), file=path.name).mapping
