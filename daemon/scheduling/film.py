"""Holds a film that is made in pieces, of one span or of several that are encoded at once, and proves their joints."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path

from msgspec.structs import replace

from daemon.database.store import Row
from daemon.errors import ProofError
from daemon.proof import prove
from daemon.recipes import command
from daemon.recipes.recipe import Begin, Piece, Plan
from daemon.scheduling import piece_rows
from daemon.scheduling.claims import Claim
from daemon.scheduling.resources import Resources
from daemon.scheduling.span import ALIKE, OTHERS, OTHERWISE, Span

log = logging.getLogger(__name__)


class Film:
    """Holds the pieces of one film; `cut` says whether it is to be encoded in several spans, where it can be.

    One that was begun so goes on so.
    """

    def __init__(self, resources: Resources, claim: Claim, *, cut: bool = False) -> None:
        self._resources = resources
        self._claim = claim
        self._cut = cut
        self._span_seconds: float | None = None  # that its spans last at least; None: it is not cut
        self.resumed = 0.0  # seconds of it that were there when this attempt began
        self.crashes = claim.crashes  # of the daemon that are held against it
        self.spans = [Span(resources, claim)]

    @property
    def seconds(self) -> float:
        """Returns how many of the film need not be encoded any more."""
        return sum(self._reached(span) - span.bounds.seconds for span in self.spans)

    def share(self, span: Span) -> float:
        """Returns how much of the film a span is."""
        lasting = self._claim.media.duration_seconds
        return max(0.0, self.end(span) - span.bounds.seconds) / lasting if lasting else 1.0

    def end(self, span: Span) -> float:
        """Returns the second of the film at which a span ends; 0.0 where nobody knows."""
        return span.bounds.until if span.bounds.until is not None else self._claim.media.duration_seconds or 0.0

    @property
    def whole(self) -> bool:
        """Tells whether nothing is left to be encoded."""
        return all(span.whole for span in self.spans)

    async def begin_anew_or_go_on(self) -> None:
        """Finds what may be used and removes what may not."""
        anew = await self._find(await self._rows())
        if self._is_cut_otherwise():
            await self._forget(await self._rows())
            anew = await self._find([]) or OTHERS
        self.resumed = self.seconds
        self.crashes = await self._resources.store.write(
            partial(
                piece_rows.record_resumed,
                variation=self._claim.seq,
                seconds=self.resumed,
                anew=anew,
                span_seconds=self._span_seconds if len(self.spans) > 1 else None,
            )
        )

    async def _find(self, rows: Sequence[Row]) -> str | None:
        """Why nothing of the first span may be used, if so."""
        of_span = {number: list(mine) for number, mine in groupby(rows, itemgetter("span"))}
        first = Span(self._resources, self._claim)
        self.spans = [first]
        anew = await first.find(of_span.pop(0, []))
        self._span_seconds = self._resources.span_seconds if self._cut else None
        if of_span or first.whole:
            self._span_seconds = self._claim.span_seconds or self._resources.span_seconds
        if self._span_seconds is not None:
            await self._find_spans(first, of_span, self._span_seconds)
        return anew

    def _is_cut_otherwise(self) -> bool:
        """Whether a span does not end where the next one begins, since it was encoded when others were."""
        for one, following in pairwise(self.spans):
            ends = following.bounds.seconds
            if abs(self.end(one) - ends) > ALIKE if one.whole else one.begin.seconds > ends - ALIKE:
                return True
        last, lasting = self.spans[-1], self._claim.media.duration_seconds or 0.0
        return last.whole and self.end(last) < lasting - ALIKE

    async def _find_spans(self, first: Span, of_span: dict[int, list[Row]], least: float) -> None:
        reached, resources, claim = self._reached(first), self._resources, self._claim
        after = reached - ALIKE if first.whole else reached + ALIKE  # which leaves a picture to be encoded before
        for begin in command.spans(claim.media, resources.base(claim), claim.parameters, least):
            if begin.span and begin.seconds > after:
                span = Span(resources, claim, begin)
                await span.find(of_span.pop(begin.span, []))
                self.spans.append(span)
        if not first.whole and len(self.spans) > 1:
            first.end(self.spans[1].bounds.seconds)
        await self._forget([row for rows in of_span.values() for row in rows])

    def _reached(self, span: Span) -> float:
        return self.end(span) if span.whole else span.begin.seconds

    async def finish(self, span: Span, piece: int, cpu_seconds: float = 0.0) -> None:
        """Adds what was written of a span. Raises as `Span.finish` does."""
        await span.finish(piece, self.end(span), cpu_seconds)

    async def pieces(self) -> tuple[Piece, ...]:
        """Returns all of them, now that all are there. Raises ProbeError when one cannot be read, and ProofError when
        it does not fit those before, or any is not as it was written.
        """
        numbered = {span.number: span for span in self.spans}
        for row in await self._rows():
            await numbered[row["span"]].check_unchanged(row)
        if len({span.headers for span in self.spans}) > 1:
            raise ProofError(OTHERWISE)
        pieces = [piece for span in self.spans for piece in span.pieces]
        for one, following in pairwise(pieces):
            if following.begins <= one.begins:
                raise ProofError("a piece of the film begins before the one before does")
        befores = [
            one if one.lasts is not None else replace(one, lasts=following.begins - one.begins)
            for one, following in pairwise(pieces)
        ]
        return (*befores, pieces[-1])

    async def prove_joints(self, part: Path, plan: Plan) -> None:
        """Raises ProofError when the film has other pictures from one joint to the next than its pieces have."""
        first, *others = [piece.begins for span in self.spans for piece in span.pieces]
        if not others:
            return
        found = await prove.pictures(self._resources.prober, part, plan, [begins - first for begins in others])
        meant = [pictures for span in self.spans for pictures in span.pictures]
        for begins, has, should in zip((first, *others), found, meant, strict=True):
            if has != should:
                told, planned = (" and ".join(map(str, count)) for count in (has, should))
                words = f"it has {told} pictures instead of {planned} in the piece from {begins:.3f} s on"
                raise ProofError(f"joined from pieces {words}")

    async def give_up(self, why: str) -> None:
        """Removes all pieces: what came of them is not what was planned, so the film is encoded whole."""
        await self._forget(await self._rows())
        await self._resources.store.write(partial(piece_rows.refuse_pieces, variation=self._claim.seq, why=why))

    async def _forget(self, rows: Sequence[Row]) -> None:
        for span, mine in groupby(rows, itemgetter("span")):
            await Span(self._resources, self._claim, Begin(span=span)).forget([row["number"] for row in mine])

    async def _rows(self) -> Sequence[Row]:
        return await self._resources.store.read(partial(piece_rows.pieces_of, variation=self._claim.seq))
