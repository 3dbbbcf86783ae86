"""Which nonlinear functions a net calls outside modules: methods that change the rule of a module know none of them."""

from __future__ import annotations

__all__ = ["require_modules"]

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ram.errors import ModelError, explained

_FUNCTIONS = frozenset(
    ["relu", "relu_", "elu", "elu_", "leaky_relu", "leaky_relu_", "gelu", "silu", "sigmoid", "tanh", "softplus"]
    + [f"max_pool{ndim}d" for ndim in (1, 2, 3)]
)


class _Calls(TorchFunctionMode):
    """Note calls of nonlinear functions that no module of that kind made."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.found: list[str] = []
        self._within = 0
        self._parts = [part for part in module.modules() if not list(part.children())]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in _FUNCTIONS and not self._within:
            self.found.append(name)
        return func(*args, **(kwargs or {}))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within the block, calls inside torch's own layers do not count."""
        own = [part for part in self._parts if type(part).__module__.startswith("torch.nn.")]
        handles = [part.register_forward_pre_hook(lambda *_: self._step(1)) for part in own]
        handles += [part.register_forward_hook(lambda *_: self._step(-1)) for part in own]
        try:
            with self:
                yield
        finally:
            for handle in handles:
                handle.remove()

    def _step(self, by: int) -> None:
        self._within += by


def require_modules(module: nn.Module, x: Tensor, beside: Sequence[Tensor] | None, *, method: str) -> None:
    """Raise ModelError where a net calls nonlinear functions outside modules, so that no rule of a module's holds.

    Parameters
    ----------
    module
        Holds the net as its child ``module``.
    x, beside
        A batch of inputs and what the net is given beside it; the first sample is asked about.
    method
        Whose rules they are, for the message.
    """
    calls = _Calls(module)
    with torch.no_grad(), calls.watching():
        module(x[:1].clone(), *(one[:1] for one in beside or ()))
    if calls.found:
        found = ", ".join(sorted(set(calls.found)))
        raise ModelError(
            explained(
                where=f"explain, method {method}",
                what="the net",
                allowed="built of modules such as nn.ReLU(), which the method changes",
                got=f"a {type(module.module).__name__} that calls {found} as a function",
                next_step="Put a module in its place, one for each call, or use integrated-gradients",
            )
        )
