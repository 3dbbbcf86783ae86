"""The server of the page: which address answers what, and how it starts and ends."""

from __future__ import annotations

__all__ = ["Server", "listening"]

import asyncio
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ram.data.units import convert
from ram.errors import ConfigError, RamError, explained
from ram.inspector import answers
from ram.inspector.asking import QUESTIONS, answered, is_slow, slow_answers
from ram.inspector.files import Taken
from ram.inspector.gate import Gate, Keys
from ram.inspector.inspection import Inspection
from ram.inspector.lanes import Gone, Helper, Lane
from ram.inspector.questions import MapOf, Solve, question_in
from ram.inspector.solving import Solver
from ram.storage.plain import plain
from ram.storage.sections import Section

Handler = Callable[[Request], Awaitable[Response]]

_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_FRAME = "application/octet-stream"
_PAUSE_S = 2.0


@dataclass(eq=False)
class Server:
    """Serves the page of one run on one socket of this machine.

    Parameters
    ----------
    looked
        What is shown.
    socket
        Bound to 127.0.0.1, as `listening` returns it.
    path, data
        Where `looked` was opened, for the process that answers slow questions.
    solver
        What says what physics makes of an input; None: nothing does.
    ahead
        Start the process of slow questions in the first pause after a map was seen, not when one is asked.
    """

    looked: Inspection
    socket: socket.socket
    path: Path
    data: Path | None = None
    solver: Solver | None = None
    ahead: bool = False
    keys: Keys = field(default_factory=Keys, repr=False)

    def __post_init__(self) -> None:
        self._quick = Lane()
        self._starting: asyncio.Task[None] | None = None
        self._asked_s = 0.0
        self._slow = Helper(slow_answers, self.path, self.data, self.looked.predictions)
        app = Starlette(routes=[*_pages(), *self._routes()])
        config = uvicorn.Config(
            Gate(app, port=self.port, keys=self.keys), log_level="error", access_log=False, server_header=False,
            ws="none", lifespan="off", timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._uvicorn = _Uvicorn(config, at_end=self._end)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.socket.getsockname()[1])

    @property
    def address(self) -> str:
        """What opens the page; the key is behind the #, which no browser sends."""
        return f"http://127.0.0.1:{self.port}/#{self.keys.token}"

    def warm_up(self) -> None:
        """Compute one map: the first one takes longest, and the page begins with it."""
        try:
            self.looked.map_of(MapOf(sample=0, target=next(iter(self.looked.run.units))))
        except RamError:
            return  # the page says what is wrong with this sample

    def open_browser(self) -> None:
        """Open the page in the user's browser, with a ticket that is worth nothing once it has been used."""
        address = f"http://127.0.0.1:{self.port}/#{self.keys.ticket}"
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    def run(self) -> None:
        """Serve until a signal or `stop` ends it.

        Raises
        ------
        KeyboardInterrupt
            Ctrl-C; everything has been closed.
        """
        self._uvicorn.run(sockets=[self.socket])

    def stop(self) -> None:
        """End `run`, from any thread."""
        self._uvicorn.should_exit = True

    def _end(self) -> None:
        for helper in (self._slow, self.solver):
            if helper is not None:
                helper.stop()

    def _routes(self) -> list[Route]:
        handlers: dict[str, Handler] = {
            "enter": self._enter,
            "run": partial(self._known, answers.overview, simulator=None if self.solver is None else self.solver.entry),
            "samples": partial(self._known, answers.samples),
            "solve": self._solve,
            **{name: partial(self._ask, model) for name, model in QUESTIONS.items()},
        }
        return [Route(f"/api/{name}", _spoken(handler), methods=["POST"]) for name, handler in handlers.items()]

    async def _enter(self, request: Request) -> Response:
        """Give the token for a ticket."""
        token = self.keys.exchange(question_in(_Ticket, await request.body()).ticket)
        if token is None:
            return JSONResponse({"error": "Open the address that 'ram inspect' printed: it holds the key."}, 401)
        return JSONResponse({"token": token})

    async def _known(self, answer: Callable[..., bytes], request: Request, **words: Any) -> Response:
        """Answer a question that has no parameters."""
        await request.body()
        left = request.is_disconnected
        return Response(await self._quick.do(partial(answer, self.looked, **words), left), media_type=_FRAME)

    async def _ask(self, model: type[Section], request: Request) -> Response:
        question, left = question_in(model, await request.body()), request.is_disconnected
        if is_slow(self.looked, question):
            found = await self._slow.ask(question, left)
        else:
            found = await self._quick.do(partial(answered, self.looked, question), left)
            self._asked_s = time.monotonic()
            if self.ahead and self._starting is None and isinstance(question, MapOf):
                self._starting = asyncio.create_task(self._start_ahead())
        return _taken(found) if isinstance(found, Taken) else Response(found, media_type=_FRAME)

    async def _start_ahead(self) -> None:
        """Start the process of slow questions when nobody has asked for a while: starting takes a processor."""
        while (left := self._asked_s + _PAUSE_S - time.monotonic()) > 0:
            await asyncio.sleep(left)
        await self._slow.start_ahead()

    async def _solve(self, request: Request) -> Response:
        """Say what the simulator makes of an input."""
        if self.solver is None:
            step = "Start again with --simulator MODULE:FUNCTION, such as ram.physics.wheel:frequencies"
            raise ConfigError(
                explained(where="solver", what="a simulator", allowed="given", got="none", next_step=step)
            )
        asked, left = question_in(Solve, await request.body()), request.is_disconnected
        target = next(iter(self.looked.run.units))
        question = MapOf(sample=asked.sample, target=target, edits=asked.edits)
        given = await self._quick.do(lambda: (self.looked.sample(question).x()[0], self.looked.data.axes), left)
        found = await self.solver.ask(*given, left)
        return JSONResponse({"targets": plain(self._in_unit(found))})

    def _in_unit(self, found: dict[str, float]) -> dict[str, dict[str, object]]:
        """Return what the simulator found, in the units of the run's targets, with words; only what the net knows."""
        units, known = self.looked.data.targets, {}
        for name, unit in self.looked.run.units.items():
            if name in found:
                value = float(convert(np.array(found[name]), unit=units.get(name, unit), to=unit))
                known[name] = {"value": value, "said": self.looked.writer(name).value(value)}
        return known


class _Ticket(Section):
    ticket: str


class _Uvicorn(uvicorn.Server):
    """A server that says when it ends, before the signal that ended it is raised again."""

    def __init__(self, config: uvicorn.Config, *, at_end: Callable[[], None]) -> None:
        super().__init__(config)
        self._at_end = at_end

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        self._at_end()


def listening(port: int = 0) -> socket.socket:
    """Return a socket that listens on this machine alone; on any free port for 0.

    Raises
    ------
    ConfigError
        The port is taken, or not for this user.
    """
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if sys.platform != "win32":  # there, others could take the port over
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(("127.0.0.1", port))
        found.listen(128)
    except OSError as error:
        found.close()
        step = "Leave --port out, and a free one is taken"
        raise ConfigError(
            explained(where="--port", what="the port", allowed="free", got=f"{port} ({error.strerror or error})",
                      next_step=step)
        ) from None  # fmt: skip
    return found


def _pages() -> list[Route]:
    """Return what is served as it lies in the package: no path of a request ever leads to a file."""
    found = []
    for file in resources.files("ram.inspector").joinpath("static").iterdir():
        kind = _TYPES.get(Path(file.name).suffix)
        if kind is not None:
            address = "/" if file.name == "index.html" else f"/{file.name}"
            found.append(Route(address, partial(_page, file.read_bytes(), kind)))
    return found


async def _page(content: bytes, kind: str, request: Request) -> Response:  # noqa: ARG001 - Starlette's signature
    return Response(content, media_type=kind)


def _spoken(handler: Handler) -> Handler:
    """Return a handler whose errors are answers that the page shows in their place."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except (Gone, ClientDisconnect):
            return Response(status_code=499)
        except RamError as error:
            return JSONResponse({"error": str(error)})  # an answer too: browsers log other codes as errors of the page
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            sys.stderr.write(f"inspect, {request.url.path}: {text}\n")
            return JSONResponse({"error": text}, 500)

    return answer


def _taken(found: Taken) -> Response:
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{quote(found.name)}"}
    return Response(found.content, media_type=found.kind, headers=headers)
