"""Score the maps of all methods on the samples of a subject: the leaderboard."""

from __future__ import annotations

__all__ = ["score_maps"]

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from ram.evaluation import net_scores, truth_scores
from ram.evaluation.bootstrap import Figure, bootstrap
from ram.evaluation.candidates import Candidate, candidate_of_method, candidate_of_trivial
from ram.evaluation.columns import COLUMNS, column
from ram.evaluation.effort import Effort
from ram.evaluation.leaderboard import Leaderboard, Row, Stage
from ram.evaluation.net_scores import Asked
from ram.evaluation.randomisation import FLAGGED
from ram.evaluation.stability import Kept
from ram.evaluation.subject import Subject
from ram.evaluation.trivial import trivial_maps
from ram.maps.methods import METHODS
from ram.models.regressor import Regressor

Values = Mapping[str, tuple[Float[np.ndarray, " sample"], Float[np.ndarray, " sample"] | None]]


def score_maps(
    subject: Subject,
    *,
    methods: Sequence[str] | None = None,
    effort: Effort | None = None,
    seed: int = 0,
    seeds: Sequence[Regressor] = (),
    permuted: Regressor | None = None,
    progress: Callable[[int], None] | None = None,
) -> Leaderboard:
    """Return how good the maps of methods are, beside maps that need no net.

    Parameters
    ----------
    methods
        Names; all of ``ram.METHODS`` if not given. One that refuses this net has a row with its reason.
    seed
        Of all that is drawn.
    seeds
        Nets trained like the subject's with other seeds: how like their maps are is a score.
    permuted
        A net trained like the subject's on permuted targets: a map that is like its is not of what was learned.
    progress
        Called with 1 after each method, and once for the maps without a net.

    Raises
    ------
    ConfigError
        For a method that there is not.
    """
    asked = Asked(subject, effort or Effort(), seed, tuple(seeds), permuted)
    rows = []
    for name in METHODS if methods is None else methods:
        rows.append(_scored(asked, _candidate(asked, name)))
        if progress:
            progress(1)
    rows += [_scored(asked, candidate_of_trivial(trivial)) for trivial in trivial_maps(subject, seed=seed)]
    if progress:
        progress(1)
    return _board(asked, rows)


def _candidate(asked: Asked, name: str) -> Candidate:
    effort = asked.effort
    return candidate_of_method(
        asked.subject, name, passes=effort.passes, least=effort.least, options=effort.options.get(name, {}),
        seed=asked.seed,
    )  # fmt: skip


def _scored(asked: Asked, candidate: Candidate) -> Row:
    """Return the row of a candidate; one without maps has no figures."""
    if candidate.claims is None:
        return _row(asked.subject, candidate, {}, None)
    changes, kept = asked.of_changes(candidate)
    values = truth_scores.against_truth(asked.subject, candidate) | asked.of_perturbations(candidate) | changes
    return _row(asked.subject, candidate, _figures(values, asked.subject, seed=asked.seed), kept)


def _figures(values: Values, subject: Subject, *, seed: int) -> dict[str, Figure]:
    """Return each score's mean over the samples with its interval; scores that no sample has are left out."""
    found = {}
    for name, (figures, over) in values.items():
        groups = subject.groups[: len(figures)]
        figure = bootstrap(figures, over=over, groups=groups, seed=seed)
        if figure is not None:
            found[name] = figure
    return found


def _board(asked: Asked, rows: Sequence[Row]) -> Leaderboard:
    subject = asked.subject
    named = {name for row in rows for name in row.figures}
    hows = truth_scores.hows(subject) | net_scores.hows(asked)
    columns = tuple(
        column(name, unit=subject.unit, how=hows.get(name, ""), chance=truth_scores.chance(subject, name))
        for name in COLUMNS
        if name in named
    )
    alone = not np.any(subject.groups != "")
    return Leaderboard(
        run="", data="", digest="", part="",
        target=subject.target, unit=subject.unit, samples=len(subject),
        groups=len(subject) if alone else int(np.unique(subject.groups).size),
        reference="the reference design", against_truth=subject.contribution is not None,
        columns=columns, rows=tuple(rows),
    )  # fmt: skip


def _row(subject: Subject, candidate: Candidate, figures: dict[str, Figure], kept: Kept | None) -> Row:
    notes = [f"{name}={value:g}" for name, value in candidate.options.items()]
    if 0 < candidate.rows < len(subject):
        notes.append(f"{candidate.rows} of {len(subject)} samples")
    notes += _flags(figures)
    return Row(
        candidate.name, candidate.kind, candidate.what, candidate.grade, candidate.reference, figures,
        candidate.seconds, candidate.refused, tuple(notes), _cascade(kept),
    )  # fmt: skip


def _flags(figures: Mapping[str, Figure]) -> list[str]:
    """Return what must be said of a ranking that outlives the weights."""
    words = {"kept": "of sizes", "kept_signed": "with signs"}
    high = {name: figures[name].value for name in words if name in figures and abs(figures[name].value) > FLAGGED}
    return [f"keeps {value:.2f} of its ranking ({words[name]}) without the weights" for name, value in high.items()]


def _cascade(kept: Kept | None) -> tuple[Stage, ...]:
    if kept is None:
        return ()
    return tuple(
        Stage(layers, float(np.nanmean(signed)), float(np.nanmean(absolute)))
        for layers, signed, absolute in zip(kept.layers, kept.signed, kept.absolute, strict=True)
    )
