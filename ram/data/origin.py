"""What made a data file: recipe, digest of it and options, kept in the file's head so that it can be made again."""

from __future__ import annotations

__all__ = ["ATTRIBUTE", "Origin", "current_origin", "made_by"]

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any

ATTRIBUTE = "recipe"
"""Of the file's root. It says how values came about, not what they are: no part of the data's digest."""


@dataclass(frozen=True)
class Origin:
    """How a recipe made a data file.

    Attributes
    ----------
    recipe
        Name of its folder.
    sha256
        Of its ``recipe.py``.
    options
        Every option that changes what is made, defaults too, as text; paths and the number of jobs are left out.
    """

    recipe: str
    sha256: str
    options: Mapping[str, str]

    def as_text(self) -> str:
        """Return what stands in the file."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> Origin | None:
        """Return what a file says, or None where it says nothing that is understood.

        >>> Origin.from_text('{"recipe": "wheel", "sha256": "", "options": {"samples": "64"}}').options["samples"]
        '64'
        """
        try:
            content: Any = json.loads(text or "{}")
            return cls(
                str(content["recipe"]),
                str(content["sha256"]),
                {str(key): str(value) for key, value in content["options"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


_current: ContextVar[Origin | None] = ContextVar("the recipe that is running", default=None)


def current_origin() -> Origin | None:
    """Return the recipe that is running, if any."""
    return _current.get()


@contextmanager
def made_by(origin: Origin) -> Iterator[None]:
    """Let data files that are written meanwhile say what made them."""
    token = _current.set(origin)
    try:
        yield
    finally:
        _current.reset(token)
