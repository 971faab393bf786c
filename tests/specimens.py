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
H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-pix_fmt", "yuv420p"]
AAC = ["-c:a", "aac", "-b:a", "96k"]
BT709 = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]


@dataclass(frozen=True)
class Specimen:
    """`turns` counts quarter turns counterclockwise and `flip` a mirroring left to right, from stored to shown."""

    name: str
    steps: list[Step]
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


def film(*more: str, size: str = "320x180", rate: str = "25", filters: str = "", seconds: float = 1.6) -> Step:
    return [*picture(size, rate, seconds, filters), *sound(seconds), *H264, *AAC, *more]


def turned(name: str, *how: str, turns: int, flip: bool = False) -> Specimen:
    """The stored picture is upright; the display matrix says that it be turned."""
    size = (180, 320) if turns % 2 else (320, 180)
    steps = [film("{work}/upright.mp4"), [*how, "-i", "{work}/upright.mp4", "-c", "copy", "{out}"]]
    return Specimen(name, steps, turns=turns, flip=flip, size=size)


def hdr(name: str, transfer: str) -> Specimen:
    mapped = f"zscale=tin=709:pin=709:min=709:rin=tv:t=linear:npl=203,format=gbrpf32le,zscale=p=2020:t={transfer}:m=2020_ncl:r=tv:npl=203"
    filters = f"setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709,{mapped},format=yuv420p10le"
    encoder = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:hdr10=1", "-tag:v", "hvc1"]
    return Specimen(name, [[*picture(more="format=yuv420p," + filters), *encoder, "{out}"]], colours=False)


SUBTITLES = "1\n00:00:00,200 --> 00:00:00,900\nHello\n\n2\n00:00:01,000 --> 00:00:01,400\nWorld\n"
CHAPTERS = (
    ";FFMETADATA1\ntitle=A film\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=800\ntitle=One\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=800\nEND=1600\ntitle=Two\n"
)
LANGUAGES = ["-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "language=fre"]
TRACKS = ["-map", "0:v", "-map", "1:a", "-map", "2:a"]
INTERLACED = ["-c:v", "mpeg2video", "-q:v", "3", "-flags", "+ilme+ildct", *AAC]

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
        [film("-c:v", "mpeg2video", "-q:v", "3", "-c:a", "mp2", "-aspect", "4:3", "{out}", size="720x576")],
        size=(768, 576),
    ),
    Specimen("tff.mkv", [[*picture("320x240", "50", more="interlace=scan=tff"), *sound(), *INTERLACED, "{out}"]]),
    Specimen("bff.mkv", [[*picture("320x240", "50", more="interlace=scan=bff"), *sound(), *INTERLACED, "{out}"]]),
    Specimen(
        "mixed-scan.ts",
        [
            [
                *picture("320x240", "25"),
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-crf",
                "12",
                "-pix_fmt",
                "yuv420p",
                "{work}/p.ts",
            ],
            [
                *picture("320x240", "50", more="interlace=scan=tff"),
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-crf",
                "12",
                "-pix_fmt",
                "yuv420p",
                "-flags",
                "+ilme+ildct",
                "-x264opts",
                "tff=1",
                "{work}/i.ts",
            ],
            ["-i", "concat:{work}/p.ts|{work}/i.ts", "-c", "copy", "{out}"],
        ],
    ),
    Specimen("vfr.mp4", [film("-vf", "select='not(mod(n,3))+lt(n,10)'", "-fps_mode", "vfr", "{out}")], frames=False),
    Specimen("vfr.mkv", [film("-vf", "select='not(mod(n,5))+gt(n,20)'", "-fps_mode", "vfr", "{out}")], frames=False),
    Specimen("fps-120.mp4", [film("{out}", rate="120", seconds=1.0)], frames=False),
    Specimen("fps-film.mkv", [film("{out}", rate="24000/1001")]),
    Specimen("10bit.mp4", [film("-pix_fmt", "yuv420p10le", *BT709, "{out}")]),
    Specimen(
        "422.mov",
        [[*picture(), *sound(), "-c:v", "prores_ks", "-pix_fmt", "yuv422p10le", "-c:a", "pcm_s16le", "{out}"]],
    ),
    Specimen("full-range.mp4", [film("-vf", "scale=out_range=pc,format=yuvj420p", "-color_range", "pc", "{out}")]),
    Specimen(
        "bt601.mp4",
        [
            film(
                "-vf",
                "scale=out_color_matrix=bt601:out_range=tv,format=yuv420p,setparams=color_primaries=smpte170m:color_trc=smpte170m:colorspace=smpte170m",
                "{out}",
                size="1280x720",
                seconds=0.6,
            )
        ],
    ),
    Specimen(
        "bt709.mp4",
        [
            film(
                "-vf",
                "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709",
                "{out}",
            )
        ],
    ),
    Specimen(
        "untagged-hd.mkv",
        [
            film(
                "-vf",
                "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,setparams=colorspace=unknown:color_primaries=unknown:color_trc=unknown",
                "{out}",
                size="1280x720",
                seconds=0.6,
            )
        ],
    ),
    Specimen("rgb.mkv", [[*picture(more="format=gbrp"), *sound(), "-c:v", "ffv1", "-c:a", "flac", "{out}"]]),
    hdr("hlg.mp4", "arib-std-b67"),
    hdr("pq.mp4", "smpte2084"),
    Specimen(
        "alpha-vp9.webm",
        [
            [
                *picture(more="format=yuva420p,geq=lum='lum(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='255*lt(X,W*0.7)'"),
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
                "{out}",
            ]
        ],
        colours=False,
        alpha=True,
    ),
    Specimen(
        "alpha-prores.mov",
        [
            [
                *picture(more="format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='255*lt(X,W*0.7)'"),
                "-c:v",
                "prores_ks",
                "-pix_fmt",
                "yuva444p10le",
                "-alpha_bits",
                "16",
                "{out}",
            ]
        ],
        colours=False,
        alpha=True,
    ),
    Specimen(
        "alpha.gif",
        [
            [
                *picture(
                    rate="10",
                    more="format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='255*lt(X,W*0.7)',split[a][b];[a]palettegen=reserve_transparent=1[p];[b][p]paletteuse",
                ),
                "{out}",
            ]
        ],
        colours=False,
        alpha=True,
    ),
    Specimen(
        "odd.mkv",
        [[*picture("33x17"), *sound(), "-c:v", "ffv1", "-pix_fmt", "yuv444p", "-c:a", "flac", "{out}"]],
        size=(32, 16),
    ),
    Specimen("surround.mkv", [[*picture(), *sound(channels="5.1"), *H264, "-c:a", "ac3", "{out}"]]),
    Specimen("surround.m4a", [[*sound(channels="5.1"), *AAC, "{out}"]]),
    Specimen("quad.wav", [[*sound(channels="quad"), "-c:a", "pcm_s24le", "-ar", "96000", "{out}"]]),
    Specimen(
        "placeless.wav",
        [
            [
                "-f",
                "lavfi",
                "-i",
                "sine=duration=1,pan=10c|" + "|".join(f"c{n}=c0" for n in range(10)),
                "-c:a",
                "pcm_s16le",
                "{out}",
            ]
        ],
    ),
    Specimen(
        "languages.mkv",
        [
            [
                *picture(),
                *sound(frequency=300),
                *sound(frequency=900),
                *TRACKS,
                *H264,
                *AAC,
                *LANGUAGES,
                "-disposition:a:0",
                "0",
                "-disposition:a:1",
                "default",
                "{out}",
            ]
        ],
    ),
    Specimen(
        "subtitles.mkv",
        [
            [
                *picture(),
                *sound(),
                "-i",
                "{work}/s.srt",
                *H264,
                *AAC,
                "-c:s",
                "srt",
                "-metadata:s:s:0",
                "language=eng",
                "{out}",
            ]
        ],
        companions={"s.srt": SUBTITLES},
    ),
    Specimen(
        "subtitles-ass.mkv",
        [[*picture(), *sound(), "-i", "{work}/s.srt", *H264, *AAC, "-c:s", "ass", "{out}"]],
        companions={"s.srt": SUBTITLES},
    ),
    Specimen(
        "subtitles.mp4",
        [[*picture(), *sound(), "-i", "{work}/s.srt", *H264, *AAC, "-c:s", "mov_text", "{out}"]],
        companions={"s.srt": SUBTITLES},
    ),
    Specimen(
        "chapters.mp4",
        [[*picture(), *sound(), "-i", "{work}/c.txt", "-map_metadata", "2", *H264, *AAC, "{out}"]],
        companions={"c.txt": CHAPTERS},
    ),
    Specimen(
        "chapters.mkv",
        [[*picture(), *sound(), "-i", "{work}/c.txt", "-map_metadata", "2", *H264, *AAC, "{out}"]],
        companions={"c.txt": CHAPTERS},
    ),
    Specimen(
        "cover.mp4",
        [
            film("{work}/f.mp4"),
            [*picture("200x200", "1", 1), "-frames:v", "1", "{work}/c.png"],
            [
                "-i",
                "{work}/f.mp4",
                "-i",
                "{work}/c.png",
                "-map",
                "0",
                "-map",
                "1",
                "-c",
                "copy",
                "-disposition:v:1",
                "attached_pic",
                "{out}",
            ],
        ],
    ),
    Specimen(
        "cover.mp3",
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
                "libmp3lame",
                "-disposition:v:0",
                "attached_pic",
                "{out}",
            ],
        ],
    ),
    Specimen(
        "cover.m4a",
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
                "aac",
                "-disposition:v:0",
                "attached_pic",
                "{out}",
            ],
        ],
    ),
    Specimen(
        "edit-list.mp4",
        [film("-g", "25", "{work}/f.mp4", seconds=3.0), ["-ss", "0.5", "-i", "{work}/f.mp4", "-c", "copy", "{out}"]],
    ),
    Specimen("no-audio.mp4", [[*picture(), *H264, "{out}"]]),
    Specimen(
        "late-audio.mp4",
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
                "-c",
                "copy",
                "{out}",
            ],
        ],
    ),
    Specimen(
        "late-audio.mkv",
        [
            film("{work}/f.mkv"),
            [
                "-i",
                "{work}/f.mkv",
                "-itsoffset",
                "0.7",
                "-i",
                "{work}/f.mkv",
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
        "late-video.mp4",
        [
            film("{work}/f.mp4"),
            [
                "-itsoffset",
                "0.5",
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
    Specimen("short-audio.mp4", [[*picture(), *sound(0.6), *H264, *AAC, "{out}"]]),
    Specimen("long-audio.mp4", [[*picture(seconds=0.6), *sound(2.0), *H264, *AAC, "{out}"]]),
    Specimen(
        "gap.mkv",
        [
            film("{work}/f.mkv", seconds=3.0),
            ["-i", "{work}/f.mkv", "-c", "copy", "-bsf:a", "noise=drop='gt(n,40)*lt(n,90)'", "{out}"],
        ],
    ),
    Specimen(
        "truncated.mp4",
        [film("-movflags", "+faststart", "{out}", seconds=4.0)],
        cut=0.5,
        error="the source is truncated: its header says",
    ),
    Specimen("truncated.mkv", [film("{out}", seconds=4.0)], cut=0.5, error="the source is truncated: its header says"),
    Specimen("truncated.ts", [film("{out}", seconds=4.0)], cut=0.5),
    Specimen("no-index.mp4", [film("{out}")], cut=0.9, error="its index \\(moov\\) is missing"),
    Specimen("wrapped.ts", [film("-output_ts_offset", "95442.9", "-muxdelay", "0", "{out}")]),
    Specimen("offset.ts", [film("-output_ts_offset", "3600", "{out}")]),
    Specimen("live.mkv", [film("-f", "matroska", "-live", "1", "{out}")]),
    Specimen(
        "live.webm",
        [
            [
                *picture(),
                *sound(),
                "-c:v",
                "libvpx",
                "-deadline",
                "realtime",
                "-cpu-used",
                "8",
                "-b:v",
                "1M",
                "-c:a",
                "libopus",
                "-f",
                "webm",
                "-live",
                "1",
                "{out}",
            ]
        ],
    ),
    Specimen(
        "no-cues.webm",
        [
            [
                *picture(),
                *sound(),
                "-c:v",
                "libvpx",
                "-deadline",
                "realtime",
                "-cpu-used",
                "8",
                "-b:v",
                "1M",
                "-c:a",
                "libopus",
                "-f",
                "webm",
                "pipe:1",
            ]
        ],
    ),
    Specimen("fragmented.mp4", [film("-movflags", "+frag_keyframe+empty_moov", "-g", "10", "{out}")]),
    Specimen("raw.h264", [[*picture(), *H264, "-f", "h264", "{out}"]]),
    Specimen(
        "raw.hevc",
        [
            [
                *picture(),
                "-c:v",
                "libx265",
                "-preset",
                "ultrafast",
                "-x265-params",
                "log-level=error",
                "-f",
                "hevc",
                "{out}",
            ]
        ],
    ),
    Specimen("still.png", [[*picture(seconds=0.1), "-frames:v", "1", "{out}"]]),
    Specimen("still.jpg", [[*picture(seconds=0.1), "-frames:v", "1", "-update", "1", "{out}"]]),
    Specimen("still.webp", [[*picture(seconds=0.1), "-frames:v", "1", "-c:v", "libwebp", "{out}"]]),
    Specimen("one-frame.mp4", [[*picture(), *H264, "-frames:v", "1", "{out}"]]),
    Specimen(
        "cartoon.avi", [[*picture(), *sound(), "-c:v", "mpeg4", "-q:v", "3", "-bf", "2", "-c:a", "libmp3lame", "{out}"]]
    ),
    Specimen(
        "theora.flv",
        [[*picture(), *sound(), "-c:v", "flv1", "-q:v", "3", "-c:a", "libmp3lame", "-ar", "44100", "{out}"]],
    ),
    Specimen("speech.wav", [[*sound(channels="mono"), "-ar", "8000", "-c:a", "pcm_mulaw", "{out}"]]),
    Specimen("streamed.wav", [[*sound(), "-f", "wav", "pipe:1"]]),
    Specimen("album.flac", [[*sound(), "-c:a", "flac", "{out}"]]),
    Specimen("voice.ogg", [[*sound(), "-c:a", "libopus", "{out}"]]),
    Specimen("adts.aac", [[*sound(), *AAC, "{out}"]]),
    Specimen("vbr.mp3", [[*sound(), "-c:a", "libmp3lame", "-q:a", "4", "-write_xing", "0", "{out}"]]),
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
