"""One question to a net, about as many samples as one likes: what comes out are maps with names, units and axes."""

from __future__ import annotations

__all__ = ["Design", "Inputs", "Parameters", "Question", "Reference", "no_choice"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ram.axes import Axis
from ram.errors import ConfigError, explained, nearest
from ram.maps.activation import evaluating, uncompiled
from ram.maps.answers import Answer, Target
from ram.maps.asking import Wish, answer, background_of, designs, place, require_fitting
from ram.maps.gathering import Gathered, gathered
from ram.maps.inputs import axes_of, own_copy, require_finite, require_inputs
from ram.maps.methods import Method
from ram.maps.nets import Explained
from ram.maps.pictured import Keeping, Pictured
from ram.maps.regression_map import RegressionMap
from ram.maps.sight import reaching

Inputs = Float[np.ndarray, "batch channel *space"] | Float[Tensor, "batch channel *space"]
Design = Float[np.ndarray, "channel *space"] | Float[Tensor, "channel *space"]
Parameters = Float[np.ndarray, "batch parameter"] | Float[Tensor, "batch parameter"]
Reference = Mapping[str, RegressionMap] | RegressionMap | Design


@dataclass(frozen=True)
class Question:
    """One question to a net; `against` answers it."""

    net: Explained
    wish: Wish
    axes: Sequence[Axis] | None
    channel_unit: str | Sequence[str]
    channels: tuple[str, ...] = ()

    def against(
        self,
        reference: Reference | None,
        x: Inputs,
        *,
        parameters: Parameters | None,
        ids: Sequence[str] | NDArray[np.str_],
        own: Parameters | None = None,
        reference_name: str = "",
    ) -> dict[str, RegressionMap]:
        """Return one map for each target, of all samples of `x`, against the reference."""
        require_inputs(x)
        require_fitting(self.wish, x)
        self._require_channel_units(x)
        method = self.wish.method
        if method.kind == "input" or method.name == "score-cam":
            background, called = background_of(self.net, reference, x, name=reference_name, method=method)
            call = replace(self, wish=replace(self.wish, background=background))
            return call.maps(x, parameters=parameters, ids=ids, reference=called)
        if reference is None:
            return self.maps(x, parameters=parameters, ids=ids)
        if not method.adds_up:
            step = "Such a map is no sum that could be compared; use a method whose maps add up"
            raise ConfigError(
                explained(
                    where=f"explain, method {method.name}", what="reference", allowed="left out", got="one given",
                    next_step=step,
                )
            )  # fmt: skip
        maps = self.maps(x, parameters=parameters, ids=ids)
        references = self._references(reference, x, parameters=own)
        return {name: one.difference(references[name], reference=reference_name) for name, one in maps.items()}

    def _require_channel_units(self, x: Inputs) -> None:
        """Refuse a number of units that is not the number of channels."""
        units, count = self._channel_units, x.shape[1]
        if not isinstance(self.channel_unit, str) and len(units) != count:
            allowed = f"one for all channels, or {count}"
            raise ConfigError(explained(where="explain", what="channel_unit", allowed=allowed, got=len(units)))

    def maps(
        self,
        x: Inputs,
        *,
        parameters: Parameters | None,
        ids: Sequence[str] | NDArray[np.str_],
        reference: str = "baseline",
    ) -> dict[str, RegressionMap]:
        """Return one map for each target, of all samples of `x`."""
        net, like, ids = self.net, self.net.like, tuple(map(str, ids))
        wish = replace(self.wish, ids=ids) if ids else self.wish
        input_axes = axes_of(x, self.axes)
        size, parts = max(1, self.wish.batch_size // self.wish.resolution), []  # finer grids take more memory
        keeping = Keeping()
        with uncompiled(), evaluating(net.module, net.parts), torch.no_grad():
            for start in range(0, len(x), size):
                rows = slice(start, start + size)
                own = None if parameters is None else own_copy(parameters[rows], like=like, dtype=torch.float64)
                some = x if isinstance(x, Tensor) and len(x) <= size else x[rows]
                given = own_copy(some, like=like, shared=net.shares_inputs)
                keeping.see(given)
                parts.append(answer(net, given, own, wish, rows=rows))
            found = Answer.joined(parts)
            shapes = [tuple(one.shape[3:]) for one in found.contributions]
            cells = place(net, lambda: own_copy(x[:1], like=like), self.wish, size=x.shape[1:], shapes=shapes)
        way = "sum" if self.wish.method.adds_up else "values" if self.wish.method.kind == "head" else "max"
        whole = gathered(found, cells, input_axes, times=self.wish.resolution, together=way)
        return self._named(found, whole, input_axes, ids, pictured=keeping.named(ids), reference=reference)

    def _named(
        self,
        found: Answer,
        whole: Gathered,
        axes: tuple[Axis, ...],
        ids: tuple[str, ...],
        *,
        pictured: Pictured,
        reference: str,
    ) -> dict[str, RegressionMap]:
        """Give maps names, units and axes."""
        method, summable, maps = self.wish.method, self._summable, {}
        for number, target in enumerate(self.net.targets):
            prediction = target.in_unit(found.prediction[:, number])
            own = whole.contributions[:, number]
            baseline = target.in_unit(found.baseline[:, number])
            maps[target.name] = RegressionMap(
                contributions=own if summable else np.full_like(own, np.nan),
                parameter_contributions=found.parameters[:, number],
                parameter_names=self.net.parameter_names,
                baseline=baseline if method.adds_up else np.full_like(prediction, np.nan),
                prediction=prediction,
                target=target.name,
                unit=target.unit,
                map_unit=self._map_unit(target, self._channel_units[0]),
                axes=whole.axes,
                input_axes=axes,
                grade=method.grade,
                method=method.name,
                reference=reference,
                ids=ids,
                pictured=pictured,
                log=target.log,
                receptive_field=reaching(whole.receptive_field, self.net.reach, axes),
                **self._more(found, whole, number),
            )
            require_finite(maps[target.name])
        return maps

    def _more(self, found: Answer, whole: Gathered, number: int) -> dict[str, Any]:
        """Return what a map on a finer grid says of that, and what one with parts says of these."""
        corrected = {} if whole.correction is None else {"correction": whole.correction[:, number]}
        return corrected | self._parts(found, whole, number)

    def _parts(self, found: Answer, whole: Gathered, number: int) -> dict[str, Any]:
        each = self.wish.channel == "each"
        if whole.parts is None and not each:
            return {}
        parts = whole.contributions[:, :, None] if whole.parts is None else whole.parts  # one channel is a part, too
        count, by_channel = parts.shape[2], each or found.contributions[0].shape[2] > 1
        names = self.channels or tuple(f"channel {channel}" for channel in range(count))
        by_grid = "layer" if self.wish.method.kind == "layer" else "stage"
        target = self.net.targets[number]
        apart = () if self._summable else tuple(self._map_unit(target, unit) for unit in self._channel_units)
        return {
            "part_contributions": parts[:, number],
            "part_names": names if by_channel else found.grids,
            "part_kind": "channel" if by_channel else by_grid,
            "part_units": apart,
        }

    @property
    def _channel_units(self) -> tuple[str, ...]:
        return (self.channel_unit,) if isinstance(self.channel_unit, str) else tuple(self.channel_unit)

    @property
    def _summable(self) -> bool:
        """False where maps by channel have units that do not add up."""
        if self.wish.channel != "each" or self.wish.method.grade != "sensitivity":
            return True
        return len(set(self._channel_units)) == 1

    def _map_unit(self, target: Target, channel_unit: str) -> str:
        return _map_unit(self.wish.method, "1" if target.log else target.unit, channel_unit)

    def _references(
        self, reference: Reference, x: Inputs, *, parameters: Parameters | None
    ) -> Mapping[str, RegressionMap]:
        """Return the reference's map for each target: given, or made of the reference design."""
        if isinstance(reference, RegressionMap):
            reference = {reference.target: reference}
        if isinstance(reference, Mapping):
            for target in self.net.targets:
                if target.name not in reference:
                    raise ConfigError(no_choice("the maps of the reference", target.name, list(reference)))
            return reference
        given = designs(reference, x)
        if parameters is None and self.net.parameter_names:
            parameters = self.net.mean_parameters()
        one = replace(self, wish=replace(self.wish, batch_size=1))
        return one.maps(given, parameters=parameters, ids=("the given design",))


def _map_unit(method: Method, unit: str, channel_unit: str) -> str:
    """Return the unit of a map's values: a gradient's is the target's per the channel's, a relative map has none."""
    if method.grade == "relative":
        return "1"
    if method.grade != "sensitivity" or channel_unit in ("", "1"):
        return unit
    return f"{unit}/{channel_unit}" if channel_unit.isalnum() else f"{unit}/({channel_unit})"


def no_choice(what: str, got: str, known: Sequence[str]) -> str:
    """Say that a name is not one of those that are known."""
    allowed = f"one of {', '.join(known)}"
    return explained(where="explain", what=what, allowed=allowed, got=got, next_step=nearest(got, known))
