"""Says which files of a folder are meant: what is called as media is, or what the user's patterns say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import translate
from functools import lru_cache
from pathlib import PurePosixPath

# What a folder is looked through for, unless patterns say otherwise: a film's folder holds texts and pictures, too.
MEDIA = re.compile(
    r"\.(3g[2p]|asf|avi|dv|f4v|flv|m2?ts|m2v|m4v|mkv|mov|mp4|mpe?g|mxf|og[mv]|ts|vob|webm|wmv|y4m"
    r"|aac|e?ac3|aiff?|alac|amr|ape|caf|dts|flac|m4[ab]|mka|mp[23]|og[ag]|opus|wav|wma|wv)",
    re.IGNORECASE,
)


def is_meant(within: str, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> bool:
    """Tells whether a file is meant, by its path within the folder.

    Patterns are as the shell's, of its name or of that path; to exclude, of a folder that it lies in, too. One that is
    excluded is not included again.
    """
    name = within.rpartition("/")[2]
    if exclude:
        left_out = _meaning(tuple(pattern.rstrip("/") for pattern in exclude))
        if any(map(left_out.match, {within, *within.split("/"), *_above(within)})):
            return False
    if not include:
        return MEDIA.fullmatch(PurePosixPath(name).suffix) is not None
    meant = _meaning(tuple(include))
    return any(map(meant.match, (name, within)))


def _above(way: str) -> Iterator[str]:
    while way := way.rpartition("/")[0]:
        yield way


@lru_cache(maxsize=256)
def _meaning(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """What any of them matches: brackets may be of a name itself, and `**/` stands for no folder, too."""
    ways = (way for pattern in patterns for way in (pattern, pattern.removeprefix("**/")))
    both = dict.fromkeys(way for one in ways for way in (one, one.replace("[", "[[]")))
    return re.compile("|".join(map(translate, both)))


def sample_of(pattern: str) -> str:
    """Returns the name of a file that the pattern means."""
    return re.sub(r"\*|\?|\[[^]]*\]", "x", pattern).rpartition("/")[2]
