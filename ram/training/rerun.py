"""Train a run once more from what it says of itself, and hold both against each other to the bit."""

from __future__ import annotations

__all__ = ["Rerun", "make_again", "rerun"]

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ram.data import making
from ram.data.origin import Origin
from ram.errors import ConfigError, DataError, explained
from ram.models.regressor import Regressor
from ram.runs.differences import RunDifferences, run_differences
from ram.runs.manifest import read_manifest
from ram.runs.net import load_net
from ram.runs.run import ENSEMBLE_FILE, Run
from ram.training.starting import START_FILE
from ram.training.train import train


@dataclass(frozen=True)
class Rerun:
    """A run that was made again, and in what it differs from the first one."""

    run: Run
    differences: RunDifferences


def rerun(
    run: Run, *, data: str | Path | None = None, output: str | Path | None = None, progress: bool | None = None
) -> Rerun:
    """Train again with the run's own config, data and start, in a new folder, and compare.

    Parameters
    ----------
    data
        The run's data file where it lies elsewhere now.
    output
        The new folder; ``runs/<name>-<digest>-2`` and so on where it is not given.

    Raises
    ------
    DataError
        The data are not those of the run, or what it started from is gone or another one.
    ConfigError, TrainingError
        As `ram.training.train.train`.
    """
    if (run.path / ENSEMBLE_FILE).is_file():
        step = "Make its members again, one by one"
        raise ConfigError(explained(where=str(run.path), what="the run", allowed="a single one",
                                    got="an ensemble", next_step=step))  # fmt: skip
    read_manifest(run.path)  # a run that is not finished has nothing to be compared with
    whole = run.data(data)
    again = train(run.config, data=whole, output=output, net=_start(run), progress=progress)
    return Rerun(again, run_differences(run, again))


def _start(run: Run) -> Regressor | None:
    """Return the net that the run began with, None where its weights were drawn."""
    wanted = run.provenance.get("start_sha256")
    kept = run.path / START_FILE
    if wanted is None:
        return None
    if not kept.is_file() or hashlib.sha256(kept.read_bytes()).hexdigest() != wanted:
        raise DataError(
            explained(
                where=str(kept),
                what="the net that the run began with",
                allowed=f"there, with SHA-256 {wanted}",
                got="another file" if kept.is_file() else "none",
                next_step="Restore it from a copy of the run; 'ram verify' says what else changed",
            )
        )
    return load_net(kept)[0]


def make_again(
    run: Run,
    recipe: str | Path,
    output: str | Path,
    *,
    options: Mapping[str, str] | None = None,
    progress: bool = True,
) -> Path:
    """Make the run's data file once more by a recipe, with the options that stand in the run's provenance.

    Parameters
    ----------
    recipe
        Folder with ``recipe.py``. Its code is run: only name a folder that you trust.
    output
        The data file to write.
    options
        In place of those that are known, or where none are: paths and numbers of jobs are not kept.

    Raises
    ------
    ConfigError
        Where neither run nor caller says with which options.
    DataError
        Where the data that were made are not those of the run.
    """
    origin = _origin(run)
    if origin is None and not options:
        step = "Give the recipe's options, such as --option samples=64"
        raise ConfigError(explained(where=str(run.path), what="the options of the recipe", allowed="known",
                                    got="a data file that says nothing of them", next_step=step))  # fmt: skip
    known: dict[str, str] = dict(origin.options) if origin else {}
    path = making.make(recipe, output, {**known, **(options or {})}, progress=progress)
    try:
        run.data(path)
    except DataError as error:
        raise DataError(f"{error} {_what_made_it(origin, Path(recipe), options or {})}") from None
    return path


def _origin(run: Run) -> Origin | None:
    said: Any = run.provenance["data"].get("recipe")
    return Origin(said["recipe"], said["sha256"], said["options"]) if said else None


def _what_made_it(origin: Origin | None, recipe: Path, options: Mapping[str, str]) -> str:
    """Say what may be why data that were made again are others."""
    if origin is None:
        return "The run's data file does not say which options made it."
    if hashlib.sha256((recipe / "recipe.py").read_bytes()).hexdigest() != origin.sha256:
        return f"The recipe.py of {recipe} is another one than made the run's data."
    changed = ", ".join(name for name, text in options.items() if origin.options.get(name.replace("-", "_")) != text)
    return f"Options that are not those of the run: {changed}." if changed else "The recipe is the one that made them."
