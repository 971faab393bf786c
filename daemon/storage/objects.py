"""Puts one output into a bucket: as one object, or as many below one key; what players are given of them comes last."""

from __future__ import annotations

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import msgspec

from daemon import filenames
from daemon.config_tables import Bucket
from daemon.delivery.place import Course, Parcel
from daemon.delivery.refusals import taken
from daemon.errors import Undelivered
from daemon.journal import tell
from daemon.media_types import media_type
from daemon.models import Conflict, Model
from daemon.proof import output_folder
from daemon.recipes.streaming_manifests import MASTERS
from daemon.storage.claimed_keys import ClaimedKeys
from daemon.storage.object_store import PART, Object, ObjectStore, Taken

PIECE = 1024**2  # bytes that are read at once
DELIVERY = "ffspool"  # under these names it stands beside an object whose it is, and what its bytes are
SHA256 = "sha256"
log = logging.getLogger(__name__)

MANIFESTS = frozenset({".m3u8", ".mpd"})


class Landing(Model, frozen=True):
    """Is noted before anything is sent: the key to come and, of a folder, which object below it is put last, and which
    delivery had put the folder that it takes the place of. `others` holds the keys that are sent in parts, each with
    the uploads that were under way to it before; None: nobody can tell those from ours.
    """

    key: str
    last: str | None = None
    over: str | None = None
    others: Mapping[str, Sequence[str]] | None = None

    def clear(self, store: ObjectStore, delivery: str) -> None:
        """Removes what the delivery put below the key, unless all of it is there. Raises Undelivered."""
        if is_of(store.head(f"{self.key}/{self.last}"), delivery):
            return
        ours = [one.key for one in store.listed(self.key) if is_of(store.head(one.key), delivery)]
        store.delete(ours)


def is_of(there: Object | None, delivery: str) -> bool:
    """Tells whether an object was put by a delivery."""
    return there is not None and there.said.get(DELIVERY) == delivery


class _Output(ABC):
    """One parcel on its way to its key."""

    def __init__(
        self, bucket: Bucket, store: ObjectStore, parcel: Parcel, course: Course, key: str, claimed: ClaimedKeys
    ) -> None:
        self._bucket = bucket
        self._store = store
        self._parcel = parcel
        self._course = course
        self._key = key
        self._claimed = claimed
        self._conflict = parcel.destination.wish.conflict

    @abstractmethod
    def carry_out(self) -> tuple[str, bool]:
        """Returns the key it has there, and whether that is what lay there before. Raises Undelivered or Stopped."""

    @abstractmethod
    def _is_free(self, key: str) -> bool: ...

    def _landed(self) -> Landing | None:
        return msgspec.json.decode(self._course.landing, type=Landing) if self._course.landing else None

    def _note(self, landing: Landing) -> None:
        self._course.check()
        self._course.note(msgspec.json.encode(landing).decode())

    def _others(self, key: str, sizes: Mapping[str, int]) -> Mapping[str, Sequence[str]] | None:
        """The uploads of others to those of the keys, all of them below one, whose objects are sent in parts."""
        in_parts = [one for one, size in sizes.items() if size > PART]
        found = self._store.under_way(key) if in_parts else {}
        return None if found is None else {one: found.get(one, []) for one in in_parts}

    def _untaken(self) -> str | None:
        """The key it may have, to itself; None where what lies there is to stay. Raises Undelivered where none is."""
        while (key := self._looked_for()) is not None:
            if not self._claim(key):
                if self._conflict == Conflict.NUMBER:
                    continue
                raise _on_the_way()
            if self._conflict == Conflict.OVERWRITE or self._is_free(key):  # still: another may have come meanwhile
                return key
        return None

    def _claim(self, key: str) -> bool:
        return self._claimed.claim(self._bucket.beginning + key, self._parcel.id)

    def _looked_for(self) -> str | None:
        """The same, but that another delivery may be about to take it."""
        may_have = self._may_have if self._conflict == Conflict.NUMBER else self._is_free
        if self._conflict == Conflict.OVERWRITE or may_have(self._key):
            return self._key
        if self._conflict == Conflict.SKIP:
            return None
        folder, slash, name = self._key.rpartition("/")
        if self._conflict == Conflict.FAIL:
            raise taken(name)
        is_folder = self._parcel.output.is_dir()
        free = filenames.first_free(name, is_folder, lambda one: self._may_have(f"{folder}{slash}{one}"))
        return f"{folder}{slash}{free}"

    def _may_have(self, key: str) -> bool:
        is_anothers = self._claimed.is_anothers(self._bucket.beginning + key, self._parcel.id)
        return not is_anothers and self._is_free(key)

    def _put(self, key: str, path: Path, size: int, sha256: str, *, over: bool) -> None:
        is_manifest = PurePosixPath(key).suffix in MANIFESTS
        cache = self._bucket.manifest_cache_control if is_manifest else self._bucket.cache_control
        said = {"Content-Type": media_type(key), DELIVERY: self._parcel.id, SHA256: sha256}
        if cache:
            said["Cache-Control"] = cache
        self._store.put(key, size, lambda: proven(path, sha256, self._course.check), said, over=over)

    def _is_here(self, key: str, size: int, sha256: str) -> bool:
        """Whether all of a file that we put is under a key: by what is said beside it, or where the store forgot that,
        as rclone's does when it is started anew, by all its bytes."""
        found = self._store.head(key)
        if found is None or found.bytes != size:
            return False
        if DELIVERY in found.said:
            return is_of(found, self._parcel.id)
        try:
            return self._store.sha256(key, self._course.check) == sha256
        except FileNotFoundError:
            return False

    def _tell(self, words: str, **of: str) -> None:
        tell(log, logging.WARNING, words, delivery=self._parcel.id, bucket=self._bucket.name, **of)

    def _incomplete(self) -> Undelivered:
        return Undelivered(f"the bucket {self._bucket.name} has not all of what it took: it is sent again")


class OneObject(_Output):
    """One file on its way to its key."""

    def carry_out(self) -> tuple[str, bool]:
        landing = self._landed()
        if landing and self._is_here(landing.key, self._parcel.bytes, self._parcel.sha256):
            return landing.key, False
        while True:
            key = self._untaken()
            if key is None:
                return self._key, True
            self._note(Landing(key=key, others=self._others(key, {key: self._parcel.bytes})))
            over = self._conflict == Conflict.OVERWRITE
            try:
                self._put(key, self._parcel.output, self._parcel.bytes, self._parcel.sha256, over=over)
            except Taken:  # meanwhile; or a first try of the very request came, and its answer did not
                if self._is_here(key, self._parcel.bytes, self._parcel.sha256):
                    return key, False
                continue
            self._look_at(key)
            return key, False

    def _look_at(self, key: str) -> None:
        """Says what became of an object that the store has just taken whole. Raises Undelivered where it is half there.

        Whoever takes results out of a bucket may have been there first: sent again, each would come twice.
        """
        try:
            there = self._store.head(key)
        except Undelivered as error:
            return self._tell("what the store took cannot be looked at", error=str(error))
        is_all = there is not None and there.bytes == self._parcel.bytes
        if there is None or not (is_of(there, self._parcel.id) or (is_all and DELIVERY not in there.said)):
            return self._tell("what the store took is not there any more: it is not sent again")
        if not is_all:
            raise self._incomplete()
        return None

    def _is_free(self, key: str) -> bool:
        self._course.check()
        return self._store.head(key) is None


class Member(NamedTuple):
    """Is one file of an output that is a folder, by its name below that."""

    name: str
    path: Path
    bytes: int
    sha256: str


class Tree(_Output):
    """A folder of files on its way to objects below one key: what players are given comes last."""

    def carry_out(self) -> tuple[str, bool]:
        members = in_turn(self._parcel, self._course)
        landing = self._begun(members)
        last = members[-1].name
        key = landing.key if landing else self._untaken()
        if key is None:
            return self._key, True
        over = landing.over if landing else self._putter(key)
        if landing is None:
            others = self._others(key, {f"{key}/{member.name}": member.bytes for member in members})
            self._note(Landing(key=key, last=last, over=over, others=others))
        if landing is None or not self._is_there(f"{key}/{last}", members[-1]):
            if self._conflict == Conflict.OVERWRITE:
                self._make_way(key)
            self._put_all(key, members, resumed=landing is not None)
        if self._conflict == Conflict.OVERWRITE:
            self._sweep(key, members, over)
        return key, False

    def _is_free(self, key: str) -> bool:
        self._course.check()
        return next(iter(self._store.listed(key)), None) is None

    def _begun(self, members: list[Member]) -> Landing | None:
        """Where an earlier attempt began, unless another output came to lie there. Raises Undelivered."""
        landing = self._landed()
        if landing is None:
            return None
        if not self._claim(landing.key):
            raise _on_the_way()
        there = next(iter(self._store.listed(landing.key)), None)
        if there is None or self._conflict == Conflict.OVERWRITE or self._is_of_ours(there.key, landing.key, members):
            return landing
        return None

    def _is_of_ours(self, key: str, folder: str, members: list[Member]) -> bool:
        if is_of(self._store.head(key), self._parcel.id):
            return True
        return any(self._is_there(key, member) for member in members if f"{folder}/{member.name}" == key)

    def _put_all(self, key: str, members: list[Member], *, resumed: bool) -> None:
        segments = [member for member in members if not _turn(member.name)]
        self._put_each(key, segments, resumed)
        there = {one.key: one.bytes for one in self._store.listed(key)}
        if any(there.get(f"{key}/{member.name}", member.bytes) != member.bytes for member in segments):
            raise self._incomplete()
        if any(f"{key}/{member.name}" not in there for member in segments):
            self._tell("some of what the store took is not there any more: it is not sent again")
        self._put_each(key, members[len(segments) :], resumed)

    def _put_each(self, key: str, members: list[Member], resumed: bool) -> None:
        over = self._conflict == Conflict.OVERWRITE
        for member in members:
            self._course.check()
            whole = f"{key}/{member.name}"
            if resumed and self._is_there(whole, member):
                continue
            try:
                self._put(whole, member.path, member.bytes, member.sha256, over=over)
            except Taken:
                raise taken(whole.rpartition("/")[2]) from None

    def _is_there(self, key: str, member: Member) -> bool:
        return self._is_here(key, member.bytes, member.sha256)

    def _make_way(self, key: str) -> None:
        """Removes what players were given of what is there: nobody is to get pieces of two."""
        there = [one.key for one in self._store.listed(key)]
        if strange := next((one for one in there if PurePosixPath(one).suffix not in output_folder.OF_OURS), None):
            name, found = key.rpartition("/")[2], strange.removeprefix(f"{key}/")
            raise Undelivered(f"{name} is not replaced: it holds {found!r}, which is nothing of ours", final=True)
        shown = sorted((one for one in there if _turn(one)), key=_turn, reverse=True)
        self._store.delete([one for one in shown if not is_of(self._store.head(one), self._parcel.id)])

    def _putter(self, key: str) -> str | None:
        """The delivery that put the folder which stands there, as its manifest says."""
        manifests = (self._store.head(f"{key}/{name}") for name in MASTERS.values())
        return next((found.said[DELIVERY] for found in manifests if found and DELIVERY in found.said), None)

    def _sweep(self, key: str, members: list[Member], over: str | None) -> None:
        """Removes what the delivery that it was put over has put, and it has not; what others put there stays."""
        if over is None or over == self._parcel.id:
            return
        new, ours = {f"{key}/{member.name}" for member in members}, output_folder.OF_OURS
        there = [one.key for one in self._store.listed(key) if PurePosixPath(one.key).suffix in ours]
        left = [name for name in there if name not in new]
        self._store.delete([name for name in left if is_of(self._store.head(name), over)])


def _on_the_way() -> Undelivered:
    return Undelivered("another result is on its way to that key: it waits for that")


def _turn(name: str) -> int:
    """When a member of a folder is put: after all that it speaks of."""
    path = PurePosixPath(name)
    return 2 if path.name in MASTERS.values() else int(path.suffix in MANIFESTS)


def in_turn(parcel: Parcel, course: Course) -> list[Member]:
    """Lists what is in a folder, in the order in which it is put. Raises Undelivered for what is not as it was made."""
    found, digest = list[Member](), hashlib.sha256()
    try:
        for name, path in output_folder.members(parcel.output):
            course.check()
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(output_folder.line(sha256, name))
            found.append(Member(name, path, path.stat().st_size, sha256))
    except OSError as error:
        raise unread(error) from error
    if digest.hexdigest() != parcel.sha256:
        raise changed()
    return sorted(found, key=lambda member: _turn(member.name))


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
        raise unread(error) from error
    if digest.hexdigest() != sha256:
        raise changed()
    yield last


def unread(error: OSError) -> Undelivered:
    """Returns what to say where the spool's copy cannot be read."""
    return Undelivered(f"what is to be delivered cannot be read: {error.strerror}")


def changed() -> Undelivered:
    """Returns what to say where the spool's copy is not what was proven."""
    return Undelivered("what is to be delivered is not what was made any more: see to this daemon's disk")
