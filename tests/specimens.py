"""Files made by the encoder, each with one trait of the real world's media, and what a person expects of it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Step = list[str]

# Four corners of different colours over moving bars: which way is up can be seen, and so can the colours.
CORNERS = ",".join(
    f"drawbox=x={x}:y={y}:w=iw/4:h=ih/4:color={colour}:t=fill"
    for x, y, colour in (
        ("0", "0", "red"),
        ("iw*3/4", "0", "lime"),
        ("0", "ih*3/4", "blue"),
        ("iw*3/4", "ih*3/4", "white"),
    )
)
X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "12"]
H264 = [*X264, "-pix_fmt", "yuv420p"]
X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:crf=12"]
VP8 = ["-c:v", "libvpx", "-b:v", "1M", "-deadline", "realtime", "-cpu-used", "8"]
VP9 = ["-c:v", "libvpx-vp9", "-crf", "20", "-b:v", "0", "-deadline", "realtime", "-cpu-used", "8"]
AV1 = ["-c:v", "libsvtav1", "-preset", "12", "-crf", "15", "-svtav1-params", "lp=2"]
MPEG2 = ["-c:v", "mpeg2video", "-q:v", "3"]
MPEG4 = ["-c:v", "mpeg4", "-q:v", "3"]
MJPEG = ["-c:v", "mjpeg", "-q:v", "3"]
PRORES = ["-c:v", "prores_ks"]
PRORES_ALPHA = [*PRORES, "-pix_fmt", "yuva444p10le", "-alpha_bits", "16"]
FFV1 = ["-c:v", "ffv1"]
FIELDS = ["-flags", "+ilme+ildct"]
AAC = ["-c:a", "aac", "-b:a", "96k"]
OPUS = ["-c:a", "libopus"]
MP3 = ["-c:a", "libmp3lame"]
FLAC = ["-c:a", "flac"]
PCM = ["-c:a", "pcm_s16le"]
WEBM = [*VP8, *OPUS]
COPY = ["-c", "copy"]
UNEVENLY = ["-fps_mode", "vfr"]
ONCE = ["-frames:v", "1"]
BT709 = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]


@dataclass(frozen=True)
class Specimen:
    """`turns` counts quarter turns counterclockwise and `flip` a mirroring left to right, from stored to shown."""

    name: str
    steps: list[Step] = field(default_factory=list)
    turns: int = 0
    flip: bool = False
    size: tuple[int, int] | None = None  # as shown, where it is not the stored one
    error: str | None = None  # why every preset must fail
    refused: dict[str, str] = field(default_factory=dict)  # why, by preset
    frames: bool = True  # whether the frames come at a constant rate
    seconds: float | None = None  # where decoding does not tell
    colours: bool = True  # whether the colours can be compared with the source's as they are
    alpha: bool = False
    corners: bool = True  # whether the colours in the corners are to be seen
    cut: float | None = None  # share of the file that is left
    join: tuple[str, ...] = ()  # files it is put together of, as recorders do: end to end
    text: str | None = None  # what it holds, where it is no media at all
    build: Callable[[Path], bytes] | None = None  # makes it of what the steps left in a folder
    edit: Callable[[bytes], bytes] | None = None  # what is done to its bytes at last
    companions: dict[str, str] = field(default_factory=dict)
    path: Path | None = None  # where it is, if nothing makes it


# Inputs


def picture(size: str = "320x180", rate: str = "25", seconds: float = 1.6, more: str = "") -> Step:
    """Of that size to the pixel: what generates it makes even ones only, so an odd one is cut out, in 4:4:4."""
    width, height = (int(side) for side in size.split("x"))
    odd = f",format=yuv444p,crop={width}:{height}:0:0:exact=1" if width % 2 or height % 2 else ""
    even = f"{max(16, width + width % 2)}x{max(16, height + height % 2)}"
    filters = f"testsrc2=size={even}:rate={rate}:duration={seconds},{CORNERS}{odd}" + (f",{more}" if more else "")
    return ["-f", "lavfi", "-i", filters]


def sound(seconds: float = 1.6, channels: str = "stereo", frequency: int = 440) -> Step:
    tone = f"sine=frequency={frequency}:sample_rate=48000:duration={seconds},aformat=channel_layouts={channels}"
    return ["-f", "lavfi", "-i", tone]


def read(name: str) -> Step:
    """What another step has left."""
    return ["-i", f"{{work}}/{name}"]


# Steps. Each ends with where it writes to: the specimen itself, or what the next one reads.


def film(*more: str, size: str = "320x180", rate: str = "25", filters: str = "", seconds: float = 1.6) -> Step:
    """H.264 and AAC; `more` says where to."""
    return [*picture(size, rate, seconds, filters), *sound(seconds), *H264, *AAC, *more]


def encoded(
    *how: str,
    size: str = "320x180",
    rate: str = "25",
    seconds: float = 1.6,
    more: str = "",
    channels: str = "stereo",
    to: str = "{out}",
) -> Step:
    """Picture and sound."""
    return [*picture(size, rate, seconds, more), *sound(seconds, channels), *how, to]


def silent(
    *how: str, size: str = "320x180", rate: str = "25", seconds: float = 1.6, more: str = "", to: str = "{out}"
) -> Step:
    """A picture alone."""
    return [*picture(size, rate, seconds, more), *how, to]


def heard(*how: str, seconds: float = 1.6, channels: str = "stereo", to: str = "{out}") -> Step:
    """Sound alone."""
    return [*sound(seconds, channels), *how, to]


def still(*how: str, size: str = "320x180", more: str = "", to: str = "{out}") -> Step:
    return silent(*ONCE, *how, size=size, seconds=0.1, more=more, to=to)


def cover(size: str = "200x200", name: str = "c.png", more: str = "") -> Step:
    return silent(*ONCE, size=size, rate="1", seconds=1, more=more, to=f"{{work}}/{name}")


def covered(*how: str, name: str = "c.png") -> Step:
    """Sound with the cover."""
    return [*sound(), *read(name), *mapped("0", "1"), "-c:v", "copy", *how, *attached(0), "{out}"]


def remuxed(name: str, *how: str) -> Step:
    return [*read(name), *COPY, *how, "{out}"]


def turning(name: str, *how: str) -> Step:
    """The same with a display matrix."""
    return [*how, *read(name), *COPY, "{out}"]


def shifted(name: str, *how: str, picture: float = 0.0, sound: float = 0.0, to: str = "{out}") -> Step:
    """One of both begins so many seconds late."""
    late = [["-itsoffset", str(seconds)] if seconds else [] for seconds in (picture, sound)]
    return [*late[0], *read(name), *late[1], *read(name), *mapped("0:v", "1:a"), *(how or COPY), to]


def subtitled(*how: str) -> Step:
    return [*picture(), *sound(), *read("s.srt"), *how, "{out}"]


def chaptered(*how: str) -> Step:
    return [*picture(), *sound(), *read("c.txt"), "-map_metadata", "2", *how, "{out}"]


def tongues(*how: str, languages: tuple[str, str], default: int | None = None) -> Step:
    """Two tracks of sound."""
    told = [word for n in (0, 1) for word in (f"-metadata:s:a:{n}", f"language={languages[n]}")]
    marks = [word for n in (0, 1) for word in (f"-disposition:a:{n}", "default" if n == default else "0")]
    inputs = [*picture(), *sound(frequency=300), *sound(frequency=900), *mapped("0:v", "1:a", "2:a")]
    return [*inputs, *how, *told, *(marks if default is not None else []), "{out}"]


def interlaced(*how: str, size: str = "320x240", rate: str = "50", scan: str = "tff", to: str = "{out}") -> Step:
    return encoded(*how, size=size, rate=rate, more=f"interlace=scan={scan}", to=to)


# Options


def mapped(*streams: str) -> Step:
    return [part for stream in streams for part in ("-map", stream)]


def attached(number: int) -> Step:
    return [f"-disposition:v:{number}", "attached_pic"]


def painted(matrix: str, told: str) -> Step:
    """Colours by that matrix, called what is told of primaries, transfer and matrix."""
    converted = f"scale=out_color_matrix={matrix}:out_range=tv,format=yuv420p"
    primaries, transfer, space = told.split("/")
    return ["-vf", f"{converted},setparams=color_primaries={primaries}:color_trc={transfer}:colorspace={space}"]


def see_through(kept: str = "rgba") -> str:
    return f"format={kept},geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='255*lt(X,W*0.7)'"


PALETTE = ",split[a][b];[a]palettegen=reserve_transparent=1[p];[b][p]paletteuse"


def tone_mapped(transfer: str, pixel_format: str) -> str:
    """What was painted for ordinary screens, brought to HDR."""
    told = "format=yuv420p,setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    linear = "zscale=tin=709:pin=709:min=709:rin=tv:t=linear:npl=203,format=gbrpf32le"
    return f"{told},{linear},zscale=p=2020:t={transfer}:m=2020_ncl:r=tv:npl=203,format={pixel_format}"


# Specimens of one kind


def turned(name: str, *how: str, turns: int, flip: bool = False) -> Specimen:
    """The stored picture is upright; the display matrix says that it be turned."""
    size = (180, 320) if turns % 2 else (320, 180)
    steps = [film("{work}/upright.mp4"), turning("upright.mp4", *how)]
    return Specimen(name, steps, turns=turns, flip=flip, size=size)


def hdr(name: str, transfer: str) -> Specimen:
    encoder = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:hdr10=1", "-tag:v", "hvc1"]
    return Specimen(name, [silent(*encoder, more=tone_mapped(transfer, "yuv420p10le"))], colours=False)


def alpha(name: str, *steps: Step, turns: int = 0, size: tuple[int, int] | None = None) -> Specimen:
    return Specimen(name, list(steps), turns=turns, size=size, colours=False, alpha=True)


def uneven(name: str, step: Step) -> Specimen:
    return Specimen(name, [step], frames=False)


def telling(name: str, text: str, *steps: Step) -> Specimen:
    """Subtitles, or chapters, are read from a text beside it."""
    return Specimen(name, list(steps), companions={"c.txt" if text.startswith(";") else "s.srt": text})


SUBTITLES = "1\n00:00:00,200 --> 00:00:00,900\nHello\n\n2\n00:00:01,000 --> 00:00:01,400\nWorld\n"
CHAPTERS = (
    ";FFMETADATA1\ntitle=A film\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=800\ntitle=One\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=800\nEND=1600\ntitle=Two\n"
)
SOFT_ALPHA = "format=yuva420p,geq=lum='lum(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='255*lt(X,W*0.7)'"
TRUNCATED = "the source is truncated: its header says"
REORDERED = "does not tell when all of its pictures are shown"
NO_INDEX = "its index \\(moov\\) is missing"

SPECIMENS = (
    Specimen("plain.mp4", [film("{out}")]),
    turned("turned-90.mp4", "-display_rotation", "90", turns=1),
    turned("turned-180.mov", "-display_rotation", "180", turns=2),
    turned("turned-270.mp4", "-display_rotation", "270", turns=3),
    turned("mirrored.mp4", "-display_hflip", turns=0, flip=True),
    turned("mirrored-90.mp4", "-display_rotation", "90", "-display_hflip", turns=1, flip=True),
    Specimen("anamorphic.mp4", [film("-vf", "setsar=4/3", "{out}", size="240x180")], size=(320, 180)),
    Specimen(
        "anamorphic-pal.mpg",
        [film(*MPEG2, "-c:a", "mp2", "-aspect", "4:3", "{out}", size="720x576")],
        size=(768, 576),
    ),
    Specimen("tff.mkv", [interlaced(*MPEG2, *FIELDS, *AAC)]),
    Specimen("bff.mkv", [interlaced(*MPEG2, *FIELDS, *AAC, scan="bff")]),
    Specimen(
        "mixed-scan.ts",
        [
            silent(*H264, size="320x240", to="{work}/p.ts"),
            [*picture("320x240", "50", more="interlace=scan=tff"), *H264, *FIELDS, "-x264opts", "tff=1", "{work}/i.ts"],
            ["-i", "concat:{work}/p.ts|{work}/i.ts", "-c", "copy", "{out}"],
        ],
    ),
    uneven("vfr.mp4", film("-vf", "select='not(mod(n,3))+lt(n,10)'", *UNEVENLY, "{out}")),
    uneven("vfr.mkv", film("-vf", "select='not(mod(n,5))+gt(n,20)'", *UNEVENLY, "{out}")),
    uneven("fps-120.mp4", film("{out}", rate="120", seconds=1.0)),
    Specimen("fps-film.mkv", [film("{out}", rate="24000/1001")]),
    Specimen("10bit.mp4", [film("-pix_fmt", "yuv420p10le", *BT709, "{out}")]),
    Specimen("422.mov", [encoded(*PRORES, "-pix_fmt", "yuv422p10le", *PCM)]),
    Specimen("full-range.mp4", [film("-vf", "scale=out_range=pc,format=yuvj420p", "-color_range", "pc", "{out}")]),
    Specimen(
        "bt601.mp4",
        [film(*painted("bt601", "smpte170m/smpte170m/smpte170m"), "{out}", size="1280x720", seconds=0.6)],
    ),
    Specimen("bt709.mp4", [film(*painted("bt709", "bt709/bt709/bt709"), "{out}")]),
    Specimen(
        "untagged-hd.mkv",
        [film(*painted("bt709", "unknown/unknown/unknown"), "{out}", size="1280x720", seconds=0.6)],
    ),
    Specimen("rgb.mkv", [encoded(*FFV1, *FLAC, more="format=gbrp")]),
    hdr("hlg.mp4", "arib-std-b67"),
    hdr("pq.mp4", "smpte2084"),
    alpha("alpha-vp9.webm", silent(*VP9, more=SOFT_ALPHA)),
    alpha("alpha-prores.mov", silent(*PRORES_ALPHA, more=see_through())),
    alpha("alpha.gif", silent(rate="10", more=see_through() + PALETTE)),
    # Of so small a picture every colour that 4:2:0 can tell is an edge's.
    Specimen("odd.mkv", [encoded(*FFV1, "-pix_fmt", "yuv444p", *FLAC, size="33x17")], size=(32, 16), colours=False),
    Specimen("surround.mkv", [encoded(*H264, "-c:a", "ac3", channels="5.1")]),
    Specimen("surround.m4a", [heard(*AAC, channels="5.1")]),
    Specimen("three.flac", [heard(*FLAC, channels="3.0")]),
    Specimen("three-and-bass.mov", [encoded(*H264, *PCM, channels="3.1")]),
    Specimen("quad.wav", [heard("-c:a", "pcm_s24le", "-ar", "96000", channels="quad")]),
    Specimen(
        "placeless.wav",
        [["-f", "lavfi", "-i", f"sine=duration=1,pan=10c|{'|'.join(f'c{n}=c0' for n in range(10))}", *PCM, "{out}"]],
    ),
    Specimen("languages.mkv", [tongues(*H264, *AAC, languages=("ger", "fre"), default=1)]),
    telling("subtitles.mkv", SUBTITLES, subtitled(*H264, *AAC, "-c:s", "srt", "-metadata:s:s:0", "language=eng")),
    telling("subtitles-ass.mkv", SUBTITLES, subtitled(*H264, *AAC, "-c:s", "ass")),
    telling("subtitles.mp4", SUBTITLES, subtitled(*H264, *AAC, "-c:s", "mov_text")),
    telling("chapters.mp4", CHAPTERS, chaptered(*H264, *AAC)),
    telling("chapters.mkv", CHAPTERS, chaptered(*H264, *AAC)),
    Specimen(
        "cover.mp4",
        [
            film("{work}/f.mp4"),
            cover(),
            [*read("f.mp4"), *read("c.png"), *mapped("0", "1"), *COPY, *attached(1), "{out}"],
        ],
    ),
    Specimen("cover.mp3", [cover(), covered(*MP3)]),
    Specimen("cover.m4a", [cover(), covered("-c:a", "aac")]),
    Specimen(
        "edit-list.mp4",
        [film("-g", "25", "{work}/f.mp4", seconds=3.0), ["-ss", "0.5", *read("f.mp4"), *COPY, "{out}"]],
        refused={"remux-mkv": "hides parts by an edit list, which Matroska would show"},
    ),
    Specimen("no-audio.mp4", [silent(*H264)]),
    Specimen("late-audio.mp4", [film("{work}/f.mp4"), shifted("f.mp4", sound=0.5)]),
    Specimen("late-audio.mkv", [film("{work}/f.mkv"), shifted("f.mkv", sound=0.7)]),
    Specimen("late-video.mp4", [film("{work}/f.mp4"), shifted("f.mp4", picture=0.5)]),
    Specimen("short-audio.mp4", [[*picture(), *sound(0.6), *H264, *AAC, "{out}"]]),
    Specimen("long-audio.mp4", [[*picture(seconds=0.6), *sound(2.0), *H264, *AAC, "{out}"]]),
    Specimen(
        "gap.mkv",
        [film("{work}/f.mkv", seconds=3.0), remuxed("f.mkv", "-bsf:a", "noise=drop='gt(n,40)*lt(n,90)'")],
    ),
    Specimen("truncated.mp4", [film("-movflags", "+faststart", "{out}", seconds=4.0)], cut=0.5, error=TRUNCATED),
    Specimen("truncated.mkv", [film("{out}", seconds=4.0)], cut=0.5, error=TRUNCATED),
    Specimen("truncated.ts", [film("{out}", seconds=4.0)], cut=0.5),
    Specimen("no-index.mp4", [film("{out}")], cut=0.9, error=NO_INDEX),
    Specimen("wrapped.ts", [film("-output_ts_offset", "95442.9", "-muxdelay", "0", "{out}")]),
    Specimen("offset.ts", [film("-output_ts_offset", "3600", "{out}")]),
    Specimen("live.mkv", [film("-f", "matroska", "-live", "1", "{out}")]),
    Specimen("live.webm", [encoded(*WEBM, "-f", "webm", "-live", "1")]),
    Specimen("no-cues.webm", [encoded(*WEBM, "-f", "webm", to="pipe:1")]),
    Specimen("fragmented.mp4", [film("-movflags", "+frag_keyframe+empty_moov", "-g", "10", "{out}")], frames=False),
    Specimen("raw.h264", [silent(*H264, "-f", "h264")]),
    Specimen("raw.hevc", [silent(*X265, "-f", "hevc")], refused=dict.fromkeys(("remux-mp4", "remux-mkv"), REORDERED)),
    Specimen("still.png", [still()]),
    Specimen("still.jpg", [still("-update", "1")]),
    Specimen("still.webp", [still("-c:v", "libwebp")]),
    Specimen("one-frame.mp4", [silent(*H264, *ONCE)]),
    Specimen("cartoon.avi", [encoded(*MPEG4, "-bf", "2", *MP3)]),
    Specimen(
        "reordered.avi",
        [encoded(*H264, "-bf", "3", *MP3)],
        refused=dict.fromkeys(("remux-mp4", "remux-mkv"), REORDERED),
    ),
    Specimen("theora.flv", [encoded("-c:v", "flv1", "-q:v", "3", *MP3, "-ar", "44100")]),
    Specimen("speech.wav", [heard("-ar", "8000", "-c:a", "pcm_mulaw", channels="mono")]),
    Specimen("streamed.wav", [heard("-f", "wav", to="pipe:1")]),
    Specimen("album.flac", [heard(*FLAC)]),
    Specimen("voice.ogg", [heard(*OPUS)]),
    Specimen("adts.aac", [heard(*AAC)]),
    Specimen("vbr.mp3", [heard(*MP3, "-q:a", "4", "-write_xing", "0")]),
)


def make(specimen: Specimen, ffmpeg: str, folder: Path) -> Path:
    """The file, made in `folder`."""
    work = folder / f"{specimen.name}.work"
    work.mkdir(parents=True)
    for name, text in specimen.companions.items():
        (work / name).write_text(text)
    out = folder / specimen.name
    for step in specimen.steps:
        run(ffmpeg, [part.format(work=work, out=out) if "{" in part else part for part in step], out)
    if specimen.join:
        out.write_bytes(b"".join((work / name).read_bytes() for name in specimen.join))
    if specimen.build:
        out.write_bytes(specimen.build(work))
    if specimen.text:
        out.write_text(specimen.text)
    if specimen.cut:
        whole = out.read_bytes()
        out.write_bytes(whole[: int(len(whole) * specimen.cut)])
    if specimen.edit:
        out.write_bytes(specimen.edit(out.read_bytes()))
    return out


def run(ffmpeg: str, arguments: Step, out: Path) -> None:
    done = subprocess.run([ffmpeg, "-v", "error", "-y", *arguments], stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode == 0, f"{out.name}: {done.stderr.decode()}"
    if arguments[-1] == "pipe:1":
        out.write_bytes(done.stdout)


Maker = Callable[[Specimen], Path]
