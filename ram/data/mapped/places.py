"""From what a user wrote (``"/runs/*/acc@rate"``) to the thing in the file; no link is followed out of it."""

from __future__ import annotations

__all__ = ["Attribute", "Found", "Places", "natural_order"]

import difflib
import fnmatch
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import h5py

from ram.data.mapped.arrays import Array, check_stored
from ram.data.mapped.tables import column_of, columns_in
from ram.errors import DataError, explained, nearest
from ram.storage import hdf5

_MOST_STEPS = 1_000
_MOST_SHOWN = 20
_MOST_NAMES = 5_000


@dataclass(frozen=True, eq=False)
class Attribute:
    """One attribute of a group or a data set."""

    holder: h5py.Group | h5py.Dataset
    name: str
    text: str


Found: TypeAlias = "Attribute | Array | h5py.Group"


class Places:
    """The things in one open file.

    Parameters
    ----------
    file, path
        Open for reading, and where it is.
    inputs
        What the user wrote for the inputs: attributes without a path are theirs.
    kept_bytes
        How much of the inputs' chunks may stay in memory between two reads.
    """

    def __init__(self, file: h5py.File, path: Path, *, inputs: str, kept_bytes: int = 2**26) -> None:
        self.file, self.path, self.kept_bytes = file, path, kept_bytes
        self._inputs = inputs
        self._bytes = path.stat().st_size

    def find(self, text: str, *, key: str) -> Found:
        """Return what stands at `text`; `key` is where the user wrote it.

        Raises
        ------
        DataError
            Nothing stands there (the nearest path is named), it lies in another file, or is not stored whole.
        """
        text = self.whole(text)
        found = self._find(text, key)
        if found is None:
            raise self.nothing(text, key=key)
        return found

    def optional(self, text: str, *, key: str) -> Found | None:
        """Return what stands at `text`, None where nothing does."""
        return self._find(self.whole(text), key)

    def whole(self, text: str) -> str:
        """Return the path from the root: ``"@rate"`` is an attribute of the inputs, or of their table."""
        if not text.startswith("@"):
            return text
        pattern = self._inputs
        is_column = "*" not in pattern and self._walk(pattern, "inputs") is None
        return (pattern.rpartition(":")[0] if is_column and ":" in pattern else pattern) + text

    def matches(self, pattern: str, *, key: str) -> list[tuple[tuple[str, ...], str]]:
        """Return what the stars of `pattern` stand for, and the path, in the natural order of names (2 before 10).

        Raises
        ------
        DataError
            Nothing matches.
        """
        found = list(self._expanded(pattern, key))
        if not found:
            raise self.nothing(pattern, key=key)
        return found

    def _find(self, text: str, key: str) -> Found | None:
        thing = self._walk(text, key)
        if isinstance(thing, h5py.Dataset):
            return self._array(thing, text, key)
        if thing is not None:
            return thing
        for holder, letter, name in self._holders(text, key):
            if letter == "@":
                return Attribute(holder, name, text) if name in holder.attrs else None
            found = column_of(holder, name, text)
            if isinstance(found, h5py.h5r.Reference):
                return self.referenced(found, text, key=key)
            return None if found is None else self._array(found.dataset, text, key, found)
        return None

    def _holders(self, text: str, key: str) -> Iterator[tuple[h5py.Group | h5py.Dataset, str, str]]:
        """Yield the things that an attribute (@) or a column (:) may belong to, and its name."""
        for place, letter in enumerate(text):
            if letter in "@:":
                holder = self._walk(text[:place] or "/", key)
                if holder is not None:
                    yield holder, letter, text[place + 1 :]

    def referenced(self, reference: h5py.h5r.Reference, text: str, *, key: str) -> Array:
        """Return the data set that a reference in the file leads to."""
        with hdf5.reading(self.path, text):
            thing = self.file[reference] if reference else None
        if not isinstance(thing, h5py.Dataset):
            raise self.refused(
                text, key, what="a reference", allowed="to a data set", got="a group" if thing else "an empty one"
            )
        return self._array(thing, text, key)

    def _array(self, dataset: h5py.Dataset, text: str, key: str, array: Array | None = None) -> Array:
        """Return the numbers of a data set that is stored in the file itself, whole."""
        if dataset.is_virtual or dataset.external:
            kind = "a virtual data set" if dataset.is_virtual else "numbers in another file"
            step = "Copy the values into the file (h5repack), or map the file that holds them"
            raise self.refused(text, key, what="the array", allowed="stored in this file", got=kind, step=step)
        check_stored(dataset, where=f"{self.path}:{text}", file_bytes=self._bytes)
        return array or Array(dataset, text)

    def _walk(self, text: str, key: str) -> h5py.Group | h5py.Dataset | None:
        """Return what stands at a path, None where nothing does; soft links are followed by hand, inside the file."""
        thing: h5py.Group | h5py.Dataset = self.file["/"]
        waiting = [name for name in text.split("/") if name]
        for step in itertools.count():
            if not waiting:
                return thing
            name = waiting.pop(0)
            link = self._link(thing, name)
            if link is None or step > _MOST_STEPS:
                return None
            if isinstance(link, h5py.ExternalLink):
                raise self._leads_out(text, key, link)
            if isinstance(link, h5py.SoftLink):
                target = link.path if link.path.startswith("/") else f"{thing.name}/{link.path}"
                waiting, thing = [part for part in target.split("/") if part not in ("", ".")] + waiting, self.file["/"]
                continue
            with hdf5.reading(self.path, text):
                thing = thing[name]
            if not isinstance(thing, h5py.Group | h5py.Dataset):
                return None
        return None

    def _link(self, thing: object, name: str) -> h5py.HardLink | h5py.SoftLink | h5py.ExternalLink | None:
        if not isinstance(thing, h5py.Group):
            return None
        with hdf5.reading(self.path, name):
            link: h5py.HardLink | h5py.SoftLink | h5py.ExternalLink | None
            link = thing.get(name, getlink=True) if thing.id.links.exists(name.encode()) else None
            return link

    def _expanded(self, pattern: str, key: str) -> Iterator[tuple[tuple[str, ...], str]]:
        before, star, after = pattern.partition("*")
        if not star:
            if self._find(pattern, key) is not None:
                yield (), pattern
            return
        parent, _, beginning = before.rpartition("/")
        rest, slash, behind = after.partition("/")
        end, inside = _without_address(rest)
        group = self._walk(parent or "/", key)
        for name in sorted(group, key=natural_order) if isinstance(group, h5py.Group) else ():
            if fnmatch.fnmatchcase(name, _pattern_of(f"{beginning}*{end}")):
                matched = name[len(beginning) : len(name) - len(end)]
                for others, path in self._expanded(f"{parent}/{name}{inside}{slash}{behind}", key):
                    yield (matched, *others), path

    def nothing(self, text: str, *, key: str) -> DataError:
        """Return the error for a path where nothing stands; it names what is there, or the nearest path."""
        one = self._one_of(text)
        for holder, letter, name in self._holders(one, key):
            what, known = ("attribute", list(holder.attrs)) if letter == "@" else ("column", columns_in(holder))
            shown = ", ".join(known[:_MOST_SHOWN]) + (", ..." if len(known) > _MOST_SHOWN else "")
            allowed = f"one of {shown}" if known else f"left out, for {holder.name} has none"
            step = nearest(name, known)
            return self.refused(text, key, what=f"the {what}", allowed=allowed, got=repr(name), step=step)
        step = self._near(text, one)
        return self.refused(text, key, what="the path", allowed="in the file", got="nothing there", step=step)

    def _one_of(self, pattern: str) -> str:
        """Return the pattern with stars replaced by the first names that fit, groups first, as far as there are any."""
        words = pattern.split("/")
        for place, word in enumerate(words):
            name, address = _without_address(word)
            group = self._walk("/".join(words[:place]) or "/", "") if "*" in name else None
            if isinstance(group, h5py.Group):
                fits = fnmatch.filter(group, _pattern_of(name))
                first = min(fits, key=lambda one: (not _is_group(group, one), natural_order(one)), default=name)
                words[place] = first + address
        return "/".join(words)

    def _near(self, text: str, one: str) -> str:
        """Return which path was meant: one with the same last name first, then the most alike; stars stay stars."""
        names = [node.path for node in itertools.islice(hdf5.nodes(self.file), _MOST_NAMES) if node.kind == "dataset"]
        plain = one.partition("@")[0]
        last = plain.rpartition("/")[2]
        same = [name for name in names if name.rpartition("/")[2].lower() == last.lower()]
        found = difflib.get_close_matches(plain, same or names, n=1, cutoff=0.0 if same else 0.5)
        if not found:
            return "`ram data info` shows what is in the file"
        words, stars = found[0].split("/"), text.split("/")
        for place, (word, star) in enumerate(zip(one.split("/"), stars, strict=False)):
            if "*" in star and place < len(words) - 1 and words[place] == word:
                words[place] = star
        return f"Did you mean '{'/'.join(words)}'?"

    def _leads_out(self, text: str, key: str, link: h5py.ExternalLink) -> DataError:
        got, step = f"a link to {link.filename}:{link.path}", "Map that file instead; links are not followed"
        return self.refused(
            text, key, what="everything that is mapped", allowed="stored in this file", got=got, step=step
        )

    def refused(self, text: str, key: str, *, what: str, allowed: str, got: object, step: str = "") -> DataError:
        """Return the error for something that was found and does not serve."""
        where = f"{self.path}:{text} ({key})"
        return DataError(explained(where=where, what=what, allowed=allowed, got=got, next_step=step))


def natural_order(name: str) -> list[str | int]:
    """Return a key that sorts ``run2`` before ``run10``.

    >>> sorted(["run10", "run2", "ref"], key=natural_order)
    ['ref', 'run2', 'run10']
    """
    return [int(part) if number % 2 else part for number, part in enumerate(re.split(r"(\d+)", name))]


def _without_address(text: str) -> tuple[str, str]:
    """Return the end of a name, and the attribute or column behind it."""
    begin = next((place for place, letter in enumerate(text) if letter in "@:"), len(text))
    return text[:begin], text[begin:]


def _pattern_of(name: str) -> str:
    """Return the pattern in which stars alone are wild: names such as ``Raw[0]`` are common."""
    return re.sub(r"([?[])", r"[\1]", name)


def _is_group(group: h5py.Group, name: str) -> bool:
    """Whether a group stands there itself; a link is not followed."""
    is_hard = isinstance(group.get(name, getlink=True), h5py.HardLink)
    return is_hard and group.get(name, getclass=True) is h5py.Group
