"""Files and requests made to do harm: each ends in a clear failure or a right output, and the others do not notice."""

from __future__ import annotations

import socket
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Daemon, Media, make_clip, wait_until
from faults.hostile import BASES, FLAGS, attack
from harmful import HARMFUL, concat, hls
from surroundings import crossed, thorough

from daemon.media import describe as reading
from daemon.media import tracks
from daemon.process.identity import HOME_VARIABLE, TOKEN_VARIABLE

SECRET = b"canary-that-nobody-may-see"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return (tmp_path_factory.mktemp("hostile") / "root").resolve()


@pytest.fixture(scope="module")
def daemon(root: Path) -> Iterator[Daemon]:
    """One for all attacks: it has to bear them all."""
    root.mkdir()
    report = f"file={root / 'report.log'}:level=48"
    attacked = Daemon(root.parent / "state", "--source-root", str(root), "--sandbox", "require", FFREPORT=report)
    (root / "report.log").unlink(missing_ok=True)  # of the look for the bundled encoder, which is not ours
    yield attacked
    attacked.stop()


@pytest.fixture
def canary(tmp_path: Path, ffmpeg: str) -> Path:
    """A whole media file that no source may lead to, with a mark that would show."""
    path = make_clip(ffmpeg, tmp_path / "canary.ts", seconds=1, size="64x64")
    path.write_bytes(path.read_bytes() + SECRET)
    return path


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def nobody_called(listener: socket.socket) -> bool:
    try:
        listener.accept()
    except BlockingIOError:
        return True
    return False


def ended(daemon: Daemon, *files: Path, preset: str = "h264-480p") -> list[Any]:
    """The variation of each file, in the end."""
    job = daemon.wait_for(daemon.submit(*files, presets=[preset])["id"])
    return [source["variations"][0] for source in job["sources"]]


def refused(daemon: Daemon, path: Path, clip: Path, preset: str = "h264-480p") -> str:
    """Why it was; a sound file beside it is encoded all the same."""
    bad, good = ended(daemon, path, clip, preset=preset)
    assert good["status"] == "completed"
    assert bad["status"] == "failed"
    assert str(path.parent) not in bad["error"]
    assert not [file for file in (daemon.state_dir / "spool").rglob("outputs/*") if SECRET in file.read_bytes()]
    return str(bad["error"])


# What leads elsewhere


def dash(target: str) -> str:
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT1S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period>'
        '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1">'
        f"<BaseURL>{target}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    )


def sdp(target: str) -> str:
    return f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 {target}\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"


PLAYLISTS: list[Callable[[str], str]] = [hls, dash, concat]
NAMES = ["clip.mp4", "list.m3u8", "list.mpd"]


@pytest.mark.parametrize(("playlist", "name"), crossed(PLAYLISTS, NAMES))
def test_a_playlist_leads_to_no_file_of_the_host(
    daemon: Daemon, tmp_path: Path, canary: Path, clip: Path, playlist: Callable[[str], str], name: str
) -> None:
    path = tmp_path / name
    path.write_text(playlist(str(canary)))
    assert "it is not a media file ffspool can read" in refused(daemon, path, clip)


@pytest.mark.parametrize("playlist", [*PLAYLISTS, sdp])
def test_a_playlist_leads_to_no_address(
    daemon: Daemon, tmp_path: Path, clip: Path, listener: socket.socket, playlist: Callable[[str], str]
) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text(playlist(f"http://127.0.0.1:{listener.getsockname()[1]}/x.ts"))
    refused(daemon, path, clip)
    assert nobody_called(listener)


ATTACKS = [specimen.name for specimen in HARMFUL if specimen.name != "empty.m4a"]  # which no upload can be


def test_files_that_harmed_others_are_refused(daemon: Daemon, media: Media, clip: Path) -> None:
    *bad, good = ended(daemon, *(media(name) for name in ATTACKS), clip)
    assert good["status"] == "completed"
    assert [variation["status"] for variation in bad] == ["failed"] * len(ATTACKS)
    assert all(variation["error"] for variation in bad)


@pytest.mark.parametrize("name", ["concat:canary.ts|canary.ts", "http:x", "-i", "frame%d.mp4", "a'b;c.mp4", "pipe:0"])
def test_a_name_means_nothing_to_the_encoder(daemon: Daemon, root: Path, clip: Path, name: str) -> None:
    path = root / name
    path.write_bytes(clip.read_bytes())
    spec = {"sources": [{"path": str(path)}], "variations": [{"preset": "mp3"}]}
    answer = daemon.client.post("/api/jobs", json=spec)
    assert answer.status_code == 202, answer.text
    assert daemon.wait_for(answer.json()["id"])["status"] == "completed"


def test_a_symlink_out_of_the_source_root_is_forbidden(daemon: Daemon, root: Path, canary: Path) -> None:
    link = root / "link.ts"
    link.symlink_to(canary)
    spec = {"sources": [{"path": str(link)}], "variations": [{"preset": "mp3"}]}
    answer = daemon.client.post("/api/jobs", json=spec)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden_path")


def test_a_source_that_became_a_symlink_is_not_followed(daemon: Daemon, root: Path, canary: Path, clip: Path) -> None:
    path = root / "swapped.mp4"
    path.write_bytes(clip.read_bytes())
    daemon.client.post("/api/queue/pause")
    spec = {"sources": [{"path": str(path)}], "variations": [{"preset": "mp3"}]}
    job = daemon.client.post("/api/jobs", json=spec).json()["id"]
    path.unlink()
    path.symlink_to(canary)
    daemon.client.post("/api/queue/resume")
    done = daemon.wait_for(job)
    assert done["status"] == "failed"
    assert "Too many levels of symbolic links" in done["error"]


# What would take all there is


@pytest.mark.thorough
def test_a_gap_of_a_day_does_not_fill_a_day(daemon: Daemon, tmp_path: Path, ffmpeg: str, clip: Path) -> None:
    bomb = tmp_path / "gap.mkv"
    gap = "setpts='if(eq(N,2),90000/TB,PTS)'"
    command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=1:duration=3", "-vf", gap]
    command += ["-fps_mode", "vfr", "-enc_time_base", "1:1000", "-c:v", "libx264", "-preset", "ultrafast"]
    subprocess.run([*command, "-pix_fmt", "yuv420p", str(bomb)], check=True)
    assert reading.read_media(str(bomb)).duration_seconds > 90_000
    film, good = ended(daemon, bomb, clip)
    assert (film["status"], good["status"]) == ("completed", "completed")
    assert film["bytes"] < 1_000_000
    for preset in ("gif", "thumbnail-sheet"):
        [made] = ended(daemon, bomb, preset=preset)
        assert made["status"] in {"completed", "failed"}
        assert made["error"] is None or "ffspool" not in made["error"]


def png(width: int, height: int) -> bytes:
    """A white picture, one bit for each pixel."""
    row = b"\0" + b"\xff" * ((width + 7) // 8)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(row * height, 9)),
        (b"IEND", b""),
    ]
    packed = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + packed


@pytest.mark.thorough
def test_a_picture_of_a_quarter_billion_pixels_is_refused(
    daemon: Daemon, tmp_path: Path, ffmpeg: str, clip: Path
) -> None:
    picture, bomb = tmp_path / "bomb.png", tmp_path / "bomb.mkv"
    picture.write_bytes(png(16000, 16000))
    command = [ffmpeg, "-v", "error", "-f", "image2", "-i", str(picture), "-c", "copy", str(bomb)]
    subprocess.run(command, check=True)
    assert "megapixels" in refused(daemon, bomb, clip)
    assert "megapixels" in refused(daemon, picture, clip)


def test_more_streams_than_anybody_needs_are_refused(daemon: Daemon, tmp_path: Path, ffmpeg: str, clip: Path) -> None:
    crowd = tmp_path / "crowd.mkv"
    streams = ["-map", "0:a"] * (tracks.MOST_DECODED + 1)
    command = [
        ffmpeg,
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "sine=duration=0.1",
        *streams,
        "-c:a",
        "pcm_s16le",
        str(crowd),
    ]
    subprocess.run(command, check=True)
    assert f"{tracks.MOST_DECODED} are the limit" in refused(daemon, crowd, clip)


def test_a_sound_of_years_is_refused(daemon: Daemon, root: Path) -> None:
    """Nobody wrote it: the file has a hole of a terabyte."""
    path = root / "endless.wav"
    form = struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)  # PCM, mono, 8 kHz, 8 bit
    with path.open("wb") as file:
        file.write(b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0" + form + b"data\xff\xff\xff\xff")
        file.truncate(2**40)
    spec = {"sources": [{"path": str(path)}], "variations": [{"preset": "mp3"}]}
    done = daemon.wait_for(daemon.client.post("/api/jobs", json=spec).json()["id"])
    assert done["status"] == "failed"
    assert "days are the limit" in done["error"]


# What reaches an encoder beside the file


@pytest.mark.parametrize(
    "sneaked",
    [
        {"vf": "movie=/etc/passwd"},
        {"filter_complex": "movie=/etc/passwd"},
        {"-attach": "/etc/passwd"},
        {"speed": "fast -vf movie=/etc/passwd"},
        {"short_side": "480,movie=/etc/passwd"},
        {"crf": [20]},
    ],
    ids=str,
)
def test_filters_and_options_cannot_be_sneaked_in(daemon: Daemon, clip: Path, sneaked: dict[str, Any]) -> None:
    spec = {"sources": [{"path": str(clip)}], "variations": [{"preset": "h264-480p", **sneaked}]}
    answer = daemon.client.post("/api/jobs", json=spec)
    assert answer.status_code in {403, 422}
    form = {"variations": spec["variations"]}
    with clip.open("rb") as file:
        answer = daemon.client.post("/api/jobs", data={"spec": str(form).replace("'", '"')}, files={"files": file})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_parameter")


def test_an_encoder_is_told_nothing_by_the_environment(daemon: Daemon, root: Path, long_clip: Path) -> None:
    job = daemon.submit(long_clip)["id"]
    encoder = daemon.wait_for_encoder()
    wait_until(daemon.parts, "a partial file")
    assert set(encoder.environ()) == {TOKEN_VARIABLE, HOME_VARIABLE, "LC_ALL"}
    daemon.client.post(f"/api/jobs/{job}/cancel")
    assert not (root / "report.log").exists()


def test_every_output_has_a_limit_of_time(daemon: Daemon, clip: Path) -> None:
    job = daemon.submit(clip, presets=["h264-480p", "mp3", "gif", "thumbnail-sheet", "refresh"])["id"]
    for variation in daemon.wait_for(job)["sources"][0]["variations"]:
        log = daemon.client.get(f"/api/jobs/{job}/variations/{variation['id']}/log").text
        assert " -t " in log.splitlines()[0]


def test_uploads_are_stored_without_an_extension(daemon: Daemon, clip: Path) -> None:
    daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    names = [path.name for path in (daemon.state_dir / "spool").rglob("sources/*")]
    assert names
    assert not any("." in name for name in names)


# By the thousand


@pytest.mark.parametrize(("cases", "names"), [(12, BASES[::4]), thorough(100, BASES)], ids=["a few", "many"])
def test_damaged_files_end_in_words_or_in_an_output(
    start_daemon: Callable[..., Daemon], tmp_path: Path, media: Media, ffmpeg: str, cases: int, names: list[str]
) -> None:
    root = (tmp_path / "root").resolve()
    root.mkdir()
    good = make_clip(ffmpeg, root / "good.mp4", seconds=1, size="64x64")
    bases = [media(name).read_bytes() for name in names]
    verdict = attack(start_daemon("--source-root", str(root), *FLAGS), root, bases, good, range(cases))
    assert verdict.violations == []
    assert sum(verdict.ended.values()) == cases
    assert set(verdict.ended) == {"completed", "failed"}, "the damage is too little, or too much"
