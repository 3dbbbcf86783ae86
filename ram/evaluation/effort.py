"""How much is computed for a leaderboard."""

from __future__ import annotations

__all__ = ["Effort"]

from collections.abc import Mapping
from dataclasses import dataclass, field

_LEAST = 12  # samples below which an interval says little


@dataclass(frozen=True)
class Effort:
    """How much is computed: the more, the narrower the intervals.

    Attributes
    ----------
    passes
        Forward passes that the maps of one method may take together, and those that are made again for each of its
        scores; a slow method is scored on fewer samples.
    least, least_again
        Samples of a method at least, and of its maps that are made again.
    curves, infills, imputed
        Samples of the curves against the reference, of those with other infills, and of ROAD's.
    claimed, patches
        Samples, and random patches of each, whose change is held against what maps claim.
    changed, forgotten, draws
        Samples of the small changes and of the cascade, and random draws of both.
    options
        Of methods, by name, in the place of their defaults.
    """

    passes: int = 10_000
    least: int = 12
    least_again: int = 4
    curves: int = 48
    infills: int = 16
    imputed: int = 32
    claimed: int = 64
    patches: int = 32
    changed: int = 12
    forgotten: int = 12
    draws: int = 3
    options: Mapping[str, Mapping[str, int | float]] = field(default_factory=dict)

    def samples(self, count: int, *, views: int) -> int:
        """Return of how many samples a score is, for a net whose answer takes so many passes."""
        return max(min(max(count // 2, 1), _LEAST), count // views)

    def times(self, most: int, *, cost: float) -> int:
        """Return how often the maps of a few samples may be made again, of `cost` passes each: once at least."""
        return int(max(1, min(most, self.passes // (self.least_again * cost))))
