"""What a cross-validation found: predictions of every sample by a net that never saw its group, and their figures."""

from __future__ import annotations

__all__ = ["write_figures"]

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ram.data.dataset import Dataset
from ram.evaluation.groups import GroupRow, group_rows, over_groups
from ram.runs.cross_validation import CrossValidation
from ram.runs.ensemble import Ensemble
from ram.runs.measured import training_means
from ram.runs.opening import parted
from ram.runs.parts import part_of
from ram.runs.predictions import Predictions
from ram.runs.run import Run
from ram.storage.atomic import write_json


def write_figures(found: CrossValidation, data: Dataset) -> None:
    """Write predictions.h5 and table.json into the folder; all runs are finished.

    For each target of which anything was measured: unit, rows of the groups, mean over these, figures over all samples,
    and with several seeds what nets of one seed are worth.
    """
    tested = _Tested(found.runs, data)
    tested.joined.save(found.path / "predictions.h5")
    known = [name for name in tested.joined.target_names if np.isfinite(tested.joined.column(name)[1]).any()]
    write_json(found.path / "table.json", {name: _figures(tested, name) for name in known})


@dataclass(frozen=True, eq=False)
class _Tested:
    """The test parts of all runs, one after the other."""

    runs: tuple[Run, ...]
    data: Dataset = field(repr=False)

    @cached_property
    def parts(self) -> list[Predictions]:
        return [run.predictions("test") for run in self.runs]

    @cached_property
    def joined(self) -> Predictions:
        return Predictions.joined(self.parts)

    @cached_property
    def groups(self) -> NDArray[np.str_]:
        group_of = dict(zip(self.data.ids.tolist(), self.data.groups.tolist(), strict=True))
        return np.array([group_of[name] for name in self.joined.ids.tolist()], dtype=np.str_)

    def constant(self, target: str) -> Float[np.ndarray, " sample"]:
        """Return what each sample's training part has for its mean."""
        number = self.joined.target_names.index(target)
        return np.repeat([means[number] for means in self.means], [len(part) for part in self.parts])

    @cached_property
    def means(self) -> list[Float[np.ndarray, " target"]]:
        return [
            training_means(
                part_of(parted(self.data, run.config.data), run.config, "train"),
                run.units,
                log=run.config.data.log_targets,
            )
            for run in self.runs
        ]

    def rows(self, target: str, groups: NDArray[np.str_]) -> list[GroupRow]:
        held, outside = zip(*(part.judgement(target) for part in self.parts), strict=True)
        return group_rows(
            *self.joined.column(target),
            groups,
            unit=self.joined.units[self.joined.target_names.index(target)],
            constant=self.constant(target),
            held=np.concatenate(held),
            outside=np.concatenate(outside),
        )


def _figures(tested: _Tested, target: str) -> dict[str, Any]:
    rows = tested.rows(target, tested.groups)
    (whole,) = tested.rows(target, np.full(tested.groups.shape, ""))
    return {
        "unit": whole.unit,
        "groups": [row.as_dict() for row in rows],
        "over_groups": over_groups(rows),
        "over_samples": {key: value for key, value in whole.as_dict().items() if key not in ("group", "unit")},
        "one_net": _one_net(tested, target),
    }


def _one_net(tested: _Tested, target: str) -> dict[str, Any] | None:
    """Return the mean absolute errors of nets of one seed each, their mean and deviation; None for single runs."""
    ensembles = [run for run in tested.runs if isinstance(run, Ensemble)]
    if not ensembles:
        return None
    maes: dict[str, list[float]] = {"over_groups": [], "over_samples": []}
    for members in zip(*(one.members for one in ensembles), strict=True):
        predicted, measured = Predictions.joined([run.predictions("test") for run in members]).column(target)
        rows = group_rows(predicted, measured, tested.groups, unit="", constant=measured)
        maes["over_groups"].append(float(np.mean([row.mae for row in rows])))
        maes["over_samples"].append(float(np.nanmean(np.abs(predicted - measured))))
    of = {key: {"mean": float(np.mean(m)), "std": float(np.std(m, ddof=1)), "members": m} for key, m in maes.items()}
    return {"seeds": list(ensembles[0].seeds), "mae": of}
