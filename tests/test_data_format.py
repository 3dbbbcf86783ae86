from __future__ import annotations

import functools
import hashlib
import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ram.axes import Axis
from ram.data import Dataset, DatasetSpec, Record, open_dataset, write_dataset
from ram.errors import DataError, RamError

COUNT = 9
SENSITIVITY = ("umbrella", "sensitivity")
CONTRIBUTION = ("umbrella", "contribution")


def plate_spec(**changes: Any) -> DatasetSpec:
    y = Axis("y", "mm", np.array([-4.0, -1.0, 4.0]), np.array([-5.0, -3.0, 1.0, 7.0]), "height")
    x = Axis.uniform("x", "mm", size=4, step=2.0, start=-3.0)
    content: dict[str, Any] = {
        "name": "plätes",
        "source": "drawn by lot",
        "licence": "MIT",
        "axes": (y, x),
        "channels": {"thickness": "mm", "fill": "1"},
        "targets": {"umbrella": "Hz", "mass": "kg"},
        "parameters": {"load": "N", "angle": "deg"},
        "truth": {SENSITIVITY: "Hz/mm", CONTRIBUTION: "Hz"},
        "regions": ("void", "hub", "rim"),
        "splits": ("default", "by_group"),
        "symmetries": ("mirror",),
        "reference": np.arange(24.0).reshape(2, 3, 4),
        "count": COUNT,
    }
    return DatasetSpec(**(content | changes))


def plate(index: int) -> Record:
    draw = np.random.default_rng(index)
    space = (3, 4)
    return Record(
        id=f"plate-{index}é",
        group=f"tool {index // 3}",
        x=draw.normal(20.0, 3.0, (2, *space)).astype(np.float32),
        targets={"mass": 2.5 + index} | ({"umbrella": 440.0 * (1 + index)} if index != 4 else {}),
        parameters={"load": -float(index), "angle": 0.25},
        split={
            "default": ("train", "train", "validation")[index % 3],
            "by_group": ("train", "test", "test")[index // 3],
        },
        truth={SENSITIVITY: draw.normal(size=space)} | ({CONTRIBUTION: draw.normal(size=space)} if index == 6 else {}),
        regions=draw.integers(0, 3, space).astype(np.uint8) if index != 2 else None,
    )


def plates(count: int = COUNT) -> Iterator[Record]:
    return (plate(index) for index in range(count))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "plates.h5", plate_spec(), plates())


def everything(path: Path) -> dict[str, Any]:
    """All values and texts that a user can read from a file."""
    data = open_dataset(path)
    arrays = {f"{target}/{kind}": data.truth_array(target, kind) for target, kind in data.truth_kinds}
    arrays |= {"x": data.x(), "regions": data.regions_array(), "reference": data.reference_design()}
    arrays |= {"targets": data.target_array(), "parameters": data.parameter_array(), "ids": data.ids}
    arrays |= {"groups": data.groups} | {split: data.split_array(split) for split in data.splits}
    arrays |= {f"axis {axis.name}": np.append(axis.centres, axis.edges) for axis in data.axes}
    units = [data.targets, data.parameters, data.channels, data.truth_kinds, [(a.unit, a.long_name) for a in data.axes]]
    texts = [dict(data.attributes), units, data.symmetries, data.region_names, data.digest]
    return {name: (value.shape, value.tobytes()) for name, value in arrays.items()} | {"texts": repr(texts)}


# What was written is what is read


def test_every_value_name_and_unit_comes_back(file: Path) -> None:
    data = open_dataset(file)
    records = list(plates())
    assert np.array_equal(data.x(), np.stack([record.x for record in records]))
    assert data.ids.tolist() == [record.id for record in records]
    assert data.groups.tolist() == [record.group for record in records]
    expected = [[record.targets.get("umbrella", np.nan), record.targets["mass"]] for record in records]
    np.testing.assert_array_equal(data.target_array(), expected)
    np.testing.assert_array_equal(data.target_array(["mass"])[:, 0], [row[1] for row in expected])
    np.testing.assert_array_equal(data.parameter_array(["angle", "load"])[5], [0.25, -5.0])
    assert (data.targets, data.parameters) == ({"umbrella": "Hz", "mass": "kg"}, {"load": "N", "angle": "deg"})
    assert list(data.channels.items()) == [("thickness", "mm"), ("fill", "1")]
    assert data.truth_kinds == {SENSITIVITY: "Hz/mm", CONTRIBUTION: "Hz"}
    for ours, given in zip(data.axes, plate_spec().axes, strict=True):
        assert ours.same_grid(given)
        assert (ours.long_name, ours.centres.tolist()) == (given.long_name, given.centres.tolist())
    assert (data.name, data.symmetries, data.region_names) == ("plätes", ("mirror",), ("void", "hub", "rim"))
    assert (data.splits, data.attributes["licence"]) == (("default", "by_group"), "MIT")
    np.testing.assert_array_equal(data.reference_design(), np.arange(24.0).reshape(2, 3, 4))


def test_truth_is_nan_and_regions_are_255_where_there_are_none(file: Path) -> None:
    data = open_dataset(file)
    truth = data.truth_array(*CONTRIBUTION)
    assert np.isnan(truth).all(axis=(1, 2)).tolist() == [index != 6 for index in range(COUNT)]
    np.testing.assert_array_equal(truth[6], plate(6).truth[CONTRIBUTION].astype(np.float32))
    assert data.has_truth(*CONTRIBUTION).tolist() == [index == 6 for index in range(COUNT)]
    regions = data.regions_array()
    assert (regions[2] == 255).all()
    np.testing.assert_array_equal(regions[3], plate(3).regions)
    with h5py.File(file) as raw:
        assert raw["truth/umbrella/contribution"].id.get_num_chunks() == 1
        assert raw["regions"].id.get_num_chunks() == COUNT - 1


@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize("count", [1, 3])
def test_any_number_of_axes(tmp_path: Path, shape: tuple[int, ...], count: int) -> None:
    axes = tuple(Axis.uniform(name, "s", size=size, step=0.5) for name, size in zip("zyx", shape, strict=False))
    spec = DatasetSpec(name="n", axes=axes, channels={"a": "V"}, targets={"f": "Hz"}, count=count)
    x = np.random.default_rng(0).normal(size=(count, 1, *shape)).astype(np.float32)
    records = [Record(id=str(row), x=x[row], targets={"f": row}) for row in range(count)]
    data = open_dataset(write_dataset(tmp_path / "n.h5", spec, records))
    assert np.array_equal(data.x(), x)
    assert [axis.size for axis in data.axes] == list(shape)
    assert (data.region_names, data.truth_kinds, data.reference_design(), data.parameters) == ((), {}, None, {})


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
def test_it_is_netcdf4(file: Path, engine: str) -> None:
    xarray = pytest.importorskip("xarray", reason="xarray comes with the dev extra")
    pytest.importorskip({"netcdf4": "netCDF4"}.get(engine, engine), reason=f"{engine} is not installed")
    with xarray.open_datatree(file, engine=engine) as tree:
        assert tree["inputs"].dims == ("sample", "channel", "y", "x")
        assert tree["truth/umbrella/sensitivity"].dims == ("sample", "y", "x")
        assert tree["targets/umbrella"].dims == tree["splits/default"].dims == ("sample",)
        assert tree["truth/reference"].dims == ("channel", "y", "x")
        np.testing.assert_array_equal(tree["inputs"].values, open_dataset(file).x())
        np.testing.assert_array_equal(tree["targets/umbrella"].values[3:5], [440.0 * 4, np.nan])
        np.testing.assert_array_equal(tree["truth/umbrella/contribution"].values[5], np.full((3, 4), np.nan))
        np.testing.assert_array_equal(tree["y"].values, [-4.0, -1.0, 4.0])
        np.testing.assert_array_equal(tree["y_bounds"].values, [[-5.0, -3.0], [-3.0, 1.0], [1.0, 7.0]])
        units = {"targets/mass": "kg", "truth/umbrella/sensitivity": "Hz/mm", "x": "mm", "parameters/angle": "deg"}
        assert {path: tree[path].attrs["units"] for path in units} == units
        assert (tree["y"].attrs["long_name"], tree["splits/default"].attrs["flag_meanings"]) == (
            "height",
            "train validation test",
        )
        ids = [text.decode() if isinstance(text, bytes) else text for text in tree["ids"].values.tolist()]
        assert ids == [plate(index).id for index in range(COUNT)]
        assert list(tree["targets"].data_vars) == ["umbrella", "mass"]
        assert tree.attrs["name"] == "plätes"


def test_inputs_lie_in_one_piece_for_memory_mapping_and_nothing_tells_the_time(file: Path) -> None:
    with h5py.File(file) as raw:
        inputs = raw["inputs"]
        assert (inputs.chunks, inputs.dtype, inputs.id.get_offset() % 64) == (None, np.dtype("<f4"), 0)
        mapped = np.memmap(file, dtype="<f4", mode="r", offset=inputs.id.get_offset(), shape=inputs.shape)
        assert np.array_equal(mapped, inputs[()])
        truth = raw["truth/umbrella/sensitivity"]
        assert (truth.chunks, truth.compression, truth.compression_opts) == ((1, 3, 4), "gzip", 1)
        assert truth.shuffle
        assert truth.fletcher32
        times: list[int] = []
        raw.visititems(lambda name, thing: times.append(h5py.h5o.get_info(thing.id).mtime))
        assert set(times) == {0}


def test_same_input_same_bytes_in_any_process(file: Path, tmp_path: Path) -> None:
    again = write_dataset(tmp_path / "again.h5", plate_spec(), plates())
    code = (
        f"import importlib.util as u; s=u.spec_from_file_location('t', {__file__!r}); t=u.module_from_spec(s);"
        f"s.loader.exec_module(t); t.write_dataset({str(tmp_path / 'other.h5')!r}, t.plate_spec(), t.plates())"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (file, again, tmp_path / "other.h5")}
    assert len(digests) == 1


def test_the_digest_stands_for_values_and_units(tmp_path: Path) -> None:
    def digest(spec: DatasetSpec, records: Iterator[Record] | list[Record]) -> str:
        return open_dataset(write_dataset(tmp_path / "d.h5", spec, records)).digest

    first = digest(plate_spec(), plates())
    assert first == digest(plate_spec(), plates())
    assert len(first) == 32
    changed = list(plates())
    changed[3] = replace(changed[3], x=np.nextafter(changed[3].x, np.float32(100.0)))
    others = [
        digest(plate_spec(), changed),
        digest(plate_spec(targets={"umbrella": "kHz", "mass": "kg"}), plates()),
        digest(plate_spec(channels={"thickness": "m", "fill": "1"}), plates()),
        digest(plate_spec(licence="CC0"), plates()),
    ]
    assert len({first, *others}) == 5


# Views


def test_views_select_by_position_mask_and_part(file: Path) -> None:
    data = open_dataset(file)
    part = data.subset("validation")
    assert part.indices.tolist() == [2, 5, 8]
    assert data.subset("test", split="by_group").indices.tolist() == [3, 4, 5, 6, 7, 8]
    assert part[1:].ids.tolist() == [plate(5).id, plate(8).id]
    assert part[[2, 0]].indices.tolist() == part[np.array([-1, 0])].indices.tolist() == [8, 2]
    assert data[data.ids == plate(7).id].indices.tolist() == [7]
    np.testing.assert_array_equal(part.x([2, 0]), np.stack([plate(8).x, plate(2).x]))
    np.testing.assert_array_equal(part[::-1].x(), part.x()[::-1])
    np.testing.assert_array_equal(part.truth_array(*SENSITIVITY)[1], data.truth_array(*SENSITIVITY)[5])
    assert len(data[[]]) == 0
    assert data[[]].x().shape == (0, 2, 3, 4)
    assert [sample.index for sample in part] == [2, 5, 8]
    assert repr(data).endswith("plates.h5', 9 samples, targets: umbrella (Hz), mass (kg))")


def test_a_sample_holds_what_was_recorded(file: Path) -> None:
    sample = open_dataset(file).subset("train")[-2]
    assert (sample.index, sample.id, sample.group) == (6, plate(6).id, "tool 2")
    np.testing.assert_array_equal(sample.x, plate(6).x)
    assert sample.targets == {"umbrella": 3080.0, "mass": 8.5}
    assert sample.parameters == {"load": -6.0, "angle": 0.25}
    assert set(sample.truth) == {SENSITIVITY, CONTRIBUTION}
    np.testing.assert_array_equal(sample.truth[CONTRIBUTION], plate(6).truth[CONTRIBUTION].astype(np.float32))
    np.testing.assert_array_equal(sample.regions, plate(6).regions)
    other = open_dataset(file)[2]
    assert other.regions is None
    assert set(other.truth) == {SENSITIVITY}


def test_positions_outside_are_errors_not_wrapped(file: Path) -> None:
    data = open_dataset(file)[:4]
    for wrong in (4, -5):
        with pytest.raises(IndexError, match=r"position .* of 4 samples"):
            data[wrong]
    with pytest.raises(IndexError):
        data.x([4])
    with pytest.raises(IndexError, match=r"a mask of shape \(3,\) for 4 samples"):
        data[np.ones(3, dtype=np.bool_)]
    with pytest.raises(TypeError):
        data[[0.5]]  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda d: d.subset("tset"),
            r"the part of a split must be one of train, validation, test\. Got 'tset'.*'test'",
        ),
        (lambda d: d.subset("test", split="by_grup"), r"the split must be one of default, by_group\. .*Did you mean"),
        (lambda d: d.target_array(["umbrela"]), r"a name in targets .* Got 'umbrela'\. Did you mean 'umbrella'\?"),
        (lambda d: d.parameter_array(["speed"]), "a name in parameters must be one of load, angle"),
        (lambda d: d.truth_array("mass", "sensitivity"), "truth must be one of umbrella/sensitivity, umbrella/contrib"),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(
    file: Path, ask: Callable[[Dataset], object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        ask(open_dataset(file))


def test_inputs_belong_to_the_caller(file: Path) -> None:
    data = open_dataset(file)
    for x in (data.x(), data.x([1, 0]), data[0].x, data.truth_array(*SENSITIVITY)):
        assert x.flags.writeable
        x[...] = 0.0
    assert np.array_equal(data.x(), np.stack([record.x for record in plates()]))


# Processes


def test_a_view_pickles_as_path_and_rows(file: Path) -> None:
    view = open_dataset(file)[[5, 2]]
    view.truth_array(*SENSITIVITY)
    content = pickle.dumps(view)
    assert len(content) < 1_000
    back = pickle.loads(content)
    assert (back.digest, back.indices.tolist()) == (view.digest, [5, 2])
    np.testing.assert_array_equal(back.x(), view.x())


def _in_child(view: Dataset) -> tuple[bytes, bytes]:
    return view.x().tobytes(), view.truth_array(*SENSITIVITY).tobytes()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # Python says it of any fork
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_read_through_handles_of_their_own(file: Path, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this platform cannot {method}")
    view = open_dataset(file)[1:7]
    truth = view.truth_array(*SENSITIVITY)  # leaves an open handle to inherit
    ask = functools.partial(Dataset.truth_array, target="umbrella", kind="sensitivity")
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert all(np.array_equal(x, view.x()) for x in pool.map(Dataset.x, [view] * 4))
        assert all(np.array_equal(answer, truth) for answer in pool.map(ask, [view] * 4))
    assert np.array_equal(view.truth_array(*SENSITIVITY), truth)


def test_a_file_replaced_meanwhile_is_not_mixed_with_the_old_one(file: Path) -> None:
    data = open_dataset(file)
    content = pickle.dumps(data)
    write_dataset(file, plate_spec(licence="CC0"), plates())
    with pytest.raises(
        DataError, match=r"plates\.h5: the file must be the one that was opened before\. .*replaced .*\. Open it again"
    ):
        data.x()
    with pytest.raises(DataError, match="the one that was opened before"):
        pickle.loads(content).x()


def test_opening_a_data_set_does_not_import_torch(file: Path) -> None:
    code = (
        f"import sys; from ram.data import open_dataset as o; o({str(file)!r}).x(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Damage


def _flipped(content: bytes, offset: int, bit: int) -> bytes:
    changed = bytearray(content)
    changed[offset] ^= 1 << bit
    return bytes(changed)


def _same_or_refused(path: Path, expected: dict[str, Any]) -> bool:
    """Whether the file reads as it was written (True) or is refused (False); anything else fails the test."""
    try:
        found = everything(path)
    except RamError as error:
        assert path.name in str(error)  # noqa: PT017 - both outcomes are right, each in its own way
        return False
    assert found == expected
    return True


@pytest.mark.parametrize("seed", [1, pytest.param(range(2, 12), marks=pytest.mark.slow)])
def test_a_flipped_bit_is_found_or_without_meaning(file: Path, tmp_path: Path, seed: int | range) -> None:
    content, expected = file.read_bytes(), everything(file)
    for one in [seed] if isinstance(seed, int) else seed:
        draw = np.random.default_rng(one)
        offsets = draw.integers(0, len(content), 200)
        refused = 0
        for offset in offsets:
            path = tmp_path / "flipped.h5"
            path.write_bytes(_flipped(content, int(offset), int(draw.integers(8))))
            refused += not _same_or_refused(path, expected)
        assert refused > 60  # padding between objects is a large part of so small a file


def test_every_bit_of_every_value_is_guarded(file: Path, tmp_path: Path) -> None:
    content, expected = file.read_bytes(), everything(file)
    regions: dict[str, tuple[int, int]] = {}
    with h5py.File(file) as raw:
        for name in ("inputs", "ids", "groups", "channel", "channel_units", "y", "y_bounds", "targets/umbrella"):
            regions[name] = (raw[name].id.get_offset(), raw[name].id.get_storage_size())
        for name in ("splits/default", "truth/reference", "digests/inputs_xxh3", "digests/targets/mass_xxh3"):
            regions[name] = (raw[name].id.get_offset(), raw[name].id.get_storage_size())
        chunk = raw["truth/umbrella/sensitivity"].id.get_chunk_info(4)
        regions["truth/umbrella/sensitivity"] = (chunk.byte_offset, chunk.size)
    draw = np.random.default_rng(0)
    for name, (begin, size) in regions.items():
        for offset in {begin, begin + size - 1, *draw.integers(begin, begin + size, 4).tolist()}:
            path = tmp_path / "flipped.h5"
            path.write_bytes(_flipped(content, offset, int(draw.integers(8))))
            assert not _same_or_refused(path, expected), f"{name} at {offset}"


def test_a_damaged_row_is_named_and_the_others_stay_readable(file: Path) -> None:
    with h5py.File(file) as raw:
        begin = raw["inputs"].id.get_offset()
        chunk = raw["truth/umbrella/sensitivity"].id.get_chunk_info(3)
    row_bytes = 2 * 3 * 4 * 4
    content = _flipped(file.read_bytes(), begin + 5 * row_bytes + 17, 3)
    file.write_bytes(_flipped(content, chunk.byte_offset + 2, 0))
    data = open_dataset(file)
    with pytest.raises(
        DataError, match=r"plates\.h5:/inputs row 5: the values must be those that were written\. .*digest"
    ):
        data.x()
    with pytest.raises(DataError, match=r"plates\.h5:/inputs row 5"):
        data.x()  # and again: what failed is not taken for verified
    assert np.array_equal(data[:5].x(), np.stack([plate(index).x for index in range(5)]))
    with pytest.raises(DataError, match=r"plates\.h5:/truth/umbrella/sensitivity row 3"):
        data[3:4].truth_array(*SENSITIVITY)
    assert np.isfinite(data[4:].truth_array(*SENSITIVITY)).all()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9, 0.999])
def test_a_file_cut_short_is_refused(file: Path, share: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"plates\.h5: the file must be "):
        open_dataset(file)


def test_random_bytes_in_the_metadata_crash_nothing(file: Path, tmp_path: Path) -> None:
    content, expected = file.read_bytes(), everything(file)
    draw = np.random.default_rng(5)
    for _ in range(60):
        begin = int(draw.integers(0, len(content) - 64))
        noise = draw.integers(0, 256, int(draw.integers(1, 64)), dtype=np.uint8).tobytes()
        path = tmp_path / "noise.h5"
        path.write_bytes(content[:begin] + noise + content[begin + len(noise) :])
        _same_or_refused(path, expected)
