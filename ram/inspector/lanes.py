"""Who works on what: quick questions in one thread of the server, slow ones in a process of their own.

The net answers one question at a time. What takes seconds, or may crash (a solver of the user's), is done by a helper
process: it disturbs neither quick questions nor the random numbers of the server, and is ended when nobody waits any
more.
"""

from __future__ import annotations

__all__ = ["Gone", "Helper", "Lane"]

import asyncio
import contextlib
import multiprocessing
import os
import signal
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from ram.errors import SolverError, explained

Kind = TypeVar("Kind")
Left = Callable[[], Awaitable[bool]]

_LONGEST_PAUSE_S = 0.1
_PREPARE = "prepare"
_NICENESS = 10  # a tenth of the share of a core that quick questions, and the browser, have beside it


class Gone(Exception):  # noqa: N818 - it is no error: who asked has left
    """Nobody waits for the answer."""


class Lane:
    """One thread that answers in the order of the questions, and skips those whose askers have left."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ram-inspect")

    async def do(self, work: Callable[[], Kind], left: Left) -> Kind:
        """Return what `work` returns, or raise `Gone`."""
        async with self._turn:
            if await left():
                raise Gone
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)


class Helper:
    """A process that answers questions, one at a time; it is started by the first one, or ahead of it.

    Once prepared it runs at low priority: who waits for a slow answer does not hold up those who ask quick ones.

    Parameters
    ----------
    prepare
        Called in the process: returns what answers. A function of a module, as processes are handed their names.
    arguments
        Of `prepare`.
    """

    def __init__(self, prepare: Callable[..., Callable[[Any], Any]], *arguments: Any) -> None:
        self._prepare, self._arguments = prepare, arguments
        self._turn = asyncio.Lock()
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None

    async def start_ahead(self) -> None:
        """Let the process start and prepare, so that the first question finds it ready."""
        async with self._turn:
            if self._process is None:
                await asyncio.to_thread(self._send, _PREPARE)

    async def ask(self, question: Any, left: Left) -> Any:
        """Return the answer to a question, or raise what the process raised.

        The process is ended where the asker leaves before it has answered.

        Raises
        ------
        SolverError
            The process died.
        """
        async with self._turn:
            if await left():
                raise Gone
            answered = False
            try:
                connection = await asyncio.to_thread(self._send, question)
                await _ready(connection, left)
                kind, answer = connection.recv()
                answered = True
            except (EOFError, OSError) as error:
                raise self._died() from error
            finally:
                if not answered:
                    self.stop()
        if kind == "raised":
            raise answer
        return answer

    def _send(self, question: Any) -> Connection:
        """Send to the process, which is started if need be; waits for it where the pipe does not hold all."""
        connection = self._started()
        connection.send(question)
        return connection

    def _started(self) -> Connection:
        if self._process is None or not self._process.is_alive() or self._connection is None:
            self.stop()
            context = multiprocessing.get_context("spawn")
            self._connection, theirs = context.Pipe()
            words = (theirs, self._prepare, self._arguments)
            self._process = context.Process(target=_work, args=words, daemon=True, name="ram-inspect-helper")
            self._process.start()
            theirs.close()
        return self._connection

    def _died(self) -> SolverError:
        code = None if self._process is None else self._process.exitcode
        return SolverError(
            explained(where="inspect", what="the process that computes this", allowed="alive until it has answered",
                      got=f"exit code {code}", next_step="It starts again with the next question")
        )  # fmt: skip

    def stop(self) -> None:
        """End the process; the next question starts another one."""
        if self._process is not None and self._process.pid is not None:
            self._process.kill()
            self._process.join()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None


async def _ready(connection: Connection, left: Left) -> None:
    """Wait until there is something to receive, or raise `Gone`."""
    pause = 0.002
    while not connection.poll():
        await asyncio.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_PAUSE_S)
        if await left():
            raise Gone


def _work(connection: Connection, prepare: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...]) -> None:
    """Answer until nobody asks any more; in the helper process."""
    with contextlib.suppress(ValueError):  # Ctrl-C is for the server, which ends this one
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    answer: Callable[[Any], Any] | None = None
    with contextlib.suppress(EOFError, OSError):
        while True:
            question = connection.recv()
            try:
                answer = answer or _prepared(prepare, arguments)
                if question != _PREPARE:
                    connection.send(("done", answer(question)))
            except Exception as error:  # whatever a solver raises is said on the page
                if question != _PREPARE:  # else it is said where somebody asks
                    connection.send(("raised", _portable(error)))


def _prepared(prepare: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...]) -> Callable[[Any], Any]:
    """Return what answers; from then on this process gives way to others."""
    answer = prepare(*arguments)
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    return answer


def _portable(error: Exception) -> Exception:
    """Return an error that another process can take: one of the package's own, or its words."""
    if type(error).__module__ == "ram.errors":
        return error
    return SolverError(f"{type(error).__name__}: {error}")
