"""One pass over the inputs: what checks keep of them, a few numbers a row and one row of sums.

Memory holds one block of rows, some 60 bytes for each row of one channel, and four arrays of the size of one input.
"""

from __future__ import annotations

__all__ = ["SIGNATURE", "Scan", "scan"]

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from ram.data.checks import records
from ram.data.checks.grids import is_signal
from ram.data.checks.values import PLACEHOLDERS
from ram.data.dataset import Dataset
from ram.randomness import generator

_BLOCK_BYTES = 8 * 2**20  # stays in the cache while it is looked at in some twenty ways
_PROBE_BYTES = 16 * 2**20
_PROBES = 64
SIGNATURE = 8  # numbers that stand for a row when near-duplicates are looked for
_SIGNATURE_CELLS = 2**16
_HUGE = 1e18  # its square is 1e36; sums of a thousand such squares are beyond float32

Progress = Callable[[int], None]


@dataclass(eq=False)
class Scan:
    """What one pass over the inputs leaves.

    Attributes
    ----------
    finite
        Shape (sample,): whether the input is finite. Rows that are not have NaN in all that follows.
    low, high, mean, std
        Shape (sample, channel), float32.
    suspect
        Shape (sample, channel): the lowest or highest value is one that programs write for "not measured".
    rest_low, rest_high
        Shape (channel,): the range of all values but such.
    digest
        Shape (sample,): xxh3 of the bytes.
    signature
        Shape (sample, 8): sums with random signs of the input minus the first one, in units of `scale`.
    scale
        Shape (channel,): by what channels are divided before they are compared.
    reference, cell_sum, cell_squares
        Shape (channel, cells): the first finite input; sums over samples of the difference from it, and of its square.
    cell_low, cell_high
        Shape (channel, cells).
    clipped, stuck, wrapped
        Shape (sample,), of records over time: see `ram.data.checks.records`.
    tail
        Shape (sample,), of inputs with one axis: cells at the end that repeat the last value in all channels.
    abrupt
        Shape (sample,), of records over time: whether the signal is still alive where that tail begins.
    probe
        Some whole rows, evenly chosen, shape (row, channel, *space).
    """

    finite: NDArray[np.bool_]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    suspect: NDArray[np.bool_]
    rest_low: NDArray[np.float32]
    rest_high: NDArray[np.float32]
    digest: NDArray[np.uint64]
    signature: NDArray[np.float32]
    clipped: NDArray[np.bool_]
    stuck: NDArray[np.bool_]
    wrapped: NDArray[np.bool_]
    tail: NDArray[np.int32]
    abrupt: NDArray[np.bool_]
    probe: NDArray[np.float32]
    scale: NDArray[np.float32]
    reference: NDArray[np.float32]
    cell_sum: NDArray[np.float64]
    cell_squares: NDArray[np.float64]
    cell_low: NDArray[np.float32]
    cell_high: NDArray[np.float32]

    @classmethod
    def empty(cls, count: int, *, channels: int, space: Sequence[int], probes: int) -> Scan:
        """Return one that has seen nothing of `count` samples."""
        cells = (channels, int(np.prod(space)))
        return cls(
            finite=np.zeros(count, dtype=np.bool_),
            low=np.full((count, channels), np.nan, dtype=np.float32),
            high=np.full((count, channels), np.nan, dtype=np.float32),
            mean=np.full((count, channels), np.nan, dtype=np.float32),
            std=np.full((count, channels), np.nan, dtype=np.float32),
            suspect=np.zeros((count, channels), dtype=np.bool_),
            rest_low=np.full(channels, np.inf, dtype=np.float32),
            rest_high=np.full(channels, -np.inf, dtype=np.float32),
            digest=np.zeros(count, dtype=np.uint64),
            signature=np.full((count, SIGNATURE), np.nan, dtype=np.float32),
            clipped=np.zeros(count, dtype=np.bool_),
            stuck=np.zeros(count, dtype=np.bool_),
            wrapped=np.zeros(count, dtype=np.bool_),
            tail=np.zeros(count, dtype=np.int32),
            abrupt=np.zeros(count, dtype=np.bool_),
            probe=np.zeros((probes, channels, *space), dtype=np.float32),
            scale=np.ones(channels, dtype=np.float32),
            reference=np.zeros(cells, dtype=np.float32),
            cell_sum=np.zeros(cells),
            cell_squares=np.zeros(cells),
            cell_low=np.full(cells, np.inf, dtype=np.float32),
            cell_high=np.full(cells, -np.inf, dtype=np.float32),
        )

    @property
    def placeholder(self) -> NDArray[np.bool_]:
        """Whether a sample holds such a value far from all others, shape (sample,)."""
        width = self.rest_high - self.rest_low
        with np.errstate(invalid="ignore", over="ignore"):
            far = (self.low < self.rest_low - width) | (self.high > self.rest_high + width)
        return np.asarray((self.suspect & far).any(axis=1))

    @property
    def huge(self) -> NDArray[np.bool_]:
        """Whether squares of a sample's values are beyond float32, shape (sample,)."""
        return np.asarray((np.maximum(np.abs(self.low), np.abs(self.high)) > _HUGE).any(axis=1))

    @property
    def good(self) -> NDArray[np.bool_]:
        """Whether a sample's numbers mean anything, shape (sample,)."""
        return np.asarray(self.finite & ~self.placeholder & ~self.huge)

    @property
    def cell_std(self) -> NDArray[np.float64]:
        """Standard deviation of each cell over the finite samples, shape (channel, cells)."""
        count = max(1, int(self.finite.sum()))
        variance = self.cell_squares / count - (self.cell_sum / count) ** 2
        return np.asarray(np.sqrt(np.clip(variance, 0.0, None)))


def scan(data: Dataset, *, progress: Progress | None = None) -> Scan:
    """Read all inputs once, block by block, and return what is kept of them.

    Parameters
    ----------
    progress
        Called with the number of rows after each block.

    Raises
    ------
    DataError
        A row is not what was written.
    """
    row_bytes = 4 * len(data.channels) * int(np.prod([axis.size for axis in data.axes]))
    step = max(1, _BLOCK_BYTES // row_bytes)
    gathering = _Gathering(data, row_bytes=row_bytes)
    for begin in range(0, len(data), step):
        block = data[begin : begin + step].x()
        with np.errstate(all="ignore"):  # what is not finite is what is looked for
            gathering.add(begin, block)
        if progress is not None:
            progress(len(block))
    return gathering.kept


class _Gathering:
    """Fills a `Scan` from blocks."""

    def __init__(self, data: Dataset, *, row_bytes: int) -> None:
        count, channels, space = len(data), len(data.channels), [axis.size for axis in data.axes]
        probes = min(count, _PROBES, max(1, _PROBE_BYTES // row_bytes))
        self._probed = np.unique(np.linspace(0, count - 1, probes).astype(np.int64))
        self._signal = is_signal(data)
        self._signs: NDArray[np.float32] | None = None
        self.kept = Scan.empty(count, channels=channels, space=space, probes=self._probed.size)

    def add(self, begin: int, block: NDArray[np.float32]) -> None:
        """Take the next rows, which begin at position `begin`."""
        kept, rows = self.kept, slice(begin, begin + len(block))
        kept.digest[rows] = [xxhash.xxh3_64_intdigest(row) for row in np.ascontiguousarray(block)]
        chosen = (self._probed >= begin) & (self._probed < begin + len(block))
        kept.probe[chosen] = block[self._probed[chosen] - begin]
        x = block.reshape(*block.shape[:2], -1)  # (row, channel, cells)
        low, high = x.min(axis=2), x.max(axis=2)
        finite = np.isfinite(low).all(axis=1) & np.isfinite(high).all(axis=1)
        kept.finite[rows] = finite
        if not finite.all():
            x, low, high = x[finite], low[finite], high[finite]
        if len(x):
            self._take(begin + np.flatnonzero(finite), x, low=low, high=high)

    def _take(
        self, rows: NDArray[np.int64], x: NDArray[np.float32], *, low: NDArray[np.float32], high: NDArray[np.float32]
    ) -> None:
        """Take rows that are finite."""
        kept = self.kept
        kept.low[rows], kept.high[rows] = low, high
        mean = x.mean(axis=2)
        centred = x - mean[:, :, None]
        kept.mean[rows] = mean
        # The mean of equal numbers may be off by a digit; what is constant has no spread whatever rounding says.
        spread = np.sqrt(np.einsum("rcn,rcn->rc", centred, centred) / x.shape[2])
        kept.std[rows] = np.where(low == high, 0.0, spread)
        self._ranges(rows, x, low=low, high=high)
        self._cells(rows, x)
        if self._signal:
            kept.clipped[rows] = records.clipped(x, low=low, high=high)
            kept.wrapped[rows] = records.wrapped(x, low=low, high=high)
            kept.stuck[rows] = records.stuck(x)
            kept.tail[rows] = records.tail(x)
            kept.abrupt[rows] = records.abrupt(x, tail=kept.tail[rows])
        elif self.kept.probe.ndim == 3:
            kept.tail[rows] = records.tail(x)

    def _ranges(self, rows: NDArray[np.int64], x: NDArray[np.float32], **ends: NDArray[np.float32]) -> None:
        """Take the range of what is no placeholder; one that stands apart is the lowest or highest of its row."""
        known = np.array(PLACEHOLDERS, dtype=np.float32)
        low, high = ends["low"].copy(), ends["high"].copy()
        suspect = np.isin(low, known) | np.isin(high, known)
        self.kept.suspect[rows] = suspect
        for row, channel in np.argwhere(suspect):
            rest = x[row, channel][~np.isin(x[row, channel], known)]
            low[row, channel], high[row, channel] = (rest.min(), rest.max()) if rest.size else (np.inf, -np.inf)
        self.kept.rest_low = np.minimum(self.kept.rest_low, low.min(axis=0))
        self.kept.rest_high = np.maximum(self.kept.rest_high, high.max(axis=0))

    def _cells(self, rows: NDArray[np.int64], x: NDArray[np.float32]) -> None:
        """Take sums over samples, cell by cell, and the signatures of the rows."""
        kept = self.kept
        if self._signs is None:
            kept.reference[...] = x[0]
            self._signs = self._choose_signs(x)
        difference = x - kept.reference
        kept.cell_sum += difference.sum(axis=0)
        kept.cell_squares += np.einsum("rcn,rcn->cn", difference, difference)
        np.minimum(kept.cell_low, x.min(axis=0), out=kept.cell_low)
        np.maximum(kept.cell_high, x.max(axis=0), out=kept.cell_high)
        cells = difference.reshape(len(x), -1)[:, :: self._stride]
        kept.signature[rows] = cells @ self._signs

    def _choose_signs(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fix scale and signs by the first block; channels in Pa and in g count alike."""
        spread: NDArray[Any] = (x - self.kept.reference).std(axis=(0, 2))
        own = x.std(axis=(0, 2))
        self.kept.scale = np.where(spread > 0, spread, np.where(own > 0, own, 1.0)).astype(np.float32)
        size = x.shape[1] * x.shape[2]
        self._stride = -(-size // _SIGNATURE_CELLS)
        scale = np.repeat(self.kept.scale, x.shape[2])[:: self._stride]
        signs = generator(0, "signature").choice(np.array([-1.0, 1.0]), size=(scale.size, SIGNATURE))
        return np.asarray(signs / scale[:, None] / np.sqrt(scale.size), dtype=np.float32)
