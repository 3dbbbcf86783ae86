"""Axes, and the one way to move quantities between grids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ram.axes import Axis, extents_between, overlap, share_within

sizes = st.integers(1, 9)


@st.composite
def axes(draw: st.DrawFn, *, low: float = 0.0, high: float = 10.0) -> Axis:
    """Cells of any widths, some of them none, that part low .. high."""
    inner = sorted(draw(st.lists(st.floats(low, high), max_size=8)))
    edges = np.array([low, *inner, high])
    centres = np.arange(edges.size - 1) + 0.5
    return Axis("x", "mm", centres * (high - low) / centres.size + low, edges)


@given(source=axes(), target=axes())
def test_what_moves_between_grids_keeps_its_sum(source: Axis, target: Axis) -> None:
    shares = overlap(source, target)
    assert shares.shape == (target.size, source.size)
    np.testing.assert_allclose(shares.sum(axis=0), 1.0, rtol=1e-12)
    assert shares.min() >= 0.0


@given(source=axes(), target=axes())
def test_a_share_is_the_length_that_both_cells_have_in_common(source: Axis, target: Axis) -> None:
    shares = overlap(source, target)
    for j in range(source.size):
        width = source.edges[j + 1] - source.edges[j]
        for i in range(target.size):
            common = min(source.edges[j + 1], target.edges[i + 1]) - max(source.edges[j], target.edges[i])
            if width > 1e-6:
                assert shares[i, j] == pytest.approx(max(common, 0.0) / width, abs=1e-9)


def test_overlap_by_hand() -> None:
    coarse = Axis.from_centres("x", "mm", [1.5, 4.5])
    fine = Axis.uniform("x", "mm", size=6, step=1.0, start=0.5)
    np.testing.assert_allclose(overlap(coarse, fine)[:, 0], [1 / 3, 1 / 3, 1 / 3, 0, 0, 0])
    np.testing.assert_allclose(overlap(fine, coarse), [[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]])


def test_a_cell_without_extent_gives_all_to_the_nearest() -> None:
    source = Axis("x", "mm", [-1.0, 2.0, 7.0], [0.0, 0.0, 4.0, 4.0])
    target = Axis.uniform("x", "mm", size=4, step=1.0, start=0.5)
    np.testing.assert_allclose(overlap(source, target)[:, 0], [1, 0, 0, 0])
    np.testing.assert_allclose(overlap(source, target)[:, 2], [0, 0, 0, 1])


@given(bounds=st.tuples(st.floats(-1, 11), st.floats(-1, 11)).map(sorted), axis=axes())
def test_within_and_without_make_one(bounds: list[float], axis: Axis) -> None:
    low, high = bounds
    wide = np.diff(axis.edges) > 0
    parts = [share_within(axis, part)[wide] for part in ((-2.0, low), (low, high), (high, 12.0))]
    np.testing.assert_allclose(sum(parts), 1.0, rtol=1e-9)


def test_a_region_takes_part_of_a_cell() -> None:
    axis = Axis.uniform("time", "s", size=4, step=0.5, start=0.25)
    np.testing.assert_allclose(share_within(axis, (0.25, 1.1)), [0.5, 1.0, 0.2, 0.0])
    with pytest.raises(ValueError, match=r"a region along time must be given as \(low, high\). Got \(2, 1\)"):
        share_within(axis, (2, 1))


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=8, unique=True).map(sorted))
def test_extents_part_the_input(centres: list[float]) -> None:
    edges = extents_between(centres, low=-10.0, high=10.0)
    assert edges.size == len(centres) + 1
    assert edges[0] == -10.0
    assert edges[-1] == 10.0
    assert np.all(np.diff(edges) >= 0)


def test_positions_of_fractional_indices() -> None:
    axis = Axis.from_centres("depth", "cm", [1.0, 2.0, 4.0])
    np.testing.assert_allclose(axis.edges, [0.5, 1.5, 3.0, 5.0])
    np.testing.assert_allclose(axis.positions([-0.5, 0.0, 0.5, 1.0, 1.25, 2.5]), [0.5, 1.0, 1.5, 2.0, 2.5, 5.0])


def test_words_and_sameness() -> None:
    axis = Axis.uniform("x", "mm", size=3, step=2.0, long_name="width")
    assert (axis.label, axis.size) == ("width (mm)", 3)
    assert Axis.uniform("n", "1", size=2, step=1.0).label == "n"
    assert axis.same_grid(Axis.from_centres("x", "mm", [0.0, 2.0, 4.0]))
    assert not axis.same_grid(Axis.uniform("x", "cm", size=3, step=2.0))
    assert not axis.same_grid(Axis.uniform("x", "mm", size=3, step=2.5))


def test_an_axis_cannot_be_changed_or_made_wrong() -> None:
    axis = Axis.uniform("x", "mm", size=3, step=2.0)
    with pytest.raises(ValueError, match="read-only"):
        axis.centres[0] = 1.0
    with pytest.raises(ValueError, match="axis x: edges must be one more than the 2 centres"):
        Axis("x", "mm", [0.0, 1.0], [0.0, 1.0])
    with pytest.raises(ValueError, match="axis x: centres must increase"):
        Axis("x", "mm", [1.0, 0.0], [0.0, 1.0, 2.0])
