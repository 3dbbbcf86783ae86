"""A cross-validation by groups: runs of one experiment, each of which leaves out a part of the groups."""

from __future__ import annotations

__all__ = ["CROSS_VALIDATION_FILE", "CrossValidation", "fold_names"]

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ram.errors import DataError, explained
from ram.runs.predictions import Predictions
from ram.runs.run import Run, open_run
from ram.storage.names import file_names

CROSS_VALIDATION_FILE = "cross_validation.json"


@dataclass(frozen=True)
class CrossValidation:
    """An opened cross-validation.

    Attributes
    ----------
    path
        Its folder, with one run (or ensemble) for each fold.
    """

    path: Path

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Folds, seeds, what validates, and which groups each fold leaves out."""
        return dict(json.loads((self.path / CROSS_VALIDATION_FILE).read_text(encoding="utf-8")))

    @property
    def left_out(self) -> tuple[tuple[str, ...], ...]:
        """The groups that each fold leaves out."""
        return tuple(tuple(groups) for groups in self.settings["left_out"])

    @property
    def runs(self) -> tuple[Run, ...]:
        """One for each fold; ensembles where several seeds were asked for."""
        return tuple(open_run(self.path / name) for name in fold_names(self.left_out))

    @cached_property
    def table(self) -> dict[str, Any]:
        """By target: unit, rows of all groups, mean over groups, figures over all samples.

        Raises
        ------
        DataError
            Where the cross-validation is not finished.
        """
        return dict(json.loads(self._finished("table.json").read_text(encoding="utf-8")))

    @cached_property
    def predictions(self) -> Predictions:
        """Of every sample, by the net that was trained without its group.

        Raises
        ------
        DataError
            Where the cross-validation is not finished.
        """
        return Predictions.load(self._finished("predictions.h5"))

    @cached_property
    def groups(self) -> NDArray[np.str_]:
        """Group of each row of `predictions`.

        Raises
        ------
        DataError
            Where the data file of the runs is gone or another one.
        """
        data = self.runs[0].data()
        of = dict(zip(data.ids.tolist(), data.groups.tolist(), strict=True))
        own = [of.get(name, "") for name in self.predictions.ids.tolist()]
        return np.array(own, dtype=np.str_)

    def _finished(self, name: str) -> Path:
        path = self.path / name
        if not path.is_file():
            step = f"Go on with 'ram cross-validate --resume {self.path}'"
            allowed, got = "finished", f"no {name}"
            raise DataError(
                explained(where=str(path), what="a cross-validation", allowed=allowed, got=got, next_step=step)
            )
        return path


def fold_names(left_out: Sequence[Sequence[str]]) -> list[str]:
    """Return where the run of each fold lies, below the folder of them all.

    >>> fold_names([["06cm"], ["10cm"]]), fold_names([["a", "b"], ["c"]])
    (['without-06cm', 'without-10cm'], ['fold-1', 'fold-2'])
    """
    if all(len(groups) == 1 for groups in left_out):
        return file_names([f"without-{groups[0]}" for groups in left_out])
    return [f"fold-{number}" for number in range(1, len(left_out) + 1)]
