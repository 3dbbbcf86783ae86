"""What explained samples look like: kept with their maps, so that a picture of one needs nothing else."""

from __future__ import annotations

__all__ = ["Keeping", "Pictured"]

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor

from ram.data.material import fill_channel, material

_MOST_SAMPLES, _MOST_BYTES = 64, 2**23


@dataclass(frozen=True)
class Pictured:
    """Inputs of the first samples of a map, at most 64 of them and 8 MiB.

    Attributes
    ----------
    inputs
        By id: shape (channel, *space), on the input's grid; of a padded signal as far as it was looked at.
    channels
        Name and unit of each channel; empty where nobody named them.
    """

    inputs: Mapping[str, Float32[np.ndarray, "channel *space"]] = field(default_factory=dict, repr=False)
    channels: Mapping[str, str] = field(default_factory=dict)

    def of(self, name: str) -> tuple[Float32[np.ndarray, "*space"], str] | None:
        """Return the last channel of a sample, 0 in the voids of a design, and what it is called; None if not kept."""
        if name not in self.inputs:
            return None
        x, last = self.inputs[name], f"channel {len(self.inputs[name]) - 1}"
        if len(self.channels) != len(x):
            return x[-1], last if len(x) > 1 else "input"
        called, unit = list(self.channels.items())[-1]
        fills = fill_channel(x, list(self.channels.values()))
        values = x[-1] if fills is None else np.where(material(x, fills), x[-1], np.float32(0.0))
        return values, called if unit in ("", "1") else f"{called} ({unit})"


class Keeping:
    """Copies of the first inputs that pass by, before a net may write over them."""

    def __init__(self) -> None:
        self._kept: list[NDArray[np.float32]] = []
        self._left = _MOST_SAMPLES

    def see(self, x: Tensor) -> None:
        """Look at a batch, shape (row, channel, *space)."""
        size = max(1, x[0].numel() * 4)
        count = min(len(x), self._left, _MOST_BYTES // size - len(self._kept))
        if count < len(x):
            self._left = 0
        if count > 0:
            self._left = max(0, self._left - count)
            self._kept += list(np.array(x[:count].detach().cpu().float().numpy()))

    def named(self, ids: Sequence[str]) -> Pictured:
        """Return what was kept, by the ids of all samples or by their numbers."""
        return Pictured(dict(zip(self._names(ids), self._kept, strict=False)))

    def _names(self, ids: Sequence[str]) -> Iterator[str]:
        return iter(ids) if len(ids) else (str(row) for row in range(len(self._kept)))
