"""Brings outputs to buckets that the operator named: each object whole, once, and with what it is said beside it.

Stores show an object under its key once all of it has come. Before anything is sent, the place notes which key it will
be; beside each object stands whose delivery it is. So a delivery that was interrupted, at whatever moment, finds its
own objects, and neither sends them twice nor numbers them anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from daemon.config_tables import Bucket
from daemon.delivery.place import Course, Parcel, Receipt
from daemon.errors import ForbiddenPath, StartupError, Undelivered
from daemon.models import Deliver, Destination
from daemon.name_template import PathTemplate
from daemon.storage import credentials, leftovers
from daemon.storage.claimed_keys import ClaimedKeys
from daemon.storage.object_store import ObjectStore
from daemon.storage.objects import Landing, OneObject, Tree

MOST_KEY_BYTES = 1024
MOST_LISTED = 10  # names of buckets


class Buckets:
    """Is the place of all buckets of the operator's."""

    def __init__(self, buckets: Sequence[Bucket]) -> None:
        self._buckets = {bucket.name: bucket for bucket in buckets}
        self._claimed = ClaimedKeys()

    async def resolve(self, wish: Deliver) -> Destination:
        """Finds the bucket whose URL this one begins with. Raises ForbiddenPath or BadName."""
        assert isinstance(wish.url, str)
        bucket = meant(self._buckets.values(), wish.url)
        PathTemplate(wish.url.removeprefix(bucket.beginning))
        return Destination(place=f"bucket:{bucket.name}", below=wish.url, wish=wish)

    def address(self, parcel: Parcel) -> str:
        bucket = self._bucket(parcel.destination)
        return bucket.beginning + _filled(bucket, parcel) if bucket else parcel.destination.below

    def deliver(self, parcel: Parcel, course: Course) -> Receipt:
        bucket = self._bucket(parcel.destination)
        if bucket is None:
            raise Undelivered("its url is below that of no bucket of this daemon any more", final=True)
        keys = opening(bucket)
        sort = Tree if parcel.output.is_dir() else OneObject
        store = ObjectStore(bucket, keys)
        try:
            if course.landing:
                self._abort(bucket, keys, parcel.id, msgspec.json.decode(course.landing, type=Landing))
            key, kept = sort(bucket, store, parcel, course, _key(bucket, parcel), self._claimed).carry_out()
        finally:
            self._claimed.let_go(parcel.id)
        return Receipt(to=bucket.beginning + key, kept=kept)

    def withdraw(self, parcel: Parcel) -> str | None:
        """Removes parts of objects, and objects of a folder that has not all of them. What is whole stays."""
        landing = msgspec.json.decode(parcel.landing, type=Landing) if parcel.landing else None
        bucket = self._bucket(parcel.destination)
        if landing is None or bucket is None:
            return None
        keys = opening(bucket)
        try:
            self._abort(bucket, keys, parcel.id, landing)
        finally:
            self._claimed.let_go(parcel.id)
        if landing.last:
            landing.clear(ObjectStore(bucket, keys), parcel.id)
        return None

    def _abort(self, bucket: Bucket, keys: Mapping[str, str], delivery: str, landing: Landing) -> None:
        """Ends uploads to a key that nobody goes on with: another delivery may be on its way there by now."""
        if self._claimed.claim(bucket.beginning + landing.key, delivery):
            leftovers.abort(bucket, keys, landing.key, landing.others)

    def _bucket(self, destination: Destination) -> Bucket | None:
        """The bucket it goes to, unless the operator named that another way meanwhile."""
        bucket = self._buckets.get(destination.place.removeprefix("bucket:"))
        return bucket if bucket and destination.below.startswith(bucket.beginning) else None


def meant(buckets: Iterable[Bucket], url: str) -> Bucket:
    """Returns the bucket, or the part of one, that the URL lies in. Raises ForbiddenPath where that is none."""
    named = list(buckets)
    found = [bucket for bucket in named if url.startswith(bucket.beginning)]
    if not found:
        raise ForbiddenPath(f"the url is below that of no bucket that this daemon's operator named: {_listed(named)}")
    return max(found, key=lambda one: len(one.beginning))


def _listed(buckets: Sequence[Bucket]) -> str:
    """Their names, which are no secret: what is said of deliveries has them, too."""
    if not buckets:
        return "there is none"
    names = sorted(bucket.name for bucket in buckets)
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return f"{'it is' if len(names) == 1 else 'there are'} {', '.join(names[:MOST_LISTED])}{more}"


def opening(bucket: Bucket) -> dict[str, str]:
    """Returns what opens a bucket. Raises Undelivered where that cannot be read. Blocks."""
    try:
        return credentials.credentials(bucket)
    except StartupError as error:
        raise Undelivered(f"the credentials of the bucket {bucket.name} cannot be read", away=True) from error


def _key(bucket: Bucket, parcel: Parcel) -> str:
    key = _filled(bucket, parcel)
    whole = bucket.beginning.split("/", 3)[3] + key
    if len(whole.encode()) > MOST_KEY_BYTES:
        raise Undelivered(f"its key would be longer than {MOST_KEY_BYTES} bytes", final=True)
    return key


def _filled(bucket: Bucket, parcel: Parcel) -> str:
    assert parcel.words is not None
    return PathTemplate(parcel.destination.below.removeprefix(bucket.beginning)).path(parcel.words, parcel.name)
