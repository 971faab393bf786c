"""Files that have several of the real world's traits at once, in the containers they come in.

Each is made by the encoder; what no muxer would write is edited into its bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from heif import heic
from specimens import AAC, BT709, CHAPTERS, H264, SUBTITLES, Specimen, Step, film, picture, sound

X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "12"]
X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:crf=12"]
PQ = "primaries=bt2020:trc=smpte2084:matrix=bt2020nc"


# Bytes no muxer writes


def box_field(name: bytes, offset: int, value: bytes) -> Callable[[bytes], bytes]:
    """Overwrites bytes `offset` behind every MP4 box's name."""

    def edit(whole: bytes) -> bytes:
        assert name in whole
        edited, at = bytearray(whole), 0
        while (at := edited.find(name, at)) >= 0:
            edited[at + 4 + offset : at + 4 + offset + len(value)] = value
            at += 4
        return bytes(edited)

    return edit


def lasting(seconds: float) -> Callable[[bytes], bytes]:
    """An MP4 whose headers all claim that it lasts so long; its tables of samples stay as they are."""

    def edit(whole: bytes) -> bytes:
        edited = bytearray(whole)
        for name, ticks, field in ((b"mvhd", 12, 16), (b"mdhd", 12, 16)):
            at = 0
            while (at := edited.find(name, at)) >= 0:
                scale = struct.unpack_from(">I", edited, at + 4 + ticks)[0]
                struct.pack_into(">I", edited, at + 4 + field, int(seconds * scale))
                at += 4
        return bytes(edited)

    return edit


def ebml_duration(seconds: float) -> Callable[[bytes], bytes]:
    """A Matroska file whose header claims that it lasts so long."""

    def edit(whole: bytes) -> bytes:
        at = whole.index(b"\x44\x89\x88")
        return whole[: at + 3] + struct.pack(">d", seconds * 1000) + whole[at + 11 :]

    return edit


def without_index(whole: bytes) -> bytes:
    """An AVI that lost its index, as one whose recording was interrupted."""
    at = whole.rindex(b"idx1")
    cut = bytearray(whole[:at])
    struct.pack_into("<I", cut, 4, len(cut) - 8)
    return bytes(cut)


def cropped(width: int, height: int) -> Callable[[bytes], bytes]:
    """An MP4 whose sample entry says by `clap` that only the middle of the picture is shown; moov is last."""

    def edit(whole: bytes) -> bytes:
        clap = struct.pack(">I4s8I", 40, b"clap", width, 1, height, 1, 0, 1, 0, 1)
        entry = whole.index(b"avc1", whole.index(b"stsd")) - 4
        end = entry + struct.unpack_from(">I", whole, entry)[0]
        edited = bytearray(whole[:end] + clap + whole[end:])
        sizes = [entry, *(whole.rindex(name, 0, entry) - 4 for name in (b"stsd", b"stbl", b"minf", b"mdia", b"trak"))]
        for at in [*sizes, whole.rindex(b"moov", 0, entry) - 4]:
            struct.pack_into(">I", edited, at, struct.unpack_from(">I", edited, at)[0] + len(clap))
        return bytes(edited)

    return edit


def packets_lost(first: float, last: float) -> Callable[[bytes], bytes]:
    """A transport stream that lacks the packets between those shares of it."""

    def edit(whole: bytes) -> bytes:
        count = len(whole) // 188
        return whole[: int(count * first) * 188] + whole[int(count * last) * 188 :]

    return edit


def headless(whole: bytes) -> bytes:
    """A transport stream received from the middle of a picture on."""
    return whole[len(whole) // 188 // 4 * 188 :]


# How they are made


def interlaced(*more: str, size: str = "320x240", rate: str = "50", scan: str = "tff", seconds: float = 1.6) -> Step:
    return [*picture(size, rate, seconds, f"interlace=scan={scan}"), *sound(seconds), *more]


def turned_in(
    name: str, degrees: int, turns: int, *encode: str, size: str = "320x180", shown: str, more: str = ""
) -> Specimen:
    width, height = (int(side) for side in shown.split("x"))
    return Specimen(
        name,
        [
            [*picture(size, more=more), *sound(), *encode, *AAC, "{work}/upright.mov"],
            ["-display_rotation", str(degrees), "-i", "{work}/upright.mov", "-c", "copy", "{out}"],
        ],
        turns=turns,
        size=(width, height),
    )


def sounding(name: str, channels: str, *encode: str, seconds: float = 1.6) -> Specimen:
    return Specimen(name, [[*picture(seconds=seconds), *sound(seconds, channels), *H264, *encode, "{out}"]])


def pixels(
    name: str, pixel_format: str, *encode: str, size: str = "320x180", more: str = "", **told: object
) -> Specimen:
    steps = [[*picture(size, more=more), *sound(), "-pix_fmt", pixel_format, *encode, "{out}"]]
    return Specimen(name, steps, **told)  # type: ignore[arg-type]


def see_through(kept: str = "rgba") -> str:
    return f"format={kept},geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='255*lt(X,W*0.7)'"


def tone_mapped(transfer: str, pixel_format: str) -> str:
    """What was painted for ordinary screens, brought to HDR."""
    told = "format=yuv420p,setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    linear = "zscale=tin=709:pin=709:min=709:rin=tv:t=linear:npl=203,format=gbrpf32le"
    return f"{told},{linear},zscale=p=2020:t={transfer}:m=2020_ncl:r=tv:npl=203,format={pixel_format}"


SLIDES = "select='not(mod(n,40))',setpts=N/TB*1.6"
UNEVEN = "select='not(mod(n,7))+not(mod(n,5))'"

TURNED = (
    turned_in("turned-90-odd.mov", 90, 1, *X264, "-pix_fmt", "yuv444p", size="161x91", shown="90x160"),
    turned_in("turned-90-sar.mp4", 90, 1, *H264, more="setsar=4/3", size="240x180", shown="180x320"),
    turned_in("turned-270.mkv", 270, 3, *H264, shown="180x320"),
    turned_in("turned-180.mkv", 180, 2, *H264, shown="320x180"),
    turned_in("turned-270-hevc.mov", 270, 3, *X265, "-pix_fmt", "yuv420p10le", "-tag:v", "hvc1", shown="180x320"),
    turned_in(
        "turned-90-sar-odd.mkv",
        90,
        1,
        *X264,
        "-pix_fmt",
        "yuv444p",
        more="setsar=32/27",
        size="321x241",
        shown="241x380",
    ),
)
SCANNED = (
    Specimen(
        "tff.ts",
        [
            interlaced(
                *X264, "-pix_fmt", "yuv420p", "-flags", "+ilme+ildct", "-x264opts", "tff=1", "-c:a", "ac3", "{out}"
            )
        ],
    ),
    Specimen(
        "bff.mp4",
        [
            interlaced(
                *X264, "-pix_fmt", "yuv420p", "-flags", "+ilme+ildct", "-x264opts", "bff=1", *AAC, "{out}", scan="bff"
            )
        ],
    ),
    Specimen(
        "bff-mpeg2.ts",
        [
            interlaced(
                "-c:v",
                "mpeg2video",
                "-q:v",
                "3",
                "-flags",
                "+ilme+ildct",
                "-bf",
                "2",
                "-c:a",
                "mp2",
                "{out}",
                scan="bff",
            )
        ],
    ),
    Specimen(
        "tff.mxf",
        [
            interlaced(
                "-c:v", "mpeg2video", "-q:v", "3", "-flags", "+ilme+ildct", "-c:a", "pcm_s16le", "-ar", "48000", "{out}"
            )
        ],
    ),
    Specimen(
        "tff-prores.mov",
        [
            interlaced(
                "-c:v", "prores_ks", "-flags", "+ilme+ildct", "-pix_fmt", "yuv422p10le", "-c:a", "pcm_s24le", "{out}"
            )
        ],
    ),
    Specimen(
        "tff.vob",
        [interlaced("-target", "ntsc-dvd", "-aspect", "16:9", "{out}", size="720x480", rate="60000/1001")],
        size=(853, 480),
    ),
    Specimen(
        "telecined.mpg",
        [
            [
                *picture("320x240", "24000/1001", 1.6, "telecine"),
                *sound(),
                "-c:v",
                "mpeg2video",
                "-q:v",
                "3",
                "-flags",
                "+ilme+ildct",
                "-c:a",
                "mp2",
                "{out}",
            ]
        ],
        frames=False,
    ),
)
SPACED = (
    Specimen(
        "vfr.webm",
        [
            [
                *picture(more=UNEVEN),
                *sound(),
                "-fps_mode",
                "vfr",
                "-c:v",
                "libvpx",
                "-b:v",
                "1M",
                "-deadline",
                "realtime",
                "-cpu-used",
                "8",
                "-c:a",
                "libvorbis",
                "{out}",
            ]
        ],
        frames=False,
    ),
    Specimen(
        "vfr.mov", [film("-vf", UNEVEN, "-fps_mode", "vfr", "-video_track_timescale", "600", "{out}")], frames=False
    ),
    Specimen(
        "slides.mp4",
        [[*picture(rate="25", seconds=8, more=SLIDES), *sound(8), "-fps_mode", "vfr", *H264, *AAC, "{out}"]],
        frames=False,
    ),
    Specimen("one-fps.mp4", [film("{out}", rate="1", seconds=4.0)]),
    Specimen("fps-240.mov", [film("{out}", rate="240", seconds=0.8)], frames=False),
    Specimen("fps-59.94.ts", [film("{out}", rate="60000/1001")]),
    Specimen("picture-of-song.mp4", [[*picture(seconds=0.04), *sound(4), *H264, *AAC, "{out}"]], frames=False),
    Specimen("picture-of-song.mkv", [[*picture(seconds=0.04), *sound(4), *H264, *AAC, "{out}"]], frames=False),
)
LYING = (
    Specimen("claims-an-hour.mp4", [film("{out}")], edit=lasting(3600)),
    Specimen("claims-a-moment.mp4", [film("{out}")], edit=lasting(0.2)),
    Specimen("claims-an-hour.mkv", [film("{out}")], edit=ebml_duration(3600)),
    Specimen(
        "claims-a-moment.webm",
        [
            [
                *picture(),
                *sound(),
                "-c:v",
                "libvpx",
                "-b:v",
                "1M",
                "-deadline",
                "realtime",
                "-cpu-used",
                "8",
                "-c:a",
                "libopus",
                "{out}",
            ]
        ],
        edit=ebml_duration(0.2),
    ),
    Specimen("no-duration.flv", [film("-f", "flv", "-flvflags", "no_duration_filesize", "{out}")]),
    Specimen("no-total.flac", [[*sound(), "-c:a", "flac", "-f", "flac", "pipe:1"]]),
    Specimen(
        "cbr-no-xing.mp3",
        [[*sound(4), "-c:a", "libmp3lame", "-b:a", "128k", "-write_xing", "0", "-id3v2_version", "0", "{out}"]],
    ),
    Specimen("late-start.mkv", [film("-output_ts_offset", "5", "{out}")]),
    Specimen("late-start.mp4", [film("-output_ts_offset", "5", "-use_editlist", "1", "{out}")]),
    Specimen(
        "late-fragment.mp4",
        [film("-movflags", "+frag_keyframe+empty_moov+default_base_moof", "-output_ts_offset", "100", "{out}")],
    ),
    Specimen(
        "late-start.webm",
        [
            [
                *picture(),
                *sound(),
                "-c:v",
                "libvpx",
                "-b:v",
                "1M",
                "-deadline",
                "realtime",
                "-cpu-used",
                "8",
                "-c:a",
                "libopus",
                "-output_ts_offset",
                "7",
                "{out}",
            ]
        ],
    ),
    Specimen(
        "negative-start.mov",
        [film("-bf", "3", "-output_ts_offset", "-0.3", "-avoid_negative_ts", "disabled", "{out}")],
        frames=False,
        refused={"remux-mkv": "hides parts by an edit list, which Matroska would show"},
    ),
    Specimen(
        "edit-list.mov",
        [film("-g", "100", "{work}/f.mov", seconds=3.0), ["-ss", "1.3", "-i", "{work}/f.mov", "-c", "copy", "{out}"]],
        refused={"remux-mkv": "hides parts by an edit list, which Matroska would show"},
    ),
    Specimen(
        "late-audio.ts",
        [
            film("{work}/f.mp4"),
            [
                "-i",
                "{work}/f.mp4",
                "-itsoffset",
                "0.6",
                "-i",
                "{work}/f.mp4",
                "-map",
                "0:v",
                "-map",
                "1:a",
                "-c",
                "copy",
                "{out}",
            ],
        ],
    ),
    Specimen(
        "late-audio.avi",
        [
            film("{work}/f.mp4"),
            [
                "-i",
                "{work}/f.mp4",
                "-itsoffset",
                "0.5",
                "-i",
                "{work}/f.mp4",
                "-map",
                "0:v",
                "-map",
                "1:a",
                "-c:v",
                "mpeg4",
                "-q:v",
                "3",
                "-c:a",
                "libmp3lame",
                "{out}",
            ],
        ],
        frames=False,
    ),
    Specimen(
        "late-video.ts",
        [
            film("{work}/f.mp4"),
            [
                "-itsoffset",
                "0.8",
                "-i",
                "{work}/f.mp4",
                "-i",
                "{work}/f.mp4",
                "-map",
                "0:v",
                "-map",
                "1:a",
                "-c",
                "copy",
                "{out}",
            ],
        ],
    ),
    Specimen(
        "late-video.webm",
        [
            [
                *picture(),
                *sound(),
                "-c:v",
                "libvpx",
                "-b:v",
                "1M",
                "-deadline",
                "realtime",
                "-cpu-used",
                "8",
                "-c:a",
                "libopus",
                "{work}/f.webm",
            ],
            [
                "-itsoffset",
                "0.8",
                "-i",
                "{work}/f.webm",
                "-i",
                "{work}/f.webm",
                "-map",
                "0:v",
                "-map",
                "1:a",
                "-c",
                "copy",
                "{out}",
            ],
        ],
    ),
    Specimen("short-audio.ts", [[*picture(seconds=3), *sound(1.0), *H264, *AAC, "{out}"]]),
    Specimen("short-audio.mkv", [[*picture(seconds=3), *sound(1.0), *H264, *AAC, "{out}"]]),
)
BROADCAST = (
    Specimen("headless.ts", [film("-g", "12", "{out}", seconds=3.0)], edit=headless, frames=False),
    Specimen("gap.ts", [film("-g", "12", "{out}", seconds=4.0)], edit=packets_lost(0.4, 0.6), frames=False),
    Specimen(
        "joined.ts",
        [
            film("{work}/a.ts"),
            film("-output_ts_offset", "500", "{work}/b.ts"),
            ["-i", "concat:{work}/a.ts|{work}/b.ts", "-c", "copy", "-copyts", "-f", "mpegts", "{work}/c.ts"],
        ],
        join=("a.ts", "b.ts"),
        seconds=3.22,
        frames=False,
    ),
    Specimen(
        "joined-back.ts",
        [film("-output_ts_offset", "500", "{work}/a.ts"), film("{work}/b.ts")],
        join=("a.ts", "b.ts"),
        seconds=3.22,
        frames=False,
    ),
    Specimen(
        "two-programs.ts",
        [
            [
                *picture(),
                *sound(),
                *picture("160x90"),
                *sound(frequency=900),
                "-map",
                "0",
                "-map",
                "1",
                "-map",
                "2",
                "-map",
                "3",
                *H264,
                *AAC,
                "-program",
                "title=one:st=0:st=1",
                "-program",
                "title=two:st=2:st=3",
                "{out}",
            ]
        ],
    ),
)
TRACKS = (
    Specimen(
        "languages.mov",
        [
            [
                *picture(),
                *sound(frequency=300),
                *sound(frequency=900),
                "-map",
                "0:v",
                "-map",
                "1:a",
                "-map",
                "2:a",
                *H264,
                *AAC,
                "-metadata:s:a:0",
                "language=eng",
                "-metadata:s:a:1",
                "language=jpn",
                "-disposition:a:0",
                "0",
                "-disposition:a:1",
                "default",
                "{out}",
            ]
        ],
    ),
    Specimen(
        "languages.ts",
        [
            [
                *picture(),
                *sound(frequency=300),
                *sound(frequency=900),
                "-map",
                "0:v",
                "-map",
                "1:a",
                "-map",
                "2:a",
                *H264,
                "-c:a",
                "mp2",
                "-metadata:s:a:0",
                "language=eng",
                "-metadata:s:a:1",
                "language=fra",
                "{out}",
            ]
        ],
    ),
    Specimen(
        "languages.mka",
        [
            [
                *sound(frequency=300),
                *sound(frequency=900),
                "-map",
                "0",
                "-map",
                "1",
                "-c:a",
                "libvorbis",
                "-metadata:s:a:0",
                "language=eng",
                "-metadata:s:a:1",
                "language=fra",
                "-disposition:a:0",
                "0",
                "-disposition:a:1",
                "default",
                "{out}",
            ]
        ],
    ),
    Specimen("sound-first.mp4", [[*picture(), *sound(), "-map", "1:a", "-map", "0:v", *H264, *AAC, "{out}"]]),
    sounding("mono-8k.mkv", "mono", "-c:a", "pcm_s16le", "-ar", "8000"),
    sounding("5.1-side.mkv", "5.1(side)", "-c:a", "dca", "-strict", "-2"),
    sounding("5.1.mp4", "5.1", "-c:a", "eac3"),
    sounding("5.1-truehd.mkv", "5.1(side)", "-c:a", "truehd", "-strict", "-2"),
    sounding("7.1.mkv", "7.1", "-c:a", "flac"),
    sounding("7.1.mov", "7.1", "-c:a", "pcm_s24be"),
    sounding("6.1.mkv", "6.1", "-c:a", "flac"),
    sounding("2.1.mkv", "2.1", "-c:a", "pcm_s16le"),
    sounding("hexagonal.mkv", "hexagonal", "-c:a", "pcm_f32le"),
    sounding("alac.mov", "stereo", "-c:a", "alac"),
    sounding("opus.mp4", "stereo", "-c:a", "libopus"),
    sounding(
        "opus-5.1.webm",
        "5.1",
        "-c:v",
        "libvpx",
        "-b:v",
        "1M",
        "-deadline",
        "realtime",
        "-cpu-used",
        "8",
        "-c:a",
        "libopus",
        "-mapping_family",
        "1",
    ),
    sounding("mp3.mp4", "stereo", "-c:a", "libmp3lame"),
    sounding("u8-11k.avi", "mono", "-c:v", "mjpeg", "-c:a", "pcm_u8", "-ar", "11025"),
    sounding("192k.mkv", "stereo", "-c:a", "pcm_s32le", "-ar", "192000"),
    sounding("22k.flv", "mono", "-c:v", "flv1", "-q:v", "3", "-c:a", "libmp3lame", "-ar", "22050"),
    Specimen("tiny.wav", [["-f", "lavfi", "-i", "sine=duration=0.01:sample_rate=44100", "{out}"]]),
    Specimen(
        "tiny.mp3", [["-f", "lavfi", "-i", "sine=duration=0.02:sample_rate=44100", "-c:a", "libmp3lame", "{out}"]]
    ),
    Specimen("tiny.opus", [["-f", "lavfi", "-i", "sine=duration=0.02:sample_rate=48000", "-c:a", "libopus", "{out}"]]),
    Specimen("alac.m4a", [[*sound(), "-c:a", "alac", "{out}"]]),
    Specimen("alac.caf", [[*sound(), "-c:a", "alac", "{out}"]]),
    Specimen("wma.wma", [[*sound(), "-c:a", "wmav2", "{out}"]]),
    Specimen("dts.dts", [[*sound(channels="5.1(side)"), "-c:a", "dca", "-strict", "-2", "{out}"]]),
    Specimen("eac3.eac3", [[*sound(channels="5.1"), "-c:a", "eac3", "{out}"]]),
    Specimen("voice.amr", [[*sound(channels="mono"), "-ar", "8000", "-c:a", "libopencore_amrnb", "{out}"]]),
    Specimen("7.1.flac", [[*sound(channels="7.1"), "-c:a", "flac", "{out}"]]),
    Specimen("be.aiff", [[*sound(), "-c:a", "pcm_s24be", "{out}"]]),
    Specimen("vorbis-cover.ogg", [[*sound(), "-c:a", "libvorbis", "{out}"]]),
    Specimen(
        "cover.flac",
        [
            [*picture("200x200", "1", 1), "-frames:v", "1", "{work}/c.png"],
            [
                *sound(),
                "-i",
                "{work}/c.png",
                "-map",
                "0",
                "-map",
                "1",
                "-c:v",
                "copy",
                "-c:a",
                "flac",
                "-disposition:v",
                "attached_pic",
                "{out}",
            ],
        ],
    ),
)
BESIDE = (
    Specimen(
        "cover-first.mp4",
        [
            film("{work}/f.mp4"),
            [*picture("600x600", "1", 1), "-frames:v", "1", "{work}/c.png"],
            [
                "-i",
                "{work}/c.png",
                "-i",
                "{work}/f.mp4",
                "-map",
                "0",
                "-map",
                "1",
                "-c",
                "copy",
                "-disposition:v:0",
                "attached_pic",
                "{out}",
            ],
        ],
    ),
    Specimen(
        "cover.mkv",
        [
            film("{work}/f.mkv"),
            [*picture("600x600", "1", 1), "-frames:v", "1", "{work}/cover.png"],
            [
                "-i",
                "{work}/f.mkv",
                "-attach",
                "{work}/cover.png",
                "-metadata:s:t",
                "mimetype=image/png",
                "-metadata:s:t",
                "filename=cover.png",
                "-c",
                "copy",
                "{out}",
            ],
        ],
    ),
    Specimen(
        "font.mkv",
        [
            [
                *picture(),
                *sound(),
                "-i",
                "{work}/s.srt",
                *H264,
                *AAC,
                "-c:s",
                "ass",
                "-attach",
                "{work}/s.srt",
                "-metadata:s:t",
                "mimetype=application/x-truetype-font",
                "{out}",
            ]
        ],
        companions={"s.srt": SUBTITLES},
    ),
    Specimen(
        "two-subtitles.mp4",
        [
            [
                *picture(),
                *sound(),
                "-i",
                "{work}/s.srt",
                "-i",
                "{work}/s.srt",
                "-map",
                "0",
                "-map",
                "1",
                "-map",
                "2",
                "-map",
                "3",
                *H264,
                *AAC,
                "-c:s",
                "mov_text",
                "-metadata:s:s:0",
                "language=eng",
                "-metadata:s:s:1",
                "language=deu",
                "{out}",
            ]
        ],
        companions={"s.srt": SUBTITLES},
    ),
    Specimen(
        "webvtt.webm",
        [
            [
                *picture(),
                *sound(),
                "-i",
                "{work}/s.srt",
                "-c:v",
                "libvpx",
                "-b:v",
                "1M",
                "-deadline",
                "realtime",
                "-cpu-used",
                "8",
                "-c:a",
                "libopus",
                "-c:s",
                "webvtt",
                "{out}",
            ]
        ],
        companions={"s.srt": SUBTITLES},
    ),
    Specimen(
        "long-subtitle.mkv",
        [[*picture(), *sound(), "-i", "{work}/s.srt", *H264, *AAC, "-c:s", "srt", "{out}"]],
        companions={"s.srt": "1\n00:00:00,200 --> 00:00:30,000\nHello\n"},
    ),
    Specimen(
        "chapters.mov",
        [
            [
                *picture(),
                *sound(),
                "-i",
                "{work}/c.txt",
                "-map_metadata",
                "2",
                "-metadata:s:v",
                "timecode=01:00:00:00",
                *H264,
                *AAC,
                "{out}",
            ]
        ],
        companions={"c.txt": CHAPTERS},
    ),
    Specimen(
        "chapters.m4b",
        [[*sound(), "-i", "{work}/c.txt", "-map_metadata", "1", *AAC, "-f", "ipod", "{out}"]],
        companions={"c.txt": CHAPTERS},
    ),
    Specimen(
        "chapters-late.mkv",
        [
            [
                *picture(),
                *sound(),
                "-i",
                "{work}/c.txt",
                "-map_metadata",
                "2",
                "-output_ts_offset",
                "5",
                *H264,
                *AAC,
                "{out}",
            ]
        ],
        companions={"c.txt": CHAPTERS.replace("=800", "=5800").replace("END=1600", "END=6600")},
    ),
    Specimen(
        "fields.mp4", [film("-metadata", 'title=Ünï ☃ "quoted" \\ back', "-metadata", "artist=a=b;c#d\ne", "{out}")]
    ),
)
COLOURED = (
    Specimen(
        "hdr10.mkv",
        [
            [
                *picture(more=tone_mapped("smpte2084", "yuv420p10le")),
                *sound(),
                *X265[:-1],
                "log-level=error:crf=12:hdr10=1:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400",
                *AAC,
                "{out}",
            ]
        ],
        colours=False,
    ),
    Specimen(
        "hlg.webm",
        [
            [
                *picture(more=tone_mapped("arib-std-b67", "yuv420p10le")),
                *sound(),
                "-c:v",
                "libvpx-vp9",
                "-crf",
                "20",
                "-b:v",
                "0",
                "-cpu-used",
                "8",
                "-deadline",
                "realtime",
                "-c:a",
                "libopus",
                "{out}",
            ]
        ],
        colours=False,
    ),
    Specimen(
        "pq-prores.mov",
        [
            [
                *picture(more=tone_mapped("smpte2084", "yuv422p10le")),
                "-c:v",
                "prores_ks",
                "-color_primaries",
                "bt2020",
                "-color_trc",
                "smpte2084",
                "-colorspace",
                "bt2020nc",
                "{out}",
            ]
        ],
        colours=False,
    ),
    Specimen("pq-12bit.mkv", [[*picture(more=tone_mapped("smpte2084", "yuv444p12le")), *X265, "{out}"]], colours=False),
    Specimen(
        "bt2020-sdr.mp4",
        [
            [
                *picture(
                    more="format=yuv420p,setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709,zscale=p=2020:m=2020_ncl:t=2020_10:r=tv,format=yuv420p10le"
                ),
                *sound(),
                *X265,
                "-tag:v",
                "hvc1",
                *AAC,
                "{out}",
            ]
        ],
        colours=False,
    ),
    pixels("422-10.mp4", "yuv422p10le", *X264, *AAC, *BT709),
    Specimen(
        "444-odd.mp4", [[*picture("321x181"), *sound(), *X264, "-pix_fmt", "yuv444p", *AAC, "{out}"]], size=(320, 180)
    ),
    pixels("444-12.mkv", "yuv444p12le", *X265, *AAC),
    pixels("grey.mp4", "gray", *X264, *AAC, corners=False),
    pixels("grey10.mkv", "gray10le", *X265, *AAC, corners=False),
    pixels("rgb.mp4", "rgb24", "-c:v", "libx264rgb", "-preset", "ultrafast", "-crf", "12", *AAC),
    pixels("rgb48.mkv", "gbrp16le", "-c:v", "ffv1", "-strict", "-2", "-c:a", "flac"),
    pixels(
        "full-range.mov",
        "yuv420p10le",
        "-vf",
        "scale=out_range=pc,format=yuv420p10le",
        *X265,
        "-color_range",
        "pc",
        "-tag:v",
        "hvc1",
        *AAC,
    ),
    pixels("full-range.mkv", "yuvj422p", "-c:v", "mjpeg", "-q:v", "2", "-c:a", "pcm_s16le"),
    pixels("411.avi", "yuv411p", "-c:v", "ffvhuff", "-c:a", "pcm_s16le"),
    pixels(
        "ntsc-601.mov",
        "yuv420p",
        "-vf",
        "scale=out_color_matrix=bt601:out_range=tv,format=yuv420p,setparams=color_primaries=smpte170m:color_trc=bt709:colorspace=smpte170m",
        *X264,
        *AAC,
        size="720x480",
    ),
    pixels(
        "pal-601.ts",
        "yuv420p",
        "-vf",
        "scale=out_color_matrix=bt601:out_range=tv,format=yuv420p,setparams=color_primaries=bt470bg:color_trc=bt470bg:colorspace=bt470bg",
        "-c:v",
        "mpeg2video",
        "-q:v",
        "2",
        "-c:a",
        "mp2",
        size="704x576",
    ),
    pixels(
        "vp9-444.webm",
        "yuv444p",
        "-c:v",
        "libvpx-vp9",
        "-crf",
        "15",
        "-b:v",
        "0",
        "-cpu-used",
        "8",
        "-deadline",
        "realtime",
        "-c:a",
        "libopus",
        size="321x179",
    ),
    pixels(
        "av1-10.webm",
        "yuv420p10le",
        "-c:v",
        "libsvtav1",
        "-preset",
        "12",
        "-crf",
        "15",
        "-svtav1-params",
        "lp=2",
        "-c:a",
        "libopus",
    ),
    pixels(
        "av1.mkv",
        "yuv420p",
        "-c:v",
        "libsvtav1",
        "-preset",
        "12",
        "-crf",
        "15",
        "-svtav1-params",
        "lp=2",
        "-c:a",
        "libvorbis",
    ),
)
TRANSPARENT = (
    Specimen(
        "alpha-qtrle.mov",
        [[*picture(more=see_through()), *sound(), "-c:v", "qtrle", "-pix_fmt", "argb", "-c:a", "pcm_s16le", "{out}"]],
        colours=False,
        alpha=True,
    ),
    Specimen(
        "alpha-png.mov",
        [[*picture(more=see_through()), *sound(), "-c:v", "png", "-pix_fmt", "rgba", "-c:a", "pcm_s16le", "{out}"]],
        colours=False,
        alpha=True,
    ),
    Specimen(
        "alpha-ffv1.mkv",
        [[*picture(more=see_through()), "-c:v", "ffv1", "-pix_fmt", "yuva420p", "{out}"]],
        colours=False,
        alpha=True,
    ),
    Specimen(
        "alpha-vp8.webm",
        [
            [
                *picture(more=see_through() + ",format=yuva420p"),
                "-c:v",
                "libvpx",
                "-b:v",
                "1M",
                "-auto-alt-ref",
                "0",
                "-deadline",
                "realtime",
                "-cpu-used",
                "8",
                "{out}",
            ]
        ],
        colours=False,
        alpha=True,
    ),
    Specimen(
        "alpha-odd.gif",
        [
            [
                *picture(
                    "161x91",
                    rate="10",
                    more=see_through() + ",split[a][b];[a]palettegen=reserve_transparent=1[p];[b][p]paletteuse",
                ),
                "{out}",
            ]
        ],
        colours=False,
        alpha=True,
        size=(160, 90),
    ),
    Specimen(
        "alpha-still.png",
        [[*picture(seconds=0.1, more=see_through()), "-frames:v", "1", "{out}"]],
        colours=False,
        alpha=True,
    ),
    Specimen(
        "alpha-turned.mov",
        [
            [
                *picture(more=see_through()),
                "-c:v",
                "prores_ks",
                "-pix_fmt",
                "yuva444p10le",
                "-alpha_bits",
                "16",
                "{work}/f.mov",
            ],
            ["-display_rotation", "90", "-i", "{work}/f.mov", "-c", "copy", "{out}"],
        ],
        colours=False,
        alpha=True,
        turns=1,
        size=(180, 320),
    ),
)
SIZED = (
    Specimen(
        "1x1.mkv",
        [[*picture("1x1"), *sound(), "-c:v", "ffv1", "-pix_fmt", "yuv444p", "-c:a", "flac", "{out}"]],
        size=(2, 2),
        colours=False,
        corners=False,
    ),
    Specimen(
        "2x2.mp4", [[*picture("16x16", more="crop=2:2"), *sound(), *H264, *AAC, "{out}"]], colours=False, corners=False
    ),
    Specimen(
        "3x300.mkv",
        [[*picture("3x300"), *sound(), "-c:v", "ffv1", "-pix_fmt", "yuv444p", "-c:a", "flac", "{out}"]],
        corners=False,
        size=(2, 300),
        colours=False,
    ),
    Specimen(
        "641x359.mkv",
        [[*picture("641x359"), *sound(), "-c:v", "ffv1", "-pix_fmt", "yuv444p", "-c:a", "flac", "{out}"]],
        size=(640, 358),
    ),
    Specimen("2000x16.mp4", [film("{out}", size="2000x16")]),
    Specimen(
        "odd-sar.mkv",
        [[*picture("351x241", more="setsar=10/11"), *sound(), *X264, "-pix_fmt", "yuv444p", *AAC, "{out}"]],
        size=(320, 242),
    ),
    Specimen("sar-3-4.mp4", [film("-vf", "setsar=3/4", "{out}", size="320x180")], size=(240, 180)),
    Specimen(
        "clap.mp4",
        [film("{out}", size="320x240")],
        edit=cropped(320, 180),
        colours=False,
        corners=False,
    ),
)
STILL_HEVC = [*picture(seconds=0.1), *X265, "-pix_fmt", "yuv420p", "-frames:v", "1", "{work}/f.mp4"]
SHORT = (
    Specimen("one.heic", [STILL_HEVC], build=lambda work: heic(work / "f.mp4")),
    Specimen(
        "tiles.heic", [STILL_HEVC], build=lambda work: heic(work / "f.mp4", 4), error="a still picture made of tiles"
    ),
    Specimen(
        "still.avif",
        [
            [
                *picture(seconds=0.1),
                "-frames:v",
                "1",
                "-c:v",
                "libaom-av1",
                "-cpu-used",
                "8",
                "-still-picture",
                "1",
                "{out}",
            ]
        ],
    ),
    Specimen("animated.avif", [[*picture(rate="10"), "-c:v", "libsvtav1", "-preset", "12", "-crf", "20", "{out}"]]),
    Specimen("animated.png", [[*picture(rate="10"), "-f", "apng", "{out}"]]),
    Specimen(
        "animated.apng", [[*picture(rate="10", more=see_through()), "-f", "apng", "{out}"]], colours=False, alpha=True
    ),
    Specimen("one-frame.mkv", [[*picture(), *X264, "-pix_fmt", "yuv420p", "-frames:v", "1", "{out}"]]),
    Specimen("one-frame.webm", [[*picture(), "-c:v", "libvpx", "-b:v", "1M", "-frames:v", "1", "{out}"]]),
    Specimen("one-frame.avi", [[*picture(), "-c:v", "mpeg4", "-q:v", "2", "-frames:v", "1", "{out}"]]),
    Specimen("one-frame.ts", [[*picture(), *H264, "-frames:v", "1", "{out}"]]),
    Specimen("one-frame-sound.mov", [[*picture(seconds=0.04), *sound(0.04), *H264, *AAC, "{out}"]]),
    Specimen("two-frames.mp4", [[*picture(), *H264, "-frames:v", "2", "{out}"]]),
    Specimen("still.bmp", [[*picture(seconds=0.1), "-frames:v", "1", "{out}"]]),
    Specimen("still.tiff", [[*picture("161x91", seconds=0.1), "-frames:v", "1", "{out}"]], size=(160, 90)),
    Specimen("still.gif", [[*picture(seconds=0.1), "-frames:v", "1", "{out}"]]),
)
BROKEN = (
    Specimen(
        "truncated.webm",
        [
            [
                *picture(seconds=4),
                *sound(4),
                "-c:v",
                "libvpx",
                "-b:v",
                "1M",
                "-deadline",
                "realtime",
                "-cpu-used",
                "8",
                "-c:a",
                "libopus",
                "{out}",
            ]
        ],
        cut=0.5,
        error="the source is truncated: its header says",
    ),
    Specimen(
        "truncated.avi",
        [[*picture(seconds=4), *sound(4), "-c:v", "mpeg4", "-q:v", "3", "-c:a", "libmp3lame", "{out}"]],
        cut=0.5,
        error="the source is truncated: its header says",
    ),
    Specimen(
        "truncated.wav",
        [[*sound(4), "{out}"]],
        cut=0.5,
        error="the source is truncated: its header says|has no picture",
    ),
    Specimen("truncated.flv", [film("-f", "flv", "{out}", seconds=4.0)], cut=0.5),
    Specimen("truncated.mp3", [[*sound(4), "-c:a", "libmp3lame", "{out}"]], cut=0.5),
    Specimen("truncated.ogg", [[*sound(4), "-c:a", "libvorbis", "{out}"]], cut=0.5),
    Specimen("no-index.mov", [film("{out}")], cut=0.5, error="its index \\(moov\\) is missing"),
    Specimen(
        "no-index.avi",
        [[*picture(), *sound(), "-c:v", "mjpeg", "-q:v", "3", "-c:a", "pcm_s16le", "{out}"]],
        edit=without_index,
    ),
    Specimen(
        "subtitles.srt",
        [[*picture(seconds=0.1), "-frames:v", "1", "{work}/c.png"]],
        text=SUBTITLES,
        error="it is not a media file ffspool can read, but a text",
    ),
    Specimen(
        "no-samples.wav",
        [["-f", "lavfi", "-i", "anullsrc=d=0.1", "-af", "atrim=end_sample=0", "{out}"]],
        error="neither a picture nor sound behind its header",
    ),
)
FORMATS = (
    Specimen("h264.flv", [film("-f", "flv", "{out}")]),
    Specimen(
        "h263.3gp",
        [
            [
                *picture("176x144", "15"),
                *sound(channels="mono"),
                "-c:v",
                "h263",
                "-q:v",
                "3",
                "-c:a",
                "libopencore_amrnb",
                "-ar",
                "8000",
                "-b:a",
                "12.2k",
                "{out}",
            ]
        ],
    ),
    Specimen("wmv.wmv", [[*picture(), *sound(), "-c:v", "wmv2", "-q:v", "3", "-c:a", "wmav2", "{out}"]]),
    Specimen("theora.ogv", [[*picture(), *sound(), "-c:v", "libtheora", "-q:v", "8", "-c:a", "libvorbis", "{out}"]]),
    Specimen("mpeg1.mpg", [[*picture(), *sound(), "-c:v", "mpeg1video", "-q:v", "3", "-c:a", "mp2", "{out}"]]),
    Specimen(
        "film.vob",
        [
            [
                *picture("720x576"),
                *sound(channels="5.1"),
                "-c:v",
                "mpeg2video",
                "-q:v",
                "3",
                "-c:a",
                "ac3",
                "-aspect",
                "16:9",
                "-f",
                "vob",
                "{out}",
            ]
        ],
        size=(1024, 576),
    ),
    Specimen("dv-pal.dv", [[*picture("720x576"), *sound(), "-target", "pal-dv", "{out}"]], size=(768, 576)),
    Specimen(
        "dv-ntsc.dv", [[*picture("720x480", "30000/1001"), *sound(), "-target", "ntsc-dv", "{out}"]], size=(640, 480)
    ),
    Specimen(
        "dv.avi",
        [[*picture("720x576"), *sound(), "-c:v", "dvvideo", "-pix_fmt", "yuv420p", "-c:a", "pcm_s16le", "{out}"]],
        size=(768, 576),
    ),
    Specimen(
        "dv.mov",
        [
            [
                *picture("720x480", "30000/1001"),
                *sound(),
                "-c:v",
                "dvvideo",
                "-pix_fmt",
                "yuv411p",
                "-c:a",
                "pcm_s16le",
                "{out}",
            ]
        ],
        size=(640, 480),
    ),
    Specimen(
        "dv.mxf",
        [
            [
                *picture("720x576"),
                *sound(),
                "-c:v",
                "dvvideo",
                "-pix_fmt",
                "yuv420p",
                "-c:a",
                "pcm_s16le",
                "-ar",
                "48000",
                "{out}",
            ]
        ],
        size=(768, 576),
    ),
    Specimen(
        "dv50.mov",
        [[*picture("720x576"), *sound(), "-c:v", "dvvideo", "-pix_fmt", "yuv422p", "-c:a", "pcm_s16le", "{out}"]],
        size=(768, 576),
    ),
    Specimen(
        "dnxhd.mxf",
        [
            [
                *picture("1280x720", "25", 0.6),
                *sound(0.6),
                "-c:v",
                "dnxhd",
                "-profile:v",
                "dnxhr_sq",
                "-pix_fmt",
                "yuv422p",
                "-c:a",
                "pcm_s16le",
                "-ar",
                "48000",
                "{out}",
            ]
        ],
    ),
    Specimen(
        "mjpeg.mov",
        [[*picture(), *sound(), "-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le", "{out}"]],
    ),
    Specimen("misnamed.avi", [film("-f", "matroska", "{out}")]),
    Specimen("misnamed.jpg", [film("-f", "mp4", "{out}")]),
    Specimen("SHOUTED.MKV", [film("-f", "matroska", "{out}")]),
    Specimen("m2ts.m2ts", [film("-f", "mpegts", "-mpegts_m2ts_mode", "1", "{out}")]),
    Specimen("raw.m2v", [[*picture(), "-c:v", "mpeg2video", "-q:v", "3", "-f", "mpeg2video", "{out}"]]),
)

COMBINATIONS = (
    *TURNED,
    *SCANNED,
    *SPACED,
    *LYING,
    *BROADCAST,
    *TRACKS,
    *BESIDE,
    *COLOURED,
    *TRANSPARENT,
    *SIZED,
    *SHORT,
    *BROKEN,
    *FORMATS,
)

# One of each trait that the files elsewhere lack, for when there is little time.
QUICK = {
    *(
        "turned-90-sar-odd.mkv",
        "tff.ts",
        "bff-mpeg2.ts",
        "tff.vob",
        "telecined.mpg",
        "slides.mp4",
        "picture-of-song.mkv",
    ),
    *("claims-an-hour.mp4", "claims-a-moment.webm", "late-start.mkv", "negative-start.mov", "edit-list.mov"),
    *(
        "late-video.ts",
        "headless.ts",
        "gap.ts",
        "joined.ts",
        "joined-back.ts",
        "languages.ts",
        "7.1.mkv",
        "hexagonal.mkv",
    ),
    *(
        "tiny.wav",
        "cover-first.mp4",
        "chapters-late.mkv",
        "hdr10.mkv",
        "bt2020-sdr.mp4",
        "grey10.mkv",
        "alpha-qtrle.mov",
    ),
    *(
        "1x1.mkv",
        "clap.mp4",
        "one.heic",
        "tiles.heic",
        "animated.png",
        "animated.avif",
        "no-samples.wav",
        "no-index.avi",
    ),
    *("theora.ogv", "wmv.wmv", "dv-pal.dv", "dv.mxf"),
}
