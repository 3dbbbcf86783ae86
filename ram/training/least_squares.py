"""The linear unit that a backbone starts with: targets on pooled features, by least squares in closed form."""

from __future__ import annotations

__all__ = ["RIDGES", "LinearFit", "fit_linear"]

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Array = NDArray[np.float64]

RIDGES = tuple(10.0**power for power in range(-9, 1))
"""What is tried where no ridge is given."""


@dataclass(frozen=True, eq=False)
class LinearFit:
    """``targets = features @ weight.T + bias``.

    Attributes
    ----------
    weight, bias
        Shapes (target, feature) and (target,).
    ridge
        As given, or the one that did best.
    """

    weight: Float[np.ndarray, "target feature"]
    bias: Float[np.ndarray, " target"]
    ridge: float

    def __call__(self, features: Float[np.ndarray, "sample feature"]) -> Float[np.ndarray, "sample target"]:
        """Return the fitted targets of other samples."""
        return np.asarray(features @ self.weight.T + self.bias)


def fit_linear(
    features: Float[np.ndarray, "sample feature"],
    targets: Float[np.ndarray, "sample target"],
    *,
    weights: Float[np.ndarray, " sample"] | None = None,
    ridge: float | None = None,
    judged: tuple[Array, Array] | None = None,
) -> LinearFit:
    """Return weight and bias with the least squared error.

    ``mean((X w + b - y)^2) + ridge * sum((sd(X) w)^2)``: the ridge does not depend on the features' units, nor on the
    number of samples, and leaves the bias alone.

    Parameters
    ----------
    features, targets
        In float64; a target that is NaN was not measured, and its sample does not count for it.
    weights
        Of the samples; all alike if not given.
    ridge
        None: the one of `RIDGES` whose fit is best on `judged`.
    judged
        Features and targets of other samples.

    Source: Hoerl & Kennard 1970, doi:10.1080/00401706.1970.10488634, equation 2.1.

    >>> fit_linear(np.array([[0.0], [1.0], [2.0]]), np.array([[1.0], [3.0], [5.0]]), ridge=0.0)(np.array([[10.0]]))
    array([[21.]])
    """
    solved = _Solved(features, targets, weights)
    if ridge is not None:
        return solved.fit(ridge)
    assert judged is not None
    fits = [solved.fit(one) for one in RIDGES]
    return min(fits, key=lambda one: _error(one, *judged))


def _error(fit: LinearFit, features: Array, targets: Array) -> float:
    return float(np.nanmean((fit(features) - targets) ** 2))


class _Solved:
    """Each target's singular value decomposition, from which every ridge follows by a product."""

    def __init__(self, features: Array, targets: Array, weights: Array | None) -> None:
        weights = np.ones(len(features)) if weights is None else weights
        known = np.isfinite(targets)
        self._parts: list[Any] = []
        shared: dict[bytes, Any] = {}  # targets that were measured on the same samples share one decomposition
        for rows, column in zip(known.T, targets.T, strict=True):
            key = rows.tobytes()
            if key not in shared:
                shared[key] = _decomposed(features[rows], weights[rows])
            self._parts.append((shared[key], _projected(shared[key], column[rows])))

    def fit(self, ridge: float) -> LinearFit:
        """Return the fit with this ridge."""
        rows = [_coefficients(*part, ridge=ridge) for part in self._parts]
        return LinearFit(np.stack([weight for weight, _ in rows]), np.array([bias for _, bias in rows]), ridge)


@dataclass(frozen=True, eq=False)
class _Decomposed:
    """``sqrt(weights) (features - mean) / scale = left diag(singular) right``; features that never change are out."""

    mean: Array
    scale: Array
    left: Array
    singular: Array
    right: Array
    root: Array


def _decomposed(features: Array, weights: Array) -> _Decomposed:
    share = weights / weights.sum()
    mean = share @ features
    scale = np.sqrt(share @ (features - mean) ** 2)
    used = scale > 1e-12 * np.maximum(np.abs(mean), 1e-300)
    scale = np.where(used, scale, np.inf)
    root = np.sqrt(share)
    left, singular, right = np.linalg.svd(root[:, None] * (features - mean) / scale, full_matrices=False)
    return _Decomposed(mean, scale, left, singular, right, root)


def _projected(of: _Decomposed, column: Array) -> tuple[float, Array]:
    """Return the mean of a target, and what it has in common with each singular vector."""
    mean = float(of.root**2 @ column)
    return mean, of.left.T @ (of.root * (column - mean))


def _coefficients(of: _Decomposed, projected: tuple[float, Array], *, ridge: float) -> tuple[Array, float]:
    mean, common = projected
    kept = of.singular > of.singular.max(initial=0.0) * np.finfo(np.float64).eps * max(len(of.left), of.right.shape[1])
    square = np.where(kept, of.singular**2 + ridge, 1.0)
    weight = of.right.T @ np.where(kept, of.singular * common / square, 0.0) / of.scale
    return weight, mean - float(weight @ of.mean)
