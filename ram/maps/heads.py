"""Find, in any net, the average and the linear unit that its output is made of.

A net ends in global average pooling and a linear unit where the numbers say so: an activation's mean over its cells
equals what goes into the linear unit, or the means of several activations in a row do. How the mean is written (a
module, ``x.mean``, a pooling function) does not matter, nor do dropout or several linear units in a row without an
activation between them.
"""

from __future__ import annotations

__all__ = [
    "Choice",
    "Head",
    "HeadCall",
    "Pooled",
    "features_at",
    "find_head",
    "output_of",
    "ran_another_way",
    "run_head",
]

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ram.errors import ModelError, explained, nearest
from ram.maps.layers import known_layer
from ram.models.finer import every

Choice = int | str | tuple[int | str, ...]
"""Which of a net's outputs: a column, a name, or a way through names and places to one."""


@dataclass(frozen=True)
class Pooled:
    """An activation whose means over its cells are inputs of the linear unit.

    Attributes
    ----------
    activation
        The number of the call that returns it, among those that the forward pass makes.
    columns
        Which inputs of the linear unit, (first, one after the last).
    summed
        The pooling is a sum over the cells, not a mean.
    """

    activation: int
    columns: tuple[int, int]
    summed: bool = False


@dataclass(frozen=True)
class Head:
    """Where one output of a net comes from.

    Attributes
    ----------
    pooled
        The activations that are pooled, one or several stages, in the order of the linear unit's inputs.
    linear
        The calls of the linear units between the means and the output, the last one first.
    column
        Which output of the last linear unit.
    names
        Of the modules that make these calls, each once in a pass: the activations', then the linear units'. Empty
        where one is no module's; modules are quicker to listen to than calls.
    """

    pooled: tuple[Pooled, ...]
    linear: tuple[int, ...]
    column: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class HeadCall:
    """What one pass through a net gave: ``output = sum over stages of weight mean(features) + bias``."""

    features: tuple[Float[Tensor, "batch feature *cells"], ...]
    weights: tuple[Float[Tensor, "1 feature"], ...]
    bias: Float[Tensor, " 1"]
    output: Float[Tensor, " batch"]
    finer: Float[Tensor, "batch feature *finer"] | None = None


@dataclass(frozen=True)
class _Linear:
    """One call of a linear unit."""

    number: int
    input: Tensor
    weight: Tensor
    bias: Tensor | None
    output: Tensor


@dataclass
class _Calls:
    """What a forward pass called: results that may be feature maps, and linear units."""

    results: dict[int, Tensor] = field(default_factory=dict)
    linears: dict[int, _Linear] = field(default_factory=dict)


class _Watch(TorchFunctionMode):
    """Number the calls of a forward pass and keep those that are `wanted`; all where it is None."""

    def __init__(self, wanted: Container[int] | None = None, *, thinned: int = -1, times: int = 1) -> None:
        super().__init__()
        self.calls = _Calls()
        self.finer: Tensor | None = None
        self._wanted, self._thinned, self._times = wanted, thinned, times
        self._number = -1

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self._number += 1
        if self._number == self._thinned:
            self.finer, result = result, every(result, self._times)
        if self._wanted is None or self._number in self._wanted:
            self._keep(func, args, kwargs or {}, result)
        return result

    def _keep(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        if func is nn.functional.linear:
            named = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
            unit = _Linear(self._number, named["input"], named["weight"], named.get("bias"), result)
            self.calls.linears[self._number] = unit
        elif isinstance(result, Tensor) and result.ndim > 2 and result.is_floating_point():
            unchanged = getattr(func, "__name__", "") == "flatten" and result.shape == args[0].shape  # cells in 1D
            if not unchanged:
                self.calls.results[self._number] = result


def find_head(
    net: nn.Module, x: Float[Tensor, "batch channel *space"], *, output: Choice, layer: str | None = None
) -> Head:
    """Return where ``net(x)[:, output]`` comes from.

    Run it within `ram.maps.activation.evaluating`, on one or two samples.

    Parameters
    ----------
    layer
        Name of the module whose result is averaged; found by itself if not given.

    Raises
    ------
    ModelError
        Where the net does not end in an average over cells and a linear unit, or has no such output or layer.
    """
    seen: list[Tensor] = []
    with _Watch() as watch, _result_of(net, layer, seen), _Results(net) as results:
        y = output_of(net(x), output)
    calls = watch.calls
    candidates = {n: a for n, a in calls.results.items() if a.ndim == x.ndim and (not layer or a is seen[-1])}
    bare = None if calls.linears else _bare_mean(candidates, y)
    if bare is not None:
        return bare
    last, column = _last_linear(net, calls, y, output)
    chain = list(_chain(calls, last))
    reached = 0
    for depth, unit in enumerate(chain, start=1):
        found, reached = _averaged(candidates, unit.input)
        if found:
            units = chain[:depth]
            activations = [calls.results[one.activation] for one in found]
            names = results.names_of(activations, [one.output for one in units])
            return Head(found, tuple(one.number for one in units), column, names)
    raise ModelError(_no_average(net, chain[-1], calls, layer, x.ndim, reached))


def run_head(
    net: nn.Module, x: Float[Tensor, "batch channel *space"], head: Head, *, output: Choice, times: int = 1
) -> HeadCall:
    """Return the feature maps of `x`, the linear unit that turns their mean into the output, and the output.

    Parameters
    ----------
    times
        The features, of a head with one activation, come on a grid that is finer `times` over; the net goes on with
        those of its own grid.

    Raises
    ------
    ModelError
        Where the net did not run the way it did when the head was found.
    """
    if head.names and times == 1:
        return _listen(net, x, head, output=output)
    activations = [one.activation for one in head.pooled]
    thinned = activations[0] if times > 1 else -1
    with _Watch({*activations, *head.linear}, thinned=thinned, times=times) as watch:
        y = output_of(net(x), output)
    calls = watch.calls
    if set(activations) != set(calls.results) or set(head.linear) != set(calls.linears):
        raise ModelError(ran_another_way(net))
    features = tuple(calls.results[number] for number in activations)
    folded = _folded([calls.linears[number] for number in head.linear], head.column, like=features[0])
    return replace(_head_call(net, head, features, folded, y), finer=watch.finer)


def _listen(net: nn.Module, x: Tensor, head: Head, *, output: Choice) -> HeadCall:
    """Do as `run_head` where modules make the calls."""
    parts: list[Any] = [net.get_submodule(name) for name in head.names]
    count = len(head.pooled)
    seen: dict[int, list[Any]] = {}
    handles = [part.register_forward_hook(partial(_note, seen, number)) for number, part in enumerate(parts[:count])]
    try:
        y = output_of(net(x), output)
    finally:
        for handle in handles:
            handle.remove()
    folded = _folded([_Linear(0, y, unit.weight, unit.bias, y) for unit in parts[count:]], head.column, like=y)
    features = tuple(seen[number][0] for number in sorted(seen) if len(seen[number]) == 1)
    if len(features) != count or not all(isinstance(one, Tensor) for one in features):
        raise ModelError(ran_another_way(net))
    return _head_call(net, head, features, folded, y)


def _note(seen: dict[int, list[Any]], number: int, _part: nn.Module, _inputs: object, result: Any) -> None:
    seen.setdefault(number, []).append(result)


def _head_call(
    net: nn.Module, head: Head, features: tuple[Tensor, ...], folded: tuple[Tensor, Tensor], y: Tensor
) -> HeadCall:
    """Return what one pass gave, the linear unit's columns parted among the activations."""
    weight, bias = folded
    widths = [last - first for first, last in (one.columns for one in head.pooled)]
    if [one.shape[1] for one in features] != widths or weight.shape[1] != sum(widths):
        raise ModelError(ran_another_way(net))
    weights = torch.split(weight, widths, dim=1) if len(widths) > 1 else (weight,)
    summed = zip(weights, head.pooled, features, strict=True)
    weights = tuple(own * maps[0, 0].numel() if one.summed else own for own, one, maps in summed)
    return HeadCall(features, weights, bias, y)


class _Results:
    """What each module returns while a net runs, by name."""

    def __init__(self, net: nn.Module) -> None:
        self._net = net
        self._found: dict[str, list[Any]] = {}

    def __enter__(self) -> _Results:
        named = self._net.named_modules()
        self._handles = [part.register_forward_hook(partial(self._note, name)) for name, part in named if name]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _note(self, name: str, _part: nn.Module, _inputs: object, result: Any) -> None:
        self._found.setdefault(name, []).append(result)

    def names_of(self, activations: Sequence[Tensor], outputs: Sequence[Tensor]) -> tuple[str, ...]:
        """Return the modules that these come from, the last ones linear units; none where one is no such module's."""
        names = [*(self._name(one, nn.Module) for one in activations), *(self._name(one, nn.Linear) for one in outputs)]
        return tuple(name for name in names if name) if all(names) else ()

    def _name(self, result: Tensor, kind: type[nn.Module]) -> str:
        fitting = [name for name, seen in self._found.items() if len(seen) == 1 and seen[0] is result]
        # A subclass or a parametrization may answer otherwise than by weight and bias.
        return next((n for n in fitting if kind is nn.Module or type(self._net.get_submodule(n)) is kind), "")


class _Reached(Exception):  # noqa: N818 - no error
    """The forward pass has got as far as was wanted."""

    def __init__(self, result: Tensor) -> None:
        super().__init__()
        self.result = result


class _StopAt(TorchFunctionMode):
    """End a forward pass at one of its calls."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._left = number

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if self._left == 0:
            raise _Reached(result)
        self._left -= 1
        return result


def features_at(net: nn.Module, x: Float[Tensor, "batch channel *space"], pooled: Pooled) -> Tensor:
    """Return the feature maps of `x` alone: what follows them in the net is not run."""
    try:
        with _StopAt(pooled.activation):
            net(x)
    except _Reached as reached:
        return reached.result
    raise ModelError(ran_another_way(net))


def _folded(units: Sequence[_Linear], column: int, *, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight (1, feature) and bias (1,) of linear units in a row, the last one first; of none, the identity's.

    `like` are the features, where there are no units.
    """
    if not units:
        weight = like.new_zeros(1, like.shape[1])
        weight[0, column] = 1
        return weight, like.new_zeros(1)
    weight, bias = units[0].weight[column : column + 1], units[0].weight.new_zeros(1)
    if units[0].bias is not None:
        bias = units[0].bias[column : column + 1]
    if len(units) > 1:
        weight, bias = weight.double(), bias.double()
    for unit in units[1:]:
        if unit.bias is not None:
            bias = bias + weight @ unit.bias.double()
        weight = weight @ unit.weight.double()
    return weight, bias


def output_of(y: object, output: Choice) -> Float[Tensor, " batch"]:
    """Return one output of what a net answers: see `ram.explain` for how it is named.

    >>> y = {"depth": torch.tensor([[1.0], [2.0]]), "both": (torch.zeros(2), torch.tensor([[3.0, 4.0], [5.0, 6.0]]))}
    >>> output_of(y, "depth"), output_of(y, ("both", 1, 0))
    (tensor([1., 2.]), tensor([3., 5.]))

    Raises
    ------
    ModelError
        Where the net has no such output; says what it has.
    """
    path = list(output) if isinstance(output, tuple) else [output]
    found = y
    while path and not isinstance(found, Tensor):
        found = _member(found, path.pop(0))
    if not isinstance(found, Tensor) or found.ndim not in {1, 2}:
        got = f"a tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise ModelError(
            explained(where="ram.explain", what="the net's output", allowed="of shape (batch,) or (batch, outputs)",
                      got=got, next_step="Wrap the net in a module that returns the numbers")
        )  # fmt: skip
    columns = found[:, None] if found.ndim == 1 else found
    count, column = columns.shape[1], path[0] if path else 0
    if len(path) > 1 or not isinstance(column, int) or not 0 <= column < count or (not path and count > 1):
        allowed = f"0 to {count - 1}, the net has {count} outputs"
        if path != [output]:
            allowed = f"a name and a column, 0 to {count - 1}: what is named has {count}"
        raise ModelError(explained(where="ram.explain", what="output", allowed=allowed, got=output))
    return columns[:, column]


def _member(found: object, step: int | str) -> object:
    """Return what a dict holds under a name, or a tuple at a place."""
    known: list[Any] = []
    if isinstance(found, Mapping):
        known = list(found)
        if step in found:
            return found[step]
    elif isinstance(found, (tuple, list)):
        known = list(range(len(found)))
        if step in known:
            return found[int(step)]
    if not known:
        got = type(found).__name__
        allowed = "a tensor, or a dict or tuple of tensors"
        raise ModelError(explained(where="ram.explain", what="the net's output", allowed=allowed, got=got))
    words = [str(name) for name in known]
    near = nearest(str(step), words) or "Name a column of it by a tuple: output=(name, column)"
    raise ModelError(explained(where="ram.explain", what="output", allowed=f"one of {', '.join(words)}", got=step,
                               next_step=near))  # fmt: skip


class _result_of:  # noqa: N801 - used like a function
    """Within the block, append to `seen` what the module called `layer` returns."""

    def __init__(self, net: nn.Module, layer: str | None, seen: list[Tensor]) -> None:
        self._seen = seen
        self._part = None if layer is None else known_layer(net, layer)

    def __enter__(self) -> None:
        self._handle = None if self._part is None else self._part.register_forward_hook(self._note)

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            self._handle.remove()

    def _note(self, _module: nn.Module, _inputs: object, result: Any) -> None:
        self._seen.append(result)


def _last_linear(net: nn.Module, calls: _Calls, y: Tensor, output: Choice) -> tuple[_Linear, int]:
    """Return the linear unit that the output is a column of, and the column."""
    for unit in reversed(calls.linears.values()):
        if unit.output.ndim == 2 and len(unit.output) == len(y):
            columns = unit.output.shape[1]
            for column in sorted(range(columns), key=lambda c: c != output):
                if _same(unit.output[:, column], y):
                    return unit, column
    raise ModelError(_no_linear(net, calls))


def _chain(calls: _Calls, last: _Linear) -> Iterator[_Linear]:
    """Yield `last` and the linear units before it, as long as one's output is the next one's input."""
    unit: _Linear | None = last
    while unit is not None:
        yield unit
        before = [u for u in calls.linears.values() if u.number < unit.number and u.output.shape == unit.input.shape]
        unit = next((u for u in reversed(before) if _same(u.output, unit.input)), None)


def _averaged(candidates: dict[int, Tensor], pooled: Tensor) -> tuple[tuple[Pooled, ...], int]:
    """Return which activations have `pooled` as their means (or sums), in a row, and how many columns have some.

    One activation for all columns is taken before several, a finer one before a coarser one, then the latest. What was
    pooled already is its own mean over one cell and says nothing.
    """
    if pooled.ndim != 2:
        return (), 0
    fitting = {n: a for n, a in candidates.items() if len(a) == len(pooled) and a[0, 0].numel() > 1}
    order = sorted(fitting, key=lambda n: (fitting[n].shape[1], fitting[n][0, 0].numel(), n), reverse=True)
    means = {n: fitting[n].flatten(2).mean(dim=2) for n in order}
    dead: set[int] = set()
    found = _row_of_means(means, fitting, pooled, 0, dead)
    return found or (), max(dead, default=0)


def _bare_mean(candidates: dict[int, Tensor], y: Tensor) -> Head | None:
    """Return the head of a net whose output is the mean of one feature itself, without a linear unit."""
    for number in sorted(candidates, key=lambda n: (candidates[n][0, 0].numel(), n), reverse=True):
        a = candidates[number]
        if len(a) != len(y) or a[0, 0].numel() == 1:
            continue
        for summed, values in ((False, a.flatten(2).mean(dim=2)), (True, a.flatten(2).sum(dim=2))):
            for column in range(a.shape[1]):
                if _same(values[:, column], y):
                    return Head((Pooled(number, (0, a.shape[1]), summed),), (), column)
    return None


def _row_of_means(
    means: dict[int, Tensor], activations: dict[int, Tensor], pooled: Tensor, first: int, dead: set[int]
) -> tuple[Pooled, ...] | None:
    """Return the activations whose means are the columns from `first` on; `dead` are columns where none begins."""
    if first == pooled.shape[1]:
        return ()
    for number, mean in means.items():
        last = first + mean.shape[1]
        if last > pooled.shape[1] or last in dead:
            continue
        cells, wanted = activations[number][0, 0].numel(), pooled[:, first:last]
        for summed, value in ((False, mean), (True, mean * cells)):
            if _same(value, wanted):
                rest = _row_of_means(means, activations, pooled, last, dead)
                if rest is not None:
                    return (Pooled(number, (first, last), summed), *rest)
    dead.add(first)
    return None


def _same(a: Tensor, b: Tensor) -> bool:
    precise = {torch.float64: 1e-9, torch.float32: 1e-4}.get(b.dtype, 2e-2)
    size = float(b.abs().max()) if b.numel() else 0.0
    return bool(torch.allclose(a.double(), b.double(), rtol=0.0, atol=precise * size + 1e-30))


def _name_of(net: nn.Module, weight: Tensor) -> str:
    names = {id(parameter): name.removesuffix(".weight") for name, parameter in net.named_parameters()}
    return names.get(id(weight), "a linear function")


_ASKED = "a net whose output is a linear unit on the mean of an activation over its cells"
_HOW = "End the net in AdaptiveAvgPool, Flatten and Linear"
_ELSE = "For this net as it is: method integrated-gradients (complete), or grad-ram at a layer (first-order)"


def _no_linear(net: nn.Module, calls: _Calls) -> str:
    got = f"a {type(net).__name__} without a linear unit"
    if calls.linears:
        last = next(reversed(calls.linears.values()))
        got = f"a {type(net).__name__} that changes the output of its last linear unit, {_name_of(net, last.weight)}"
    step = f"{_HOW}; leave what follows it to target_mean and target_scale. {_ELSE}"
    return explained(where="ram.explain, method ram", what="the net", allowed=_ASKED, got=got, next_step=step)


def _no_average(  # noqa: PLR0917 - all that is known
    net: nn.Module, unit: _Linear, calls: _Calls, layer: str | None, ndim: int, reached: int
) -> str:
    width = unit.input.shape[1]
    fitting = [tuple(a.shape[2:]) for a in calls.results.values() if a.ndim == ndim and a.shape[1] == width]
    found = f"activations of {width} channels have cells {fitting[-1]}, another mean" if fitting else (
        f"no activation has {width} channels"
    )  # fmt: skip
    got = f"{width} inputs of {_name_of(net, unit.weight)} that are no such mean ({found})"
    if reached:
        got = f"{width} inputs of {_name_of(net, unit.weight)}, of which those from {reached} on are no such mean"
    if layer is not None:
        got = f"layer {layer}, whose mean is not what goes into {_name_of(net, unit.weight)}"
    step = f"{_HOW}, without anything between pooling and linear unit. {_ELSE}"
    return explained(where="ram.explain, method ram", what="the net", allowed=_ASKED, got=got, next_step=step)


def ran_another_way(net: nn.Module) -> str:
    """Say that a net's calls are not those that were found."""
    return explained(
        where="ram.explain, method ram", what="the net", allowed="run the same way for every batch",
        got=f"a {type(net).__name__} whose calls differ from batch to batch", next_step="Explain samples one by one",
    )  # fmt: skip
