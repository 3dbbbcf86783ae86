"""Cut a trained net where its feature maps are: what lies before becomes a backbone, what lies behind is left out.

The net is followed once (torch.fx) and run on a few samples. It is cut at the last result of several cells with the
input's axes that all of its output passes through; average pools and dropout right before the cut are left out, for
global average pooling does the same. The copy that comes out is held against the net's own feature maps.
"""

from __future__ import annotations

__all__ = ["Cut", "cut"]

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

from ram.errors import ModelError, explained
from ram.models.copying import DROPOUTS, called, copied
from ram.models.operations import LAYERS
from ram.models.tracing import Trace
from ram.models.trunk import Trunk

Inputs = Float[Tensor, "batch channel *space"]

_WHERE = "ram.adapt"
_AVERAGES = (nn.modules.pooling._AvgPoolNd, nn.modules.pooling._AdaptiveAvgPoolNd)
_DROPOUTS = (nn.modules.dropout._DropoutNd, nn.Identity)
_AVERAGE_FUNCTIONS = tuple(
    getattr(nn.functional, f"{kind}avg_pool{ndim}d") for kind in ("", "adaptive_") for ndim in (1, 2, 3)
)


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
    with torch.no_grad(), _attributes_kept(net):
        graph, root = _followed(net)
        values, places = _run(graph, root, x)
        node = _place(graph, values, places, x, net)
        _require_dense(node, root, values, net)
        node = _without_averages(node, root, values)
        trunk = copied(graph, root, node, ndim=x.ndim - 2, features=values[node].shape[1])
        features = values[node]
        found = trunk(x)
    if found.shape != features.shape or not torch.equal(found, features):
        got = f"another answer at {_called(node)} than the {type(net).__name__} itself gives"
        step = "Hooks, pruning and code that changes with the input cannot be copied: make them permanent before"
        raise ModelError(_refused("the copy of the convolutions", "equal to the net's own", got, step))
    return Cut(trunk, _called(node), features, values[_output(graph)])


class _Alone(nn.Module):
    """A net that is given its input alone: other arguments of its forward pass keep their defaults."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Any:
        return self.net(x)


class _Follow(fx.Tracer):
    """Look into everything that is not one of torch's own layers."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:  # noqa: ARG002 - torch's
        torchs = type(m).__module__.startswith("torch.nn")
        return type(m) in LAYERS.values() or (torchs and not isinstance(m, (nn.Sequential, nn.ModuleList)))


def _followed(net: nn.Module) -> tuple[fx.Graph, _Alone]:
    root = _Alone(net)
    try:
        return _Follow().trace(root), root
    except Exception as error:  # whatever code of a user's may raise when it meets a stand-in for a tensor
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        got = f"a {type(net).__name__} that decides by its values or leaves torch ('{reason}')"
        step = "Give ram.adapt the part of it that is made of layers, or write the decision out of its forward pass"
        raise ModelError(_refused("the net", "one that runs the same way for every input", got, step)) from None


@contextmanager
def _attributes_kept(net: nn.Module) -> Iterator[None]:
    """Put back what a forward pass stores in its modules: it would hold stand-ins for tensors afterwards."""
    kept = [(part, dict(part.__dict__)) for part in net.modules()]
    try:
        yield
    finally:
        for part, attributes in kept:
            part.__dict__.clear()
            part.__dict__.update(attributes)


class _Recorder(fx.Interpreter):
    """Run a graph and keep every result, as it was when it was made."""

    def __init__(self, module: fx.GraphModule, trace: Trace) -> None:
        super().__init__(module)
        self.values: dict[fx.Node, Any] = {}
        self.places: dict[fx.Node, Any] = {}
        self._trace = trace

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.places[n] = self._trace.rows(result)
        self.values[n] = result.clone() if isinstance(result, Tensor) else result
        return result


def _run(graph: fx.Graph, root: _Alone, x: Inputs) -> tuple[dict[fx.Node, Any], dict[fx.Node, Any]]:
    """Return the result of every node, and where the cells of each tensor lie in `x`."""
    own = x.clone()
    with Trace(own) as trace:
        recorder = _Recorder(fx.GraphModule(root, graph), trace)
        recorder.run(own)
    return recorder.values, recorder.places


def _output(graph: fx.Graph) -> fx.Node:
    return next(node for node in reversed(_nodes(graph)) if node.op == "output")


def _nodes(graph: fx.Graph) -> list[fx.Node]:
    return list(graph.nodes)


def _place(
    graph: fx.Graph, values: dict[fx.Node, Any], places: dict[fx.Node, Any], x: Inputs, net: nn.Module
) -> fx.Node:
    """Return the last node of several cells with the input's axes that all of the output passes through."""
    fitting = [node for node in _nodes(graph) if node.op != "placeholder" and _maps(node, values, places, x)]
    for node in reversed(fitting):
        if not _reaches(graph, around=node):
            return node
    axes = f"{x.ndim - 2} axes of cells"
    got = f"a {type(net).__name__} without any" if not fitting else (
        f"a {type(net).__name__} in which ways lead round {', '.join(dict.fromkeys(map(_called, fitting[-3:])))}"
    )  # fmt: skip
    allowed = f"one whose whole output comes from feature maps of shape (batch, feature, {axes})"
    raise ModelError(_refused("the net", allowed, got, "Give ram.adapt the part of it that returns feature maps"))


def _maps(node: fx.Node, values: dict[fx.Node, Any], places: dict[fx.Node, Any], x: Inputs) -> bool:
    """Say whether a node's result is an activation of several cells; axes of cells must not have changed places."""
    value = values[node]
    if not isinstance(value, Tensor) or value.ndim != x.ndim or not value.is_floating_point():
        return False
    moved = any(row.axis != dimension - 2 for dimension, row in places[node].items())
    return len(value) == len(x) and value[0, 0].numel() > 1 and not moved and node.op in _CALLS


_CALLS = ("call_module", "call_function", "call_method")


def _reaches(graph: fx.Graph, *, around: fx.Node) -> bool:
    """Say whether the output can be reached from the input without passing `around`."""
    start = next(node for node in _nodes(graph) if node.op == "placeholder")
    seen, waiting = {around, start}, [start]
    while waiting:
        for user in waiting.pop().users:
            if user.op == "output":
                return True
            if user not in seen:
                seen.add(user)
                waiting.append(user)
    return False


def _require_dense(node: fx.Node, root: _Alone, values: dict[fx.Node, Any], net: nn.Module) -> None:
    """Refuse a cut that would throw trained convolutions away."""
    behind, waiting = {node}, [node]
    while waiting:
        new = [user for user in waiting.pop().users if user not in behind]
        behind.update(new)
        waiting += new
    for one in behind - {node}:
        layer = root.get_submodule(str(one.target)) if one.op == "call_module" else None
        kernels = [] if layer is None else [weight for weight in layer.parameters() if weight.ndim > 2]
        value = values[one]
        if kernels and isinstance(value, Tensor) and value.ndim > 2 and value[0, 0].numel() > 1:
            got = f"a {type(net).__name__} with {_called(one)} behind {_called(node)}, in one of several branches"
            allowed = "one in which nothing but dense layers lies behind the last feature maps"
            step = "Give ram.adapt a part of it that ends in one feature map, such as a stage"
            raise ModelError(_refused("the net", allowed, got, step))


def _without_averages(node: fx.Node, root: _Alone, values: dict[fx.Node, Any]) -> fx.Node:
    """Step back over dropout and over average pools whose windows part the cells evenly."""
    while _kind(node, root) in {"average", "dropout"} and node.all_input_nodes:
        before = node.all_input_nodes[0]
        same = values[before].ndim == values[node].ndim and torch.allclose(
            values[before].flatten(2).mean(2), values[node].flatten(2).mean(2), rtol=1e-4, atol=1e-6
        )
        if before.op == "placeholder" or not same:
            break
        node = before
    return node


def _kind(node: fx.Node, root: _Alone) -> str:
    if node.op == "call_module":
        layer = root.get_submodule(str(node.target))
        return "average" if isinstance(layer, _AVERAGES) else "dropout" if isinstance(layer, _DROPOUTS) else ""
    if node.op == "call_function":
        functions = (("average", _AVERAGE_FUNCTIONS), ("dropout", DROPOUTS))
        return next((kind for kind, known in functions if any(node.target is one for one in known)), "")
    return ""


def _called(node: fx.Node) -> str:
    return called(node.op, node.target)


def _refused(what: str, allowed: str, got: str, next_step: str) -> str:
    return explained(where=_WHERE, what=what, allowed=allowed, got=got, next_step=next_step)
