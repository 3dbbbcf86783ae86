"""How good a regressor is on groups that it never saw, as one command: each group is left out of one run."""

from __future__ import annotations

__all__ = ["cross_validate", "folds_of"]

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ram.data.dataset import Dataset
from ram.data.leaving_out import By
from ram.errors import ConfigError, DataError, Stopped, StorageError, explained
from ram.runs.config import Experiment, LeaveOut, load_experiment
from ram.runs.cross_validation import CROSS_VALIDATION_FILE, CrossValidation, fold_names
from ram.runs.lock import locked
from ram.runs.manifest import write_manifest
from ram.runs.opening import open_data
from ram.storage.sections import checked
from ram.training.group_figures import write_figures
from ram.training.progress import say_fold
from ram.training.resuming import is_finished
from ram.training.several import begin, folder_for
from ram.training.team import alone
from ram.training.train import train

_VALIDATION = ("validation_share", "validation_by")
_LEAST = 3  # samples that a fold must leave: two to learn from, one to validate


def cross_validate(
    config: str | Path | Mapping[str, Any] | Experiment,
    *,
    folds: int | None = None,
    seeds: int | Sequence[int] | None = None,
    validation_share: float | None = None,
    validation_by: By | None = None,
    data: str | Path | Dataset | None = None,
    output: str | Path | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    progress: bool | None = None,
) -> CrossValidation:
    """Train one run for each group of the data, which is left out of it, and say how good it is on that group.

    The file's own split plays no part. Nothing is chosen on the group that is left out: the best epoch is that of the
    validation part, which is drawn from the other groups.

    Parameters
    ----------
    folds
        So many runs, each of which leaves out several groups (scikit-learn's GroupKFold); one a group where nothing is
        said.
    seeds
        Several for each fold, as for `ram.train`: their mean predicts.
    validation_share, validation_by
        As ``data.leave_out`` of an experiment: share of the other samples that validates, 0.2, and whether whole
        groups do (``"group"``), samples of groups that are trained on (``"sample"``), or groups from 5 on
        (``"auto"``).
    config, data, output, overrides, resume, progress
        As for `ram.train`; with `resume` also the folder of a cross-validation.

    Raises
    ------
    ConfigError
        For folds that are none, or a folder that is there and is not to be gone on with.
    DataError
        Where samples have no group, there is but one, or a fold leaves too little to learn from; as `ram.train`.
    ModelError, TrainingError, Stopped
        As for `ram.train`, for a run.
    """
    alone("a cross-validation")
    folder = None if output is None else Path(output)
    wish: dict[str, Any] = {
        "folds": folds,
        "seeds": seeds if seeds is None or isinstance(seeds, int) else list(seeds),
        "validation_share": validation_share,
        "validation_by": validation_by,
    }
    if isinstance(config, (str, Path)) and (Path(config) / CROSS_VALIDATION_FILE).is_file():
        kept = CrossValidation(Path(config)).settings
        folder, config = folder or Path(config), Path(config) / "config.toml"
        wish = {key: kept[key] if value is None else value for key, value in wish.items()}
    experiment = load_experiment(config, overrides=overrides)
    validation = _validation(experiment, wish)
    experiment = _leaving_out(experiment, None)
    whole = data if isinstance(data, Dataset) else open_data(experiment.data, data)
    left_out = folds_of(whole, wish["folds"])
    content = {"schema": "ram-cross-validation/1", **wish, **validation, "left_out": [list(out) for out in left_out]}
    folder = folder_for(experiment, content, folder, kind="groups", resume=resume)
    with locked(folder):
        begin(folder, CROSS_VALIDATION_FILE, content, experiment, data=data, what="the cross-validation")
        if not is_finished(folder):
            for number, (groups, name) in enumerate(zip(left_out, fold_names(left_out), strict=True), start=1):
                if progress is not False:
                    say_fold(groups, number=number, count=len(left_out))
                fold = _leaving_out(experiment, LeaveOut(groups=groups, **validation))
                _run(fold, folder, name, data=data, seeds=wish["seeds"], progress=progress)
            write_figures(CrossValidation(folder), whole)
            write_manifest(folder)
    return CrossValidation(folder)


def _validation(experiment: Experiment, wish: Mapping[str, Any]) -> dict[str, Any]:
    """Return what validates: what is asked for, else what the experiment says, else the defaults."""
    said = experiment.data.leave_out or LeaveOut(groups=("any",))
    asked = {key: value for key, value in wish.items() if key in _VALIDATION and value is not None}
    whole = checked(LeaveOut, {**said.model_dump(), **asked}, where="ram cross-validate")
    return {key: getattr(whole, key) for key in _VALIDATION}


def folds_of(data: Dataset, folds: int | None = None) -> tuple[tuple[str, ...], ...]:
    """Return the groups that each fold leaves out; every group is left out once.

    Raises
    ------
    DataError
        Where samples have no group, there is but one, or a fold leaves too little.
    ConfigError
        For fewer than two folds, or more than there are groups.
    """
    counts = data.weights > 0
    groups, where = data.groups[counts], f"{data.path}:{data.place('groups')}"
    blank = int((groups == "").sum())
    if blank:
        step = "Say which column or folder names the specimen when the file is made; docs/trust.md has more"
        got = f"none for {blank:,} of {groups.size:,}"
        raise DataError(
            explained(where=where, what="a group", allowed="given for every sample", got=got, next_step=step)
        )
    names = np.unique(groups)
    if names.size < 2:
        got = f"{names[0]!s} for all {groups.size:,} samples"
        step = "Nothing here says how the net does on another specimen: measure one more"
        raise DataError(
            explained(where=where, what="the groups", allowed="of at least two kinds", got=got, next_step=step)
        )
    if folds is not None and not 2 <= folds <= names.size:
        allowed = f"2 to {names.size}, the number of groups"
        raise ConfigError(explained(where="folds", what="the number of folds", allowed=allowed, got=folds))
    found = tuple((str(name),) for name in names) if folds in (None, names.size) else _together(groups, folds or 0)
    for out in found:
        left = int((~np.isin(groups, out)).sum())
        if left < _LEAST:
            allowed = f"at least {_LEAST}, two to learn from and one to validate"
            place = f"{where} without {', '.join(out)}"
            raise DataError(explained(where=place, what="the samples that are left", allowed=allowed, got=left))
    return found


def _together(groups: NDArray[np.str_], folds: int) -> tuple[tuple[str, ...], ...]:
    """Return the groups of each fold, so that folds hold about as many samples."""
    from sklearn.model_selection import GroupKFold

    names, member = np.unique(groups, return_inverse=True)
    parts = GroupKFold(folds).split(member, groups=member)
    return tuple(tuple(names[np.unique(member[test])].tolist()) for _, test in parts)


def _leaving_out(experiment: Experiment, out: LeaveOut | None) -> Experiment:
    return experiment.model_copy(update={"data": experiment.data.model_copy(update={"leave_out": out})})


def _run(
    experiment: Experiment,
    folder: Path,
    name: str,
    *,
    data: str | Path | Dataset | None,
    seeds: int | Sequence[int] | None,
    progress: bool | None,
) -> None:
    """Train the run of a fold, or go on with it."""
    try:
        train(experiment, data=data, output=folder / name, seeds=seeds, resume=True, progress=progress)
    except Stopped as stopped:
        said = str(stopped).replace(f"ram train --resume {folder / name}", f"ram cross-validate --resume {folder}")
        raise Stopped(said) from None
    except StorageError:
        raise
    except DataError as error:
        assert experiment.data.leave_out is not None
        groups = ", ".join(experiment.data.leave_out.groups)
        raise DataError(f"Without {groups}: {error}") from None
