"""Small values: a number with its unit, the texts of names, and how stored numbers become values in a unit."""

from __future__ import annotations

__all__ = ["Conversion", "conversion_of", "number_of", "plain_numbers", "relative_unit", "texts_of", "unit_of"]

import re
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike, NDArray

from ram.data.mapped.arrays import Array
from ram.data.mapped.places import Attribute, Found, Places
from ram.data.mapped.settings import ChannelPlace, Quantity, ValuePlace
from ram.data.units import checked_unit, compatible, convert
from ram.errors import DataError
from ram.storage import hdf5

_UNIT_WORDS = ("units", "unit", "uom")
_SINCE = re.compile(r"(\w+) since .*")
_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*")
_RATES = {"s/s", "sa/s", "sps", "samples/s", "sample/s", "samples/sec", "samples per second"}
_LONGEST_TEXT = 1_000
_TEXTS_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Conversion:
    """From stored numbers to values: ``scale * number + offset``, NaN for the numbers that mean nothing.

    ``unit`` is the values' unit, ``said`` what a reader of the data should know of it.
    """

    unit: str
    scale: Float64[np.ndarray, "*channel"]
    offset: Float64[np.ndarray, "*channel"]
    missing: tuple[float, ...] = ()
    said: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether values are the stored numbers."""
        return bool(np.all(self.scale == 1.0) and np.all(self.offset == 0.0)) and not self.missing

    def apply(self, numbers: NDArray[Any], *, ndim: int = 0) -> NDArray[np.float64]:
        """Return values in float64; `ndim` axes come behind the one that scale and offset belong to."""
        values = numbers.astype(np.float64)
        absent = np.isin(numbers, np.array(self.missing, dtype=np.float64)) if self.missing else None
        values *= self.scale.reshape(*self.scale.shape, *[1] * ndim) if self.scale.ndim else self.scale
        values += self.offset.reshape(*self.offset.shape, *[1] * ndim) if self.offset.ndim else self.offset
        if absent is not None:
            values[absent] = np.nan
        return values


def conversion_of(places: Places, place: ChannelPlace, found: Found, *, key: str, needed: bool) -> Conversion:
    """Return what makes values of the numbers at `place`, in the unit that is wanted or in the file's own.

    Raises
    ------
    DataError
        No unit where one is `needed`, one that is none, or one that does not fit the wanted one.
    """
    scale, offset, missing = _stored_scaling(found)
    own = unit_of(found)
    if place.scale is not None or place.offset is not None:
        scale = _numbers_at(places, place.scale, f"{key}.scale", default=1.0)
        offset = _numbers_at(places, place.offset, f"{key}.offset", default=0.0)
        own = ""  # the wanted unit is that of the scaled values
    text = places.whole(place.path)
    unit = _known_unit(places, place.unit or own, text, key, needed=needed)
    said = ""
    if place.unit and own and own != place.unit:
        factor, shift = _between(places, own, unit, text, key)
        scale, offset = scale * factor, offset * factor + shift
        said = f"{text} converted from {own} to {unit}" if (factor, shift) != (1.0, 0.0) else ""
    missing += place.missing if isinstance(place, ValuePlace) else ()
    return Conversion(unit, scale, offset, missing, said)


def number_of(places: Places, quantity: Quantity, *, key: str, unit: str) -> tuple[float, str]:
    """Return one number and its unit; `unit` is that of a number that says none.

    Where the path has stars, all that match must hold the same number.

    Raises
    ------
    DataError
        No number stands there, several different ones, or one that is not finite.
    """
    if quantity.path is None:
        value = quantity.value if quantity.value is not None else np.nan
        own = _of_samples(quantity.unit, unit)
        return value, checked_unit(own or unit, where=f"{places.path} ({key})")
    pattern = places.whole(quantity.path)
    found = [_one_number(places, text, key) for _, text in places.matches(pattern, key=key)]
    value, own, first = found[0]
    for other, _, text in found:
        if not np.isclose(other, value, rtol=1e-9, atol=0.0):
            allowed = f"the same for all records: {value:g} as in {first}"
            raise places.refused(text, key, what="the number", allowed=allowed, got=f"{other:g}")
    own = _of_samples(quantity.unit or own, unit)
    return value, _known_unit(places, own or unit, pattern, key, needed=False)


def _of_samples(unit: str, expected: str) -> str:
    """Return Hz for the words that recorders have for samples per second; to pint, S/s is siemens per second."""
    return "Hz" if expected == "Hz" and unit.lower() in _RATES else unit


def unit_of(found: Found) -> str:
    """Return the unit that the file gives, under the names that files use for it; empty where there is none."""
    if isinstance(found, Attribute):
        words = [f"{found.name}{join}{word}" for word in _UNIT_WORDS for join in (".", "_", " ", "")]
        holder = found.holder
    else:
        words, holder = list(_UNIT_WORDS), found.dataset if isinstance(found, Array) else found
    names = {name.lower(): name for name in holder.attrs}
    name = next((names[word.lower()] for word in words if word.lower() in names), None)
    return "" if name is None else hdf5.read_text(holder, name).strip()


def texts_of(places: Places, found: Found, *, key: str) -> list[str]:
    """Return names: of texts, of MATLAB's characters and cells, of numbers, of a group (its own).

    Raises
    ------
    DataError
        Other things than names, or names that are too long to be any.
    """
    if isinstance(found, h5py.Group):
        return [str(found.name).rpartition("/")[2]]
    if isinstance(found, Attribute):
        return [_text(value) for value in np.atleast_1d(found.holder.attrs[found.name]).ravel().tolist()]
    if hdf5.read_text(found.dataset, "MATLAB_class") == "char":
        return ["".join(map(chr, line)) for line in np.atleast_2d(found.read().T).tolist()]
    if h5py.check_ref_dtype(found.dtype) is not None:
        cells = [places.referenced(one, found.text, key=key) for one in found.read().T.ravel()]
        return [text for cell in cells for text in texts_of(places, cell, key=key)]
    if found.dtype.kind not in "SOiub" or (found.dtype.kind == "O" and not h5py.check_string_dtype(found.dtype)):
        allowed = "texts or whole numbers"
        raise places.refused(found.text, key, what="names", allowed=allowed, got=str(found.dtype))
    return _texts_in(places, found, key)


def _texts_in(places: Places, array: Array, key: str) -> list[str]:
    """Read some at a time: many names may share one large text in the file."""
    names: list[str] = []
    first = array.shape[0] if array.shape else 1
    step = _TEXTS_AT_ONCE if array.dtype.kind == "O" else max(first, 1)
    for begin in range(0, first, step):
        with hdf5.reading(places.path, array.text):
            values = array.read([slice(begin, begin + step)] if array.shape else ())
        names += [_text(value) for value in values.ravel().tolist()]
        if max(map(len, names[begin:]), default=0) > _LONGEST_TEXT:
            allowed = f"at most {_LONGEST_TEXT:,} letters long"
            raise places.refused(array.text, key, what="a name", allowed=allowed, got="a longer one")
    return names


def _text(value: object) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text.rstrip("\x00")


def _one_number(places: Places, text: str, key: str) -> tuple[float, str, str]:
    found = places.find(text, key=key)
    values, own = _numbers_and_unit(places, found, key)
    if values.size != 1 or not np.isfinite(values).all():
        got = f"{values.size:,} of them" if values.size != 1 else f"{values.item():g}"
        raise places.refused(text, key, what="the number", allowed="one finite number", got=got)
    return float(values.item()), own or unit_of(found), text


def plain_numbers(places: Places, found: Found, key: str) -> NDArray[Any]:
    """Return the numbers that stand there, as they are stored.

    Raises
    ------
    DataError
        Something else than numbers.
    """
    return _numbers_and_unit(places, found, key)[0]


def _numbers_and_unit(places: Places, found: Found, key: str) -> tuple[NDArray[Any], str]:
    """Return numbers, and the unit where it stands in the same text: programs store ``"1000 Hz"`` too."""
    values: ArrayLike = ""
    if isinstance(found, Attribute):
        with hdf5.reading(places.path, found.text):
            values = np.asarray(found.holder.attrs[found.name])
    elif isinstance(found, Array):
        with hdf5.reading(places.path, found.text):
            values = found.read()
    values = np.asarray(values)
    if values.dtype.kind in "fiub":
        return values, ""
    text = _text(values.item()) if values.size == 1 else ""
    spoken = _QUANTITY.fullmatch(text)
    if spoken is None:
        got = repr(text) if text else ("a group" if isinstance(found, h5py.Group) else f"values of {values.dtype}")
        where = str(found.name) if isinstance(found, h5py.Group) else found.text
        raise places.refused(where, key, what="the value", allowed="a number", got=got)
    return np.array(float(spoken[1])), spoken[2]


def _numbers_at(places: Places, quantity: Quantity | None, key: str, *, default: float) -> NDArray[np.float64]:
    """Return one number, or one for each channel."""
    if quantity is None or quantity.path is None:
        return np.array(default if quantity is None else quantity.value, dtype=np.float64)
    pattern = places.whole(quantity.path)
    if "*" in pattern:
        return np.array(number_of(places, quantity, key=key, unit="1")[0])
    values = np.squeeze(plain_numbers(places, places.find(pattern, key=key), key)).astype(np.float64)
    if values.ndim > 1 or not np.isfinite(values).all():
        got = f"an array of shape {values.shape}" if values.ndim > 1 else "NaN or inf"
        allowed = "one finite number, or one for each channel"
        raise places.refused(pattern, key, what="the values", allowed=allowed, got=got)
    return values


def _stored_scaling(found: Found) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[float, ...]]:
    """Return what the conventions of netCDF say: scale_factor, add_offset, and the values that mean missing."""
    if not isinstance(found, Array):
        return np.array(1.0), np.array(0.0), ()
    attrs = found.dataset.attrs
    scale, offset = (_attribute_numbers(attrs, name) for name in ("scale_factor", "add_offset"))
    missing = [value for name in ("_FillValue", "missing_value") for value in _attribute_numbers(attrs, name)]
    known = tuple(float(value) for value in missing if np.isfinite(value))
    return np.array(scale[0] if scale else 1.0), np.array(offset[0] if offset else 0.0), known


def _attribute_numbers(attrs: h5py.AttributeManager, name: str) -> list[float]:
    values = np.atleast_1d(attrs[name]) if name in attrs else np.zeros(0)
    return [float(value) for value in values.ravel().tolist()] if values.dtype.kind in "fiu" else []


def _known_unit(places: Places, unit: str, text: str, key: str, *, needed: bool) -> str:
    if needed and not unit:
        step = 'Say it: { path = "...", unit = "Hz" }, or unit = "1" where there is none'
        raise places.refused(text, key, what="the unit", allowed="said here or stored with it", got="none", step=step)
    try:
        return checked_unit(unit, where=f"{places.path}:{text} ({key})")
    except DataError as error:
        raise DataError(f'{error} Say it in the mapping: unit = "...".') from None


def _between(places: Places, own: str, unit: str, text: str, key: str) -> tuple[float, float]:
    """Return factor and shift from the file's unit to the wanted one; a unit that is none counts as not said."""
    try:
        checked_unit(own, where="")
    except DataError:
        return 1.0, 0.0
    if not compatible(own, unit):
        step = "Mend the unit, or give `scale` where the file's own unit is wrong"
        allowed = f"convertible from the file's {own!r}"
        raise places.refused(text, key, what="the unit", allowed=allowed, got=repr(unit), step=step)
    zero, one = convert(np.array([0.0, 1.0]), unit=own, to=unit)
    return float(one - zero), float(zero)


def relative_unit(unit: str) -> str:
    """Return ``"milliseconds"`` for ``"milliseconds since 2023-01-01"``, empty for any other unit.

    >>> relative_unit("milliseconds since 2023-01-01"), relative_unit("ms")
    ('milliseconds', '')
    """
    found = _SINCE.fullmatch(unit)
    return found[1] if found else ""
