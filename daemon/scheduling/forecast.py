"""Foretells what a ready variation will cost: CPU seconds, and bytes of disk."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import msgspec

from daemon.database.store import Row
from daemon.errors import FfspoolError, UnsuitableSource
from daemon.journal import known
from daemon.media.model import Media
from daemon.models import Contents, Model, Parameters, Wanted
from daemon.presets.library import Library
from daemon.recipes import command
from daemon.scheduling import costs
from daemon.scheduling.costs import Corrections, Cost
from daemon.scheduling.shares import Ready
from daemon.scheduling.space import Experience, usual_bytes

log = logging.getLogger(__name__)

NOTHING = Cost(decode=0.0, encode=0.0)
REMEMBERED = 256  # of what is ready


class _Wish(NamedTuple):
    media: Media
    preset: str
    parameters: Parameters


class Outlook(Model, frozen=True):
    """Holds a ready variation with its cost, the bytes such an output `usual`ly comes to (0: none is made), and
    what it will have of its source.
    """

    ready: Ready
    usual: int = 0
    unsuitable: str | None = None  # why its preset does not apply to its source, if so
    contents: Contents = Contents()
    one_picture: bool = False  # whether it is a film, and its source a photograph
    resumable: bool = False  # whether it is made in pieces, to be gone on with if it is interrupted
    spans: int = 1  # that may be encoded on several machines at once
    begun_bytes: int = 0  # that are there of it already, and are counted as stored until it starts

    @property
    def more_bytes(self) -> int:
        """Returns the bytes that it may come to beside those that are there."""
        return max(0, self.ready.bytes - self.begun_bytes)


class Forecast:
    """Predicts from the presets there are and what encodes came to on this host."""

    def __init__(
        self,
        library: Library,
        corrections: Corrections,
        experience: Experience,
        resume_from: float = math.inf,
        span_seconds: float = math.inf,
    ) -> None:
        """What is predicted to take `resume_from` CPU seconds or more is made in pieces, where it can be.

        Its spans of `span_seconds` or more are counted for who asks how it could be made; inf: nobody does.
        """
        self._resume_from = resume_from
        self._span_seconds = span_seconds
        self._library = library
        self._corrections = corrections
        self._experience = experience
        self._known = lru_cache(REMEMBERED)(self._of_texts)

    def of_row(self, row: Row) -> Outlook:
        """Returns the outlook of a row of the query `ready` whose source's media is known.

        One of which nothing can be made costs nothing: it is told so when its turn comes.
        """
        try:
            wish, prospect = self._known(row["media"], row["preset"], row["parameters"])
            begun = row["begun_bytes"] is not None
            outlook = self._seen(row["id"], row["source_id"], wish, prospect, row["bytes"], begun=begun)
        except UnsuitableSource as error:
            return msgspec.structs.replace(_nothing(row), unsuitable=str(error))
        except FfspoolError:
            return _nothing(row)
        except Exception:  # it shall fail in its turn, alone: whoever plans, plans for all
            log.exception(
                "what a variation will cost cannot be told, by a fault of ffspool", extra=known(variation=row["id"])
            )
            return _nothing(row)
        learnt = max(outlook.ready.bytes, row["space_needed"] or 0)
        in_spans = row["span_seconds"] is not None  # which are encoded by a process each
        alone = outlook.ready.alone or bool(row["alone"]) or in_spans
        ready = msgspec.structs.replace(outlook.ready, bytes=learnt, alone=alone)
        resumable = outlook.resumable and bool(row["in_pieces"])
        return msgspec.structs.replace(outlook, ready=ready, resumable=resumable, begun_bytes=row["begun_bytes"] or 0)

    def of(
        self, variation: str, source: str, media: Media, preset: str, parameters: Parameters, source_bytes: int
    ) -> Outlook:
        """Raises UnknownPreset, BadParameter, or UnsuitableSource when nothing can be made of the source."""
        wish = _Wish(media, preset, parameters)
        return self._seen(variation, source, wish, self._prospect_of(wish), source_bytes)

    def _of_texts(self, media: str, preset: str, parameters: str) -> tuple[_Wish, command.Prospect]:
        """What a ready variation is looked at for again and again, until its turn comes."""
        wish = _Wish(msgspec.json.decode(media, type=Media), preset, msgspec.json.decode(parameters))
        return wish, self._prospect_of(wish)

    def _prospect_of(self, wish: _Wish) -> command.Prospect:
        return command.prospect(wish.media, self._library.find(wish.preset).base, wish.parameters)

    def _seen(
        self,
        variation: str,
        source: str,
        wish: _Wish,
        prospect: command.Prospect,
        source_bytes: int,
        *,
        begun: bool = False,
    ) -> Outlook:
        """Takes one that was `begun` in pieces for one that is made so, whatever it is predicted to take now."""
        media, preset, parameters = wish
        plan, estimate, shareable, resumable = prospect
        correction = costs.correction(self._corrections, preset, parameters)
        usual = usual_bytes(plan, estimate, media, source_bytes)
        cost = costs.predict(media, plan, estimate, correction)
        parted = resumable and (begun or cost.decode + cost.encode >= self._resume_from)
        ready = Ready(
            variation=variation,
            source=source,
            cost=cost,
            megapixels=plan.video[0] * plan.video[1] / 1e6 if plan.video else 0.0,
            bytes=self._experience.expected(preset, usual) * (2 if parted else 1),  # pieces, and what is made of them
            alone=not shareable,
        )
        one_picture = media.still and plan.film
        outlook = Outlook(ready=ready, usual=usual, resumable=parted, contents=plan.contents, one_picture=one_picture)
        if not parted or math.isinf(self._span_seconds):
            return outlook
        spans = command.spans(media, self._library.find(preset).base, parameters, self._span_seconds)
        return msgspec.structs.replace(outlook, spans=len(spans))

    def bytes_of(self, media: Media, wanted: Iterable[Wanted], source_bytes: int) -> int:
        """Returns the bytes that outputs of one source may come to, as far as that can be told. Any thread may call."""
        return sum(self._bytes_of(media, want, source_bytes) for want in wanted)

    def _bytes_of(self, media: Media, want: Wanted, source_bytes: int) -> int:
        try:
            return self.of("", "", media, want.preset, want.parameters, source_bytes).ready.bytes
        except FfspoolError:  # it fails in its turn
            return 0


def _nothing(row: Row) -> Outlook:
    return Outlook(ready=Ready(variation=row["id"], source=row["source_id"], cost=NOTHING))
