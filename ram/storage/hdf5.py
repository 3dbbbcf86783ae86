"""HDF5 files that are valid netCDF-4, written the same way every time and opened without trust.

The format is pinned to that of HDF5 1.10: it is the oldest whose metadata carries checksums everywhere, so a
flipped bit in a name, a shape or a unit is found by the library; digests of the values are the writer's task.
"""

from __future__ import annotations

__all__ = [
    "Node",
    "check_inside",
    "check_is_hdf5",
    "create",
    "fixed_text",
    "nodes",
    "open_for_looking",
    "open_safely",
    "read_text",
    "reading",
    "schema_of",
    "unreadable",
]

import contextlib
import difflib
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from ram.errors import DataError, RamError, explained
from ram.storage.atomic import write_all
from ram.storage.kinds import printable
from ram.storage.magic import format_of

if TYPE_CHECKING:
    from h5py import h5i
    from typing_extensions import Buffer

_MOST_OBJECTS = 100_000
_DEEPEST = 64
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_LONGEST_TEXT = 2**20
_CUT_SHORT = re.compile(r"truncated file: eof = (\d+), .*stored_eof = (\d+)")


@dataclass(frozen=True)
class Node:
    """One name in an HDF5 file, found without following any link out of it.

    ``kind`` is ``"group"``, ``"dataset"``, ``"type"``, ``"again"`` (a hard link to something already seen),
    ``"soft link"``, ``"external link"``, ``"virtual dataset"``, ``"external storage"`` or ``"unknown link"``;
    `leads_to` is the text of a link, `raw` the path in the bytes of the file.
    """

    raw: bytes
    kind: str
    leads_to: str = ""

    @property
    def path(self) -> str:
        """The path, readable whatever its encoding is."""
        return _readable(self.raw)

    @property
    def leads_out(self) -> bool:
        """Whether reading it would read another file."""
        return self.kind in {"external link", "virtual dataset", "external storage", "unknown link"}


@contextlib.contextmanager
def create(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Yield a new file for writing: checksummed metadata, no time stamps, values aligned to 64 bytes.

    Raises
    ------
    OSError
        The disk is full or broken.
    """
    with _Disk(path, "w+b", opener=_opened) as disk:
        try:
            with h5py.File(
                disk, "w", libver=("v110", "v110"), track_order=True, alignment_threshold=512, alignment_interval=64
            ) as file:
                yield file
        finally:
            if disk.trouble is not None:
                raise disk.trouble


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags, 0o666)


class _Disk(io.FileIO):
    """A file that keeps its trouble for later: a write that fails inside the HDF5 library can crash the interpreter."""

    trouble: OSError | None = None

    def write(self, content: Buffer) -> int:
        """Write all of `content`; after trouble, nothing."""
        values = memoryview(content).cast("B")
        if self.trouble is None:
            with self._remembering():
                write_all(self.fileno(), values)
        return values.nbytes

    def truncate(self, size: int | None = None) -> int:
        """Set the length; after trouble, leave it."""
        if self.trouble is None:
            with self._remembering():
                return super().truncate(size)
        return 0

    @contextlib.contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.trouble = OSError(error.errno, error.strerror, os.fspath(self.name))


def open_safely(path: str | os.PathLike[str]) -> h5py.File:
    """Return the file opened for reading, after a look that nothing in it leads to another file.

    Raises
    ------
    DataError
        Missing (names that are alike are suggested), not HDF5, cut short or damaged, or with external links,
        external storage or virtual data sets. No value has been read by then.
    """
    file = open_for_looking(path)
    try:
        with reading(path):
            check_inside(file, path)
    except BaseException:
        file.close()
        raise
    return file


def check_inside(file: h5py.File, path: str | os.PathLike[str]) -> None:
    """Raise a DataError where anything in an open file leads to another file; no value is read."""
    for node in nodes(file):
        if node.leads_out:
            raise DataError(_leads_out(path, node))


def open_for_looking(path: str | os.PathLike[str]) -> h5py.File:
    """Return the file opened for reading, whatever it holds: for a caller that follows no link itself."""
    place = check_is_hdf5(path)
    with reading(place):
        return h5py.File(place, "r")  # default locking: handles of one process must agree on it


def check_is_hdf5(path: str | os.PathLike[str]) -> Path:
    """Return the path of an HDF5 file; nothing but its first bytes is read, of a pipe or a device not even those.

    Raises
    ------
    DataError
        Nothing is there, or something else, which is said by its first bytes.
    """
    place = Path(path)
    if not place.exists():
        raise DataError(_missing(place))
    if not place.is_file() or not h5py.is_hdf5(os.fsencode(place)):
        size = f", {place.stat().st_size:,} bytes" if place.is_file() else ""
        raise DataError(
            explained(
                where=str(place),
                what="the file",
                allowed="an HDF5 file",
                got=f"{format_of(place)}{size}",
                next_step="Check the path, or the download",
            )
        )
    return place


@contextlib.contextmanager
def reading(path: str | os.PathLike[str], inside: str = "") -> Iterator[None]:
    """Turn whatever the HDF5 library raises into a DataError that names the file and the path in it."""
    try:
        yield
    except RamError:
        raise
    except Exception as error:
        raise unreadable(f"{path}:{inside}" if inside else str(path), str(error) or type(error).__name__) from error


def unreadable(where: str, trouble: str) -> DataError:
    """Return the error for a file that the HDF5 library cannot read, its own words made short."""
    if "unable to lock file" in trouble:
        got, step = "a file that another program is writing", "Close it there first"
        return DataError(explained(where=where, what="the file", allowed="complete", got=got, next_step=step))
    cut = _CUT_SHORT.search(trouble)
    got = f"{int(cut[1]):,} bytes of {int(cut[2]):,}" if cut else f"'{' '.join(trouble.split())[:300]}'"
    return DataError(
        explained(
            where=where,
            what="the file",
            allowed="whole and readable as HDF5",
            got=got,
            next_step="It is damaged or cut short; take it from its source again or make it again",
        )
    )


def nodes(file: h5py.File) -> Iterator[Node]:
    """Yield every name in the file, each group before what is in it, without following links or entering a cycle.

    Raises
    ------
    ValueError
        There are more names or levels of groups than any file for measurements has.
    """
    root = file["/"].id
    seen: set[object] = {h5py.h5o.get_info(root).addr}
    waiting = [(root, b"", name) for name in _names(root, 0)]
    while waiting:
        group, parent, name = waiting.pop()
        path = parent + b"/" + name
        node, inner = _node(group, path, name, seen)
        yield node
        if inner is not None:
            if path.count(b"/") >= _DEEPEST:
                raise ValueError(f"more than {_DEEPEST} levels of groups")
            waiting += [(inner, path, child) for child in _names(inner, len(seen) + len(waiting))]


def _names(group: h5py.h5g.GroupID, known: int) -> list[bytes]:
    """Return the names in a group, the last first; a group of too many is not even listed."""
    count = group.get_num_objs()
    if known + count > _MOST_OBJECTS:
        raise ValueError(f"more than {_MOST_OBJECTS:,} names")
    return list(group)[::-1] if count else []


def read_text(holder: h5py.Group | h5py.Dataset, name: str) -> str:
    """Return a text attribute, empty where there is none; fixed and variable length, bytes and str alike."""
    value = holder.attrs.get(name, "")
    if hasattr(value, "item"):
        value = value.item()
    return value.decode() if isinstance(value, bytes) else str(value)


def schema_of(path: str | os.PathLike[str]) -> str:
    """Return the root's attribute ``schema`` where the file is of ram's kind; empty for all others.

    Only files whose metadata carries checksums from the first byte on are opened.
    """
    with Path(path).open("rb") as raw:
        begin = raw.read(9)
    if not begin.startswith(_SIGNATURE) or begin[8] < 2:
        return ""
    with contextlib.suppress(OSError, RuntimeError, ValueError, KeyError), h5py.File(path, "r") as file:
        return fixed_text(file, "schema")
    return ""


def fixed_text(holder: h5py.Group | h5py.Dataset, name: str) -> str:
    """Return a text attribute as ram writes it; empty where there is none or it is of another kind.

    Texts of varying length lie in a heap without a checksum, on whose damage the library can crash: they are not read.
    """
    raw = name.encode()
    if not h5py.h5a.exists(holder.id, raw):
        return ""
    attribute = h5py.h5a.open(holder.id, raw)
    kind = attribute.get_type()
    fixed = kind.get_class() == h5py.h5t.STRING and not kind.is_variable_str() and kind.get_size() <= _LONGEST_TEXT
    return read_text(holder, name) if fixed and attribute.get_space().get_simple_extent_npoints() == 1 else ""


def fixed_number(holder: h5py.Group | h5py.Dataset, name: str) -> float | None:
    """Return an attribute that is one number; None where there is none or it is of another kind."""
    raw = name.encode()
    if not h5py.h5a.exists(holder.id, raw):
        return None
    attribute = h5py.h5a.open(holder.id, raw)
    number = attribute.get_type().get_class() in (h5py.h5t.FLOAT, h5py.h5t.INTEGER)
    one = attribute.get_space().get_simple_extent_npoints() == 1
    return float(holder.attrs[name].item()) if number and one else None


def _node(group: h5py.h5g.GroupID, path: bytes, name: bytes, seen: set[object]) -> tuple[Node, h5py.h5g.GroupID | None]:
    """Return what stands under `name`, and the group to look into where it is one."""
    link = group.links.get_info(name)
    if link.type == h5py.h5l.TYPE_SOFT:
        return Node(path, "soft link", _readable(group.links.get_val(name))), None
    if link.type == h5py.h5l.TYPE_EXTERNAL:
        return Node(path, "external link", ":".join(map(_readable, group.links.get_val(name)))), None
    if link.type != h5py.h5l.TYPE_HARD:
        return Node(path, "unknown link"), None
    if link.u in seen:
        return Node(path, "again"), None
    seen.add(link.u)
    thing = h5py.h5o.open(group, name)
    return Node(path, _kind_of(thing)), thing if isinstance(thing, h5py.h5g.GroupID) else None


def _kind_of(thing: h5i.ObjectID) -> str:
    if not isinstance(thing, h5py.h5d.DatasetID):
        return "group" if isinstance(thing, h5py.h5g.GroupID) else "type"
    plan = thing.get_create_plist()
    if plan.get_layout() == h5py.h5d.VIRTUAL:
        return "virtual dataset"
    return "external storage" if plan.get_external_count() else "dataset"


def _readable(text: bytes) -> str:
    return printable(text.decode(errors="replace"))


def _missing(path: Path) -> str:
    names = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    alike = f"Did you mean {' or '.join(repr(name) for name in near)}?" if near else "Check the path"
    return explained(where=str(path), what="the file", allowed="there", got="no file", next_step=alike)


def _leads_out(path: str | os.PathLike[str], node: Node) -> str:
    return explained(
        where=f"{path}:{node.path}",
        what="everything in the file",
        allowed="stored in this file",
        got=f"{node.kind} {node.leads_to}".rstrip(),
        next_step="Copy the values into the file (h5py's copy with expand_external=True)",
    )
