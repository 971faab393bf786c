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
from conftest import Media as Specimens
from conftest import make_clip, wait_until
from harmful import HARMFUL
from msgspec.structs import replace

from daemon.errors import ProbeError
from daemon.media import describe as reading
from daemon.media.model import AudioStream, Cover, Media, PieceContent, VideoStream
from daemon.media.plausible import is_plausible

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 60.0  # seconds after which a test gives up; nothing here takes as long

REFUSED = {specimen.name: specimen for specimen in HARMFUL if specimen.name != "index-alone.m4a"}


class Server:
    """The real server process, and our end of its socket."""

    def __init__(self, *program: str) -> None:
        """`program`: what Python shall run in its place."""
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [
                sys.executable,
                *(program or ("-m", "daemon.media.probe_server")),
                str(theirs.fileno()),
                "sandbox",
            ]
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
from daemon.media import describe, probe_server
from daemon.errors import ProbeError

def read(path, patience):
    if path.endswith("victim"):
        while not os.stat(path).st_size:
            time.sleep(0.01)
        raise ProbeError("the truth")
    with open(path, "rb") as file:
        lie = file.read()
    for descriptor in range(3, 1024):
        try:
            os.pwrite(descriptor, lie, 0)
        except OSError:
            continue
    os._exit(0)

describe.read_media = read
probe_server.main()
"""


@pytest.fixture
def taken_over() -> Iterator[Server]:
    """A server whose readers, but for that of a `victim`, write what is in the file to whatever they have open."""
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


def test_every_file_is_described_or_refused_in_words(server: Server, media: Specimens) -> None:
    files = [media(name) for name in ("plain.mp4", *REFUSED, "album.flac")]
    for number, path in enumerate(files):
        server.ask(number, path)
    answers = {files[answer["id"]].name: answer for answer in (server.answer() for _ in files)}
    assert {name for name, answer in answers.items() if "error" in answer} == set(REFUSED)
    assert all(str(specimen.error) in answers[name]["error"] for name, specimen in REFUSED.items())


@pytest.mark.parametrize("name", [*REFUSED, "no-index.mp4"])
def test_no_refusal_names_a_path(media: Specimens, name: str) -> None:
    with pytest.raises(ProbeError) as caught:
        reading.read_media(str(media(name)))
    assert "/" not in str(caught.value)
    assert name not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "index", "size", "rotation", "more"),
    [
        ("turned-270.mp4", 0, (180, 320), 90, {"mirrored": False}),
        ("mirrored-90.mp4", 0, (180, 320), 270, {"mirrored": True}),
        ("default-second.mp4", 1, (320, 180), 0, {}),
        ("tff.mkv", 0, (320, 240), 0, {"field_order": "tff", "interlaced": True}),
        ("turned-90-sar-odd.mkv", 0, (241, 380), 270, {}),
        ("turned-270-hlg.mov", 0, (180, 320), 90, {"hdr": "hlg", "bit_depth": 10}),
        ("pq.mp4", 0, (320, 180), 0, {"hdr": "pq"}),
        ("10bit.mp4", 0, (320, 180), 0, {"hdr": None, "bit_depth": 10, "pixel_format": "yuv420p10le"}),
        ("alpha-vp9.webm", 0, (320, 180), 0, {"alpha": True}),
        ("alpha-prores.mov", 0, (320, 180), 0, {"alpha": True}),
        ("sound-first.mp4", 1, (320, 180), 0, {"alpha": False, "interlaced": False}),
    ],
)
def test_the_picture_is_told_as_it_is_shown(
    media: Specimens, name: str, index: int, size: tuple[int, int], rotation: int, more: dict[str, Any]
) -> None:
    picture = reading.read_media(str(media(name))).video
    assert picture is not None
    assert (picture.index, (picture.width, picture.height), picture.rotation) == (index, size, rotation)
    assert {name: getattr(picture, name) for name in more} == more


def test_cover_art_is_no_picture(media: Specimens) -> None:
    found = reading.read_media(str(media("cover-jpeg.mp3")))
    assert found.video is None
    assert [stream.codec for stream in found.audio] == ["mp3"]


def test_the_cover_of_a_sound_is_told(media: Specimens) -> None:
    path = media("cover-jpeg.mp3")
    whole = path.read_bytes()
    found = reading.read_media(str(path))
    assert found.covers == 1
    length = whole.index(b"\xff\xd9") + 2 - whole.index(b"\xff\xd8")
    assert found.cover == Cover(index=1, codec="mjpeg", bytes=length)


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


def test_sound_and_subtitles_are_told_with_their_language(media: Specimens) -> None:
    found = reading.read_media(str(media("languages.mkv")))
    assert [(s.index, s.channels, s.sample_rate, s.language) for s in found.audio] == [
        (1, 2, 48000, "ger"),
        (2, 2, 48000, "fre"),
    ]
    found = reading.read_media(str(media("subtitles.mkv")))
    assert [(s.index, s.codec, s.language) for s in found.subtitles] == [(2, "subrip", "eng")]


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("plain.mp4", 1.6),
        ("late-start.mp4", 1.6),
        ("offset.ts", 1.6),
        ("long-audio.mp4", 2.0),
        ("claims-a-moment.webm", 1.6),
        ("claims-a-moment.rm", 1.6),
        ("streamed.wav", 1.6),
        ("vbr.mp3", 1.6),
        ("ends-early.ogv", 1.0),
        ("late-start.wmv", 1.6),
        ("late-audio.wmv", 2.0),
    ],
)
def test_duration_is_that_of_picture_and_sound(media: Specimens, name: str, seconds: float) -> None:
    assert reading.read_media(str(media(name))).duration_seconds == pytest.approx(seconds, abs=0.05)


def test_a_small_file_is_opened_once_to_read_what_describes_it(clip: Path) -> None:
    """By us, that is: what FFmpeg opens is told to no hook."""
    program = (
        "import sys; from daemon.media.describe import read_media; opened = []; "
        "sys.addaudithook(lambda event, told: event == 'open' and opened.append(told[0])); "
        "read_media(sys.argv[1]); print(sum(str(path) == sys.argv[1] for path in opened))"
    )
    told = subprocess.run([sys.executable, "-c", program, str(clip)], check=True, capture_output=True, cwd=ROOT)
    assert told.stdout == b"1\n"


def test_measuring_tells_a_header_that_lies(server: Server, media: Specimens) -> None:
    path = media("index-alone.m4a")
    for how, seconds in (("describe", 1.6), ("measure", 0.0)):
        server.ask(1, path, how=how)
        assert server.answer()["media"]["duration_seconds"] == seconds


def test_measuring_tells_where_a_cut_file_ends(media: Specimens, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    whole = media("no-audio.mp4").read_bytes()
    cut.write_bytes(whole)
    assert reading.read_media(str(cut)).duration_seconds == pytest.approx(1.6, abs=0.01)


# Who reads it

ANOTHER, SLOW = ": convert it first, with another program", ": see whether its disk is slow, or export it again"


def test_a_hanging_file_delays_no_other(server: Server, media: Specimens, endless: Path) -> None:
    server.ask(1, endless, how="measure")
    server.ask(2, media("plain.mp4"))
    assert server.answer()["id"] == 2
    server.child().kill()
    assert server.answer() == {"id": 1, "error": f"reading it crashed the decoder (signal 9){ANOTHER}"}


def test_a_hanging_file_is_given_up_after_its_timeout(server: Server, endless: Path) -> None:
    server.ask(1, endless, timeout=0.1, how="measure")
    assert server.answer() == {"id": 1, "error": f"reading it took longer than 0.1 s{SLOW}"}


def test_a_crash_takes_only_its_own_answer(server: Server, media: Specimens, endless: Path) -> None:
    server.ask(1, endless, how="measure")
    server.child().send_signal(signal.SIGSEGV)
    assert server.answer() == {"id": 1, "error": f"reading it crashed the decoder (signal 11){ANOTHER}"}
    server.ask(2, media("plain.mp4"))
    assert server.answer()["media"]["video"]["width"] == 320


def test_a_missing_file_is_refused_without_its_path(server: Server, tmp_path: Path) -> None:
    server.ask(1, tmp_path / "secret")
    assert server.answer() == {
        "id": 1,
        "error": "the file cannot be opened: No such file or directory; see to that, then retry",
    }


def test_what_is_no_file_is_refused(server: Server, tmp_path: Path, pipe: Path) -> None:
    for path in (tmp_path, pipe):
        server.ask(1, path)
        assert server.answer() == {
            "id": 1,
            "error": "the file cannot be opened: it is not a regular file; see to that, then retry",
        }


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


LIES = {
    "a lie": b'{"error": "a lie"}',
    "endless": b'{"error": "' + b"x" * 100_000 + b'"}',
    "no text": b'{"error": "\xff"}',
    "nested too deeply": b'{"x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "longer with its defaults": b'{"media": {"format": "", "duration_seconds": null, "video": null, "audio": [], '
    b'"subtitles": [' + b",".join([b'{"index": 1, "codec": ""}'] * 6000) + b"]}}",
}


@pytest.mark.parametrize("lie", LIES)
def test_a_reader_that_was_taken_over_answers_for_no_other(taken_over: Server, tmp_path: Path, lie: str) -> None:
    victim, hostile = tmp_path / "victim", tmp_path / "hostile"
    victim.touch()
    hostile.write_bytes(LIES[lie])
    taken_over.ask(1, victim)
    taken_over.child()
    taken_over.ask(2, hostile)
    answer = taken_over.answer()
    assert answer["id"] == 2
    assert 0 < len(answer["error"]) < 5000
    victim.write_text("x")
    assert taken_over.answer() == {"id": 1, "error": "the truth"}


TRUE = Media(
    format="mov",
    duration_seconds=1.0,
    video=VideoStream(index=0, codec="h264", width=64, height=36, coded_width=64, coded_height=36, frame_rate=25.0),
    audio=(AudioStream(index=1, codec="aac", channels=2, sample_rate=48000),),
    subtitles=(),
)


IMPOSSIBLE: list[dict[str, Any]] = [
    *({"width": 0}, {"coded_height": 10**30}, {"frame_rate": 1e308}, {"frame_rate": 0.0}),
    {"sample_aspect_ratio": "1:0"},
]


@pytest.mark.parametrize("forged", IMPOSSIBLE)
def test_what_no_file_can_hold_is_not_believed_of_a_picture(
    taken_over: Server, tmp_path: Path, forged: dict[str, Any]
) -> None:
    assert TRUE.video
    lie = replace(TRUE, video=replace(TRUE.video, **forged))
    (tmp_path / "honest").write_bytes(msgspec.json.encode({"media": TRUE}))
    (tmp_path / "hostile").write_bytes(msgspec.json.encode({"media": lie}))
    taken_over.ask(1, tmp_path / "honest")
    assert taken_over.answer()["media"]
    taken_over.ask(2, tmp_path / "hostile")
    assert taken_over.answer() == {
        "id": 2,
        "error": "its description cannot be true: convert it first, with the program that made it",
    }


@pytest.mark.parametrize("forged", [{"duration_seconds": 1e308}, {"duration_seconds": -1.0}, {"covers": 10**30}])
def test_what_no_file_can_hold_is_not_believed(forged: dict[str, Any]) -> None:
    assert is_plausible(TRUE)
    assert not is_plausible(replace(TRUE, **forged))


def test_a_piece_does_not_begin_where_no_film_can(taken_over: Server, tmp_path: Path) -> None:
    lie = PieceContent(begins=1e308, pictures=(1,), cut=None)
    (tmp_path / "hostile").write_bytes(msgspec.json.encode({"piece": lie}))
    taken_over.ask(1, tmp_path / "hostile")
    assert taken_over.answer() == {
        "id": 1,
        "error": "its description cannot be true: convert it first, with the program that made it",
    }
