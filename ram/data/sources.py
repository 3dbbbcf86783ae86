"""Where a recipe's files come from: a folder or archive of the user's, or what was published, fetched and checked."""

from __future__ import annotations

__all__ = ["Published", "sha256_of", "source_folder"]

import contextlib
import hashlib
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ram.errors import ConfigError, DataError, explained


@dataclass(frozen=True)
class Published:
    """Files that stand on a server for everybody.

    Parameters
    ----------
    name
        Of the folder in the user's cache that they are kept in.
    url
        What their names are appended to.
    sha256
        Of each file, by its name below `url`.
    """

    name: str
    url: str
    sha256: Mapping[str, str] = field(repr=False)

    def fetched(self) -> Path:
        """Fetch what is not at hand yet; returns the folder.

        Raises
        ------
        DataError
            The server is out of reach, or a file is not the one that was pinned.
        """
        import pooch

        digests = {name: f"sha256:{digest}" for name, digest in self.sha256.items()}
        store = pooch.create(path=pooch.os_cache("ram") / self.name, base_url=self.url, registry=digests)
        try:
            for name in digests:
                store.fetch(name)
        except (OSError, ValueError) as error:
            step = "Get them by other means and name the folder or archive: --source PATH"
            allowed = "within reach and as they were"
            what, got = "the published files", f"'{error}'"
            raise DataError(explained(where=self.url, what=what, allowed=allowed, got=got, next_step=step)) from None
        return Path(store.path)


@contextlib.contextmanager
def source_folder(source: Path | None, *, published: Published) -> Iterator[Path]:
    """Yield the folder to read from: the given one, an archive unpacked for a while, or the published files.

    Parameters
    ----------
    source
        A folder, or a tar or zip archive; None: the published files are fetched.

    Raises
    ------
    ConfigError
        `source` is neither.
    DataError
        As `Published.fetched`.
    """
    if source is None:
        yield published.fetched()
    elif source.is_dir():
        yield source
    else:
        with tempfile.TemporaryDirectory() as folder:
            _unpack(source, Path(folder))
            yield Path(folder)


def sha256_of(path: Path) -> str:
    """Return the digest of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack into `folder` and nowhere else: what would leave it is an error."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(folder)
        else:
            with tarfile.open(archive) as packed:
                packed.extractall(folder, filter="data")
    except (OSError, tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        got = f"'{error}'" if archive.exists() else "no such file"
        allowed = "a folder, or a tar or zip archive"
        raise ConfigError(explained(where=str(archive), what="the source", allowed=allowed, got=got)) from None
