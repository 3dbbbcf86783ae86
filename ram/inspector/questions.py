"""What the page may ask. Every key is checked: what comes over the wire is as little trusted as a file."""

from __future__ import annotations

__all__ = [
    "Cohort",
    "Column",
    "Comparison",
    "Download",
    "Edit",
    "Hearing",
    "MapOf",
    "Rows",
    "Solve",
    "Span",
    "Within",
    "question_in",
]

import json
from typing import Annotated, Literal, NoReturn, TypeVar

from pydantic import Field

from ram.errors import ConfigError, explained
from ram.storage.sections import AsTuple, Section, checked

Number = Annotated[float, Field(allow_inf_nan=False)]
Row = Annotated[int, Field(ge=0)]
Span = Annotated[tuple[Number, Number], AsTuple]
Bounds = dict[str, Span]
Point = Annotated[tuple[Number, ...], AsTuple]
Kind = TypeVar("Kind", bound=Section)

_MOST_EDITS, _MOST_POINTS = 500, 5000


class Edit(Section):
    """A change of an input: of a box, or of what a round brush passes over.

    ``do`` is what happens there: channel := value, + value, * value, all channels as in the voids of the design, or all
    channels as they are where the stroke begins. `solid`: only where the design is.
    """

    do: Literal["set", "add", "times", "erase", "copy"]
    channel: str | None = None
    value: Number = 0.0
    bounds: Bounds | None = None
    outside: bool = False
    path: Annotated[tuple[Point, ...], AsTuple, Field(max_length=_MOST_POINTS)] = ()
    radius: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    solid: bool = False


class MapOf(Section):
    """The map of one sample, edited or not."""

    sample: Row
    target: str
    method: str | None = None
    reference: str | None = None
    reference_sample: Row | None = None
    layer: str | None = None
    channel: str | None = None
    of: str | None = None
    resolution: Annotated[int, Field(ge=1, le=8)] = 1
    edits: Annotated[tuple[Edit, ...], AsTuple, Field(max_length=_MOST_EDITS)] = ()


class Within(MapOf):
    """What a region of a map carries."""

    bounds: Bounds


class Comparison(MapOf):
    """Why this sample's prediction differs from that of another one."""

    other: Row


class Download(MapOf):
    """A map as a file."""

    kind: Literal["png", "csv", "hdf5"]
    shown: str | None = None


class Hearing(MapOf):
    """The part of a signal that carries most of its prediction."""

    share: Annotated[float, Field(gt=0, le=1)] = 0.8
    sign: Literal["both", "raises", "lowers"] = "both"
    heard: str
    slower: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0


class Solve(Section):
    """What the simulator says of a sample, edited or not."""

    sample: Row
    edits: Annotated[tuple[Edit, ...], AsTuple, Field(max_length=_MOST_EDITS)] = ()


class Column(Section):
    """Measured and predicted values of one target."""

    target: str


class Rows(Section):
    """Some samples, by their rows."""

    rows: Annotated[tuple[Row, ...], AsTuple, Field(min_length=1)]


class Cohort(Rows):
    """The mean map of some samples, against that of all others."""

    target: str


def question_in(model: type[Kind], content: bytes) -> Kind:
    """Return the question in the body of a request.

    Raises
    ------
    ConfigError
        It is no JSON, or has a key or a value that is not allowed.
    """
    try:
        found = json.loads(content, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _no_question(f"{error}") from None
    if not isinstance(found, dict):
        raise _no_question(type(found).__name__)
    return checked(model, found, where="question")


def _no_question(got: str) -> ConfigError:
    return ConfigError(explained(where="question", what="the body", allowed="an object in JSON", got=got[:80]))


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")
