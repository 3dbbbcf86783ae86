"""Parameters that enter the net beside the input, or merely stand in the file."""

from __future__ import annotations

__all__ = ["DEFECTS", "find_in_parameters"]

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ram.data.checks.asked import Asked
from ram.data.checks.defects import Defect, Finding
from ram.data.checks.targets import correlation
from ram.data.checks.values import isolated, placeholders

NOT_FINITE = Defect(
    code="not-finite-parameter",
    severity="error",
    what="a parameter",
    allowed="finite",
    rule="NaN or inf in a parameter that enters the net, in any part",
    reason="one of them turns every weight to NaN; a run predicts the test part too",
    remedy="Repair these samples or leave them out",
)
CONSTANT = Defect(
    code="constant-parameter",
    severity="warning",
    what="the parameter",
    allowed="different from sample to sample",
    rule="a parameter that enters the net has one value in all of the train part",
    reason="nothing is learned from it; where it differs in use, the net does not know what it does",
    remedy="Leave it out",
)
PLACEHOLDER = Defect(
    code="placeholder-parameter",
    severity="error",
    what="a parameter",
    allowed="a value",
    rule="-999, 9999 or another usual stand-in, further from all other values than these are wide",
    reason="it is standardised with the others and moves the prediction of its sample out of all proportion",
    remedy="Find the value, or leave these samples out",
)
OUTLYING = Defect(
    code="outlying-parameter",
    severity="warning",
    what="a parameter",
    allowed="near the others",
    rule="up to 1 in 100 values lie further from the rest than the rest is wide, in logarithms too",
    reason="it enters linearly, so its sample's prediction is as far off as it is itself",
    remedy="Look these samples up; repair them or leave them out",
)
IS_TARGET = Defect(
    code="parameter-is-target",
    severity="warning",
    what="a parameter",
    allowed="known before the target is",
    rule="a parameter and a target correlate by more than 0.999999 in 10 samples or more",
    reason="the net reads the answer off it, and needs no input",
    remedy="Leave the parameter out",
)

DEFECTS = (NOT_FINITE, CONSTANT, PLACEHOLDER, OUTLYING, IS_TARGET)

_SAME = 0.999999


def find_in_parameters(question: Asked) -> Iterator[Finding]:
    """Say what is wrong with the parameters; those that nobody named may be missing or constant."""
    for name in question.parameters:
        values = question.parameter(name)
        stand_in = placeholders(values)
        if stand_in.any():
            got = ", ".join(f"{value:g}" for value in np.unique(values[stand_in])[:3])
            yield PLACEHOLDER.found(question.data, f"parameters/{name}", rows=stand_in, got=got)
            continue
        if question.named:
            yield from _entering(question, name, values)
        yield from _answers(question, name, values)


def _entering(question: Asked, name: str, values: NDArray[np.float64]) -> Iterator[Finding]:
    data, path, finite = question.data, f"parameters/{name}", np.isfinite(values)
    # The test part too: a run predicts it, and should not find out after an hour of training.
    if not finite.all():
        yield NOT_FINITE.found(data, path, rows=~finite, got="NaN or inf")
        return
    train = question.within("train", values)
    if train.size > 1 and np.ptp(train) == 0:
        yield CONSTANT.found(data, path, got=f"{train[0]:g} {data.parameters[name]} in all of train")
    far = isolated(values)
    if far.any():
        rest = values[~far]
        got = f"{values[far][0]:g} where the others lie between {rest.min():g} and {rest.max():g}"
        yield OUTLYING.found(data, path, rows=far, got=got)


def _answers(question: Asked, name: str, values: NDArray[np.float64]) -> Iterator[Finding]:
    for target in question.targets:
        alike = correlation(values, question.target(target))
        if alike > _SAME:
            got = f"one that correlates with the target {target} by {alike:.7f}"
            yield IS_TARGET.found(question.data, f"parameters/{name}", got=got)
