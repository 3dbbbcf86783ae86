"""Figures of accuracy against the formulas written out in numpy, and what cannot be measured."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ram.errors import DataError
from ram.evaluation.accuracy import accuracy


@pytest.fixture
def pairs() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(4)
    measured = draw.uniform(300, 800, 40)
    return measured + draw.normal(2.0, 5.0, 40), measured


def test_figures_are_their_formulas(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, measured = pairs
    error = predicted - measured
    found = accuracy(predicted, measured, unit="Hz")
    assert found.samples == 40
    assert found.mae == pytest.approx(np.abs(error).mean(), rel=1e-12)
    assert found.rmse == pytest.approx(math.sqrt((error**2).mean()), rel=1e-12)
    assert found.bias == pytest.approx(error.mean(), rel=1e-12)
    assert found.mape == pytest.approx(100 * (np.abs(error) / measured).mean(), rel=1e-12)
    assert found.r2 == pytest.approx(1 - (error**2).sum() / ((measured - measured.mean()) ** 2).sum(), rel=1e-12)


def test_worst_sample_is_named_with_its_signed_error() -> None:
    found = accuracy(np.array([1.0, -7.0, 3.5]), np.array([1.5, 0.0, 3.0]), unit="mm", ids=["a", "b", "c"])
    assert (found.worst_id, found.worst_error, found.unit) == ("b", -7.0, "mm")
    assert accuracy(np.array([1.0, -7.0]), np.array([1.5, 0.0]), unit="mm").worst_id == "1"


def test_samples_that_were_not_measured_do_not_count(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, measured = pairs
    gaps = measured.copy()
    gaps[::3] = np.nan
    kept = np.isfinite(gaps)
    ids = [f"s{i}" for i in range(40)]
    with_gaps = accuracy(predicted, gaps, unit="Hz", ids=ids)
    alone = accuracy(predicted[kept], measured[kept], unit="Hz", ids=[ids[i] for i in np.flatnonzero(kept)])
    assert with_gaps == alone
    assert with_gaps.samples == 26


def test_figures_that_do_not_exist_are_nan_and_the_others_are_there() -> None:
    one = accuracy(np.array([2.0]), np.array([0.0]), unit="Hz")
    assert (one.mae, one.rmse, one.bias) == (2.0, 2.0, 2.0)
    assert math.isnan(one.r2)
    assert math.isnan(one.mape)


@pytest.mark.parametrize(
    ("predicted", "measured"), [((5, 1), (5,)), ((5,), (5, 1)), ((5, 1), (5, 1)), ((5,), (4,)), ((), ())]
)
def test_shapes_that_would_broadcast_are_refused(predicted: tuple[int, ...], measured: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"predictions and measured values must be \(sample,\)\. Got \("):
        accuracy(np.zeros(predicted), np.zeros(measured), unit="Hz")


def test_nothing_measured_is_refused() -> None:
    with pytest.raises(DataError, match=r"measured values must be finite for a sample\. Got none\."):
        accuracy(np.zeros(3), np.full(3, np.nan), unit="Hz")


def test_as_dict_holds_every_figure() -> None:
    found = accuracy(np.array([1.0, 2.0]), np.array([1.0, 3.0]), unit="Hz").as_dict()
    assert found == {
        "unit": "Hz", "samples": 2, "mae": 0.5, "rmse": pytest.approx(math.sqrt(0.5)), "bias": -0.5,
        "mape": pytest.approx(100 / 6), "r2": pytest.approx(0.5), "worst_id": "1", "worst_error": -1.0,
    }  # fmt: skip
