"""Tells early that an encode will not come out smaller than its source, as it has to be to take its place."""

from __future__ import annotations

ENOUGH = 0.2  # of a film, after which what was made tells of the rest
LONG_ENOUGH = 60.0  # seconds of it
BEYOND = 1.1  # times the bytes it may have in the end, so that a film that begins busily is not given up


def refusal(written: int, seconds: float, *, duration: float | None, most: int, original: int) -> str | None:
    """Returns in words that an output, of which so many `seconds` are there, will be too large; None: it may not.

    It has so many bytes `written`, and is to have at the `most` so many. Of its `original`, in bytes, as much has as
    large a share.
    """
    if written > most:
        return f"not smaller: it was ended early, with {written} bytes already; its original has {original}"
    if not duration or not max(ENOUGH * duration, min(LONG_ENOUGH, duration / 2)) <= seconds <= duration:
        return None
    share = seconds / duration
    if written <= BEYOND * most * share:
        return None
    less = f"{written} bytes where its original has {original * share:.0f}"
    return f"not smaller: it was ended early, after {share:.0%}, with {less}"
