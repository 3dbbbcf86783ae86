from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ram.data import Dataset, Record, open_dataset
from ram.data.checks import check_for_training, find
from ram.errors import DataError

Write = Callable[..., Path]
PARAMETERS = {"load": "N"}


def opened(config: Path) -> Dataset:
    return open_dataset(config.parent / "discs.h5")


def at(ids: str, change: Callable[[Record], dict[str, Any]]) -> Callable[[Record], Record]:
    """Change those records whose id is among `ids`; all where it is empty."""
    return lambda record: replace(record, **change(record)) if not ids or record.id in ids.split() else record


def poisoned(value: float) -> Callable[[Record], dict[str, Any]]:
    def change(record: Record) -> dict[str, Any]:
        x = record.x.copy()
        x[1, 3, 4] = value
        return {"x": x}

    return change


def test_good_data_pass(disc_folder: Path, changed_discs: Write) -> None:
    data = open_dataset(disc_folder / "discs.h5")
    check_for_training(data, ["umbrella", "mass"], [])
    check_for_training(data, ["mass"])
    some_missing = changed_discs(at("d000 d003", lambda record: {"targets": {"mass": record.targets["mass"]}}))
    check_for_training(opened(some_missing), ["umbrella", "mass"])


def test_targets_of_the_test_part_are_left_alone(changed_discs: Write) -> None:
    """What is wrong with them spoils no training; figures leave them out."""
    unmeasured = at("d004 d009", lambda record: {"targets": {"umbrella": np.inf}})
    check_for_training(opened(changed_discs(unmeasured)), ["umbrella"])


def test_inputs_of_the_test_part_are_not(changed_discs: Write) -> None:
    """The run predicts them when it has been trained."""
    with pytest.raises(DataError, match=r"/inputs rows 4 \(id d004\), 9 \(id d009\): an input must be finite"):
        check_for_training(opened(changed_discs(at("d004 d009", poisoned(np.nan)))), ["umbrella"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_bad_input_cell_is_named(changed_discs: Write, value: float) -> None:
    with pytest.raises(
        DataError, match=r"discs\.h5:/inputs row 7 \(id d007\): an input must be finite\. Got NaN or inf\. Rep"
    ):
        check_for_training(opened(changed_discs(at("d007", poisoned(value)))), ["mass"])


def test_many_bad_rows_are_counted(changed_discs: Write) -> None:
    expected = r"/inputs rows 0 \(id d000\), 1 \(id d001\), .*, 4 \(id d004\) and 26 more: an input"
    with pytest.raises(DataError, match=expected):
        check_for_training(opened(changed_discs(at("", poisoned(np.nan)), count=31)), ["mass"])


def test_constant_infinite_and_missing_targets(changed_discs: Write) -> None:
    constant = opened(changed_discs(at("", lambda record: {"targets": {**record.targets, "mass": 2.5}})))
    with pytest.raises(
        DataError, match=r"/targets/mass: the target must be different from sample to sample\. Got 2\.5 kg in all"
    ):
        check_for_training(constant, ["umbrella", "mass"])
    check_for_training(constant, ["umbrella"])
    infinite = at("d006", lambda record: {"targets": {**record.targets, "mass": np.inf}})
    data = opened(changed_discs(infinite))
    with pytest.raises(
        DataError, match=r"/targets/mass row 6 \(id d006\): a target must be finite, or NaN where not meas"
    ):
        check_for_training(data, ["mass"])
    missing = at("", lambda record: {"targets": {"umbrella": record.targets["umbrella"]}})
    with pytest.raises(
        DataError, match=r"/targets/mass: the target must be measured .*train part\. Got NaN everywhere\. Leave 'mass'"
    ):
        check_for_training(opened(changed_discs(missing)), ["mass"])


def test_a_target_missing_in_the_validation_part_only(changed_discs: Write) -> None:
    change = at("", lambda record: {"targets": {} if record.split["default"] == "validation" else record.targets})
    with pytest.raises(
        DataError, match=r"/targets/mass: the target must be measured for at least one sample of the validation part"
    ):
        check_for_training(opened(changed_discs(change)), ["mass"])


@pytest.mark.parametrize(
    ("part", "count", "message"),
    [
        (
            "train",
            30,
            r"/splits/default: the validation part must be of at least 1 sample\. Got 0\. Make a larger data set",
        ),
        ("validation", 30, r"/splits/default: the train part must be of at least 2 samples\. Got 0\."),
        ("train", 1, r"the train part must be of at least 2 samples\. Got 1\."),
    ],
)
def test_parts_that_are_too_small(changed_discs: Write, part: str, count: int, message: str) -> None:
    data = opened(changed_discs(at("", lambda _: {"split": {"default": part}}), count=count))
    with pytest.raises(DataError, match=message):
        check_for_training(data, ["mass"])


def test_unknown_names_and_splits(disc_folder: Path, changed_discs: Write) -> None:
    data = open_dataset(disc_folder / "discs.h5")
    with pytest.raises(
        DataError,
        match=r"discs\.h5:/targets: a name must be one of umbrella, mass\. Got 'masse'\. Did you mean 'mass'\?",
    ):
        check_for_training(data, ["masse"])
    with pytest.raises(DataError, match=r"/parameters: a name must be left out, for the file has none\. Got 'load'"):
        check_for_training(data, ["mass"], ["load"])
    with pytest.raises(DataError, match=r"/targets: what is regressed must be one of umbrella, mass\. Got nothing"):
        check_for_training(data, [])
    with pytest.raises(
        DataError, match=r"/splits: the split must be one of default\. Got 'defalt'\. Did you mean 'default'\?"
    ):
        check_for_training(data, ["mass"], split="defalt")
    with pytest.raises(DataError, match=r"/splits: the split must be in the file, which has none\. Got 'default'"):
        check_for_training(opened(changed_discs(splits=())), ["mass"])


def test_parameters_must_be_finite(changed_discs: Write) -> None:
    def load(record: Record) -> Record:
        return replace(record, parameters={"load": np.nan if record.id == "d010" else 1.0})

    data = opened(changed_discs(load, parameters=PARAMETERS))
    check_for_training(data, ["mass"])
    with pytest.raises(
        DataError, match=r"/parameters/load row 10 \(id d010\): a parameter must be finite\. Got NaN or inf"
    ):
        check_for_training(data, ["mass"], ["load"])


def test_all_findings_are_told_at_once(changed_discs: Write) -> None:
    def spoil(record: Record) -> Record:
        x = record.x.copy()
        x[0, 0, 0] = np.nan
        return replace(record, x=x, targets={"umbrella": 440.0})

    data = opened(changed_discs(spoil))
    codes = [finding.code for finding in find(data, targets=["umbrella", "mass"])]
    assert codes == ["constant-target", "missing-target", "missing-target", "not-finite-input"]
    with pytest.raises(DataError) as caught:
        check_for_training(data, ["umbrella", "mass"])
    assert len(str(caught.value).splitlines()) == 4
