"""The catalogue on what stands beside the inputs: names, parts, targets, parameters, weights, axes. Every defect is
in a file."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ram.axes import Axis
from ram.data import Dataset
from ram.data.checks import CATALOGUE, find
from ram.randomness import generator

Write = Callable[..., Dataset]
COUNT = 40
ROWS = np.arange(COUNT)
EVEN = np.linspace(410.0, 590.0, COUNT)
SPLIT = np.array([("train", "train", "train", "validation", "test")[row // 4 % 5] for row in ROWS])


def changed(values: np.ndarray, rows: Any, to: Any) -> np.ndarray:
    result = np.array(values)
    result[rows] = to
    return result


def mixed(*, seed: int = 0) -> np.ndarray:
    """Values without an order, 410 to 590."""
    return np.asarray(generator(seed, "mixed").permutation(EVEN))


def held(found: list[Any], code: str, message: str) -> None:
    """Hold that one defect alone is found, with this message and the catalogue's severity."""
    assert [finding.code for finding in found] == [code]
    assert re.search(message, found[0].text), found[0].text
    severities = {defect.code: defect.severity for defects in CATALOGUE.values() for defect in defects}
    assert found[0].severity == severities[code]


def test_good_signals_have_nothing(measured: Write) -> None:
    assert list(find(measured())) == []


PARTS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("no-target", {"targets": {}}, {}, r"measured\.h5:/targets: what is regressed must be left out, for the file has"),
    ("unknown-target", {}, {"targets": ["frequenzy"]},
     r":/targets: a name must be one of frequency\. .*mean 'frequency'"),
    ("unknown-parameter", {"parameters": {"load": EVEN}}, {"parameters": ["lod"]},
     r":/parameters: a name must be one of"),
    ("no-split", {}, {"split": "defualt"},
     r":/splits: the split must be one of default\. Got 'defualt'\. Did you mean"),
    ("small-train", {"parts": changed(SPLIT, SPLIT == "train", "test"), "groups": [""] * COUNT}, {},
     r":/splits/default: the train part must be of at least 2 samples\. Got 0\. Make a larger"),
    ("small-validation", {"parts": changed(SPLIT, SPLIT == "validation", "test")}, {},
     r":/splits/default: the validation part must be of at least 1 sample\. Got 0"),
    ("no-test", {"parts": changed(SPLIT, SPLIT == "test", "train")}, {},
     r":/splits/default: the test part must be of at least 1 sample\. Got 0\. Give some samples"),
    ("few-samples", {"parts": np.where(ROWS < 9, "train", np.where(ROWS < 20, "validation", "test")),
                     "groups": [f"g{row}" for row in ROWS]}, {},
     r":/splits/default: the train part must be of at least 10 samples\. Got 9\. Measure more"),
    ("partly-grouped", {"groups": ["" if row < 4 else f"g{row // 4}" for row in ROWS]}, {},
     r":/groups rows 0 \(id s000\), .*: a group must be given for all samples or for none\. Got none for 4 of 40"),
    ("group-leak", {"groups": ["plate" if row in {0, 16} else f"g{row // 4}" for row in ROWS]}, {},
     r":/splits/default row 0 \(id s000\): a group must be in one part of the split\. Got plate in train and test\. T"),
    ("validation-leak", {"groups": ["plate" if row in {0, 12} else f"g{row // 4}" for row in ROWS]}, {},
     r":/splits/default row 0 \(id s000\): a group must be in one part of the split\. Got plate in train and valid"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "words", "asked", "message"), PARTS, ids=[row[0] for row in PARTS])
def test_names_and_parts(measured: Write, code: str, words: Any, asked: Any, message: str) -> None:
    held(list(find(measured(**words), **asked)), code, message)


def test_one_group_is_torn_as_well(measured: Write) -> None:
    found = {finding.code: finding.text for finding in find(measured(groups=["plate"] * COUNT))}
    assert set(found) == {"one-group", "group-leak"}
    assert "/groups: the groups must be of at least two kinds. Got plate for all 40 samples" in found["one-group"]


def test_ids_that_do_not_tell_samples_apart(measured: Write, rewrite: Write) -> None:
    data = measured()
    again = rewrite(data.path, "ids", np.char.encode(changed(data.ids, [3, 9], "s001")))
    held(list(find(again)), "same-id", r"/ids rows 3 \(id s001\), 9 \(id s001\): the ids must be unique\. Got 38 diff")
    blank = rewrite(data.path, "ids", np.char.encode(changed(data.ids, 5, "    ")))
    held(list(find(blank)), "blank-id", r"/ids row 5 \(id     \): an id must be a word\. Got an empty one\. Give each")


TARGETS: list[tuple[str, np.ndarray, str]] = [
    ("infinite-target", changed(mixed(), 2, np.inf), r":/targets/f row 2 \(id s002\): a target must be finite, or NaN"),
    ("missing-target", np.where(SPLIT == "validation", np.nan, mixed()),
     r":/targets/f: the target must be measured for at least one sample of the validation part\. Got NaN everywhere"),
    ("constant-target", np.where(SPLIT == "train", 440.0, mixed()),
     r":/targets/f: .*Got 440 mm in all of train\. Leave"),
    ("swapped-target", mixed().byteswap(),
     r":/targets/f: the bytes of the target must be in the order .*Read the orig"),
    ("huge-target", changed(mixed(), 2, 1e200), r":/targets/f row 2 \(id s002\): a target must be within what float32"),
    ("placeholder-target", changed(mixed(), [1, 7], -999.0),
     r":/targets/f rows 1 \(id s001\), 7 \(id s007\): a target must be NaN where it was not measured\. Got -999"),
    ("placeholder-target", changed(mixed() / 100.0, 30, 9999.0), r"f row 30 \(id s030\): .*Got 9999\."),
    ("placeholder-target", changed(mixed(), 30, 9.969209968386869e36), r"f row 30 \(id s030\): .*Got 9\.96921e\+36\."),
    ("mostly-missing-target", np.where(ROWS % 4 < 3, np.nan, mixed()),
     r":/targets/f: the target must be measured for at least half of the train part\. Got 6 of 24\. See whether"),
    ("class-like-target", np.array([1.0, 2.0, 3.0])[ROWS % 3],
     r":/targets/f: the target must be a quantity of more than 5 values\. Got 3: 1, 2, 3\. Regress"),
    ("outlying-target", changed(mixed(), 11, 5230.0),
     r"f row 11 \(id s011\): a target must be near the others\. Got 5230 where the others lie between 410 and 590"),
    ("mixed-units-target", np.where(ROWS % 4 == 0, 1e-3, 1.0) * mixed(),
     r"f rows 0 .* 16 \(id s016\) and 5 more: the target must be in one unit\. Got values near 0\.\d+ and near \d+\."),
    ("clipped-target", np.minimum(mixed(), 550.0), r"f rows .*Got 550 mm in 9 of 40\. Leave these samples out"),
    ("row-number-target", ROWS + 1.0, r":/targets/f: the target must be a measured quantity\. Got 1, 2, 3 and so on"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "values", "message"), TARGETS, ids=[f"{row[0]}-{n}" for n, row in enumerate(TARGETS)])
def test_targets(measured: Write, code: str, values: np.ndarray, message: str) -> None:
    groups = [""] * COUNT
    held(list(find(measured(targets={"f": values}, groups=groups, channels={"c0": "V"}))), code, message)


ZEROS = (
    r":/targets/f rows .*Got 0 mm in 10 of 40\. Leave .*; where the quantity itself begins there, .* \(valid_min\)\."
)


@pytest.mark.parametrize(
    ("values", "silent", "message"),
    [
        (np.maximum(mixed() - 452.5, 0.0), {"f": 0.0}, ZEROS),  # cracks, or an instrument that knows no sign
        (np.where(ROWS % 4, mixed(), 0.0), {"f": 0.0}, ZEROS),  # zeros apart from all others
        (np.maximum(mixed(), 455.0), {"f": 455.0}, r"Got 455 mm in 10 of 40\. Leave"),
    ],
)
def test_a_heap_where_a_quantity_begins_must_be_declared(
    measured: Write, values: np.ndarray, silent: dict[str, float], message: str
) -> None:
    words = {"targets": {"f": values}, "groups": [""] * COUNT, "channels": {"c0": "V"}}
    held(list(find(measured(**words))), "clipped-target", message)
    held(list(find(measured(**words, valid_min={"f": -1.0}))), "clipped-target", message)
    assert list(find(measured(**words, valid_min=silent))) == []


@pytest.mark.parametrize("top", [550.0, 0.0])
def test_where_it_begins_says_nothing_of_the_other_end(measured: Write, top: float) -> None:
    values = np.minimum(mixed(), 550.0) - 550.0 + top
    found = list(
        find(measured(targets={"f": values}, groups=[""] * COUNT, channels={"c0": "V"}, valid_min={"f": -999}))
    )
    held(found, "clipped-target", rf"Got {top:g} mm in 9 of 40\. Leave these samples out, or write NaN\.$")


def test_a_target_that_is_the_number_in_the_id(measured: Write, rewrite: Write) -> None:
    order = generator(1, "order").permutation(COUNT)
    data = measured(targets={"f": order.astype(np.float64)})
    data = rewrite(data.path, "ids", np.char.encode(np.array([f"s{number:03d}" for number in order])))
    held(list(find(data)), "row-number-target", rf"/targets/f: .*Got {order[0]} for the id s{order[0]:03d}, and so on")


def test_a_target_and_its_copy_in_another_unit(measured: Write) -> None:
    data = measured(
        targets={"f": mixed(), "g": mixed() / 1000.0},
    )
    held(
        list(find(data)), "copied-target", r"/targets/g: two targets must be different quantities\. Got f and g, which"
    )


def test_parts_with_other_ranges(measured: Write) -> None:
    values = np.where(SPLIT == "test", mixed() + 300.0, mixed())
    message = (
        r"/targets/f: the targets of the part must be within the range of the train part, \d+.* mm\. Got 7\d+.*test"
    )
    held(list(find(measured(targets={"f": values}))), "part-range", message)


def test_temperatures_below_absolute_zero(measured: Write) -> None:
    values = {"t": mixed() - 700.0}
    message = r"/targets/t rows .*: a temperature must be above absolute zero\. Got -\d+.* degC\. Mend the unit"
    cold = measured(targets=values, units={"t": "degC"})
    held(list(find(cold)), "below-absolute-zero", message)
    assert list(find(measured(targets=values, units={"t": "K"}))) == []  # a difference may be negative


def test_frequencies_that_are_not_in_the_signal(measured: Write) -> None:
    slow = (Axis.uniform("time", "s", size=256, step=1e-1),)
    message = (
        r"/targets/frequency: most frequencies must be below half the sample rate, 5 Hz by /time\. Got a median of"
    )
    held(list(find(measured(axes=slow))), "beyond-nyquist", message)
    short = (Axis.uniform("time", "us", size=256, step=1.0),)
    message = (
        r"/targets/frequency: the signals must be of at least one period\. Got 0\.000256 s by /time, with a median"
    )
    held(list(find(measured(axes=short))), "short-record", message)


PARAMETERS: list[tuple[str, np.ndarray, bool, str]] = [
    ("not-finite-parameter", changed(mixed(seed=2), 3, np.nan), True,
     r":/parameters/p row 3 \(id s003\): a parameter must be finite\. Got NaN or inf\. Repair"),
    ("constant-parameter", np.full(COUNT, 7.5), True,
     r":/parameters/p: the parameter must be different .*Got 7\.5 1 in"),
    ("placeholder-parameter", changed(mixed(seed=2), 3, -9999.0), False, r"p row 3 \(id s003\): .*Got -9999\. Find"),
    ("outlying-parameter", changed(mixed(seed=2), 3, 4e4), True, r"p row 3 \(id s003\): .*Got 40000 where the others"),
    ("parameter-is-target", 3.0 * mixed() + 1.0, False,
     r":/parameters/p: a parameter must be known before the target is\. Got one that correlates with the target f"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "values", "named", "message"), PARAMETERS, ids=[row[0] for row in PARAMETERS])
def test_parameters(measured: Write, code: str, values: np.ndarray, named: bool, message: str) -> None:  # noqa: FBT001
    data = measured(targets={"f": mixed()}, parameters={"p": values})
    held(list(find(data, parameters=["p"] if named else None)), code, message)


def test_parameters_that_nobody_named_may_be_missing(measured: Write) -> None:
    assert list(find(measured(parameters={"p": changed(EVEN, 3, np.nan), "q": np.ones(COUNT)}))) == []


WEIGHTS: list[tuple[str, np.ndarray, str]] = [
    ("not-finite-weight", changed(np.ones(COUNT), 3, np.nan),
     r":/weights row 3 \(id s003\): a weight must be finite\."),
    ("negative-weight", changed(np.ones(COUNT), 3, -0.5),
     r":/weights row 3 \(id s003\): .*0 or more\. Got -0\.5\. Give"),
    ("no-weight", np.where(SPLIT == "train", 0.0, 1.0),
     r":/weights: the weights of the part .*Got 0 for all 24 of the tr"),
    ("dominant-weight", changed(np.ones(COUNT), 3, 1e3),
     r":/weights row 3 \(id s003\): .*Got 98 % of all\. See whether"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "values", "message"), WEIGHTS, ids=[row[0] for row in WEIGHTS])
def test_weights(measured: Write, rewrite: Write, code: str, values: np.ndarray, message: str) -> None:
    data = rewrite(measured(weights=np.ones(COUNT)).path, "weights", values)
    held(list(find(data)), code, message)


def test_lengths(measured: Write, rewrite: Write) -> None:
    data = measured(lengths=np.full(COUNT, 256))
    wrong = rewrite(data.path, "lengths", changed(data.lengths, [1, 2], [0, 257]))
    message = r"/lengths rows 1 .*, 2 \(id s002\): a length must be 1 to 256, the size of the last axis\. Got 0, 257\."
    held(list(find(wrong)), "wrong-length", message)
    early = rewrite(data.path, "lengths", changed(data.lengths, [1, 2], 200))
    message = (
        r"/lengths rows 1 .*: what follows the length must be padding, one value\. Got signal up to cell 255 after"
    )
    held(list(find(early)), "signal-after-length", message)


GAP = Axis.from_centres("time", "s", np.where(np.arange(256) < 100, 0, 50) / 1e3 + np.arange(256) / 1e3)
LOG = Axis.from_centres("frequency", "Hz", np.geomspace(20.0, 2e4, 256))
AXES: list[tuple[str, dict[str, Any], str]] = [
    ("uneven-axis", {"axes": (GAP,)},
     r":/time: the axis must be even.*Got a step of 0\.051 s after cell 99 where the usual one is 0\.001\. Resample"),
    ("axis-without-unit", {"axes": (Axis.uniform("time", "1", size=256, step=1.0),)},
     r":/time: the time axis must be in a unit of time\. Got '1'\. Give the unit, or the sample rate"),
    ("sample-rate-conflict", {"parameters": {"sample_rate": changed(np.full(COUNT, 1000.0), [4, 5], 2000.0)}, },
     r":/parameters/sample_rate rows 4 .*, 5 \(id s005\): .*that of the axis, 1000 Hz\. Got 2000 Hz\. Resample"),
    ("unit-conflict", {"channels": {"surface_mm": "m"}},
     r":/channel: the unit must be mm, as the name surface_mm says\. Got 'm'"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "words", "message"), AXES, ids=[row[0] for row in AXES])
def test_axes_and_units(measured: Write, code: str, words: Any, message: str) -> None:
    held(list(find(measured(**words))), code, message)


def test_axes_even_in_the_logarithm_are_even(measured: Write) -> None:
    assert list(find(measured(axes=(LOG,)))) == []


def test_every_defect_of_the_catalogue_is_pinned_by_a_test() -> None:
    """By its code, in this file, its neighbours of like name, or the tests of the command."""
    texts = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*_check*.py"))
    codes = [defect.code for defects in CATALOGUE.values() for defect in defects]
    assert len(codes) == len(set(codes)) >= 40
    assert [code for code in codes if f'"{code}"' not in texts] == []


def test_the_page_lists_the_catalogue_as_it_is() -> None:
    """`python docs/checks.py` writes it."""
    root = Path(__file__).resolve().parents[1]
    page = (root / "docs" / "checks.md").read_text(encoding="utf-8")
    spec = importlib.util.spec_from_file_location("checks_page", root / "docs" / "checks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert page == module.with_catalogue(page), "run `python docs/checks.py`"
