"""Explain the predictions of a net: which regions of the input they come from, in the unit of the target."""

from __future__ import annotations

__all__ = ["METHODS", "Method", "explain", "explain_regressor"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from ram.axes import Axis
from ram.errors import ConfigError, explained, nearest
from ram.maps.activation import evaluating
from ram.maps.inputs import axes_of, own_copy, require_finite, require_inputs
from ram.maps.nets import Answer, AnyNet, Explained, RegressorNet, Target
from ram.maps.regression_map import RegressionMap
from ram.models.geometry import CellGeometry, cell_axes, receptive_fields
from ram.models.regressor import Regressor

Inputs = Float[np.ndarray, "batch channel *space"] | Float[Tensor, "batch channel *space"]
Design = Float[np.ndarray, "channel *space"] | Float[Tensor, "channel *space"]
Parameters = Float[np.ndarray, "batch parameter"] | Float[Tensor, "batch parameter"]
Reference = Mapping[str, RegressionMap] | RegressionMap | Design


@dataclass(frozen=True)
class Method:
    """A way to make maps: its name, how far they may be trusted (`ram.maps.regression_map.GRADES`) and its source."""

    name: str
    grade: str
    paper: str
    summary: str


METHODS: Mapping[str, Method] = MappingProxyType({
    "ram": Method(
        name="ram",
        grade="exact",
        paper="Wang & Yang 2017, arXiv:1703.10757; Zhou et al. 2016, arXiv:1512.04150",
        summary="what each cell of the last feature map adds to the prediction; needs pooling and a linear unit",
    )
})  # fmt: skip


def explain(
    net: nn.Module,
    x: Inputs,
    *,
    method: str = "ram",
    output: int = 0,
    layer: str | None = None,
    reference: RegressionMap | Design | None = None,
    target: str = "",
    unit: str = "1",
    axes: Sequence[Axis] | None = None,
    target_mean: float = 0.0,
    target_scale: float = 1.0,
    target_log: bool = False,
    ids: Sequence[str] = (),
    batch_size: int | None = 64,
) -> RegressionMap:
    """Return which regions of `x` one output of any net comes from, in the target's unit.

    The first call for a net and a size of input runs a few samples more, to find out how the net is built.

    Parameters
    ----------
    net
        Any module that answers (batch,) or (batch, outputs); it is left as it was. For method ``"ram"`` it ends
        in a mean over cells and linear units; however they are written, they are found by their numbers. A
        `Regressor` brings name, unit and scaling of its targets.
    x
        Shape (batch, channel, *space), any dtype and memory layout, on any device.
    method
        One of `METHODS`.
    output
        Which output.
    layer
        Name of the module whose result is averaged; found by itself if not given.
    reference
        What the predictions are compared with: an input of shape (channel, *space), or a map of one row such as
        ``maps.mean(name="train-mean")``. None: the net's own baseline.
    target, unit
        Name and unit of what the net regresses.
    axes
        The input's axes in array order, without batch and channel; numbered samples if not given.
    target_mean, target_scale, target_log
        Target = mean + scale * output, or its exponential where the net regresses the natural logarithm.
    ids
        Names of the samples.
    batch_size
        How many samples run at once; None for all.

    Raises
    ------
    ConfigError
        For an unknown method.
    DataError
        Where `x`, axes or the reference do not fit, or a prediction is not finite.
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
    _require_method(method)
    asked = _net(net, Target(target or f"output {output}", unit, target_mean, target_scale, target_log), output, layer)
    (name,) = (one.name for one in asked.targets)
    maps = _maps(asked, x, parameters=None, axes=axes, ids=ids, batch_size=batch_size)
    if reference is None:
        return maps[name]
    references = _references(asked, reference, ndim=x.ndim, parameters=None, axes=axes)
    return maps[name].difference(references[name])


def explain_regressor(
    regressor: Regressor,
    x: Inputs,
    *,
    parameters: Parameters | None = None,
    targets: Sequence[str] | None = None,
    reference: Reference | None = None,
    reference_parameters: Parameters | None = None,
    reference_name: str = "",
    input_axes: Sequence[Axis] | None = None,
    ids: Sequence[str] | NDArray[np.str_] = (),
    batch_size: int | None = 64,
) -> dict[str, RegressionMap]:
    """Return the maps of several targets of a `Regressor` from one pass, by target; exact RAM.

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
    input_axes, ids, batch_size
        As for `explain`.

    Raises
    ------
    ConfigError
        For an unknown target, or a reference that lacks one.
    DataError, ModelError
        As for `explain`.
    """
    names = list(regressor.target_names if targets is None else targets)
    for name in names:
        if name not in regressor.target_names:
            raise ConfigError(_no_choice("targets", name, regressor.target_names))
    asked = RegressorNet(regressor, names)
    maps = _maps(asked, x, parameters=parameters, axes=input_axes, ids=ids, batch_size=batch_size)
    if reference is None:
        return maps
    references = _references(asked, reference, ndim=x.ndim, parameters=reference_parameters, axes=input_axes)
    return {name: one.difference(references[name], reference=reference_name) for name, one in maps.items()}


def _net(net: nn.Module, target: Target, output: int, layer: str | None) -> Explained:
    net = getattr(net, "_orig_mod", net)  # what torch.compile wraps: a compiled net cannot be looked into
    if not isinstance(net, Regressor):
        return AnyNet(net, target, output=output, layer=layer)
    if not 0 <= output < len(net.target_names):
        raise ConfigError(_no_choice("output", str(output), [str(i) for i in range(len(net.target_names))]))
    return RegressorNet(net, [net.target_names[output]])


def _maps(
    net: Explained,
    x: Inputs,
    *,
    parameters: Parameters | None,
    axes: Sequence[Axis] | None,
    ids: Sequence[str] | NDArray[np.str_],
    batch_size: int | None,
) -> dict[str, RegressionMap]:
    """Return one map for each target, of all samples of `x`."""
    require_inputs(x)
    input_axes = axes_of(x, axes)
    size, like, parts = batch_size or len(x), net.like, []
    with evaluating(net.module), torch.no_grad():
        for start in range(0, len(x), size):
            rows = slice(start, start + size)
            own = None if parameters is None else own_copy(parameters[rows], like=like, dtype=torch.float64)
            parts.append(net.answer(own_copy(x[rows], like=like), own))
        answer = Answer.joined(parts)
        cells = net.cells(lambda: own_copy(x[:1], like=like), x.shape[1:], answer.contributions.shape[2:])
    return _named(net, answer, _placed(cells, input_axes), input_axes, tuple(map(str, ids)))


@dataclass(frozen=True, eq=False)
class _Place:
    """Where cells lie and how much of the input they see, in the axes' units."""

    axes: tuple[Axis, ...]
    receptive_field: tuple[float, ...]


@lru_cache(maxsize=64)
def _placed(cells: tuple[CellGeometry, ...], axes: tuple[Axis, ...]) -> _Place:
    seen = receptive_fields(cells, axes)
    known = (extent if one.traced else float("nan") for extent, one in zip(seen, cells, strict=True))
    return _Place(cell_axes(cells, axes), tuple(known))


def _named(
    net: Explained, answer: Answer, place: _Place, axes: tuple[Axis, ...], ids: tuple[str, ...]
) -> dict[str, RegressionMap]:
    """Give an answer names, units and axes."""
    batch = len(answer.prediction)
    maps = {}
    for number, target in enumerate(net.targets):
        maps[target.name] = RegressionMap(
            contributions=answer.contributions[:, number],
            parameter_contributions=answer.parameters[:, number],
            parameter_names=net.parameter_names,
            baseline=target.in_unit(np.full(batch, answer.baseline[number])),
            prediction=target.in_unit(answer.prediction[:, number]),
            target=target.name,
            unit=target.unit,
            axes=place.axes,
            input_axes=axes,
            ids=ids,
            log=target.log,
            receptive_field=place.receptive_field,
        )
        require_finite(maps[target.name])
    return maps


def _references(
    net: Explained, reference: Reference, *, ndim: int, parameters: Parameters | None, axes: Sequence[Axis] | None
) -> Mapping[str, RegressionMap]:
    """Return the reference's map for each target: given, or made of the reference design."""
    if isinstance(reference, RegressionMap):
        reference = {reference.target: reference}
    if isinstance(reference, Mapping):
        for target in net.targets:
            if target.name not in reference:
                raise ConfigError(_no_choice("the maps of the reference", target.name, list(reference)))
        return reference
    x = reference[None] if reference.ndim == ndim - 1 else reference
    if parameters is None and net.parameter_names:
        parameters = net.mean_parameters()
    return _maps(net, x, parameters=parameters, axes=axes, ids=("the given design",), batch_size=1)


def _require_method(method: str) -> None:
    if method not in METHODS:
        raise ConfigError(_no_choice("method", method, list(METHODS)))


def _no_choice(what: str, got: str, known: Sequence[str]) -> str:
    allowed = f"one of {', '.join(known)}"
    return explained(where="explain", what=what, allowed=allowed, got=got, next_step=nearest(got, known))
