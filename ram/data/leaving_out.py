"""Groups that are left out: they are the test part, and the others give the training and the validation part."""

from __future__ import annotations

__all__ = ["MANY_GROUPS", "by_group", "leave_out"]

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from ram.data.dataset import Dataset
from ram.data.head import Head
from ram.data.parting import draw_parts, independent_groups
from ram.data.source import Reheaded
from ram.data.spec import PARTS
from ram.errors import DataError, explained, nearest

By = Literal["auto", "group", "sample"]
MANY_GROUPS = 5
"""From so many groups on whole ones validate: a fifth of them, and four are left to learn from."""

_SEED = 0  # the same samples validate whatever the experiment's seed: nets of several seeds answer as one
_TRAIN, _VALIDATION, _TEST = range(len(PARTS))


def leave_out(data: Dataset, groups: Sequence[str], *, split: str, share: float, by: By) -> Dataset:
    """Return the samples with a split in place of the file's: `groups` are its test part.

    Samples of weight 0 take no part in validation and test: they stay in the training part, where they count nothing,
    or are left away where they belong to `groups`.

    Parameters
    ----------
    groups
        Which are left out.
    split
        Name of the split that is replaced.
    share
        Of the other samples, to validate; which they are depends on the names of groups and samples alone.
    by
        Whether whole groups validate, or samples of groups that are learned from; ``"auto"``: as `by_group` says.

    Raises
    ------
    DataError
        A group is not in the file, or too little is left.
    """
    _check_known(data, groups)
    left, counts = np.isin(data.groups, groups), data.weights > 0
    kept = data[~left | counts]
    left, counts = np.isin(kept.groups, groups), kept.weights > 0
    others = kept[~left & counts]
    own = independent_groups(others.groups, others.ids)
    whole = by_group(own) if by == "auto" else by == "group"
    names = own if whole else others.ids
    if np.unique(names).size < 2:
        raise _too_little(data, groups, whole=whole, count=np.unique(names).size)
    parts = np.full(len(kept), _TRAIN, dtype=np.uint8)
    parts[left] = _TEST
    parts[~left & counts] = draw_parts(names.tolist(), (1 - share, share, 0.0), seed=_SEED)
    return _parted(kept, split, parts)


def by_group(groups: NDArray[np.str_]) -> bool:
    """Say whether there are enough groups for whole ones to validate."""
    return np.unique(groups).size >= MANY_GROUPS


def _parted(data: Dataset, split: str, parts: UInt8[np.ndarray, " sample"]) -> Dataset:
    codes = np.full(data._source.head.count, _TRAIN, dtype=np.uint8)
    codes[data.indices] = parts
    return Dataset(_Parted(data._source, split, codes), data.indices)


def _check_known(data: Dataset, groups: Sequence[str]) -> None:
    known = np.unique(data.groups[data.groups != ""]).tolist()
    for name in groups:
        if name not in known:
            raise DataError(
                explained(
                    where=f"{data.path}:{data.place('groups')}",
                    what="a group that is left out",
                    allowed=f"one of {', '.join(known)}" if known else "in the file, which has none",
                    got=repr(name),
                    next_step=nearest(name, known),
                )
            )


def _too_little(data: Dataset, groups: Sequence[str], *, whole: bool, count: int) -> DataError:
    what, step = "the groups that are left" if whole else "the samples that are left", "Leave fewer groups out"
    return DataError(
        explained(
            where=f"{data.path}:{data.place('groups')} without {', '.join(groups)}",
            what=what,
            allowed="at least 2, one to learn from and one to validate",
            got=count,
            next_step=f"{step}, or let samples validate: data.leave_out.validation_by = 'sample'" if whole else step,
        )
    )


@dataclass
class _Parted(Reheaded):
    """A source with one split in place of the one that it has by this name, or beside its own."""

    split: str
    codes: UInt8[np.ndarray, " row"] = field(repr=False)

    def changed(self, own: Head) -> Head:
        splits = own.splits if self.split in own.splits else (*own.splits, self.split)
        return replace(own, splits=splits, columns={**own.columns, f"splits/{self.split}": self.codes})

    def place(self, name: str) -> str:
        return f"{super().place('groups')} (data.leave_out)" if name.startswith("splits") else super().place(name)
