"""Holds the built-in presets, as pure data: a new one is one more row, which may set any parameter of its family.

Callers never pass filter strings or raw arguments, only the typed fields of `daemon.presets.parameters`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from daemon.presets.parameters import (
    ArchiveParameters,
    AudioParameters,
    CappedParameters,
    FlacParameters,
    FramedParameters,
    GifParameters,
    LadderParameters,
    LosslessParameters,
    PosterParameters,
    RefreshParameters,
    RemuxParameters,
    SheetParameters,
    SpritesParameters,
    VideoParameters,
    WebpParameters,
)
from daemon.presets.traits import Family

FOLDER = ""  # the extension of an output that is a folder of files

# fmt: off
Encoder = Literal[
    "h264", "hevc", "av1", "vp9", "ffv1", "copy", "mp3", "aac", "opus", "flac", "gif", "webp", "jpeg",
]
Container = Literal[
    "mp4", "webm", "matroska", "hls", "dash", "mp3", "ipod", "opus", "flac", "gif", "webp", "mjpeg", "image2",
]
# fmt: on

GROUPS = {
    "own": "Your own, from ffspool.toml",
    "web": "For web pages and players",
    "mobile": "For phones",
    "social": "For social networks: a frame of fixed shape",
    "size": "For a limit on the file's size",
    "streaming": "For adaptive streaming: a folder of CMAF segments",
    "copy": "Without encoding what need not be",
    "archive": "To keep",
    "sound": "The sound alone",
    "animation": "Short animations without sound",
    "stills": "Single pictures",
    "looks": "Variations of one source",
}


class Preset(msgspec.Struct, frozen=True):
    """A preset is a named way to encode. `kind` (the name of one in `recipes/kinds`), `encoder` and `container`
    (ffmpeg's name for it) are what recipes go by.

    An `extension` of FOLDER says that the output is a folder of files. `base` is the built-in preset that one
    of the user's own was made from, and the name itself of a built-in one.
    """

    name: str
    group: str
    kind: str
    encoder: Encoder
    container: Container
    extension: str
    description: str
    defaults: Family
    own_of: str | None = None

    @property
    def base(self) -> str:
        return self.own_of or self.name


_ROWS = (
    Preset(
        "h264-1080p", "web", "video", "h264", "mp4", "mp4",
        "1080p for every device and browser: H.264 and AAC",
        VideoParameters(short_side=1080, crf=20, speed="veryfast", audio_bitrate_kbps=192),
    ),
    Preset(
        "h264-720p", "web", "video", "h264", "mp4", "mp4",
        "720p for every device and browser: H.264 and AAC",
        VideoParameters(short_side=720, crf=21, speed="veryfast"),
    ),
    Preset(
        "h264-480p", "web", "video", "h264", "mp4", "mp4",
        "480p for slow connections and previews: H.264 and AAC",
        VideoParameters(short_side=480, crf=22, speed="veryfast", audio_bitrate_kbps=128),
    ),
    Preset(
        "hevc-1080p", "web", "video", "hevc", "mp4", "mp4",
        "1080p in some two thirds of H.264's size, for recent phones, televisions and Apple devices",
        VideoParameters(short_side=1080, crf=25, audio_bitrate_kbps=192),
    ),
    Preset(
        "av1-720p", "web", "video", "av1", "mp4", "mp4",
        "720p in half of H.264's size; MP4 with AAC, which plays wherever AV1 itself does",
        VideoParameters(short_side=720, crf=34),
    ),
    Preset(
        "webm-720p", "web", "video", "vp9", "webm", "webm",
        "720p free of patent fees, for browsers: VP9 and Opus",
        VideoParameters(short_side=720, crf=33, audio_bitrate_kbps=128),
    ),
    Preset(
        "webm-1080p", "web", "video", "vp9", "webm", "webm",
        "1080p free of patent fees, for browsers: VP9 and Opus",
        VideoParameters(short_side=1080, crf=31, audio_bitrate_kbps=128),
    ),
    Preset(
        "webm-av1-1080p", "web", "video", "av1", "webm", "webm",
        "1080p at the least bytes a browser takes, free of patent fees: AV1 and Opus",
        VideoParameters(short_side=1080, crf=32, audio_bitrate_kbps=128),
    ),
    Preset(
        "mobile-540p", "mobile", "video", "h264", "mp4", "mp4",
        "540p and at most 30 frames per second, to watch on a phone and over its connection: H.264 and AAC",
        VideoParameters(short_side=540, crf=25, speed="veryfast", max_frame_rate=30, audio_bitrate_kbps=96),
    ),
    Preset(
        "vertical-1080p", "social", "framed", "h264", "mp4", "mp4",
        "1080×1920, upright for Reels, Shorts and TikTok: bars, cut or blurred sides, as `fit` says",
        FramedParameters(aspect="9:16"),
    ),
    Preset(
        "square-1080p", "social", "framed", "h264", "mp4", "mp4",
        "1080×1080 for feeds that show squares: bars, cut or blurred sides, as `fit` says",
        FramedParameters(aspect="1:1"),
    ),
    Preset(
        "h264-capped", "size", "capped", "h264", "mp4", "mp4",
        "the best H.264 that stays within `target_bytes`, for mail and chats; smaller in size where it must be",
        CappedParameters(target_bytes=10_000_000),
    ),
    Preset(
        "hls", "streaming", "ladder", "h264", "hls", FOLDER,
        "HLS with H.264 and AAC in several sizes, for Apple devices and every player: master.m3u8",
        LadderParameters(),
    ),
    Preset(
        "dash", "streaming", "ladder", "h264", "dash", FOLDER,
        "MPEG-DASH with H.264 and AAC in several sizes, for browsers and televisions: manifest.mpd",
        LadderParameters(),
    ),
    Preset(
        "h264-1080p-smart", "copy", "video", "h264", "mp4", "mp4",
        "as h264-1080p, but picture and sound that already are like that are copied: fast, without any loss",
        VideoParameters(short_side=1080, crf=20, speed="veryfast", audio_bitrate_kbps=192, copy=True),
    ),
    Preset(
        "remux-mp4", "copy", "remux", "copy", "mp4", "mp4",
        "the same picture and sound in an MP4, untouched; refused where MP4 cannot hold them",
        RemuxParameters(),
    ),
    Preset(
        "remux-mkv", "copy", "remux", "copy", "matroska", "mkv",
        "the same picture and sound in a Matroska file, untouched",
        RemuxParameters(),
    ),
    Preset(
        "remux-webm", "copy", "remux", "copy", "webm", "webm",
        "the same picture and sound in a WebM file, untouched; refused where WebM cannot hold them",
        RemuxParameters(),
    ),
    Preset(
        "archive-hevc", "archive", "archive", "hevc", "matroska", "mkv",
        "visually the same at a fraction of the size: HEVC in 10 bits at the source's size, the sound untouched",
        ArchiveParameters(),
    ),
    Preset(
        "archive-ffv1", "archive", "lossless", "ffv1", "matroska", "mkv",
        "every pixel and sample as it was, with checksums: FFV1 and FLAC, as archives keep films; large",
        LosslessParameters(),
    ),
    Preset(
        "mp3", "sound", "audio", "mp3", "mp3", "mp3",
        "the sound alone, for every player",
        AudioParameters(bitrate_kbps=192),
    ),
    Preset(
        "m4a", "sound", "audio", "aac", "ipod", "m4a",
        "the sound alone as AAC: smaller than MP3 at equal quality",
        AudioParameters(bitrate_kbps=160),
    ),
    Preset(
        "opus", "sound", "audio", "opus", "opus", "opus",
        "the sound alone as Opus: the smallest, for browsers, phones and speech",
        AudioParameters(bitrate_kbps=112),
    ),
    Preset(
        "flac", "sound", "audio", "flac", "flac", "flac",
        "the sound alone without loss, with all its channels",
        FlacParameters(),
    ),
    Preset(
        "m4a-r128", "sound", "audio", "aac", "ipod", "m4a",
        "the sound alone, at the loudness broadcasters ask for (EBU R128, -23 LUFS; -16 suits podcasts): AAC",
        AudioParameters(bitrate_kbps=160, loudness_lufs=-23.0),
    ),
    Preset(
        "gif", "animation", "gif", "gif", "gif", "gif",
        "a short looping animation without sound, for chats and pages that take no video",
        GifParameters(),
    ),
    Preset(
        "webp", "animation", "webp", "webp", "webp", "webp",
        "the same as a WebP: all colours, and a fraction of a GIF's size",
        WebpParameters(),
    ),
    Preset(
        "poster", "stills", "poster", "jpeg", "mjpeg", "jpg",
        "one JPEG of the most typical frame, to show before a film is played",
        PosterParameters(),
    ),
    Preset(
        "thumbnail-sheet", "stills", "sheet", "jpeg", "mjpeg", "jpg",
        "one JPEG with a grid of frames from the whole source, to see at a glance what it holds",
        SheetParameters(),
    ),
    Preset(
        "sprite-sheet", "stills", "sprites", "jpeg", "image2", FOLDER,
        "frames at even intervals in JPEG sheets with a WebVTT index, for the preview above a player's bar",
        SpritesParameters(),
    ),
    Preset(
        "refresh", "looks", "refresh", "h264", "mp4", "mp4",
        "seeded random looks of the source in its own size: slight rotation, brightness, contrast, colour",
        RefreshParameters(),
    ),
)  # fmt: skip

PRESETS = {preset.name: preset for preset in _ROWS}
