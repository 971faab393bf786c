"""How each encoder is told quality, effort and threads."""

from __future__ import annotations

from collections.abc import Callable

from daemon.presets.parameters import Speed
from daemon.recipes.recipe import Options


def timing() -> Options:
    """Every frame at its own time: a fixed rate would double frames, or fill a gap of days with them.

    Sound keeps the clock of its samples: that of a container would have it stutter.
    """
    return {"fps_mode": "vfr", "enc_time_base:v": "demux"}


def lasting(last: str) -> Options:
    """Has each picture's packet last until the next one's, and the last for as long as that expression of FFmpeg's
    `setts` says: how long they say they last may be wrong, or not be said at all.
    """
    seconds = f"if(eq(NEXT_DTS,NOPTS),{last},NEXT_DTS-DTS)".replace(",", r"\,")
    return {"bsf:v": f"setts=pts=PTS:dts=DTS:duration={seconds}"}


def written(crf: float) -> str:
    return f"{crf:g}"


def _h264(crf: float, speed: Speed, threads: int) -> Options:
    return {"c:v": "libx264", "preset": speed, "crf": written(crf), "threads": threads}


def _hevc(crf: float, speed: Speed, threads: int) -> Options:
    # With B-frames x265 gives decoding times that cut a source of uneven frame rate short in an MP4.
    options = {"c:v": "libx265", "preset": speed, "crf": written(crf), "threads": threads, "bf": 0, "tag:v": "hvc1"}
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


ENCODERS: dict[str, Callable[[float, Speed, int], Options]] = {
    "h264": _h264,
    "hevc": _hevc,
    "av1": _av1,
    "vp9": _vp9,
}

LEAST_SIDES = {"hevc": 16, "av1": 4}  # pixels, where an encoder refuses a smaller picture, or crashes
GRAINS = {"h264": 10, "hevc": 10, "av1": 1, "vp9": 1}  # into how many a CRF of 1 is parted in the search for one
