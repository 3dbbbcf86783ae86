"""Signals that ask a training to stop: it leaves at a place from which it can go on."""

from __future__ import annotations

__all__ = ["Stop", "stopping"]

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from ram.errors import Stopped

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))
# One press of Ctrl-C or one `timeout` may reach a process twice, by itself and by its group.
_SAME_S = 0.1


class Stop:
    """Whether a signal has asked to stop.

    Attributes
    ----------
    says
        What `Stopped` tells the user beside the signal's name: how to go on.
    """

    def __init__(self) -> None:
        self.says = "nothing was written"
        self._signal: signal.Signals | None = None
        self._when = 0.0
        self._at_once = False
        self._before: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self._signal is not None

    def check(self) -> None:
        """Leave if a signal has come.

        Raises
        ------
        Stopped
            A signal has come.
        """
        if self._signal is not None:
            number, self._signal = self._signal, None
            raise Stopped(f"Stopped by {number.name}: {self.says}.")

    def leave(self) -> None:
        """Leave, for a signal has come to this or to another process of the same training.

        Raises
        ------
        Stopped
            Always.
        """
        self.check()
        raise Stopped(f"Stopped with another process: {self.says}.")

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Leave at whatever place a signal finds the body; for a body that writes nothing."""
        self.check()
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def _install(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}

    def _put_back(self) -> None:
        before, self._before = self._before, {}
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _receive(self, number: int, _: FrameType | None) -> None:
        if self._when and time.monotonic() - self._when > _SAME_S:
            self._put_back()
            signal.raise_signal(number)  # whatever it did before
            return
        self._when = self._when or time.monotonic()
        self._signal = signal.Signals(number)
        if self._at_once:
            self.check()


@contextlib.contextmanager
def stopping() -> Iterator[Stop]:
    """Yield what says whether SIGINT, SIGTERM or SIGUSR1 has come; a second one does what it did before.

    Signals are taken in the main thread only, as Python has it; elsewhere nothing changes. Afterwards all is as before.

    Raises
    ------
    Stopped
        At the end of the body, where a signal has come that nothing in it has answered.
    """
    stop = Stop()
    stop._install()
    try:
        yield stop
        stop.check()
    finally:
        stop._put_back()
