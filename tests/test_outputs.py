"""Every kind of file by every preset: a right output, looked at by an independent reader, or a plain refusal.

Here each file goes through one cheap film preset and, if it is made, another one in turn; `make media` takes every
preset that suits it, more files, and prints the table.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import msgspec
import pytest
from combinations import COMBINATIONS, HIDES, QUICK
from conftest import Daemon, wait_until
from harmful import HARMFUL, NO_MEDIA, TOO_LARGE
from oddities import ODDITIES
from reader import Reading, read
from specimens import SPECIMENS, TRUNCATED, Specimen, make
from surroundings import FILES, OUTSIDE
from verdicts import DAMAGED, verdict

from daemon.presets.builtin import PRESETS, Preset

SOUND = {preset.name for preset in PRESETS.values() if preset.kind == "audio"}
# What FFmpeg says that nobody has put into words: the bare way it ended, or a reader of media that failed.
WORDLESS = re.compile(
    r"did not foresee|does not take what this source holds|could not encode [^\n]* \([^()\n]*\)(\n|$)"
)
COPIES = {preset.name for preset in PRESETS.values() if preset.kind == "remux"}
FRAMED = {preset.name: {"short_side": 240} for preset in PRESETS.values() if preset.kind == "framed"}
SMALL = {"short_side": 240, "speed": "ultrafast"}
LONG = {"bench.mp4", "long_6min_1080p_tiny.mp4", "anim_vfr_58s.gif"}  # which would take hours at full size
HOURS = 2 * 3600.0
FIELDS = {"avchd_1080i_flagged.mts"}  # each picture comes in two packets, and is said to last as long as one
HUGE = {"long_6min_1080p_tiny.mp4", "bench.mp4"}  # minutes of decoding

REFUSED = {
    "bomb_11390x12595.gif": TOO_LARGE,
    "concat_reads_sibling.mkv": NO_MEDIA,
    "hls_gab2_read_passwd.avi": "it holds neither a picture nor sound ffspool can decode",
    "hls_reads_sibling.mp4": NO_MEDIA,
    "hls_ssrf_http.avi": NO_MEDIA,
    "huge_16000x9000.webp": TOO_LARGE,
    "text_imagemagick_mvg.gif": NO_MEDIA,
    "truncated_after_moov.m4b": "the source is truncated: its header says 6422.00 s|the source has no picture"
    "|WebM cannot hold",
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
OF_ONE_CHANNEL = {"two-programs.ts": 1}  # how many tracks are of the channel whose picture is taken
PICTURES = {"default-second.mp4": 1, "multi_video_audio_subs.mp4": 3, "animated.avif": 1}
MISSTATED = {"te[s]t_ video ' _ .flv", "subs_ass.mkv"}  # whose header tells quite another rate than their frames have
UNEVEN = MISSTATED | {
    "screenrec_vfr.webm",
    "anim_vfr_58s.gif",
    "awesome'movie.mov",
    "wmv2_1000fps.asf",
    "subs_pgs_bitmap.mkv",
}
HDR = {"hdr10_pq_av1_portrait.mp4", "hdr_hlg_dolbyvision_rotated.MOV"}
WEBM = {"vp8", "vp9", "av1", "opus", "vorbis"}
MP4 = {"h264", "hevc", "av1", "vp9", "mpeg4", "aac", "mp3", "mp2", "ac3", "eac3", "dts", "alac", "opus", "flac"}
MP4 |= {"mpeg1video", "mpeg2video", "vvc"}
MORE_IN_MP4 = {"mjpeg", "jpeg2000"} | {
    f"pcm_{kind}{order}" for kind in ("s16", "s24", "s32", "f32", "f64") for order in ("le", "be")
}
PCM = {f"pcm_{kind}" for kind in ("u8", "s16le", "s16be", "s24le", "s24be", "s32le", "f32le")}
PCM |= {"pcm_s24be", "pcm_s32be", "pcm_s64le", "pcm_f64le", "pcm_alaw", "pcm_mulaw", "wavpack", "tta"}
OLD = {"flv1", "theora", "mjpeg", "prores", "ffv1", "huffyuv", "ffvhuff", "vc1", "wmv1", "wmv2", "wmv3", "h263"}
OLD |= {"cfhd", "dxv", "hap", "jpeg2000", "magicyuv", "snow", "v210", "r210", "r10k", "zmbv", "flashsv", "zlib", "h261"}
OLD |= {"adpcm_ms", "adpcm_ima_wav", "adpcm_yamaha", "adpcm_g722"}
HOLDS = {
    "remux-webm": WEBM,
    "remux-mp4": MP4 | MORE_IN_MP4,
    "remux-mkv": (WEBM | MP4 | PCM | OLD | {"truehd", "wmav2", "msmpeg4v3", "rawvideo"}) - {"vvc"},
}
STRANGE = {
    "multi_video_audio_subs.mp4": HIDES,  # what AAC puts before the first sample, 0.13 s at 8 kHz
    "animated.webp": dict.fromkeys(COPIES, "cannot hold the source's webp"),
}
ALPHA = {"alpha_vp9.webm", "alpha_prores4444.mov"}
UNREADABLE = {"animated.webp": "webp"}  # codecs that the reader lacks: it gets what the encoder decodes


def given(path: Path) -> Specimen:
    """A file from outside, told in the same terms as those we make."""
    name = path.name
    turns, flip = TURNED.get(name, (0, False))
    return Specimen(
        name,
        turns=turns,
        flip=flip,
        size=SIZES.get(name),
        error=REFUSED.get(name),
        refused=STRANGE.get(name, {}),
        frames=name not in UNEVEN | DAMAGED,
        colours=name not in HDR | ALPHA | DAMAGED,
        alpha=name in ALPHA,
        path=path,
    )


GIVEN = [given(path) for path in FILES]
EVERY = [*GIVEN, *SPECIMENS, *COMBINATIONS, *(odd for odd, _ in ODDITIES), *HARMFUL]
# One of each trait, which the selection of `make test` goes through.
CHOSEN = {
    *("plain.mp4", "turned-90.mp4", "mirrored-90.mp4", "turned-270-hlg.mov", "photo-upright.jpg", "anamorphic.mp4"),
    *("odd.mkv", "clap.mp4", "tff.mkv", "bff-mpeg2.ts", "mixed-scan.ts", "telecined.mpg", "vfr.mp4", "slides.mp4"),
    *("10bit.mp4", "422.mov", "full-range.mp4", "bt601.mp4", "untagged-hd.mkv", "rgb.mkv", "pq.mp4", "grey10.mkv"),
    *("alpha-vp9.webm", "alpha-prores.mov", "alpha.gif", "surround.mkv", "hexagonal.mkv", "placeless.wav", "quad.wav"),
    *("languages.mkv", "subtitles.mkv", "subtitles.mp4", "chapters.mp4", "cover.mp4", "cover.mp3", "cover-defaced.mp3"),
    *("everything-beside.mkv", "edit-list.mp4", "late-audio.mp4", "late-video.mp4", "short-audio.mp4", "gap.mkv"),
    *("truncated.mp4", "truncated.ts", "no-index.mp4", "no-index.avi", "claims-an-hour.mp4", "wrapped.ts"),
    *("two-programs.ts", "joined.ts", "headless.ts", "live.webm", "fragmented.mp4", "raw.h264", "reordered.avi"),
    *("theora.flv", "wmv.wmv", "dv-pal.dv", "streamed.wav", "vbr.mp3", "still.png", "one.heic", "tiles.heic"),
    *("animated.png", "one-frame.mp4", "1x1.mkv", "tiny.wav", "nothing-moves.mp4", "subtitles.srt"),
    *("huge.gif", "concat.mkv", "hls-in-subtitles.avi", "index-alone.m4a"),
}
FEW = sorted(
    [*GIVEN, *SPECIMENS, *(one for one in COMBINATIONS if one.name in QUICK | CHOSEN), *HARMFUL],
    key=lambda one: one.name not in CHOSEN,
)


WHOLLY_WEBM = "live.webm"  # the rest of the selection can be no WebM without an encode


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "specimen" not in metafunc.fixturenames:
        return
    chosen = EVERY if metafunc.config.getoption("--every-preset") else FEW
    metafunc.parametrize("specimen", [pytest.param(one, id=one.name, marks=_marks(one)) for one in chosen])


def _marks(specimen: Specimen) -> tuple[pytest.MarkDecorator, ...]:
    if specimen.path:
        return (pytest.mark.outside,)
    return () if specimen.name in CHOSEN else (pytest.mark.thorough,)


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def worker(spool: Path) -> Iterator[Daemon]:
    roots = ["--source-root", str(spool), *(("--source-root", str(OUTSIDE)) if FILES else ())]
    daemon = Daemon(spool / "state", "--slots", "1", *roots)
    yield daemon
    daemon.stop()


def test_the_selection_takes_every_preset() -> None:
    selected = [one for one in FEW if one.name in CHOSEN and one.error is None]
    assert {name for one in selected for name in _in_turn(one)} == PRESETS.keys() - {"h264-480p"}


@pytest.fixture
def source(spool: Path, ffmpeg: str, specimen: Specimen) -> Path:
    return specimen.path or make(specimen, ffmpeg, spool)


def test_every_file_becomes_what_a_person_expects(
    worker: Daemon,
    spool: Path,
    source: Path,
    specimen: Specimen,
    ffmpeg: str,
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    seen = None if specimen.error is not None else seen_in(source, ffmpeg, spool)
    asked = wanted(specimen, seen, pytestconfig)
    job = submitted(worker, source, asked)
    each_is_right(job, record_property, lambda one: verify(worker, spool, specimen, job, one, seen, ffmpeg))


def each_is_right(job: Any, record_property: Callable[[str, object], None], become_of: Callable[[Any], str]) -> None:
    """All variations of its source are looked at before it fails; what became of each is a row of the table."""
    [source] = job["sources"]
    wrong = []
    for variation in source["variations"]:
        try:
            found = become_of(variation)
        except (AssertionError, av.FFmpegError) as error:
            found = f"WRONG: {error}"
            wrong.append(f"{variation['preset']}: {error}")
        record_property("row", (source["name"], variation["preset"], found.partition("\n")[0]))
    assert not wrong, "\n".join(wrong)


def seen_in(source: Path, ffmpeg: str, spool: Path) -> Reading:
    codec = UNREADABLE.get(source.name)
    if codec is None:
        seen = read(source, PICTURES.get(source.name))
        return replace(seen, audio=seen.audio[: OF_ONE_CHANNEL.get(source.name)])
    decoded = spool / f"{source.name}.mkv"
    subprocess.run([ffmpeg, "-v", "error", "-i", source, "-c:v", "ffv1", "-y", decoded], check=True)
    return replace(read(decoded), codecs=[codec])


def wanted(specimen: Specimen, seen: Reading | None, config: pytest.Config) -> dict[str, dict[str, Any]]:
    """What is asked of this file: presets with their parameters."""
    if not config.getoption("--every-preset"):
        if seen and seen.covers and not seen.video:
            return {name: {} for name in SOUND}
        quick = SMALL if specimen.name in LONG else {"speed": "ultrafast"}
        film = {} if specimen.name in HUGE else {"h264-480p": quick}
        film |= {"hls": {"short_side": 360, "speed": "ultrafast"}} if specimen.name in FIELDS else {}
        if specimen.path is None and specimen.error is None:
            return {**film, **_in_turn(specimen)}
        return {**film, "m4a": {}} if seen and seen.audio else film
    named = config.getoption("--presets").split(",")
    return {name: _asked(specimen, preset) for name, preset in PRESETS.items() if named == [""] or name in named}


def _in_turn(specimen: Specimen) -> dict[str, dict[str, Any]]:
    """Beside the cheap preset another one, a different one for each of the files that are made."""
    made = [one.name for one in FEW if one.path is None and one.error is None]
    others = [preset for name, preset in PRESETS.items() if name != "h264-480p"]
    preset = PRESETS["remux-webm"] if specimen.name == WHOLLY_WEBM else others[made.index(specimen.name) % len(others)]
    return {preset.name: _asked(specimen, preset)}


def _asked(specimen: Specimen, preset: Preset) -> dict[str, Any]:
    taken = {field.name for field in msgspec.structs.fields(type(preset.defaults))}
    small = {name: value for name, value in SMALL.items() if name in taken and specimen.name in LONG}
    return {**small, **FRAMED.get(preset.name, {}), **({"seed": "a"} if "seed" in taken else {})}


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
                    "name": source.name,
                    "media": None,
                    "variations": [
                        {"preset": name, "status": "failed", "error": answer.json()["detail"]} for name in asked
                    ],
                }
            ]
        }
    job = answer.json()["id"]
    return wait_until(lambda: (view := worker.job(job))["finished_at"] and view, f"{job}'s end", HOURS, every=0.1)


def verify(
    worker: Daemon, spool: Path, specimen: Specimen, job: Any, variation: Any, source: Reading | None, ffmpeg: str
) -> str:
    """What became of it, in words. Raises AssertionError when that is not what a person would expect."""
    assert not WORDLESS.search(variation["error"] or ""), variation["error"]
    preset = PRESETS[variation["preset"]]
    reason = expected_failure(specimen, preset, source)
    if reason is not None:
        assert variation["status"] == "failed", f"{variation['status']}, but it should fail: {reason}"
        assert re.search(reason, variation["error"]), variation["error"]
        return f"refused: {variation['error']}"
    assert variation["status"] == "completed", variation["error"]
    path = fetched(worker, spool, job, variation)
    assert source, f"{specimen.name} completed, though it should not"
    return verdict(specimen, preset, variation, source, path, ffmpeg)


def expected_failure(specimen: Specimen, preset: Preset, source: Reading | None) -> str | None:
    if specimen.error and TRUNCATED in specimen.error and preset.name in COPIES:
        return f"{TRUNCATED}|cannot hold"
    if specimen.error is not None:
        return specimen.error
    if source is None:
        return "the source has no sound" if preset.name in SOUND else specimen.refused.get(preset.name)
    if source.video is None and preset.name not in SOUND | COPIES:
        return f"the source has no picture, which the preset {preset.name} needs"
    if not source.audio and preset.name in SOUND:
        return f"the source has no sound, which the preset {preset.name} needs"
    if preset.name in COPIES and (strange := [codec for codec in source.codecs if codec not in HOLDS[preset.name]]):
        return f"cannot hold the source's .*{strange[0]}"
    if preset.name in specimen.refused:
        return specimen.refused[preset.name]
    if preset.name == "hls" and (specimen.seconds or source.seconds) <= 0.5:
        return "HLS needs more than 0.5 s"
    return None


def fetched(worker: Daemon, spool: Path, job: Any, variation: Any) -> Path:
    path = spool / f"{variation['id']}-{variation['name']}"
    answer = worker.client.get(f"/api/jobs/{job['id']}/variations/{variation['id']}/download")
    assert answer.status_code == 200
    path.write_bytes(answer.content)
    return path
