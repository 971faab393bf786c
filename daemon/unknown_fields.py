"""Says what was meant by a field that a table does not have, where msgspec only says that it is unknown."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any, get_args

import msgspec

from daemon.text_forms import in_words

UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>.*?)`(?: - at `\$(?P<path>[^`]*)`)?", re.DOTALL)
SYNONYMS = {"preset": "variations", "presets": "variations"}  # that others have for it
LONGEST = 40  # characters of a name that is compared: a longer one takes long


def told(error: msgspec.ValidationError, kind: Any) -> str:
    """Returns what the error says; of an unknown field also which one may be meant, or which ones there are."""
    words = in_words(str(error))
    found = UNKNOWN.fullmatch(words)
    known = _fields(kind, re.findall(r"\.(\w+)", found["path"] or "")) if found else ()
    if found is None or not known:
        return words
    field = found["field"]
    close = difflib.get_close_matches(field[:LONGEST], known, 1)
    meant = close[0] if close else SYNONYMS.get(field)
    return f"{words}: " + (f"did you mean {meant}?" if meant in known else f"there is {', '.join(known)}")


def _fields(kind: Any, path: list[str]) -> tuple[str, ...]:
    """The names of the fields of what is at that path within such a value."""
    struct = next(_structs(kind), None)
    if struct is None:
        return ()
    types = {field.name: field.type for field in msgspec.structs.fields(struct)}
    return _fields(types.get(path[0]), path[1:]) if path else tuple(name for name in types if name != "place")


def _structs(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """The structs that a type is made of, through what it is optional or repeated by."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    for part in () if kind is None else get_args(kind):
        yield from _structs(part)
