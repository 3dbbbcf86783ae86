"""Regions of a map in words: ``"time=0.8ms:1.2ms,frequency=8kHz:10kHz"`` in, ``"0.8-1.2 ms, 8-10 kHz"`` out."""

from __future__ import annotations

__all__ = ["Bounds", "bounds_in", "in_words"]

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ram.axes import Axis, prefixed
from ram.data.quantities import quantity_in
from ram.errors import ConfigError, explained, nearest

Bounds = dict[str, tuple[float, float]]
"""(low, high) by the name of an axis, in its unit; an axis that is not named counts whole."""

_TINY = 0.02  # of an axis: what is smaller has a prefix of its own


def bounds_in(text: str, axes: Sequence[Axis], *, where: str) -> Bounds:
    """Return the region that `text` names, in the axes' units; an end that is left out is that of the axis.

    Parameters
    ----------
    text
        NAME=LOW:HIGH, several with commas or blanks between; numbers with units, or in the axis' own.
    where
        What a message begins with.

    Raises
    ------
    ConfigError
        For another form, a name that is no axis, a unit that does not fit, or ends in the wrong order.
    """
    known = {axis.name: axis for axis in axes}
    found: Bounds = {}
    for word in text.replace(",", " ").split():
        name, equals, ends = word.partition("=")
        low, colon, high = ends.partition(":")
        if not (equals and colon and name):
            step = "Such as time=0.8ms:1.2ms,frequency=8kHz:10kHz"
            raise ConfigError(
                explained(where=where, what="a region", allowed="NAME=LOW:HIGH", got=f"'{word}'", next_step=step)
            )
        if name not in known:
            raise ConfigError(
                explained(where=where, what="the name", allowed=f"one of {_spans(axes)}", got=f"'{name}'",
                          next_step=nearest(name, list(known)))
            )  # fmt: skip
        if name in found:
            raise ConfigError(explained(where=where, what="an axis", allowed="named once", got=f"'{name}' twice"))
        axis = known[name]
        pair = _end(low, axis, axis.edges[0], where), _end(high, axis, axis.edges[-1], where)
        if not pair[0] < pair[1]:
            raise ConfigError(
                explained(where=where, what=f"{name}", allowed="given as LOW:HIGH, the lower one first", got=ends)
            )
        found[name] = pair
    if not found:
        raise ConfigError(explained(where=where, what="a region", allowed="NAME=LOW:HIGH", got="nothing"))
    return found


def in_words(bounds: Mapping[str, tuple[float, float]], axes: Sequence[Axis]) -> str:
    """Return a region as people say it, along the last axis first: ``"0.8-1.2 ms, 8-10 kHz"``.

    An axis without unit is named, and so are two of the same unit: ``"x 20-40 mm, y 0-60 mm"``.
    """
    units = [axis.unit for axis in axes if axis.name in bounds]
    parts = []
    for axis in reversed(axes):
        if axis.name not in bounds:
            continue
        low, high = bounds[axis.name]
        reach, largest = float(np.abs(axis.edges).max()), max(abs(low), abs(high))
        unit, size = prefixed(axis.unit, largest=reach if largest > _TINY * reach else largest)
        digits = max(0, 2 - math.floor(math.log10((high - low) / size))) if high > low else 3
        between = "\N{EN DASH}" if low >= 0 else " to "
        ends = between.join(_plain(end / size, digits) for end in (low, high))
        named = units.count(axis.unit) > 1 or unit in ("", "1")
        parts.append(f"{f'{axis.name} ' if named else ''}{ends}{'' if unit in ('', '1') else f' {unit}'}")
    return ", ".join(parts)


def _plain(value: float, digits: int) -> str:
    """Return a number with so many decimals at most, none of them an idle zero."""
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text.replace("-", "\N{MINUS SIGN}")


def _end(text: str, axis: Axis, end: float, where: str) -> float:
    if not text:
        return float(end)
    value = quantity_in(text, unit=axis.unit, bare=True)
    if value is None:
        allowed = f"a number in {axis.unit} or a unit that fits"
        step = f"The axis goes from {axis.edges[0]:g} to {axis.edges[-1]:g} {axis.unit}"
        raise ConfigError(
            explained(where=where, what=f"an end of {axis.name}", allowed=allowed, got=f"'{text}'", next_step=step)
        )
    return value


def _spans(axes: Sequence[Axis]) -> str:
    return ", ".join(f"{axis.name} ({axis.edges[0]:g} to {axis.edges[-1]:g} {axis.unit})" for axis in axes)
