"""What the net says when cells are taken away in the order of a map: deletion, insertion, ordering and ROAD's question.

All areas are in the unit in which maps add up, and no offset enters them. Cells are the net's own; every curve begins
at the net's answer to the sample and ends where all has been taken.
"""

from __future__ import annotations

__all__ = ["FRACTIONS", "Curves", "area", "order_of"]

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from ram.evaluation.infills import imputed, infill
from ram.evaluation.subject import Subject
from ram.randomness import generator

FRACTIONS = np.linspace(0.0, 1.0, 11)
_ROAD_FRACTIONS = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
_RANDOM_ORDERS = 4
_DIGITS = 6  # of a map's largest value: maps that are equal but for rounding have one order

Order = Int[np.ndarray, "row cell"]
Answers = Float[np.ndarray, "row fraction"]
Figures = Float[np.ndarray, " row"]


def order_of(maps: Float[np.ndarray, "row *cells"], *, absolute: bool) -> Order:
    """Return the cells' numbers from the largest value to the smallest, of absolute values or with their signs.

    >>> order_of(np.array([[1.0, -3.0, 2.0]]), absolute=True)
    array([[1, 2, 0]])
    """
    flat = maps.reshape(len(maps), -1)
    largest = np.abs(flat).max(axis=1, keepdims=True)
    rounded = np.round(flat / np.where(largest > 0, largest, 1.0), _DIGITS)
    return np.argsort(-(np.abs(rounded) if absolute else rounded), axis=1, kind="stable")


def area(answers: Answers) -> Figures:
    """Return the mean height of curves over the fraction that was taken, by trapezia.

    >>> area(np.array([[0.0, 1.0, 1.0]]))
    array([0.75])
    """
    return np.asarray((answers[:, 1:] + answers[:, :-1]).mean(axis=1) / 2)


@dataclass(frozen=True, eq=False)
class Curves:
    """Answers of the net to samples from which cells were taken; what methods share is computed once.

    Attributes
    ----------
    subject
        The samples, all of which are used.
    kind
        What stands in the place of what was taken, one of `ram.evaluation.infills.INFILLS`.
    seed
        Of random orders and of the noise of imputation.
    """

    subject: Subject
    kind: str = "reference"
    seed: int = 0
    _known: dict[bytes, np.ndarray] = field(default_factory=dict, repr=False)

    @cached_property
    def _infill(self) -> Float[np.ndarray, "row channel *space"]:
        return infill(self.subject, self.kind)

    def taken(self, order: Order, fraction: float) -> Bool[np.ndarray, "row *space"]:
        """Return which points are gone when the first cells of an order are."""
        count = round(fraction * order.shape[1])
        gone = np.zeros(order.shape, dtype=bool)
        np.put_along_axis(gone, order[:, :count], values=True, axis=1)
        return np.asarray(gone[:, self.subject.cell_of_point])

    def answers(self, order: Order) -> Answers:
        """Return what the net says at each of `FRACTIONS`, the first cells of the order taken first."""
        key = f"{len(order)}".encode() + order.astype(np.int32).tobytes()
        if key not in self._known:
            rows = np.arange(len(order))
            whole = self._ends[:, : len(order)]
            inner = [self._answers_at(order, rows, fraction) for fraction in FRACTIONS[1:-1]]
            self._known[key] = np.stack([whole[0], *inner, whole[1]], axis=1)
        return self._known[key]

    @cached_property
    def _ends(self) -> Float[np.ndarray, "two row"]:
        filled = self.subject.answers(self._infill, rows=np.arange(len(self.subject)))
        return np.stack([self.subject.answer, filled])

    def _answers_at(self, order: Order, rows: np.ndarray, fraction: float) -> Figures:
        gone = self.taken(order, float(fraction))[:, None]
        return self.subject.answers(np.where(gone, self._infill[rows], self.subject.x[rows]), rows=rows)

    @cached_property
    def random(self) -> Figures:
        """How far the prediction goes, on average over the curve, where cells are taken in random orders."""
        cells = int(np.prod([axis.size for axis in self.subject.cells]))
        found = []
        for number in range(_RANDOM_ORDERS):
            draws = (generator(self.seed, "order", number, str(name)) for name in self.subject.ids)
            found.append(self._departure(np.stack([draw.permutation(cells) for draw in draws])))
        return np.asarray(np.mean(found, axis=0))

    def _departure(self, order: Order) -> Figures:
        """Return the mean of |answer - answer to the whole sample| over the curve."""
        answers = self.answers(order)
        return area(np.abs(answers - answers[:, :1]))

    def deletion(self, maps: Float[np.ndarray, "row *cells"]) -> Figures:
        """Return how much farther than in random order the prediction goes where the largest cells are taken first.

        Source: Petsiuk et al. 2018, arXiv:1806.07421, of absolute departures in place of a class's probability.
        """
        return np.asarray(self._departure(order_of(maps, absolute=True)) - self.random[: len(maps)])

    def insertion(self, maps: Float[np.ndarray, "row *cells"]) -> Figures:
        """Return how much nearer than in random order the prediction is where the largest cells are put in first.

        Putting the largest in first is taking the smallest away first, read backwards. Source: as `deletion`.
        """
        return np.asarray(self.random[: len(maps)] - self._departure(order_of(maps, absolute=True)[:, ::-1]))

    def ordering(self, maps: Float[np.ndarray, "row *cells"]) -> Figures:
        """Return the area between two curves: the lowest cells taken first, minus the highest cells taken first.

        A map with the right signs raises the prediction in the first and lowers it in the second. A random map has zero
        in the mean, exactly: an order and its reverse are as likely. With the same infill, deletion and insertion are
        the same two curves.
        """
        order = order_of(maps, absolute=False)
        return area(self.answers(order[:, ::-1]) - self.answers(order))

    def road(self, maps: Float[np.ndarray, "row *cells"]) -> Figures:
        """Return how much more the error grows without the largest cells than without the smallest.

        |prediction - measured|, the mean over the fractions .1 .3 .5 .7 .9, the largest cells imputed, minus the same
        with the smallest; NaN where nothing was measured. What is gone is imputed from its neighbours, so that its
        shape tells the net nothing. A random map has zero in the mean.

        Source: Rong et al. 2022, arXiv:2202.00449, of errors in place of a class's accuracy.
        """
        order, rows = order_of(maps, absolute=True), np.arange(len(maps))
        measured = self._measured[: len(maps)]
        first, last = (
            np.mean([np.abs(self._imputed(way, rows, fraction) - measured) for fraction in _ROAD_FRACTIONS], axis=0)
            for way in (order, order[:, ::-1])
        )
        return np.asarray(first - last)

    @cached_property
    def _measured(self) -> Figures:
        values = self.subject.measured
        if values is None:
            return np.full(len(self.subject), np.nan)
        return np.log(values) if self.subject.log else values

    def _imputed(self, order: Order, rows: np.ndarray, fraction: float) -> Figures:
        key = b"road" + f"{fraction:.2f} {len(order)}".encode() + order.astype(np.int32).tobytes()
        if key not in self._known:
            gone = self.taken(order, float(fraction))
            given = imputed(self.subject, self.subject.x[rows], gone, rows=rows, seed=self.seed)
            self._known[key] = self.subject.answers(given, rows=rows)
        return self._known[key]
