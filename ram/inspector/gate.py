"""Who is let in: the one place for host, origin, token, size and content policy of every request.

The page is served to this machine alone, but any web site that is open in the same browser can send requests here, and
other users of the machine can connect. So a request needs the right host (against names that are bound to 127.0.0.1
later on), no foreign origin, and for everything but the page itself a token that only the address printed by
``ram inspect`` holds. The token travels in the fragment, which no server and no log sees, and in a header, never in a
cookie, which other ports would be sent too.
"""

from __future__ import annotations

__all__ = ["HEADERS", "Gate", "Keys"]

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' blob:",
    "media-src": "blob:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}
HEADERS: Mapping[str, str] = {
    "content-security-policy": "; ".join(f"{what} {whence}" for what, whence in _POLICY.items()),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
MOST_BYTES = 2**21
"""Of a body: a cohort of 100,000 rows takes 0.7 MB."""


@dataclass
class Keys:
    """What opens the gate.

    Attributes
    ----------
    token
        Opens it as long as the server runs.
    ticket
        Opens it once, for the browser that is started: other users see the arguments of programs.
    """

    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    ticket: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    def exchange(self, ticket: str) -> str | None:
        """Return the token for the ticket, once, or for the token itself."""
        if secrets.compare_digest(ticket.encode(), self.token.encode()):
            return self.token
        if self.ticket and secrets.compare_digest(ticket.encode(), self.ticket.encode()):
            self.ticket = ""
            return self.token
        return None


class Refused(Exception):  # noqa: N818 - it is the answer to a request
    """A request is not let in."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Gate:
    """Lets requests through to `app`, or answers why not; gives every answer its headers."""

    def __init__(self, app: ASGIApp, *, port: int, keys: Keys) -> None:
        self._app, self._keys = app, keys
        self._hosts = {f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost")}
        self._origins = {b"http://" + host for host in self._hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # nothing here speaks over web sockets

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *own]
            await send(message)

        try:
            self._check(scope)
        except Refused as refusal:
            answer = JSONResponse({"error": f"{refusal}."}, status_code=refusal.status)
            await answer(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)

    def _check(self, scope: Scope) -> None:
        """Raise `Refused` for a request that is not let in."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        host = headers.get(b"host", [])
        if len(host) != 1 or host[0].lower() not in self._hosts:
            raise Refused(421, "The host must be the address that 'ram inspect' printed")
        if any(origin not in self._origins for origin in headers.get(b"origin", [])):
            raise Refused(403, "Requests from other pages are refused")
        if not scope["path"].startswith("/api/"):
            if scope["method"] not in ("GET", "HEAD"):
                raise Refused(405, "The page can be fetched only")
            return
        self._check_question(scope, headers)

    def _check_question(self, scope: Scope, headers: Mapping[bytes, list[bytes]]) -> None:
        if scope["method"] != "POST":
            raise Refused(405, "Questions are posted")
        if any(site != b"same-origin" for site in headers.get(b"sec-fetch-site", [])):
            raise Refused(403, "Requests from other pages are refused")
        if headers.get(b"content-type") != [b"application/json"]:
            raise Refused(415, "Questions are JSON")
        size = headers.get(b"content-length", [])
        if len(size) != 1 or not size[0].isdigit() or b"transfer-encoding" in headers:
            raise Refused(411, "The length of a question must be given")
        if int(size[0][:12]) > MOST_BYTES:
            raise Refused(413, f"A question has {MOST_BYTES:,} bytes at most")
        if scope["path"] != "/api/enter" and not self._has_token(headers.get(b"authorization", [])):
            raise Refused(401, "Open the address that 'ram inspect' printed: it holds the key")

    def _has_token(self, given: list[bytes]) -> bool:
        return len(given) == 1 and secrets.compare_digest(given[0], f"Bearer {self._keys.token}".encode())
