"""Guards every endpoint: a request must come under our name, from our page, by who may speak, before one sees it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daemon.errors import CrossSite, FfspoolError, ForeignHost, Unauthorized
from daemon.http.auth import Gate
from daemon.http.problems import refusal

SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}
HOST = re.compile(r"(?:\[([\da-fA-F:.]+)\]|([^\s:/?#@\[\]\\]+))(?::\d{1,5})?")
PRIVATE = "private, no-cache"  # whoever shares a proxy, or a browser once it was logged out, asks us first
HEADERS = {
    "Cache-Control": PRIVATE,
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


MEETING = "ffspool.meeting"  # an extension of ASGI: called with whether the client is known
CALLER = "ffspool.caller"  # in the scope of what was let in: who asks; None: nobody has to say


class Hardened:
    """Tells browsers, as ASGI middleware, to trust an answer with nothing, unless it says otherwise itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, hardened)


class Hosts:
    """Holds the names that this daemon answers to: a page that had its own name rebound to our address has another.

    Loopback's names and the one it is bound to are among them; bound to all addresses, it answers to each, since an
    address cannot be rebound.
    """

    def __init__(self, bound: str, allowed: Iterable[str]) -> None:
        self._names = {name.lower().rstrip(".") for name in ("localhost", bound, *allowed)}
        self._any_address = bound in {"", "0.0.0.0", "::"}

    def check(self, headers: Headers) -> None:
        """Raises ForeignHost unless there is one Host, and it is ours."""
        given = headers.getlist("host")
        found = HOST.fullmatch(given[0]) if len(given) == 1 else None
        if found is None:
            raise ForeignHost("the request has no Host, or one that is no name")
        name = (found[1] or found[2]).lower().rstrip(".")
        if name not in self._names and not self._is_address_of_ours(name):
            raise ForeignHost(
                f"this daemon does not answer to the name {name[:80]!r}: if it is its name, add it to `allowed_hosts` "
                "(`ffspool serve --allowed-host NAME`, or in ffspool.toml) and start the daemon again"
            )

    def _is_address_of_ours(self, name: str) -> bool:
        try:
            return ipaddress.ip_address(name).is_loopback or self._any_address
        except ValueError:
            return False


def check_origin(method: str, headers: Headers) -> None:
    """Raises CrossSite for a change that another site's page wants, with the cookie of ours that the browser adds.

    No page can send an Authorization header to another site unless that allows it, which we never do.
    """
    if method in SAFE_METHODS or "authorization" in headers:
        return
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        ours = site in {"same-origin", "none"}
    else:
        ours = origin is None or _authority(origin) == headers["host"].lower()
    if not ours:
        raise CrossSite("a page of another site sent this request: log in and act on the daemon's own page")


def _authority(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


class Guard:
    """Lets none, as ASGI middleware, reach more than the open paths without admission. A refused body is not read.

    It tells the server whom it has met, by the extension MEETING: connections are for those first that it knows.
    """

    def __init__(self, app: ASGIApp, gate: Gate, hosts: Hosts, open_paths: re.Pattern[str]) -> None:
        self._app = app
        self._gate = gate
        self._hosts = hosts
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._check(HTTPConnection(scope))
        except FfspoolError as error:
            await refusal(error)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _check(self, connection: HTTPConnection) -> None:
        self._hosts.check(connection.headers)
        check_origin(connection.scope["method"], connection.headers)
        is_open = self._open_paths.fullmatch(connection.scope["path"]) is not None
        caller = None if is_open else await self._gate.caller(connection)
        connection.scope[CALLER] = caller
        connection.scope.get("extensions", {}).get(MEETING, _nobody)(caller is not None)
        if caller is None and not is_open:
            raise Unauthorized("send the daemon's token as `Authorization: Bearer TOKEN`, or log in")


def _nobody(_: bool) -> None:
    """Where no server of ours asks."""
