"""What a map claims of a change, held against what happens."""

from __future__ import annotations

__all__ = ["Intervention", "Patches", "intervention"]

from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from ram.errors import DataError, explained
from ram.evaluation.agreement import linear_agreement
from ram.evaluation.subject import Subject
from ram.randomness import generator

_SMALLEST, _LARGEST = 1 / 8, 1 / 2  # of each axis


@dataclass(frozen=True)
class Intervention:
    """How true changes go along with those that maps claim.

    Attributes
    ----------
    slope, offset
        Of the line ``true = offset + slope * claimed``: a slope below 1 is of maps that claim too much.
    r2
        Which share of the variance of true changes the line explains, 0 to 1.
    r2_as_claimed
        Which share the claims explain as they stand, without slope and offset; below 0 where they are worse than the
        mean of the true changes.
    mae
        Mean of |true - claimed|, in the target's unit.
    mean_absolute
        Mean of |true|, to hold `mae` against.
    changes
        How many changes both are known of.
    """

    slope: float
    offset: float
    r2: float
    r2_as_claimed: float
    mae: float
    mean_absolute: float
    changes: int

    def as_dict(self) -> dict[str, float | int]:
        """Return all figures by name."""
        return asdict(self)


def intervention(true: Float[np.ndarray, "..."], claimed: Float[np.ndarray, "..."]) -> Intervention:
    """Return how the changes that were found by asking physics again go along with those that maps claim.

    Parameters
    ----------
    true
        What the target changes by when a region is given the reference's values, of any shape: samples by regions.
        NaN where it is not known.
    claimed
        Of the same shape: minus what the map says that the region carries.

    Raises
    ------
    DataError
        Where shapes differ, or fewer than two changes are known.

    >>> found = intervention(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0]))
    >>> found.slope, found.r2, found.mae
    (0.5, 1.0, 2.0)
    """
    if np.shape(true) != np.shape(claimed):
        got = f"{np.shape(true)} and {np.shape(claimed)}"
        raise DataError(explained(where="intervention", what="true and claimed", allowed="of one shape", got=got))
    known = np.isfinite(true) & np.isfinite(claimed)
    y, x = np.asarray(true, np.float64)[known], np.asarray(claimed, np.float64)[known]
    if y.size < 2:
        raise DataError(
            explained(where="intervention", what="changes that are known", allowed="two or more", got=y.size)
        )
    spread, error = float(((y - y.mean()) ** 2).sum()), y - x
    along = x - x.mean()
    slope = float(along @ y / (along @ along)) if along.any() else float("nan")
    offset = float(y.mean() - slope * x.mean())
    left = float(((y - offset - slope * x) ** 2).sum())
    return Intervention(
        slope=slope,
        offset=offset,
        r2=1 - left / spread if spread > 0 else float("nan"),
        r2_as_claimed=1 - float(error @ error) / spread if spread > 0 else float("nan"),
        mae=float(np.abs(error).mean()),
        mean_absolute=float(np.abs(y).mean()),
        changes=int(y.size),
    )


@dataclass(frozen=True, eq=False)
class Patches:
    """Random patches of the net's own cells, and what its answer loses where a patch shows the reference.

    Patches are boxes of an eighth to a half of each axis, the same for all maps of a sample.

    Attributes
    ----------
    subject
        The samples, all of which are used.
    count
        Patches of each sample.
    """

    subject: Subject
    count: int
    seed: int = 0

    @cached_property
    def within(self) -> Bool[np.ndarray, "row patch *cells"]:
        """Which cells lie in each patch."""
        return np.stack([
            np.stack([self._box(draw) for _ in range(self.count)])
            for draw in (generator(self.seed, "patches", str(name)) for name in self.subject.ids)
        ])  # fmt: skip

    def _box(self, draw: np.random.Generator) -> Bool[np.ndarray, "*cells"]:
        inside = np.ones((), dtype=bool)
        for axis in self.subject.cells:
            length = max(1, round(axis.size * float(draw.uniform(_SMALLEST, _LARGEST))))
            first = int(draw.integers(0, axis.size - length + 1))
            place = np.arange(axis.size)
            inside = np.logical_and.outer(inside, (place >= first) & (place < first + length))
        return inside

    @cached_property
    def lost(self) -> Float[np.ndarray, "row patch"]:
        """The net's answer minus its answer with the patch as in the reference, where maps add up."""
        subject, found = self.subject, []
        rows = np.arange(len(subject))
        for number in range(self.count):
            flat = self.within[:, number].reshape(len(subject), -1)
            gone = flat[:, subject.cell_of_point][:, None]
            found.append(subject.answer - subject.answers(np.where(gone, subject.reference, subject.x), rows=rows))
        return np.stack(found, axis=1)

    def claimed(self, maps: Float[np.ndarray, "row *cells"]) -> Float[np.ndarray, "row patch"]:
        """Return what maps say that the patches carry."""
        inside = self.within[: len(maps)].reshape(len(maps), self.count, -1)
        return np.asarray(np.einsum("rpc,rc->rp", inside, maps.reshape(len(maps), -1)))

    def infidelity(self, maps: Float[np.ndarray, "row *cells"]) -> Float[np.ndarray, " row"]:
        """Return the root of the mean square of (claimed - lost) over the patches, in the unit in which maps add up.

        Source: Yeh et al. 2019, arXiv:1901.09392, definition 2.1, with patches that show the reference; the root is
        ours, so that it has the target's unit.
        """
        return np.asarray(np.sqrt(np.square(self.claimed(maps) - self.lost[: len(maps)]).mean(axis=1)))

    def fidelity(self, maps: Float[np.ndarray, "row *cells"]) -> Float[np.ndarray, " row"]:
        """Return the correlation of what is claimed with what is lost, over the patches of each sample, -1 to 1.

        It asks nothing of units. Source: Bhatt et al. 2020, arXiv:2005.00631 (faithfulness correlation).
        """
        return linear_agreement(self.claimed(maps), self.lost[: len(maps)])
