"""How much an encode will write, and whether that fits. Pure: what the disk holds is told by who asks.

A variation starts when its prediction fits into what is free, beside a reserve and beside what those that run
have yet to write. Predictions begin with what encoders usually make of a picture of that size, and follow what
came out lately.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable
from typing import NamedTuple

from daemon.media.model import Media
from daemon.models import Model, Parameters
from daemon.presets.builtin import PRESETS
from daemon.recipes.recipe import Ladder, Plan, Sprites

RESERVE = 1024**3  # bytes that are left free, unless the disk is small
RESERVE_SHARE = 0.02  # of a small disk
OVERHEAD = 64 * 1024  # bytes of any file
MARGIN = 2.0  # while little is known of a preset
HEADROOM = 1.25  # over the worst that came out lately
ENOUGH, LATELY = 3, 20  # outputs of a preset
MOST_OFF = 16.0  # how far a prediction is corrected
UNKNOWN_BYTE_RATE = 50_000  # of a source that does not say how long it lasts


class _Habit(NamedTuple):
    """What an encoder makes of a pixel: bits at one rate factor, and the steps of it that halve them."""

    bits: float
    crf: int
    halving: float


_HABITS = {
    "h264": _Habit(0.10, 23, 6),
    "hevc": _Habit(0.06, 28, 6),
    "vp9": _Habit(0.06, 33, 9),
    "av1": _Habit(0.05, 34, 10),
}
_BITS = {"gif": 4.0, "webp": 1.0, "ffv1": 8.0}  # for each pixel
_JPEG_BITS = 2.0
_KEPT_SOUND_KBPS = 800  # of a track that is not encoded, or without loss
_FRAME_RATE = 30.0  # of a source that does not say


def usual_bytes(plan: Plan, preset: str, parameters: Parameters, media: Media, source_bytes: int) -> int:
    """What such an output of a built-in preset usually comes to."""
    if plan.max_bytes is not None:
        return plan.max_bytes
    if plan.copied:
        return OVERHEAD + source_bytes
    seconds = plan.duration_seconds or source_bytes / UNKNOWN_BYTE_RATE
    kbps = parameters.get("audio_bitrate_kbps") or parameters.get("bitrate_kbps") or _KEPT_SOUND_KBPS
    sound = plan.audio * kbps * 125
    cover = media.cover.bytes if media.cover and plan.covers else 0
    return OVERHEAD + int(_picture_bytes(plan, preset, parameters, media, seconds) + sound * seconds) + cover


def _picture_bytes(plan: Plan, preset: str, parameters: Parameters, media: Media, seconds: float) -> float:
    if plan.video is None:
        return 0.0
    pixels = _pixels(plan)
    if plan.still:
        return pixels * _JPEG_BITS / 8
    rate = (media.video.frame_rate if media.video else None) or _FRAME_RATE
    encoder = PRESETS[preset].encoder
    habit = _HABITS.get(encoder)
    if habit is None:
        bits, rate = _BITS[encoder], parameters.get("fps", rate)
    else:
        bits = habit.bits * math.pow(2, (habit.crf - parameters["crf"]) / habit.halving)
        rate = min(rate, parameters.get("max_frame_rate", rate))
    return float(pixels * seconds * rate * bits / 8)


def _pixels(plan: Plan) -> int:
    """Of all pictures that are shown at one time, or on all sheets."""
    assert plan.video is not None
    if isinstance(plan.folder, Ladder):
        return sum(width * height for width, height in plan.folder.rungs)
    return plan.video[0] * plan.video[1] * (plan.folder.sheets if isinstance(plan.folder, Sprites) else 1)


def learnt(written: int, seconds: float, planned: float | None) -> int:
    """Bytes an output needs that met a full disk after `written` bytes, `seconds` into the `planned` ones."""
    share = seconds / planned if planned else 0.0
    return int(written / share * HEADROOM) if share > 0.1 else 2 * written


class Experience:
    """How outputs of each preset compare with what is usual."""

    def __init__(self) -> None:
        self._ratios: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=LATELY))

    def learn(self, preset: str, usual: int, actual: int) -> None:
        self._ratios[preset].append(min(MOST_OFF, max(1 / MOST_OFF, actual / usual)))

    def expected(self, preset: str, usual: int) -> int:
        """What an output that is `usual` bytes elsewhere may come to here. May be called on any thread."""
        ratios = list(self._ratios.get(preset, ()))
        return int(usual * (HEADROOM * max(ratios) if len(ratios) >= ENOUGH else MARGIN))


class Usage(NamedTuple):
    """Of one file system, in bytes."""

    total: int
    free: int


class _Held(Model, frozen=True):
    """Bytes that are to be written, and how many of them are; `stored` if rows tell of them already."""

    bytes: int
    written: Callable[[], int]
    stored: bool

    @property
    def outstanding(self) -> int:
        return max(0, self.bytes - self.written())


class Space:
    """The disk as encodes and files on their way in share it. `reserve` is in bytes; None: 2 %, at most 1 GiB.

    May be used on any thread.
    """

    def __init__(self, usage: Callable[[], Usage], reserve: int | None) -> None:
        self.experience = Experience()
        self._usage = usage
        self._reserve = reserve
        self._held: dict[str, _Held] = {}

    @property
    def reserved(self) -> int:
        """Bytes that are held and not yet written."""
        return sum(held.outstanding for held in list(self._held.values()))

    @property
    def promised(self) -> int:
        """Bytes that are held and no row tells of, written or not."""
        return sum(held.bytes for held in list(self._held.values()) if not held.stored)

    def room(self) -> int:
        """Bytes for one more encode at this moment; below 0 when the reserve is used up."""
        total, free = self._usage()
        reserve = min(RESERVE, int(total * RESERVE_SHARE)) if self._reserve is None else self._reserve
        return free - reserve - self.reserved

    def hold(self, key: str, wanted: int, written: Callable[[], int], *, stored: bool = False) -> None:
        """Keeps that many bytes for a variation that starts, or a file that comes, until `release`."""
        self._held[key] = _Held(bytes=wanted, written=written, stored=stored)

    def release(self, key: str) -> None:
        """Keeps nothing for it any more, if anything was kept."""
        self._held.pop(key, None)


def refusal(wanted: int, room: int, left: int | None = None) -> str | None:
    """Why an encode has to wait; None when there is room for it. `left`: bytes that may be stored, where bounded."""
    if left is not None and left <= 0:
        return "it waits for jobs to be deleted: as much is stored, or about to be, as may be"
    if left is not None and wanted > left:
        return f"it waits for jobs to be deleted: it may need {told(wanted)}, and {told(left)} more may be stored"
    if wanted <= room:
        return None
    if room <= 0:
        return "it waits for disk space: nothing is free beside the reserve and what runs"
    return (
        f"it waits for disk space: it may need {told(wanted)}, "
        f"and {told(room)} are free beside the reserve and what runs"
    )


def told(size: int) -> str:
    """The size as words for a person."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
