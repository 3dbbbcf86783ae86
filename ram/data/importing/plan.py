"""What an import is to do: flags of the command, or a small TOML file with the same words."""

from __future__ import annotations

__all__ = ["AxisPlan", "ChannelPlan", "Plan", "ValuePlan", "as_toml", "load_plan", "plan_of"]

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from ram.errors import ConfigError, explained
from ram.storage.sections import AsTuple, Names, Section, checked, read_toml

_PATHS = ("table", "files", "arrays", "recording")
NAMED = ("targets", "parameters", "channels", "axes")


def _as_unit(value: object) -> object:
    return {"unit": value} if isinstance(value, str) else value


def _as_step(value: object) -> object:
    return {"step": value} if isinstance(value, str) else value


def _as_names(value: object) -> object:
    return [value] if isinstance(value, str) else value


class ValuePlan(Section):
    """One target or parameter."""

    unit: str = Field(default="", description="Unit of the values; that of the column's header if not said")
    column: str = Field(default="", description="Column or array that holds it; the one of its name if not said")


class ChannelPlan(Section):
    """One channel of the inputs."""

    unit: str = Field(default="", description="Unit of the values")
    scale: float = Field(default=1.0, gt=0, description="What a stored 1 is worth in this unit (WAV: full scale)")


class AxisPlan(Section):
    """One axis of the inputs."""

    step: str = Field(default="", description="Distance of two cells with its unit, such as '0.5 mm'")
    start: str = Field(default="", description="Where the first cell is, with its unit")


Value = Annotated[ValuePlan, BeforeValidator(_as_unit)]
Channel = Annotated[ChannelPlan, BeforeValidator(_as_unit)]
AxisStep = Annotated[AxisPlan, BeforeValidator(_as_step)]
Words = Annotated[tuple[str, ...], AsTuple, BeforeValidator(_as_names)]


class Plan(Section):
    """One import, complete. Paths are relative to the plan's file."""

    name: str = Field(default="", description="Name of the data set; that of the output if not said")
    table: str = Field(default="", description="CSV, TSV, Excel or Parquet: one row a sample (or a piece of time)")
    sheet: str = Field(default="", description="Sheet of an Excel table")
    encoding: str = Field(default="", description="Encoding of texts; found by itself if not said")
    separator: str = Field(default="", description="Separator of the table's cells; found by itself if not said")
    decimal: str = Field(default="", pattern=r"^[.,]?$", description="'.' or ','; found by itself if not said")
    where: dict[str, str] = Field(default_factory=dict, description="Only rows whose column holds this value")
    files: str = Field(default="", description="Folder of the files that the table names")
    file_column: Words = Field(default=(), description="Column with the files' names; several: one a channel")
    columns: Names = Field(default=(), description="Columns of text files that are channels; all if not said")
    time_unit: str = Field(default="", description="Unit of the time in text files whose header has none")
    arrays: str = Field(default="", description="NPZ, NPY, MATLAB or HDF5 file, or a text file with a matrix")
    inputs: str = Field(default="", description="Name or path of the inputs in the file of arrays")
    layout: Names = Field(default=(), description="What the axes of an array are: sample, channel, time, y, x ...")
    shape: Annotated[tuple[int, ...], AsTuple] = Field(default=(), description="Shape of one sample of a flat array")
    recording: str = Field(default="", description="One long recording that is cut into windows")
    window: str = Field(default="", description="Length of a window, such as '0.5 s' or '4096'")
    hop: str = Field(default="", description="From one window to the next; the window if not said")
    block: str = Field(default="", description="Length of a group of windows; 10 windows if not said")
    time_column: str = Field(default="", description="Column with the time of a measured value, in s or its unit")
    start_column: str = Field(default="", description="Column with the beginning of a piece of a recording")
    end_column: str = Field(default="", description="Column with the end of a piece of a recording")
    targets: dict[str, Value] = Field(default_factory=dict, description="What is regressed: name = unit")
    no_targets: bool = Field(default=False, description="Make a file without targets, to predict them")
    parameters: dict[str, Value] = Field(default_factory=dict, description="Numbers that enter beside the input")
    channels: dict[str, Channel] = Field(default_factory=dict, description="Names and units, in their order")
    axes: dict[str, AxisStep] = Field(default_factory=dict, description="Steps of the axes, in their order")
    sample_rate: str = Field(default="", description="Samples a second, where the files do not say")
    rate_column: str = Field(default="", description="Column with the sample rate, or the step, of each file")
    resample: str = Field(default="", description="Rate that all signals are brought to, such as '10 kHz'")
    lengths: str = Field(default="", description="refuse, pad, crop, or a number of samples, or a time")
    id: str = Field(default="", description="Column with a unique name of each sample")
    group: Words = Field(default=(), description="Column whose equal values belong together: specimen, tool")
    weight: str = Field(default="", description="Column with how much a sample counts")
    split: str = Field(default="", description="Column that says train, validation or test")
    fractions: Annotated[tuple[float, ...], AsTuple] = Field(
        default=(0.7, 0.15, 0.15), min_length=3, max_length=3, description="Shares of train, validation and test"
    )
    seed: int = Field(default=0, ge=0, description="Of the split")
    skip_missing: bool = Field(default=False, description="Leave rows out whose file is missing")
    source: str = Field(default="", description="Where the data come from")
    licence: str = Field(default="", description="Under which terms they may be used")


def load_plan(path: Path) -> dict[str, Any]:
    """Return what a plan's TOML file says, its paths made relative to where we are.

    Raises
    ------
    ConfigError
        Missing, not TOML, or a key or value that is not allowed.
    """
    content = read_toml(path, what="a plan")
    checked(Plan, content, where=str(path))
    for key in _PATHS:
        if content.get(key):
            content[key] = str(path.parent / content[key])
    return content


def plan_of(content: Mapping[str, Any], flags: Mapping[str, Any], *, where: str = "ram data import") -> Plan:
    """Return the plan of a file's content and of flags, which come first.

    Parameters
    ----------
    content
        As `load_plan` gives it; empty without a file.
    flags
        Words of the command by the names of the plan's keys; names with units as ``"f1=Hz"``.

    Raises
    ------
    ConfigError
        A word is not what it must be.

    >>> plan_of({}, {"targets": ["f1=Hz", "depth=cm"]}).targets["depth"].unit
    'cm'
    """
    merged = dict(content)
    for key, value in flags.items():
        if key in NAMED:
            merged[key] = dict(_named(key, word) for word in value)
        elif key == "where":
            merged[key] = dict(_pair(key, word, "column=value") for word in value)
        elif key in ("layout", "shape", "fractions"):
            merged[key] = _list_of(key, value)
        else:
            merged[key] = value
    return checked(Plan, merged, where=where)


def as_toml(plan: Plan) -> str:
    """Return the plan as TOML, keys that are as they would be anyway left out."""
    import tomli_w

    return tomli_w.dumps(plan.model_dump(mode="json", exclude_defaults=True))


def _named(key: str, word: str) -> tuple[str, dict[str, Any]]:
    """Return name and properties of ``f1=Hz``, ``f1:Column 3=Hz``, ``acc=m/s^2:50``, ``x=0.5 mm@-20 mm``."""
    if key in ("targets", "parameters"):
        names, _, unit = word.partition("=") if word.count("=") < 2 else word.rpartition("=")
        name, colon, column = names.partition(":")
        return name.strip(), {"unit": unit.strip(), **({"column": column.strip()} if colon else {})}
    if key == "channels":
        name, _, rest = word.partition("=")
        unit, colon, scale = rest.partition(":")
        return name.strip(), {"unit": unit.strip(), **({"scale": _number(key, scale)} if colon else {})}
    name, rest = _pair(key, word, "name=step, such as x=0.5 mm")
    step, _, start = rest.partition("@")
    return name, {"step": step.strip(), **({"start": start.strip()} if start else {})}


def _pair(key: str, word: str, allowed: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not (equals and name.strip() and value.strip()):
        raise ConfigError(explained(where=_flag(key), what="the value", allowed=allowed, got=repr(word)))
    return name.strip(), value.strip()


def _list_of(key: str, value: str | Sequence[str]) -> list[Any]:
    """Return the words of ``28x28``, ``28 28``, ``sample channel time`` or ``0.7,0.15,0.15``."""
    text = value if isinstance(value, str) else " ".join(value)
    words = text.replace(",", " ").replace("x", " ").split() if key != "layout" else text.replace(",", " ").split()
    if key == "layout":
        return words
    numbers = [_number(key, word) for word in words]
    return [int(number) for number in numbers] if key == "shape" else numbers


def _number(key: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(
            explained(where=_flag(key), what="the value", allowed="made of numbers", got=repr(text))
        ) from None


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"
