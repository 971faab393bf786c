"""Writes the daemon's log: what happened in words, and of what as fields, which programs and journald can ask for."""

from __future__ import annotations

import json
import logging
import socket
import struct
from datetime import UTC, datetime
from typing import Any, Literal

from daemon.plaintext import LogFormatter, json_escaped, visible

Format = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]

JOURNALD = "/run/systemd/journal/socket"
PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.NOTSET, 7))  # syslog's
LONGEST = 2000  # characters of a field


def tell(log: logging.Logger, level: int, words: str, **fields: object) -> None:
    """Logs that something happened, with what it happened to and how long it took; a field of None is left out."""
    log.log(level, "%s", words, extra=known(**fields))


def known(**fields: object) -> dict[str, dict[str, str]]:
    """Returns what a logger takes as `extra`, for what is logged with its traceback."""
    return {"fields": {name: _shown(value) for name, value in fields.items() if value is not None}}


def _shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)[:LONGEST]


def set_up(level: Level, form: Format, *, journald: bool) -> None:
    """Has all that is logged written to journald, with its fields, or else to stderr in that form.

    A journal has the time of each line.
    """
    to_journald = _open_journald() if journald and form == "text" else None
    if to_journald:
        handler: logging.Handler = Journald(to_journald)
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter(timed=not journald))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for chatty in ("httpx", "httpcore", "asyncio", "aiosqlite"):  # of what they do, we say ourselves what matters
        logging.getLogger(chatty).setLevel(logging.WARNING)


class TextFormatter(LogFormatter):
    """Puts the fields behind the words: `job ended job=… took=1.2`."""

    def __init__(self, *, timed: bool) -> None:
        super().__init__(f"{'%(asctime)s ' if timed else ''}%(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        fields = getattr(record, "fields", {})
        return super().formatMessage(record) + "".join(f" {name}={_word(value)}" for name, value in fields.items())


class JsonFormatter(logging.Formatter):
    """Makes each record one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json_escaped(json.dumps(told, ensure_ascii=False)).replace("\n", " ")


class Journald(logging.Handler):
    """Sends each record to journald in its own protocol, the fields as `FFSPOOL_…`."""

    def __init__(self, to: socket.socket) -> None:
        super().__init__()
        self._to = to
        self._plain = LogFormatter("%(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        priority = next(number for level, number in PRIORITIES if record.levelno >= level)
        fields = {"MESSAGE": self._plain.format(record), "PRIORITY": str(priority), "SYSLOG_IDENTIFIER": "ffspool"}
        fields |= {f"FFSPOOL_{name.upper()}": value for name, value in getattr(record, "fields", {}).items()}
        try:
            self._to.sendall(b"".join(_field(name, value) for name, value in fields.items()))
        except OSError:
            self.handleError(record)


def _field(name: str, value: str) -> bytes:
    """Writes it with its length, so that it may hold the end of a line."""
    text = value.encode(errors="backslashreplace")
    return name.encode() + b"\n" + struct.pack("<Q", len(text)) + text + b"\n"


def _open_journald() -> socket.socket | None:
    """Returns a way to journald; None where there is none."""
    to = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        to.connect(JOURNALD)
    except OSError:
        to.close()
        return None
    return to


def _word(value: str) -> str:
    """Quotes it where it would be more than one word."""
    plain = visible(value)
    return json.dumps(plain, ensure_ascii=False) if not plain or set(plain) & set(' "=') else plain
