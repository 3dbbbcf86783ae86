"""The scores of a candidate that ask the net alone: no truth is needed."""

from __future__ import annotations

__all__ = ["Asked", "hows"]

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float

from ram.errors import RamError
from ram.evaluation.candidates import Candidate, passes_of
from ram.evaluation.claims import Patches
from ram.evaluation.effort import Effort
from ram.evaluation.infills import INFILLS
from ram.evaluation.perturbation import Curves
from ram.evaluation.stability import Cascade, Kept, likeness, max_sensitivity
from ram.evaluation.subject import Subject
from ram.maps.methods import method_called
from ram.models.regressor import Regressor

Values = dict[str, tuple[Float[np.ndarray, " row"], Float[np.ndarray, " row"] | None]]


@dataclass(frozen=True, eq=False)
class Asked:
    """A subject whose net is asked about changed inputs; what methods share is computed once.

    Attributes
    ----------
    seeds, permuted
        Nets that differ from the subject's in their seed alone; one that was trained on permuted targets.
    """

    subject: Subject
    effort: Effort
    seed: int = 0
    seeds: tuple[Regressor, ...] = field(default=(), repr=False)
    permuted: Regressor | None = field(default=None, repr=False)

    @cached_property
    def _curves(self) -> dict[str, Curves]:
        counts = {kind: self.effort.curves if kind == "reference" else self.effort.infills for kind in INFILLS}
        return {kind: Curves(self._first(count), kind, self.seed) for kind, count in counts.items()}

    @cached_property
    def _road(self) -> Curves:
        return Curves(self._first(self.effort.imputed), "reference", self.seed)

    @cached_property
    def _patches(self) -> Patches:
        return Patches(self._first(self.effort.claimed), self.effort.patches, self.seed)

    @cached_property
    def _cascade(self) -> Cascade:
        return Cascade(self._first(self.effort.forgotten), self.effort.draws, self.seed)

    def _first(self, count: int) -> Subject:
        return self.subject[: self.effort.samples(count, views=self.subject.views)]

    def prepare(self) -> None:
        """Compute what all maps share now, so that it is there wherever this object is sent."""
        whole = self.subject
        _ = whole.truth, whole.where, whole.region_cells, whole.cell_of_point, self._cascade.nets, self._patches.lost
        for curves in self._curves.values():
            _ = curves.random

    def perturbed(self, claims: Float[np.ndarray, "row *cells"]) -> Values:
        """Return the scores for which cells are taken away, of any map that claims something of each cell."""
        found: Values = {}
        for kind, curves in self._curves.items():
            maps = claims[: len(curves.subject)]
            found["deletion" if kind == "reference" else f"deletion_{kind}"] = curves.deletion(maps), None
            if kind == "reference":
                found |= {"insertion": (curves.insertion(maps), None), "ordering": (curves.ordering(maps), None)}
        if self.subject.measured is not None:
            found["road"] = self._road.road(claims[: len(self._road.subject)]), None
        some = claims[: len(self._patches.subject)]
        found["fidelity"] = self._patches.fidelity(some), None
        found["infidelity"] = self._patches.infidelity(some), None
        return found

    def of_changes(self, candidate: Candidate) -> tuple[Values, Kept | None]:
        """Return the scores for which a method's maps are made again, and what is left of them in the cascade."""
        found: Values = {}
        if candidate.maps is None:
            return found, None
        if candidate.maps.adds_up:
            found["residual"] = np.abs(candidate.maps.residual), None
        draws = self.effort.times(self.effort.draws, cost=self._cost(candidate))
        few = self.subject[: self._few(candidate, self.effort.changed, times=draws)]
        found["max_sensitivity"] = max_sensitivity(few, candidate, draws=draws, seed=self.seed), None
        try:
            kept = self._kept(candidate)
        except RamError:  # a net without its weights may be one that the method refuses
            kept = None
        if kept is not None:
            found |= {"kept": (kept.absolute[-1], None), "kept_signed": (kept.signed[-1], None)}
        for name, nets in (("seeds", self.seeds), ("permuted", (self.permuted,) if self.permuted else ())):
            if nets:
                some = self.subject[: self._few(candidate, self.effort.forgotten, times=len(nets))]
                found[name] = likeness(some, candidate, nets, seed=self.seed), None
        return found, kept

    def _kept(self, candidate: Candidate) -> Kept:
        """Return what the cascade leaves; of a slow method with one draw, of a very slow one after its last stage."""
        stages = len(self._cascade.layers)
        nets = self.effort.times(stages * self.effort.draws, cost=self._cost(candidate))
        draws = max(1, nets // stages)
        stages = stages if nets >= stages else 1
        rows = self._few(candidate, self.effort.forgotten, times=stages * draws)
        return self._cascade.kept(candidate, rows=rows, stages=stages, draws=draws)

    def _cost(self, candidate: Candidate) -> int:
        return passes_of(method_called(candidate.name), self.subject, candidate.options)

    def _few(self, candidate: Candidate, count: int, *, times: int) -> int:
        """Return of how many samples maps can be made again so many times, at most `count`."""
        affordable = self.effort.passes // (times * self._cost(candidate))
        count = self.effort.samples(count, views=self.subject.views)
        return int(min(candidate.rows, count, max(self.effort.least_again, affordable)))


def hows(asked: Asked) -> dict[str, str]:
    """Return how each score was computed."""
    effort, subject = asked.effort, asked.subject

    def samples(count: int) -> str:
        return f"{min(len(subject), effort.samples(count, views=subject.views))} samples"

    cells = " x ".join(str(axis.size) for axis in subject.cells)
    steps = f"in tenths of the net's own {cells} cells, {samples(effort.curves)}"
    rough = f"in tenths of the net's own cells, {samples(effort.infills)}"
    found = {
        "deletion": f"what is taken away shows the reference; gain over four random orders, {steps}",
        "insertion": f"what is not yet there shows the reference; gain over four random orders, {steps}",
        "ordering": f"lowest cells taken first minus highest first, against the reference, {steps}",
        "deletion_mean": f"what is taken away shows each channel's mean, {rough}",
        "deletion_blurred": f"what is taken away shows the blurred sample, {rough}",
        "deletion_neighbour": f"what is taken away shows another sample, {rough}",
        "road": f"error without the largest cells minus without the smallest, imputed, {samples(effort.imputed)}",
        "residual": "prediction minus baseline minus the sum of the map, absolute",
        "max_sensitivity": f"inputs moved by 2 % of each channel's scale, {effort.draws} draws at most, "
        f"{samples(effort.changed)} at most",
        "seeds": f"rank correlation with signs, mean over pairs of {1 + len(asked.seeds)} nets, "
        f"{samples(effort.forgotten)} at most",
        "permuted": "rank correlation with signs, with the map of a net trained on permuted targets",
    }
    patches = f"{effort.patches} patches that show the reference, {samples(effort.claimed)}"
    found |= dict.fromkeys(("infidelity", "fidelity"), patches)
    words = f"rank correlation with the trained net's map, all weights drawn anew, {effort.draws} draws at most"
    return found | {"kept": f"{words}, of sizes", "kept_signed": f"{words}, with signs"}
