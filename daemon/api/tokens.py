"""Offers over HTTP the tokens of clients, and what was completed for each."""

from __future__ import annotations

from typing import Annotated

import msgspec

from daemon.api.endpoints import Call
from daemon.callers import Limits, Right
from daemon.models import Model
from daemon.tokens import usage as kept
from daemon.tokens.registry import NewToken, TokenView
from daemon.tokens.usage import UsageOfMonth

AtLeastOne = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
USUAL = (Right.READ, Right.SUBMIT, Right.CONTROL)
Month = Annotated[str, msgspec.Meta(pattern="^[0-9]{4}-(0[1-9]|1[0-2])$", description="such as 2026-01, in UTC")]


class TokenRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Says who is to have a token, what it may, and how much at most; null: as much as the daemon takes."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    rights: Annotated[tuple[Right, ...], msgspec.Meta(min_length=1, max_length=4)] = USUAL
    max_queued: Annotated[AtLeastOne | None, msgspec.Meta(description="variations in the queue")] = None
    max_stored_bytes: Annotated[
        AtLeastOne | None, msgspec.Meta(description="of its sources, and of its outputs as predicted")
    ] = None
    max_encodes: Annotated[AtLeastOne | None, msgspec.Meta(description="variations that are encoded at once")] = None
    max_priority: Annotated[int, msgspec.Meta(ge=-1000, le=1000, description="of its jobs")] | None = None


class TokenList(Model, frozen=True):
    items: tuple[TokenView, ...]


class UsageQuery(msgspec.Struct):
    """Says of which months; the first and the last are among them."""

    since: Month | None = msgspec.field(default=None, name="from")
    until: Month | None = msgspec.field(default=None, name="to")
    token: Annotated[str, msgspec.Meta(max_length=64, description="of this one alone")] | None = None


class UsageList(Model, frozen=True):
    items: tuple[UsageOfMonth, ...]


async def show(call: Call) -> TokenList:
    return TokenList(items=call.service.tokens.views())


async def add(call: Call) -> NewToken:
    wish: TokenRequest = call.body
    limits = Limits(**{field: getattr(wish, field) for field in Limits.__struct_fields__})
    return await call.service.tokens.add(wish.name, wish.rights, limits)


async def revoke(call: Call) -> None:
    await call.service.tokens.revoke(call.path["token"])


async def usage(call: Call) -> UsageList:
    wish: UsageQuery = call.query
    mine = call.caller.sees
    if mine is not None and wish.token not in {None, mine}:
        return UsageList(items=())  # as of a token that there is not
    found = await kept.by_month(call.service.store, since=wish.since, until=wish.until, owner=mine or wish.token)
    return UsageList(items=found)
