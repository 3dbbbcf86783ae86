"""Train, validation and test drawn by a seed; a group is never divided."""

from __future__ import annotations

__all__ = ["draw_parts", "draw_share", "independent_groups", "parts_wanted"]

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8
from numpy.typing import NDArray

from ram.data.spec import PARTS
from ram.randomness import seed_of


def parts_wanted(shares: Sequence[float]) -> list[str]:
    """Return the parts that get any samples: as many groups are needed at least."""
    return [part for part, share in zip(PARTS, shares, strict=True) if share > 0]


def draw_parts(groups: Sequence[str], shares: Sequence[float], *, seed: int) -> UInt8[np.ndarray, " sample"]:
    """Return the part of each sample, as its place in `PARTS`; all samples of a group get the same.

    Groups are drawn in an order that is a function of the seed and their names alone. Test, then validation, takes
    those that bring it nearer to its share of the samples, one group at least; the rest is for training.

    Parameters
    ----------
    groups
        Of each sample; at least as many different ones as `parts_wanted`.
    shares
        Of train, validation and test; together 1.

    >>> draw_parts(["a", "a", "b", "c"], (0.5, 0.25, 0.25), seed=0).tolist()
    [0, 0, 1, 2]
    """
    names, member, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = sorted(range(names.size), key=lambda place: seed_of(seed, "split", str(names[place])))
    drawn = [PARTS.index(part) for part in reversed(parts_wanted(shares))]
    part = np.full(names.size, drawn[-1], dtype=np.uint8)
    for left, code in zip(range(len(drawn) - 1, 0, -1), drawn, strict=False):
        chosen = _nearest(order, sizes, wanted=shares[code] * member.size, left=left)
        part[chosen] = code
        taken = set(chosen)
        order = [place for place in order if place not in taken]
    return np.asarray(part[member])


def draw_share(
    groups: Sequence[str] | NDArray[np.str_], share: float, *, seed: int, purpose: str
) -> Bool[np.ndarray, " sample"]:
    """Say which samples are drawn so that they are `share` of all, as near as whole groups allow.

    The order in which groups are drawn is a function of seed, purpose and the names of the groups alone, and a
    larger share takes more groups in that same order: what a smaller share has drawn, a larger one draws too.

    Parameters
    ----------
    groups
        Of each sample.
    share
        0 to 1.

    >>> groups = ["a", "b", "c", "d"]
    >>> draw_share(groups, 0.5, seed=0, purpose="x").tolist(), draw_share(groups, 0.25, seed=0, purpose="x").tolist()
    ([False, True, False, True], [False, False, False, True])
    """
    names, member, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = sorted(range(names.size), key=lambda place: seed_of(seed, purpose, str(names[place])))
    middle = np.cumsum(sizes[order]) - 0.5 * sizes[order]  # more than half of a group must fit
    drawn = np.zeros(names.size, dtype=np.bool_)
    drawn[np.array(order, dtype=np.int64)[middle < share * member.size]] = True
    return np.asarray(drawn[member])


def independent_groups(groups: NDArray[np.str_], ids: NDArray[np.str_]) -> NDArray[np.str_]:
    """Return what of a data set is independent of what: the groups, and each sample without one for itself."""
    return np.where(groups == "", np.char.add("\x1f", ids), groups)  # no id can be taken for a group


def _nearest(order: Sequence[int], sizes: np.ndarray, *, wanted: float, left: int) -> list[int]:
    """Return groups in their order as long as each brings the sum nearer to `wanted`; `left` stay for other parts."""
    chosen: list[int] = []
    size = 0
    for place in order:
        if len(order) - len(chosen) > left and size + 0.5 * sizes[place] < wanted:
            chosen.append(place)
            size += int(sizes[place])
    return chosen or [min(order, key=lambda place: int(sizes[place]))]
