"""Brings outputs to hosts that take what is put to a URL, such as a presigned one of a bucket.

Whoever has such a URL may write there: it is a secret, of which no more than the host is told. Hosts are reached at
addresses that were checked, and a redirect is not followed.
"""

from __future__ import annotations

import hashlib
import http.client
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from daemon import addresses
from daemon.delivery.place import Course, Parcel, Receipt
from daemon.delivery.refusals import taken
from daemon.errors import BadName, FfspoolError, InvalidRequest, Undelivered
from daemon.media_types import media_type
from daemon.models import Conflict, Deliver, Destination, Model
from daemon.name_template import UrlTemplate
from daemon.retry_after import seconds_of
from daemon.storage import urls
from daemon.storage.answers import MAY_PASS
from daemon.storage.claimed_keys import ClaimedKeys
from daemon.storage.exchange import Answered, Exchange, Stalled
from daemon.storage.line import Lines, asked, connected, reason
from daemon.storage.objects import MANIFESTS, PIECE, in_turn, proven
from daemon.storage.urls import Url

UNCERTAIN = {500, 502, 504, 520, 522, 524}  # the host, or another before it, lost sight of what became of it


class _Landing(Model, frozen=True):
    """What is noted before the last of a file is sent: all files before it are there, and it may be soon, unless its
    host `refused` it each time. Of what was given up, `sent` so many files may be there, and is begun anew.
    """

    file: int
    refused: bool = False
    sent: int = 0

    def begun_anew(self) -> _Landing:
        """Returns what to note once it is given up: who retries may have taken away what was there."""
        return _Landing(file=0, refused=True, sent=max(self.sent, self.file + (not self.refused)))


class _Answer(NamedTuple):
    status: int
    retry_after: str | None
    is_ours: bool  # whether what it brought is the file that was asked about
    has_all: bool  # whether the host had all that was sent before it answered


class _File(NamedTuple):
    url: Url
    path: Path
    bytes: int
    sha256: str


class Receivers:
    """Is the place of all URLs of the web."""

    def __init__(
        self,
        *,
        allow_private: bool,
        ports: Collection[int],
        now: Callable[[], float] = time.time,
        lines: Lines | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._ports = ports
        self._now = now
        self._claimed = ClaimedKeys()
        self._lines = lines or Lines(addresses.DELIVERIES, allow_private=allow_private)

    async def resolve(self, wish: Deliver) -> Destination:
        """Raises InvalidRequest for a URL that nobody may go to, or that cannot be met as it is asked."""
        assert isinstance(wish.url, str)
        if wish.scheme == "http" and not self._allow_private:
            raise InvalidRequest(
                "results are brought by https alone, unless the daemon is set to delivery_allow_private"
            )
        if wish.conflict == Conflict.NUMBER:
            raise InvalidRequest("what is put to a url gets no number: conflict may be fail, skip or overwrite")
        tried = UrlTemplate(wish.url).tried()
        found = urls.parsed(tried, self._ports, addresses.DELIVERIES, allow_private=self._allow_private)
        return Destination(place=f"{found.scheme}://{found.authority}", below=found.shown, wish=wish)

    def address(self, parcel: Parcel) -> str:
        return urls.address(self._url(parcel, is_folder=bool(parcel.words and not parcel.words.ext)))

    def _url(self, parcel: Parcel, *, is_folder: bool) -> Url:
        """Raises InvalidRequest."""
        wish = parcel.destination.wish
        assert isinstance(wish.url, str)
        assert parcel.words is not None
        template = UrlTemplate(wish.url)
        if is_folder and template.is_of_one_file:
            raise BadName(
                f"{parcel.destination.below} has a query and so is of one file, and {parcel.name} is a folder"
            )
        return urls.parsed(template.url(parcel.words, parcel.name), self._ports, addresses.DELIVERIES)

    def deliver(self, parcel: Parcel, course: Course) -> Receipt:
        try:
            base = self._url(parcel, is_folder=parcel.output.is_dir())
            files = _files(parcel, base, course)
        except InvalidRequest as error:
            raise Undelivered(str(error), final=True) from error
        claimed = f"{parcel.owner or ''} {urls.address(base)}"  # nobody is to know what others bring there
        if not self._claimed.claim(claimed, parcel.id):
            raise Undelivered("another result is on its way to that URL: it waits for that")
        try:
            return Receipt(to=base.shown, kept=self._put_all(files, parcel.destination.wish.conflict, course))
        finally:
            self._claimed.let_go(parcel.id)

    def withdraw(self, parcel: Parcel) -> str | None:
        """Removes nothing: who may put may not remove, and what came in part a host does not keep."""
        if parcel.landing is None:
            return None
        return msgspec.json.encode(_landing(parcel.landing).begun_anew()).decode()

    def _put_all(self, files: list[_File], conflict: Conflict, course: Course) -> bool:
        """Whether what was there is left."""
        begun = _landing(course.landing)
        for number, file in enumerate(files):
            if number < begun.file:
                continue
            course.check()
            uncertain = number == begun.file and not begun.refused  # the daemon died, or the line broke
            if self._put(file, _Landing(file=number, refused=not uncertain, sent=begun.sent), conflict, course):
                continue
            if (uncertain or number < begun.sent) and self._is_there(file, course):
                continue
            if conflict == Conflict.SKIP and number == 0:
                return True
            raise taken(file.url.shown)
        return False

    def _put(self, file: _File, before: _Landing, conflict: Conflict, course: Course) -> bool:
        """False: something is there. Raises Undelivered or Stopped.

        `before` is what holds again once the host has refused it.
        """
        condition = {} if conflict == Conflict.OVERWRITE else {"If-None-Match": "*"}
        cached = {"Cache-Control": "no-cache"} if file.path.suffix in MANIFESTS else {}
        headers = {"Content-Type": media_type(file.path.name), "Content-Length": str(file.bytes), **cached, **condition}

        def note(landing: _Landing) -> None:
            course.note(msgspec.json.encode(landing).decode())

        def last() -> None:
            note(replace(before, refused=False))

        body = _noting(proven(file.path, file.sha256, course.check), last)
        answer = self._asked("PUT", file, headers, body, course)
        if 200 <= answer.status < 300:
            if not answer.has_all:
                raise Undelivered(f"{file.url.shown} answered {answer.status} before it had all of it", away=True)
            return True
        if answer.status not in UNCERTAIN:  # what comes to be there later is another's
            note(before)
        if answer.status == HTTPStatus.PRECONDITION_FAILED and condition:
            return False
        raise self._refusal(file.url, answer)

    def _is_there(self, file: _File, course: Course) -> bool:
        """Whether what is there is what was put, byte by byte. Raises Undelivered where the host does not show it."""
        answer = self._asked("GET", file, {}, iter(()), course)
        if answer.status in MAY_PASS:
            raise self._refusal(file.url, answer)
        if answer.status != HTTPStatus.OK:
            raise _untold(file.url)
        return answer.is_ours

    def _refusal(self, url: Url, answer: _Answer) -> Undelivered:
        passes = answer.status in MAY_PASS
        pause = seconds_of(answer.retry_after, self._now()) if passes and answer.retry_after else None
        words = f"{url.shown} answered {answer.status}{_phrase(answer.status)}"
        return Undelivered(words, final=not passes, away=passes, retry_after=pause)

    def _asked(
        self, method: str, file: _File, headers: dict[str, str], body: Iterator[bytes], course: Course
    ) -> _Answer:
        url = file.url
        try:
            connection = self._connection(url, course)
            line = connection.sock
            with closing(line):
                exchange = connection.sock = Exchange(line, course)
                sent = _send(connection, method, url, headers, body)
                response = exchange.answer(method)
                has_all = sent and exchange.is_all_taken
                is_ours = method == "GET" and response.status == HTTPStatus.OK and _is_of(response, file, course)
                return _Answer(response.status, response.getheader("Retry-After"), is_ours, has_all)
        except Undelivered:
            raise
        except Stalled as error:
            raise Undelivered(f"{url.shown} {error}", away=True) from error
        except FfspoolError as error:  # who may not be asked
            raise Undelivered(str(error), final=True) from error
        except (OSError, http.client.HTTPException) as error:
            raise Undelivered(f"{url.shown} cannot be reached: {reason(error)}", away=True) from error

    def _connection(self, url: Url, course: Course) -> http.client.HTTPConnection:
        """A line to the first of the host's addresses that takes one."""
        found = asked(partial(self._lines.addresses, url))
        for address in found[:-1]:
            course.stop_if_unwanted()
            try:
                return self._connection_to(address, url)
            except OSError:
                continue
        return self._connection_to(found[-1], url)

    def _connection_to(self, address: addresses.Address, url: Url) -> http.client.HTTPConnection:
        line = connected(address, url.port, lambda _: None)
        asked(partial(self._lines.check, url, line))
        return self._lines.connection(url, line)


def _landing(noted: str | None) -> _Landing:
    return msgspec.json.decode(noted, type=_Landing) if noted else _Landing(file=0, refused=True)


def _files(parcel: Parcel, base: Url, course: Course) -> list[_File]:
    """What is put, in that order. Raises Undelivered."""
    if not parcel.output.is_dir():
        return [_File(base, parcel.output, parcel.bytes, parcel.sha256)]
    folder = base.target.rstrip("/")
    return [
        _File(base._replace(target=f"{folder}/{quote(member.name)}"), member.path, member.bytes, member.sha256)
        for member in in_turn(parcel, course)
    ]


def _noting(pieces: Iterator[bytes], last: Callable[[], None]) -> Iterator[bytes]:
    """The pieces; `last` is called before the last of them goes."""
    held: bytes | None = None
    for piece in pieces:
        if held is not None:
            yield held
        held = piece
    last()
    yield held or b""


def _is_of(response: http.client.HTTPResponse, file: _File, course: Course) -> bool:
    """Whether a host answers with the very bytes of a file; no more than those are taken."""
    if response.length not in {None, file.bytes}:
        return False
    digest, left = hashlib.sha256(), file.bytes + 1
    while piece := response.read(min(PIECE, left)):
        course.check()
        digest.update(piece)
        left -= len(piece)
    return digest.hexdigest() == file.sha256


def _untold(url: Url) -> Undelivered:
    """What to say where an answer was lost and the host does not show what it has: it may be whole, or another's."""
    words = "see what it is, and if it is not this result, take it away and retry"
    return Undelivered(
        f"nobody can tell whether what lies at {url.shown} is ours: the answer to it was lost, and the host does not"
        f" show it: {words}",
        final=True,
    )


def _send(
    connection: http.client.HTTPConnection, method: str, url: Url, headers: dict[str, str], body: Iterator[bytes]
) -> bool:
    """Whether all of it went; a host that takes no more may have said why."""
    connection.putrequest(method, url.target, skip_host=True, skip_accept_encoding=True)
    for name, value in {"Host": url.authority, "User-Agent": "ffspool", "Connection": "close", **headers}.items():
        connection.putheader(name, value)
    try:
        connection.endheaders()
        for piece in body:
            connection.send(piece)
    except (Answered, BrokenPipeError, ConnectionResetError):
        return False
    return True


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""
