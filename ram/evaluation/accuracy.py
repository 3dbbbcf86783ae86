"""Accuracy of predictions, in the target's unit."""

from __future__ import annotations

__all__ = ["Accuracy", "accuracy"]

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float
from sklearn import metrics

from ram.errors import DataError, explained


@dataclass(frozen=True)
class Accuracy:
    """What predictions of one target are worth.

    Attributes
    ----------
    samples
        How many samples have a measured value.
    mae, rmse, bias
        Mean absolute error, root of the mean squared error and mean of (prediction - measured), in `unit`.
    mape
        Mean absolute error relative to the measured value, in per cent; NaN where a measured value is zero.
    r2
        Coefficient of determination; NaN where all measured values are equal, or there is but one.
    worst_id, worst_error
        The sample with the largest error, and prediction - measured there, in `unit`.
    """

    unit: str
    samples: int
    mae: float
    rmse: float
    bias: float
    mape: float
    r2: float
    worst_id: str
    worst_error: float

    def as_dict(self) -> dict[str, str | int | float]:
        """Return all figures by name."""
        return asdict(self)


def accuracy(
    prediction: Float[np.ndarray, " sample"],
    measured: Float[np.ndarray, " sample"],
    *,
    unit: str,
    ids: Sequence[str] | None = None,
) -> Accuracy:
    """Return the accuracy over the samples whose measured value is not NaN.

    >>> accuracy(np.array([101.0, 198.0]), np.array([100.0, 200.0]), unit="Hz").mape
    1.0

    Raises
    ------
    DataError
        Where the two arrays differ in shape (a (N, 1) against a (N) would broadcast to N x N), or nothing was
        measured.
    """
    prediction, measured = np.asarray(prediction, dtype=np.float64), np.asarray(measured, dtype=np.float64)
    if prediction.shape != measured.shape or prediction.ndim != 1:
        got = f"{prediction.shape} and {measured.shape}"
        raise DataError(
            explained(where="accuracy", what="predictions and measured values", allowed="(sample,)", got=got)
        )
    known = np.flatnonzero(np.isfinite(measured))
    if known.size == 0:
        raise DataError(explained(where="accuracy", what="measured values", allowed="finite for a sample", got="none"))
    p, m = prediction[known], measured[known]
    worst = int(np.abs(p - m).argmax())
    return Accuracy(
        unit=unit,
        samples=int(known.size),
        mae=float(metrics.mean_absolute_error(m, p)),
        rmse=float(metrics.root_mean_squared_error(m, p)),
        bias=float(np.mean(p - m)),
        mape=float(100 * metrics.mean_absolute_percentage_error(m, p)) if np.all(m != 0) else float("nan"),
        r2=float(metrics.r2_score(m, p)) if np.ptp(m) > 0 else float("nan"),
        worst_id=str(ids[known[worst]]) if ids is not None else str(known[worst]),
        worst_error=float(p[worst] - m[worst]),
    )
