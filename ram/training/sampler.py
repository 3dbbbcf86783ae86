"""How the values of a trial are drawn, and which trials are given up: Optuna's ways, made repeatable.

The draws of a trial are a function of (seed, number of the trial) and of the trials that have ended, so that a sweep
that was killed and goes on draws what it would have drawn.
"""

from __future__ import annotations

__all__ = ["SLOT", "RepeatableSampler", "pruner", "slot_of"]

from collections.abc import Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from ram.randomness import seed_of
from ram.runs.search import SweepConfig

SLOT = "slot"
"""The attribute of a trial that is done again: which of the sweep's trials it is."""


def slot_of(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> int:
    """Return which of the sweep's trials this is, from 0: one that is done again keeps the number of the first try.

    Parameters
    ----------
    trials
        All trials of the study, by number.
    """
    if SLOT in trial.user_attrs:
        return int(trial.user_attrs[SLOT])
    return trial.number - sum(SLOT in other.user_attrs for other in trials[: trial.number])


class RepeatableSampler(BaseSampler):
    """A sampler that is made anew for each trial, of a seed of its own."""

    def __init__(self, config: SweepConfig) -> None:
        self._config = config
        self._made: tuple[int, BaseSampler] | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return what is drawn together, as the sampler of this trial says."""
        return self._of(study, trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return values that are drawn together."""
        return self._of(study, trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return one value."""
        return self._of(study, trial).sample_independent(study, trial, param_name, param_distribution)

    def _of(self, study: Study, trial: FrozenTrial) -> BaseSampler:
        if self._made is None or self._made[0] != trial.number:
            slot = slot_of(trial, study.get_trials(deepcopy=False))
            self._made = trial.number, self._new(seed_of(self._config.seed, "sweep", slot) % 2**32)
        return self._made[1]

    def _new(self, seed: int) -> BaseSampler:
        if self._config.sampler == "random":
            return RandomSampler(seed=seed)
        # Trials that run elsewhere count as bad ones, so that two machines do not try the same values.
        return TPESampler(seed=seed, n_startup_trials=self._config.random_trials, constant_liar=True)


def pruner(config: SweepConfig) -> BasePruner:
    """Return what decides which trials are given up."""
    if config.pruner == "none":
        return NopPruner()
    if config.pruner == "halving":
        return SuccessiveHalvingPruner(min_resource=config.prune_after_epochs)
    return MedianPruner(n_startup_trials=config.prune_after_trials, n_warmup_steps=config.prune_after_epochs)
