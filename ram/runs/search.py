"""What a sweep searches: the ``[sweep]`` section of an experiment, and experiments with other values in them."""

from __future__ import annotations

__all__ = ["Dimension", "SweepConfig", "check_space", "is_whole", "with_values"]

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_serializer, model_validator

from ram.errors import ConfigError, explained, nearest
from ram.storage.sections import AsTuple, Section, checked, sections_in

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from ram.runs.config import Experiment

_WORDS = {"low", "high", "log", "step", "choices"}
_A_DIMENSION = "a range { low = ..., high = ... } or a list of values"


class Dimension(Section):
    """What one key may be: a range, or one of a list.

    In TOML ``{ low = 1e-4, high = 1e-2, log = true }``, or ``["huber", "squared"]``.
    """

    low: int | float | None = Field(default=None, description="Smallest value of a range")
    high: int | float | None = Field(default=None, description="Largest value of a range")
    log: bool = Field(default=False, description="Whether values are drawn evenly in the logarithm")
    step: int | float | None = Field(default=None, gt=0, description="Distance of values; any value if not said")
    choices: Annotated[tuple[Any, ...], AsTuple] = Field(default=(), description="The values, where it is no range")

    @model_validator(mode="before")
    @classmethod
    def _of_a_list(cls, content: Any) -> Any:
        if isinstance(content, (list, tuple)) and content:
            return {"choices": tuple(content)}
        if not isinstance(content, (dict, Dimension)):
            raise ValueError(_A_DIMENSION)
        return content

    @model_validator(mode="after")
    def _makes_sense(self) -> Dimension:
        ends = (self.low, self.high)
        if self.choices:
            if ends != (None, None) or self.log or self.step is not None:
                raise ValueError("a range or a list of values, not both")
            return self
        if self.low is None or self.high is None:
            raise ValueError(_A_DIMENSION)
        if not self.low < self.high:
            raise ValueError("a range whose low is below its high")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("a range above 0 without a step, where log = true")
        return self

    @model_serializer
    def _as_in_toml(self) -> Any:
        if self.choices:
            return list(self.choices)
        words = {"low": self.low, "high": self.high, "log": self.log or None, "step": self.step}
        return {name: value for name, value in words.items() if value is not None}

    @property
    def samples(self) -> tuple[Any, ...]:
        """Values that all others lie between, or all there are."""
        return self.choices or (self.low, self.high)


def _flat(space: Any) -> Any:
    """Take ``training.learning_rate = {...}``, which TOML reads as a table of tables, for the key that is meant."""
    return dict(_leaves(space)) if isinstance(space, dict) else space


def _leaves(table: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        nested = isinstance(value, dict) and value and not _WORDS & set(value)
        nested = nested and all(isinstance(inner, (dict, list, tuple, Dimension)) for inner in value.values())
        yield from _leaves(value, f"{path}{name}.") if nested else [(f"{path}{name}", value)]


class SweepConfig(Section):
    """A search for a better experiment; the validation part decides, the test part is never looked at."""

    trials: int = Field(default=20, ge=1, description="How many in all; a sweep that is repeated goes on up to them")
    seed: int = Field(default=0, ge=0, description="Of the draws; the experiment's own seed is that of every trial")
    sampler: Literal["tpe", "random"] = Field(default="tpe", description="How values are chosen")
    random_trials: int = Field(default=8, ge=1, description="Trials before tpe learns from those that were")
    pruner: Literal["median", "halving", "none"] = Field(
        default="median", description="Which trials are given up early, by their validation criterion of each epoch"
    )
    prune_after_trials: int = Field(default=5, ge=1, description="No trial is pruned before so many have ended")
    prune_after_epochs: int = Field(default=3, ge=1, description="No trial is pruned before it has seen so many epochs")
    keep: int = Field(default=3, ge=1, description="Run folders kept: those of the best trials")
    space: Annotated[dict[str, Dimension], BeforeValidator(_flat)] = Field(
        min_length=1, description="What is searched: key = { low, high, log, step } or a list"
    )


def check_space(experiment: Experiment, *, where: str) -> None:
    """Refuse a key that is no key of the experiment or may not be searched, and values that the experiment refuses.

    Raises
    ------
    ConfigError
        Names the key, and the nearest right one.
    """
    assert experiment.sweep is not None
    known = _searchable(type(experiment))
    for key, dimension in experiment.sweep.space.items():
        place = f"{where}: sweep.space"
        if key not in known:
            raise ConfigError(_unknown(place, key, list(known)))
        kind = known[key].annotation
        if not dimension.choices and kind not in (int, float):
            step = "Give a list of values"
            got = f"{_brief(dimension)} for '{key}'"
            raise ConfigError(explained(where=place, what="a range", allowed="of numbers", got=got, next_step=step))
        numbers = (dimension.low, dimension.high, dimension.step)
        if kind is int and any(isinstance(number, float) for number in numbers):
            got = f"{_brief(dimension)}"
            raise ConfigError(explained(where=place, what=f"the range of '{key}'", allowed="of whole numbers", got=got))
        for value in dimension.samples:
            with_values(experiment, {key: value}, where=place)


def is_whole(key: str, experiment: Experiment) -> bool:
    """Whether a key takes whole numbers only."""
    return _searchable(type(experiment))[key].annotation is int


def with_values(experiment: Experiment, values: Mapping[str, Any], *, where: str = "a trial") -> Experiment:
    """Return the experiment with other values at some keys, and without its sweep.

    Raises
    ------
    ConfigError
        A value is not allowed there.
    """
    content = experiment.model_dump(exclude={"sweep"})
    for key, value in values.items():
        *sections, last = key.split(".")
        table = content
        for number, section in enumerate(sections, start=1):
            if section not in table:
                missing = ".".join(sections[:number])
                raise ConfigError(
                    explained(where=where, what=f"'{missing}'", allowed=f"a section of the experiment to search '{key}'",
                              got="none", next_step=f"Give the experiment its [{missing}]")
                )  # fmt: skip
            table = table[section]
        table[last] = value
    return checked(type(experiment), content, where=where)


def _searchable(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the keys whose values leave the criterion of the validation part comparable from trial to trial."""
    keys: dict[str, FieldInfo] = {}
    for name in ("model", "training"):
        for section in sections_in(model.model_fields[name].annotation):
            keys |= _keys(section, name)
    data: Any = model.model_fields["data"].annotation
    return keys | {"data.parameters": data.model_fields["parameters"]}


def _keys(section: type[BaseModel], path: str) -> dict[str, FieldInfo]:
    """Return the keys of a section and of those in it, by their dotted names."""
    found = {f"{path}.{key}": field for key, field in section.model_fields.items()}
    for key, field in section.model_fields.items():
        for inner in sections_in(field.annotation):
            found |= _keys(inner, f"{path}.{key}")
    return found


def _unknown(where: str, key: str, known: list[str]) -> str:
    allowed = "a key of [model] or [training], or data.parameters"
    if key.partition(".")[0] in ("data", "name", "seed", "explain", "sweep"):
        why = "Errors of other data or targets cannot be compared, and the best of several seeds is luck"
        return explained(where=where, what="a key", allowed=allowed, got=f"'{key}'", next_step=why)
    return explained(where=where, what="a key", allowed=allowed, got=f"'{key}'", next_step=nearest(key, known))


def _brief(dimension: Dimension) -> str:
    return f"{dimension.low} to {dimension.high}" + (f" by {dimension.step}" if dimension.step else "")
