"""What a file is, told by its first bytes: for files that carry another name than they should."""

from __future__ import annotations

__all__ = ["format_of"]

import stat
import struct
from collections.abc import Iterator
from pathlib import Path

_NETCDF_3 = "a netCDF-3 file; `nccopy -k nc4` makes a netCDF-4 file of it, which is HDF5"
_EXCEL_OLD = "an old Office file (.xls, .doc)"
_TEXT_WINDOW = 512

# (where it begins, bytes, what it is); the first that fits is taken.
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89HDF\n\x1a\n", "an HDF5 file spoiled by a transfer in text mode; copy it again in binary mode"),
    (0, b"CDF\x01", _NETCDF_3),
    (0, b"CDF\x02", _NETCDF_3),
    (0, b"CDF\x05", _NETCDF_3),
    (0, b"\x0e\x03\x13\x01", "an HDF4 file; `h4toh5` makes an HDF5 file of it"),
    (0, b"MATLAB 5.0 MAT-file", "a MATLAB file before v7.3; `ram data import` reads it, or save it with -v7.3"),
    (0, b"\x93NUMPY", "a NumPy array (.npy)"),
    (0, b"PK\x03\x04", "a zip archive (as are .npz, .xlsx, .docx)"),
    (0, b"PAR1", "a Parquet table"),
    (0, b"ARROW1", "an Arrow table (Feather)"),
    (0, b"TDSm", "a LabVIEW TDMS file"),
    (0, b"MDF     ", "an ASAM MDF file (.mf4)"),
    (0, b"fLaC", "FLAC sound"),
    (0, b"OggS", "Ogg sound"),
    (8, b"WAVE", "WAV sound"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"II*\x00", "a TIFF picture"),
    (0, b"MM\x00*", "a TIFF picture"),
    (0, b"SQLite format 3\x00", "an SQLite data base"),
    (0, b"\xd0\xcf\x11\xe0", _EXCEL_OLD),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x1f\x8b", "gzip-compressed; unpack it first"),
    (0, b"BZh", "bzip2-compressed; unpack it first"),
    (0, b"\xfd7zXZ\x00", "xz-compressed; unpack it first"),
    (0, b"\x28\xb5\x2f\xfd", "zstd-compressed; unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (257, b"ustar", "a tar archive; unpack it first"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program for Windows"),
    (0, b"version https://git-lfs", "a Git LFS pointer: `git lfs pull` fetches the file it stands for"),
    (0, b"\x55\x3a", "a SEG-2 seismic file"),
    (0, b"\x3a\x55", "a SEG-2 seismic file"),
    (0, b"\xc3\x40\xf1", "a SEG-Y seismic file"),
)
_PICKLES = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
_SPECIAL = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def format_of(path: Path) -> str:
    """Return what stands at `path`, in words; at most 512 bytes of it are read, of a pipe or a device none.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     photo = Path(folder, "photo.h5")
    ...     _ = photo.write_bytes(bytes.fromhex("89504e470d0a1a0a0000"))
    ...     print(format_of(photo), "|", format_of(Path(folder)))
    a PNG picture | a folder
    """
    mode = path.stat().st_mode
    for holds, words in _SPECIAL:
        if holds(mode):
            return _folder(path) if words == "a folder" else words
    with path.open("rb") as file:
        return _of_bytes(file.read(_TEXT_WINDOW))


def _folder(path: Path) -> str:
    zarr = any((path / name).is_file() for name in (".zgroup", ".zarray", ".zattrs", "zarr.json"))
    return "a folder that holds a Zarr store" if zarr else "a folder"


def _of_bytes(begin: bytes) -> str:
    if not begin:
        return "an empty file"
    for offset, magic, words in _MAGIC:
        if begin[offset:].startswith(magic):
            return words
    if begin.startswith(_PICKLES):
        return "a Python pickle, which runs code when it is opened: never open one that you did not write"
    if not begin.strip(b"\0"):
        return "zero bytes only, as a copy leaves behind that was never finished"
    return _text(begin) or _numbers(begin) or "binary, of no format known by its first bytes"


def _text(begin: bytes) -> str:
    """Return what kind of text it is; nothing where it is none."""
    text = begin.decode("utf-8", errors="ignore")  # the window may end within a letter
    if len(text.encode()) < len(begin) - 3 or any(ord(letter) < 32 and letter not in "\t\n\r\f" for letter in text):
        return ""
    start = text.lstrip("\ufeff \t\r\n").lower()
    if start.startswith(("<!doctype html", "<html")):
        return "a web page: the download answered with a page instead of the file"
    if start.startswith("<?xml"):
        return "XML text"
    if start.startswith(("{", "[")):
        return "JSON text"
    lines = (text.splitlines()[:-1] or [text])[:4]
    columns = [{line.count(mark) for line in lines} for mark in "\t;,"]
    separated = any(len(counts) == 1 and counts != {0} for counts in columns) and len(lines) > 1
    return "a table in text form (CSV); `ram data import` reads it" if separated else "text"


def _numbers(begin: bytes) -> str:
    """Return which raw numbers the first bytes would be: a guess, and said as one."""
    for word, (order, kind, size) in _layouts():
        values = struct.unpack(f"{order}{16}{kind}", begin[: 16 * size]) if len(begin) >= 16 * size else ()
        if values and all(value == 0 or 1e-6 < abs(value) < 1e8 for value in values) and any(values[1:]):
            shown = ", ".join(f"{value:.6g}" for value in values[:4])
            return f"binary, by the look of it raw {word} numbers without a header ({shown} ...)"
    return ""


def _layouts() -> Iterator[tuple[str, tuple[str, str, int]]]:
    for order, words in (("<", "little-endian"), (">", "big-endian")):
        for kind, size, name in (("d", 8, "float64"), ("f", 4, "float32")):
            yield f"{words} {name}", (order, kind, size)
