from __future__ import annotations

import shutil
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ram.data import open_dataset
from ram.data.layout import digest_of
from ram.errors import DataError


def another_schema(file: h5py.File) -> None:
    file.attrs["schema"] = np.bytes_(b"ram-dataset/2")


def no_schema(file: h5py.File) -> None:
    del file.attrs["schema"]


def no_unit(file: h5py.File) -> None:
    del file["targets/umbrella"].attrs["units"]


def no_such_unit(file: h5py.File) -> None:
    file["truth/umbrella/contribution"].attrs["units"] = np.bytes_(b"banana")


def no_digests(file: h5py.File) -> None:
    del file["digests"]


def no_digest_of_inputs(file: h5py.File) -> None:
    del file["digests/inputs_xxh3"]


def no_digest_of_a_target(file: h5py.File) -> None:
    del file["digests/targets/mass_xxh3"]


def digests_too_short(file: h5py.File) -> None:
    del file["digests/truth/umbrella/contribution_xxh3"]
    file["digests/truth/umbrella/contribution_xxh3"] = np.zeros(3, dtype=np.uint64)


def chunked_inputs(file: h5py.File) -> None:
    del file["inputs"]
    file.create_dataset("inputs", (30, 2, 16, 16), dtype="f4", chunks=(1, 2, 16, 16))


def double_inputs(file: h5py.File) -> None:
    del file["inputs"]
    file["inputs"] = np.zeros((30, 2, 16, 16))


def other_inputs(file: h5py.File, **storage: Any) -> None:
    values = file["inputs"][()]
    del file["inputs"]
    file.create_dataset("inputs", data=values, **storage)


def big_endian_inputs(file: h5py.File) -> None:
    other_inputs(file, dtype=">f4")


def parted_inputs(file: h5py.File) -> None:
    other_inputs(file, chunks=(1, 1, 16, 16))


def lzf_inputs(file: h5py.File) -> None:
    other_inputs(file, chunks=(1, 2, 16, 16), compression="lzf")


def scale_of_zero(file: h5py.File) -> None:
    file["inputs"].attrs["scale_factor"] = 0.0


def weights_too_short(file: h5py.File) -> None:
    file["weights"] = np.ones(3)
    file["digests/weights_xxh3"] = np.uint64(digest_of(np.ones(3)))


def size_bomb(file: h5py.File) -> None:
    del file["inputs"]
    file.create_dataset("inputs", (2**34, 2, 16, 16), dtype="f4")


def column_bomb(file: h5py.File) -> None:
    del file["targets/mass"]
    file.create_dataset("targets/mass", (2**33,), dtype="f8", chunks=(2**20,), compression="gzip")


def truth_of_another_shape(file: h5py.File) -> None:
    del file["truth/umbrella/contribution"]
    made = file.create_dataset("truth/umbrella/contribution", (30, 2**16, 2**16), dtype="f4", chunks=(1, 16, 16))
    made.attrs["units"] = "Hz"


def value_changed(file: h5py.File) -> None:
    file["targets/mass"][4] = 1.0


def id_changed(file: h5py.File) -> None:
    file["ids"][2] = b"d001"


def axis_changed(file: h5py.File) -> None:
    file["x"][...] = np.arange(16.0)


def no_ids(file: h5py.File) -> None:
    del file["ids"]


def soft_link_as_inputs(file: h5py.File) -> None:
    del file["inputs"]
    file["inputs"] = h5py.SoftLink("/nothing")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (another_schema, "/ attribute schema: the schema must be 'ram-dataset/1'. Got 'ram-dataset/2'. It is a"),
        (no_schema, "/ attribute schema: the schema must be 'ram-dataset/1'. Got none. .*`ram data info` shows"),
        (no_unit, "/targets/umbrella attribute units: the unit must be given. Got none."),
        (no_such_unit, "/truth/umbrella/contribution attribute units: the unit must be one that pint .* Got 'banana'"),
        (no_digests, " the file must be whole and readable"),
        (no_digest_of_inputs, r"/digests/inputs_xxh3: the array must be there with shape \(30,\). Got none"),
        (no_digest_of_a_target, r"/digests/targets/mass_xxh3: the array must be there with shape \(\). Got none"),
        (digests_too_short, r"/digests/truth/umbrella/contribution_xxh3: the array must be .*\(30,\). Got \(3,\)"),
        (chunked_inputs, "/inputs: the array must be written whole, 30 chunks. Got 0"),
        (double_inputs, "/inputs: the array must be of type float32, int16, uint8, little-endian. Got float64"),
        (big_endian_inputs, "/inputs: the array must be of type .*, little-endian. Got >f4"),
        (parted_inputs, r"/inputs: the array must be in chunks of whole samples, \(rows, 2, 16, 16\). Got \(1, 1, 16"),
        (lzf_inputs, "/inputs: the array must be plain, or shuffled and compressed by gzip or zstd. Got filters"),
        (scale_of_zero, "/inputs: scale must be positive and offset finite. Got 0.0 and 0.0"),
        (weights_too_short, r"/weights: the array must be there with shape \(30,\). Got \(3,\)"),
        (size_bomb, r"/digests/inputs_xxh3: the array must be there with shape \(17179869184,\). Got \(30,\)"),
        (column_bomb, "/targets/mass: the array must be float64, 68,719,476,736 bytes in one piece"),
        (truth_of_another_shape, r"/truth/umbrella/contribution: .* \(30, 16, 16\). Got \(30, 65536, 65536\)"),
        (value_changed, "/targets/mass: the values must be those that were written. Got another digest"),
        (id_changed, "/ids: the values must be those that were written"),
        (axis_changed, "/x: the values must be those that were written"),
        (no_ids, " the file must be whole and readable as HDF5. Got .*ids"),
        (soft_link_as_inputs, " the file must be whole and readable as HDF5"),
    ],
)  # fmt: skip
def test_a_file_changed_by_other_hands_is_refused_before_it_is_read(
    disc_folder: Path, tmp_path: Path, change: Callable[[h5py.File], None], message: str
) -> None:
    path = shutil.copy(disc_folder / "discs.h5", tmp_path / "discs.h5")
    with h5py.File(path, "a") as file:
        change(file)
    tracemalloc.start()
    begin = time.monotonic()
    with pytest.raises(DataError, match=rf"discs\.h5:{message}"):
        open_dataset(path)
    assert time.monotonic() - begin < 5.0
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()
