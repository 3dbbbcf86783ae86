"""Any module as a net that is explained: its parts are found by their numbers.

Ask within `ram.maps.activation.evaluating` and without gradients.
"""

from __future__ import annotations

__all__ = ["AnyNet"]

from collections.abc import Iterator, Sequence
from functools import partial
from math import prod

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from ram.errors import ModelError
from ram.maps.activation import contributions, parts_of
from ram.maps.answers import Answer, Target, Viewed, numbers
from ram.maps.head_calls import HeadCall, features_at, ran_another_way, run_head
from ram.maps.heads import Head, Pooled, find_head
from ram.maps.inputs import first_weight
from ram.maps.layers import LayerPass, known_layer, last_layer, run_layer
from ram.maps.outputs import Choice, output_of
from ram.maps.remembered import Cells, Known, Sample, cells_of_layer, forget, known_of
from ram.models.finer import finer_features, strides_of
from ram.models.geometry import trace_cells
from ram.models.symmetry import Symmetry

Inputs = Float[Tensor, "batch channel *space"]
Array = NDArray[np.float64]


class AnyNet:
    """One output of any module that ends in global average pooling and a linear unit."""

    parameter_names: tuple[str, ...] = ()
    reach: tuple[float, ...] = ()
    shares_inputs = False  # the net may overwrite what it is given

    def __init__(self, module: nn.Module, target: Target, *, output: Choice, layer: str | None) -> None:
        self.module = module
        self.parts = parts_of(module)
        self.like = first_weight(self.parts)
        self._memory: Known | None = None
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
            baseline=np.full((len(x), 1), mean + scale * bias),
            prediction=mean + scale * output[:, None],
            # A head that sums instead of averaging has its number of cells in the weight already.
            finer=tuple(_worth(a, w, self.scale)[:, :, None] for a, w in zip(finer, call.weights, strict=times > 1)),
            grids=tuple(f"stage {number}" for number in range(1, len(maps) + 1)) if len(maps) > 1 else (),
            averaged=tuple(self._averaged(x, call)),
        )

    def _averaged(self, x: Inputs, call: HeadCall) -> list[int]:
        pooled = self._head(x).pooled
        return [1 if one.summed else prod(maps.shape[2:]) for one, maps in zip(pooled, call.features, strict=True)]

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
        return np.asarray(self.targets[0].mean + self.targets[0].scale * numbers(raw))

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
                known[key] = (cells_of_layer(self.module, self.module, layer or self._last_layer(x), sample()),)
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

    def _known(self) -> Known:
        self._memory = self._memory or known_of(self.module, self.parts)
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
                self._memory = None
                forget(self.module)
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
        bias, output = numbers(call.bias), numbers(call.output)
        tolerance = 1e-3 if call.output.dtype in {torch.float32, torch.float64} else 5e-2
        if not _sum_to(output, maps, float(bias[0]), tolerance):
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


def _sum_to(output: Array, maps: Sequence[Array], bias: float, tolerance: float) -> bool:
    """Whether maps and bias sum to the output of each sample, to a share of what they carry without their signs."""
    rows = [one.reshape(len(one), -1) for one in maps]
    flat = rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1)
    sums = [(own, carried + bias) for own, carried in zip(output.tolist(), flat.sum(axis=1).tolist(), strict=True)]
    if all(abs(carried - own) <= tolerance * abs(carried) for own, carried in sums):  # which is no more than the share
        return True
    size = np.abs(flat).sum(axis=1) + abs(bias)
    return not any(abs(carried - own) > tolerance * most for (own, carried), most in zip(sums, size, strict=True))


def _worth(features: Tensor, weight: Tensor, scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each cell would contribute if it were the only one."""
    return contributions(features, weight, scale=scale * features[0, 0].numel())
