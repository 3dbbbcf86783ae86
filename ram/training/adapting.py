"""Make a net with global average pooling and a linear unit of a trained net that has something else there."""

from __future__ import annotations

__all__ = ["adapt", "adapt_run"]

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ram.data.batches import Batches
from ram.data.dataset import Dataset, open_dataset
from ram.errors import ConfigError, explained
from ram.maps.activation import evaluating, parts_of
from ram.maps.inputs import first_weight
from ram.models.adaptation import Adaptation
from ram.models.cutting import cut
from ram.models.regressor import Regressor, TargetScaling
from ram.runs.config import GIVEN, DataConfig, Experiment, ModelConfig, load_experiment
from ram.runs.parts import CHOOSING
from ram.runs.predictions import Predictions
from ram.runs.run import Run
from ram.training.answering import answers, linear_unit_of, processor_seconds
from ram.training.least_squares import fit_linear
from ram.training.prepare import batches_of, checked, scaling_of
from ram.training.results import PARTS, metrics
from ram.training.train import train

Array = NDArray[np.float64]
Numbers = float | Sequence[float]
_WHERE = "ram.adapt"


def adapt(
    net: nn.Module,
    *,
    data: Dataset | str | Path,
    targets: str | Sequence[str],
    split: str = "default",
    units: dict[str, str] | None = None,
    log_targets: Sequence[str] = (),
    input_mean: Numbers = 0.0,
    input_scale: Numbers = 1.0,
    target_mean: Numbers = 0.0,
    target_scale: Numbers = 1.0,
    ridge: float | None = None,
) -> Regressor:
    """Return a net with global average pooling and a linear unit that keeps the trained convolutions of `net`.

    The net is followed, cut where its last feature maps are, and copied up to there; what lies behind (flatten, dense
    layers) gives way to an average and a linear unit, which starts with the least squares of the targets on the pooled
    features of the training part. A net that has both already keeps them. `net` itself is left as it was.

    ``ram.train(config, net=...)`` goes on from there and keeps what GAP cost: the errors before and after.

    Parameters
    ----------
    net
        Any module of torch's layers and functions that maps (batch, channel, *space) to one column a target, or a
        `Regressor` with a dense head, which brings its own scaling. A frozen weight stays frozen.
    data
        A data set, or the path of its file.
    targets
        What the outputs are, in their order; for a net that answers with a dictionary its keys.
    split
        Which of the data's splits.
    units
        Unit of a target where the net answers in another one than the file's.
    log_targets
        Targets whose natural logarithm the net regresses.
    input_mean, input_scale
        The net was trained on (x - mean) / scale; one number for all channels or one each.
    target_mean, target_scale
        What the outputs mean, one for all or one each: target = mean + scale * output.
    ridge
        Of the least squares; None: the one whose fit is best on the validation part.

    Returns
    -------
    Regressor
        In evaluation mode; its ``adaptation`` says what the old net and this one are worth on each part.

    Raises
    ------
    ConfigError, DataError
        Where data, targets and options do not fit each other.
    ModelError
        Where the net cannot be cut: names the layer, and what to do.
    """
    names = [targets] if isinstance(targets, str) else list(targets)
    whole = data if isinstance(data, Dataset) else open_dataset(data)
    source = _Source.of(
        net, names, whole, log=tuple(log_targets), input_mean=input_mean, input_scale=input_scale,
        target_mean=target_mean, target_scale=target_scale,
    )  # fmt: skip
    experiment = Experiment(
        name="adapt",
        data=DataConfig(
            file=str(whole.path), targets=tuple(names), units={**source.units, **(units or {})}, split=split,
            log_targets=source.log, parameters=source.parameters,
        ),
        model=ModelConfig(backbone=GIVEN),
    )  # fmt: skip
    return _adapted(source, experiment, whole, ridge=ridge)


def _adapted(source: _Source, experiment: Experiment, data: Dataset, *, ridge: float | None = None) -> Regressor:
    checked(data, experiment)
    with evaluating(source.net):
        return _Adapting(source, experiment, data).done(ridge)


@dataclass(frozen=True)
class _Source:
    """The net to adapt, and what its inputs and outputs mean."""

    net: nn.Module
    names: tuple[str, ...]
    log: tuple[str, ...]
    input_mean: tuple[float, ...]
    input_scale: tuple[float, ...]
    target_mean: tuple[float, ...]
    target_scale: tuple[float, ...]

    @classmethod
    def of(
        cls, net: nn.Module, names: Sequence[str], data: Dataset, *, log: tuple[str, ...] = (),
        input_mean: Numbers = 0.0, input_scale: Numbers = 1.0, target_mean: Numbers = 0.0, target_scale: Numbers = 1.0,
    ) -> _Source:  # fmt: skip
        net = getattr(net, "_orig_mod", net)  # what torch.compile wraps
        net = net.module if isinstance(net, nn.DataParallel) else net
        channels, count = len(data.channels), len(names)
        if isinstance(net, Regressor):
            _require_regressor(net, names)
            log = tuple(name for name, is_log in zip(net.target_names, net.target_log, strict=True) if is_log)
        return cls(
            net, tuple(names), log,
            _numbers("input_mean", input_mean, channels), _numbers("input_scale", input_scale, channels),
            _numbers("target_mean", target_mean, count), _numbers("target_scale", target_scale, count),
        )  # fmt: skip

    @property
    def units(self) -> dict[str, str]:
        """The units that a regressor answers in; those of the file else."""
        net = self.net
        return dict(zip(net.target_names, net.target_units, strict=True)) if isinstance(net, Regressor) else {}

    @property
    def parameters(self) -> tuple[str, ...]:
        """The design parameters that a regressor is given beside its input."""
        return self.net.parameter_names if isinstance(self.net, Regressor) else ()

    def scaling(self, units: dict[str, str]) -> tuple[TargetScaling, ...]:
        """Return what the outputs of the net mean."""
        rows = zip(self.names, self.target_mean, self.target_scale, strict=True)
        return tuple(TargetScaling(name, units[name], mean, scale, name in self.log) for name, mean, scale in rows)


class _Adapting:
    """One adaptation on its way."""

    def __init__(self, source: _Source, experiment: Experiment, data: Dataset) -> None:
        self.source, self.experiment = source, experiment
        self.parts, self.units = batches_of(data, experiment, (*PARTS, CHOOSING))

    def done(self, ridge: float | None) -> Regressor:
        """Return the adapted net, with what is known of its making."""
        regressor, layer, kept = self._cut()
        regressor.to(first_weight(parts_of(self.source.net)).device).eval()
        ridge = None if kept else self._start(regressor, ridge)
        before = self._figures(self.source.net, regressor)
        seconds = processor_seconds(self.source.net, regressor, self.parts["train"])
        regressor.adaptation = Adaptation(
            type(self.source.net).__name__, layer, kept, ridge, before, self._figures(regressor, regressor),
            {"before": _count(self.source.net), "after": _count(regressor)}, seconds,
        )  # fmt: skip
        return regressor

    def _cut(self) -> tuple[Regressor, str, bool]:
        """Return the new net, where the old one was cut, and whether the linear unit was kept."""
        net = self.source.net
        if isinstance(net, Regressor):
            return self._without_dense(net), "backbone", net.dense is None
        x = self._two_inputs()
        found = cut(net, x)
        unit = linear_unit_of(net, x, found, outputs=len(self.source.names))
        scaling = self.source.scaling(self.units) if unit is not None else self._own_scaling()
        with torch.random.fork_rng(devices=[]):  # first weights are drawn, and not used
            regressor = Regressor(
                found.trunk, targets=scaling, input_mean=self.source.input_mean, input_scale=self.source.input_scale
            )
        kind = found.features.dtype
        regressor.to(kind if kind in {torch.float32, torch.float64} else torch.float32)
        if unit is not None:
            _set(regressor, *unit)
        return regressor, found.layer, unit is not None

    def _two_inputs(self) -> torch.Tensor:
        """Return two samples of the training part as the net was trained on them."""
        like, train = first_weight(parts_of(self.source.net)), self.parts["train"]
        x = train.take(np.arange(min(2, len(train)))).x.to(like.device, like.dtype)
        columns = (torch.tensor(one, device=like.device) for one in (self.source.input_mean, self.source.input_scale))
        mean, scale = (column.to(like.dtype).view(-1, *(1,) * (x.ndim - 2)) for column in columns)
        return (x - mean) / scale

    def _own_scaling(self) -> tuple[TargetScaling, ...]:
        return scaling_of(self.parts["train"], self.units, log=self.source.log)

    def _without_dense(self, net: Regressor) -> Regressor:
        """Return a copy whose features are averaged; of a net that does so already, the net."""
        whole = copy.deepcopy(net)
        if net.dense is None:
            return whole
        with torch.random.fork_rng(devices=[]):
            regressor = Regressor(
                whole.backbone,
                targets=self._own_scaling(),
                input_mean=net.input_mean.tolist(),
                input_scale=net.input_scale.tolist(),
                parameters=dict(zip(net.parameter_names, net.parameter_units, strict=True)),
                parameter_mean=net.parameter_mean.tolist(),
                parameter_scale=net.parameter_scale.tolist(),
                coordinates=net.coordinates.clone() if net.coordinates.numel() else None,
                symmetries=net.symmetries,
                front=whole.front,
            )
        return regressor.to(net.head.weight.dtype)

    def _start(self, regressor: Regressor, ridge: float | None) -> float:
        """Set the linear unit by least squares on the training part; returns the ridge."""
        train, other = self.parts["train"], self.parts[CHOOSING]
        judged = None if ridge is not None else (_pooled(regressor, other), _wanted(regressor, other))
        weights = None if train.weights is None else train.weights.numpy()
        fit = fit_linear(
            _pooled(regressor, train), _wanted(regressor, train), weights=weights, ridge=ridge, judged=judged
        )
        _set(regressor, torch.from_numpy(fit.weight), torch.from_numpy(fit.bias))
        return fit.ridge

    def _figures(self, net: nn.Module, regressor: Regressor) -> dict[str, Any]:
        """Return what the predictions of a net are worth, by part and target; inputs are scaled by `regressor`."""
        scaling = self.source.scaling(self.units)
        tables = [
            Predictions(
                ids=self.parts[part].data.ids,
                part_of=np.full(len(self.parts[part]), part),
                target_names=self.source.names,
                units=tuple(self.units.values()),
                values=answers(net, regressor, self.parts[part], scaling),
                measured=self.parts[part].targets.numpy(),
            )
            for part in PARTS
        ]
        return metrics(Predictions.joined(tables))


def adapt_run(
    run: Run,
    *,
    data: str | Path | None = None,
    output: str | Path | None = None,
    overrides: Sequence[str] = (),
    progress: bool | None = None,
) -> Run:
    """Adapt the net of a run, train it on, and return the new run.

    Parameters
    ----------
    data, output, overrides, progress
        As for `ram.train`. Without overrides the net is trained as it was before: convolutions that learned in front
        of dense layers have to learn anew what an average can tell (docs/gap_cost.md has figures).

    Raises
    ------
    ConfigError
        Where the run's net has global average pooling already; else as `ram.train`.
    """
    if run.regressor.dense is None:
        step = "Explain it as it is, or train it on: ram train --init-from"
        got = "one with global average pooling"
        raise ConfigError(
            explained(where=str(run.path), what="the net", allowed="one with a dense head", got=got, next_step=step)
        )
    config = run.config
    experiment = config.model_copy(
        update={
            "name": f"{config.name}-adapted",
            "model": config.model.model_copy(update={"head": "gap"}),
        }
    )
    experiment = load_experiment(experiment, overrides=overrides)
    whole = run.data() if data is None else run.open(data)
    net = _adapted(_Source.of(run.regressor, list(run.units), whole), experiment, whole)
    return train(experiment, data=whole, output=output, progress=progress, net=net)


def _pooled(regressor: Regressor, batches: Batches) -> Array:
    """Return what the linear unit is given, shape (sample, feature), in evaluation mode."""
    rows, device = [], regressor.head.weight.device
    with torch.no_grad():
        for batch in batches.stream():
            maps = regressor.feature_maps(batch.x.to(device))
            rows.append(regressor.pooled(maps, batch.parameters.to(device)).double().cpu().numpy())
    return np.concatenate(rows)


def _wanted(regressor: Regressor, batches: Batches) -> Array:
    return np.asarray(regressor.standardised_targets(batches.targets.to(regressor.target_mean.device)).cpu().numpy())


def _set(regressor: Regressor, weight: torch.Tensor, bias: torch.Tensor) -> None:
    with torch.no_grad():
        regressor.head.weight.copy_(weight)
        regressor.head.bias.copy_(bias)


def _count(net: nn.Module) -> int:
    return sum(weight.numel() for weight in net.parameters())


def _numbers(name: str, given: Numbers, count: int) -> tuple[float, ...]:
    """Return one number for each channel or target; one number serves all."""
    values = (float(given),) * count if isinstance(given, (int, float)) else tuple(map(float, given))
    if len(values) != count or (name.endswith("scale") and not all(values)):
        allowed = f"{count} number{'s' if count > 1 else ''}{', none of them zero' if name.endswith('scale') else ''}"
        raise ConfigError(explained(where=_WHERE, what=name, allowed=allowed, got=str(list(values))))
    return values


def _require_regressor(net: Regressor, names: Sequence[str]) -> None:
    if tuple(names) != net.target_names:
        allowed = f"those of the regressor: {', '.join(net.target_names)}"
        raise ConfigError(explained(where=_WHERE, what="targets", allowed=allowed, got=", ".join(names)))
