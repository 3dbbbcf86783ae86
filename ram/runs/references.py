"""What a run's maps are held against: the mean map of the training part, and the map of its mean input."""

from __future__ import annotations

__all__ = ["MEAN_DESIGN", "MEAN_MAP", "reference_maps"]

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from ram.maps.regression_map import RegressionMap

MEAN_MAP, MEAN_DESIGN = "train-mean", "train-mean-design"
Inputs = Float[np.ndarray, "batch channel *space"]
Parameters = Float[np.ndarray, "batch parameter"]
Explain = Callable[[Inputs, Parameters], dict[str, RegressionMap]]


def reference_maps(explain: Explain, batches: Iterable[tuple[Inputs, Parameters]]) -> dict[str, RegressionMap]:
    """Return ``"train-mean/<target>"`` and ``"train-mean-design/<target>"``, one row each.

    Parameters
    ----------
    explain
        From inputs and design parameters to maps against the net's own baseline.
    batches
        The training part; one pass, and only means are kept.
    """
    counts: list[int] = []
    means: dict[str, list[RegressionMap]] = {}
    inputs: list[tuple[Inputs, Parameters]] = []
    for x, parameters in batches:
        counts.append(len(x))
        inputs.append((x.mean(axis=0, dtype=np.float64), parameters.mean(axis=0)))
        for target, one in explain(x, parameters).items():
            means.setdefault(target, []).append(one.mean(name=MEAN_MAP))
    mean_x, mean_parameters = (np.average(column, axis=0, weights=counts) for column in zip(*inputs, strict=True))
    design = explain(mean_x[None].astype(np.float32), mean_parameters[None])
    return {f"{MEAN_MAP}/{target}": _average(rows, counts) for target, rows in means.items()} | {
        f"{MEAN_DESIGN}/{target}": replace(one, ids=(MEAN_DESIGN,)) for target, one in design.items()
    }


def _average(rows: Sequence[RegressionMap], counts: Sequence[int]) -> RegressionMap:
    """Return the mean map of all samples from the mean maps of batches of `counts` samples."""

    def mean(name: str) -> np.ndarray:
        return np.average([_additive(row, name) for row in rows], axis=0, weights=counts)

    def in_unit(name: str) -> np.ndarray:
        return np.exp(mean(name)) if rows[0].log else mean(name)

    return replace(
        rows[0],
        contributions=mean("contributions"),
        parameter_contributions=mean("parameter_contributions"),
        part_contributions=mean("part_contributions"),
        baseline=in_unit("baseline"),
        prediction=in_unit("prediction"),
    )


def _additive(row: RegressionMap, name: str) -> np.ndarray:
    values: np.ndarray = getattr(row, name)
    return np.log(values) if row.log and name in ("baseline", "prediction") else values
