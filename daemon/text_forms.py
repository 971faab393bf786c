"""Says in words what form a text has to have, where msgspec shows the pattern that it did not match."""

from __future__ import annotations

import ast
import re

WORDS = {
    "^[A-Za-z0-9][A-Za-z0-9._-]*$": "a name of letters, digits, '.', '_' and '-' that begins with a letter or digit",
    "^[0-9]{4}-(0[1-9]|1[0-2])$": "a month such as 2026-01",
    "^[0-9a-f]{1,16}$": "the beginning of an identifier: up to 16 of 0-9 and a-f",
    "^[0-9A-Fa-f]{64}$": "a SHA-256: 64 of 0-9 and a-f",
    "^[A-Za-z][A-Za-z0-9+.-]{0,19}://": "a URL, such as https://host/{stem}.{ext} or s3://bucket/{stem}.{ext}",
    "^0?[0-7]{3}$": "rights such as 0644",
    r"^[^/\x00-\x1f]{1,60}$": "a name of up to 60 letters, without '/'",
    r"^(s3|gs|az)://[A-Za-z0-9][A-Za-z0-9._-]*(/[^/?#\s]+)*/?$": "a bucket's URL, such as s3://media or s3://media/in",
    r"^https?://[^/?#@\s]+(/[^?#@\s]*)?$": "a URL such as https://s3.example.com, without a user or a query",
    r"^(/[A-Za-z0-9._~-]+)*$": "a path such as /ffspool, without '/' at its end",
    r"^(?!\.{0,2}/)": "a pattern of names, or of paths within the folder, such as samples/*",
    "^#[0-9a-fA-F]{6}$": "a colour such as #000000",
    r"^tls://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}$": "an address such as tls://0.0.0.0:8786",
}
UNMATCHED = re.compile(r"`str` matching regex ('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")")


def in_words(message: str) -> str:
    """Returns what msgspec says without patterns: what is wanted stands in their place."""
    return UNMATCHED.sub(lambda found: WORDS.get(ast.literal_eval(found[1]), "another form of text"), message)
