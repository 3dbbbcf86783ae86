"""A `Regressor` as a net that is explained: its parts are known.

Ask within `ram.maps.activation.evaluating` and without gradients.
"""

from __future__ import annotations

__all__ = ["RegressorNet", "require_exact"]

from collections.abc import Iterator, Sequence
from functools import partial
from math import prod

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from ram.errors import ModelError, explained
from ram.maps.activation import contributions, parameter_contributions, parts_of
from ram.maps.answers import Answer, Target, Viewed, numbers
from ram.maps.layers import LayerPass, known_layer, run_layer
from ram.maps.remembered import Cells, Known, Sample, cells_of_layer, known_of
from ram.models.finer import every, finer_features, strides_of
from ram.models.geometry import trace_cells
from ram.models.regressor import Regressor
from ram.models.symmetry import Symmetry

Inputs = Float[Tensor, "batch channel *space"]


class RegressorNet:
    """Some targets of a `Regressor`; `like` is a tensor of its dtype and on its device, `reach` as it has it."""

    shares_inputs = True  # standardising them makes new ones

    def __init__(self, regressor: Regressor, names: Sequence[str]) -> None:
        self.module = regressor
        self.parts = parts_of(regressor)
        self.like, self.reach = regressor.head.weight, regressor.reach
        self._memory: Known | None = None
        self.parameter_names = regressor.parameter_names
        self._outputs = [regressor.target_names.index(name) for name in names]
        self._every = self._outputs == list(range(len(regressor.target_names)))
        mean, scale = regressor.target_mean.tolist(), regressor.target_scale.tolist()
        self._mean, self._scale = (np.array([one[i] for i in self._outputs]) for one in (mean, scale))
        words = ((name, i, mean[i], scale[i]) for name, i in zip(names, self._outputs, strict=True))
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
            baseline=np.full((len(x), len(mean)), mean + scale * self._chosen(net.head.bias)),
            prediction=mean + scale * self._chosen(output, axis=1),
            finer=tuple(self._by_channel(one, own, worth=True) for one, own in zip(finer, weights, strict=times > 1)),
            grids=self._grids,
            averaged=tuple(prod(one.shape[2:]) for one in maps),
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
        widths, weight = self.module.backbone.head_features, self._weight
        if weight.shape[1] > sum(widths):
            weight = weight[:, : sum(widths)]
        return torch.split(weight, widths, dim=1) if len(widths) > 1 else (weight,)

    @property
    def _grids(self) -> tuple[str, ...]:
        numbers = self.module.backbone.head_stages
        return tuple(f"stage {number}" for number in numbers) if len(numbers) > 1 else ()

    def _by_channel(self, features: Tensor, weight: Tensor, *, worth: bool = False) -> NDArray[np.float64]:
        """Return what each cell adds, shape (batch, target, channel, *cells); one channel where they are mixed.

        `worth`: what each cell would add if it were the only one.
        """
        scale = self._scale * (prod(features.shape[2:]) if worth else 1)
        apart = self.module.backbone.channels_apart
        if apart == 1:
            return contributions(features, weight, scale=scale)[:, :, None]
        pairs = zip(features.chunk(apart, dim=1), weight.chunk(apart, dim=1), strict=True)
        maps = [contributions(own, columns, scale=scale) for own, columns in pairs]
        return np.stack(maps, axis=2)

    def _chosen(self, values: Tensor, axis: int = 0) -> NDArray[np.float64]:
        """Return those of the targets asked for, which are told apart along `axis`."""
        found = numbers(values)
        return found if self._every else found.take(self._outputs, axis=axis)

    def _parameter_rows(self, parameters: Tensor | None, weight: Tensor, *, batch: int) -> NDArray[np.float64]:
        if not self.parameter_names:
            return np.empty((batch, len(weight), 0))
        own = self.module.standardised_parameters(parameters, like=self.module.target_mean.new_empty(batch))
        return parameter_contributions(numbers(own), numbers(weight[:, -own.shape[1] :]), scale=self._scale)

    def _known(self) -> Known:
        self._memory = self._memory or known_of(self.module, self.parts)
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
        return np.asarray(self._mean + self._scale * numbers(raw))

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
                known[key] = (cells_of_layer(self.module, self.module.features, layer, sample()),)
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
        return numbers(self.module.parameter_mean)[None]

    def cells(self, sample: Sample, size: Sequence[int], shapes: Sequence[tuple[int, ...]]) -> tuple[Cells, ...]:
        """Return where the cells of each grid lie in an input of `size`, (channel, *space), such as `sample` makes."""
        known = self._known().cells
        key = (tuple(size), tuple(shapes), len(self.module.symmetries))
        if key not in known:
            stages = range(len(self.module.backbone.head_stages))
            known[key] = tuple(trace_cells(partial(self._stage, number), sample()) for number in stages)
        return known[key]


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
