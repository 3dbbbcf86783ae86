"""What a data set declares once (`DatasetSpec`) and what each of its samples holds (`Record`)."""

from __future__ import annotations

__all__ = ["COMPRESSIONS", "PARTS", "SCHEMA", "DatasetSpec", "Record"]

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float32, UInt8

from ram.axes import SYMMETRIES, Axis
from ram.data.packing import Packing
from ram.data.units import checked_unit
from ram.errors import DataError, explained, nearest

SCHEMA = "ram-dataset/1"
PARTS = ("train", "validation", "test")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,79}")
_RESERVED = {"sample", "channel", "channel_units", "bound", "inputs", "ids", "groups", "targets", "parameters"} | {
    "splits",
    "truth",
    "regions",
    "digests",
    "reference",
    "weights",
    "lengths",
}
COMPRESSIONS = ("gzip", "zstd")
_BLOCK_BYTES = 2**20


@dataclass(frozen=True, kw_only=True, eq=False)
class DatasetSpec:
    """What a data set declares: names, units, axes, and how many samples there are.

    Parameters
    ----------
    name, source, licence, created_with, notes
        What it is, where it comes from, under which terms, what made it. ``created_with`` must not hold the
        time of day: the same input gives the same bytes.
    axes
        The input's grid in array order, without sample and channel.
    channels, targets, parameters
        Name -> unit, in the order of the arrays.
    valid_min
        Target -> the least value that the quantity can have, in its unit, such as 0 for the depth of a crack; only of
        those targets where many samples have it, which is else taken for an instrument that ended there.
    truth
        (target, kind) -> unit, for maps known from physics; kinds are words such as ``"sensitivity"``.
    regions
        Names of the regions of the input; the code of a region is its place in this tuple.
    splits
        Names of the splits; each record says for each of them train, validation or test.
    symmetries
        Changes of the input that leave every target as it is: ``"rotate90"``, ``"mirror"``, ``"reverse"``.
    count
        Number of samples, at least 1.
    reference
        Shape (channel, *space): the mean design that contributions in `truth` are against, or None.
    dtype, scale, offset
        How inputs are stored: ``"float32"``, or ``"int16"`` or ``"uint8"`` for ``stored * scale + offset``.
    weighted
        Whether samples have a weight.
    lengths
        Whether samples have a length of their own along the last axis; the rest of the input is padding.
    compression
        ``"gzip"`` or ``"zstd"``; None: not compressed.
    block_rows
        Samples that are stored together in one chunk; None: as many as make 1 MiB where inputs are compressed,
        else the inputs lie in one piece, which can be memory-mapped.

    Raises
    ------
    DataError
        A name, unit, symmetry or shape is not what it must be.
    """

    name: str
    axes: tuple[Axis, ...]
    channels: Mapping[str, str]
    targets: Mapping[str, str]
    count: int
    source: str = ""
    licence: str = ""
    created_with: str = ""
    notes: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    valid_min: Mapping[str, float] = field(default_factory=dict)
    truth: Mapping[tuple[str, str], str] = field(default_factory=dict)
    regions: tuple[str, ...] = ()
    splits: tuple[str, ...] = ("default",)
    symmetries: tuple[str, ...] = ()
    reference: Float[np.ndarray, " channel *space"] | None = field(default=None, repr=False)
    dtype: str = "float32"
    scale: float = 1.0
    offset: float = 0.0
    weighted: bool = False
    lengths: bool = False
    compression: str | None = None
    block_rows: int | None = None

    def __post_init__(self) -> None:
        _check_names(self)
        _check_units(self)
        _check_choices(self)
        _check_storage(self)

    @property
    def packing(self) -> Packing:
        """What a stored number means."""
        return Packing(self.dtype, self.scale, self.offset)

    @property
    def rows_together(self) -> int:
        """Samples in one chunk; 0 where the inputs lie in one piece."""
        if self.block_rows is None and self.compression is None:
            return 0
        row_bytes = self.packing.stored.itemsize * int(np.prod(self.input_shape))
        return min(self.count, self.block_rows or max(1, _BLOCK_BYTES // row_bytes))

    @property
    def space(self) -> tuple[int, ...]:
        """Number of cells along each axis."""
        return tuple(axis.size for axis in self.axes)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, (channel, *space)."""
        return (len(self.channels), *self.space)


@dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """One sample on its way into a file.

    Parameters
    ----------
    id
        Unique in the data set.
    x
        Shape (channel, *space), in the channels' units; stored as the data set says.
    targets, parameters
        Name -> value; a target that is absent or NaN was not measured.
    group
        Specimen, tool or design family; samples of one group belong in one part of a split.
    split
        For each split of the data set: ``"train"``, ``"validation"`` or ``"test"``.
    truth
        (target, kind) -> map of shape space; absent where it was not computed.
    regions
        Code of the region of each cell, shape space.
    weight
        How much the sample counts in training, finite and not negative; only where the data set is weighted.
    length
        Number of cells along the last axis that were measured, the rest is padding; only where the data set
        has lengths, None for all.
    """

    id: str
    x: Float32[np.ndarray, " channel *space"] = field(repr=False)
    targets: Mapping[str, float]
    parameters: Mapping[str, float] = field(default_factory=dict)
    group: str = ""
    split: Mapping[str, str] = field(default_factory=lambda: {"default": "train"})
    truth: Mapping[tuple[str, str], Float[np.ndarray, "*space"]] = field(default_factory=dict, repr=False)
    regions: UInt8[np.ndarray, "*space"] | None = field(default=None, repr=False)
    weight: float = 1.0
    length: int | None = None


def _check_names(spec: DatasetSpec) -> None:
    axes = [axis.name for axis in spec.axes]
    bounds = [f"{name}_bounds" for name in axes]
    for what, names in (
        ("axis", axes),
        ("channel", spec.channels),
        ("target", spec.targets),
        ("parameter", spec.parameters),
        ("split", spec.splits),
        ("kind of truth", [kind for _, kind in spec.truth]),
    ):
        for name in names:
            _require(
                _NAME.fullmatch(name) is not None,
                spec,
                what=f"the name of a {what}",
                allowed="letters, digits, '_', '-' or '.', beginning with a letter, at most 80",
                got=repr(name),
            )
    _require_distinct(
        spec, [*axes, *bounds, *_RESERVED], "the names of the axes", "distinct and none of the file's own"
    )
    _require_distinct(spec, spec.regions, "the names of the regions", "distinct")
    _require_distinct(spec, spec.splits, "the names of the splits", "distinct")
    _require(
        "reference" not in spec.targets, spec, what="a target", allowed="not called 'reference'", got="'reference'"
    )


def _check_units(spec: DatasetSpec) -> None:
    for axis in spec.axes:
        checked_unit(axis.unit, where=f"{spec.name}: axis {axis.name}")
    for what, units in (("channel", spec.channels), ("target", spec.targets), ("parameter", spec.parameters)):
        for name, unit in units.items():
            checked_unit(unit, where=f"{spec.name}: {what} {name}")
    for (target, kind), unit in spec.truth.items():
        checked_unit(unit, where=f"{spec.name}: truth {target}/{kind}")


def _check_choices(spec: DatasetSpec) -> None:
    _require(spec.count >= 1, spec, what="count", allowed="at least 1", got=spec.count)
    _require(
        bool(spec.axes and spec.channels),
        spec,
        what="the input",
        allowed="of at least one axis and channel",
        got="none",
    )
    for what, target in (
        *((f"truth {target}/{kind}", target) for target, kind in spec.truth),
        *((f"valid_min {target}", target) for target in spec.valid_min),
    ):
        _require(
            target in spec.targets,
            spec,
            what=what,
            allowed=f"of one of the targets {', '.join(spec.targets)}",
            got=repr(target),
            next_step=nearest(target, spec.targets),
        )
    for name, least in spec.valid_min.items():
        _require(math.isfinite(least), spec, what=f"valid_min {name}", allowed="a finite number", got=least)
    for word in spec.symmetries:
        _require(
            word in SYMMETRIES,
            spec,
            what="a symmetry",
            allowed=f"one of {', '.join(SYMMETRIES)}",
            got=repr(word),
            next_step=nearest(word, SYMMETRIES),
        )
    for region in spec.regions:
        _require(
            bool(region) and not any(c.isspace() for c in region),
            spec,
            what="a region",
            allowed="one word",
            got=repr(region),
        )
    _require(len(spec.regions) < 255, spec, what="the regions", allowed="fewer than 255", got=len(spec.regions))
    if spec.reference is not None:
        shape = np.shape(spec.reference)
        _require(
            shape == spec.input_shape, spec, what="the reference", allowed=f"of shape {spec.input_shape}", got=shape
        )


def _check_storage(spec: DatasetSpec) -> None:
    try:
        _ = spec.packing
    except ValueError as error:
        raise DataError(f"data set {spec.name!r}: {error}.") from None
    kinds = ", ".join(COMPRESSIONS)
    known = spec.compression in (None, *COMPRESSIONS)
    near = nearest(str(spec.compression), COMPRESSIONS)
    _require(
        known, spec, what="compression", allowed=f"None or one of {kinds}", got=repr(spec.compression), next_step=near
    )
    positive = spec.block_rows is None or spec.block_rows >= 1
    _require(positive, spec, what="block_rows", allowed="at least 1", got=spec.block_rows)


def _require_distinct(spec: DatasetSpec, names: Iterable[str], what: str, allowed: str) -> None:
    names = list(names)
    twice = sorted({name for name in names if names.count(name) > 1})
    _require(not twice, spec, what=what, allowed=allowed, got=", ".join(map(repr, twice)))


def _require(
    condition: bool,  # noqa: FBT001 - reads as a sentence: require this, else say that
    spec: DatasetSpec,
    *,
    what: str,
    allowed: str,
    got: object,
    next_step: str = "",
) -> None:
    if not condition:
        where = f"data set {spec.name!r}"
        raise DataError(explained(where=where, what=what, allowed=allowed, got=got, next_step=next_step))
