"""Measured targets in the unit that a net answers in."""

from __future__ import annotations

__all__ = ["measured_targets", "target_units", "training_means"]

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from ram.data.dataset import Dataset
from ram.data.units import compatible, convert
from ram.errors import ConfigError, explained


def target_units(data: Dataset, targets: Sequence[str], *, wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the unit of each target: the wanted one, or the file's.

    Raises
    ------
    ConfigError
        Where the wanted unit is none, or measures something else than the file's.
    """
    units = {name: wanted.get(name, data.targets[name]) for name in targets}
    for name, unit in units.items():
        if not _fits(unit, data.targets[name]):
            raise ConfigError(
                explained(
                    where=f"data.units.{name} for {data.path}",
                    what="the unit",
                    allowed=f"convertible from the file's {data.targets[name]!r}",
                    got=repr(unit),
                    next_step="Mend the unit in the config, or leave it out to use the file's",
                )
            )
    return units


def _fits(unit: str, other: str) -> bool:
    try:
        return compatible(unit, other)
    except Exception:  # pint raises a dozen kinds for a word that is no unit
        return False


def measured_targets(data: Dataset, units: Mapping[str, str]) -> Float[np.ndarray, "sample target"]:
    """Return the targets named in `units`, in these units; NaN where not measured, or not in the file at all."""
    columns = np.full((len(data), len(units)), np.nan)
    for number, (name, unit) in enumerate(units.items()):
        if name in data.targets:
            column = data.target_array([name])[:, 0]
            columns[:, number] = convert(column, unit=data.targets[name], to=unit)
    return columns


def training_means(
    train: Dataset, units: Mapping[str, str], *, log: Sequence[str] = ()
) -> Float[np.ndarray, " target"]:
    """Return the mean of each target over a training part, in these units; NaN where none was measured.

    A sample of weight 2 counts as two; of a target in `log` it is the exponential of the logarithms' mean.
    """
    values, weights = measured_targets(train, units), train.weights
    means = np.full(len(units), np.nan)
    for number, name in enumerate(units):
        column = np.log(values[:, number]) if name in log else values[:, number]
        known = np.isfinite(column) & (weights > 0)
        if known.any():
            mean = np.average(column[known], weights=weights[known])
            means[number] = np.exp(mean) if name in log else mean
    return means
