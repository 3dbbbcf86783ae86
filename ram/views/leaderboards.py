"""The leaderboard of a run's maps: what it is scored on, and where it is kept."""

from __future__ import annotations

__all__ = ["chosen_on_validation", "default_target", "evaluate_maps", "subject_of", "write_leaderboard"]

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from ram.data.dataset import Dataset
from ram.data.units import compatible, convert
from ram.errors import ConfigError, DataError, explained, nearest
from ram.evaluation.effort import Effort
from ram.evaluation.leaderboard import Leaderboard, load_leaderboard
from ram.evaluation.localisation import material_points
from ram.evaluation.scoring import score_maps
from ram.evaluation.subject import Subject
from ram.models.regressor import Regressor
from ram.runs.ensemble import Ensemble
from ram.runs.manifest import extend_manifest
from ram.runs.measured import measured_targets
from ram.runs.run import Run
from ram.storage.atomic import write_bytes, write_text
from ram.storage.names import file_names
from ram.views.findings import KIND, has_truth
from ram.views.leaderboard_pictures import board_picture
from ram.views.style import png, styled

SENSITIVITY, REGION = "sensitivity", "region"
REFERENCES = ("design", "train-mean-design")
_MOST_SENSITIVITIES = 500  # training samples whose sensitivities are averaged


def evaluate_maps(
    run: Run,
    data: Dataset,
    *,
    target: str | None = None,
    methods: Sequence[str] | None = None,
    part: str = "",
    samples: int = 200,
    reference: str | None = None,
    effort: Effort | None = None,
    beside: Sequence[Run] = (),
    permuted: Run | None = None,
    seed: int = 0,
    jobs: int = 1,
    progress: Callable[[float], None] | None = None,
) -> Leaderboard:
    """Return how good the maps of a run are on samples of `data`, beside maps that need no net.

    Parameters
    ----------
    data
        Such as ``run.part("test")``.
    target
        The first one that has truth maps if not given; the run's first one where none has.
    part
        What the samples are called: ``"test"``.
    samples
        How many at most; those with truth first.
    reference
        ``"design"``: the file's reference design, which its truth is against, or ``"train-mean-design"``: the mean
        input of the training part, which is taken where the file holds no design.
    beside
        Runs that differ in their seed; the other members of an ensemble are taken by themselves.
    permuted
        A run of the same experiment on permuted targets.
    jobs, progress
        As `ram.evaluation.scoring.score_maps` has them.

    Raises
    ------
    ConfigError
        For a target, method or reference that there is not.
    DataError
        Where `data` do not fit the net.
    """
    chosen = target or default_target(run, data)
    subject = subject_of(run, data, chosen, samples=samples, reference=reference)
    others = [*(run.members[1:] if isinstance(run, Ensemble) else ()), *beside]
    board = score_maps(
        subject, methods=methods, effort=effort, seed=seed, jobs=jobs, progress=progress,
        seeds=[_comparable(run, other, chosen) for other in others],
        permuted=None if permuted is None else _comparable(run, permuted, chosen),
    )  # fmt: skip
    word = _reference_word(data, reference)
    named = "the file's reference design" if word == "design" else "the training part's mean input"
    return replace(board, run=run.name, data=data.name, digest=data.digest, part=part, reference=named)


def default_target(run: Run, data: Dataset) -> str:
    """Return the first target of a run that has truth maps for some of the samples; the first of all where none has."""
    known = [name for name in run.units if has_truth(run, data, name).any()]
    return next(iter(known or run.units))


def subject_of(run: Run, data: Dataset, target: str, *, samples: int = 200, reference: str | None = None) -> Subject:
    """Return a run's net, samples of `data`, and what the file knows of them.

    The samples are spread evenly over those that have truth maps, or over all where none has. Truth is against the
    file's reference design; against another reference it says nothing, and is left out.

    Raises
    ------
    ConfigError
        For a target or a reference that there is not.
    """
    if target not in run.units:
        raise ConfigError(_no_choice(run, "a target", target, list(run.units)))
    word = _reference_word(data, reference)
    known = has_truth(run, data, target) if word == "design" else np.zeros(len(data), dtype=bool)
    rows = np.flatnonzero(known) if known.any() else np.arange(len(data))
    rows = _spread_evenly(rows, samples)
    chosen, first = data[rows], single_run(run)
    design = data.reference_design() if word == "design" else None
    x = first.explained_inputs(chosen)
    against = first.mean_input() if design is None else design
    front = first.spec.model.spectrogram is not None
    return Subject(
        net=first.regressor.behind,
        target=target,
        x=x,
        reference=np.asarray(against, dtype=np.float32),
        axes=first.axes_of(),
        channels=first.channels_of(),
        parameters=chosen.parameter_array(list(first.spec.parameters)) if first.spec.parameters else None,
        lengths=first.explained_lengths(chosen),
        ids=chosen.ids,
        groups=chosen.groups,
        measured=measured_targets(chosen, {target: run.units[target]})[:, 0],
        contribution=_truth(run, chosen, target) if known.any() else None,
        sensitivity={} if front else _sensitivities(run, chosen, target),
        mean_sensitivity={} if front else _mean_sensitivities(run, target),
        material=None if front else material_points(x, np.asarray(against), channels=list(chosen.channels)),
        region=None if front else _region(chosen, target),
        regions=chosen.regions_array() if chosen.region_names and not front else None,
        region_names=chosen.region_names,
    )


def _comparable(run: Run, other: Run, target: str) -> Regressor:
    """Return the net of another run, which must answer about the same inputs.

    Raises
    ------
    ConfigError
        Where channels, axes or parameters are others, or it does not know the target.
    """
    first, second = (single_run(one).spec for one in (run, other))
    sizes = [[axis.size for axis in spec.axes] for spec in (first, second)]
    same = first.channels == second.channels and sizes[0] == sizes[1] and first.parameters == second.parameters
    if same and target in other.units:
        return single_run(other).regressor.behind
    allowed = f"of the same channels, axes and parameters as {run.path}, with target {target}"
    got = f"{', '.join(second.channels)} on {' x '.join(map(str, sizes[1]))}, targets {', '.join(other.units)}"
    raise ConfigError(explained(where=str(other.path), what="a run to compare maps with", allowed=allowed, got=got))


def single_run(run: Run) -> Run:
    """Return the run itself, of an ensemble its first member: a leaderboard is of one net."""
    return run.members[0] if isinstance(run, Ensemble) else run


def _spread_evenly(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    return np.asarray(rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int))])


def _reference_word(data: Dataset, asked: str | None) -> str:
    if asked is not None and asked not in REFERENCES:
        allowed = f"one of {', '.join(REFERENCES)}"
        step = nearest(asked, REFERENCES)
        raise ConfigError(explained(where="evaluate", what="a reference", allowed=allowed, got=asked, next_step=step))
    if asked == "design" and data.reference_design() is None:
        step = "Leave it out, or take train-mean-design"
        raise ConfigError(
            explained(
                where=str(data.path), what="the reference design", allowed="in the file", got="none", next_step=step
            )
        )
    return asked or ("train-mean-design" if data.reference_design() is None else "design")


def _truth(run: Run, data: Dataset, target: str) -> Float[np.ndarray, "sample *space"]:
    values = data.truth_array(target, KIND).astype(np.float64)
    return convert(values, unit=data.truth_kinds[target, KIND], to=run.units[target])


def _sensitive(run: Run, data: Dataset, target: str) -> dict[str, tuple[str, str]]:
    """Return, for each channel with sensitivities in the file, the name of their kind and their unit.

    ``sensitivity`` alone is by the one channel whose unit fits its own: Hz/mm by the thickness in mm.
    ``sensitivity_<channel>`` says which.
    """
    if single_run(run).spec.targets[list(run.units).index(target)].log:
        return {}
    found, kinds = {}, {kind: unit for (name, kind), unit in data.truth_kinds.items() if name == target}
    for channel in run.spec.channels:
        if f"{SENSITIVITY}_{channel}" in kinds:
            found[channel] = f"{SENSITIVITY}_{channel}", kinds[f"{SENSITIVITY}_{channel}"]
    if found or SENSITIVITY not in kinds:
        return found
    own = kinds[SENSITIVITY]
    fitting = [name for name, unit in run.spec.channels.items() if compatible(own, f"({run.units[target]})/({unit})")]
    return {fitting[0]: (SENSITIVITY, own)} if len(fitting) == 1 else {}


def _sensitivities(run: Run, data: Dataset, target: str) -> dict[str, Float[np.ndarray, "sample *space"]]:
    """Return the solver's sensitivities by channel, in the target's unit per the channel's; NaN where not known."""
    return {
        channel: convert(
            data.truth_array(target, kind).astype(np.float64),
            unit=unit,
            to=f"({run.units[target]})/({run.spec.channels[channel]})",
        )
        for channel, (kind, unit) in _sensitive(run, data, target).items()
        if data.has_truth(target, kind).any()
    }


def _mean_sensitivities(run: Run, target: str) -> dict[str, Float[np.ndarray, "*space"]]:
    """Return the mean of the training part's sensitivities; none where it has none, or its file is not at hand."""
    try:
        train = run.part("train")
    except DataError:
        return {}
    found = {}
    for channel, (kind, _) in _sensitive(run, train, target).items():
        rows = np.flatnonzero(train.has_truth(target, kind))
        if rows.size:
            rows = _spread_evenly(rows, _MOST_SENSITIVITIES)
            found[channel] = _sensitivities(run, train[rows], target)[channel].mean(axis=0)
    return found


def _region(data: Dataset, target: str) -> Bool[np.ndarray, "sample *space"] | None:
    """Return where the file says that the target comes from: truth of the kind ``region``, its share of each point."""
    if (target, REGION) not in data.truth_kinds:
        return None
    return np.asarray(np.nan_to_num(data.truth_array(target, REGION)) > 0)


def _no_choice(run: Run, what: str, got: str, known: Sequence[str]) -> str:
    step = nearest(got, known)
    return explained(where=str(run.path), what=what, allowed=f"one of {', '.join(known)}", got=got, next_step=step)


def board_name(run: Run, data: Dataset, board: Leaderboard) -> str:
    """Return how the files of a board begin: ``leaderboard``; with the target and the part where they are others."""
    words = ["leaderboard"]
    if board.target != default_target(run, data):
        words += file_names([board.target])
    return ".".join(words if board.part == "test" else [*words, board.part])


def write_leaderboard(run: Run, data: Dataset, board: Leaderboard) -> list[Path]:
    """Write a board and its picture into the run's folder and its manifest; return their paths.

    A board of the test part says which method was best on the validation part, where that board is in the folder.
    """
    name = board_name(run, data, board)
    with styled():
        picture = png(board_picture(board))
    write_text(run.path / f"{name}.json", board.to_json() + "\n")
    write_bytes(run.path / f"{name}.png", picture)
    extend_manifest(run.path, [f"{name}.json", f"{name}.png"])
    return [run.path / f"{name}.json", run.path / f"{name}.png"]


def chosen_on_validation(run: Run, data: Dataset, board: Leaderboard) -> Leaderboard:
    """Return a board of the test part with the method that was best on the validation part; others as they are."""
    path = run.path / f"{board_name(run, data, replace(board, part='validation'))}.json"
    if board.part != "test" or not path.is_file():
        return board
    validation = load_leaderboard(path)
    best = validation.best()
    if best is None:
        return board
    return replace(board, choice={"method": best.name, "column": validation.deciding, "part": "validation"})
