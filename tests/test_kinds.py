"""Every kind of recipe on real media, looked at by an independent reader: PyAV, and ffmpeg's ebur128."""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean as mean
from typing import Any

import av
import pytest
import reader
from conftest import make_clip
from surroundings import crossed, thorough
from test_recipes import outputs

from daemon.errors import UnsuitableSource
from daemon.media import describe as reading
from daemon.media import webp
from daemon.media.decode_end import decode
from daemon.media.media_file import MediaFile
from daemon.recipes.command import passes, plan
from daemon.recipes.recipe import Passed
from daemon.recipes.streaming_manifests import playlist, playlists, representations

QUICK = {"speed": "ultrafast"}


def make(ffmpeg: str, source: Path, folder: Path, preset: str, **overrides: Any) -> Path:
    """What the preset makes of the source, by as many passes as it takes."""
    media = reading.read_media(str(source))
    (output,) = outputs((preset, overrides), folder=f"{folder}/")
    going, passed = passes(str(source), media, [output], threads=2), None
    while True:
        try:
            one = going.send(passed)  # type: ignore[arg-type]
        except StopIteration:
            return Path(output.path)
        for name in one.folders:
            Path(name).mkdir(exist_ok=True)
        for name, text in one.files.items():
            Path(name).write_text(text)
        done = subprocess.run(
            one.argv, executable=ffmpeg, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        made = Path(output.path)
        passed = Passed(done.stderr, made.stat().st_size if made.is_file() else 0)


def frames(path: Path | str) -> Iterator[av.VideoFrame]:
    with av.open(str(path)) as container:
        yield from container.decode(video=0)


def grey(frame: av.VideoFrame) -> list[bytes]:
    """The rows of the picture, a byte for each pixel."""
    (plane,) = frame.reformat(format="gray").planes
    data, line = bytes(plane), plane.line_size
    return [data[line * row : line * row + frame.width] for row in range(frame.height)]


def lasting(path: Path | str, kind: str) -> float:
    """Seconds from the first to the end of the last frame, every one of them decoded."""
    with av.open(str(path)) as container:
        times = [(frame.time, _length(frame)) for frame in container.decode(**{kind: 0})]
    return max(time + length for time, length in times) - min(time for time, _ in times)


def _length(frame: Any) -> float:
    if isinstance(frame, av.AudioFrame):
        return frame.samples / frame.sample_rate
    return float((frame.duration or 0) * frame.time_base)


def codecs(path: Path) -> list[str]:
    with av.open(str(path)) as container:
        return [stream.codec_context.codec.canonical_name for stream in container.streams]


# Films


@pytest.mark.parametrize("fit", ["fit", "fill", "blur"])
def test_a_frame_is_filled_as_was_asked(ffmpeg: str, clip: Path, tmp_path: Path, fit: str) -> None:
    made = make(ffmpeg, clip, tmp_path, "vertical-1080p", fit=fit, short_side=240, **QUICK)
    shown = list(frames(made))
    assert {(frame.width, frame.height) for frame in shown} == {(240, 426)}
    assert len(shown) == 50
    rows = grey(shown[10])
    assert mean(rows[213]) > 40
    assert (mean(rows[4]) < 20) is (fit == "fit")
    edge, middle = (mean(abs(a - b) for a, b in itertools.pairwise(row)) for row in (rows[20], rows[213]))
    assert (edge < middle / 3) is (fit != "fill")


def test_a_capped_file_stays_within_its_bytes_and_plays_to_its_end(ffmpeg: str, clip: Path, tmp_path: Path) -> None:
    for target in (60_000, 150_000, 600_000):
        made = make(ffmpeg, clip, tmp_path, "h264-capped", target_bytes=target, **QUICK)
        assert 0.5 * target < made.stat().st_size <= target
        assert lasting(made, "video") == pytest.approx(2.0, abs=0.05)


def test_what_fits_is_copied_bit_by_bit(ffmpeg: str, clip: Path, tmp_path: Path) -> None:
    for preset in ("h264-1080p-smart", "remux-mp4", "remux-mkv"):
        made = make(ffmpeg, clip, tmp_path, preset)
        assert [packet for kind in ("video", "audio") for packet in payloads(made, kind)] == [
            packet for kind in ("video", "audio") for packet in payloads(clip, kind)
        ], preset


def payloads(path: Path, kind: str) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(**{kind: 0}) if packet.size]


def test_an_archive_holds_every_pixel_and_sample(ffmpeg: str, clip: Path, tmp_path: Path) -> None:
    made = make(ffmpeg, clip, tmp_path, "archive-ffv1")
    assert codecs(made) == ["ffv1", "flac"]
    pairs = zip(frames(clip), frames(made), strict=True)
    assert all(list(map(bytes, before.planes)) == list(map(bytes, after.planes)) for before, after in pairs)


@pytest.mark.thorough
def test_a_ten_bit_archive_has_ten_bits_and_the_sound_as_it_was(ffmpeg: str, clip: Path, tmp_path: Path) -> None:
    made = make(ffmpeg, clip, tmp_path, "archive-hevc", **QUICK)
    assert codecs(made) == ["hevc", "aac"]
    assert {frame.format.name for frame in frames(made)} == {"yuv420p10le"}
    assert payloads(made, "audio") == payloads(clip, "audio")


@pytest.mark.parametrize(
    ("preset", "codec"), [("webm-av1-1080p", "av1"), ("webm-1080p", "vp9"), ("mobile-540p", "h264")]
)
def test_films_for_the_web_play_to_their_end(ffmpeg: str, clip: Path, tmp_path: Path, preset: str, codec: str) -> None:
    made = make(ffmpeg, clip, tmp_path, preset, **QUICK)
    assert codecs(made) == [codec, "aac" if codec == "h264" else "opus"]
    assert lasting(made, "video") == pytest.approx(2.0, abs=0.05)
    assert lasting(made, "audio") == pytest.approx(2.0, abs=0.06)


# Sound


@pytest.mark.parametrize(("preset", "codec"), [("opus", "opus"), ("flac", "flac"), ("m4a-r128", "aac")])
def test_the_sound_alone_plays_to_its_end(ffmpeg: str, clip: Path, tmp_path: Path, preset: str, codec: str) -> None:
    made = make(ffmpeg, clip, tmp_path, preset)
    assert codecs(made) == [codec]
    assert lasting(made, "audio") == pytest.approx(2.0, abs=0.06)


@pytest.mark.parametrize(
    ("preset", "target"),
    [thorough("m4a-r128", -23), ("m4a-r128", -16), thorough("mp3", -18), thorough("flac", -23)],
)
def test_loudness_comes_out_as_asked(ffmpeg: str, tmp_path: Path, preset: str, target: float) -> None:
    source = speech(ffmpeg, tmp_path / "source.wav")
    assert abs(loudness(ffmpeg, source) - target) > 2
    made = make(ffmpeg, source, tmp_path, preset, loudness_lufs=target)
    assert loudness(ffmpeg, made) == pytest.approx(target, abs=0.5)


def test_surround_is_as_loud_as_asked_once_it_is_mixed_down(ffmpeg: str, tmp_path: Path) -> None:
    source = speech(ffmpeg, tmp_path / "source.wav", layout="5.1")
    made = make(ffmpeg, source, tmp_path, "m4a-r128")
    assert loudness(ffmpeg, made) == pytest.approx(-23, abs=0.5)


@pytest.mark.thorough
def test_what_is_levelled_has_no_hole(ffmpeg: str, tmp_path: Path) -> None:
    """Where peaks forbid one gain for all, and the length is no multiple of what is worked on at a time."""
    clicks = "aevalsrc=exprs='0.9*sin(2*PI*800*t)*lt(mod(t\\,1)\\,0.02)':s=48000:d=30.06"
    source = tmp_path / "source.wav"
    subprocess.run([ffmpeg, "-v", "error", "-f", "lavfi", "-i", clicks, str(source)], check=True)
    heard = reader.read(make(ffmpeg, source, tmp_path, "opus", loudness_lufs=-14)).audio[0]
    assert heard.off < 0.001
    assert heard.end - heard.start == pytest.approx(30.06, abs=0.03)


def test_what_is_louder_than_full_scale_can_be_levelled(ffmpeg: str, tmp_path: Path) -> None:
    source = tmp_path / "source.wav"
    loud = ["-f", "lavfi", "-i", "sine=d=3,volume=40dB:precision=float", "-c:a", "pcm_f32le", str(source)]
    subprocess.run([ffmpeg, "-v", "error", *loud], check=True)
    assert loudness(ffmpeg, make(ffmpeg, source, tmp_path, "m4a-r128")) == pytest.approx(-23, abs=0.5)


def test_a_mix_is_as_loud_in_every_format(ffmpeg: str, tmp_path: Path) -> None:
    """Of integer samples, too, which FFmpeg would mix more softly."""
    source = speech(ffmpeg, tmp_path / "source.flac", layout="5.1")
    presets = ("mp3", "opus", "m4a")
    loud = [loudness(ffmpeg, make(ffmpeg, source, tmp_path, preset)) for preset in presets]
    assert max(loud) - min(loud) < 0.5


def test_silence_can_be_levelled(ffmpeg: str, tmp_path: Path) -> None:
    source = tmp_path / "silence.wav"
    silence = ["-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo", "-t", "1", str(source)]
    subprocess.run([ffmpeg, "-v", "error", *silence], check=True)
    assert lasting(make(ffmpeg, source, tmp_path, "m4a-r128"), "audio") == pytest.approx(1.0, abs=0.06)


def speech(ffmpeg: str, path: Path, layout: str = "stereo") -> Path:
    """Ten seconds that are louder and softer by turns, as speech is."""
    noise = "anoisesrc=r=48000:c=pink:seed=7:d=10,volume='0.02+0.15*abs(sin(t*2))':eval=frame"
    subprocess.run(
        [ffmpeg, "-v", "error", "-f", "lavfi", "-i", f"{noise},aformat=channel_layouts={layout}", str(path)], check=True
    )
    return path


def loudness(ffmpeg: str, path: Path) -> float:
    heard = subprocess.run(
        [ffmpeg, "-hide_banner", "-i", str(path), "-af", "ebur128", "-f", "null", "-"], capture_output=True, text=True
    )
    return float(re.findall(r"I:\s+(-?[\d.]+) LUFS", heard.stderr)[-1])


# Pictures


def spliced(ffmpeg: str, folder: Path, kind: str, encode: list[str], *looks: str) -> Path:
    """Red pictures of those sizes and shapes, one second of each, one after the other in one stream."""
    parts = [folder / f"{number}.{kind}" for number in range(len(looks))]
    for part, look in zip(parts, looks, strict=True):
        red = ["-f", "lavfi", "-i", f"color=red:rate=50:duration=1:size={look}"]
        subprocess.run([ffmpeg, "-v", "error", *red, *encode, part], check=True, stdin=subprocess.DEVNULL)
    joined, listed = folder / f"joined.{kind}", folder / "list.txt"
    listed.write_text("".join(f"file '{part}'\n" for part in parts))
    join = ["-f", "concat", "-safe", "0", "-i", listed, "-c", "copy", joined]
    subprocess.run([ffmpeg, "-v", "error", *join], check=True, stdin=subprocess.DEVNULL)
    return joined


def red_share(frame: av.VideoFrame, across: tuple[float, float], down: tuple[float, float]) -> float:
    """Of the pixels in that part of the frame, those that are red rather than black."""
    pixels = frame.to_ndarray(format="rgb24")
    height, width = pixels.shape[:2]
    part = pixels[int(down[0] * height) : int(down[1] * height), int(across[0] * width) : int(across[1] * width)]
    return float((part[..., 0] > 128).mean())


SIDES, MIDDLE, ALL = ((0.0, 0.15), (0.85, 1.0)), (0.25, 0.75), (0.0, 1.0)
FIELDS = ["-flags", "+ildct+ilme", "-x264-params", "tff=1"]


@pytest.mark.parametrize(
    ("kind", "encode", "looks"),
    [
        ("ts", ["-c:v", "libx264"], ["320x240", "240x320"]),
        ("ts", ["-c:v", "libx264", *FIELDS], ["352x288,interlace,setsar=12/11", "360x576,interlace"]),
        thorough("webm", ["-c:v", "libvpx"], ["320x240", "240x320"]),
        ("mkv", ["-c:v", "libsvtav1", "-preset", "12"], ["320x240", "240x320"]),
        ("h264", ["-c:v", "libx264"], ["320x240", "240x320"]),
        thorough("hevc", ["-c:v", "libx265"], ["320x240", "240x320"]),
        thorough("mkv", ["-c:v", "mpeg2video"], ["320x240", "240x320"]),
        thorough("avi", ["-c:v", "mpeg4"], ["320x240", "240x320"]),
        thorough("mov", ["-c:v", "mjpeg"], ["320x240", "240x320"]),
    ],
    ids=["broadcast", "fields", "call", "av1", "h264", "hevc", "disc", "mpeg4", "jpegs"],
)
def test_pictures_that_turn_midway_get_bars(
    ffmpeg: str, tmp_path: Path, kind: str, encode: list[str], looks: list[str]
) -> None:
    source = spliced(ffmpeg, tmp_path, kind, [*encode, "-pix_fmt", "yuv420p"], *looks)
    first, *_, last = frames(make(ffmpeg, source, tmp_path, "h264-480p"))
    assert red_share(first, ALL, ALL) > 0.99
    assert red_share(last, MIDDLE, ALL) > 0.99
    assert max(red_share(last, side, ALL) for side in SIDES) < 0.01
    [tiles] = frames(make(ffmpeg, source, tmp_path, "thumbnail-sheet"))
    assert red_share(tiles, ALL, (0.0, 0.45)) > 0.99
    assert 0.5 < red_share(tiles, ALL, (0.55, 1.0)) < 0.65
    *_, archived = frames(make(ffmpeg, source, tmp_path, "archive-ffv1"))
    assert max(red_share(archived, side, ALL) for side in SIDES) < 0.01


def test_odd_pictures_that_change_their_size_are_told_to_be_stretched(ffmpeg: str, tmp_path: Path) -> None:
    encode = ["-c:v", "mjpeg", "-pix_fmt", "yuvj444p"]
    media = reading.read_media(str(spliced(ffmpeg, tmp_path, "mov", encode, "161x121", "121x161")))
    [output] = outputs("h264-480p")
    told = plan(media, output.preset, output.parameters).contents.left_out
    assert [fact.what for fact in told] == ["shape"]


def test_an_animated_webp_shows_the_excerpt(ffmpeg: str, clip: Path, tmp_path: Path) -> None:
    made = make(ffmpeg, clip, tmp_path, "webp", start_seconds=0.5, seconds=1, fps=10, long_side=160)
    animation = webp.read(MediaFile(str(made)))
    assert animation.video is not None
    assert (animation.video.width, animation.video.height) == (160, 90)
    assert animation.duration_seconds == pytest.approx(1.0, abs=0.05)


def test_a_poster_is_one_picture(ffmpeg: str, clip: Path, tmp_path: Path) -> None:
    typical = list(frames(make(ffmpeg, clip, tmp_path, "poster", long_side=320)))
    assert [(frame.width, frame.height) for frame in typical] == [(320, 180)]


def test_a_poster_shows_the_frame_of_the_time_asked_for(ffmpeg: str, tmp_path: Path) -> None:
    source = brightening(ffmpeg, tmp_path / "source.mp4")
    (early,) = frames(make(ffmpeg, source, tmp_path, "poster", at_seconds=1))
    (late,) = frames(make(ffmpeg, source, tmp_path, "poster", at_seconds=8))
    assert 10 < mean(b"".join(grey(early))) < 50
    assert 180 < mean(b"".join(grey(late))) < 220


def brightening(ffmpeg: str, path: Path) -> Path:
    """Ten seconds; the second tells the grey: 0, 24, 48, …"""
    grey = "color=black:s=160x90:r=10:d=10,format=gray,geq=lum='24*floor(T)',format=yuvj420p"
    subprocess.run([ffmpeg, "-v", "error", "-f", "lavfi", "-i", grey, "-c:v", "libx264", str(path)], check=True)
    return path


def test_the_cues_of_a_sprite_sheet_match_its_tiles(ffmpeg: str, tmp_path: Path) -> None:
    source = brightening(ffmpeg, tmp_path / "source.mp4")
    made = make(ffmpeg, source, tmp_path, "sprite-sheet", interval_seconds=1, columns=2, rows=2, tile_long_side=64)
    sheets = {path.name: grey(next(frames(path))) for path in made.glob("*.jpg")}
    assert len(sheets) == 3
    cues = re.findall(r"(\S+) --> (\S+)\n(\S+)#xywh=(\d+),(\d+),(\d+),(\d+)", (made / "thumbnails.vtt").read_text())
    assert [(begin, end) for begin, end, *_ in cues] == [
        (f"00:00:{second:02}.000", f"00:00:{second + 1:02}.000") for second in range(10)
    ]
    for second, (_, _, name, *rectangle) in enumerate(cues):
        x, y, width, height = map(int, rectangle)
        tile = b"".join(row[x : x + width] for row in sheets[name][y : y + height])
        assert len(tile) == 36 * 64
        assert abs(mean(tile) - 24 * second) < 8, f"the tile of second {second}"


# Ladders


def test_hls_of_what_is_too_short_for_it_is_refused_and_dash_is_made(ffmpeg: str, tmp_path: Path) -> None:
    short = make_clip(ffmpeg, tmp_path / "short.mp4", seconds=0.4)
    media = reading.read_media(str(short))
    with pytest.raises(UnsuitableSource, match=r"lasts 0.40 s; HLS needs more than 0.5 s"):
        plan(media, *described("hls"))
    made = make(ffmpeg, short, tmp_path, "dash", segment_seconds=1, **QUICK)
    assert all(track.seconds == pytest.approx(0.4, abs=0.1) for track in tracks(made, "dash"))


@pytest.mark.parametrize("preset", ["hls", "dash"])
def test_nothing_that_a_file_says_of_itself_sends_players_elsewhere(
    ffmpeg: str, clip: Path, tmp_path: Path, preset: str
) -> None:
    source = tmp_path / "source.mkv"
    closed = 'en"></AdaptationSet><BaseURL>http://elsewhere.test/</BaseURL><AdaptationSet id="9'
    role = 'main" /></AdaptationSet><BaseURL>http://elsewhere.test/</BaseURL><AdaptationSet id="9"><Role value="main'
    words = ["-metadata:s", f"language={closed}", "-metadata:s", f"role={role}", "-metadata", f"title={closed}"]
    subprocess.run([ffmpeg, "-v", "error", "-i", str(clip), "-c", "copy", *words, str(source)], check=True)
    made = make(ffmpeg, source, tmp_path, preset, segment_seconds=1, **QUICK)
    assert len(tracks(made, preset)) == 3
    assert not [path for path in made.rglob("*.m*") if b"elsewhere" in path.read_bytes()]


@pytest.mark.parametrize(("name", "preset"), crossed(["clip", "silent", "portrait"], ["hls", "dash"]))
def test_every_track_of_a_ladder_plays_to_its_end(
    ffmpeg: str, clip: Path, tmp_path: Path, preset: str, name: str
) -> None:
    source = {"clip": clip, "silent": tmp_path / "silent.mp4", "portrait": tmp_path / "portrait.mp4"}[name]
    changed = {"silent": ["-an", "-c", "copy"], "portrait": ["-vf", "transpose=1,scale=278:496", "-c:a", "copy"]}
    if name in changed:
        subprocess.run([ffmpeg, "-v", "error", "-i", str(clip), *changed[name], str(source)], check=True)
    made = make(ffmpeg, source, tmp_path, preset, segment_seconds=1, **QUICK)
    folder = plan(reading.read_media(str(source)), *described(preset)).folder
    found = tracks(made, preset)
    pictures = []
    for number, track in enumerate(found):
        assert track.seconds == pytest.approx(2.0, abs=0.1)
        whole = tmp_path / f"{number}.mp4"
        whole.write_bytes(b"".join((made / part).read_bytes() for part in track.names))
        with av.open(str(whole)) as container:
            kind = container.streams[0].type
        assert lasting(whole, kind) == pytest.approx(2.0, abs=0.1)
        if kind == "video":
            pictures.append(key_frames(whole))
            assert b"cmfc" in (made / track.names[0]).read_bytes()
            size = next(frames(whole))
            assert (size.width, size.height) == folder.rungs[len(pictures) - 1]  # type: ignore[union-attr]
    assert len(pictures) == len(folder.rungs)  # type: ignore[union-attr]
    assert len(found) - len(pictures) == (0 if name == "silent" else 1)
    assert all(times == pictures[0] for times in pictures)
    assert {0.0, 1.0} <= set(pictures[0])


def described(preset: str) -> tuple[str, dict[str, Any]]:
    (output,) = outputs((preset, {"segment_seconds": 1, **QUICK}))
    return output.preset, output.parameters


def tracks(folder: Path, preset: str) -> list[Any]:
    if preset == "dash":
        return representations((folder / "manifest.mpd").read_text())
    names = playlists((folder / "master.m3u8").read_text())
    return [playlist((folder / name).read_text(), str(Path(name).parent)) for name in names]


def key_frames(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        times = [float(p.pts * p.time_base) for p in container.demux(video=0) if p.is_keyframe and p.size]
    return [round(time - times[0], 3) for time in times]


# What several things in one file are


def generated(ffmpeg: str, *words: str | Path) -> None:
    subprocess.run([ffmpeg, "-v", "error", "-y", *words], check=True, stdin=subprocess.DEVNULL)


def lavfi(*graphs: str) -> list[str]:
    return [word for graph in graphs for word in ("-f", "lavfi", "-i", graph)]


def test_of_several_channels_the_sound_is_the_pictures(ffmpeg: str, tmp_path: Path) -> None:
    source = tmp_path / "two.ts"
    small, large = "color=red:size=160x120:duration=2", "color=blue:size=320x240:duration=2"
    channels = ["-program", "title=A:st=0:st=1", "-program", "title=B:st=2:st=3"]
    mapped = ["-map", "0", "-map", "1", "-map", "2", "-map", "3"]
    tones = "sine=300:duration=2", "anullsrc=duration=2"
    generated(ffmpeg, *lavfi(small, tones[0], large, tones[1]), *mapped, "-c:a", "mp2", *channels, source)
    assert [stream.index for stream in reading.read_media(str(source)).audio] == [3]
    made = reader.read(make(ffmpeg, source, tmp_path, "h264-480p"))
    assert made.video
    assert made.video.size == (320, 240)
    assert [round(heard.loudness, 3) for heard in made.audio] == [0], "it has the other channel's tone"


@pytest.mark.parametrize("preset", ["poster", "h264-480p", "archive-ffv1", "remux-mkv"])
def test_of_a_photograph_only_the_first_picture_is_shown(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    """Telephones put a map of the lights, or a depth, behind it."""
    for name, look in (("photo", "color=red:size=320x240"), ("map", "color=gray:size=80x60")):
        generated(ffmpeg, *lavfi(look), "-frames:v", "1", "-update", "1", tmp_path / f"{name}.jpg")
    source = tmp_path / "both.jpg"
    source.write_bytes((tmp_path / "photo.jpg").read_bytes() + (tmp_path / "map.jpg").read_bytes())
    [frame] = frames(make(ffmpeg, source, tmp_path, preset))
    assert (frame.width, frame.height) == (320, 240)
    assert red_share(frame, ALL, ALL) > 0.99


def test_ogg_files_that_follow_one_another_are_one(ffmpeg: str, tmp_path: Path) -> None:
    for number in (1, 2):
        generated(ffmpeg, *lavfi(f"sine={440 * number}:duration=2"), "-c:a", "libopus", tmp_path / f"{number}.opus")
    source = tmp_path / "both.opus"
    source.write_bytes((tmp_path / "1.opus").read_bytes() + (tmp_path / "2.opus").read_bytes())
    assert reading.read_media(str(source)).duration_seconds == pytest.approx(4.0, abs=0.05)
    assert reader.read(make(ffmpeg, source, tmp_path, "mp3")).seconds == pytest.approx(4.0, abs=0.05)


@pytest.mark.parametrize("preset", ["mp3", "flac", "m4a", "m4a-r128", "remux-mkv"])
def test_what_ogg_tells_of_its_sound_is_told_of_the_file(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    source = tmp_path / "song.ogg"
    tags = ["-metadata", "title=Song", "-metadata", "artist=Singer", "-metadata:s:a:0", "language=deu"]
    generated(ffmpeg, *lavfi("sine=440:duration=1"), "-c:a", "libvorbis", *tags, source)
    with av.open(str(make(ffmpeg, source, tmp_path, preset))) as container:
        told = {name.lower(): value for name, value in container.metadata.items()}
        assert (told["title"], told["artist"]) == ("Song", "Singer")
        if preset in {"m4a", "remux-mkv"}:
            assert container.streams[0].metadata["language"] == reading.read_media(str(source)).audio[0].language


@pytest.mark.parametrize("preset", ["remux-mkv", thorough("archive-ffv1"), thorough("archive-hevc")])
def test_fonts_have_their_names_where_nothing_else_is_told(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    source, names = tmp_path / "fonts.mkv", ("one.ttf", "two.otf")
    attached: list[str] = []
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(b"a font")
        attached += ["-attach", str(tmp_path / name), f"-metadata:s:t:{number}", "mimetype=font/ttf"]
    look = lavfi("testsrc2=size=64x64:rate=25:duration=0.4")
    generated(ffmpeg, *look, *attached, "-metadata:s:t:0", "title=Anna's", "-metadata", "title=Anna's", source)
    with av.open(str(make(ffmpeg, source, tmp_path, preset, metadata="strip"))) as container:
        told = [stream.metadata for stream in container.streams.attachments]
        assert told == [{"filename": name, "mimetype": "font/ttf"} for name in names]
        assert "title" not in container.metadata


@pytest.mark.parametrize("preset", ["flac", "m4a", thorough("m4a-r128"), thorough("mp3"), thorough("opus")])
@pytest.mark.parametrize("ending", ["tta", "mka"])
@pytest.mark.parametrize("channels", [1, 2])
def test_tta_is_encoded_and_its_end_is_found(
    ffmpeg: str, tmp_path: Path, channels: int, ending: str, preset: str
) -> None:
    source = tmp_path / f"song.{ending}"
    generated(ffmpeg, *lavfi("sine=440:duration=2"), "-ac", str(channels), "-c:a", "tta", source)
    made = make(ffmpeg, source, tmp_path, preset)
    media = reading.read_media(str(made))
    assert media.duration_seconds == pytest.approx(2.0, abs=0.06)
    decode(str(made), media, patience=10.0)


FINE = [
    *(("pcm_s24le", "mono", "mkv"), ("pcm_f32le", "mono", "mkv"), ("pcm_s32be", "mono", "mov")),
    *(thorough("pcm_s32le", "mono", "mkv"), thorough("pcm_f32be", "mono", "mov"), thorough("pcm_f64be", "mono", "mov")),
    *(("pcm_s24be", "7.1.4", "mov"), thorough("wavpack", "7.1.4", "mkv"), thorough("alac", "mono", "mov")),
]


@pytest.mark.parametrize(("codec", "places", "ending"), FINE)
def test_the_lossless_archive_keeps_every_sample(
    ffmpeg: str, tmp_path: Path, codec: str, places: str, ending: str
) -> None:
    """Louder than full scale too, where the source can be; and of more channels than FLAC has."""
    source = tmp_path / f"fine.{ending}"
    wave = f"aevalsrc=1.5*sin(2*PI*440*t):duration=0.5:sample_rate=48000,pan={places}|c0=c0|c1=c0"
    wave = wave.replace("|c1=c0", "") if places == "mono" else wave
    generated(ffmpeg, *lavfi("color=red:size=64x64:duration=0.5", wave), "-c:v", "ffv1", "-c:a", codec, source)
    archive = make(ffmpeg, source, tmp_path, "archive-ffv1")
    hashes = [
        subprocess.run(
            [ffmpeg, "-v", "error", "-i", path, "-map", "a", "-c:a", "pcm_f64le", "-f", "md5", "-"],
            check=True,
            capture_output=True,
        ).stdout
        for path in (source, archive)
    ]
    assert hashes[0] == hashes[1]


def test_a_picture_every_ten_seconds_is_copied_whole(ffmpeg: str, tmp_path: Path) -> None:
    source = tmp_path / "lapse.mp4"
    generated(ffmpeg, *lavfi("testsrc2=size=320x240:rate=1/10:duration=50"), "-preset", "ultrafast", source)
    copy = reading.read_media(str(make(ffmpeg, source, tmp_path, "remux-mkv")))
    assert copy.duration_seconds == pytest.approx(50.0)


def test_sprites_are_found_by_the_time_of_a_picture_that_begins_late(ffmpeg: str, tmp_path: Path) -> None:
    source = tmp_path / "late.mkv"
    looks = ["-itsoffset", "3", *lavfi("testsrc2=size=320x240:rate=25:duration=2", "sine=duration=5")]
    generated(ffmpeg, *looks, source)
    index = make(ffmpeg, source, tmp_path, "sprite-sheet", interval_seconds=1.0) / "thumbnails.vtt"
    assert re.findall(r"(\S+) --> (\S+)", index.read_text()) == [
        ("00:00:03.000", "00:00:04.000"),
        ("00:00:04.000", "00:00:05.000"),
    ]


def test_avi_with_b_frames_keeps_all_its_pictures(ffmpeg: str, tmp_path: Path) -> None:
    source = tmp_path / "b.avi"
    generated(ffmpeg, *lavfi("testsrc2=size=320x240:rate=24:duration=2"), "-c:v", "libx264", "-bf", "3", source)
    times = [frame.time or 0.0 for frame in frames(make(ffmpeg, source, tmp_path, "h264-480p"))]
    assert len(times) == 48
    assert {round((after - before) * 24) for before, after in itertools.pairwise(times)} == {1}
    assert times[0] == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("transfer", ["bt470m", "bt470bg"])
def test_gamma_by_a_number_is_kept(ffmpeg: str, tmp_path: Path, transfer: str) -> None:
    source = tmp_path / "gamma.mp4"
    look = lavfi("testsrc2=size=320x240:rate=25:duration=0.4")
    generated(ffmpeg, *look, "-c:v", "libx264", "-x264-params", f"transfer={transfer}", source)
    assert next(frames(make(ffmpeg, source, tmp_path, "poster")))
    made = reading.read_media(str(make(ffmpeg, source, tmp_path, "h264-480p")))
    assert made.video
    assert made.video.colour.transfer == transfer


def test_what_tells_no_colours_keeps_them_when_it_is_scaled_and_laid_on_one(ffmpeg: str, tmp_path: Path) -> None:
    """Opaque, with room for alpha: FFmpeg would scale it into RGB before it is told which RGB that is."""
    source, levels = tmp_path / "flat.mov", (150, 75, 175)
    fill = "geq=lum=600:cb=300:cr=700:a=1023"
    film = ["-f", "lavfi", "-i", f"nullsrc=size=1920x1080:rate=5:duration=0.4,format=yuva444p10le,{fill}"]
    subprocess.run([ffmpeg, "-v", "error", *film, "-c:v", "prores_ks", "-alpha_bits", "16", str(source)], check=True)
    first = next(frames(make(ffmpeg, source, tmp_path, "h264-720p", **QUICK)))
    middle = [bytes(plane)[plane.line_size * (plane.height // 2) + plane.width // 2] for plane in first.planes]
    assert middle == [pytest.approx(level, abs=2) for level in levels]
