"""Conformal prediction: intervals that hold as many new values as they say, whatever the net and its errors are.

The samples that calibrate took no part in training nor in choosing; a new sample's score is then as likely to have any
place among theirs. Of samples in groups (several recordings of one specimen) the groups are exchangeable, not the
samples: every group weighs the same, so that the promise is for a sample of a *new* group.

Source: Vovk, Gammerman & Shafer 2005; Lei et al. 2018, doi:10.1080/01621459.2017.1307116; groups: Lee, Barber &
Willett 2023, arXiv:2306.06342, section 3 (with one sample a group the usual split-conformal rank).
"""

from __future__ import annotations

__all__ = ["Scores", "coverage_by_chance"]

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

_ROUNDING = 1e-9  # of sums of weights: the tenth of ten samples must count as the tenth

_HIGHEST_RATE = 0.05 + _ROUNDING


@dataclass(frozen=True, eq=False)
class Scores:
    """How strange each calibrating sample is: absolute errors, or distances.

    Attributes
    ----------
    values
        Shape (sample,), ascending.
    weights
        Shape (sample,): each group's weight is 1 / (groups + 1), shared by its samples; the rest stands for the new
        group.
    groups
        How many groups there are.
    """

    values: Float[np.ndarray, " sample"] = field(repr=False)
    weights: Float[np.ndarray, " sample"] = field(repr=False)
    groups: int

    @classmethod
    def of(cls, values: Float[np.ndarray, " sample"], groups: NDArray[np.str_]) -> Scores:
        """Return the scores of samples and their groups; those that are NaN (nothing measured) are left out."""
        known = np.isfinite(values)
        _, member, sizes = np.unique(groups[known], return_inverse=True, return_counts=True)
        order = np.argsort(values[known], kind="stable")
        weights = 1.0 / ((sizes.size + 1) * sizes[member])
        return cls(np.asarray(values[known][order]), np.asarray(weights[order]), int(sizes.size))

    def radius(self, level: float) -> float:
        """Return the score that a new sample exceeds with a probability of 1 - level at most.

        Infinite where there are too few groups to know: fewer than level / (1 - level), 9 for 90 %.

        >>> nine = Scores.of(np.arange(1.0, 10.0), np.array(list("abcdefghi")))
        >>> nine.radius(0.9), nine.radius(0.8), nine.radius(0.95)
        (9.0, 8.0, inf)
        """
        reached = np.cumsum(self.weights) >= level - _ROUNDING
        return float(self.values[reached.argmax()]) if reached.any() else float("inf")

    def p_values(self, scores: Float[np.ndarray, " new"]) -> Float[np.ndarray, " new"]:
        """Return how often a sample like those that calibrated has such a score or a larger one.

        >>> Scores.of(np.array([1.0, 2.0, 3.0]), np.array(["a", "b", "c"])).p_values(np.array([0.5, 2.5, 9.0]))
        array([1.  , 0.5 , 0.25])
        """
        from_above = np.append(np.cumsum(self.weights[::-1])[::-1], 0.0)
        smallest = 1.0 / (self.groups + 1)
        return np.asarray(smallest + from_above[np.searchsorted(self.values, scores, side="left")])

    def alarm(self, rate: float) -> float:
        """Return the p-value up to which samples are called outside: `rate`, or the smallest that can be reached.

        Nothing is called outside (0) by fewer than 19 groups: one of 20 good samples would be farther than all.
        """
        smallest = 1.0 / (self.groups + 1)
        return max(rate, smallest) + _ROUNDING if smallest <= _HIGHEST_RATE else 0.0


def coverage_by_chance(level: float, *, calibrated: int, tested: int) -> tuple[float, float]:
    """Return the range that 95 of 100 honest calibrations would cover on so many independent test samples.

    The count that is covered has a beta-binomial law with rank k = ceil((n + 1) level) and n + 1 - k.

    Source: Vovk 2012, "Conditional validity of inductive conformal predictors", proposition 2a.

    >>> low, high = coverage_by_chance(0.9, calibrated=100, tested=200)
    >>> round(low, 2), round(high, 2)
    (0.82, 0.96)
    """
    from scipy.stats import betabinom

    rank = int(np.ceil((calibrated + 1) * level - _ROUNDING))
    if rank > calibrated:
        return 1.0, 1.0
    law = betabinom(tested, rank, calibrated + 1 - rank)
    return float(law.ppf(0.025)) / tested, float(law.ppf(0.975)) / tested
