"""Asks S3 for what the client of stores cannot: in requests that are signed as AWS says (Signature Version 4).

That takes keys of a file: who is let in by the role of a machine does without.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import http.client
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from urllib.parse import quote, unquote_plus, urlsplit

from daemon.config_tables import Bucket

TIMEOUT = 30.0  # seconds
PAGE = 1000  # uploads or objects that are listed at once
MOST_PAGES = 100
MOST_BYTES = 4 * 1024**2  # of a page there are some 500,000
UPLOAD = re.compile(r"<Upload>(.*?)</Upload>", re.DOTALL)
OBJECT = re.compile(r"<Contents>(.*?)</Contents>", re.DOTALL)
TRUNCATED = "<IsTruncated>true</IsTruncated>"
NOTHING = hashlib.sha256(b"").hexdigest()


def may_be_asked(bucket: Bucket, credentials: Mapping[str, str]) -> bool:
    """Tells whether there are keys by which requests can be signed."""
    return bucket.scheme == "s3" and "secret_access_key" in credentials


class S3:
    """Speaks a few words of S3. Keys begin where the profile's do.

    What asks raises OSError, HTTPException or ValueError.
    """

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

    def objects(self, folder: str, after: str) -> Iterator[tuple[str, int, str, datetime]]:
        """Yields key, bytes, ETag and time of all that lies below a folder and has a later key, whatever keys hold."""
        begins = {"start-after": self._prefix + after} if after else {}
        prefix = f"{self._prefix}{folder}/" if folder else self._prefix
        while True:
            asked = {"list-type": "2", "prefix": prefix, "max-keys": str(PAGE), "encoding-type": "url", **begins}
            text = self._asked("GET", "/", asked)
            plain = unquote_plus if "<EncodingType>url</EncodingType>" in text else str
            for one in OBJECT.findall(text):
                modified = datetime.fromisoformat(_said("LastModified", one))
                key = plain(_said("Key", one)).removeprefix(self._prefix)
                yield key, int(_said("Size", one)), _said("ETag", one), modified
            if TRUNCATED not in text:
                return
            if not (token := _said("NextContinuationToken", text)):
                raise ValueError("there is more, and no way to it")
            begins = {"continuation-token": token}

    def abort(self, key: str, upload: str) -> None:
        self._asked("DELETE", f"/{quote(self._prefix + key, safe='/~')}", {"uploadId": upload})

    def _asked(self, method: str, path: str, query: Mapping[str, str]) -> str:
        """What is answered."""
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
