"""Says which URLs may be asked for a source, and with what; and what may be shown of them: no more than a host.

What follows the host may be a signed link, and headers may be keys: neither stands in an answer, an error or a log.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from daemon.addresses import FETCHES, Traffic, against_literal
from daemon.errors import InvalidRequest
from daemon.models import Remote
from daemon.plaintext import flaw

PORTS = {"http": 80, "https": 443}
MOST_HEADERS = 20
MOST_HEADER_LETTERS = 8192  # of all of them together
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
VALUE = re.compile(r"[\x20-\x7e\x80-\xff]*")
HOST = re.compile(r"[A-Za-z0-9._~-]+")
SIGNATURES = frozenset({"x-amz-signature", "x-goog-signature", "signature", "sig"})
SIGNING = re.compile(  # of S3, Google, CloudFront and Azure
    "x-(amz|goog)-.*|(awsaccesskey|googleaccess|key-pair-)id|expires|policy|signature"
    "|sig|s[vetprsi]|spr|sip|srt|sk(oid|tid|t|e|s|v)"
)
ESCAPED = re.compile("%([0-9A-Fa-f]{2})")
PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
KEPT = "/%:=&?+!$,;'@()*~[]"  # in a path or query: what stands there already means something
# What decides how the answer comes, and whose it is: that is ours to say.
OURS = frozenset(
    {
        *("host", "range", "if-range", "accept-encoding", "connection", "content-length", "transfer-encoding", "te"),
        *("expect", "upgrade", "trailer", "keep-alive", "if-match", "if-none-match", "if-modified-since"),
        *("if-unmodified-since", "content-encoding"),
    }
)


class Url(NamedTuple):
    """Holds a URL as it is asked for. `host` is what is looked up, `target` what is asked of it."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """Returns what keys are for: they go nowhere else."""
        return self.scheme, self.host.lower(), self.port

    @property
    def shown(self) -> str:
        """Returns all that may be told of it."""
        return f"{self.scheme}://{self.authority}/…"

    def joined(self, location: str, ports: Collection[int]) -> Url:
        """Returns where a redirect leads. Raises InvalidRequest when nobody may go there."""
        return parsed(urljoin(f"{self.scheme}://{self.authority}{self.target}", location), ports)


def parsed(url: str, ports: Collection[int], traffic: Traffic = FETCHES, *, allow_private: bool = True) -> Url:
    """Returns the parts of a URL on one of the ports. Raises InvalidRequest in words that tell its host alone.

    What a name leads to is looked at whenever it is asked: unless `allow_private`, an address is here already.
    """
    called = "the URL of a source" if traffic is FETCHES else "the url"
    if reason := flaw(url):
        raise InvalidRequest(f"{called} {reason}")
    try:
        parts = urlsplit(url)
        host, port = _host(parts), parts.port
    except ValueError as error:
        raise InvalidRequest(f"{called} is not one") from error
    if parts.scheme not in PORTS or not host:
        raise InvalidRequest(f"{called} does not begin with http:// or https:// and a host")
    if "@" in parts.netloc:
        advice = ": send credentials as a header of the source instead" if traffic is FETCHES else ""
        raise InvalidRequest(f"the URL to {host} holds a user name{advice}")
    port = PORTS[parts.scheme] if port is None else port
    refusals = (_against_port(host, port, ports, traffic), None if allow_private else against_literal(host, traffic))
    if words := "; ".join(filter(None, refusals)):
        raise InvalidRequest(words)
    path = quote(parts.path or "/", safe=KEPT)
    return Url(parts.scheme, host, port, f"{path}?{quote(parts.query, safe=KEPT)}" if parts.query else path)


def address(url: Url) -> str:
    """Returns the same of all URLs that lead to one file, as far as that can be told: of a query that signs a request,
    another signature is not another file.
    """
    path, _, query = url.target.partition("?")
    asked = {part.partition("=")[0].lower(): part for part in query.split("&") if part}
    signs = not SIGNATURES.isdisjoint(asked)
    rest = "&".join(_decoded(part) for name, part in asked.items() if not (signs and SIGNING.fullmatch(name)))
    return f"{url.scheme}://{url.authority.lower()}{_straight(_decoded(path))}{'?' if rest else ''}{rest}"


def _decoded(text: str) -> str:
    """Letters and digits of which an escape stands for themselves; others are escaped in one way."""
    return ESCAPED.sub(lambda found: mark if (mark := chr(int(found[1], 16))) in PLAIN else found[0].upper(), text)


def _straight(path: str) -> str:
    """The path without steps that lead nowhere or back."""
    steps = list[str]()
    for step in path.split("/")[1:]:
        if step == "..":
            del steps[-1:]
        elif step != ".":
            steps.append(step)
    return "/" + "/".join(steps)


def _against_port(host: str, port: int, ports: Collection[int], traffic: Traffic) -> str | None:
    if port in ports:
        return None
    allowed = " and ".join(map(str, sorted(ports)))
    return (
        f"the URL to {host} names port {port}: {traffic.words} port {allowed} only, "
        "unless the daemon is set to others (fetch_ports)"
    )


def _host(parts: SplitResult) -> str:
    """The name as it is looked up. Raises ValueError, as for a label that is none."""
    host = parts.hostname or ""
    if ":" in host:
        return str(ip_address(host))
    host = host.encode("idna").decode("ascii") if host else ""
    if host and not HOST.fullmatch(host):
        raise ValueError(host)
    return host


def remote(
    url: str,
    ports: Collection[int],
    *,
    allow_private: bool,
    headers: Mapping[str, str],
    sha256: str | None,
    name: str | None,
) -> tuple[str, Remote]:
    """Returns the name of a source by URL, and how it is asked for. Raises InvalidRequest for what may not be asked."""
    found = parsed(url, ports, allow_private=allow_private)
    _check_headers(found.host, headers)
    return name or _name(found), Remote(
        url=url,
        headers=dict(headers),
        sha256=sha256.lower() if sha256 else None,
        shown=found.shown,
        address=address(found),
    )


def _name(url: Url) -> str:
    """What the file is called at its host; a path without a name is called after the host."""
    return unquote(url.target.partition("?")[0].rpartition("/")[2]).replace("/", "_") or url.host


def _check_headers(host: str, headers: Mapping[str, str]) -> None:
    if len(headers) > MOST_HEADERS or sum(len(name) + len(value) for name, value in headers.items()) > (
        MOST_HEADER_LETTERS
    ):
        raise InvalidRequest(
            f"the headers for {host} are too many: {MOST_HEADERS}, of {MOST_HEADER_LETTERS} letters together, may be"
        )
    for name, value in headers.items():
        if not TOKEN.fullmatch(name):
            raise InvalidRequest(f"the name of a header for {host} is not one")
        if name.lower() in OURS or name.lower().startswith("proxy-"):
            raise InvalidRequest(f"the header {name} for {host} is the daemon's to send")
        if not VALUE.fullmatch(value):
            raise InvalidRequest(f"the header {name} for {host} holds what no header may")
