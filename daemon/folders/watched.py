"""Keeps what is known of a watched folder: what it is to become, and which of its files wait until they are whole."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from daemon.config_tables import AnyFolder, Folder
from daemon.folders.checks import variation
from daemon.folders.hints import Hints, Unheard
from daemon.folders.scan import Found
from daemon.models import Deliver
from daemon.source_files import Identity
from daemon.states import OnUnsuitable

WAITING = 5000  # files of a folder that wait to be taken; what is found beyond them waits for a later scan
SETTLING = 1.0  # seconds after a hint: more of them come mostly
RESTS = 9  # times as long as a scan took there is none that nobody asked for
Key = tuple[int | None, int | None, int | None]  # inode, bytes, ns of the last change; of an object hashes stand there


class Watched:
    """A watched folder is what is known of it between its scans."""

    def __init__(self, folder: AnyFolder, now: Callable[[], float]) -> None:
        self.folder = folder
        self.now = now
        self.recipe = _hash(msgspec.json.encode(_asked(folder), order="sorted"))
        self._rules = _hash(msgspec.json.encode(folder.when))  # others may not refuse the same
        self.variations = tuple(variation(entry, folder) for entry in folder.variations)
        self.waiting: dict[Key, tuple[Found, float]] = {}  # not taken yet, and since when it is as it is
        self.found = 0
        self.left_out = 0
        self.empty = False
        self.scanned_at: float | None = None
        self.error: str | None = None
        self.paused = False
        self.asked = asyncio.Event()  # for a scan now
        self.hints = Hints(folder, self._hint) if isinstance(folder, Folder) else Unheard()
        self._coming: asyncio.TimerHandle | None = None  # what a hint asks for
        self._began: float | None = None  # the last scan, by the monotonic clock; None: it did not come to its end
        self._rested_at = 0.0

    @property
    def key(self) -> dict[str, str]:
        return {"folder": self.folder.name, "recipe": self.recipe, "ruled": self.ruled}

    @property
    def ruled(self) -> str:
        return f"{self.recipe}:{self._rules}"

    @property
    def earlier(self) -> dict[str, str]:
        """Returns what files were known by when another `deliver` was another recipe."""
        recipe = _hash(msgspec.json.encode(_asked(self.folder, self.folder.deliver), order="sorted"))
        return {"was": recipe, "was_ruled": f"{recipe}:{self._rules}"}

    def begin(self) -> None:
        """Says that a scan begins; until it came to its `end` nothing is known to be stable soon."""
        self._began = None

    def end(self, began: float, ended: float) -> None:
        """Says that one came to its end; the next is to come not too soon, unless somebody asks for it."""
        self._began = began
        self._rested_at = ended + max(SETTLING, RESTS * (ended - began))

    def patience(self, now: float) -> float:
        """Returns the seconds until the next scan: where hints are heard, what they told of is soon stable."""
        if self.paused or self._began is None or not self.hints.are_heard:
            return self.folder.scan_every
        after = self.folder.stable_seconds
        # What was due and is not taken waits for something else: another scan would tell nothing.
        stable = (since + after for _, since in self.waiting.values() if since == self._began or since + after > now)
        due = max(self._rested_at, min(stable, default=math.inf))
        return max(0.0, min(self.folder.scan_every, due - now))

    def _hint(self) -> None:
        if self._coming is None and not self.paused:
            soon = max(SETTLING, self._rested_at - time.monotonic())
            self._coming = asyncio.get_running_loop().call_later(soon, self._ask)

    def _ask(self) -> None:
        self._coming = None
        if not self.paused:
            self.asked.set()

    def wait_for(self, files: Sequence[Found], before: Mapping[Key, tuple[Found, float]], now: float) -> None:
        """Has files wait: those that a scan has seen as they are `before`, and as many more as there is room for."""
        youngest = (self.now() - self.folder.when.older_than) * 1e9
        for found in files:
            key = key_of(found.identity)
            if self.folder.when.older_than and found.changed > youngest:
                continue
            if key in before or len(self.waiting) < WAITING:
                was, since = before.get(key, (None, now))
                self.waiting.setdefault(key, (found, since if was and was.identity == found.identity else now))

    def stable(self, before: Mapping[Key, tuple[Found, float]], now: float) -> list[Found]:
        """Returns what is the same as at the scan before, and for long enough."""
        return [
            found
            for key, (found, since) in self.waiting.items()
            if key in before and now - since >= self.folder.stable_seconds
        ]


def key_of(identity: Identity) -> Key:
    """Returns what a file is known by after a restart of the host, too."""
    size, _, inode, modified = identity
    return inode, size, modified


def _asked(folder: AnyFolder, deliver: Deliver | None = None) -> list[object]:
    """All on which it depends what is made of a file; where that is brought is none of it."""
    terms = folder.replace and [folder.replace.min_saving, folder.replace.min_vmaf]
    fails = [OnUnsuitable.FAIL] if folder.on_unsuitable == OnUnsuitable.FAIL else []
    return [folder.variations, deliver, *([terms] if terms else []), *fails]


def _hash(asked: bytes) -> str:
    return hashlib.sha256(asked).hexdigest()[:16]
