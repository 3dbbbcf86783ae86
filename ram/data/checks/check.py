"""All checks in order: what the head says, one pass over the inputs, then what the two say together."""

from __future__ import annotations

__all__ = ["CATALOGUE", "check_for_training", "find"]

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from ram.data.checks import grids, inputs, parameters, parts, samples, scales, signals, stored, targets, weights
from ram.data.checks.asked import Asked, asked
from ram.data.checks.defects import Defect, Finding
from ram.data.checks.scan import Progress, Scan, scan
from ram.data.dataset import Dataset
from ram.errors import DataError

CATALOGUE: dict[str, tuple[Defect, ...]] = {
    "Names, splits, groups and ids": parts.DEFECTS,
    "Targets": targets.DEFECTS,
    "Parameters": parameters.DEFECTS,
    "Weights and lengths": weights.DEFECTS,
    "Axes and units": grids.DEFECTS,
    "Inputs: values": inputs.DEFECTS,
    "Inputs: scales": scales.DEFECTS,
    "Inputs: records over time": signals.DEFECTS,
    "Samples that are there twice": samples.DEFECTS,
    "The file itself": stored.DEFECTS,
}
"""Subject -> every defect that can be found, in the order of the page that lists them."""


def check_for_training(
    data: Dataset,
    targets: Sequence[str],
    parameters: Sequence[str] = (),
    *,
    split: str = "default",
    progress: Progress | None = None,
) -> tuple[Finding, ...]:
    """Refuse a data set that would train to nonsense; return what a person should look at.

    Parameters
    ----------
    data
        All parts; inputs are read once, block by block.
    targets, parameters
        Names of what is regressed and of what enters beside the input.
    split
        The split whose train and validation parts are used.
    progress
        Called with a number of rows, as they are read.

    Raises
    ------
    DataError
        Where there are errors; the message gives all of them, one paragraph each.
    """
    found = tuple(find(data, targets=targets, parameters=parameters, split=split, progress=progress))
    errors = [finding.text for finding in found if finding.severity == "error"]
    if errors:
        raise DataError("\n".join(errors))
    return found


def find(
    data: Dataset,
    *,
    targets: Sequence[str] | None = None,
    parameters: Sequence[str] | None = None,
    split: str | None = None,
    deep: bool = False,
    progress: Progress | None = None,
) -> Iterator[Finding]:
    """Yield all that is found, in the order of the catalogue; what an earlier error makes idle is left out.

    Parameters
    ----------
    targets
        What is regressed; all targets of the file where it is not said.
    parameters
        What enters beside the input; where it is not said, all of the file's are looked at as bystanders, which
        may be missing or constant.
    split
        The one called "default", else the first, where it is not said.
    deep
        Verify everything in the file, also what training does not read.
    """
    question = asked(data, targets=targets, parameters=parameters, split=split)
    unknown = list(parts.find_in_names(question))
    yield from unknown
    if any(finding.code != parts.NO_TARGET.code for finding in unknown):
        return
    yield from _in_head(question)
    try:
        seen = scan(data, progress=progress)
    except DataError as error:
        all_of_them = list(stored.find_damage(question)) if deep else []
        yield from all_of_them or [stored.damaged(question, error)]
        return
    # Squares and sums of what cannot be overflow; a list, since the state must not leak out between two findings.
    with np.errstate(all="ignore"):
        found = list(_in_inputs(question, seen))
    yield from found
    if deep:
        yield from stored.find_damage(question)


def _in_head(question: Asked) -> Iterator[Finding]:
    in_parts = list(parts.find_in_parts(question))
    yield from in_parts
    yield from parts.find_leaking_groups(question)
    if not any(finding.severity == "error" for finding in in_parts):  # one sample has constant targets, of course
        yield from targets.find_in_targets(question)
    yield from parameters.find_in_parameters(question)
    yield from weights.find_in_weights(question)
    yield from weights.find_in_lengths(question)
    yield from grids.find_in_grids(question)


def _in_inputs(question: Asked, seen: Scan) -> Iterator[Finding]:
    senseless = list(inputs.find_in_values(question, seen)), list(inputs.find_in_all(question, seen))
    yield from itertools.chain(*senseless)
    if senseless[1] or any(finding.code == inputs.SWAPPED.code for finding in senseless[0]):
        return
    yield from inputs.find_in_channels(question, seen)
    yield from scales.find_in_scales(question, seen)
    yield from signals.find_in_signals(question, seen)
    yield from signals.find_in_lengths(question, seen)
    yield from samples.find_in_samples(question, seen)
