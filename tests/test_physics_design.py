"""Wheel designs and their images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage

from ram.physics.design import (
    OUTER_RADIUS_MM,
    REGIONS,
    WINDOW_MM,
    Design,
    ThinSpot,
    design,
    rasterise,
)

PLAIN = Design(
    n_spokes=5,
    hub_radius_mm=75.0,
    rim_inner_radius_mm=190.0,
    hub_thickness_mm=40.0,
    rim_thickness_mm=35.0,
    root_thickness_mm=30.0,
    waist_thickness_mm=24.0,
    tip_thickness_mm=20.0,
    root_width_mm=50.0,
    tip_width_mm=50.0,
    twist=0.0,
    fork_start=1.0,
    fork_angle=0.5,
    arm_share=0.5,
    hole_position=0.4,
    hole_share=0.0,
    thin_spot=None,
    rotation=0.2,
)


def area(image) -> float:
    return float(image.fill.sum()) * image.pitch_mm**2


def test_a_design_depends_on_seed_and_index_alone():
    assert design(1, 7) == design(1, 7)
    assert design(1, 7) != design(2, 7)
    assert design(1, 7) != design(1, 8)


def test_designs_stay_within_the_family():
    drawn = [design(5, index) for index in range(400)]
    for name, low, high in (
        ("n_spokes", 4, 12),
        ("hub_radius_mm", 65, 85),
        ("rim_inner_radius_mm", 185, 198),
        ("hub_thickness_mm", 30, 45),
        ("rim_thickness_mm", 25, 50),
        ("root_thickness_mm", 18, 34),
        ("waist_thickness_mm", 18, 34),
        ("tip_thickness_mm", 18, 34),
        ("twist", -0.5, 0.5),
    ):
        values = [getattr(one, name) for one in drawn]
        assert low <= min(values) < low + 0.1 * (high - low), name
        assert high - 0.1 * (high - low) < max(values) <= high, name
    has = np.array([(one.thin_spot is not None, one.fork_start < 1, one.hole_share > 0) for one in drawn])
    np.testing.assert_allclose(has.mean(axis=0), [0.25, 0.5, 0.28], atol=0.06)


def test_no_wheel_of_the_family_falls_apart():
    for index in range(150):
        image = rasterise(design(9, index), 32)
        _, parts = scipy.ndimage.label(image.fill >= 1 / 16)
        assert parts == 1, index


def test_image_holds_the_area_of_the_drawing():
    ring = np.pi * (OUTER_RADIUS_MM**2 - 190**2)
    hub = np.pi * 75**2
    spokes = 5 * 50 * (190 - 75)  # widths are measured along the arc
    assert area(rasterise(PLAIN, 64)) == pytest.approx(ring + hub + spokes, rel=0.005)


def test_holes_and_forks_take_area_away():
    whole = area(rasterise(PLAIN, 64))
    hole = area(rasterise(replace(PLAIN, hole_share=0.6), 64))
    assert whole - hole == pytest.approx(5 * np.pi * 15**2, rel=0.03)
    forked = area(rasterise(replace(PLAIN, fork_start=0.5, arm_share=0.3), 64))
    assert whole - forked > 5 * 0.4 * 50 * 0.5 * (190 - 75) * 0.9


def test_fill_counts_sixteenths_and_inputs_survive_float32():
    image = rasterise(design(1, 3), 48)
    assert set(np.unique(image.fill * 16)) <= set(range(17))
    for values in (image.fill, image.thickness):
        np.testing.assert_array_equal(values.astype(np.float32).astype(np.float64), values)


def test_thickness_follows_the_law_also_in_voids():
    image = rasterise(PLAIN, 64)
    at = (np.arange(64) - 31.5) * WINDOW_MM / 64
    radius = np.hypot(at, at[:, None])
    assert np.all(image.thickness[radius < 70] == 40)
    assert np.all(image.thickness[radius > 195] == 35)
    middle = np.abs(radius - (75 + 190) / 2) < 1
    np.testing.assert_allclose(image.thickness[middle], 24, atol=0.1)  # spokes and voids alike
    assert np.any(image.fill[middle] == 0)
    assert np.any(image.fill[middle] == 1)


def test_a_thin_spot_is_a_dent_where_it_says():
    spot = ThinSpot(radius_mm=150.0, angle=1.0, width_mm=20.0, depth=0.6)
    share = rasterise(replace(PLAIN, thin_spot=spot), 64).thickness / rasterise(PLAIN, 64).thickness
    row, column = np.unravel_index(share.argmin(), share.shape)
    x, y = (np.array([column, row]) - 31.5) * WINDOW_MM / 64
    assert np.hypot(x, y) == pytest.approx(150, abs=5)
    assert np.arctan2(y, x) == pytest.approx(1.2, abs=0.04)  # the dent turns with the wheel
    assert share.min() == pytest.approx(0.4, abs=0.01)


def test_regions_part_the_wheel_and_nothing_else():
    image = rasterise(PLAIN, 64)
    counts = dict(zip(REGIONS, np.bincount(image.regions.ravel(), minlength=5), strict=True))
    np.testing.assert_array_equal(image.regions == 0, image.fill == 0)
    pixel = image.pitch_mm**2
    assert counts["hub"] * pixel == pytest.approx(np.pi * 75**2, rel=0.03)
    assert counts["roots"] * pixel == pytest.approx(5 * 50 * 115 / 4, rel=0.25)  # partly filled pixels count whole
    assert counts["spokes"] > 2.5 * counts["roots"]
    assert counts["rim"] * pixel == pytest.approx(np.pi * (215**2 - 190**2), rel=0.15)


def test_a_quarter_turn_of_the_design_turns_the_image():
    turned = rasterise(replace(PLAIN, rotation=0.2 + np.pi / 2), 48)
    image = rasterise(PLAIN, 48)
    for name in ("fill", "thickness", "regions"):
        ours, other = getattr(turned, name), np.rot90(getattr(image, name), -1)  # y grows with the row
        assert np.mean(ours != other) < 0.005, name  # a sample on an edge may fall to either side
