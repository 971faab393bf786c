"""Talks to the store of a bucket, by obstore; no other file knows of that. All of it blocks: it is run in threads.

What obstore says of an error may hold a signed URL: of that only the number of the answer and the code in it are told.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, NamedTuple

from daemon.config_tables import Bucket
from daemon.errors import Undelivered
from daemon.models import Model
from daemon.storage import leftovers
from daemon.storage.answers import plain_etag
from daemon.storage.azure_signing import signed_anew
from daemon.storage.s3_requests import S3, may_be_asked

PART = 5 * 1024**2  # bytes: what is larger is sent in parts, as stores want them at least
MOST_PARTS = 9_000  # of 10,000 that S3 allows
PIECE = 1024**2  # bytes that are read at once
PAGE = 1000  # objects that are listed at once
AT_ONCE = 4  # parts of one object that are on their way
REQUEST_TIMEOUT = timedelta(minutes=5)  # that long a store may take to join the parts of a large object
CONNECT_TIMEOUT = timedelta(seconds=10)
RETRIES = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=5), "base": 2},
}
BUSY = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
STATUS = re.compile(r"status code: (\d{3})")
BROKEN = re.compile(r"kind: (Body|Interrupted|ConnectionReset|BrokenPipe|UnexpectedEof)\b|InvalidMultipart|MissingEtag")
UNTRUSTED = re.compile(r"InvalidCertificate\(\s*(\w{1,60})")
CODE = re.compile(r"<Code>(\w{1,60})</Code>")


class Object(Model, frozen=True):
    """Tells what a store has under a key. `said` is what was put beside it, by name."""

    bytes: int
    etag: str | None = None
    said: Mapping[str, str] = {}


class Listed(NamedTuple):
    """Is what a store tells of an object when it lists many. `modified` is in ns since the epoch."""

    key: str
    bytes: int
    etag: str | None
    modified: int


class NoPath(Undelivered):
    """A key is none that the client takes."""


class Taken(Exception):
    """Something has that key already."""


class ObjectStore:
    """Is a bucket, or the part of one that its profile names: keys begin there."""

    def __init__(self, bucket: Bucket, credentials: Mapping[str, str]) -> None:
        """Raises Undelivered where what the profile says makes no store."""
        self._bucket = bucket
        self._credentials = credentials
        with self._in_words():
            self._store = _opened(bucket, credentials)

    def head(self, key: str) -> Object | None:
        """Returns what is there; None: nothing is. Raises Undelivered."""
        import obstore

        try:
            with self._in_words():
                found = obstore.get(self._store, key, options={"head": True})
        except FileNotFoundError:
            return None
        said = {str(name).lower(): str(value) for name, value in found.attributes.items()}
        return Object(bytes=int(found.meta["size"]), etag=plain_etag(found.meta["e_tag"]), said=said)

    def put(
        self, key: str, size: int, pieces: Callable[[], Iterable[bytes]], said: Mapping[str, str], *, over: bool
    ) -> None:
        """Puts an object whole or not at all, `over` one that is there. Raises Taken, Undelivered, or what `pieces` do.

        One that is sent in parts is put over another in any case: who asks for it has looked before.
        """
        import obstore

        with self._in_words(), self._unless_lost(), _unless_taken():
            if size <= PART:
                mode: Any = "overwrite" if over else "create"
                obstore.put(self._store, key, b"".join(pieces()), attributes=dict(said), mode=mode, use_multipart=False)
            else:
                obstore.put(
                    self._store,
                    key,
                    iter(pieces()),
                    attributes=dict(said),
                    use_multipart=True,
                    chunk_size=max(PART, -(-size // MOST_PARTS)),
                    max_concurrency=AT_ONCE,
                )

    def listed(self, folder: str) -> Iterator[Listed]:
        """Yields all below a folder, in the store's order, a page at a time. Raises Undelivered."""
        import obstore

        last = ""
        try:
            with self._in_words():
                for found in obstore.list(self._store, folder or None, chunk_size=PAGE):
                    for one in found:
                        last = str(one["path"])
                        yield _listed(one)
        except NoPath:  # the client lists no such keys, nor others beside them
            if not may_be_asked(self._bucket, self._credentials):
                raise
            yield from self._listed_whatever_they_hold(folder, last)

    def _listed_whatever_they_hold(self, folder: str, after: str) -> Iterator[Listed]:
        try:
            for key, size, etag, modified in S3(self._bucket, self._credentials).objects(folder, after):
                yield Listed(key, size, plain_etag(etag), _nanoseconds(modified))
        except (OSError, HTTPException, ValueError):
            raise Undelivered(f"the bucket {self._bucket.name} cannot be listed", away=True) from None

    def under_way(self, key: str) -> dict[str, list[str]] | None:
        """Returns what uploads there are by now to a key and below it; None: nobody can tell."""
        return leftovers.under_way(self._bucket, self._credentials, key)

    def get(self, key: str) -> bytes:
        """Returns all of a small object. Raises FileNotFoundError or Undelivered."""
        import obstore

        with self._in_words():
            return bytes(obstore.get(self._store, key).bytes())

    def sha256(self, key: str, check: Callable[[], None]) -> str:
        """Returns the hash of an object, all of which is read. Raises FileNotFoundError, Undelivered, or what `check`
        does between two pieces."""
        import obstore

        digest = hashlib.sha256()
        with self._in_words():
            for piece in obstore.get(self._store, key).stream(min_chunk_size=PIECE):
                check()
                digest.update(piece)
        return digest.hexdigest()

    def signed(self, key: str, lasts: timedelta) -> str:
        """Returns a URL by which whoever has it may get the object for so long. Raises Undelivered."""
        import obstore

        with self._in_words():
            url = str(obstore.sign(self._store, "GET", key, lasts))
        if self._bucket.scheme == "az" and "account_key" in self._credentials:
            return signed_anew(url, self._credentials["account_name"], self._credentials["account_key"])
        return url

    def delete(self, keys: Sequence[str]) -> None:
        """Removes these, should they be there. Raises Undelivered."""
        import obstore

        with self._in_words():
            for key in keys:
                try:
                    obstore.delete(self._store, key)
                except FileNotFoundError:
                    continue

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        from obstore.exceptions import BaseError, InvalidPathError

        try:
            yield
        except FileNotFoundError as error:
            if code(error) == "NoSuchBucket":
                raise self._refusal(error) from None
            raise
        except InvalidPathError:
            words = f"the bucket {self._bucket.name} holds a key that is no path, as with // or a tab in it: rename it"
            raise NoPath(words, away=True) from None
        except (BaseError, ValueError) as error:  # `from None`: what it says may be secret, and a log shows causes
            raise self._refusal(error) from None

    @contextmanager
    def _unless_lost(self) -> Iterator[None]:
        """What is put in parts may not be found: somebody ended it, or its end was asked for twice."""
        try:
            yield
        except FileNotFoundError as error:
            raise self._refusal(error) from None

    def _refusal(self, error: Exception) -> Undelivered:
        status = STATUS.search(str(error))
        if status is None:
            untrusted = UNTRUSTED.search(str(error))
            if BROKEN.search(str(error)):
                words = f"the bucket {self._bucket.name} broke off, or gave an answer that is none of a bucket's"
                return Undelivered(words, away=True)
            why = f": its certificate is not valid ({untrusted[1]})" if untrusted else ""
            return Undelivered(f"the bucket {self._bucket.name} cannot be reached{why}", away=True)
        said = [status[1], _phrase(int(status[1])), f"({code(error)})" if code(error) else ""]
        words = f"the bucket {self._bucket.name} answered {' '.join(filter(None, said))}"
        return Undelivered(words, away=int(status[1]) in BUSY or int(status[1]) >= 500)  # else it may be of this key


def _listed(one: Any) -> Listed:
    return Listed(str(one["path"]), int(one["size"]), plain_etag(one["e_tag"]), _nanoseconds(one["last_modified"]))


def _nanoseconds(time: datetime) -> int:
    return round(time.timestamp() * 1e9)


def code(error: Exception) -> str:
    """Returns the code of an error in a store's own words, such as NoSuchBucket; empty where it gave none."""
    found = CODE.search(str(error))
    return found[1] if found else ""


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


@contextmanager
def _unless_taken() -> Iterator[None]:
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    try:
        yield
    except (AlreadyExistsError, PreconditionError):
        raise Taken from None


def _opened(bucket: Bucket, credentials: Mapping[str, str]) -> Any:
    from obstore.store import from_url

    config: dict[str, Any] = dict(credentials)
    client: dict[str, Any] = {"timeout": REQUEST_TIMEOUT, "connect_timeout": CONNECT_TIMEOUT, "user_agent": "ffspool"}
    if bucket.endpoint:
        config["endpoint"] = bucket.endpoint.rstrip("/")
        client["allow_http"] = bucket.endpoint.startswith("http://")
    if bucket.region:
        config["region"] = bucket.region
    if bucket.virtual_hosted:
        config["virtual_hosted_style_request"] = True
    keys = _keys(bucket, credentials)
    how: dict[str, Any] = {"client_options": client, "retry_config": RETRIES, "config": config}
    opening: Any = from_url
    return opening(bucket.url.rstrip("/"), credential_provider=keys and (lambda: keys), **how)


def _keys(bucket: Bucket, credentials: Mapping[str, str]) -> Mapping[str, str | None] | None:
    """What opens the bucket and nothing else: beside mere settings the client takes what the environment holds, such as
    the token of a role, which is for another store. None: it is to look there."""
    if bucket.scheme == "s3" and credentials:
        names = {"access_key_id": "access_key_id", "secret_access_key": "secret_access_key", "token": "session_token"}
    elif "account_key" in credentials:
        names = {"access_key": "account_key"}
    elif "sas_key" in credentials:
        names = {"sas_token": "sas_key"}
    else:
        return None
    return {"expires_at": None, **{ours: credentials.get(theirs) for ours, theirs in names.items()}}
