"""Which samples are trained on: a draw by seed and group."""

from __future__ import annotations

__all__ = ["parts_by_group"]

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from ram.data.spec import PARTS
from ram.errors import DataError, explained
from ram.randomness import seed_of


def parts_by_group(
    groups: Sequence[str], *, seed: int, validation: float, test: float, where: str
) -> UInt8[np.ndarray, " sample"]:
    """Return the part of each sample, as its place in `PARTS`; all samples of a group get the same.

    Groups are drawn in an order that is a function of the seed and their names alone; each part takes those that
    bring it nearer to its share of the samples, and one group at least.

    >>> parts_by_group(["a", "a", "b", "c"], seed=0, validation=0.25, test=0.25, where="daq.h5").tolist()
    [0, 0, 1, 2]

    Raises
    ------
    DataError
        Fewer groups than parts.
    """
    names, member, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    shares = {"test": test, "validation": validation}
    needed = 1 + sum(share > 0 for share in shares.values())
    if names.size < needed:
        allowed = f"at least {needed}, one for each part that is drawn"
        step = 'Part a long record with stretch = "60 s", or name the parts: split = "/path"'
        raise DataError(explained(where=where, what="the groups", allowed=allowed, got=names.size, next_step=step))
    order = sorted(range(names.size), key=lambda place: seed_of(seed, "split", str(names[place])))
    part = np.zeros(names.size, dtype=np.uint8)
    for left, (name, share) in zip((needed - 1, 1), shares.items(), strict=True):
        if share == 0:
            continue
        chosen: list[int] = []
        size = 0
        for place in order:
            if len(order) - len(chosen) > left and size + 0.5 * sizes[place] < share * member.size:
                chosen.append(place)
                size += int(sizes[place])
        chosen = chosen or [min(order, key=lambda place: int(sizes[place]))]
        part[chosen] = PARTS.index(name)
        taken = set(chosen)
        order = [place for place in order if place not in taken]
    return np.asarray(part[member])
