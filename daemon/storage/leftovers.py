"""Aborts uploads in parts that a daemon began and could not end: S3 keeps and bills their parts, and shows them nobody.

The client of stores aborts its own as long as it lives, and has no way to ask for others. That takes two requests,
signed as AWS says (Signature Version 4), and keys of a file: who is let in by the role of a machine leaves it to the
lifecycle rule of the bucket.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import http.client
import logging
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from daemon.config_tables import Bucket
from daemon.journal import tell

log = logging.getLogger(__name__)

TIMEOUT = 30.0  # seconds
PAGE = 1000  # uploads that are listed at once
MOST_PAGES = 100
MOST_BYTES = 4 * 1024**2  # of a page there are some 500,000
UPLOAD = re.compile(r"<Upload>(.*?)</Upload>", re.DOTALL)
TRUNCATED = "<IsTruncated>true</IsTruncated>"
NOTHING = hashlib.sha256(b"").hexdigest()


def under_way(bucket: Bucket, credentials: Mapping[str, str], key: str) -> dict[str, list[str]] | None:
    """Returns by key the identifiers of all uploads to it and to keys below it; None: nobody can tell."""
    if not _may_be_asked(bucket, credentials):
        return None
    found = defaultdict[str, list[str]](list)
    try:
        for one, upload in _Store(bucket, credentials).uploads(key):
            found[one].append(upload)
    except (OSError, http.client.HTTPException, ValueError) as error:
        _tell_of(error, bucket)
        return None
    return dict(found)


def abort(
    bucket: Bucket, credentials: Mapping[str, str], key: str, others: Mapping[str, Collection[str]] | None
) -> int:
    """Aborts uploads to the key, and to those below it, that a delivery began; returns how many those were.

    `others` holds each key that the delivery sends in parts, with what was under way to it before: that is not ours, as
    is all that goes to any other key. Raises nothing: what is left so is no fault of what is delivered.
    """
    if not others or not _may_be_asked(bucket, credentials):
        return 0
    store = _Store(bucket, credentials)
    try:
        found = [(one, upload) for one, upload in store.uploads(key) if one in others and upload not in others[one]]
        for one, upload in found:
            store.abort(one, upload)
    except (OSError, http.client.HTTPException, ValueError) as error:
        _tell_of(error, bucket)
        return 0
    if found:
        tell(log, logging.INFO, "uploads that were not ended are aborted", bucket=bucket.name, count=len(found))
    return len(found)


def _may_be_asked(bucket: Bucket, credentials: Mapping[str, str]) -> bool:
    return bucket.scheme == "s3" and "secret_access_key" in credentials


def _tell_of(error: Exception, bucket: Bucket) -> None:
    words = "uploads that were not ended cannot be aborted: let a lifecycle rule of the bucket do so"
    tell(log, logging.INFO, words, bucket=bucket.name, error=type(error).__name__)


class _Store:
    """Speaks two words of S3. Keys begin where the profile's do."""

    def __init__(self, bucket: Bucket, credentials: Mapping[str, str]) -> None:
        name, _, prefix = bucket.url.removeprefix("s3://").rstrip("/").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._region = bucket.region or "us-east-1"
        parts = urlsplit(bucket.endpoint or f"https://s3.{self._region}.amazonaws.com")
        self._secure, self._host = parts.scheme == "https", parts.netloc
        own = "" if bucket.virtual_hosted and bucket.endpoint else f"/{name}"  # such an endpoint names it already
        self._path = f"{parts.path.rstrip('/')}{own}"
        self._credentials = credentials

    def uploads(self, key: str) -> Iterator[tuple[str, str]]:
        """Yields key and identifier of what is under way to a key, and to those below it. Raises ValueError where that
        is more than anybody could want to look through."""
        begins: dict[str, str] = {}
        for _ in range(MOST_PAGES):
            asked = {"prefix": self._prefix + key, "uploads": "", "max-uploads": str(PAGE), **begins}
            text = self._asked("GET", "/", asked)
            for upload in UPLOAD.findall(text):
                if (one := _said("Key", upload)) and (identifier := _said("UploadId", upload)):
                    found = one.removeprefix(self._prefix)
                    if found == key or found.startswith(f"{key}/"):
                        yield found, identifier
            if TRUNCATED not in text:
                return
            begins = {"key-marker": _said("NextKeyMarker", text), "upload-id-marker": _said("NextUploadIdMarker", text)}
        raise ValueError("more than some pages hold")

    def abort(self, key: str, upload: str) -> None:
        self._asked("DELETE", f"/{quote(self._prefix + key, safe='/~')}", {"uploadId": upload})

    def _asked(self, method: str, path: str, query: Mapping[str, str]) -> str:
        """What is answered. Raises OSError, HTTPException or ValueError."""
        sort = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = sort(self._host, timeout=TIMEOUT)
        asked = "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(query.items()))
        path = f"{self._path}{path}"
        try:
            connection.request(method, f"{path}?{asked}", headers=self._signed(method, path, asked))
            answer = connection.getresponse()
            text = answer.read(MOST_BYTES).decode()
        finally:
            connection.close()
        if answer.status not in {200, 204, 404}:  # the last: there are none, or it is gone
            raise ValueError(answer.status)
        return text

    def _signed(self, method: str, path: str, query: str) -> dict[str, str]:
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        headers = {"host": self._host, "x-amz-content-sha256": NOTHING, "x-amz-date": now}
        if token := self._credentials.get("session_token"):
            headers["x-amz-security-token"] = token
        names, lines = ";".join(headers), "".join(f"{name}:{value}\n" for name, value in headers.items())
        request = "\n".join([method, path, query, lines, names, NOTHING])
        scope = f"{now[:8]}/{self._region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(request.encode()).hexdigest()])
        signing = f"AWS4{self._credentials['secret_access_key']}".encode()
        for word in scope.split("/"):
            signing = hmac.digest(signing, word.encode(), "sha256")
        signature = hmac.digest(signing, text.encode(), "sha256").hex()
        who = f"Credential={self._credentials['access_key_id']}/{scope}"
        del headers["host"]
        signed = f"AWS4-HMAC-SHA256 {who}, SignedHeaders={names}, Signature={signature}"
        return {**headers, "Authorization": signed}


def _said(name: str, text: str) -> str:
    """What an answer has under that name; empty where it has nothing."""
    found = re.search(rf"<{name}>(.*?)</{name}>", text, re.DOTALL)
    return html.unescape(found[1]) if found else ""
