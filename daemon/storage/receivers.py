"""Brings outputs to hosts that take what is put to a URL, such as a presigned one of a bucket.

Whoever has such a URL may write there: it is a secret, of which no more than the host is told. Hosts are reached at
addresses that were checked, and a redirect is not followed.
"""

from __future__ import annotations

import asyncio
import http.client
import socket
import time
from collections.abc import Callable, Collection, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import msgspec

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
from daemon.storage.line import Lines, connected, reason
from daemon.storage.objects import in_turn, proven
from daemon.storage.urls import Url

ANSWER_TIMEOUT = 120.0  # seconds that a host may take to store what it took
UNCERTAIN = {HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT}  # of a host that others stand before
GONE = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}


class _Landing(Model, frozen=True):
    """What is noted before the last of a file is sent: all files before it are there, and it may be soon, unless its
    host `refused` it.
    """

    file: int
    refused: bool = False


class _Answer(NamedTuple):
    status: int
    retry_after: str | None
    length: str | None


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
        if not self._claimed.claim(urls.address(base), parcel.id):
            raise Undelivered("another result is on its way to that URL: it waits for that")
        try:
            return Receipt(to=base.shown, kept=self._put_all(files, parcel.destination.wish.conflict, course))
        finally:
            self._claimed.let_go(parcel.id)

    def withdraw(self, parcel: Parcel) -> None:
        """Removes nothing: who may put may not remove, and what came in part a host does not keep."""

    def _put_all(self, files: list[_File], conflict: Conflict, course: Course) -> bool:
        """Whether what was there is left."""
        begun = msgspec.json.decode(course.landing, type=_Landing) if course.landing else _Landing(file=-1)
        for number, file in enumerate(files):
            if number < begun.file:
                continue
            course.check()
            if self._put(file, number, conflict, course):
                continue
            if number == begun.file and not begun.refused and self._is_there(file):
                continue  # it had come when the daemon died, or the line broke
            if conflict == Conflict.SKIP and number == 0:
                return True
            raise taken(file.url.shown)
        return False

    def _put(self, file: _File, number: int, conflict: Conflict, course: Course) -> bool:
        """False: something is there. Raises Undelivered or Stopped."""
        condition = {} if conflict == Conflict.OVERWRITE else {"If-None-Match": "*"}
        headers = {"Content-Type": media_type(file.path.name), "Content-Length": str(file.bytes), **condition}

        def note(landing: _Landing) -> None:
            course.note(msgspec.json.encode(landing).decode())

        def last() -> None:
            note(_Landing(file=number))

        answer = self._asked("PUT", file.url, headers, _noting(proven(file.path, file.sha256, course.check), last))
        if answer.status == HTTPStatus.PRECONDITION_FAILED and condition:
            return False
        if not 200 <= answer.status < 300:
            if answer.status not in UNCERTAIN:  # what comes to be there later is another's
                note(_Landing(file=number, refused=True))
            raise self._refusal(file.url, answer)
        return True

    def _is_there(self, file: _File) -> bool:
        """Whether it may be what is there: hosts that tell nothing of it are taken at their word that something is."""
        answer = self._asked("HEAD", file.url, {}, iter(()))
        if answer.status in GONE:
            return False
        return answer.status != HTTPStatus.OK or answer.length in {None, str(file.bytes)}

    def _refusal(self, url: Url, answer: _Answer) -> Undelivered:
        passes = answer.status in MAY_PASS
        pause = seconds_of(answer.retry_after, self._now()) if passes and answer.retry_after else None
        words = f"{url.shown} answered {answer.status}{_phrase(answer.status)}"
        return Undelivered(words, final=not passes, away=passes, retry_after=pause)

    def _asked(self, method: str, url: Url, headers: dict[str, str], body: Iterator[bytes]) -> _Answer:
        try:
            connection = self._connection(url)
            try:
                return _answer(connection, method, url, headers, body)
            finally:
                connection.close()
        except Undelivered:
            raise
        except FfspoolError as error:  # who may not be asked
            raise Undelivered(str(error), final=True) from error
        except (OSError, http.client.HTTPException) as error:
            raise Undelivered(f"{url.shown} cannot be reached: {reason(error)}", away=True) from error

    def _connection(self, url: Url) -> http.client.HTTPConnection:
        """A line to the first of the host's addresses that takes one."""
        found = asyncio.run(self._lines.addresses(url))
        for address in found[:-1]:
            try:
                return self._connection_to(address, url)
            except OSError:
                continue
        return self._connection_to(found[-1], url)

    def _connection_to(self, address: addresses.Address, url: Url) -> http.client.HTTPConnection:
        line = connected(address, url.port, lambda _: None)
        asyncio.run(self._lines.check(url, line))
        return self._lines.connection(url, line)


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


def _answer(
    connection: http.client.HTTPConnection, method: str, url: Url, headers: dict[str, str], body: Iterator[bytes]
) -> _Answer:
    connection.putrequest(method, url.target, skip_host=True, skip_accept_encoding=True)
    for name, value in {"Host": url.authority, "User-Agent": "ffspool", "Connection": "close", **headers}.items():
        connection.putheader(name, value)
    line = connection.sock
    connection.endheaders()
    try:
        for piece in body:
            connection.send(piece)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it may have said why before it had all of it
    if isinstance(line, socket.socket):
        line.settimeout(ANSWER_TIMEOUT)
    response = connection.getresponse()
    return _Answer(response.status, response.getheader("Retry-After"), response.getheader("Content-Length"))


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""
