"""How batches reach the net: the same from memory, mapped or in blocks; in anyone's DataLoader; as xarray."""

from __future__ import annotations

import itertools
import os
import re
import threading
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from ram.axes import Axis
from ram.data import Dataset, DatasetSpec, Record, integrity, open_dataset, write_dataset
from ram.data.batches import Batches
from ram.data.buffers import Buffers
from ram.data.loading import Loading, choose_loading, shuffled
from ram.errors import DataError

COUNT, SPACE = 60, (6, 8)
ROW_BYTES = 4 * 2 * 6 * 8
STORED: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunked": {"block_rows": 7},
    "gzip": {"compression": "gzip", "block_rows": 7},
    "int16": {"dtype": "int16", "scale": 0.001},
}


def written(path: Path, *, space: tuple[int, ...] = SPACE, count: int = COUNT, **stored: Any) -> Path:
    names = ("z", "y", "x")[3 - len(space) :]
    axes = tuple(Axis.uniform(name, "mm", size=size, step=2.0) for name, size in zip(names, space, strict=True))
    spec = DatasetSpec(
        name="plates",
        axes=axes,
        channels={"thickness": "mm", "fill": "mm"},
        targets={"umbrella": "Hz", "mass": "kg"},
        parameters={"load": "N"},
        count=count,
        **stored,
    )
    draw = np.random.default_rng(2)
    records = (
        Record(
            id=f"p{row}",
            group=f"g{row // 3}",
            x=draw.normal(size=(2, *space)).astype(np.float32),
            targets={"umbrella": 10.0 * row, "mass": np.nan if row == 4 else 0.5 * row},
            parameters={"load": float(row)},
            split={"default": ("train", "train", "validation", "test")[row % 4]},
        )
        for row in range(count)
    )
    return write_dataset(path, spec, records)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("loading")
    return {name: written(folder / f"{name}.h5", **stored) for name, stored in STORED.items()}


def batches(data: Dataset, *, loading: str = "auto", budget_bytes: int = 2**30, **options: Any) -> Batches:
    chosen = choose_loading([data], loading=loading, budget_bytes=budget_bytes)
    return Batches(data, targets=data.target_array(), parameters=["load"], loading=chosen, **options)


# What is chosen


@pytest.mark.parametrize(
    ("file", "asked", "budget_rows", "line"),
    [
        ("contiguous", "auto", 60, "inputs: kept in memory, 23 kB of a budget of 23 kB"),
        ("contiguous", "auto", 59, "inputs: mapped, 23 kB over a budget of 22.7 kB; each sample is read when it is"),
        ("gzip", "auto", 60, "inputs: kept in memory, .*; shuffled in blocks of 7 samples"),
        ("gzip", "auto", 59, "inputs: read in blocks, .*; shuffled in blocks of 7 samples, .* mixed at a time; each"),
        ("gzip", "memory", 1, "inputs: kept in memory, 23 kB of a budget of 384 bytes"),
        ("contiguous", "blocks", 10**7, "inputs: read in blocks, .* of 2730 samples, 64 of them mixed at a time$"),
    ],
)  # fmt: skip
def test_the_way_is_chosen_by_size_and_storage_and_said(
    files: dict[str, Path], file: str, asked: str, budget_rows: int, line: str
) -> None:
    data = open_dataset(files[file])
    chosen = choose_loading([data[:20], data[20:]], loading=asked, budget_bytes=budget_rows * ROW_BYTES)
    assert re.match(line, str(chosen)), str(chosen)


def test_a_file_in_chunks_cannot_be_mapped(files: dict[str, Path]) -> None:
    wanted = r"gzip\.h5: loading must be auto, memory or blocks for a file that is stored in chunks\. Got 'mapped'"
    with pytest.raises(DataError, match=wanted):
        choose_loading([open_dataset(files["gzip"])], loading="mapped", budget_bytes=1)


# Order


def loading_of(rows: int, mixed: int) -> Loading:
    return Loading("blocks", 1, 1, rows, mixed)


def test_order_is_a_function_of_seed_epoch_and_storage_alone(files: dict[str, Path]) -> None:
    for path in files.values():
        data = open_dataset(path).subset("train")
        kept, read = batches(data), batches(data, budget_bytes=1)
        orders = [one.order(seed=seed, epoch=epoch) for one in (kept, read) for seed in (1, 2) for epoch in (1, 2)]
        assert all(np.array_equal(np.sort(order), np.arange(len(data))) for order in orders)
        assert [order.tolist() for order in orders[:4]] == [order.tolist() for order in orders[4:]]
        assert len({tuple(order) for order in orders}) == 4


def test_blocks_are_shuffled_and_only_so_many_mixed_at_a_time(files: dict[str, Path]) -> None:
    data = open_dataset(files["contiguous"])[np.repeat(np.arange(COUNT), 50)]  # 3,000 samples in 30 blocks of 2 rows
    order = shuffled(data, loading_of(2, 4), seed=5, epoch=1)
    blocks = data.indices[order] // 2
    first = np.array([np.flatnonzero(blocks == block)[0] for block in range(30)])
    last = np.array([np.flatnonzero(blocks == block)[-1] for block in range(30)])
    active = [int(np.sum((first <= place) & (place <= last))) for place in range(3_000)]
    assert 4 <= max(active) <= 5  # the mean is 4: each sample moves by up to 4 blocks
    assert np.argsort(first).tolist() != list(range(30))
    middle = blocks[1_000:1_100]
    assert len(np.unique(middle)) >= 4
    assert np.abs(np.corrcoef(np.arange(100), middle == middle[0])[0, 1]) < 0.5  # mixed, not one after the other


def test_all_samples_come_once_where_a_view_leaves_blocks_out(files: dict[str, Path]) -> None:
    data = open_dataset(files["chunked"])[[50, 51, 3, 59, 4, 20]]
    order = shuffled(data, loading_of(7, 2), seed=0, epoch=3)
    assert sorted(order.tolist()) == list(range(6))
    assert shuffled(data[[]], loading_of(7, 2), seed=0, epoch=3).tolist() == []


# Batches


@pytest.mark.parametrize("channels_last", [False, True])
def test_batches_are_the_same_whatever_way_they_come(files: dict[str, Path], *, channels_last: bool) -> None:
    for path in files.values():
        data = open_dataset(path).subset("train")
        x = data.x()
        for loading in ("memory", "auto", "blocks"):
            for budget_bytes in (1, 12 * ROW_BYTES, 2**30):
                made = batches(data, loading=loading, budget_bytes=budget_bytes, channels_last=channels_last)
                order = np.random.default_rng(0).permutation(len(data))
                got = list(made.iterate(order, batch_size=8))
                assert [len(batch.positions) for batch in got] == [8, 8, 8, 6]
                np.testing.assert_array_equal(torch.cat([batch.x for batch in got]).numpy(), x[order])
                np.testing.assert_array_equal(torch.cat([batch.targets for batch in got]), data.target_array()[order])
                loads = data.parameter_array(["load"])[order]
                np.testing.assert_array_equal(torch.cat([batch.parameters for batch in got]), loads)
                strides = (96, 1, 16, 2) if channels_last else (96, 48, 8, 1)
                assert {batch.x.stride() for batch in got} == {strides}


@pytest.mark.parametrize("space", [(5,), (1, 4), (4, 1), (3, 4, 2)])
def test_memory_layout_does_not_depend_on_the_way(tmp_path: Path, space: tuple[int, ...]) -> None:
    data = open_dataset(written(tmp_path / "d.h5", space=space, count=5))
    order = np.array([3, 1, 4])
    kept, read = (batches(data, loading=way, channels_last=True).take(order).x for way in ("memory", "mapped"))
    assert (kept.stride(), kept.shape) == (read.stride(), read.shape)
    assert torch.equal(kept, read)
    assert torch.equal(kept, torch.from_numpy(data.x(order)))


def test_a_batch_stays_as_it_was_while_it_is_held_and_its_memory_is_used_again(files: dict[str, Path]) -> None:
    for loading in ("memory", "mapped"):
        data = open_dataset(files["contiguous"])
        made = batches(data, loading=loading)
        order = np.arange(COUNT)
        held = [batch.x for batch in made.iterate(order, batch_size=4)]
        np.testing.assert_array_equal(torch.cat(held).numpy(), data.x())
        part = held[3][1:, 0]
        del held
        wanted = part.clone()
        places = {batch.x.data_ptr() for _ in range(3) for batch in made.iterate(order, batch_size=4)}
        assert torch.equal(part, wanted)
        assert len(places) <= 6


def test_buffers_are_handed_out_again_only_when_nobody_holds_them() -> None:
    buffers = Buffers()
    first = buffers.empty((3, 4))
    place = first.ctypes.data
    tensor = torch.from_numpy(first)[1:]
    del first
    assert buffers.empty((3, 4)).ctypes.data != place
    del tensor
    again = [buffers.empty((2, 4)), buffers.empty((2, 4))]
    assert place in {one.ctypes.data for one in again}
    assert len({one.ctypes.data for one in again}) == 2
    assert buffers.empty((5, 5)).shape == (5, 5)


def test_batches_for_a_gpu_lie_in_memory_that_it_reads_by_itself(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no GPU here: what is asked of torch is what counts."""
    pinned: list[tuple[int, ...]] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(tuple(self.shape)) or self)
    made = batches(open_dataset(files["contiguous"])[:8], pinned=True)
    threads = {threading.current_thread().name}
    take = made.take
    made.take = lambda positions: (threads.add(threading.current_thread().name), take(positions))[1]  # type: ignore[method-assign]
    assert len(list(made.iterate(np.arange(8), batch_size=4))) == 2
    assert pinned == [(4, 2, 6, 8), (4, 2), (4, 1)] * 2
    assert any(name.startswith("batches") for name in threads)


def test_damage_met_by_the_thread_reaches_the_caller_and_no_thread_stays(tmp_path: Path) -> None:
    path = written(tmp_path / "d.h5")
    data = open_dataset(path)
    content = bytearray(path.read_bytes())
    begin = data._source.head.inputs_begin
    content[begin + 40 * ROW_BYTES + 5] ^= 1
    path.write_bytes(bytes(content))
    made = batches(open_dataset(path), loading="mapped")
    seen = 0
    with pytest.raises(DataError, match=r"d\.h5:/inputs row 40: the values must be those that were written"):
        for batch in made.iterate(np.arange(COUNT), batch_size=8):
            seen += len(batch.positions)
    assert seen == 40
    for _ in itertools.islice(made.iterate(np.arange(COUNT), batch_size=4), 2):
        pass  # given up half-way
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_a_file_cut_short_while_it_is_open_is_an_error_not_a_crash(tmp_path: Path) -> None:
    path = written(tmp_path / "d.h5", count=400)
    data = open_dataset(path)
    assert data[:2].x().shape == (2, 2, 6, 8)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(DataError, match=r"d\.h5:/inputs: the file must be at least .* bytes long\. .*cut short"):
        data[-2:].x()


@pytest.mark.parametrize("stored", [{}, {"block_rows": 4}, {"compression": "gzip", "block_rows": 4}], ids=str)
def test_a_file_ten_times_the_budget_is_streamed_within_it(
    tmp_path: Path, stored: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ram.data.loading._MIXED_BYTES", 2**18)
    data = open_dataset(written(tmp_path / "d.h5", space=(32, 32), count=2_500, **stored))
    budget = 2_500 * 8192 // 10
    data[:1].x()
    tracemalloc.start()
    made = batches(data, budget_bytes=budget)
    assert made.loading.kind == ("blocks" if stored else "mapped")
    total = 0.0
    for batch in made.iterate(made.order(seed=0, epoch=1), batch_size=16):
        total += float(batch.x.sum(dtype=torch.float64))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.1 * budget
    assert total == pytest.approx(float(data.x().sum(dtype=np.float64)), rel=1e-9)


@pytest.mark.parametrize("stored", [{}, {"block_rows": 7}, {"dtype": "int16", "scale": 0.001}], ids=str)
def test_rows_are_the_same_whatever_part_of_the_file_may_stay_in_memory(
    tmp_path: Path, stored: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "d.h5", **stored)
    data, wanted = open_dataset(path), open_dataset(path).x()
    monkeypatch.setattr("ram.data.inputs._most_cached", lambda: 0)  # as of a file that is larger than memory
    draw = np.random.default_rng(0)
    for share in (0.0, 0.01, 0.5, 0.99, 1.0, 2.0):
        data.keep(int(share * path.stat().st_size))
        for rows in (np.arange(COUNT), draw.permutation(COUNT), draw.integers(-COUNT, COUNT, 40), np.arange(0)):
            np.testing.assert_array_equal(data.x(rows), wanted[rows])
        turned = np.empty((COUNT, *SPACE, 2), np.float32)
        data.x(out=np.moveaxis(turned, -1, 1))
        np.testing.assert_array_equal(np.moveaxis(turned, -1, 1), wanted)


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="the system cannot read at a place")
def test_a_read_that_returns_less_is_made_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, wanted = open_dataset(written(tmp_path / "d.h5")), open_dataset(tmp_path / "d.h5").x()
    data.keep(0)
    whole = os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, parts, place: whole(file, (parts[0][:7],), place))
    for _ in range(2):  # when digests are looked at, and later
        np.testing.assert_array_equal(data.x(np.arange(COUNT)[::-1]), wanted[::-1])


@pytest.mark.parametrize("kept_rows", [0, 20, 60], ids=["read", "read and mapped", "mapped"])
@pytest.mark.parametrize("row", [0, 19, 20, 59])
def test_damage_is_found_whether_a_row_is_mapped_or_read(tmp_path: Path, kept_rows: int, row: int) -> None:
    path = written(tmp_path / "d.h5")
    content = bytearray(path.read_bytes())
    begin = open_dataset(path)._source.head.inputs_begin  # type: ignore[attr-defined]
    content[begin + row * ROW_BYTES + 13] ^= 4
    path.write_bytes(content)
    data = open_dataset(path)
    data.keep(kept_rows * ROW_BYTES)
    assert data[np.arange(COUNT) != row].x().shape[0] == COUNT - 1
    for _ in range(2):  # not only when it is first touched
        with pytest.raises(DataError, match=rf"d\.h5:/inputs row {row}: the values must be those that were written"):
            data.x()


# Anyone's DataLoader


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # Python says it of any fork
@pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")
@pytest.mark.parametrize(
    ("file", "workers"), [("contiguous", None), ("gzip", None), ("gzip", "fork"), ("int16", "spawn")]
)
def test_a_data_set_works_in_a_dataloader_as_it_is(files: dict[str, Path], file: str, workers: str | None) -> None:
    data = open_dataset(files[file])[5:30]
    _ = data[0].x  # an open file is left to inherit
    loader = DataLoader(
        data, batch_size=8, num_workers=1 if workers else 0, multiprocessing_context=workers, shuffle=False
    )  # type: ignore[arg-type]
    got = list(loader)
    assert torch.equal(torch.cat([batch["x"] for batch in got]), torch.from_numpy(data.x()))
    assert [name for batch in got for name in batch["id"]] == data.ids.tolist()
    mass = torch.cat([batch["targets"]["mass"] for batch in got]).numpy()
    np.testing.assert_array_equal(mass, data.target_array(["mass"])[:, 0])
    assert torch.cat([batch["index"] for batch in got]).tolist() == list(range(5, 30))
    assert set(got[0]) == {"index", "id", "group", "x", "targets", "parameters", "weight", "length"}


def test_samples_are_mappings(files: dict[str, Path]) -> None:
    sample = open_dataset(files["contiguous"])[7]
    assert list(sample) == ["index", "id", "group", "x", "targets", "parameters", "weight", "length"]
    assert (sample["id"], sample["weight"], sample["length"], len(sample)) == ("p7", 1.0, 8, 8)
    assert sample["x"] is sample.x
    assert sample == sample  # noqa: PLR0124 - arrays in it are not compared
    assert sample != open_dataset(files["contiguous"])[7]
    with pytest.raises(KeyError, match="truth"):
        sample["truth"]
    alone = list(DataLoader(open_dataset(files["contiguous"])[:3], batch_size=None))  # type: ignore[arg-type]
    assert [one["id"] for one in alone] == ["p0", "p1", "p2"]


def test_pairs_of_tensors_for_loops_that_are_written_that_way(files: dict[str, Path]) -> None:
    data = open_dataset(files["gzip"])
    view = data.as_torch(["mass"])
    x, y = view[9]
    assert (x.dtype, y.dtype, tuple(x.shape), y.tolist()) == (torch.float32, torch.float32, (2, 6, 8), [4.5])
    pairs = list(DataLoader(view, batch_size=16))
    assert torch.equal(torch.cat([x for x, _ in pairs]), torch.from_numpy(data.x()))
    np.testing.assert_array_equal(torch.cat([y for _, y in pairs]).numpy(), data.target_array(["mass"]).astype("f4"))
    whole = DataLoader(view, sampler=BatchSampler(SequentialSampler(view), 16, drop_last=False), batch_size=None)
    assert all(
        torch.equal(a, b) for one, two in zip(pairs, whole, strict=True) for a, b in zip(one[:1], two[:1], strict=True)
    )
    x, load, y = data.as_torch(parameters=["load"])[-1]
    assert (load.tolist(), y.tolist()) == ([59.0], [590.0, 29.5])
    with pytest.raises(IndexError, match=r"gzip\.h5: position 60 of 60 samples"):
        view[60]
    with pytest.raises(DataError, match="Did you mean 'mass'"):
        data.as_torch(["mas"])


def test_a_view_of_ten_million_rows_is_sent_as_small_numbers() -> None:
    rows = np.flatnonzero(np.random.default_rng(0).random(1_000_000) < 0.8)
    view = Dataset(None, rows)  # type: ignore[arg-type]
    state = view.__getstate__()
    assert state["steps"].nbytes == rows.size
    back = Dataset.__new__(Dataset)
    back.__setstate__(state)
    np.testing.assert_array_equal(back.indices, rows)
    for some in ([5, 2, 900_000], [], [7]):
        back.__setstate__(Dataset(None, np.array(some, dtype=np.int64)).__getstate__())  # type: ignore[arg-type]
        assert back.indices.tolist() == some
        assert back.indices.dtype == np.int64


# xarray


def test_xarray_has_names_units_and_reads_when_asked(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xarray", reason="xarray comes with the netcdf extra")
    data = open_dataset(files["gzip"])[10:40]
    x = data.x()
    asked: list[int] = []
    read = Dataset.x
    monkeypatch.setattr(
        Dataset, "x", lambda self, rows=None, **more: (asked.append(np.size(rows)), read(self, rows, **more))[1]
    )
    tree = data.to_xarray()
    assert asked == []
    inputs = tree["inputs"]
    assert (inputs.dims, inputs.attrs["units"], inputs.dtype) == (("sample", "channel", "y", "x"), "mm", np.float32)
    np.testing.assert_array_equal(inputs[3:5].values, x[3:5])
    assert asked == [2]
    np.testing.assert_array_equal(
        inputs.sel(sample="p17", channel="fill").isel(y=[4, 1], x=slice(1, 7, 2)).values, x[7, 1, [4, 1], 1:7:2]
    )
    np.testing.assert_array_equal(inputs.isel(sample=[9, 2], x=-1).values, x[[9, 2], :, :, -1])
    np.testing.assert_array_equal(tree["targets/mass"].values, data.target_array(["mass"])[:, 0])
    assert (tree["targets/umbrella"].attrs["units"], tree["parameters/load"].attrs["units"]) == ("Hz", "N")
    assert tree["splits/default"].values.tolist() == data.split_array().tolist()
    assert tree["inputs"].coords["group"].values.tolist() == data.groups.tolist()
    assert (tree["x"].attrs["units"], tree["x"].values.tolist()) == ("mm", data.axes[1].centres.tolist())
    np.testing.assert_array_equal(tree["inputs"].mean("sample").values, x.mean(axis=0))


def test_xarray_has_truth_and_regions(disc_folder: Path) -> None:
    pytest.importorskip("xarray", reason="xarray comes with the netcdf extra")
    data = open_dataset(disc_folder / "discs.h5").subset("test")
    tree = data.to_xarray()
    truth = tree["truth/umbrella/contribution"]
    assert (truth.dims, truth.attrs["units"]) == (("sample", "y", "x"), "Hz")
    np.testing.assert_array_equal(truth[1:3].values, data.truth_array("umbrella", "contribution")[1:3])
    np.testing.assert_array_equal(tree["regions"].values, data.regions_array())
    assert tree["regions"].attrs["flag_meanings"] == "void hub rim"


def test_xarray_that_is_missing_is_named(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    wanted = r"to_xarray\(\): the package xarray must be installed\. Got none\. pip install .*\[netcdf\]"
    with pytest.raises(DataError, match=wanted):
        open_dataset(files["contiguous"]).to_xarray()


# Integrity


@pytest.mark.parametrize(
    ("stored", "named"),
    [
        ({}, ["/inputs row 8", "/inputs rows 30 to 31"]),
        ({"block_rows": 7}, ["/inputs rows 7 to 13", "/inputs rows 28 to 34"]),
    ],
    ids=str,
)
def test_all_damage_is_named_down_to_the_block(tmp_path: Path, stored: dict[str, Any], named: list[str]) -> None:
    path = written(tmp_path / "d.h5", **stored)
    assert integrity.verify(path) == []
    content = bytearray(path.read_bytes())
    values = open_dataset(path).x()
    for row in (8, 30, 31):
        content[bytes(content).index(values[row].tobytes()) + 17] ^= 64
    path.write_bytes(bytes(content))
    told: list[tuple[int, int]] = []
    found = integrity.verify(path, lambda done, total: told.append((done, total)))
    assert [str(one) for one in found] == named
    assert "d.h5:/inputs row 8: the values must be those that were written" in found[0].reason
    assert told[-1] == (COUNT, COUNT)


def test_damaged_truth_is_named_too(disc_folder: Path, tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "discs.h5"
    content = bytearray((disc_folder / "discs.h5").read_bytes())
    with h5py.File(disc_folder / "discs.h5") as file:
        chunk = file["truth/umbrella/contribution"].id.get_chunk_info(2)
        region = file["regions"].id.get_chunk_info(11)
    for place in (chunk.byte_offset + chunk.size // 2, region.byte_offset + 3):
        content[place] ^= 1
    path.write_bytes(bytes(content))
    assert [str(one) for one in integrity.verify(path)] == ["/truth/umbrella/contribution row 14", "/regions row 11"]


# Weights and padding


def test_weights_travel_with_the_batch_and_have_a_mean_of_one(tmp_path: Path) -> None:
    path = written(tmp_path / "plain.h5")
    data = open_dataset(path)
    assert batches(data).take(np.array([3])).weights is None
    axes = tuple(Axis.uniform(name, "mm", size=4, step=1.0) for name in "yx")
    spec = DatasetSpec(name="w", axes=axes, channels={"a": "V"}, targets={"f": "Hz"}, count=4, weighted=True)
    record = Record(id="", x=np.zeros((1, 4, 4), np.float32), targets={"f": 1.0})
    records = [replace(record, id=str(row), weight=float(row)) for row in range(4)]
    weighted = open_dataset(write_dataset(tmp_path / "w.h5", spec, records))
    made = Batches(weighted, targets=weighted.target_array())
    taken = made.take(np.array([3, 0, 2])).weights
    assert taken is not None
    assert taken.tolist() == [2.0, 0.0, 4.0 / 3.0]
    assert Batches(weighted[[2, 2]], targets=np.zeros((2, 1))).weights is None
