"""How many measured values lie within their intervals, and how wide these are."""

from __future__ import annotations

__all__ = ["Coverage", "coverage"]

from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float

from ram.errors import DataError, explained


@dataclass(frozen=True)
class Coverage:
    """What intervals of one target are worth.

    Attributes
    ----------
    level
        Share of new samples that the intervals promise to hold.
    coverage
        Share of the measured samples that they hold.
    width
        Mean of upper - lower, in the target's unit; infinite where one interval is.
    """

    level: float
    coverage: float
    width: float

    def as_dict(self) -> dict[str, float]:
        """Return all figures by name."""
        return asdict(self)


def coverage(
    lower: Float[np.ndarray, " sample"],
    upper: Float[np.ndarray, " sample"],
    measured: Float[np.ndarray, " sample"],
    *,
    level: float,
) -> Coverage:
    """Return how the intervals did over the samples whose measured value is not NaN; an end belongs to its interval.

    >>> coverage(np.array([0.0, 4.0]), np.array([2.0, 6.0]), np.array([2.0, 7.0]), level=0.9)
    Coverage(level=0.9, coverage=0.5, width=2.0)

    Raises
    ------
    DataError
        Where the arrays differ in shape, or nothing was measured.
    """
    shapes = {np.shape(lower), np.shape(upper), np.shape(measured)}
    if len(shapes) > 1 or np.ndim(measured) != 1:
        got = ", ".join(map(str, sorted(shapes)))
        raise DataError(explained(where="coverage", what="ends and measured values", allowed="(sample,)", got=got))
    known = np.isfinite(measured)
    if not known.any():
        raise DataError(explained(where="coverage", what="measured values", allowed="finite for a sample", got="none"))
    low, high, value = lower[known], upper[known], measured[known]
    inside = (value >= low) & (value <= high)
    return Coverage(float(level), float(inside.mean()), float(np.mean(high - low)))
