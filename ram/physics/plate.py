"""Vibration of a plate drawn on a pixel grid: one bilinear quad a pixel.

Bending is Reissner-Mindlin with tied (MITC4) shear, in-plane motion is plane stress. All pixels are equal
squares, so four small matrices serve every plate: with fill a (0..1) and thickness t (m) of pixel e

    bending:   K = sum a_e (t_e^3 KB + t_e KS),   M = sum a_e (t_e M0 + t_e^3 M2)
    in-plane:  K = sum a_e t_e KP,                M = sum a_e t_e MP

Everything in this module is SI. Nodes are the corners of the pixels; node (j, i) of an image of n x n pixels has
the number ``j (n + 1) + i`` and lies at ``x = (i - n / 2) pitch``, ``y = (j - n / 2) pitch``. A node of the bending
problem has the unknowns (w, beta_x, beta_y) with u = -z beta_x, v = -z beta_y; of the in-plane problem (u, v).

Source: Bathe & Dvorkin 1985, doi:10.1002/nme.1620210213 (MITC4); Mindlin 1951, doi:10.1115/1.4010217.
"""

from __future__ import annotations

__all__ = [
    "ALUMINIUM",
    "BENDING",
    "IN_PLANE",
    "Element",
    "Law",
    "Material",
    "Modes",
    "derivatives",
    "elements",
    "matrices",
    "modes",
]

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import skfem
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from scipy import sparse
from skfem.element import DiscreteField
from skfem.helpers import ddot, dot, sym_grad, trace

from ram.errors import SolverError
from ram.physics.eigen import lowest_modes

Array = NDArray[np.float64]

SHEAR_CORRECTION = 5 / 6
SMALLEST_FILL = 1e-9


@dataclass(frozen=True)
class Material:
    """An isotropic material: Young's modulus (Pa), Poisson's ratio (1), density (kg/m^3)."""

    youngs_modulus: float
    poissons_ratio: float
    density: float

    @property
    def shear_modulus(self) -> float:
        """Shear modulus in Pa."""
        return self.youngs_modulus / (2 * (1 + self.poissons_ratio))

    @property
    def plate_modulus(self) -> float:
        """E / (1 - nu^2) in Pa, the modulus of plane stress."""
        return self.youngs_modulus / (1 - self.poissons_ratio**2)


ALUMINIUM = Material(70e9, 0.33, 2700.0)


@dataclass(frozen=True)
class Element:
    """Matrices of one pixel, a power of the thickness each.

    Attributes
    ----------
    stiffness, mass
        Shape (2, 4 * unknowns, 4 * unknowns): what multiplies ``t`` and what multiplies ``t^3``; unknowns
        in the order of the corners (0, 0), (1, 0), (1, 1), (0, 1) in (x, y), node by node.
    """

    stiffness: Float[np.ndarray, "2 unknown unknown"] = field(repr=False)
    mass: Float[np.ndarray, "2 unknown unknown"] = field(repr=False)

    @property
    def unknowns(self) -> int:
        """Unknowns of one node."""
        return len(self.stiffness[0]) // 4


Law = Callable[[float, Material], Element]


def _square(pitch: float) -> skfem.MeshQuad:
    corners = np.array([[0.0, pitch, pitch, 0.0], [0.0, 0.0, pitch, pitch]])
    return skfem.MeshQuad(corners, np.array([[0], [1], [2], [3]]))


def _elasticity(u: DiscreteField, v: DiscreteField, w: Mapping[str, Any]) -> Array:
    """Plane-stress energy of a vector field for unit E / (1 - nu^2): bending in beta, membrane in (u, v)."""
    strain, test = sym_grad(u), sym_grad(v)
    return np.asarray((1 - w["nu"]) * ddot(strain, test) + w["nu"] * trace(strain) * trace(test))


def _product(u: DiscreteField, v: DiscreteField, _: Mapping[str, Any]) -> Array:
    return np.asarray(dot(u, v))


def _vector_matrices(pitch: float, nu: float) -> tuple[Float[np.ndarray, "8 8"], Float[np.ndarray, "8 8"]]:
    """Return elasticity (unit modulus) and mass (unit density) of a vector field, unknowns node by node."""
    basis = skfem.Basis(_square(pitch), skfem.ElementVector(skfem.ElementQuad1()), intorder=4)
    order = basis.nodal_dofs.T.ravel()
    stiffness = skfem.BilinearForm(_elasticity).assemble(basis, nu=nu).toarray()
    mass = skfem.BilinearForm(_product).assemble(basis).toarray()
    return stiffness[np.ix_(order, order)], mass[np.ix_(order, order)]


def _tied_shear(pitch: float) -> Float[np.ndarray, "12 12"]:
    """Return the integral of gamma . gamma with the shear strains tied at the middles of the edges."""
    rows = np.zeros((4, 12))  # bottom, top (gamma_xz) and left, right (gamma_yz) edge
    for row, (start, end, slope) in enumerate(((0, 1, 1), (3, 2, 1), (0, 3, 2), (1, 2, 2))):
        rows[row, [3 * start, 3 * end]] = -1 / pitch, 1 / pitch
        rows[row, [3 * start + slope, 3 * end + slope]] = -0.5
    weights = np.kron(np.eye(2), np.array([[2.0, 1.0], [1.0, 2.0]])) * pitch**2 / 6
    return np.asarray(rows.T @ weights @ rows)


@lru_cache(maxsize=16)
def bending(pitch: float, material: Material) -> Element:
    """Return the element of the Reissner-Mindlin plate with tied shear; unknowns (w, beta_x, beta_y)."""
    elasticity, product = _vector_matrices(pitch, material.poissons_ratio)
    beta = np.array([1, 2, 4, 5, 7, 8, 10, 11])
    stiffness, mass = np.zeros((2, 12, 12)), np.zeros((2, 12, 12))
    stiffness[0] = SHEAR_CORRECTION * material.shear_modulus * _tied_shear(pitch)
    stiffness[1][np.ix_(beta, beta)] = material.plate_modulus / 12 * elasticity
    mass[0][::3, ::3] = material.density * product[::2, ::2]
    mass[1][np.ix_(beta, beta)] = material.density / 12 * product
    return Element(stiffness, mass)


@lru_cache(maxsize=16)
def in_plane(pitch: float, material: Material) -> Element:
    """Return the element of plane stress; unknowns (u, v). Nothing goes with the cube of the thickness."""
    elasticity, product = _vector_matrices(pitch, material.poissons_ratio)
    nothing = np.zeros((8, 8))
    return Element(
        np.stack([material.plate_modulus * elasticity, nothing]), np.stack([material.density * product, nothing])
    )


BENDING: Law = bending
IN_PLANE: Law = in_plane


@lru_cache(maxsize=8)
def elements(rows: int, columns: int) -> Int[np.ndarray, "pixel 4"]:
    """Return the nodes of each pixel of a grid, row by row, in the order of the corners of `Element`."""
    j, i = np.divmod(np.arange(rows * columns), columns)
    first = j * (columns + 1) + i
    return np.stack([first, first + 1, first + columns + 2, first + columns + 1], axis=1)


@dataclass(frozen=True)
class Modes:
    """Free vibration of a plate.

    Attributes
    ----------
    eigenvalues
        Shape (mode,), (2 pi f)^2 in rad^2/s^2, increasing.
    shapes
        Shape (mode, node, unknown): mass-normalised, zero where the plate is clamped or absent.
    kept
        Shape (y, x): the pixels that belong to the plate.
    """

    eigenvalues: Float[np.ndarray, " mode"]
    shapes: Float[np.ndarray, "mode node unknown"] = field(repr=False)
    kept: Bool[np.ndarray, "y x"] = field(repr=False)

    @property
    def frequencies(self) -> Float[np.ndarray, " mode"]:
        """Frequencies in Hz."""
        return np.asarray(np.sqrt(self.eigenvalues) / (2 * np.pi))

    @property
    def used(self) -> Bool[np.ndarray, " node"]:
        """Nodes that belong to the plate."""
        used = np.zeros(self.shapes.shape[1], dtype=bool)
        used[elements(*self.kept.shape)[self.kept.ravel()]] = True
        return used

    def only(self, chosen: list[int]) -> Modes:
        """Return the chosen modes, in that order."""
        return Modes(self.eigenvalues[chosen], self.shapes[chosen], self.kept)


@lru_cache(maxsize=8)
def _neighbours(rows: int, columns: int) -> tuple[Int[np.ndarray, "node 9"], Bool[np.ndarray, "node 9"]]:
    """Return the nine nodes around each node of a grid, in rising order, and which of them exist."""
    j, i = np.divmod(np.arange((rows + 1) * (columns + 1)), columns + 1)
    dj, di = np.divmod(np.arange(9), 3) - np.ones((2, 1), dtype=int)
    beside_j, beside_i = j[:, None] + dj, i[:, None] + di
    inside = (beside_j >= 0) & (beside_j <= rows) & (beside_i >= 0) & (beside_i <= columns)
    return beside_j * (columns + 1) + beside_i, inside


CORNERS = ((0, 0), (0, 1), (1, 1), (1, 0))  # (row, column) of the corners of a pixel


def _scattered(
    weights: Float[np.ndarray, "y x power"], matrices: Float[np.ndarray, "power unknown unknown"]
) -> Float[np.ndarray, "node 9 unknown unknown"]:
    """Return the sum over the pixels of weight x matrix, as one block per node and neighbour.

    Sixteen shifted additions of whole images: a pixel adds to the block of each pair of its corners.
    """
    rows, columns, _ = weights.shape
    unknowns = matrices.shape[-1] // 4
    blocks = np.zeros((rows + 1, columns + 1, 9, unknowns * unknowns))
    for a, (row, column) in enumerate(CORNERS):
        for b, (other_row, other_column) in enumerate(CORNERS):
            part = matrices[:, a * unknowns : (a + 1) * unknowns, b * unknowns : (b + 1) * unknowns]
            offset = 3 * (other_row - row + 1) + other_column - column + 1
            blocks[row : row + rows, column : column + columns, offset] += weights @ part.reshape(len(part), -1)
    return blocks.reshape(-1, 9, unknowns, unknowns)


@dataclass(frozen=True)
class _Pattern:
    """Which blocks of the grid's matrices belong to free nodes, and where they stand in the reduced matrix."""

    chosen: Bool[np.ndarray, "node 9"]
    columns: Int[np.ndarray, " block"]
    starts: Int[np.ndarray, " free_plus_1"]

    def matrix(self, blocks: Float[np.ndarray, "node 9 unknown unknown"]) -> sparse.csc_array:
        """Return the reduced matrix; it is symmetric, so that rows may be read as columns."""
        unknowns, free = blocks.shape[-1], self.starts.size - 1
        shape = (free * unknowns, free * unknowns)
        rows = sparse.bsr_array((blocks[self.chosen], self.columns, self.starts), shape=shape).tocsr()
        return sparse.csc_array((rows.data, rows.indices, rows.indptr), shape=shape)


def _pattern(kept: Bool[np.ndarray, "y x"], free: Bool[np.ndarray, " node"]) -> _Pattern:
    neighbours, inside = _neighbours(*kept.shape)
    shared = _scattered(kept[..., None].astype(np.float64), np.ones((1, 4, 4)))[..., 0, 0] > 0  # (node, 9)
    shared &= inside & free[:, None]
    shared[shared] = free[neighbours[shared]]
    number = np.cumsum(free, dtype=np.int32) - 1
    starts = np.concatenate(([0], np.cumsum(shared[free].sum(axis=1)))).astype(np.int32)
    return _Pattern(shared, number[neighbours[shared]].astype(np.int32), starts)


def _weights(
    fill: Float[np.ndarray, "y x"], thickness: Float[np.ndarray, "y x"], kept: Bool[np.ndarray, "y x"]
) -> Float[np.ndarray, "y x 2"]:
    present = np.where(kept, fill, 0.0)
    return np.stack([present * thickness, present * thickness**3], axis=-1)


def matrices(
    fill: Float[np.ndarray, "y x"],
    thickness: Float[np.ndarray, "y x"],
    *,
    pitch: float,
    clamped: Bool[np.ndarray, " node"],
    law: Law = BENDING,
    material: Material = ALUMINIUM,
    bending_share: Float[np.ndarray, "y x"] | None = None,
) -> tuple[sparse.csc_array, sparse.csc_array, Bool[np.ndarray, " node"]]:
    """Return stiffness and mass of the free nodes, unknowns node by node, and which nodes are free.

    Parameters are those of `modes`.
    """
    kept = fill > SMALLEST_FILL
    element = law(pitch, material)
    used = np.zeros(clamped.size, dtype=bool)
    used[elements(*kept.shape)[kept.ravel()]] = True
    free = used & ~clamped
    pattern, weights = _pattern(kept, free), _weights(fill, thickness, kept)
    mass = pattern.matrix(_scattered(weights, element.mass))
    mass.eliminate_zeros()
    if bending_share is not None:
        weights[..., 1] *= bending_share
    return pattern.matrix(_scattered(weights, element.stiffness)), mass, free


def modes(
    fill: Float[np.ndarray, "y x"],
    thickness: Float[np.ndarray, "y x"],
    *,
    pitch: float,
    clamped: Bool[np.ndarray, " node"],
    count: int,
    law: Law = BENDING,
    material: Material = ALUMINIUM,
    start: Float[np.ndarray, "shape node unknown"] | None = None,
    bending_share: Float[np.ndarray, "y x"] | None = None,
) -> Modes:
    """Return the lowest `count` modes of the plate.

    Parameters
    ----------
    fill, thickness
        Which share of each pixel is material (0..1; pixels of nearly none are deleted), and its thickness (m).
    pitch
        Width of a pixel (m).
    clamped
        Nodes that do not move.
    law
        `BENDING` (Reissner-Mindlin) or `IN_PLANE` (plane stress).
    start
        Shapes like those of the modes; where they are not given, noise that is always the same.
    bending_share
        Which share of its bending stiffness (what goes with the cube of the thickness) each pixel has kept; all of it
        where it is None.

    Raises
    ------
    SolverError
        Where the plate has nothing that can move, or its modes have not converged.
    """
    stiffness, mass, free = matrices(
        fill, thickness, pitch=pitch, clamped=clamped, law=law, material=material, bending_share=bending_share
    )
    unknowns = law(pitch, material).unknowns
    if free.sum() * unknowns <= 2 * count:
        raise SolverError(f"a plate with {int(free.sum())} free nodes has no {count} modes")
    shape = (count, clamped.size, unknowns)
    begin = _noise((count + 2, *shape[1:])) if start is None else start
    values, vectors = lowest_modes(stiffness, mass, begin[:, free].reshape(len(begin), -1).T, count=count)
    shapes = np.zeros(shape)
    shapes[:, free] = vectors.T.reshape(count, -1, unknowns)
    return Modes(values, shapes, fill > SMALLEST_FILL)


def _noise(shape: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    """Return the same noise at every call, so that equal plates have equal bits."""
    return np.random.default_rng(0).uniform(-1, 1, shape)


def derivatives(
    modes: Modes,
    fill: Float[np.ndarray, "y x"],
    thickness: Float[np.ndarray, "y x"],
    *,
    pitch: float,
    law: Law = BENDING,
    material: Material = ALUMINIUM,
) -> tuple[Float[np.ndarray, "mode y x"], Float[np.ndarray, "mode y x"]]:
    """Return what each pixel's thickness and fill do to each eigenvalue: d lambda / dt (1/m), d lambda / da.

    ``d lambda = phi^T (dK - lambda dM) phi`` with mass-normalised phi; zero in pixels that are no part of the plate.
    """
    element = law(pitch, material)
    nodes = elements(*fill.shape)[modes.kept.ravel()]
    corners = modes.shapes[:, nodes].reshape(len(modes.eigenvalues), len(nodes), -1)  # (mode, pixel, unknown)
    linear, cubic = (
        _energies(corners, element.stiffness[power], element.mass[power], modes.eigenvalues) for power in (0, 1)
    )
    a, t = fill[modes.kept], thickness[modes.kept]
    by_thickness, by_fill = np.zeros((2, len(corners), *fill.shape))
    by_thickness[:, modes.kept] = a * (linear + 3 * t**2 * cubic)
    by_fill[:, modes.kept] = t * linear + t**3 * cubic
    return by_thickness, by_fill


def _energies(
    corners: Float[np.ndarray, "mode pixel unknown"],
    stiffness: Float[np.ndarray, "unknown unknown"],
    mass: Float[np.ndarray, "unknown unknown"],
    eigenvalues: Float[np.ndarray, " mode"],
) -> Float[np.ndarray, "mode pixel"]:
    """Return phi^T (K - lambda M) phi of every pixel."""
    balance = stiffness - eigenvalues[:, None, None] * mass  # (mode, unknown, unknown)
    return np.asarray(np.einsum("mpu,mpu->mp", corners @ balance, corners))
