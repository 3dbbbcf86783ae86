"""The training loop: every step in sight.

Order and augmentation of samples are functions of (seed, epoch, sample), never of a state.
"""

from __future__ import annotations

__all__ = ["Epoch", "Fit", "fit", "predict_standardised"]

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from ram.data.batches import Batch, Batches
from ram.errors import TrainingError, explained
from ram.models.regressor import Regressor
from ram.models.symmetry import Symmetry, augment
from ram.randomness import generator
from ram.runs.config import TrainingConfig
from ram.training.optimizers import optimizers


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training part gave.

    Attributes
    ----------
    epoch
        From 1.
    learning_rate
        Of the last step.
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

    def as_dict(self) -> dict[str, Any]:
        """Return the row of history.jsonl."""
        return asdict(self)


@dataclass(frozen=True)
class Fit:
    """What the loop needs besides the net.

    Attributes
    ----------
    config
        The experiment's ``training`` section.
    seed
        Of the experiment.
    group
        Symmetries that samples are augmented with; empty for none.
    rows
        Shape (sample,): the training samples' rows in the file, what augmentation is a function of.
    on_epoch
        Called after each epoch; saves the net when the epoch is the best so far.
    on_step
        Called with the number of samples after each step.
    """

    config: TrainingConfig
    seed: int
    group: Sequence[Symmetry]
    rows: np.ndarray
    on_epoch: Callable[[Epoch], None]
    on_step: Callable[[int], None]


def fit(regressor: Regressor, train: Batches, validation: Batches, *, fit: Fit) -> None:
    """Train `regressor` in place.

    Raises
    ------
    TrainingError
        Where a loss or gradient is not finite; names the samples of the batch.
    """
    config = fit.config
    engine = _Engine.start(regressor, config, steps_per_epoch=math.ceil(len(train) / config.batch_size))
    best, stale = math.inf, 0
    for epoch in range(1, config.epochs + 1):
        loss = _train_epoch(engine, train, fit, epoch)
        errors, criterion = _validate(regressor, validation)
        improved = criterion < best
        best, stale = (criterion, 0) if improved else (best, stale + 1)
        rate = float(engine.schedules[0].get_last_lr()[0])
        fit.on_epoch(Epoch(epoch, rate, loss, errors, criterion, improved))
        if config.patience and stale >= config.patience:
            break


@dataclass(frozen=True)
class _Engine:
    """Net, optimizer and schedule on their device."""

    fabric: Fabric
    net: Any
    optimizers: tuple[Any, ...]
    schedules: tuple[torch.optim.lr_scheduler.LambdaLR, ...]

    @classmethod
    def start(cls, regressor: Regressor, config: TrainingConfig, *, steps_per_epoch: int) -> _Engine:
        fabric = Fabric(accelerator=config.device, devices=1, precision=config.precision)
        movers = optimizers(regressor, config)
        factor = _warmup_cosine(config, steps_per_epoch)
        schedules = tuple(torch.optim.lr_scheduler.LambdaLR(mover, factor) for mover in movers)
        net, *prepared = fabric.setup(regressor, *movers)
        net.mark_forward_method("standardised_prediction")
        return cls(fabric, net, tuple(prepared), schedules)

    def step(self, loss: Tensor, *, clip: float) -> Tensor:
        """Move the weights one step; returns the norm of the gradient."""
        self.fabric.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), clip)
        for optimizer, schedule in zip(self.optimizers, self.schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        return norm


def _train_epoch(engine: _Engine, train: Batches, fit: Fit, epoch: int) -> float:
    """One pass over the training part; returns its mean loss."""
    net, config = engine.net, fit.config
    _train_mode(net, frozen_norms=epoch > config.epochs * (1 - config.frozen_norms))
    total = torch.zeros((), dtype=torch.float64, device=engine.fabric.device)
    order = train.order(seed=fit.seed, epoch=epoch)
    choice = _augmentation(fit, epoch)
    for batch in train.iterate(order, batch_size=config.batch_size):
        x = augment(batch.x, fit.group, choice[batch.positions]) if fit.group else batch.x
        x, targets, parameters = engine.fabric.to_device((x, batch.targets, batch.parameters))
        predicted = net.standardised_prediction(x, parameters)
        weights = None if batch.weights is None else engine.fabric.to_device(batch.weights)
        loss = _loss(predicted, net.standardised_targets(targets), kind=config.loss, weights=weights)
        norm = engine.step(loss, clip=config.gradient_clip)
        _check_finite(loss, norm, batch, train, epoch)
        total += loss.detach().double() * len(batch.positions)
        fit.on_step(len(batch.positions))
    return float(total) / len(train)


def _train_mode(net: nn.Module, *, frozen_norms: bool) -> None:
    """Put `net` into training mode; frozen batch norms keep to their running statistics.

    A batch's own mean and variance are noise to a regression: towards the end the net learns with the statistics
    that it will be used with.
    """
    net.train()
    for module in net.modules():
        if frozen_norms and isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def _augmentation(fit: Fit, epoch: int) -> np.ndarray:
    """Which symmetry each training sample gets: a function of (seed, epoch, row in the file)."""
    if not fit.group:
        return np.zeros(len(fit.rows), dtype=np.int64)
    draws = generator(fit.seed, "augment", epoch).integers(len(fit.group), size=int(fit.rows.max()) + 1)
    return np.asarray(draws[fit.rows])


def _loss(
    predicted: Float[Tensor, "batch output"],
    wanted: Float[Tensor, "batch output"],
    *,
    kind: str,
    weights: Float[Tensor, " batch"] | None = None,
) -> Tensor:
    """Mean over the targets that were measured; weights have a mean of 1 over the training part."""
    known = wanted.isfinite()
    error = torch.where(known, predicted - wanted.to(predicted.dtype).nan_to_num(), 0.0)
    values = 0.5 * error**2
    if kind == "huber":
        # Beyond 0.3 standard deviations linear: early large errors do not drown the fine ones.
        values = torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=0.3)
    if weights is not None:
        values = values * weights.to(values.dtype)[:, None]
    return values.sum() / known.sum().clamp(min=1)


def _check_finite(loss: Tensor, norm: Tensor, batch: Batch, train: Batches, epoch: int) -> None:
    if bool(torch.isfinite(loss)) and bool(torch.isfinite(norm)):
        return
    ids = ", ".join(str(i) for i in train.data.ids[batch.positions[:8]])
    raise TrainingError(
        explained(
            where=f"training, epoch {epoch}, samples {ids} ...",
            what="loss and gradient",
            allowed="finite",
            got=f"loss {float(loss.detach()):g}, gradient norm {float(norm):g}",
            next_step="Lower training.learning_rate, or look at these samples with 'ram data info'",
        )
    )


def _validate(regressor: Regressor, validation: Batches) -> tuple[dict[str, float], float]:
    """Mean absolute error of each target in its unit, and the criterion."""
    with regressor.single_view():
        standardised = predict_standardised(regressor, validation)
    wanted = regressor.standardised_targets(validation.targets.to(standardised.device)).cpu()
    difference = regressor.destandardise(standardised).cpu() - validation.targets
    errors = difference.abs().nanmean(dim=0)
    criterion = (standardised.cpu().double() - wanted).square().nanmean().sqrt()
    return {name: float(e) for name, e in zip(regressor.target_names, errors, strict=True)}, float(criterion)


def predict_standardised(regressor: Regressor, batches: Batches, *, batch_size: int = 256) -> Tensor:
    """Return the standardised predictions for all samples, shape (sample, output), in evaluation mode."""
    regressor.eval()
    device = regressor.target_mean.device
    with torch.no_grad():
        return torch.cat(
            [
                regressor.standardised_prediction(batch.x.to(device), batch.parameters.to(device))
                for batch in batches.iterate(np.arange(len(batches)), batch_size=batch_size)
            ]
        )


def _warmup_cosine(config: TrainingConfig, steps_per_epoch: int) -> Callable[[int], float]:
    """Linear rise, then a cosine to zero. Source: Loshchilov & Hutter 2017, arXiv:1608.03983."""
    warmup = max(1, round(config.warmup_epochs * steps_per_epoch))
    total = max(config.epochs * steps_per_epoch, warmup + 1)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / (total - warmup))))

    return factor
