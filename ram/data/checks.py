"""What must hold before a data set is trained on; each trouble is named by file, path and rows."""

from __future__ import annotations

__all__ = ["Finding", "check_for_training", "find_for_training"]

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ram.data.dataset import Dataset
from ram.errors import DataError, explained, nearest

_BLOCK_BYTES = 32 * 2**20
_MOST_SHOWN = 5
_REPAIR = "Repair these samples or leave them out"


@dataclass(frozen=True)
class Finding:
    """One trouble: a word to refer to it by, and what the user reads."""

    code: str
    text: str

    def __str__(self) -> str:
        """Return what the user reads."""
        return self.text


def check_for_training(
    data: Dataset, targets: Sequence[str], parameters: Sequence[str] = (), *, split: str = "default"
) -> None:
    """Refuse a data set that would train to nonsense.

    Parameters
    ----------
    data
        All parts; inputs are read once, block by block.
    targets, parameters
        Names of what is regressed and of what enters beside the input.
    split
        The split whose train and validation parts are used.

    Raises
    ------
    DataError
        Unknown or no targets or parameters, a split or a part that is missing, fewer than two samples in the
        training part, inputs or parameters that are not finite, infinite targets, targets that are missing
        everywhere or constant. The message gives all findings, one paragraph each.
    """
    found = list(find_for_training(data, targets, parameters, split=split))
    if found:
        raise DataError("\n".join(finding.text for finding in found))


def find_for_training(
    data: Dataset, targets: Sequence[str], parameters: Sequence[str] = (), *, split: str = "default"
) -> Iterator[Finding]:
    """Yield what `check_for_training` refuses; later checks are left out where an earlier one makes them idle."""
    unknown = [
        *_unknown(data, "targets", targets, data.targets),
        *_unknown(data, "parameters", parameters, data.parameters),
    ]
    yield from unknown
    if unknown:
        return
    sizes = list(_parts(data, split))
    yield from sizes
    if sizes:
        return
    used = data[np.isin(data.split_array(split), ("train", "validation"))]
    for name in targets:
        yield from _target(data, used, name, split)
    # The test part too: a run predicts it, and should not find out after an hour of training.
    for name in parameters:
        finite = np.isfinite(data.parameter_array([name])[:, 0])
        yield from _not_finite(data, f"parameters/{name}", finite, what="a parameter")
    yield from _not_finite(data, "inputs", _finite_inputs(data), what="an input")


def _unknown(data: Dataset, kind: str, names: Sequence[str], known: Iterable[str]) -> Iterator[Finding]:
    known = list(known)
    listed = f"one of {', '.join(known)}" if known else "left out, for the file has none"
    if kind == "targets" and not names:
        yield _finding(data, "no-target", kind, what="what is regressed", allowed=listed, got="nothing")
    for name in names:
        if name not in known:
            step = nearest(name, known)
            yield _finding(data, f"unknown-{kind}", kind, what="a name", allowed=listed, got=repr(name), next_step=step)


def _parts(data: Dataset, split: str) -> Iterator[Finding]:
    if split not in data.splits:
        known = f"one of {', '.join(data.splits)}" if data.splits else "in the file, which has none"
        step = nearest(split, data.splits)
        yield _finding(data, "no-split", "splits", what="the split", allowed=known, got=repr(split), next_step=step)
        return
    for part, least in (("train", 2), ("validation", 1)):
        size = len(data.subset(part, split=split))
        if size < least:
            yield _finding(
                data,
                f"small-{part}",
                f"splits/{split}",
                what=f"the {part} part",
                allowed=f"of at least {least} sample{'s' if least > 1 else ''}",
                got=size,
                next_step="Make a larger data set, or one with another split",
            )


def _target(data: Dataset, used: Dataset, name: str, split: str) -> Iterator[Finding]:
    path, leave_out = f"targets/{name}", f"Leave {name!r} out of the targets"
    infinite = np.isinf(used.target_array([name])[:, 0])
    if infinite.any():
        where = _rows(used, path, infinite)
        allowed = "finite, or NaN where not measured"
        yield _finding(used, "infinite-target", where, what="a target", allowed=allowed, got="inf", next_step=_REPAIR)
    for part in ("train", "validation"):
        known = data.subset(part, split=split).target_array([name])[:, 0]
        known = known[np.isfinite(known)]
        if known.size == 0:
            allowed, got = f"measured for at least one sample of the {part} part", "NaN everywhere"
            yield _finding(
                used, "missing-target", path, what="the target", allowed=allowed, got=got, next_step=leave_out
            )
        elif part == "train" and np.ptp(known) <= 1e-12 * np.abs(known).max():
            allowed, got = "different from sample to sample", f"{known[0]:g} {data.targets[name]} in all of train"
            yield _finding(
                used, "constant-target", path, what="the target", allowed=allowed, got=got, next_step=leave_out
            )


def _not_finite(data: Dataset, path: str, finite: NDArray[np.bool_], *, what: str) -> Iterator[Finding]:
    if not finite.all():
        where, code = _rows(data, path, ~finite), f"not-finite-{path.partition('/')[0]}"
        yield _finding(data, code, where, what=what, allowed="finite", got="NaN or inf", next_step=_REPAIR)


def _finite_inputs(data: Dataset) -> NDArray[np.bool_]:
    """Say of every row whether its input is finite; memory holds one block of them."""
    row_bytes = 4 * len(data.channels) * int(np.prod([axis.size for axis in data.axes]))
    step = max(1, _BLOCK_BYTES // row_bytes)
    finite = np.zeros(len(data), dtype=np.bool_)
    for begin in range(0, len(data), step):
        block = data[begin : begin + step].x()
        finite[begin : begin + step] = np.isfinite(block).reshape(len(block), -1).all(axis=1)
    return finite


def _rows(data: Dataset, path: str, bad: NDArray[np.bool_]) -> str:
    """Return the path with the rows in the file and their ids, the first few of them."""
    rows, ids = data.indices[bad], data.ids[bad]
    shown = ", ".join(f"{row} (id {name})" for row, name in zip(rows[:_MOST_SHOWN], ids[:_MOST_SHOWN], strict=True))
    more = f" and {rows.size - _MOST_SHOWN} more" if rows.size > _MOST_SHOWN else ""
    return f"{path} row{'s' if rows.size > 1 else ''} {shown}{more}"


def _finding(
    data: Dataset, code: str, where: str, *, what: str, allowed: str, got: object, next_step: str = ""
) -> Finding:
    place = f"{data.path}:/{where}"
    return Finding(code, explained(where=place, what=what, allowed=allowed, got=got, next_step=next_step))
