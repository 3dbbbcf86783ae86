"""Train, validation and test by a seed and fractions, as the import asks for them."""

from __future__ import annotations

__all__ = ["split_groups"]

from collections.abc import Sequence

from ram.data.parting import draw_parts, parts_wanted
from ram.data.spec import PARTS
from ram.errors import ConfigError, explained


def split_groups(groups: Sequence[str], fractions: Sequence[float], *, seed: int) -> list[str]:
    """Return the part of each sample, drawn by `ram.data.parting.draw_parts`.

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

    >>> split_groups(["a", "a", "b", "c"], (0.5, 0.25, 0.25), seed=0)
    ['train', 'train', 'validation', 'test']
    """
    if any(not 0 <= share <= 1 for share in fractions) or abs(sum(fractions) - 1) > 1e-6:
        words = ", ".join(f"{share:g}" for share in fractions)
        raise ConfigError(explained(where="--fractions", what="the shares", allowed="0 to 1, together 1", got=words))
    count, needed = len(set(groups)), len(parts_wanted(fractions))
    if count < needed:
        raise ConfigError(
            explained(
                where="the split",
                what="the samples",
                allowed=f"of {needed} groups at least, one for each part",
                got=f"{count} group{'s' * (count > 1)}",
                next_step="Group by a column with more values, cut shorter blocks (--block), or say --fractions 1 0 0",
            )
        )
    return [PARTS[code] for code in draw_parts(groups, fractions, seed=seed).tolist()]
