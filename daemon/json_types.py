"""Prepares the types that JSON is decoded as, while nobody else decodes.

msgspec (as of 0.22) makes its table of a type when it first meets it, and gives another thread that meets the same type
meanwhile the unfinished one, which ends the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import msgspec


def prepare() -> None:
    """Makes the tables of all structs that are defined: to be called before there are threads that decode."""
    for struct in structs():
        with suppress(TypeError):  # one that is only encoded: its unions cannot be told apart
            msgspec.json.Decoder(struct)


def structs(base: type[msgspec.Struct] = msgspec.Struct) -> Iterator[type[msgspec.Struct]]:
    """Yields all that are defined below `base`, those of libraries too."""
    for struct in base.__subclasses__():
        yield struct
        yield from structs(struct)
