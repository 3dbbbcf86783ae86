"""Answers as the page reads them: a head in JSON and arrays as they lie in memory, in one piece.

``b"ramf"``, the length of the head (uint32, little-endian), the head (UTF-8, padded with blanks), the arrays. The
head's ``arrays`` says of each its type, its shape and where it begins, counted from the end of the head.
"""

from __future__ import annotations

__all__ = ["frame", "unframed"]

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from ram.storage.plain import plain

_MAGIC, _STEP = b"ramf", 8


def frame(head: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """Return a head and arrays as one piece.

    Parameters
    ----------
    head
        Of what JSON has; numbers that are not finite become null.
    arrays
        Of float32, float64, uint8, uint16 or uint32.
    """
    places, pieces, begin = {}, [], 0
    for name, values in arrays.items():
        content = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes()
        places[name] = {"type": values.dtype.name, "shape": list(values.shape), "begin": begin}
        pieces.append(content + bytes(-len(content) % _STEP))
        begin += len(pieces[-1])
    text = json.dumps(plain({**head, "arrays": places}), allow_nan=False, ensure_ascii=False).encode()
    text += b" " * (-(len(text) + len(_MAGIC) + 4) % _STEP)
    return b"".join([_MAGIC, struct.pack("<I", len(text)), text, *pieces])


def unframed(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """Return the head and the arrays of what `frame` gave.

    >>> head, arrays = unframed(frame({"unit": "Hz"}, {"cells": np.array([1.5, 2.5])}))
    >>> head["unit"], arrays["cells"]
    ('Hz', array([1.5, 2.5]))
    """
    (size,) = struct.unpack_from("<I", content, len(_MAGIC))
    begin = len(_MAGIC) + 4
    head: dict[str, Any] = json.loads(content[begin : begin + size])
    return head, {
        name: np.frombuffer(
            content, dtype=place["type"], count=int(np.prod(place["shape"])), offset=begin + size + place["begin"]
        ).reshape(place["shape"])
        for name, place in head["arrays"].items()
    }
