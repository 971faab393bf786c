"""A library that is shrunk in place: what is proven and smaller takes its original's place, and nothing else does."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import PATIENCE, Daemon, slowed, told, wait_until
from test_delivery_folder import mounted
from test_folders import QUICK, toml

from daemon.config_tables import Folder, Replace
from daemon.delivery import disk_mark, terms
from daemon.errors import ProbeError, StartupError
from daemon.folders import checks, replacing
from daemon.media import decode_end
from daemon.media.describe import read_media
from daemon.models import Conflict, Contents, Deliver, LeftOut, Replacing, VariationRequest
from daemon.presets.library import Library
from daemon.scheduling import growth
from daemon.scheduling.sources import local_source
from daemon.settings import Settings

Start = Callable[..., Daemon]

DOCS = (Path(__file__).resolve().parents[1] / "docs" / "folders.md").read_text()
RECIPE, NIGHT = (part.split("```")[0] for part in DOCS.split("## Replacing in place\n")[1].split("```toml\n")[1:3])

SHRINKING = {"preset": "archive-hevc", "crf": 40, "speed": "ultrafast"}


@pytest.fixture(scope="session")
def film(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(ffmpeg, tmp_path_factory.mktemp("library"))


def make_film(ffmpeg: str, folder: Path, seconds: float = 1) -> Path:
    """A film that may come out a good deal smaller, with chapters and two languages."""
    (folder / "chapters").write_text(";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1\nSTART=0\nEND=1\ntitle=one\n")
    picture, sound = f"testsrc2=size=320x180:rate=25:duration={seconds}", f"sine=frequency=440:duration={seconds}"
    command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound]
    command += ["-i", str(folder / "chapters"), "-map", "0:v", "-map", "1:a", "-map", "1:a", "-map_metadata", "2"]
    command += ["-metadata:s:a:0", "language=deu", "-metadata:s:a:1", "language=eng", "-c:v", "libx264", "-crf", "1"]
    subprocess.run([*command, "-preset", "ultrafast", "-pix_fmt", "yuv420p", str(folder / "film.mkv")], check=True)
    return folder / "film.mkv"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    (tmp_path / "library" / "films").mkdir(parents=True)
    return tmp_path / "library"


def shrinking(start: Start, library: Path, *flags: str, made: Any = SHRINKING, **terms: Any) -> Daemon:
    config = configured(library, made, **terms)
    return start("--source-root", str(library), *flags, FFSPOOL_CONFIG=str(config))


def configured(library: Path, made: Any = SHRINKING, **terms: Any) -> Path:
    replace = {"trash": str(library / ".trash"), "min_vmaf": 0, **terms}
    table = {
        "name": "library", "path": str(library), "variations": [made], "recursive": True, "replace": replace, **QUICK,
    }  # fmt: skip
    config = library.parent / "ffspool.toml"
    config.write_text("\n".join(["[[folders]]", *(f"{name} = {toml(value)}" for name, value in table.items())]))
    return config


def verdict(daemon: Daemon, name: str) -> Any:
    """What became of a file, once that is known."""

    def known() -> Any:
        items = daemon.client.get(f"/api/folders/{shown(daemon)['name']}/history").json()["items"]
        return next((one for one in items if one["name"] == name and one["verdict"] not in GOING), None)

    return wait_until(known, f"a verdict on {name}")


GOING = {"queued", "processing", "completed"}


def shown(daemon: Daemon) -> Any:
    [folder] = daemon.client.get("/api/folders").json()["items"]
    return folder


def undo(daemon: Daemon, path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "daemon.cli", "folders", "undo", str(path), "--state-dir", str(daemon.state_dir)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)


def by_night(library: Path, begins: timedelta, ends: timedelta) -> Path:
    """The recipe, for a night that begins and ends so long from now."""
    now = datetime.now()
    hours = f"{now + begins:%H}:00-{now + ends:%H}:00"
    recipe = RECIPE.replace("/srv/films", str(library)).replace("500_000_000", "1000")
    quick = "".join(f"{name} = {value}\n" for name, value in QUICK.items())
    config = library.parent / "ffspool.toml"
    config.write_text(recipe + quick + NIGHT.replace("22:00-07:00", hours))
    return config


def test_by_the_recipe_a_film_is_replaced_by_night_once_and_put_back_when_told(
    start_daemon: Start, library: Path, film: Path
) -> None:
    there = library / "films" / "film.mkv"
    there.write_bytes(film.read_bytes())
    os.utime(there, ns=(10**18, 10**18))
    before = there.stat()
    daemon = start_daemon(FFSPOOL_CONFIG=str(by_night(library, timedelta(hours=2), timedelta(hours=4))))
    [waiting] = wait_until(lambda: daemon.client.get("/api/folders/films/history").json()["items"], "it to be taken")
    assert (waiting["verdict"], waiting["error"]) == ("queued", "outside the hours of its schedule")
    daemon.stop()
    by_night(library, timedelta(hours=-1), timedelta(hours=2))
    daemon.start()
    assert verdict(daemon, "films/film.mkv")["verdict"] == "replaced"
    after = there.stat()
    assert (after.st_mtime_ns, after.st_mode, after.st_uid) == (before.st_mtime_ns, before.st_mode, before.st_uid)
    assert after.st_size < 0.9 * before.st_size
    [aside] = (library / ".trash").iterdir()
    assert (aside.stat().st_ino, aside.read_bytes()) == (before.st_ino, film.read_bytes())
    scanned_again(daemon)
    assert shown(daemon) | {"scanned_at": 0} == {
        "name": "films", "scanned_at": 0, "found": 1, "left_out": 0, "taken": 1, "refused": 0, "paused": False,
        "error": None, "replaced": 1, "saved_bytes": before.st_size - after.st_size, "waiting": 0, "working": 0,
        "made": 1, "not_delivered": 0, "not_replaced": 0, "failed": 0, "schedule": shown(daemon)["schedule"],
    }  # fmt: skip
    found = undo(daemon, there)
    assert found.stdout == "films/film.mkv is its original again\n", found.stderr
    assert there.stat().st_ino == before.st_ino
    assert list((library / ".trash").iterdir()) + list(there.parent.glob(".*")) == []
    scanned_again(daemon)
    assert (shown(daemon)["taken"], shown(daemon)["saved_bytes"], len(jobs(daemon))) == (1, 0, 1)
    assert verdict(daemon, "films/film.mkv")["verdict"] == "undone"
    assert "is its original already" in undo(daemon, there).stderr


def scanned_again(daemon: Daemon) -> None:
    for _ in range(3):
        before = shown(daemon)["scanned_at"]
        wait_until(lambda before=before: shown(daemon)["scanned_at"] != before, "a scan")


def jobs(daemon: Daemon) -> Any:
    return daemon.client.get("/api/jobs").json()["items"]


def copies(library: Path, film: Path, *names: str) -> None:
    for name in names:
        (library / "films" / name).write_bytes(film.read_bytes())


def contents(library: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in library.rglob("*") if path.is_file() and path.name != disk_mark.NAME
    }


@pytest.mark.thorough
def test_what_cannot_be_told_to_be_smaller_and_as_good_is_left(start_daemon: Start, library: Path, film: Path) -> None:
    copies(library, film, "film.mkv")
    before = contents(library)
    daemon = shrinking(start_daemon, library, min_saving=0.99)
    found = verdict(daemon, "films/film.mkv")
    assert (found["verdict"], found["error"].split(":")[0]) == ("not replaced", "not smaller")
    daemon.stop()
    shrinking(lambda *_, **__: daemon, library, min_vmaf=99.9)
    daemon.start()
    found = wait_until(lambda: (one := verdict(daemon, "films/film.mkv"))["error"].startswith("its VMAF") and one)
    assert found["verdict"] == "not replaced"
    assert contents(library) == before
    job = found["job"]
    assert daemon.client.delete(f"/api/jobs/{job}").status_code == 204
    assert verdict(daemon, "films/film.mkv") == found


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"preset": "mp3"}, "it would lose picture"),
        ({"preset": "h264-1080p", "chapters": "drop"}, "it would lose chapters (1): chapters=drop was asked for"),
        ({"preset": "h264-480p", "short_side": 120}, "pixels: it would be 214×120 instead of 320×180"),
        ({"preset": "mobile-540p", "max_frame_rate": 10}, "pictures: 10 per second instead of 25"),
    ],
)
def test_what_would_lose_something_is_not_even_begun(
    library: Path, film: Path, made: dict[str, Any], words: str
) -> None:
    folder = Folder(name="x", path=library, variations=(made,), replace=Replace(trash=library / ".trash", min_vmaf=0))
    [wanted] = Library().expand([checks.variation(made, folder)])
    media = read_media(str(film), patience=PATIENCE)
    assert words in (replacing.lost(wanted, Library(), media) or "")
    [kept] = Library().expand([checks.variation(SHRINKING, folder)])
    assert replacing.lost(kept, Library(), media) is None


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"preset": "poster"}, "time: a single picture would be left of 3600.0 s"),
        ({"preset": "thumbnail-sheet"}, "time: a single picture would be left of 3600.0 s"),
        ({"preset": "webp"}, "time: 10.0 s would be left of 3600.0 s; pictures: 12 per second instead of 25"),
        ({"preset": "vertical-1080p"}, "shape: it would be 1080×1920 instead of 320×180, with edges cut off"),
    ],
)
def test_a_film_without_sound_is_not_replaced_by_a_part_of_it(film: Path, made: dict[str, Any], words: str) -> None:
    media = read_media(str(film), patience=PATIENCE)
    assert media.video
    hour = msgspec.structs.replace(media.video, duration_seconds=3600.0)
    silent = msgspec.structs.replace(media, video=hour, audio=(), chapters=(), duration_seconds=3600.0)
    [wanted] = Library().expand([VariationRequest(made.pop("preset"), made)])
    assert words in (replacing.lost(wanted, Library(), silent) or "")


def test_fields_bits_and_colours_are_not_lost_either(film: Path) -> None:
    media = read_media(str(film), patience=PATIENCE)
    assert media.video
    [wanted] = Library().expand([VariationRequest("h264-1080p", {})])
    for has, words in (
        ({"interlaced": True}, "fields: of each two"),
        ({"bit_depth": 10}, "bits: 8 of each colour instead of 10"),
        ({"pixel_format": "yuv422p"}, "colours: they would be stored"),
    ):
        finer = msgspec.structs.replace(media, video=msgspec.structs.replace(media.video, **has))
        assert words in (replacing.lost(wanted, Library(), finer) or ""), has
    [kept] = Library().expand([VariationRequest("archive-ffv1", {})])
    assert "colours" not in (replacing.lost(kept, Library(), finer) or "")


def test_what_an_output_is_without_keeps_it_from_its_originals_place() -> None:
    wish = Replacing(
        folder="x",
        root="/x",
        name="film.mkv",
        bytes=1000,
        inode=1,
        modified=1,
        trash="/t",
        min_saving=0.1,
    )
    lost = LeftOut(what="chapters", why="they were to be dropped", detail="3", meant=True)
    found = [
        terms.refusal(wish, size, None, contents)
        for size, contents in (
            (900, Contents(left_out=(lost,))),
            (900, None),
            (901, Contents()),
            (1000, Contents()),
            (900, Contents(left_out=(LeftOut(what="tag", why="there is no place for it"),))),
        )
    ]
    assert found == [
        "it would lose chapters (3): they were to be dropped",
        "what it keeps of its original is not known",
        "not smaller: it has 901 bytes, its original 1000, and 10% less are asked for",
        "not smaller: it has 1000 bytes, its original 1000",
        None,
    ]


def test_ordinary_light_is_a_loss(film: Path) -> None:
    media = read_media(str(film), patience=PATIENCE)
    assert media.video
    bright = msgspec.structs.replace(media, video=msgspec.structs.replace(media.video, hdr="hdr10"))
    [wanted] = Library().expand([VariationRequest("h264-1080p", {})])
    assert "hdr (hdr10): the output is for ordinary screens" in (replacing.lost(wanted, Library(), bright) or "")


@pytest.mark.parametrize(("small", "paranoid", "known"), [(10**9, False, True), (10, False, False), (10, True, True)])
def test_a_file_is_known_by_all_of_it_if_it_is_small_or_somebody_is_paranoid(
    library: Path, film: Path, monkeypatch: pytest.MonkeyPatch, small: int, paranoid: bool, known: bool
) -> None:
    monkeypatch.setattr(replacing, "SMALL", small)
    copies(library, film, "film.mkv")
    path = library / "films" / "film.mkv"
    folder = Folder(name="x", path=library, variations=(), replace=Replace(trash=library / ".trash", paranoid=paranoid))
    found = replacing.replacing(folder, "films/film.mkv", local_source("film.mkv", path, (str(library),)), "mkv", "")
    assert found.sha256 == (hashlib.sha256(film.read_bytes()).hexdigest() if known else None)


def test_fewer_channels_are_a_loss(film: Path) -> None:
    media = read_media(str(film), patience=PATIENCE)
    surround = msgspec.structs.replace(media, audio=(msgspec.structs.replace(media.audio[0], channels=6),))
    [wanted] = Library().expand([VariationRequest("h264-1080p", {})])
    assert "channels (4 of 6): mixed down to 2: max_channels=6 keeps them" in (
        replacing.lost(wanted, Library(), surround) or ""
    )


def test_a_file_with_another_name_or_another_of_its_new_name_is_left(
    start_daemon: Start, library: Path, film: Path
) -> None:
    copies(library, film, "film.mkv", "other.avi")
    os.utime(library / "films" / "other.avi", ns=(10**18, 10**18))
    os.link(library / "films" / "film.mkv", library.parent / "seeded.mkv")
    (library / "films" / "other.mkv").touch()
    daemon = shrinking(start_daemon, library)
    for name, words in (("film.mkv", "hard links"), ("other.avi", "not replaced: other.mkv is there already")):
        found = verdict(daemon, f"films/{name}")
        assert (found["verdict"], words in found["error"]) == ("refused", True)


def test_a_paused_folder_replaces_nothing_until_it_is_resumed(start_daemon: Start, library: Path, film: Path) -> None:
    copies(library, film, "film.mkv")
    daemon = shrinking(start_daemon, library)
    daemon.client.post("/api/queue/pause").raise_for_status()
    wait_until(lambda: jobs(daemon), "it to be taken")
    tell(daemon, "pause")
    daemon.client.post("/api/queue/resume").raise_for_status()
    wait_until(lambda: history(daemon)["error"] == "it waits until its folder is resumed", "it to be made, and wait")
    assert contents(library) == {"film.mkv": film.read_bytes()}
    daemon.stop()
    daemon.start()
    assert (history(daemon)["verdict"], contents(library)) == ("completed", {"film.mkv": film.read_bytes()})
    tell(daemon, "resume")
    assert verdict(daemon, "films/film.mkv")["verdict"] == "replaced"


def test_a_file_whose_job_is_deleted_before_it_was_replaced_is_told_so(
    start_daemon: Start, library: Path, film: Path
) -> None:
    copies(library, film, "film.mkv")
    daemon = shrinking(start_daemon, library)
    daemon.client.post("/api/queue/pause").raise_for_status()
    [job] = wait_until(lambda: jobs(daemon), "it to be taken")
    tell(daemon, "pause")
    daemon.client.post("/api/queue/resume").raise_for_status()
    wait_until(lambda: history(daemon)["error"] == "it waits until its folder is resumed", "it to be made, and wait")
    daemon.client.delete(f"/api/jobs/{job['id']}").raise_for_status()
    assert (history(daemon)["verdict"], history(daemon)["error"]) == ("not replaced", "its delivery was cancelled")
    assert contents(library) == {"film.mkv": film.read_bytes()}
    tell(daemon, "resume")
    tell(daemon, "retry")
    wait_until(lambda: jobs(daemon), "another job")


def test_what_was_undone_stays_so_on_other_terms_until_it_is_retried(
    start_daemon: Start, library: Path, film: Path
) -> None:
    copies(library, film, "film.mkv")
    there = library / "films" / "film.mkv"
    daemon = shrinking(start_daemon, library)
    assert verdict(daemon, "films/film.mkv")["verdict"] == "replaced"
    assert undo(daemon, there).returncode == 0
    tell(daemon, "retry")  # which has other files looked at anew
    scanned_again(daemon)
    assert (history(daemon)["verdict"], len(jobs(daemon))) == ("undone", 1)
    daemon.stop()
    there.rename(library / "films" / "Film (2020).mkv")
    configured(library, min_saving=0.2)
    daemon.start()
    found = verdict(daemon, "films/Film (2020).mkv")
    assert (found["verdict"], found["error"]) == (
        "refused", "not replaced: it was put back by `ffspool folders undo`: `retry` has it replaced again"
    )  # fmt: skip
    assert contents(library) == {"Film (2020).mkv": film.read_bytes()}
    tell(daemon, "retry")
    wait_until(lambda: verdict(daemon, "films/Film (2020).mkv")["verdict"] == "replaced", "it to be replaced again")


def history(daemon: Daemon) -> Any:
    [one] = daemon.client.get("/api/folders/library/history").json()["items"]
    return one


def tell(daemon: Daemon, verb: str) -> None:
    daemon.client.post(f"/api/folders/library/{verb}").raise_for_status()


def test_originals_are_removed_in_their_time_and_nothing_else_of_the_trash(
    start_daemon: Start, library: Path, film: Path
) -> None:
    copies(library, film, "film.mkv", "other.mkv")
    os.utime(library / "films" / "other.mkv", ns=(10**18, 10**18))
    (library / ".trash").mkdir()
    (library / ".trash" / "mine").touch()
    daemon = shrinking(start_daemon, library, "--sweep-every", "0.1", keep_original_days=0)
    for name in ("film.mkv", "other.mkv"):
        assert verdict(daemon, f"films/{name}")["verdict"] == "replaced"
    wait_until(lambda: [path.name for path in (library / ".trash").iterdir()] == ["mine"], "an empty trash")
    assert "is not in the trash any more" in undo(daemon, library / "films" / "film.mkv").stderr
    assert shown(daemon)["replaced"] == 2
    assert set(contents(library)) == {"film.mkv", "other.mkv", "mine"}


@pytest.mark.thorough
def test_an_original_that_tags_were_written_to_before_it_was_replaced_is_no_output(
    start_daemon: Start, library: Path, ffmpeg: str
) -> None:
    """Though it plays as its output would, in whose place it lies."""
    path = library / "films" / "film.mkv"
    made = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:crf=2")
    command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2", *made, str(path)]
    subprocess.run(command, check=True)
    daemon = shrinking(start_daemon, library)
    daemon.client.post("/api/queue/pause").raise_for_status()
    wait_until(lambda: jobs(daemon), "it to be taken")
    os.link(path, library.parent / "seeded.mkv")
    daemon.client.post("/api/queue/resume").raise_for_status()
    assert verdict(daemon, "films/film.mkv")["verdict"] == "not replaced"
    (library.parent / "seeded.mkv").unlink()
    with path.open("ab") as file:
        file.write(b"\xec\x90" + bytes(16))
    wait_until(lambda: verdict(daemon, "films/film.mkv")["verdict"] == "replaced", "the tagged one to be replaced")


@pytest.mark.thorough
def test_an_undoing_that_a_crash_broke_off_is_gone_on_with(start_daemon: Start, library: Path, film: Path) -> None:
    copies(library, film, "film.mkv")
    daemon = shrinking(start_daemon, library)
    assert verdict(daemon, "films/film.mkv")["verdict"] == "replaced"
    daemon.stop()
    told(daemon, "UPDATE replacements SET step = 'undoing'")
    daemon.start()
    wait_until(lambda: contents(library) == {"film.mkv": film.read_bytes()}, "the original")
    assert wait_until(lambda: verdict(daemon, "films/film.mkv")["verdict"] == "undone")


def test_a_file_that_is_damaged_anywhere_is_not_whole(film: Path, tmp_path: Path) -> None:
    decode_end.decode_all(str(film), read_media(str(film), patience=PATIENCE))
    damaged, content = tmp_path / "film.mkv", bytearray(film.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    damaged.write_bytes(content)
    media = read_media(str(damaged), patience=PATIENCE)
    decode_end.decode(str(damaged), media, patience=PATIENCE)
    with pytest.raises(ProbeError, match=r"damaged at [01]\.\d s"):
        decode_end.decode_all(str(damaged), media)


SIZED = {"small": ["-s", "128x72"], "large": ["-s", "320x180"], "mono": ["-ac", "1"], "stereo": ["-ac", "2"]}
SIZED |= {"slow": ["-ar", "24000"], "fast": ["-ar", "48000"], "plain": [], "deep": ["-pix_fmt", "yuv420p10le"]}


@pytest.mark.parametrize(
    ("first", "then", "words"),
    [
        ("small", "large", r"its picture is 320×180 instead of 128×72 from [12]\.\d s on"),
        ("plain", "deep", r"its picture has 10 bits of each colour instead of 8 from "),
        ("mono", "stereo", r"its sound has 2 channels instead of 1 from [12]\.\d s on"),
        ("slow", "fast", r"its sound has 48000 samples in a second instead of 24000 from "),
        ("large", "small", None),
        ("stereo", "mono", None),
    ],
)
def test_a_film_of_which_there_is_more_midway_is_not_replaced_by_what_it_began_as(
    ffmpeg: str, film: Path, tmp_path: Path, first: str, then: str, words: str | None
) -> None:
    def part(called: str) -> bytes:
        how = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", *SIZED[called]]
        command = [ffmpeg, "-v", "error", "-i", str(film), "-map", "0:v", "-map", "0:a:0", *how, "-f", "mpegts", "-"]
        return subprocess.run(command, check=True, capture_output=True).stdout

    path = tmp_path / "film.ts"
    path.write_bytes(part(first) + part(then))
    media = read_media(str(path))
    if words is None:
        decode_end.decode_all(str(path), media)
        return
    with pytest.raises(ProbeError, match=words):
        decode_end.decode_all(str(path), media)


def test_a_film_that_is_damaged_in_the_middle_is_not_replaced(start_daemon: Start, library: Path, film: Path) -> None:
    """What a decoder makes up for is in the output a film without a fault."""
    content = bytearray(film.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4000] = bytes(4000)
    (library / "films" / "film.mkv").write_bytes(content)
    daemon = shrinking(start_daemon, library)
    found = verdict(daemon, "films/film.mkv")
    assert found["verdict"] == "failed"
    assert "its original stays as it is: it cannot be decoded whole" in found["error"]
    assert contents(library) == {"film.mkv": bytes(content)}


@pytest.mark.parametrize(
    ("written", "seconds", "words"),
    [
        (901, 1, "with 901 bytes already; its original has 1000"),
        (300, 30, None),  # of too little of it
        (700, 60, "after 60%, with 700 bytes where its original has 600"),
        (590, 60, None),
        (899, 101, None),  # a film that is longer than was told
    ],
)
def test_an_encode_that_will_not_get_smaller_is_told_early(written: int, seconds: float, words: str | None) -> None:
    found = growth.refusal(written, seconds, duration=100.0, most=900, original=1000)
    assert (words is None) == (found is None)
    assert words is None or words in (found or "")


@pytest.mark.thorough
def test_an_encode_that_grows_is_ended(
    start_daemon: Start, library: Path, long_clip: Path, ffmpeg: str, tmp_path: Path
) -> None:
    (library / "films" / "film.mp4").write_bytes(long_clip.read_bytes())
    growing = {"preset": "h264-1080p", "crf": 10, "speed": "ultrafast"}
    start = partial(start_daemon, **slowed(ffmpeg, tmp_path, rate=20, burst=20))
    daemon = shrinking(start, library, made=growing)
    found = verdict(daemon, "films/film.mp4")
    assert found["verdict"] == "failed"
    assert found["error"].startswith("not smaller: it was ended early")


OVER = Deliver(folder="/x/y", conflict=Conflict.OVERWRITE)
INBOX = {"replace": None, "on_success": "move", "move_to": Path("/done"), "deliver": Deliver(folder="/x/y")}
FIXED = Deliver(folder="/x", name="{date} fixed.mp4", conflict=Conflict.OVERWRITE)
NO_FLOOR = Replace(trash=Path("/trash"), min_vmaf=0)


def under(root: Path, **more: Any) -> Folder:
    return Folder(name="x", path=root / "x", variations=(SHRINKING,), place="the file, line 3", **more)


@pytest.mark.parametrize(
    ("trash", "more", "words"),
    [
        ("trash", {"deliver": Deliver(folder="/x")}, "both `deliver` and `replace`"),
        ("trash", {"variations": (SHRINKING, SHRINKING)}, "one output takes the place"),
        ("trash", {"variations": ({"preset": "hls"},), "replace": NO_FLOOR}, "one output takes the place"),
        ("x/trash", {}, "let its name begin with a dot"),
        ("y/.trash", {}, "lies in the folder y"),
        ("", {}, "the folder x lies in the trash"),
        ("state/trash", {}, "is in the state dir"),
        ("file", {}, "is no folder"),
        ("none/trash", {}, "cannot be made"),
        ("trash", {"variations": ({"preset": "mp3"},)}, "`min_vmaf` = 0"),
        ("trash", {"variations": ({"preset": "poster"},)}, "`min_vmaf` = 0"),
        ("trash", {"on_success": "delete"}, "both `on_success` and `replace`"),
        ("trash", {"replace": None, "on_success": "delete"}, "`deliver` them"),
        ("trash", {**INBOX, "move_to": None, "on_success": "delete", "deliver": OVER}, "take another `conflict`"),
        ("trash", {**INBOX, "deliver": OVER}, "take another `conflict`"),
        ("trash", {"replace": None, "deliver": FIXED}, "is the same for all files: put {stem} into `name`"),
        ("trash", {**INBOX, "move_to": None}, "`move_to` says where"),
        ("trash", {**INBOX, "on_success": "leave"}, "`move_to` says where"),
        ("trash", {**INBOX, "move_to": Path("here")}, "by its whole path"),
    ],
)
def test_what_cannot_be_replaced_safely_is_refused_at_the_start(
    tmp_path: Path, trash: str, more: dict[str, Any], words: str
) -> None:
    for name in ("x", "y", "state"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    settings = Settings(state_dir=tmp_path / "state", source_roots=(tmp_path,), output_roots=(Path("/x"),))
    folder = msgspec.structs.replace(under(tmp_path, replace=Replace(trash=tmp_path / trash)), **more)
    other = Folder(name="y", path=tmp_path / "y", variations=({"preset": "mp3"},))
    with pytest.raises(StartupError, match="In the file, line 3") as refused:
        asyncio.run(checks.check([folder, other], Library(), settings))
    assert words in str(refused.value)
    safe = under(tmp_path, replace=Replace(trash=tmp_path / "x" / ".trash"))
    asyncio.run(checks.check([safe, other], Library(), settings))


def test_a_trash_on_another_file_system_is_refused_at_the_start(tmp_path: Path) -> None:
    for name in ("x", "trash"):
        (tmp_path / name).mkdir()
    settings = Settings(state_dir=tmp_path / "state", source_roots=(tmp_path,))
    folder = under(tmp_path, replace=Replace(trash=tmp_path / "trash" / "x"))
    with mounted(tmp_path / "trash"), pytest.raises(StartupError, match="another file system"):
        asyncio.run(checks.check([folder], Library(), settings))
