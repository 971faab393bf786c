"""Names outputs by a template of the user's, such as `{stem}_{height}p.{ext}`."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Collection
from datetime import datetime
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from daemon import filenames
from daemon.errors import BadName
from daemon.models import Model
from daemon.plaintext import clipped, flaw

MOST_BYTES = 200  # of a template: what it adds to the words leaves room for them in a name
USUAL = "{stem}_{preset}.{ext}"  # what outputs are called where nobody says otherwise
WORD = re.compile(r"\{([^{}]*)\}")


class Words(Model, frozen=True):
    """Holds what a template may speak of, for one output. What is not known or not there is empty."""

    stem: str  # of its source's name; where others of the job have that stem too, what tells it from them
    preset: str  # with a number behind it, where the job wants it several times
    ext: str  # empty for a folder
    source: str = ""  # its source's whole name
    job: str = ""  # its job's name, or where that has none its identifier
    folder: str = ""  # the name of the folder that its source lies in
    date: str = ""  # as `day` tells it
    height: str = ""  # of its picture, in pixels
    codec: str = ""  # of its picture; of its sound, where it has no picture


KNOWN = tuple(field.name for field in msgspec.structs.fields(Words))
READ = frozenset({"height", "codec"})  # words that only the source's media tells


class NameTemplate:
    """Holds a template of which all is understood. One without `{ext}` has that put behind it."""

    def __init__(self, text: str, known: Collection[str] = KNOWN, *, of_folder: bool = False) -> None:
        """Raises BadName for a word that is not `known`, and for what no file's name may hold.

        What is `of_folder` gets no `{ext}`.
        """
        if reason := _flaw(text, known):
            raise BadName(f"the name template {clipped(text, 80)!r} {reason}")
        self.text = text if "{ext}" in text or of_folder else f"{text}.{{ext}}"
        self.words = frozenset(WORD.findall(self.text))

    @property
    def reads(self) -> bool:
        """Tells whether the sources' media must be known before names can be made."""
        return not READ.isdisjoint(self.words)

    def name(self, words: Words) -> str:
        """Returns a name that a file may have on every system, in 255 bytes: the longest word is cut where need be."""
        words = Words(**{word: unicodedata.normalize("NFC", getattr(words, word)) for word in KNOWN})
        name = self._filled(words)
        while (over := len(name.encode()) - filenames.MAX_BYTES) > 0:
            longest = max(self.words, key=lambda word: len(getattr(words, word).encode()))
            value = getattr(words, longest).encode()
            each = max(1, over // self.text.count(f"{{{longest}}}"))
            words = replace(words, **{longest: value[: max(0, len(value) - each)].decode(errors="ignore")})
            name = self._filled(words)
        return f"_{name[1:]}" if name.startswith(".") else name

    def _filled(self, words: Words) -> str:
        return filenames.plain(WORD.sub(lambda found: getattr(words, found[1]), self.text))


class PathTemplate:
    """Holds a template of a path, its steps parted by "/". What ends so, or is empty, leaves the name open."""

    def __init__(self, text: str) -> None:
        """Raises BadName, as for a step that is empty or leads back."""
        *folders, name = text.split("/")
        if back := {".", ".."} & {*folders, name}:
            raise BadName(f"the name template {clipped(text, 80)!r} has the step {back.pop()!r}, which names nothing")
        self._folders = [NameTemplate(step, of_folder=True) for step in folders]
        self._name = NameTemplate(name) if name else None

    def path(self, words: Words, own: str) -> str:
        """Returns the path. An output has its `own` name where the template leaves that open."""
        name = self._name.name(words) if self._name else own
        return "/".join([*(step.name(words) for step in self._folders), name])


class UrlTemplate:
    """Holds a template of a URL: words stand behind its host. One whose path ends with "/" leaves the name open.

    What stands behind a `#` is sent to nobody, and left out.
    """

    def __init__(self, text: str) -> None:
        """Raises BadName, in words that hold nothing of the URL, which may be secret."""
        whole = text.partition("#")[0]
        begins, slashes, rest = whole.partition("://")
        host, _, behind = rest.partition("/")
        if "?" in host:
            raise BadName("the url has no path before its '?': put one there, such as https://host/{stem}.{ext}?…")
        self._host = f"{begins}{slashes}{host}"
        self._path, mark, query = behind.partition("?")
        self._query = mark + query
        self.words = frozenset(WORD.findall(behind))
        if unknown := self.words - set(KNOWN):
            listed = ", ".join(f"{{{word}}}" for word in KNOWN)
            raise BadName(f"the url has the word {{{clipped(min(unknown), 40)}}}: there is {listed}")
        if {"{", "}"} & {*WORD.sub("", text)} or WORD.search(host):
            raise BadName("the url has braces that are no word behind its host")

    @property
    def is_of_one_file(self) -> bool:
        """Tells whether no folder of files can be brought there: it has a query, which is of one file."""
        return bool(self._query)

    def tried(self) -> str:
        """Returns a URL as it may come to be."""
        return self.url(Words(**dict.fromkeys(KNOWN, "x")), "x")

    def url(self, words: Words, own: str) -> str:
        """Returns the URL. An output has its `own` name where the template leaves that open."""
        path, query = (
            WORD.sub(lambda found: _quoted(getattr(words, found[1])), part) for part in (self._path, self._query)
        )
        is_open = not self._path or self._path.endswith("/")
        return f"{self._host}/{path}{_quoted(own) if is_open else ''}{query}"


def _quoted(word: str) -> str:
    """The word in a URL: it makes no step of a path, nor leads back."""
    return quote(filenames.plain(word), safe="") if word else ""


def day(seconds: float) -> str:
    """Returns the day of a time in seconds since the epoch, in the zone of this host, such as 2030-01-31."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d")


def label(name: str, stem: str, preset: str, extension: str) -> str:
    """Returns the preset with the number that tells it from others of its job, as an output's usual name has it."""
    own = name.removesuffix(f".{extension}" if extension else "")
    beginning = f"{stem}_"
    return own.removeprefix(beginning) if own.startswith(beginning + preset) else preset


def _flaw(text: str, known: Collection[str]) -> str | None:
    """Says in words what is wrong with a template; None where nothing is."""
    if not text:
        return "is empty"
    if len(unicodedata.normalize("NFC", text).encode(errors="replace")) > MOST_BYTES:
        return f"is longer than {MOST_BYTES} bytes"
    unknown = next((word for word in WORD.findall(text) if word not in known), None)
    if unknown is not None:
        close = difflib.get_close_matches(unknown[:40], known)
        hint = f"did you mean {{{close[0]}}}? " if close else ""
        return f"has the word {{{clipped(unknown, 40)}}}: {hint}There is {', '.join(f'{{{word}}}' for word in known)}"
    between = WORD.sub("", text)
    if brace := next((mark for mark in between if mark in "{}"), None):
        return f"has {brace!r} that is part of no word"
    if strange := next((mark for mark in between if mark == "/" or mark in filenames.RESERVED), None):
        return f"holds {strange!r}, which no name may"
    return flaw(between)
