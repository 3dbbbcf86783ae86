"""Follow a net of somebody else's while it runs on real samples: every step, what it gave, where its cells lie.

The steps are torch.fx's; beside each stand-in for a tensor the tensor itself is at hand. Code that asks for shapes and
numbers of axes therefore runs as it always does; code that decides by the values of a tensor is refused.
"""

from __future__ import annotations

__all__ = ["Followed", "follow"]

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

from ram.errors import ModelError, explained
from ram.models.operations import LAYERS
from ram.models.tracing import Rows, Trace

Inputs = Float[Tensor, "batch channel *space"]


@dataclass(frozen=True)
class Followed:
    """A run of a net.

    Attributes
    ----------
    graph, root
        The steps; layers and tensors are found by their path in `root`, whose ``net`` is the user's.
    values
        What each step gave, as it was when it was made.
    places
        Where the cells of each tensor lie in the input.
    output
        What the net answered.
    """

    graph: fx.Graph
    root: nn.Module
    values: dict[fx.Node, Any]
    places: dict[fx.Node, Rows]
    output: Any

    @property
    def nodes(self) -> list[fx.Node]:
        """All steps in order: the input first, the output last."""
        return list(self.graph.nodes)


def follow(net: nn.Module, x: Inputs) -> Followed:
    """Return the steps of `net` on `x`; the net's attributes are afterwards as they were.

    Raises
    ------
    ModelError
        Where the net decides by the values of a tensor, or does something that torch does not know of.
    """
    root = _Alone(net)
    with torch.no_grad(), _attributes_kept(net), Trace(own := x.clone()) as trace:
        tracer = _Follower(own, trace)
        try:
            graph = tracer.trace(root)
        except Exception as error:  # whatever code of a user's may raise when it meets a stand-in for a tensor
            raise ModelError(_not_followed(net, error)) from None
    last = next(node for node in reversed(list(graph.nodes)) if node.op == "output")
    output = fx.node.map_arg(last.args[0], lambda node: tracer.live[node])
    return Followed(graph, root, tracer.values, tracer.places, output)


class _Alone(nn.Module):
    """A net that is given its input alone: other arguments of its forward pass keep their defaults."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Any:
        return self.net(x)


class _Follower(fx.Tracer):
    """Look into everything that is not one of torch's own layers, and run each step as it is met."""

    def __init__(self, x: Inputs, trace: Trace) -> None:
        super().__init__()
        self.live: dict[fx.Node, Any] = {}
        self.values: dict[fx.Node, Any] = {}
        self.places: dict[fx.Node, Rows] = {}
        self._x, self._trace, self._running = x, trace, False

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:  # noqa: ARG002 - torch's
        """Say whether a module is a step of its own."""
        torchs = type(m).__module__.startswith("torch.nn")
        return type(m) in LAYERS.values() or (torchs and not isinstance(m, (nn.Sequential, nn.ModuleList)))

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Run a module that is met while a step runs; note it as a step otherwise."""
        return forward(*args, **kwargs) if self._running else super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: Any) -> Any:
        """Hand out weights themselves while a step runs, stand-ins otherwise."""
        return attr_val if self._running else super().getattr(attr, attr_val, parameter_proxy_cache)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Return the stand-in for what a step gives."""
        return _Known(node, self)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        """Note a step, and run it."""
        node = super().create_node(*args, **kwargs)
        if node.op != "output":
            result = self._run(node)
            self.live[node] = result
            self.values[node] = result.clone() if isinstance(result, Tensor) else result
            self.places[node] = self._trace.rows(result) if isinstance(result, Tensor) else {}
        return node

    def _run(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return self._x
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda one: self.live[one])
        self._running = True
        try:
            if node.op == "get_attr":
                return _attribute_at(self.root, str(node.target))
            if node.op == "call_module":
                return self.root.get_submodule(str(node.target))(*args, **kwargs)
            if node.op == "call_method":
                return getattr(args[0], str(node.target))(*args[1:], **kwargs)
            return node.target(*args, **kwargs)  # type: ignore[operator]  # op is call_function
        finally:
            self._running = False

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Let code decide by shapes; not by values, which differ from sample to sample."""
        value = self.live[obj.node]
        return super().to_bool(obj) if isinstance(value, Tensor) else bool(value)

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        """Let code take the parts of a tuple, such as a shape."""
        value = self.live[obj.node]
        if isinstance(value, (tuple, list)):
            parts: Any = obj  # a stand-in answers to square brackets, whatever its type says
            return iter([parts[number] for number in range(len(value))])
        return super().iter(obj)


class _Known(fx.Proxy):
    """A stand-in whose number of axes, length and, where it is no tensor, value are known."""

    def __getattr__(self, k: str) -> Any:
        return self._value().ndim if k == "ndim" else _KnownAttribute(self, k)

    def __len__(self) -> int:
        return len(self._value())

    def __index__(self) -> int:
        return self._number("an index")

    def __int__(self) -> int:
        return self._number("a whole number")

    def _value(self) -> Any:
        return self.tracer.live[self.node]  # type: ignore[attr-defined]  # it is a _Follower

    def _number(self, what: str) -> int:
        value = self._value()
        if isinstance(value, Tensor):
            raise fx.proxy.TraceError(f"the values of a tensor are used as {what}")
        return int(value)


class _KnownAttribute(fx.proxy.Attribute, _Known):
    """What a net asks of a tensor, such as its shape, or a method of it before it is called."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.root._value().ndim if self.attr in {"dim", "ndimension"} else super().__call__(*args, **kwargs)


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


def _attribute_at(root: Any, path: str) -> Any:
    for name in path.split("."):
        root = getattr(root, name)
    return root


def _not_followed(net: nn.Module, error: Exception) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return explained(
        where="ram.adapt", what="the net", allowed="one that runs the same way for every input",
        got=f"a {type(net).__name__} that decides by its values or leaves torch ('{reason}')",
        next_step="Give ram.adapt the part of it that is made of layers, or write the decision out of its forward pass",
    )  # fmt: skip
