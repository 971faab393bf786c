"""Every kind of file by every preset: a right output, looked at by an independent reader, or a plain refusal.

Here each file goes through one cheap film preset, and m4a where it has sound; `make media` takes every preset that
suits it and prints the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Daemon
from reader import Reading, Seen, read
from specimens import SPECIMENS, Specimen, make

from daemon.presets import PRESETS

MEDIA = Path(__file__).resolve().parents[2] / "shared" / "media"
CHEAP = {"h264-480p": {"speed": "ultrafast"}, "webm-720p": {"speed": "ultrafast", "short_side": 240}}
SOUND = {"mp3", "m4a"}
FILMS = ("video", "refresh")
HUGE = {"long_6min_1080p_tiny.mp4"}  # half an hour of encoding for one trait

NO_MEDIA = "it is not a media file ffspool can read"
REFUSED = {
    "bomb_11390x12595.gif": "its picture has no size, or more than 40 megapixels",
    "concat_reads_sibling.mkv": NO_MEDIA,
    "hls_gab2_read_passwd.avi": "it holds neither a picture nor sound ffspool can decode",
    "hls_reads_sibling.mp4": NO_MEDIA,
    "hls_ssrf_http.avi": NO_MEDIA,
    "huge_16000x9000.webp": "its picture has no size, or more than 40 megapixels",
    "text_imagemagick_mvg.gif": NO_MEDIA,
    "truncated_after_moov.m4b": "the source is truncated: its header says 6422.00 s|the source has no picture",
    "truncated_no_moov.mp4": r"its index \(moov\) is missing",
    "zero_bytes.m4a": "",
}
# Quarter turns counterclockwise, and a mirroring left to right, by which a stored picture becomes the shown one.
TURNED = {
    "phone_rotated_ios.mov": (3, False),
    "hdr_hlg_dolbyvision_rotated.MOV": (3, False),
    "rotate_and_mirror.mp4": (3, True),
}
SIZES = {
    "interlaced_tff_dvd_ntsc.mkv": (853, 480),
    "sar_1137_800_first_pts_10s.mp4": (1137, 640),
    "h263_amr.3gp": (504, 288),
    "dv_header_truncated.dv": (1024, 576),
    "odd_dimensions_161x121.webm": (160, 120),
}
PICTURES = {"multi_video_audio_subs.mp4": 3}
UNEVEN = {"screenrec_vfr.webm", "anim_vfr_58s.gif", "awesome'movie.mov", "wmv2_1000fps.asf", "subs_pgs_bitmap.mkv"}
HDR = {"hdr10_pq_av1_portrait.mp4", "hdr_hlg_dolbyvision_rotated.MOV"}
ALPHA = {"alpha_vp9.webm", "alpha_prores4444.mov"}
DAMAGED = {"corrupt_nal.mp4", "dv_header_truncated.dv"}
UNREADABLE = {"animated.webp"}  # by the reader, though not by the encoder


def given(name: str) -> Specimen:
    """A file that is there, told in the same terms as those we make."""
    turns, flip = TURNED.get(name, (0, False))
    return Specimen(
        name,
        [],
        turns=turns,
        flip=flip,
        size=SIZES.get(name),
        error=REFUSED.get(name),
        frames=name not in UNEVEN | DAMAGED,
        colours=name not in HDR | ALPHA | DAMAGED,
        alpha=name in ALPHA,
    )


FILES = [given(path.name) for path in sorted(MEDIA.iterdir()) if path.suffix != ".json"]
EVERY = [*FILES, *SPECIMENS]


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def worker(spool: Path) -> Iterator[Daemon]:
    daemon = Daemon(spool / "state", "--slots", "1", "--source-root", str(MEDIA), "--source-root", str(spool))
    yield daemon
    daemon.stop()


@pytest.fixture
def source(spool: Path, ffmpeg: str, specimen: Specimen) -> Path:
    if not specimen.steps:
        return MEDIA / specimen.name
    return make(specimen, ffmpeg, spool)


@pytest.mark.parametrize("specimen", EVERY, ids=lambda specimen: specimen.name)
def test_every_file_becomes_what_a_person_expects(
    worker: Daemon,
    spool: Path,
    source: Path,
    specimen: Specimen,
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    seen = (
        None if specimen.error is not None or specimen.name in UNREADABLE else read(source, PICTURES.get(source.name))
    )
    asked = wanted(specimen, seen, every=pytestconfig.getoption("--every-preset"))
    job = submitted(worker, source, asked)
    failures = []
    for variation in job["sources"][0]["variations"]:
        try:
            verdict = verify(worker, spool, specimen, job, variation, seen)
        except AssertionError as error:
            verdict = f"WRONG: {error}"
            failures.append(f"{variation['preset']}: {error}")
        record_property("row", (specimen.name, variation["preset"], verdict.partition("\n")[0]))
    assert not failures, "\n".join(failures)


def wanted(specimen: Specimen, seen: Reading | None, *, every: bool) -> dict[str, dict[str, Any]]:
    """What is asked of this file: presets with their parameters."""
    if not every:
        film = {} if specimen.name in HUGE else {"h264-480p": CHEAP["h264-480p"]}
        return {**film, "m4a": {}} if seen and seen.audio else film
    asked = {name: CHEAP.get(name, {}) for name in PRESETS}
    return {name: {**more, "seed": "a"} if name == "refresh" else more for name, more in asked.items()}


def submitted(worker: Daemon, source: Path, asked: dict[str, dict[str, Any]]) -> Any:
    """The job, ended."""
    spec = {
        "sources": [{"path": str(source)}],
        "variations": [{"preset": name, **parameters} for name, parameters in asked.items()],
    }
    answer = worker.client.post("/api/jobs", json=spec)
    if answer.status_code != 202:
        return {
            "sources": [
                {
                    "media": None,
                    "variations": [
                        {"preset": name, "status": "failed", "error": answer.json()["detail"]} for name in asked
                    ],
                }
            ]
        }
    return worker.wait_for(answer.json()["id"])


def verify(worker: Daemon, spool: Path, specimen: Specimen, job: Any, variation: Any, source: Reading | None) -> str:
    """What became of it, in words. Raises AssertionError when that is not what a person would expect."""
    preset = PRESETS[variation["preset"]]
    reason = expected_failure(specimen, preset.name, source)
    if reason is not None:
        assert variation["status"] == "failed", f"{variation['status']}, but it should fail: {reason}"
        assert re.search(reason, variation["error"]), variation["error"]
        return f"refused: {variation['error']}"
    assert variation["status"] == "completed", variation["error"]
    path = fetched(worker, spool, job, variation)
    if source is None:
        return "completed, not looked at"
    made = read(path)
    check_streams(preset, source, made)
    if preset.kind in FILMS:
        check_film(specimen, variation, source, made)
    if preset.kind == "audio":
        assert made.seconds == pytest.approx(first_sound(source), abs=0.15), "duration"
    return f"verified: {made.seconds:.2f} s" + (f", {made.video.size[0]}×{made.video.size[1]}" if made.video else "")


def expected_failure(specimen: Specimen, preset: str, source: Reading | None) -> str | None:
    if specimen.error is not None:
        return specimen.error
    if source is None:
        return "the source has no sound" if preset in SOUND else None
    if source.video is None and preset not in SOUND:
        return f"the source has no picture, which the preset {preset} needs"
    if not source.audio and preset in SOUND:
        return f"the source has no sound, which the preset {preset} needs"
    return None


def fetched(worker: Daemon, spool: Path, job: Any, variation: Any) -> Path:
    path = spool / f"{variation['id']}-{variation['name']}"
    answer = worker.client.get(f"/api/jobs/{job['id']}/variations/{variation['id']}/download")
    assert answer.status_code == 200
    path.write_bytes(answer.content)
    return path


# What a person would see and hear


def check_streams(preset: Any, source: Reading, made: Reading) -> None:
    picture = preset.kind != "audio"
    assert (made.video is not None) == picture, "picture"
    if preset.kind in FILMS:
        assert len(made.audio) == len(source.audio), "audio tracks"
        assert made.chapters == source.chapters, "chapters"
        assert made.title == source.title, "title"
        assert languages(made) == languages(source), "languages"
        assert [heard.default for heard in made.audio] == [number == 0 for number in range(len(made.audio))], "default"
    for heard in made.audio:
        assert heard.channels <= 2, "channels"
    if made.audio and max(heard.loudness for heard in source.audio) > 0.01:
        assert max(heard.loudness for heard in made.audio) > 0.005, "silence"
    if made.video:
        assert made.video.rotation == 0, "rotation left to the player"
        assert made.video.aspect == 1, "pixels that are not square"


def languages(reading: Reading) -> list[str | None]:
    return [heard.language for heard in sorted(reading.audio, key=lambda heard: not heard.default)]


def first_sound(reading: Reading) -> float:
    first = sorted(reading.audio, key=lambda heard: not heard.default)[0]
    return first.end - first.start


def check_film(specimen: Specimen, variation: Any, source: Reading, made: Reading) -> None:
    assert source.video and made.video
    parameters = variation["parameters"]
    tolerance = 0.2 if specimen.name in DAMAGED else 0.1  # what a reader makes of damaged frames is its own affair
    assert made.seconds == pytest.approx(source.seconds, abs=tolerance), (
        f"lasts {made.seconds} instead of {source.seconds}"
    )
    assert made.video.size == shown_size(specimen, source.video, parameters.get("short_side")), "size"
    assert set(made.video.size) and not any(side % 2 for side in made.video.size), "odd size"
    check_frames(specimen, source.video, made.video)
    check_colours(made.video)
    check_picture(specimen, source.video, made.video, opaque=not variation["name"].endswith(".webm"))
    for before, after in zip(sorted(source.audio, key=lambda heard: not heard.default), made.audio, strict=True):
        offset = (after.start - made.video.start) - (before.start - source.video.start)
        assert abs(offset) < 0.04, f"sound begins {offset:+.3f} s off"
        end = (after.end - made.video.end) - (before.end - source.video.end)
        assert abs(end) < 0.15, f"sound ends {end:+.3f} s off"


def shown_size(specimen: Specimen, source: Seen, short_side: int | None) -> tuple[int, int]:
    width, height = specimen.size or (source.size[::-1] if specimen.turns % 2 else source.size)
    factor = min(1.0, (short_side or 10**6) / min(width, height))
    if factor == 1 and specimen.size is None:
        return width // 2 * 2, height // 2 * 2
    return int(width * factor / 2 + 0.5) * 2, int(height * factor / 2 + 0.5) * 2


def check_frames(specimen: Specimen, source: Seen, made: Seen) -> None:
    rate = len(source.times) / max(0.001, source.end - source.start)
    if specimen.frames and rate < 61:
        assert abs(len(made.times) - len(source.times)) <= 1, f"{len(made.times)} frames of {len(source.times)}"
    if specimen.name in DAMAGED:  # which of them are shown, and when, is each decoder's own affair
        return
    ours = np.array(made.times) - made.start
    theirs = np.array(source.times) - source.start
    off = max(float(np.abs(theirs - time).min()) for time in ours)
    assert off < 0.021, f"a frame comes {off:.3f} s off"


def check_colours(made: Seen) -> None:
    primaries, transfer, matrix, levels = made.colours
    assert 2 not in (primaries, transfer, matrix), f"colours are not told: {made.colours}"
    assert transfer not in (16, 18) or "10" in made.pixel_format, "HDR in 8 bits"
    assert levels == 1, "not in limited range"


def check_picture(specimen: Specimen, source: Seen, made: Seen, *, opaque: bool) -> None:
    if specimen.alpha:  # what is under it shows nowhere, and differs from reader to reader
        if specimen.steps and opaque:
            assert made.thumbnails[0][:, -2:].max() < 40, "what is transparent is not black"
        return
    for before, after in zip(source.thumbnails, made.thumbnails, strict=False):
        shown = np.rot90(before, specimen.turns)
        shown = shown[:, ::-1] if specimen.flip else shown
        if specimen.colours:
            off = float(np.abs(shown - after).mean())
            assert off < 9, f"the picture differs by {off:.1f} of 255"
        else:
            likeness = float(np.corrcoef(shown.mean(axis=2).ravel(), after.mean(axis=2).ravel())[0, 1])
            assert likeness > 0.8 or shown.std() < 3, f"the picture is not like its source: {likeness:.2f}"
