"""What is remembered of nets: what depends on how they are built and on the size of their input, not on weights."""

from __future__ import annotations

__all__ = ["Cells", "Known", "Sample", "cells_of_layer", "forget", "known_of"]

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from jaxtyping import Float
from torch import Tensor, nn

from ram.maps.activation import structure_of
from ram.maps.heads import Head
from ram.maps.layers import known_layer
from ram.models.geometry import CellGeometry, trace_cells

Cells = tuple[CellGeometry, ...]
Sample = Callable[[], Float[Tensor, "batch channel *space"]]


@dataclass
class Known:
    """What is remembered of a net, by the size of its input: it costs a pass to find and holds for one structure."""

    structure: tuple[object, ...]
    cells: dict[tuple[object, ...], tuple[Cells, ...]] = field(default_factory=dict)
    heads: dict[tuple[object, ...], Head] = field(default_factory=dict)
    strides: dict[tuple[object, ...], tuple[int, ...]] = field(default_factory=dict)
    last: dict[tuple[object, ...], str] = field(default_factory=dict)


_KNOWN: WeakKeyDictionary[nn.Module, Known] = WeakKeyDictionary()


def known_of(module: nn.Module, parts: Sequence[nn.Module]) -> Known:
    """Return what is remembered of a net that is still built as it was."""
    structure, found = structure_of(parts), _KNOWN.get(module)
    if found is None or found.structure != structure:
        found = _KNOWN[module] = Known(structure)
    return found


def forget(module: nn.Module) -> None:
    """Remember nothing of a net: it runs another way than it did."""
    _KNOWN.pop(module, None)


def cells_of_layer(
    module: nn.Module, function: Callable[[Tensor], object], layer: str, x: Tensor
) -> tuple[CellGeometry, ...]:
    """Return where the cells of one layer's result lie; `function` runs the module on `x`."""
    part, seen = known_layer(module, layer), []
    handle = part.register_forward_hook(lambda _part, _inputs, result: seen.append(result))

    def result_of(one: Tensor) -> Tensor:
        function(one)
        return seen[-1]  # type: ignore[no-any-return]

    try:
        return trace_cells(result_of, x)
    finally:
        handle.remove()
