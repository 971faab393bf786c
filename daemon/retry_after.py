"""Reads how long a server wants to be left alone."""

from __future__ import annotations

from email.utils import parsedate_to_datetime


def seconds_of(retry_after: str, now: float) -> float | None:
    """Returns the seconds of a `Retry-After` header, which holds a number or a date; None when it holds neither."""
    value = retry_after.strip()
    if value.isascii() and value.isdigit() and len(value) <= 9:
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (TypeError, ValueError, OverflowError):
        return None
