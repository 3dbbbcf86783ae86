"""Runs of one experiment with several seeds that answer as one: a folder of ordinary run folders."""

from __future__ import annotations

__all__ = ["Combined", "Ensemble", "combined"]

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from ram.data.dataset import Dataset
from ram.errors import ConfigError, DataError, explained
from ram.maps.ensemble_map import EnsembleMap
from ram.maps.regression_map import RegressionMap
from ram.models.regressor import Regressor, TargetScaling
from ram.runs.answers import Answer
from ram.runs.explaining import Wish, require_level
from ram.runs.measured import measured_targets
from ram.runs.net import NetSpec
from ram.runs.predictions import Predictions
from ram.runs.references import MEAN_MAP
from ram.runs.run import ENSEMBLE_FILE, Reference, Run


@dataclass(frozen=True, eq=False)
class Combined:
    """What the members of an ensemble say together.

    Attributes
    ----------
    values
        Shape (sample, target): the mean of the members' predictions, in the targets' units; for a log target the mean
        of logarithms, as their maps add up there.
    spread
        Shape (sample, target): standard deviation over the members; of the logarithm for a log target.
    distances
        Shape (sample,): root mean square of the members' distances from the training part.
    """

    values: Float[np.ndarray, "sample target"] = field(repr=False)
    spread: Float[np.ndarray, "sample target"] = field(repr=False)
    distances: Float[np.ndarray, " sample"] = field(repr=False)

    def spread_in_unit(self, targets: Sequence[TargetScaling]) -> Float[np.ndarray, "sample target"]:
        """Return the spread in the targets' units: of a log target times the prediction."""
        log = np.array([target.log for target in targets])
        return np.where(log, self.spread * self.values, self.spread)


def combined(members: Sequence[Run], answers: Sequence[Answer], targets: Sequence[TargetScaling]) -> Combined:
    """Return what the answers of the members to the same samples are together.

    Raises
    ------
    DataError
        Where a member has no calibration.
    """
    log = np.array([target.log for target in targets])
    values = np.stack([one.values for one in answers])  # (member, sample, target)
    values[..., log] = np.log(values[..., log])
    mean = values.mean(axis=0)
    spread = values.std(axis=0, ddof=1)
    mean[:, log] = np.exp(mean[:, log])
    squares = [_distances(run, one) ** 2 for run, one in zip(members, answers, strict=True)]
    return Combined(mean, spread, np.sqrt(np.mean(squares, axis=0)))


def _distances(run: Run, found: Answer) -> Float[np.ndarray, " sample"]:
    if run.calibration is None or run.calibration.surroundings is None:
        step = "Train it again: it was made by an older version, or a file was removed"
        got = "no calibration.h5"
        raise DataError(explained(where=str(run.path), what="a member", allowed="calibrated", got=got, next_step=step))
    return run.calibration.surroundings.distances(found.features)


@dataclass(frozen=True)
class Ensemble(Run):
    """Runs of several seeds, opened as one: it predicts, explains and reports with the words of a `Run`.

    The prediction is the mean over the members, and its map the mean of their maps, which is exact: both are linear.
    """

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """The members' seeds."""
        return tuple(self._json(ENSEMBLE_FILE)["seeds"])

    @cached_property
    def members(self) -> tuple[Run, ...]:
        """The runs, in the order of `seeds`.

        Raises
        ------
        DataError
            Where one of them was not finished.
        """
        runs = tuple(Run(self.path / name) for name in self._json(ENSEMBLE_FILE)["members"])
        for run in runs:
            if not (run.path / "manifest.json").is_file():
                step = f"Go on with 'ram train --resume {self.path}'"
                got = "one that was not finished" if run.path.is_dir() else "no such folder"
                raise DataError(
                    explained(where=str(run.path), what="a member", allowed="a finished run", got=got, next_step=step)
                )
        return runs

    @cached_property
    def spread(self) -> dict[str, Any]:
        """``spread["test"]["umbrella"]["mae"]``: mean, std and each member's value of every figure."""
        return dict(self._json("members.json"))

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Where the first member comes from, and the seeds of all."""
        return {**self.members[0].provenance, "seeds": list(self.seeds)}

    @cached_property
    def checks(self) -> list[dict[str, Any]]:
        """What the data check had to warn of; the members share their data."""
        return self.members[0].checks

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """The epochs of the first member; those of the others are in ``members``."""
        return self.members[0].history

    @cached_property
    def _net(self) -> tuple[Regressor, NetSpec]:
        """The first member's: all are built alike, for the same inputs."""
        return self.members[0]._net

    @property
    def regressor(self) -> Regressor:
        """Refused: an ensemble is several nets.

        Raises
        ------
        ConfigError
            Always.
        """
        step = f"Take one of its {len(self.seeds)} runs, such as {self.members[0].path}"
        what = "what is done with one net"
        raise ConfigError(
            explained(where=str(self.path), what=what, allowed="asked of one run", got="an ensemble", next_step=step)
        )

    @property
    def method(self) -> str:
        """The method of the maps that the members store."""
        return self.members[0].method

    def predict(
        self, data: Dataset, *, level: float | None = None, progress: Callable[[int], None] | None = None
    ) -> Predictions:
        """Return the mean predictions for all samples of `data`, with intervals and the members' spread; see `Run`."""
        require_level(level)
        return self.judge_combined(data, self.combined(data, progress=progress), level=level)

    def combined(self, data: Dataset, *, progress: Callable[[int], None] | None = None) -> Combined:
        """Return what the members say together; `progress` counts the samples of the first."""
        answers = [run.answer(data, progress=None if number else progress) for number, run in enumerate(self.members)]
        return combined(self.members, answers, self.spec.targets)

    def judge_combined(self, data: Dataset, found: Combined, *, level: float | None = None) -> Predictions:
        """Return the predictions for `data` of an answer that was given before."""
        bare = Predictions(
            ids=data.ids,
            part_of=np.full(len(data), ""),
            target_names=tuple(self.units),
            units=tuple(self.units.values()),
            values=found.values,
            measured=measured_targets(data, self.units),
            spread=found.spread_in_unit(self.spec.targets),
        )
        if self.calibration is None:
            return bare
        return bare.with_judgement(
            self.calibration.judged(
                found.values, found.distances, targets=self.spec.targets, spread=found.spread, level=level
            )
        )

    def reference_maps(self, name: str = MEAN_MAP) -> dict[str, RegressionMap]:
        """Return the mean of the members' maps of reference, by target."""
        maps = [run.reference_maps(name) for run in self.members]
        return {target: EnsembleMap.of([one[target] for one in maps]) for target in maps[0]}

    def _explained(
        self, names: Sequence[str], data: Dataset, reference: Reference | None, wish: Wish
    ) -> dict[str, RegressionMap]:
        maps = [run._explained(names, data, reference, wish) for run in self.members]
        return {name: EnsembleMap.of([one[name] for one in maps]) for name in names}
