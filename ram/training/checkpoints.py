"""The state of a training on disk: written after each epoch, from time to time, and when a signal asks to stop."""

from __future__ import annotations

__all__ = ["STATE", "Checkpoints"]

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from ram.errors import ConfigError, explained
from ram.storage.atomic import write_text
from ram.storage.tensors import read_tensors, write_tensors
from ram.training.course import history_table
from ram.training.engine import State
from ram.training.stopping import Stop
from ram.training.team import Team

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
    team
        The processes that train together: they leave after the same step, and the first one writes.
    """

    def __init__(
        self,
        folder: Path,
        *,
        belongs_to: Mapping[str, str],
        minutes: float,
        stop: Stop,
        team: Team | None = None,
    ) -> None:
        self.path = folder / STATE
        self._belongs_to, self._every_s, self._stop = dict(belongs_to), 60 * minutes, stop
        self._next = time.monotonic() + self._every_s
        self._history = ""
        self._team = team

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
            write_text(self.path.with_name("history.csv"), history_table(state.content["history"]))
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
        asked = self._team.any(self._stop.requested) if self._team else self._stop.requested
        if (asked or time.monotonic() >= self._next) and (self._team is None or self._team.first):
            self.write(state())
        if asked:
            if self._team:
                self._team.wait()  # who leaves while the state is being written has the others ended
            self._stop.leave()
