"""From a mapping to the inputs in the file: which arrays they are, and what their axes mean."""

from __future__ import annotations

__all__ = ["find_inputs"]

from collections.abc import Sequence

import h5py
import numpy as np

from ram.data.mapped.arrays import Array, keeping
from ram.data.mapped.inputs import Inputs, Part
from ram.data.mapped.places import Places
from ram.data.mapped.recorded import Oriented, Recorded
from ram.data.mapped.settings import ChannelPlace, DataMapping
from ram.data.mapped.values import Conversion, conversion_of, texts_of
from ram.storage import hdf5

_USUAL = {
    1: ("time",),
    2: ("sample", "time"),
    3: ("sample", "channel", "time"),
    4: ("sample", "channel", "y", "x"),
    5: ("sample", "channel", "z", "y", "x"),
}
_USUAL_OF_ONE_CHANNEL = {1: ("time",), 2: ("sample", "time"), 3: ("sample", "y", "x"), 4: ("sample", "z", "y", "x")}
_USUAL_OF_ONE_RECORD = {1: ("time",), 2: ("channel", "time"), 3: ("channel", "y", "x"), 4: ("channel", "z", "y", "x")}
_LENGTHS_DIFFER = (
    'Say what becomes of records of different length: lengths = "pad" (zeros to the longest, each length kept), '
    '"crop" (all to the shortest) or a length such as "0.5 s"; or cut windows: window = "0.5 s"'
)
_USUAL_OF_ONE_OF_BOTH = {1: ("time",), 2: ("y", "x"), 3: ("z", "y", "x")}


def find_inputs(places: Places, mapping: DataMapping) -> Inputs:
    """Return the inputs that a mapping names.

    Raises
    ------
    DataError
        A path that leads nowhere, no numbers, a layout that does not fit, records that do not fit each other.
    """
    found = {name: _arrays(places, place, _key(name)) for name, place in mapping.inputs.items()}
    _check_same_records(places, found)
    name = next(iter(found))
    arrays, keys = found[name]
    layout = _layout(places, mapping, arrays[0], stacked=not keys, named=bool(name))
    stacked = "sample" in layout
    if stacked and keys:
        got = f"{' '.join(layout)!r} for each of {len(arrays)} arrays"
        allowed = "without 'sample' where every array is one"
        raise places.refused(arrays[0].text, "layout", what="the layout", allowed=allowed, got=got)
    space = tuple(word for word in layout if word not in ("sample", "channel"))
    along = space.index(mapping.along) if mapping.along in space else len(space) - 1
    if (mapping.window or mapping.stretch) and mapping.along not in space:
        raise places.refused(
            arrays[0].text, "along", what="the axis of the windows", allowed=f"one of {', '.join(space)}",
            got=repr(mapping.along), step='Say it: along = "..."',
        )  # fmt: skip
    records = {
        name: Recorded(tuple(_oriented(places, one, layout, space, _key(name)) for one in several), along + 2, stacked)
        for name, (several, _) in found.items()
    }
    differ = mapping.window is not None or mapping.lengths is not None
    _check_alike(places, list(records.values()), along + 2, windowed=differ)
    channels = _channel_names(places, mapping, records[name].channels)
    parts = [_part(places, mapping, name, records[name], [name] if name else channels) for name in found]
    units = [unit for _, units in parts for unit in units]
    return Inputs(tuple(part for part, _ in parts), dict(zip(channels, units, strict=True)), layout, space, tuple(keys))


def _key(name: str) -> str:
    return f"inputs.{name}" if name else "inputs"


def _arrays(places: Places, place: ChannelPlace, key: str) -> tuple[list[Array], list[tuple[str, ...]]]:
    """Return one array, or one for each record with what the stars stand for (MATLAB's cells: their number)."""
    pattern = places.whole(place.path)
    matches = places.matches(pattern, key=key)
    arrays = [_numbers(places, text, key) for _, text in matches]
    keys = [words for words, _ in matches] if "*" in pattern else []
    if not keys and h5py.check_ref_dtype(arrays[0].dtype) is not None:
        with hdf5.reading(places.path, pattern):
            references = arrays[0].read().T.ravel()
        arrays = [places.referenced(one, pattern, key=key) for one in references]
        keys = [(str(number),) for number in range(len(arrays))]
    for array in arrays:
        if array.dtype.kind not in "fiub":
            step = "Map real numbers: amplitude and phase, or real and imaginary part, as channels of their own"
            got = f"values of {array.dtype}"
            raise places.refused(array.text, key, what="the inputs", allowed="real numbers", got=got, step=step)
    del array
    return keeping(arrays, places.kept_bytes), keys


def _numbers(places: Places, text: str, key: str) -> Array:
    found = places.find(text, key=key)
    if not isinstance(found, Array):
        got, step = ("a group", "Name the data set in it") if isinstance(found, h5py.Group) else ("an attribute", "")
        raise places.refused(text, key, what="the inputs", allowed="a data set", got=got, step=step)
    return found


def _layout(places: Places, mapping: DataMapping, array: Array, *, stacked: bool, named: bool) -> tuple[str, ...]:
    """Return what the axes are: as the user says, as the file's dimensions are called, or as is usual."""
    sizes = [size for size in array.shape if size > 1] if len(array.shape) == 2 and 1 in array.shape else array.shape
    words = mapping.layout or _dimension_names(array)
    usual = _usual(array, len(sizes), stacked=stacked, named=named)
    if not words:
        words = usual
        if "sample" in words and list(sizes).count(sizes[words.index("sample")]) > 1:
            step = 'Say which axis is which: layout = "sample time", or the other way round'
            got = f"an array of shape {array.shape}, whose axes have the same size"
            raise places.refused(array.text, "layout", what="the layout", allowed="given", got=got, step=step)
    ones = list(array.shape).count(1)
    fits = len(array.shape) - ones <= len(words) <= len(array.shape) and len(set(words)) == len(words)
    if not words or not fits or not set(words) - {"sample", "channel"} or (named and "channel" in words):
        step = f'Such as layout = "{" ".join(usual)}"' if usual else ""
        allowed = (
            f"one word for each axis of shape {array.shape}: sample, {'' if named else 'channel, '}names of others"
        )
        got = repr(" ".join(words))
        raise places.refused(array.text, "layout", what="the layout", allowed=allowed, got=got, step=step)
    return tuple(words)


def _usual(array: Array, ndim: int, *, stacked: bool, named: bool) -> tuple[str, ...]:
    if stacked:
        words = (_USUAL_OF_ONE_CHANNEL if named else _USUAL).get(max(ndim, 1), ())
    else:
        words = (_USUAL_OF_ONE_OF_BOTH if named else _USUAL_OF_ONE_RECORD).get(max(ndim, 1), ())
    # MATLAB and Julia store the axes in the opposite order: what they show as sample x time lies as time x sample.
    return words[::-1] if "MATLAB_class" in array.dataset.attrs else words


def _dimension_names(array: Array) -> tuple[str, ...]:
    """Return the names of the dimension scales, as netCDF has them; empty where an axis has none."""
    if array.field or array.pick is not None or "DIMENSION_LIST" not in array.dataset.attrs:
        return ()
    scales = [list(dim.values()) for dim in array.dataset.dims]
    names = [str(one[0].name).rpartition("/")[2] if one else "" for one in scales]
    return tuple(names) if all(names) else ()


def _oriented(places: Places, array: Array, layout: Sequence[str], space: Sequence[str], key: str) -> Oriented:
    axes = _axes_without_ones(array.shape, len(layout))
    if axes is None:
        allowed = f"of {len(layout)} axes: {' '.join(layout)}"
        got = f"shape {array.shape}"
        raise places.refused(array.text, key, what="the array", allowed=allowed, got=got, step="See `layout`")
    where = dict(zip(layout, axes, strict=True))
    return Oriented(array, places.path, [where.get("sample"), where.get("channel"), *(where[word] for word in space)])


def _axes_without_ones(shape: Sequence[int], count: int) -> list[int] | None:
    """Return which axes carry the words of a layout: all, or all but leading ones of a single cell."""
    axes = list(range(len(shape)))
    for axis in range(len(shape)):
        if len(axes) > count and shape[axis] == 1:
            axes.remove(axis)
    return axes if len(axes) == count else None


def _check_alike(places: Places, all_parts: Sequence[Recorded], along: int, *, windowed: bool) -> None:
    """Hold every record to the shape of the first; lengths may differ where windows are cut."""
    lead = all_parts[0].arrays
    for part in all_parts:
        for one, guide in zip(part.arrays, lead, strict=True):
            wanted = [lead[0].shape[0], part.channels, *lead[0].shape[2:]]
            wanted[along] = guide.shape[along] if windowed else wanted[along]
            if list(one.shape) != wanted:
                step = _LENGTHS_DIFFER if one.shape[along] != wanted[along] and not windowed else ""
                other = guide if windowed else lead[0]
                allowed, got = f"of shape {other.array.shape} as {other.array.text}", f"shape {one.array.shape}"
                raise places.refused(one.array.text, "inputs", what="a record", allowed=allowed, got=got, step=step)


def _check_same_records(places: Places, found: dict[str, tuple[list[Array], list[tuple[str, ...]]]]) -> None:
    """Refuse channels that are there for some records only, or lie together for some and apart for others."""
    (arrays, keys), *others = found.values()
    for other_arrays, other_keys in others:
        lacking = set(keys) ^ set(other_keys)
        if lacking or len(arrays) != len(other_arrays):
            allowed = f"there for the same records as {arrays[0].text}"
            name = "-".join(min(lacking)) if lacking else f"{len(other_arrays)} of them"
            raise places.refused(
                other_arrays[0].text, "inputs", what="a channel", allowed=allowed, got=f"another for {name}"
            )


def _channel_names(places: Places, mapping: DataMapping, count: int) -> list[str]:
    """Return the names of all channels, which the units in `channels` belong to."""
    names = list(mapping.inputs)
    if names != [""]:
        return names
    place = mapping.inputs[""]
    if isinstance(mapping.channels, str):
        text = places.whole(mapping.channels)
        names = texts_of(places, places.find(text, key="channels"), key="channels")
    else:
        names = list(mapping.channels) or _numbered(place.path, count)
        text = place.path
    if len(names) != count or len(set(names)) != count or not all(names):
        got = f"{len(names)}: {', '.join(names[:8])}"
        step = "Say which axis is the channel: layout" if "channel" not in mapping.layout else ""
        allowed = f"{count} different ones, one for each channel of the inputs"
        raise places.refused(text, "channels", what="the names", allowed=allowed, got=got, step=step)
    return names


def _numbered(path: str, count: int) -> list[str]:
    last = path.rpartition("/")[2].rpartition(":")[2]
    name = "".join(letter if letter.isalnum() or letter in "_-." else "_" for letter in last).strip("_") or "input"
    return [name] if count == 1 else [f"{name}{number}" for number in range(1, count + 1)]


def _part(
    places: Places, mapping: DataMapping, name: str, recorded: Recorded, channels: Sequence[str]
) -> tuple[Part, list[str]]:
    """Return the channels that lie at one place, and the unit of each."""
    place, key = mapping.inputs[name], _key(name)
    said = mapping.channels if isinstance(mapping.channels, dict) else {}
    arrays = [one.array for one in recorded.arrays]
    each = []
    for channel in channels:
        wanted = place.model_copy(update={"unit": place.unit or said.get(channel) or None})
        conversion = conversion_of(places, wanted, arrays[0], key=key, needed=False)
        _check_same_numbers(places, wanted, arrays, conversion, key)
        each.append(conversion)
    for what in (each[0].scale, each[0].offset):
        if what.ndim and what.size != len(channels):
            allowed = f"one, or {len(channels)}, one for each channel"
            raise places.refused(arrays[0].text, key, what="scale and offset", allowed=allowed, got=what.size)
    scale, offset = (
        np.array(
            [getattr(one, word) if not getattr(one, word).ndim else getattr(one, word)[n] for n, one in enumerate(each)]
        )
        for word in ("scale", "offset")
    )
    conversion = Conversion(each[0].unit, scale, offset, each[0].missing, each[0].said)
    return Part(recorded, conversion, place.path), [one.unit for one in each]


def _check_same_numbers(
    places: Places, place: ChannelPlace, arrays: Sequence[Array], first: Conversion, key: str
) -> None:
    """Refuse records whose numbers mean something else than those of the first record."""
    for array in arrays[1:]:
        other = conversion_of(places, place, array, key=key, needed=False)
        if other.unit != first.unit or not (
            np.array_equal(other.scale, first.scale) and np.array_equal(other.offset, first.offset)
        ):
            got, step = f"{other.unit} times {other.scale}", "Say unit and scale in the mapping where the file is wrong"
            allowed = f"the same for all records: {first.unit} times {first.scale}"
            raise places.refused(array.text, key, what="unit and scale", allowed=allowed, got=got, step=step)
