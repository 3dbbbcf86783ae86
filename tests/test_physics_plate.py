"""The plate solver against exact solutions, another element, another eigensolver and its own laws."""

from __future__ import annotations

import numpy as np
import pytest
import skfem
from scipy import sparse
from scipy.optimize import brentq
from scipy.sparse.linalg import eigsh
from scipy.special import iv, ivp, jv, jvp, kv, kvp, yv, yvp
from skfem.helpers import dd, ddot, trace

from ram.errors import SolverError
from ram.physics import eigen, plate
from ram.physics.plate import ALUMINIUM, BENDING, IN_PLANE, Material

CLAMPED_SQUARE = np.array([35.98519, 73.39387, 73.39387])  # lambda^2 of a side of 1 (Leissa 1973, table 4.22)
CANTILEVER = np.array([3.516015, 22.03449, 61.69721])  # lambda^2 of a slender beam
ANNULUS = Material(70e9, 1 / 3, 2700.0)


def edges(size: int) -> np.ndarray:
    clamped = np.zeros((size + 1, size + 1), dtype=bool)
    clamped[[0, -1]] = clamped[:, [0, -1]] = True
    return clamped.ravel()


def square(size: int, *, thickness: float = 1e-3, fill: float = 1.0, side: float = 1.0, count: int = 3) -> plate.Modes:
    shape = (size, size)
    return plate.modes(
        np.full(shape, fill), np.full(shape, thickness), pitch=side / size, clamped=edges(size), count=count
    )


def bending_number(modes: plate.Modes, thickness: float, material: Material = ALUMINIUM) -> np.ndarray:
    """lambda^2 = omega sqrt(rho t / D) for a length of 1."""
    return np.sqrt(modes.eigenvalues * material.density * 12 / (material.plate_modulus * thickness**2))


def annulus(size: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Fill of a disc of radius 1, nodes clamped up to the radius 0.5, pitch."""
    at = (np.arange(4 * size) + 0.5) / (2 * size) - 1
    fill = (np.hypot(at[:, None], at) <= 1).reshape(size, 4, size, 4).mean((1, 3))
    nodes = np.linspace(-1, 1, size + 1)
    return fill, np.hypot(nodes[:, None], nodes).ravel() <= 0.5 + 0.4 * 2 / size, 2 / size


def exact_annulus(diameters: int, nu: float) -> float:
    """Lowest lambda^2 of an annulus clamped at r = 0.5, free at r = 1 (Kirchhoff), from its Bessel determinant."""
    n = diameters

    def determinant(k: float) -> float:
        w = [np.array([f(n, k * r) for f in (jv, yv, iv, kv)]) for r in (0.5, 1.0)]
        slopes = [
            np.array([k**order * f(n, k * r, order) for f in (jvp, yvp, ivp, kvp)])
            for r, order in ((0.5, 1), (1.0, 1), (1.0, 2), (1.0, 3))
        ]
        moment = slopes[2] + nu * (slopes[1] - n**2 * w[1])
        shear = slopes[3] + slopes[2] - slopes[1] - n**2 * slopes[1] + 2 * n**2 * w[1]
        shear = shear - (1 - nu) * n**2 * (slopes[1] - w[1])
        return float(np.linalg.det(np.array([w[0], slopes[0], moment, shear]) / iv(n, k)))

    return first_root(determinant) ** 2


def first_root(function, low: float = 1.0, high: float = 8.0) -> float:
    at = np.linspace(low, high, 300)
    values = np.array([function(x) for x in at])
    first = int(np.flatnonzero(values[1:] * values[:-1] < 0)[0])
    return float(brentq(function, at[first], at[first + 1]))


def test_clamped_square_is_met_within_a_quarter_of_a_per_cent():
    error = bending_number(square(64), 1e-3) / CLAMPED_SQUARE - 1
    assert np.all(np.abs(error) < 0.0028), error
    assert np.all(error > 0)  # the elements are too stiff, never too soft


def test_clamped_square_converges_with_the_second_order():
    errors = np.array([bending_number(square(size), 1e-3) / CLAMPED_SQUARE - 1 for size in (8, 16, 32)])
    orders = np.log2(errors[:-1] / errors[1:])
    assert np.all(np.abs(orders - 2) < 0.15), orders


def test_a_thin_plate_does_not_lock():
    thick, thin = (bending_number(square(16, thickness=t), t) for t in (1e-3, 1e-5))
    np.testing.assert_allclose(thin, thick, rtol=1e-4)  # shear locking would raise it by orders of magnitude


def test_cantilever_strip_is_met_within_four_per_mille():
    clamped = np.zeros((3, 97), dtype=bool)
    clamped[:, 0] = True
    full = np.ones((2, 96))
    found = plate.modes(full, 2e-3 * full, pitch=1 / 96, clamped=clamped.ravel(), count=3)
    beam = np.sqrt(found.eigenvalues * ALUMINIUM.density * 12 / (ALUMINIUM.youngs_modulus * 2e-3**2))
    np.testing.assert_allclose(beam, CANTILEVER, rtol=0.004)


def test_exact_annulus_arrives_at_the_published_numbers():
    numbers = [exact_annulus(n, 1 / 3) for n in range(4)]
    np.testing.assert_allclose(numbers, [13.089, 13.313, 14.608, 18.31], rtol=5e-5)


def test_annulus_on_pixels_is_within_one_per_cent():
    fill, clamped, pitch = annulus(64)
    found = plate.modes(fill, np.full(fill.shape, 2e-3), pitch=pitch, clamped=clamped, count=7, material=ANNULUS)
    exact = [exact_annulus(n, 1 / 3) for n in (0, 1, 1, 2, 2, 3, 3)]
    np.testing.assert_allclose(bending_number(found, 2e-3, ANNULUS), exact, rtol=0.01)


def test_torsion_of_the_annulus_is_within_one_per_cent():
    def ring(k: float) -> float:
        free = [k * f(1, k, 1) - g(1, k) for f, g in ((jvp, jv), (yvp, yv))]
        return float(jv(1, k / 2) * free[1] - yv(1, k / 2) * free[0])

    fill, clamped, pitch = annulus(64)
    found = plate.modes(
        fill, np.full(fill.shape, 2e-3), pitch=pitch, clamped=clamped, count=1, law=IN_PLANE, material=ANNULUS
    )
    wave_number = np.sqrt(found.eigenvalues[0] * ANNULUS.density / ANNULUS.shear_modulus)
    assert wave_number == pytest.approx(first_root(ring, 0.5, 6.0), rel=0.01)


def test_a_bar_in_its_plane_sings_at_a_quarter_wave():
    clamped = np.zeros((3, 65), dtype=bool)
    clamped[:, 0] = True
    full = np.ones((2, 64))
    found = plate.modes(full, 0.01 * full, pitch=1 / 64, clamped=clamped.ravel(), count=8, law=IN_PLANE)
    along = np.argmax(np.abs(found.shapes[..., 0]).sum(axis=1) / np.abs(found.shapes[..., 1]).sum(axis=1))
    speed = np.sqrt(ALUMINIUM.youngs_modulus / ALUMINIUM.density)
    assert found.frequencies[along] == pytest.approx(speed / 4, rel=2e-3)


def test_another_element_agrees_on_a_plate_of_varying_thickness():
    """A cantilever plate, thickness a smooth function of place: Morley triangles of scikit-fem, thin-plate theory."""

    def law(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 5e-3 * (1 + 0.4 * np.cos(3 * x) * np.cos(2 * y))

    nu, modulus = ALUMINIUM.poissons_ratio, ALUMINIUM.plate_modulus

    @skfem.BilinearForm
    def stiffness(u, v, w):
        bent, test = dd(u), dd(v)
        return modulus * law(*w.x) ** 3 / 12 * ((1 - nu) * ddot(bent, test) + nu * trace(bent) * trace(test))

    @skfem.BilinearForm
    def mass(u, v, w):
        return ALUMINIUM.density * law(*w.x) * u * v

    mesh = skfem.MeshTri.init_sqsymmetric().refined(4)
    basis = skfem.Basis(mesh, skfem.ElementTriMorley())
    clamped = basis.get_dofs(lambda x: x[0] == 0).all()
    reduced = skfem.condense(stiffness.assemble(basis), mass.assemble(basis), D=clamped, expand=False)
    expected = np.sqrt(np.sort(eigsh(reduced[0], k=4, M=reduced[1], sigma=0, v0=np.ones(reduced[0].shape[0]))[0]))

    at = (np.arange(32) + 0.5) / 32
    nodes = np.zeros((33, 33), dtype=bool)
    nodes[:, 0] = True
    thickness = law(*np.meshgrid(at, at))
    found = plate.modes(np.ones((32, 32)), thickness, pitch=1 / 32, clamped=nodes.ravel(), count=4)
    np.testing.assert_allclose(np.sqrt(found.eigenvalues), expected, rtol=0.01)


def test_modes_are_those_of_another_eigensolver():
    element = BENDING(1 / 16, ALUMINIUM)
    nodes = plate.elements(16, 16)
    unknowns = (3 * nodes[:, :, None] + np.arange(3)).reshape(len(nodes), -1)
    rows, columns = np.repeat(unknowns, 12, axis=1).ravel(), np.tile(unknowns, (1, 12)).ravel()
    thickness = np.random.default_rng(1).uniform(0.01, 0.03, len(nodes))
    fill = np.random.default_rng(2).uniform(0.2, 1.0, len(nodes))
    free = np.repeat(~edges(16), 3)

    def assembled(matrices: np.ndarray) -> sparse.csc_array:
        values = (fill * thickness)[:, None, None] * matrices[0] + (fill * thickness**3)[:, None, None] * matrices[1]
        whole = sparse.coo_array((values.ravel(), (rows, columns)), shape=(free.size, free.size)).tocsc()
        return whole[free][:, free]

    stiffness, mass = assembled(element.stiffness), assembled(element.mass)
    expected = eigsh(stiffness, k=6, M=mass, sigma=0, v0=np.ones(stiffness.shape[0]))[0]
    shape = (16, 16)
    found = plate.modes(fill.reshape(shape), thickness.reshape(shape), pitch=1 / 16, clamped=edges(16), count=6)
    np.testing.assert_allclose(found.eigenvalues, np.sort(expected), rtol=1e-10)
    vectors = found.shapes.reshape(6, -1)[:, free]
    np.testing.assert_allclose(vectors @ mass @ vectors.T, np.eye(6), atol=1e-10)
    np.testing.assert_allclose(vectors @ stiffness @ vectors.T, np.diag(found.eigenvalues), atol=1e-9 * expected.max())


def test_a_double_eigenvalue_is_found_twice():
    found = square(16, count=5)
    assert found.eigenvalues[1] == pytest.approx(found.eigenvalues[2], rel=1e-10)
    assert found.eigenvalues[3] > 1.5 * found.eigenvalues[2]


def test_frequencies_scale_as_dimensions_demand():
    base = square(12).eigenvalues
    np.testing.assert_allclose(square(12, fill=0.3).eigenvalues, base, rtol=1e-9)  # K and M alike
    np.testing.assert_allclose(square(12, side=2.0, thickness=2e-3).eigenvalues, base / 4, rtol=1e-9)
    np.testing.assert_allclose(square(12, thickness=2e-3).eigenvalues, 4 * base, rtol=5e-4)  # thin: f goes with t


@pytest.mark.parametrize("law", [BENDING, IN_PLANE])
def test_stiffness_knows_rigid_motions_and_mass_adds_up(law):
    element = law(0.01, ALUMINIUM)
    x, y = np.array([0, 0.01, 0.01, 0]), np.array([0, 0, 0.01, 0.01])
    zero, one = np.zeros(4), np.ones(4)
    if law is BENDING:  # (w, beta_x, beta_y), u = -z beta_x
        motions, moving = [(one, zero, zero), (x, one, zero), (y, zero, one)], (one, zero, zero)
    else:
        motions, moving = [(one, zero), (zero, one), (-y, x)], (one, zero)
    for motion in motions:
        vector = np.stack(motion, axis=1).ravel()
        for power in (0, 1):
            forces = element.stiffness[power] @ vector
            assert np.abs(forces).max() <= 1e-12 * np.abs(element.stiffness[power] * vector).max() + 1e-300
    vector = np.stack(moving, axis=1).ravel()
    assert vector @ element.mass[0] @ vector == pytest.approx(2700 * 1e-4)
    for matrix in (*element.stiffness, *element.mass):
        np.testing.assert_allclose(matrix, matrix.T, atol=1e-12 * max(np.abs(matrix).max(), 1e-300))


def test_derivatives_meet_central_differences():
    random = np.random.default_rng(3)
    fill, thickness = random.uniform(0.3, 1.0, (8, 8)), random.uniform(0.02, 0.05, (8, 8))

    def solved(a: np.ndarray, t: np.ndarray) -> plate.Modes:
        return plate.modes(a, t, pitch=0.05, clamped=edges(8), count=2)

    found = plate.derivatives(solved(fill, thickness), fill, thickness, pitch=0.05)
    for which, by in enumerate(found):
        for pixel in ((0, 0), (3, 4), (6, 2)):
            step = np.zeros((8, 8))
            step[pixel] = 1e-4 * (thickness if which == 0 else fill)[pixel]
            ends = [
                solved(fill, thickness + way * step) if which == 0 else solved(fill + way * step, thickness)
                for way in (-1, 1)
            ]
            slope = (ends[1].eigenvalues - ends[0].eigenvalues) / (2 * step[pixel])
            scale = np.abs(by).max(axis=(1, 2))
            np.testing.assert_allclose(by[(slice(None), *pixel)] / scale, slope / scale, atol=1e-6)


def test_a_plate_that_cannot_move_is_refused():
    with pytest.raises(SolverError, match=r"^a plate with 0 free nodes has no 3 modes$"):
        square(1)


def test_modes_that_do_not_converge_are_refused(monkeypatch):
    monkeypatch.setattr(eigen, "STEPS", 2)
    with pytest.raises(SolverError, match=r"^the lowest 3 modes have not converged after 2 block steps$"):
        square(12)
