"""What a net answers about a batch: contributions, baseline and prediction, before they get names and axes.

Two kinds of nets answer alike: our `Regressor`, whose parts are known, and any module, whose parts are found. Ask
within `ram.maps.activation.evaluating` and without gradients.
"""

from __future__ import annotations

__all__ = ["Answer", "AnyNet", "Explained", "RegressorNet", "Target"]

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from ram.errors import ModelError
from ram.maps.activation import contributions, parameter_contributions
from ram.maps.heads import Head, HeadCall, find_head, ran_another_way, run_head
from ram.maps.inputs import first_weight
from ram.models.geometry import CellGeometry, trace_cells
from ram.models.regressor import Regressor

Inputs = Float[Tensor, "batch channel *space"]
Sample = Callable[[], Inputs]


@dataclass(frozen=True)
class Target:
    """What an output stands for: ``mean + scale * output``, or its exponential where `log`."""

    name: str
    unit: str
    mean: float = 0.0
    scale: float = 1.0
    log: bool = False

    def in_unit(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return `values`, where contributions add up, in the target's unit."""
        return np.asarray(np.exp(values) if self.log else values)


@dataclass(frozen=True)
class Answer:
    """What each target is made of, float64, where contributions add up: for log targets in the logarithm.

    Attributes
    ----------
    contributions
        Shape (batch, target, *cells).
    parameters
        Shape (batch, target, parameter).
    baseline
        Shape (target,).
    prediction
        Shape (batch, target), as the net itself answers.
    """

    contributions: NDArray[np.float64]
    parameters: NDArray[np.float64]
    baseline: NDArray[np.float64]
    prediction: NDArray[np.float64]

    @classmethod
    def joined(cls, parts: Sequence[Answer]) -> Answer:
        """Return the answer to all batches in a row."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([part.contributions for part in parts]),
            np.concatenate([part.parameters for part in parts]),
            parts[0].baseline,
            np.concatenate([part.prediction for part in parts]),
        )


# Where the cells lie depends on the net and the input's size alone; a trace costs a pass, so it is made once.
_CELLS: WeakKeyDictionary[nn.Module, dict[tuple[object, ...], tuple[CellGeometry, ...]]] = WeakKeyDictionary()
_HEADS: WeakKeyDictionary[nn.Module, dict[tuple[object, ...], Head]] = WeakKeyDictionary()


class RegressorNet:
    """Some targets of a `Regressor`; `like` is a tensor of its dtype and on its device."""

    def __init__(self, regressor: Regressor, names: Sequence[str]) -> None:
        self.module = regressor
        self.like = regressor.head.weight
        self.parameter_names = regressor.parameter_names
        self._outputs = [regressor.target_names.index(name) for name in names]
        self._every = self._outputs == list(range(len(regressor.target_names)))
        self._mean, self._scale = self._chosen(regressor.target_mean), self._chosen(regressor.target_scale)
        words = zip(names, self._outputs, self._mean, self._scale, strict=True)
        units, log = regressor.target_units, regressor.target_log
        self.targets = tuple(Target(name, units[i], mean, scale, log[i]) for name, i, mean, scale in words)

    def answer(self, x: Inputs, parameters: Tensor | None) -> Answer:
        """Return contributions of cells and parameters, the baseline m + s b, and the net's own prediction."""
        net, mean, scale = self.module, self._mean, self._scale
        features = net.features(x)
        output = net.standardised(features, parameters)
        weight = net.head.weight if self._every else net.head.weight[self._outputs]
        width = features.shape[1]
        return Answer(
            contributions=contributions(features, weight[:, :width], scale=scale),
            parameters=self._parameter_rows(parameters, weight, batch=len(x)),
            baseline=mean + scale * self._chosen(net.head.bias),
            prediction=mean + scale * self._chosen(output.T).T,
        )

    def _chosen(self, rows: Tensor) -> NDArray[np.float64]:
        """Return the rows of the targets asked for."""
        return _numbers(rows if self._every else rows[self._outputs])

    def _parameter_rows(self, parameters: Tensor | None, weight: Tensor, *, batch: int) -> NDArray[np.float64]:
        if not self.parameter_names:
            return np.empty((batch, len(weight), 0))
        own = self.module.standardised_parameters(parameters, like=self.module.target_mean.new_empty(batch))
        return parameter_contributions(_numbers(own), _numbers(weight[:, -own.shape[1] :]), scale=self._scale)

    def mean_parameters(self) -> NDArray[np.float64]:
        """Return the design parameters' training mean, shape (1, parameter)."""
        return _numbers(self.module.parameter_mean)[None]

    def cells(self, sample: Sample, size: Sequence[int], shape: tuple[int, ...]) -> tuple[CellGeometry, ...]:
        """Return where the `shape` cells lie in an input of `size`, (channel, *space), such as `sample` makes."""
        known = _CELLS.setdefault(self.module, {})
        key = (tuple(size), shape, len(self.module.symmetries))
        if key not in known:
            known[key] = trace_cells(self.module.features, sample())
        return known[key]


class AnyNet:
    """One output of any module that ends in global average pooling and a linear unit."""

    parameter_names: tuple[str, ...] = ()

    def __init__(self, module: nn.Module, target: Target, *, output: int, layer: str | None) -> None:
        self.module = module
        self.like = first_weight(module)
        self.targets = (target,)
        self._output, self._layer = output, layer

    def answer(self, x: Inputs, parameters: Tensor | None) -> Answer:  # noqa: ARG002 - as for a Regressor
        """Return contributions, the baseline and the net's own prediction."""
        call, maps = self._run(x)
        mean, scale = self.targets[0].mean, self.targets[0].scale
        return Answer(
            contributions=scale * maps,
            parameters=np.empty((len(x), 1, 0)),
            baseline=mean + scale * _numbers(call.bias),
            prediction=mean + scale * _numbers(call.output)[:, None],
        )

    def cells(self, sample: Sample, size: Sequence[int], shape: tuple[int, ...]) -> tuple[CellGeometry, ...]:
        """Return where the `shape` cells lie in an input of `size`, (channel, *space), such as `sample` makes."""
        known = _CELLS.setdefault(self.module, {})
        key = (tuple(size), self._output, self._layer, shape)
        if key not in known:
            x = sample()
            head = self._head(x)
            known[key] = trace_cells(lambda one: run_head(self.module, one, head, output=self._output).features, x)
        return known[key]

    def mean_parameters(self) -> NDArray[np.float64]:
        """Return none: all that such a net is given lies in its input."""
        return np.empty((1, 0))

    def _key(self, x: Inputs) -> tuple[object, ...]:
        return (tuple(x.shape[1:]), self._output, self._layer)

    def _head(self, x: Inputs) -> Head:
        known, key = _HEADS.setdefault(self.module, {}), self._key(x)
        if key not in known:
            known[key] = find_head(self.module, x[:2].clone(), output=self._output, layer=self._layer)
        return known[key]

    def _run(self, x: Inputs) -> tuple[HeadCall, NDArray[np.float64]]:
        """Run the net and return its maps; where it was rebuilt since its head was found, find it anew."""
        known = self._key(x) in _HEADS.get(self.module, {})
        if known:
            try:
                return self._mapped(x.clone())
            except ModelError:
                for memory in (_HEADS, _CELLS):
                    memory.pop(self.module, None)
        return self._mapped(x)

    def _mapped(self, x: Inputs) -> tuple[HeadCall, NDArray[np.float64]]:
        """Hold law 1 against the net's own answer: a net that branches on its input would break it in silence."""
        head = self._head(x)
        call = run_head(self.module, x, head, output=self._output)
        maps = contributions(call.features, call.weight, scale=np.ones(1))
        flat, bias = maps.reshape(len(x), -1), _numbers(call.bias)
        size = np.abs(flat).sum(axis=1) + np.abs(bias)
        tolerance = 1e-3 if call.output.dtype in {torch.float32, torch.float64} else 5e-2
        if np.any(np.abs(flat.sum(axis=1) + bias - _numbers(call.output)) > tolerance * size):
            raise ModelError(ran_another_way(self.module))
        return call, maps


Explained = RegressorNet | AnyNet


def _numbers(tensor: Tensor) -> NDArray[np.float64]:
    return np.array(tensor.tolist(), dtype=np.float64)  # for a few numbers quicker than four conversions
