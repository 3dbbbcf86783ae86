"""Lowest modes of K v = lambda M v by block Lanczos, shift and invert at zero.

A wheel's modes come in pairs, and one knows beforehand roughly what they look like. A block of such shapes meets
both: a pair is found whole, also where it is exactly double (a single vector meets only one of the two), and a few
block steps suffice. It takes half the time of ARPACK, which is the oracle in the tests.

Source: Golub & Underwood 1977, "The block Lanczos method for computing eigenvalues"; Grimes, Lewis & Simon 1994,
doi:10.1137/S0895479888151111, with full reorthogonalisation, since the subspace is small.
"""

from __future__ import annotations

__all__ = ["lowest_modes"]

import numpy as np
import scipy.linalg
from jaxtyping import Float
from scipy import sparse
from scipy.sparse.linalg import splu

from ram.errors import SolverError

STEPS = 40

Vectors = Float[np.ndarray, "unknown vector"]


def lowest_modes(
    stiffness: sparse.csc_array, mass: sparse.csc_array, start: Vectors, *, count: int, tolerance: float = 1e-8
) -> tuple[Float[np.ndarray, " mode"], Float[np.ndarray, "unknown mode"]]:
    """Return the `count` lowest eigenvalues, increasing, and their mass-normalised vectors.

    Parameters
    ----------
    stiffness, mass
        Symmetric and positive definite, shape (unknown, unknown).
    start
        Shapes that the wanted modes resemble; as many as the widest bundle of equal eigenvalues at least.
    tolerance
        Bound of ``|K^-1 M v - v / lambda|`` relative to ``1 / lambda``; eigenvalues err by its square.

    Raises
    ------
    SolverError
        Where the modes have not converged after 40 steps.
    """
    factors = splu(stiffness, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    block, weighted_block, rest = _normalised(factors.solve(np.asfortranarray(mass @ start)), mass)
    basis = weighted = np.zeros((start.shape[0], 0))
    projected = np.zeros((0, 0))  # basis^T M K^-1 M basis
    for _ in range(STEPS):
        basis, weighted = np.hstack([basis, block]), np.hstack([weighted, weighted_block])
        image, shares = _orthogonal(factors.solve(np.asfortranarray(weighted_block)), basis, weighted)
        block, weighted_block, rest = _normalised(image, mass)
        projected = _bordered(projected, shares)
        inverse, vectors = np.linalg.eigh(projected)
        inverse, vectors = inverse[::-1][:count], vectors[:, ::-1][:, :count]
        missed = np.linalg.norm(rest @ vectors[-len(rest) :], axis=0)
        if len(inverse) == count and np.all(missed <= tolerance * inverse):
            return 1 / inverse, basis @ vectors
    raise SolverError(f"the lowest {count} modes have not converged after {STEPS} block steps")


def _bordered(
    projected: Float[np.ndarray, "basis basis"], shares: Float[np.ndarray, "basis_and_block block"]
) -> Float[np.ndarray, "basis_and_block basis_and_block"]:
    above, corner = shares[: len(projected)], shares[len(projected) :]
    return np.block([[projected, above], [above.T, (corner + corner.T) / 2]])


def _normalised(block: Vectors, mass: sparse.csc_array) -> tuple[Vectors, Vectors, Float[np.ndarray, "vector vector"]]:
    """Return the block made M-orthonormal, M times it, and the triangle R of block = normalised R."""
    weighted = mass @ block
    lower = np.linalg.cholesky(block.T @ weighted)
    return (
        scipy.linalg.solve_triangular(lower, block.T, lower=True).T,
        scipy.linalg.solve_triangular(lower, weighted.T, lower=True).T,
        lower.T,
    )


def _orthogonal(block: Vectors, basis: Vectors, weighted: Vectors) -> tuple[Vectors, Float[np.ndarray, "basis vector"]]:
    """Return the block without its part along the basis, and that part; twice is enough (Kahan, Parlett)."""
    first = weighted.T @ block
    block = block - basis @ first
    second = weighted.T @ block
    return block - basis @ second, first + second
