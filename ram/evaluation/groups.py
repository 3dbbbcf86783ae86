"""Accuracy group by group: how good a regressor is on each specimen, tool or design family."""

from __future__ import annotations

__all__ = ["AVERAGED", "GroupRow", "group_rows", "over_groups"]

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ram.evaluation.accuracy import accuracy

AVERAGED = ("mae", "rmse", "bias", "r2", "constant_mae", "shifted_mae", "held", "outside")
"""Figures of which a mean over groups can be taken."""


@dataclass(frozen=True)
class GroupRow:
    """What predictions of one target are worth for the samples of one group.

    Attributes
    ----------
    samples
        How many of them were measured.
    mae, rmse, bias
        Mean absolute error, root of the mean squared error and mean of (prediction - measured), in `unit`.
    r2
        Against the group's own mean; NaN where all its measured values are equal.
    constant_mae
        Mean absolute error of a constant: the mean of the training part.
    shifted_mae
        Mean absolute error after the one shift of all predictions that suits the group best: what is left where the
        group differs by a constant.
    held
        Share of the measured values that lie within their interval; NaN where there are no intervals.
    outside
        Share of the samples that are called unlike the training part; NaN where that is not known.
    """

    group: str
    unit: str
    samples: int
    mae: float
    rmse: float
    bias: float
    r2: float
    constant_mae: float
    shifted_mae: float
    held: float = float("nan")
    outside: float = float("nan")

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> GroupRow:
        """Return what `as_dict` gave."""
        known: dict[str, Any] = {name: float("nan") if value is None else value for name, value in content.items()}
        return cls(**known)

    def as_dict(self) -> dict[str, str | int | float | None]:
        """Return all figures by name; None for one that does not exist."""
        return {
            name: None if isinstance(value, float) and not np.isfinite(value) else value
            for name, value in asdict(self).items()
        }


def group_rows(
    predicted: Float[np.ndarray, " sample"],
    measured: Float[np.ndarray, " sample"],
    groups: NDArray[np.str_],
    *,
    unit: str,
    constant: Float[np.ndarray, " sample"],
    held: Float[np.ndarray, " sample"] | None = None,
    outside: Float[np.ndarray, " sample"] | None = None,
) -> list[GroupRow]:
    """Return one row for each group, by name; groups of which nothing was measured are left out.

    Parameters
    ----------
    constant
        What each sample's training part has for its mean.
    held, outside
        1 where the measured value lies within its interval, where the sample is unlike the training part; NaN: not
        known.
    """
    rows = []
    for name in np.unique(groups):
        here = (groups == name) & np.isfinite(measured)
        if not here.any():
            continue
        figures = accuracy(predicted[here], measured[here], unit=unit)
        error = predicted[here] - measured[here]
        rows.append(
            GroupRow(
                group=str(name),
                unit=unit,
                samples=figures.samples,
                mae=figures.mae,
                rmse=figures.rmse,
                bias=figures.bias,
                r2=figures.r2,
                constant_mae=float(np.abs(constant[here] - measured[here]).mean()),
                shifted_mae=float(np.abs(error - np.median(error)).mean()),
                held=float("nan") if held is None else float(held[here].mean()),
                outside=float("nan") if outside is None else float(outside[here].mean()),
            )
        )
    return rows


def over_groups(rows: Sequence[GroupRow]) -> dict[str, dict[str, float | None]]:
    """Return mean and standard deviation of each figure over the groups, each with the same weight.

    None where it exists for no group, or for one alone where a deviation is asked for.

    >>> predicted, measured, groups = np.array([1.0, 1.0, 5.0]), np.zeros(3), np.array(["a", "a", "b"])
    >>> rows = group_rows(predicted, measured, groups, unit="cm", constant=measured)
    >>> over_groups(rows)["mae"]["mean"]
    3.0
    """
    found = {}
    for name in AVERAGED:
        values = np.array([getattr(row, name) for row in rows])
        values = values[np.isfinite(values)]
        found[name] = {
            "mean": float(values.mean()) if values.size else None,
            "std": float(values.std(ddof=1)) if values.size > 1 else None,
        }
    return found
