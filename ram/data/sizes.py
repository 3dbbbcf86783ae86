"""Sizes in bytes, as people write them."""

from __future__ import annotations

__all__ = ["byte_size", "readable_size"]

import re

_UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def byte_size(text: str) -> int:
    """Return the bytes that a text such as ``"4 GiB"`` stands for.

    >>> byte_size("4 GiB"), byte_size("1.5 MB")
    (4294967296, 1500000)

    Raises
    ------
    ValueError
        It is no number with one of the units kB, MB, GB, TB, KiB, MiB, GiB or TiB, or zero.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(\w+)", text.strip())
    if found is None or found[2] not in _UNITS or float(found[1]) == 0:
        raise ValueError(f"a size such as '4 GiB' or '500 MB'. Got {text!r}")
    return int(float(found[1]) * _UNITS[found[2]])


def readable_size(count: int) -> str:
    """Return a number of bytes for people, three digits.

    >>> readable_size(2_147_483_648), readable_size(17)
    ('2.15 GB', '17 bytes')
    """
    for unit in ("TB", "GB", "MB", "kB"):
        if count >= _UNITS[unit]:
            return f"{count / _UNITS[unit]:.3g} {unit}"
    return f"{count} bytes"
