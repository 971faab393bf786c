"""Aborts uploads in parts that a daemon began and could not end: S3 keeps and bills their parts, and shows them nobody.

The client of stores aborts its own as long as it lives, and has no way to ask for others. Who is let in by the role of
a machine, and not by keys of a file, leaves it to the lifecycle rule of the bucket.
"""

from __future__ import annotations

import http.client
import logging
from collections import defaultdict
from collections.abc import Collection, Mapping

from daemon.config_tables import Bucket
from daemon.journal import tell
from daemon.storage.s3_requests import S3, may_be_asked

log = logging.getLogger(__name__)


def under_way(bucket: Bucket, credentials: Mapping[str, str], key: str) -> dict[str, list[str]] | None:
    """Returns by key the identifiers of all uploads to it and to keys below it; None: nobody can tell."""
    if not may_be_asked(bucket, credentials):
        return None
    found = defaultdict[str, list[str]](list)
    try:
        for one, upload in S3(bucket, credentials).uploads(key):
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
    if not others or not may_be_asked(bucket, credentials):
        return 0
    store = S3(bucket, credentials)
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


def _tell_of(error: Exception, bucket: Bucket) -> None:
    words = "uploads that were not ended cannot be aborted: let a lifecycle rule of the bucket do so"
    tell(log, logging.INFO, words, bucket=bucket.name, error=type(error).__name__)
