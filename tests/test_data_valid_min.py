"""Where a target begins: what a data set declares comes back, changes no digest, and refuses what lies below."""

from __future__ import annotations

from collections.abc import Callable

import h5py
import numpy as np
import pytest

from ram.data import open_dataset
from ram.data.dataset import Dataset
from ram.errors import DataError

VALUES = {"mass": np.linspace(4.0, 9.0, 40), "angle": np.linspace(-1.0, 1.0, 40)}


def test_it_comes_back_and_changes_no_digest(measured: Callable[..., Dataset]) -> None:
    plain = measured(targets=VALUES)
    digest, none = plain.digest, plain.valid_min
    data = measured(targets=VALUES, valid_min={"mass": 4.0})
    assert (none, data.valid_min, data.digest) == ({}, {"mass": 4.0}, digest)


@pytest.mark.parametrize("other", ["none", [0.0, 1.0]])
def test_what_is_no_number_says_nothing(measured: Callable[..., Dataset], other: object) -> None:
    path = measured(targets=VALUES, valid_min={"mass": 4.0}).path
    with h5py.File(path, "r+") as changed:
        changed["targets/mass"].attrs["valid_min"] = other
    assert open_dataset(path).valid_min == {}


def test_a_target_that_was_not_measured_lies_nowhere(measured: Callable[..., Dataset]) -> None:
    some = np.where(np.arange(40) < 3, np.nan, VALUES["mass"])
    assert np.isnan(measured(targets={"mass": some}, valid_min={"mass": 4.0}).target_array()[:3]).all()


@pytest.mark.parametrize(
    ("valid_min", "message"),
    [
        ({"mass": 4.5}, r"row 0: target 'mass' must be at least 4\.5, its valid_min\. Got 4\.0\.$"),
        ({"mass": np.nan}, r"valid_min mass must be a finite number\. Got nan\.$"),
        ({"mas": 0.0}, r"valid_min mas must be of one of the targets mass, angle\. Got 'mas'\. Did you mean 'mass'\?$"),
    ],
)
def test_one_that_does_not_fit_is_refused(measured: Callable[..., Dataset], valid_min: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        measured(targets=VALUES, valid_min=valid_min)
