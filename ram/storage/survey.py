"""Everything worth knowing about an HDF5 file of unknown origin, as plain facts, without following a link out of it.

Large arrays are not read. What is read are attributes and arrays that are small as declared *and* as stored; so a
claim of a size costs nothing. The HDF5 library itself can crash or hang on damaged metadata (heaps of texts carry no
checksum): `ram.storage.guarded` runs this in a process of its own, with limits.
"""

from __future__ import annotations

__all__ = ["survey"]

import contextlib
import itertools
import math
import re
import signal
import time
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5i, h5l, h5o, h5s
from numpy.typing import NDArray

from ram.storage.kinds import (
    FLETCHER32,
    GZIP,
    fields_of,
    filters_of,
    number_kind,
    printable,
    readable_filters,
    type_words,
)

Facts = dict[str, Any]

_MOST_OBJECTS = 10_000  # looked at in all
_MOST_NAMES = 1_000  # looked at in one group
_ORDERED = 200_000  # a group of more names is taken as it lies: sorting would hold all of them in memory
_DEEPEST = 64
_SECONDS = 1.0
PATIENCE = 0.2  # CPU seconds for one attribute or one small array, which take a thousandth of that
_MOST_ATTRIBUTES = 200
_MOST_VALUES = 64
_LONGEST_TEXT = 300
_MOST_ARRAYS = 500  # whose values are looked at
_SMALL = 2**20  # bytes of an array whose values are looked at
_MOST_READ = 2**25  # bytes looked at in all
_UNEVEN = 0.05  # a clock's readings part by the same step up to this share of it
_HIDDEN = {"DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME", "_Netcdf4Dimid", "_Netcdf4Coordinates", "_nc3_strict"}
_PICKLE = re.compile(rb"\x80[\x02-\x05]|c[\w.]+\n[\w.]+\n|\((lp|dp|i)\d*\n")


@dataclass
class _Look:
    """How much has been looked at, and what is known already."""

    begin: float = field(default_factory=time.process_time)
    seen: dict[object, str] = field(default_factory=dict)
    objects: int = 0
    arrays: int = 0
    bytes_read: int = 0
    stopped: str = ""

    def may_go_on(self) -> bool:
        if self.objects >= _MOST_OBJECTS:
            self.stopped = f"{_MOST_OBJECTS:,} objects"
        elif time.process_time() - self.begin > _SECONDS:
            self.stopped = f"{_SECONDS:g} s"
        return not self.stopped


class Impatience:
    """Whether a read that does not end ends this process: for a helper process that was started to be lost."""

    wanted = False


@contextlib.contextmanager
def _impatiently() -> Iterator[None]:
    """Let the system end this process where the library goes round for ever in something small."""
    if not (Impatience.wanted and hasattr(signal, "setitimer")):
        yield
        return
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)


def survey(path: str) -> Facts:
    """Return what is in an HDF5 file: ``bytes``, ``attributes`` of the root, ``tree`` and where looking stopped.

    Every node of the tree has ``path`` and ``kind``: ``"group"``, ``"dataset"``, ``"type"``, ``"again"`` (a hard link
    to something seen under ``leads_to``), ``"soft link"``, ``"external link"``, ``"virtual dataset"``, ``"external
    storage"``, ``"unknown link"`` or ``"damaged"``. Parents stand before what is in them.

    Raises
    ------
    OSError, RuntimeError, ValueError, KeyError
        Whatever the library raises where not even the root can be read.
    """
    with h5py.File(path, "r", locking=False) as file:
        look = _Look()
        root = file["/"].id
        look.seen[_root_address(root)] = "/"
        facts: Facts = {"bytes": Path(path).stat().st_size, "userblock": file.userblock_size}
        facts |= _attributes_of(root) | _members(root)
        nodes = sorted(_walk(root, look), key=lambda node: natural(node["path"]))
        return facts | {"objects": look.objects, "stopped": look.stopped, "tree": nodes}


def natural(path: str) -> list[list[tuple[int, str]]]:
    """Return a key that sorts paths depth first and numbers in names by their value.

    >>> sorted(["/b", "/a10", "/a2/x", "/a2"], key=natural)
    ['/a2', '/a2/x', '/a10', '/b']
    """
    return [
        [(int(part), "") if part.isdigit() and part.isascii() else (-1, part) for part in re.split(r"(\d+)", name)]
        for name in path.split("/")
    ]


def _walk(root: h5g.GroupID, look: _Look) -> Iterator[Facts]:
    """Yield what is in the file, level by level, so that one huge group does not hide the others."""
    waiting = deque([(root, b"")])
    while waiting:
        group, parent = waiting.popleft()
        try:
            links = list(_links(group))
        except Exception as error:
            yield {"path": _readable(parent) or "/", "kind": "damaged", "trouble": _said(error)}
            continue
        for name, link in links:
            if not look.may_go_on():
                return
            look.objects += 1
            raw = parent + b"/" + name
            facts, inner = _node(group, name, link, raw, look)
            yield facts
            if inner is not None and raw.count(b"/") < _DEEPEST:
                waiting.append((inner, raw))
            elif inner is not None:
                facts["left_out"] = f"deeper than {_DEEPEST} groups"


def _links(group: h5g.GroupID) -> Iterator[tuple[bytes, h5l.LinkInfo]]:
    """Return the first names of a group in the order of the alphabet where that costs no more than a look."""
    found: list[tuple[bytes, h5l.LinkInfo]] = []

    def take(name: bytes, info: h5l.LinkInfo) -> bool | None:
        # h5py hands out the same info again and again, so what is needed is taken out of it.
        found.append((name, group.links.get_info(name) if info.type == h5l.TYPE_HARD else info))
        return True if len(found) >= _MOST_NAMES else None

    few = group.get_num_objs() <= _ORDERED
    group.links.iterate(take, info=True, order=h5py.h5.ITER_INC if few else h5py.h5.ITER_NATIVE)
    return iter(found)


def _node(
    group: h5g.GroupID, name: bytes, link: h5l.LinkInfo, raw: bytes, look: _Look
) -> tuple[Facts, h5g.GroupID | None]:
    """Return the facts of one name, and the group to look into where it is one."""
    facts: Facts = {"path": _readable(raw)}
    try:
        kind = group.links.get_info(name).type
        if kind != h5l.TYPE_HARD:
            return facts | _link_facts(group, name, kind), None
        address = link.u
        if address in look.seen:
            return facts | {"kind": "again", "leads_to": look.seen[address]}, None
        look.seen[address] = facts["path"]
        thing = h5o.open(group, name)
        return facts | _object_facts(thing, look), thing if isinstance(thing, h5g.GroupID) else None
    except Exception as error:
        return facts | {"kind": "damaged", "trouble": _said(error)}, None


def _link_facts(group: h5g.GroupID, name: bytes, kind: int) -> Facts:
    if kind == h5l.TYPE_SOFT:
        return {"kind": "soft link", "leads_to": _readable(group.links.get_val(name))}
    if kind == h5l.TYPE_EXTERNAL:
        return {"kind": "external link", "leads_to": ":".join(map(_readable, group.links.get_val(name)))}
    return {"kind": "unknown link"}


def _object_facts(thing: h5i.ObjectID, look: _Look) -> Facts:
    if isinstance(thing, h5g.GroupID):
        return {"kind": "group"} | _members(thing) | _attributes_of(thing)
    if isinstance(thing, h5d.DatasetID):
        return _array_facts(thing, look) | _attributes_of(thing)
    return {"kind": "type", "dtype": type_words(thing)}


def _members(group: h5g.GroupID) -> Facts:
    count = int(group.get_num_objs())
    return {"members": count} | ({"left_out": f"{count - _MOST_NAMES:,} names"} if count > _MOST_NAMES else {})


def _array_facts(array: h5d.DatasetID, look: _Look) -> Facts:
    plan, space, kind = array.get_create_plist(), array.get_space(), array.get_type()
    layout = plan.get_layout()
    facts: Facts = {"kind": "dataset", "shape": _shape(space), "dtype": type_words(kind), "number": number_kind(kind)}
    facts["itemsize"] = kind.get_size()
    if fields := fields_of(kind):
        facts["fields"] = fields
    if layout == h5d.VIRTUAL:
        return facts | {"kind": "virtual dataset", "leads_to": _virtual_sources(plan)}
    if plan.get_external_count():
        return facts | {"kind": "external storage", "leads_to": _readable(plan.get_external(0)[0])}
    facts["bytes"] = int(array.get_storage_size())
    if _has_no_values(array):
        facts["bare"] = True
    if layout == h5d.CHUNKED:
        facts |= {"chunks": list(plan.get_chunk())}
        facts |= {"filters": filters_of(array)} if plan.get_nfilters() else {}
    return facts | _dimension_facts(array) | _values(array, facts, look)


def _has_no_values(array: h5d.DatasetID) -> bool:
    """Say whether it stands for a netCDF dimension without coordinates, whose values are never written."""
    if not h5a.exists(array, b"NAME"):
        return False
    kind = h5a.open(array, b"NAME").get_type()
    fixed = number_kind(kind) == "t" and not kind.is_variable_str() and kind.get_size() < _LONGEST_TEXT
    return fixed and "not a netCDF variable" in str(h5py.Dataset(array).attrs["NAME"])


def _shape(space: h5s.SpaceID) -> list[int] | None:
    """Return the shape; None where the space is empty by declaration."""
    return None if space.get_simple_extent_type() == h5s.NULL else list(space.get_simple_extent_dims())


def _virtual_sources(plan: Any) -> str:
    count = plan.get_virtual_count()
    names = [_readable(plan.get_virtual_filename(place)) for place in range(min(count, 3))]
    return ", ".join([*names, *([f"... {count - 3:,} more"] if count > 3 else [])])


def _dimension_facts(array: h5d.DatasetID) -> Facts:
    """Return the names of the dimensions where the file gives them: labels, or scales as netCDF has them."""
    if not any(h5a.exists(array, name) for name in (b"DIMENSION_LIST", b"DIMENSION_LABELS")):
        return {}
    dims = h5py.Dataset(array).dims
    names = [_readable(dim.label or (str(dim[0].name) if len(dim) else "")) for dim in itertools.islice(dims, 32)]
    return {"dims": names}


def _values(array: h5d.DatasetID, facts: Facts, look: _Look) -> Facts:
    """Return what the values of a small array are like; an empty answer where they were not looked at."""
    shape, number = facts["shape"], facts["number"]
    if shape is None or math.prod(shape) > max(shape, default=1) or not number or not _is_small(array, facts):
        return {}
    size = math.prod(shape) * facts["itemsize"]
    many = number == "t" and math.prod(shape) > _MOST_VALUES
    if many or look.arrays >= _MOST_ARRAYS or look.bytes_read + size > _MOST_READ:
        return {}
    look.arrays, look.bytes_read = look.arrays + 1, look.bytes_read + size
    try:
        with _impatiently():
            values = np.asarray(h5py.Dataset(array)[()]).reshape(-1)
        values = values.astype(np.float64) if values.dtype == np.longdouble else values
    except Exception as error:
        return {"trouble": _said(error)}
    if number == "t":
        return {"values": [_short(value) for value in values.tolist()]}
    if values.size == 1:
        return {"values": [_plain(values[0].item())]}
    return _row_facts(values) if values.size else {}


def _is_small(array: h5d.DatasetID, facts: Facts) -> bool:
    """Say whether reading costs little: by the shape, by the chunks and by what is stored of them."""
    claimed = math.prod(facts["shape"]) * facts["itemsize"]
    chunk = math.prod(facts.get("chunks", [0])) * facts["itemsize"]
    small = 0 < facts["bytes"] <= 2 * _SMALL and max(claimed, chunk) <= _SMALL
    return small and readable_filters(array) and ("filters" not in facts or _unpacks(array, chunk))


def _unpacks(array: h5d.DatasetID, chunk: int) -> bool:
    """Say whether no chunk unpacks to more than it claims; the library would unpack all of it first.

    What the library's other filters make of their input is a few times its size, and is not looked at.
    """
    if GZIP not in (code for code, *_ in _pipeline(array)):
        return True
    for place in range(array.get_num_chunks()):
        info = array.get_chunk_info(place)
        if info.size > chunk + _SMALL // 16:
            return False
        mask, content = array.read_direct_chunk(info.chunk_offset)
        packed = _pipeline(array)[-1][0] in (GZIP, FLETCHER32) and not mask
        unpacker = zlib.decompressobj()
        with contextlib.suppress(zlib.error):  # damaged: the library says so itself
            if packed and len(unpacker.decompress(content, chunk + 1)) > chunk:
                return False
    return True


def _pipeline(array: h5d.DatasetID) -> list[Any]:
    plan = array.get_create_plist()
    return [plan.get_filter(place) for place in range(plan.get_nfilters())]


def _row_facts(values: NDArray[Any]) -> Facts:
    """Return first, last, smallest and largest; ``rises`` where each is above the one before, ``step`` where even."""
    known = values[np.isfinite(values)]
    facts: Facts = {"missing": int(values.size - known.size)}
    if known.size == 0:
        return facts
    facts |= {"first": _plain(values[0].item()), "last": _plain(values[-1].item())}
    facts |= {"min": known.min().item(), "max": known.max().item(), "distinct": int(np.unique(known).size)}
    return facts | (_step_facts(values) if known.size == values.size > 1 else {})


def _step_facts(values: NDArray[Any]) -> Facts:
    # Nanoseconds since 1970 need whole numbers: as float64 they are 256 apart.
    exact: NDArray[Any] = values.astype(np.int64) if values.dtype.kind in "iu" else values.astype(np.float64)
    steps = np.diff(exact)
    if not np.all(steps > 0):
        return {}
    step = float(steps.mean())
    rounding = 8 * np.finfo(values.dtype).eps * float(np.abs(values).max()) if values.dtype.kind == "f" else 0.0
    uneven = float(np.abs(steps - step).max())
    if uneven > _UNEVEN * step + rounding or rounding > step:
        return {"rises": True}
    return {"rises": True, "step": step} | ({"jitter": uneven / step} if uneven > 1e-3 * step + rounding else {})


def _attributes_of(thing: h5i.ObjectID) -> Facts:
    """Return the attributes by name, and the trouble where they cannot be read."""
    found: dict[str, Any] = {}
    try:
        count = h5a.get_num_attrs(thing)
        for place in range(min(count, _MOST_ATTRIBUTES)):
            attribute = h5a.open(thing, index=place)
            name = _readable(attribute.name)
            if name not in _HIDDEN:
                found[name] = _attribute(thing, attribute)
    except Exception as error:
        return {"attributes": found, "trouble": _said(error)}
    more = {"more_attributes": count - _MOST_ATTRIBUTES} if count > _MOST_ATTRIBUTES else {}
    return {"attributes": found} | more


def _attribute(thing: h5i.ObjectID, attribute: h5a.AttrID) -> Any:
    """Return a number, a text or a list of them; a text in brackets for what is large, of another kind or damaged."""
    shape, kind = _shape(attribute.get_space()), attribute.get_type()
    size = 0 if shape is None else math.prod(shape)
    if size == 0:
        return ""
    if size > _MOST_VALUES or size * kind.get_size() > _SMALL:
        return f"({size:,} of {type_words(kind)}, {size * kind.get_size():,} bytes)"
    try:
        holder = h5py.Group(thing) if isinstance(thing, h5g.GroupID) else h5py.Dataset(thing)
        with _impatiently():
            value = np.asarray(holder.attrs[attribute.name])
    except Exception as error:
        return f"({type_words(kind)}, unreadable: {_said(error)})"
    if value.dtype.kind not in "biufSUO" or (not number_kind(kind) and value.dtype.kind == "O"):
        return f"({type_words(kind)})"
    values = [_short(one) if isinstance(one, (bytes, str)) else _plain(one) for one in value.reshape(-1).tolist()]
    return values[0] if len(values) == 1 else values


def _short(value: Any) -> str:
    """Return a text on one line and not too long; a pickle is named, never opened."""
    raw = value if isinstance(value, bytes) else str(value).encode(errors="replace")
    if _PICKLE.match(raw):
        return f"(a pickled Python object, {len(raw):,} bytes, not opened)"
    text = printable(" ".join(raw[: 4 * _LONGEST_TEXT].decode(errors="replace").replace("\0", "").split()))
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"


def _plain(value: Any) -> float | int | bool | str:
    """Return a number that JSON can hold; one that is not finite as text."""
    if isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return _short(value)


def _root_address(root: h5g.GroupID) -> object:
    return h5o.get_info(root).addr


def _readable(text: bytes | str) -> str:
    return printable(text.decode(errors="replace") if isinstance(text, bytes) else text)


def _said(error: Exception) -> str:
    return printable(" ".join(str(error).split())[:200]) or type(error).__name__
