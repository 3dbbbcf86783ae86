"""The catalogue on the inputs themselves: every defect is in a file, and nothing else is found there."""

from __future__ import annotations

import re
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy import ndimage

from ram.data import Dataset, open_dataset
from ram.data.checks import CATALOGUE, find
from ram.randomness import generator

Write = Callable[..., Dataset]
COUNT = 40
SEVERITY = {defect.code: defect.severity for defects in CATALOGUE.values() for defect in defects}


def signals(*, count: int = COUNT, channels: int = 1, cells: int = 256) -> np.ndarray:
    """Vibrations of 60 to 80 Hz with noise, (sample, channel, time)."""
    draw = generator(7, "signals")
    phase = draw.uniform(0.0, 6.0, size=(count, channels, 1))
    swing = np.sin(2 * np.pi * draw.uniform(60.0, 80.0, size=(count, 1, 1)) * np.arange(cells) * 1e-3 + phase)
    swing *= draw.uniform(1.0, 2.0, size=(count, 1, 1))
    return np.asarray(swing + 0.05 * draw.standard_normal(swing.shape), dtype=np.float32)


def pictures(*, count: int = COUNT, channels: int = 1) -> np.ndarray:
    """Smooth random fields on 16 x 16 cells."""
    noise = generator(8, "pictures").standard_normal((count, channels, 16, 16))
    return np.asarray(10.0 * ndimage.gaussian_filter(noise, (0, 0, 1.5, 1.5), mode="wrap"), dtype=np.float32)


def changed(x: np.ndarray, place: Any, to: Any) -> np.ndarray:
    result = np.array(x)
    result[place] = to
    return result


def scaled(x: np.ndarray, rows: Any, by: float) -> np.ndarray:
    return changed(x, rows, x[rows] * np.float32(by))


def held(data: Dataset, code: str, message: str) -> None:
    """Hold that one defect alone is found, with this message and the catalogue's severity."""
    found = list(find(data))
    assert [finding.code for finding in found] == [code], [finding.text for finding in found]
    assert re.search(message, found[0].text), found[0].text
    assert found[0].severity == SEVERITY[code]


def padded() -> np.ndarray:
    x = signals()
    for row in range(0, COUNT, 2):
        x[row, :, 150 + row :] = 0.0
    return x


def whole(x: np.ndarray, *, top: int) -> np.ndarray:
    return np.asarray(np.rint(x / np.abs(x).max() * top), dtype=np.float32)


def overflown() -> np.ndarray:
    counts = np.rint(signals() * 12000.0).astype(np.int64)
    counts[5] = np.rint(counts[5] / np.abs(counts[5]).max() * 44000.0)
    return counts.astype(np.int16).astype(np.float32)


def swapped_float64() -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray((signals().astype(np.float64) * np.pi).byteswap().astype(np.float32))


LINE = np.linspace(-10.0, 10.0, 256, dtype=np.float32)
GROUPS = [f"g{row // 4}" for row in range(COUNT)]
THIRD = np.isin(np.arange(COUNT) // 4, (2, 5, 8))


def repeated(row: int) -> np.ndarray:
    """Targets of which one equals that of row 1."""
    values = np.linspace(0.0, 9.0, COUNT)
    return changed(values, row, values[1])


VALUES: list[tuple[str, np.ndarray, dict[str, Any], str]] = [
    ("not-finite-input", changed(signals(), (7, 0, 3), np.nan), {},
     r"measured\.h5:/inputs row 7 \(id s007\): an input must be finite\. Got NaN or inf\. Repair these samples"),
    ("swapped-bytes", signals().byteswap(), {},
     r":/inputs: the bytes of the inputs must be in the order .*Got magnitudes"),
    ("swapped-bytes", np.rint(10.0 * signals()).byteswap(), {},
     r":/inputs: the bytes of the inputs must be in the order"),
    ("swapped-bytes", swapped_float64(), {}, r":/inputs: the bytes .*Read the original in the other byte order"),
    ("swapped-bytes", np.rint(ndimage.gaussian_filter1d(9e3 * signals(), 2.0)).astype(np.int16).byteswap().astype("f4"),
     {}, r":/inputs: the bytes .*dtype '>f4', '>f8' or '>i2'"),
    ("placeholder-input", changed(signals(), (slice(3, 5), 0, slice(9, 11)), -999.0), {},
     r"/inputs rows 3 \(id s003\), 4 \(id s004\): an input must be measured in every cell\. Got -999\. Interpolate"),
    ("huge-input", changed(pictures(), (3, 0, 2, 2), 3e18), {},
     r"/inputs row 3 \(id s003\): .*below 1e18\. Got 3e\+18\."),
    ("denormal-input", pictures() * np.float32(1e-40), {},
     r":/inputs: most inputs must be 0 or above 1e-38\. Got 100 %"),
    ("constant-inputs", np.zeros((COUNT, 2, 64), np.float32), {},
     r":/inputs: the inputs must be different from sample to sample\. Got 0 in every cell of every sample"),
    ("same-inputs", np.repeat(signals()[:1], COUNT, axis=0), {},
     r":/inputs: .*Got one and the same in all 40 samples\. See"),
    ("zero-channel", changed(signals(channels=2), (slice(None), 1), 0.0), {},
     r":/inputs: the channel must be other than 0 somewhere\. Got 0 V in all of channel c1\. Repair"),
    ("constant-channel", changed(signals(channels=2), (slice(None), 1), 2.5), {},
     r"Got 2\.5 V in all of channel c1\. Leave"),
    ("frozen-channel", changed(signals(channels=2), (slice(None), 1), signals()[0, 0]), {},
     r"Got the same in all samples for channel c1\. See whether it was written sample by sample"),
    ("identical-channels", signals()[:, [0, 0]], {},
     r":/inputs: two channels must be different\. Got c0 and c1 alike\."),
    ("constant-input", changed(signals(), slice(2, 4), 1.5), {},
     r"/inputs rows 2 \(id s002\), 3 \(id s003\): an input must be different .*Got 1\.5 in all cells\. Repair"),
    ("blank-input", changed(signals(channels=2), 2, 0.0), {},
     r"/inputs row 2 \(id s002\): an input must be other than 0"),
    ("flat-channel", changed(signals(channels=2), (2, 1), 0.25), {},
     r"row 2 \(id s002\): .*Got 0\.25 in all of c1\. Rep"),
    ("dead-cells", changed(pictures(), (slice(None), 0, [4, 9], [5, 11]), 3.0), {},
     r":/inputs: a cell must be .*Got one value in all samples at \(4, 5\), \(9, 11\) of channel c0\. Interpolate"),
    ("lost-digits", signals() + np.float32(1e5), {},
     r":/inputs: the offset .*below 16,000 times .*Got \d{5,} times in c"),
    ("input-below-absolute-zero", changed(signals(), (2, 0, 7), -280.0) , {"channels": {"oil": "degC"}},
     r"/inputs row 2 \(id s002\): a temperature must be above absolute zero\. Got -280 degC in channel oil\. Mend"),
    ("group-scale", scaled(signals(), THIRD, 25.4), {},
     r"/inputs rows 8 .*: the scale of a channel must be alike in all groups\. Got about \d+ V beside .* g2, g5, g8"),
    ("scale-jump", scaled(signals(), slice(25, None), 1000.0), {"groups": [""] * COUNT},
     r"/inputs row 25 \(id s025\): the scale of a channel must be alike along the file\. Got \d+ times more V in"),
    ("outlying-input", scaled(signals(), 17, 300.0), {},
     r"/inputs row 17 \(id s017\): the scale of an input must be like"),
    ("clipped-input", np.clip(signals(), -1.3, 1.1), {},
     r"/inputs rows .*: a signal must be inside the range of its ins"),
    ("integer-overflow", overflown(), {},
     r"/inputs row 5 \(id s005\): a signal of whole numbers must be .*Got 1 that jump"),
    ("stuck-input", changed(signals(), (6, 0, slice(100, 180)), 0.7), {},
     r"/inputs row 6 \(id s006\): a signal .*in motion"),
    ("padded-input", padded(), {},
     r"/inputs rows 0 .*: padding must be declared by lengths\. Got 20 signals that end in"),
    ("wandering-offset", signals() + generator(1, "dc").normal(0.0, 50.0, (COUNT, 1, 1)).astype(np.float32), {},
     r":/inputs: the means of the signals must be alike.*Got \d+ V between samples and .* V within them in channel c0"),
    ("drift", signals() + LINE, {},
     r":/inputs: a signal must be free of drift\. Got 9\d % of the variance on a straight"),
    ("duplicate-input", changed(signals(), 9, signals()[1]), {"targets": {"f": repeated(9)}},
     r"/inputs row 9 \(id s009\): an input must be there once\. Got 1: id s009 equals id s001\. Keep one"),
    ("duplicate-leak", changed(signals(), 17, signals()[1]), {"targets": {"f": repeated(17)}},
     r"/inputs row 17 \(id s017\): .*one part of the split\. Got 1: id s017 equals id s001 \(test, train\)\. Keep"),
    ("near-duplicate-input", changed(signals(), 9, np.rint(signals()[1] * 2**13) / 2**13), {},
     r"/inputs row 9 \(id s009\): an input must be different from the others\. Got 1: id s009 is nearly id s001"),
    ("near-duplicate-leak", changed(signals(), 17, signals()[1] * np.float32(1.00001)), {},
     r"/inputs row 17 \(id s017\): .*Got 1: id s017 is nearly id s001 \(test, train\)\. Keep one of each, or"),
    ("short-axis", signals(cells=6), {"targets": {"f": generator(0, "f").uniform(1.0, 2.0, COUNT)}},
     r":/time: the axis must be of at least 8 cells\. Got 6\. Record longer"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "x", "words", "message"), VALUES, ids=[f"{row[0]}-{n}" for n, row in enumerate(VALUES)]
)
def test_inputs(measured: Write, code: str, x: np.ndarray, words: Any, message: str) -> None:
    held(
        measured(x, **({"groups": GROUPS, "targets": {"f": generator(2, "f").uniform(1.0, 2.0, len(x))}} | words)),
        code,
        message,
    )


def test_equal_inputs_with_other_targets(measured: Write) -> None:
    data = measured(changed(signals(), 9, signals()[1]), targets={"f": np.linspace(5.0, 14.0, COUNT) ** 2})
    found = {finding.code: finding.text for finding in find(data)}
    assert set(found) == {"duplicate-input", "contradicting-duplicates"}
    expected = (
        r"/targets/f row 9 \(id s009\): equal inputs must be of equal targets\. Got .* for the ids s001 and s009\."
    )
    assert re.search(expected, found["contradicting-duplicates"])


def test_truth_in_another_unit_than_its_target(changed_discs: Callable[..., Path]) -> None:
    path = changed_discs(truth={("umbrella", "contribution"): "kg"}).parent / "discs.h5"
    message = r"discs\.h5:/truth/umbrella/contribution: the unit of the contribution must be that of its target, Hz"
    held(open_dataset(path), "truth-unit-conflict", message)


@pytest.mark.parametrize(("name", "offset"), [("inputs", 700), ("truth/umbrella/contribution", 0)])
def test_flipped_bits_are_found_by_a_deep_check(disc_folder: Path, tmp_path: Path, name: str, offset: int) -> None:
    path = Path(shutil.copy(disc_folder / "discs.h5", tmp_path))
    with h5py.File(path) as file:
        array = file[name]
        begin = array.id.get_offset() if array.chunks is None else array.id.get_chunk_info(0).byte_offset
    with path.open("r+b") as file:
        file.seek(begin + offset)
        byte = file.read(1)[0]
        file.seek(begin + offset)
        file.write(bytes([byte ^ 4]))
    found = list(find(open_dataset(path), deep=True))
    assert [finding.code for finding in found] == ["damaged"]
    assert re.search(
        rf"discs\.h5:/{name} row \d.*: the values must be those that were written\. Got another", found[0].text
    )


@pytest.mark.parametrize("x", [
    np.sign(signals()) * np.float32(3.0),  # two levels: a switch, not a clipped signal
    whole(signals(), top=127),  # 8 bits
    whole(signals() * np.exp(-np.arange(256) / 20.0), top=30),  # dies away
    whole(signals(), top=7),  # 4 bits
    signals() * np.geomspace(1.0, 15.0, COUNT)[:, None, None].astype(np.float32),  # specimens do differ
    np.abs(signals()) - np.float32(0.0),
    np.cumsum(signals(), axis=2),
    pictures() + np.float32(300.0),
    (pictures() > 0).astype(np.float32),  # a pattern of two levels
    np.repeat(generator(3, "bars").uniform(1.0, 2.0, (COUNT, 1, 1)).astype(np.float32), 64, axis=2),  # by design
], ids=range(10))  # fmt: skip
def test_nothing_is_found_in_what_only_looks_odd(measured: Write, x: np.ndarray) -> None:
    data = measured(x, targets={"f": generator(2, "f").uniform(1.0, 2.0, len(x))})
    assert [finding.text for finding in find(data)] == []


def test_blocks_do_not_matter(measured: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    from ram.data.checks import scan as module

    data = measured(changed(padded(), (3, 0, 3), np.nan))
    once = module.scan(data)
    monkeypatch.setattr(module, "_BLOCK_BYTES", 3000)
    seen: list[int] = []
    again = module.scan(data, progress=seen.append)
    assert sum(seen) == COUNT
    for name in (
        "finite",
        "low",
        "high",
        "digest",
        "clipped",
        "stuck",
        "tail",
        "abrupt",
        "cell_low",
        "cell_high",
        "probe",
    ):
        np.testing.assert_array_equal(getattr(once, name), getattr(again, name), err_msg=name)
    np.testing.assert_allclose(once.cell_std, again.cell_std, rtol=1e-5)
    np.testing.assert_allclose(
        once.std, np.nan_to_num(data.x()).std(axis=2) * np.where(once.finite, 1, np.nan)[:, None], rtol=1e-5
    )


def test_a_shallow_check_stops_at_the_first_damaged_input(measured: Write) -> None:
    data = measured()
    with h5py.File(data.path) as file:
        begin = file["inputs"].id.get_offset()
    content = bytearray(data.path.read_bytes())
    for row in (3, 9):
        content[begin + row * 1024 + 5] ^= 1
    data.path.write_bytes(content)
    again = open_dataset(data.path)
    assert [str(finding).count("inputs row 3") for finding in find(again)] == [1]
    (deep,) = find(again, deep=True)
    assert (deep.code, deep.rows, deep.path) == ("damaged", (3, 9), "/inputs")


def test_memory_holds_one_block(measured: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    from ram.data.checks import scan as module

    data = measured(generator(4, "many").standard_normal((2000, 1, 1024)).astype(np.float32), targets={})
    monkeypatch.setattr(module, "_BLOCK_BYTES", 2**17)
    monkeypatch.setattr(module, "_PROBE_BYTES", 2**17)
    module.scan(data[:100])
    tracemalloc.start()
    module.scan(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20  # of 8 MB; ten arrays of a block's size and 60 bytes a row
