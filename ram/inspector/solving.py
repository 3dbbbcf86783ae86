"""The simulator behind "ask the solver", in a process of its own: it may take its time, and may crash."""

from __future__ import annotations

__all__ = ["Solver"]

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ram.axes import Axis
from ram.inspector.lanes import Helper, Left

Given = tuple[np.ndarray[Any, Any], tuple[Axis, ...]]


class Solver:
    """Says what physics makes of an input.

    Parameters
    ----------
    entry
        ``module:function`` or ``file.py:function``, as `ram.data.simulators` has it.
    """

    def __init__(self, entry: str) -> None:
        self.entry = entry
        self._helper = Helper(_solving, entry)

    async def check(self) -> None:
        """Refuse a simulator that cannot be loaded.

        Raises
        ------
        ConfigError
            Why it cannot.
        """
        await self._helper.ask(None, _never)

    async def ask(self, x: np.ndarray[Any, Any], axes: Sequence[Axis], left: Left) -> dict[str, float]:
        """Return the targets of one input, by name, in the units of its file.

        Raises
        ------
        SolverError
            It could not be solved, or the simulator took its process down.
        """
        found: dict[str, float] = await self._helper.ask((x, tuple(axes)), left)
        return found

    def stop(self) -> None:
        """End the process."""
        self._helper.stop()


def _solving(entry: str) -> Callable[[Given | None], dict[str, float] | None]:
    """Return what answers, in the process; None asks for nothing but that the simulator is there."""
    from ram.data.simulators import load_simulator

    simulator = load_simulator(entry)
    return lambda given: None if given is None else simulator(*given)


async def _never() -> bool:
    return False
