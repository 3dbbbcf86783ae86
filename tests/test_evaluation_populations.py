"""Maps of many samples: means over ranges add up to the mean of all, the error is parted among the cells."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ram.axes import Axis
from ram.evaluation.populations import error_map, means_by_range, ranges_of
from ram.maps.regression_map import RegressionMap

COUNT = 60


def maps_of(contributions: np.ndarray, *, baseline: float = 7.0, **words: object) -> RegressionMap:
    axes = tuple(
        Axis.uniform(name, "mm", size=size, step=1.0)
        for name, size in zip("zyx"[-contributions.ndim + 1 :], contributions.shape[1:], strict=True)
    )
    total = baseline + contributions.reshape(len(contributions), -1).sum(axis=1)
    return RegressionMap(contributions, np.full(len(total), baseline), total, "t", "cm", axes, axes, **words)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([1.0, 2.0, 2.5, 3.0, 7.0, 20.0, np.nan]), min_size=1, max_size=40), st.integers(2, 5))
def test_each_measured_sample_lies_in_one_range(values: list[float], most: int) -> None:
    given_ = np.array(values)
    ranges = ranges_of(given_, most=most)
    assert sorted(np.concatenate([*ranges, np.zeros(0)]).tolist()) == np.flatnonzero(np.isfinite(given_)).tolist()
    assert len(ranges) <= most
    for below, above in itertools.pairwise(ranges):
        assert given_[below].max() < given_[above].min()


def test_ranges_hold_about_as_many_and_keep_equal_values_together() -> None:
    assert [rows.size for rows in ranges_of(np.random.default_rng(1).normal(size=100))] == [25, 25, 25, 25]
    most = np.array([6.0] * 10 + [8.5, 9.0, 11.0, 11.5] + [20.0] * 90)  # nine of ten are one value: equally wide ranges
    assert [np.unique(most[rows]).tolist() for rows in ranges_of(most)] == [[6.0, 8.5, 9.0], [11.0, 11.5], [20.0]]
    assert [rows.tolist() for rows in ranges_of(most[[0, 14, 1, 15]])] == [[0, 2], [1, 3]]


@pytest.mark.parametrize("shape", [(9,), (4, 5), (2, 3, 4)])
def test_means_of_ranges_are_the_mean_of_all(shape: tuple[int, ...]) -> None:
    maps = maps_of(np.random.default_rng(2).normal(size=(COUNT, *shape)))
    values = np.random.default_rng(3).normal(size=COUNT)
    means = means_by_range(maps, values)
    weighted = sum(one.rows.size * one.contributions for one in means) / COUNT
    np.testing.assert_allclose(weighted, maps.contributions.mean(axis=0), atol=1e-12)
    for one in means:
        assert (one.low, one.high) == (values[one.rows].min(), values[one.rows].max())
        np.testing.assert_allclose(one.contributions, np.mean([maps.contributions[row] for row in one.rows], axis=0))


@pytest.mark.parametrize("shape", [(9,), (4, 5), (2, 3, 4)])
def test_the_error_is_parted_among_the_cells(shape: tuple[int, ...]) -> None:
    draw = np.random.default_rng(4)
    parameters = draw.normal(size=(COUNT, 2))
    maps = maps_of(draw.normal(size=(COUNT, *shape)), parameter_contributions=parameters, parameter_names=("a", "b"))
    prediction = maps.prediction + parameters.sum(axis=1)
    maps = maps_of(maps.contributions, parameter_contributions=parameters, parameter_names=("a", "b"))
    object.__setattr__(maps, "prediction", prediction)
    measured = 0.8 * prediction + draw.normal(size=COUNT)
    found = error_map(maps, measured)
    assert found is not None
    assert found.contributions.sum() + found.parameters.sum() == pytest.approx(found.deviation, rel=1e-9)
    assert found.left_over == pytest.approx(0.0, abs=1e-9)
    error = prediction - measured
    line = np.polynomial.Polynomial.fit(measured, error, 1).convert().coef
    assert (found.offset, found.slope) == pytest.approx(tuple(line))
    rest = error - line[0] - line[1] * measured
    assert found.deviation == pytest.approx(rest.std())
    for place in np.ndindex(shape):
        cell = maps.contributions[(slice(None), *place)]
        assert found.contributions[place] == pytest.approx(np.cov(cell, rest, ddof=0)[0, 1] / rest.std())
    other = error_map(maps_of(1e3 * maps.contributions, baseline=7e3), 1e3 * measured)
    assert other is not None


def test_a_cell_that_spoils_the_prediction_is_found() -> None:
    draw = np.random.default_rng(5)
    truth = draw.normal(10, 3, size=COUNT)
    contributions = np.zeros((COUNT, 4, 4))
    contributions[:, 1, 2] = truth - 7.0  # what the target is made of
    contributions[:, 3, 0] = noise = draw.normal(0, 0.5, size=COUNT)
    found = error_map(maps_of(contributions), truth)
    assert found is not None
    assert found.contributions[3, 0] == pytest.approx(found.deviation)
    assert found.deviation == pytest.approx(noise.std(), rel=0.05)
    assert np.abs(found.contributions[1, 2]) < 1e-12  # it is only as large as the measured value says
    assert found.samples == COUNT


def test_a_net_that_says_the_mean_errs_with_the_measured_value_alone() -> None:
    truth = np.random.default_rng(6).normal(size=COUNT)
    assert error_map(maps_of(np.zeros((COUNT, 3))), truth) is None
    shrunk = maps_of(0.9 * truth[:, None] + 0.01 * np.random.default_rng(7).normal(size=(COUNT, 3)), baseline=0.0)
    found = error_map(shrunk, 3 * truth)
    assert found is not None
    assert found.slope == pytest.approx(-0.1, abs=0.01)


def test_samples_that_were_not_measured_do_not_count_and_few_say_nothing() -> None:
    draw = np.random.default_rng(8)
    maps = maps_of(draw.normal(size=(COUNT, 5)))
    measured = maps.prediction + draw.normal(size=COUNT)
    known = np.arange(COUNT) % 3 > 0
    gappy = error_map(maps, np.where(known, measured, np.nan))
    alone = error_map(maps[np.flatnonzero(known)], measured[known])
    assert gappy is not None
    assert alone is not None
    assert gappy.samples == 40
    np.testing.assert_allclose(gappy.contributions, alone.contributions)
    assert error_map(maps[:3], measured[:3]) is None


def test_errors_of_a_log_target_are_those_of_logarithms() -> None:
    draw = np.random.default_rng(9)
    contributions = 0.1 * draw.normal(size=(COUNT, 6))
    axis = Axis.uniform("x", "mm", size=6, step=1.0)
    prediction = 500.0 * np.exp(contributions.sum(axis=1))
    maps = RegressionMap(contributions, np.full(COUNT, 500.0), prediction, "f", "Hz", (axis,), (axis,), log=True)
    found = error_map(maps, prediction * np.exp(0.02 * draw.normal(size=COUNT)))
    assert found is not None
    assert found.contributions.sum() == pytest.approx(found.deviation)
    assert found.deviation == pytest.approx(0.02, rel=0.3)
