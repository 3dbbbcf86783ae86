"""The state of torch under which a run repeats to the bit."""

from __future__ import annotations

__all__ = ["repeatable"]

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def repeatable(threads: int) -> Iterator[None]:
    """Fix the number of threads and ask for deterministic algorithms; both as before afterwards."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(mode=True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
