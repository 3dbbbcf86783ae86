"""Inputs by number: files of a folder, one or several a sample, or slices of an array."""

from __future__ import annotations

__all__ = ["ArrayInputs", "CellInputs", "FileInputs", "Inputs"]

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ram.data.importing.arrays import Array, Cells
from ram.data.importing.layouts import arranged, guess_layout
from ram.data.importing.look import Look
from ram.data.importing.signals import Reading, look_at, read_input
from ram.errors import DataError, explained


class Inputs(ABC):
    """Inputs by number; nothing is read before it is asked for."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of inputs."""

    @abstractmethod
    def name(self, index: int) -> str:
        """Return how a user finds an input: its file, or array and row."""

    @abstractmethod
    def look(self, index: int) -> Look:
        """Return what is known of an input before its values are read."""

    @abstractmethod
    def read(self, index: int, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return values in the type of the file, shape (channel, *space), cut along the last axis."""


@dataclass(frozen=True)
class FileInputs(Inputs):
    """Files; several for one input are its channels, one after the other."""

    paths: Sequence[tuple[Path, ...]]
    reading: Reading
    _known: dict[Path, Look] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        """Return the path, or the paths."""
        return ", ".join(map(str, self.paths[index]))

    def look(self, index: int) -> Look:
        """Return what the files declare."""
        looks = [self._look_at(path) for path in self.paths[index]]
        return looks[0] if len(looks) == 1 else _together(looks, self.paths[index])

    def read(self, index: int, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return the values, channel after channel."""
        parts = []
        for path in self.paths[index]:
            kind = self._look_at(path).kind
            parts.append(read_input(path, self.reading, kind=kind, start=start, stop=stop))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _look_at(self, path: Path) -> Look:
        """Look at a file once: the survey asks first, reading asks again."""
        if path not in self._known:
            self._known[path] = look_at(path, self.reading)
        return self._known[path]


@dataclass(frozen=True)
class ArrayInputs(Inputs):
    """Slices of an array along its axis of samples; the whole array where it has none."""

    where: str
    array: Array
    layout: tuple[str, ...]
    kind: str
    space: tuple[int, ...] = ()
    step: float | None = None

    def __len__(self) -> int:
        return self.array.shape[self.layout.index("sample")] if "sample" in self.layout else 1

    def name(self, index: int) -> str:
        """Return the array and the number of the sample, counted from 0."""
        return f"{self.where}[{index}]" if "sample" in self.layout else self.where

    def look(self, index: int) -> Look:  # noqa: ARG002 - all samples are alike
        """Return shape and type, the same for every sample."""
        sizes = dict(zip(self.layout, self.array.shape, strict=True))
        inner = tuple(size for word, size in sizes.items() if word not in ("sample", "channel"))
        shape = (sizes.get("channel", 1), *(self.space or inner))
        if self.space and int(np.prod(self.space)) != int(np.prod(inner)):
            raise DataError(
                explained(
                    where=self.where,
                    what="the shape",
                    allowed=f"of {int(np.prod(inner)):,} cells, as each sample has",
                    got=" x ".join(map(str, self.space)),
                )
            )
        names = ("signal",) if shape[0] == 1 else tuple(f"channel{place}" for place in range(1, shape[0] + 1))
        step = self.step if len(shape) == 2 else None
        return Look(self.kind, shape, names, (self.array.unit,) * shape[0], self.array.dtype.name, step=step)

    def read(self, index: int, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return one slice."""
        inner = [word for word in self.layout if word != "sample"]
        cuts: dict[int, int | slice] = {}
        if "sample" in self.layout:
            cuts[self.layout.index("sample")] = index
        if not self.space:
            last = [word for word in inner if word != "channel"][-1]
            cuts[self.layout.index(last)] = slice(start, stop)
        values = arranged(self.array.part(cuts), inner)
        return values.reshape(len(values), *self.space)[..., start:stop] if self.space else values


@dataclass(frozen=True)
class CellInputs(Inputs):
    """Signals of different length: a cell array of MATLAB."""

    where: str
    cells: Cells
    kind: str
    layout: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.cells.items)

    def name(self, index: int) -> str:
        """Return the array and the number of the cell, counted from 0."""
        return f"{self.where}{{{index}}}"

    def look(self, index: int) -> Look:
        """Return shape and type of one cell."""
        array = self.cells.items[index]
        shape = arranged(np.broadcast_to(np.zeros(()), _squeezed(array.shape)), self._words(array)).shape
        names = ("signal",) if shape[0] == 1 else tuple(f"channel{place}" for place in range(1, shape[0] + 1))
        return Look(self.kind, shape, names, (self.cells.unit,) * shape[0], array.dtype.name)

    def read(self, index: int, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return one cell."""
        array = self.cells.items[index]
        values = array.part({}).reshape(_squeezed(array.shape))
        return arranged(values, self._words(array))[..., start:stop]

    def _words(self, array: Array) -> tuple[str, ...]:
        try:
            return self.layout or guess_layout(_squeezed(array.shape), samples=None)
        except ValueError as error:
            raise DataError(
                explained(where=self.where, what="a cell", allowed="of one to three axes", got=str(error))
            ) from None


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a signal for a row or a column of MATLAB."""
    return (max(shape),) if len(shape) == 2 and 1 in shape else shape


def _together(looks: Sequence[Look], paths: Sequence[Path]) -> Look:
    """Return several files as one input; all must have the same cells and time."""
    first = looks[0]
    for look, path in zip(looks, paths, strict=True):
        alike = (look.shape[1:], look.stored, look.scale) == (first.shape[1:], first.stored, first.scale)
        if not alike or look.step != first.step:
            raise DataError(
                explained(
                    where=str(path),
                    what="the channels of one sample",
                    allowed=f"alike: {first.kind}, {' x '.join(map(str, first.shape[1:]))} as {paths[0].name}",
                    got=f"{look.kind}, {' x '.join(map(str, look.shape[1:]))}",
                )
            )
    names = [name for look in looks for name in look.channels]
    if len(set(names)) < len(names):
        names = [f"channel{place}" for place in range(1, len(names) + 1)]
    units = tuple(unit for look in looks for unit in look.units)
    return replace(first, shape=(len(names), *first.shape[1:]), channels=tuple(names), units=units)
