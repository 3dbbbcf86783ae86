"""The state of torch under which a run repeats to the bit."""

from __future__ import annotations

__all__ = ["repeatable"]

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils import deterministic


@contextmanager
def repeatable(threads: int) -> Iterator[None]:
    """Fix the number of threads and ask for deterministic algorithms; both as before afterwards."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    filled = deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]  # a property of the module
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(mode=True)
    # Nothing here reads memory before it is written; filling all of it first costs 5 % of a small net's step.
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
