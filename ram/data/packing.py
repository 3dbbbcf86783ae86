"""How inputs are stored: as float32, or as integers with one scale and offset for the data set (CF conventions)."""

from __future__ import annotations

__all__ = ["DTYPES", "Packing"]

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

DTYPES = {"float32": "<f4", "int16": "<i2", "uint8": "|u1"}
"""Word in a specification -> type in the file."""


@dataclass(frozen=True)
class Packing:
    """What a stored number means: ``value = stored * scale + offset``, in the channels' units.

    Parameters
    ----------
    dtype
        ``"float32"``, ``"int16"`` or ``"uint8"``.
    scale, offset
        1 and 0 for float32; attributes ``scale_factor`` and ``add_offset`` of ``/inputs``.

    Raises
    ------
    ValueError
        A type that is none of them, a scale that is not finite and positive, or one beside float32.
    """

    dtype: str = "float32"
    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}. Got {self.dtype!r}")
        if not (np.isfinite([self.scale, self.offset]).all() and self.scale > 0):
            raise ValueError(f"scale must be positive and offset finite. Got {self.scale} and {self.offset}")
        if not self.integer and (self.scale, self.offset) != (1.0, 0.0):
            raise ValueError(f"scale and offset must be 1 and 0 for float32. Got {self.scale} and {self.offset}")

    @property
    def integer(self) -> bool:
        """Whether integers are stored."""
        return self.dtype != "float32"

    @property
    def stored(self) -> np.dtype[Any]:
        """Type of the array in the file."""
        return np.dtype(DTYPES[self.dtype])

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the largest value that can be stored; without ends for float32."""
        if not self.integer:
            return -np.inf, np.inf
        limits = np.iinfo(self.stored)
        return limits.min * self.scale + self.offset, limits.max * self.scale + self.offset

    def pack(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return what is stored for some values: the nearest step, off by half a `scale` at most.

        Raises
        ------
        ValueError
            For integers: a value is not finite or beyond the bounds.

        >>> Packing("int16", 0.5, 10.0).pack(np.array([10.0, 11.2]))
        array([0, 2], dtype=int16)
        """
        if not self.integer:
            return np.asarray(values, dtype=self.stored)
        steps = np.rint((np.asarray(values, dtype=np.float64) - self.offset) / self.scale)
        limits = np.iinfo(self.stored)
        beyond = ~((steps >= limits.min) & (steps <= limits.max))  # also true of NaN
        if beyond.any():
            low, high = self.bounds
            worst = float(np.asarray(values)[beyond][0])
            raise ValueError(
                f"{low:g} to {high:g}, what {self.dtype} holds. Got {worst:g} in {int(beyond.sum())} cells"
            )
        return steps.astype(self.stored)

    def unpack(
        self, stored: NDArray[Any], *, out: Float32[np.ndarray, "*shape"] | None = None
    ) -> Float32[np.ndarray, "*shape"]:
        """Return the values in the channels' units, a new array or `out`.

        >>> Packing("int16", 0.5, 10.0).unpack(np.array([0, 2], dtype=np.int16))
        array([10., 11.], dtype=float32)
        """
        values = np.empty(stored.shape, dtype=np.float32) if out is None else out
        if (self.scale, self.offset) == (1.0, 0.0):
            np.copyto(values, stored)
            return values
        np.multiply(stored, np.float32(self.scale), out=values, dtype=np.float32)
        np.add(values, np.float32(self.offset), out=values)
        return values
