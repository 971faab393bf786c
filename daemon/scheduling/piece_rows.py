"""Records what the database knows of films in pieces: what is encoded of each, and how much of it is on the disk.

Each function is one step within a transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from daemon.database.store import Row, Transaction
from daemon.encode.task import Durable, Kept
from daemon.host import boot_id

GOT_ON = 5.0  # seconds of a film, after which retries count anew: a moment is encoded by whatever fails again at once


def record_piece(
    transaction: Transaction, *, variation: int, attempt: int, begins: float, begun_with: str, span: int = 0
) -> None:
    """The attempt is about to write a piece of a film, from that second on."""
    mine = {"variation": variation, "span": span, "attempt": attempt}
    transaction.run("record_piece", begins=begins, begun_with=begun_with, boot=boot_id(), **mine)


def record_resumed(transaction: Transaction, *, variation: int, seconds: float, anew: str | None = None) -> None:
    """So much of a film need not be encoded any more. `anew` is why it does not go on."""
    transaction.run("record_resumed", variation=variation, seconds=seconds, enough=GOT_ON, anew=anew)


def record_durable(durable: Durable, transaction: Transaction, *, span: int = 0) -> None:
    """So much of each piece is on the disk, whatever happens; those of one process took its CPU time together."""
    spent = durable.cpu_seconds / max(1, len(durable.kept))
    for variation, kept in durable.kept.items():
        how_far = {"seconds": durable.seconds, "bytes": kept.bytes, "checksum": kept.checksum}
        transaction.run("record_durable", variation=variation, span=span, cpu_seconds=spent, **how_far)


def record_kept(transaction: Transaction, *, variation: int, span: int, attempt: int, kept: Kept) -> None:
    """All that there is of a piece which is gone on with is on the disk."""
    mine = {"variation": variation, "span": span, "attempt": attempt}
    transaction.run("record_kept", bytes=kept.bytes, checksum=kept.checksum, **mine)


def record_whole(
    transaction: Transaction, *, variation: int, span: int, attempt: int, seconds: float, cpu_seconds: float = 0.0
) -> None:
    """The piece ends where its span does, at that second of the film."""
    mine = {"variation": variation, "span": span, "attempt": attempt}
    transaction.run("record_whole", seconds=seconds, cpu_seconds=cpu_seconds, **mine)


def pieces_of(transaction: Transaction, *, variation: int) -> list[Row]:
    return transaction.all("pieces_of", variation=variation)


def drop_pieces(transaction: Transaction, *, variation: int, span: int, attempts: Sequence[int]) -> None:
    mine = {"variation": variation, "span": span, "attempts": msgspec.json.encode(attempts).decode()}
    transaction.run("discard_cpu_of_pieces", **mine)
    transaction.run("drop_pieces", **mine)


def discard_all(transaction: Transaction, variation: int) -> None:
    """Nothing comes of what is encoded of that film."""
    transaction.run("discard_cpu_of_pieces", variation=variation, span=0, attempts=None)
    transaction.run("drop_all_pieces", variation=variation)
    transaction.run("forget_resumed", variation=variation)


def refuse_pieces(transaction: Transaction, *, variation: int, why: str) -> None:
    """Has a film be encoded whole from now on, since its pieces did not fit."""
    transaction.run("refuse_pieces", variation=variation, why=why)
    discard_all(transaction, variation)


def drop_needless_pieces(transaction: Transaction, *, jobs: Sequence[int]) -> list[tuple[str, str]]:
    """Forgets pieces that nothing will come of. Returns job and variation of each, whose files are to be removed."""
    rows = transaction.all("needless_pieces", jobs=msgspec.json.encode(jobs).decode())
    for row in rows:
        discard_all(transaction, row["seq"])
    return [(row["job"], row["id"]) for row in rows]
