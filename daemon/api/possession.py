"""Lets a caller reach what its rights are for and what is its own; another's is to it as what is not there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from daemon.callers import Caller, Right
from daemon.database.store import Store, Transaction
from daemon.errors import Forbidden, NotFound

# The statement that finds what a path names if it is that owner's, by the path's parameter.
OWNED = {"job": "owned_job", "upload": "owned_upload", "delivery": "owned_message"}
WITHIN = frozenset({"source", "variation", "file"})  # what stands behind a job is its, or is not there


def check_right(caller: Caller, right: Right | None) -> None:
    """Raises Forbidden to who has not the right; None: everybody who is known may."""
    if right is not None and not caller.may(right):
        raise Forbidden(
            f"this token has not the right to {right}" if right != Right.ADMIN else "only admins may do this"
        )


async def check_possession(store: Store, caller: Caller, path: Mapping[str, str]) -> None:
    """Raises NotFound where a path names what is not the caller's, or nothing: in the same words and the same way.

    Whose something is never changes, so what is found here still holds when a handler looks.
    """
    owner = caller.sees
    if owner is None:
        return
    for what, identifier in path.items():
        if what in WITHIN:
            continue
        query = OWNED.get(what)
        if query is None or not await store.read(partial(_finds, query, identifier, owner)):
            raise NotFound(f"there is no {what} {identifier}")


def _finds(query: str, identifier: str, owner: str, transaction: Transaction) -> bool:
    return transaction.one(query, id=identifier, owner=owner) is not None
