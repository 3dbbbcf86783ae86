"""Files that appear whole or not at all.

A file is written under a hidden name in its own folder, flushed to the disk, renamed over the old one, and
the folder is flushed. A kill or a full disk at any moment leaves the old file, or none, never half of one.
"""

from __future__ import annotations

__all__ = ["write_bytes", "write_json", "write_text", "writing"]

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from ram.errors import DataError, explained

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
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with _naming(target):
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            mode = temporary.stat().st_mode
        with _naming(target, only=_DISK_TROUBLE):
            yield temporary
        with _naming(target):
            temporary.chmod(mode)  # a writer that made the file anew may have kept others from reading it
            _flush(temporary)
            temporary.replace(target)
            _flush(target.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` whole or not at all."""
    with writing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8, line ends as they are, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], content: object) -> None:
    """Write `content` as strict JSON (no NaN), indented by 2, keys in the order given, one newline at the end."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


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
def _naming(target: Path, *, only: set[int] | None = None) -> Iterator[None]:
    """Turn an OSError of the disk into a DataError that names the file and the room left."""
    try:
        yield
    except OSError as error:
        if only is not None and error.errno not in only:
            raise
        raise DataError(_trouble(target, error)) from error


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
