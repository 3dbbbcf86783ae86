"""The path-integrated truth: what each pixel adds to a target between two designs.

Source: Aumann & Shapley 1974, "Values of non-atomic games"; Sundararajan et al. 2017, arXiv:1703.01365, equation 1
(integrated gradients), with the solver in the place of the net.
"""

from __future__ import annotations

__all__ = ["ALLOWED_RESIDUAL", "PathTruth", "integrated"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

ALLOWED_RESIDUAL = 0.01

Map = Float[np.ndarray, "y x"]
Slopes = Callable[[Map, Map], tuple[dict[str, Map], dict[str, Map]]]


@dataclass(frozen=True)
class PathTruth:
    """Contributions against a reference design.

    Attributes
    ----------
    maps
        Shape (y, x) per target, in the target's unit; a map sums to the change of its target, but for a residual of
        at most 1 %. A target has none where it jumps on the way: where two modes exchange their character, a
        frequency that is named by its mode steps from one branch to the other, and no integral bridges the step.
    residuals
        Per target, those without a map too: (sum of the map - change of the target) / sum of absolute contributions.
    points
        Number of Gauss points used.
    """

    maps: dict[str, Map] = field(repr=False)
    residuals: dict[str, float]
    points: int

    @property
    def worst(self) -> float:
        """Largest absolute residual."""
        return max(map(abs, self.residuals.values()))


def integrated(
    slopes: Slopes,
    reference: tuple[Map, Map],
    design: tuple[Map, Map],
    changes: Mapping[str, float],
    *,
    points: Sequence[int],
) -> PathTruth:
    """Return the integral of the slopes along the straight way from reference to design.

    Gauss-Legendre in u with the place s = 1 - (1 - u)^2 on the way: the points are open, so that fill never
    reaches 0, and crowd where it nearly does. There the slopes bend most: a weak void stiffens by the first
    bit of material. Four points then do what eight do without.

    Parameters
    ----------
    slopes
        Gives, for fill and thickness, the slopes of every target in fill and in thickness.
    changes
        Target minus reference target, for the targets that are integrated.
    points
        Numbers of points to try in turn, until no residual is above 1 %; else the best of them stands.
    """
    truth = None
    for count in points:
        maps = _gauss(slopes, reference, design, tuple(changes), count)
        residuals = {name: _residual(maps[name], change) for name, change in changes.items()}
        if truth is None or max(map(abs, residuals.values())) < truth.worst:
            truth = PathTruth(maps, residuals, count)
        if truth.worst <= ALLOWED_RESIDUAL:
            break
    assert truth is not None
    known = {name: values for name, values in truth.maps.items() if abs(truth.residuals[name]) <= ALLOWED_RESIDUAL}
    return replace(truth, maps=known)


def _residual(contributions: Map, change: float) -> float:
    total = float(np.abs(contributions).sum())
    return (float(contributions.sum()) - change) / total if total > 0 else 0.0


def _gauss(
    slopes: Slopes, reference: tuple[Map, Map], design: tuple[Map, Map], names: Sequence[str], count: int
) -> dict[str, Map]:
    at, weights = np.polynomial.legendre.leggauss(count)  # on -1..1
    rest = (1 - at) / 2
    differences = [end - begin for begin, end in zip(reference, design, strict=True)]
    maps = {name: np.zeros_like(reference[0]) for name in names}
    for place, weight in zip(1 - rest**2, weights * rest, strict=True):
        fill, thickness = (begin + place * step for begin, step in zip(reference, differences, strict=True))
        by_fill, by_thickness = slopes(fill, thickness)
        for name in names:
            maps[name] += weight * (by_fill[name] * differences[0] + by_thickness[name] * differences[1])
    return maps
