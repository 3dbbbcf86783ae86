"""The manifest of a run: SHA-256 of every file in its folder, of itself too, so that no byte changes unnoticed.

It finds damage and careless edits. Whoever changes a file on purpose can write a manifest that fits; against that,
keep the digest of the run (`run_digest`) somewhere else and verify the run against it.
"""

from __future__ import annotations

__all__ = ["NAME", "Problem", "extend_manifest", "read_manifest", "run_digest", "verify_files", "write_manifest"]

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ram.errors import DataError, explained
from ram.runs.lock import LOCK
from ram.storage.atomic import write_bytes

NAME = "manifest.json"
_SCHEMA = "ram-run/1"
_NEXT = "'ram verify' says what changed; restore the folder from a copy, or train again"


@dataclass(frozen=True, order=True)
class Problem:
    """What is wrong with one file of a run.

    Attributes
    ----------
    file
        Its path inside the folder.
    kind
        ``changed``, ``missing``, ``extra``, ``link``, ``unreadable``; of a deep look also ``data``, ``checkpoint``,
        ``predictions``, ``maps``.
    text
        One sentence about it.
    """

    file: str
    kind: str
    text: str


def write_manifest(folder: Path) -> None:
    """Write manifest.json for all files that are in the folder now, its lock left out; the last file of a run."""
    names = [name for name, kind in _listed(folder) if kind == "file" and name != LOCK]
    _write(folder, {name: _digest(folder / name) for name in names})


def extend_manifest(folder: Path, names: Iterable[str]) -> None:
    """Take files into the manifest that were written after it, a report say; the digests of all others stay.

    A run that has no manifest yet is not finished and gets none.

    Raises
    ------
    DataError
        The manifest is damaged.
    """
    if (folder / NAME).exists():
        _write(folder, {**read_manifest(folder), **{name: _digest(folder / name) for name in names}})


def read_manifest(folder: Path) -> dict[str, str]:
    """Return SHA-256 of each file by name.

    Raises
    ------
    DataError
        There is none, or a byte of it has changed.
    """
    content = (folder / NAME).read_bytes() if (folder / NAME).is_file() else None
    if content is None:
        raise DataError(_wrong(folder, "in every finished run", "none", "The run was not finished"))
    digests = _parsed(content)
    if digests is None or content != _canonical(digests):
        raise DataError(_wrong(folder, "as it was written", "other bytes", _NEXT))
    return digests


def run_digest(folder: Path) -> str:
    """Return one SHA-256 for all bytes of a run, its own digest in the manifest.

    Raises
    ------
    DataError
        As `read_manifest`.
    """
    return _own_digest(read_manifest(folder))


def verify_files(folder: Path) -> list[Problem]:
    """Return every file that is not as it was when the manifest was written; nothing where all are."""
    found = dict(_listed(folder))
    try:
        known, problems = read_manifest(folder), []
    except DataError as error:
        kind = "changed" if NAME in found or (folder / NAME).exists() else "missing"
        known, problems = _parsed(_bytes(folder / NAME)) or {}, [Problem(NAME, kind, str(error))]
        if not known:
            return problems
    if found.get(NAME, "file") != "file":
        problems.append(Problem(NAME, "link", f"is {found[NAME]}, not a file of the run's own"))
    found.pop(NAME, None)
    return sorted({*problems, *_compared(folder, found, known)})


def _compared(folder: Path, found: Mapping[str, str], known: Mapping[str, str]) -> Iterator[Problem]:
    names = {digest: name for name, digest in known.items()}
    for name, digest in known.items():
        if name not in found:
            yield Problem(name, "missing", "is not there")
        elif found[name] != "file":
            yield Problem(name, "link", f"is {found[name]}, not a file of the run's own")
        elif (problem := _content_problem(folder, name, digest, names)) is not None:
            yield problem
    inside = {parent.as_posix() for name in known for parent in Path(name).parents}
    for name, kind in found.items():
        if name not in known and not (kind == "a folder" and name in inside):
            yield _extra(folder, name, kind, names)


def _content_problem(folder: Path, name: str, digest: str, names: Mapping[str, str]) -> Problem | None:
    try:
        got = _digest(folder / name)
    except OSError as error:
        return Problem(name, "unreadable", f"cannot be read: {error.strerror}")
    if got == digest:
        return None
    words = f"holds what {names[got]} held" if got in names else "holds other bytes than were written"
    return Problem(name, "changed", words)


def _extra(folder: Path, name: str, kind: str, names: Mapping[str, str]) -> Problem:
    if kind != "file":
        return Problem(name, "extra", f"is {kind} that the run did not write")
    try:
        held = names.get(_digest(folder / name))
    except OSError:
        held = None
    return Problem(name, "extra", f"holds what {held} held" if held else "is a file that the run did not write")


def _listed(folder: Path, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield name and kind of all that lies in a folder, links not followed; the manifest only where it is no file."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        name, kind = f"{prefix}{entry.name}", _kind(entry)
        if name != NAME or kind != "file":
            yield name, kind
        if kind == "a folder":
            yield from _listed(Path(entry.path), f"{name}/")


def _kind(entry: os.DirEntry[str]) -> str:
    mode = entry.stat(follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode):
        return f"a link to {os.readlink(entry.path)}"
    if stat.S_ISDIR(mode):
        return "a folder"
    return "file" if stat.S_ISREG(mode) else "a pipe, socket or device"


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write(folder: Path, digests: Mapping[str, str]) -> None:
    write_bytes(folder / NAME, _canonical(digests))


def _canonical(digests: Mapping[str, str]) -> bytes:
    """Return the one form in which these digests are written: any other byte is a changed one."""
    ordered = dict(sorted(digests.items()))
    content = {"schema": _SCHEMA, "sha256": ordered, "digest": _own_digest(ordered)}
    return (json.dumps(content, indent=2, ensure_ascii=True) + "\n").encode()


def _own_digest(digests: Mapping[str, str]) -> str:
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode("utf-8", "surrogatepass")).hexdigest()


def _parsed(content: bytes) -> dict[str, str] | None:
    """Return what a manifest says, or None where it cannot be understood."""
    try:
        given: Any = json.loads(content)["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    texts = isinstance(given, dict) and all(isinstance(digest, str) for digest in given.values())
    return given if texts else None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _wrong(folder: Path, allowed: str, got: str, next_step: str) -> str:
    return explained(where=str(folder / NAME), what="the manifest", allowed=allowed, got=got, next_step=next_step)
