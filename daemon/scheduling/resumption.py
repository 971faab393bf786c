"""Finds what is there of a film that was interrupted, and says from where it goes on.

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
from itertools import zip_longest
from pathlib import Path

import msgspec

from daemon.database.store import Row
from daemon.encode.durability import is_unchanged, synced
from daemon.encode.task import Kept
from daemon.errors import ProbeError, ProofError
from daemon.host import boot_id
from daemon.media.model import PieceContent
from daemon.paths import remove
from daemon.proof import prove
from daemon.recipes.pieces import RECIPES, SOUND
from daemon.recipes.recipe import Begin, Piece, Plan
from daemon.scheduling import claims
from daemon.scheduling.claims import Claim
from daemon.scheduling.resources import Resources

log = logging.getLogger(__name__)

ALIKE = 0.001  # seconds
OTHERS = "its source, its parameters, the encoder or ffspool are not those that an earlier attempt had begun with"
UNREADABLE = "what an earlier attempt had encoded cannot be read"
DAMAGED = "what an earlier attempt had encoded is not on the disk as it was written: see to the disk"
SHORT = "what an earlier attempt had encoded was too little to go on with, or not on the disk yet"
LITTLE = 30.0  # seconds of film, of which there may be nothing yet to go on with


class Resumption:
    """Holds one film in pieces, from those that earlier attempts left to the one that this attempt writes."""

    def __init__(self, resources: Resources, claim: Claim) -> None:
        self._resources = resources
        self._claim = claim
        self.begin = Begin()
        self._earlier: list[Piece] = []
        self._headers: str | None = None
        self._pictures: tuple[int, ...] = ()  # of each size in all pieces, as far as they are used

    @property
    def path(self) -> Path:
        """Says where this attempt writes its piece."""
        return self._path(self._claim.attempt)

    async def begin_anew_or_go_on(self) -> None:
        """Finds what may be used, removes what may not, and records the piece that is to come."""
        rows = await self._resources.store.read(partial(claims.pieces_of, variation=self._claim.seq))
        anew = None
        for number, row in enumerate(rows):
            taken, broken = False, None
            try:
                taken = await self._take(row)
            except ProofError as error:
                broken = str(error)
            except (ProbeError, OSError):
                broken = UNREADABLE
            if not taken:
                await self._forget(rows[number:])
                anew = self._why_not(row, broken)
                break
        await self._resources.store.write(
            partial(
                claims.record_piece,
                variation=self._claim.seq,
                attempt=self._claim.attempt,
                begins=self.begin.seconds,
                begun_with=self._begun_with(),
                anew=anew,
            )
        )

    async def pieces(self) -> tuple[Piece, ...]:
        """Returns all of them, now that this attempt's is there, too. Raises ProbeError when that cannot be read,
        and ProofError when it does not fit those before, or any is not as it was written."""
        for row in await self._resources.store.read(partial(claims.pieces_of, variation=self._claim.seq)):
            await self._check_unchanged(row)
        content = await self._resources.prober.extent(self.path)
        self._check_headers(content)
        self._count(content.pictures)
        heard = None if self._earlier else await self._heard()
        return (*self._earlier, Piece(name=self.path.name, begins=self._begins(content), heard=heard))

    async def _heard(self) -> float | None:
        """Second of the film from which the sound beside the picture is heard; None: it is taken from the source."""
        try:
            return (await self._resources.prober.extent(self.path.with_name(self.path.name + SOUND))).begins
        except ProbeError:  # such as that there is none
            return None

    def _count(self, pictures: tuple[int, ...]) -> None:
        self._pictures = tuple(map(sum, zip_longest(self._pictures, pictures, fillvalue=0)))

    async def prove_joints(self, part: Path, plan: Plan) -> None:
        """Raises ProofError when the film has other pictures than its pieces, which tell where each begins."""
        if not self._earlier:
            return
        found = await prove.pictures(self._resources.prober, part, plan)
        if found != self._pictures:
            told, meant = (" and ".join(map(str, count)) for count in (found, self._pictures))
            raise ProofError(f"joined from pieces it has {told} pictures instead of {meant}")

    async def give_up(self, why: str) -> None:
        """Removes all pieces: what came of them is not what was planned, so the film is encoded whole."""
        await self._forget(await self._resources.store.read(partial(claims.pieces_of, variation=self._claim.seq)))
        await self._resources.store.write(partial(claims.refuse_pieces, variation=self._claim.seq, why=why))

    def _path(self, attempt: int) -> Path:
        return self._resources.paths.piece(self._claim.job, self._claim.id, attempt)

    async def _take(self, row: Row) -> bool:
        """Whether the piece is gone on with. Raises ProbeError or OSError when it cannot be read, ProofError when it is
        not as it was written."""
        if row["begun_with"] != self._begun_with() or abs(row["begins"] - self.begin.seconds) > ALIKE:
            return False
        path = self._path(row["attempt"])
        if row["boot"] != boot_id():
            await asyncio.to_thread(os.truncate, path, row["bytes"])
        await self._check_unchanged(row)
        try:
            content = await self._resources.prober.piece(path, self._claim.media)
        except ProbeError:  # what is encoded is worth a second try, whatever became of the first reader
            content = await self._resources.prober.piece(path, self._claim.media)
        if not self._append(path.name, content):
            return False
        await self._keep(row)
        return True

    async def _check_unchanged(self, row: Row) -> None:
        """Raises ProofError when what was known to be on the disk of the piece is not what is there now."""
        if row["checksum"] is None:
            return
        kept = Kept(bytes=row["bytes"], checksum=row["checksum"])
        if not await asyncio.to_thread(is_unchanged, self._path(row["attempt"]), kept):
            raise ProofError(DAMAGED)

    async def _keep(self, row: Row) -> None:
        """Has all of a piece be on the disk, and a row tell it: what is encoded from now on begins with its end."""
        before = Kept() if row["checksum"] is None else Kept(bytes=row["bytes"], checksum=row["checksum"])
        kept = await asyncio.to_thread(synced, self._path(row["attempt"]), before)
        mine = {"variation": self._claim.seq, "attempt": row["attempt"]}
        await self._resources.store.write(partial(claims.record_kept, kept=kept, **mine))

    def _why_not(self, row: Row, broken: str | None) -> str | None:
        """Why a film begins anew whose first piece is that one, which the log has, too; None: it goes on."""
        same = row["begun_with"] == self._begun_with()
        short = row["seconds"] < (ALIKE if broken else LITTLE)
        words = (SHORT if short else broken or UNREADABLE) if same else OTHERS
        where = f"from {self.begin.seconds:.3f} s on" if self._earlier else "from the beginning"
        log.info("%s is encoded %s: %s", self._claim.id, where, words)
        return None if self._earlier else words

    def _check_headers(self, content: PieceContent) -> None:
        """Decoders are told what they must know by the first piece alone. Raises ProofError."""
        if self._headers not in {None, content.headers}:
            raise ProofError("a piece of the film is encoded in another way than the one before")
        self._headers = content.headers

    def _append(self, name: str, content: PieceContent) -> bool:
        cut = content.cut
        if cut is None:
            return False
        try:
            self._check_headers(content)
            begins = self._begins(content)
        except ProofError:
            return False
        self._count(cut.pictures)
        self._earlier.append(Piece(name=name, begins=begins, lasts=cut.seconds, until=cut.decoded))
        ends = begins + cut.seconds
        warm = max(0.0, begins + cut.warm - content.begins - ALIKE)
        self.begin = Begin(ends, warm, ends - self._earlier[0].begins, self._pictures[0])
        return True

    def _begins(self, content: PieceContent) -> float:
        """Seconds of the film at which a piece begins. Raises ProofError when that is not where it was to."""
        if not self._earlier:
            return content.begins
        if abs(content.begins) > ALIKE:
            raise ProofError(f"a piece of the film begins {content.begins:.3f} s off the end of the one before")
        return self.begin.seconds

    async def _forget(self, rows: Sequence[Row]) -> None:
        for row in rows:
            await asyncio.to_thread(remove, self._path(row["attempt"]))
        attempts = [row["attempt"] for row in rows]
        await self._resources.store.write(partial(claims.drop_pieces, variation=self._claim.seq, attempts=attempts))

    def _begun_with(self) -> str:
        """Names all that decides about the bytes of a piece."""
        claim = self._claim
        source = claim.recorded.bytes, claim.recorded.modified, claim.media.fingerprint
        decisive = (RECIPES, self._resources.encoder, self._resources.base(claim), claim.parameters, source)
        return hashlib.sha256(msgspec.json.encode(decisive, order="sorted")).hexdigest()
