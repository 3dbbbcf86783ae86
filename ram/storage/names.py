"""Names of files for things that are called anything."""

from __future__ import annotations

__all__ = ["file_names"]

import re
from collections import Counter
from collections.abc import Sequence

import xxhash

_LONGEST = 120  # bytes; a file system takes 255, and an unfinished file has a longer name
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_UNFIT = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')


def file_names(texts: Sequence[str]) -> list[str]:
    """Return a name for each text that every file system takes and that no other one of them has, in any case.

    Texts that are such names stay as they are; others have their odd letters replaced and end in a digest.

    >>> file_names(["d_beam 7", "d_run/7", "d_run?7"])
    ['d_beam 7', 'd_run_7-ed714b2c', 'd_run_7-0708a643']
    """
    plain = [_fitting(text) for text in texts]
    count = Counter(name.casefold() for name in plain)
    return [
        name if name == text and count[name.casefold()] == 1 else f"{name}-{xxhash.xxh32_hexdigest(text.encode())}"
        for text, name in zip(texts, plain, strict=True)
    ]


def _fitting(text: str) -> str:
    name = _UNFIT.sub("_", text).strip(" .")
    name = f"_{name}" if not name or _RESERVED.fullmatch(name) or name.startswith(".") else name
    return name.encode()[:_LONGEST].decode(errors="ignore").strip(" .")
