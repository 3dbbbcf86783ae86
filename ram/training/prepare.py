"""From an experiment and a data set to a net and the batches that it learns from; nothing is written here."""

from __future__ import annotations

__all__ = ["Prepared", "batches_of", "checked", "prepare", "scaling_of"]

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ram.data.batches import Batches
from ram.data.checks import Finding, check_for_training
from ram.data.dataset import Dataset
from ram.data.lines import line_in
from ram.data.loading import Loading, choose_loading
from ram.data.sizes import byte_size
from ram.errors import ConfigError, DataError, explained, nearest
from ram.models.regressor import Regressor, TargetScaling
from ram.models.spectrogram import Spectrogram
from ram.models.symmetry import Symmetry, symmetry_group
from ram.runs.config import Experiment
from ram.runs.measured import measured_targets, target_units
from ram.runs.net import NetSpec, leaves_padding_out
from ram.runs.opening import open_data, parted
from ram.runs.parts import CHOOSING, part_of
from ram.training.starting import describing, recipe_of, take_over
from ram.training.supervision import Supervision


@dataclass(frozen=True)
class Prepared:
    """All that training needs.

    Attributes
    ----------
    data
        The whole data set; `train` are batches of what the net learns from, `validation` of what chooses its best
        epoch, without the samples that calibrate.
    group
        Symmetries to augment with; empty for none.
    supervision
        What is known of the maps of the training samples; None where nothing is asked of them.
    findings
        What a person should look at in the data; no errors, these have been refused.
    """

    experiment: Experiment
    data: Dataset
    train: Batches
    validation: Batches
    regressor: Regressor
    spec: NetSpec
    group: tuple[Symmetry, ...]
    supervision: Supervision | None
    findings: tuple[Finding, ...]


def prepare(
    experiment: Experiment,
    *,
    data: str | Path | Dataset | None = None,
    net: Regressor | None = None,
    processes: int = 1,
) -> Prepared:
    """Return the net and its batches, checked.

    Parameters
    ----------
    net
        What to start from in place of drawn weights; it is copied. Its backbone is the config's, or its own where it
        was cut from a net of somebody else's.
    processes
        How many on this machine share the budget of memory.

    Raises
    ------
    ConfigError, DataError, ModelError
        Where config, data and net do not fit each other.
    """
    section = experiment.data
    whole = parted(data, section) if isinstance(data, Dataset) else open_data(section, data)
    experiment = experiment if net is None else describing(net, experiment)
    findings = checked(whole, experiment)
    batches, units = batches_of(whole, experiment, ("train", CHOOSING), processes=processes)
    train = batches["train"]
    spec = NetSpec(
        model=experiment.model,
        channels=whole.channels,
        axes=whole.axes,
        symmetries=whole.symmetries,
        targets=scaling_of(train, units, log=section.log_targets),
        parameters={name: whole.parameters[name] for name in section.parameters},
        trunk=None if net is None else recipe_of(net),
        padded=train.lengths is not None,
    )
    regressor = _build(spec, train, experiment)
    if net is not None:
        take_over(regressor, net)
    space = [axis.size for axis in whole.axes]
    group = symmetry_group(whole.symmetries, space=space) if experiment.training.augment else ()
    group = group if len(group) > 1 else ()
    _require_upright(group, spec, whole)
    supervision = Supervision.of(
        experiment.training.map_supervision, regressor=regressor, train=train.data, group=group, seed=experiment.seed
    )
    return Prepared(experiment, whole, train, batches[CHOOSING], regressor, spec, group, supervision, findings)


def _require_upright(group: Sequence[Symmetry], spec: NetSpec, whole: Dataset) -> None:
    """Refuse quarter turns of padded samples: padding lies along the last axis alone."""
    average = spec.model.symmetry_average and "rotate90" in whole.symmetries
    if not spec.padded or not (average or any(element.quarter_turns for element in group)):
        return
    allowed = "without rotate90 where samples differ in length, or left alone: training.augment = false"
    step = "Set training.augment and model.symmetry_average to false, or make inputs of one size"
    raise ConfigError(
        explained(where=str(whole.path), what="the symmetries", allowed=allowed, got=" ".join(whole.symmetries),
                  next_step=step)
    )  # fmt: skip


def checked(whole: Dataset, experiment: Experiment) -> tuple[Finding, ...]:
    """Return what a person should look at in the data; what nobody could train on is refused."""
    section = experiment.data
    _check_names(experiment)
    _require_own_targets(experiment)
    for text in experiment.explain.lines:
        line_in(text).check(whole)
    return check_for_training(whole, section.targets, section.parameters, split=section.split)


def batches_of(
    whole: Dataset, experiment: Experiment, names: Sequence[str], *, processes: int = 1
) -> tuple[dict[str, Batches], dict[str, str]]:
    """Return parts of the data as batches, by name, and the unit of each target."""
    section = experiment.data
    units = target_units(whole, section.targets, wanted=section.units)
    parts = {name: part_of(whole, experiment, name) for name in names}
    loading = choose_loading(
        list(parts.values()), loading=section.loading, budget_bytes=byte_size(section.memory_budget) // processes
    )
    padded = leaves_padding_out(whole, experiment.model)
    return {name: _batches(part, experiment, units, loading, padded=padded) for name, part in parts.items()}, units


def _require_own_targets(experiment: Experiment) -> None:
    """Refuse true maps beside targets that are others': they would teach what the targets must not."""
    asked = experiment.training.map_supervision
    if experiment.data.permute_targets is None or asked is None or not asked.weight:
        return
    raise ConfigError(
        explained(
            where="data.permute_targets", what="the experiment", allowed="without maps known from physics",
            got=f"training.map_supervision.weight = {asked.weight:g}",
            next_step="Set the weight to 0: --set training.map_supervision.weight=0",
        )
    )  # fmt: skip


def _check_names(experiment: Experiment) -> None:
    """Refuse a word on a target that is not regressed."""
    section = experiment.data
    for key, names in (("data.log_targets", section.log_targets), ("data.units", section.units)):
        for name in names:
            if name not in section.targets:
                allowed = f"one of data.targets: {', '.join(section.targets)}"
                near = nearest(name, section.targets)
                raise ConfigError(explained(where=key, what="a name", allowed=allowed, got=name, next_step=near))


def _batches(
    part: Dataset, experiment: Experiment, units: dict[str, str], loading: Loading, *, padded: bool
) -> Batches:
    return Batches(
        part,
        targets=measured_targets(part, units),
        parameters=experiment.data.parameters,
        loading=loading,
        channels_last=experiment.training.channels_last,
        pinned=experiment.training.device in ("cuda", "auto") and torch.cuda.is_available(),
        padded=padded,
    )


def scaling_of(train: Batches, units: dict[str, str], *, log: tuple[str, ...]) -> tuple[TargetScaling, ...]:
    """Mean and scale of each target over the training part; a sample of weight 2 counts as two of them."""
    rows = []
    for (name, unit), values in zip(units.items(), train.targets.numpy().T, strict=True):
        where = f"{train.data.path}:/targets/{name}"
        if name in log and np.nanmin(values) <= 0:
            raise DataError(
                explained(
                    where=where,
                    what="a target in data.log_targets",
                    allowed="positive",
                    got=f"{np.nanmin(values):g} {unit}",
                    next_step="Take it out of data.log_targets",
                )
            )
        known = np.log(values) if name in log else values
        mean, scale = _moments(known, train.weights)
        if not scale > 0:
            raise _without_spread(where, mean, unit)
        rows.append(TargetScaling(name, unit, mean, scale, name in log))
    return tuple(rows)


def _moments(values: np.ndarray, weights: Tensor | None) -> tuple[float, float]:
    """Mean and standard deviation of the values that were measured; NaN where none of them has a weight."""
    if weights is None:
        return float(np.nanmean(values)), float(np.nanstd(values))
    counts = (weights.numpy() > 0) & ~np.isnan(values)
    if not counts.any():
        return float("nan"), float("nan")
    mean = np.average(values[counts], weights=weights.numpy()[counts])
    return float(mean), float(np.sqrt(np.average((values[counts] - mean) ** 2, weights=weights.numpy()[counts])))


def _without_spread(where: str, mean: float, unit: str) -> DataError:
    got = "none measured" if np.isnan(mean) else f"{mean:g} {unit} in all"
    step = "Give weights above 0 to more samples, or take the target out"
    allowed = "of different values among the training samples with a weight above 0"
    return DataError(explained(where=where, what="the target", allowed=allowed, got=got, next_step=step))


def _build(spec: NetSpec, train: Batches, experiment: Experiment) -> Regressor:
    mean, scale = _channel_statistics(train)
    parameter_mean, parameter_scale = _parameter_statistics(train)
    regressor = spec.build(
        seed=experiment.seed,
        input_mean=mean.tolist(),
        input_scale=scale.tolist(),
        parameter_mean=parameter_mean.tolist(),
        parameter_scale=parameter_scale.tolist(),
    )
    if regressor.ndim > 1:
        regressor.to(memory_format=train.memory_format)  # type: ignore[call-overload]  # the stub lacks it
    if regressor.front is not None:
        _level(regressor, regressor.front, train)
        if experiment.training.channels_last:
            regressor.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return regressor


def _level(regressor: Regressor, front: Spectrogram, train: Batches) -> None:
    """Standardise what the front gives: mean and standard deviation of each channel's levels over the training part."""
    mean, scale = _channel_statistics(train, regressor.levels, hop=front.hop)
    front.mean.copy_(torch.from_numpy(mean))
    front.deviation.copy_(torch.from_numpy(scale))


def _parameter_statistics(train: Batches) -> tuple[np.ndarray, np.ndarray]:
    values = train.parameters.numpy()
    if train.weights is None:
        return values.mean(axis=0), _nonzero(values.std(axis=0))
    shares = (train.weights / train.weights.sum()).numpy()
    mean = shares @ values
    return mean, _nonzero(np.sqrt(shares @ (values - mean) ** 2))


@torch.no_grad()
def _channel_statistics(
    train: Batches, of: Callable[[Tensor, Tensor | None], Tensor] | None = None, *, hop: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel over samples and measured cells, in float64, one pass.

    Of what `of` makes of inputs and lengths, where it is given: its last axis has a cell for each `hop` of the inputs'.
    """
    # Sums are taken around one value of the data: around zero they would lose digits where the mean is large.
    seen = of or (lambda inputs, _lengths: inputs)
    first = train.take(np.arange(1))
    shift = _by_channel(seen(first.x, first.lengths))[:, :1]
    count, total, squares = 0.0, torch.zeros_like(shift[:, 0]), torch.zeros_like(shift[:, 0])
    lengths = torch.from_numpy(-(-train.data.lengths // hop))
    padded = bool((torch.from_numpy(train.data.lengths) < train.data.axes[-1].size).any())
    for batch in train.stream():
        values = seen(batch.x, batch.lengths)
        x = _by_channel(values) - shift
        counts = None if batch.weights is None else _of_cells(batch.weights, values)
        if padded:
            inside = _measured(values, lengths[batch.positions])
            x, counts = x[:, inside], None if counts is None else counts[inside]
        if counts is not None:
            x, counts = x[:, counts > 0], counts[counts > 0]  # what has no weight may hold anything
        count += x.shape[1] if counts is None else float(counts.sum())
        total = total + (x.sum(1) if counts is None else x @ counts)
        squares = squares + (x.square().sum(1) if counts is None else x.square() @ counts)
    scale = (squares / count - (total / count) ** 2).clamp(min=0).sqrt()
    return (total / count + shift[:, 0]).numpy(), _nonzero(scale.numpy())


def _of_cells(weights: Tensor, x: Tensor) -> Tensor:
    """Return the weight of each cell of a batch, shape (sample x space,)."""
    return weights.repeat_interleave(x[0, 0].numel())


def _by_channel(x: Tensor) -> Tensor:
    return x.double().transpose(0, 1).flatten(1)  # (channel, sample x space)


def _measured(x: Tensor, lengths: Tensor) -> Tensor:
    """Say of each cell of a batch whether it is no padding, shape (sample x space,)."""
    inside = torch.arange(x.shape[-1]) < lengths.view(-1, *[1] * (x.ndim - 2))  # (sample, ..., last axis)
    return inside.expand(x.shape[0], *x.shape[2:]).flatten()


def _nonzero(scale: np.ndarray) -> np.ndarray:
    """Leave the scale of what never changes at 1."""
    return np.where(scale > 0, scale, 1.0)
