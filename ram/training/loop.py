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

from ram.data.batches import Batches
from ram.models.regressor import Regressor
from ram.models.symmetry import Symmetry, augment
from ram.randomness import generator
from ram.runs.config import TrainingConfig
from ram.training.checkpoints import Checkpoints
from ram.training.course import Course, Epoch
from ram.training.engine import Engine, State
from ram.training.supervision import Supervision
from ram.training.team import Team, shares
from ram.training.variation import Variation

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
    team
        The processes that train together; None: this one by itself.
    supervision
        What is known of the maps of the training samples; None: nothing is asked of them.
    """

    config: TrainingConfig
    seed: int
    group: Sequence[Symmetry]
    rows: np.ndarray
    on_epoch: Callable[[Epoch], None]
    on_step: Callable[[int], None]
    checkpoints: Checkpoints | None = None
    team: Team | None = None
    supervision: Supervision | None = None


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
    steps = math.ceil(len(train) / config.batch_size)
    engine = Engine.start(regressor, config, steps_per_epoch=steps, team=fit.team)
    course = _begin(engine, fit)
    while not course.over(config):
        pause = partial(_pause, engine, course, fit)
        _train_epoch(engine, train, fit, course)
        engine.team.share_buffers(regressor)
        # Processes that have batches of different numbers cannot agree after each of them.
        errors, criterion = _validate(regressor, validation, pause if engine.team.count == 1 else None, engine.team)
        done = course.close(
            learning_rate=engine.learning_rate, samples=len(train), validation=errors, criterion=criterion
        )
        if engine.team.first:
            fit.on_epoch(done)
        if fit.checkpoints and engine.team.first:
            fit.checkpoints.write(_state(engine, course))
        pause()


def _begin(engine: Engine, fit: Fit) -> Course:
    """Return where the training stands, the engine brought there."""
    kept = fit.checkpoints.read() if fit.checkpoints else None
    said = "none" if kept is None else f"epoch {kept.content['epoch']}, step {kept.content['step']}"
    engine.team.same(said, what="the state that is kept in the run's folder")
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
    order = train.order(seed=fit.seed, epoch=course.epoch)[course.step * config.batch_size :]
    mine, batches = shares(order, batch_size=config.batch_size, team=engine.team)
    choice = _augmentation(fit, course.epoch)
    variation = Variation.of(config.variation, seed=fit.seed, input_scale=engine.regressor.input_scale)
    measured, complete = _measured(engine, train)
    predict, standardise = net.standardised_prediction, net.standardised_targets
    weight = engine.regressor.head.weight
    supervision = fit.supervision and fit.supervision.to(weight.device, weight.dtype)
    share = len(engine.team.share(order[: config.batch_size]))
    for whole, batch in zip(batches, train.iterate(mine, batch_size=max(1, share)), strict=True):
        lengths = batch.lengths
        x = augment(batch.x, fit.group, choice[batch.positions], lengths=lengths) if fit.group else batch.x
        if variation:
            x = variation.apply(x, rows=fit.rows[batch.positions], epoch=course.epoch, lengths=lengths)
        x, targets, parameters = engine.fabric.to_device((x, batch.targets, batch.parameters))
        weights, lengths = (None if one is None else engine.fabric.to_device(one) for one in (batch.weights, lengths))
        if supervision:
            own = {"positions": batch.positions, "choice": choice[batch.positions]}
            predicted, beside = supervision.answer(net, x, parameters, **own, whole=whole, epoch=course.epoch)
        else:
            predicted, beside = predict(x, parameters, lengths), None
        wanted = standardise(targets)
        known = None if measured is None else int(measured[whole].sum())
        loss = _loss(predicted, wanted, kind=config.loss, weights=weights, known=known, complete=complete)
        loss = loss if beside is None else loss + beside
        if not engine.team.share(whole).size:
            loss = 0.0 * loss
        where = partial(_where, whole, train, course.epoch, course.step + 1)
        course.count(engine.step(loss, clip=config.gradient_clip, where=where), len(whole))
        fit.on_step(len(whole))
        _pause(engine, course, fit)
    engine.finite.settle()


def _measured(engine: Engine, train: Batches) -> tuple[np.ndarray | None, bool]:
    """Return how many targets of each sample were measured, shape (sample,), and whether all were.

    None for the former where no process needs to know.
    """
    targets = engine.regressor.standardised_targets(train.targets.to(engine.fabric.device)).isfinite()
    complete = bool(targets.all())
    return None if engine.team.count == 1 else np.asarray(targets.sum(dim=1).cpu()), complete


def _where(batch: np.ndarray, train: Batches, epoch: int, step: int) -> str:
    """Say which step it is, for an error."""
    ids = ", ".join(str(i) for i in train.data.ids[batch[:_NAMED]])
    more = f" and {len(batch) - _NAMED} more" if len(batch) > _NAMED else ""
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
    known: int | None = None,
    complete: bool = False,
) -> Tensor:
    """Mean over the targets that were measured; weights have a mean of 1 over the training part.

    Of a share of a batch: its share of the mean over the `known` targets of the whole batch. Where all targets are
    `complete`, none is asked whether it is; the numbers are the same.
    """
    error = predicted - wanted.to(predicted.dtype)
    if complete:
        count: Tensor | int = error.numel()
    else:
        measured = wanted.isfinite()
        error, count = torch.where(measured, error, 0.0), measured.sum().clamp(min=1)
    if kind == "huber":
        # Beyond 0.3 standard deviations linear: early large errors do not drown the fine ones.
        values = torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=0.3)
    else:
        values = 0.5 * error**2
    if weights is not None:
        values = values * weights.to(values.dtype)[:, None]
    return values.sum() / (count if known is None else max(1, known))


def _validate(
    regressor: Regressor, validation: Batches, pause: Callable[[], None] | None, team: Team
) -> tuple[dict[str, float], float]:
    """Mean absolute error of each target in its unit, and the criterion; `pause` is called after each batch."""
    rows = team.share(np.arange(len(validation)))
    with regressor.single_view():
        mine = predict_standardised(regressor, validation, rows=rows, pause=pause or (lambda: None))
    standardised = team.joined(mine, of=len(validation))
    wanted = regressor.standardised_targets(validation.targets.to(standardised.device)).cpu()
    difference = regressor.destandardise(standardised).cpu() - validation.targets
    errors = difference.abs().nanmean(dim=0)
    criterion = (standardised.cpu().double() - wanted).square().nanmean().sqrt()
    return {name: float(e) for name, e in zip(regressor.target_names, errors, strict=True)}, float(criterion)


def predict_standardised(
    regressor: Regressor,
    batches: Batches,
    *,
    rows: np.ndarray | None = None,
    batch_size: int = 256,
    pause: Callable[[], None] = lambda: None,
) -> Tensor:
    """Return the standardised predictions for all samples, or some rows, shape (sample, output), in evaluation mode."""
    regressor.eval()
    device = regressor.target_mean.device
    predicted = []
    order = np.arange(len(batches)) if rows is None else rows
    for batch in batches.iterate(order, batch_size=batch_size):
        with torch.no_grad():
            lengths = None if batch.lengths is None else batch.lengths.to(device)
            x, parameters = batch.x.to(device), batch.parameters.to(device)
            predicted.append(regressor.standardised_prediction(x, parameters, lengths))
        pause()
    if not predicted:
        return regressor.head.weight.new_zeros((0, len(regressor.target_names)))
    return torch.cat(predicted)
