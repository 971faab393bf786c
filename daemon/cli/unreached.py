"""Says in words why no daemon is reached."""

from __future__ import annotations

import ssl


def distrust(error: BaseException) -> str | None:
    """Says why a certificate is not trusted; None when it was not that."""
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message
        cause = cause.__cause__ or cause.__context__
    return None


def how_to_begin(problem: str) -> str:
    """Returns the problem with what may be done about it."""
    return (
        f"{problem}. Start one with `ffspool serve`, name one with --state-dir or FFSPOOL_URL, "
        "or work without one: `ffspool run`"
    )
