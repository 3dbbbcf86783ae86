"""Pictures: PNG, TIFF and JPEG of 1, 8 and 16 bits or floats, gray and colour; colours are channels."""

from __future__ import annotations

__all__ = ["look_at_image", "read_image"]

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ram.data.importing import colour16
from ram.data.importing.look import Look
from ram.errors import DataError, explained

_MOST_CELLS = 2**28
_MODES = {
    "1": ("uint8", ("gray",)),
    "L": ("uint8", ("gray",)),
    "LA": ("uint8", ("gray", "alpha")),
    "RGB": ("uint8", ("red", "green", "blue")),
    "RGBA": ("uint8", ("red", "green", "blue", "alpha")),
    "P": ("uint8", ("red", "green", "blue")),
    "I;16": ("uint16", ("gray",)),
    "I;16B": ("uint16", ("gray",)),
    "I;16L": ("uint16", ("gray",)),
    "I": ("int32", ("gray",)),
    "F": ("float32", ("gray",)),
}


def look_at_image(path: Path) -> Look:
    """Return size, channels and type of a picture; no pixel is read.

    Raises
    ------
    DataError
        It is damaged, too large, of several pages, or its colours are no red, green and blue.
    """
    with _opened(path) as (image, deep):
        if image.mode not in _MODES:
            raise ValueError(f"colours of mode {image.mode}; save it as gray or RGB")
        if getattr(image, "n_frames", 1) != 1:
            raise ValueError(f"{image.n_frames} pages; save each as a picture of its own")
        stored, channels = _MODES[image.mode]
        if deep:
            stored = "uint16"
            channels = {2: ("gray", "alpha"), 3: ("red", "green", "blue")}.get(deep, _MODES["RGBA"][1])
        width, height = image.size
        kind = f"{image.format} {16 if deep else _bits(image.mode)} bit"
        said = "colours of a palette" if image.mode == "P" else ""
        return Look(kind, (len(channels), height, width), channels, ("",) * len(channels), stored, said=said)


def read_image(path: Path) -> NDArray[Any]:
    """Return the pixels of a picture, shape (channel, y, x), in the type of the file.

    Raises
    ------
    DataError
        As `look_at_image`.
    """
    with _opened(path) as (image, deep):
        if deep and image.format == "PNG":
            return colour16.read_png(path, most_cells=_MOST_CELLS)
        if deep:
            return colour16.read_tiff(image, path.read_bytes())
        pixels = np.asarray(image.convert("RGB") if image.mode == "P" else image)
        pixels = pixels.astype(np.uint8) if pixels.dtype == np.bool_ else pixels
        return np.moveaxis(pixels, -1, 0) if pixels.ndim == 3 else pixels[None]


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, int]]:
    """Yield the picture, and how many channels of 16 bits it has that Pillow would cut to 8."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pictures of many pixels are refused below, broken tags are no matter
            with Image.open(path, formats=("PNG", "TIFF", "JPEG", "BMP")) as image:
                if image.width * image.height > _MOST_CELLS:
                    raise ValueError(f"{image.width} x {image.height} pixels")
                yield image, _deep_channels(path, image)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError, KeyError) as error:
        raise DataError(
            explained(
                where=str(path),
                what="a picture",
                allowed="a whole PNG, TIFF or JPEG, gray or RGB",
                got=str(error) or type(error).__name__,
                next_step="Save it again, or leave it out of the table",
            )
        ) from None


def _deep_channels(path: Path, image: Any) -> int:
    if image.format == "TIFF":
        bits = image.tag_v2.get(258, (1,))
        return len(bits) if len(bits) > 1 and set(bits) == {16} else 0
    with path.open("rb") as file:
        return colour16.colour_channels_of_png(file.read(26))


def _bits(mode: str) -> int:
    return {"1": 1, "I": 32, "F": 32}.get(mode, 16 if mode.startswith("I;") else 8)
