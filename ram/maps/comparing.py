"""Which maps may be subtracted from each other."""

from __future__ import annotations

__all__ = ["require_comparable"]

from typing import TYPE_CHECKING

import numpy as np

from ram.axes import Axis
from ram.errors import DataError, explained

if TYPE_CHECKING:
    from ram.maps.regression_map import RegressionMap

_ALIKE = ("target", "unit", "map_unit", "method", "log", "parameter_names", "part_names", "reference")


def require_comparable(one: RegressionMap, other: RegressionMap) -> None:
    """Raise DataError where `other` is not of the same target, method, cells and baseline as `one`."""
    if len(other) not in {1, len(one)}:
        raise _incomparable("the number of samples", f"1 or {len(one)}", len(other))
    for name in _ALIKE:
        mine, theirs = getattr(one, name), getattr(other, name)
        if mine != theirs:
            raise _incomparable(f"the {name.replace('_', ' ')}", repr(mine), repr(theirs))
    if len(one.axes) != len(other.axes) or not all(map(Axis.same_grid, one.axes, other.axes)):
        raise _incomparable("the cells", f"those of {one!r}", f"{other!r}")
    # Only exact maps know their baseline without running the net.
    tolerance = 1e-9 if one.grade == "exact" else 1e-5
    if one.adds_up and not np.allclose(one.baseline, other.baseline, rtol=tolerance, atol=0.0):
        raise _incomparable("the baseline", f"{one.baseline[0]:g} {one.unit}", f"{other.baseline[0]:g}")


def _incomparable(what: str, allowed: str, got: object) -> DataError:
    step = "Explain both with the same net, target and reference"
    words = explained(
        where="RegressionMap.difference", what=f"{what} of the other map", allowed=allowed, got=got, next_step=step
    )
    return DataError(words)
