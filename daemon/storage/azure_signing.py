"""Signs the URL of a blob in Azure once more, where its name is written in another way there than it is said.

The client of stores signs a name as a URL writes it, with `%20` for a blank; Azure what it means. So what has but plain
letters could be fetched, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

BEFORE = ("sp", "st", "se")  # of what is signed, in its order; the blob comes between
AFTER = ("si", "sip", "spr", "sv", "sr", "snapshot", "ses", "rscc", "rscd", "rsce", "rscl", "rsct")


def signed_anew(url: str, account: str, key: str) -> str:
    """Returns a URL that was signed by the key of the account (service SAS), with the signature that Azure wants."""
    parts = urlsplit(url)
    said = dict(parse_qsl(parts.query))
    is_of_account = (parts.hostname or "").startswith(f"{account}.")  # else the path begins with it, as in an emulator
    blob = f"/blob{f'/{account}' if is_of_account else ''}{unquote(parts.path)}"
    text = [*(said.get(name, "") for name in BEFORE), blob, *(said.get(name, "") for name in AFTER)]
    made = hmac.digest(base64.b64decode(key), "\n".join(text).encode(), hashlib.sha256)
    return urlunsplit(parts._replace(query=urlencode({**said, "sig": base64.b64encode(made).decode()})))
