"""Score the maps of all methods on the samples of a subject: the leaderboard."""

from __future__ import annotations

__all__ = ["score_maps"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from ram.data.cluster import parallel_on
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
from ram.evaluation.trivial import Trivial, trivial_maps
from ram.maps.methods import METHODS, method_called
from ram.models.regressor import Regressor

Item = TypeVar("Item")
Value = TypeVar("Value")
Maps = Float[np.ndarray, "row *cells"]
Values = Mapping[str, tuple[Float[np.ndarray, " sample"], Float[np.ndarray, " sample"] | None]]
_ROUNDING = 1e-5  # of a map's largest value: less is no other map


def score_maps(
    subject: Subject,
    *,
    methods: Sequence[str] | None = None,
    effort: Effort | None = None,
    seed: int = 0,
    seeds: Sequence[Regressor] = (),
    permuted: Regressor | None = None,
    jobs: int = 1,
    progress: Callable[[float], None] | None = None,
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
    jobs
        Processes, each at the maps of one method. Figures do not depend on it where all of them have one thread.
    progress
        Called with the share of the work, 0 to 1, that was done since the last call.

    Raises
    ------
    ConfigError
        For a method that there is not.
    """
    names = list(METHODS if methods is None else methods)
    for name in names:
        method_called(name)
    asked = Asked(subject, effort or Effort(), seed, tuple(seeds), permuted)
    if jobs > 1:
        asked.prepare()  # what all maps share travels to the processes
    shown = _each(partial(_shown, asked), [*names, *trivial_maps(subject, seed=seed)], jobs=jobs, progress=progress)
    alike = _alike([one.candidate.claims for one in shown])
    every = {place: one.candidate.claims for place, one in enumerate(shown)}
    distinct = {place: own for place, own in every.items() if own is not None and alike[place] == place}
    perturbed = _each(asked.perturbed, list(distinct.values()), jobs=jobs, progress=progress)
    found = dict(zip(distinct, perturbed, strict=True))
    rows = [_scored(asked, one, found[alike[place]] if place in alike else {}) for place, one in enumerate(shown)]
    return _board(asked, rows)


@dataclass(frozen=True, eq=False)
class _Shown:
    """A candidate without the maps on their own grid, which may be large, and the scores that needed these."""

    candidate: Candidate
    truth: Values
    changes: Values
    kept: Kept | None


def _shown(asked: Asked, what: str | Trivial) -> _Shown:
    candidate = candidate_of_trivial(what) if isinstance(what, Trivial) else _candidate(asked, what)
    if candidate.claims is None:
        return _Shown(candidate, {}, {}, None)
    changes, kept = asked.of_changes(candidate)
    return _Shown(
        replace(candidate, maps=None), truth_scores.against_truth(asked.subject, candidate), changes, kept
    )  # fmt: skip


def _candidate(asked: Asked, name: str) -> Candidate:
    effort = asked.effort
    return candidate_of_method(
        asked.subject, name, passes=effort.passes, least=effort.least, options=effort.options.get(name, {}),
        seed=asked.seed,
    )  # fmt: skip


def _each(
    function: Callable[[Item], Value], items: Sequence[Item], *, jobs: int, progress: Callable[[float], None] | None
) -> list[Value]:
    """Return what a function, one of two that are all the work, says of each item, in their order."""
    work = partial(_numbered, function)
    numbered = list(enumerate(items))
    found = {}
    for place, value in map(work, numbered) if jobs == 1 else parallel_on(work, numbered, jobs=jobs):
        found[place] = value
        if progress:
            progress(0.5 / len(items))
    return [found[place] for place in range(len(items))]


def _numbered(function: Callable[[Item], Value], item: tuple[int, Item]) -> tuple[int, Value]:
    return item[0], function(item[1])


def _alike(claims: Sequence[Maps | None]) -> dict[int, int]:
    """Return, by the place of each map, that of the first one which is the same but for rounding.

    On nets that end in a mean several methods are exact RAM; the net is asked about their maps once.
    """
    found: dict[int, int] = {}
    for place, own in enumerate(claims):
        if own is not None:
            same = (other for other in found.values() if _equal(claims[other], own))
            found[place] = next(same, place)
    return found


def _equal(one: Maps | None, other: Maps) -> bool:
    assert one is not None, "a place of a map"
    return one.shape == other.shape and bool(np.abs(one - other).max() <= _ROUNDING * np.abs(one).max())


def _scored(asked: Asked, shown: _Shown, perturbed: Values) -> Row:
    """Return the row of a candidate; one without maps has no figures."""
    candidate = shown.candidate
    if not candidate.in_unit:  # a claim about a patch is a sum in the unit
        perturbed = {name: of for name, of in perturbed.items() if name != "infidelity"}
    values = {**shown.truth, **perturbed, **shown.changes}
    return _row(asked.subject, candidate, _figures(values, asked.subject, seed=asked.seed), shown.kept)


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
