"""Net, optimizers and schedule on their device: one step, and all that the next step depends on."""

from __future__ import annotations

__all__ = ["Engine", "State"]

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from ram.models.regressor import Regressor
from ram.runs.config import TrainingConfig
from ram.training.finite import FiniteCheck
from ram.training.optimizers import optimizers
from ram.training.team import Team

Schedule = torch.optim.lr_scheduler.LambdaLR


@dataclass(frozen=True)
class State:
    """All that the rest of a training depends on.

    Attributes
    ----------
    tensors
        Weights, buffers and what the optimizers remember, by name.
    content
        Everything else: numbers and texts that JSON keeps as they are.
    """

    tensors: Mapping[str, Tensor]
    content: Mapping[str, Any]


@dataclass(frozen=True)
class Engine:
    """Net, optimizers and schedules on their device.

    Attributes
    ----------
    net
        The regressor, wrapped for its device and precision.
    optimizers
        As the net, wrapped.
    movers
        The same optimizers by themselves.
    weights
        All that they move: to look for them at every step takes as long as a small layer.
    schedules
        One for each optimizer.
    finite
        Looks at every step.
    team
        The processes that train together.
    """

    fabric: Fabric
    regressor: Regressor
    net: Any
    optimizers: tuple[Any, ...]
    movers: tuple[torch.optim.Optimizer, ...]
    weights: tuple[nn.Parameter, ...]
    schedules: tuple[Schedule, ...]
    finite: FiniteCheck
    team: Team

    @classmethod
    def start(
        cls, regressor: Regressor, config: TrainingConfig, *, steps_per_epoch: int, team: Team | None = None
    ) -> Engine:
        """Return an engine that has not moved yet; without a team it trains by itself."""
        team = team or Team.start(config)
        fabric = team.fabric
        movers = tuple(optimizers(regressor, config))
        factor = _warmup_cosine(config, steps_per_epoch)
        schedules = tuple(Schedule(mover, factor) for mover in movers)
        net, *prepared = fabric.setup(regressor, *movers)
        for method in ("standardised_prediction", "prediction_and_contributions"):
            net.mark_forward_method(method)
        weights, finite = tuple(net.parameters()), FiniteCheck(speaks=team.first)
        return cls(fabric, regressor, net, tuple(prepared), movers, weights, schedules, finite, team)

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return float(self.schedules[0].get_last_lr()[0])

    def step(self, loss: Tensor, *, clip: float, where: Callable[[], str]) -> Tensor:
        """Move the weights one step; `where` says for an error which one it is.

        Parameters
        ----------
        loss
            This process's share of the batch's loss: the shares of all processes sum to it.

        Returns
        -------
        Tensor
            The batch's loss.

        Raises
        ------
        TrainingError
            This step's loss or gradient is not finite, or that of the step before.
        """
        # Gradients are averaged over the processes; what is wanted is their sum.
        self.fabric.backward(loss if self.team.count == 1 else loss * self.team.count)
        whole = self.team.sum(loss.detach())
        norm = torch.nn.utils.clip_grad_norm_(self.weights, clip)
        self.finite.look(whole, norm, where=where)
        for optimizer, schedule in zip(self.optimizers, self.schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        return whole

    def state(self) -> State:
        """Return what the next step depends on, beside its batch.

        Raises
        ------
        TrainingError
            The last step was not finite.
        """
        self.finite.settle()
        tensors = {f"net.{name}": value for name, value in self.regressor.state_dict().items()}
        groups = []
        for number, mover in enumerate(self.movers):
            said = mover.state_dict()
            groups.append(said["param_groups"])
            for weight, memory in said["state"].items():
                tensors |= {f"optimizers.{number}.{weight}.{name}": value for name, value in memory.items()}
        schedules = [
            {key: value for key, value in schedule.state_dict().items() if key != "lr_lambdas"}
            for schedule in self.schedules
        ]
        return State(tensors, {"groups": groups, "schedules": schedules})

    def restore(self, state: State) -> None:
        """Go back to `state`, bit for bit, with every tensor laid out as it was."""
        kept = state.tensors
        self.regressor.load_state_dict({key[4:]: value for key, value in kept.items() if key.startswith("net.")})
        for number, (mover, groups) in enumerate(zip(self.movers, state.content["groups"], strict=True)):
            mover.load_state_dict(
                {
                    "state": _memories(kept, f"optimizers.{number}."),
                    "param_groups": [
                        {key: tuple(v) if isinstance(v, list) and key != "params" else v for key, v in group.items()}
                        for group in groups
                    ],
                }
            )
            _lay_out(mover)
        for schedule, said in zip(self.schedules, state.content["schedules"], strict=True):
            schedule.load_state_dict({**said, "lr_lambdas": [None] * len(schedule.base_lrs)})


def _memories(tensors: Mapping[str, Tensor], prefix: str) -> dict[int, dict[str, Tensor]]:
    """Return what an optimizer remembers of each weight, by the weight's number."""
    memories: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(prefix):
            weight, _, name = key.removeprefix(prefix).partition(".")
            memories.setdefault(int(weight), {})[name] = value
    return memories


def _lay_out(mover: torch.optim.Optimizer) -> None:
    """Give memories the strides of their weights: sums of another order differ in the last bit."""
    for weight, memory in mover.state.items():
        for name, value in memory.items():
            if value.shape == weight.shape:
                memory[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def _warmup_cosine(config: TrainingConfig, steps_per_epoch: int) -> Callable[[int], float]:
    """Linear rise, then a cosine to zero. Source: Loshchilov & Hutter 2017, arXiv:1608.03983."""
    warmup = max(1, round(config.warmup_epochs * steps_per_epoch))
    total = max(config.epochs * steps_per_epoch, warmup + 1)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / (total - warmup))))

    return factor
