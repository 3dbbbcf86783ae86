"""One way to ask a net, whatever the method: a wish in, an answer for a batch out."""

from __future__ import annotations

__all__ = ["Wish", "answer", "background_of", "designs", "place", "require_fitting"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from ram.errors import ConfigError, DataError, explained
from ram.maps.activation import frozen
from ram.maps.answers import Answer
from ram.maps.input_methods import Asked
from ram.maps.inputs import own_copy
from ram.maps.methods import METHODS, Method
from ram.maps.nets import Explained
from ram.maps.regression_map import RegressionMap
from ram.models.geometry import CellGeometry

Inputs = Float[Tensor, "batch channel *space"]


@dataclass(frozen=True)
class Wish:
    """How to explain.

    Attributes
    ----------
    method, options
        The method and all its options.
    layer
        Name of the layer, for methods of a layer, or of several that are put together; None for the one that is pooled.
    background
        Shape (1 or more, channel, *space), on the net's device: what methods of the input compare with.
    regions
        Shape (batch, *space) or (*space): codes, for methods that ask by region.
    channel
        Which input channel a map of the input is of; ``"each"`` for all of them, as parts; None for the sum over all.
    resolution
        How many times finer than the net's own cells the map is, along every axis; exact RAM alone.
    seed, ids
        Of what is drawn at random: a function of the seed and of the sample's id, where samples have one.
    batch_size
        How many samples run at once.
    lengths
        Shape (sample,): how long padded signals are, for exact RAM; None where nothing is padding.
    """

    method: Method = METHODS["ram"]
    options: Mapping[str, Any] = field(default_factory=dict)
    layer: str | tuple[str, ...] | None = None
    background: Inputs | None = None
    regions: NDArray[np.integer[Any]] | None = None
    channel: int | str | None = None
    resolution: int = 1
    seed: int = 0
    ids: tuple[str, ...] = ()
    batch_size: int = 64
    lengths: Int[np.ndarray, " sample"] | None = None


def require_fitting(wish: Wish, x: Any) -> None:
    """Refuse a wish that the method cannot fulfil for inputs of this shape.

    Raises
    ------
    ConfigError
        A layer, channel or regions that the method has no use for, a channel that is not there, or several channels
        without a choice where their units differ.
    DataError
        Regions of another shape.
    """
    method, channels = wish.method, x.shape[1]
    for name, given, wanted in (
        ("layer", wish.layer, method.looks_at_layer),
        ("channel", wish.channel, method.kind == "input"),
        ("regions", wish.regions, "region" in method.name),
    ):
        if given is not None and not wanted:
            _refuse(method, name, "left out", "one given")
    _require_layers(wish)
    resolution: object = wish.resolution  # a caller may not have asked a type checker
    whole = isinstance(resolution, int) and resolution >= 1
    if not whole or (wish.resolution > 1 and method.name != "ram"):
        step = "Methods of a layer get finer at an earlier layer; those of the input are as fine as it" * whole
        _refuse(method, "resolution", "1" if whole else "a whole number, 1 or more", wish.resolution, step)
    if wish.channel not in {None, "each", *range(channels)}:
        _refuse(method, "channel", f"0 to {channels - 1}, or 'each'", wish.channel)
    if method.grade == "sensitivity" and wish.channel is None and channels > 1:
        _refuse(
            method, "channel", f"given, 0 to {channels - 1} or 'each': slopes by channels have different units", "none"
        )
    space = tuple(x.shape[2:])
    if wish.regions is not None and np.shape(wish.regions) not in {space, (len(x), *space)}:
        allowed = f"of shape {space} or {(len(x), *space)}"
        raise DataError(explained(where="explain", what="regions", allowed=allowed, got=np.shape(wish.regions)))


def _require_layers(wish: Wish) -> None:
    """Refuse several layers where the method cannot put them together."""
    method, layers = wish.method, wish.layer
    if not isinstance(layers, tuple):
        return
    if method.kind != "layer" or not (method.adds_up or method.name in MAX_FUSED):
        step = f"Maps that add up are averaged over layers, those of {', '.join(MAX_FUSED)} joined by their maximum"
        _refuse(method, "layer", "one name", f"{len(layers)}", step)
    if len(set(layers)) < max(len(layers), 1):
        _refuse(method, "layer", "one name or several, each once", list(layers))


MAX_FUSED = ("grad-cam", "grad-cam++", "layercam")
"""Methods whose maps hold no negative values, so that those of several layers may be joined by their maximum."""


def background_of(net: Explained, reference: Any, x: Any, *, name: str, method: Method) -> tuple[Inputs, str]:
    """Return what methods of the input compare with, shape (1 or more, channel, *space), and what to call it.

    Raises
    ------
    ConfigError
        A map is given: these methods ask the net about an input.
    DataError
        The reference has another shape than the inputs.
    """
    if reference is None:
        filled = net.blank(own_copy(x[:1], like=net.like))
        return filled, name or net.blank_name
    if isinstance(reference, (RegressionMap, Mapping)):
        step = "Give an input of shape (channel, *space), such as the data's reference_design()"
        _refuse(method, "reference", "an input", "a map", step)
    return own_copy(designs(reference, x), like=net.like), name or "the given design"


def designs(reference: Any, x: Any) -> Any:
    """Return inputs of reference as a batch.

    Raises
    ------
    DataError
        Where they have another shape than the inputs `x`.
    """
    whole = reference[None] if reference.ndim == x.ndim - 1 else reference
    if tuple(whole.shape[1:]) == tuple(x.shape[1:]):
        return whole
    allowed = f"of shape {tuple(x.shape[1:])}, as the inputs"
    raise DataError(explained(where="explain", what="reference", allowed=allowed, got=tuple(reference.shape)))


def answer(net: Explained, x: Inputs, parameters: Tensor | None, wish: Wish, *, rows: slice) -> Answer:
    """Return what the method finds for one batch; `rows` says which of all samples it is."""
    method = wish.method
    if method.kind == "head":
        lengths = None if wish.lengths is None else torch.from_numpy(wish.lengths[rows])
        found = net.answer(x, parameters, times=wish.resolution, lengths=lengths)
        return found.as_sums() if method.name == "cam" else found
    if method.name in _CLOSED and wish.layer is None:
        closed = net.closed(x, parameters)
        if closed is not None:
            return closed
    with frozen(net.parts):
        if method.kind == "input":
            return _of_input(net, x, parameters, wish, rows=rows)
        return _of_layer(net, x, parameters, wish)


def _of_layer(net: Explained, x: Inputs, parameters: Tensor | None, wish: Wish) -> Answer:
    run = wish.method.run
    assert run is not None
    shown = {} if wish.background is None else {"background": wish.background[:1]}
    layers = wish.layer if isinstance(wish.layer, tuple) else (wish.layer,)
    return _together([run(net, x, parameters, layer=layer, **shown) for layer in layers], wish)


def _together(found: Sequence[Answer], wish: Wish) -> Answer:
    """Return the answers at several layers as one: the mean of maps that add up, which adds up; else layer by layer."""
    if len(found) == 1:
        return found[0]
    assert isinstance(wish.layer, tuple)
    share = 1 / len(found) if wish.method.adds_up else 1.0
    return replace(
        found[0],
        contributions=tuple(share * one.contributions[0] for one in found),
        baseline=np.mean([one.baseline for one in found], axis=0),
        grids=wish.layer,
    )


# Behind the average the gradient is the same in every cell, and these are exact RAM: nothing has to be differentiated.
_CLOSED = ("grad-ram", "hirescam")


def place(
    net: Explained, sample: Callable[[], Inputs], wish: Wish, *, size: Sequence[int], shapes: Sequence[tuple[int, ...]]
) -> tuple[tuple[CellGeometry, ...], ...]:
    """Return where the cells of each grid of the method's maps lie in an input of `size`, (channel, *space)."""
    if wish.method.kind == "head":
        return net.cells(sample, size, shapes)
    if wish.method.kind == "layer":
        layers = wish.layer if isinstance(wish.layer, tuple) else (wish.layer,)
        return tuple(net.cells_at(one, sample, size, shape) for one, shape in zip(layers, shapes, strict=True))
    return (tuple(_every_value(cells) for cells in size[1:]),)


def _every_value(size: int) -> CellGeometry:
    index = np.arange(float(size))
    return CellGeometry(index, index, index, size)


def _of_input(net: Explained, x: Inputs, parameters: Tensor | None, wish: Wish, *, rows: slice) -> Answer:
    assert wish.background is not None
    assert wish.method.run is not None
    regions = None
    if wish.regions is not None:
        codes = np.asarray(wish.regions)
        own = codes[rows] if codes.ndim == x.ndim - 1 else codes[None]
        regions = torch.from_numpy(np.array(own, dtype=np.int64))  # a copy: torch warns of arrays that are read-only
    layer, maps = None if isinstance(wish.layer, tuple) else wish.layer, []
    for number in range(len(net.targets)):
        asked = Asked(
            net, x, parameters, number, wish.background, wish.options, regions, wish.batch_size, seed=wish.seed,
            ids=wish.ids[rows], apart=wish.channel is not None, layer=layer,
        )  # fmt: skip
        found = wish.method.run(asked).double()  # (batch, channel, *space)
        if wish.channel is None:
            found = found.sum(dim=1, keepdim=True)
        maps.append(found[:, [wish.channel]] if isinstance(wish.channel, int) else found)
    contributions = torch.stack(maps, dim=1).cpu().numpy()  # (batch, target, channel, *space)
    raw = net.raw(x, parameters)
    return Answer(
        contributions=(contributions * net.scale.reshape(-1, *(1,) * (contributions.ndim - 2)),),
        parameters=np.zeros((len(x), len(net.targets), len(net.parameter_names))),
        baseline=_background_answer(net, parameters, wish, batch=len(x)),
        prediction=net.in_unit(raw),
    )


def _background_answer(net: Explained, parameters: Tensor | None, wish: Wish, *, batch: int) -> NDArray[np.float64]:
    """Return what the net says of the background, beside each sample's own design parameters: (batch, target)."""
    background = wish.background
    assert background is not None
    if wish.method.name != "gradient-shap":
        background = background[:1]
    if parameters is None:
        mean = net.in_unit(net.raw(background, None)).mean(axis=0)
        return np.broadcast_to(mean, (batch, len(mean)))
    every = [
        net.in_unit(net.raw(background, own.expand(len(background), -1))).mean(axis=0) for own in parameters[:, None]
    ]
    return np.stack(every)


def _refuse(method: Method, what: str, allowed: str, got: object, next_step: str = "") -> NoReturn:
    raise ConfigError(
        explained(where=f"explain, method {method.name}", what=what, allowed=allowed, got=got, next_step=next_step)
    )
