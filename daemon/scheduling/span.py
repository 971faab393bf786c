"""Finds what is there of a span of a film that was interrupted, and says from where it goes on.

A piece is used only if its source, recipe, parameters, encoder and ffspool's own recipes are those it was begun with,
and only as far as it can be read again; after a reboot, as far as it was known to be on the disk. What cannot be used
is removed, and so is what came after it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from daemon.database.store import Row
from daemon.encode.durability import is_unchanged, synced
from daemon.encode.task import Kept
from daemon.errors import ProbeError, ProofError
from daemon.host import boot_id
from daemon.journal import tell
from daemon.media.model import PieceContent
from daemon.paths import remove, size
from daemon.recipes import command
from daemon.recipes.pieces import RECIPES, sound_beside
from daemon.recipes.recipe import Begin, Piece
from daemon.scheduling import piece_rows
from daemon.scheduling.claims import Claim
from daemon.scheduling.resources import Resources

log = logging.getLogger(__name__)

ALIKE = 0.001  # seconds
OTHERS = "its source, its parameters, the encoder or ffspool are not those that an earlier attempt had begun with"
UNREADABLE = "what an earlier attempt had encoded cannot be read"
DAMAGED = "what an earlier attempt had encoded is not on the disk as it was written: see to the disk"
VANISHED = (
    "what an earlier attempt had encoded is not there any more, nor its folder, as after a restore without the spool"
)
SHORT = "what an earlier attempt had encoded was too little to go on with, or not on the disk yet"
OTHERWISE = "a piece of the film is encoded in another way than the one before"
WHOLE = Begin()
LITTLE = 30.0  # seconds of film, of which there may be nothing yet to go on with


class Span:
    """Holds the pieces of one span of a film, from those that earlier attempts left to the one that is written now.

    Where nothing else is said the span is all of the film.
    """

    def __init__(self, resources: Resources, claim: Claim, begin: Begin = WHOLE) -> None:
        self._resources = resources
        self._claim = claim
        self.bounds = begin  # where it begins, and ends
        self.begin = begin  # of what is still to be encoded
        self.whole = False  # nothing is
        self.pieces: list[Piece] = []
        self.pictures: list[tuple[int, ...]] = []  # of each size in each piece, as far as they are used
        self.headers: str | None = None
        self.latest = 0  # number of the piece that was begun last

    @property
    def number(self) -> int:
        """Returns which of the film's spans it is."""
        return self.bounds.span

    def next_piece(self) -> int:
        """Returns the number of a piece that is to be begun."""
        self.latest += 1
        return self.latest

    def path(self, piece: int) -> Path:
        """Says where a piece lies."""
        return self._resources.paths.piece(self._claim.job, self._claim.id, piece, self.number)

    async def find(self, rows: Sequence[Row]) -> str | None:
        """Finds what may be used of these pieces, and removes what may not. Returns why nothing may, if so."""
        self.latest = max([self.latest, *(row["number"] for row in rows)])
        for number, row in enumerate(rows):
            taken, broken = False, None
            try:
                taken = await self._take(row)
            except ProofError as error:
                broken = str(error)
            except (ProbeError, OSError):
                broken = UNREADABLE
            if not taken:
                await self.forget([row["number"] for row in rows[number:]])
                return self._why_not(row, broken)
        return None

    async def go_on(self, piece: int) -> None:
        """Has what follows begin where a piece of this attempt's ends that nobody writes any more."""
        row = await self._row(piece)
        await self.find([row] if row else [])

    def end(self, until: float | None) -> None:
        """Has it end where another span begins."""
        self.bounds = msgspec.structs.replace(self.bounds, until=until)
        self.begin = msgspec.structs.replace(self.begin, until=until)

    async def write(self, piece: int) -> None:
        """Records a piece that is to come."""
        await asyncio.to_thread(remove, self.path(piece))
        await self._resources.store.write(
            partial(
                piece_rows.record_piece,
                variation=self._claim.seq,
                span=self.number,
                number=piece,
                attempt=self._claim.attempt,
                begins=self.begin.seconds,
                begun_with=self._begun_with(),
            )
        )

    async def finish(self, piece: int, seconds: float, cpu_seconds: float = 0.0) -> None:
        """Adds a piece that an encoder wrote, up to that second of the film, where its span ends.

        Raises ProbeError when it cannot be read, and ProofError when it does not fit those before. A crash while it is
        read, which may take long, costs nothing of it.
        """
        kept = await asyncio.to_thread(synced, self.path(piece), _kept(await self._row(piece)))
        await self._resources.store.write(
            partial(
                piece_rows.record_whole,
                variation=self._claim.seq,
                span=self.number,
                number=piece,
                seconds=seconds,
                kept=kept,
                sound_bytes=await asyncio.to_thread(size, sound_beside(self.path(piece))),
                cpu_seconds=cpu_seconds,
            )
        )
        await self._add_last(self.path(piece))

    async def _add_last(self, path: Path) -> None:
        content, heard = await asyncio.gather(self._resources.prober.extent(path), self._heard(path))
        self._check_headers(content)
        begins = self._begins(content)
        self.pictures.append(content.pictures)
        self.pieces.append(Piece(name=path.name, begins=begins, heard=heard))
        self.whole = True

    async def _heard(self, path: Path) -> float | None:
        """Second of the film from which the sound beside the picture is heard; None: it is taken from the source."""
        if self.begin.seconds:
            return None
        try:
            return (await self._resources.prober.extent(sound_beside(path))).begins
        except ProbeError:  # such as that there is none
            return None

    async def _take(self, row: Row) -> bool:
        """Whether the piece is gone on with. Raises ProbeError or OSError when it cannot be read, ProofError when it is
        not as it was written."""
        if row["begun_with"] != self._begun_with() or abs(row["begins"] - self.begin.seconds) > ALIKE:
            return False
        path = self.path(row["number"])
        if not await asyncio.to_thread(path.parent.is_dir):
            raise ProofError(VANISHED)
        if row["boot"] != boot_id():
            await asyncio.to_thread(os.truncate, path, row["bytes"])
        await self.check_unchanged(row)
        if row["whole"]:
            if row["boot"] != boot_id() and row["sound_bytes"]:  # which nobody has synced, and is soon made anew
                await asyncio.to_thread(remove, sound_beside(path))
                await self._keep(row)
            await self._add_last(path)
            self.end(row["seconds"])
            return True
        try:
            content = await self._resources.prober.piece(path, self._claim.media)
        except ProbeError:  # what is encoded is worth a second try, whatever became of the first reader
            content = await self._resources.prober.piece(path, self._claim.media)
        if not self._append(path.name, content):
            return False
        await self._keep(row)
        return True

    async def check_unchanged(self, row: Row) -> None:
        """Raises ProofError when what was known to be on the disk of the piece is not what is there now."""
        if row["checksum"] is None:
            return
        if not await asyncio.to_thread(is_unchanged, self.path(row["number"]), _kept(row)):
            raise ProofError(DAMAGED)

    async def _keep(self, row: Row) -> None:
        """Has all of a piece be on the disk, and a row tell it: what is encoded from now on begins with its end."""
        kept = await asyncio.to_thread(synced, self.path(row["number"]), _kept(row))
        mine = partial(piece_rows.record_kept, variation=self._claim.seq, span=self.number)
        await self._resources.store.write(partial(mine, number=row["number"], kept=kept))

    async def _row(self, piece: int) -> Row | None:
        rows = await self._resources.store.read(partial(piece_rows.pieces_of, variation=self._claim.seq))
        return next((row for row in rows if (row["span"], row["number"]) == (self.number, piece)), None)

    def _why_not(self, row: Row, broken: str | None) -> str | None:
        """Why a film begins anew whose first piece is that one, which the log has, too; None: it goes on."""
        same = row["begun_with"] == self._begun_with()
        short = row["seconds"] - self.bounds.seconds < (ALIKE if broken else LITTLE)
        words = (SHORT if short else broken or UNREADABLE) if same else OTHERS
        where = f"from {self.begin.seconds:.3f} s on" if self.begin.seconds else "from the beginning"
        of = {"job": self._claim.job, "variation": self._claim.id}
        tell(log, logging.INFO, f"variation is encoded {where}", **of, error=words)
        return None if self.pieces else words

    def _check_headers(self, content: PieceContent) -> None:
        """Decoders are told what they must know by the first piece alone. Raises ProofError."""
        if self.headers not in {None, content.headers}:
            raise ProofError(OTHERWISE)
        self.headers = content.headers

    def _append(self, name: str, content: PieceContent) -> bool:
        cut = content.cut
        if cut is None:
            return False
        try:
            self._check_headers(content)
            begins = self._begins(content)
        except ProofError:
            return False
        self.pictures.append(cut.pictures)
        self.pieces.append(Piece(name=name, begins=begins, lasts=cut.seconds, until=cut.decoded))
        ends = begins + cut.seconds
        warm = max(0.0, begins + cut.warm - content.begins - ALIKE)
        after = self.bounds.after + ends - self.pieces[0].begins
        pictures = self.bounds.pictures + sum(best for best, *_ in self.pictures)
        self.begin = Begin(ends, warm, after, pictures, until=self.bounds.until, span=self.number)
        return True

    def _begins(self, content: PieceContent) -> float:
        """Seconds of the film at which a piece begins. Raises ProofError when that is not where it was to."""
        if not self.pieces:
            return self.bounds.seconds + content.begins
        if abs(content.begins) > ALIKE:
            raise ProofError(f"a piece of the film begins {content.begins:.3f} s off the end of the one before")
        return self.begin.seconds

    async def forget(self, pieces: Sequence[int]) -> None:
        """Removes pieces of which nothing will come."""
        dropping = partial(piece_rows.drop_pieces, variation=self._claim.seq, span=self.number, numbers=pieces)
        await self._resources.store.write(partial(dropping, before=self._claim.attempt))
        for path in map(self.path, pieces):
            await asyncio.to_thread(remove, path)
            await asyncio.to_thread(remove, sound_beside(path))

    def _begun_with(self) -> str:
        """Names all that decides about the bytes of a piece."""
        claim, preset = self._claim, self._resources.base(self._claim)
        source = claim.recorded.bytes, claim.recorded.modified, claim.media.fingerprint
        first = command.Output(preset=preset, parameters=claim.parameters, path="", threads=1, begin=WHOLE)
        words = command.command("", claim.media, [first], threads=1)
        decisive = (RECIPES, self._resources.encoder, preset, claim.parameters, source, words)
        return hashlib.sha256(msgspec.json.encode(decisive, order="sorted")).hexdigest()


def _kept(row: Row | None) -> Kept:
    """What a row tells to be on the disk for certain; nothing where it has no checksum, as of an older ffspool."""
    return Kept() if row is None or row["checksum"] is None else Kept(bytes=row["bytes"], checksum=row["checksum"])
