"""Says in words what a cancel did and how long it took, as its receipt tells."""

from __future__ import annotations

from datetime import datetime
from typing import Any

Json = dict[str, Any]

BESIDE = 1.0  # seconds that a cancel may take beside its encoders' ends, before they are told


def told(receipt: Json) -> str:
    """Returns a line of what a cancel, or a fail, did."""
    from daemon.cli.terminal import size

    kept = f"{receipt['completed_variations']} of {receipt['total_variations']} completed are kept"
    if receipt["status"] not in {"cancelled", "failed"}:
        return f"{receipt['id']} is {receipt['status']}: {kept}"
    if not receipt["changed"]:
        return f"{receipt['id']} was {receipt['status']} before: {kept}"
    stopped = ", ".join(f"{stop['stage']} in {stop['seconds']:.2f} s" for stop in receipt["stopped"])
    ended = f"; encoders ended: {stopped}{_whole(receipt)}; {size(receipt['bytes_freed'])} freed" if stopped else ""
    films = sum(one["seconds"] for one in receipt["kept"])
    partly = f"; {films:.0f} s of film are kept for `ffspool retry {receipt['id']}`" if films else ""
    return f"{receipt['id']} is {receipt['status']}: {kept}{ended}{partly}"


def _whole(receipt: Json) -> str:
    """How long all of it took, where that is longer than its encoders took to end: the host was busy with others."""
    asked, done = receipt["cancel_requested_at"], receipt["cancelled_at"]
    if not (asked and done):
        return ""
    took = (datetime.fromisoformat(done) - datetime.fromisoformat(asked)).total_seconds()
    longest = max(stop["seconds"] for stop in receipt["stopped"])
    return f", all of it in {took:.1f} s" if took > longest + BESIDE else ""
