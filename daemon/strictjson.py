"""JSON that others wrote, decoded: what readers of it could take for different things is refused."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from daemon.errors import InvalidRequest


def decode(text: bytes | str, kind: type[Any], what: str) -> Any:
    """`text` as `kind`. Raises InvalidRequest saying what of `what` is wrong; a key that is there twice is."""
    try:
        decoded = msgspec.json.decode(text, type=kind)
        json.loads(text, object_pairs_hook=_check_keys, parse_int=str, parse_float=str)  # for the keys alone
    except (msgspec.DecodeError, UnicodeDecodeError, _Twice) as error:
        raise InvalidRequest(f"{what} is not valid: {error}") from error
    except RecursionError:
        raise InvalidRequest(f"{what} is nested too deeply") from None
    return decoded


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
