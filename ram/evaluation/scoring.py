"""Score the maps of all methods on the samples of a subject: the leaderboard."""

from __future__ import annotations

__all__ = ["Effort", "score_maps"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from ram.evaluation import truth_scores
from ram.evaluation.bootstrap import Figure, bootstrap
from ram.evaluation.candidates import Candidate, candidate_of_method, candidate_of_trivial
from ram.evaluation.columns import COLUMNS, column
from ram.evaluation.leaderboard import Leaderboard, Row
from ram.evaluation.subject import Subject
from ram.evaluation.trivial import trivial_maps
from ram.maps.methods import METHODS

Values = Mapping[str, tuple[Float[np.ndarray, " sample"], Float[np.ndarray, " sample"] | None]]


@dataclass(frozen=True)
class Effort:
    """How much is computed: the more, the narrower the intervals.

    Attributes
    ----------
    passes
        Forward passes that the maps of one method may take together; a slow method is scored on fewer samples.
    least
        Samples of a method at least.
    options
        Of methods, by name, in the place of their defaults.
    """

    passes: int = 10_000
    least: int = 12
    options: Mapping[str, Mapping[str, int | float]] = field(default_factory=dict)


def score_maps(
    subject: Subject,
    *,
    methods: Sequence[str] | None = None,
    effort: Effort | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Leaderboard:
    """Return how good the maps of methods are, beside maps that need no net.

    Parameters
    ----------
    methods
        Names; all of ``ram.METHODS`` if not given. One that refuses this net has a row with its reason.
    seed
        Of all that is drawn.
    progress
        Called with 1 after each method, and once for the maps without a net.

    Raises
    ------
    ConfigError
        For a method that there is not.
    """
    effort = effort or Effort()
    rows: list[tuple[Candidate, dict[str, Figure]]] = []

    def score(candidate: Candidate) -> None:
        values: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}
        if candidate.claims is not None:
            values |= truth_scores.against_truth(subject, candidate)
        rows.append((candidate, _figures(values, subject, seed=seed)))

    for name in METHODS if methods is None else methods:
        own = effort.options.get(name, {})
        score(candidate_of_method(subject, name, passes=effort.passes, least=effort.least, options=own, seed=seed))
        if progress:
            progress(1)
    for trivial in trivial_maps(subject, seed=seed):
        score(candidate_of_trivial(trivial))
    if progress:
        progress(1)
    return _board(subject, rows)


def _figures(values: Values, subject: Subject, *, seed: int) -> dict[str, Figure]:
    """Return each score's mean over the samples with its interval; scores that no sample has are left out."""
    found = {}
    for name, (figures, over) in values.items():
        groups = subject.groups[: len(figures)]
        figure = bootstrap(figures, over=over, groups=groups, seed=seed)
        if figure is not None:
            found[name] = figure
    return found


def _board(subject: Subject, rows: Sequence[tuple[Candidate, dict[str, Figure]]]) -> Leaderboard:
    named = {name for _, figures in rows for name in figures}
    hows = truth_scores.hows(subject)
    columns = tuple(
        column(name, unit=subject.unit, how=hows.get(name, ""), chance=truth_scores.chance(subject, name))
        for name in COLUMNS
        if name in named
    )
    return Leaderboard(
        run="", data="", digest="", part="",
        target=subject.target, unit=subject.unit, samples=len(subject),
        groups=len(subject) if not np.any(subject.groups != "") else int(np.unique(subject.groups).size),
        reference="the reference design", against_truth=subject.contribution is not None,
        columns=columns, rows=tuple(_row(subject, *pair) for pair in rows),
    )  # fmt: skip


def _row(subject: Subject, candidate: Candidate, figures: dict[str, Figure]) -> Row:
    notes = [f"{name}={value:g}" for name, value in candidate.options.items()]
    if 0 < candidate.rows < len(subject):
        notes.append(f"{candidate.rows} of {len(subject)} samples")
    return Row(
        candidate.name, candidate.kind, candidate.what, candidate.grade, candidate.reference, figures,
        candidate.seconds, candidate.refused, tuple(notes),
    )  # fmt: skip
