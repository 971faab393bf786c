"""Tells whoever asked what ended, at least once, signed as Standard Webhooks says.

The outbox is filled by triggers in the transaction of each end, so nothing that ended goes untold; here it is
emptied. A message is sent with the same `webhook-id` however often, by which a receiver knows it again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import msgspec

from daemon.database.due_queue import Backoff, DueQueue
from daemon.database.store import Row, Store, Transaction, of_owner
from daemon.errors import NotFound
from daemon.jobs.delivery_views import BroughtJob, BroughtVariation, brought_job, brought_variation
from daemon.jobs.listing import decode_cursor
from daemon.jobs.variation_views import VariationView, ended_variation
from daemon.jobs.views import EndedJob, ended_job
from daemon.journal import known, tell
from daemon.models import Model, when
from daemon.scheduling.metrics import Figures
from daemon.states import MessageStatus
from daemon.webhooks.delivery import Reply, Sender
from daemon.webhooks.signing import Secrets, SecretView

log = logging.getLogger(__name__)

CONCURRENCY = 8  # messages in flight at once
PER_URL = 4  # of them to one URL: one that hangs leaves room for the others
GIVE_UP = 3 * 24 * 3600.0  # seconds after which a message is not tried again
WAITS = (1, 6, 24, 120, 360, 720, 1440, 4320)  # of the backoff: 5 s, 30 s, 2 min … 6 h
KEPT = 7 * 24 * 3600.0  # seconds a message is kept after its end, once it is settled


class Delivery(Model, frozen=True):
    """A delivery is one message to one URL, and how far it is."""

    id: str
    job: str
    type: str
    url: str
    status: MessageStatus
    attempts: int
    next_attempt_at: datetime | None
    last_status_code: int | None
    last_error: str | None
    created_at: datetime
    delivered_at: datetime | None


class DeliveryPage(Model, frozen=True):
    items: tuple[Delivery, ...]
    next_cursor: str | None


class EndedVariation(VariationView, frozen=True, kw_only=True):
    """Tells of a variation's end: the variation, and where it belongs."""

    job: str
    source: str


class Message(Model, frozen=True):
    """A message is the body of every webhook. `timestamp` is when it happened, not when it is sent."""

    type: str
    timestamp: datetime
    data: EndedJob | EndedVariation | BroughtJob | BroughtVariation


class Webhooks:
    """Empties the outbox, shows it, and sends again. `run` is its loop; the rest may be called beside it."""

    def __init__(
        self,
        store: Store,
        secrets: Secrets,
        sender: Sender,
        figures: Figures,
        *,
        backoff: float = 5.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._secrets = secrets
        self._sender = sender
        self._figures = figures
        self._backoff = Backoff(backoff, WAITS, most_asked=backoff * WAITS[-1])
        self._now = now
        self._sending: dict[str, str] = {}  # id → URL
        self._queue = DueQueue(store, "messages", self._send_due, now=now)

    # What others may ask

    async def page(
        self, *, job: str | None, status: MessageStatus | None, limit: int, cursor: str | None, owner: str | None = None
    ) -> DeliveryPage:
        """Returns one page of deliveries, newest first; of an owner's jobs alone, if one is given.

        Raises InvalidRequest for a cursor we did not give.
        """
        query = of_owner("page_of_messages_of_job" if job else "page_of_messages", owner)
        wanted = {"owner": owner, "job": job, "status": status, "below": decode_cursor(cursor), "limit": limit + 1}
        found = await self._store.read(lambda t: t.all(query, **wanted))
        rows, more = found[:limit], len(found) > limit
        return DeliveryPage(
            items=tuple(_shown(row) for row in rows), next_cursor=str(rows[-1]["seq"]) if more else None
        )

    async def replay(self, delivery: str) -> Delivery:
        """Has a delivery sent again, whatever became of it, under its old id. Raises NotFound."""
        return _shown(await self._store.write(partial(_replay, delivery, self._now())))

    async def secret(self, owner: str | None = None) -> SecretView:
        """Returns the secret that signs what is told of an owner's jobs."""
        return _secret_view(await self._secrets.valid(owner))

    async def rotate(self, owner: str | None = None) -> SecretView:
        """Makes a new secret, for all owners; the one before it goes on signing for a day, so that receivers can change
        over."""
        return _secret_view(await self._secrets.rotate(owner))

    # The loop

    async def run(self) -> None:
        """Sends what is due until it is cancelled; what is in flight then is sent again by the next run."""
        await self._queue.run()

    async def _send_due(self, sending: asyncio.TaskGroup) -> float | None:
        """Sends what there is room for; returns when another is due, if that is known."""
        while len(self._sending) < CONCURRENCY:
            busy = [url for url, count in Counter(self._sending.values()).items() if count >= PER_URL]
            due, following = await self._store.read(partial(_due, self._now(), list(self._sending), busy))
            if due is None:
                return following
            self._sending[due["id"]] = due["url"]
            leave = partial(self._sending.pop, due["id"])
            of = {"job": due["job"], "delivery": due["id"]}
            sent = self._queue.carry(self._deliver(due), leave, "a webhook's fate cannot be recorded", **of)
            sending.create_task(sent, name=f"webhook {due['id']}")
        return None

    async def _deliver(self, due: Row) -> None:
        """Makes one attempt, and writes its reply to the outbox."""
        reply = await self._attempt(due)
        settled = verdict(reply, due["failures"], due["since"], self._now(), self._backoff)
        await self._store.write(partial(_settle, due, reply, settled, self._now()))
        self._figures.sent(taken=reply.error is None)
        _log_delivery(due, reply, *settled, self._now())

    async def _attempt(self, due: Row) -> Reply:
        try:
            body = render(due)
        except Exception:  # it must not hold a place for ever
            log.exception("the body of a webhook cannot be made", extra=known(job=due["job"], delivery=due["id"]))
            return Reply(error="its body cannot be made, by a fault of ffspool; its log has the details", final=True)
        return await self._sender.attempt(due["url"], due["id"], body, due["owner"], to_admin=bool(due["of_admin"]))


def _log_delivery(due: Row, reply: Reply, status: MessageStatus, again: float | None, now: float) -> None:
    """Tells of the URL only its host: the rest may be secret."""
    of = {"job": due["job"], "delivery": due["id"], "event": due["type"], "host": urlsplit(due["url"]).hostname}
    after = now - due["since"]
    if status == MessageStatus.DELIVERED:
        tell(log, logging.INFO, "webhook delivered", **of, after=after)
    else:
        words = "webhook could not be sent, and is sent again" if again else f"webhook is {status}"
        tell(log, logging.WARNING, words, **of, after=after, error=reply.error)


def render(due: Row | Mapping[str, Any]) -> bytes:
    """Returns the body of a message; the same bytes at every attempt."""
    copy: Any = defaultdict(lambda: None, msgspec.json.decode(due["snapshot"]))  # a later version may look for more
    happened = when(due["created_at"])
    assert happened is not None
    return msgspec.json.encode(Message(type=due["type"], timestamp=happened, data=_data(due["type"], copy)))


def _data(kind: str, copy: Any) -> EndedJob | EndedVariation | BroughtJob | BroughtVariation:
    """What a message of that type tells."""
    of_job = kind.startswith("job.")
    if kind.endswith("delivered"):  # or undelivered
        return brought_job(copy) if of_job else brought_variation(copy)
    if of_job:
        return ended_job(copy)
    fields = msgspec.structs.asdict(ended_variation(copy))
    return EndedVariation(job=copy["job"], source=copy["source"], **fields)


def verdict(
    reply: Reply, failures: int, since: float, now: float, backoff: Backoff
) -> tuple[MessageStatus, float | None]:
    """Says what becomes of a message after an attempt, `failures` of them before it; and when it is due again."""
    if reply.error is None:
        return MessageStatus.DELIVERED, None
    if reply.status_code == 410:
        return MessageStatus.DISABLED, None
    again = now + backoff.after(failures, reply.retry_after)
    if reply.final or again > since + GIVE_UP:
        return MessageStatus.FAILED, None
    return MessageStatus.PENDING, again


def _settle(
    due: Row, reply: Reply, settled: tuple[MessageStatus, float | None], now: float, transaction: Transaction
) -> None:
    status, again = settled
    changed = transaction.run(
        "settle_message",
        id=due["id"],
        since=due["since"],
        status=status,
        failures=due["failures"] + (reply.error is not None),
        next_attempt_at=again,
        status_code=reply.status_code,
        error=reply.error,
        now=now,
    )
    if changed and status == MessageStatus.DISABLED:
        words = "not sent: the receiver answered 410 to another message of this job"
        transaction.run("disable_messages", id=due["id"], error=words)


def _due(now: float, sending: list[str], busy: list[str], transaction: Transaction) -> tuple[Row | None, float | None]:
    """The next delivery whose time has come; if there is none, when one is due."""
    if due := transaction.one("due_message", now=now, sending=_json(sending), busy=_json(busy)):
        return due, None
    following = transaction.one("next_message", now=now)
    return None, following["at"] if following else None


def _replay(delivery: str, now: float, transaction: Transaction) -> Row:
    transaction.run("replay_message", id=delivery, now=now)
    row = transaction.one("message", id=delivery)
    if row is None:
        raise NotFound(f"there is no delivery {delivery}")
    return row


def _shown(row: Row) -> Delivery:
    times: dict[str, Any] = {name: when(row[name]) for name in ("next_attempt_at", "created_at", "delivered_at")}
    plain = {name: row[name] for name in ("id", "job", "type", "url", "attempts", "last_status_code", "last_error")}
    return Delivery(status=MessageStatus(row["status"]), **plain, **times)


def _secret_view(valid: list[Any]) -> SecretView:
    current, *older = valid
    return SecretView(secret=current.value, previous_expires_at=when(older[0].expires_at) if older else None)


def _json(values: list[str]) -> str:
    return msgspec.json.encode(values).decode()
