"""Holds the outputs of a job apart: no two may come to one address, where one would take the other's place.

That is found when the job is made, but for names that tell of what its sources hold: of those when they are brought.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import msgspec

from daemon.database.store import Row, Transaction
from daemon.delivery.place import WEB, Parcel, Place
from daemon.delivery.wording import bound
from daemon.errors import BadName, Undelivered
from daemon.models import Conflict, Destination
from daemon.name_template import label
from daemon.plaintext import clipped
from daemon.presets.builtin import FOLDER
from daemon.presets.library import Library


class _Bound(NamedTuple):
    """Says where an output is bound for, and what users call it."""

    called: str
    destination: Destination
    address: str  # a folder's files lie below it
    is_folder: bool

    @property
    def is_numbered(self) -> bool:
        return self.destination.wish.conflict == Conflict.NUMBER


def check(outputs: Iterable[Mapping[str, Any]], places: Mapping[str, Place], library: Library) -> None:
    """Takes what deliveries are worded of. Raises BadName that names two outputs which would come to one address.

    Those that get a number may.
    """
    first: dict[str, _Bound] = {}
    for one in _bounds(outputs, places, library):
        other = first.setdefault(one.address, one)
        if other is not one and not (one.is_numbered and other.is_numbered):
            raise BadName(_refusal(other.called, one))
    folders = {one.address for one in first.values() if one.is_folder}
    for one in first.values() if folders else ():
        if around := next((above for above in _above(one.address) if above in folders), None):
            raise BadName(_refusal(first[around].called, one))


def known_by(address: str) -> str:
    """Returns what is kept of an address, which may be a secret."""
    return hashlib.sha256(address.encode()).hexdigest()


def claim(due: Row, parcel: Parcel, place: Place, transaction: Transaction) -> None:
    """Keeps where a delivery comes to. Raises Undelivered where another of its job came, or is on its way, or where it
    would take the place of what it was made of."""
    if parcel.destination.replaces:
        return
    one = _bound(due, parcel, place)
    if due["fetched_from"] == known_by(one.address) and parcel.destination.wish.conflict == Conflict.OVERWRITE:
        words = f"{_called(due)} would take the place of what it was made of, and is not brought there: name another"
        raise Undelivered(words, final=True)
    mark = known_by(f"{due['job']} {one.address}")
    other = transaction.one("delivery_to_address", address=mark, id=due["id"])
    if other and not one.is_numbered:
        raise Undelivered(_refusal(_called(other), one), final=True)
    transaction.run("claim_address", address=mark, id=due["id"])


def _bounds(outputs: Iterable[Mapping[str, Any]], places: Mapping[str, Place], library: Library) -> Iterator[_Bound]:
    destination_of = cache(partial(msgspec.json.decode, type=Destination))
    for row in outputs:
        destination = destination_of(row["deliver"])
        if not destination.replaces:
            place = places[destination.place.partition(":")[0]]
            yield _bound(row, bound(row, library, destination), place)


def _bound(row: Mapping[str, Any] | Row, parcel: Parcel, place: Place) -> _Bound:
    return _Bound(_called(row), parcel.destination, place.address(parcel), row["extension"] == FOLDER)


def _called(row: Mapping[str, Any] | Row) -> str:
    called = label(row["name"], row["stem"], row["preset"], row["extension"])
    return f"{called} of {clipped(row['source'], 80)!r}"


def _refusal(other: str, one: _Bound) -> str:
    words = (
        f"{other} and {one.called} would come to one address: give each variation its `deliver`, or tell them apart "
        f"by words of its template, such as {{stem}} and {{preset}}"
    )
    return words if one.destination.wish.scheme in WEB else f"{words}, or set `conflict` to `number`"


def _above(address: str) -> Iterator[str]:
    at = len(address)
    while (at := address.rfind("/", 0, at)) > 0:
        yield address[:at]
