"""HDF5 files that are valid netCDF-4, written the same way every time and opened without trust.

The format is pinned to that of HDF5 1.10: it is the oldest whose metadata carries checksums everywhere, so a
flipped bit in a name, a shape or a unit is found by the library; digests of the values are the writer's task.
"""

from __future__ import annotations

__all__ = ["Node", "create", "nodes", "open_for_looking", "open_safely", "read_text", "reading"]

import contextlib
import difflib
import io
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from ram.errors import DataError, RamError, explained

if TYPE_CHECKING:
    from typing_extensions import Buffer

_MOST_OBJECTS = 100_000
_DEEPEST = 64


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
    with _Disk(path, "w+b") as disk:
        try:
            with h5py.File(
                disk, "w", libver=("v110", "v110"), track_order=True, alignment_threshold=512, alignment_interval=64
            ) as file:
                yield file
        finally:
            if disk.trouble is not None:
                raise disk.trouble


class _Disk(io.FileIO):
    """A file that keeps its trouble for later: a write that fails inside the HDF5 library can crash the interpreter."""

    trouble: OSError | None = None

    def write(self, content: Buffer) -> int:
        """Write all of `content`; after trouble, nothing."""
        rest = memoryview(content).cast("B")
        while rest and self.trouble is None:
            try:
                rest = rest[super().write(rest) :]
            except OSError as error:
                self.trouble = error
        return memoryview(content).nbytes

    def truncate(self, size: int | None = None) -> int:
        """Set the length; after trouble, leave it."""
        try:
            return super().truncate(size) if self.trouble is None else 0
        except OSError as error:
            self.trouble = error
            return 0


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
            for node in nodes(file):
                if node.leads_out:
                    raise DataError(_leads_out(path, node))
    except BaseException:
        file.close()
        raise
    return file


def open_for_looking(path: str | os.PathLike[str]) -> h5py.File:
    """Return the file opened for reading, whatever it holds: for a caller that follows no link itself."""
    place = Path(path)
    if not place.is_file():
        raise DataError(_missing(place))
    if not h5py.is_hdf5(place):
        raise DataError(
            explained(
                where=str(place),
                what="the file",
                allowed="an HDF5 file",
                got=f"{place.stat().st_size:,} bytes that begin with {_first_bytes(place)!r}",
                next_step="Is it another format, or a download that was cut short",
            )
        )
    with reading(place):
        return h5py.File(place, "r")  # default locking: handles of one process must agree on it


@contextlib.contextmanager
def reading(path: str | os.PathLike[str], inside: str = "") -> Iterator[None]:
    """Turn whatever the HDF5 library raises into a DataError that names the file and the path in it."""
    try:
        yield
    except RamError:
        raise
    except Exception as error:
        where = f"{path}:{inside}" if inside else str(path)
        raise DataError(
            explained(
                where=where,
                what="the file",
                allowed="whole and readable as HDF5",
                got=f"'{str(error).strip() or type(error).__name__}'",
                next_step="It is damaged or cut short; take it from its source again or make it again",
            )
        ) from error


def nodes(file: h5py.File) -> Iterator[Node]:
    """Yield every name in the file, each group before what is in it, without following links or entering a cycle."""
    root = file["/"].id
    seen: set[object] = {_identity(root)}
    waiting = [(root, b"", name) for name in reversed(list(root))]
    for count in itertools.count(1):
        if not waiting:
            return
        group, parent, name = waiting.pop()
        path = parent + b"/" + name
        if count > _MOST_OBJECTS or path.count(b"/") > _DEEPEST:
            raise ValueError(f"more than {_MOST_OBJECTS:,} names or {_DEEPEST} levels of groups")
        node, inner = _node(group, path, name, seen)
        yield node
        waiting += [(inner, path, child) for child in reversed(list(inner or ()))]


def read_text(holder: h5py.Group | h5py.Dataset, name: str) -> str:
    """Return a text attribute, empty where there is none; fixed and variable length, bytes and str alike."""
    value = holder.attrs.get(name, "")
    if hasattr(value, "item"):
        value = value.item()
    return value.decode() if isinstance(value, bytes) else str(value)


def _node(group: h5py.h5g.GroupID, path: bytes, name: bytes, seen: set[object]) -> tuple[Node, h5py.h5g.GroupID | None]:
    """Return what stands under `name`, and the group to look into where it is one."""
    link = group.links.get_info(name).type
    if link == h5py.h5l.TYPE_SOFT:
        return Node(path, "soft link", _readable(group.links.get_val(name))), None
    if link == h5py.h5l.TYPE_EXTERNAL:
        return Node(path, "external link", ":".join(map(_readable, group.links.get_val(name)))), None
    if link != h5py.h5l.TYPE_HARD:
        return Node(path, "unknown link"), None
    thing = h5py.h5o.open(group, name)
    if _identity(thing) in seen:
        return Node(path, "again"), None
    seen.add(_identity(thing))
    return Node(path, _kind_of(thing)), thing if isinstance(thing, h5py.h5g.GroupID) else None


def _kind_of(thing: h5py.h5i.ObjectID) -> str:
    if not isinstance(thing, h5py.h5d.DatasetID):
        return "group" if isinstance(thing, h5py.h5g.GroupID) else "type"
    plan = thing.get_create_plist()
    if plan.get_layout() == h5py.h5d.VIRTUAL:
        return "virtual dataset"
    return "external storage" if plan.get_external_count() else "dataset"


def _identity(thing: h5py.h5i.ObjectID) -> object:
    info = h5py.h5o.get_info(thing)
    return (info.fileno, info.addr)


def _readable(text: bytes) -> str:
    return text.decode(errors="replace")


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(8)


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
        next_step="Copy the values into the file (h5repack, or h5py's copy with expand_external=True)",
    )
