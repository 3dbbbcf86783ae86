"""One value a sample: of its record, or taken from values that run along the record's time axis."""

from __future__ import annotations

__all__ = ["Series", "numbers_along", "optional_series_of", "series_of", "texts_along"]

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import NDArray

from ram.data.mapped.arrays import Array
from ram.data.mapped.inputs import Inputs
from ram.data.mapped.places import Attribute, Found, Places
from ram.data.mapped.recorded import Oriented
from ram.data.mapped.settings import ValuePlace
from ram.data.mapped.values import Conversion, conversion_of, plain_numbers, texts_of
from ram.data.mapped.windows import Windows

Values = NDArray[Any]
_ROWS = 1 << 16
_CELLS = 1 << 22
_TAKE: dict[str, Callable[[Values], Values]] = {
    "mean": lambda windows: np.asarray(windows.mean(axis=1)),
    "first": lambda windows: windows[:, 0],
    "middle": lambda windows: windows[:, windows.shape[1] // 2],
    "last": lambda windows: windows[:, -1],
    "min": lambda windows: np.asarray(windows.min(axis=1)),
    "max": lambda windows: np.asarray(windows.max(axis=1)),
}


@dataclass(frozen=True, eq=False)
class Series:
    """What belongs to each record: things found in the file, one for all records or one for each.

    Attributes
    ----------
    found
        One that holds a value a record, or one for each record, None where it has none.
    moments
        For values that run along the record: how to read them, in the order of the records.
    """

    found: tuple[Found | None, ...]
    moments: tuple[Oriented | None, ...] = ()

    @property
    def first(self) -> Found:
        """The first that is there."""
        return next(one for one in self.found if one is not None)


def series_of(places: Places, path: str, inputs: Inputs, *, key: str) -> Series:
    """Return what stands at `path` for the records.

    Raises
    ------
    DataError
        Nothing stands there for any record, or it is neither one value a record nor one for each moment of it.
    """
    series = optional_series_of(places, path, inputs, key=key)
    if series is None:
        raise places.nothing(places.whole(path), key=key)
    return series


def optional_series_of(places: Places, path: str, inputs: Inputs, *, key: str) -> Series | None:
    """Return what stands at `path` for the records, None where nothing does."""
    found = _found(places, places.whole(path), inputs, key)
    if not any(one is not None for one in found):
        return None
    lengths = inputs.parts[0].recorded.lengths()
    if len(found) == 1 and inputs.parts[0].recorded.stacked:
        return _of_stacked(places, found[0], inputs, key)
    if len(found) == 1 and inputs.records > 1:
        if _size(found[0]) != inputs.records:
            raise _misfit(places, found[0], inputs, key)
        return Series(found)
    moments: list[Oriented | None] = []
    for one, length in zip(found, lengths.tolist(), strict=True):
        if one is None or _is_text(one) or (_size(one) == 1 and length != 1):
            moments.append(None)
        elif isinstance(one, Array) and _size(one) == length:
            axis = int(np.argmax(one.shape)) if one.shape else None
            moments.append(Oriented(one, places.path, [None, None, axis]))
        else:
            raise _misfit(places, one, inputs, key)
    return Series(found, tuple(moments) if any(moments) else ())


def numbers_along(
    places: Places, place: ValuePlace, series: Series, windows: Windows, *, key: str, needed: bool
) -> tuple[Float64[np.ndarray, " sample"], Conversion]:
    """Return one number a sample, NaN where there is none, and what was done to it.

    Raises
    ------
    DataError
        No numbers, no unit where it is `needed`, or one that does not fit.
    """
    for one in series.found:
        if isinstance(one, Array) and one.dtype.kind not in "fiub":
            got = f"values of {one.dtype}"
            raise places.refused(one.text, key, what="the values", allowed="numbers", got=got)
    conversions = {
        number: conversion_of(places, place, one, key=key, needed=needed)
        for number, one in enumerate(series.found) if one is not None
    }  # fmt: skip
    first = next(iter(conversions.values()))
    for other in conversions.values():
        if other.unit != first.unit:
            allowed = f"the same for all records: {first.unit}"
            step = 'Say the unit wanted: { path = "...", unit = "..." }'
            raise places.refused(
                places.whole(place.path), key, what="the unit", allowed=allowed, got=other.unit, step=step
            )
    if series.moments:
        taken = np.full(windows.count, np.nan)
        for number, rows, cut in _windows_of(series, windows):
            values = conversions[number if number in conversions else 0].apply(cut)
            taken[rows] = _TAKE[place.take](values)
        return taken, first
    each = [
        np.full(1, np.nan) if one is None else conversions[number].apply(plain_numbers(places, one, key).ravel())
        for number, one in enumerate(series.found)
    ]  # fmt: skip
    return np.concatenate(each)[windows.places(np.arange(windows.count))[0]], first


def texts_along(
    places: Places, series: Series, windows: Windows, *, key: str
) -> tuple[NDArray[np.str_], Bool[np.ndarray, " sample"]]:
    """Return one text a sample, and whether it holds for all of a window."""
    if not series.moments:
        texts = [texts_of(places, one, key=key) if one is not None else [""] for one in series.found]
        names = np.array([text for several in texts for text in several])
        records = windows.places(np.arange(windows.count))[0]
        return names[records], np.ones(windows.count, dtype=np.bool_)
    names = np.full(windows.count, "", dtype=object)
    constant = np.zeros(windows.count, dtype=np.bool_)
    for _, rows, cut in _windows_of(series, windows):
        constant[rows] = (cut == cut[:, :1]).all(axis=1)
        names[rows] = [
            one.decode(errors="replace") if isinstance(one, bytes) else str(one) for one in cut[:, 0].tolist()
        ]
    return names.astype(np.str_), constant


def _windows_of(series: Series, windows: Windows) -> Iterator[tuple[int, Values, Values]]:
    """Yield record, samples and their windows of values, shape (sample, cell), some at a time."""
    if windows.measured is not None:
        yield from _measured_records(series, windows)
        return
    at_once = max(1, _CELLS // windows.length)
    for begin in range(0, windows.count, _ROWS):
        rows = np.arange(begin, min(begin + _ROWS, windows.count))
        for slab in windows.slabs(rows, most_cells=_CELLS, whole_records=False):
            moments = series.moments[slab.first if len(series.moments) > 1 else 0]
            if moments is None:
                continue
            record = slice(slab.first, slab.end) if len(series.moments) == 1 else slice(0, 1)
            cells = moments.read(record, along=2, cells=slice(slab.start, slab.stop))[0, 0]
            every = np.lib.stride_tricks.sliding_window_view(cells, windows.length)
            for part in range(0, slab.positions.size, at_once):
                chosen = slice(part, part + at_once)
                yield slab.first, rows[slab.positions[chosen]], every[slab.begins[chosen]]


def _measured_records(series: Series, windows: Windows) -> Iterator[tuple[int, Values, Values]]:
    """Yield record, sample and the values of whole records, as far as they were measured."""
    rows = np.arange(windows.count)
    for row, record, size in zip(rows, windows.places(rows)[0].tolist(), windows.sizes(rows).tolist(), strict=True):
        moments = series.moments[record if len(series.moments) > 1 else 0]
        if moments is not None:
            place = slice(record, record + 1) if len(series.moments) == 1 else slice(0, 1)
            cells = moments.read(place, along=2, cells=slice(0, size))[0, 0]
            yield record, rows[row : row + 1], cells[None]


def _found(places: Places, pattern: str, inputs: Inputs, key: str) -> tuple[Found | None, ...]:
    """Return one thing, or one for each record: stars stand for the same names as in the inputs' path."""
    if "*" in pattern:
        stars = pattern.count("*")
        if not inputs.keys or stars > len(inputs.keys[0]):
            allowed = f"with at most {len(inputs.keys[0]) if inputs.keys else 0} stars, as the inputs' path"
            raise places.refused(pattern, key, what="the path", allowed=allowed, got=f"{stars}")
        return tuple(places.optional(_filled(pattern, words[:stars]), key=key) for words in inputs.keys)
    found = places.optional(pattern, key=key)
    if isinstance(found, Array) and h5py.check_ref_dtype(found.dtype) is not None and inputs.keys:
        return tuple(places.referenced(one, pattern, key=key) for one in found.read().T.ravel())
    return (found,)


def _filled(pattern: str, words: Sequence[str]) -> str:
    for word in words:
        pattern = pattern.replace("*", word, 1)
    return pattern


def _of_stacked(places: Places, found: Found | None, inputs: Inputs, key: str) -> Series:
    """Return values of records that lie in one array: one a record, or one for each of its cells along time."""
    count, length = inputs.records, int(inputs.parts[0].recorded.lengths()[0])
    if _size(found) == count or _is_text(found):
        return Series((found,))
    if isinstance(found, Array) and _size(found) == count * length:
        axes = [axis for axis, size in enumerate(found.shape) if size > 1]
        sizes = [found.shape[axis] for axis in axes]
        if sizes in ([count, length], [length, count]) and count != length:
            record, time = axes if sizes == [count, length] else axes[::-1]
            return Series((found,), (Oriented(found, places.path, [record, None, time]),))
    raise _misfit(places, found, inputs, key)


def _size(found: Found | None) -> int:
    if isinstance(found, Array):
        return int(np.prod(found.shape, dtype=np.int64))
    if isinstance(found, Attribute):
        return int(np.prod(found.holder.attrs.get_id(found.name).shape or (), dtype=np.int64))
    return 1


def _is_text(found: Found | None) -> bool:
    """Whether it is text that MATLAB stores letter by letter."""
    return isinstance(found, Array) and found.dataset.attrs.get("MATLAB_class", b"") == b"char"


def _misfit(places: Places, found: Found | None, inputs: Inputs, key: str) -> Exception:
    shape = found.shape if isinstance(found, Array) else (_size(found),)
    text = found.text if isinstance(found, (Array, Attribute)) else ""
    length = int(inputs.parts[0].recorded.lengths()[0])
    allowed = (
        f"one for each of {inputs.records:,} records, or for each of their {length:,} cells along the windows' axis"
    )
    step = _other_layout(inputs, int(np.prod(shape))) or 'The columns of an array are named so: "/path:0"'
    return places.refused(text, key, what="the values", allowed=allowed, got=f"shape {shape}", step=step)


def _other_layout(inputs: Inputs, count: int) -> str:
    """Return the layout that would fit, where another axis of the inputs has as many cells as there are values."""
    shape, words = inputs.array.shape, list(inputs.layout)
    if count not in shape or "sample" not in words or len(shape) != len(words):
        return ""
    here, there = words.index("sample"), shape.index(count)
    words[here], words[there] = words[there], words[here]
    return f'Is it layout = "{" ".join(words)}"?'
