"""Predictions of a run, in the targets' units, as a table and as a file."""

from __future__ import annotations

__all__ = ["Predictions"]

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Bool, Float, Int

from ram.errors import DataError, explained
from ram.runs.calibration import Judged
from ram.storage.atomic import writing
from ram.storage.hdf5 import create, open_safely

_OPTIONAL = ("lower", "upper", "spread", "outside")
_COLUMNS = ("ids", "part_of", "values", "measured", *_OPTIONAL)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a net says of some samples.

    Attributes
    ----------
    ids, part_of
        Shape (sample,): name of the sample; ``train``, ``validation`` or ``test``, empty where unknown.
    target_names, units
        One for each column.
    values
        Shape (sample, target), in the targets' units.
    measured
        Shape (sample, target), the same units; NaN where not measured.
    lower, upper
        Shape (sample, target): intervals that hold `level` of new samples' measured values; infinite where too few
        samples calibrated, NaN where none did.
    spread
        Shape (sample, target), in the targets' units: standard deviation over the members of an ensemble (for a log
        target the factor less 1, times the prediction); NaN for a single run.
    outside
        Shape (sample,), a p-value: how often a sample like the training part's is as far away from it; NaN where
        that is not known.
    level, alarm
        What intervals promise, and up to which p-value a sample is called outside; NaN where there are none.
    """

    ids: np.ndarray
    part_of: np.ndarray
    target_names: tuple[str, ...]
    units: tuple[str, ...]
    values: Float[np.ndarray, "sample target"]
    measured: Float[np.ndarray, "sample target"]
    lower: Float[np.ndarray, "sample target"] = field(default_factory=lambda: np.empty((0, 0)))
    upper: Float[np.ndarray, "sample target"] = field(default_factory=lambda: np.empty((0, 0)))
    spread: Float[np.ndarray, "sample target"] = field(default_factory=lambda: np.empty((0, 0)))
    outside: Float[np.ndarray, " sample"] = field(default_factory=lambda: np.empty(0))
    level: float = float("nan")
    alarm: float = float("nan")

    def __post_init__(self) -> None:
        for name in _OPTIONAL:
            if len(getattr(self, name)) != len(self.values):
                unknown = np.full(self.values.shape[: 1 if name == "outside" else 2], np.nan)
                object.__setattr__(self, name, unknown)

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, target: str) -> tuple[Float[np.ndarray, " sample"], Float[np.ndarray, " sample"]]:
        """Return prediction and measured value of one target."""
        number = self.target_names.index(target)
        return self.values[:, number], self.measured[:, number]

    def part(self, name: str) -> Predictions:
        """Return the samples of one part."""
        return self.at(np.flatnonzero(self.part_of == name))

    def at(self, rows: Int[np.ndarray, " row"]) -> Predictions:
        """Return those of some samples, by their places here."""
        return replace(self, **{column: getattr(self, column)[rows] for column in _COLUMNS})

    @property
    def has_intervals(self) -> bool:
        """Whether intervals were asked for and calibrated, infinite ones included."""
        return bool(np.isfinite(self.level))

    @property
    def is_outside(self) -> Bool[np.ndarray, " sample"]:
        """Say which samples are unlike those that the net was trained on; none where that is not known."""
        return np.asarray(self.outside <= self.alarm)

    def interval(self, target: str) -> tuple[Float[np.ndarray, " sample"], Float[np.ndarray, " sample"]]:
        """Return the lower and the upper end for one target."""
        number = self.target_names.index(target)
        return self.lower[:, number], self.upper[:, number]

    def covered(self, target: str) -> Bool[np.ndarray, " sample"]:
        """Say which measured values lie within their interval, ends included; False where nothing was measured."""
        (_, measured), (low, high) = self.column(target), self.interval(target)
        return np.asarray((measured >= low) & (measured <= high))

    def judgement(self, target: str) -> tuple[Float[np.ndarray, " sample"], Float[np.ndarray, " sample"]]:
        """Return 1 for each measured value within its interval, and for each sample that is outside; NaN: not known.

        Intervals that are infinite hold everything, which says nothing.
        """
        unknown = np.full(len(self), np.nan)
        finite = self.has_intervals and np.isfinite(self.interval(target)).all()
        return (
            self.covered(target).astype(np.float64) if finite else unknown,
            self.is_outside.astype(np.float64) if self.alarm > 0 else unknown,
        )

    def with_judgement(self, judged: Judged) -> Predictions:
        """Return the same predictions with intervals, and with what lies outside."""
        return replace(
            self, lower=judged.lower, upper=judged.upper, outside=judged.outside, level=judged.level, alarm=judged.alarm
        )

    def rows(self) -> list[dict[str, str | float]]:
        """Return one dictionary for each sample, of what there is.

        ``{"id": ..., "umbrella_Hz": ..., "umbrella_Hz_lower": ..., "umbrella_Hz_upper": ..., "umbrella_Hz_spread": ...,
        "outside": 0 or 1, "outside_p": ...}``.
        """
        columns: dict[str, np.ndarray] = {}
        for number, (name, unit) in enumerate(self._columns()):
            head = f"{name}_{unit}" if unit not in ("", "1") else name
            columns[head] = self.values[:, number]
            if self.has_intervals:
                columns |= {f"{head}_lower": self.lower[:, number], f"{head}_upper": self.upper[:, number]}
            if np.isfinite(self.spread).any():
                columns[f"{head}_spread"] = self.spread[:, number]
        if np.isfinite(self.alarm):
            columns |= {"outside": self.is_outside.astype(np.int64), "outside_p": self.outside}
        return [
            {"id": str(name), **dict(zip(columns, (value.item() for value in row), strict=True))}
            for name, *row in zip(self.ids, *columns.values(), strict=True)
        ]

    def _columns(self) -> Sequence[tuple[str, str]]:
        return list(zip(self.target_names, self.units, strict=True))

    @classmethod
    def joined(cls, several: Sequence[Predictions]) -> Predictions:
        """Return the predictions of several data sets by one net, one after the other."""
        columns = {column: np.concatenate([getattr(one, column) for one in several]) for column in _COLUMNS}
        return replace(several[0], **columns)  # type: ignore[arg-type]

    def save(self, path: Path) -> None:
        """Write an HDF5 file, atomically.

        It holds /ids, /part, /outside and, for each target, /targets/<number>/predicted, measured, lower, upper, spread;
        what is not known is left out.
        """
        with writing(path) as temporary, create(temporary) as file:
            file.attrs["schema"] = "ram-predictions/1"
            file.create_dataset("ids", data=np.char.encode(self.ids.astype(str), "utf-8"))
            file.create_dataset("part", data=np.char.encode(self.part_of.astype(str), "utf-8"))
            for number, (name, unit) in enumerate(self._columns()):
                group = file.create_group(f"targets/{number:03d}")
                group.attrs["name"], group.attrs["units"] = name, unit
                group.create_dataset("predicted", data=self.values[:, number])
                group.create_dataset("measured", data=self.measured[:, number])
                if self.has_intervals:
                    group.create_dataset("lower", data=self.lower[:, number])
                    group.create_dataset("upper", data=self.upper[:, number])
                if np.isfinite(self.spread).any():
                    group.create_dataset("spread", data=self.spread[:, number])
            if self.has_intervals:
                file.attrs["level"], file.attrs["alarm"] = self.level, self.alarm
                file.create_dataset("outside", data=self.outside)

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what `save` wrote.

        Raises
        ------
        DataError
            Where the file is missing or of another kind.
        """
        with open_safely(path) as file:
            if file.attrs.get("schema") != "ram-predictions/1":
                raise DataError(
                    explained(
                        where=str(path),
                        what="predictions",
                        allowed="ram-predictions/1",
                        got=file.attrs.get("schema", "another file"),
                    )
                )
            groups = [file[f"targets/{key}"] for key in sorted(file["targets"])]
            known = [name for name in ("lower", "upper", "spread") if name in groups[0]]
            return cls(
                ids=np.char.decode(file["ids"][()], "utf-8"),
                part_of=np.char.decode(file["part"][()], "utf-8"),
                target_names=tuple(str(group.attrs["name"]) for group in groups),
                units=tuple(str(group.attrs["units"]) for group in groups),
                values=np.stack([group["predicted"][()] for group in groups], axis=1),
                measured=np.stack([group["measured"][()] for group in groups], axis=1),
                outside=file["outside"][()] if "outside" in file else np.empty(0),
                level=float(file.attrs.get("level", np.nan)),
                alarm=float(file.attrs.get("alarm", np.nan)),
                **{name: np.stack([group[name][()] for group in groups], axis=1) for name in known},
            )
