"""Brings outputs to buckets that the operator named: each object whole, once, and with what it is said beside it.

Stores show an object under its key once all of it has come. Before it is sent, the place notes which key it will be;
beside the object stands whose delivery it is. So a delivery that was interrupted, at whatever moment, finds its own
object, and neither sends it twice nor numbers it anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from daemon import filenames
from daemon.config_tables import Bucket
from daemon.delivery.place import Course, Parcel, Receipt
from daemon.errors import ForbiddenPath, StartupError, Undelivered
from daemon.media_types import media_type
from daemon.models import Conflict, Deliver, Destination, Model
from daemon.name_template import PathTemplate
from daemon.storage import credentials
from daemon.storage.object_store import Object, ObjectStore, Taken

PIECE = 1024**2  # bytes that are read at once
MOST_KEY_BYTES = 1024
DELIVERY = "ffspool"  # under these names it stands beside an object whose it is, and what its bytes are
SHA256 = "sha256"


class _Landing(Model, frozen=True):
    """What is noted before anything is sent: the key to come."""

    key: str


class Buckets:
    """Is the place of all buckets of the operator's."""

    def __init__(self, buckets: Sequence[Bucket]) -> None:
        self._buckets = {bucket.name: bucket for bucket in buckets}

    async def resolve(self, wish: Deliver) -> Destination:
        """Finds the bucket whose URL this one begins with. Raises ForbiddenPath or BadName."""
        assert isinstance(wish.url, str)
        found = [bucket for bucket in self._buckets.values() if wish.url.startswith(bucket.beginning)]
        if not found:
            raise ForbiddenPath("the url is below that of no bucket that this daemon's operator named")
        bucket = max(found, key=lambda one: len(one.beginning))
        PathTemplate(wish.url.removeprefix(bucket.beginning))
        return Destination(place=f"bucket:{bucket.name}", below=wish.url, wish=wish)

    def deliver(self, parcel: Parcel, course: Course) -> Receipt:
        if parcel.output.is_dir():
            raise Undelivered("folders of files are not brought to buckets yet: deliver it to a folder", final=True)
        bucket, store = self._open(parcel.destination)
        key, kept = _Delivery(bucket, store, parcel, course, _key(bucket, parcel)).carry_out()
        return Receipt(to=bucket.beginning + key, kept=kept)

    def withdraw(self, parcel: Parcel) -> None:
        """Removes nothing: what has its key is whole, and what has none the store lets go of."""

    def _open(self, destination: Destination) -> tuple[Bucket, ObjectStore]:
        bucket = self._buckets.get(destination.place.removeprefix("bucket:"))
        if bucket is None or not destination.below.startswith(bucket.beginning):
            raise Undelivered("its url is below that of no bucket of this daemon any more", final=True)
        try:
            return bucket, ObjectStore(bucket, credentials.credentials(bucket))
        except StartupError as error:
            raise Undelivered(f"the credentials of the bucket {bucket.name} cannot be read", away=True) from error


class _Delivery:
    """One parcel on its way to its key."""

    def __init__(self, bucket: Bucket, store: ObjectStore, parcel: Parcel, course: Course, key: str) -> None:
        self._bucket = bucket
        self._store = store
        self._parcel = parcel
        self._course = course
        self._key = key
        self._conflict = parcel.destination.wish.conflict

    def carry_out(self) -> tuple[str, bool]:
        """Returns the key it has there, and whether that is what lay there before."""
        landing = msgspec.json.decode(self._course.landing, type=_Landing) if self._course.landing else None
        if landing and self._is_ours(self._store.head(landing.key)):
            return landing.key, False
        while True:
            key = self._untaken()
            if key is None:
                return self._key, True
            self._course.check()
            self._course.note(msgspec.json.encode(_Landing(key=key)).decode())
            try:
                self._put(key)
            except Taken:  # meanwhile: look again
                continue
            self._check(key)
            return key, False

    def _untaken(self) -> str | None:
        """The key it may have; None where what lies there is to stay. Raises Undelivered where nothing may."""
        if self._conflict == Conflict.OVERWRITE or self._is_free(self._key):
            return self._key
        if self._conflict == Conflict.SKIP:
            return None
        folder, slash, name = self._key.rpartition("/")
        if self._conflict == Conflict.FAIL:
            raise Undelivered(f"{name} is there already: take it away, or ask to number, skip or overwrite", final=True)
        free = filenames.first_free(name, False, lambda one: self._is_free(f"{folder}{slash}{one}"))
        return f"{folder}{slash}{free}"

    def _is_free(self, key: str) -> bool:
        self._course.check()
        return self._store.head(key) is None

    def _is_ours(self, there: Object | None) -> bool:
        return there is not None and (there.bytes, there.said.get(DELIVERY)) == (self._parcel.bytes, self._parcel.id)

    def _put(self, key: str) -> None:
        said = {
            "Content-Type": media_type(key),
            **({"Cache-Control": self._bucket.cache_control} if self._bucket.cache_control else {}),
            DELIVERY: self._parcel.id,
            SHA256: self._parcel.sha256,
        }
        over = self._conflict == Conflict.OVERWRITE
        self._store.put(key, self._parcel.bytes, self._pieces, said, over=over)

    def _pieces(self) -> Iterator[bytes]:
        """All of the file. Raises Undelivered before its last piece, should it not be what was proven, or Stopped."""
        yield from proven(self._parcel.output, self._parcel.sha256, self._course.check)

    def _check(self, key: str) -> None:
        there = self._store.head(key)
        if there is None or there.bytes != self._parcel.bytes:
            raise Undelivered(f"the bucket {self._bucket.name} has not all of what it took: it is sent again")


def proven(path: Path, sha256: str, check: Callable[[], None]) -> Iterator[bytes]:
    """Yields all of a file, but for its last piece only once it is what it was. Raises Undelivered, or what `check`
    does between two pieces."""
    digest, last = hashlib.sha256(), b""
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                check()
                if last:
                    yield last
                digest.update(piece)
                last = piece
    except OSError as error:
        raise Undelivered(f"what is to be delivered cannot be read: {error.strerror}") from error
    if digest.hexdigest() != sha256:
        raise Undelivered("what is to be delivered is not what was made any more: see to this daemon's disk")
    yield last


def _key(bucket: Bucket, parcel: Parcel) -> str:
    template = parcel.destination.below.removeprefix(bucket.beginning)
    assert parcel.words is not None
    key = PathTemplate(template).path(parcel.words, parcel.name)
    if len(key.encode()) > MOST_KEY_BYTES:
        raise Undelivered(f"its key would be longer than {MOST_KEY_BYTES} bytes", final=True)
    return key
