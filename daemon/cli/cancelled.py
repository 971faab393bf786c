"""Says in words what a cancel did and how long it took, as its receipt tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from daemon.plaintext import visible

Json = dict[str, Any]

BESIDE = 1.0  # seconds that a cancel may take beside its encoders' ends, before they are told


def told(receipt: Json) -> str:
    """Returns a line of what a cancel, or a fail, did."""
    from daemon.cli.terminal import size

    completed, total = receipt["completed_variations"], receipt["total_variations"]
    kept, name = f"{completed} of {total} completed are kept", known_by(receipt)
    if receipt["status"] not in {"cancelled", "failed"}:
        mixed = receipt["status"] == "completed" and completed < total
        return f"{name} is {'over already' if mixed else receipt['status']}: {kept}"
    if not receipt["changed"]:
        return f"{name} was {receipt['status']} before: {kept}"
    stopped = _stopped(receipt["stopped"])
    freed = f"; {size(receipt['bytes_freed'])} freed"
    let_go = f"; what was encoded of films is kept no longer{freed}" if receipt["bytes_freed"] else ""
    ended = f"; encoders ended: {stopped}{_whole(receipt)}{freed}" if stopped else let_go
    films = sum(one["seconds"] for one in receipt["kept"])
    partly = (
        f"; {films:.0f} s of film are kept for `ffspool retry {receipt.get('job') or receipt['id']}`" if films else ""
    )
    return f"{name} is {receipt['status']}: {kept}{ended}{partly}"


def known_by(answer: Json) -> str:
    """Returns its identifier, and its name as far as the daemon tells it: an older one does not."""
    title = visible(answer.get("title") or "")
    return f"{answer['id']} ({title})" if title else str(answer["id"])


def _stopped(stops: Sequence[Json]) -> str:
    """How each encoder ended; those alike once, as those of variations are that shared one."""
    alike = Counter(f"{stop['stage']} in {stop['seconds']:.2f} s" for stop in stops)
    return ", ".join(words + (f" ({count} variations)" if count > 1 else "") for words, count in alike.items())


def _whole(receipt: Json) -> str:
    """How long all of it took, where that is longer than its encoders took to end: the host was busy with others."""
    asked, done = receipt["cancel_requested_at"], receipt["cancelled_at"]
    if not (asked and done):
        return ""
    took = (datetime.fromisoformat(done) - datetime.fromisoformat(asked)).total_seconds()
    longest = max(stop["seconds"] for stop in receipt["stopped"])
    return f", all of it in {took:.1f} s" if took > longest + BESIDE else ""
