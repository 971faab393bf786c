"""Decodes JSON that others wrote: what is out of all proportion, or could be taken for two things, is refused."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from daemon.errors import InvalidRequest
from daemon.text_forms import in_words

MAX_DEPTH = 64  # of objects and lists within each other: far from what an encoder of the answer can take
MAX_VALUES = 50_000  # while they are decoded nothing else gets its turn
_STRING = re.compile(rb'"(?:[^"\\]+|\\.)*+"?', re.DOTALL)  # an open one to the end: no byte is looked at twice
_NOT_SHAPE = bytes(set(range(256)) - set(b"[]{},"))
_ALIKE = bytes.maketrans(b"{}", b"[]")


def decode(text: bytes | str, kind: type[Any], what: str) -> Any:
    """Returns `text` as `kind`. Raises InvalidRequest saying what of `what` is wrong; a key that is there twice is."""
    brackets = _brackets(text.encode(errors="replace") if isinstance(text, str) else text, what)
    try:
        decoded = msgspec.json.decode(text, type=kind)
        if _is_deeper(brackets, MAX_DEPTH):
            raise _too_deep(what)
        json.loads(text, object_pairs_hook=_check_keys, parse_int=str, parse_float=str)  # for the keys alone
    except (msgspec.DecodeError, UnicodeDecodeError, UnicodeEncodeError, _Twice) as error:
        raise InvalidRequest(f"{what} is not valid: {in_words(str(error))}") from error
    except RecursionError:
        raise _too_deep(what) from None
    return decoded


def _brackets(text: bytes, what: str) -> bytes:
    """Its brackets, all of one kind. Raises InvalidRequest when there are too many values."""
    if text.count(b'"') <= 4 * MAX_VALUES:  # of keys and texts
        shape = _STRING.sub(b"", text).translate(_ALIKE, _NOT_SHAPE)
        if shape.count(b",") + shape.count(b"[") <= MAX_VALUES:
            return shape.replace(b",", b"")
    raise InvalidRequest(f"{what} has more than {MAX_VALUES} values: make several requests of it")


def _is_deeper(brackets: bytes, levels: int) -> bool:
    """Whether any are left when so many times the innermost ones were taken away."""
    for _ in range(levels):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _too_deep(what: str) -> InvalidRequest:
    return InvalidRequest(f"{what} is nested too deeply: {MAX_DEPTH} levels are the limit")


class _Twice(Exception):
    """The last one would win here, and the first in somebody else's reader."""


def _check_keys(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    if len({key for key, _ in pairs}) == len(pairs):
        return
    for key, _ in pairs:
        if key in seen:
            raise _Twice(f"the key {key[:80]!r} is there more than once")
        seen.add(key)
