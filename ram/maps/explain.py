"""Explain the predictions of a net: which regions of the input they come from, in the unit of the target."""

from __future__ import annotations

__all__ = ["explain", "explain_regressor"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor, nn

from ram.axes import Axis
from ram.errors import ConfigError, explained, nearest
from ram.maps.activation import evaluating, uncompiled
from ram.maps.asking import Wish, answer, background_of, place, require_fitting
from ram.maps.fronts import side_of
from ram.maps.gathering import Gathered, gathered
from ram.maps.heads import Choice
from ram.maps.inputs import axes_of, own_copy, require_finite, require_inputs
from ram.maps.methods import Method, method_called, options_for
from ram.maps.nets import Answer, AnyNet, Explained, RegressorNet, Target
from ram.maps.padded import Samples, explain_padded
from ram.maps.regression_map import RegressionMap
from ram.maps.sight import reaching
from ram.models.regressor import Regressor

Inputs = Float[np.ndarray, "batch channel *space"] | Float[Tensor, "batch channel *space"]
Design = Float[np.ndarray, "channel *space"] | Float[Tensor, "channel *space"]
Parameters = Float[np.ndarray, "batch parameter"] | Float[Tensor, "batch parameter"]
Reference = Mapping[str, RegressionMap] | RegressionMap | Design
Lengths = Int[np.ndarray, " batch"] | Int[Tensor, " batch"] | Sequence[int]
Regions = UInt8[np.ndarray, "*space"] | NDArray[np.integer[Any]]


def explain(
    net: nn.Module,
    x: Inputs,
    *,
    method: str = "ram",
    output: Choice = 0,
    layer: str | Sequence[str] | None = None,
    reference: RegressionMap | Design | None = None,
    target: str = "",
    unit: str = "1",
    axes: Sequence[Axis] | None = None,
    target_mean: float = 0.0,
    target_scale: float = 1.0,
    target_log: bool = False,
    ids: Sequence[str] = (),
    regions: Regions | None = None,
    channel: int | Literal["each"] | None = None,
    channel_unit: str | Sequence[str] = "1",
    options: Mapping[str, int | float] | None = None,
    resolution: int = 1,
    seed: int = 0,
    batch_size: int | None = 64,
    of: str | None = None,
    lengths: Lengths | None = None,
) -> RegressionMap:
    """Return which regions of `x` one output of any net comes from, in the target's unit.

    The first call for a net and a size of input runs a few samples more, to find out how the net is built.

    Parameters
    ----------
    net
        Any module that answers (batch,) or (batch, outputs), or a dict or tuple of such; it is left as it was. For
        method ``"ram"`` it ends in a mean over cells and linear units, or in the means of several stages beside each
        other; however they are written, they are found by their numbers. A `Regressor` brings name, unit and scaling
        of its targets.
    x
        Shape (batch, channel, *space), any dtype and memory layout, on any device.
    method
        One of `ram.METHODS`, which says how far each may be trusted.
    output
        Which output: a column; the name of one in a dict; a way to one, such as ``("depth", 1)``, the second column of
        what is called depth, or ``(0, 2)``, the third one of the first in a tuple.
    layer
        Name of the module whose result the map is made of, for methods of a layer; by itself the activation that
        is pooled, or where there is none, or several are, the last one. Several names: the mean of the layers' maps
        where these add up; of the published ones the maximum, each scaled by its own. Each is a part of the map.
    reference
        What the predictions are compared with: an input of shape (channel, *space), or a map of one row such as
        ``maps.mean(name="train-mean")``. Methods of the input take an input; ``"gradient-shap"`` takes several,
        (n, channel, *space). None: the net's own baseline; for methods of the input, zero, and for a `Regressor`
        each channel's training mean. Methods that do not add up and look at no input of reference take none.
    target, unit
        Name and unit of what the net regresses.
    axes
        The input's axes in array order, without batch and channel; numbered samples if not given.
    target_mean, target_scale, target_log
        Target = mean + scale * output, or its exponential where the net regresses the natural logarithm.
    ids
        Names of the samples.
    regions
        Shape (*space) or (batch, *space), codes: for ``"region-ablation"`` and ``"shapley-regions"``.
    channel, channel_unit
        Which input channel the map is of, for methods of the input, and its unit: a gradient is in `unit` per
        `channel_unit`. None: the sum over all. ``"each"``: all in one call, each a part of the map
        (``maps.part("channel 0")``); then one unit for all, or one for each, and slopes in different units have no
        sum: the map as a whole is NaN.
    options
        The method's own numbers, such as ``{"steps": 128}``; see ``ram.METHODS[method].options``.
    resolution
        How many times finer than the net's own cells the map shall be, along every axis, for ``"ram"``: strides of
        the last stages are removed and what follows is dilated, on the same weights. The cells that the net has
        keep their values but for a correction, even within each, that keeps each one's total;
        ``RegressionMap.correction`` says how large it was. Costs up to `resolution` ^ axes of a pass.
    seed
        Of what a method draws at random.
    batch_size
        How many samples run at once; None for all.
    of
        For a `Regressor` that begins with a spectrogram: ``"spectrogram"``, the default, for a map over frequency and
        time, on which `reference` and `regions` may lie too; or ``"signal"`` for a map over the signal itself, by
        methods of the input.
    lengths
        Shape (batch,): how long signals are that were padded along the last axis, for a `Regressor`. Each is explained
        as it would be alone; cells beyond its own are zero.

    Raises
    ------
    ConfigError
        For an unknown method or option, or one that the method has no use for.
    DataError
        Where `x`, axes, regions or the reference do not fit, or a prediction is not finite.
    ModelError
        Where the net has no such output or layer, or is not built as the method needs it.

    >>> net = nn.Sequential(nn.Conv1d(1, 1, 2, stride=2), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(1, 1))
    >>> for weight in net.parameters():
    ...     _ = nn.init.ones_(weight)
    >>> maps = explain(net, np.array([[[0.0, 1.0, 2.0, 3.0]]]), target="force", unit="N")
    >>> maps
    RegressionMap of force: 1 sample, 2 cells, N, exact
    >>> maps.contributions, maps.baseline, maps.prediction
    (array([[1., 3.]]), array([1.]), array([5.]))
    """
    if lengths is not None:
        regressor, name = _padding_known(net, output)
        return explain_regressor(
            regressor, x, targets=[name], method=method, layer=layer, reference=reference, input_axes=axes, ids=ids,
            regions=regions, channel=channel, channel_unit=channel_unit, options=options, resolution=resolution,
            seed=seed, batch_size=batch_size, of=of, lengths=lengths,
        )[name]  # fmt: skip
    side = side_of(net, x, axes, of=of, method=method_called(method))
    wish = _wish(
        method, layer=layer, regions=side.regions(regions), channel=channel, options=options, resolution=resolution,
        seed=seed,
    )  # fmt: skip
    name = output if isinstance(output, str) else f"output {output}"
    asked = _net(side.net, Target(target or name, unit, target_mean, target_scale, target_log), output, wish.layer)
    (name,) = (one.name for one in asked.targets)
    call = _Call(asked, replace(wish, batch_size=batch_size or len(x)), side.axes, channel_unit)
    return call.against(side.reference(reference), side.x, parameters=None, ids=ids)[name]


def explain_regressor(
    regressor: Regressor,
    x: Inputs,
    *,
    parameters: Parameters | None = None,
    targets: Sequence[str] | None = None,
    method: str = "ram",
    layer: str | Sequence[str] | None = None,
    reference: Reference | None = None,
    reference_parameters: Parameters | None = None,
    reference_name: str = "",
    reference_length: int | None = None,
    input_axes: Sequence[Axis] | None = None,
    ids: Sequence[str] | NDArray[np.str_] = (),
    regions: Regions | None = None,
    channel: int | Literal["each"] | None = None,
    channel_unit: str | Sequence[str] = "1",
    channels: Sequence[str] = (),
    options: Mapping[str, int | float] | None = None,
    resolution: int = 1,
    seed: int = 0,
    batch_size: int | None = 64,
    of: str | None = None,
    lengths: Lengths | None = None,
) -> dict[str, RegressionMap]:
    """Return the maps of several targets of a `Regressor`, by target; exact RAM takes one pass for all.

    Parameters
    ----------
    x
        Shape (batch, channel, *space) in the units that the net was trained on.
    parameters
        Shape (batch, parameter): the design parameters that the net asks for, in their units.
    targets
        Names; all of the net's if not given.
    reference
        As for `explain`; maps by target where there are several.
    reference_parameters
        Shape (1, parameter): those of a reference given as an input; the training mean if not given.
    reference_name
        What the maps are said to be against.
    reference_length
        How long a reference given as an input is, where the rest of it is padding; as long as `x` if not given.
    channels
        Names of the input channels: what the parts of a map are called where each channel has one.
    method, layer, input_axes, ids, regions, channel, channel_unit, options, resolution, seed, batch_size, of,
    lengths
        As for `explain`.

    Raises
    ------
    ConfigError
        For an unknown target, or a reference that lacks one; as for `explain`.
    DataError, ModelError
        As for `explain`.
    """
    names = list(regressor.target_names if targets is None else targets)
    for name in names:
        if name not in regressor.target_names:
            raise ConfigError(_no_choice("targets", name, regressor.target_names))
    known = method_called(method)

    def ask(net: Regressor, one: Samples, reference: Any) -> dict[str, RegressionMap]:
        side = side_of(net, one.x, one.axes, of=of if net is regressor else None, method=known)
        wish = _wish(
            method, layer=layer, regions=side.regions(one.regions), channel=channel, options=options,
            resolution=resolution, seed=seed, batch_size=batch_size or len(one.x), lengths=one.lengths,
        )  # fmt: skip
        call = _Call(RegressorNet(side.net, names), wish, side.axes, channel_unit, tuple(channels))
        return call.against(
            side.reference(reference), side.x, parameters=one.parameters, ids=one.ids, own=reference_parameters,
            reference_name=reference_name,
        )  # fmt: skip

    samples = Samples(x, parameters, ids, regions, input_axes)
    if lengths is None:
        return ask(regressor, samples, reference)
    return explain_padded(
        ask, regressor, samples, lengths, method=known, resolution=resolution, reference=reference,
        reference_length=reference_length, reference_parameters=reference_parameters, reference_name=reference_name,
    )  # fmt: skip


def _padding_known(net: nn.Module, output: Choice) -> tuple[Regressor, str]:
    """Return a net that knows what is padding, and the target asked for."""
    plain = getattr(net, "_orig_mod", net)
    if isinstance(plain, Regressor):
        return plain, _net(plain, Target("", "1"), output, None).targets[0].name
    step = "Explain signals of one length at a time, without padding"
    raise ConfigError(
        explained(where="explain", what="lengths", allowed="left out for a net that is no ram.Regressor: nothing is "
                  "known of what it makes of padding", got=f"given with a {type(plain).__name__}", next_step=step)
    )  # fmt: skip


def _wish(
    method: str, *, options: Mapping[str, int | float] | None, layer: str | Sequence[str] | None, **rest: Any
) -> Wish:
    known = method_called(method)
    layers = layer if layer is None or isinstance(layer, str) else tuple(layer)
    if isinstance(layers, tuple) and len(layers) == 1:
        layers = layers[0]
    return Wish(known, options_for(known, options), layer=layers, **rest)


def _net(net: nn.Module, target: Target, output: Choice, layer: str | tuple[str, ...] | None) -> Explained:
    net = getattr(net, "_orig_mod", net)  # what torch.compile wraps: a compiled net cannot be looked into
    if not isinstance(net, Regressor):
        return AnyNet(net, target, output=output, layer=None if isinstance(layer, tuple) else layer)
    if output in net.target_names:
        return RegressorNet(net, [str(output)])
    if not isinstance(output, int) or not 0 <= output < len(net.target_names):
        known = [str(i) for i in range(len(net.target_names))] + list(net.target_names)
        raise ConfigError(_no_choice("output", str(output), known))
    return RegressorNet(net, [net.target_names[output]])


@dataclass(frozen=True)
class _Call:
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
        references = self._references(reference, ndim=x.ndim, parameters=own)
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
        net, like, wish = self.net, self.net.like, replace(self.wish, ids=tuple(map(str, ids)))
        input_axes = axes_of(x, self.axes)
        size, parts = self.wish.batch_size, []
        with uncompiled(), evaluating(net.module, net.parts), torch.no_grad():
            for start in range(0, len(x), size):
                rows = slice(start, start + size)
                own = None if parameters is None else own_copy(parameters[rows], like=like, dtype=torch.float64)
                given = own_copy(x[rows], like=like, shared=net.shares_inputs)
                parts.append(answer(net, given, own, wish, rows=rows))
            found = Answer.joined(parts)
            shapes = [tuple(one.shape[3:]) for one in found.contributions]
            cells = place(net, lambda: own_copy(x[:1], like=like), self.wish, size=x.shape[1:], shapes=shapes)
        way = "sum" if self.wish.method.adds_up else "values" if self.wish.method.kind == "head" else "max"
        whole = gathered(found, cells, input_axes, times=self.wish.resolution, together=way)
        return self._named(found, whole, input_axes, tuple(map(str, ids)), reference)

    def _named(
        self, found: Answer, whole: Gathered, axes: tuple[Axis, ...], ids: tuple[str, ...], reference: str
    ) -> dict[str, RegressionMap]:
        """Give maps names, units and axes."""
        method, maps = self.wish.method, {}
        for number, target in enumerate(self.net.targets):
            prediction = target.in_unit(found.prediction[:, number])
            baseline = target.in_unit(found.baseline[:, number])
            maps[target.name] = RegressionMap(
                contributions=whole.contributions[:, number] * self._summable,
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
                log=target.log,
                receptive_field=reaching(whole.receptive_field, self.net.reach, axes),
                correction=np.empty(0) if whole.correction is None else whole.correction[:, number],
                **self._parts(found, whole, number),
            )
            require_finite(maps[target.name])
        return maps

    def _parts(self, found: Answer, whole: Gathered, number: int) -> dict[str, Any]:
        """Return what a map says of its parts."""
        each = self.wish.channel == "each"
        if whole.parts is None and not each:
            return {}
        parts = whole.contributions[:, :, None] if whole.parts is None else whole.parts  # one channel is a part, too
        count, by_channel = parts.shape[2], each or found.contributions[0].shape[2] > 1
        names = self.channels or tuple(f"channel {channel}" for channel in range(count))
        by_grid = "layer" if self.wish.method.kind == "layer" else "stage"
        target = self.net.targets[number]
        apart = () if self._summable == 1.0 else tuple(self._map_unit(target, unit) for unit in self._channel_units)
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
    def _summable(self) -> float:
        """NaN where maps by channel have units that do not add up, else 1."""
        apart = self.wish.method.grade == "sensitivity" and len(set(self._channel_units)) > 1
        return float("nan") if apart and self.wish.channel == "each" else 1.0

    def _map_unit(self, target: Target, channel_unit: str) -> str:
        return _map_unit(self.wish.method, "1" if target.log else target.unit, channel_unit)

    def _references(
        self, reference: Reference, *, ndim: int, parameters: Parameters | None
    ) -> Mapping[str, RegressionMap]:
        """Return the reference's map for each target: given, or made of the reference design."""
        if isinstance(reference, RegressionMap):
            reference = {reference.target: reference}
        if isinstance(reference, Mapping):
            for target in self.net.targets:
                if target.name not in reference:
                    raise ConfigError(_no_choice("the maps of the reference", target.name, list(reference)))
            return reference
        x = reference[None] if reference.ndim == ndim - 1 else reference
        if parameters is None and self.net.parameter_names:
            parameters = self.net.mean_parameters()
        one = replace(self, wish=replace(self.wish, batch_size=1))
        return one.maps(x, parameters=parameters, ids=("the given design",))


def _map_unit(method: Method, unit: str, channel_unit: str) -> str:
    """Return the unit of a map's values: a gradient's is the target's per the channel's, a relative map has none."""
    if method.grade == "relative":
        return "1"
    if method.grade != "sensitivity" or channel_unit in ("", "1"):
        return unit
    return f"{unit}/{channel_unit}" if channel_unit.isalnum() else f"{unit}/({channel_unit})"


def _no_choice(what: str, got: str, known: Sequence[str]) -> str:
    allowed = f"one of {', '.join(known)}"
    return explained(where="explain", what=what, allowed=allowed, got=got, next_step=nearest(got, known))
