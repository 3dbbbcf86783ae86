"""Windows over records: which cells of which record a sample is, and how to read many of them at once.

Nothing is stored for a window: its record and its first cell follow from its number.
"""

from __future__ import annotations

__all__ = ["Slab", "Windows"]

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int64

Numbers = Int64[np.ndarray, " row"]


@dataclass(frozen=True, eq=False)
class Slab:
    """Cells `start` to `stop` of the records `first` to `end` (excluded), and the samples that lie in them.

    ``positions`` says which of the asked rows they are, ``records`` and ``begins`` where each stands in the slab.
    """

    first: int
    end: int
    start: int
    stop: int
    positions: Numbers
    records: Numbers
    begins: Numbers


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of `length` cells, every `hop` cells, in the segments of some records.

    A segment is a record or a stretch of it; ``record`` and ``begin`` say where each begins, ``ends`` how many
    windows there are up to its end. ``kept`` holds the numbers of the windows that are used, None for all.
    ``measured`` holds the cells of each record that count, where some have fewer than a window: the rest is padding.
    """

    length: int
    hop: int
    record: Numbers
    begin: Numbers
    ends: Numbers
    kept: Numbers | None = None
    measured: Numbers | None = None

    @classmethod
    def whole(cls, lengths: Numbers, *, length: int) -> Windows:
        """Return one window for each record, whatever its length: longer ones are cut, shorter ones padded.

        >>> windows = Windows.whole(np.array([10, 4]), length=6)
        >>> windows.count, windows.sizes(np.arange(2)).tolist()
        (2, [6, 4])
        """
        records = np.arange(lengths.size)
        return cls(length, length, records, np.zeros_like(records), records + 1, measured=lengths)

    @classmethod
    def over(cls, lengths: Numbers, *, length: int, hop: int, stretch: int | None = None) -> Windows:
        """Return the windows in records of these lengths; a window lies in one stretch, whole.

        >>> windows = Windows.over(np.array([10, 4]), length=4, hop=3)
        >>> windows.count, [tuple(map(int, place)) for place in zip(*windows.places(np.arange(4)))]
        (4, [(0, 0), (0, 3), (0, 6), (1, 0)])
        """
        stretches = np.ones_like(lengths) if stretch is None else -(-lengths // stretch)
        record = np.repeat(np.arange(lengths.size), stretches)
        number = np.arange(record.size) - np.repeat(np.cumsum(stretches) - stretches, stretches)
        begin = number * (stretch or 0)
        cells = lengths[record] - begin if stretch is None else np.minimum(stretch, lengths[record] - begin)
        counts = np.maximum(0, (cells - length) // hop + 1)
        return cls(length, hop, record, begin, np.cumsum(counts))

    @property
    def count(self) -> int:
        """Number of windows that are used."""
        if self.kept is not None:
            return int(self.kept.size)
        return int(self.ends[-1]) if self.ends.size else 0

    def keep(self, wanted: Bool[np.ndarray, " row"]) -> Windows:
        """Return some of the windows."""
        numbers = np.arange(self.count) if self.kept is None else self.kept
        return self if wanted.all() else replace(self, kept=numbers[wanted])

    def sizes(self, rows: Numbers) -> Numbers:
        """Return how many cells of each row are no padding."""
        if self.measured is None:
            return np.full(rows.size, self.length)
        record, begin = self.places(rows)
        return np.asarray(np.minimum(self.length, self.measured[record] - begin))

    def segments(self, rows: Numbers) -> Numbers:
        """Return the segment of each row."""
        numbers = rows if self.kept is None else self.kept[rows]
        return np.asarray(np.searchsorted(self.ends, numbers, side="right"))

    def places(self, rows: Numbers) -> tuple[Numbers, Numbers]:
        """Return the record and the first cell of each row."""
        numbers = rows if self.kept is None else self.kept[rows]
        segment = np.asarray(np.searchsorted(self.ends, numbers, side="right"))
        before = np.where(segment > 0, self.ends[segment - 1], 0)
        return self.record[segment], self.begin[segment] + (numbers - before) * self.hop

    def slabs(self, rows: Numbers, *, most_cells: int, whole_records: bool) -> Iterator[Slab]:
        """Yield what to read for `rows`, neighbours at once, in the order of the file.

        Parameters
        ----------
        most_cells
            A slab of several samples has no more cells than this.
        whole_records
            Each sample is a record of its own: neighbouring records are read at once.
        """
        record, begin = self.places(rows)
        order = np.lexsort((begin, record))
        record, begin = record[order], begin[order]
        cuts = (
            _whole_cuts(record, most_cells // self.length) if whole_records else self._cuts(record, begin, most_cells)
        )
        for piece in np.split(np.arange(rows.size), cuts) if rows.size else ():
            first, start = int(record[piece[0]]), int(begin[piece[0]])
            end, stop = int(record[piece[-1]]) + 1, int(begin[piece].max()) + self.length
            yield Slab(first, end, start, stop, order[piece], record[piece] - first, begin[piece] - start)

    def _cuts(self, record: Numbers, begin: Numbers, most_cells: int) -> Numbers:
        """Cut where the record changes, where cells lie between two windows, and where a slab grows too large."""
        apart = (np.diff(record) != 0) | (np.diff(begin) > self.length)
        cuts, start = [], 0
        for place in range(1, record.size):
            if apart[place - 1] or begin[place] + self.length - begin[start] > max(most_cells, self.length):
                cuts.append(place)
                start = place
        return np.array(cuts, dtype=np.int64)


def _whole_cuts(record: Numbers, most_records: int) -> Numbers:
    """Cut where records are not neighbours, and where a slab grows too large."""
    cuts, start = [], 0
    for place in range(1, record.size):
        if record[place] - record[place - 1] > 1 or record[place] - record[start] >= max(most_records, 1):
            cuts.append(place)
            start = place
    return np.array(cuts, dtype=np.int64)
