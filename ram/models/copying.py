"""Write a traced net down as the recipe of a `Trunk`, and copy its weights into one."""

from __future__ import annotations

__all__ = ["DROPOUTS", "called", "copied"]

from typing import Any

import torch
from torch import Tensor, fx, nn

from ram.errors import ModelError, explained
from ram.models.operations import LAYERS, METHODS, encoded, layer_options, name_of
from ram.models.trunk import Trunk

DROPOUTS = (
    *(getattr(nn.functional, f"{name}") for name in ("dropout", "dropout1d", "dropout2d", "dropout3d")),
    nn.functional.alpha_dropout,
    nn.functional.feature_alpha_dropout,
    torch.dropout,
)
"""Functions that do nothing to a net in evaluation mode; there they are left out."""


def copied(graph: fx.Graph, root: nn.Module, last: fx.Node, *, ndim: int, features: int) -> Trunk:
    """Return the part of a graph that ends in `last` as a backbone in evaluation mode, with copies of its weights.

    Parameters
    ----------
    root
        What the graph was traced from: a module whose ``net`` is the user's.
    ndim, features
        Of the input, and of the result of `last`.

    Raises
    ------
    ModelError
        For a layer or function that is not on the lists of `ram.models.operations`, or an argument that is no plain
        value.
    """
    writer, needed = _Writer(root), _before(last)
    for node in (node for node in graph.nodes if node in needed):
        writer.add(node)
    with torch.random.fork_rng(devices=[]):  # first weights are drawn, and not used
        trunk = Trunk(writer.recipe(last, ndim=ndim, features=features))
    trunk.load_state_dict(
        {f"net.{path}": tensor.detach().clone() for path, tensor in writer.state.items()}, assign=True
    )
    return trunk.eval()


def called(kind: str, target: Any) -> str:
    """Return what a user would call a step: the path of a layer, or the name of a function.

    >>> called("call_module", "net.features.3"), called("call_function", torch.relu)
    ('features.3', 'relu')
    """
    if kind == "call_module":
        return str(target).removeprefix("net.") or "the net itself"
    return str(getattr(target, "__name__", target))


def _before(last: fx.Node) -> set[fx.Node]:
    found, waiting = {last}, [last]
    while waiting:
        new = [node for node in waiting.pop().all_input_nodes if node not in found]
        found.update(new)
        waiting += new
    return found


class _Writer:
    """Steps, layers and weights of a recipe, node by node."""

    def __init__(self, root: nn.Module) -> None:
        self.state: dict[str, Tensor] = {}
        self._root = root
        self._steps: list[dict[str, Any]] = []
        self._layers: dict[str, Any] = {}
        self._tensors: dict[str, Any] = {}
        self._frozen: set[str] = set()
        self._input = ""
        self._same: dict[fx.Node, str] = {}  # steps that do nothing go by the name of the one before

    def recipe(self, last: fx.Node, *, ndim: int, features: int) -> dict[str, Any]:
        """Return all that was added, `last` being the feature maps."""
        return {
            "ndim": ndim,
            "features": features,
            "input": self._input,
            "output": self._name(last),
            "layers": self._layers,
            "tensors": self._tensors,
            "steps": self._steps,
            "frozen": sorted(self._frozen),
        }

    def add(self, node: fx.Node) -> None:
        """Add a node, with the layer or the tensor that it uses."""
        if node.op == "placeholder":
            self._input = node.name
        elif node.op == "get_attr":
            self._add_step(node, "tensor", self._add_tensor(str(node.target)))
        elif node.op == "call_module":
            self._add_step(node, "layer", self._add_layer(str(node.target)))
        elif node.op == "call_method":
            self._add_step(node, "method", _listed(node, str(node.target) if node.target in METHODS else None))
        elif node.target in DROPOUTS:
            self._same[node] = self._name(_undropped(node))
        else:
            self._add_step(node, "function", _listed(node, name_of(node.target)))  # type: ignore[arg-type]

    def _name(self, node: fx.Node) -> str:
        return self._same.get(node, node.name)

    def _step_of(self, value: Any) -> str | None:
        return self._name(value) if isinstance(value, fx.Node) else None

    def _add_step(self, node: fx.Node, do: str, of: str) -> None:
        try:
            given = [encoded(value, step_of=self._step_of) for value in node.args]
            options = {name: encoded(value, step_of=self._step_of) for name, value in node.kwargs.items()}
        except ModelError as reason:
            raise ModelError(_unknown(f"{called(node.op, node.target)} with {reason}")) from None
        self._steps.append({"name": node.name, "do": do, "of": of, "given": given, "options": options})

    def _add_layer(self, target: str) -> str:
        layer, path = self._root.get_submodule(target), target.removeprefix("net.").removeprefix("net") or "layer"
        if LAYERS.get(type(layer).__name__) is not type(layer):
            raise ModelError(_unknown(f"layer {path} of type {type(layer).__name__}"))
        self._layers[path] = [type(layer).__name__, {n: encoded(value) for n, value in layer_options(layer).items()}]
        self.state |= {f"{path}.{name}": value for name, value in layer.state_dict().items()}
        self._frozen |= {f"{path}.{name}" for name, weight in layer.named_parameters() if not weight.requires_grad}
        return path

    def _add_tensor(self, target: str) -> str:
        path = target.removeprefix("net.")
        room, _, name = target.rpartition(".")
        value: Tensor = getattr(self._root.get_submodule(room), name)
        learned = isinstance(value, nn.Parameter)
        kind = str(value.dtype).removeprefix("torch.")
        self._tensors[path] = {"shape": list(value.shape), "dtype": kind, "learned": learned}
        self.state[path] = value
        if learned and not value.requires_grad:
            self._frozen.add(path)
        return path


def _undropped(node: fx.Node) -> fx.Node:
    """Return what a dropout was given.

    Raises
    ------
    ModelError
        Where it is switched on in evaluation mode, too.
    """
    named = dict(zip(("input", "p", "training"), node.args, strict=False)) | node.kwargs
    if named.get("training", named.get("train", True)):
        raise ModelError(_unknown(f"{called(node.op, node.target)} that draws in evaluation mode, too"))
    source = named["input"]
    assert isinstance(source, fx.Node)
    return source


def _listed(node: fx.Node, name: str | None) -> str:
    if name is None:
        raise ModelError(_unknown(f"{called(node.op, node.target)}()"))
    return name


def _unknown(got: str) -> str:
    step = "Write it with layers of torch.nn, or give ram.adapt a part of the net without it"
    return explained(
        where="ram.adapt", what="what lies before the feature maps", allowed="made of torch's own layers and functions",
        got=got, next_step=step,
    )  # fmt: skip
