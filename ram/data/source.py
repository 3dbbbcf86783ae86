"""Where the samples of a `Dataset` come from: what every kind of file must be able to say."""

from __future__ import annotations

__all__ = ["Derived", "Reheaded", "Rows", "Source"]

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, UInt8
from numpy.typing import NDArray

from ram.data.head import Head

Rows = Int64[np.ndarray, " row"]


class Source(ABC):
    """Samples by row: small things in the head, large arrays when they are asked for.

    A source pickles as the place it reads from; every process opens its file for itself, when it first reads.
    """

    path: Path

    @property
    @abstractmethod
    def head(self) -> Head:
        """Names, units, axes and one value a sample."""

    @property
    def digest(self) -> str:
        """32 hexadecimal digits that stand for all that is used; a source may take one pass over it to know them."""
        return self.head.digest

    def place(self, name: str) -> str:
        """Return where in the file ``"inputs"``, ``"targets/umbrella"``, ``"ids"`` lie, for messages."""
        return f"/{name}"

    @abstractmethod
    def inputs(self, rows: Rows) -> Float32[np.ndarray, "row channel *space"]:
        """Return the inputs of some rows as a new array."""

    @property
    def block_rows(self) -> int:
        """Number of samples that are stored and read together; 0 where each can be read by itself."""
        return 0

    def inputs_into(self, rows: Rows, out: Float32[np.ndarray, "row channel *space"]) -> None:
        """Write the inputs of some rows into `out`."""
        out[...] = self.inputs(rows)

    def keep(self, kept_bytes: int) -> None:  # noqa: B027 - a source that keeps nothing has nothing to set
        """Set how much of the file may stay in memory between calls, about."""

    @abstractmethod
    def truth(self, target: str, kind: str, rows: Rows) -> Float32[np.ndarray, " row *space"]:
        """Return the truth maps of some rows, NaN where they were not computed."""

    @abstractmethod
    def regions(self, rows: Rows) -> UInt8[np.ndarray, " row *space"]:
        """Return the codes of the regions of some rows, 255 where none are stored."""

    @abstractmethod
    def present(self, name: str, rows: Rows) -> NDArray[np.bool_]:
        """Say for some rows of ``truth/<target>/<kind>`` or ``regions`` whether they are stored; none is read."""


@dataclass
class Derived(Source):
    """A source that is as another one, but for what a child class answers itself."""

    source: Source

    @property
    def path(self) -> Path:  # type: ignore[override]  # it is that of the source
        """The file of the source."""
        return self.source.path

    @property
    def head(self) -> Head:
        """Names, units, axes and one value a sample."""
        return self.source.head

    @property
    def digest(self) -> str:
        """The digest of the source."""
        return self.source.digest

    @property
    def block_rows(self) -> int:
        """Number of samples that are stored and read together."""
        return self.source.block_rows

    def place(self, name: str) -> str:
        """Return where something lies in the file."""
        return self.source.place(name)

    def inputs(self, rows: Rows) -> Float32[np.ndarray, "row channel *space"]:
        """Return the inputs of some rows as a new array."""
        return self.source.inputs(rows)

    def inputs_into(self, rows: Rows, out: Float32[np.ndarray, "row channel *space"]) -> None:
        """Write the inputs of some rows into `out`."""
        self.source.inputs_into(rows, out)

    def keep(self, kept_bytes: int) -> None:
        """Set how much of the file may stay in memory between calls, about."""
        self.source.keep(kept_bytes)

    def truth(self, target: str, kind: str, rows: Rows) -> Float32[np.ndarray, " row *space"]:
        """Return the truth maps of some rows."""
        return self.source.truth(target, kind, rows)

    def regions(self, rows: Rows) -> UInt8[np.ndarray, " row *space"]:
        """Return the codes of the regions of some rows."""
        return self.source.regions(rows)

    def present(self, name: str, rows: Rows) -> NDArray[np.bool_]:
        """Say for some rows of ``truth/<target>/<kind>`` or ``regions`` whether they are stored."""
        return self.source.present(name, rows)


class Reheaded(Derived):
    """A source with another head, which a child class makes: once in a process, and it does not travel with pickles."""

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the head."""
        return {name: value for name, value in self.__dict__.items() if name != "_head"}

    @property
    def head(self) -> Head:
        """Names, units, axes and one value a sample."""
        if "_head" not in self.__dict__:
            self._head = self.changed(self.source.head)
        return self._head

    @abstractmethod
    def changed(self, own: Head) -> Head:
        """Return the head in place of that of the source."""
