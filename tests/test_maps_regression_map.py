"""RegressionMap: sums, regions, differences, means, and what it refuses."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ram.axes import Axis
from ram.errors import ConfigError, DataError
from ram.maps.regression_map import RegressionMap, load_maps, save_maps

WIDE = Axis.uniform("x", "mm", size=12, step=2.0, start=1.0, long_name="width")
HIGH = Axis.uniform("y", "mm", size=8, step=2.0, start=1.0)
CELLS = (
    Axis("y", "mm", [3.0, 11.0], [0.0, 6.0, 16.0]),  # 3 and 5 points of the input
    Axis("x", "mm", [4.0, 12.0, 20.0], [0.0, 8.0, 15.0, 24.0], "width"),  # the second edge cuts a point in half
)


def made(batch: int = 2, *, seed: int = 0, **changes: Any) -> RegressionMap:
    draw = np.random.default_rng(seed)
    cells = draw.normal(size=(batch, 2, 3))
    shares = draw.normal(size=(batch, 1))
    base = np.full(batch, 561.0)
    content: dict[str, Any] = {
        "contributions": cells,
        "baseline": base,
        "prediction": base + cells.sum(axis=(1, 2)) + shares[:, 0],
        "target": "umbrella",
        "unit": "Hz",
        "axes": CELLS,
        "input_axes": (HIGH, WIDE),
        "parameter_contributions": shares,
        "parameter_names": ("load",),
        "ids": tuple(f"w{i}" for i in range(batch)),
        "receptive_field": (31.0, float("nan")),
    }
    return RegressionMap(**(content | changes))


def as_log(one: RegressionMap) -> RegressionMap:
    return replace(one, log=True, baseline=np.full(len(one), 2.0), prediction=2.0 * np.exp(one.total))


def test_residual_and_completeness() -> None:
    one = made()
    np.testing.assert_allclose(one.residual, 0.0, atol=1e-12)
    off = replace(one, prediction=one.prediction + np.array([0.0, 3.0]))
    np.testing.assert_allclose(off.residual, [0.0, 3.0], atol=1e-12)
    size = np.abs(one.contributions[1]).sum() + abs(one.parameter_contributions[1, 0])
    np.testing.assert_allclose(off.completeness(), [0.0, 3.0 / size], atol=1e-12)


def test_completeness_of_a_map_of_zeros_is_zero() -> None:
    one = made()
    still = replace(one, contributions=0 * one.contributions, parameter_contributions=0 * one.parameter_contributions)
    np.testing.assert_array_equal(replace(still, prediction=still.baseline).completeness(), 0.0)


def test_numbers_cannot_be_changed_and_the_callers_own_stay_free() -> None:
    own = np.zeros((1, 2, 3))
    one = made(1, contributions=own)
    own[0, 0, 0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        one.contributions[0] = 1.0
    with pytest.raises(FrozenInstanceError):
        one.unit = "kHz"  # type: ignore[misc]


def test_the_inputs_grid_by_hand() -> None:
    one = made(1, contributions=np.arange(6.0).reshape(1, 2, 3), parameter_names=())
    fine = one.on_input_grid().contributions[0]
    assert fine.shape == (8, 12)
    np.testing.assert_allclose(fine[0, :4], 0.0)
    np.testing.assert_allclose(fine[3, 4:7], 4.0 / 5 * np.array([2, 2, 2]) / 7)  # second row, second cell: 7 mm
    np.testing.assert_allclose(fine[3, 7], 4.0 / 5 / 7 + 5.0 / 5 / 9)  # the point that the edge at 15 mm cuts
    np.testing.assert_allclose(fine[:3, 8:].sum(), 2.0 * 8 / 9)


@settings(max_examples=40, deadline=None)
@given(
    x=st.tuples(st.floats(0, 24), st.floats(0, 24)).map(sorted),
    y=st.tuples(st.floats(0, 16), st.floats(0, 16)).map(sorted),
)
def test_regions_add_up(x: list[float], y: list[float]) -> None:
    one = made()
    parts = [
        one.within(y=rows, x=columns)
        for rows in ((0.0, y[0]), tuple(y), (y[1], 16.0))
        for columns in ((0.0, x[0]), tuple(x), (x[1], 24.0))
    ]
    np.testing.assert_allclose(sum(parts), one.contributions.sum(axis=(1, 2)), rtol=1e-9, atol=1e-9)


def test_a_region_by_hand() -> None:
    one = made()
    cells = one.contributions
    np.testing.assert_allclose(one.within(y=(0, 6), x=(8, 15)), cells[:, 0, 1])
    np.testing.assert_allclose(one.within(x=(4, 8)), 0.5 * cells[:, :, 0].sum(axis=1))
    np.testing.assert_allclose(one.within(), cells.sum(axis=(1, 2)))
    np.testing.assert_allclose(one.within(x=(24, 99)), 0.0, atol=1e-15)


def test_a_mask_says_what_bounds_say() -> None:
    one = made()
    mask = np.zeros((8, 12), dtype=bool)
    mask[2:6, 3:10] = True
    np.testing.assert_allclose(one.within_mask(mask), one.within(y=(4, 12), x=(6, 20)), rtol=1e-12)
    each = np.stack([mask, ~mask])
    total = one.contributions.sum(axis=(1, 2))
    np.testing.assert_allclose(one.within_mask(each)[1], total[1] - one.within_mask(mask)[1], rtol=1e-12)


def test_why_is_b_lower_than_a() -> None:
    a, b = made(1, seed=1, ids=("A",)), made(1, seed=2, ids=("B",))
    found = b.difference(a)
    np.testing.assert_allclose(found.total, b.prediction - a.prediction)
    np.testing.assert_allclose(found.baseline, a.prediction)
    np.testing.assert_allclose(found.residual, 0.0, atol=1e-12)
    assert found.reference == "A"
    assert made(3).difference(a, reference="nominal").reference == "nominal"
    assert made(3).difference(made(3, seed=4)).reference == "another sample each"


def test_a_difference_of_differences_is_a_difference() -> None:
    mean = made(5, seed=9).mean(name="train-mean")
    a, b = made(1, seed=1), made(1, seed=2)
    twice = b.difference(mean).difference(a.difference(mean))
    np.testing.assert_allclose(twice.contributions, b.difference(a).contributions, atol=1e-14)
    np.testing.assert_allclose(twice.residual, 0.0, atol=1e-12)


def test_the_mean_map_adds_up() -> None:
    many = made(4)
    mean = many.mean()
    assert mean.ids == ("mean of 4 samples",)
    np.testing.assert_allclose(mean.contributions[0], many.contributions.mean(axis=0))
    np.testing.assert_allclose(mean.prediction, many.prediction.mean())
    np.testing.assert_allclose(mean.residual, 0.0, atol=1e-12)


def test_a_log_target_is_exact_in_factors() -> None:
    one = as_log(made(3))
    np.testing.assert_allclose(one.residual, 0.0, atol=1e-12)
    shares = np.exp(one.parameter_contributions).prod(axis=1)
    np.testing.assert_allclose(one.baseline * one.factors.reshape(3, -1).prod(axis=1) * shares, one.prediction)
    mean = one.mean()
    np.testing.assert_allclose(mean.prediction, np.exp(np.log(one.prediction).mean()))
    np.testing.assert_allclose(mean.residual, 0.0, atol=1e-12)
    against = one.difference(mean)
    np.testing.assert_allclose(against.baseline * np.exp(against.total), one.prediction)
    assert "Hz (factors: the net regresses the logarithm)" in repr(one)


def test_rows() -> None:
    one = made(4)
    assert len(one) == 4
    assert [row.ids for row in one] == [("w0",), ("w1",), ("w2",), ("w3",)]
    assert one[-1].ids == ("w3",)
    assert one[1:3].ids == ("w1", "w2")
    assert one[[2, 0]].ids == ("w2", "w0")
    assert one[np.array([True, False, False, True])].ids == ("w0", "w3")
    np.testing.assert_array_equal(one[[2, 0]].contributions, one.contributions[[2, 0]])
    np.testing.assert_array_equal(one[2].parameter_contributions, one.parameter_contributions[2:3])
    with pytest.raises(IndexError, match="out of bounds"):
        one[4]


def test_words() -> None:
    one = made(16, parameter_names=())
    assert repr(one) == "RegressionMap of umbrella: 16 samples, 2x3 cells, Hz, exact"
    against = one[0].difference(one.mean(name="train-mean"))
    assert repr(against) == "RegressionMap of umbrella: 1 sample, 2x3 cells, Hz, exact against train-mean"


def test_every_field_comes_back_from_a_file(tmp_path: Any) -> None:
    one = as_log(made(3, ids=("ä", "b", "long name")))
    one.save(tmp_path / "maps.h5")
    back = RegressionMap.load(tmp_path / "maps.h5")
    for name in ("contributions", "parameter_contributions", "baseline", "prediction", "receptive_field"):
        np.testing.assert_array_equal(getattr(back, name), getattr(one, name))
    for name in ("target", "unit", "grade", "method", "reference", "ids", "log", "parameter_names"):
        assert getattr(back, name) == getattr(one, name)
    for mine, theirs in zip((*one.axes, *one.input_axes), (*back.axes, *back.input_axes), strict=True):
        assert mine.same_grid(theirs)
        assert mine.long_name == theirs.long_name
        np.testing.assert_array_equal(mine.centres, theirs.centres)


def test_several_maps_in_a_file(tmp_path: Any) -> None:
    path = tmp_path / "references.h5"
    save_maps(path, {"train-mean/umbrella": made(1), "train-mean/tilt": made(1, target="tilt"), "other": made(2)})
    assert sorted(load_maps(path)) == ["other", "train-mean/tilt", "train-mean/umbrella"]
    assert load_maps(path, prefix="train-mean")["tilt"].target == "tilt"
    assert RegressionMap.load(path, target="other").ids == ("w0", "w1")
    with pytest.raises(ConfigError, match=r"the target must be one of .*other.* Got othr. Did you mean 'other'"):
        RegressionMap.load(path, target="othr")
    with pytest.raises(ConfigError, match=r"Got none. Say which with target="):
        RegressionMap.load(path)
    with pytest.raises(DataError, match=r"the prefix of maps must be the beginning of one of .* Got mean"):
        load_maps(path, prefix="mean")


def test_a_file_of_maps_is_netcdf(tmp_path: Any) -> None:
    xarray = pytest.importorskip("xarray")
    one = made(2)
    save_maps(tmp_path / "maps.nc", {"umbrella": one, "tilt": made(3)})
    with xarray.open_datatree(tmp_path / "maps.nc", engine="netcdf4") as tree:
        cells = tree["umbrella/contributions"]
        assert cells.dims == ("map", "y", "x")
        assert cells.attrs["units"] == "Hz"
        assert tree["umbrella/x"].attrs == {"units": "mm", "long_name": "width"}
        np.testing.assert_array_equal(cells.sel(x=12.0).values, one.contributions[:, :, 1])
        assert tree["tilt/contributions"].shape == (3, 2, 3)


def test_the_same_maps_make_the_same_bytes(tmp_path: Any) -> None:
    h5py = pytest.importorskip("h5py")
    for name in ("a.h5", "b.h5"):
        made().save(tmp_path / name)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    with h5py.File(tmp_path / "a.h5") as file:  # time stamps count seconds and would seldom differ here
        stamped = [name for name, one in file["umbrella"].items() if one.id.get_create_plist().get_obj_track_times()]
    assert stamped == []


def test_a_failed_save_leaves_the_old_file(tmp_path: Any) -> None:
    made().save(tmp_path / "maps.h5")
    before = (tmp_path / "maps.h5").read_bytes()
    with pytest.raises(DataError, match=r"the map tilt must be of 1 sample or more. Got 0"):
        save_maps(tmp_path / "maps.h5", {"umbrella": made(1), "tilt": made(2)[:0]})
    assert (tmp_path / "maps.h5").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["maps.h5"]


def test_another_file_is_refused(tmp_path: Any) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["schema"] = "ram-dataset/1"
    with pytest.raises(DataError, match=r"the schema must be ram-maps/1. Got ram-dataset/1"):
        load_maps(tmp_path / "other.h5")
    with pytest.raises(DataError, match=r"the file must be there"):
        load_maps(tmp_path / "none.h5")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"contributions": np.zeros((2, 3, 2))}, r"the shape of contributions must be \(2, 2, 3\). Got \(2, 3, 2\)"),
        ({"baseline": np.zeros(3)}, r"the shape of baseline must be \(2,\). Got \(3,\)"),
        ({"prediction": np.zeros((2, 1))}, r"the shape of prediction must be \(2,\). Got \(2, 1\)"),
        ({"parameter_contributions": np.zeros((2, 2))}, r"the shape of parameter_contributions must be \(2, 1\)"),
        ({"input_axes": (WIDE,)}, r"the length of input_axes must be 2. Got 1"),
        ({"ids": ("a",)}, r"the length of ids must be 2. Got 1"),
        ({"grade": "sure"}, r"the grade must be one of exact, complete, .* Got sure"),
    ],
)
def test_shapes_that_do_not_belong_together(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        made(2, **changes)


def test_questions_that_have_no_answer() -> None:
    one = made()
    with pytest.raises(ConfigError, match=r"a bound must be named after an axis: y \(0 to 16 mm\), x \(0 to 24 mm\)"):
        one.within(r=(0, 1))
    with pytest.raises(ConfigError, match=r"a region along x must be given as \(low, high\). Got \(9, 1\)"):
        one.within(x=(9, 1))
    with pytest.raises(DataError, match=r"the mask must be of shape \(8, 12\) or \(2, 8, 12\)"):
        one.within_mask(np.ones((12, 8)))
    with pytest.raises(ConfigError, match=r"the target must be regressed in the logarithm. Got umbrella"):
        _ = one.factors


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (made(3), r"the number of samples of the other map must be 1 or 2. Got 3"),
        (made(2, target="tilt"), r"the target of the other map must be 'umbrella'. Got 'tilt'"),
        (made(2, unit="kHz"), r"the unit of the other map must be 'Hz'. Got 'kHz'"),
        (made(2).difference(made(2)), r"the reference of the other map must be 'baseline'. Got 'another sample each'"),
        (made(2, axes=(CELLS[0], replace(CELLS[1], unit="cm"))), r"the cells of the other map must be those of"),
        (made(2, baseline=np.full(2, 560.0)), r"the baseline of the other map must be 561 Hz. Got 560"),
    ],
)
def test_maps_that_cannot_be_compared(other: RegressionMap, said: str) -> None:
    with pytest.raises(DataError, match=said):
        made(2).difference(other)
