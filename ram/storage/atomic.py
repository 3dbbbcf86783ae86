"""Files that appear whole or not at all.

A file is written under a hidden name in its own folder, flushed to the disk, renamed over the old one, and
the folder is flushed. A kill or a full disk at any moment leaves the old file, or none, never half of one. What a
killed writer leaves under its hidden name is removed when the same file is written again on the same machine.
"""

from __future__ import annotations

__all__ = [
    "discard_leftovers",
    "naming_disk_trouble",
    "write_all",
    "write_bytes",
    "write_json",
    "write_text",
    "writing",
]

import contextlib
import errno
import functools
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from ram.errors import DataError, StorageError, explained

_MOST_AT_ONCE = 2**26
_DISK_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` when the body ends well.

    After any exception, an interrupt too, the temporary file is gone and `path` is as it was.

    Raises
    ------
    DataError
        The disk is full, the folder is missing or may not be written; names the path and the free bytes.

    >>> with writing("example.txt") as temporary:  # doctest: +SKIP
    ...     temporary.write_text("whole")
    """
    target = Path(path).resolve()
    temporary = target.with_name(f".{target.name}.{_machine()}-{os.getpid()}-{secrets.token_hex(4)}.part")
    _sweep(target)
    try:
        with naming_disk_trouble(target):
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            mode = temporary.stat().st_mode
        with _naming_trouble_of(temporary, target):
            yield temporary
        with naming_disk_trouble(target):
            temporary.chmod(mode)  # a writer that made the file anew may have kept others from reading it
            _flush(temporary)
            temporary.replace(target)
            _flush(target.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` whole or not at all."""
    with writing(path) as temporary, naming_disk_trouble(Path(path).resolve()):
        handle = os.open(temporary, os.O_WRONLY | getattr(os, "O_BINARY", 0))
        try:
            write_all(handle, content)
        finally:
            os.close(handle)


def write_all(handle: int, content: bytes | memoryview) -> None:
    """Write all of `content` to an open file: a disk that fills up takes a part before it refuses the rest.

    Raises
    ------
    OSError
        The disk is full or broken.
    """
    rest = memoryview(content)
    while rest:
        written = os.write(handle, rest[:_MOST_AT_ONCE])
        if written == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rest = rest[written:]


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8, line ends as they are, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], content: object) -> None:
    """Write `content` as strict JSON (no NaN), indented by 2, keys in the order given, one newline at the end."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def discard_leftovers(folder: Path) -> None:
    """Remove what writers of this module that were killed have left in `folder`; nobody may be writing there."""
    for path in folder.glob(".*.part"):
        with naming_disk_trouble(path):
            path.unlink(missing_ok=True)


def _sweep(target: Path) -> None:
    """Remove what killed writers of `target` left behind: those of this machine whose process is gone."""
    name = re.compile(rf"\.{re.escape(target.name)}\.{_machine()}-(\d+)-[0-9a-f]{{8}}\.part")
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            found = name.fullmatch(entry.name)
            if found and not _runs(int(found[1])):
                with contextlib.suppress(OSError):
                    Path(entry.path).unlink()


@functools.cache
def _machine() -> str:
    """Return eight digits for all processes that see each other: the same machine, and container, if there is one."""
    known = [platform.node()]
    with contextlib.suppress(OSError):
        known.append(Path("/etc/machine-id").read_text(encoding="ascii"))
    with contextlib.suppress(OSError):
        known.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:8]


def _runs(process: int) -> bool:
    """Whether a process of this machine is there; on Windows, where asking would end it, always."""
    if os.name == "nt":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OverflowError, OSError):  # of somebody else
        return True
    return True


def _flush(path: Path) -> None:
    """Flush a file or a folder to the disk; Windows cannot open folders and needs none of it."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def naming_disk_trouble(target: Path) -> Iterator[None]:
    """Turn an OSError into a DataError that names the file and the room left.

    Raises
    ------
    StorageError
        The disk is full or broken.
    DataError
        The file may not be written there.
    """
    try:
        yield
    except OSError as error:
        kind = StorageError if error.errno in _DISK_TROUBLE else DataError
        raise kind(_trouble(target, error)) from error


@contextlib.contextmanager
def _naming_trouble_of(temporary: Path, target: Path) -> Iterator[None]:
    """Name the trouble that a body has with its temporary file or the disk; what it has with others passes."""
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_TROUBLE or error.filename == str(temporary):
            with naming_disk_trouble(target):
                raise
        raise


def _trouble(target: Path, error: OSError) -> str:
    return explained(
        where=str(target),
        what="the file",
        allowed="writable as a whole",
        got=f"'{error.strerror or error}' with {_free_bytes(target.parent)} bytes free",
        next_step="Make room or choose another folder; nothing half-written is left behind",
    )


def _free_bytes(folder: Path) -> str:
    try:
        return f"{shutil.disk_usage(folder).free:,}"
    except OSError:
        return "an unknown number of"
