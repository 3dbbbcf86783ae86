"""Names, splits, groups and ids: whether what was asked for is there, and whether the parts are apart."""

from __future__ import annotations

__all__ = ["DEFECTS", "find_in_names", "find_in_parts", "find_leaking_groups"]

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ram.data.checks.asked import Asked
from ram.data.checks.defects import Defect, Finding
from ram.data.spec import PARTS
from ram.errors import nearest

NO_TARGET = Defect(
    code="no-target",
    severity="error",
    what="what is regressed",
    allowed="a target of the file",
    rule="no target is named, or the file has none",
    reason="a net learns from targets alone",
    remedy="",
)
UNKNOWN_TARGET = Defect(
    code="unknown-target",
    severity="error",
    what="a name",
    allowed="a target of the file",
    rule="a name is not among the file's targets",
    reason="a mistyped name must not train another quantity",
    remedy="Take one of the file's names",
)
UNKNOWN_PARAMETER = Defect(
    code="unknown-parameter",
    severity="error",
    what="a name",
    allowed="a parameter of the file",
    rule="a name is not among the file's parameters",
    reason="a mistyped name must not leave a parameter out",
    remedy="Take one of the file's names",
)
NO_SPLIT = Defect(
    code="no-split",
    severity="error",
    what="the split",
    allowed="one of the file's",
    rule="the split is not in the file",
    reason="without parts nothing says how good a net is on samples it has not seen",
    remedy="",
)
SMALL_TRAIN = Defect(
    code="small-train",
    severity="error",
    what="the train part",
    allowed="of at least 2 samples",
    rule="fewer than 2 training samples",
    reason="one sample has no spread to standardise by",
    remedy="Make a larger data set, or one with another split",
)
SMALL_VALIDATION = Defect(
    code="small-validation",
    severity="error",
    what="the validation part",
    allowed="of at least 1 sample",
    rule="no validation sample",
    reason="the epoch that is kept is chosen by them",
    remedy="Make a larger data set, or one with another split",
)
NO_TEST = Defect(
    code="no-test",
    severity="warning",
    what="the test part",
    allowed="of at least 1 sample",
    rule="no test sample",
    reason="the validation part has chosen the epoch, so its error flatters",
    remedy="Give some samples to the test part to learn how good the net is",
)
FEW_SAMPLES = Defect(
    code="few-samples",
    severity="warning",
    what="the train part",
    allowed="of at least 10 samples",
    rule="fewer than 10 training samples",
    reason="below ten the spread itself, by which all is standardised, is uncertain by a quarter and more",
    remedy="Measure more samples before trusting any figure",
)
ONE_GROUP = Defect(
    code="one-group",
    severity="warning",
    what="the groups",
    allowed="of at least two kinds",
    rule="every sample is of one and the same group",
    reason="nothing then says how the net does on another specimen",
    remedy="Add another specimen, or leave the groups out where they say nothing",
)
PARTLY_GROUPED = Defect(
    code="partly-grouped",
    severity="warning",
    what="a group",
    allowed="given for all samples or for none",
    rule="some samples have a group, others have none",
    reason="samples without a group cannot be kept apart from their likes",
    remedy="Fill in the groups that are missing",
)
GROUP_LEAK = Defect(
    code="group-leak",
    severity="warning",
    what="a group",
    allowed="in one part of the split",
    rule="one group has samples in the test part and in another one",
    reason="samples of one specimen are alike; the test figures then say how well it is remembered",
    remedy="Test it on groups that it has not seen, 'ram cross-validate CONFIG', or split by group",
)
VALIDATION_LEAK = Defect(
    code="validation-leak",
    severity="warning",
    what="a group",
    allowed="in one part of the split",
    rule="one group has samples in the training and in the validation part, and none in the test part",
    reason="the epoch that is kept suits groups that are known, and intervals are too narrow for a new one",
    remedy="Let whole groups validate where there are enough of them",
)
SAME_ID = Defect(
    code="same-id",
    severity="error",
    what="the ids",
    allowed="unique",
    rule="two samples have one id",
    reason="predictions and maps are told apart by their ids",
    remedy="Give each sample an id of its own",
)
BLANK_ID = Defect(
    code="blank-id",
    severity="error",
    what="an id",
    allowed="a word",
    rule="an id is empty or of blanks",
    reason="predictions and maps are told apart by their ids",
    remedy="Give each sample an id of its own",
)

DEFECTS = (
    NO_TARGET, UNKNOWN_TARGET, UNKNOWN_PARAMETER, NO_SPLIT, SMALL_TRAIN, SMALL_VALIDATION, NO_TEST, FEW_SAMPLES,
    ONE_GROUP, PARTLY_GROUPED, GROUP_LEAK, VALIDATION_LEAK, SAME_ID, BLANK_ID,
)  # fmt: skip


def find_in_names(question: Asked) -> Iterator[Finding]:
    """Say which names are not in the file."""
    data = question.data
    if not question.targets:
        yield NO_TARGET.found(data, "targets", allowed=_one_of(data.targets), got="nothing")
    for defect, path, names, known in (
        (UNKNOWN_TARGET, "targets", question.targets, list(data.targets)),
        (UNKNOWN_PARAMETER, "parameters", question.parameters, list(data.parameters)),
    ):
        for name in names:
            if name not in known:
                near = nearest(name, known)
                yield defect.found(data, path, allowed=_one_of(known), got=repr(name), remedy=near)


def find_in_parts(question: Asked) -> Iterator[Finding]:
    """Say whether the split is there and its parts are large enough."""
    data, split = question.data, question.split
    if split not in data.splits:
        known = _one_of(data.splits) if data.splits else "in the file, which has none"
        yield NO_SPLIT.found(data, "splits", allowed=known, got=repr(split), remedy=nearest(split, data.splits))
        return
    sizes = {part: int((question.parts == part).sum()) for part in PARTS}
    for defect, part, least in (
        (SMALL_TRAIN, "train", 2),
        (SMALL_VALIDATION, "validation", 1),
        (NO_TEST, "test", 1),
        (FEW_SAMPLES, "train", 10),
    ):
        if sizes[part] < least and not (defect is FEW_SAMPLES and sizes["train"] < 2):
            yield defect.found(data, f"splits/{split}", got=sizes[part])


def find_leaking_groups(question: Asked) -> Iterator[Finding]:
    """Say which ids and groups do not keep the samples apart."""
    yield from _ids(question)
    data, groups = question.data, question.data.groups
    blank = groups == ""
    if blank.all():
        return
    if blank.any():
        yield PARTLY_GROUPED.found(data, "groups", rows=blank, got=f"none for {int(blank.sum()):,} of {len(data):,}")
    names, first, of = np.unique(groups, return_index=True, return_inverse=True)
    if names.size == 1 and len(data) > 1:
        yield ONE_GROUP.found(data, "groups", got=f"{names[0]!s} for all {len(data):,} samples")
    parts = np.zeros((len(PARTS), names.size), dtype=np.bool_)
    for number, part in enumerate(PARTS):
        parts[number, of[question.parts == part]] = True
    torn = (parts.sum(axis=0) > 1) & (names != "") & (question.split in data.splits)
    tested = parts[PARTS.index("test")]
    for defect, of_it in ((GROUP_LEAK, torn & tested), (VALIDATION_LEAK, torn & ~tested)):
        if of_it.any():
            got = f"{_shown(names[of_it])} in {_places(parts[:, of_it])}"
            yield defect.found(data, f"splits/{question.split}", rows=np.sort(first[of_it]), got=got)


def _ids(question: Asked) -> Iterator[Finding]:
    data, ids = question.data, question.data.ids
    blank = np.char.strip(ids) == ""
    if blank.any():
        yield BLANK_ID.found(data, "ids", rows=blank, got="an empty one")
    names, first = np.unique(ids, return_index=True)
    again = np.ones(ids.size, dtype=np.bool_)
    again[first] = False
    again &= ~blank
    if again.any():
        yield SAME_ID.found(data, "ids", rows=again, got=f"{names.size:,} different ones for {ids.size:,} samples")


def _one_of(known: Iterable[str]) -> str:
    known = list(known)
    return f"one of {', '.join(known)}" if known else "left out, for the file has none"


def _shown(names: Sequence[str]) -> str:
    shown = ", ".join(map(str, names[:5]))
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def _places(held: NDArray[np.bool_]) -> str:
    return " and ".join(part for part, here in zip(PARTS, held, strict=True) if here.any())
