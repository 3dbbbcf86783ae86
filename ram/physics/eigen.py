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
from jaxtyping import Float
from scipy import sparse
from scipy.sparse.linalg import splu

from ram.errors import SolverError

STEPS = 40
NEGLIGIBLE = 1e-13  # of the largest squared length in a block of unit vectors

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
    block, weighted_block, _ = _normalised(factors.solve(np.asfortranarray(mass @ start)), mass)
    basis, weighted = (np.empty((len(start), STEPS * start.shape[1]), order="F") for _ in range(2))
    projected = np.zeros((0, 0))  # basis^T M K^-1 M basis
    for _ in range(STEPS):
        old, new = len(projected), len(projected) + block.shape[1]
        basis[:, old:new], weighted[:, old:new] = block, weighted_block
        image, shares = _orthogonal(factors.solve(weighted[:, old:new]), basis[:, :new], weighted[:, :new])
        block, weighted_block, rest = _normalised(image, mass)
        projected = _bordered(projected, shares)
        inverse, vectors = np.linalg.eigh(projected)
        inverse, vectors = inverse[::-1][:count], vectors[:, ::-1][:, :count]
        missed = np.linalg.norm(rest @ vectors[old:], axis=0)
        if len(inverse) == count and np.all(missed <= tolerance * inverse):
            return 1 / inverse, basis[:, :new] @ vectors
        if not block.shape[1]:
            break
    raise SolverError(f"the lowest {count} modes have not converged after {STEPS} block steps")


def _bordered(
    projected: Float[np.ndarray, "basis basis"], shares: Float[np.ndarray, "basis_and_block block"]
) -> Float[np.ndarray, "basis_and_block basis_and_block"]:
    above, corner = shares[: len(projected)], shares[len(projected) :]
    return np.block([[projected, above], [above.T, (corner + corner.T) / 2]])


def _normalised(block: Vectors, mass: sparse.csc_array) -> tuple[Vectors, Vectors, Float[np.ndarray, "kept vector"]]:
    """Return an M-orthonormal basis of the block's columns, M times it, and R of block = basis R.

    A direction that has converged leaves nothing but rounding behind; it is dropped. Twice, because the first
    time leaves an error that grows with the square of the block's condition.
    """
    weighted = mass @ block
    scales = np.sqrt(np.einsum("nv,nv->v", block, weighted))
    turn, rest = _whitening((block / scales).T @ (weighted / scales))
    block, rest = block @ (turn / scales[:, None]), rest * scales
    weighted = mass @ block
    turn, more = _whitening(block.T @ weighted)
    return block @ turn, weighted @ turn, more @ rest


def _whitening(gram: Float[np.ndarray, "v v"]) -> tuple[Float[np.ndarray, "v kept"], Float[np.ndarray, "kept v"]]:
    """Return the turn that makes vectors of these products orthonormal, and its inverse."""
    squares, directions = np.linalg.eigh(gram)
    kept = squares > NEGLIGIBLE * squares[-1]
    lengths, directions = np.sqrt(squares[kept]), directions[:, kept]
    return directions / lengths, lengths[:, None] * directions.T


def _orthogonal(block: Vectors, basis: Vectors, weighted: Vectors) -> tuple[Vectors, Float[np.ndarray, "basis vector"]]:
    """Return the block without its part along the basis, and that part; twice is enough (Kahan, Parlett)."""
    first = weighted.T @ block
    block = block - basis @ first
    second = weighted.T @ block
    return block - basis @ second, first + second
