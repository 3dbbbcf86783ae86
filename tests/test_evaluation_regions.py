"""What regions carry, against sums written out pixel by pixel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ram.axes import Axis
from ram.errors import DataError
from ram.evaluation.localisation import cells_that_count, material_points, rank_agreement, summed_on_cells
from ram.evaluation.regions import RegionTable, region_table
from ram.maps.regression_map import RegressionMap

NAMES = ("void", "hub", "rim")
BATCH, SIZE, CELLS = 3, 6, 4  # cells of one and a half points: their edges cut points in two


def axes(size: int) -> tuple[Axis, Axis]:
    step = 60.0 / size
    return tuple(Axis.uniform(name, "mm", size=size, step=step, start=-30 + step / 2) for name in ("y", "x"))  # type: ignore[return-value]


def maps(*, parameters: int = 0, log: bool = False) -> RegressionMap:
    draw = np.random.default_rng(11)
    cells, shares = draw.normal(size=(BATCH, CELLS, CELLS)), draw.normal(size=(BATCH, parameters))
    total = cells.sum(axis=(1, 2)) + shares.sum(axis=1)
    baseline = np.full(BATCH, 500.0)
    prediction = baseline * np.exp(total) if log else baseline + total
    return RegressionMap(
        cells, baseline, prediction, "umbrella", "Hz", axes(CELLS), axes(SIZE),
        parameter_contributions=shares, parameter_names=tuple(f"p{i}" for i in range(parameters)), log=log,
        ids=("a", "b", "c"),
    )  # fmt: skip


@pytest.fixture
def regions() -> np.ndarray:
    return np.random.default_rng(5).integers(0, len(NAMES), (BATCH, SIZE, SIZE)).astype(np.uint8)


def by_hand(values: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Sums over the points of each region, one point at a time."""
    sums = np.zeros((BATCH, len(NAMES)))
    for sample in range(BATCH):
        for j in range(SIZE):
            for i in range(SIZE):
                sums[sample, regions[sample, j, i]] += values[sample, j, i]
    return sums


def spread_by_hand(cells: np.ndarray) -> np.ndarray:
    """Each cell on the points that it covers, by area: 60 mm are 4 cells of 15 mm and 6 points of 10 mm."""
    covered = np.zeros((SIZE, CELLS))
    for point in range(SIZE):
        for cell in range(CELLS):
            low, high = max(10 * point, 15 * cell), min(10 * point + 10, 15 * cell + 15)
            covered[point, cell] = max(0, high - low) / 15
    return np.einsum("jc,bcd,id->bji", covered, cells, covered)


def test_net_and_physics_are_sums_over_the_points_of_a_region(regions: np.ndarray) -> None:
    truth = np.random.default_rng(6).normal(size=regions.shape)
    table = region_table(maps(), regions, NAMES, truth=truth)
    np.testing.assert_allclose(table.net, by_hand(spread_by_hand(maps().contributions), regions), atol=1e-12)
    np.testing.assert_allclose(table.physics, by_hand(truth, regions), atol=1e-12)
    assert (table.names, table.ids, table.unit) == (NAMES, ("a", "b", "c"), "Hz")


def test_a_region_carries_what_its_mask_carries(regions: np.ndarray) -> None:
    table = region_table(maps(), regions, NAMES)
    for code in range(len(NAMES)):
        np.testing.assert_allclose(table.net[:, code], maps().within_mask(regions == code), atol=1e-12)


def test_rows_sum_to_prediction_minus_baseline_with_a_row_for_each_parameter(regions: np.ndarray) -> None:
    explained = maps(parameters=2)
    table = region_table(explained, regions, NAMES, truth=np.zeros(regions.shape))
    assert table.names == (*NAMES, "p0", "p1")
    np.testing.assert_allclose(table.net.sum(axis=1), explained.prediction - explained.baseline, atol=1e-12)
    np.testing.assert_array_equal(table.net[:, 3:], explained.parameter_contributions)
    assert np.isnan(table.physics[:, 3:]).all()


def test_rows_of_a_log_target_are_logarithms(regions: np.ndarray) -> None:
    explained = maps(log=True)
    table = region_table(explained, regions, NAMES)
    assert table.unit == "1"
    np.testing.assert_allclose(np.exp(table.net.sum(axis=1)), explained.prediction / explained.baseline, rtol=1e-12)


def test_averages_are_those_of_the_samples(regions: np.ndarray) -> None:
    truth = np.random.default_rng(6).normal(size=regions.shape)
    table = region_table(maps(), regions, NAMES, truth=truth)
    net, physics = table.net, table.physics
    for code, row in enumerate(table.rows):
        assert row.name == NAMES[code]
        assert row.net == pytest.approx(net[:, code].mean())
        assert row.physics == pytest.approx(physics[:, code].mean())
        assert row.net_absolute == pytest.approx(np.abs(net[:, code]).mean())
        assert row.physics_absolute == pytest.approx(np.abs(physics[:, code]).mean())
        assert row.difference == pytest.approx(np.abs(net[:, code] - physics[:, code]).mean())
        assert row.net_share == pytest.approx(np.abs(net[:, code]).mean() / np.abs(net).mean(axis=0).sum())
    assert sum(row.net_share for row in table.rows) == pytest.approx(1)
    assert sum(row.physics_share for row in table.rows) == pytest.approx(1)


def test_samples_without_truth_have_no_physics_even_where_a_region_is_empty(regions: np.ndarray) -> None:
    truth = np.ones(regions.shape)
    truth[1] = np.nan
    regions[1] = 0  # hub and rim are empty there: nothing would add up to zero
    table = region_table(maps(), regions, NAMES, truth=truth)
    assert np.isnan(table.physics[1]).all()
    known = table.physics[[0, 2]]
    assert [row.physics for row in table.rows] == pytest.approx(known.mean(axis=0))
    assert [row.difference for row in table.rows] == pytest.approx(np.abs(table.net[[0, 2]] - known).mean(axis=0))


def test_without_truth_the_physics_of_every_row_is_nan(regions: np.ndarray) -> None:
    rows = region_table(maps(), regions, NAMES).rows
    assert all(np.isnan([row.physics, row.physics_absolute, row.physics_share, row.difference]).all() for row in rows)


def test_shares_of_a_map_of_nothing_are_nan(regions: np.ndarray) -> None:
    nothing = replace(maps(), contributions=np.zeros((BATCH, CELLS, CELLS)))
    assert all(np.isnan(row.net_share) for row in region_table(nothing, regions, NAMES).rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"regions": np.zeros((3, 6, 7), np.uint8)}, r"the regions must be of shape \(3, 6, 6\)\. Got \(3, 6, 7\)"),
        ({"regions": np.zeros((1, 6, 6), np.uint8)}, r"the regions must be of shape \(3, 6, 6\)\. Got \(1, 6, 6\)"),
        ({"truth": np.zeros((6, 6))}, r"the truth must be of shape \(3, 6, 6\)\. Got \(6, 6\)"),
        ({"regions": np.full((3, 6, 6), 255, np.uint8)}, r"the codes of regions must be below 3.*Got 255"),
    ],
)
def test_what_does_not_fit_is_refused(regions: np.ndarray, change: dict[str, np.ndarray], message: str) -> None:
    content = {"regions": regions, "truth": None} | change
    with pytest.raises(DataError, match=message):
        region_table(maps(), content["regions"], NAMES, truth=content["truth"])


def test_truth_summed_on_cells_keeps_its_total_and_undoes_spreading() -> None:
    truth = np.random.default_rng(6).normal(size=(BATCH, SIZE, SIZE))
    summed = summed_on_cells(truth, source=axes(SIZE), cells=axes(CELLS))
    np.testing.assert_allclose(summed.sum(axis=(1, 2)), truth.sum(axis=(1, 2)), atol=1e-12)
    halves = np.array([[1, 0.5, 0, 0, 0, 0], [0, 0.5, 1, 0, 0, 0], [0, 0, 0, 1, 0.5, 0], [0, 0, 0, 0, 0.5, 1]])
    np.testing.assert_allclose(summed, np.einsum("cj,bji,di->bcd", halves, truth, halves), atol=1e-12)


def test_truth_on_another_grid_is_refused() -> None:
    with pytest.raises(DataError, match=r"values must be of shape \(batch, 6, 6\).*Got \(3, 5, 6\)"):
        summed_on_cells(np.zeros((3, 5, 6)), source=axes(SIZE), cells=axes(CELLS))
    with pytest.raises(DataError, match=r"as many axes as the cells\. Got \(3, 6, 6\)"):
        summed_on_cells(np.zeros((3, 6, 6)), source=axes(SIZE), cells=axes(CELLS)[:1])


def test_rank_agreement_is_spearmans_formula_without_ties() -> None:
    draw = np.random.default_rng(8)
    one, other = draw.permutation(9), draw.permutation(9)
    expected = 1 - 6 * ((one - other) ** 2).sum() / (9 * 80)  # Spearman 1904
    found = rank_agreement(np.exp(one)[None].reshape(1, 3, 3), (other**3.0)[None].reshape(1, 3, 3))
    np.testing.assert_allclose(found, [expected], atol=1e-12)


def test_rank_agreement_with_ties_is_that_of_mean_ranks() -> None:
    one, other = np.array([[1.0, 2.0, 2.0, 5.0]]), np.array([[0.0, 3.0, 1.0, 1.0]])
    ranks = np.array([1, 2.5, 2.5, 4]), np.array([1, 4, 2.5, 2.5])
    np.testing.assert_allclose(rank_agreement(one, other), [np.corrcoef(*ranks)[0, 1]], atol=1e-12)


def test_only_the_cells_that_count_are_ranked() -> None:
    one, other = np.array([[1.0, 2.0, 3.0, -99.0]]), np.array([[3.0, 2.0, 1.0, 99.0]])
    assert rank_agreement(one, other, where=np.array([[True, True, True, False]])) == pytest.approx([-1.0])
    assert rank_agreement(-one, one) == pytest.approx([-1.0])


def test_rank_agreement_is_nan_where_there_is_nothing_to_rank() -> None:
    one = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 1.0], [1.0, 2.0]])
    other = np.array([[1.0, np.nan], [1.0, 2.0], [1.0, 2.0], [3.0, 4.0]])
    where = np.array([[True, True], [False, False], [True, True], [True, True]])
    np.testing.assert_array_equal(rank_agreement(one, other, where=where), [np.nan, np.nan, np.nan, 1.0])


def test_rank_agreement_of_different_shapes_is_refused() -> None:
    with pytest.raises(DataError, match=r"map, truth and mask must be of one shape\. Got \(2, 3\), \(3,\)"):
        rank_agreement(np.zeros((2, 3)), np.zeros(3))


def test_a_table_is_frozen(regions: np.ndarray) -> None:
    table = region_table(maps(), regions, NAMES)
    assert isinstance(table, RegionTable)
    with pytest.raises(AttributeError):
        table.unit = "kHz"  # type: ignore[misc]


def test_cells_count_where_sample_or_reference_holds_material() -> None:
    x = np.zeros((2, 2, SIZE, SIZE))
    x[0, 1, 0, 0] = 0.1
    reference = np.zeros((2, SIZE, SIZE))
    reference[1, -1, -1] = 1.0
    points = material_points(x, reference, channels=["thickness", "fill"])
    where = cells_that_count(points, source=axes(SIZE), cells=axes(CELLS), count=2)
    expected = np.zeros((2, CELLS, CELLS), dtype=bool)
    expected[0, 0, 0] = expected[:, -1, -1] = True
    np.testing.assert_array_equal(where, expected)
    assert material_points(x, reference, channels=["a", "b"]) is None
    assert cells_that_count(None, source=axes(SIZE), cells=axes(CELLS), count=2).all()
