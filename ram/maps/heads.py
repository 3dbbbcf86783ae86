"""Find, in any net, the average and the linear unit that its output is made of.

A net ends in global average pooling and a linear unit where the numbers say so: an activation's mean over its cells
equals what goes into the linear unit, or the means of several activations in a row do. How the mean is written (a
module, ``x.mean``, a pooling function) does not matter, nor do dropout or several linear units in a row without an
activation between them.
"""

from __future__ import annotations

__all__ = ["Head", "Pooled", "find_head"]

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ram.errors import ModelError, explained
from ram.maps.outputs import Choice, output_of
from ram.maps.watching import Calls, LinearCall, Results, Watch, result_of


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
    with Watch() as watch, result_of(net, layer, seen), Results(net) as results:
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


def _last_linear(net: nn.Module, calls: Calls, y: Tensor, output: Choice) -> tuple[LinearCall, int]:
    """Return the linear unit that the output is a column of, and the column."""
    for unit in reversed(calls.linears.values()):
        if unit.output.ndim == 2 and len(unit.output) == len(y):
            columns = unit.output.shape[1]
            for column in sorted(range(columns), key=lambda c: c != output):
                if _same(unit.output[:, column], y):
                    return unit, column
    raise ModelError(_no_linear(net, calls))


def _chain(calls: Calls, last: LinearCall) -> Iterator[LinearCall]:
    """Yield `last` and the linear units before it, as long as one's output is the next one's input."""
    unit: LinearCall | None = last
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


def _no_linear(net: nn.Module, calls: Calls) -> str:
    got = f"a {type(net).__name__} without a linear unit"
    if calls.linears:
        last = next(reversed(calls.linears.values()))
        got = f"a {type(net).__name__} that changes the output of its last linear unit, {_name_of(net, last.weight)}"
    step = f"{_HOW}; leave what follows it to target_mean and target_scale. {_ELSE}"
    return explained(where="ram.explain, method ram", what="the net", allowed=_ASKED, got=got, next_step=step)


def _no_average(  # noqa: PLR0917 - all that is known
    net: nn.Module, unit: LinearCall, calls: Calls, layer: str | None, ndim: int, reached: int
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
