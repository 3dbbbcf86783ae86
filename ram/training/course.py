"""How far a training has come."""

from __future__ import annotations

__all__ = ["Course", "Epoch", "history_table"]

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from ram.runs.config import TrainingConfig


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training part gave.

    Attributes
    ----------
    epoch
        From 1.
    learning_rate
        After its last step.
    loss
        Mean over the training part, standardised targets, augmented inputs.
    validation
        Mean absolute error of each target on the validation part, in its unit.
    criterion
        Root mean square of the standardised validation errors: what the best epoch is chosen by.
    best
        Whether this is the best epoch so far.
    """

    epoch: int
    learning_rate: float
    loss: float
    validation: dict[str, float]
    criterion: float
    best: bool


@dataclass
class Course:
    """Where a training stands between two steps.

    Attributes
    ----------
    epoch, step
        The epoch under way, from 1, and how many of its steps are done.
    loss_sum
        Of the epoch's samples so far, float64, on the net's device: asking for its value would make a GPU wait.
    best, stale
        The best criterion so far, and how many epochs ago that was.
    history
        Lines of JSON, one for each epoch that is done.
    """

    epoch: int = 1
    step: int = 0
    loss_sum: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    best: float = math.inf
    stale: int = 0
    history: list[str] = field(default_factory=list)

    def over(self, config: TrainingConfig) -> bool:
        """Whether all epochs are done, or as many went by without gain as `config` allows."""
        return self.epoch > config.epochs or bool(config.patience and self.stale >= config.patience)

    def count(self, loss: Tensor, samples: int) -> None:
        """Count one step over so many samples."""
        self.loss_sum = self.loss_sum + loss.detach().double() * samples
        self.step += 1

    def close(self, *, learning_rate: float, samples: int, validation: dict[str, float], criterion: float) -> Epoch:
        """End the epoch under way and return what it gave."""
        improved = criterion < self.best
        self.best, self.stale = (criterion, 0) if improved else (self.best, self.stale + 1)
        done = Epoch(self.epoch, learning_rate, float(self.loss_sum) / samples, validation, criterion, improved)
        self.history.append(json.dumps(asdict(done)))
        self.epoch, self.step, self.loss_sum = self.epoch + 1, 0, torch.zeros_like(self.loss_sum)
        return done

    def as_content(self) -> dict[str, Any]:
        """Return what JSON keeps of it; `loss_sum` is a tensor of the state."""
        best = None if math.isinf(self.best) else self.best
        return {"epoch": self.epoch, "step": self.step, "best": best, "stale": self.stale, "history": self.history}

    @classmethod
    def of(cls, content: Mapping[str, Any], loss_sum: Tensor) -> Course:
        """Return what `as_content` has kept."""
        best = math.inf if content["best"] is None else content["best"]
        return cls(content["epoch"], content["step"], loss_sum, best, content["stale"], list(content["history"]))


def history_table(lines: Sequence[str]) -> str:
    """Return the history as CSV, one row for each line of JSON.

    >>> print(history_table(['{"epoch": 1, "loss": 0.5, "validation": {"umbrella": 3.25}, "best": true}']), end="")
    epoch,loss,validation_umbrella,best
    1,0.5,3.25,True
    """
    rows = [_flat(json.loads(line)) for line in lines]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in row.items():
        flat |= {f"{key}_{name}": inner for name, inner in value.items()} if isinstance(value, dict) else {key: value}
    return flat
