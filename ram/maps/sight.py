"""How much of the input the cells of a net see, in the units of its axes."""

from __future__ import annotations

__all__ = ["Sight", "reaching"]

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ram.axes import Axis, prefixed
from ram.maps.activation import evaluating
from ram.maps.fronts import levels_axes
from ram.maps.plots import width_of
from ram.maps.regression_map import RegressionMap
from ram.maps.regressor_net import RegressorNet
from ram.models.geometry import cell_axes, receptive_fields
from ram.models.regressor import Regressor


@dataclass(frozen=True)
class Sight:
    """What cells see and how far apart they lie; as text, in words.

    Attributes
    ----------
    input_axes, cells
        Of the input and of the cells, in array order.
    fields
        How much of the input a cell sees along each axis, in the axis' unit; NaN where that is not known.

    >>> time = Axis.uniform("time", "s", size=1000, step=1e-4)
    >>> print(Sight((time,), (Axis.uniform("time", "s", size=250, step=4e-4),), (0.0125,)))
    each cell sees 12.5 ms of the signal (12 % of it), cells every 400 µs
    """

    input_axes: tuple[Axis, ...]
    cells: tuple[Axis, ...]
    fields: tuple[float, ...]

    @classmethod
    def of(cls, regressor: Regressor, axes: Sequence[Axis]) -> Sight:
        """Return what the cells of a net see of inputs on `axes`; of several stages the farthest, on the finest cells.

        A blank input is followed through the layers; no weight matters.
        """
        front, net = regressor.front, RegressorNet(regressor.behind, [])
        seen = tuple(axes) if front is None else levels_axes(front, axes)
        size = (regressor.input_mean.numel(), *(axis.size for axis in seen))
        with evaluating(net.module, net.parts), torch.no_grad():
            grids = net.cells(lambda: torch.zeros(1, *size).to(net.like), size, ())
        finest = max(grids, key=lambda grid: np.prod([one.centres.size for one in grid]))
        known = [[one.traced for one in grid] for grid in grids]
        fields = np.where(
            np.all(known, axis=0), np.max([receptive_fields(grid, seen) for grid in grids], axis=0), np.nan
        )
        return cls(seen, cell_axes(finest, seen), reaching(tuple(fields.tolist()), net.reach, seen))

    @classmethod
    def in_map(cls, maps: RegressionMap) -> Sight:
        """Return what the cells of maps see."""
        return cls(maps.input_axes, maps.axes, maps.receptive_field)

    def __str__(self) -> str:
        """Return it in one line."""
        pairs = list(zip(self.input_axes, self.fields, strict=True))
        names = [axis.name for axis in self.input_axes] if len(pairs) > 1 else [_whole(self.input_axes[0])]
        seen = [_seen(*pair, name=name) for pair, name in zip(pairs, names, strict=True)]
        return f"each cell sees {' and '.join(seen)}, cells every {_apart(self.cells)}"


def _whole(axis: Axis) -> str:
    return "the signal" if axis.unit in ("s", "ms", "us", "\N{MICRO SIGN}s", "min", "h") else "the input"


def _seen(axis: Axis, field: float, *, name: str) -> str:
    """Return how much is seen along one axis: ``"12.5 ms of the signal (12 % of it)"``."""
    if not np.isfinite(field):
        return f"nobody knows how much of {name}"
    unit, size = prefixed(axis.unit, largest=field)
    share = 100 * field / float(axis.edges[-1] - axis.edges[0])
    return f"{field / size:.3g} {_word(unit)} of {name} ({share:.{0 if share >= 10 else 1}f} % of it)"


def _apart(cells: Sequence[Axis]) -> str:
    """Return how far apart cells lie, x before y as people say it."""
    shown = [_in_its_width(axis) for axis in reversed(cells)]
    widths, units = [width_of(axis) for axis in shown], [_word(axis.unit) for axis in shown]
    if len(set(units)) == 1:
        return f"{' x '.join(widths)} {units[0]}"
    return " x ".join(f"{width} {unit}" for width, unit in zip(widths, units, strict=True))


def _in_its_width(axis: Axis) -> Axis:
    """Return an axis with the prefix that suits the width of its cells."""
    unit, size = prefixed(axis.unit, largest=float(np.median(np.diff(axis.edges))))
    return replace(axis, unit=unit, centres=axis.centres / size, edges=axis.edges / size)


def _word(unit: str) -> str:
    return unit if unit not in {"", "1"} else "points"


def reaching(fields: tuple[float, ...], reach: tuple[float, ...], axes: Sequence[Axis]) -> tuple[float, ...]:
    """Return what cells see along each axis where each value of the input has seen `reach` more than its own extent."""
    if not reach:
        return fields
    spans = [float(axis.edges[-1] - axis.edges[0]) for axis in axes]
    return tuple(min(one + more, span) for one, more, span in zip(fields, reach, spans, strict=True))
