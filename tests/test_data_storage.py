"""How inputs may be stored: integers with a scale, weights, lengths, chunks, compression."""

from __future__ import annotations

import hashlib
import pickle
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ram.axes import Axis
from ram.data import DatasetSpec, Record, open_dataset, write_dataset
from ram.data.packing import Packing
from ram.data.stored import stored_inputs
from ram.errors import DataError

COUNT, CELLS = 23, 40


def spec(**changes: Any) -> DatasetSpec:
    content: dict[str, Any] = {
        "name": "signals",
        "axes": (Axis.uniform("time", "ms", size=CELLS, step=0.5),),
        "channels": {"left": "V", "right": "V"},
        "targets": {"depth": "cm"},
        "count": COUNT,
    }
    return DatasetSpec(**(content | changes))


def signals() -> list[Record]:
    draw = np.random.default_rng(3)
    x = draw.normal(0.0, 1.0, (COUNT, 2, CELLS)).astype(np.float32)
    return [Record(id=f"s{row}", x=x[row], targets={"depth": float(row)}) for row in range(COUNT)]


STORED = [
    {},
    {"block_rows": 4},
    {"block_rows": COUNT},
    {"compression": "gzip"},
    {"compression": "gzip", "block_rows": 5},
    {"compression": "zstd", "block_rows": 5},
]


def written(path: Path, **changes: Any) -> Path:
    return write_dataset(path / "signals.h5", spec(**changes), signals())


@pytest.mark.parametrize("stored", STORED, ids=str)
@pytest.mark.parametrize("packed", [{}, {"dtype": "int16", "scale": 0.001, "offset": 0.5}], ids=str)
def test_values_come_back_whatever_way_they_are_stored(
    tmp_path: Path, stored: dict[str, Any], packed: dict[str, Any]
) -> None:
    data = open_dataset(written(tmp_path, **stored, **packed))
    x = np.stack([record.x for record in signals()])
    within = 0.0005 + 1e-6 if packed else 0.0  # half a step, and the rounding of float32
    for rows in (np.arange(COUNT), np.array([7, 22, 0, 7, 21]), np.array([], dtype=np.int64), np.array([-1, 3])):
        np.testing.assert_allclose(data.x(rows), x[rows], rtol=0, atol=within)
        np.testing.assert_array_equal(data.x(rows), data.x()[rows])
    back = pickle.loads(pickle.dumps(data[5:9]))
    np.testing.assert_array_equal(back.x(), data.x()[5:9])


@pytest.mark.parametrize("stored", STORED[1:], ids=str)
def test_the_digest_is_that_of_the_values_not_of_the_chunks(tmp_path: Path, stored: dict[str, Any]) -> None:
    plain = open_dataset(written(tmp_path)).digest
    path = written(tmp_path, **stored)
    assert open_dataset(path).digest == plain
    first = hashlib.sha256(path.read_bytes()).digest()
    assert hashlib.sha256(written(tmp_path, **stored).read_bytes()).digest() == first  # same input, same bytes


def test_the_digest_knows_the_scale(tmp_path: Path) -> None:
    packed = {"dtype": "int16", "scale": 0.001}
    digests = [open_dataset(written(tmp_path, **packed, offset=offset)).digest for offset in (0.0, 1e-9)]
    with h5py.File(written(tmp_path, **packed), "a") as file:
        file["inputs"].attrs["scale_factor"] = 0.002
    assert len({*digests, open_dataset(tmp_path / "signals.h5").digest}) == 3


@pytest.mark.parametrize("stored", [{}, {"compression": "gzip", "block_rows": 5}], ids=str)
def test_it_is_netcdf4_that_decodes_by_itself(tmp_path: Path, stored: dict[str, Any]) -> None:
    xarray = pytest.importorskip("xarray", reason="xarray comes with the dev extra")
    path = written(tmp_path, dtype="uint8", scale=0.05, offset=-6.0, weighted=True, lengths=True, **stored)
    data = open_dataset(path)
    with xarray.open_datatree(path, engine="h5netcdf") as tree:
        assert tree["inputs"].encoding["dtype"] == np.uint8
        np.testing.assert_allclose(tree["inputs"].values, data.x(), rtol=0, atol=2e-6)
        assert tree["weights"].dims == tree["lengths"].dims == ("sample",)


def test_bytes_of_pictures_are_kept_as_they_are(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (COUNT, 2, CELLS)).astype(np.uint8)
    records = [replace(record, x=x[row]) for row, record in enumerate(signals())]
    path = write_dataset(tmp_path / "bytes.h5", spec(dtype="uint8"), records)
    np.testing.assert_array_equal(open_dataset(path).x(), x.astype(np.float32))
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["inputs"][()], x)


def test_weights_and_lengths_come_back_and_have_plain_defaults(tmp_path: Path) -> None:
    plain = open_dataset(written(tmp_path))
    np.testing.assert_array_equal(plain.weights, np.ones(COUNT))
    np.testing.assert_array_equal(plain.lengths, np.full(COUNT, CELLS))
    records = [replace(r, weight=0.5 * row, length=row + 1) for row, r in enumerate(signals())]
    records[4] = replace(records[4], length=None)
    path = write_dataset(tmp_path / "weighted.h5", spec(weighted=True, lengths=True), records)
    data = open_dataset(path)
    np.testing.assert_array_equal(data.weights, 0.5 * np.arange(COUNT))
    np.testing.assert_array_equal(data[3:6].lengths, [4, CELLS, 6])
    assert (data.weights.dtype, data.lengths.dtype) == (np.float64, np.int64)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "float16"}, r"data set 'signals': dtype must be one of float32, int16, uint8\. Got 'float16'\."),
        ({"dtype": "int16", "scale": 0.0}, r"scale must be positive and offset finite\. Got 0\.0 and 0\.0"),
        ({"dtype": "int16", "offset": np.nan}, "scale must be positive and offset finite"),
        ({"scale": 2.0}, r"scale and offset must be 1 and 0 for float32\. Got 2\.0 and 0\.0"),
        ({"compression": "zst"}, r"compression must be None or one of gzip, zstd\. Got 'zst'\. Did you mean 'zstd'\?"),
        ({"block_rows": 0}, r"block_rows must be at least 1\. Got 0"),
    ],
)
def test_a_way_to_store_that_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        spec(**changes)


@pytest.mark.parametrize(
    ("declared", "record", "message"),
    [
        ({}, {"weight": 2.0}, r"row 0: the weight must be 1, for the data set is declared without weights\. Got 2\.0"),
        ({}, {"length": 3}, r"row 0: the length must be left out, for the data set is declared without lengths"),
        ({"weighted": True}, {"weight": -1.0}, r"the weight must be finite and not negative\. Got -1\.0"),
        ({"weighted": True}, {"weight": np.nan}, r"the weight must be finite and not negative\. Got nan"),
        ({"lengths": True}, {"length": 0}, r"the length must be 1 to 40 cells\. Got 0"),
        ({"lengths": True}, {"length": 41}, r"the length must be 1 to 40 cells\. Got 41"),
        (
            {"dtype": "uint8", "scale": 0.5},
            {"x": np.full((2, CELLS), 200.0)},
            r"row 0 \(id 's0'\): x must be 0 to 127\.5, what uint8 holds\. Got 200 in 80 cells\. Choose another scale",
        ),
        ({"dtype": "int16"}, {"x": np.full((2, CELLS), np.nan)}, r"what int16 holds\. Got nan in 80 cells"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(
    tmp_path: Path, declared: dict[str, Any], record: dict[str, Any], message: str
) -> None:
    records = [replace(signals()[0], **record), *signals()[1:]]
    with pytest.raises(DataError, match=message):
        write_dataset(tmp_path / "signals.h5", spec(**declared), records)
    assert not list(tmp_path.iterdir())


def test_packing_is_off_by_half_a_step_at_most_and_packs_again_to_the_same() -> None:
    packing = Packing("int16", 0.01, 20.0)
    values = np.random.default_rng(1).uniform(*packing.bounds, 10_000)
    stored = packing.pack(values)
    back = packing.unpack(stored)
    assert np.abs(back - values).max() <= 0.005 + 4e-5  # float32 at 348 rounds by 1.5e-5, twice
    np.testing.assert_array_equal(packing.pack(back), stored)
    low, high = packing.bounds
    assert packing.pack(np.array([low, high])).tolist() == [-32768, 32767]


def test_a_chunk_far_larger_than_the_file_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.h5"
    with h5py.File(path, "w") as file:
        made = file.create_dataset(
            "inputs", (8, 2**24), dtype="f4", chunks=(8, 2**24), compression="gzip", shuffle=True
        )
        made.id.write_direct_chunk((0, 0), zlib.compress(b""))
    allowed = (
        r"bomb\.h5:/inputs: the array must be in chunks not far larger than the file\. Got one of 536,870,912 bytes"
    )
    with h5py.File(path) as file, pytest.raises(DataError, match=allowed):
        stored_inputs(file, path)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_chunk_that_unpacks_to_more_than_a_chunk_is_refused(tmp_path: Path, compression: str) -> None:
    """A few kB of a compressed chunk can stand for gigabytes; no more than a chunk is unpacked."""
    path = written(tmp_path, compression=compression, block_rows=4)
    with h5py.File(path, "a") as file:
        _, content = file["inputs"].id.read_direct_chunk((8, 0, 0))
        other = (
            zlib.compress(bytes(10**6)) if compression == "gzip" else content[:5] + b"\xff\xff\xff\x7f" + content[9:]
        )
        file["inputs"].id.write_direct_chunk((8, 0, 0), other)
    data = open_dataset(path)
    wanted = r"signals\.h5:/inputs rows 8 to 11: the file must be whole and readable as HDF5\. Got 'a chunk of .*length"
    with pytest.raises(DataError, match=wanted):
        data.x([9])
    np.testing.assert_array_equal(data.x([7]), signals()[7].x[None])


@pytest.mark.parametrize("stored", STORED, ids=str)
def test_a_flipped_bit_in_any_chunk_is_found(tmp_path: Path, stored: dict[str, Any]) -> None:
    path = written(tmp_path, **stored)
    with h5py.File(path) as file:
        array = file["inputs"]
        if array.chunks:
            info = array.id.get_chunk_info(array.id.get_num_chunks() - 1)
            begin, size = info.byte_offset, info.size
        else:
            begin, size = array.id.get_offset(), array.id.get_storage_size()
    content = bytearray(path.read_bytes())
    content[begin + size // 3] ^= 4
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"signals\.h5:/inputs row"):
        open_dataset(path).x()
    with pytest.raises(DataError, match=r"signals\.h5:/inputs row"):
        [sample.x for sample in open_dataset(path)]
