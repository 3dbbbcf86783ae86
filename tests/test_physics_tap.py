"""The tap test: the exact response against time integration, cracks against beams with a hinge, and laws."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import sparse
from scipy.integrate import quad, solve_ivp
from scipy.optimize import brentq
from scipy.signal import butter, sosfiltfilt
from scipy.sparse.linalg import splu

from ram.errors import SolverError
from ram.physics import crack, plate, tap
from ram.physics.crack import Crack
from ram.physics.design import Design, design, rasterise
from ram.physics.naming import SLOTS, all_bending
from ram.physics.plate import Material
from ram.randomness import generator

SENSORS = (205.0, 2 * np.pi * np.arange(3) / 3)


@cache
def rung(index: int, depth: float = 0.0, spoke: int = 0, size: int = 32) -> tap.Ringing:
    return tap.ringing(design(1, index), Crack(spoke, depth), size=size)


def plain(index: int = 7) -> Design:
    """A wheel of 11 spokes without thin spot, so that only a crack parts its pairs."""
    shape = design(1, index)
    assert (shape.n_spokes, shape.thin_spot) == (11, None)
    return shape


# ---------------------------------------------------------------------------------------------------- the response


def integrated(frequencies, damping, gains, times, *, peak_n):
    """The same by an integrator of order 8: q'' + 2 zeta w q' + w^2 q = F(t), all modes together."""
    w, count = 2 * np.pi * frequencies, len(frequencies)

    def slopes(t, y, *, pressed):
        force = peak_n * np.sin(np.pi * t / tap.PULSE_S) if pressed else 0.0
        return np.concatenate([y[count:], force - 2 * damping * w * y[count:] - w**2 * y[:count]])

    options = {"method": "DOP853", "rtol": 1e-11, "atol": 1e-16, "dense_output": True}
    pressed = solve_ivp(lambda t, y: slopes(t, y, pressed=True), (0, tap.PULSE_S), np.zeros(2 * count), **options)
    free = solve_ivp(lambda t, y: slopes(t, y, pressed=False), (tap.PULSE_S, times[-1]), pressed.y[:, -1], **options)
    found = np.zeros((len(gains), len(times)))
    for column, t in enumerate(times):
        if t >= 0:
            during = t < tap.PULSE_S
            found[:, column] = gains @ slopes(t, (pressed if during else free).sol(t), pressed=during)[count:]
    return found


@pytest.mark.parametrize("damping", [0.0005, 0.002, 0.3])
def test_response_is_that_of_a_time_integrator(damping):
    frequencies = np.array([310.0, 833.333333, 2100.0])  # the second swings as the pulse does: 1 / (2 x 0.6 ms)
    gains = np.array([[1.0, 0.5, -0.3], [0.2, -0.7, 1.1]])
    times = np.linspace(-0.001, 0.012, 261)
    exact = tap.accelerations(frequencies, damping, gains, times, peak_n=80.0)
    expected = integrated(frequencies, damping, gains, times, peak_n=80.0)
    np.testing.assert_allclose(exact, expected, atol=1e-7 * np.abs(expected).max())
    assert np.any(exact[:, (times > 0) & (times < tap.PULSE_S)])
    assert not np.any(exact[:, times < 0])


def test_after_the_tap_each_mode_dies_away_by_itself():
    frequencies, gains = np.array([400.0, 900.0]), np.array([[1.0, -2.0]])
    amplitudes = tap.complex_amplitudes(frequencies, 0.002, gains, peak_n=100.0)
    times = np.array([0.3, 0.7])
    heard = tap.accelerations(frequencies, 0.002, gains, times, peak_n=100.0)
    by_hand = [
        sum(
            abs(a) * np.exp(-2 * np.pi * f * 0.002 * (t - tap.PULSE_S))
            * np.sin(2 * np.pi * f * np.sqrt(1 - 0.002**2) * (t - tap.PULSE_S) + np.angle(a))
            for a, f in zip(amplitudes[0], frequencies, strict=True)
        )
        for t in times
    ]  # fmt: skip
    np.testing.assert_allclose(heard[0], by_hand, rtol=1e-9)


def test_who_taps_and_who_listens_may_change_places():
    one, other = (200.0, 0.4), (208.0, 2.9)
    ring, times = rung(0, 0.4), np.linspace(0, 0.01, 50)
    at = {place: ring.deflections(*place) for place in (one, other)}
    there, back = (
        tap.accelerations(ring.frequencies, 0.002, (at[to] * at[since]).T.reshape(1, -1), times, peak_n=100.0)
        for to, since in ((one, other), (other, one))
    )
    np.testing.assert_allclose(there, back)
    assert np.abs(there).max() > 1


@pytest.mark.slow
def test_response_of_a_cracked_wheel_is_that_of_all_its_matrices():
    """Newmark's method on the full stiffness and mass, without damping; below 2 kHz, for 16 modes end above."""
    disc, pitch_mm = tap.cracked(design(1, 0), Crack(2, 0.45), size=24)
    ring = tap.ringing(design(1, 0), Crack(2, 0.45), size=24)
    stiffness, mass, free = plate.matrices(
        disc.fill, disc.thickness, pitch=disc.pitch, clamped=disc.clamped, bending_share=disc.bending_share
    )
    places = [(200.0, 0.4), (205.0, 2.1)]
    rows = [shape_functions(*place, pitch_mm=pitch_mm, size=24, free=free) for place in places]
    step, count = 2e-6, 12_000
    times = step * np.arange(count)
    force = np.where(times < tap.PULSE_S, 100 * np.sin(np.pi * times / tap.PULSE_S), 0.0)
    heard = newmark(stiffness, mass, rows[0], rows[1], force=force, step=step)
    at = [ring.deflections(*place) for place in places]
    exact = tap.accelerations(ring.frequencies, 0.0, (at[0] * at[1]).reshape(1, -1), times, peak_n=100.0)[0]
    low = butter(6, 2000.0, fs=1 / step, output="sos")
    ours, theirs = (sosfiltfilt(low, one)[: count // 2] for one in (exact, heard))
    assert np.sqrt(np.mean((ours - theirs) ** 2)) < 0.01 * np.sqrt(np.mean(theirs**2))


def shape_functions(radius_mm, angle, *, pitch_mm, size, free):
    """The four nodes around a point and their shares, as a vector of the free unknowns."""
    column, row = (radius_mm * wave(angle) / pitch_mm + size / 2 for wave in (np.cos, np.sin))
    deflection = np.zeros((size + 1, size + 1, 3))
    for j in (int(row), int(row) + 1):
        for i in (int(column), int(column) + 1):
            deflection[j, i, 0] = (1 - abs(row - j)) * (1 - abs(column - i))
    return deflection.reshape(-1, 3)[free].ravel()


def newmark(stiffness, mass, at_tap, at_sensor, *, force, step):
    """Average acceleration: energy is kept, at any step."""
    factors = splu(sparse.csc_array(mass + step**2 / 4 * stiffness))
    u, v, a = (np.zeros(len(at_tap)) for _ in range(3))
    heard = np.zeros(len(force))
    for number in range(1, len(force)):
        u = u + step * v + step**2 / 4 * a
        v = v + step / 2 * a
        a = factors.solve(at_tap * force[number] - stiffness @ u)
        u, v = u + step**2 / 4 * a, v + step / 2 * a
        heard[number] = at_sensor @ a
    return heard


# ---------------------------------------------------------------------------------------------------- modes and places


def test_modes_are_those_of_the_wheel_data():
    from ram.physics import wheel

    image = rasterise(design(1, 0), 32)
    found = wheel.solve(image.fill, image.thickness, pitch_mm=image.pitch_mm, sensitivities=False)
    ring = rung(0)
    assert (ring.tilt_hz, ring.splitting_hz) == pytest.approx(
        (found.targets["tilt"], found.targets["tilt_splitting"]), rel=1e-9
    )
    (umbrella,) = ring.named["umbrella"]
    assert ring.frequencies[umbrella] == pytest.approx(found.targets["umbrella"], rel=1e-9)
    assert len(ring.frequencies) == 16
    assert np.all(np.diff(ring.frequencies) > 0)


def test_deflections_are_those_of_the_nodes_and_bilinear_between():
    ring = rung(0)
    middle, pitch = 16, ring.pitch_mm
    radius, angle = np.hypot(3, 14) * pitch, np.arctan2(14, 3)  # three nodes to the right, fourteen down
    np.testing.assert_allclose(ring.deflections(radius, angle), ring.shapes[:, middle + 14, middle + 3], atol=1e-12)
    half = ring.deflections(np.hypot(3.5, 14) * pitch, np.arctan2(14, 3.5))
    two = ring.shapes[:, middle + 14, middle + 3 : middle + 5]
    np.testing.assert_allclose(half, two.mean(axis=1), atol=1e-12)


def test_a_tilt_moves_opposite_points_apart_and_an_umbrella_does_not():
    ring = tap.ringing(plain(), size=32)
    around = ring.deflections(205.0, np.linspace(0, 2 * np.pi, 24, endpoint=False))
    (umbrella,) = ring.named["umbrella"]
    assert np.ptp(around[umbrella]) < 0.2 * np.abs(around[umbrella]).mean()
    for tilt in ring.named["tilt"]:
        wave = np.abs(np.fft.rfft(around[tilt]))
        assert wave.argmax() == 1


def test_modes_with_names_must_be_among_those_that_ring():
    with pytest.raises(SolverError, match=r"^the modes that have names are not among the lowest 4$"):
        tap.ringing(design(1, 0), size=24, modes=4)


def test_noise_lies_as_far_below_the_signal_as_it_should():
    clean = np.sin(np.arange(30_000.0)).reshape(3, -1) * np.array([[1.0], [2.0], [4.0]])
    noise = tap.noisy(clean, ratio_db=20.0, random=generator(1, "noise")) - clean
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(0.1 * np.sqrt(np.mean(clean**2)), rel=0.02)
    np.testing.assert_allclose(noise.std(axis=1), noise.std(), rtol=0.03)


# ---------------------------------------------------------------------------------------------------- cracks


def test_added_length_is_the_integral_over_the_energy_that_the_crack_sets_free():
    def intensity(x):  # Tada, Paris & Irwin 2.13
        return 1.122 - 1.40 * x + 7.33 * x**2 - 13.08 * x**3 + 14.0 * x**4

    for depth in (0.1, 0.35, 0.6):
        expected = 6 * np.pi * quad(lambda x: x * intensity(x) ** 2, 0, depth)[0]
        assert crack.added_length(depth) == pytest.approx(expected, rel=1e-9)


def hinged_cantilever(at: float, length: float) -> float:
    """Lowest lambda of a clamped-free beam of length 1 with a hinge of compliance length / EI at a place."""

    def determinant(k: float) -> float:
        def waves(x: float, order: int) -> np.ndarray:
            """Derivative of (cosh, sinh, cos, sin) by k x, which repeats after four."""
            turn = [np.cos(k * x), np.sin(k * x), -np.cos(k * x), -np.sin(k * x)]
            return np.array(
                [
                    np.sinh(k * x) if order % 2 else np.cosh(k * x),
                    np.cosh(k * x) if order % 2 else np.sinh(k * x),
                    [turn[0], -turn[1], -turn[0], turn[1]][order],
                    [turn[1], turn[0], -turn[1], -turn[0]][order],
                ]
            )

        rows = np.zeros((8, 8))
        rows[0, :4], rows[1, :4] = waves(0, 0), waves(0, 1)
        rows[2, 4:], rows[3, 4:] = waves(1, 2), waves(1, 3)
        for row, order in enumerate((0, 2, 3), start=4):
            rows[row] = np.concatenate([waves(at, order), -waves(at, order)])
        rows[7] = np.concatenate([-waves(at, 1) - length * k * waves(at, 2), waves(at, 1)])
        return float(np.linalg.det(rows))

    ks = np.linspace(0.5, 2.5, 200)
    values = np.array([determinant(k) for k in ks])
    first = int(np.flatnonzero(values[1:] * values[:-1] < 0)[0])
    return float(brentq(determinant, ks[first], ks[first + 1]))


@pytest.mark.parametrize(("at", "length"), [(0.1, 0.3), (0.5, 0.3), (0.1, 0.0)])
def test_a_cracked_strip_is_a_beam_with_a_hinge(at, length):
    columns, rows, thickness = 80, 4, 1e-3
    pitch = 1.0 / columns
    clamped = np.zeros((rows + 1, columns + 1), dtype=bool)
    clamped[:, 0] = True
    share = np.ones((rows, columns))
    band = slice(round(at * columns) - 1, round(at * columns) + 1)  # two pixels wide, its middle at the crack
    share[:, band] = 1 / (1 + length / (2 * pitch))
    material = Material(70e9, 0.0, 2700.0)  # without lateral contraction a strip is a beam
    found = plate.modes(
        np.ones((rows, columns)), np.full((rows, columns), thickness), pitch=pitch, clamped=clamped.ravel(), count=2,
        material=material, bending_share=share,
    )  # fmt: skip
    number = np.sqrt(found.eigenvalues[0] * material.density * 12 / (material.youngs_modulus * thickness**2))
    assert number == pytest.approx(hinged_cantilever(at, length) ** 2, rel=0.004)


def test_only_bending_is_weakened():
    """K = t KS + c t^3 KB, so a plate that kept the share c is one of thickness sqrt(c) t, times 1 / sqrt(c)."""
    shape, clamped = (4, 6), np.zeros(35, dtype=bool)
    options = {"pitch": 0.01, "clamped": clamped}
    weak, mass, _ = plate.matrices(np.ones(shape), np.full(shape, 0.02), **options, bending_share=np.full(shape, 0.25))
    thin, _, _ = plate.matrices(np.ones(shape), np.full(shape, 0.01), **options)
    _, whole, _ = plate.matrices(np.ones(shape), np.full(shape, 0.02), **options)
    np.testing.assert_allclose(weak.toarray(), 2 * thin.toarray(), atol=1e-9 * abs(weak).max())
    np.testing.assert_array_equal(mass.toarray(), whole.toarray())


@pytest.mark.parametrize("size", [24, 48, 96])
def test_a_crack_gives_way_as_much_on_any_grid(size):
    shape = plain()
    image = rasterise(shape, size)
    share = crack.bending_share(shape, image, Crack(3, 0.5))
    along = (1 / share - 1) / (crack.added_length(0.5) * image.thickness) * image.pitch_mm**2  # sums to length x 1
    middle = shape.hub_radius_mm + 8.0
    assert along.sum() == pytest.approx(2 * np.pi / 11 * middle, rel=0.03)
    y, x = np.nonzero(share < 1)
    at = np.arctan2(y - (size - 1) / 2, x - (size - 1) / 2) - shape.rotation - 3 * 2 * np.pi / 11
    assert np.abs(np.remainder(at + np.pi, 2 * np.pi) - np.pi).max() < np.pi / 11 + 1.5 * image.pitch_mm / middle


def test_without_depth_a_crack_changes_nothing():
    sound, closed = tap.ringing(plain(), size=32), tap.ringing(plain(), Crack(1, 0.0), size=32)
    np.testing.assert_array_equal(sound.frequencies, closed.frequencies)


def test_a_crack_lowers_one_tilt_mode_and_leaves_its_partner():
    pairs = np.array([rung(7, depth).frequencies[list(rung(7).named["tilt"])] for depth in (0.0, 0.2, 0.4, 0.6)])
    assert np.all(np.diff(pairs, axis=0) < 0)
    fall = 1 - pairs[-1] / pairs[0]
    assert 0.05 < fall[0] < 0.15
    assert fall[1] < 0.01
    splitting = np.diff(pairs, axis=1)[:, 0]
    assert splitting[0] < 4  # what the pixels make of it
    assert np.all(np.diff(splitting) > 1)


def test_a_pair_splits_farther_than_by_a_row_of_pixels_as_stiff_as_what_is_left_of_the_thickness():
    """What the card says of a wheel with 9 spokes, its tilts at 434 Hz; an earlier trial had such a row: 25.7 Hz."""
    shape, deepest = design(1, 31), Crack(0, 0.6)
    assert (shape.n_spokes, shape.thin_spot) == (9, None)
    disc, _ = tap.cracked(shape, deepest, size=48)
    adds_mm = crack.added_length(0.6) * crack.crack_thickness_mm(shape, rasterise(shape, 48), deepest)
    row_adds_mm = 6.9 * (1 / (1 - 0.6) ** 3 - 1)
    as_row = 1 / (1 + (1 / disc.bending_share - 1) * row_adds_mm / adds_mm)
    splittings = []
    for share in (disc.bending_share, as_row):
        found, slots = all_bending(replace(disc, bending_share=share), count=5)
        lower, upper = (found.frequencies[slot] for slot, name in zip(slots, SLOTS, strict=True) if name == "tilt")
        splittings.append(upper - lower)
    assert adds_mm / row_adds_mm == pytest.approx(1.77, abs=0.02)
    assert splittings == pytest.approx([35.3, 27.3], abs=0.2)


def test_it_hardly_matters_which_spoke_of_a_plain_wheel_is_cracked():
    splittings = [tap.ringing(plain(), Crack(spoke, 0.5), size=48).splitting_hz for spoke in (0, 3, 4)]
    assert np.ptp(splittings) < 0.15 * np.mean(splittings)


def test_a_crack_deeper_than_known_is_refused():
    with pytest.raises(ValueError, match=r"^the depth of a crack must be 0 to 0\.6 of the thickness\. Got 0\.7$"):
        Crack(0, 0.7)
