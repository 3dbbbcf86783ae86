"""The axes of mapped inputs, and lengths along them: from a sample rate, a step, or coordinates in the file."""

from __future__ import annotations

__all__ = ["Grid", "cells_of", "grids_of"]

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ram.axes import Axis
from ram.data.mapped.arrays import Array
from ram.data.mapped.inputs import Inputs
from ram.data.mapped.places import Found, Places
from ram.data.mapped.settings import AxisMapping, DataMapping, Quantity, ValuePlace
from ram.data.mapped.values import conversion_of, number_of, relative_unit, unit_of
from ram.data.units import compatible, convert
from ram.errors import nearest

_UNEVEN = 1e-2


@dataclass(frozen=True, eq=False)
class Grid:
    """One axis of the records: even cells, or coordinates of each."""

    name: str
    unit: str
    step: float
    start: float = 0.0
    centres: NDArray[np.float64] | None = None
    long_name: str = ""

    def axis(self, size: int, *, windowed: bool) -> Axis:
        """Return the axis of the samples: that of the records, or that of a window, which begins at zero."""
        if self.centres is not None and self.centres.size == size and not windowed:
            return Axis.from_centres(self.name, self.unit, self.centres, long_name=self.long_name)
        start = 0.0 if windowed else self.start
        return Axis.uniform(self.name, self.unit, size=size, step=self.step, start=start, long_name=self.long_name)


def grids_of(places: Places, mapping: DataMapping, inputs: Inputs) -> tuple[Grid, ...]:
    """Return the grid of each axis in ``inputs.space``.

    Raises
    ------
    DataError
        An axis that the inputs do not have, a rate or a step that is not positive, coordinates that do not
        increase, or that are uneven where windows are cut.
    """
    known = ", ".join(inputs.space)
    for name in [*mapping.axes, *(["time"] if mapping.sample_rate else [])]:
        if name not in inputs.space:
            key = f"axes.{name}" if name in mapping.axes else "sample_rate"
            allowed = f"one of the layout's: {known}"
            raise places.refused(
                inputs.array.text,
                key,
                what="an axis",
                allowed=allowed,
                got=repr(name),
                step=nearest(name, inputs.space),
            )
    grids = []
    for place, (name, size) in enumerate(zip(inputs.space, inputs.shape, strict=True)):
        settings = mapping.axes.get(name, AxisMapping())
        key = f"axes.{name}"
        if name == "time" and mapping.sample_rate is not None:
            grids.append(_grid_of_rate(places, settings, mapping.sample_rate, key))
        elif settings.step is not None:
            grids.append(_grid_of_step(places, settings, settings.step, name, key))
        else:
            windowed = (mapping.window is not None or mapping.lengths is not None) and place == inputs.along
            grids.append(_grid_of_centres(places, settings, inputs, place, size=size, windowed=windowed))
    return tuple(grids)


def cells_of(places: Places, quantity: Quantity, grid: Grid, *, key: str) -> int:
    """Return a length along an axis in cells: a bare number counts them, one with a unit is measured.

    Raises
    ------
    DataError
        Less than one cell, not whole, or a unit that does not fit the axis.
    """
    value, unit = number_of(places, quantity, key=key, unit="")
    text = quantity.path or f"{value:g} {unit}".strip()
    if unit not in ("", "1"):
        if not compatible(unit, grid.unit):
            allowed = f"in the axis' unit {grid.unit!r}, or a number of cells"
            step = "Say the sample rate or the step of the axis" if grid.unit == "1" else ""
            raise places.refused(text, key, what="the length", allowed=allowed, got=repr(unit), step=step)
        value = float(convert(np.array([value]), unit=unit, to=grid.unit)[0]) / grid.step
        value = float(round(value))
    if value < 1 or value != round(value):
        got = f"{value:g}" if unit in ("", "1") else f"{text}, which is {value:g} cells of {grid.step:g} {grid.unit}"
        raise places.refused(text, key, what="the length", allowed="at least one cell, a whole number", got=got)
    return int(value)


def _grid_of_rate(places: Places, settings: AxisMapping, rate: Quantity, key: str) -> Grid:
    pattern = places.whole(rate.path) if rate.path else f"{rate.value:g} {rate.unit}"
    for clash in ("step", "centres"):
        if getattr(settings, clash) is not None:
            raise places.refused(
                pattern, "sample_rate", what="the time axis", allowed="given once", got=f"sample_rate and {key}.{clash}"
            )
    value, unit = number_of(places, rate, key="sample_rate", unit="Hz")
    if not compatible(unit, "Hz") or value <= 0:
        got = f"{value:g} {unit}"
        step = 'Give axes.time.step for a time: axes.time = { step = "1 ms" }' if compatible(unit, "s") else ""
        raise places.refused(
            pattern, "sample_rate", what="the sample rate", allowed="positive, in Hz or alike", got=got, step=step
        )
    hertz = float(convert(np.array([value]), unit=unit, to="Hz")[0])
    to = settings.unit or "s"
    cell = float(convert(np.array([1.0 / hertz]), unit="s", to=to)[0])
    return Grid("time", to, cell, _start(places, settings, to, key), long_name=settings.long_name)


def _grid_of_step(places: Places, settings: AxisMapping, step: Quantity, name: str, key: str) -> Grid:
    given, unit = number_of(places, step, key=f"{key}.step", unit=settings.unit or "1")
    to = settings.unit or unit
    text = places.whole(step.path) if step.path else f"{given:g} {unit}"
    if not compatible(unit, to) or given <= 0:
        allowed = f"positive, in {to!r} or alike"
        raise places.refused(text, f"{key}.step", what="the step", allowed=allowed, got=f"{given:g} {unit}")
    cell = float(convert(np.array([given]), unit=unit, to=to)[0])
    return Grid(name, to, cell, _start(places, settings, to, key), long_name=settings.long_name)


def _start(places: Places, settings: AxisMapping, unit: str, key: str) -> float:
    if settings.start is None or settings.relative:
        return 0.0
    value, own = number_of(places, settings.start, key=f"{key}.start", unit=unit)
    return float(convert(np.array([value]), unit=own, to=unit)[0])


def _grid_of_centres(
    places: Places, settings: AxisMapping, inputs: Inputs, place: int, *, size: int, windowed: bool
) -> Grid:
    """Return the grid of coordinates in the file: those that the user names, or those that netCDF attaches."""
    name, key = inputs.space[place], f"axes.{inputs.space[place]}.centres"
    found: Found | None = _attached(places, inputs, place)
    wanted = ValuePlace(path=found.text if isinstance(found, Array) else "/")
    if settings.centres is not None:
        wanted = settings.centres
        texts = [text for _, text in places.matches(places.whole(wanted.path), key=key)]
        found = places.find(texts[0], key=key)
    if not isinstance(found, Array):
        unit = settings.unit or "1"
        return Grid(name, unit, 1.0, _start(places, settings, unit, f"axes.{name}"), long_name=settings.long_name)
    if size not in (1, found.dataset.size) or len([n for n in found.shape if n > 1]) > 1:
        allowed, got = f"of {size} values, one for each cell of {name}", f"shape {found.shape}"
        raise places.refused(found.text, key, what="the coordinates", allowed=allowed, got=got)
    centres, unit = _coordinates(places, settings, wanted, found, key)
    step = _checked_step(places, centres, unit, found.text, key, even=windowed)
    return Grid(name, unit, step, float(centres[0]), centres, settings.long_name)


def _coordinates(
    places: Places, settings: AxisMapping, wanted: ValuePlace, found: Array, key: str
) -> tuple[NDArray[np.float64], str]:
    """Return coordinates and their unit; those of clocks and dates count from the first, before digits are lost."""
    values = np.ravel(found.read())
    values = values.astype(np.int64) if values.dtype.kind == "u" else values
    own = wanted.unit or unit_of(found) or settings.unit or "1"
    since = relative_unit(own)
    values = values - values[0] if settings.relative or since else values
    if since:
        centres, unit = values.astype(np.float64), since
    else:
        conversion = conversion_of(places, wanted.model_copy(update={"unit": own}), found, key=key, needed=False)
        centres, unit = conversion.apply(values), conversion.unit
    to = settings.unit or unit
    if not compatible(unit, to):
        raise places.refused(found.text, key, what="the unit", allowed=f"convertible to {to!r}", got=repr(unit))
    return convert(centres, unit=unit, to=to), to


def _checked_step(places: Places, centres: NDArray[np.float64], unit: str, text: str, key: str, *, even: bool) -> float:
    """Return the mean step of coordinates that increase, and are `even` where windows are cut."""
    steps = np.diff(centres)
    bad = ~np.isfinite(centres) if not np.isfinite(centres).all() else np.append(False, ~(steps > 0))
    if bad.any():
        row = int(np.argmax(bad))
        got = f"{centres[row]:g} {unit} in row {row}" + (f" after {centres[row - 1]:g}" if row else "")
        raise places.refused(text, key, what="the coordinates", allowed="finite and increasing", got=got)
    if not steps.size:
        return 1.0
    middle = float(np.median(steps))
    row = int(np.abs(steps - middle).argmax())
    if even and abs(steps[row] - middle) > _UNEVEN * middle:
        got = f"a step of {steps[row]:g} {unit} before row {row + 1}, elsewhere {middle:g}"
        step = "Cut the record there, or give sample_rate if the clock is only noisy"
        raise places.refused(text, key, what="the coordinates", allowed="even", got=got, step=step)
    return float((centres[-1] - centres[0]) / steps.size)


def _attached(places: Places, inputs: Inputs, place: int) -> Array | None:
    """Return the dimension scale of an axis, None where it has none or one that holds no coordinates."""
    oriented = inputs.parts[0].recorded.arrays[0]
    axis, dataset = oriented.axes[2 + place], inputs.array.dataset
    if inputs.array.field or axis is None or axis >= dataset.ndim or "DIMENSION_LIST" not in dataset.attrs:
        return None
    scales = list(dataset.dims[axis].values())
    name = scales[0].attrs.get("NAME", b"") if scales else b"This is a netCDF dimension but not a netCDF variable"
    text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
    if not scales or text.startswith("This is a netCDF dimension but not") or scales[0].dtype.kind not in "fiu":
        return None
    found = places.find(str(scales[0].name), key=f"axes.{inputs.space[place]}")
    return found if isinstance(found, Array) else None
