"""Finds the files of a watched folder among the keys of a bucket; one that is taken is fetched when its turn comes.

A store shows an object whole or not at all. It is known by key, size and ETag: in place of an inode and a time stand
hashes of these. What ffspool itself put there says so beside it, or is known by where it was brought.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice

from msgspec.structs import replace

from daemon.bounded_threads import Workers
from daemon.config_tables import BucketFolder
from daemon.database.store import Store
from daemon.delivery import rules
from daemon.delivery.brought import in_buckets
from daemon.errors import InvalidRequest
from daemon.folders import own_outputs
from daemon.folders.origin import Ours, Refused, Taken
from daemon.folders.scan import Found, is_being_made, may_be_taken
from daemon.models import VariationRequest
from daemon.scheduling.sources import NewSource
from daemon.source_files import Identity
from daemon.storage.bucket_sources import BucketSources
from daemon.storage.object_store import Listed, Object
from daemon.storage.objects import DELIVERY


class BucketFiles:
    """Is the origin of the objects below a URL."""

    def __init__(
        self,
        folder: BucketFolder,
        variations: tuple[VariationRequest, ...],
        store: Store,
        sources: BucketSources,
        asking: Workers,
    ) -> None:
        self._folder = folder
        self._store = store
        self._variations = variations
        self._sources = sources
        self._asking = asking

    def walk(self) -> Listing:
        return Listing(self._folder, self._listed)

    def settle(self) -> None:
        """Lets go of nothing: there is nothing."""

    async def own(self, files: Sequence[Found]) -> set[Found]:
        """Returns those that lie where results were brought: not every store keeps what is said beside its objects."""
        scheme, _, url = self._folder.url.rstrip("/").partition("://")
        return set(await self._store.read(partial(own_outputs.ours, f"/{url}", {in_buckets(scheme): "/"}, files)))

    async def take(self, found: Found) -> Taken | None:
        size = found.identity[0] or 0
        if words := rules.refusal_of_size(self._folder.when, size):
            raise Refused(words)
        try:
            url = self._folder.beginning + found.path
            name, remote = self._sources.remote(url, headers={}, sha256=None, name=None)
        except InvalidRequest as error:
            raise Refused(str(error)) from error
        there = await self._asking.run(self._folder.name, partial(self._head, found.path))
        if there is None or _identity(found.path, there.bytes, there.etag, found.changed) != found.identity:
            return None
        if DELIVERY in there.said:
            raise Ours
        return Taken(NewSource(name=name, bytes=0, remote=replace(remote, etag=there.etag)), self._variations)

    def _listed(self) -> Iterator[tuple[str, Listed]]:
        """Each object, by its key within the folder."""
        store, within = self._sources.opened(self._folder.beginning)
        for one in store.listed(within.rstrip("/")):
            yield one.key.removeprefix(within), one

    def _head(self, key: str) -> Object | None:
        store, within = self._sources.opened(self._folder.beginning)
        return store.head(within + key)


class Listing:
    """Goes once through the keys of a folder, a page at a time: however many there are, few are held in memory."""

    def __init__(self, folder: BucketFolder, listed: Callable[[], Iterator[tuple[str, Listed]]]) -> None:
        self._folder = folder
        self._objects = listed()
        self.looks = 0
        self.left_out = 0

    def next(self, looks: int) -> list[Found] | None:
        """Returns what is found among so many objects more; None: there are no more. Raises Undelivered. Blocks."""
        objects = list(islice(self._objects, looks))
        self.looks += len(objects)
        return [found for key, one in objects if (found := self._found(key, one))] if objects else None

    @property
    def flaw(self) -> str | None:
        return None

    def _found(self, key: str, one: Listed) -> Found | None:
        steps = key.split("/")
        if any(map(is_being_made, steps)) or (len(steps) > 1 and not self._folder.recursive) or not one.bytes:
            return None
        if not may_be_taken(key, self._folder):
            self.left_out += 1
            return None
        return Found(key, _identity(key, one.bytes, one.etag, one.modified), one.modified)


def _identity(key: str, size: int, etag: str | None, modified: int) -> Identity:
    """Where a store gives no ETag, versions are told apart by their time."""
    return size, None, _hash(key), _hash(etag or str(modified))


def _hash(text: str) -> int:
    """A number, as large as the database takes them."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
