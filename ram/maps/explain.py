"""Explain the predictions of a net: which regions of the input they come from, in the unit of the target."""

from __future__ import annotations

__all__ = ["explain", "explain_regressor"]

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Int, UInt8
from numpy.typing import NDArray
from torch import Tensor, nn

from ram.axes import Axis
from ram.errors import ConfigError, explained
from ram.maps.answers import Target
from ram.maps.any_net import AnyNet
from ram.maps.asking import Wish
from ram.maps.fronts import side_of
from ram.maps.methods import method_called, options_for
from ram.maps.nets import Explained
from ram.maps.outputs import Choice
from ram.maps.padded import Samples, explain_padded
from ram.maps.question import Design, Inputs, Parameters, Question, Reference, no_choice
from ram.maps.regression_map import RegressionMap
from ram.maps.regressor_net import RegressorNet
from ram.models.regressor import Regressor

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
        How many samples run at once; None for all. Of a finer map `resolution` times fewer, which take more memory.
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
    call = Question(asked, replace(wish, batch_size=batch_size or len(x)), side.axes, channel_unit)
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
            raise ConfigError(no_choice("targets", name, regressor.target_names))
    known = method_called(method)

    def ask(net: Regressor, one: Samples, reference: Any) -> dict[str, RegressionMap]:
        side = side_of(net, one.x, one.axes, of=of if net is regressor else None, method=known)
        wish = _wish(
            method, layer=layer, regions=side.regions(one.regions), channel=channel, options=options,
            resolution=resolution, seed=seed, batch_size=batch_size or len(one.x), lengths=one.lengths,
        )  # fmt: skip
        call = Question(RegressorNet(side.net, names), wish, side.axes, channel_unit, tuple(channels))
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
        raise ConfigError(no_choice("output", str(output), known))
    return RegressorNet(net, [net.target_names[output]])
