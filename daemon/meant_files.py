"""Says which files of a folder are meant: what is called as media is, or what the user's patterns say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import PurePosixPath

# What a folder is looked through for, unless patterns say otherwise: a film's folder holds texts and pictures, too.
MEDIA = re.compile(
    r"\.(3g[2p]|asf|avi|dv|f4v|flv|m2?ts|m2v|m4v|mkv|mov|mp4|mpe?g|mxf|og[mv]|ts|vob|webm|wmv|y4m"
    r"|aac|e?ac3|aiff?|alac|amr|ape|caf|dts|flac|m4[ab]|mka|mp[23]|og[ag]|opus|wav|wma|wv)",
    re.IGNORECASE,
)


def is_meant(within: str, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> bool:
    """Tells whether a file is meant, by its path within the folder.

    Patterns are as the shell's, of its name or of that path; one that is excluded is not included again.
    """
    name = within.rpartition("/")[2]
    if any(fnmatch(name, pattern) or fnmatch(within, pattern) for pattern in exclude):
        return False
    if not include:
        return MEDIA.fullmatch(PurePosixPath(name).suffix) is not None
    return any(fnmatch(name, pattern) or fnmatch(within, pattern) for pattern in include)


def sample_of(pattern: str) -> str:
    """Returns the name of a file that the pattern means."""
    return re.sub(r"\*|\?|\[[^]]*\]", "x", pattern).rpartition("/")[2]
