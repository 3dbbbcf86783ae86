"""The parts of a run's data: what the net learns from, what chooses its best epoch, what calibrates its intervals."""

from __future__ import annotations

__all__ = ["CALIBRATION", "CHOOSING", "part_of"]

import numpy as np
from numpy.typing import NDArray

from ram.data.dataset import Dataset
from ram.data.parting import draw_share, independent_groups
from ram.errors import ConfigError, explained
from ram.runs.config import Experiment

CHOOSING, CALIBRATION = "choosing", "calibration"
_SEED = 0  # the same samples calibrate whatever the experiment's seed: nets of several seeds are calibrated as one


def part_of(data: Dataset, experiment: Experiment, name: str) -> Dataset:
    """Return a part of the experiment's split.

    Parameters
    ----------
    name
        ``"train"``: the share of the training part that the net learns from; ``"validation"``, ``"test"``: as in the
        file; ``"choosing"`` and ``"calibration"``: the two sides of the validation part. Groups stay together.

    Raises
    ------
    ConfigError
        Where a share leaves nothing to learn or to choose from.
    """
    if name == "train":
        return _trained_on(data.subset("train", split=experiment.data.split), experiment)
    if name not in (CHOOSING, CALIBRATION):
        return data.subset(name, split=experiment.data.split)
    validation = data.subset("validation", split=experiment.data.split)
    calibrates = _calibrates(validation, experiment)
    return validation[calibrates if name == CALIBRATION else ~calibrates]


def _trained_on(train: Dataset, experiment: Experiment) -> Dataset:
    share = experiment.data.train_share
    if share == 1:
        return train
    drawn = draw_share(_groups(train), share, seed=experiment.seed, purpose="learning-curve")
    if not drawn.any():
        smallest = 1 / np.unique(_groups(train)).size
        raise ConfigError(
            explained(
                where="data.train_share",
                what="the share of the training part",
                allowed="enough for one group of samples",
                got=f"{share:g} of {len(train)} samples",
                next_step=f"Give {smallest:.2g} or more",
            )
        )
    return train[drawn]


def _calibrates(validation: Dataset, experiment: Experiment) -> NDArray[np.bool_]:
    """Say which samples take no part in choosing; where there is but one group, it is needed to choose."""
    groups = _groups(validation)
    if np.unique(groups).size < 2:
        return np.zeros(len(validation), dtype=np.bool_)
    drawn = draw_share(groups, experiment.trust.calibration, seed=_SEED, purpose="calibration")
    return drawn if not drawn.all() else groups != groups.max()


def _groups(data: Dataset) -> NDArray[np.str_]:
    return independent_groups(data.groups, data.ids)
