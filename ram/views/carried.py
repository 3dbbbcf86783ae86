"""The few regions that carry most of a map, in one sentence."""

from __future__ import annotations

__all__ = ["most_of_it"]

import numpy as np
from jaxtyping import Float

from ram.maps.bounds import in_words
from ram.maps.carriers import carriers
from ram.maps.regression_map import RegressionMap
from ram.views.numbers import figure

_MOST = 3


def most_of_it(
    maps: RegressionMap, contributions: Float[np.ndarray, "*cells"], *, unit: str, times: float = 1.0
) -> str:
    """Return ``"0.8-1.2 ms, 8-10 kHz: -3.1 cm; ..."``, the largest first, or that none stands out.

    Parameters
    ----------
    maps
        On whose cells the contributions lie.
    unit, times
        What they are written in, and by how much they are multiplied for that.
    """
    plain = RegressionMap(
        contributions[None],
        np.zeros(1),
        np.ones(1),
        maps.target,
        maps.unit,
        maps.axes,
        maps.input_axes,
        grade=maps.grade,
    )
    found = sorted(carriers(plain, most=_MOST), key=lambda one: -abs(one.contribution))
    if not found:
        return "no region stands out"
    words = "" if unit == "1" else f"\N{NO-BREAK SPACE}{unit}"
    return "; ".join(f"{in_words(one.bounds, maps.axes)}: {_signed(times * one.contribution)}{words}" for one in found)


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{figure(value)}"
