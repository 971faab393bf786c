"""A watched folder: each file that is whole becomes a job once, is read where it is, and its results are delivered."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forked
import msgspec
import pytest
from conftest import Daemon, wait_until
from conftest import told as alter
from msgspec.structs import replace
from surroundings import need_mounts

from daemon.config_tables import Folder, When, folders
from daemon.delivery import rules
from daemon.errors import StartupError
from daemon.folders import checks
from daemon.folders.scan import Found
from daemon.folders.watched import Watched
from daemon.media.model import Media, VideoStream
from daemon.models import Conflict, Deliver
from daemon.presets.library import Library
from daemon.settings import Settings

Start = Callable[..., Daemon]

QUICK = {"stable_seconds": 0.2, "scan_every": 0.1}


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    (tmp_path / "library").mkdir()
    return folder


def watching(start_daemon: Start, inbox: Path, state: str = "state", **more: Any) -> Daemon:
    """A daemon that makes mp3s of what lies in the inbox, for the library beside it."""
    wish = {"folder": str(inbox.parent / "library"), "name": "{stem}.{ext}"}
    table = {"name": "inbox", "path": str(inbox), "variations": [{"preset": "mp3"}], "deliver": wish, **QUICK, **more}
    lines = [f"{name} = {toml(value)}" for name, value in table.items()]
    config = inbox.parent / "ffspool.toml"
    config.write_text("\n".join(["[[folders]]", *lines]))
    roots = ("--source-root", str(inbox), *(f"--output-root={root}" for root in (inbox.parent / "library", inbox)))
    return start_daemon(*roots, name=state, FFSPOOL_CONFIG=str(config))


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {toml(inner)}" for name, inner in value.items()) + "}"
    return f"[{', '.join(map(toml, value))}]" if isinstance(value, list) else json.dumps(value)


def made(inbox: Path) -> set[str]:
    return {path.name for path in (inbox.parent / "library").iterdir() if not path.name.startswith(".")}


def jobs(daemon: Daemon) -> Any:
    return daemon.client.get("/api/jobs").json()["items"]


def shown(daemon: Daemon) -> Any:
    [folder] = daemon.client.get("/api/folders").json()["items"]
    return folder


def test_what_comes_to_lie_there_is_made_and_delivered_once(start_daemon: Start, inbox: Path, clip: Path) -> None:
    """And soon, where the kernel tells of it: the next scan of this folder is due in an hour. It is known, too, when
    results are to go elsewhere."""
    shutil.copy(clip, inbox / "first.mp4")
    daemon = watching(start_daemon, inbox, recursive=True, scan_every=3600)
    wait_until(lambda: made(inbox) == {"first.mp3"}, "the first one")
    (inbox / "within").mkdir()
    shutil.copy(clip, inbox / "within" / "second.mp4")
    wait_until(lambda: made(inbox) == {"first.mp3", "second.mp3"}, "the second one")
    assert not list((daemon.state_dir / "spool" / "jobs").glob("*/sources/*"))
    daemon.stop()
    elsewhere = {"folder": str(inbox.parent / "library"), "name": "{stem} {preset}.{ext}"}
    watching(lambda *_, **__: daemon, inbox, recursive=True, scan_every=3600, deliver=elsewhere)
    [now] = folders({"FFSPOOL_CONFIG": str(inbox.parent / "ffspool.toml")})
    hashed = hashlib.sha256(msgspec.json.encode([now.variations, now.deliver], order="sorted")).hexdigest()[:16]
    alter(daemon, f"UPDATE watched_files SET recipe = '{hashed}' WHERE name = 'first.mp4'")  # as versions before
    daemon.start()
    before = wait_until(lambda: shown(daemon)["scanned_at"], "a scan after a restart")
    told(daemon, "scan")
    wait_until(lambda: shown(daemon)["scanned_at"] != before, "another")
    assert (shown(daemon)["taken"], len(jobs(daemon))) == (2, 2)


def test_what_is_still_written_is_waited_for_and_what_is_none_is_left(
    start_daemon: Start, inbox: Path, clip: Path
) -> None:
    content = clip.read_bytes()
    unfinished = ("a.mp4.part", "b.partial~", "c.!qB", "d.crdownload", "e.mp4~", ".syncthing.f.mp4.tmp")
    for name in (".hidden.mp4", "._slow.mp4", *unfinished, "notes.txt", "slow.srt", "slow-proxy.mp4"):
        (inbox / name).write_bytes(content)
    (inbox / "link.mp4").symlink_to(clip)
    (inbox / "within").mkdir()
    shutil.copy(clip, inbox / "within")
    daemon = watching(start_daemon, inbox, exclude=["*-proxy.*"], stable_seconds=1)
    with (inbox / "slow.mp4").open("wb") as file:
        for start in range(0, len(content), len(content) // 10):
            file.write(content[start : start + len(content) // 10])
            file.flush()
            scanned = shown(daemon)["scanned_at"]
            wait_until(lambda scanned=scanned: shown(daemon)["scanned_at"] != scanned, "a scan")
            assert jobs(daemon) == []
    wait_until(lambda: made(inbox) == {"slow.mp3"}, "it, now that it is whole")
    assert shown(daemon) | {"scanned_at": None} == {
        "name": "inbox", "scanned_at": None, "found": 1, "left_out": 3, "taken": 1, "refused": 0, "paused": False,
        "error": None, "replaced": 0, "saved_bytes": 0, "waiting": 0, "working": 0, "made": 1, "not_delivered": 0,
        "not_replaced": 0, "failed": 0, "schedule": None,
    }  # fmt: skip


def scans(daemon: Daemon, count: int = 3) -> None:
    """Waits until so many more are done."""
    for _ in range(count):
        before = shown(daemon)["scanned_at"]
        wait_until(lambda before=before: shown(daemon)["scanned_at"] not in {before, None}, "a scan")


def test_what_holds_together_is_not_taken_while_somebody_writes_to_it(
    start_daemon: Start, inbox: Path, clip: Path
) -> None:
    """A program that sets the length first, or writes the index first, leaves a file that looks whole."""
    open_film, fetched = inbox / "open.mp4", inbox / "fetched.mp4"
    shutil.copy(clip, open_film)
    shutil.copy(clip, fetched)
    (inbox / "fetched.mp4.aria2").touch()
    with open_film.open("r+b"):
        daemon = watching(start_daemon, inbox)
        scans(daemon, 6)
        assert jobs(daemon) == []
    wait_until(lambda: made(inbox) == {"open.mp3"}, "the film that is closed")
    (inbox / "fetched.mp4.aria2").unlink()
    wait_until(lambda: made(inbox) == {"open.mp3", "fetched.mp3"}, "the film that is fetched")


DELIVERED = {"pending": 0, "delivered": 2, "failed": 0}


def test_a_tree_that_takes_its_own_results_gives_each_film_once(start_daemon: Start, inbox: Path, clip: Path) -> None:
    for name in ("a/film.mp4", "a/b/deep.mp4", "a/not this/film.mp4", ".cache/film.mp4"):
        (inbox / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, inbox / name)
    (inbox / "a" / "round").symlink_to(inbox)
    os.link(inbox / "a" / "film.mp4", inbox / "second name.mp4")
    wish = {"folder": str(inbox / "made"), "name": "{stem}.{ext}"}
    variations = [{"preset": "mp3"}, {"preset": "hls"}]
    more = {"recursive": True, "exclude": ["*not this/*"], "deliver": wish, "variations": variations}
    daemon = watching(start_daemon, inbox, "inbox/ffspool", **more)  # the spool, which is none of it, lies in it too
    wait_until(lambda: [job["deliveries"] for job in jobs(daemon)] == [DELIVERED] * 2, "two films, each made twice")
    scans(daemon)
    for job in jobs(daemon):
        daemon.client.delete(f"/api/jobs/{job['id']}").raise_for_status()
    (inbox / "made").rename(inbox / "aside")
    scans(daemon)
    (inbox / "aside").rename(inbox / "made")
    daemon.stop()
    daemon.start()
    scans(daemon)
    assert (jobs(daemon), shown(daemon)["taken"]) == ([], 2)
    assert "not taken yet" not in daemon.log()


def test_a_result_that_has_another_name_by_now_is_no_source(start_daemon: Start, inbox: Path, clip: Path) -> None:
    """As a hook gives it, before any scan found it where it was delivered."""
    shutil.copy(clip, inbox / "film.mp4")
    wish = {"folder": str(inbox / "made"), "name": "{stem}.{ext}"}
    daemon = watching(start_daemon, inbox, recursive=True, deliver=wish)
    wait_until(lambda: jobs(daemon), "its job")
    told(daemon, "pause")
    wait_until((inbox / "made" / "film.mp3").exists, "its result")
    wait_until(lambda: jobs(daemon)[0]["deliveries"]["delivered"], "what is told of that")
    (inbox / "album").mkdir()
    (inbox / "made" / "film.mp3").rename(inbox / "album" / "song.mp3")
    told(daemon, "resume")
    scans(daemon)
    assert (len(jobs(daemon)), shown(daemon)["waiting"]) == (1, 0)


def test_what_rules_refuse_or_cannot_be_read_is_looked_at_once_until_it_or_they_change(
    start_daemon: Start, inbox: Path, clip: Path
) -> None:
    shutil.copy(clip, inbox / "film.mp4")
    (inbox / "broken.mp4").write_bytes(b"no film")
    daemon = watching(start_daemon, inbox, when={"min_height": 4000})
    wait_until(lambda: shown(daemon)["refused"] == 2, "verdicts on both")
    scans(daemon)
    assert daemon.log().count("is refused") == 2
    assert "refused by a rule: its picture has" in daemon.log()
    shutil.copy(clip, inbox / "broken.mp4")
    wait_until(lambda: shown(daemon)["refused"] == 3, "another verdict on what was changed")
    daemon.stop()
    watching(lambda *_, **__: daemon, inbox, when={"min_height": 10, "codec_not": ["av1"], "container": ["mp4"]})
    daemon.start()
    wait_until(lambda: shown(daemon) | {"scanned_at": 0} == shown(daemon) | {"scanned_at": 0, "taken": 2, "refused": 1})


def test_a_folder_is_scanned_paused_and_looked_through_anew_when_told(
    start_daemon: Start, inbox: Path, clip: Path
) -> None:
    shutil.copy(clip, inbox / "film.mp4")
    (inbox / "broken.mp4").write_bytes(b"no film")
    in_its_way = inbox.parent / "library" / "film.mp3"
    in_its_way.touch()
    daemon = watching(start_daemon, inbox, stable_seconds=0, scan_every=3600)
    wait_until(lambda: verdicts(daemon) == {"film.mp4": "not delivered", "broken.mp4": "refused"}, "verdicts")
    assert "1 of 1 not delivered: film.mp3 is there already: take it away and retry" in history(daemon)
    assert (shown(daemon)["made"], shown(daemon)["not_delivered"]) == (0, 1)
    assert "1 not delivered: see `ffspool folders history" in forked.run(["folders"], daemon.env).stdout
    in_its_way.unlink()
    told(daemon, "retry")
    wait_until(lambda: verdicts(daemon).get("film.mp4") == "completed" and in_its_way.exists(), "its delivery")
    assert (len(jobs(daemon)), history(daemon).count("not delivered")) == (1, 0)
    wait_until(lambda: verdicts(daemon) == {"film.mp4": "completed", "broken.mp4": "refused"}, "verdicts")
    job = jobs(daemon)[0]["id"]
    wait_until(lambda: not daemon.client.delete(f"/api/jobs/{job}").is_error)
    told(daemon, "pause")
    daemon.stop()
    daemon.start()
    assert (shown(daemon)["paused"], shown(daemon)["scanned_at"]) == (True, None)
    told(daemon, "scan")
    before = wait_until(lambda: shown(daemon)["scanned_at"], "a scan")
    told(daemon, "resume")
    wait_until(lambda: shown(daemon)["scanned_at"] != before, "another")
    assert verdicts(daemon) == {"film.mp4": "completed", "broken.mp4": "refused"}
    told(daemon, "retry")
    wait_until(lambda: daemon.log().count("is refused") == 3, "another look at it")
    assert verdicts(daemon) == {"film.mp4": "completed", "broken.mp4": "refused"}
    assert jobs(daemon) == []
    newest = page(daemon)
    older = page(daemon, cursor=newest["next_cursor"])
    assert [one["name"] for one in (*newest["items"], *older["items"])] == ["broken.mp4", "film.mp4"]
    assert older["next_cursor"] is None
    assert page(daemon, cursor="1.0")["code"] == "invalid_request"


def history(daemon: Daemon) -> str:
    return daemon.client.get("/api/folders/inbox/history").text


def page(daemon: Daemon, **query: Any) -> Any:
    return daemon.client.get("/api/folders/inbox/history", params={"limit": 1, **query}).json()


def told(daemon: Daemon, verb: str) -> None:
    daemon.client.post(f"/api/folders/inbox/{verb}").raise_for_status()


def verdicts(daemon: Daemon) -> dict[str, str]:
    items = daemon.client.get("/api/folders/inbox/history").json()["items"]
    said = [one for one in items if one["error"] and one["job"] and not one["error"].startswith("it stays")]
    assert all(one["verdict"].startswith("not ") for one in said)
    return {one["name"]: one["verdict"] for one in items}


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"codec_not": ("av1", "h264")}, "it is h264 already"),
        ({"codec_not": ("H264",)}, "it is h264 already"),
        ({"codec_not": ("hevc", "H.264")}, "it is h264 already"),
        ({"codec_not": ("AVC",)}, "it is h264 already"),
        ({"codec_not": ("h-264",)}, "it is h264 already"),
        ({"min_height": 721}, "its picture has 720 lines, fewer than 721"),
        ({"min_bitrate_kbps": 801}, "it has 800 kbit/s, fewer than 801"),
        ({"container": ("mkv",)}, "its container is mov, none of mkv"),
        ({"larger_than": 1_000_000}, "it has 1000000 bytes, not more than 1000000"),
        ({"codec_not": ("av1",), "min_height": 720, "min_bitrate_kbps": 800, "container": ("mkv", "mp4"),
          "larger_than": 999_999}, None),
    ],
)  # fmt: skip
def test_a_rule_refuses_in_words(rule: Any, words: str | None) -> None:
    video = VideoStream(index=0, codec="h264", width=1280, height=720, coded_width=1280, coded_height=720)
    film = Media(format="mov,mp4,m4a", duration_seconds=10.0, video=video, audio=(), subtitles=())
    assert (rules.flaw(film), rules.flaw(replace(film, cut_off=True)) is None) == (None, False)
    short = replace(film, lacks_end=True)
    assert (rules.flaw(short), rules.flaw(short, goes=True) is None) == (None, False)
    assert rules.refusal(When(**rule), film, 1_000_000) == (words and f"refused by a rule: {words}")


def test_a_folder_that_is_away_forgets_nothing(start_daemon: Start, inbox: Path, clip: Path) -> None:
    shutil.copy(clip, inbox / "film.mp4")
    daemon = watching(start_daemon, inbox)
    wait_until(lambda: made(inbox) == {"film.mp3"}, "the film")
    inbox.rename(inbox.with_name("away"))
    wait_until(lambda: shown(daemon)["error"], "that it is away")
    inbox.with_name("away").rename(inbox)
    scanned = shown(daemon)["scanned_at"]
    wait_until(lambda: shown(daemon)["scanned_at"] != scanned and shown(daemon)["error"] is None, "a scan")
    assert (len(jobs(daemon)), shown(daemon)["taken"]) == (1, 1)
    (inbox / "film.mp4").rename(inbox.parent / "film.mp4")
    wait_until(lambda: "empty" in (shown(daemon)["error"] or ""), "that it is empty")
    (inbox.parent / "film.mp4").rename(inbox / "film.mp4")
    scans(daemon)
    found = shown(daemon)
    assert (len(jobs(daemon)), found["taken"], found["error"]) == (1, 1, None)


def write_tone(path: Path) -> None:
    """A second of sound without a picture, of silence."""
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16_000))


def test_what_a_preset_does_not_apply_to_is_skipped_and_told(start_daemon: Start, inbox: Path) -> None:
    daemon = watching(start_daemon, inbox, variations=[{"preset": "poster"}], when={"older_than": 0.1})
    write_tone(inbox / "tone.wav")
    wait_until(lambda: shown(daemon)["failed"] == 1, "its end")
    [one] = daemon.client.get("/api/folders/inbox/history").json()["items"]
    assert (one["verdict"], "no picture" in one["error"] or one["error"]) == ("failed", True)
    assert jobs(daemon)[0]["skipped_variations"] == 1


def test_what_goes_changes_or_is_cancelled_before_it_is_encoded_fails_alone(
    start_daemon: Start, inbox: Path, clip: Path
) -> None:
    daemon = watching(start_daemon, inbox, priority=7)
    daemon.client.post("/api/queue/pause")
    for name in ("gone", "changed", "stays", "cancelled"):
        shutil.copy(clip, inbox / f"{name}.mp4")
    wait_until(lambda: shown(daemon)["taken"] == 4, "all of them to be taken")
    [cancelled] = [job["id"] for job in jobs(daemon) if job["name"].endswith("cancelled.mp4")]
    daemon.client.post(f"/api/jobs/{cancelled}/cancel").raise_for_status()
    assert {job["priority"] for job in jobs(daemon)} == {7}
    (inbox / "gone.mp4").unlink()
    os.utime(inbox / "changed.mp4", ns=(10**18, 10**18))
    daemon.client.post("/api/queue/resume")
    wait_until(lambda: (shown(daemon)["made"], shown(daemon)["failed"]) == (2, 3), "what became of them")
    wait_until(lambda: made(inbox) == {"changed.mp3", "stays.mp3"}, "their deliveries")
    items = daemon.client.get("/api/folders/inbox/history").json()["items"]
    assert sorted((one["name"], one["verdict"], one["error"] is None) for one in items) == [
        ("cancelled.mp4", "cancelled", True), ("changed.mp4", "completed", True), ("changed.mp4", "failed", False),
        ("gone.mp4", "failed", False), ("stays.mp4", "completed", True),
    ]  # fmt: skip
    assert shown(daemon)["error"] is None
    told(daemon, "retry")
    wait_until(lambda: made(inbox) == {"changed.mp3", "stays.mp3", "cancelled.mp3"}, "what is wanted after all")
    assert (shown(daemon)["taken"], shown(daemon)["failed"]) == (3, 0)


def test_a_clock_that_jumps_has_no_file_taken_too_soon_or_never(tmp_path: Path) -> None:
    clock = 1000.0
    watch = Watched(folder(tmp_path, when=When(older_than=100), stable_seconds=5.0), lambda: clock)
    found = Found("film.mp4", (1, 1, 1, 800 * 10**9), 800 * 10**9)

    def stable(at: float) -> bool:
        before, watch.waiting = watch.waiting, {}
        watch.wait_for([found], before, at)
        return bool(watch.stable(before, at))

    assert not stable(0.0)
    clock = 10**6
    assert not stable(1.0), "it was seen for a second only"
    clock = 850.0
    assert not stable(10.0), "it is younger than it has to be, for now"
    clock = 1010.0
    assert [stable(20.0), stable(25.0)] == [False, True]


def folder(root: Path, **more: Any) -> Folder:
    given = {"name": "x", "path": root / "x", "variations": ({"preset": "mp3"},), "place": "the file, line 3", **more}
    return Folder(**{**given, "path": root / given["path"]})


def to(path: str, name: str = "x", **more: Any) -> dict[str, Any]:
    return {"name": name, "path": name, "deliver": Deliver(folder=path), **more}


def over(path: str, name: str = "x", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "path": name,
        "deliver": Deliver(folder=path, name="{stem}.{ext}", conflict="overwrite"),
        **more,
    }


KNOWN = When(codec_not=("H.265", "MPEG-4", "adpcm_4xm"))  # of which one is decoded nowhere here
INNER = {**to("z", "in", on_success="delete"), "path": "x/y"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([{"path": "/"}], "below no source root"),
        ([over("x/y", recursive=True)], "a result may take the place of a source"),
        ([over("y"), {"name": "y", "path": "y"}], "delivers into the folder y.* may take the place of a source"),
        ([{"variations": ({"preset": "mp4"},)}], "there is no preset 'mp4'"),
        ([{"variations": ({"crf": 1},)}], "names its `preset`"),
        ([to("x/")], "would take what is delivered to it"),
        ([to("/elsewhere")], "below no output root"),
        ([to("y/../z")], "leads back and forth"),
        ([to("y", deliver=Deliver(folder="y", name="{title}.{ext}"))], "title"),
        ([to("y", deliver=Deliver(folder="y", name="../{stem}"))], "name template"),
        ([to("y", deliver=Deliver(url="https://host/{title}"))], "title"),
        ([to("y", deliver=Deliver(url="https://10.0.0.7/{stem}"))], "a private or reserved address"),
        ([{"when": When(codec_not=("h264", "hvec"))}], "there is no codec 'hvec': did you mean hevc?"),
        ([{"when": When(codec_not=("qqq",))}], "there is no codec 'qqq': name it as FFmpeg does"),
        ([{"path": "missing"}], "missing does not exist"),
        ([{"path": "file"}], "file is no folder"),
        ([{"path": "state/spool"}], "is in the state dir"),
        ([to("y"), to("z", "y"), to("x", "z")], "feed each other"),
        ([to("y"), to("link", "y")], "feed each other"),
        ([to("link")], "would take what is delivered to it"),
        ([over("link", "y"), {"path": "x"}], "delivers into the folder x.* may take the place of a source"),
        ([to("y", "x", on_success="delete"), {"name": "again", "path": "link"}], "is the folder again by another name"),
        ([to("z", "x", on_success="delete", recursive=True), {"name": "in", "path": "link/y"}], "both take its files"),
        ([to("z", "x", recursive=True), {**to("z", "in", on_success="delete"), "path": "x/y"}], "both take its files"),
        ([to("z", "x", recursive=True, include=("*.rare",)), {**INNER, "include": ("*.rare",)}], "both take its files"),
    ],
)
def test_folders_that_cannot_be_watched_are_refused_at_the_start(given: Any, words: str, tmp_path: Path) -> None:
    for name in ("x/y", "y", "z", "state/spool", "mount"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "x")
    settings = Settings(state_dir=tmp_path / "state", source_roots=(tmp_path,), output_roots=(tmp_path,))
    with pytest.raises(StartupError, match=words) as refused:
        asyncio.run(checks.check([folder(tmp_path, **one) for one in given], Library(), settings))
    assert "In the file, line 3: the folder " in str(refused.value) or "`preset`" in words
    harmless = [over("x/y", recursive=True, exclude=("y/*",)), over("y", "z", recursive=True)]
    asyncio.run(checks.check([folder(tmp_path, **one) for one in harmless], Library(), settings))
    harmless = [to("x/made", recursive=True), to("x", "y"), {"name": "away", "path": "mount/films", "when": KNOWN}]
    asyncio.run(checks.check([folder(tmp_path, **one) for one in harmless], Library(), settings))
    inner = {**to("z", "in", on_success="delete"), "path": "x/y"}
    for outer in ({"recursive": False}, {"recursive": True, "exclude": ("y/*",)}):
        asyncio.run(
            checks.check([folder(tmp_path, **one) for one in (to("z", "x", **outer), inner)], Library(), settings)
        )


def test_nothing_is_delivered_over_what_was_moved_aside(tmp_path: Path) -> None:
    for name in ("x", "y", "z", "kept"):
        (tmp_path / name).mkdir()
    settings = Settings(state_dir=tmp_path / "state", source_roots=(tmp_path,), output_roots=(tmp_path,))
    inbox = folder(tmp_path, **to("z", on_success="move", move_to=tmp_path / "kept"))
    with pytest.raises(StartupError, match=r"into the folder x.* may take the place of a source"):
        asyncio.run(checks.check([inbox, folder(tmp_path, **over("kept", "y"))], Library(), settings))
    asyncio.run(checks.check([inbox, folder(tmp_path, **over("z", "y"))], Library(), settings))


def test_nothing_is_delivered_over_the_only_result_of_a_source_that_went(tmp_path: Path) -> None:
    for name in ("x", "y", "z/deep"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "z")
    settings = Settings(state_dir=tmp_path / "state", source_roots=(tmp_path,), output_roots=(tmp_path,))

    def is_refused(inbox: Deliver, other: Deliver, on_success: str = "delete", **made: Any) -> bool:
        emptied = folder(tmp_path, name="in", path="x", deliver=inbox, on_success=on_success)
        beside = folder(tmp_path, name="y", path="y", deliver=other, **made)
        try:
            asyncio.run(checks.check([emptied, beside], Library(), settings))
            asyncio.run(checks.check([beside, emptied], Library(), settings))
        except StartupError as error:
            assert "the only result of a file of the folder in" in str(error)
            return True
        return False

    def named(name: str, path: str = "z") -> Deliver:
        return Deliver(folder=path, name=name)

    def over(name: str, path: str = "z") -> Deliver:
        return Deliver(folder=path, name=name, conflict=Conflict.OVERWRITE)

    plain = "{stem}.{ext}"
    assert is_refused(Deliver(folder="z"), Deliver(folder="link", conflict=Conflict.OVERWRITE))
    assert is_refused(named(plain), over("{stem}"))
    assert is_refused(named("{source}", "z/deep"), over("{source}", "link/deep"))
    assert not is_refused(named(plain), over("{stem}_{preset}.{ext}"))
    assert not is_refused(named(plain), over(plain, "z/deep"))
    assert not is_refused(named("{job}"), over("{job}"))
    assert not is_refused(named(plain), over(plain), variations=({"preset": "flac"},))
    assert not is_refused(named(plain), over(plain), on_success="leave")


def test_a_folder_that_is_mounted_a_second_time_is_one(tmp_path: Path) -> None:
    need_mounts()
    for name in ("x/deep", "y", "again"):
        (tmp_path / name).mkdir(parents=True)
    settings = Settings(state_dir=tmp_path / "state", source_roots=(tmp_path,), output_roots=(tmp_path,))
    subprocess.run(["mount", "--bind", str(tmp_path / "x" / "deep"), str(tmp_path / "again")], check=True)
    try:
        for given, words in (
            ([over("again", "y"), {"path": "x", "recursive": True}], "may take the place of a source"),
            ([to("x/deep", "y"), to("y", "again")], "feed each other"),
            ([to("y", recursive=True), {**INNER, "deliver": Deliver(folder="y"), "path": "again"}], "both take its"),
        ):
            with pytest.raises(StartupError, match=words):
                asyncio.run(checks.check([folder(tmp_path, **one) for one in given], Library(), settings))
    finally:
        subprocess.run(["umount", str(tmp_path / "again")], check=True)


def test_a_disk_that_is_mounted_in_a_folder_is_part_of_it(tmp_path: Path) -> None:
    need_mounts()
    for name in ("x/disk", "y", "z"):
        (tmp_path / name).mkdir(parents=True)
    settings = Settings(state_dir=tmp_path / "state", source_roots=(tmp_path,), output_roots=(tmp_path,))
    subprocess.run(["mount", "-t", "tmpfs", "none", str(tmp_path / "x" / "disk")], check=True)
    tree = {"path": "x", "recursive": True}
    try:
        (tmp_path / "x" / "disk" / "deep").mkdir()
        for given, words in (
            ([over("x/disk", "y"), tree], "may take the place of a source"),
            ([over("x/disk/deep", recursive=True)], "may take the place of a source"),
            ([to("x/disk", "y"), to("y", recursive=True)], "feed each other"),
            ([to("z", recursive=True), {**INNER, "path": "x/disk"}], "both take its files"),
            ([to("z", "x/disk", on_success="move", move_to=tmp_path / "x/disk/done"), tree], "which is watched"),
        ):
            with pytest.raises(StartupError, match=words):
                asyncio.run(checks.check([folder(tmp_path, **one) for one in given], Library(), settings))
        harmless = [over("x/disk", "y"), {"path": "x"}]
        asyncio.run(checks.check([folder(tmp_path, **one) for one in harmless], Library(), settings))
    finally:
        subprocess.run(["umount", str(tmp_path / "x" / "disk")], check=True)


def test_folders_that_are_not_valid_are_refused_with_the_file_and_line(tmp_path: Path) -> None:
    config = tmp_path / "ffspool.toml"
    config.write_text("\n[[folders]]\nname = 'x'\npath = '/in'\nvariations = []\n")
    with pytest.raises(StartupError, match=r"In .*ffspool.toml, line 2: the folder is not valid"):
        folders({"FFSPOOL_CONFIG": str(config)})
