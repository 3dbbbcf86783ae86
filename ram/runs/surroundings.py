"""Where the training part lies in the features that the linear unit sees, and how far a sample is from there."""

from __future__ import annotations

__all__ = ["Surroundings"]

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from jaxtyping import Float
from threadpoolctl import ThreadpoolController, threadpool_limits  # type: ignore[import-untyped]


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Mean and covariance of the pooled features of the training part.

    Attributes
    ----------
    mean
        Shape (feature,).
    whitening
        Shape (feature, feature): ``whitening @ (features - mean)`` has about unit covariance over the training part.

    Source: Mahalanobis 1936 in the features of a net: Lee et al. 2018, arXiv:1807.03888; covariance: Ledoit & Wolf
    2004, doi:10.1016/S0047-259X(03)00096-4, which stays invertible with fewer samples than features.
    """

    mean: Float[np.ndarray, " feature"] = field(repr=False)
    whitening: Float[np.ndarray, "feature feature"] = field(repr=False)

    @classmethod
    def of(cls, features: Float[np.ndarray, "sample feature"]) -> Surroundings:
        """Return the surroundings of the training part's features; one thread, so that equal runs have equal bytes."""
        from sklearn.covariance import LedoitWolf

        mean, scale = features.mean(axis=0), features.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        with threadpool_limits(1):
            fitted = LedoitWolf(assume_centered=True).fit((features - mean) / scale)
            values, vectors = np.linalg.eigh(fitted.covariance_)
            # Features that never change carry no variance at all where nothing is shrunk.
            root = np.where(values > 1e-12, 1.0 / np.sqrt(np.maximum(values, 1e-12)), 0.0)
            return cls(mean, np.asarray((vectors * root).T / scale))

    def distances(self, features: Float[np.ndarray, "sample feature"]) -> Float[np.ndarray, " sample"]:
        """Return the Mahalanobis distance of each sample over the root of the number of features: about 1 at home."""
        with _libraries().limit(limits=1):
            away = (features - self.mean) @ self.whitening.T
        return np.asarray(np.sqrt(np.mean(away**2, axis=1)))


@cache
def _libraries() -> ThreadpoolController:
    """Return numpy's BLAS and all other libraries with threads: to look for them takes longer than one sample does."""
    return ThreadpoolController()
