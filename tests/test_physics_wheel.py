"""Wheels: names of modes, symmetries, sensitivities, contributions, and images that are no wheels."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from ram.errors import SolverError
from ram.physics import naming, wheel
from ram.physics.design import WINDOW_MM, WheelImage
from ram.physics.path import integrated

SIZE = 32
PITCH = WINDOW_MM / SIZE
FREQUENCIES = ("umbrella", "tilt", "two_diameter", "torsion")


@cache
def image(index: int, size: int = SIZE) -> WheelImage:
    return wheel.rasterise(wheel.design(1, index), size)


def solved(fill: np.ndarray, thickness: np.ndarray, *, sensitivities: bool = False, modes: int = 8) -> wheel.Solution:
    return wheel.solve(fill, thickness, pitch_mm=WINDOW_MM / len(fill), sensitivities=sensitivities, modes=modes)


@cache
def solution(index: int) -> wheel.Solution:
    return solved(image(index).fill, image(index).thickness, sensitivities=True)


@cache
def mean_design() -> tuple[np.ndarray, np.ndarray]:
    images = [image(index) for index in range(40, 60)]
    return np.mean([one.fill for one in images], axis=0), np.mean([one.thickness for one in images], axis=0)


def disc(hub: float = 40.0, web: float = 20.0) -> tuple[np.ndarray, np.ndarray]:
    """A full disc with a thick hub: exactly symmetric under the eight symmetries of the square."""
    at = (np.arange(4 * SIZE) + 0.5) / (4 * SIZE) - 0.5
    fill = (WINDOW_MM * np.hypot(at, at[:, None]) <= 215).reshape(SIZE, 4, SIZE, 4).mean((1, 3))
    at = (np.arange(SIZE) - (SIZE - 1) / 2) * PITCH
    return fill, np.where(np.hypot(at, at[:, None]) < 80, hub, web)


EIGHT = [(turns, mirrored) for turns in range(4) for mirrored in (False, True)]


def changed(values: np.ndarray, turns: int, *, mirrored: bool) -> np.ndarray:
    return np.rot90(values[:, ::-1] if mirrored else values, turns).copy()


def test_values_of_one_wheel_are_those_on_record():
    targets = solution(0).targets
    expected = {
        "umbrella": 483.6873065768499,
        "tilt": 431.41576572745896,
        "two_diameter": 666.5483352517712,
        "torsion": 1105.6803606943947,
        "tilt_splitting": 2.932483732585183,
        "tilt_ratio": 0.8919311295983207,
        "two_diameter_ratio": 1.378056290062819,
        "mass": 7.644940554883519,
    }
    assert targets == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("turns", "mirrored"), EIGHT[1:])
def test_symmetries_leave_targets_and_turn_maps(turns, mirrored):
    fill, thickness = (changed(values, turns, mirrored=mirrored) for values in (image(3).fill, image(3).thickness))
    found = solved(fill, thickness, sensitivities=True)
    for name, value in solution(3).targets.items():
        tolerance = 1e-7 if name == "tilt_splitting" else 1e-9
        assert found.targets[name] == pytest.approx(value, rel=tolerance), name
        expected = changed(solution(3).d_thickness[name], turns, mirrored=mirrored)
        np.testing.assert_allclose(found.d_thickness[name], expected, atol=1e-6 * np.abs(expected).max())


def test_a_symmetric_disc_has_equal_pairs():
    found = solved(*disc())
    assert found.mode_names[:3] == ("tilt", "tilt", "umbrella")
    assert found.targets["tilt_splitting"] == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("name", wheel.TARGETS)
def test_names_and_units_are_declared(name):
    found = solution(0)
    assert list(found.targets) == list(wheel.TARGETS)
    assert set(found.d_thickness) == set(found.d_fill) == set(wheel.TARGETS)
    assert wheel.TARGETS[name] in {"Hz", "kg", "1"}


def test_ratios_and_pairs_follow_from_the_modes():
    found = solution(0)
    by_name = {name: [] for name in naming.SLOTS} | {"": [], "torsion": []}
    for name, frequency in zip(found.mode_names, found.frequencies, strict=True):
        by_name[name].append(frequency)
    first, second = by_name["tilt"]
    assert found.targets["tilt"] == pytest.approx(np.sqrt((first**2 + second**2) / 2))
    assert found.targets["tilt_splitting"] == pytest.approx(second - first)
    assert found.targets["umbrella"] == by_name["umbrella"][0]
    assert found.targets["tilt_ratio"] == found.targets["tilt"] / found.targets["umbrella"]
    assert found.targets["torsion"] == by_name["torsion"][0] == found.frequencies[-1]
    assert found.targets["mass"] == pytest.approx(
        2700e-9 * PITCH**2 * np.sum(image(0).fill * image(0).thickness), rel=1e-12
    )


def test_names_do_not_depend_on_how_many_modes_are_asked():
    few, many = (solved(image(5).fill, image(5).thickness, modes=count).targets for count in (5, 14))
    assert few == pytest.approx(many, rel=1e-9)


def test_more_modes_are_computed_where_the_named_ones_are_missing():
    found = solved(image(0).fill, image(0).thickness, modes=3)
    assert len(found.frequencies) == 3 + 8 + 1  # and torsion
    assert found.targets == pytest.approx(solution(0).targets, rel=1e-9)


def test_umbrella_lifts_the_rim_evenly_and_tilt_does_not():
    fill, thickness = disc()
    grid = naming._grid(SIZE, PITCH * 1e-3)
    bending, _, _ = naming.named_bending(naming.Disc(fill, thickness * 1e-3, PITCH * 1e-3), count=6)
    at_rim = bending.shapes[:, grid.rim & bending.used, 0]
    unevenness = at_rim.std(axis=1) / np.abs(at_rim).mean(axis=1)
    assert unevenness[0] < 0.1
    assert np.all(unevenness[1:] > 1)
    angle = grid.angle[grid.rim & bending.used]
    for pair, diameters in ((at_rim[1:3], 1), (at_rim[3:5], 2)):
        power = np.abs(pair @ np.exp(1j * np.outer(angle, np.arange(5)))).sum(axis=0)
        assert power.argmax() == diameters


@pytest.mark.parametrize("which", ["thickness", "fill"])
@pytest.mark.parametrize("pixel", [(16, 9), (12, 20), (2, 15)])
def test_sensitivities_meet_central_differences(which, pixel):
    """A pixel of the hub's edge, of the spokes, of the rim."""
    fill, thickness = image(0).fill.copy(), image(0).thickness.copy()
    fill[fill == 1] = 0.9  # room to both sides
    maps = getattr(solved(fill, thickness, sensitivities=True, modes=5), f"d_{which}")
    step = np.zeros_like(fill)
    step[pixel] = 3e-3 if which == "thickness" else 1e-4
    assert fill[pixel] > 0
    ends = [
        solved(fill, thickness + way * step, modes=5)
        if which == "thickness"
        else solved(fill + way * step, thickness, modes=5)
        for way in (-1, 1)
    ]
    for name, by in maps.items():
        slope = (ends[1].targets[name] - ends[0].targets[name]) / (2 * step[pixel])
        assert by[pixel] == pytest.approx(slope, abs=1e-6 * np.abs(by).max()), name


@pytest.mark.parametrize("index", range(4))
def test_fill_scales_stiffness_and_mass_alike(index):
    for name, by in solution(index).d_fill.items():
        shares = image(index).fill * by
        expected = solution(index).targets["mass"] if name == "mass" else 0.0
        assert shares.sum() == pytest.approx(expected, abs=1e-9 * np.abs(shares).sum()), name


def test_roots_stiffen_and_the_rim_weighs_down():
    for index in range(4):
        by = solution(index).d_thickness["tilt"]
        sums = dict(zip(wheel.REGIONS, (by[image(index).regions == code].sum() for code in range(5)), strict=True))
        assert sums["roots"] > 0
        assert sums["rim"] < 0
        assert sums["void"] == 0


def test_uniform_thickness_scales_frequencies_of_a_thin_wheel():
    """Euler: sum of t df/dt is f for a thin plate; torsion in the plane does not care."""
    found = solved(image(0).fill, image(0).thickness / 20, sensitivities=True)
    for name in ("umbrella", "tilt", "two_diameter"):
        total = np.sum(image(0).thickness / 20 * found.d_thickness[name])
        assert total == pytest.approx(found.targets[name], rel=0.02), name
    assert np.sum(image(0).thickness * found.d_thickness["torsion"]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("index", range(4))
def test_contributions_sum_to_the_change_within_one_per_cent(index):
    reference = mean_design()
    truth = wheel.contributions(image(index).fill, image(index).thickness, *reference, pitch_mm=PITCH)
    at_reference = solved(*reference).targets
    assert set(truth.maps) == set(wheel.PATH_TARGETS)
    for name, values in truth.maps.items():
        change = solution(index).targets[name] - at_reference[name]
        error = (values.sum() - change) / np.abs(values).sum()
        assert abs(error) < 0.01, name
        assert error == pytest.approx(truth.residuals[name], abs=1e-9)
    assert truth.worst == max(map(abs, truth.residuals.values()))


def test_a_target_that_jumps_on_the_way_has_no_contribution():
    begin, end = (np.ones((4, 4)), np.full((4, 4), 20.0)), (np.ones((4, 4)), np.full((4, 4), 24.0))

    def slopes(fill, thickness):
        steady = np.full((4, 4), 0.5)
        return {"jumps": 0 * fill, "steady": 0 * fill}, {"jumps": steady, "steady": steady}

    changes = {"steady": 0.5 * 4 * 16, "jumps": 0.5 * 4 * 16 + 3.0}
    truth = integrated(slopes, begin, end, changes, points=(2, 3))
    assert set(truth.maps) == {"steady"}
    assert truth.maps["steady"].sum() == pytest.approx(changes["steady"])
    assert truth.residuals["jumps"] == pytest.approx(-3.0 / 32)
    assert truth.worst == pytest.approx(3.0 / 32)


def test_four_points_give_the_map_that_many_give():
    reference = mean_design()
    few, many = (
        wheel.contributions(image(0).fill, image(0).thickness, *reference, pitch_mm=PITCH, points=(count,))
        for count in (4, 16)
    )
    assert (few.points, many.points) == (4, 16)
    assert many.worst < 1e-3
    for name in FREQUENCIES:
        distance = np.abs(few.maps[name] - many.maps[name]).sum() / np.abs(many.maps[name]).sum()
        assert distance < 0.02, name


def test_mass_contributions_are_exact():
    fill, thickness = mean_design()
    truth = wheel.contributions(image(0).fill, image(0).thickness, fill, thickness, pitch_mm=PITCH, points=(2,))
    pixel = 2700e-9 * PITCH**2
    expected = pixel * (image(0).fill * image(0).thickness - fill * thickness)
    np.testing.assert_allclose(truth.maps["mass"], expected, atol=1e-12)


def test_a_design_against_itself_has_no_contributions():
    fill, thickness = image(0).fill, image(0).thickness
    truth = wheel.contributions(fill, thickness, fill, thickness, pitch_mm=PITCH, points=(2,))
    assert all(np.all(values == 0) for values in truth.maps.values())
    assert truth.worst == 0


def test_path_integral_of_a_polynomial_is_exact():
    """f = sum of a t^2: the slopes are of degree 2 along the way, so few points are exact."""
    random = np.random.default_rng(0)
    a0, t0, a1, t1 = random.uniform(0.1, 1, (4, 3, 3))
    truth = integrated(
        lambda a, t: ({"f": t**2}, {"f": 2 * a * t}),
        (a0, t0),
        (a1, t1),
        {"f": float(np.sum(a1 * t1**2 - a0 * t0**2))},
        points=(3,),
    )
    np.testing.assert_allclose(truth.maps["f"], a1 * t1**2 - a0 * t0**2, rtol=1e-12)
    assert truth.worst < 1e-12


def test_path_integral_takes_more_points_until_the_sum_is_right():
    calls: list[float] = []

    def slopes(a: np.ndarray, t: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        calls.append(float(a[0, 0]))
        return {"f": 1 / (0.05 + a)}, {"f": np.zeros_like(t)}

    zero, one = np.zeros((1, 1)), np.ones((1, 1))
    truth = integrated(slopes, (one, one), (zero, one), {"f": float(np.log(0.05 / 1.05))}, points=(2, 4, 8, 30))
    assert truth.points == 4
    assert len(calls) == 2 + 4
    assert min(calls) > 0  # open points: fill never reaches 0
    poor = integrated(slopes, (one, one), (zero, one), {"f": float(np.log(0.05 / 1.05))}, points=(2,))
    assert poor.worst > 0.01


def test_material_that_hangs_on_nothing_is_left_out_and_counted():
    fill = image(0).fill.copy()
    fill[0, 0] = fill[0, -1] = 0.5
    found = solved(fill, image(0).thickness)
    assert found.dropped == 2
    assert found.targets == pytest.approx(solution(0).targets, rel=1e-12)


def test_a_corner_is_no_connection():
    """Two pixels that share a corner only would be a hinge."""
    fill, thickness = disc()
    at = np.arange(SIZE) - (SIZE - 1) / 2
    ring = np.abs(np.hypot(at, at[:, None]) * PITCH - 130) < 1.5 * PITCH
    fill[ring] = 0
    fill[16 + 9 - 1, 16] = fill[16 + 9, 17] = fill[16 + 9 + 1, 18] = 1
    with pytest.raises(SolverError, match=r"connected from the hub to the rim"):
        solved(fill, thickness)


def refused(fill: np.ndarray, thickness: np.ndarray, match: str) -> None:
    with pytest.raises(SolverError, match=match):
        solved(fill, thickness)


def test_images_that_are_no_wheel_are_refused():
    fill, thickness = disc()
    at = (np.arange(SIZE) - (SIZE - 1) / 2) * PITCH
    radius, angle = np.hypot(at, at[:, None]), np.arctan2(at[:, None], at)
    refused(
        np.zeros_like(fill),
        thickness,
        r"^wheel: the hub must be material within 60 mm of the centre\. Got none\.$",
    )
    refused(
        np.where(radius < 100, 0.0, fill),
        thickness,
        r"^wheel: the hub must be material within 60 mm of the centre\. Got none\.$",
    )
    refused(
        np.where(np.abs(radius - 130) < 20, 0.0, fill),
        thickness,
        r"^wheel: the wheel must be connected from the hub to the rim at 200 mm\. "
        r"Got material that ends 1\d\d mm from the centre\.$",
    )
    refused(
        np.where((radius > 80) & (np.abs(angle) > 0.2), 0.0, fill),
        thickness,
        r"^wheel: the rim must be closed, with no gap over 30 degrees\. Got a gap of 3\d\d degrees\.$",
    )


def test_values_out_of_range_are_refused():
    fill, thickness = disc()
    refused(fill * 1.5, thickness, r"^wheel: fill must be between 0 and 1\. Got 0 to 1\.5\.$")
    refused(np.where(fill > 0.5, np.nan, fill), thickness, r"^wheel: fill must be between 0 and 1\. Got nan to nan\.$")
    refused(fill, 0 * thickness, r"^wheel: thickness must be positive \(mm\)\. Got 0 to 0\.$")
    refused(
        fill[:-1],
        thickness,
        r"^wheel: fill and thickness must be square images of the same shape\. "
        r"Got fill \(31, 32\) and thickness \(32, 32\)\.$",
    )


def test_modes_without_names_are_refused(monkeypatch):
    monkeypatch.setattr(naming, "LEAST_SHARE", 1.1)
    refused(
        *disc(),
        r"^wheel: the modes must be an umbrella, a pair of tilts and a pair with two diameters\. "
        r"Got \d+ Hz \(n=1\), \d+ Hz \(n=1\), \d+ Hz \(n=0\)",
    )


def test_a_plate_without_torsion_is_refused(monkeypatch):
    monkeypatch.setattr(naming, "LEAST_TURN", 1.1)
    refused(*disc(), r"^wheel: a mode in the plane must be a turn of the rim about the hub\. Got \d+ Hz, ")


@pytest.mark.slow
def test_the_family_is_as_hard_as_it_says():
    """Quantiles of 800 wheels within 5 % of those the family was laid out for."""
    values = {name: [] for name in FREQUENCIES}
    for index in range(800):
        drawn = wheel.rasterise(wheel.design(3, index), 64)
        for name in FREQUENCIES:
            values[name].append(solved(drawn.fill, drawn.thickness, modes=5).targets[name])
    for name, expected in {
        "umbrella": (430, 572, 722),
        "tilt": (356, 521, 695),
        "two_diameter": (589, 719, 873),
    }.items():
        np.testing.assert_allclose(np.quantile(values[name], [0.05, 0.5, 0.95]), expected, rtol=0.05, err_msg=name)


def test_turning_a_wheel_changes_little():
    """The noise of the pixels, which no model can learn: 0.2 % at 64 pixels."""
    drawn = wheel.design(1, 0)
    found = []
    for turn in (0.0, 0.3, 0.7):
        turned = wheel.rasterise(replace(drawn, rotation=turn), 64)
        found.append(solved(turned.fill, turned.thickness, modes=5).targets)
    for name in ("umbrella", "tilt", "two_diameter"):
        values = np.array([one[name] for one in found])
        assert 0 < values.std() / values.mean() < 0.005, name


def test_finer_pixels_change_little():
    coarse, fine = (solved(image(0, size).fill, image(0, size).thickness, modes=5).targets for size in (64, 96))
    for name, tolerance in {"umbrella": 0.02, "tilt": 0.02, "two_diameter": 0.02, "torsion": 0.03}.items():
        assert fine[name] == pytest.approx(coarse[name], rel=tolerance), name
