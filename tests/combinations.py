"""Files that have several of the real world's traits at once, in the containers they come in.

Each is made by the encoder; what no muxer would write is edited into its bytes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from functools import partial

from heif import heic
from screen_recording import RATE, SOUND_RATE, tscc
from specimens import (
    AAC,
    AV1,
    BT709,
    CHAPTERS,
    COPY,
    FFV1,
    FIELDS,
    FLAC,
    H264,
    MJPEG,
    MP3,
    MPEG2,
    MPEG4,
    NO_INDEX,
    ONCE,
    OPUS,
    PALETTE,
    PCM,
    PRORES,
    PRORES_ALPHA,
    SOFT_ALPHA,
    SUBTITLES,
    TRUNCATED,
    UNEVENLY,
    VP8,
    VP9,
    WEBM,
    X264,
    X265,
    Specimen,
    Step,
    alpha,
    attached,
    chaptered,
    cover,
    covered,
    encoded,
    film,
    heard,
    interlaced,
    mapped,
    painted,
    picture,
    read,
    remuxed,
    see_through,
    shifted,
    silent,
    sound,
    still,
    subtitled,
    telling,
    tone_mapped,
    tongues,
    turning,
    uneven,
)

# Bytes no muxer writes


def photographed(orientation: int) -> Callable[[bytes], bytes]:
    """Gives a JPEG the EXIF of a camera that was held that way."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1) + entry + struct.pack(">I", 0)
    return lambda whole: whole[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + whole[2:]


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


def real_duration(milliseconds: int) -> Callable[[bytes], bytes]:
    """A RealMedia file that says it lasts so long, as do its tracks."""

    def edit(whole: bytes) -> bytes:
        edited = bytearray(whole)
        for name, field in ((b"PROP", 30), (b"MDPR", 36)):
            for found in re.finditer(name, whole[:1000]):
                struct.pack_into(">I", edited, found.start() + field, milliseconds)
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


def defaced(kept: int) -> Callable[[bytes], bytes]:
    """A file whose cover has no more of a PNG than so many bytes of its beginning, and its end."""

    def edit(whole: bytes) -> bytes:
        begin, end = whole.index(b"\x89PNG") + kept, whole.index(b"IEND")
        return whole[:begin] + b"x" * (end - begin) + whole[end:]

    return edit


# Specimens of one kind


def turned_in(
    name: str,
    degrees: int,
    turns: int,
    *encode: str,
    size: str = "320x180",
    shown: str,
    rate: str = "25",
    more: str = "",
) -> Specimen:
    width, height = (int(side) for side in shown.split("x"))
    upright = encoded(*encode, *AAC, size=size, rate=rate, more=more, to="{work}/upright.mov")
    steps = [upright, turning("upright.mov", "-display_rotation", str(degrees))]
    return Specimen(name, steps, turns=turns, size=(width, height))


def sounding(name: str, channels: str, *encode: str, refused: dict[str, str] | None = None) -> Specimen:
    return Specimen(name, [encoded(*H264, *encode, channels=channels)], refused=refused or {})


def hears(name: str, *encode: str, channels: str = "stereo", seconds: float = 1.6, to: str = "{out}") -> Specimen:
    return Specimen(name, [heard(*encode, channels=channels, seconds=seconds, to=to)])


def tiny(name: str, seconds: float, rate: int, *encode: str) -> Specimen:
    return Specimen(name, [["-f", "lavfi", "-i", f"sine=duration={seconds}:sample_rate={rate}", *encode, "{out}"]])


def pixels(
    name: str,
    pixel_format: str,
    *encode: str,
    size: str = "320x180",
    shown: tuple[int, int] | None = None,
    corners: bool = True,
) -> Specimen:
    return Specimen(name, [encoded("-pix_fmt", pixel_format, *encode, size=size)], size=shown, corners=corners)


def wide_fields(*how: str) -> Step:
    return encoded(*how, size="720x576", rate="50", more="interlace=scan=bff,setsar=64/45")


def small(name: str, step: Step, shown: tuple[int, int] | None = None) -> Specimen:
    """Too small for its corners to be seen."""
    refused = SLIGHT if shown and min(shown) >= 4 else FLAT
    return Specimen(name, [step], size=shown, colours=False, corners=False, refused=refused)


def wide(name: str, step: Step) -> Specimen:
    """Of more light and colour than ordinary screens have."""
    return Specimen(name, [step], colours=False)


def sized(name: str, size: str, *, shown: tuple[int, int], large: bool = False) -> Specimen:
    """Of that size to the pixel, in 4:4:4; whether it is large enough for its corners to be seen."""
    steps = [encoded(*FFV1, "-pix_fmt", "yuv444p", *FLAC, size=size)]
    return Specimen(name, steps, size=shown, colours=large, corners=large, refused={} if large else FLAT)


def cut(name: str, share: float, step: Step, *, error: str | None = None) -> Specimen:
    return Specimen(name, [step], cut=share, error=error)


def late(name: str, kind: str, *how: str, picture: float = 0.0, sound: float = 0.0, frames: bool = True) -> Specimen:
    step = encoded(*WEBM, to="{work}/f.webm") if kind == "webm" else film(f"{{work}}/f.{kind}")
    return Specimen(name, [step, shifted(f"f.{kind}", *how, picture=picture, sound=sound)], frames=frames)


X444 = [*X264, "-pix_fmt", "yuv444p"]
SLIDES = "select='not(mod(n,40))',setpts=N/TB*1.6"
UNEVEN = "select='not(mod(n,7))+not(mod(n,5))'"
HIDES = {"remux-mkv": "hides parts by an edit list, which Matroska would show"}
SLIGHT = dict.fromkeys(("hevc-1080p", "archive-hevc"), "the encoder takes none with a side below 16 pixels")
FLAT = SLIGHT | dict.fromkeys(("av1-720p", "webm-av1-1080p"), "the encoder takes none with a side below 4 pixels")
MASTERING = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"
BT709_TO_2020 = "zscale=p=2020:m=2020_ncl:t=2020_10:r=tv,format=yuv420p10le"
AS_BT709 = "format=yuv420p,setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
PQ_TOLD = ["-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc"]

TURNED = (
    turned_in("turned-90-odd.mov", 90, 1, *X444, size="161x91", shown="90x160"),
    turned_in("turned-90-sar.mp4", 90, 1, *H264, more="setsar=4/3", size="240x180", shown="180x320"),
    turned_in("turned-270.mkv", 270, 3, *H264, shown="180x320"),
    turned_in("turned-180.mkv", 180, 2, *H264, shown="320x180"),
    turned_in("turned-270-hevc.mov", 270, 3, *X265, "-pix_fmt", "yuv420p10le", "-tag:v", "hvc1", shown="180x320"),
    turned_in("turned-90-sar-odd.mkv", 90, 1, *X444, more="setsar=32/27", size="321x241", shown="241x380"),
)
SCANNED = (
    Specimen("tff.ts", [interlaced(*H264, *FIELDS, "-x264opts", "tff=1", "-c:a", "ac3")]),
    Specimen("bff.mp4", [interlaced(*H264, *FIELDS, "-x264opts", "bff=1", *AAC, scan="bff")]),
    Specimen("bff-mpeg2.ts", [interlaced(*MPEG2, *FIELDS, "-bf", "2", "-c:a", "mp2", scan="bff")]),
    Specimen("tff.mxf", [interlaced(*MPEG2, *FIELDS, *PCM, "-ar", "48000")]),
    Specimen("tff-prores.mov", [interlaced(*PRORES, *FIELDS, "-pix_fmt", "yuv422p10le", "-c:a", "pcm_s24le")]),
    Specimen(
        "tff.vob",
        [interlaced("-target", "ntsc-dvd", "-aspect", "16:9", size="720x480", rate="60000/1001")],
        size=(853, 480),
    ),
    uneven(
        "telecined.mpg",
        encoded(*MPEG2, *FIELDS, "-c:a", "mp2", size="320x240", rate="24000/1001", more="telecine"),
    ),
)
SPACED = (
    uneven("vfr.webm", encoded(*UNEVENLY, *VP8, "-c:a", "libvorbis", more=UNEVEN)),
    uneven("vfr.mov", film("-vf", UNEVEN, *UNEVENLY, "-video_track_timescale", "600", "{out}")),
    uneven("slides.mp4", encoded(*UNEVENLY, *H264, *AAC, seconds=8, more=SLIDES)),
    Specimen("one-fps.mp4", [film("{out}", rate="1", seconds=4.0)]),
    uneven("fps-240.mov", film("{out}", rate="240", seconds=0.8)),
    Specimen("fps-59.94.ts", [film("{out}", rate="60000/1001")]),
    uneven("picture-of-song.mp4", [*picture(seconds=0.04), *sound(4), *H264, *AAC, "{out}"]),
    uneven("picture-of-song.mkv", [*picture(seconds=0.04), *sound(4), *H264, *AAC, "{out}"]),
)
LYING = (
    Specimen("claims-an-hour.mp4", [film("{out}")], edit=lasting(3600)),
    Specimen("claims-a-moment.mp4", [film("{out}")], edit=lasting(0.2)),
    Specimen("claims-an-hour.mkv", [film("{out}")], edit=ebml_duration(3600)),
    Specimen(
        "claims-a-moment.rm",
        [encoded("-c:v", "rv20", "-c:a", "ac3", "-f", "rm")],
        edit=real_duration(20),
        refused={"remux-mkv": "cannot hold the source's rv20"},
    ),
    Specimen("claims-a-moment.webm", [encoded(*WEBM)], edit=ebml_duration(0.2)),
    Specimen("no-duration.flv", [film("-f", "flv", "-flvflags", "no_duration_filesize", "{out}")]),
    hears("no-total.flac", *FLAC, "-f", "flac", to="pipe:1"),
    hears("cbr-no-xing.mp3", *MP3, "-b:a", "128k", "-write_xing", "0", "-id3v2_version", "0", seconds=4),
    Specimen(
        "ends-early.ogv",
        [
            [
                *(*picture(seconds=1), *sound(1, frequency=300), *sound(1, frequency=600), *mapped("0", "1", "2")),
                *("-c:v", "libtheora", "-q:v", "8", "-c:a", "libvorbis", "{out}"),
            ]
        ],
    ),
    Specimen("late-start.mkv", [film("-output_ts_offset", "5", "{out}")]),
    Specimen("late-start.mp4", [film("-output_ts_offset", "5", "-use_editlist", "1", "{out}")]),
    Specimen(
        "late-fragment.mp4",
        [film("-movflags", "+frag_keyframe+empty_moov+default_base_moof", "-output_ts_offset", "100", "{out}")],
    ),
    Specimen("late-start.webm", [encoded(*WEBM, "-output_ts_offset", "7")]),
    Specimen("late-start.wmv", [encoded("-c:v", "wmv2", "-q:v", "3", "-c:a", "wmav2", "-output_ts_offset", "5")]),
    Specimen(
        "negative-start.mov",
        [film("-bf", "3", "-output_ts_offset", "-0.3", "-avoid_negative_ts", "disabled", "{out}")],
        frames=False,
        refused=HIDES,
    ),
    Specimen(
        "edit-list.mov",
        [film("-g", "100", "{work}/f.mov", seconds=3.0), ["-ss", "1.3", *read("f.mov"), *COPY, "{out}"]],
        refused=HIDES,
    ),
    late("late-audio.ts", "mp4", sound=0.6),
    late("late-audio.avi", "mp4", *MPEG4, *MP3, sound=0.5, frames=False),
    late("late-audio.wmv", "mp4", "-c:v", "wmv2", "-q:v", "3", "-c:a", "wmav2", sound=0.4),
    late("late-video.ts", "mp4", picture=0.8),
    late("late-video.webm", "webm", picture=0.8),
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
            ["-i", "concat:{work}/a.ts|{work}/b.ts", *COPY, "-copyts", "-f", "mpegts", "{work}/c.ts"],
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
                *(*picture(), *sound(), *picture("160x90"), *sound(frequency=900), *mapped("0", "1", "2", "3")),
                *(*H264, *AAC, "-program", "title=one:st=0:st=1", "-program", "title=two:st=2:st=3", "{out}"),
            ]
        ],
    ),
)
TRACKS = (
    Specimen("languages.mov", [tongues(*H264, *AAC, languages=("eng", "jpn"), default=1)]),
    Specimen("languages.ts", [tongues(*H264, "-c:a", "mp2", languages=("eng", "fra"))]),
    Specimen(
        "languages.mka",
        [
            [
                *(*sound(frequency=300), *sound(frequency=900), *mapped("0", "1"), "-c:a", "libvorbis"),
                *("-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=fra"),
                *("-disposition:a:0", "0", "-disposition:a:1", "default", "{out}"),
            ]
        ],
    ),
    Specimen(
        "default-second.mp4",
        [
            [
                *(*picture("160x90"), *picture(), *sound(), *mapped("0:v", "1:v", "2:a"), *H264, *AAC),
                *("-disposition:v:0", "0", "-disposition:v:1", "default", "{out}"),
            ]
        ],
    ),
    Specimen("sound-first.mp4", [encoded(*mapped("1:a", "0:v"), *H264, *AAC)]),
    sounding("mono-8k.mkv", "mono", *PCM, "-ar", "8000"),
    sounding("5.1-side.mkv", "5.1(side)", "-c:a", "dca", "-strict", "-2"),
    sounding("5.1.mp4", "5.1", "-c:a", "eac3"),
    sounding("5.1-truehd.mkv", "5.1(side)", "-c:a", "truehd", "-strict", "-2"),
    sounding("7.1.mkv", "7.1", *FLAC),
    sounding("7.1.mov", "7.1", "-c:a", "pcm_s24be"),
    sounding("6.1.mkv", "6.1", *FLAC),
    sounding("2.1.mkv", "2.1", *PCM),
    sounding("hexagonal.mkv", "hexagonal", "-c:a", "pcm_f32le"),
    sounding("alac.mov", "stereo", "-c:a", "alac"),
    sounding("opus.mp4", "stereo", *OPUS),
    sounding("opus-5.1.webm", "5.1", *WEBM, "-mapping_family", "1"),
    sounding("mp3.mp4", "stereo", *MP3),
    sounding("u8-11k.avi", "mono", "-c:v", "mjpeg", "-c:a", "pcm_u8", "-ar", "11025"),
    sounding("192k.mkv", "stereo", "-c:a", "pcm_s32le", "-ar", "192000"),
    sounding("22k.flv", "mono", "-c:v", "flv1", "-q:v", "3", *MP3, "-ar", "22050"),
    tiny("tiny.wav", 0.01, 44100),
    tiny("tiny.mp3", 0.02, 44100, *MP3),
    tiny("tiny.opus", 0.02, 48000, *OPUS),
    hears("alac.m4a", "-c:a", "alac"),
    hears("alac.caf", "-c:a", "alac"),
    hears("wma.wma", "-c:a", "wmav2"),
    hears("dts.dts", "-c:a", "dca", "-strict", "-2", channels="5.1(side)"),
    hears("eac3.eac3", "-c:a", "eac3", channels="5.1"),
    hears("voice.amr", "-ar", "8000", "-c:a", "libopencore_amrnb", channels="mono"),
    hears("7.1.flac", *FLAC, channels="7.1"),
    hears("be.aiff", "-c:a", "pcm_s24be"),
    hears("vorbis-cover.ogg", "-c:a", "libvorbis"),
    Specimen("cover.flac", [cover(), covered(*FLAC)]),
)
BESIDE = (
    Specimen(
        "cover-first.mp4",
        [
            film("{work}/f.mp4"),
            cover("600x600"),
            [*read("c.png"), *read("f.mp4"), *mapped("0", "1"), *COPY, *attached(0), "{out}"],
        ],
    ),
    Specimen(
        "cover.mkv",
        [
            film("{work}/f.mkv"),
            cover("600x600", "cover.png"),
            remuxed(
                *("f.mkv", "-attach", "{work}/cover.png"),
                *("-metadata:s:t", "mimetype=image/png", "-metadata:s:t", "filename=cover.png"),
            ),
        ],
    ),
    telling(
        "font.mkv",
        SUBTITLES,
        subtitled(
            *(*H264, *AAC, "-c:s", "ass", "-attach", "{work}/s.srt"),
            *("-metadata:s:t", "mimetype=application/x-truetype-font"),
        ),
    ),
    telling(
        "two-subtitles.mp4",
        SUBTITLES,
        [
            *(*picture(), *sound(), *read("s.srt"), *read("s.srt"), *mapped("0", "1", "2", "3")),
            *(*H264, *AAC, "-c:s", "mov_text"),
            *("-metadata:s:s:0", "language=eng", "-metadata:s:s:1", "language=deu", "{out}"),
        ],
    ),
    telling("webvtt.webm", SUBTITLES, subtitled(*WEBM, "-c:s", "webvtt")),
    telling(
        "long-subtitle.mkv",
        "1\n00:00:00,200 --> 00:00:30,000\nHello\n",
        subtitled(*H264, *AAC, "-c:s", "srt"),
    ),
    telling("chapters.mov", CHAPTERS, chaptered("-metadata:s:v", "timecode=01:00:00:00", *H264, *AAC)),
    telling("chapters.m4b", CHAPTERS, heard(*read("c.txt"), "-map_metadata", "1", *AAC, "-f", "ipod")),
    telling(
        "chapters-late.mkv",
        CHAPTERS.replace("=800", "=5800").replace("END=1600", "END=6600"),
        chaptered("-output_ts_offset", "5", *H264, *AAC),
    ),
    Specimen(
        "fields.mp4", [film("-metadata", 'title=Ünï ☃ "quoted" \\ back', "-metadata", "artist=a=b;c#d\ne", "{out}")]
    ),
)
COLOURED = (
    wide(
        "hdr10.mkv",
        encoded(
            *(*X265[:-1], f"log-level=error:crf=12:hdr10=1:{MASTERING}", *AAC),
            more=tone_mapped("smpte2084", "yuv420p10le"),
        ),
    ),
    wide("hlg.webm", encoded(*VP9, *OPUS, more=tone_mapped("arib-std-b67", "yuv420p10le"))),
    wide("pq-prores.mov", silent(*PRORES, *PQ_TOLD, more=tone_mapped("smpte2084", "yuv422p10le"))),
    wide("pq-12bit.mkv", silent(*X265, more=tone_mapped("smpte2084", "yuv444p12le"))),
    wide("bt2020-sdr.mp4", encoded(*X265, "-tag:v", "hvc1", *AAC, more=f"{AS_BT709},{BT709_TO_2020}")),
    pixels("422-10.mp4", "yuv422p10le", *X264, *AAC, *BT709),
    pixels("444-odd.mp4", "yuv444p", *X264, *AAC, size="321x181", shown=(320, 180)),
    pixels("444-12.mkv", "yuv444p12le", *X265, *AAC),
    pixels("grey.mp4", "gray", *X264, *AAC, corners=False),
    pixels("grey10.mkv", "gray10le", *X265, *AAC, corners=False),
    pixels("rgb.mp4", "rgb24", "-c:v", "libx264rgb", "-preset", "ultrafast", "-crf", "12", *AAC),
    pixels("rgb48.mkv", "gbrp16le", *FFV1, "-strict", "-2", *FLAC),
    pixels(
        *("full-range.mov", "yuv420p10le", "-vf", "scale=out_range=pc,format=yuv420p10le"),
        *(*X265, "-color_range", "pc", "-tag:v", "hvc1", *AAC),
    ),
    pixels("full-range.mkv", "yuvj422p", "-c:v", "mjpeg", "-q:v", "2", *PCM),
    pixels("411.avi", "yuv411p", "-c:v", "ffvhuff", *PCM),
    pixels(
        *("ntsc-601.mov", "yuv420p", *painted("bt601", "smpte170m/bt709/smpte170m"), *X264, *AAC),
        size="720x480",
    ),
    pixels(
        *("pal-601.ts", "yuv420p", *painted("bt601", "bt470bg/bt470bg/bt470bg")),
        *("-c:v", "mpeg2video", "-q:v", "2", "-c:a", "mp2"),
        size="704x576",
    ),
    pixels("vp9-444.webm", "yuv444p", *VP9, *OPUS, size="321x179"),
    pixels("av1-10.webm", "yuv420p10le", *AV1, *OPUS),
    pixels("av1.mkv", "yuv420p", *AV1, "-c:a", "libvorbis"),
)
TRANSPARENT = (
    alpha("alpha-qtrle.mov", encoded("-c:v", "qtrle", "-pix_fmt", "argb", *PCM, more=see_through())),
    alpha("alpha-png.mov", encoded("-c:v", "png", "-pix_fmt", "rgba", *PCM, more=see_through())),
    alpha("alpha-ffv1.mkv", silent(*FFV1, "-pix_fmt", "yuva420p", more=see_through())),
    alpha("alpha-vp8.webm", silent(*VP8, "-auto-alt-ref", "0", more=see_through() + ",format=yuva420p")),
    alpha("alpha-odd.gif", silent(size="161x91", rate="10", more=see_through() + PALETTE), size=(160, 90)),
    alpha("alpha-still.png", still(more=see_through())),
    alpha(
        "alpha-turned.mov",
        silent(*PRORES_ALPHA, more=see_through(), to="{work}/f.mov"),
        turning("f.mov", "-display_rotation", "90"),
        turns=1,
        size=(180, 320),
    ),
)
SIZED = (
    sized("1x1.mkv", "1x1", shown=(2, 2)),
    small("2x2.mp4", encoded(*H264, *AAC, size="16x16", more="crop=2:2")),
    sized("3x300.mkv", "3x300", shown=(2, 300)),
    sized("641x359.mkv", "641x359", shown=(640, 358), large=True),
    Specimen("2000x16.mp4", [film("{out}", size="2000x16")], corners=False),
    Specimen(
        "odd-sar.mkv",
        [encoded(*X444, *AAC, size="351x241", more="setsar=10/11")],
        size=(320, 242),
    ),
    Specimen("sar-3-4.mp4", [film("-vf", "setsar=3/4", "{out}", size="320x180")], size=(240, 180)),
    Specimen("clap.mp4", [film("{out}", size="320x240")], edit=cropped(320, 180), colours=False, corners=False),
)
STILL_HEVC = still(*X265, "-pix_fmt", "yuv420p", to="{work}/f.mp4")
SHORT = (
    Specimen("one.heic", [STILL_HEVC], build=lambda work: heic(work / "f.mp4")),
    Specimen(
        "tiles.heic", [STILL_HEVC], build=lambda work: heic(work / "f.mp4", 4), error="a still picture made of tiles"
    ),
    Specimen("still.avif", [still("-c:v", "libaom-av1", "-cpu-used", "8", "-still-picture", "1")]),
    Specimen("animated.avif", [silent("-c:v", "libsvtav1", "-preset", "12", "-crf", "20", rate="10")]),
    Specimen("animated.png", [silent("-f", "apng", rate="10")]),
    alpha("animated.apng", silent("-f", "apng", rate="10", more=see_through())),
    Specimen("one-frame.mkv", [silent(*H264, *ONCE)]),
    Specimen("one-frame.webm", [silent("-c:v", "libvpx", "-b:v", "1M", *ONCE)]),
    Specimen("one-frame.avi", [silent("-c:v", "mpeg4", "-q:v", "2", *ONCE)]),
    Specimen("one-frame.ts", [silent(*H264, *ONCE)]),
    Specimen("one-frame-sound.mov", [encoded(*H264, *AAC, seconds=0.04)]),
    Specimen("two-frames.mp4", [silent(*H264, "-frames:v", "2")]),
    Specimen("still.bmp", [still()]),
    Specimen("still.tiff", [still(size="161x91")], size=(160, 90)),
    Specimen(
        "packed.tiff",
        [still("-compression_algo", "raw")],
        edit=lambda whole: whole.replace(*(struct.pack("<HHIHH", 259, 3, 1, packing, 0) for packing in (1, 7))),
        error="it is a TIFF packed as JPEG",
    ),
    Specimen("still.gif", [still()]),
    Specimen("photo.jpg", [still("-update", "1")], edit=photographed(1)),
    Specimen("photo-upright.jpg", [still("-update", "1")], turns=3, edit=photographed(6)),
    Specimen("photo-mirrored.jpg", [still("-update", "1")], flip=True, edit=photographed(2)),
)
BROKEN = (
    cut("truncated.webm", 0.5, encoded(*WEBM, seconds=4), error=TRUNCATED),
    cut("truncated.avi", 0.5, encoded(*MPEG4, *MP3, seconds=4), error=TRUNCATED),
    cut("truncated.wav", 0.5, heard(seconds=4), error=f"{TRUNCATED}|has no picture"),
    cut("truncated.flv", 0.5, film("-f", "flv", "{out}", seconds=4.0)),
    cut("truncated.mp3", 0.5, heard(*MP3, seconds=4)),
    cut("truncated.ogg", 0.5, heard("-c:a", "libvorbis", seconds=4)),
    cut("no-index.mov", 0.5, film("{out}"), error=NO_INDEX),
    Specimen("no-index.avi", [encoded(*MJPEG, *PCM)], edit=without_index),
    Specimen(
        "subtitles.srt",
        [still(to="{work}/c.png")],
        text=SUBTITLES,
        error="it is not a media file ffspool can read, but a text",
    ),
    Specimen(
        "no-samples.wav",
        [["-f", "lavfi", "-i", "anullsrc=d=0.1", "-af", "atrim=end_sample=0", "{out}"]],
        error="neither a picture nor sound behind its header",
    ),
)
DV = ["-c:v", "dvvideo", "-pix_fmt"]


def screen(name: str, bits: int, pixels: str, more: str = "") -> Specimen:
    """A recording of a screen, in TSCC."""
    raw = ["-f", "rawvideo", "-pix_fmt", pixels, "{work}/picture"]
    tone = heard("-ar", str(SOUND_RATE), "-f", "s16le", channels="mono", to="{work}/sound")
    return Specimen(name, [[*picture(rate=str(RATE), more=f"null{more}"), *raw], tone], build=partial(tscc, bits=bits))


FORMATS = (
    Specimen("h264.flv", [film("-f", "flv", "{out}")]),
    Specimen(
        "h263.3gp",
        [
            encoded(
                *("-c:v", "h263", "-q:v", "3", "-c:a", "libopencore_amrnb", "-ar", "8000", "-b:a", "12.2k"),
                size="176x144",
                rate="15",
                channels="mono",
            )
        ],
    ),
    Specimen("wmv.wmv", [encoded("-c:v", "wmv2", "-q:v", "3", "-c:a", "wmav2")]),
    Specimen("theora.ogv", [encoded("-c:v", "libtheora", "-q:v", "8", "-c:a", "libvorbis")]),
    Specimen("mpeg1.mpg", [encoded("-c:v", "mpeg1video", "-q:v", "3", "-c:a", "mp2")]),
    Specimen(
        "small-frames.vob",
        [encoded(*MPEG2, "-bf", "2", "-c:a", "ac3", "-f", "dvd", seconds=3)],
    ),
    Specimen(
        "film.vob",
        [encoded(*MPEG2, "-c:a", "ac3", "-aspect", "16:9", "-f", "vob", size="720x576", channels="5.1")],
        size=(1024, 576),
    ),
    Specimen("dv-pal.dv", [encoded("-target", "pal-dv", size="720x576")], size=(768, 576)),
    Specimen("dv-ntsc.dv", [encoded("-target", "ntsc-dv", size="720x480", rate="30000/1001")], size=(640, 480)),
    screen("tscc-8.avi", 8, "pal8", ",split[a][b];[a]palettegen=reserve_transparent=0[p];[b][p]paletteuse=dither=none"),
    screen("tscc-16.avi", 16, "rgb555le"),
    Specimen("dv.avi", [encoded(*DV, "yuv420p", "-aspect", "4:3", *PCM, size="720x576")], size=(768, 576)),
    Specimen(
        "dv.mov", [encoded(*DV, "yuv411p", "-aspect", "4:3", *PCM, size="720x480", rate="30000/1001")], size=(640, 480)
    ),
    Specimen("dv.mxf", [encoded(*DV, "yuv420p", *PCM, "-ar", "48000", size="720x576")], size=(768, 576)),
    Specimen("dv50.mov", [encoded(*DV, "yuv422p", "-aspect", "4:3", *PCM, size="720x576")], size=(768, 576)),
    Specimen(
        "dnxhd.mxf",
        [
            encoded(
                *("-c:v", "dnxhd", "-profile:v", "dnxhr_sq", "-pix_fmt", "yuv422p", *PCM, "-ar", "48000"),
                size="1280x720",
                seconds=0.6,
            )
        ],
    ),
    Specimen("mjpeg.mov", [encoded(*MJPEG, "-pix_fmt", "yuvj420p", *PCM)]),
    Specimen("misnamed.avi", [film("-f", "matroska", "{out}")]),
    Specimen("misnamed.jpg", [film("-f", "mp4", "{out}")]),
    Specimen("SHOUTED.MKV", [film("-f", "matroska", "{out}")]),
    Specimen("m2ts.m2ts", [film("-f", "mpegts", "-mpegts_m2ts_mode", "1", "{out}")]),
    Specimen("raw.m2v", [silent(*MPEG2, "-f", "mpeg2video")]),
)
WIDE_PQ = tone_mapped("smpte2084", "yuv420p10le") + ",setsar=4/3"
TONGUES = [w for n, tongue in enumerate(("eng", "deu", "fra")) for w in (f"-metadata:s:s:{n}", f"language={tongue}")]
MIXED = (
    Specimen("dv-wide.avi", [wide_fields(*DV, "yuv420p", *FIELDS, *PCM)], size=(1024, 576)),
    Specimen("dv50-wide.mov", [wide_fields(*DV, "yuv422p", *FIELDS, *PCM)], size=(1024, 576)),
    Specimen(
        "dv50-ntsc.mov",
        [encoded(*DV, "yuv422p", *PCM, size="720x480", rate="30000/1001", more="setsar=8/9")],
        size=(640, 480),
    ),
    Specimen(
        "dvcpro-hd.mov",
        [encoded(*DV, "yuv422p", *PCM, size="1440x1080", seconds=0.4, more="setsar=4/3")],
        size=(1920, 1080),
    ),
    turned_in(
        *("turned-90-sar-tff.mov", 90, 1, *H264, *FIELDS, "-x264opts", "tff=1"),
        size="240x180",
        shown="180x320",
        rate="50",
        more="interlace=scan=tff,setsar=4/3",
    ),
    Specimen(
        "turned-270-hlg.mov",
        [
            encoded(*X265, "-tag:v", "hvc1", *AAC, more=tone_mapped("arib-std-b67", "yuv420p10le"), to="{work}/f.mov"),
            turning("f.mov", "-display_rotation", "270"),
        ],
        turns=3,
        size=(180, 320),
        colours=False,
    ),
    Specimen(
        "turned-180-pq-sar.mkv",
        [
            encoded(*X265, *AAC, size="240x180", more=WIDE_PQ, to="{work}/f.mkv"),
            turning("f.mkv", "-display_rotation", "180"),
        ],
        turns=2,
        size=(320, 180),
        colours=False,
    ),
    Specimen(
        "vfr-late-audio.mp4",
        [film("-vf", UNEVEN, *UNEVENLY, "{work}/f.mp4"), shifted("f.mp4", sound=0.5)],
        frames=False,
    ),
    Specimen(
        "turned-90-surround-late.mkv",
        [
            encoded(*H264, "-c:a", "ac3", channels="5.1", to="{work}/f.mkv"),
            shifted("f.mkv", sound=0.6, to="{work}/g.mkv"),
            turning("g.mkv", "-display_rotation", "90"),
        ],
        turns=1,
        size=(180, 320),
    ),
    Specimen(
        "everything-beside.mkv",
        [
            cover("600x600", "cover.png"),
            [
                *(*picture(), *sound(), *read("s.srt"), *read("s.srt"), *read("s.srt")),
                *(*mapped("0", "1", "2", "3", "4"), *H264, *AAC, "-c:s", "srt", "-c:s:1", "ass", *TONGUES),
                *("-attach", "{work}/cover.png", "-metadata:s:t:0", "mimetype=image/png"),
                *("-attach", "{work}/s.srt", "-metadata:s:t:1", "mimetype=application/x-truetype-font", "{out}"),
            ],
        ],
        companions={"s.srt": SUBTITLES},
    ),
    alpha(
        "alpha-10bit-odd.mkv",
        silent(*FFV1, "-pix_fmt", "yuva444p10le", size="161x91", more=see_through("gbrap10le").replace("255", "1023")),
        size=(160, 90),
    ),
    alpha("alpha-vp9-odd.webm", silent(*VP9, size="161x91", more=SOFT_ALPHA), size=(160, 90)),
    Specimen(
        "edit-list-turned.mp4",
        [
            film("-g", "25", "{work}/f.mp4", seconds=3.0),
            turning("f.mp4", "-display_rotation", "90", "-ss", "0.5"),
        ],
        turns=1,
        size=(180, 320),
        refused=HIDES,
    ),
    Specimen("timecode.mov", [encoded(*PRORES, "-pix_fmt", "yuv422p10le", *PCM, "-timecode", "01:00:00:00")]),
    Specimen("timecode.mxf", [encoded(*MPEG2, *PCM, "-timecode", "10:00:00:00")]),
    sounding("22k.mp4", "mono", *AAC, "-ar", "22050"),
    sounding("8k.mp4", "mono", *AAC, "-ar", "8000", refused=HIDES),
    sounding("7.1.mp4", "7.1", *AAC),
    sounding("5.1-side.mov", "5.1(side)", *PCM),
    small("3x300.webm", encoded(*WEBM, size="3x300", more="format=yuv420p"), (2, 300)),
    small("300x3.avi", encoded("-c:v", "ffvhuff", "-pix_fmt", "yuv422p", *PCM, size="300x3"), (300, 2)),
    Specimen("640x359.webm", [encoded(*VP9, *OPUS, size="640x359", more="format=yuv420p")], size=(640, 358)),
    Specimen(
        "nothing-moves.mp4",
        [silent(*H264, more="select='not(n)',loop=loop=39:size=1,setpts=N/25/TB", seconds=1.6)],
    ),
    small("3000x4.mp4", encoded(*H264, *AAC, size="3008x16", more="crop=3000:4"), (3000, 4)),
)

COVERED = (
    Specimen("cover-jpeg.mp3", [cover(name="c.jpg"), covered(*MP3, name="c.jpg")]),
    Specimen("cover-jpeg.m4a", [cover(name="c.jpg"), covered(*AAC, name="c.jpg")]),
    Specimen("cover-jpeg.flac", [cover("301x199", name="c.jpg"), covered(*FLAC, name="c.jpg")]),
    Specimen("cover-3000.flac", [cover("3000x3000"), covered(*FLAC)]),
    Specimen("cover-22-megabytes.mp3", [cover("3000x3000", more="noise=alls=40"), covered(*MP3)]),
    Specimen("cover-garbage.flac", [cover(), covered(*FLAC)], edit=defaced(0)),
    Specimen("cover-garbage.mp3", [cover(), covered(*MP3)], edit=defaced(0)),
    Specimen("cover-garbage.m4a", [cover(), covered(*AAC)], edit=defaced(0)),
    Specimen("cover-defaced.mp3", [cover(), covered(*MP3)], edit=defaced(60)),
    Specimen("cover-tiff.m4a", [cover(), covered(*AAC)], edit=lambda whole: whole.replace(b"\x89PNG", b"II*\0")),
    Specimen(
        "covers.flac",
        [
            cover("100x100"),
            cover("300x300", "front.png"),
            [
                *(*sound(), *read("c.png"), *read("front.png"), *mapped("0", "1", "2"), "-c:v", "copy"),
                *(*attached(0), "-metadata:s:v:0", "comment=Cover (back)"),
                *(*attached(1), "-metadata:s:v:1", "comment=Cover (front)", "{out}"),
            ],
        ],
    ),
    Specimen(
        "cover-late.mka",
        [
            cover(),
            [
                *(*sound(), *FLAC, "-output_ts_offset", "5", "-attach", "{work}/c.png"),
                *("-metadata:s:t", "mimetype=image/png", "-metadata:s:t", "filename=cover.png", "{out}"),
            ],
        ],
    ),
    telling(
        "cover-chapters.m4b",
        CHAPTERS,
        cover(),
        [
            *(*sound(), *read("c.png"), *read("c.txt"), *mapped("0", "1"), "-map_metadata", "2"),
            *(*AAC, "-c:v", "copy", *attached(0), "-f", "ipod", "{out}"),
        ],
    ),
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
    *MIXED,
    *COVERED,
)

# One of each trait that the files elsewhere lack, for when there is little time.
QUICK = {
    *("turned-90-sar-odd.mkv", "tff.ts", "bff-mpeg2.ts", "two-programs.ts", "tff.vob", "telecined.mpg", "slides.mp4"),
    *("picture-of-song.mkv", "claims-an-hour.mp4", "claims-a-moment.webm", "late-start.mkv", "negative-start.mov"),
    *("edit-list.mov", "late-video.ts", "headless.ts", "gap.ts", "joined.ts", "joined-back.ts", "languages.ts"),
    *("7.1.mkv", "hexagonal.mkv", "tiny.wav", "cover-first.mp4", "chapters-late.mkv", "hdr10.mkv", "bt2020-sdr.mp4"),
    *(
        "photo-upright.jpg",
        "still.tiff",
        "packed.tiff",
        "grey10.mkv",
        "alpha-qtrle.mov",
        "1x1.mkv",
        "clap.mp4",
        "one.heic",
        "tiles.heic",
        "animated.png",
    ),
    *("animated.avif", "no-samples.wav", "no-index.avi", "tscc-16.avi", "theora.ogv", "wmv.wmv", "dv-pal.dv", "dv.mxf"),
    *("dv50-wide.mov", "turned-90-sar-tff.mov", "turned-270-hlg.mov", "vfr-late-audio.mp4", "everything-beside.mkv"),
    *(one.name for one in COVERED),
    *("truncated.avi", "truncated.wav", "small-frames.vob"),
    *("alpha-10bit-odd.mkv", "timecode.mov", "22k.mp4", "7.1.mp4", "3x300.webm", "640x359.webm", "nothing-moves.mp4"),
}
