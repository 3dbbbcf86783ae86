"""The state of a training on disk: written after each epoch, from time to time, and when a signal asks to stop."""

from __future__ import annotations

__all__ = ["STATE", "Checkpoints"]

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from ram.errors import ConfigError, explained
from ram.storage.atomic import write_text
from ram.storage.tensors import read_tensors, write_tensors
from ram.training.engine import State
from ram.training.stopping import Stop

STATE = "training.safetensors"
_SCHEMA = "ram-training/1"


class Checkpoints:
    """Keeps the state of one training in its folder.

    Parameters
    ----------
    folder
        The run's.
    belongs_to
        What the state is of, such as digests of config and data: another one is not read.
    minutes
        Wall-clock time after which the state is kept again within an epoch.
    stop
        Says when to leave.
    """

    def __init__(self, folder: Path, *, belongs_to: Mapping[str, str], minutes: float, stop: Stop) -> None:
        self.path = folder / STATE
        self._belongs_to, self._every_s, self._stop = dict(belongs_to), 60 * minutes, stop
        self._next = time.monotonic() + self._every_s
        self._history = ""

    def read(self) -> State | None:
        """Return the state that was kept last; None where there is none yet.

        Raises
        ------
        DataError
            Any byte of it has changed.
        ConfigError
            It belongs to another training.
        """
        if not self.path.exists():
            return None
        tensors, content = read_tensors(self.path, schema=_SCHEMA, what="the state of a training")
        for name, wanted in self._belongs_to.items():
            if content.get(name) != wanted:
                got = f"one of {content.get(name)}"
                raise ConfigError(explained(where=str(self.path), what=f"the {name}", allowed=wanted, got=got))
        return State(tensors, content)

    def write(self, state: State) -> None:
        """Keep `state`, in place of the one before; history.jsonl has its epochs by then."""
        history = "".join(f"{row}\n" for row in state.content["history"])
        if history != self._history:
            write_text(self.path.with_name("history.jsonl"), history)
            self._history = history
        content = {**state.content, **self._belongs_to}
        write_tensors(self.path, state.tensors, content, schema=_SCHEMA)
        self._next = time.monotonic() + self._every_s

    def pause(self, state: Callable[[], State]) -> None:
        """Between two steps: keep the state where it is time, and leave where a signal has asked for it.

        Raises
        ------
        Stopped
            A signal has come; the state is kept.
        """
        if self._stop.requested or time.monotonic() >= self._next:
            self.write(state())
        self._stop.check()
