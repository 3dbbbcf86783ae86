"""Where a design has material: by the channel that says so, or by what is not zero."""

from __future__ import annotations

__all__ = ["fill_channel", "material"]

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

Array = Float[np.ndarray, "channel *space"]


def fill_channel(x: Array, units: Sequence[str]) -> int | None:
    """Return the channel that says where a design is: a share without unit, 0 in the voids; None where none does."""
    for number, (values, unit) in enumerate(zip(x, units, strict=True)):
        if x.ndim > 2 and unit in ("", "1") and values.min() == 0 and 0 < values.max() <= 1:
            return number
    return None


def material(x: Array, fills: int | None) -> Bool[np.ndarray, "*space"]:
    """Return where a design is: where the channel `fills` is above 0; without one, where any channel is not 0."""
    return np.asarray((x != 0).any(axis=0) if fills is None else x[fills] > 0)
