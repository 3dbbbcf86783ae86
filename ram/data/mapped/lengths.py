"""What becomes of records of different length: windows of one length, or whole records that are cut or padded."""

from __future__ import annotations

__all__ = ["said_of", "windows_of"]

import numpy as np
from jaxtyping import Int64

from ram.data.mapped.columns import series_of
from ram.data.mapped.grids import Grid, cells_of
from ram.data.mapped.inputs import Inputs
from ram.data.mapped.places import Places
from ram.data.mapped.settings import DataMapping, Quantity
from ram.data.mapped.values import plain_numbers, unit_of
from ram.data.mapped.windows import Windows
from ram.data.units import compatible, convert

Lengths = Int64[np.ndarray, " record"]
_COUNTS = {"", "1", "samples", "sample", "cells", "points", "pts", "counts", "count"}


def windows_of(places: Places, mapping: DataMapping, inputs: Inputs, grid: Grid) -> Windows:
    """Return which cells of which record each sample is.

    Raises
    ------
    DataError
        No record is as long as a window, a length that cannot be, padding along another axis than the last.
    """
    stored = inputs.parts[0].recorded.lengths()
    measured, said = stored, mapping.lengths
    if isinstance(said, Quantity) and said.path is not None:
        measured = _measured(places, said.path, said.unit, inputs, grid=grid, stored=stored)
    if mapping.window is not None or mapping.stretch is not None:
        if said is not None and measured is stored:
            allowed = "left out where windows are cut, or the path of each record's measured length"
            got = repr(said) if isinstance(said, str) else "one length for all"
            raise places.refused(inputs.array.text, "lengths", what="it", allowed=allowed, got=got)
        return _cut(places, mapping, inputs, grid, measured)
    length = _length(places, mapping, inputs, grid, measured)
    if mapping.lengths is None or (measured >= length).all():
        return Windows.whole(stored, length=length) if _differ(stored, length) else _plain(stored, length)
    if inputs.along != len(inputs.space) - 1:
        got, step = f"along {inputs.space[inputs.along]!r}", 'Cut windows, or take lengths = "crop"'
        allowed = f"along the last axis, {inputs.space[-1]!r}"
        raise places.refused(inputs.array.text, "lengths", what="padding", allowed=allowed, got=got, step=step)
    return Windows.whole(measured, length=length)


def said_of(windows: Windows) -> str:
    """Return in words what became of records of different length; empty where nothing did."""
    if windows.measured is None:
        return ""
    low, high = int(windows.measured.min()), int(windows.measured.max())
    cut, short = int((windows.measured > windows.length).sum()), int((windows.measured < windows.length).sum())
    return f"records of {low:,} to {high:,} cells: {cut:,} cut to {windows.length:,}, {short:,} padded with zeros"


def _plain(lengths: Lengths, length: int) -> Windows:
    return Windows.over(lengths, length=length, hop=length)


def _differ(lengths: Lengths, length: int) -> bool:
    return bool((lengths != length).any())


def _cut(places: Places, mapping: DataMapping, inputs: Inputs, grid: Grid, lengths: Lengths) -> Windows:
    stretch = None if mapping.stretch is None else cells_of(places, mapping.stretch, grid, key="stretch")
    longest = int(lengths.max()) if stretch is None else min(stretch, int(lengths.max()))
    length = longest if mapping.window is None else cells_of(places, mapping.window, grid, key="window")
    hop = length if mapping.hop is None else cells_of(places, mapping.hop, grid, key="hop")
    windows = Windows.over(lengths, length=length, hop=hop, stretch=stretch)
    if windows.count == 0:
        allowed = f"at most {longest:,} cells, the longest {'record' if stretch is None else 'stretch'}"
        raise places.refused(inputs.array.text, "window", what="a window", allowed=allowed, got=f"{length:,}")
    return windows


def _length(places: Places, mapping: DataMapping, inputs: Inputs, grid: Grid, measured: Lengths) -> int:
    """Return the cells of a sample: as the user says, or of the longest or shortest record."""
    if isinstance(mapping.lengths, Quantity) and mapping.lengths.path is None:
        return cells_of(places, mapping.lengths, grid, key="lengths")
    if inputs.parts[0].recorded.stacked:
        return int(inputs.parts[0].recorded.lengths()[0])
    return int(measured.min() if mapping.lengths == "crop" else measured.max())


def _measured(places: Places, path: str, unit: str, inputs: Inputs, *, grid: Grid, stored: Lengths) -> Lengths:
    """Return the length of each record that the file gives, in cells."""
    series, text = series_of(places, path, inputs, key="lengths"), places.whole(path)
    found = [np.nan if one is None else plain_numbers(places, one, "lengths") for one in series.found]
    numbers = np.concatenate([np.ravel(values) for values in found]).astype(np.float64)
    unit = unit or unit_of(series.first)
    if unit.lower() not in _COUNTS:
        if not compatible(unit, grid.unit):
            allowed = f"in the axis' unit {grid.unit!r}, or a number of cells"
            raise places.refused(text, "lengths", what="the lengths", allowed=allowed, got=repr(unit))
        numbers = np.round(convert(numbers, unit=unit, to=grid.unit) / grid.step)
    if series.moments or numbers.size != stored.size:
        allowed, got = f"one for each of {stored.size:,} records", f"{numbers.size:,} values"
        raise places.refused(text, "lengths", what="the lengths", allowed=allowed, got=got)
    wrong = ~((numbers >= 1) & (numbers <= stored) & (numbers == np.round(numbers)))
    if wrong.any():
        row = int(np.argmax(wrong))
        allowed = f"whole numbers of cells, 1 to the {stored[row]:,} that are stored"
        got = f"{numbers[row]:g} for record {row}"
        raise places.refused(text, "lengths", what="the lengths", allowed=allowed, got=got)
    return numbers.astype(np.int64)
