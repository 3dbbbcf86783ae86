"""What is known of an experiment before it is trained."""

from __future__ import annotations

__all__ = ["sight_of"]

from ram.errors import RamError
from ram.maps.sight import Sight
from ram.models.regressor import TargetScaling
from ram.runs.config import Experiment
from ram.runs.net import NetSpec
from ram.runs.opening import open_data


def sight_of(experiment: Experiment) -> str:
    """Return how much of the input the cells of an experiment's net see, in words; empty where that cannot be known.

    The data file must be at hand, for its axes; no input is read.
    """
    section = experiment.data
    try:
        data = open_data(section)
        spec = NetSpec(
            model=experiment.model,
            channels=data.channels,
            axes=data.axes,
            symmetries=data.symmetries,
            targets=tuple(TargetScaling(name, "1") for name in section.targets),
            parameters=dict.fromkeys(section.parameters, "1"),
        )
        return str(Sight.of(spec.build().eval(), data.axes))
    except RamError:  # the training says it, or `ram data check`
        return ""
