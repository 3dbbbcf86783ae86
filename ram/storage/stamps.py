"""Whether a file is still the one that was opened."""

from __future__ import annotations

__all__ = ["Stamp", "changed", "stamp_of"]

from pathlib import Path

from ram.errors import DataError, explained

Stamp = tuple[int, ...]


def stamp_of(path: Path) -> Stamp:
    """Return what tells a file from another one that took its name, or that was written to; empty where it is gone."""
    found = path.stat() if path.exists() else None
    return (found.st_ino, found.st_size, found.st_mtime_ns) if found else ()


def changed(path: Path) -> DataError:
    """Return the error for a file that is no longer the one that was opened."""
    return DataError(
        explained(
            where=str(path),
            what="the file",
            allowed="the one that was opened before",
            got="one that was written to, replaced or removed meanwhile",
            next_step="Open it again when it is complete",
        )
    )
