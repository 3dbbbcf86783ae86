"""TOML files whose every key is checked: an unknown or mistyped one is answered with the nearest right one."""

from __future__ import annotations

__all__ = ["AsTuple", "Names", "Section", "checked", "read_toml", "sections_in"]

import re
import tomllib
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)
from pydantic_core import ErrorDetails

from ram.errors import ConfigError, explained, nearest


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


AsTuple = BeforeValidator(_tuple)
"""TOML's lists become tuples."""
Names = Annotated[tuple[str, ...], AsTuple]


class Section(BaseModel):
    """A table of a TOML file; it cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what TOML has no word for."""
        content: dict[str, Any] = handler(self)
        return {key: value for key, value in content.items() if value is not None}


Kind = TypeVar("Kind", bound=Section)


def checked(model: type[Kind], content: Mapping[str, Any], *, where: str) -> Kind:
    """Return `content` as a `model`.

    Raises
    ------
    ConfigError
        A key or a value is not allowed; names it, and the nearest right one.
    """
    try:
        return model.model_validate(dict(content))
    except ValidationError as error:
        # A mistyped key leaves the right one missing too: the typing error is what helps.
        found = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        raise ConfigError(_paragraph(model, where, found[0])) from None


def read_toml(path: Path, *, what: str) -> dict[str, Any]:
    """Return what stands in a TOML file; `what` it is, for messages: ``"an experiment"``.

    Raises
    ------
    ConfigError
        Missing (the nearest name is suggested), a folder, or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = nearest(path.name, [other.name for other in path.parent.glob("*.toml")])
        raise ConfigError(
            explained(where=str(path), what=what, allowed="a TOML file", got="no such file", next_step=near)
        ) from None
    except IsADirectoryError:
        raise ConfigError(explained(where=str(path), what=what, allowed="a TOML file", got="a folder")) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        got, step = f"'{error}'", "Mend the line named"
        raise ConfigError(
            explained(where=str(path), what=what, allowed="valid TOML", got=got, next_step=step)
        ) from None


def _paragraph(model: type[BaseModel], where: str, error: ErrorDetails) -> str:
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        word, known = str(error["loc"][-1]), list(_section_at(model, error["loc"][:-1]).model_fields)
        step = _in_another_section(model, word) or nearest(word, known)
        return explained(
            where=where, what="a key", allowed=f"one of {', '.join(known)}", got=f"'{path}'", next_step=step
        )
    step = _nearest_choice(error) or _description(model, error["loc"])
    if error["type"] == "missing":
        return explained(where=where, what=f"'{path}'", allowed="given", got="nothing", next_step=step)
    allowed = error["msg"].rstrip(".")
    for beginning in ("Input should be ", "Value should ", "Value error, "):
        allowed = allowed.removeprefix(beginning)
    return explained(where=where, what=f"'{path}'", allowed=allowed, got=repr(error["input"]), next_step=step)


def _nearest_choice(error: ErrorDetails) -> str:
    """Return the nearest of the words that a key may have; nothing where it may have any."""
    if error["type"] != "literal_error":
        return ""
    return nearest(str(error["input"]), re.findall(r"'([^']*)'", error["ctx"]["expected"]))


def _in_another_section(model: type[BaseModel], word: str) -> str:
    """Say where a key stands that was given without its section, or in another one."""
    found = next((path for path in _paths(model) if path.rpartition(".")[2] == word), "")
    return f"Did you mean '{found}'?" if found else ""


def _paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all keys, those of outer sections first."""
    fields = model.model_fields.items()
    yield from (f"{prefix}{name}" for name, _ in fields)
    for name, field in fields:
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _paths(field.annotation, f"{prefix}{name}.")


def _section_at(model: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel]:
    """Return the innermost section on the way; words that users choose stand between a table and its sections."""
    for part in location:
        field = model.model_fields.get(str(part))
        inner = next(sections_in(field.annotation), None) if field else None
        model = inner or model
    return model


def sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the sections that a type is made of: ``Section | None``, ``dict[str, Section]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType, dict, Annotated):
        for inner in get_args(annotation):
            yield from sections_in(inner)


def _description(model: type[BaseModel], location: Sequence[int | str]) -> str:
    """Return what the innermost key that is described says of itself."""
    for end in range(len(location), 0, -1):
        field = _section_at(model, location[: end - 1]).model_fields.get(str(location[end - 1]))
        if field is not None:
            return field.description or ""
    return ""
