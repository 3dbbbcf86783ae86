"""What a user writes to have a file read in place: ``[data.mapping]`` in an experiment, or a dictionary.

A path is ``"/daq/acc"``; with ``"@rate"`` at its end an attribute, with ``":voltage"`` a column of a table (``":2"``
one of an array); ``*`` stands for any name, and then every match is a sample; ``"@rate"`` alone belongs to the inputs.
"""

from __future__ import annotations

__all__ = ["AxisMapping", "ChannelPlace", "DataMapping", "Quantity", "SplitMapping", "ValuePlace", "load_mapping"]

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ram.storage.sections import AsTuple, Names, Section, checked, read_toml

_NUMBER_AND_UNIT = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*")
_WHOLE = ""


class _Sparse(Section):
    """A section that is written without the keys that were not given: TOML has no word for nothing."""

    @model_serializer(mode="wrap")
    def _given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_nothing(handler(self))


class Quantity(_Sparse):
    """A number with a unit, or the place in the file where it stands."""

    value: float | None = Field(default=None, description="The number")
    path: str | None = Field(default=None, description="Where the number stands in the file, such as /daq/acc@rate")
    unit: str = Field(default="", description="Its unit, such as Hz")

    @model_validator(mode="after")
    def _one_of_both(self) -> Quantity:
        if (self.value is None) == (self.path is None):
            raise ValueError("either a value or a path")
        return self


def _quantity(given: object) -> object:
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return {"value": given}
    if not isinstance(given, str):
        return given
    if given.startswith(("/", "@")):
        return {"path": given}
    found = _NUMBER_AND_UNIT.fullmatch(given)
    if found is None:
        raise ValueError("a number, a number with a unit such as '2 kHz', or a path such as '/daq/acc@rate'")
    return {"value": float(found[1]), "unit": found[2]}


def _place(given: object) -> object:
    return {"path": given} if isinstance(given, str) else given


def _channels_by_name(given: object) -> object:
    """One place for all channels stands under the empty name."""
    alone = isinstance(given, str) or (isinstance(given, Mapping) and "path" in given)
    return {_WHOLE: given} if alone else given


def _units_by_name(given: object) -> object:
    return dict.fromkeys(given, "") if isinstance(given, (list, tuple)) else given


def _words(given: object) -> object:
    return tuple(given.split()) if isinstance(given, str) else given


def _lengths(given: object) -> object:
    if isinstance(given, str) and given not in ("pad", "crop"):
        try:
            return _quantity(given)
        except ValueError:
            allowed = "'pad', 'crop', a number of cells, a time such as '5 ms', or the path of each record's length"
            raise ValueError(allowed) from None
    return _quantity(given) if not isinstance(given, str) else given


def _several(given: object) -> object:
    return (given,) if isinstance(given, (int, float)) else given


Numbers = Annotated[
    tuple[float, ...], AsTuple, BeforeValidator(_several, json_schema_input_type=float | tuple[float, ...])
]
AQuantity = Annotated[Quantity, BeforeValidator(_quantity, json_schema_input_type=float | str | Quantity)]
SomeLengths = Annotated[
    Literal["pad", "crop"] | Quantity, BeforeValidator(_lengths, json_schema_input_type=float | str | Quantity)
]


class ChannelPlace(_Sparse):
    """Where one channel lies, or all of them."""

    path: str = Field(description="Path inside the file, such as /daq/acc, /table:voltage or /runs/*/acc")
    unit: str | None = Field(default=None, description="Unit wanted; the file's where it is not said")
    scale: AQuantity | None = Field(default=None, description="What stored numbers are multiplied with, or its place")
    offset: AQuantity | None = Field(default=None, description="What is added after that, or its place")


class ValuePlace(ChannelPlace):
    """Where one value a sample lies, or one for each moment of a record."""

    missing: Numbers = Field(default=(), description="Numbers that mean: not measured")
    take: Literal["mean", "first", "middle", "last", "min", "max"] = Field(
        default="mean", description="What a window takes of values that have the inputs' time axis"
    )


APlace = Annotated[ValuePlace, BeforeValidator(_place, json_schema_input_type=str | ValuePlace)]


class AxisMapping(_Sparse):
    """One axis of the inputs."""

    step: AQuantity | None = Field(default=None, description="Distance of two cells: '10 mm', or its place in the file")
    start: AQuantity | None = Field(default=None, description="Where the first cell stands")
    centres: APlace | None = Field(default=None, description="Place of the cells' coordinates in the file")
    unit: str | None = Field(default=None, description="Unit wanted; that of step or centres where it is not said")
    relative: bool = Field(default=False, description="Count from the first cell: for clocks and dates")
    long_name: str = Field(default="", description="What pictures write along the axis")


class SplitMapping(_Sparse):
    """Which samples are trained on: words in the file, or a draw by seed and group."""

    path: str | None = Field(default=None, description="Where the file names the part of each sample")
    words: dict[str, Literal["train", "validation", "test"]] = Field(
        default_factory=dict, description="Part that a word in the file stands for; '*' for all other words"
    )
    seed: int = Field(default=0, ge=0, description="What the draw of parts is a function of, beside the groups")
    validation: float = Field(default=0.15, ge=0, lt=1, description="Share of the samples, drawn by whole groups")
    test: float = Field(default=0.15, ge=0, lt=1, description="Share of the samples, drawn by whole groups")

    @model_validator(mode="after")
    def _leave_some(self) -> SplitMapping:
        if self.validation + self.test >= 1:
            raise ValueError("with validation and test together less than 1")
        return self


class DataMapping(_Sparse):
    """Where inputs, targets and axes lie in an HDF5 file of the user's own."""

    inputs: Annotated[
        dict[str, Annotated[ChannelPlace, BeforeValidator(_place)]],
        BeforeValidator(_channels_by_name, json_schema_input_type=str | ChannelPlace | dict[str, str | ChannelPlace]),
    ] = Field(min_length=1, description="Path of the inputs, or of each channel by name")
    layout: Annotated[Names, BeforeValidator(_words, json_schema_input_type=str | tuple[str, ...])] = Field(
        default=(), description="Axes of the inputs in the file's order: 'sample channel time', 'time distance'"
    )
    channels: Annotated[
        str | dict[str, str],
        BeforeValidator(_units_by_name, json_schema_input_type=str | tuple[str, ...] | dict[str, str]),
    ] = Field(default_factory=dict, description="Names of the channels, or name = unit, or the path of the names")
    sample_rate: AQuantity | None = Field(default=None, description="Samples per time: '2 kHz', '/daq/acc@rate'")
    axes: dict[str, AxisMapping] = Field(default_factory=dict, description="Steps or coordinates of the other axes")
    window: AQuantity | None = Field(default=None, description="Length of the windows cut from records: '0.5 s', 1024")
    hop: AQuantity | None = Field(
        default=None, description="From one window to the next; a window's length if not said"
    )
    stretch: AQuantity | None = Field(
        default=None, description="Records are parted into stretches of this length; each is a group of its own"
    )
    along: str = Field(default="time", description="The axis that windows are cut along")
    lengths: SomeLengths | None = Field(
        default=None,
        description="Records of different length: 'pad' with zeros to the longest, 'crop' to the shortest, "
        "make all this long ('5 ms', 4096), or the path of each record's measured length",
    )
    targets: dict[str, APlace] = Field(default_factory=dict, description="Path of each target by name")
    parameters: dict[str, APlace] = Field(default_factory=dict, description="Path of each design parameter by name")
    ids: str | None = Field(default=None, description="Path of the samples' names")
    groups: str | None = Field(default=None, description="Path of the samples' groups: specimen, machine, day")
    weights: APlace | None = Field(default=None, description="Path of the samples' weights")
    split: Annotated[SplitMapping, BeforeValidator(_place, json_schema_input_type=str | SplitMapping)] = Field(
        default_factory=SplitMapping, description="Path of the samples' parts, or seed, validation and test"
    )
    symmetries: Names = Field(default=(), description="Changes that leave every target: reverse, mirror, rotate90")

    @model_serializer(mode="wrap")
    def _given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        inputs = content["inputs"]
        content["inputs"] = inputs.get(_WHOLE, inputs)
        return _without_nothing(content)


def _without_nothing(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if value not in (None, "", (), [], {})}


def load_mapping(given: DataMapping | Mapping[str, Any] | str | os.PathLike[str]) -> DataMapping:
    """Return the mapping in a dictionary, or in a TOML file (an experiment's ``[data.mapping]``, or a file of its own).

    Raises
    ------
    ConfigError
        A file that is missing or not TOML, a key or a value that is not allowed.
    """
    if isinstance(given, DataMapping):
        return given
    if isinstance(given, Mapping):
        return checked(DataMapping, given, where="mapping")
    content = read_toml(Path(given), what="a mapping")
    data = content.get("data")
    inner = data.get("mapping") if isinstance(data, dict) else None
    return checked(DataMapping, inner if isinstance(inner, dict) else content, where=str(given))
