"""Predictions of a run, in the targets' units, as a table and as a file."""

from __future__ import annotations

__all__ = ["Predictions"]

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float

from ram.errors import DataError, explained
from ram.storage.atomic import writing
from ram.storage.hdf5 import open_safely


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
    """

    ids: np.ndarray
    part_of: np.ndarray
    target_names: tuple[str, ...]
    units: tuple[str, ...]
    values: Float[np.ndarray, "sample target"]
    measured: Float[np.ndarray, "sample target"]

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, target: str) -> tuple[Float[np.ndarray, " sample"], Float[np.ndarray, " sample"]]:
        """Return prediction and measured value of one target."""
        number = self.target_names.index(target)
        return self.values[:, number], self.measured[:, number]

    def part(self, name: str) -> Predictions:
        """Return the samples of one part."""
        rows = np.flatnonzero(self.part_of == name)
        return replace(
            self, ids=self.ids[rows], part_of=self.part_of[rows], values=self.values[rows], measured=self.measured[rows]
        )

    def rows(self) -> list[dict[str, str | float]]:
        """Return one dictionary for each sample: ``{"id": ..., "umbrella_Hz": ...}``."""
        columns = [f"{name}_{unit}" if unit not in ("", "1") else name for name, unit in self._columns()]
        return [
            {"id": str(i), **dict(zip(columns, map(float, row), strict=True))}
            for i, row in zip(self.ids, self.values, strict=True)
        ]

    def _columns(self) -> Sequence[tuple[str, str]]:
        return list(zip(self.target_names, self.units, strict=True))

    @classmethod
    def joined(cls, several: Sequence[Predictions]) -> Predictions:
        """Return the predictions of several data sets by one net, one after the other."""
        return replace(
            several[0],
            ids=np.concatenate([one.ids for one in several]),
            part_of=np.concatenate([one.part_of for one in several]),
            values=np.concatenate([one.values for one in several]),
            measured=np.concatenate([one.measured for one in several]),
        )

    def save(self, path: Path) -> None:
        """Write an HDF5 file, atomically: /ids, /part, /targets/<name>/predicted and measured."""
        with writing(path) as temporary, h5py.File(temporary, "w", libver="latest") as file:
            file.attrs["schema"] = "ram-predictions/1"
            file.create_dataset("ids", data=np.char.encode(self.ids.astype(str), "utf-8"))
            file.create_dataset("part", data=np.char.encode(self.part_of.astype(str), "utf-8"))
            for number, (name, unit) in enumerate(self._columns()):
                group = file.create_group(f"targets/{number:03d}")
                group.attrs["name"], group.attrs["units"] = name, unit
                group.create_dataset("predicted", data=self.values[:, number])
                group.create_dataset("measured", data=self.measured[:, number])

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
            return cls(
                ids=np.char.decode(file["ids"][()], "utf-8"),
                part_of=np.char.decode(file["part"][()], "utf-8"),
                target_names=tuple(str(group.attrs["name"]) for group in groups),
                units=tuple(str(group.attrs["units"]) for group in groups),
                values=np.stack([group["predicted"][()] for group in groups], axis=1),
                measured=np.stack([group["measured"][()] for group in groups], axis=1),
            )
