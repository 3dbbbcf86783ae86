"""Texts of many samples on their way into a file: gathered in little memory, ids held to be unique as they come."""

from __future__ import annotations

__all__ = ["Ids", "Texts"]

from collections.abc import Iterator

import numpy as np
import xxhash
from numpy.typing import NDArray

_BLOCK = 2**16


class Texts:
    """Texts in their order, as bytes of one length a block: ten million of 20 letters take 200 MB, not 1 GB.

    >>> texts = Texts()
    >>> for name in ("beam", "rim", "beam"):
    ...     texts.add(name)
    >>> len(texts), texts.width, [block.tolist() for block in texts.blocks()]
    (3, 4, [[b'beam', b'rim', b'beam']])
    """

    def __init__(self) -> None:
        self._full: list[NDArray[np.bytes_]] = []
        self._last: list[bytes] = []

    def __len__(self) -> int:
        return _BLOCK * len(self._full) + len(self._last)

    def add(self, text: str) -> None:
        """Take the next one."""
        self._last.append(text.encode())
        if len(self._last) == _BLOCK:
            self._full.append(np.array(self._last, dtype=np.bytes_))
            self._last = []

    @property
    def width(self) -> int:
        """Bytes of the longest, at least 1."""
        return max([1, *(block.dtype.itemsize for block in self._full), *map(len, self._last)])

    def blocks(self) -> Iterator[NDArray[np.bytes_]]:
        """Yield all of them, many at a time, each block as wide as its longest."""
        yield from self._full
        if self._last:
            yield np.array(self._last, dtype=np.bytes_)

    def row(self, row: int) -> bytes:
        """Return one of them."""
        block, place = divmod(row, _BLOCK)
        return bytes(self._full[block][place]) if block < len(self._full) else self._last[place]


class Ids(Texts):
    """Texts of which no two are the same.

    What came last is looked up as it is, what came before by 64 bits of each: sorted, 16 bytes an id. Equal bits are
    held against the texts, so nothing depends on luck.

    >>> ids = Ids()
    >>> ids.add("beam")
    >>> ids.row_of("beam"), ids.row_of("rim")
    (0, None)
    """

    def __init__(self) -> None:
        super().__init__()
        self._recent: dict[str, int] = {}
        self._bits: NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)
        self._rows: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def row_of(self, text: str) -> int | None:
        """Return the row that has this text already, None where none has."""
        if text in self._recent or not self._bits.size:
            return self._recent.get(text)
        bits = _bits_of(text)
        place = int(self._bits.searchsorted(bits))
        while place < self._bits.size and self._bits[place] == bits:
            if self.row(int(self._rows[place])) == text.encode():
                return int(self._rows[place])
            place += 1
        return None

    def add(self, text: str) -> None:
        """Take the next one, which no row has yet."""
        self._recent[text] = len(self)
        super().add(text)
        if len(self._recent) == _BLOCK:
            self._settle()

    def _settle(self) -> None:
        """Move what is recent to the sorted bits."""
        bits = np.array([_bits_of(text) for text in self._recent])
        rows = np.fromiter(self._recent.values(), np.int64)
        order = np.argsort(bits)
        places = self._bits.searchsorted(bits[order])
        self._bits = np.insert(self._bits, places, bits[order])
        self._rows = np.insert(self._rows, places, rows[order])
        self._recent = {}


def _bits_of(text: str) -> np.uint64:
    return np.uint64(xxhash.xxh3_64_intdigest(text.encode()))
