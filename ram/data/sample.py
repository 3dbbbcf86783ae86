"""One sample of a data set."""

from __future__ import annotations

__all__ = ["Sample"]

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from ram.data.source import Source

_PARTS = ("index", "id", "group", "x", "targets", "parameters", "weight", "length")


@dataclass(frozen=True, eq=False)
class Sample(Mapping[str, Any]):
    """One sample. ``index`` is its row in the file; truth and regions are read when they are asked for.

    It is a mapping too, ``sample["x"]``, so that PyTorch's DataLoader makes batches of samples as they are.
    """

    index: int
    id: str
    group: str
    x: Float32[np.ndarray, " channel *space"] = field(repr=False)
    targets: dict[str, float]
    parameters: dict[str, float]
    weight: float
    length: int
    _source: Source = field(repr=False)

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        """Return whether it is the same object: samples are compared by their parts."""
        return self is other

    def __getitem__(self, name: str) -> Any:
        """Return a part by its name."""
        if name not in _PARTS:
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(_PARTS)

    def __len__(self) -> int:
        return len(_PARTS)

    @functools.cached_property
    def truth(self) -> dict[tuple[str, str], Float32[np.ndarray, "*space"]]:
        """(target, kind) -> map, for those that were computed for this sample."""
        kinds = [key for key in self._source.head.truth if self._has(f"truth/{key[0]}/{key[1]}")]
        return {(target, kind): self._source.truth(target, kind, self._row)[0] for target, kind in kinds}

    @functools.cached_property
    def regions(self) -> UInt8[np.ndarray, "*space"] | None:
        """Code of the region of each cell, or None where the file has no regions for this sample."""
        stored = bool(self._source.head.regions) and self._has("regions")
        return self._source.regions(self._row)[0] if stored else None

    @property
    def _row(self) -> Int64[np.ndarray, "1"]:
        return np.array([self.index])

    def _has(self, name: str) -> bool:
        return bool(self._source.present(name, self._row)[0])
