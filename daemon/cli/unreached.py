"""Says in words why no daemon is reached."""

from __future__ import annotations

import re
import ssl

import httpx

NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})  # what answers is plain HTTP


def distrust(error: BaseException) -> str | None:
    """Says why a certificate is not trusted; None when it was not that."""
    found = _of_tls(error)
    return found.verify_message if isinstance(found, ssl.SSLCertVerificationError) else None


def why(error: httpx.TransportError) -> str:
    """Says in a few words why nothing was reached."""
    found = _of_tls(error)
    if found and found.reason in NO_TLS:
        return "what is there speaks no TLS: its URL begins with http://"
    if isinstance(error, httpx.UnsupportedProtocol):
        return "a URL begins with http://, https:// or unix:"
    return re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or "it took too long"


def _of_tls(error: BaseException) -> ssl.SSLError | None:
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, ssl.SSLError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def how_to_begin(problem: str) -> str:
    """Returns the problem with what may be done about it."""
    return (
        f"{problem}. Start one with `ffspool serve`, name one with --state-dir or FFSPOOL_URL, "
        "or work without one: `ffspool run`"
    )
