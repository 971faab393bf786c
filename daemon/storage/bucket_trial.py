"""Tries what deliveries need of a bucket, by a small object that it puts there and removes again."""

from __future__ import annotations

from daemon.config_tables import Bucket
from daemon.errors import StartupError, Undelivered
from daemon.models import new_id
from daemon.storage import credentials
from daemon.storage.object_store import ObjectStore, Taken
from daemon.storage.objects import DELIVERY

CONTENT = b"ffspool doctor put this here, and removes it again"


def flaw(bucket: Bucket) -> str | None:
    """Says in words what cannot be done there; None: all that deliveries need can. Blocks."""
    key, step = f"ffspool-trial-{new_id()}", "opened"
    try:
        credentials.check([bucket])
        store = ObjectStore(bucket, credentials.credentials(bucket))
        step = "listed"
        next(iter(store.listed(key)), None)
        step = "written"
        store.put(key, len(CONTENT), lambda: [CONTENT], {"Content-Type": "text/plain", DELIVERY: key}, over=False)
        try:
            step = "read"
            there, content = store.head(key), store.get(key)
        finally:
            store.delete([key])
        step = "emptied"
        gone = store.head(key) is None
    except StartupError as error:
        return str(error)
    except (Undelivered, Taken, FileNotFoundError) as error:
        return f"cannot be {step}: {error}"
    if there is None or content != CONTENT:
        return "does not hold what was put there"
    if there.said.get(DELIVERY) != key:
        return "does not keep what is said beside an object: a delivery that was interrupted would not find its own"
    return None if gone else "keeps what was deleted"
