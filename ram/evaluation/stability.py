"""How much a method's maps change: with small changes of the input, with forgotten weights, and from net to net."""

from __future__ import annotations

__all__ = ["Cascade", "Kept", "likeness", "max_sensitivity", "values_of"]

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float

from ram.evaluation.candidates import Candidate
from ram.evaluation.randomisation import cascade_stages, forgotten, rank_kept
from ram.evaluation.subject import Subject, on_cells
from ram.maps.regression_map import RegressionMap
from ram.models.regressor import Regressor
from ram.randomness import generator

_RADIUS = 0.02  # of each channel's scale
Maps = Float[np.ndarray, "row *cells"]


def values_of(subject: Subject, maps: RegressionMap) -> Float[np.ndarray, "row part *cells"]:
    """Return what a map shows on the net's own cells: slopes by channel each for themselves, all else as one part."""
    several = maps.part_contributions if maps.grade == "sensitivity" else maps.contributions[:, None]
    parts = [on_cells(one, source=maps.axes, cells=subject.cells) for one in np.moveaxis(several, 1, 0)]
    return np.stack(parts, axis=1)


def max_sensitivity(subject: Subject, candidate: Candidate, *, draws: int, seed: int) -> Float[np.ndarray, " row"]:
    """Return the largest change of a map, relative to the map, over small random changes of the input.

    ``max over draws of |map(x + d) - map(x)| / |map(x)|``, with the Euclidean norm over the map's own grid and d
    uniform within 2 % of each channel's scale.

    Parameters
    ----------
    subject
        The samples that are looked at, the first ones of those that the candidate has maps of.

    Source: Yeh et al. 2019, arXiv:1901.09392, definition 3.1.
    """
    assert candidate.maps is not None, "a method's own maps"
    own = _flat(candidate.maps)[: len(subject)]
    scale = subject.net.input_scale.float().cpu().numpy().reshape(-1, *(1,) * (subject.x.ndim - 2))
    largest = np.zeros(len(subject))
    for number in range(draws):
        each = [generator(seed, "small change", number, str(name)) for name in subject.ids]
        step = np.stack([draw.uniform(-_RADIUS, _RADIUS, size=subject.x.shape[1:]) for draw in each]) * scale
        moved = subject.explain(
            candidate.name, x=(subject.x + step).astype(np.float32), options=candidate.options, seed=seed
        )
        change = np.linalg.norm(_flat(moved) - own, axis=1)
        largest = np.maximum(largest, change)
    size = np.linalg.norm(own, axis=1)
    return np.where(size > 0, largest / np.where(size > 0, size, 1.0), np.nan)


def _flat(maps: RegressionMap) -> Float[np.ndarray, "row value"]:
    values = maps.part_contributions if maps.grade == "sensitivity" else maps.contributions
    return np.asarray(values.reshape(len(values), -1))


@dataclass(frozen=True, eq=False)
class Kept:
    """What is left of a method's ranking at each stage of the cascade.

    Attributes
    ----------
    layers
        How many layers were drawn anew at each stage; all of them at the last.
    signed, absolute
        Shape (stage, row): rank correlation with the trained net's map, the mean over draws, with signs and of sizes.
    """

    layers: tuple[int, ...]
    signed: Float[np.ndarray, "stage row"] = field(repr=False)
    absolute: Float[np.ndarray, "stage row"] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Cascade:
    """Nets that have forgotten their last layers, more from stage to stage, several draws of each; made once.

    Attributes
    ----------
    subject
        The samples that are looked at.
    draws
        How many nets there are of each stage.
    """

    subject: Subject
    draws: int
    seed: int = 0

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """How many layers are drawn anew at each stage."""
        return tuple(cascade_stages(self.subject.net))

    @cached_property
    def nets(self) -> list[list[Regressor]]:
        """The nets of each stage."""
        seeds = [self.seed + draw for draw in range(self.draws)]
        return [[forgotten(self.subject.net, layers=layers, seed=seed) for seed in seeds] for layers in self.layers]

    def kept(self, candidate: Candidate, *, rows: int, stages: int = 0, draws: int = 0) -> Kept:
        """Return what is left of the ranking of a method's maps, of the first `rows` samples.

        Parameters
        ----------
        stages, draws
            Of the last stages alone, and of so many draws; all of them if 0.
        """
        assert candidate.maps is not None, "a method's own maps"
        some = self.subject[:rows]
        before = values_of(some, candidate.maps[:rows])
        found: dict[bool, list[np.ndarray]] = {False: [], True: []}
        for nets in self.nets[-stages:]:
            after = [values_of(some, self._maps(candidate, some, net)) for net in nets[: draws or None]]
            for absolute, kept in found.items():
                each = [_likeness(some, before, one, absolute=absolute) for one in after]
                kept.append(np.mean(each, axis=0))
        return Kept(self.layers[-stages:], np.stack(found[False]), np.stack(found[True]))

    def _maps(self, candidate: Candidate, some: Subject, net: Regressor) -> RegressionMap:
        return some.explain(candidate.name, net=net, options=candidate.options, seed=self.seed)


def likeness(
    subject: Subject, candidate: Candidate, nets: Sequence[Regressor], *, seed: int
) -> Float[np.ndarray, " row"]:
    """Return how like the maps of a method are from net to net: rank correlation with signs, the mean over all pairs.

    Parameters
    ----------
    subject
        The samples that are looked at, the first ones of those that the candidate has maps of.
    nets
        Nets that differ from the subject's in their seed, or in what they were trained on.
    """
    assert candidate.maps is not None, "a method's own maps"
    every = [values_of(subject, candidate.maps[: len(subject)])]
    for net in nets:
        maps = subject.explain(candidate.name, net=net, options=candidate.options, seed=seed)
        every.append(values_of(subject, maps))
    pairs = [_likeness(subject, one, other, absolute=False) for one, other in itertools.combinations(every, 2)]
    return np.asarray(np.mean(pairs, axis=0))


def _likeness(
    subject: Subject, one: Float[np.ndarray, "row part *cells"], other: Float[np.ndarray, "row part *cells"], *,
    absolute: bool,
) -> Float[np.ndarray, " row"]:  # fmt: skip
    """Return the rank correlation over the cells that count, the mean over the parts."""
    each = [
        rank_kept(one[:, part], other[:, part], absolute=absolute, where=subject.where) for part in range(one.shape[1])
    ]
    return np.asarray(np.mean(each, axis=0))
