"""Stops a training whose loss or gradient is not finite, without a GPU having to wait for the answer."""

from __future__ import annotations

__all__ = ["FiniteCheck"]

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ram.errors import RamError, RelayedError, TrainingError, explained


@dataclass(frozen=True)
class _Asked:
    """Loss and gradient of a step on their way from the device."""

    values: Tensor
    arrived: torch.cuda.Event | None
    where: Callable[[], str]


class FiniteCheck:
    """Looks at the loss and at the norm of the gradient of every step.

    On a processor before the weights move. A GPU copies the two numbers beside its work, and they are read while it is
    busy with the step after; `settle` waits for them, before anything is kept.

    Parameters
    ----------
    speaks
        Whether this process says what was found: the numbers are those of all processes that train together.
    """

    def __init__(self, *, speaks: bool = True) -> None:
        self._asked: _Asked | None = None
        self._error: type[RamError] = TrainingError if speaks else RelayedError

    def look(self, loss: Tensor, norm: Tensor, *, where: Callable[[], str]) -> None:
        """Take the numbers of one step; `where` says for an error which one it is.

        Raises
        ------
        TrainingError
            This step's numbers or, on a GPU, those of the step before are not finite.
        """
        values = torch.stack([loss.double(), norm.double()])
        if not values.is_cuda:
            self._asked = _Asked(values, None, where)
            self.settle()
            return
        copied = torch.empty(2, dtype=torch.float64, pin_memory=True).copy_(values, non_blocking=True)
        arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
        arrived.record()
        before, self._asked = self._asked, _Asked(copied, arrived, where)
        self._require_finite(before)

    def settle(self) -> None:
        """Look at what has not been looked at.

        Raises
        ------
        TrainingError
            The numbers of the last step are not finite.
        """
        asked, self._asked = self._asked, None
        self._require_finite(asked)

    def _require_finite(self, asked: _Asked | None) -> None:
        if asked is None:
            return
        if asked.arrived is not None:
            asked.arrived.synchronize()
        loss, norm = asked.values.tolist()
        if math.isfinite(loss) and math.isfinite(norm):
            return
        raise self._error(
            explained(
                where=asked.where(),
                what="loss and gradient",
                allowed="finite",
                got=f"loss {loss:g}, gradient norm {norm:g}",
                next_step="Lower training.learning_rate, or look at these samples with 'ram data info'",
            )
        )
