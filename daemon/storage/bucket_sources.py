"""Takes sources from buckets that the operator named: by a URL that is signed for each attempt, and kept nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from msgspec.structs import replace

from daemon.config_tables import Bucket
from daemon.errors import InvalidRequest, StartupError, Undelivered, Unfetched
from daemon.models import Remote
from daemon.plaintext import flaw
from daemon.storage import credentials
from daemon.storage.buckets import meant, opening
from daemon.storage.object_store import ObjectStore

SCHEMES = ("s3://", "gs://", "az://")
LASTS = timedelta(hours=12)  # what comes slowly is asked for once
MOST_PORTS = range(1, 65536)  # where a bucket is, its operator says


class BucketSources:
    """Knows the buckets, and signs what is to be fetched of them."""

    def __init__(self, buckets: Sequence[Bucket]) -> None:
        self._buckets = {bucket.name: bucket for bucket in buckets}

    def remote(
        self, url: str, *, headers: Mapping[str, str], sha256: str | None, name: str | None
    ) -> tuple[str, Remote]:
        """Returns the name of a source and how it is asked for. Raises ForbiddenPath or InvalidRequest."""
        if reason := flaw(url):
            raise InvalidRequest(f"the URL of a source {reason}")
        if headers:
            raise InvalidRequest("a bucket is asked with what its operator gave for it: leave out the headers")
        bucket = meant(self._buckets.values(), url)
        key = url.removeprefix(bucket.beginning)
        *folders, last = key.split("/")
        if not last:
            raise InvalidRequest("the URL of a source names no object of that bucket")
        if not {"", ".", ".."}.isdisjoint([*folders, last]):
            words = "begins with /, or holds //, . or .. as a step: it cannot be asked for, so give it another"
            raise InvalidRequest(f"the key of a source {words}")
        shown = f"{bucket.scheme}://{bucket.beginning.split('/')[2]}/…"
        asked = Remote(
            url=url,
            shown=shown,
            sha256=sha256.lower() if sha256 else None,
            bucket=bucket.name,
            address=url,
        )
        return name or key.rpartition("/")[2], asked

    def opened(self, beginning: str) -> tuple[ObjectStore, str]:
        """Returns the store that the URL of a folder lies in, and what keys in that begin with there.

        Raises ForbiddenPath or Undelivered. Blocks.
        """
        bucket = meant(self._buckets.values(), beginning)
        return ObjectStore(bucket, opening(bucket)), beginning.removeprefix(bucket.beginning)

    def signed(self, remote: Remote) -> Remote:
        """Returns the same with a URL that may be asked for a while. Raises Unfetched. Blocks."""
        bucket = self._buckets.get(remote.bucket or "")
        if bucket is None or not remote.url.startswith(bucket.beginning):
            raise Unfetched(f"{remote.shown} is in no bucket of this daemon any more", final=True)
        try:
            store = ObjectStore(bucket, credentials.credentials(bucket))
            return replace(remote, url=store.signed(remote.url.removeprefix(bucket.beginning), LASTS))
        except StartupError as error:
            raise Unfetched(f"the credentials of the bucket {bucket.name} cannot be read") from error
        except Undelivered as error:
            raise Unfetched(str(error)) from error
