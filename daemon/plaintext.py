"""Finds characters that steer whatever shows a text where it comes in, and makes them visible where it goes out.

A name with an escape sequence writes anything anywhere on a terminal, one with a line's end makes lines of a log,
and one with a bidirectional mark is read in another order than it is written in.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

CONTROLS = r"\x00-\x1f\x7f-\x9f"
LINE_ENDS = r"\u2028\u2029"  # beside those among the controls
BIDI = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # they turn `gpm.exe` round
SURROGATES = r"\ud800-\udfff"  # alone they are no text: bytes of a file's name that are not UTF-8
STEERING = re.compile(f"[{CONTROLS}{LINE_ENDS}{BIDI}{SURROGATES}]")
STEERING_OVER_LINES = re.compile(STEERING.pattern.replace(r"\x00-\x1f", r"\x00-\x08\x0b-\x1f"))


def visible(text: str, *, over_lines: bool = False) -> str:
    r"""Returns `text` with what steers written out, as `\x1b` or `\u202e`; `over_lines` keeps line feeds and tabs."""
    return (STEERING_OVER_LINES if over_lines else STEERING).sub(_written_out, text)


def is_text(text: str) -> bool:
    """Tells whether it can be written as UTF-8, which the path of a file need not be."""
    return not re.search(f"[{SURROGATES}]", text)


def clipped(text: str, most: int) -> str:
    """Returns at most `most` characters of it, with an ellipsis where it went on."""
    return text if len(text) <= most else text[: most - 1] + "…"


def so_many(count: int, what: str) -> str:
    """Returns `1 file`, or `3 files`."""
    return f"{count} {what}{'' if count == 1 else 'es' if what.endswith('s') else 's'}"


def json_escaped(document: str) -> str:
    """Returns JSON in which what steers is escaped: it stands within strings alone, so it means the same as before."""
    return STEERING_OVER_LINES.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


class LogFormatter(logging.Formatter):
    """Makes each record one line, and sets those of a traceback in: no line can be made up by what is told."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = visible(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        return visible(super().formatException(ei), over_lines=True).replace("\n", "\n  ")


def flaw(value: Any) -> str | None:
    """Says in words what in a text, or in any text or key within JSON, is not to be taken; None where all is plain."""
    found = next(filter(None, map(STEERING.search, _texts(value))), None)
    if found is None:
        return None
    kind = "is not valid text" if unicodedata.category(found[0]) == "Cs" else "controls how text is shown"
    return f"holds U+{ord(found[0]):04X}, which {kind}"


def _texts(value: Any) -> Iterator[str]:
    """However deep it is nested."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            waiting += [*one, *one.values()]
        elif isinstance(one, list | tuple):
            waiting += one


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
