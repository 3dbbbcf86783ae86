"""``ram inspect``: a page in the browser on which a run is explored."""

from __future__ import annotations

__all__ = ["inspect"]

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ram.cli.output import AsJson, bar, say, say_json


def inspect(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, as ram train made it.")],
    *,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Other samples; the run's own data if not said.")
    ] = None,
    simulator: Annotated[
        str | None,
        typer.Option(metavar="MODULE:FUNCTION", help="Whom 'ask the solver' asks: ram.physics.wheel:frequencies."),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where the page is served; 0: any that is free.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    as_json: AsJson = False,
) -> None:
    """Open a page on which RUN is explored: its samples, their maps, what if; Ctrl-C ends it.

    It is served to this machine alone, to whoever has the address that is printed.
    """
    from ram.inspector.extra import require_extra

    require_extra()
    import asyncio

    from ram.inspector.inspection import open_inspection
    from ram.inspector.server import Server, listening
    from ram.inspector.solving import Solver

    with listening(port) as socket:
        solver = None if simulator is None else Solver(simulator)
        if solver is not None:
            asyncio.run(solver.check())
        looked = open_inspection(run, data, predicting=partial(bar, "predicting"))
        server = Server(looked, socket, run, data, solver, ahead=True)
        server.warm_up()
        if as_json:
            say_json({"run": str(run), "address": server.address, "port": server.port})
        else:
            say(f"page: {server.address}")
            say("Ctrl-C ends it.")
        sys.stdout.flush()
        if browser:
            server.open_browser()
        try:
            server.run()
        except KeyboardInterrupt:
            return  # how it is meant to end
