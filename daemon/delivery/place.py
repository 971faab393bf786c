"""Says what a place is that outputs are brought to. The queue knows no more of one than this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from daemon.delivery.result_mark import Mark
from daemon.media.model import Media
from daemon.models import Destination, Model
from daemon.name_template import Words
from daemon.proof.quality import Quality

FileKey = tuple[int, int, int]  # inode, bytes and ns of the last change, which no rename changes
BUCKETS = frozenset({"s3", "gs", "az"})
WEB = frozenset({"http", "https"})


class BroughtFile(NamedTuple):
    """Is a file of an output by what no rename changes. Within an output that is a folder it tells one of its folders,
    by the inode of that."""

    name: str
    key: FileKey
    folder: int | None = None


def place_of_scheme(scheme: str) -> str:
    """Returns the sort of place that URLs of a scheme lead to, and folders, of which the scheme is empty."""
    if not scheme:
        return "folder"
    return "bucket" if scheme in BUCKETS else scheme


class Parcel(Model, frozen=True):
    """A parcel is one output, with all that is to be known of it where it is brought to.

    Its `id` is new for each delivery: what lies there before it has its name is found again by that.
    """

    id: str
    destination: Destination
    owner: str | None = None  # whose it is, by the name of a token
    name: str = ""  # that it is to have, unless its place fills in a template of its own
    words: Words | None = None  # what such a template speaks of
    output: Path = Path()  # a file, or a folder of files
    bytes: int = 0
    sha256: str = ""
    modified: int | None = None  # of its source, in nanoseconds since the epoch
    source: str | None = None  # where that lies, or its upload
    source_key: tuple[int, int, int | None] | None = None  # by which it is known where it was moved: bytes, ns, inode
    mark: Mark = Mark()  # that it gets where it is brought to
    quality: Quality | None = None  # beside its source, where that was measured
    media: Media | None = None  # what its source holds, where it is to take the place of that
    landing: str | None = None  # of one to be withdrawn: what was noted of it, where that is to be undone


class Receipt(Model, frozen=True):
    """A receipt tells where an output lies now, as users are told. `kept`: something else lay there, and was left.

    What lay there before is `aside`, by the name that it has in the trash, if the output took its place.
    """

    to: str
    kept: bool = False
    aside: str | None = None
    mark: Mark = Mark()


class Course:
    """Stands for one attempt, within the thread that makes it.

    `landing` is what the place noted at an earlier attempt. `note` keeps such a text durably before it returns, with
    the files that are known as ours from then on, and `check` raises Stopped once nobody wants the delivery any more.
    """

    def __init__(
        self,
        landing: str | None,
        note: Callable[[str | None, Sequence[BroughtFile]], None],
        is_stopped: Callable[[], bool],
    ) -> None:
        self.landing = landing
        self._note = note
        self.steps = 0  # a count that stands still while the place does not answer
        self._is_stopped = is_stopped

    def note(self, landing: str | None, brought: Sequence[BroughtFile] = ()) -> None:
        self._note(landing, brought)

    def check(self) -> None:
        self.steps += 1
        self.stop_if_unwanted()

    def stop_if_unwanted(self) -> None:
        """Raises Stopped as `check` does, where the place has not moved meanwhile."""
        if self._is_stopped():
            raise Stopped


class Stopped(Exception):
    """The delivery is not wanted any more, or the daemon ends."""


class Place(Protocol):
    """Brings outputs somewhere. But for `resolve` all of it blocks, perhaps for ever: it is run in threads."""

    async def resolve(self, wish: Any) -> Destination:
        """Returns where it is that a wish of its sort speaks of. Raises ForbiddenPath or InvalidRequest."""
        ...

    def address(self, parcel: Parcel) -> str:
        """Returns where an output comes to, unless it gets a number: two that come to the same have the same.

        Blocks for nothing. Raises BadName where an output of that sort cannot come there.
        """
        ...

    def deliver(self, parcel: Parcel, course: Course) -> Receipt:
        """Brings it there whole, durably and once, however often it is called for the same parcel.

        Raises Undelivered or Stopped; what is left there then is gone on with, or withdrawn.
        """
        ...

    def withdraw(self, parcel: Parcel) -> str | None:
        """Removes what attempts left there without its name; returns what is noted for a retry of what stays.

        Raises Undelivered."""
        ...
