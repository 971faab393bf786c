"""Shares the disk: what stays free, what is kept for whom, how much an encode will write and whether that fits.

A variation starts when its prediction fits into what is free, beside a reserve and beside what those that run have yet
to write. Predictions begin with what encoders usually make of a picture of that size, and follow what came out lately.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import NamedTuple

from daemon.media.model import Media
from daemon.models import Model
from daemon.recipes.kind import Estimate
from daemon.recipes.recipe import Ladder, Plan, Sprites

RESERVE = 1024**3  # bytes that are left free, unless the disk is small
RESERVE_SHARE = 0.02  # of a small disk
OVERHEAD = 64 * 1024  # bytes of any file
MARGIN = 2.0  # while little is known of a preset
HEADROOM = 1.25  # over the worst that came out lately
ENOUGH, LATELY = 3, 20  # outputs of a preset
MOST_OFF = 16.0  # how far a prediction is corrected
UNKNOWN_BYTE_RATE = 50_000  # of a source that does not say how long it lasts
PLENTY = 10  # times as much free as is reserved

_FRAME_RATE = 30.0  # of a source that does not say


def usual_bytes(plan: Plan, estimate: Estimate, media: Media, source_bytes: int) -> int:
    """Returns the bytes that such an output usually comes to."""
    if plan.max_bytes is not None:
        return plan.max_bytes
    if plan.copied:
        return OVERHEAD + source_bytes
    seconds = plan.duration_seconds or source_bytes / UNKNOWN_BYTE_RATE
    sound = plan.audio * estimate.sound_kbps * 125
    cover = media.cover.bytes if media.cover and plan.covers else 0
    return OVERHEAD + int(_picture_bytes(plan, estimate, media, seconds) + sound * seconds) + cover


def _picture_bytes(plan: Plan, estimate: Estimate, media: Media, seconds: float) -> float:
    if plan.video is None:
        return 0.0
    said = media.video.frame_rate if media.video else None
    rate = min(estimate.frame_rate or said or _FRAME_RATE, estimate.max_frame_rate)
    frames = 1.0 if plan.still else seconds * rate
    return _pixels(plan) * frames * estimate.bits_per_pixel / 8


def _pixels(plan: Plan) -> int:
    """Counts the pixels of all pictures that are shown at one time, or on all sheets."""
    assert plan.video is not None
    if isinstance(plan.folder, Ladder):
        return sum(width * height for width, height in plan.folder.rungs)
    return plan.video[0] * plan.video[1] * (plan.folder.sheets if isinstance(plan.folder, Sprites) else 1)


def learnt(written: int, seconds: float, planned: float | None) -> int:
    """Returns the bytes an output needs that met a full disk after `written`, `seconds` into the `planned` ones."""
    share = seconds / planned if planned else 0.0
    return int(written / share * HEADROOM) if share > 0.1 else 2 * written


class Experience:
    """Remembers how outputs of each preset compare with what is usual."""

    def __init__(self) -> None:
        self._ratios: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=LATELY))

    def learn(self, preset: str, usual: int, actual: int) -> None:
        """Learns from one output; where nobody could say what is `usual` (0), nothing."""
        if usual:
            self._ratios[preset].append(min(MOST_OFF, max(1 / MOST_OFF, actual / usual)))

    def expected(self, preset: str, usual: int) -> int:
        """Returns the bytes that an output of `usual` bytes elsewhere may come to here. Any thread may call it."""
        ratios = list(self._ratios.get(preset, ()))
        return int(usual * (HEADROOM * max(ratios) if len(ratios) >= ENOUGH else MARGIN))


class DiskUsage(NamedTuple):
    """Holds the size of one file system and what is free of it, in bytes."""

    total: int
    free: int


class _Reserved(Model, frozen=True):
    """Bytes that are to be written, and how many of them are; `stored` if rows tell of them already."""

    bytes: int
    written: Callable[[], int]
    stored: bool
    owner: str | None

    @property
    def outstanding(self) -> int:
        return max(0, self.bytes - self.written())


class Space:
    """Shares the disk among encodes and files on their way in. `kept_free` is in bytes; None: 2 %, at most 1 GiB.

    May be used on any thread.
    """

    def __init__(self, usage: Callable[[], DiskUsage], kept_free: int | None) -> None:
        self.experience = Experience()
        self._usage = usage
        self._kept_free = kept_free
        self._reservations: dict[str, _Reserved] = {}

    @property
    def reserved(self) -> int:
        """Returns the bytes that are reserved and not yet written."""
        return sum(one.outstanding for one in list(self._reservations.values()))

    @property
    def promised(self) -> int:
        """Returns the bytes that are reserved and no row tells of, written or not."""
        return sum(one.bytes for one in list(self._reservations.values()) if not one.stored)

    def promised_to(self, owner: str | None) -> int:
        """Returns the same of what is reserved for one owner."""
        return sum(one.bytes for one in list(self._reservations.values()) if not one.stored and one.owner == owner)

    def available(self) -> int:
        """Returns the bytes for one more encode at this moment; below 0 when the reserve is used up.

        Where there is plenty nobody is asked what is written of all that is reserved: hundreds may run.
        """
        total, free = self._usage()
        left = free - self.kept_free(total)
        most = sum(one.bytes for one in list(self._reservations.values()))
        return left - (most if left > PLENTY * most else self.reserved)

    def kept_free(self, total: int) -> int:
        """Returns the bytes that encodes leave free on a disk of `total`."""
        return min(RESERVE, int(total * RESERVE_SHARE)) if self._kept_free is None else self._kept_free

    def reserve(
        self,
        key: str,
        wanted: int,
        written: Callable[[], int] = lambda: 0,
        *,
        stored: bool = False,
        owner: str | None = None,
    ) -> None:
        """Reserves that many bytes for a variation that starts, or a file that comes, until `release`.

        `written` says how many of them are on the disk; it is asked on any thread, and may block.
        """
        self._reservations[key] = _Reserved(bytes=wanted, written=written, stored=stored, owner=owner)

    def release(self, key: str) -> None:
        """Reserves nothing for it any more, if anything was."""
        self._reservations.pop(key, None)


def refusal(wanted: int, available: int, left: int | None = None, own: int | None = None) -> str | None:
    """Says why an encode has to wait; None when there is room for it.

    `left`: bytes that may be stored, where bounded, and of its token's bytes `own`.
    """
    if own is not None and wanted > own:
        return (
            f"it waits for jobs of this token to be deleted: it may need {told(wanted)}, "
            f"and {told(max(0, own))} more may be stored (max_stored_bytes)"
        )
    if left is not None and left <= 0:
        return "it waits for jobs to be deleted: as much is stored, or about to be, as may be"
    if left is not None and wanted > left:
        return f"it waits for jobs to be deleted: it may need {told(wanted)}, and {told(left)} more may be stored"
    if wanted <= available:
        return None
    if available <= 0:
        return "it waits for disk space: nothing is free beside the reserve and what runs"
    return (
        f"it waits for disk space: it may need {told(wanted)}, "
        f"and {told(available)} are free beside the reserve and what runs"
    )


def told(size: int) -> str:
    """Returns the size as words for a person."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
