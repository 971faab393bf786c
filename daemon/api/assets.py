"""Serves the files of `daemon/web`, read once. All a page runs comes from here: its policy forbids the rest.

A page is asked for anew each time. What it names it finds under a digest of all files, which makes a relative
`import` of one module by another as cacheable as a single file: another version has other addresses.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from daemon.api.endpoints import Call
from daemon.errors import NotFound
from daemon.models import Model

FOLDER = Path(__file__).resolve().parents[1] / "web"
PREFIX = "/web/"
PAGE_TYPE = "text/html; charset=utf-8"
MEDIA_TYPES = {
    ".html": PAGE_TYPE,
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Vary": "Accept-Encoding"}
REVALIDATED, FOR_EVER = "no-cache", "public, max-age=31536000, immutable"
COMMENTS = re.compile(rb"^\s*(?://[^\n]*|/\*.*?\*/)\n", re.DOTALL | re.MULTILINE)  # on lines of their own
INDENTATION = re.compile(rb"^\s+", re.MULTILINE)
INLINE_SCRIPT = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)


class Asset(Model, frozen=True):
    """Holds one file: its body, the same gzipped, and the headers that go with both."""

    body: bytes
    packed: bytes
    headers: dict[str, str]

    def answer(self, request: Request, caching: str) -> Response:
        headers = {**self.headers, "Cache-Control": caching}
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(self.body, headers=headers)
        return Response(self.packed, headers={**headers, "Content-Encoding": "gzip"})


async def index(call: Call) -> Response:
    return page(call, "index.html")


def page(call: Call, name: str) -> Response:
    """Answers with one of our pages."""
    return _assets()[1][name].answer(call.request, REVALIDATED)


async def asset(call: Call) -> Response:
    """Answers with what a page is made of: scripts, styles and pictures, which hold no secrets. Raises NotFound."""
    digest, assets = _assets()
    folder, _, name = call.path["asset"].partition("/")
    named, caching = (name, FOR_EVER) if folder == digest else (call.path["asset"], REVALIDATED)
    if named not in assets or named.endswith(".html"):
        raise NotFound(f"there is no file {call.path['asset']}")
    return assets[named].answer(call.request, caching)


@functools.cache
def _assets() -> tuple[str, dict[str, Asset]]:
    """The digest of all files, and each by its name in the folder."""
    paths = [path for path in sorted(FOLDER.rglob("*")) if path.suffix in MEDIA_TYPES]
    bodies = {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in paths}
    parts = (hashlib.sha256(name.encode() + body).digest() for name, body in bodies.items())
    digest = hashlib.sha256(b"".join(parts)).hexdigest()[:16]
    return digest, {name: _asset(name, body, digest) for name, body in bodies.items()}


def _asset(name: str, body: bytes, digest: str) -> Asset:
    media_type = MEDIA_TYPES[Path(name).suffix]
    if media_type == PAGE_TYPE:
        # Told from where the page is, which a proxy may have below a path of its own.
        body = body.replace(f'".{PREFIX}'.encode(), f'".{PREFIX}{digest}/'.encode())
    if name.endswith(".js"):
        body = INDENTATION.sub(b"", COMMENTS.sub(b"", body))
    tag = hashlib.sha256(body).hexdigest()[:32]
    headers = {**HEADERS, "Content-Type": media_type, "ETag": f'"{tag}"', "Content-Security-Policy": _policy(body)}
    return Asset(body=body, packed=gzip.compress(body, 9, mtime=0), headers=headers)


def _policy(body: bytes) -> str:
    """Nothing but our own files; of inline scripts (the import map) only those that stand in the page."""
    digests = [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in INLINE_SCRIPT.findall(body)]
    return POLICY.format(scripts="".join(f" 'sha256-{digest}'" for digest in digests))
