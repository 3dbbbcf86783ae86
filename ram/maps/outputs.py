"""One output of what a net answers, whatever it answers with."""

from __future__ import annotations

__all__ = ["Choice", "output_of"]

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ram.errors import ModelError, explained, nearest

Choice = int | str | tuple[int | str, ...]
"""Which of a net's outputs: a column, a name, or a way through names and places to one."""


def output_of(y: object, output: Choice) -> Float[Tensor, " batch"]:
    """Return one output of what a net answers: see `ram.explain` for how it is named.

    >>> import torch
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
