"""What kind of values an HDF5 array holds, and how they are stored, in words."""

from __future__ import annotations

__all__ = [
    "FLETCHER32",
    "GZIP",
    "fields_of",
    "filters_of",
    "number_kind",
    "printable",
    "readable_filters",
    "type_words",
]

from typing import Any

from h5py import h5d, h5t, h5z

GZIP, FLETCHER32 = 1, 3  # filters by their numbers
_MOST_FIELDS = 6
_MOST_COLUMNS = 100
_DEEPEST = 4
_FILTERS = {
    1: "gzip",
    2: "shuffle",
    3: "fletcher32",
    4: "szip",
    5: "nbit",
    6: "scaleoffset",
    307: "bzip2",
    32000: "lzf",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32017: "sz",
    32026: "blosc2",
}
# Filters of the library itself and of h5py: no plugin has to be loaded, no code from elsewhere runs.
_OWN_FILTERS = {1, 2, 3, 4, 5, 6, 32000}


def type_words(kind: h5t.TypeID, *, depth: int = 0) -> str:
    """Return a type in words: ``"int16"``, ``"text"``, ``"compound: t float64, v int32 [3]"``.

    Only what differs from the usual is said: big-endian numbers, bits that are not used.
    """
    if depth > _DEEPEST:
        return "..."
    group = kind.get_class()
    if group in (h5t.INTEGER, h5t.FLOAT):
        return _number_words(kind)
    if group == h5t.STRING:
        return "text" if kind.is_variable_str() else f"text ({kind.get_size()})"
    if group in (h5t.COMPOUND, h5t.ENUM):
        return _compound_words(kind, depth) if group == h5t.COMPOUND else _enum_words(kind)
    if group in (h5t.ARRAY, h5t.VLEN):
        inner = type_words(kind.get_super(), depth=depth + 1)
        return f"{inner} {_sizes(kind.get_array_dims())}" if group == h5t.ARRAY else f"varying number of {inner}"
    return _rare_words(kind, group)


def number_kind(kind: h5t.TypeID) -> str:
    """Return ``"f"``, ``"i"`` or ``"u"`` for plain numbers, ``"t"`` for text and an empty string for all else."""
    group = kind.get_class()
    if group == h5t.FLOAT:
        return "f"
    if group == h5t.INTEGER:
        return "u" if kind.get_sign() == h5t.SGN_NONE else "i"
    return "t" if group == h5t.STRING else ""


def fields_of(kind: h5t.TypeID) -> list[list[str]]:
    """Return name and kind of number (as `number_kind` says it) of the columns of a table; empty where it is none."""
    if kind.get_class() != h5t.COMPOUND:
        return []
    places = range(min(kind.get_nmembers(), _MOST_COLUMNS))
    return [[_readable(kind.get_member_name(place)), number_kind(kind.get_member_type(place))] for place in places]


def filters_of(array: h5d.DatasetID) -> list[str]:
    """Return the filters of an array in the order in which they were applied; one that cannot be read says so."""
    plan = array.get_create_plist()
    found = [plan.get_filter(place) for place in range(plan.get_nfilters())]
    return [_filter_words(code, values, name) for code, _, values, name in found]


def printable(text: str) -> str:
    r"""Return a text from a file as a terminal may get it: what could move the cursor or turn letters is replaced.

    >>> printable("a\x1b[2Jb") == "a\ufffd[2Jb"
    True
    """
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def readable_filters(array: h5d.DatasetID) -> bool:
    """Say whether the values can be read without loading a plugin."""
    plan = array.get_create_plist()
    return all(plan.get_filter(place)[0] in _OWN_FILTERS for place in range(plan.get_nfilters()))


def _filter_words(code: int, values: tuple[int, ...], name: bytes) -> str:
    said = bytes(name).split(b"\0")[0].decode(errors="replace")[:30]
    said = printable(said)
    words = _FILTERS.get(code) or f"filter {code}{f' ({said})' if said else ''}"
    if code == h5z.FILTER_DEFLATE and values:
        words = f"gzip {values[0]}"
    return words if code in _FILTERS or h5z.filter_avail(code) else f"{words}, unknown here"


def _number_words(kind: h5t.TypeID) -> str:
    size, group = kind.get_size(), kind.get_class()
    word = "float" if group == h5t.FLOAT else "uint" if kind.get_sign() == h5t.SGN_NONE else "int"
    order = " big-endian" if size > 1 and kind.get_order() == h5t.ORDER_BE else ""
    bits = "" if kind.get_precision() == 8 * size else f" ({kind.get_precision()} bits used)"
    return f"{word}{8 * size}{order}{bits}"


def _compound_words(kind: h5t.TypeID, depth: int) -> str:
    count = kind.get_nmembers()
    names = [_readable(kind.get_member_name(place)) for place in range(min(count, _MOST_FIELDS))]
    types = [kind.get_member_type(place) for place in range(len(names))]
    if names == ["r", "i"] and all(part.get_class() == h5t.FLOAT for part in types):
        return f"complex{8 * kind.get_size()}"
    fields = [f"{name} {type_words(part, depth=depth + 1)}" for name, part in zip(names, types, strict=True)]
    more = [f"... {count - len(names)} more"] if count > len(names) else []
    text = f"compound: {', '.join([*fields, *more])}"
    return f"({text})" if depth else text


def _enum_words(kind: h5t.TypeID) -> str:
    count = kind.get_nmembers()
    names = [_readable(kind.get_member_name(place)) for place in range(min(count, _MOST_FIELDS))]
    if [name.upper() for name in names] == ["FALSE", "TRUE"]:
        return "bool"
    codes = sorted((kind.get_member_value(place), name) for place, name in enumerate(names))
    more = [f"... {count - len(names)} more"] if count > len(names) else []
    return f"codes: {', '.join([*(f'{code} {name}' for code, name in codes), *more])}"


def _rare_words(kind: h5t.TypeID, group: int) -> str:
    size = kind.get_size()
    if group == h5t.BITFIELD:
        return f"bits ({8 * size})"
    if group == h5t.OPAQUE:
        tag = _readable(kind.get_tag())[:30]
        return f"opaque ({size} bytes{f', {tag}' if tag else ''})"
    if group == h5t.REFERENCE:
        return "reference to a region" if kind.equal(h5t.STD_REF_DSETREG) else "reference"
    if group == h5t.TIME:
        return f"time ({8 * size} bits)"
    return f"complex{8 * size}" if group == getattr(h5t, "COMPLEX", None) else "a type unknown here"


def _sizes(shape: tuple[int, ...]) -> str:
    return f"[{' x '.join(map(str, shape))}]"


def _readable(text: Any) -> str:
    return printable(bytes(text).decode(errors="replace"))
