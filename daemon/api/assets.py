"""The files of our pages, from `daemon/web`. All that a page runs comes from here: its policy forbids the rest."""

from __future__ import annotations

from pathlib import Path

from starlette.responses import FileResponse, Response

from daemon.api.endpoints import Call
from daemon.errors import NotFound

FOLDER = Path(__file__).resolve().parents[1] / "web"
MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def page(name: str) -> Response:
    """One of our pages."""
    return _file(FOLDER / name, "text/html; charset=utf-8")


async def asset(call: Call) -> Response:
    """What a page is made with: scripts, styles and pictures, which hold no secrets. Raises NotFound."""
    path = (FOLDER / call.path["asset"]).resolve()
    if path.suffix not in MEDIA_TYPES or not path.is_relative_to(FOLDER) or not path.is_file():
        raise NotFound(f"there is no file {call.path['asset']}")
    return _file(path, MEDIA_TYPES[path.suffix])


def _file(path: Path, media_type: str) -> Response:
    return FileResponse(path, media_type=media_type, headers=HEADERS, stat_result=path.stat())
