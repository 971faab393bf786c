from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from conftest import make_clip, wait_until

from daemon import media as reading
from daemon.errors import ProbeError
from daemon.models import Cover, Media

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 60.0  # seconds after which a test gives up; nothing here takes as long

PLAYLIST = "it is not a media file ffspool can read, but a playlist, which names other files: give those"
REFUSED = {
    "bomb_11390x12595.gif": "its picture has no size, or more than 40 megapixels",
    "concat_reads_sibling.mkv": PLAYLIST,
    "hls_gab2_read_passwd.avi": "it holds neither a picture nor sound ffspool can decode",
    "hls_reads_sibling.mp4": PLAYLIST,
    "hls_ssrf_http.avi": PLAYLIST,
    "huge_16000x9000.webp": "its picture has no size, or more than 40 megapixels",
    "text_imagemagick_mvg.gif": "it is not a media file ffspool can read, but a text",
    "truncated_no_moov.mp4": "its index (moov) is missing: the file was cut off, or is still being written",
    "zero_bytes.m4a": "the file is empty",
}


class Server:
    """The real server process, and our end of its socket."""

    def __init__(self, *program: str) -> None:
        """`program`: what Python shall run in its place."""
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, *(program or ("-m", "daemon.probing")), str(theirs.fileno()), "sandbox"]
            self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=ROOT)
        self.socket.settimeout(PATIENCE)

    def ask(self, number: int, path: Path, timeout: float = PATIENCE, *, how: str = "describe") -> None:
        request = {"id": number, "file": {"path": str(path)}, "timeout": timeout, "how": how}
        self.socket.send(json.dumps(request).encode())

    def answer(self) -> Any:
        return json.loads(self.socket.recv(256 * 1024))

    def child(self) -> psutil.Process:
        """The one child that reads a file now."""
        return wait_until(psutil.Process(self.process.pid).children, "a reader")[0]


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.socket.close()
    assert server.process.wait(PATIENCE) == 0


TAKEN_OVER = """
import os, time
from daemon import media, probing
from daemon.errors import ProbeError

def read(path, patience):
    if path.endswith("victim"):
        while not os.stat(path).st_size:
            time.sleep(0.01)
        raise ProbeError("the truth")
    for descriptor in range(3, 1024):
        try:
            os.pwrite(descriptor, b'{"error": "a lie"}', 0)
            os.lseek(descriptor, 0, os.SEEK_END)
        except OSError:
            continue
    raise ProbeError("it has tried")

media.read_media = read
probing.main()
"""


@pytest.fixture
def taken_over() -> Iterator[Server]:
    """A server whose readers, but for that of a `victim`, write what they like to whatever they have open."""
    server = Server("-c", TAKEN_OVER)
    yield server
    server.socket.close()
    assert server.process.wait(PATIENCE) == 0


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A sound of millennia in a file that takes no room: to measure it is never done."""
    path = tmp_path / "endless"
    form = struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)  # PCM, mono, 8 kHz, 8 bit
    with path.open("wb") as file:
        file.write(b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0" + form + b"data\xff\xff\xff\xff")
        file.truncate(2**42)
    return path


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


# What is read


def test_every_file_is_described_or_refused_in_words(server: Server, media: Path) -> None:
    files = sorted(path for path in media.iterdir() if path.suffix != ".json")
    for number, path in enumerate(files):
        server.ask(number, path)
    answers = {files[answer["id"]].name: answer for answer in (server.answer() for _ in files)}
    assert {name: answer["error"] for name, answer in answers.items() if "error" in answer} == REFUSED


@pytest.mark.parametrize("name", REFUSED)
def test_no_refusal_names_a_path(media: Path, name: str) -> None:
    with pytest.raises(ProbeError) as caught:
        reading.read_media(str(media / name))
    assert "/" not in str(caught.value)
    assert name not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "index", "size", "rotation", "more"),
    [
        ("phone_rotated_ios.mov", 0, (720, 1280), 90, {}),
        ("rotate_and_mirror.mp4", 0, (720, 1080), 90, {"mirrored": True}),
        ("multi_video_audio_subs.mp4", 3, (480, 270), 0, {}),
        (
            "interlaced_tff_dvd_ntsc.mkv",
            0,
            (853, 480),
            0,
            {"field_order": "tff", "interlaced": True},
        ),
        ("sar_1137_800_first_pts_10s.mp4", 0, (1137, 640), 0, {}),
        ("hdr_hlg_dolbyvision_rotated.MOV", 0, (720, 1280), 90, {"hdr": "hlg", "dolby_vision": True, "bit_depth": 10}),
        ("hdr10_pq_av1_portrait.mp4", 0, (720, 1280), 0, {"hdr": "pq"}),
        ("sdr_10bit.webm", 0, (426, 240), 0, {"hdr": None, "bit_depth": 10, "pixel_format": "yuv420p10le"}),
        ("alpha_vp9.webm", 0, (400, 400), 0, {"alpha": True}),
        ("alpha_prores4444.mov", 0, (400, 400), 0, {"alpha": True}),
        ("awesome'movie.mov", 1, (640, 480), 0, {"alpha": False, "interlaced": False}),
    ],
)
def test_the_picture_is_told_as_it_is_shown(
    media: Path, name: str, index: int, size: tuple[int, int], rotation: int, more: dict[str, Any]
) -> None:
    picture = reading.read_media(str(media / name)).video
    assert picture is not None
    assert (picture.index, (picture.width, picture.height), picture.rotation) == (index, size, rotation)
    assert {name: getattr(picture, name) for name in more} == more


def test_cover_art_is_no_picture(media: Path) -> None:
    found = reading.read_media(str(media / "coverart_id3_broken_jpeg.mp3"))
    assert found.video is None
    assert [stream.codec for stream in found.audio] == ["mp3"]


def test_the_cover_of_a_sound_is_told(media: Path) -> None:
    found = reading.read_media(str(media / "coverart_id3_broken_jpeg.mp3"))
    assert found.covers == 1
    assert found.cover == Cover(index=1, codec="mjpeg", bytes=38946)


STAMP = "size=64x64:rate=1:duration=1"  # one picture


def covered(ffmpeg: str, folder: Path, name: str, *pictures: tuple[str, str]) -> Path:
    """A sound with PNG covers, told by colour and comment."""
    path = folder / name
    inputs = [word for colour, _ in pictures for word in ("-f", "lavfi", "-i", f"color={colour}:{STAMP}")]
    told = [
        word
        for number, (_, comment) in enumerate(pictures)
        for word in (
            *("-map", str(number + 1), f"-disposition:v:{number}", "attached_pic"),
            *(f"-metadata:s:v:{number}", f"comment={comment}"),
        )
    ]
    sound = ["-f", "lavfi", "-i", "sine=duration=1", *inputs, "-map", "0", *told, "-c:v", "png"]
    command = [ffmpeg, "-v", "error", "-y", *sound, str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def test_the_front_cover_is_chosen_of_several(ffmpeg: str, tmp_path: Path) -> None:
    path = covered(ffmpeg, tmp_path, "a.flac", ("red", "Cover (back)"), ("lime", "Cover (front)"))
    found = reading.read_media(str(path))
    assert found.covers == 2
    assert found.cover is not None
    assert found.cover.index == 2


@pytest.mark.parametrize("name", ["a.flac", "a.mp3", "a.m4a"])
@pytest.mark.parametrize("kept", [0, 8, 60])
def test_a_cover_that_is_no_picture_is_left_alone(ffmpeg: str, tmp_path: Path, name: str, kept: int) -> None:
    """Garbage, or what has no more of a PNG than so many bytes of its beginning."""
    path = covered(ffmpeg, tmp_path, name, ("red", "Cover (front)"))
    whole = path.read_bytes()
    begin, end = whole.index(b"\x89PNG"), whole.index(b"IEND")
    path.write_bytes(whole[: begin + kept] + b"x" * (end - begin - kept) + whole[end:])
    found = reading.read_media(str(path))
    assert found.covers == 1
    assert found.cover is None


def test_a_film_keeps_its_cover_to_itself(ffmpeg: str, tmp_path: Path) -> None:
    make_clip(ffmpeg, tmp_path / "film.mp4", seconds=1)
    command = [ffmpeg, "-v", "error", "-i", str(tmp_path / "film.mp4"), "-f", "lavfi", "-i", f"color=red:{STAMP}"]
    command += ["-map", "0", "-map", "1", "-c", "copy", "-c:v:1", "png"]
    subprocess.run([*command, "-disposition:v:1", "attached_pic", str(tmp_path / "a.mp4")], check=True)
    found = reading.read_media(str(tmp_path / "a.mp4"))
    assert (found.covers, found.cover) == (1, None)


def test_media_of_before_covers_were_told_are_read() -> None:
    stored = b'{"format":"flac","duration_seconds":1.0,"video":null,"audio":[],"subtitles":[],"covers":1}'
    assert msgspec.json.decode(stored, type=Media).cover is None


def test_sound_and_subtitles_are_told_with_their_language(media: Path) -> None:
    found = reading.read_media(str(media / "multi_video_audio_subs.mp4"))
    assert [(s.index, s.channels, s.sample_rate, s.language) for s in found.audio] == [
        (1, 2, 8000, "eng"),
        (4, 2, 16000, "eng"),
    ]
    assert [(s.index, s.codec, s.language) for s in found.subtitles] == [
        (2, "mov_text", "eng"),
        (5, "mov_text", "eng"),
    ]


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("multi_video_audio_subs.mp4", 13.056),  # subtitles last longer, which is of no account
        ("sar_1137_800_first_pts_10s.mp4", 4.0),
        ("fragmented_bogus_duration.mp4", 1.068),
        ("mp3_garbage_prefix.mp3", 1.071),  # its bit rate makes it 13.6 s
        ("ts_scte35.ts", 0.111),
        ("screenrec_vfr.webm", 4.244),
        ("long_6min_1080p_tiny.mp4", 362.767),
    ],
)
def test_duration_is_that_of_picture_and_sound(media: Path, name: str, seconds: float) -> None:
    assert reading.read_media(str(media / name)).duration_seconds == pytest.approx(seconds, abs=0.01)


def test_measuring_tells_a_header_that_lies(server: Server, media: Path) -> None:
    path = media / "truncated_after_moov.m4b"
    for how, seconds in (("describe", 6422.0), ("measure", 0.0)):
        server.ask(1, path, how=how)
        assert server.answer()["media"]["duration_seconds"] == seconds


def test_measuring_tells_where_a_cut_file_ends(media: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    whole = (media / "screenrec_vfr.webm").read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    assert reading.read_media(str(cut)).duration_seconds == pytest.approx(4.244, abs=0.01)
    measured = reading.read_measured(str(cut)).duration_seconds
    assert measured is not None
    assert 0 < measured < 3.8


# Who reads it


def test_a_hanging_file_delays_no_other(server: Server, media: Path, endless: Path) -> None:
    server.ask(1, endless, how="measure")
    server.ask(2, media / "bench.mp4")
    assert server.answer()["id"] == 2
    server.child().kill()
    assert server.answer() == {"id": 1, "error": "reading it crashed the decoder (signal 9)"}


def test_a_hanging_file_is_given_up_after_its_timeout(server: Server, endless: Path) -> None:
    server.ask(1, endless, timeout=0.1, how="measure")
    assert server.answer() == {"id": 1, "error": "reading it took longer than 0.1 s"}


def test_a_crash_takes_only_its_own_answer(server: Server, media: Path, endless: Path) -> None:
    server.ask(1, endless, how="measure")
    server.child().send_signal(signal.SIGSEGV)
    assert server.answer() == {"id": 1, "error": "reading it crashed the decoder (signal 11)"}
    server.ask(2, media / "bench.mp4")
    assert server.answer()["media"]["video"]["width"] == 1280


def test_a_missing_file_is_refused_without_its_path(server: Server, tmp_path: Path) -> None:
    server.ask(1, tmp_path / "secret")
    assert server.answer() == {"id": 1, "error": "the file cannot be opened: No such file or directory"}


def test_what_is_no_file_is_refused(server: Server, tmp_path: Path, pipe: Path) -> None:
    for path in (tmp_path, pipe):
        server.ask(1, path)
        assert server.answer() == {"id": 1, "error": "the file cannot be opened: it is not a regular file"}


def test_closing_the_socket_ends_the_server_and_its_children(endless: Path) -> None:
    server = Server()
    server.ask(1, endless, how="measure")
    child = server.child()
    server.socket.close()
    assert server.process.wait(PATIENCE) == 0
    assert psutil.wait_procs([child], timeout=PATIENCE)[1] == []


def test_killing_the_server_ends_its_children(endless: Path) -> None:
    server = Server()
    server.ask(1, endless, how="measure")
    child = server.child()
    server.process.kill()
    server.process.wait(PATIENCE)
    assert psutil.wait_procs([child], timeout=PATIENCE)[1] == []
    server.socket.close()


def test_a_reader_that_was_taken_over_answers_for_no_other(taken_over: Server, tmp_path: Path) -> None:
    victim, hostile = tmp_path / "victim", tmp_path / "hostile"
    victim.touch()
    hostile.touch()
    taken_over.ask(1, victim)
    taken_over.child()
    taken_over.ask(2, hostile)
    assert taken_over.answer()["id"] == 2
    victim.write_text("x")
    assert taken_over.answer() == {"id": 1, "error": "the truth"}
