"""The convolutions of somebody else's net as a backbone: a list of known steps, and nothing that is code.

A recipe is plain data, as JSON holds it:

- ``ndim``, ``features``: as of every backbone;
- ``input``, ``output``: names of the first step's argument and of the step that returns the feature maps;
- ``layers``: by the user's own path, such as ``features.0``: its type and options;
- ``tensors``: parameters and buffers that steps use by themselves, by path: shape, type, whether they are learned;
- ``steps``: what is done, in order: ``name``, ``do`` (layer, function, method, tensor), ``of``, ``given``, ``options``;
- ``frozen``: paths of parameters that are not trained.
"""

from __future__ import annotations

__all__ = ["Recipe", "Trunk"]

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ram.errors import ModelError, explained
from ram.models.backbones import Backbone
from ram.models.operations import FUNCTIONS, LAYERS, METHODS, decoded
from ram.models.padding import Padding

Recipe = Mapping[str, Any]


class Trunk(Backbone):
    """A backbone that is built from a recipe; its layers keep the names that their owner gave them, below ``net``.

    Raises
    ------
    ModelError
        Where the recipe names a layer or function that is not known, or is none.

    >>> steps = [{"name": "conv", "do": "layer", "of": "0", "given": [{"step": "x"}], "options": {}}]
    >>> options = {"in_channels": 1, "out_channels": 2, "kernel_size": 3}
    >>> trunk = Trunk({"ndim": 1, "features": 2, "input": "x", "output": "conv", "layers": {"0": ["Conv1d", options]},
    ...                "tensors": {}, "steps": steps, "frozen": []})
    >>> trunk(torch.zeros(1, 1, 8)).shape
    torch.Size([1, 2, 6])
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe["ndim"], stage_features=(recipe["features"],), divisor=1)
        self.recipe = recipe
        self.net = nn.Module()
        for path, (kind, options) in recipe["layers"].items():
            _put(self.net, path, _layer(kind, options))
        for path, tensor in recipe["tensors"].items():
            _put_tensor(self.net, path, tensor)
        for path in recipe["frozen"]:
            self.net.get_parameter(path).requires_grad_(False)  # noqa: FBT003 - torch's
        self._steps = _with_ends([_Step.read(step) for step in recipe["steps"]], kept=recipe["output"])

    def stage_maps(
        self, x: Float[Tensor, "batch channel *space"], padding: Padding | None = None
    ) -> Iterator[Float[Tensor, "batch feature *cells"]]:
        """Yield the feature maps, as the net that this was cut from has them: it is one stage.

        Raises
        ------
        ModelError
            For signals of different length: nothing is known of what its layers make of padding.
        """
        if padding is not None:
            advice = "Leave lengths out: it takes padding for signal, as it has learned to"
            raise ModelError(
                explained(where="backbone", what="a net that knows padding", allowed="one of ram's own backbones",
                          got="an adapted net", next_step=advice)
            )  # fmt: skip
        values: dict[str, Any] = {self.recipe["input"]: x}
        for step, spent in self._steps:
            values[step.name] = step.run(self.net, values)
            for name in spent:
                del values[name]
        yield values[self.recipe["output"]]

    def check_size(self, space: Sequence[int]) -> None:
        """Raise ModelError where an input has another number of axes; how small it may be the layers themselves say."""
        if len(space) != self.ndim:
            got = " x ".join(map(str, space))
            allowed = f"{self.ndim} axes, as of the net that was adapted"
            raise ModelError(explained(where="backbone", what="the size of an input", allowed=allowed, got=got))


@dataclass(frozen=True)
class _Step:
    """One call; `of` is the path of a layer or tensor, or the name of a function or method."""

    name: str
    do: str
    of: str
    given: Any
    options: Mapping[str, Any]

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> _Step:
        step = cls(**content)
        known = {"function": FUNCTIONS, "method": METHODS}.get(step.do)
        if step.do not in {"layer", "tensor"} and (known is None or step.of not in known):
            raise ModelError(f"step {step.name} is a {step.do} {step.of!r}, which is not known")
        return step

    def run(self, net: nn.Module, values: Mapping[str, Any]) -> Any:
        if self.do == "tensor":
            return _tensor_at(net, self.of)
        given = decoded(self.given, values)
        options = {name: decoded(value, values) for name, value in self.options.items()}
        if self.do == "layer":
            return net.get_submodule(self.of)(*given, **options)
        return self._call(given)(*given[self.do == "method" :], **options)

    def _call(self, given: Sequence[Any]) -> Callable[..., Any]:
        if self.do == "function":
            return FUNCTIONS[self.of]
        if not isinstance(given[0], Tensor):
            raise ModelError(f"step {self.name} asks a {type(given[0]).__name__} for {self.of}")
        return getattr(given[0], self.of)  # type: ignore[no-any-return]

    def uses(self) -> set[str]:
        """Return the names of the steps whose results this one is given."""
        return set(_names_in([self.given, list(self.options.values())]))


def _names_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [value["step"]] if "step" in value else [name for one in value.values() for name in _names_in(one)]
    return [name for one in value for name in _names_in(one)] if isinstance(value, list) else []


def _with_ends(steps: Sequence[_Step], *, kept: str) -> list[tuple[_Step, tuple[str, ...]]]:
    """Return each step with the results that nobody needs after it, so that memory holds no more than it must."""
    last = {name: number for number, step in enumerate(steps) for name in (step.name, *step.uses())}
    return [
        (step, tuple(name for name, at in last.items() if at == number and name != kept))
        for number, step in enumerate(steps)
    ]


def _layer(kind: str, options: Mapping[str, Any]) -> nn.Module:
    if kind not in LAYERS:
        raise ModelError(f"layer type {kind!r}, which is not known")
    return LAYERS[kind](**{name: decoded(value, {}) for name, value in options.items()})


def _put(net: nn.Module, path: str, layer: nn.Module) -> None:
    """Place `layer` at a path such as ``features.0``, in plain modules that hold nothing else."""
    room, name = _room(net, path)
    room.add_module(name, layer)


def _put_tensor(net: nn.Module, path: str, content: Mapping[str, Any]) -> None:
    room, name = _room(net, path)
    values = torch.zeros(content["shape"], dtype=decoded({"dtype": content["dtype"]}, {}))
    if content["learned"]:
        room.register_parameter(name, nn.Parameter(values))
    else:
        room.register_buffer(name, values)


def _room(net: nn.Module, path: str) -> tuple[nn.Module, str]:
    *rooms, name = path.split(".")
    for room in rooms:
        if room not in net._modules:
            net.add_module(room, nn.Module())
        net = net.get_submodule(room)
    return net, name


def _tensor_at(net: nn.Module, path: str) -> Tensor:
    room, _, name = path.rpartition(".")
    holder = net.get_submodule(room)
    found = holder._parameters.get(name)
    return found if found is not None else holder._buffers[name]  # type: ignore[return-value]
