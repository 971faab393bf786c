"""Says how each encoder of pictures is told quality, effort and threads, and what it usually takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from daemon.media.model import VideoStream
from daemon.presets.parameters import Speed
from daemon.recipes.kind import KEPT_SOUND_KBPS, Estimate
from daemon.recipes.recipe import Options

FINEST = 1_000_000  # ticks of a clock in a second, beyond which encoders refuse it, and players of long films


def timing(picture: VideoStream | None = None, *, paced: bool = False) -> Options:
    """Gives every frame its own time: a fixed rate would double frames, or fill a gap of days with them.

    Sound keeps the clock of its samples: that of a container would have it stutter. What is `paced` has the clock of
    its rate: the source's may be too coarse for that.
    """
    fine = picture is not None and picture.ticks > FINEST
    return {"fps_mode": "vfr", "enc_time_base:v": "filter" if paced else f"1:{FINEST}" if fine else "demux"}


def lasting(last: str) -> Options:
    """Has each picture's packet last until the next one's, and the last for as long as that expression of FFmpeg's
    `setts` says: how long they say they last may be wrong, or not be said at all.
    """
    seconds = f"if(eq(NEXT_DTS,NOPTS),{last},NEXT_DTS-DTS)".replace(",", r"\,")
    return {"bsf:v": f"setts=pts=PTS:dts=DTS:duration={seconds}"}


def forced(every: int, *, after: float = 0.0) -> Options:
    """Has a key frame every so many seconds, counted from the film's first picture: what is encoded begins that long
    `after` it."""
    before = math.floor((after + EARLY) / every)
    moment = f"t+{after + EARLY:.9f}" if after else "t"
    return {"force_key_frames": f"expr:gte({moment},{f'(n_forced+{before})' if before else 'n_forced'}*{every})"}


def counted(encoder: str, after: int) -> Options:
    """Has key frames where an encoder of that name that counts from one to the next would have put them, had it encoded
    the pictures, too, that what is encoded begins `after`."""
    every = group_of(encoder)
    return {"force_key_frames": f"expr:not(mod(n+{after % every},{every}))"} if after % every else {}


def group_of(encoder: str) -> int:
    """Returns from how many pictures to how many an encoder of that name counts; 1: it looks at what they show."""
    return _GROUPS.get(encoder, 1)


def captioned(picture: VideoStream, encoder: str, *, kept: bool) -> Options:
    """Has captions of frames kept, or left out, where the encoder would do otherwise: x264 keeps, x265 drops them."""
    if not picture.captions or encoder != ("hevc" if kept else "h264"):
        return {}
    return {"a53cc": int(kept)}


def decimal(crf: float) -> str:
    return f"{crf:g}"


def _h264(crf: float, speed: Speed, threads: int) -> Options:
    return {"c:v": "libx264", "preset": speed, "crf": decimal(crf), "threads": threads}


def _hevc(crf: float, speed: Speed, threads: int) -> Options:
    # With B-frames x265 gives decoding times that cut a source of uneven frame rate short in an MP4.
    options = {"c:v": "libx265", "preset": speed, "crf": decimal(crf), "threads": threads, "bf": 0, "tag:v": "hvc1"}
    return {**options, "x265-params": f"pools={threads}:log-level=warning"}


def _av1(crf: float, speed: Speed, threads: int) -> Options:
    preset = {"ultrafast": 10, "veryfast": 9, "fast": 8, "medium": 6, "slow": 5}[speed]
    # SVT-AV1 refuses a nominal rate over 240, which files of uneven rate claim; only its rate control uses it.
    return {
        "c:v": "libsvtav1",
        "preset": preset,
        "crf": round(crf),
        "svtav1-params": f"lp={threads}:fps-num=30:fps-denom=1",
    }


def _vp9(crf: float, speed: Speed, threads: int) -> Options:
    effort = {"ultrafast": 8, "veryfast": 5, "fast": 4, "medium": 2, "slow": 1}[speed]
    deadline = "realtime" if speed == "ultrafast" else "good"
    options = {"c:v": "libvpx-vp9", "crf": round(crf), "b:v": 0, "deadline": deadline, "cpu-used": effort}
    return {**options, "row-mt": 1, "threads": threads}


AV1_GROUP, VP9_GROUP = 161, 128  # pictures from one key frame to the next, whatever they show
_GROUPS = {"libsvtav1": AV1_GROUP, "libvpx-vp9": VP9_GROUP}
REORDERED = 8  # pictures at most that are decoded before one that is shown before them
EARLY = 1e-5  # seconds: sums of times are rounded


class Encoder(NamedTuple):
    """Describes an encoder of pictures: how it is told things, what it refuses, and what it usually takes.

    A pixel takes so many `bits` at the rate factor `crf`, and half of them at one that is `halving` higher. So many
    pictures it holds back at most, to look `ahead`. Of those that were written so many are `repeated` at most after an
    interruption, unless that is too long: those behind the last key frame, or, where none is needed, the last that are
    there without others that are shown before.
    """

    options: Callable[[float, Speed, int], Options]  # by CRF, speed and threads
    cpu_per_megapixel: float  # CPU seconds, at the speed "veryfast"
    bits: float
    crf: int
    halving: float
    grains: int  # into how many a CRF of 1 is parted in the search for one
    ahead: int
    repeated: int
    least_side: int = 1  # pixels; it refuses a smaller picture, or crashes

    def estimate(
        self, crf: float, speed: Speed, *, sound_kbps: int = KEPT_SOUND_KBPS, max_frame_rate: float = math.inf
    ) -> Estimate:
        """Estimates what a film usually takes that is encoded so."""
        bits = self.bits * math.pow(2, (self.crf - crf) / self.halving)
        return Estimate(self.cpu(speed), bits, sound_kbps=sound_kbps, max_frame_rate=max_frame_rate)

    def cpu(self, speed: Speed) -> float:
        """Returns CPU seconds per megapixel at that speed."""
        return self.cpu_per_megapixel * EFFORT[speed]


# How many times the CPU seconds of the speed "veryfast".
EFFORT: dict[Speed, float] = {"ultrafast": 0.5, "veryfast": 1.0, "fast": 1.6, "medium": 2.2, "slow": 4.0}
STILLS_CPU = 0.003  # CPU seconds per megapixel, of encoders that know no speed
JPEG = Estimate(STILLS_CPU, bits_per_pixel=2.0)

ENCODERS = {
    "h264": Encoder(_h264, 0.03, bits=0.10, crf=23, halving=6, grains=10, ahead=60, repeated=REORDERED),
    "hevc": Encoder(_hevc, 0.12, bits=0.06, crf=28, halving=6, grains=10, ahead=40, repeated=REORDERED, least_side=16),
    "av1": Encoder(_av1, 0.06, bits=0.05, crf=34, halving=10, grains=1, ahead=90, repeated=AV1_GROUP, least_side=4),
    "vp9": Encoder(_vp9, 0.09, bits=0.06, crf=33, halving=9, grains=1, ahead=30, repeated=VP9_GROUP),
}
