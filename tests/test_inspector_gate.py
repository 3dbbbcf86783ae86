"""Nobody without the key gets in, nothing but the run gets out: attacks on the server as they come over the wire."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ram.axes import Axis
from ram.errors import ConfigError, SolverError
from ram.inspector import gate
from ram.inspector.frames import unframed
from ram.inspector.lanes import Gone, Lane
from ram.inspector.server import Server, listening
from ram.inspector.solving import Solver

Shell = Callable[..., tuple[int, str, str]]
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def server(disc_run: Path, serve: Callable[..., AbstractContextManager[Server]]) -> Iterator[Server]:
    with serve(disc_run) as found:
        yield found


def request(
    server: Server, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Send one request as it is written; returns status, headers by their small names, and body."""
    given = headers or {}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.putrequest(method, path, skip_host="Host" in given, skip_accept_encoding=True)
        for name, value in given.items():
            connection.putheader(name, value)
        if body is not None and "Content-Length" not in given:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def ask(server: Server, kind: str, question: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Ask as the page does, with its key."""
    own = JSON | {"Authorization": f"Bearer {server.keys.token}"}
    return request(server, "POST", f"/api/{kind}", json.dumps(question or {}).encode(), own | headers)


def attacks(server: Server) -> dict[str, tuple[str, str, bytes | None, dict[str, str]]]:
    """Requests that must not be answered, by what they try."""
    port, key = server.port, {"Authorization": f"Bearer {server.keys.token}"}
    map_of = json.dumps({"sample": 0, "target": "umbrella"}).encode()
    found: dict[str, tuple[str, str, bytes | None, dict[str, str]]] = {}
    # Names that someone binds to 127.0.0.1 once the page is open, other ports, tricks with two hosts.
    for host in (
        "evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", f"127.0.0.1.evil.example:{port}",
        f"localhost.evil.example:{port}", f"[::1]:{port}", f"0.0.0.0:{port}", "", f"127.0.0.1:{port}@evil.example",
        f"127.1:{port}", f"localhost:{port}\t.evil.example",
    ):  # fmt: skip
        found[f"host {host!r}"] = ("POST", "/api/map", map_of, JSON | key | {"Host": host})
        found[f"page for host {host!r}"] = ("GET", "/", None, {"Host": host})
    for origin in (
        "http://evil.example", "null", f"http://127.0.0.1:{port + 1}", f"https://127.0.0.1:{port}", "http://127.0.0.1",
        f"http://127.0.0.1:{port}.evil.example", f"http://evil.example/127.0.0.1:{port}", "file://",
    ):  # fmt: skip
        found[f"origin {origin}"] = ("POST", "/api/map", map_of, JSON | key | {"Origin": origin})
    for site in ("cross-site", "same-site", "none"):
        found[f"site {site}"] = ("POST", "/api/map", map_of, JSON | key | {"Sec-Fetch-Site": site})
    token = server.keys.token
    for word in (
        "", "Bearer", "Bearer ", "Bearer x", f"Bearer {token[:-1]}", f"bearer {token}", f"Basic {token}",
        f"Bearer {token}x", f"Bearer {server.keys.ticket}",
    ):  # fmt: skip
        found[f"key {word[:12]!r} of {len(word)}"] = ("POST", "/api/map", map_of, JSON | {"Authorization": word})
    found["no key"] = ("POST", "/api/map", map_of, JSON)
    found["key in the address"] = ("POST", f"/api/map?token={server.keys.token}", map_of, JSON)
    found["key in a cookie"] = ("POST", "/api/map", map_of, JSON | {"Cookie": f"token={server.keys.token}"})
    # What a form on another page can send without asking first.
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", ""):
        found[f"form {kind}"] = ("POST", "/api/map", map_of, key | {"Content-Type": kind})
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "HEAD"):
        found[f"{method} of a question"] = (method, "/api/map", None, JSON | key)
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        found[f"{method} of the page"] = (method, "/", b"", key)
    for path in (
        "/../pyproject.toml", "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/etc/passwd",
        "/static/main.js", "/main.js/..", "/main.js%00.html", "/config.toml", "/checkpoint.safetensors", "/index.html",
        "/....//....//etc/passwd", "/\\..\\..\\windows\\win.ini", "/main.py", "/__init__.py", "/api", "/docs",
        "/openapi.json", "/.git/config", "/run/config.toml", "/file:///etc/passwd",
    ):  # fmt: skip
        found[f"file {path}"] = ("GET", path, None, {})
    for path in ("/api/../config.toml", "/api/map/../../etc/passwd", "/api/nothing", "/api//map"):
        found[f"question {path}"] = ("POST", path, map_of, JSON | key)
    found["a large body"] = ("POST", "/api/map", b"", JSON | key | {"Content-Length": str(2**40)})
    found["a strange length"] = ("POST", "/api/map", b"", JSON | key | {"Content-Length": "1_0"})
    found["no length"] = (
        "POST",
        "/api/map",
        b"0\r\n\r\n",
        JSON | key | {"Transfer-Encoding": "chunked", "Content-Length": "5"},
    )
    return found


def test_attacks_are_refused_and_say_nothing(server: Server) -> None:
    every = attacks(server)
    assert len(every) >= 60
    through = []
    for name, attack in every.items():
        status, headers, body = request(server, *attack)
        said = body if status < 400 else b""
        if status < 400 or server.keys.token.encode() in body or b"root:" in body:
            through.append((name, status, said[:80]))
        if status != 400:  # what the HTTP parser itself refuses has no headers of ours
            assert set(gate.HEADERS) <= set(headers), name
    assert through == []


def test_the_right_request_is_answered(server: Server) -> None:
    status, headers, body = ask(server, "map", {"sample": 0, "target": "umbrella"})
    assert (status, headers["content-type"]) == (200, "application/octet-stream")
    assert unframed(body)[0]["id"] == server.looked.data.ids[0]
    for host in (f"127.0.0.1:{server.port}", f"localhost:{server.port}"):
        assert request(server, "GET", "/", None, {"Host": host})[0] == 200
    assert ask(server, "run", Origin=f"http://127.0.0.1:{server.port}", **{"Sec-Fetch-Site": "same-origin"})[0] == 200


def test_only_this_machine_is_listened_to(server: Server) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"


def test_a_ticket_opens_once_and_the_token_always() -> None:
    keys = gate.Keys()
    token, ticket = keys.token, keys.ticket
    assert keys.exchange(ticket[:-1]) is None
    assert keys.exchange("") is None
    assert keys.exchange(ticket) == token
    assert keys.exchange(ticket) is None
    assert keys.exchange("") is None
    assert keys.exchange(token) == token
    assert keys.exchange(token) == token
    assert len(token) >= 43
    assert gate.Keys().token != token


def test_tokens_are_exchanged_at_the_door(server: Server) -> None:
    def enter(ticket: str) -> tuple[int, Any]:
        status, _, body = request(server, "POST", "/api/enter", json.dumps({"ticket": ticket}).encode(), JSON)
        return status, json.loads(body)

    assert enter("x")[0] == 401
    assert enter("é")[0] == 401
    assert enter(server.keys.token) == (200, {"token": server.keys.token})


def test_pages_hold_nothing_that_runs_in_place() -> None:
    """No inline script or style, no HTML made of strings, nothing from elsewhere: the policy would stop it."""
    static = resources.files("ram.inspector").joinpath("static")
    for file in static.iterdir():
        text = file.read_text(encoding="utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc", text
        ), file
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), file
        if file.name.endswith(".html"):
            assert not re.search(r"\son\w+=|style=|<style|javascript:", text)
            assert re.findall(r"<script[^>]*>", text) == ['<script type="module" src="/main.js">']


def test_refusals_of_the_run_are_answers_with_a_reason(server: Server) -> None:
    def refused(kind: str, **question: Any) -> str:
        status, headers, body = ask(server, kind, question)
        assert (status, headers["content-type"]) == (200, "application/json")
        return str(json.loads(body)["error"])

    assert "umbrella, mass. Got umbrela. Did you mean 'umbrella'" in refused("map", sample=0, target="umbrela")
    assert "below 30. Got 30" in refused("map", sample=30, target="umbrella")
    assert "Start again with --simulator" in refused("solve", sample=0)
    assert "method" in refused("map", sample=0, target="umbrella", method="gradcam")
    assert (
        "an object in JSON"
        in json.loads(
            request(server, "POST", "/api/map", b"}", JSON | {"Authorization": f"Bearer {server.keys.token}"})[2]
        )["error"]
    )


def test_slow_questions_are_answered_beside_the_server(server: Server) -> None:
    question = {"sample": 4, "target": "umbrella", "method": "integrated-gradients"}
    head, arrays = unframed(ask(server, "map", question)[2])
    assert head["method"] == "integrated-gradients"
    direct = server.looked.run.explain(server.looked.data[[4]], target="umbrella", method="integrated-gradients")
    assert arrays["map"] == pytest.approx(direct.contributions[0], rel=1e-5, abs=1e-7)
    region, _ = unframed(ask(server, "within", question | {"bounds": {"x": [-40, 40]}})[2])
    assert region["carried"] == pytest.approx(direct.within(x=(-40, 40))[0], rel=1e-6)


# --- helpers and lanes


SIMULATOR = """
import os, time
def simulate(x, coordinates):
    word = int(x[0, 0])
    if word == 1: os._exit(3)
    if word == 2: time.sleep(60)
    if word == 3: raise ValueError("an odd number")
    if word == 8: return {"niceness": os.nice(0)}
    return {"sum": x.sum(), "end": coordinates["time"][-1]}
"""
DIE, SLEEP, RAISE, NICENESS = 1, 2, 3, 8


async def never() -> bool:
    return False


def test_a_helper_answers_dies_and_starts_again(tmp_path: Path) -> None:
    (tmp_path / "sim.py").write_text(SIMULATOR, encoding="utf-8")
    axes = (Axis.uniform("time", "s", size=2, step=0.5),)

    async def course() -> None:
        helper = Solver(f"{tmp_path / 'sim.py'}:simulate")

        async def asked(first: int, left: Callable[..., Any] = never) -> Any:
            return await helper.ask(np.array([[first, 1.0]]), axes, left)

        try:
            assert await asked(4) == {"sum": 5.0, "end": 0.5}
            started = helper._helper._process
            with pytest.raises(SolverError, match="ValueError: an odd number"):
                await asked(RAISE)
            assert await asked(5) == {"sum": 6.0, "end": 0.5}
            assert helper._helper._process is started
            looks = iter([False, False])

            async def leaving() -> bool:
                return next(looks, True)

            with pytest.raises(Gone):  # and the process ends with who asked
                await asked(SLEEP, leaving)
            assert helper._helper._process is None
            with pytest.raises(SolverError, match=r"Got exit code 3\. It starts again"):
                await asked(DIE)
            assert await asked(6) == {"sum": 7.0, "end": 0.5}
        finally:
            helper.stop()

    asyncio.run(course())


def test_a_helper_started_ahead_is_there_and_gives_way_to_quick_questions(tmp_path: Path) -> None:
    (tmp_path / "sim.py").write_text(SIMULATOR, encoding="utf-8")
    axes = (Axis.uniform("time", "s", size=2, step=0.5),)

    async def course() -> None:
        solver = Solver(f"{tmp_path / 'sim.py'}:simulate")
        try:
            await solver._helper.start_ahead()
            started = solver._helper._process
            assert started is not None
            await solver._helper.start_ahead()  # once is enough
            found = await solver.ask(np.array([[NICENESS, 1.0]]), axes, never)
            assert solver._helper._process is started
            assert found == {"niceness": os.nice(0) + 10}
        finally:
            solver.stop()

    asyncio.run(course())


def test_what_is_wrong_when_started_ahead_is_said_to_who_asks(tmp_path: Path) -> None:
    (tmp_path / "sim.py").write_text("def other(): pass", encoding="utf-8")

    async def course() -> None:
        solver = Solver(f"{tmp_path / 'sim.py'}:simulate")
        try:
            await solver._helper.start_ahead()
            with pytest.raises(ConfigError, match="simulate"):
                await solver.check()
        finally:
            solver.stop()

    asyncio.run(course())


def test_a_lane_skips_who_has_left_and_goes_on_after_errors() -> None:
    async def left() -> bool:
        return True

    def fails() -> None:
        raise ConfigError("no")

    async def course() -> None:
        lane, done = Lane(), []
        with pytest.raises(Gone):
            await lane.do(lambda: done.append(1), left)
        with pytest.raises(ConfigError):
            await lane.do(fails, never)
        assert await lane.do(lambda: 7, never) == 7
        assert done == []

    asyncio.run(course())


# --- the shell


def test_a_port_in_use_is_said(shell: Shell, disc_run: Path) -> None:
    with listening() as taken:
        code, _, err = shell("inspect", disc_run, "--port", taken.getsockname()[1], "--no-browser")
    assert code == 2
    assert "the port must be free. Got" in err
    assert "Leave --port out" in err


def test_a_simulator_that_is_none_is_refused_before_anything_is_served(shell: Shell, disc_run: Path) -> None:
    code, out, err = shell("inspect", disc_run, "--no-browser", "--simulator", "ram.physics.wheel:frequency")
    assert (code, out) == (2, "")
    assert "Did you mean 'frequencies'" in err


def test_without_the_extra_it_says_what_to_install(
    shell: Shell, disc_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else find(name))
    code, _, err = shell("inspect", disc_run, "--no-browser")
    assert code == 2
    assert "no uvicorn. pip install 'regression-activation-mapping[inspect]'" in err
