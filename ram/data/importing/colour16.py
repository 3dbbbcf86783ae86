"""Colour pictures of 16 bits, which Pillow reads as 8 bits without a word: PNG, and TIFF without LZW."""

from __future__ import annotations

__all__ = ["colour_channels_of_png", "read_png", "read_tiff"]

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CHANNELS = {2: 3, 4: 2, 6: 4}
_UNCOMPRESSED, _DEFLATE, _OLD_DEFLATE = 1, 8, 32946


def colour_channels_of_png(head: bytes) -> int:
    """Return the number of channels where the first 26 bytes are those of a PNG of 16-bit colours, else 0."""
    if len(head) < 26 or not head.startswith(b"\x89PNG") or head[24] != 16:
        return 0
    return _CHANNELS.get(head[25], 0)


def read_png(path: Path, *, most_cells: int) -> NDArray[np.uint16]:
    """Return a PNG of 16-bit colours, shape (channel, y, x).

    Raises
    ------
    ValueError
        It is damaged, interlaced, or of more than `most_cells` pixels.

    Source: W3C, Portable Network Graphics, sections 7 and 9.
    """
    content = path.read_bytes()
    width, height, _, kind, _, _, interlaced = struct.unpack(">IIBBBBB", content[16:29])
    if interlaced:
        raise ValueError("an interlaced PNG of 16-bit colours; save it without interlacing")
    if width * height > most_cells:
        raise ValueError(f"{width} x {height} pixels")
    channels = _CHANNELS[kind]
    stride = 2 * channels * width
    raw = _inflated(_image_data(content), height * (stride + 1))
    lines = np.frombuffer(raw, dtype=np.uint8).reshape(height, stride + 1)
    pixels = _unfiltered(lines[:, 0], lines[:, 1:], 2 * channels)
    return np.moveaxis(pixels.reshape(height, width, channels, 2).view(">u2")[..., 0].astype(np.uint16), -1, 0)


def read_tiff(image: Any, content: bytes) -> NDArray[np.uint16]:
    """Return a TIFF of 16-bit colours that Pillow has opened, shape (channel, y, x).

    Raises
    ------
    ValueError
        It is compressed otherwise than by deflate, in tiles or planes, or damaged.

    Source: Adobe, TIFF revision 6.0, sections 8 and 14.
    """
    tags = image.tag_v2
    compression, predictor = tags.get(259, 1), tags.get(317, 1)
    if compression not in (_UNCOMPRESSED, _DEFLATE, _OLD_DEFLATE) or 322 in tags or tags.get(284, 1) != 1:
        raise ValueError("a TIFF of 16-bit colours in tiles, in planes or compressed by other than deflate")
    width, height = image.size
    channels = int(tags.get(277, 3))
    strips = []
    for begin, size in zip(tags[273], tags[279], strict=True):
        strip = content[begin : begin + size]
        strips.append(strip if compression == _UNCOMPRESSED else _inflated(strip, 2 * channels * width * height))
    raw = b"".join(strips)
    kind = ">u2" if content.startswith(b"MM") else "<u2"
    if len(raw) != 2 * channels * width * height:
        raise ValueError(f"{len(raw)} bytes of pixels")
    pixels = np.frombuffer(raw, dtype=kind).reshape(height, width, channels).astype(np.uint16)
    if predictor == 2:  # each row holds differences
        pixels = np.cumsum(pixels, axis=1, dtype=np.uint16)
    return np.moveaxis(pixels, -1, 0)


def _image_data(content: bytes) -> bytes:
    """Return the compressed pixels: the IDAT chunks, each checked by its CRC."""
    parts, place = [], 8
    while place + 12 <= len(content):
        (size,) = struct.unpack(">I", content[place : place + 4])
        kind, body = content[place + 4 : place + 8], content[place + 8 : place + 8 + size]
        check = content[place + 8 + size : place + 12 + size]
        if len(check) < 4 or zlib.crc32(kind + body) != int.from_bytes(check, "big"):
            raise ValueError("a damaged PNG")
        if kind == b"IDAT":
            parts.append(body)
        place += 12 + size
    return b"".join(parts)


def _inflated(data: bytes, size: int) -> bytes:
    """Return what `data` holds, `size` bytes at most: a small file must not fill the memory."""
    try:
        return zlib.decompressobj().decompress(data, size)
    except zlib.error as error:
        raise ValueError(f"damaged pixels ({error})") from None


def _unfiltered(kinds: NDArray[np.uint8], lines: NDArray[np.uint8], pixel: int) -> NDArray[np.uint8]:
    """Return the bytes of the pixels, shape (y, byte); every row says what it is the difference to."""
    result = np.zeros_like(lines)
    above = np.zeros(lines.shape[1], dtype=np.uint8)
    for row, kind in enumerate(kinds):
        line = lines[row]
        if kind == 1:  # to the pixel on the left
            above = np.cumsum(line.reshape(-1, pixel), axis=0, dtype=np.uint8).reshape(-1)
        elif kind == 2:  # to the row above
            above = line + above
        elif kind in (3, 4):
            above = _from_both(line, above, pixel, average=bool(kind == 3))
        elif kind == 0:
            above = line.copy()
        else:
            raise ValueError(f"filter {kind}, which PNG has not")
        result[row] = above
    return result


def _from_both(line: NDArray[np.uint8], above: NDArray[np.uint8], pixel: int, *, average: bool) -> NDArray[np.uint8]:
    """Undo the filters that look to the left and above at once: one pixel after the other."""
    left, corner = [0] * pixel, [0] * pixel
    values, upper, result = line.tolist(), above.tolist(), []
    for begin in range(0, len(values), pixel):
        for place in range(pixel):
            up = upper[begin + place]
            guess = (left[place] + up) // 2 if average else _paeth(left[place], up, corner[place])
            left[place], corner[place] = (values[begin + place] + guess) % 256, up
        result += left
    return np.array(result, dtype=np.uint8)


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    away = (abs(guess - left), abs(guess - up), abs(guess - corner))
    return (left, up, corner)[away.index(min(away))]
