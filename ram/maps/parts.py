"""Parts of a map: what each channel of the input, stage of the net or layer carries, on the same cells as the whole."""

from __future__ import annotations

__all__ = ["PART_KINDS", "lying", "named_part", "require_parts", "spread"]

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ram.axes import Axis, overlap
from ram.errors import ConfigError, DataError, explained, nearest

if TYPE_CHECKING:
    from ram.maps.regression_map import RegressionMap

Array = NDArray[np.float64]

PART_KINDS = ("channel", "stage", "layer")
"""What a map may be made of: channels of the input, stages that are pooled, layers that are put together."""


def spread(values: Array, cells: Sequence[Axis], grid: Sequence[Axis]) -> Array:
    """Return contributions on other cells, each spread over its extent by area: sums are kept (law 4).

    Parameters
    ----------
    values
        Shape (..., *cells).
    cells, grid
        The axes that the last axes of `values` have, and those wanted.
    """
    for number, (old, new) in enumerate(zip(cells, grid, strict=True), start=-len(cells)):
        if not old.same_grid(new):
            values = np.moveaxis(np.moveaxis(values, number, -1) @ overlap(old, new).T, -1, number)
    return values


def lying(values: Array, cells: Sequence[Axis], grid: Sequence[Axis]) -> Array:
    """Return what stands at other cells, the mean of what stands in them by area: for values that are no sums."""
    for number, (old, new) in enumerate(zip(cells, grid, strict=True), start=-len(cells)):
        if not old.same_grid(new):
            values = np.moveaxis(np.moveaxis(values, number, -1) @ overlap(new, old), -1, number)
    return values


def named_part(whole: RegressionMap, name: str) -> RegressionMap:
    """Return the map of one part; what the others carry together stands beside it, so that it adds up as the whole.

    Raises
    ------
    ConfigError
        Where there is no such part.
    """
    if name not in whole.part_names:
        allowed = f"one of {', '.join(whole.part_names)}" if whole.part_names else "left out, for the map has none"
        step = nearest(name, whole.part_names)
        raise ConfigError(
            explained(where="RegressionMap.part", what="a part", allowed=allowed, got=name, next_step=step)
        )
    number = whole.part_names.index(name)
    own: dict[str, Any] = {
        "contributions": whole.part_contributions[:, number],
        "part_contributions": np.empty((0, 0)),
        "part_names": (),
        "part_units": (),
        "part_kind": "",
    }
    if whole.part_units:
        own["map_unit"] = whole.part_units[number]
    if whole.adds_up:
        others = [i for i in range(len(whole.part_names)) if i != number]
        rows = np.concatenate([whole.part_totals[:, others], whole.parameter_contributions], axis=1)
        own["parameter_contributions"] = rows
        own["parameter_names"] = (*(whole.part_names[i] for i in others), *whole.parameter_names)
    return replace(whole, **own)


def require_parts(whole: RegressionMap) -> None:
    """Raise DataError where the parts of a map do not belong to it."""
    shape = (len(whole), len(whole.part_names), *(axis.size for axis in whole.axes))
    if whole.part_contributions.shape != shape:
        got = whole.part_contributions.shape
        what = "the shape of part_contributions"
        raise DataError(explained(where="RegressionMap", what=what, allowed=f"{shape}", got=got))
    if whole.part_units and len(whole.part_units) != len(whole.part_names):
        what, allowed = "the length of part_units", str(len(whole.part_names))
        raise DataError(explained(where="RegressionMap", what=what, allowed=allowed, got=len(whole.part_units)))
    if whole.part_names and whole.part_kind not in PART_KINDS:
        allowed = f"one of {', '.join(PART_KINDS)}"
        raise DataError(
            explained(where="RegressionMap", what="part_kind", allowed=allowed, got=whole.part_kind or "none")
        )
