"""Files of a folder by the names that people write into tables."""

from __future__ import annotations

__all__ = ["Folder"]

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from ram.errors import ConfigError, explained, nearest


class Folder:
    """The files below a folder.

    A name in a table finds its file exactly, without its ending, in any case, or by its last part.

    Raises
    ------
    ConfigError
        There is no such folder, or no file in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = tuple(sorted(_files_below(path)))
        if not self.files:
            raise ConfigError(_no_folder(path))
        self._exact = {_plain(name): name for name in self.files}
        self._loose: defaultdict[str, list[str]] = defaultdict(list)
        for name in self.files:
            plain = _plain(name)
            for key in {plain.casefold(), _stem(plain).casefold(), *_ends(plain)}:
                self._loose[key].append(name)

    def find(self, name: str) -> Path | None:
        """Return the file that a table means by `name`; None where there is none or more than one."""
        plain = _plain(name.strip().replace("\\", "/"))
        if plain in self._exact:
            return self.path / self._exact[plain]
        last = plain.rsplit("/", 1)[-1]
        for key in (plain.casefold(), last.casefold()):
            found = self._loose.get(key, [])
            if len(found) == 1:
                return self.path / found[0]
        return None

    def choices(self, name: str) -> list[str]:
        """Return the files that a name could mean."""
        plain = _plain(name.strip().replace("\\", "/")).rsplit("/", 1)[-1]
        return self._loose.get(plain.casefold(), [])

    def alike(self, name: str) -> str:
        """Return ``"Did you mean ...?"`` for the file whose name is nearest, or an empty text."""
        return nearest(name, self.files[:5_000])

    def share_of(self, names: Iterable[str]) -> float:
        """Return the share of names that are found."""
        wanted = [name for name in names if name]
        return sum(self.find(name) is not None for name in wanted) / len(wanted) if wanted else 0.0


def _files_below(path: Path) -> Iterable[str]:
    if not path.is_dir():
        raise ConfigError(_no_folder(path))
    for folder, inner, names in os.walk(path):
        inner.sort()
        for name in names:
            if not name.startswith("."):
                yield Path(folder, name).relative_to(path).as_posix()


def _no_folder(path: Path) -> str:
    got = "no file in it" if path.is_dir() else "a file" if path.exists() else "no such folder"
    names = [other.name for other in path.parent.iterdir() if other.is_dir()] if path.parent.is_dir() else []
    return explained(
        where=str(path),
        what="the folder of the files",
        allowed="one with files",
        got=got,
        next_step="" if path.is_dir() else nearest(path.name, names),
    )


def _plain(name: str) -> str:
    """One form of letters with accents: a Mac writes them in two parts."""
    return unicodedata.normalize("NFC", name).removeprefix("./")


def _stem(name: str) -> str:
    head, dot, ending = name.rpartition(".")
    return head if dot and "/" not in ending and head else name


def _ends(plain: str) -> set[str]:
    last = plain.rsplit("/", 1)[-1]
    return {last.casefold(), _stem(last).casefold()}
