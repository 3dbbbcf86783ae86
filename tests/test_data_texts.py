"""Texts of many samples: little memory, no id twice, whatever the bits they are looked up by."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from ram.axes import Axis
from ram.data import DatasetSpec, Record, open_dataset, write_dataset
from ram.data import texts as module
from ram.data.texts import Ids, Texts
from ram.errors import DataError


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 4)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 13])
def test_texts_come_back_in_their_order(count: int) -> None:
    names = [f"träger-{'x' * (row % 5)}{row}" for row in range(count)]
    texts = Texts()
    for name in names:
        texts.add(name)
    assert len(texts) == count
    assert [one.decode() for block in texts.blocks() for one in block.tolist()] == names
    assert [texts.row(row).decode() for row in range(count)] == names
    assert texts.width == max([1, *(len(name.encode()) for name in names)])


@pytest.mark.parametrize("bits", [64, 2, 0], ids=["64 bits", "four values", "all alike"])
def test_an_id_is_found_wherever_it_stands_and_no_other(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = module._bits_of
    monkeypatch.setattr(module, "_bits_of", lambda text: np.uint64(int(real(text)) % 2**bits))
    ids = Ids()
    for row in range(30):
        assert ids.row_of(f"s{row}") is None
        ids.add(f"s{row}")
    assert [ids.row_of(f"s{row}") for row in range(31)] == [*range(30), None]


def test_an_id_that_comes_twice_is_refused_however_far_apart(tmp_path: Path) -> None:
    axes = (Axis.uniform("time", "s", size=3, step=1e-3),)
    spec = DatasetSpec(name="taps", axes=axes, channels={"force": "N"}, targets={"f": "Hz"}, count=40)
    records = [Record(id=f"t{row % 37}", x=np.full((1, 3), row, np.float32), targets={"f": 1.0}) for row in range(40)]
    with pytest.raises(DataError, match=r"taps\.h5 row 37: the id must be unique\. Got 't0', which row 0 has too\."):
        write_dataset(tmp_path / "taps.h5", spec, records)
    data = open_dataset(write_dataset(tmp_path / "taps.h5", DatasetSpec(**{**vars(spec), "count": 37}), records[:37]))
    assert data.ids.tolist() == [f"t{row}" for row in range(37)]
    np.testing.assert_array_equal(data.x()[:, 0, 0], np.arange(37))


def test_ids_take_a_few_bytes_beyond_their_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 2**10)
    ids = Ids()
    tracemalloc.start()
    for row in range(2**14):
        ids.add(f"specimen-{row:011d}")
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown < 2**14 * (20 + 16 + 8)  # letters, bits and rows; a dictionary of them takes 200 bytes each
