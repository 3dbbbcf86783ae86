"""A run's maps held against the solver that is asked again."""

from __future__ import annotations

__all__ = ["Held", "held_against"]

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ram.data.simulators import Simulator
from ram.data.units import difference_factor
from ram.errors import ConfigError, explained
from ram.evaluation.candidates import Candidate, candidate_of_method, claims_on_inputs
from ram.evaluation.claims import Intervention, intervention
from ram.evaluation.interventions import PATCHES, intervene
from ram.evaluation.subject import Subject
from ram.maps.methods import method_called
from ram.runs.run import Run
from ram.views.leaderboards import subject_of


@dataclass(frozen=True, eq=False)
class Held:
    """What regions add by the solver, and by a run's maps.

    Attributes
    ----------
    target, unit
        What is regressed, in which unit.
    ids, regions
        The samples, and the names of regions and patches.
    true, claimed
        Shape (sample, region), in the unit; NaN where a sample has nothing of a region or the solver failed.
    failures
        Why, one text a failure.
    """

    target: str
    unit: str
    ids: NDArray[np.str_]
    regions: tuple[str, ...]
    true: Float[np.ndarray, "sample region"] = field(repr=False)
    claimed: Float[np.ndarray, "sample region"] = field(repr=False)
    failures: tuple[str, ...] = ()

    @property
    def all(self) -> Intervention:
        """How true and claimed go along over all regions and samples."""
        return intervention(self.true, self.claimed)


def held_against(
    run: Run,
    simulator: Simulator,
    *,
    target: str | None = None,
    method: str = "ram",
    samples: int = 50,
    patches: int = PATCHES,
    jobs: int = 1,
) -> Held:
    """Return what regions of the test part add by the solver and by the maps of a run.

    Regions are drawn on the net's own cells. The reference is that of the data file, or the mean training input.

    Parameters
    ----------
    target
        The run's first one if not given.
    samples, patches
        Samples at most, and random patches of each.

    Raises
    ------
    ConfigError
        The method's maps do not add up in the unit, or the simulator does not know the target.
    """
    method_called(method)
    test, chosen = run.part("test"), target or next(iter(run.units))
    subject = subject_of(run, test, chosen, samples=samples)
    place = {str(name): row for row, name in enumerate(test.ids)}
    rows = test[[place[str(name)] for name in subject.ids]]
    reference = np.asarray(subject.reference, np.float64)
    found = intervene(rows, simulator, reference=reference, patches=patches, cells=subject.cells, jobs=jobs)
    if chosen not in found.changes:
        known = ", ".join(found.changes)
        raise ConfigError(
            explained(where=simulator.entry, what="what it returns", allowed=f"{chosen} too", got=known)
        )  # fmt: skip
    candidate = _adding_up(subject, method)
    true = difference_factor(found.units[chosen], to=subject.unit) * found.changes[chosen]
    claimed = found.claims(claims_on_inputs(subject, candidate))
    return Held(chosen, subject.unit, found.ids, found.names, true, claimed, found.failures)


def _adding_up(subject: Subject, method: str) -> Candidate:
    candidate = candidate_of_method(subject, method, passes=np.inf, least=len(subject), options={}, seed=0)
    if candidate.claims is None or not candidate.in_unit or subject.log:
        got = candidate.refused or ("a log target" if subject.log else f"one of grade {candidate.grade}")
        allowed = "one whose maps add up in the unit"
        raise ConfigError(explained(where=method, what="the method", allowed=allowed, got=got))
    return candidate
