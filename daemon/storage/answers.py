"""Judges what a host answered: whether the file that was asked for comes now, and from which byte on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus

from daemon.errors import Unfetched
from daemon.models import Model
from daemon.retry_after import seconds_of

MAY_PASS = frozenset({408, 409, 421, 423, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524, 529, 530})
PAGES = frozenset({"text/html", "application/xhtml+xml"})
RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


LISTED = frozenset({"content-length"})  # proxies make one header of two
DECIDING = frozenset(
    {
        *("content-length", "content-range", "transfer-encoding", "content-encoding", "content-type", "location"),
        *("etag", "last-modified"),
    }
)


class Version(Model, frozen=True):
    """Tells one state of a file from another, by what its host says."""

    etag: str | None = None
    modified: str | None = None

    @property
    def condition(self) -> str | None:
        """Returns what `If-Range` may hold; None: nobody can tell whether the file is the same."""
        if self.etag and not self.etag.startswith("W/"):  # a weak one stands for files that are only much alike
            return self.etag
        return self.modified


class Known(Model, frozen=True):
    """Tells what is here of a file: its first `bytes`, of that `length` and `version`."""

    bytes: int = 0
    length: int | None = None
    version: Version = Version()

    @property
    def is_all(self) -> bool:
        return self.bytes > 0 and self.bytes == self.length

    @property
    def resumable(self) -> bool:
        return self.bytes > 0 and self.version.condition is not None


class Answer(Model, frozen=True):
    """An answer brings a file from the byte `begins` on. `length` is the whole file's; None: its host does not say."""

    begins: int
    length: int | None
    version: Version
    framed: bool  # whether its end can be told from a line that broke
    ranges: bool = False  # whether its host sends parts of it

    @property
    def resumable(self) -> bool:
        return self.ranges and self.version.condition is not None


def plain_headers(headers: Iterable[tuple[str, str]]) -> tuple[dict[str, str], str | None]:
    """Returns headers by their names in small letters, and which of those is there in two ways that change what comes.

    Where one is there twice, each its own way, the body that one reader takes is not that of another.
    """
    found: dict[str, str] = {}
    twice: str | None = None
    for name, value in headers:
        key = name.lower()
        parts = {part.strip() for part in (value.split(",") if key in LISTED else [value])}
        first = found.setdefault(key, min(parts))
        if key in DECIDING and parts != {first}:
            twice = twice or name
    return found, twice


def plain_etag(etag: str | None) -> str | None:
    """Returns an ETag as it is compared: some stores quote it where they answer, and not where they list."""
    return etag.removeprefix("W/").strip('"') if etag else None


def judged(
    shown: str, status: int, headers: Mapping[str, str], known: Known, *, asked: bool, now: float, most: int
) -> Answer:
    """Returns what comes. `asked`: for the rest of what is `known`; at most `most` bytes are taken.

    Raises Unfetched.
    """
    if status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
        raise _refusal(shown, status, headers, now, asked=asked)
    _check_content(shown, headers)
    version = Version(etag=headers.get("etag"), modified=headers.get("last-modified"))
    # Some servers, such as rclone's, send the rest and call it all: 200.
    partial = status == HTTPStatus.PARTIAL_CONTENT or "content-range" in headers
    answer = (_rest if partial else _whole)(shown, headers, version, known, asked)
    if answer.length is not None and answer.length > most:
        raise Unfetched(f"{shown} holds {answer.length} bytes, and {most} are the limit", final=True)
    return answer


def _refusal(shown: str, status: int, headers: Mapping[str, str], now: float, *, asked: bool) -> Unfetched:
    words = f"{shown} answered {status}{_phrase(status)}"
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and asked:
        return Unfetched(words, anew=True)
    pause = headers.get("retry-after") if status in {429, 503} else None
    return Unfetched(words, final=status not in MAY_PASS, retry_after=seconds_of(pause, now) if pause else None)


def _phrase(status: int) -> str:
    """The words of the standard: what a host says beside the number may be anything."""
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def _check_content(shown: str, headers: Mapping[str, str]) -> None:
    coding = headers.get("content-encoding", "").strip().lower()
    if coding not in {"", "identity"}:
        raise Unfetched(f"{shown} sent the file compressed, though that was not asked for", final=True)
    if headers.get("content-type", "").partition(";")[0].strip().lower() in PAGES:
        raise Unfetched(f"{shown} answered with a web page (HTML) in place of media", final=True)


def _whole(shown: str, headers: Mapping[str, str], version: Version, _: Known, __: bool) -> Answer:
    chunked = headers.get("transfer-encoding", "").strip().lower() == "chunked"
    said = headers.get("content-length", "").strip()
    length = int(said) if said.isdigit() and len(said) < 20 and not chunked else None
    if length == 0:
        raise Unfetched(f"{shown} holds an empty file", final=True)
    ranges = headers.get("accept-ranges", "").strip().lower() == "bytes"
    return Answer(begins=0, length=length, version=version, framed=chunked or length is not None, ranges=ranges)


def _rest(shown: str, headers: Mapping[str, str], version: Version, known: Known, asked: bool) -> Answer:
    """A range that is not the rest of the very file would make one file of two."""
    found = RANGE.fullmatch(headers.get("content-range", "").strip())
    begins, last, length = map(int, found.groups()) if found else (-1, -1, -1)
    is_rest = asked and begins == known.bytes and last == length - 1 and length > known.bytes
    if not is_rest or (known.length is not None and length != known.length):
        raise Unfetched(f"{shown} answered with another part of the file than was asked for", anew=True)
    if (version.etag or known.version.etag) != known.version.etag or (
        version.modified and known.version.modified and version.modified != known.version.modified
    ):
        raise Unfetched(f"{shown} has another file there by now", anew=True)
    return Answer(begins=begins, length=length, version=known.version, framed=True, ranges=True)
