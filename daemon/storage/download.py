"""Makes one attempt at fetching a file: from addresses that were checked, to a file on the disk, from where it was.

Whatever waits for the network or the disk does so in a thread of ours, and `Trip.stop` ends it there.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import http.client
import os
import socket
import ssl
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from msgspec.structs import replace

from daemon import addresses
from daemon.bounded_threads import Workers
from daemon.errors import FfspoolError, InvalidRequest, Unfetched
from daemon.models import Model, Remote
from daemon.paths import fsync_folder
from daemon.storage import answers, urls
from daemon.storage.answers import Answer, Known
from daemon.storage.durable import Durable
from daemon.storage.line import SILENCE, Lines, connected, reason
from daemon.storage.trip import Stopped, Trip

T = TypeVar("T")

ANSWER_TIMEOUT = 60.0  # seconds for all that comes before the file, redirects included
MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
PIECE = 256 * 1024  # bytes that are read at once


class Order(Model, frozen=True):
    """Says what is to be fetched to where, and what of it is there already."""

    remote: Remote
    path: Path
    known: Known


class Keeper(Protocol):
    """Keeps what became of the file so far, and says whether there is room. It is called in the attempt's thread."""

    def begin(self, answer: Answer) -> None:
        """Keeps which file it is. Raises Unfetched where there is no room for it, or Stopped."""
        ...

    def grow(self, size: int) -> None:
        """Keeps that so many bytes are on the disk. Raises as `begin` does."""
        ...

    def refuse_above(self, size: int) -> None:
        """Raises Unfetched for a file of more bytes than whose it is may store, as far as is known at this moment."""
        ...


class _Line:
    """An answer of which the head was read."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._connection = connection
        self.response = response
        self.status = response.status
        self.headers, self.contradiction = answers.plain_headers(response.getheaders())

    def close(self) -> None:
        self.response.close()
        self._connection.close()


class Downloader:
    """Fetches files. Nothing is remembered between two attempts."""

    def __init__(
        self,
        *,
        allow_private: bool = False,
        ports: Collection[int] = (80, 443),
        most_bytes: int,
        at_once: int = 4,
        sign: Callable[[Remote], Remote] | None = None,
        now: Callable[[], float] = time.time,
        resolve: addresses.Resolve = addresses.look_up,
        interfaces: addresses.Interfaces = addresses.interfaces,
    ) -> None:
        self._sign = sign  # what is to be asked for in its place; then no redirect is followed
        self._ports = ports
        self._most = most_bytes
        self._now = now
        self._lines = Lines(addresses.FETCHES, allow_private=allow_private, resolve=resolve, interfaces=interfaces)
        self._threads = Workers("fetching", most=2 * at_once, patience=None)  # one that ends may be on its way out

    async def fetch(self, order: Order, trip: Trip, keeper: Keeper) -> int:
        """Returns the file's size once it is whole, durable and what was asked for.

        Raises Unfetched, or Stopped; what came until then is kept as far as the keeper was told.
        """
        if order.known.is_all:  # the daemon ended before it could say so
            return await self._on_thread(partial(_looked_at, order, trip))
        try:
            line, answer = await self._answer_or_anew(order, trip)
            watching = asyncio.create_task(trip.watch())
            try:
                return await self._on_thread(partial(_receive, line, answer, order, trip, keeper, self._most))
            finally:
                watching.cancel()
        except asyncio.CancelledError:
            trip.stop()  # the thread may wait for the line
            raise
        finally:
            trip.release()

    async def _answer_or_anew(self, order: Order, trip: Trip) -> tuple[_Line, Answer]:
        """What comes when the rest of the file is asked for; if that is of no use, then when all of it is."""
        try:
            return await self._answer(order, trip)
        except Unfetched as error:
            if not error.anew:
                raise
        return await self._answer(replace(order, known=Known()), trip)

    async def _answer(self, order: Order, trip: Trip) -> tuple[_Line, Answer]:
        """What is asked for the first time, or the rest of it, as it begins to come."""
        asked = order.known.resumable
        line = await self._asked(order, trip, _range(order.known) if asked else {})
        try:
            answer = answers.judged(
                order.remote.shown,
                line.status,
                line.headers,
                order.known,
                asked=asked,
                now=self._now(),
                most=self._most,
            )
            _refuse_another(answer, order.remote)
            return line, answer
        except BaseException:
            line.close()
            raise

    async def _asked(self, order: Order, trip: Trip, extra: Mapping[str, str]) -> _Line:
        """The answer at the end of all redirects."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT) as deadline:
                return await self._followed(order.remote, trip, extra)
        except Unfetched:
            raise
        except FfspoolError as error:  # who may not be asked
            raise Unfetched(str(error), final=True) from error
        except (OSError, http.client.HTTPException) as error:
            trip.hang_up()
            trip.check()
            words = f"no answer within {ANSWER_TIMEOUT:.0f} s" if deadline.expired() else reason(error)
            final = isinstance(error, ssl.SSLCertVerificationError)
            raise Unfetched(f"{order.remote.shown} cannot be reached: {words}", final=final) from error

    async def _followed(self, remote: Remote, trip: Trip, extra: Mapping[str, str]) -> _Line:
        if self._sign:
            remote = await self._on_thread(partial(self._sign, remote))
        url, headers = urls.parsed(remote.url, self._ports), remote.headers
        for hop in range(1 if self._sign else MAX_REDIRECTS + 1):
            try:
                line = await self._get(url, {**headers, **extra}, trip)
            except addresses.ForbiddenTarget as error:
                raise _redirected(remote, error) if hop else error from error
            if twice := line.contradiction:
                line.close()
                raise Unfetched(f"{url.shown} answered with two {twice} headers that contradict each other", final=True)
            location = line.headers.get("location")
            if line.status not in REDIRECTS or not location:
                return line
            line.close()
            try:
                onward = url.joined(location, self._ports)
            except InvalidRequest as error:
                raise _redirected(remote, error) from error
            if onward.origin != url.origin:  # keys are for whom they were given for
                headers = {}
            url = onward
        if self._sign:
            raise Unfetched(f"{remote.shown} lies elsewhere: its bucket's endpoint or region is another", final=True)
        raise Unfetched(f"{remote.shown} redirected us more than {MAX_REDIRECTS} times, at last to {url.shown}")

    async def _get(self, url: urls.Url, headers: Mapping[str, str], trip: Trip) -> _Line:
        """The answer of the first of the host's addresses that takes a connection."""
        found = await trip.unless_stopped(self._lines.addresses(url))
        for address in found[:-1]:
            try:
                return await self._get_from(address, url, headers, trip)
            except OSError:
                trip.check()
        return await self._get_from(found[-1], url, headers, trip)

    async def _get_from(
        self, address: addresses.Address, url: urls.Url, headers: Mapping[str, str], trip: Trip
    ) -> _Line:
        trip.check()
        plain = await self._on_thread(partial(connected, address, url.port, trip.hold), _close)
        await self._lines.check(url, plain)
        return await self._on_thread(partial(self._talk, plain, url, headers), _close)

    def _talk(self, plain: socket.socket, url: urls.Url, headers: Mapping[str, str]) -> _Line:
        connection = self._lines.connection(url, plain)
        try:
            connection.putrequest("GET", url.target, skip_host=True, skip_accept_encoding=True)
            ours = {"Host": url.authority, "Accept-Encoding": "identity", "Connection": "close"}
            given = {"User-Agent": "ffspool", "Accept": "*/*", **headers}
            for name, value in {**given, **ours}.items():
                connection.putheader(name, value.encode("latin-1"))
            connection.endheaders()
            return _Line(connection, connection.getresponse())
        except BaseException:
            connection.close()
            raise

    async def _on_thread(self, work: Callable[[], T], unwanted: Callable[[T], object] | None = None) -> T:
        return await self._threads.run("", work, unwanted)


def _close(line: _Line | socket.socket) -> None:
    line.close()


def _redirected(remote: Remote, error: FfspoolError) -> FfspoolError:
    """What to say where a redirect leads to where nobody may go."""
    begin = f"{remote.shown} redirected us, and "
    if isinstance(error, addresses.ForbiddenTarget):
        return addresses.ForbiddenTarget(f"{begin}{error}", f"{begin}{error.told}")
    return Unfetched(f"{begin}{str(error).replace('the URL of a source', 'that URL')}", final=True)


def _refuse_another(answer: Answer, remote: Remote) -> None:
    etag = answers.plain_etag(answer.version.etag)
    if remote.etag and etag and etag != remote.etag:
        raise Unfetched(f"{remote.shown} has another file there by now", final=True)


def _range(known: Known) -> dict[str, str]:
    """What asks for the rest of the very file of which some is here; another comes whole."""
    return {"Range": f"bytes={known.bytes}-", "If-Range": known.version.condition or ""}


# Within the thread


def _receive(line: _Line, answer: Answer, order: Order, trip: Trip, keeper: Keeper, most: int) -> int:
    shown = order.remote.shown
    try:
        if not answer.framed and order.remote.sha256 is None:
            words = (
                "does not say how long the file is, so that nobody could tell whether it came whole: give its sha256"
            )
            raise Unfetched(f"{shown} {words}", final=True)
        keeper.begin(answer)
        trip.begin(answer.begins, answer.length, resumable=answer.resumable)
        part = _open(order.path, answer.begins, shown)
        durable = Durable(part, keeper.grow)
        try:
            _fill(part, line.response, shown, trip, keeper, durable, most)
            _check_whole(part, answer, order, trip)
        finally:
            durable.wait()
            os.close(part)
        fsync_folder(order.path.parent)
        return trip.bytes
    except OSError as error:
        raise _of_disk(shown, error, answer) from error
    finally:
        line.close()


def _looked_at(order: Order, trip: Trip) -> int:
    """The size of a file that came whole already."""
    known, shown = order.known, order.remote.shown
    part = _open(order.path, known.bytes, shown)
    try:
        whole = Answer(begins=known.bytes, length=known.length, version=known.version, framed=True)
        _check_whole(part, whole, order, trip)
    finally:
        os.close(part)
    fsync_folder(order.path.parent)
    return known.bytes


def _open(path: Path, begins: int, shown: str) -> int:
    """Cuts off what nobody vouches for. Raises Stopped where the job is gone, and its folder with it."""
    try:
        part = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError as error:
        raise Stopped from error
    if os.fstat(part).st_size < begins:
        os.close(part)
        raise Unfetched(f"what was here of {shown} is gone from the disk", anew=True)
    os.ftruncate(part, begins)
    return part


def _fill(
    part: int,
    response: http.client.HTTPResponse,
    shown: str,
    trip: Trip,
    keeper: Keeper,
    durable: Durable,
    most: int,
) -> None:
    """Writes what comes, until it ends or the line breaks; what is there then is durable and told."""
    while piece := _next(response, shown, trip, durable):
        if trip.bytes + len(piece) > most:
            raise Unfetched(f"{shown} sends more than {most} bytes, which are the limit", final=True)
        keeper.refuse_above(trip.bytes + len(piece))
        _write(part, piece, trip.bytes)
        trip.took(len(piece))
        durable.go_on(trip.bytes)
    trip.end()
    durable.settle(trip.bytes)
    _check(shown, trip)


def _next(response: http.client.HTTPResponse, shown: str, trip: Trip, durable: Durable) -> bytes:
    try:
        return response.read1(PIECE)
    except (OSError, http.client.HTTPException, ValueError) as error:
        durable.settle(trip.bytes)
        _check(shown, trip)
        why = f"sent nothing for {SILENCE:.0f} s" if isinstance(error, TimeoutError) else "broke off"
        raise Unfetched(f"{shown} {why} after {trip.bytes} bytes") from error


def _check(shown: str, trip: Trip) -> None:
    """Raises Stopped, or Unfetched where the line was hung up because of how the file came."""
    trip.check()
    if trip.flaw and trip.bytes != trip.length:
        raise Unfetched(f"{shown} {trip.flaw}", crawls=True)


def _write(part: int, piece: bytes, at: int) -> None:
    with memoryview(piece) as rest:
        written = 0
        while written < len(piece):
            written += os.pwrite(part, rest[written:], at + written)


def _check_whole(part: int, answer: Answer, order: Order, trip: Trip) -> None:
    shown, wanted = order.remote.shown, order.remote.sha256
    if answer.length is not None and trip.bytes != answer.length:
        anew = trip.bytes > answer.length
        raise Unfetched(f"{shown} broke off after {trip.bytes} of {answer.length} bytes", anew=anew)
    if not trip.bytes:
        raise Unfetched(f"{shown} holds an empty file", final=True)
    if wanted and (found := _sha256(part, trip)) != wanted:
        words = f"{shown} sent a file with the SHA-256 {found}, not the one that was said"
        raise Unfetched(words, final=answer.framed, anew=True)  # of one without a length the line may have broken


def _sha256(part: int, trip: Trip) -> str:
    digest, at = hashlib.sha256(), 0
    while piece := os.pread(part, 4 * PIECE, at):
        trip.check()
        digest.update(piece)
        at += len(piece)
    return digest.hexdigest()


def _of_disk(shown: str, error: OSError, answer: Answer) -> Unfetched:
    """What comes without a length was given no room of its own: what is here of it makes room for others."""
    if error.errno in NO_ROOM:
        return Unfetched(f"{shown} waits for disk space: the disk is full", room=True, anew=answer.length is None)
    return Unfetched(f"what comes from {shown} cannot be stored: {error.strerror}")
