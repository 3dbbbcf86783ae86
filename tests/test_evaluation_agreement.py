"""How maps agree with a map from physics: independent oracles, known answers, and what is not known."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from ram.errors import DataError
from ram.evaluation import agreement
from ram.evaluation.bootstrap import bootstrap

SHAPES = [(12,), (5, 6), (3, 4, 5)]
COMPARED: dict[str, Callable[..., np.ndarray]] = {
    "pearson": agreement.linear_agreement,
    "top": agreement.top_overlap,
    "sign": agreement.sign_agreement,
}


def pair(shape: tuple[int, ...], *, count: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(len(shape))
    maps = draw.standard_normal((count, *shape))
    return maps, maps + draw.standard_normal((count, *shape)), draw.random((count, *shape)) < 0.8


@pytest.mark.parametrize("shape", SHAPES)
def test_each_figure_is_what_an_independent_program_says_in_every_dimension(shape: tuple[int, ...]) -> None:
    maps, truth, where = pair(shape)
    inside = agreement.strongest(truth, where=where, share=0.3)
    rows = [(m[w], t[w], i[w]) for m, t, w, i in zip(maps, truth, where, inside, strict=True)]
    pearson = [stats.pearsonr(m, t).statistic for m, t, _ in rows]
    np.testing.assert_allclose(agreement.linear_agreement(maps, truth, where=where), pearson, atol=1e-12)
    auc = [roc_auc_score(i, np.abs(m)) for m, _, i in rows]
    np.testing.assert_allclose(agreement.region_auc(maps, inside, where=where), auc, atol=1e-12)
    for _, t, i in rows:  # the region is the truth's strongest tenth, largest first
        assert i.sum() == max(1, round(0.3 * t.size))
        assert np.abs(t[i]).min() >= np.abs(t[~i]).max()
    hits = [float(i[np.abs(m).argmax()]) for m, _, i in rows]
    np.testing.assert_array_equal(agreement.peak_within(maps, inside, where=where), hits)


@pytest.mark.parametrize("name", COMPARED)
def test_the_truth_agrees_with_itself_and_its_negative_is_told_apart(name: str) -> None:
    _, truth, where = pair((6, 6))
    figure = COMPARED[name]
    np.testing.assert_allclose(figure(3.0 * truth, truth, where=where), 1.0)  # another unit is the same map
    expected = {"pearson": -1.0, "top": 1.0, "sign": 0.0}[name]  # strength has no sign
    np.testing.assert_allclose(figure(-truth, truth, where=where), expected)


def test_by_hand() -> None:
    maps, truth = np.array([[4.0, -3.0, 2.0, 0.0, 1.0]]), np.array([[-6.0, -1.0, 2.0, 1.0, 0.0]])
    assert agreement.top_overlap(maps, truth, share=0.4) == pytest.approx([0.5])  # 4, -3 against -6, 2
    assert agreement.sign_agreement(maps, truth) == pytest.approx([3 / 10])  # -1 and 2 of 10
    region = np.array([[True, False, True, False, False]])
    mass, chance = agreement.mass_within(maps, region)
    assert (mass, chance) == (pytest.approx([0.6]), pytest.approx([0.4]))
    tied = np.array([[1.0, -1.0, 0.0, 0.0, 0.0]])
    assert agreement.peak_within(tied, region) == pytest.approx([0.5])
    assert agreement.region_auc(np.ones((1, 5)), region) == pytest.approx([0.5])  # ties count half


def test_only_cells_that_count_do() -> None:
    maps, truth = np.array([[1.0, 2.0, 9.0]]), np.array([[2.0, 4.0, -9.0]])
    here = np.array([[True, True, False]])
    assert agreement.linear_agreement(maps, truth, where=here) == pytest.approx([1.0])
    assert agreement.mass_within(maps, here, where=here)[0] == pytest.approx([1.0])


@pytest.mark.parametrize("name", COMPARED)
def test_what_is_not_known_is_nan(name: str) -> None:
    maps = np.tile(np.arange(4.0), (3, 1))
    truth = np.array([[1.0, np.nan, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0, 4.0]])
    found = COMPARED[name](maps, truth, where=np.array([[True] * 4, [True] * 4, [False] * 4]))
    assert np.isnan(found).all()  # not computed, the same everywhere, no cell that counts
    assert not agreement.strongest(truth[:1]).any()


def test_the_table_of_regions_is_off_by_what_its_sums_are() -> None:
    maps, truth = np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([[3.0, 0.0, 3.0, 14.0]])
    error, size = agreement.region_error(maps, truth, np.array([[0, 0, 1, 2]], dtype=np.uint8), count=4)
    np.testing.assert_allclose(error, [[0.0, 0.0, 10.0, 0.0]])  # errors within a region cancel: only its sum is asked
    np.testing.assert_allclose(size, [[3.0, 3.0, 14.0, 0.0]])
    unknown = agreement.region_error(maps, truth * np.nan, np.zeros((1, 4), dtype=np.uint8), count=2)
    assert np.isnan(unknown[0]).all()
    assert np.isnan(unknown[1]).all()


def test_different_shapes_are_refused() -> None:
    for figure in COMPARED.values():
        with pytest.raises(
            DataError, match=r"agreement: map, truth and mask must be of one shape. Got \(2, 3\), \(3,\)"
        ):
            figure(np.zeros((2, 3)), np.zeros(3))


def test_the_interval_holds_the_true_mean_as_often_as_it_says() -> None:
    draw = np.random.default_rng(1)
    found = [bootstrap(draw.normal(3.0, 1.0, size=40), seed=row) for row in range(200)]
    held = np.mean([one is not None and one.low <= 3.0 <= one.high for one in found])
    assert 0.88 <= held <= 0.99  # 95 % meant; percentiles of 40 samples hold a little less, and 200 say it to 2 %


def test_groups_are_drawn_whole() -> None:
    draw = np.random.default_rng(2)
    each = np.repeat(draw.normal(size=20), 10)  # ten samples of a group say what one says
    names = np.repeat([f"g{row}" for row in range(20)], 10)
    alone, together = bootstrap(each), bootstrap(each, groups=names)
    assert alone is not None
    assert together is not None
    assert together.value == pytest.approx(alone.value) == pytest.approx(each.mean())
    wider = (together.high - together.low) / (alone.high - alone.low)
    assert wider == pytest.approx(np.sqrt(10), rel=0.25)


def test_a_ratio_is_of_sums_and_not_a_mean_of_ratios() -> None:
    found = bootstrap(np.array([1.0, 30.0]), over=np.array([1.0, 10.0]))
    assert found is not None
    assert found.value == pytest.approx(31 / 11)
    assert found.low == pytest.approx(1.0)
    assert found.high == pytest.approx(3.0)


def test_what_no_sample_has_is_no_figure_and_one_sample_has_no_interval() -> None:
    assert bootstrap(np.array([np.nan, np.nan])) is None
    single = bootstrap(np.array([np.nan, 2.0]))
    assert single is not None
    assert (single.value, single.samples) == (2.0, 1)
    assert np.isnan([single.low, single.high]).all()
    with pytest.raises(DataError, match=r"bootstrap: values, weights and groups must be of one length. Got 2, 2 and 1"):
        bootstrap(np.zeros(2), groups=["a"])


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    values = np.random.default_rng(3).normal(size=30)
    lows = [bootstrap(values, seed=seed) for seed in (0, 0, 1)]
    assert lows[0] == lows[1]
    assert all(a != b for a, b in itertools.pairwise(lows[1:]))
