"""Train, validation and test by a seed and fractions; a group is never divided."""

from __future__ import annotations

__all__ = ["split_groups"]

from collections import Counter
from collections.abc import Sequence

from ram.data.spec import PARTS
from ram.errors import ConfigError, explained
from ram.randomness import seed_of


def split_groups(groups: Sequence[str], fractions: Sequence[float], *, seed: int) -> list[str]:
    """Return the part of each sample.

    Groups are drawn in an order that depends on the seed and their names alone, each to the part that lacks most
    samples; every part of a share above 0 gets one group first.

    Parameters
    ----------
    groups
        Of each sample.
    fractions
        Shares of train, validation and test; their sum is 1.

    Raises
    ------
    ConfigError
        The shares are not 0 to 1 or do not add up to 1, or there are fewer groups than parts.

    >>> split_groups(["a", "a", "b", "c"], (0.5, 0.25, 0.25), seed=1)
    ['validation', 'validation', 'test', 'train']
    """
    if any(not 0 <= share <= 1 for share in fractions) or abs(sum(fractions) - 1) > 1e-6:
        words = ", ".join(f"{share:g}" for share in fractions)
        raise ConfigError(explained(where="--fractions", what="the shares", allowed="0 to 1, together 1", got=words))
    sizes = Counter(groups)
    wanted = {part: share * len(groups) for part, share in zip(PARTS, fractions, strict=True) if share > 0}
    if len(sizes) < len(wanted):
        raise ConfigError(
            explained(
                where="the split",
                what="the samples",
                allowed=f"of {len(wanted)} groups at least, one for each part",
                got=f"{len(sizes)} group{'s' * (len(sizes) > 1)}",
                next_step="Group by a column with more values, cut shorter blocks (--block), or say --fractions 1 0 0",
            )
        )
    lacking = dict(wanted)
    chosen: dict[str, str] = {}
    for place, name in enumerate(sorted(sizes, key=lambda name: (seed_of(seed, "split", name), name))):
        first = list(wanted)[place] if place < len(wanted) else ""
        part = first or max(lacking, key=lambda part: lacking[part])
        chosen[name] = part
        lacking[part] -= sizes[name]
    return [chosen[name] for name in groups]
