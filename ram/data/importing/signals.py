"""One file, one input: WAV and FLAC, pictures, NPY and text, told apart by their first bytes."""

from __future__ import annotations

__all__ = ["Reading", "look_at", "read_input"]

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ram.data.importing.arrays import Array, check_real, load_npy
from ram.data.importing.images import look_at_image, read_image
from ram.data.importing.laboratory import Recognised, read_text
from ram.data.importing.layouts import arranged, check_layout, guess_layout
from ram.data.importing.look import Look
from ram.errors import DataError, explained

_SOUNDS = {b"RIFF": "WAV", b"RIFX": "WAV", b"RF64": "WAV", b"fLaC": "FLAC", b"FORM": "AIFF"}
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*", b"BM")
_MOST_COLUMNS = 16
_SHORTER = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)
_STREAMED = 0x7FFFF000  # sizes from here on are written by recorders that do not know the end yet


@dataclass(frozen=True)
class Reading:
    """What the user said of the files: encoding, decimal mark and unit of time of texts, layout of arrays."""

    encoding: str = ""
    decimal: str = ""
    time_unit: str = ""
    layout: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


def look_at(path: Path, reading: Reading) -> Look:
    """Return what a file declares; of sounds, pictures and arrays no value is read.

    Raises
    ------
    DataError
        It is damaged, empty, or of no kind that is read.
    """
    begin = _begin_of(path)
    if begin[:4] in _SOUNDS:
        return _look_at_sound(path)
    if begin.startswith(_PICTURES):
        return look_at_image(path)
    if begin.startswith(b"\x93NUMPY"):
        return _look_at_array(path, reading)
    if begin.startswith((b"\x89HDF", b"MATLAB", b"PK\x03\x04")):
        raise DataError(
            explained(
                where=str(path),
                what="a file of one sample",
                allowed="WAV, FLAC, PNG, TIFF, JPEG, NPY or text",
                got="one that holds arrays by name",
                next_step="Name one file that holds all samples with --arrays FILE --inputs PATH",
            )
        )
    return _look_at_text(path, reading)


def read_input(path: Path, reading: Reading, *, kind: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
    """Return the values of a file in its own type, shape (channel, *space), cut along the last axis.

    Raises
    ------
    DataError
        As `look_at`, or the values cannot be read.
    """
    word = kind.split(maxsplit=1)[0]
    if word in _SOUNDS.values():
        return _read_sound(path, kind, start, stop)
    if word == "NPY":
        return _read_array(path, reading)[..., start:stop]
    if word == "text":
        return _text(path, reading).values[..., start:stop] if "grid" not in kind else _grid(path, reading)
    return read_image(path)[..., start:stop]


def _begin_of(path: Path) -> bytes:
    with path.open("rb") as file:
        begin = file.read(16)
    if not begin:
        raise DataError(
            explained(
                where=str(path),
                what="a file of one sample",
                allowed="with content",
                got="0 bytes",
                next_step="Take it from its source again, or leave its row out of the table",
            )
        )
    return begin


def _look_at_sound(path: Path) -> Look:
    with _sound(path) as file:
        whole = {"PCM_16": "int16", "PCM_S8": "int16", "PCM_U8": "int16"}.get(file.subtype, "float32")
        channels = tuple(f"channel{place}" for place in range(1, file.channels + 1))
        if file.frames < 1:
            raise DataError(
                explained(where=str(path), what="a sound", allowed="of at least one sample", got="an empty one")
            )
        return Look(
            f"{file.format} {file.subtype}",
            (file.channels, file.frames),
            channels if file.channels > 1 else ("signal",),
            ("",) * file.channels,
            whole,
            scale=2.0**-15 if whole == "int16" else 1.0,
            step=1.0 / file.samplerate,
            said=f"{file.samplerate} Hz from the header",
        )


def _read_sound(path: Path, kind: str, start: int, stop: int | None) -> NDArray[Any]:
    whole = kind.endswith(("PCM_16", "PCM_S8", "PCM_U8"))
    with _sound(path) as file:
        file.seek(start)
        frames = (file.frames if stop is None else stop) - start
        values = file.read(frames, dtype="int16" if whole else "float32", always_2d=True)
    if len(values) != frames:
        raise DataError(
            _cut_sound(path, f"of {frames:,} samples from {start:,}, as its header says", f"{len(values):,}")
        )
    return np.ascontiguousarray(values.T)


@contextlib.contextmanager
def _sound(path: Path) -> Iterator[Any]:
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            _check_whole(path, file.extra_info)
            yield file
    except soundfile.LibsndfileError as error:
        raise DataError(_cut_sound(path, "a whole WAV or FLAC file", repr(error.error_string))) from None


def _check_whole(path: Path, log: str) -> None:
    """Raise a DataError where a WAV file is shorter than its header says, which libsndfile takes as it is."""
    sizes = _SHORTER.search(log)
    if sizes and int(sizes[2]) < int(sizes[1]) < _STREAMED:
        raise DataError(_cut_sound(path, f"of {int(sizes[1]):,} bytes, as its header says", f"{int(sizes[2]):,} bytes"))


def _cut_sound(path: Path, allowed: str, got: str) -> str:
    step = "It was cut short or damaged; take it from its source again, or leave its row out of the table"
    return explained(where=str(path), what="a sound", allowed=allowed, got=got, next_step=step)


def _look_at_array(path: Path, reading: Reading) -> Look:
    array = Array(load_npy(path))
    check_real(array, where=str(path))
    layout = _layout(path, array.shape, reading)
    shape = arranged(np.broadcast_to(np.zeros(()), array.shape), layout).shape
    return Look(
        f"NPY {array.dtype}",
        shape,
        _names(shape[0]),
        ("",) * shape[0],
        array.dtype.name,
        said=f"axes {', '.join(layout)}" if len(layout) > 1 else "",
    )


def _read_array(path: Path, reading: Reading) -> NDArray[Any]:
    values = load_npy(path)
    return arranged(values, _layout(path, values.shape, reading))


def _layout(path: Path, shape: Sequence[int], reading: Reading) -> tuple[str, ...]:
    if reading.layout:
        return check_layout(reading.layout, shape, samples=False, where=str(path))
    try:
        return guess_layout(shape, samples=None)
    except ValueError as error:
        raise DataError(
            explained(
                where=str(path),
                what="an array",
                allowed="of one to three axes",
                got=str(error),
                next_step="Say what the axes are, for example --layout 'channel y x'",
            )
        ) from None


def _look_at_text(path: Path, reading: Reading) -> Look:
    if _wants_grid(reading):
        return _grid_look(_grid(path, reading).shape)
    found = _text(path, reading)
    rows, columns = found.values.shape[1], found.values.shape[0]
    if not reading.layout and not reading.columns and found.step is None and columns > _MOST_COLUMNS:
        return _grid_look((1, rows, columns))
    names = tuple(name or fallback for name, fallback in zip(found.names, _names(columns), strict=True))
    return Look(
        "text", (columns, rows), names, found.units, "float64", step=found.step, start=found.start, said=found.said
    )


def _grid_look(shape: tuple[int, ...]) -> Look:
    return Look("text grid", shape, ("value",), ("",), "float64", said="axes y, x")


def _wants_grid(reading: Reading) -> bool:
    return len(reading.layout) == 2 and "channel" not in reading.layout


def _grid(path: Path, reading: Reading) -> NDArray[np.float64]:
    """Return a text file as a field, shape (1, y, x)."""
    found = read_text(path, encoding=reading.encoding, decimal=reading.decimal, grid=True)
    return found.values.T[None]


def _text(path: Path, reading: Reading) -> Recognised:
    """Return a text file as signals, those columns that were asked for."""
    found = read_text(path, encoding=reading.encoding, decimal=reading.decimal, time_unit=reading.time_unit)
    if not reading.columns:
        return found
    missing = [name for name in reading.columns if name not in found.names]
    if missing:
        raise DataError(
            explained(
                where=str(path),
                what="the columns",
                allowed=f"some of {', '.join(map(repr, found.names))}",
                got=", ".join(map(repr, missing)),
            )
        )
    places = [found.names.index(name) for name in reading.columns]
    units = tuple(found.units[place] for place in places)
    return Recognised(found.values[places], reading.columns, units, found.step, found.start, found.said)


def _names(channels: int) -> tuple[str, ...]:
    return ("signal",) if channels == 1 else tuple(f"channel{place}" for place in range(1, channels + 1))
