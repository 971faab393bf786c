"""Records what the database knows of films in pieces: what is encoded of each, and how much of it is on the disk.

Each function is one step within a transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from daemon.database.store import Row, Transaction
from daemon.encode.task import Durable, Kept
from daemon.host import boot_id
from daemon.paths import Paths
from daemon.recipes.pieces import sound_beside

GOT_ON = 5.0  # seconds of a film, after which retries count anew: a moment is encoded by whatever fails again at once


def record_piece(
    transaction: Transaction,
    *,
    variation: int,
    number: int,
    attempt: int,
    begins: float,
    begun_with: str,
    span: int = 0,
) -> None:
    """The attempt is about to write a piece of a film, from that second on."""
    mine = {"variation": variation, "span": span, "number": number, "attempt": attempt}
    transaction.run("record_piece", begins=begins, begun_with=begun_with, boot=boot_id(), **mine)


def record_resumed(
    transaction: Transaction,
    *,
    variation: int,
    seconds: float,
    anew: str | None = None,
    span_seconds: float | None = None,
) -> int:
    """So much of a film need not be encoded any more. `anew` is why it does not go on; where it is in several spans
    `span_seconds` is what they were made by.

    Returns how many deaths of the daemon are held against it from now on.
    """
    how = {"anew": anew, "span_seconds": span_seconds}
    row = transaction.one("record_resumed", variation=variation, seconds=seconds, enough=GOT_ON, **how)
    return row["crashes"] if row else 0


def record_durable(durable: Durable, transaction: Transaction, *, numbers: Mapping[str, int], span: int = 0) -> None:
    """So much of each piece is on the disk, whatever happens; those of one process took its CPU time together.

    `numbers` has by variation that of its piece.
    """
    spent = durable.cpu_seconds / max(1, len(durable.kept))
    for variation, kept in durable.kept.items():
        which = {"variation": variation, "span": span, "number": numbers[variation]}
        how_far = {"seconds": durable.seconds, "bytes": kept.bytes, "checksum": kept.checksum}
        transaction.run("record_durable", cpu_seconds=spent, **which, **how_far)


def record_kept(transaction: Transaction, *, variation: int, span: int, number: int, kept: Kept) -> None:
    """All that there is of a piece which is gone on with is on the disk."""
    which = {"variation": variation, "span": span, "number": number}
    transaction.run("record_kept", bytes=kept.bytes, checksum=kept.checksum, **which)


def record_whole(
    transaction: Transaction,
    *,
    variation: int,
    span: int,
    number: int,
    seconds: float,
    kept: Kept,
    sound_bytes: int,
    cpu_seconds: float = 0.0,
) -> None:
    """The piece ends where its span does, at that second of the film, and all of it is on the disk. So much has the
    sound beside it.
    """
    which = {"variation": variation, "span": span, "number": number}
    how_far = {"seconds": seconds, "bytes": kept.bytes, "checksum": kept.checksum}
    transaction.run("record_whole", cpu_seconds=cpu_seconds, sound_bytes=sound_bytes, **which, **how_far)


def pieces_of(transaction: Transaction, *, variation: int) -> list[Row]:
    return transaction.all("pieces_of", variation=variation)


def files_of(transaction: Transaction, *, paths: Paths, job: str, variation: str, seq: int) -> set[Path]:
    """Returns what there is of a film that may be gone on with: its pieces, and the sound beside one that is whole."""
    rows = pieces_of(transaction, variation=seq)
    pieces = [(paths.piece(job, variation, row["number"], row["span"]), row) for row in rows]
    return {path for path, _ in pieces} | {sound_beside(path) for path, row in pieces if row["sound_bytes"]}


def drop_pieces(transaction: Transaction, *, variation: int, span: int, numbers: Sequence[int], before: int) -> None:
    """Forgets pieces. What attempts `before` that one had spent on them is discarded; its own it tells at its end."""
    which = {"variation": variation, "span": span, "numbers": msgspec.json.encode(numbers).decode()}
    transaction.run("discard_cpu_of_pieces", before=before, **which)
    transaction.run("drop_pieces", **which)


def discard_all(transaction: Transaction, variation: int) -> None:
    """Nothing comes of what is encoded of that film."""
    transaction.run("discard_cpu_of_pieces", variation=variation, span=0, numbers=None, before=None)
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
