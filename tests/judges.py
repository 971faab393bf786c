"""Software of other families than FFmpeg's that says what is wrong with an output, and faults that it has to find."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
from combinations import box_field
from judged import DATE, LANGUAGES, PARTS, PLACE, Made

Fault = Callable[[bytes], bytes]
BEFORE_1970 = 2_082_844_800  # seconds since 1904, where MP4's clock begins


@dataclass(frozen=True)
class Judge:
    """`complaints` says what is wrong with a file that should be as the output is.

    `faults` are such as it finds, with the preset in whose output each is planted.
    """

    program: str
    package: str
    suits: Callable[[Made], bool]
    complaints: Callable[[Path, Made], Iterable[str]]
    faults: dict[str, tuple[str, Fault]]
    explained: dict[str, str] = field(default_factory=dict)  # by a pattern: why the complaint is none


def said(*command: str | Path, home: Path | None = None) -> str:
    """All that a program says, on whatever."""
    env = {**os.environ, "HOME": str(home), "XDG_DATA_HOME": str(home)} if home else None
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)
    return done.stdout.decode(errors="replace")


def lines(pattern: str, text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if re.search(pattern, line)]


def held(*containers: str) -> Callable[[Made], bool]:
    return lambda made: made.preset.container in containers


# Faults


def cut(share: float) -> Fault:
    return lambda whole: whole[: int(len(whole) * share)]


def spoilt(share: float, length: int = 48) -> Fault:
    """So many bytes of it are others."""

    def edit(whole: bytes) -> bytes:
        at = int(len(whole) * share)
        return whole[:at] + bytes(byte ^ 0x55 for byte in whole[at : at + length]) + whole[at + length :]

    return edit


def replaced(old: bytes, new: bytes) -> Fault:
    def edit(whole: bytes) -> bytes:
        assert old in whole
        return whole.replace(old, new)

    return edit


def a_second_later(whole: bytes) -> bytes:
    """An MP4 that tells another date."""
    date = int(datetime.fromisoformat(DATE).timestamp()) + BEFORE_1970
    return replaced(struct.pack(">I", date), struct.pack(">I", date + 1))(whole)


def misconfigured(whole: bytes) -> bytes:
    """FFV1 whose decoder is told something else than its checksum says."""
    at = whole.index(b"V_MS/VFW/FOURCC" if b"V_MS/VFW/FOURCC" in whole else b"V_FFV1") + 30
    at = whole.index(b"FFV1", at) + 30 if b"FFV1" in whole[at : at + 100] else at
    return whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :]


def spoilt_picture(whole: bytes) -> bytes:
    """So few bytes that they may be those of one block, in the middle of the picture's packets."""
    with av.open(io.BytesIO(whole)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.pos and packet.size]
    at, size = max(packets[len(packets) // 4 : -len(packets) // 4], key=lambda packet: packet[1])
    return spoilt((at + size // 2) / len(whole), 16)(whole)


def earlier_chapter(whole: bytes) -> bytes:
    """An MP4 whose last track, of the chapters' titles, tells that the first of them lasts half as long."""
    edited, at = bytearray(whole), whole.rindex(b"stts") + 4 + 12
    struct.pack_into(">I", edited, at, struct.unpack_from(">I", whole, at)[0] // 2)
    return bytes(edited)


def index_last(whole: bytes) -> bytes:
    """An MP4 whose index lies behind its samples, as one that nobody can watch while it arrives."""
    found = re.search(b"(....moov)", whole, re.DOTALL)
    assert found
    size = struct.unpack(">I", found[1][:4])[0]
    moov, rest = whole[found.start() : found.start() + size], whole[: found.start()] + whole[found.start() + size :]
    return rest + moov


# Matroska, FFV1 and WebM


def by_mediaconch(path: Path, _: Made) -> list[str]:
    """In a home of its own: two of them wait for the database in one, and sometimes without an end."""
    with TemporaryDirectory() as home:
        told = said("mediaconch", "-fs", path, home=Path(home))
    return [] if told.startswith("pass!") else lines(r"\[fail", told) or [told]


def by_mkvmerge(path: Path, made: Made) -> list[str]:
    """Reads it all, by libmatroska or by its own reader of MP4, and tells what it holds.

    It decodes nothing, so that it sees no byte of a frame that is another.
    """
    copy = path.with_suffix(".judged")
    found = lines("Warning|Error", said("mkvmerge", "-o", copy, path))
    copy.unlink(missing_ok=True)
    told = json.loads(said("mkvmerge", "-J", path))
    kinds = [track["type"] for track in told["tracks"]]
    wanted = {"video": int(made.seen.video is not None), "audio": len(made.seen.audio)}
    for kind, count in wanted.items():
        if kinds.count(kind) != count:
            found.append(f"{kinds.count(kind)} tracks of {kind} instead of {count}")
    entries = sum(chapters["num_entries"] for chapters in told["chapters"])
    found += [] if entries == len(made.seen.chapters) else [f"{entries} chapters"]
    listed = re.findall(
        r"TimeStart>(\d+):(\d+):([\d.]+)<.*?ChapterString>(.*?)<", said("mkvextract", path, "chapters"), re.DOTALL
    )
    return [*found, *(_of_chapters(made, _seconds(listed)) if made.preset.container in {"matroska", "webm"} else [])]


def _seconds(listed: Iterable[tuple[str, str, str, str]]) -> list[tuple[float, str]]:
    """When each begins whose hours, minutes and seconds stand before its title."""
    return [(int(hours) * 3600 + int(minutes) * 60 + float(told), title) for hours, minutes, told, title in listed]


def _of_chapters(made: Made, told: list[tuple[float, str]]) -> list[str]:
    """Other chapters than the film's; nothing of an output without, and of a time before the first."""
    if made.source.name != "film.mp4" or not made.seen.chapters:
        return []
    named = {title: begin for begin, title in told if title.strip()}
    right = named.keys() == PARTS.keys() and all(abs(named[title] - begin) < 0.05 for title, begin in PARTS.items())
    return [] if right else [f"chapters begin so: {named}"]


# MP4


def by_mediainfo(path: Path, made: Made) -> list[str]:
    """By the boxes: it decodes nothing. Nor does any judge decode AAC: a browser does so by FFmpeg's decoder."""
    general, *tracks = json.loads(said("mediainfo", "--Output=JSON", path))["media"]["track"]
    extra = {name: value for track in (general, *tracks) for name, value in track.get("extra", {}).items()}
    found = [f"{name}: {extra[name]}" for name in ("IsTruncated", "ConformanceErrors") if name in extra]
    if general.get("IsStreamable") != "Yes" and made.preset.container == "mp4":
        found.append("its index lies behind its samples")
    if abs(float(general.get("Duration", 0)) - made.seen.seconds) > 0.1:
        found.append(f"it lasts {general.get('Duration')} s instead of {made.seen.seconds}")
    pictures = [track for track in tracks if track["@type"] == "Video"]
    if made.seen.video and [int(track["FrameCount"]) for track in pictures] != [len(made.seen.video.times)]:
        found.append(f"{pictures[0]['FrameCount']} frames instead of {len(made.seen.video.times)}")
    sounds = [track.get("Language") for track in tracks if track["@type"] == "Audio"]
    spoken = [name[:2] for name in LANGUAGES][: len(sounds)]
    if made.source.name == "film.mp4" and sounds != spoken:
        found.append(f"languages are {sounds} instead of {spoken}")
    menus = [track["extra"] for track in tracks if track["@type"] == "Menu"]  # of the track, and of the list
    listed = [re.findall(r"_(\d\d)_(\d\d)_(\d\d_\d+)=([^\n]*)", _as_lines(menu)) for menu in menus]
    return [*found, *(words for one in listed for words in _of_chapters(made, _seconds(_dotted(one))))]


def _as_lines(menu: dict[str, str]) -> str:
    return "".join(f"{name}={said}\n" for name, said in menu.items())


def _dotted(listed: Iterable[tuple[str, str, str, str]]) -> Iterator[tuple[str, str, str, str]]:
    return ((hours, minutes, told.replace("_", "."), title) for hours, minutes, told, title in listed)


def by_mediainfo_of_ffv1(path: Path, _: Made) -> list[str]:
    """By the checksum of every slice."""
    told = said("mediainfo", "--ParseSpeed=1", "--Output=JSON", path)
    guarded = '"ErrorDetectionType": "Per slice"' in told
    return [*lines("CRC_Error", told), *([] if guarded else ["its slices have no checksum"])]


# Dates and places


def by_exiftool(path: Path, made: Made) -> list[str]:
    """Told where exiftool looks for them, wherever it does."""
    (told,) = json.loads(said("exiftool", "-j", "-n", "-validate", "-warning", "-a", "-all", path))
    found = [told["Warning"]] if told.get("Validate", "0 0 0")[0] != "0" else []
    date = {"mp4": "CreateDate", "ipod": "CreateDate", "mp3": "DateTimeOriginal", "flac": "Date", "opus": "Date"}
    when = re.sub(r"\D", "", str(told.get(date.get(made.preset.container, "DateTimeOriginal"))))[:14]
    if when != re.sub(r"\D", "", DATE):
        found.append(f"the date is {when}")
    if (where := _place(told)) != PLACE:
        found.append(f"the place is {where}")
    return found


def _place(told: dict[str, Any]) -> tuple[float, ...]:
    if "GPSPosition" in told:
        return tuple(round(float(degrees), 4) for degrees in told["GPSPosition"].split())
    texts = " ".join(str(told.get(name)) for name in ("Location", "UserDefinedText"))
    return tuple(float(degrees) for degrees in re.findall(r"[+-]\d+\.\d+", texts)[:2])


# Codecs, decoded by their own programs


def by_dav1d(path: Path, made: Made) -> list[str]:
    stream = _extracted(path, ".ivf")
    told = said("dav1d", "-q", "-i", stream, "--muxer", "md5", "-o", "-")
    return _compared(told.split()[-1:] or [""], made) or lines("[Ee]rror", told)[:1]


def by_dec265(path: Path, made: Made) -> list[str]:
    stream, decoded = _extracted(path, ".265"), path.with_suffix(".yuv")
    told = said("libde265-dec265", "-q", stream, "-o", decoded)
    digest = hashlib.md5(decoded.read_bytes() if decoded.exists() else b"").hexdigest()
    decoded.unlink(missing_ok=True)
    return _compared([digest], made) or lines("WARNING|ERROR", told)


def by_openh264(path: Path, made: Made) -> list[str]:
    """Of bidirectional pictures this decoder makes other pixels; outputs are made so quickly that they have none, and
    pictures come in the order in which they are shown."""
    stream = _extracted(path, ".264")
    told = said(sys.executable, Path(__file__).with_name("openh264.py"), stream).split("\n")[:-1]
    return [] if told == list(_pictures(made.path)) else ["another decoder sees other pixels, or in another order"]


def _extracted(path: Path, suffix: str) -> Path:
    """The picture's stream alone, taken out by other software than FFmpeg."""
    whole, stream = path.with_suffix(".whole.mkv"), path.with_suffix(suffix)
    said("mkvmerge", "-o", whole, path)
    said("mkvextract", whole, "tracks", f"0:{stream}")
    whole.unlink(missing_ok=True)
    return stream


def _compared(digests: list[str], made: Made) -> list[str]:
    """Two decoders make the same pixels of a stream that is as the standard says."""
    return [] if digests == [_pixels(made.path)] else ["another decoder sees other pixels"]


def _pixels(path: Path) -> str:
    digest = hashlib.md5()
    for frame in _frames(path):
        digest.update(frame)
    return digest.hexdigest()


def _pictures(path: Path) -> Iterator[str]:
    return (hashlib.md5(frame).hexdigest() for frame in _frames(path))


def _frames(path: Path) -> Iterator[bytes]:
    with av.open(str(path)) as container:
        yield from (frame.to_ndarray().tobytes() for frame in container.decode(video=0))


# Sound alone


def by_flac(path: Path, _: Made) -> list[str]:
    return said("flac", "--test", "--silent", "--warnings-as-errors", path).split("\n")[:-1]


def by_opusinfo(path: Path, made: Made) -> list[str]:
    told = said("opusinfo", path)
    found = re.search(r"Playback length: (\d+)m:([\d.]+)s", told)
    seconds = int(found[1]) * 60 + float(found[2]) if found else 0.0
    off = abs(seconds - made.origin.audio[0].end + made.origin.audio[0].start)
    return [*lines("(?i)warning|error", told), *([f"it lasts {seconds} s"] if off > 0.05 else [])]


def by_mp3val(path: Path, _: Made) -> list[str]:
    """By the headers of frames: it sees no byte within one that is another."""
    return lines("WARNING|ERROR", said("mp3val", path))


# Pictures and animations


def by_webpinfo(path: Path, made: Made) -> list[str]:
    """By the chunks, and the headers of frames: it decodes none. The browser does."""
    told = said("webpinfo", path)
    seconds = sum(int(found) for found in re.findall(r"Duration: (\d+)", told)) / 1000
    assert made.origin.video
    off = abs(seconds - (made.origin.video.end - made.origin.video.start))
    return [
        *lines("(?i)error|warning", told.replace("No error detected.", "")),
        *([f"it lasts {seconds} s"] if off > 0.15 else []),
    ]


def by_gifsicle(path: Path, made: Made) -> list[str]:
    """It unpacks every picture, and sees a spoilt byte only where that leads to a code that there is not."""
    told = said("gifsicle", "--info", path)
    found = re.search(r"(\d+) images?", told)
    count = int(found[1]) if found else 0
    seconds = sum(float(delay) for delay in re.findall(r"delay ([\d.]+)s", told))
    assert made.origin.video
    off = abs(seconds - (made.origin.video.end - made.origin.video.start))
    wrong = [f"{count} images of {len(made.seen.video.times)}"] if count != len(made.seen.video.times) else []
    return [*lines("gifsicle:|warning|error", told), *wrong, *([f"it lasts {seconds} s"] if off > 0.15 else [])]


def by_jpeginfo(path: Path, _: Made) -> list[str]:
    pictures = sorted(path.glob("*.jpg")) if path.is_dir() else [path]
    return [told for picture in pictures if not (told := said("jpeginfo", "-c", picture).strip()).endswith("OK")]


def telling(made: Made) -> bool:
    """Of a source that tells when and where it was made."""
    return made.source.name in {"film.mp4", "phone.mov"} and made.preset.container not in {
        *("hls", "dash", "gif", "webp", "mjpeg", "image2")
    }


def in_codec(name: str) -> Callable[[Made], bool]:
    return lambda made: made.preset.encoder == name


JUDGES = (
    Judge(
        "mediaconch",
        "mediaconch",
        held("matroska", "webm"),
        by_mediaconch,
        {
            "an unknown element": ("webm-720p", replaced(b"\x16\x54\xae\x6b", b"\x16\x54\xae\x6c")),
            "another checksum": ("remux-mkv", spoilt(0.0005, 1)),
            "misconfigured": ("archive-ffv1", misconfigured),
        },
        {"Projection": "it knows Matroska of before Projection, by which a turned picture is told"},
    ),
    Judge(
        "mkvmerge",
        "mkvtoolnix",
        held("matroska", "webm", "mp4", "ipod"),
        by_mkvmerge,
        {
            "cut": ("h264-480p", cut(0.6)),
            "spoilt": ("webm-720p", spoilt(0.5, 4000)),
            "a later chapter": ("remux-mkv", replaced(b"\x91\x84\x3b\x9a\xca\x00", b"\x91\x84\x41\x90\xab\x00")),
        },
    ),
    Judge(
        "mediainfo",
        "mediainfo",
        held("mp4", "ipod"),
        by_mediainfo,
        {
            "cut": ("h264-480p", cut(0.7)),
            "index last": ("h264-480p", index_last),
            "another length": ("m4a", box_field(b"mdhd", 12, struct.pack(">I", 24000))),
            "another language": ("av1-720p", replaced(b"\x15\xc7", b"\x1a\x41")),
            "a later chapter in its list": ("h264-480p", replaced(b"\x98\x96\x80\3Two", b"\xa8\x96\x80\3Two")),
            "an earlier chapter in its track": ("m4a", earlier_chapter),
        },
    ),
    Judge(
        "mediainfo",
        "mediainfo",
        in_codec("ffv1"),
        by_mediainfo_of_ffv1,
        {"spoilt": ("archive-ffv1", spoilt(0.5, 3000))},
    ),
    Judge(
        "exiftool",
        "libimage-exiftool-perl",
        telling,
        by_exiftool,
        {
            "elsewhere": ("remux-mkv", replaced(b"+48.8584", b"+48.8585")),
            "nowhere": ("h264-480p", replaced(b"loci", b"free")),
            "later": ("hevc-1080p", a_second_later),
        },
    ),
    Judge("dav1d", "dav1d", in_codec("av1"), by_dav1d, {"spoilt": ("av1-720p", spoilt_picture)}),
    Judge(
        "libde265-dec265",
        "libde265-examples",
        in_codec("hevc"),
        by_dec265,
        {"spoilt": ("archive-hevc", spoilt_picture)},
    ),
    Judge(
        "libopenh264.so.7",
        "libopenh264-7",
        lambda made: made.preset.encoder == "h264" and made.preset.kind != "ladder",
        by_openh264,
        {"spoilt": ("mobile-540p", spoilt_picture)},
    ),
    Judge("flac", "flac", held("flac"), by_flac, {"spoilt": ("flac", spoilt(0.7)), "cut": ("flac", cut(0.8))}),
    Judge(
        "opusinfo",
        "opus-tools",
        held("opus"),
        by_opusinfo,
        {"spoilt": ("opus", spoilt(0.7)), "cut": ("opus", cut(0.6))},
    ),
    Judge("mp3val", "mp3val", held("mp3"), by_mp3val, {"spoilt": ("mp3", spoilt(0.6, 1500)), "cut": ("mp3", cut(0.8))}),
    Judge("webpinfo", "webp", held("webp"), by_webpinfo, {"cut": ("webp", cut(0.7))}),
    Judge(
        "gifsicle",
        "gifsicle",
        held("gif"),
        by_gifsicle,
        {"cut": ("gif", cut(0.7)), "spoilt": ("gif", spoilt(0.6, 400))},
    ),
    Judge("jpeginfo", "jpeginfo", held("mjpeg", "image2"), by_jpeginfo, {"cut": ("poster", cut(0.7))}),
)
