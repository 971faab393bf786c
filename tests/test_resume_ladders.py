"""A ladder that was interrupted goes on where it was, in all its sizes, and comes to what it would have come to."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from conftest import Daemon, slowed
from manifests import of_hls
from surroundings import thorough
from test_resume import KILLED, encoded, interrupt, made_in_pieces, output, task, variation_of, whole_piece

from daemon.media import cut
from daemon.models import VariationRequest, Wanted
from daemon.presets.library import Library
from daemon.proof import output_folder
from daemon.recipes import pieces
from daemon.recipes.recipe import Begin, Piece

Start = Callable[..., Daemon]

SEGMENT = 2  # seconds
KINDS = ["hls", thorough("dash")]


@pytest.fixture(scope="module")
def unhurried(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Slow enough to be met in the midst of a film, whatever the host."""
    return slowed(ffmpeg, tmp_path_factory.mktemp("unhurried"), rate=6, burst=0)


@pytest.fixture(scope="module")
def film(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Large enough for two sizes; its picture begins a while after its sound. Segments last no full number of seconds,
    and no full number of the fragments that a piece has but for its key frames."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    picture = "testsrc2=size=360x360:rate=283/10:duration=12,setpts=PTS+0.2/TB"
    inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "sine=frequency=440:duration=12"]
    encoded = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", str(path)]
    subprocess.run([ffmpeg, "-v", "error", *inputs, *encoded], check=True)
    return path


def ladder(preset: str, speed: str = "ultrafast") -> dict[str, Any]:
    return {"preset": preset, "speed": speed, "segment_seconds": SEGMENT}


def wanted(preset: str, speed: str = "ultrafast") -> Wanted:
    [one] = Library().expand([VariationRequest(preset, {"speed": speed, "segment_seconds": SEGMENT})])
    return one


def assert_alike(one: Path, other: Path, container: str) -> None:
    """Segments that begin and end at the same times, and in them the same frames of each size and sound."""
    assert lasting(one, container) == lasting(other, container)
    for first, second in zip(decoded(one, container), decoded(other, container), strict=True):
        assert first == pytest.approx(second, abs=0.001)


def lasting(folder: Path, container: str) -> list[tuple[tuple[str, ...], list[str]]]:
    """Of each size and sound its files, and how long each of them lasts."""
    told = ("#EXTINF", "<S ")
    return [
        (rendition.names, [line for line in text_of(folder, rendition.names[0], container) if line.startswith(told)])
        for rendition in output_folder.listing(folder, container).renditions
    ]


def text_of(folder: Path, name: str, container: str) -> list[str]:
    manifest = (folder / name).with_name("index.m3u8") if container == "hls" else folder / "manifest.mpd"
    return [line.strip() for line in manifest.read_text().splitlines()]


def decoded(folder: Path, container: str) -> list[list[float]]:
    """When each frame of each size and sound begins."""
    found, whole = list[list[float]](), folder.with_suffix(".track")
    for rendition in output_folder.listing(folder, container).renditions:
        output_folder.join(whole, [folder / name for name in rendition.names])
        with av.open(str(whole)) as track:
            found.append([float(frame.time) for frame in track.decode() if frame.time is not None])
    return found


@pytest.mark.parametrize("preset", KINDS)
def test_a_ladder_goes_on_after_its_daemon_was_killed(
    ffmpeg: str, start_daemon: Start, film: Path, tmp_path: Path, preset: str
) -> None:
    daemon = start_daemon(FFSPOOL_RESUME_FROM="0")
    job = daemon.submit(film, spec={"variations": [ladder(preset)]})
    interrupt(daemon, job, 60)
    daemon.start()
    made = tmp_path / "made"
    output_folder.unpack(output(daemon, job, tmp_path), made, None)
    assert variation_of(daemon, job)["resumed_seconds"] >= SEGMENT
    assert preset == "dash" or of_hls(made) == []
    assert encoded(ffmpeg, task(film, tmp_path / "whole", wanted(preset))).error is None
    assert_alike(made, tmp_path / "whole", preset)


@pytest.mark.parametrize("preset", ["dash", thorough("hls")])
def test_an_undisturbed_ladder_in_one_piece_has_the_very_segments_of_a_whole_one(
    ffmpeg: str, film: Path, tmp_path: Path, preset: str
) -> None:
    """By one thread: x264 that keeps to a maximal rate does not repeat itself with more."""
    how: dict[str, Any] = {"threads": 1}
    assert encoded(ffmpeg, task(film, tmp_path / "whole", wanted(preset), **how)).error is None
    assert encoded(ffmpeg, task(film, tmp_path / "1.piece", wanted(preset), begin=Begin(), **how)).error is None
    joined = task(film, tmp_path / "joined", wanted(preset), pieces=(whole_piece(tmp_path / "1.piece"),), **how)
    assert encoded(ffmpeg, joined).error is None
    one, other = (
        {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.m4s") if "init" not in path.name}
        for folder in (tmp_path / "joined", tmp_path / "whole")
    )
    assert len(one) >= 12
    assert one == other
    assert lasting(tmp_path / "joined", preset) == lasting(tmp_path / "whole", preset)


@pytest.mark.thorough
@pytest.mark.parametrize("preset", ["hls", "dash"])
def test_a_ladder_of_pieces_is_like_a_whole_one(ffmpeg: str, film: Path, tmp_path: Path, preset: str) -> None:
    """With pictures that are decoded in another order than they are shown."""
    assert encoded(ffmpeg, task(film, tmp_path / "whole", wanted(preset, "veryfast"))).error is None
    made = made_in_pieces(ffmpeg, film, tmp_path, wanted(preset, "veryfast"), (5.0, 9.0))
    assert encoded(ffmpeg, task(film, tmp_path / "joined", wanted(preset, "veryfast"), pieces=made)).error is None
    assert_alike(tmp_path / "joined", tmp_path / "whole", preset)


@pytest.mark.thorough
def test_wherever_a_piece_of_a_ladder_is_cut_off_all_sizes_end_alike(ffmpeg: str, film: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    encoded(ffmpeg, task(film, whole, wanted("hls", "veryfast"), begin=Begin()), killed_at=9.0)
    data, cuts = whole.read_bytes(), 0
    for size in range(len(data) // 2, len(data), len(data) // 40):
        (tmp_path / "cut").write_bytes(data[:size])
        if (end := cut.read_piece(str(tmp_path / "cut"), KILLED).cut) is None:
            continue
        cuts += 1
        piece = Piece(name="cut", begins=0.0, lasts=end.seconds, until=end.decoded)
        (tmp_path / "list").write_text(pieces.listed([piece]))
        copying = [ffmpeg, "-v", "error", "-f", "concat", "-i", str(tmp_path / "list"), "-map", "0", "-c", "copy"]
        subprocess.run([*copying, "-y", str(tmp_path / "copied.mp4")], check=True)
        assert cut.read_piece(str(tmp_path / "copied.mp4"), None).pictures == end.pictures
        assert len(set(end.pictures)) == 1
    assert cuts >= 10
