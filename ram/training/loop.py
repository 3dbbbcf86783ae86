"""The training loop: every step in sight.

Order and augmentation of samples are functions of (seed, epoch, sample), never of a state: what a step does depends on
the weights, on what the optimizers remember, and on its number.
"""

from __future__ import annotations

__all__ = ["Epoch", "Fit", "fit", "predict_standardised"]

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ram.data.batches import Batch, Batches
from ram.models.regressor import Regressor
from ram.models.symmetry import Symmetry, augment
from ram.randomness import generator
from ram.runs.config import TrainingConfig
from ram.training.checkpoints import Checkpoints
from ram.training.course import Course, Epoch
from ram.training.engine import Engine, State

_NAMED = 8


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
        Called after each epoch, before the state is kept; saves the net when the epoch is the best so far.
    on_step
        Called with the number of samples after each step.
    checkpoints
        Where the state is read from at the beginning and kept on the way; None: nowhere.
    """

    config: TrainingConfig
    seed: int
    group: Sequence[Symmetry]
    rows: np.ndarray
    on_epoch: Callable[[Epoch], None]
    on_step: Callable[[int], None]
    checkpoints: Checkpoints | None = None


def fit(regressor: Regressor, train: Batches, validation: Batches, *, fit: Fit) -> None:
    """Train `regressor` in place, from where the checkpoints stand.

    Raises
    ------
    TrainingError
        Where a loss or gradient is not finite; names the samples of the batch.
    Stopped
        Where a signal has asked for it; the state is kept.
    """
    config = fit.config
    engine = Engine.start(regressor, config, steps_per_epoch=math.ceil(len(train) / config.batch_size))
    course = _begin(engine, fit)
    while not course.over(config):
        pause = partial(_pause, engine, course, fit)
        _train_epoch(engine, train, fit, course)
        errors, criterion = _validate(regressor, validation, pause)
        done = course.close(
            learning_rate=engine.learning_rate, samples=len(train), validation=errors, criterion=criterion
        )
        fit.on_epoch(done)
        if fit.checkpoints:
            fit.checkpoints.write(_state(engine, course))
        pause()


def _begin(engine: Engine, fit: Fit) -> Course:
    """Return where the training stands, the engine brought there."""
    kept = fit.checkpoints.read() if fit.checkpoints else None
    device = engine.fabric.device
    if kept is None:
        return Course(loss_sum=torch.zeros((), dtype=torch.float64, device=device))
    engine.restore(kept)
    return Course.of(kept.content, kept.tensors["loss_sum"].to(device))


def _state(engine: Engine, course: Course) -> State:
    """Return all that the rest of the training depends on."""
    state = engine.state()
    return State({**state.tensors, "loss_sum": course.loss_sum}, {**state.content, **course.as_content()})


def _pause(engine: Engine, course: Course, fit: Fit) -> None:
    """Between two steps: keep the state where it is time, leave where that was asked for."""
    if fit.checkpoints:
        fit.checkpoints.pause(partial(_state, engine, course))


def _train_epoch(engine: Engine, train: Batches, fit: Fit, course: Course) -> None:
    """One pass over the training part, or what is left of it."""
    net, config = engine.net, fit.config
    _train_mode(net, frozen_norms=course.epoch > config.epochs * (1 - config.frozen_norms))
    order = train.order(seed=fit.seed, epoch=course.epoch)
    choice = _augmentation(fit, course.epoch)
    for batch in train.iterate(order[course.step * config.batch_size :], batch_size=config.batch_size):
        x = augment(batch.x, fit.group, choice[batch.positions]) if fit.group else batch.x
        x, targets, parameters = engine.fabric.to_device((x, batch.targets, batch.parameters))
        predicted = net.standardised_prediction(x, parameters)
        weights = None if batch.weights is None else engine.fabric.to_device(batch.weights)
        loss = _loss(predicted, net.standardised_targets(targets), kind=config.loss, weights=weights)
        where = partial(_where, batch, train, course.epoch, course.step + 1)
        engine.step(loss, clip=config.gradient_clip, where=where)
        course.count(loss, len(batch.positions))
        fit.on_step(len(batch.positions))
        _pause(engine, course, fit)
    engine.finite.settle()


def _where(batch: Batch, train: Batches, epoch: int, step: int) -> str:
    """Say which step it is, for an error."""
    ids = ", ".join(str(i) for i in train.data.ids[batch.positions[:_NAMED]])
    more = f" and {len(batch.positions) - _NAMED} more" if len(batch.positions) > _NAMED else ""
    return f"training, epoch {epoch}, batch {step}, samples {ids}{more}"


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


def _validate(regressor: Regressor, validation: Batches, pause: Callable[[], None]) -> tuple[dict[str, float], float]:
    """Mean absolute error of each target in its unit, and the criterion; `pause` is called after each batch."""
    with regressor.single_view():
        standardised = predict_standardised(regressor, validation, pause=pause)
    wanted = regressor.standardised_targets(validation.targets.to(standardised.device)).cpu()
    difference = regressor.destandardise(standardised).cpu() - validation.targets
    errors = difference.abs().nanmean(dim=0)
    criterion = (standardised.cpu().double() - wanted).square().nanmean().sqrt()
    return {name: float(e) for name, e in zip(regressor.target_names, errors, strict=True)}, float(criterion)


def predict_standardised(
    regressor: Regressor, batches: Batches, *, batch_size: int = 256, pause: Callable[[], None] = lambda: None
) -> Tensor:
    """Return the standardised predictions for all samples, shape (sample, output), in evaluation mode."""
    regressor.eval()
    device = regressor.target_mean.device
    predicted = []
    for batch in batches.iterate(np.arange(len(batches)), batch_size=batch_size):
        with torch.no_grad():
            predicted.append(regressor.standardised_prediction(batch.x.to(device), batch.parameters.to(device)))
        pause()
    return torch.cat(predicted)
