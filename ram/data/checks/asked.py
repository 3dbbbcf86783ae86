"""What is about to be trained: the question that every check answers for itself."""

from __future__ import annotations

__all__ = ["Asked", "asked"]

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from ram.data.dataset import Dataset


@dataclass(frozen=True, eq=False)
class Asked:
    """A data set, and which of its targets, parameters and splits are meant.

    Attributes
    ----------
    named
        Whether somebody named the parameters, so that they enter the net; else they merely stand in the file.
    split
        Name of the split; it may not be there.
    """

    data: Dataset
    targets: tuple[str, ...]
    parameters: tuple[str, ...]
    named: bool
    split: str

    @cached_property
    def parts(self) -> NDArray[np.str_]:
        """Part of each sample, shape (sample,); all in train where the split is not there."""
        if self.split in self.data.splits:
            return self.data.split_array(self.split)
        return np.full(len(self.data), "train")

    def target(self, name: str) -> Float64[np.ndarray, " sample"]:
        """Return one target of all samples, NaN where not measured."""
        return self.data.target_array([name])[:, 0]

    def parameter(self, name: str) -> Float64[np.ndarray, " sample"]:
        """Return one parameter of all samples."""
        return self.data.parameter_array([name])[:, 0]

    def within(self, part: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return those of `values`, one a sample, that belong to a part and are finite."""
        return np.asarray(values[(self.parts == part) & np.isfinite(values)])


def asked(
    data: Dataset,
    *,
    targets: Sequence[str] | None = None,
    parameters: Sequence[str] | None = None,
    split: str | None = None,
) -> Asked:
    """Return the question; what is not said is all targets, all parameters as bystanders, the usual split."""
    usual = "default" if "default" in data.splits or not data.splits else data.splits[0]
    return Asked(
        data=data,
        targets=tuple(data.targets if targets is None else targets),
        parameters=tuple(data.parameters if parameters is None else parameters),
        named=parameters is not None,
        split=usual if split is None else split,
    )
