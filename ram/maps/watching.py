"""Watch a forward pass from outside: the calls that it makes, and what its modules return."""

from __future__ import annotations

__all__ = ["Calls", "LinearCall", "Results", "Watch", "result_of"]

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ram.maps.layers import known_layer
from ram.models.finer import every


@dataclass(frozen=True)
class LinearCall:
    """One call of a linear unit."""

    number: int
    input: Tensor
    weight: Tensor
    bias: Tensor | None
    output: Tensor


@dataclass
class Calls:
    """What a forward pass called: results that may be feature maps, and linear units."""

    results: dict[int, Tensor] = field(default_factory=dict)
    linears: dict[int, LinearCall] = field(default_factory=dict)


class Watch(TorchFunctionMode):
    """Number the calls of a forward pass and keep those that are `wanted`; all where it is None."""

    def __init__(self, wanted: Container[int] | None = None, *, thinned: int = -1, times: int = 1) -> None:
        super().__init__()
        self.calls = Calls()
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
            unit = LinearCall(self._number, named["input"], named["weight"], named.get("bias"), result)
            self.calls.linears[self._number] = unit
        elif isinstance(result, Tensor) and result.ndim > 2 and result.is_floating_point():
            unchanged = getattr(func, "__name__", "") == "flatten" and result.shape == args[0].shape  # cells in 1D
            if not unchanged:
                self.calls.results[self._number] = result


class Results:
    """What each module returns while a net runs, by name."""

    def __init__(self, net: nn.Module) -> None:
        self._net = net
        self._found: dict[str, list[Any]] = {}

    def __enter__(self) -> Results:
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


class result_of:  # noqa: N801 - used like a function
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
