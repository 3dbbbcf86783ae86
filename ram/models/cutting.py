"""Cut a trained net where its feature maps are: what lies before becomes a backbone, what lies behind is left out.

The net is followed once on a few samples. It is cut at the last result of several cells with the input's axes that all
of its output passes through; average pools and dropout right before the cut are left out, for global average pooling
does the same. The copy that comes out is held against the net's own feature maps, for several samples and for one.
"""

from __future__ import annotations

__all__ = ["Cut", "cut"]

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

from ram.errors import ModelError, explained
from ram.models.copying import DROPOUTS, called, copied
from ram.models.following import Followed, follow
from ram.models.trunk import Trunk

Inputs = Float[Tensor, "batch channel *space"]

_AVERAGES = (nn.modules.pooling._AvgPoolNd, nn.modules.pooling._AdaptiveAvgPoolNd)
_DROPOUTS = (nn.modules.dropout._DropoutNd, nn.Identity)
_AVERAGE_FUNCTIONS = tuple(
    getattr(nn.functional, f"{kind}avg_pool{ndim}d") for kind in ("", "adaptive_") for ndim in (1, 2, 3)
)
_CALLS = ("call_module", "call_function", "call_method")


@dataclass(frozen=True)
class Cut:
    """A net in two.

    Attributes
    ----------
    trunk
        A copy of all that lies before the cut, in evaluation mode; its weights are the net's, bit for bit.
    layer
        Name of the layer or function after which the net was cut.
    features
        What it returned for the samples that the net was run on.
    output
        What the net answered for them.
    """

    trunk: Trunk
    layer: str
    features: Float[Tensor, "batch feature *cells"]
    output: Any


def cut(net: nn.Module, x: Inputs) -> Cut:
    """Return `net` cut where its feature maps are; run it within `ram.maps.activation.evaluating`.

    Parameters
    ----------
    net
        Any module of torch's layers and functions, nested as its owner likes, that is run on `x` alone.
    x
        Two samples such as the net was trained on.

    Raises
    ------
    ModelError
        Where the net cannot be followed, has no such place, more than dense layers lie behind it, or a layer before
        it is of a kind that cannot be kept as data.
    """
    run = follow(net, x)
    node = _place(run, x, net)
    _require_dense(run, node, net)
    node = _without_averages(run, node)
    features = run.values[node]
    trunk = copied(run.graph, run.root, node, ndim=x.ndim - 2, features=features.shape[1])
    _require_equal(trunk, x, features, f"{_called(node)} of the {type(net).__name__}")
    return Cut(trunk, _called(node), features, run.output)


def _require_equal(trunk: Trunk, x: Inputs, features: Tensor, where: str) -> None:
    """Hold the copy against the net's own feature maps: bit for bit, and alike for one sample."""
    with torch.no_grad():
        try:
            whole, one = trunk(x.clone()), trunk(x[:1].clone())
        except RuntimeError as error:  # a size that was built in
            whole, one = features, torch.full((), torch.nan)
            where = f"{where} ('{str(error).splitlines()[0]}')"
    same = whole.shape == features.shape and torch.equal(whole, features)
    alone = one.shape == features[:1].shape and torch.allclose(one, features[:1], rtol=1e-3, atol=1e-5)
    if not (same and alone):
        got = f"another answer at {where}" + (" for a single sample" if same else "")
        step = "Hooks, pruning and code that depends on the batch cannot be copied: make them permanent before"
        raise ModelError(_refused("the copy of the convolutions", "equal to the net's own", got, step))


def _place(run: Followed, x: Inputs, net: nn.Module) -> fx.Node:
    """Return the last node of several cells with the input's axes that all of the output passes through."""
    fitting = [node for node in run.nodes if node.op in _CALLS and _maps(run, node, x)]
    for node in reversed(fitting):
        if not _reaches(run, around=node):
            return node
    axes = f"{x.ndim - 2} axes of cells"
    got = f"a {type(net).__name__} without any" if not fitting else (
        f"a {type(net).__name__} in which ways lead round {', '.join(dict.fromkeys(map(_called, fitting[-3:])))}"
    )  # fmt: skip
    allowed = f"one whose whole output comes from feature maps of shape (batch, feature, {axes})"
    raise ModelError(_refused("the net", allowed, got, "Give ram.adapt the part of it that returns feature maps"))


def _maps(run: Followed, node: fx.Node, x: Inputs) -> bool:
    """Say whether a node's result is an activation of several cells; axes of cells must not have changed places."""
    value = run.values[node]
    if not isinstance(value, Tensor) or value.ndim != x.ndim or not value.is_floating_point():
        return False
    moved = any(row.axis != dimension - 2 for dimension, row in run.places[node].items())
    return len(value) == len(x) and value[0, 0].numel() > 1 and not moved


def _reaches(run: Followed, *, around: fx.Node) -> bool:
    """Say whether the output can be reached from the input without passing `around`."""
    start = run.nodes[0]
    seen, waiting = {around, start}, [start]
    while waiting:
        for user in waiting.pop().users:
            if user.op == "output":
                return True
            if user not in seen:
                seen.add(user)
                waiting.append(user)
    return False


def _require_dense(run: Followed, node: fx.Node, net: nn.Module) -> None:
    """Refuse a cut that would throw trained convolutions away."""
    behind, waiting = {node}, [node]
    while waiting:
        new = [user for user in waiting.pop().users if user not in behind]
        behind.update(new)
        waiting += new
    for one in behind - {node}:
        layer = run.root.get_submodule(str(one.target)) if one.op == "call_module" else None
        kernels = [] if layer is None else [weight for weight in layer.parameters() if weight.ndim > 2]
        value = run.values.get(one)
        if kernels and isinstance(value, Tensor) and value.ndim > 2 and value[0, 0].numel() > 1:
            got = f"a {type(net).__name__} with {_called(one)} behind {_called(node)}, in one of several branches"
            allowed = "one in which nothing but dense layers lies behind the last feature maps"
            step = "Give ram.adapt a part of it that ends in one feature map, such as a stage"
            raise ModelError(_refused("the net", allowed, got, step))


def _without_averages(run: Followed, node: fx.Node) -> fx.Node:
    """Step back over dropout and over average pools whose windows part the cells evenly."""
    while _kind(run, node) and node.all_input_nodes:
        before = node.all_input_nodes[0]
        same = run.values[before].ndim == run.values[node].ndim and torch.allclose(
            run.values[before].flatten(2).mean(2), run.values[node].flatten(2).mean(2), rtol=1e-4, atol=1e-6
        )
        if before.op == "placeholder" or not same:
            break
        node = before
    return node


def _kind(run: Followed, node: fx.Node) -> str:
    if node.op == "call_module":
        layer = run.root.get_submodule(str(node.target))
        return "average" if isinstance(layer, _AVERAGES) else "dropout" if isinstance(layer, _DROPOUTS) else ""
    if node.op == "call_function":
        functions = (("average", _AVERAGE_FUNCTIONS), ("dropout", DROPOUTS))
        return next((kind for kind, known in functions if any(node.target is one for one in known)), "")
    return ""


def _called(node: fx.Node) -> str:
    return called(node.op, node.target)


def _refused(what: str, allowed: str, got: str, next_step: str) -> str:
    return explained(where="ram.adapt", what=what, allowed=allowed, got=got, next_step=next_step)
