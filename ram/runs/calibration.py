"""What a run learned about its own errors: intervals for predictions, and which samples are unlike its training part."""

from __future__ import annotations

__all__ = ["Calibration", "Judged"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ram.errors import DataError, explained
from ram.models.regressor import TargetScaling
from ram.runs.config import TrustConfig
from ram.runs.conformal import Scores
from ram.runs.surroundings import Surroundings
from ram.storage.atomic import writing
from ram.storage.hdf5 import create, open_safely, read_text, reading
from ram.storage.netcdf import set_text

_SCHEMA = "ram-calibration/1"
_FLOOR = 0.1  # of a typical difficulty: a sample of no difficulty at all must not get an interval of no width
Values = Float[np.ndarray, "sample target"]


@dataclass(frozen=True, eq=False)
class Judged:
    """What is known of predictions before the truth is.

    Attributes
    ----------
    lower, upper
        Shape (sample, target), in the targets' units; infinite where too few samples calibrated.
    outside
        Shape (sample,): how often a sample like the training part's is as far away, a p-value.
    level, alarm
        What the intervals promise, and up to which p-value a sample is called outside.
    """

    lower: Values = field(repr=False)
    upper: Values = field(repr=False)
    outside: Float[np.ndarray, " sample"] = field(repr=False)
    level: float
    alarm: float


@dataclass(frozen=True, eq=False)
class Calibration:
    """Scores of the samples that took no part in training or choosing.

    Attributes
    ----------
    settings
        The config's section.
    errors
        By target: absolute errors over difficulty, in the target's unit; of logarithms for log targets.
    distances
        Of the same samples from the training part.
    typical
        Shape (target,): the spread of an ensemble's members that counts as a difficulty of 1; ones else.
    surroundings
        Of the training part's features; None for an ensemble, whose members have their own.
    """

    settings: TrustConfig
    errors: Mapping[str, Scores]
    distances: Scores
    typical: Float[np.ndarray, " target"] = field(repr=False)
    surroundings: Surroundings | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        values: Values,
        measured: Values,
        distances: Float[np.ndarray, " sample"],
        groups: NDArray[np.str_],
        *,
        targets: Sequence[TargetScaling],
        settings: TrustConfig,
        spread: Values | None = None,
        typical: Float[np.ndarray, " target"] | None = None,
        surroundings: Surroundings | None = None,
    ) -> Calibration:
        """Return what the calibrating samples say.

        Parameters
        ----------
        values, measured, spread
            Predicted and measured, in the targets' units, NaN where not measured; how far members differ, in the
            logarithm for log targets.
        distances, groups
            Shape (sample,).
        """
        typical = np.ones(len(targets)) if typical is None else typical
        sizes = _difficulty(settings.difficulty, distances, spread, typical)
        errors = {}
        for number, target in enumerate(targets):
            error = np.abs(_additive(measured[:, number], target) - _additive(values[:, number], target))
            errors[target.name] = Scores.of(error / sizes[:, number], groups)
        return cls(settings, errors, Scores.of(distances, groups), typical, surroundings)

    def judged(
        self,
        values: Values,
        distances: Float[np.ndarray, " sample"],
        *,
        targets: Sequence[TargetScaling],
        spread: Values | None = None,
        level: float | None = None,
    ) -> Judged:
        """Return intervals and p-values for predictions; `level` in place of the run's own."""
        level = self.settings.level if level is None else level
        sizes = _difficulty(self.settings.difficulty, distances, spread, self.typical)
        radius = np.array([self.errors[target.name].radius(level) for target in targets]) * sizes  # (sample, target)
        lower, upper = np.empty_like(values), np.empty_like(values)
        for number, target in enumerate(targets):
            centre = _additive(values[:, number], target)
            lower[:, number] = _in_unit(centre - radius[:, number], target)
            upper[:, number] = _in_unit(centre + radius[:, number], target)
        p = self.distances.p_values(distances)
        return Judged(lower, upper, p, level, self.distances.alarm(self.settings.alarm))

    def save(self, path: Path) -> None:
        """Write an HDF5 file, atomically."""
        with writing(path) as temporary, create(temporary) as file:
            set_text(file, "schema", _SCHEMA)
            set_text(file, "settings", self.settings.model_dump_json())
            file.create_dataset("typical", data=self.typical, track_times=False)
            for number, (name, scores) in enumerate(self.errors.items()):
                group = file.create_group(f"errors/{number:03d}", track_order=True)
                set_text(group, "target", name)
                _write(group, scores)
            _write(file.create_group("distances", track_order=True), self.distances)
            if self.surroundings is not None:
                file.create_dataset("features/mean", data=self.surroundings.mean, track_times=False)
                file.create_dataset("features/whitening", data=self.surroundings.whitening, track_times=False)

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read what `save` wrote.

        Raises
        ------
        DataError
            Where the file is missing, damaged or of another kind.
        """
        with open_safely(path) as file, reading(path):
            schema = read_text(file, "schema")
            if schema != _SCHEMA:
                raise DataError(explained(where=str(path), what="the schema", allowed=_SCHEMA, got=schema or "none"))
            groups = [file["errors"][key] for key in sorted(file["errors"])]
            features = file.get("features")
            return cls(
                settings=TrustConfig.model_validate_json(read_text(file, "settings")),
                errors={read_text(group, "target"): _read(group) for group in groups},
                distances=_read(file["distances"]),
                typical=file["typical"][()],
                surroundings=None
                if features is None
                else Surroundings(features["mean"][()], features["whitening"][()]),
            )


def _difficulty(
    kind: str, distances: Float[np.ndarray, " sample"], spread: Values | None, typical: Float[np.ndarray, " target"]
) -> Values:
    """Return how hard each sample is held to be, shape (sample, target), about 1."""
    if kind == "spread" and spread is not None:
        return np.asarray(spread / typical + _FLOOR)
    sizes = distances + _FLOOR if kind == "distance" else np.ones(len(distances))
    return np.repeat(np.asarray(sizes)[:, None], len(typical), axis=1)


def _additive(values: NDArray[np.float64], target: TargetScaling) -> NDArray[np.float64]:
    return np.asarray(np.log(values)) if target.log else values


def _in_unit(values: NDArray[np.float64], target: TargetScaling) -> NDArray[np.float64]:
    if not target.log:
        return values
    with np.errstate(over="ignore"):  # a wide interval in the logarithm ends at infinity
        return np.asarray(np.exp(values))


def _write(group: h5py.Group, scores: Scores) -> None:
    group.attrs["groups"] = np.int64(scores.groups)
    group.create_dataset("values", data=scores.values, track_times=False)
    group.create_dataset("weights", data=scores.weights, track_times=False)


def _read(group: h5py.Group) -> Scores:
    return Scores(group["values"][()], group["weights"][()], int(group.attrs["groups"]))
