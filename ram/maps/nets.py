"""What a net answers about a batch: contributions, baseline and prediction, before they get names and axes.

Two kinds of nets answer alike: our `Regressor`, whose parts are known, and any module, whose parts are found. Ask
within `ram.maps.activation.evaluating` and without gradients.
"""

from __future__ import annotations

__all__ = ["Answer", "AnyNet", "Explained", "RegressorNet", "Target", "Viewed", "require_exact"]

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from ram.errors import ModelError, explained
from ram.maps.activation import contributions, parameter_contributions, parts_of, structure_of
from ram.maps.heads import Choice, Head, HeadCall, Pooled, features_at, find_head, output_of, ran_another_way, run_head
from ram.maps.inputs import first_weight
from ram.maps.layers import LayerPass, known_layer, last_layer, run_layer
from ram.models.finer import every, finer_features, strides_of
from ram.models.geometry import CellGeometry, trace_cells
from ram.models.regressor import Regressor
from ram.models.symmetry import Symmetry

Inputs = Float[Tensor, "batch channel *space"]
Cells = tuple[CellGeometry, ...]
Sample = Callable[[], Inputs]
Array = NDArray[np.float64]


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
        One array for each grid of cells, shape (batch, target, channel, *cells): several grids where several stages are
        pooled or several layers asked, several channels where each is asked for; the same in all grids.
    parameters
        Shape (batch, target, parameter).
    baseline, prediction
        Shape (batch, target); the prediction is what the net itself answers.
    finer
        As `contributions`, where a finer grid was asked for: ``s W A`` on it.
    grids
        What the grids are called, where there are several.
    averaged
        Over how many cells the features of each grid are averaged; 1 where they are summed.
    """

    contributions: tuple[NDArray[np.float64], ...]
    parameters: NDArray[np.float64]
    baseline: NDArray[np.float64]
    prediction: NDArray[np.float64]
    finer: tuple[NDArray[np.float64], ...] = ()
    grids: tuple[str, ...] = ()
    averaged: tuple[int, ...] = ()

    def as_sums(self) -> Answer:
        """Return ``s W A``, the sums of Zhou's class activation map, in the place of the shares of a mean.

        Source: Zhou et al. 2016, arXiv:1512.04150, equation 2.
        """
        pairs = zip(self.contributions, self.averaged, strict=True)
        return replace(self, contributions=tuple(one * cells for one, cells in pairs))

    @classmethod
    def joined(cls, parts: Sequence[Answer]) -> Answer:
        """Return the answer to all batches in a row."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            tuple(map(np.concatenate, zip(*(part.contributions for part in parts), strict=True))),
            np.concatenate([part.parameters for part in parts]),
            np.concatenate([part.baseline for part in parts]),
            np.concatenate([part.prediction for part in parts]),
            tuple(map(np.concatenate, zip(*(part.finer for part in parts), strict=True))),
            parts[0].grids,
            parts[0].averaged,
        )


@dataclass(frozen=True)
class Viewed:
    """A pass at a layer, and the symmetry under which the input was shown; maps are turned back by it."""

    view: Symmetry
    layer: LayerPass


@dataclass
class _Known:
    """What is remembered of a net, by the size of its input: it costs a pass to find and holds for one structure."""

    structure: tuple[object, ...]
    cells: dict[tuple[object, ...], tuple[Cells, ...]] = field(default_factory=dict)
    heads: dict[tuple[object, ...], Head] = field(default_factory=dict)
    strides: dict[tuple[object, ...], tuple[int, ...]] = field(default_factory=dict)
    last: dict[tuple[object, ...], str] = field(default_factory=dict)


_KNOWN: WeakKeyDictionary[nn.Module, _Known] = WeakKeyDictionary()


def _known_of(module: nn.Module, parts: Sequence[nn.Module]) -> _Known:
    """Return what is remembered of a net that is still built as it was."""
    structure, found = structure_of(parts), _KNOWN.get(module)
    if found is None or found.structure != structure:
        found = _KNOWN[module] = _Known(structure)
    return found


class RegressorNet:
    """Some targets of a `Regressor`; `like` is a tensor of its dtype and on its device, `reach` as it has it."""

    shares_inputs = True  # standardising them makes new ones

    def __init__(self, regressor: Regressor, names: Sequence[str]) -> None:
        self.module = regressor
        self.parts = parts_of(regressor)
        self.like, self.reach = regressor.head.weight, regressor.reach
        self._memory: _Known | None = None
        self.parameter_names = regressor.parameter_names
        self._outputs = [regressor.target_names.index(name) for name in names]
        self._every = self._outputs == list(range(len(regressor.target_names)))
        self._mean, self._scale = self._chosen(regressor.target_mean), self._chosen(regressor.target_scale)
        words = zip(names, self._outputs, self._mean, self._scale, strict=True)
        units, log = regressor.target_units, regressor.target_log
        self.targets = tuple(Target(name, units[i], mean, scale, log[i]) for name, i, mean, scale in words)

    def answer(self, x: Inputs, parameters: Tensor | None, *, times: int = 1, lengths: Tensor | None = None) -> Answer:
        """Return contributions of cells and parameters, the baseline m + s b, and the net's own prediction.

        `times` is how often finer than the net's own a second grid shall be, ``Answer.finer``; one pass gives both.
        `lengths` are those of padded signals, on the net's own grid.
        """
        net, mean, scale = self.module, self._mean, self._scale
        require_exact(net)
        maps, finer = (net.feature_maps(x, lengths=lengths), ()) if times == 1 else self._finer(x, times)
        output, weights = net.standardised(maps, parameters), self._weights()
        return Answer(
            contributions=tuple(self._by_channel(one, own) for one, own in zip(maps, weights, strict=True)),
            parameters=self._parameter_rows(parameters, self._weight, batch=len(x)),
            baseline=np.broadcast_to(mean + scale * self._chosen(net.head.bias), (len(x), len(mean))),
            prediction=mean + scale * self._chosen(output.T).T,
            finer=tuple(self._by_channel(one, own, worth=True) for one, own in zip(finer, weights, strict=times > 1)),
            grids=self._grids,
            averaged=tuple(one[0, 0].numel() for one in maps),
        )

    def closed(self, x: Inputs, parameters: Tensor | None) -> Answer | None:
        """Return the answer of methods that are exact RAM at the feature maps; None where there are several."""
        backbone = self.module.backbone
        plain = self.module.dense is None and len(backbone.head_stages) == 1 and backbone.channels_apart == 1
        return self.answer(x, parameters) if plain else None

    @property
    def _weight(self) -> Float[Tensor, "target feature"]:
        weight = self.module.head.weight
        return weight if self._every else weight[self._outputs]

    def _weights(self) -> Sequence[Float[Tensor, "target feature"]]:
        """Return the columns of the linear unit that belong to each stage that is pooled."""
        widths = self.module.backbone.head_features
        return torch.split(self._weight[:, : sum(widths)], widths, dim=1)

    @property
    def _grids(self) -> tuple[str, ...]:
        numbers = self.module.backbone.head_stages
        return tuple(f"stage {number}" for number in numbers) if len(numbers) > 1 else ()

    def _by_channel(self, features: Tensor, weight: Tensor, *, worth: bool = False) -> NDArray[np.float64]:
        """Return what each cell adds, shape (batch, target, channel, *cells); one channel where they are mixed.

        `worth`: what each cell would add if it were the only one.
        """
        scale = self._scale * (features[0, 0].numel() if worth else 1)
        apart = self.module.backbone.channels_apart
        pairs = zip(features.chunk(apart, dim=1), weight.chunk(apart, dim=1), strict=True)
        maps = [contributions(own, columns, scale=scale) for own, columns in pairs]
        return np.stack(maps, axis=2) if apart > 1 else maps[0][:, :, None]

    def _chosen(self, rows: Tensor) -> NDArray[np.float64]:
        """Return the rows of the targets asked for."""
        return _numbers(rows if self._every else rows[self._outputs])

    def _parameter_rows(self, parameters: Tensor | None, weight: Tensor, *, batch: int) -> NDArray[np.float64]:
        if not self.parameter_names:
            return np.empty((batch, len(weight), 0))
        own = self.module.standardised_parameters(parameters, like=self.module.target_mean.new_empty(batch))
        return parameter_contributions(_numbers(own), _numbers(weight[:, -own.shape[1] :]), scale=self._scale)

    def _known(self) -> _Known:
        self._memory = self._memory or _known_of(self.module, self.parts)
        return self._memory

    def _finer(self, x: Inputs, times: int) -> tuple[list[Tensor], list[Tensor]]:
        """Return the feature maps of each stage on the net's own grid and on one finer `times` over."""
        views = self.module.symmetries or (Symmetry(),)
        stages = range(len(self.module.backbone.head_stages))
        with self.module.single_view():
            pairs = [self._finer_stage(x, number, times, views) for number in stages]
        return [own for own, _ in pairs], [finer for _, finer in pairs]

    def _finer_stage(self, x: Inputs, number: int, times: int, views: Sequence[Symmetry]) -> tuple[Tensor, Tensor]:
        stage, pairs = partial(self._stage, number), []
        known, key = self._known().strides, (x.shape[1:], number)
        if key not in known:
            known[key] = strides_of(stage, x[:1])
        for view in views:
            fine = finer_features(stage, view.apply(x), times=times, strides=known[key])
            pairs.append((view.undo(every(fine, times)), view.undo(fine)))
        if len(pairs) == 1:
            return pairs[0]
        own, finer = zip(*pairs, strict=True)
        return torch.stack(own).mean(dim=0), torch.stack(finer).mean(dim=0)

    def _stage(self, number: int, x: Inputs) -> Tensor:
        """Return the feature maps of one stage that is pooled; later ones are not run."""
        return self.module.feature_maps(x, stages=number + 1)[number]

    def raw(self, x: Inputs, parameters: Tensor | None) -> Float[Tensor, "batch target"]:
        """Return the outputs asked for before they get their unit; gradients pass through."""
        output = self.module.standardised_prediction(x, parameters)
        return output if self._every else output[:, self._outputs]

    def in_unit(self, raw: Tensor) -> NDArray[np.float64]:
        """Return raw outputs, shape (batch, target), where contributions add up: m + s y."""
        return np.asarray(self._mean + self._scale * _numbers(raw))

    @property
    def scale(self) -> NDArray[np.float64]:
        """What a raw output of one is worth, shape (target,)."""
        return self._scale

    def passes(self, x: Inputs, parameters: Tensor | None, layer: str | None) -> Iterator[list[Viewed]]:
        """Yield, for each target, the passes at `layer` (None: the feature maps), one a symmetry averaged over."""
        if layer in {None, "backbone"} and self.module.dense is None:
            features = self.module.features(x)
            outputs, weight = self.module.standardised(features, parameters), self.module.head.weight
            silent = self.module.standardised(features[..., :1] * 0, parameters)
            for output in self._outputs:
                own = weight[output, : features.shape[1]]
                yield [Viewed(Symmetry(), LayerPass.at_head(features, own, outputs[:, output], silent[:, output]))]
            return
        layer = layer or "backbone"
        part = known_layer(self.module, layer)
        views = self.module.symmetries or (Symmetry(),)
        with self.module.single_view():
            for number in range(len(self.targets)):
                yield [Viewed(view, self._pass(part, layer, view.apply(x), parameters, number)) for view in views]

    def _pass(self, part: nn.Module, layer: str, x: Inputs, parameters: Tensor | None, number: int) -> LayerPass:
        return run_layer(lambda seen: self.raw(seen, parameters)[:, number], part, x, name=layer)

    def cells_at(self, layer: str | None, sample: Sample, size: Sequence[int], shape: tuple[int, ...]) -> Cells:
        """Return where the cells of `layer` lie, as `cells`."""
        if layer is None or layer == "backbone":
            finest = [one for one in self.cells(sample, size, (shape,)) if tuple(c.centres.size for c in one) == shape]
            return finest[-1]
        known = self._known().cells
        key = (tuple(size), "at", layer, shape)
        if key not in known:
            with self.module.single_view():
                known[key] = (_cells_of_layer(self.module, self.module.features, layer, sample()),)
        return known[key][0]

    blank_name = "the channels' means"

    def blank(self, x: Inputs) -> Inputs:
        """Return an input of the shape of `x` that holds each channel's training mean."""
        mean = self.module.input_mean.view(1, -1, *(1,) * self.module.ndim)
        return mean.to(x).expand_as(x).clone()

    def parameter_rows(self, parameters: Tensor | None, *, batch: int) -> NDArray[np.float64]:
        """Return what each design parameter carries, shape (batch, target, parameter), in the targets' units."""
        return self._parameter_rows(parameters, self._weight, batch=batch)

    def mean_parameters(self) -> NDArray[np.float64]:
        """Return the design parameters' training mean, shape (1, parameter)."""
        return _numbers(self.module.parameter_mean)[None]

    def cells(self, sample: Sample, size: Sequence[int], shapes: Sequence[tuple[int, ...]]) -> tuple[Cells, ...]:
        """Return where the cells of each grid lie in an input of `size`, (channel, *space), such as `sample` makes."""
        known = self._known().cells
        key = (tuple(size), tuple(shapes), len(self.module.symmetries))
        if key not in known:
            stages = range(len(self.module.backbone.head_stages))
            known[key] = tuple(trace_cells(partial(self._stage, number), sample()) for number in stages)
        return known[key]


class AnyNet:
    """One output of any module that ends in global average pooling and a linear unit."""

    parameter_names: tuple[str, ...] = ()
    reach: tuple[float, ...] = ()
    shares_inputs = False  # the net may overwrite what it is given

    def __init__(self, module: nn.Module, target: Target, *, output: Choice, layer: str | None) -> None:
        self.module = module
        self.parts = parts_of(module)
        self.like = first_weight(self.parts)
        self._memory: _Known | None = None
        self.targets = (target,)
        self._output, self._layer, self._headless = output, layer, False

    def answer(
        self, x: Inputs, parameters: Tensor | None, *, times: int = 1, lengths: Tensor | None = None  # noqa: ARG002
    ) -> Answer:  # fmt: skip
        """Return contributions, the baseline and the net's own prediction, as a `RegressorNet` does."""
        call, maps, bias, output = self._run(x, times)
        mean, scale = self.targets[0].mean, self.targets[0].scale
        finer = () if times == 1 else (call.finer,) if call.finer is not None else self._finer_stages(x, times)
        return Answer(
            contributions=tuple((scale * one if scale != 1.0 else one)[:, :, None] for one in maps),
            parameters=np.empty((len(x), 1, 0)),
            baseline=np.broadcast_to(mean + scale * bias, (len(x), 1)),
            prediction=mean + scale * output[:, None],
            # A head that sums instead of averaging has its number of cells in the weight already.
            finer=tuple(_worth(a, w, self.scale)[:, :, None] for a, w in zip(finer, call.weights, strict=times > 1)),
            grids=tuple(f"stage {number}" for number in range(1, len(maps) + 1)) if len(maps) > 1 else (),
            averaged=tuple(self._averaged(x, call)),
        )

    def _averaged(self, x: Inputs, call: HeadCall) -> list[int]:
        pooled = self._head(x).pooled
        return [1 if one.summed else maps[0, 0].numel() for one, maps in zip(pooled, call.features, strict=True)]

    def cells(self, sample: Sample, size: Sequence[int], shapes: Sequence[tuple[int, ...]]) -> tuple[Cells, ...]:
        """Return where the cells of each grid lie in an input of `size`, (channel, *space), such as `sample` makes."""
        known = self._known().cells
        key = (tuple(size), self._output, self._layer, tuple(shapes))
        if key not in known:
            pooled = self._head(sample()).pooled
            known[key] = tuple(trace_cells(partial(self._features_at, one), sample()) for one in pooled)
        return known[key]

    def _features_at(self, pooled: Pooled, x: Inputs) -> Tensor:
        return features_at(self.module, x, pooled)

    def raw(self, x: Inputs, parameters: Tensor | None) -> Float[Tensor, "batch target"]:  # noqa: ARG002
        """Return the output asked for before it gets its unit; gradients pass through."""
        return output_of(self.module(x), self._output)[:, None]

    def in_unit(self, raw: Tensor) -> NDArray[np.float64]:
        """Return raw outputs, shape (batch, 1), where contributions add up: mean + scale y."""
        return np.asarray(self.targets[0].mean + self.targets[0].scale * _numbers(raw))

    @property
    def scale(self) -> NDArray[np.float64]:
        """What a raw output of one is worth, shape (1,)."""
        return np.array([self.targets[0].scale])

    def passes(self, x: Inputs, parameters: Tensor | None, layer: str | None) -> Iterator[list[Viewed]]:  # noqa: ARG002
        """Yield the pass at `layer`; None: at the activation that is averaged, or the last one there is."""
        call = self._head_call(x) if layer is None else None
        if call is not None:
            silent = call.bias.expand(len(x)).to(call.output)
            yield [Viewed(Symmetry(), LayerPass.at_head(call.features[0], call.weights[0][0], call.output, silent))]
            return
        name = layer or self._last_layer(x)
        own = run_layer(lambda seen: self.raw(seen, None)[:, 0], known_layer(self.module, name), x.clone(), name=name)
        yield [Viewed(Symmetry(), own)]

    def cells_at(self, layer: str | None, sample: Sample, size: Sequence[int], shape: tuple[int, ...]) -> Cells:
        """Return where the cells of `layer` lie, as `cells`."""
        known = self._known().cells
        key = (tuple(size), self._output, "at", layer, shape)
        if key not in known:
            x = sample()
            if layer is None and self._head_call(x) is not None:
                known[key] = self.cells(sample, size, (shape,))
            else:
                known[key] = (_cells_of_layer(self.module, self.module, layer or self._last_layer(x), sample()),)
        return known[key][0]

    def closed(self, x: Inputs, parameters: Tensor | None) -> Answer | None:
        """Return the answer of methods that are exact RAM at the pooled activation; None where there is none."""
        try:
            found = self.answer(x.clone(), parameters)
        except ModelError:
            self._headless = True
            return None
        return None if found.grids else found

    def _head_call(self, x: Inputs) -> HeadCall | None:
        """Return the call of the head; None where the net has none, or pools several activations."""
        if self._headless:
            return None
        try:
            call = self._run(x)[0]
        except ModelError:
            return None
        return call if len(call.features) == 1 else None

    def _last_layer(self, x: Inputs) -> str:
        known, key = self._known().last, self._key(x)
        if key not in known:
            known[key] = last_layer(self.module, lambda seen: self.raw(seen, None)[:, 0], x[:1].clone())
        return known[key]

    blank_name = "zero"

    def blank(self, x: Inputs) -> Inputs:
        """Return zeros of the shape of `x`."""
        return torch.zeros_like(x)

    def parameter_rows(self, parameters: Tensor | None, *, batch: int) -> NDArray[np.float64]:  # noqa: ARG002
        """Return none: such a net has no design parameters of its own."""
        return np.empty((batch, 1, 0))

    def mean_parameters(self) -> NDArray[np.float64]:
        """Return none: all that such a net is given lies in its input."""
        return np.empty((1, 0))

    def _known(self) -> _Known:
        self._memory = self._memory or _known_of(self.module, self.parts)
        return self._memory

    def _key(self, x: Inputs) -> tuple[object, ...]:
        return (tuple(x.shape[1:]), self._output, self._layer)

    def _head(self, x: Inputs) -> Head:
        known, key = self._known().heads, self._key(x)
        if key not in known:
            known[key] = find_head(self.module, x[:2].clone(), output=self._output, layer=self._layer)
        return known[key]

    def _run(self, x: Inputs, times: int = 1) -> tuple[HeadCall, list[Array], Array, Array]:
        """Return the head's call, maps, bias and output.

        Where the net runs another way than when its head was found, it is found anew.
        """
        if self._key(x) in self._known().heads:
            try:
                return self._mapped(x.clone(), times)
            except ModelError:
                self._memory = _KNOWN.pop(self.module, None) and None
        return self._mapped(x, times)

    def _mapped(self, x: Inputs, times: int) -> tuple[HeadCall, list[Array], Array, Array]:
        """Hold law 1 against the net's own answer: a net that branches on its input would break it in silence."""
        head = self._head(x)
        if times == 1 or len(head.pooled) > 1:
            call = run_head(self.module, x.clone() if times > 1 else x, head, output=self._output)
        else:
            call = self._finer_call(x, head, times)
        pairs = zip(call.features, call.weights, strict=True)
        maps = [contributions(features, weight, scale=np.ones(1)) for features, weight in pairs]
        rows = [one.reshape(len(x), -1) for one in maps]
        flat = rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1)
        bias, output = _numbers(call.bias), _numbers(call.output)
        size = np.abs(flat).sum(axis=1) + np.abs(bias)
        tolerance = 1e-3 if call.output.dtype in {torch.float32, torch.float64} else 5e-2
        if np.any(np.abs(flat.sum(axis=1) + bias - output) > tolerance * size):
            raise ModelError(ran_another_way(self.module))
        return call, maps, bias, output

    def _finer_call(self, x: Inputs, head: Head, times: int) -> HeadCall:
        """Run the net on a grid finer `times` over as far as its features, and on its own grid behind them."""
        known, calls = self._known().strides, []
        if self._key(x) not in known:
            known[self._key(x)] = strides_of(partial(self._features_at, head.pooled[0]), x[:1].clone())

        def features(one: Inputs) -> Tensor:
            calls.append(run_head(self.module, one, head, output=self._output, times=times))
            assert calls[-1].finer is not None
            return calls[-1].finer

        finer_features(features, x, times=times, strides=known[self._key(x)])
        return calls[-1]

    def _finer_stages(self, x: Inputs, times: int) -> tuple[Tensor, ...]:
        """Return the features of each of several activations on a grid finer `times` over, a pass for each."""
        found = [partial(self._features_at, one) for one in self._head(x).pooled]
        return tuple(finer_features(one, x.clone(), times=times) for one in found)


Explained = RegressorNet | AnyNet


def require_exact(net: Regressor) -> None:
    """Raise ModelError where a regressor has dense layers behind its feature maps, and therefore no exact map."""
    if net.dense is None:
        return
    layers = ", ".join(str(part.out_features) for part in net.dense if isinstance(part, nn.Linear))
    step = "Make such a net of it by ram.adapt (ram adapt RUN), or use another method: grad-ram shows the same layer"
    raise ModelError(
        explained(
            where="explain, method ram or cam", what="the net", allowed="one that ends in global average pooling",
            got=f"one with flatten and dense layers ({layers})", next_step=step,
        )
    )  # fmt: skip


def _worth(features: Tensor, weight: Tensor, scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each cell would contribute if it were the only one."""
    return contributions(features, weight, scale=scale * features[0, 0].numel())


def _cells_of_layer(
    module: nn.Module, function: Callable[[Tensor], object], layer: str, x: Inputs
) -> tuple[CellGeometry, ...]:
    """Return where the cells of one layer's result lie; `function` runs the module on `x`."""
    part, seen = known_layer(module, layer), []
    handle = part.register_forward_hook(lambda _part, _inputs, result: seen.append(result))

    def result_of(one: Tensor) -> Tensor:
        function(one)
        return seen[-1]  # type: ignore[no-any-return]

    try:
        return trace_cells(result_of, x)
    finally:
        handle.remove()


def _numbers(tensor: Tensor) -> NDArray[np.float64]:
    if tensor.dtype is torch.float64 and tensor.device.type == "cpu":
        return np.asarray(tensor.detach().numpy())
    return np.array(tensor.tolist(), dtype=np.float64)  # for a few numbers quicker than four conversions
