"""Keeps what was brought where, and what is about to be, so that it is known as ours there."""

from __future__ import annotations

from collections.abc import Sequence

from daemon.database.store import Row, Transaction
from daemon.delivery import apart, originals
from daemon.delivery.place import BroughtFile, Parcel, Place, Receipt
from daemon.delivery.result_mark import Mark


def expect(due: Row, parcel: Parcel, place: Place, transaction: Transaction) -> None:
    """Claims its address. What takes a file's place in a watched folder is known as ours before it is there.

    Raises Undelivered as `claim` does.
    """
    apart.claim(due, parcel, place, transaction)
    if parcel.destination.replaces:
        taken = f"{parcel.destination.below}/{originals.name_of(parcel)}".lstrip("/")
        # What plays the same is no output yet: it may be the original.
        _keep(due, due["place"], taken, Mark(), transaction)


def note(delivery: str, landing: str | None, files: Sequence[BroughtFile], transaction: Transaction) -> int:
    """Keeps what a place notes, and which files are ours from then on; returns 0 where nobody wants it any more."""
    for name, (inode, size, modified), folder in files:
        known = {"inode": inode, "bytes": size, "modified": modified}
        transaction.run("keep_brought_file", name=name, folder=folder, **known)
    return transaction.run("note_landing", id=delivery, landing=landing)


def keep(due: Row, receipt: Receipt, transaction: Transaction) -> None:
    """Keeps where an output lies now, and what it plays."""
    scheme, mark, path = receipt.to.rpartition("://")
    _keep(due, in_buckets(scheme) if mark else due["place"], path, receipt.mark, transaction)


def in_buckets(scheme: str) -> str:
    """Returns the place of all that lies in buckets of a scheme: their operator may call them another way by now."""
    return f"{scheme}:"


def _keep(due: Row, place: str, path: str, mark: Mark, transaction: Transaction) -> None:
    played = {"seconds": mark.seconds, "codec": mark.codec}
    transaction.run("keep_brought", place=place, path=path, bytes=due["bytes"], **played)
