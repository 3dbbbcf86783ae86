"""Weights and lengths of samples."""

from __future__ import annotations

__all__ = ["DEFECTS", "find_in_lengths", "find_in_weights"]

from collections.abc import Iterator

import numpy as np

from ram.data.checks.asked import Asked
from ram.data.checks.defects import Defect, Finding

NOT_FINITE = Defect(
    code="not-finite-weight",
    severity="error",
    what="a weight",
    allowed="finite",
    rule="NaN or inf among the weights",
    reason="the loss is a weighted mean, so one of them turns every weight of the net to NaN",
    remedy="Give a number; 0 leaves a sample out",
)
NEGATIVE = Defect(
    code="negative-weight",
    severity="error",
    what="a weight",
    allowed="0 or more",
    rule="a weight below 0",
    reason="the net is then rewarded for being wrong there, without limit",
    remedy="Give 0 to leave a sample out",
)
ALL_ZERO = Defect(
    code="no-weight",
    severity="error",
    what="the weights of the part",
    allowed="above 0 for at least one sample",
    rule="all weights of the train or validation part are 0",
    reason="a mean over nothing does not exist",
    remedy="Give weights above 0, or none at all",
)
DOMINANT = Defect(
    code="dominant-weight",
    severity="warning",
    what="the weight of one sample",
    allowed="less than that of all others together",
    rule="one of 10 or more training samples has over half of the weight",
    reason="the fit follows that one sample; often variances were given for weights",
    remedy="See whether weights are 1 / variance, as they should be",
)
LENGTH = Defect(
    code="wrong-length",
    severity="error",
    what="a length",
    allowed="1 to the size of the last axis",
    rule="a length below 1 or beyond the last axis",
    reason="the length says which part of a row is signal; there is none, or more than is stored",
    remedy="Count in cells of the last axis, not in seconds or bytes",
)
AFTER_LENGTH = Defect(
    code="signal-after-length",
    severity="warning",
    what="what follows the length",
    allowed="padding, one value",
    rule="cells beyond a sample's length differ from each other",
    reason="there is signal where the file says that there is none: the length is wrong, or of another sample",
    remedy="Mend the length",
)

DEFECTS = (NOT_FINITE, NEGATIVE, ALL_ZERO, DOMINANT, LENGTH, AFTER_LENGTH)


def find_in_weights(question: Asked) -> Iterator[Finding]:
    """Say what is wrong with the weights."""
    data, weights = question.data, question.data.weights
    wrong = False
    for defect, bad in ((NOT_FINITE, ~np.isfinite(weights)), (NEGATIVE, weights < 0)):
        if bad.any():
            wrong = True
            yield defect.found(data, "weights", rows=bad, got=f"{weights[bad][0]:g}")
    if wrong:
        return
    for part in ("train", "validation"):
        of = weights[question.parts == part]
        if of.size and not of.any():
            yield ALL_ZERO.found(data, "weights", got=f"0 for all {of.size:,} of the {part} part")
    train = np.where(question.parts == "train", weights, 0.0)
    if (question.parts == "train").sum() >= 10 and train.max() > 0.5 * train.sum():
        share = train.max() / train.sum()
        yield DOMINANT.found(data, "weights", rows=np.array([train.argmax()]), got=f"{100 * share:.0f} % of all")


def find_in_lengths(question: Asked) -> Iterator[Finding]:
    """Say which lengths cannot be."""
    data, size = question.data, question.data.axes[-1].size
    lengths = data.lengths
    wrong = (lengths < 1) | (lengths > size)
    if wrong.any():
        got = ", ".join(map(str, np.unique(lengths[wrong])[:3]))
        yield LENGTH.found(data, "lengths", rows=wrong, allowed=f"1 to {size}, the size of the last axis", got=got)
