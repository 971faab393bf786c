"""Tells which job, source or variation a user means: by its identifier, the beginning of one, its name, or `last`.

Of sources and variations the beginning of a name will do, where no other begins so, or what stands behind the source's
name, as `show` has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from daemon.errors import FfspoolError

Json = dict[str, Any]

WHOLE = re.compile(r"[0-9a-f]{16}")
BEGINNING = re.compile(r"[0-9a-f]+")
NEWEST = "last"
NO_SEGMENT = {"", ".", ".."}  # refused where a route is made of them
PAGE = 200
MOST_PAGES = 500  # of a list that is looked through; whoever answers may say that there are always more


class Unclear(FfspoolError):
    """The word that was given means nothing that is there, or several things, be it of a `job`; the message names
    them."""

    code = "not_found"
    status = 404
    title = "Not found"

    def __init__(self, message: str, job: str | None = None) -> None:
        super().__init__(message)
        self.job = job


class Part(NamedTuple):
    """A part of a job is one source or variation, as somebody calls it."""

    kind: Literal["source", "variation"]
    word: str


class References:
    """Finds what is meant by asking the daemon, once for each word."""

    def __init__(self, jobs: Callable[..., Json], job: Callable[[str], Json]) -> None:
        self._jobs = jobs
        self._job = job
        self._known: dict[str, str] = {}

    def job(self, word: str) -> str:
        """Returns the identifier of the job that the word means. Raises Unclear."""
        if WHOLE.fullmatch(word) or word in NO_SEGMENT:
            return word
        if word not in self._known:
            self._known[word] = self._newest() if word == NEWEST else _only(word, "job", list(self._meant(word)))
        return self._known[word]

    def source(self, job: str, word: str) -> str:
        """Returns the identifier of the job's source that the word means. Raises Unclear."""
        return self._part(job, word, "source", lambda found: found["sources"])

    def variation(self, job: str, word: str) -> str:
        """Returns the identifier of the job's variation that the word means. Raises Unclear."""
        return self._part(job, word, "variation", variations)

    def _newest(self) -> str:
        for job in self._jobs(limit=1)["items"]:
            return str(job["id"])
        raise Unclear("there is no job yet: `ffspool submit` makes one")

    def _meant(self, word: str) -> Iterator[Json]:
        if BEGINNING.fullmatch(word):
            yield from self._jobs(id=word, limit=PAGE)["items"]
        cursor = None
        for _ in range(MOST_PAGES):
            page = self._jobs(q=word[:PAGE], limit=PAGE, cursor=cursor)
            yield from (job for job in page["items"] if job["name"] == word)
            if (cursor := page["next_cursor"]) is None:
                return
        raise Unclear(f"too many jobs have {word} in their names to look through: give the job's identifier")

    def _part(self, job: str, word: str, what: str, parts: Callable[[Json], Sequence[Json]]) -> str:
        if WHOLE.fullmatch(word) or word in NO_SEGMENT:
            return word
        found = self._job(job)
        among = parts(found)
        meant = [part for part in among if part["name"] == word or part["id"].startswith(word)]
        meant = meant or [part for part in among if part["name"].startswith(word)]
        behind = (f"_{word}", f"_{word}.")  # with its extension, or without
        return _only(word, what, meant or [part for part in among if _ends(part["name"], *behind)], found["id"])


def _ends(name: str, whole: str, stem: str) -> bool:
    return name.endswith(whole) or stem in name


def variations(job: Json) -> list[Json]:
    """Returns those of all sources of a job."""
    return [variation for source in job["sources"] for variation in source["variations"]]


def _only(word: str, what: str, meant: Sequence[Json], job: str | None = None) -> str:
    found = {str(one["id"]): one["name"] for one in meant}
    if len(found) == 1:
        return next(iter(found))
    if not found:
        raise Unclear(f"there is no {what} {word}", job)
    listed = ", ".join(f"{identifier} ({name})" if name else identifier for identifier, name in list(found.items())[:5])
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    raise Unclear(f"{word} may be any {what} of {listed}{more}: give more of its identifier", job)
