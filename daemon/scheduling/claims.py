"""Records what the database knows of a variation on its way: claimed, then completed, or abandoned.

Each function is one step within a transaction, guarded in its WHERE by state and attempt, so that a late
writer changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter

import msgspec
from msgspec.structs import replace

from daemon.database.store import Row, Transaction
from daemon.encode.task import Ended, Started
from daemon.host import boot_id
from daemon.media.model import Media
from daemon.models import Destination, Model, Parameters, new_id
from daemon.proof.prove import Proof
from daemon.scheduling import piece_rows
from daemon.scheduling.sources import Recorded, recorded
from daemon.source_files import Identity
from daemon.states import FORCED, State

MAX_RETRIES = 3  # of what may pass
SUSPECT_AFTER = 2  # deaths of the daemon with this variation in flight: then it runs when nothing else does
MAX_CRASHES = 10  # most of them were somebody else's fault, and each costs a start
RETRY_GROWTH = 4  # each wait is so many times the one before
NO_ROOM = "the disk was full, and what was encoded of it was removed"
STUCK = "a retry that went on with what was encoded of it failed where it had failed before"
ASIDE = 30.0  # seconds that work lets other work pass which may fit on the disk


class Claim(Model, frozen=True):
    """A claim is a variation that has its slot: all it takes to run and settle it.

    Those of one task share its `token`.
    """

    seq: int
    id: str
    attempt: int
    token: str
    preset: str
    parameters: Parameters
    extension: str
    crashes: int
    job_seq: int
    job: str
    owner: str | None  # its job's
    source: str
    source_name: str
    recorded: Recorded
    media: Media
    span_seconds: float | None = None  # that spans of it last at least, where the last attempt had it in several
    most_bytes: int | None = None  # that it may have, where it is to take its source's place
    source_goes: bool = False  # once it is delivered: then it is all there is

    @property
    def is_proven_whole(self) -> bool:
        """Returns whether all of its output is to be decoded, and not its end alone."""
        return self.source_goes or self.most_bytes is not None


def claim(transaction: Transaction, *, variations: Sequence[str], now: float) -> list[Claim]:
    """Takes those of the variations that may still start, with a new attempt each and one token for all.

    They are of one source, whose media is known.
    """
    token = new_id() + new_id()
    chosen = msgspec.json.encode(variations).decode()
    rows = transaction.all("claim", variations=chosen, now=now)
    for row in rows:
        mine = {"variation": row["seq"], "number": row["attempts"]}
        transaction.run("insert_attempt", **mine, token=token, now=now, boot=boot_id())
    if not rows:
        return []
    source = transaction.one("claimed_source", source=rows[0]["source"])
    assert source is not None
    transaction.run("record_sharing", variations=chosen, count=len(rows))
    return [_claim_of(row, source, token) for row in sorted(rows, key=itemgetter("seq"))]


def longest_wait(retry_delay: float) -> float:
    """Returns the seconds after which all that waits is due.

    What is to wait longer saw the clock set back meanwhile.
    """
    longest: float = retry_delay * RETRY_GROWTH ** (MAX_RETRIES - 1)
    return max(ASIDE, longest)


def release_delayed(transaction: Transaction, *, retry_delay: float, now: float) -> None:
    """Lets what waited long enough start again."""
    transaction.run("release_delayed", now=now, latest=now + longest_wait(retry_delay))


def set_aside(transaction: Transaction, *, waiting: Mapping[str, str], now: float) -> None:
    """Has variations that do not fit on the disk let others pass for a while; `waiting` tells of each why."""
    until = now + ASIDE
    rows = [{"variation": variation, "waiting": words, "until": until} for variation, words in waiting.items()]
    transaction.run_many("set_aside", rows)


def skip(transaction: Transaction, *, unsuitable: Mapping[str, str], now: float) -> None:
    """Leaves out variations of which nothing can be made; `unsuitable` tells of each why."""
    rows = [{"variation": variation, "error": words, "now": now} for variation, words in unsuitable.items()]
    transaction.run_many("skip", rows)


def _claim_of(row: Row, source: Row, token: str) -> Claim:
    return Claim(
        seq=row["seq"],
        id=row["id"],
        attempt=row["attempts"],
        token=token,
        preset=row["preset"],
        parameters=msgspec.json.decode(row["parameters"]),
        extension=row["extension"],
        crashes=row["crashes"],
        job_seq=row["job"],
        job=source["job"],
        owner=row["owner"],
        source=source["source"],
        source_name=source["name"],
        recorded=recorded(source["job"], source["source"], source),
        media=msgspec.json.decode(source["media"], type=Media),
        span_seconds=row["span_seconds"],
        most_bytes=_most_bytes(row["deliver"]),
        source_goes=bool(source["goes"]),
    )


def _most_bytes(deliver: str | None) -> int | None:
    replaces = msgspec.json.decode(deliver, type=Destination).replaces if deliver else None
    return replaces.most_bytes if replaces else None


def record_start(started: Started, transaction: Transaction) -> None:
    """Records what the engine will end the attempt's process by after a crash, and what shuts it in."""
    transaction.run("record_sandbox", token=started.task, sandbox=started.sandbox, machine=started.machine)
    transaction.run("record_handle", token=started.task, handle=started.handle)


def record_media(transaction: Transaction, *, source: str, media: Media) -> None:
    transaction.run("record_media", source=source, media=msgspec.json.encode(media).decode())


def refuse_source(transaction: Transaction, *, source: str, error: str, now: float, away: bool = False) -> None:
    """Records that the source cannot be used, or is `away`: what waits for it fails with it."""
    if away:
        transaction.run("record_away", source=source)
    transaction.run("record_source_error", source=source, error=error)
    transaction.run("fail_queued_of_source", source=source, error=error, now=now)


def unsettle_source(transaction: Transaction, *, source: str) -> None:
    """Has a source that was written to while it was encoded read again, once it is left alone."""
    transaction.run("unsettle_source", source=source)


def settle_source(transaction: Transaction, *, source: str, identity: Identity) -> None:
    """Records what a source is, now that nobody writes to it any more."""
    size, _, _, modified = identity
    transaction.run("settle_source", source=source, bytes=size, modified=modified)


def record_proof(transaction: Transaction, *, variation: int, attempt: int, proof: Proof) -> bool:
    """Says which file is about to be published. False: it was cancelled, or the attempt is not its last."""
    encoded = msgspec.json.encode(proof).decode()
    return bool(transaction.run("record_proof", variation=variation, attempt=attempt, proof=encoded))


def complete(transaction: Transaction, *, variation: int, attempt: int, proof: Proof, now: float) -> bool:
    """Marks a published variation completed. False: a cancel came first, or the attempt is not its last."""
    done = transaction.run(
        "complete",
        variation=variation,
        attempt=attempt,
        now=now,
        bytes=proof.bytes,
        sha256=proof.sha256,
        output_seconds=proof.output_seconds,
        cpu_seconds=proof.cpu_seconds,
        speed=proof.speed,
        quality=msgspec.json.encode(proof.quality).decode() if proof.quality else None,
        chosen=msgspec.json.encode(proof.chosen).decode(),
        contents=msgspec.json.encode(proof.contents).decode() if proof.contents else None,
    )
    if done:
        transaction.run("end_attempt", variation=variation, now=now)
        transaction.run("drop_all_pieces", variation=variation)
    return bool(done)


class Verdict(Model, frozen=True):
    """A verdict is what becomes of a variation whose attempt came to nothing."""

    status: State
    error: str | None
    retries: int
    crashes: int
    not_before: float | None = None
    alone: bool = False
    waiting: str | None = None
    space_needed: int | None = None
    keep: bool = False  # its pieces, for a retry
    anew: str | None = None  # why they are of no use any more


class Failure(Model, frozen=True):
    """A failure is why an attempt came to nothing. One that may pass is tried again up to `retries` times.

    `alone`: its company, or its pieces, may have been at fault, and it is tried again by itself at once. With `space`
    it is no failure but a full disk: the work waits, however long, until so many bytes are free. `ours`: it says
    nothing of the source, nor of what was asked. `unread`: the source was out of reach.
    """

    error: str
    retries: int = 0
    alone: bool = False
    space: int | None = None
    ours: bool = False
    unread: bool = False

    @property
    def keeps(self) -> bool:
        """Tells whether a retry may make what failed of it, and is to go on with what was encoded."""
        return self.ours or self.unread or self.retries > 0


def failure_of(ended: Ended, *, sharing: int) -> Failure:
    """Says why the process came to nothing. Those that shared it are tried each by itself: one may have failed all."""
    assert ended.error is not None
    if sharing > 1:
        return Failure(error=ended.error, alone=True)
    return Failure(error=ended.error, retries=MAX_RETRIES if ended.may_pass else 0, unread=ended.unread)


INTERRUPTED = None  # in place of a Failure: the daemon stopped, so the work goes back to the queue


def abandon(
    transaction: Transaction,
    *,
    variation: int,
    attempt: int,
    now: float,
    failure: Failure | None,
    away: str | None = None,
    cpu_seconds: float = 0.0,
    crashed: bool = False,
    retry_delay: float = 0.0,
) -> bool:
    """Ends an attempt that came to nothing; `crashed` if it was the daemon that died. Requests overrule it.

    `away` is its source, if that is out of reach by now. Returns whether its pieces are to be gone on with.
    """
    row = transaction.one("in_flight", variation=variation, attempt=attempt)
    if row is None:
        return False
    verdict = judge(row, failure=failure, crashed=crashed, now=now, retry_delay=retry_delay)
    going_on = _goes_on(row, verdict)
    # What was spent comes first: the job may end with the abandoning.
    spent = {"variation": variation, "attempt": attempt, "cpu_seconds": cpu_seconds}
    if not transaction.run("record_cpu_of_piece", **spent):
        transaction.run("discard_cpu", job=row["job"], cpu_seconds=cpu_seconds)
    if not going_on:
        if anew := verdict.anew or (NO_ROOM if verdict.space_needed is not None else None):
            transaction.run("tell_begun_anew", variation=variation, why=anew)
        piece_rows.discard_all(transaction, variation)
    if away is not None:
        transaction.run("record_away", source=away)
    transaction.run("abandon", variation=variation, now=now, **msgspec.structs.asdict(verdict))
    transaction.run("end_attempt", variation=variation, now=now)
    return going_on


def _goes_on(row: Row, verdict: Verdict) -> bool:
    if verdict.space_needed is not None or verdict.anew:
        return False
    return verdict.status is State.QUEUED or verdict.keep or _is_kept(row)


def may_go_on(transaction: Transaction, *, variation: int, attempt: int) -> bool:
    """Tells whether nobody asked to end it, or to keep its pieces when it ends."""
    row = transaction.one("in_flight", variation=variation, attempt=attempt)
    requested = row is None or row["cancel_requested_at"] is not None or row["fail_requested_at"] is not None
    return not requested or _is_kept(row)


def _is_kept(row: Row | None) -> bool:
    """Whether its cancel is to keep its pieces."""
    return row is not None and bool(row["keep_partial"]) and row["cancel_requested_at"] is not None


def judge(row: Row, *, failure: Failure | None, crashed: bool, now: float, retry_delay: float) -> Verdict:
    """Judges by a requested cancel or force-fail; then by too many crashes; then by whether another try is worth it."""
    retries, crashes = row["retries"], row["crashes"] + crashed
    if row["cancel_requested_at"] is not None:
        return Verdict(status=State.CANCELLED, error=None, retries=retries, crashes=crashes)
    if row["fail_requested_at"] is not None:
        return Verdict(status=State.FAILED, error=FORCED, retries=retries, crashes=crashes)
    if crashes >= MAX_CRASHES:
        words = (
            f"the daemon died {crashes} times while this was being encoded, at last by itself: it is tried again only "
            "when that is asked (retry)"
        )
        failed = Verdict(status=State.FAILED, error=words, retries=retries, crashes=crashes)
        return replace(failed, anew=STUCK) if _is_stuck(row) else replace(failed, keep=bool(row["begun"]))
    if failure is None:
        queued = Verdict(status=State.QUEUED, error=None, retries=retries, crashes=crashes)
        return _kept_apart(queued, now) if crashed and crashes >= SUSPECT_AFTER else queued
    if failure.space is not None:
        queued = Verdict(status=State.QUEUED, error=None, retries=retries, crashes=crashes, not_before=now + ASIDE)
        return replace(queued, waiting=failure.error, space_needed=failure.space)
    if failure.alone:
        return Verdict(status=State.QUEUED, error=None, retries=retries, crashes=crashes, alone=True)
    if retries < failure.retries:
        later = now + retry_delay * RETRY_GROWTH**retries
        return Verdict(status=State.QUEUED, error=failure.error, retries=retries + 1, crashes=crashes, not_before=later)
    if failure.keeps and not failure.unread and _is_stuck(row):
        return Verdict(status=State.QUEUED, error=None, retries=0, crashes=crashes, anew=STUCK)
    keep = failure.keeps and bool(row["begun"])
    return Verdict(status=State.FAILED, error=failure.error, retries=retries, crashes=crashes, keep=keep)


def _is_stuck(row: Row) -> bool:
    """Whether it failed before where it fails now, with pieces that were there already."""
    going_on, failed = row["resumed_seconds"], row["stuck_at"]
    return going_on is not None and failed is not None and going_on < failed + piece_rows.GOT_ON


def _kept_apart(suspect: Verdict, now: float) -> Verdict:
    """It waits longer each time: what kills the daemon again and again may have nothing to do with it, and pass."""
    words = f"the daemon died {suspect.crashes} times while this was being encoded: it waits a while, then runs alone"
    patience = min(ASIDE, 2.0 ** (suspect.crashes - SUSPECT_AFTER))
    return replace(suspect, waiting=words, not_before=now + patience)
