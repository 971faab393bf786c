"""Ladders in players of others, and every film, sound and picture in a browser's own decoders.

What a page plays goes through Chromium's FFmpeg in part: it takes files apart, and decodes H.264. Of VP9, AV1, Opus and
pictures the decoders are others; a stream that is fed by a player, and a file that mediabunny takes apart for
WebCodecs, are read by nothing of FFmpeg's.
"""

from __future__ import annotations

import re
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import cache
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from judged import LANGUAGES, Made, copied
from judges import cut, spoilt
from playwright.sync_api import Browser, Error, Page
from surroundings import lacking

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).resolve().parents[1]
PLAYERS = ROOT / ".players"
JS = Path(__file__).parent / "js"
SCRIPTS = {  # of the packages: file, where it is in its package
    "hls.js": ("hls.js", "dist/hls.min.js"),
    "dash.js": ("dashjs", "dist/modern/umd/dash.all.min.js"),
    "shaka": ("shaka-player", "dist/shaka-player.compiled.js"),
    "mediabunny": ("mediabunny", "dist/bundles/mediabunny.min.mjs"),
}
PLAYS = [("hls.js", "hls"), ("shaka", "hls"), ("dash.js", "dash"), ("shaka", "dash")]
MASTERS = {"hls": "master.m3u8", "dash": "manifest.mpd"}
PICTURES = {".gif": "image/gif", ".webp": "image/webp", ".jpg": "image/jpeg"}
PLAYED = {".mp4", ".webm", ".m4a", ".mp3", ".opus", ".flac"}
UNKNOWN = {"hevc", "ffv1"}  # to Debian's Chromium
UNEVEN = "phone.mov"  # in a ladder its frames come at a constant rate


@cache
def script(name: str) -> bytes:
    """Of that package. Skips the test where nobody fetched it."""
    package, member = SCRIPTS[name]
    archives = [*PLAYERS.glob(f"{package}-*.tgz")] if PLAYERS.is_dir() else []
    if not archives:
        lacking("there are no players of others: make players, with npm")
    with tarfile.open(archives[0]) as archive:
        held = archive.extractfile(f"package/{member}")
        assert held
        return held.read()


class Stage:
    """A page in a browser, with the outputs and the scripts beside it."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self.folder = folder
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._answering())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.page: Page = browser.new_page()
        self.page.goto(f"http://127.0.0.1:{self._server.server_port}/")

    def _answering(self) -> type[SimpleHTTPRequestHandler]:
        folder = self.folder

        class Answering(SimpleHTTPRequestHandler):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments, directory=str(folder))

            def log_message(self, *_: Any) -> None:
                pass

        return Answering

    def call(self, module: str, function: str, *arguments: object) -> Any:
        return self.page.evaluate(
            "([module, function_, args]) => import(`/${module}`).then((held) => held[function_](...args))",
            [module, function, list(arguments)],
        )

    def close(self) -> None:
        self.page.close()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def stage(browser: Browser, outputs: list[Made], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("stage")
    (folder / "index.html").write_text("<!doctype html><title>Stage</title><body>")
    for name in ("players.js", "decoders.js"):
        shutil.copy(JS / name, folder)
    (folder / "mediabunny.mjs").write_bytes(script("mediabunny"))
    (folder / "out").symlink_to(outputs[0].path.parent)
    opened = Stage(browser, folder)
    for name in ("hls.js", "dash.js", "shaka"):
        opened.page.add_script_tag(content=script(name).decode())
    yield opened
    opened.close()


# Ladders


def of_kind(outputs: list[Made], preset: str) -> list[Made]:
    return [made for made in outputs if made.preset.name == preset]


@pytest.mark.parametrize(("player", "preset"), PLAYS)
def test_a_ladder_plays_to_its_end_in_players_of_others(
    stage: Stage, outputs: list[Made], player: str, preset: str, record_property: Callable[[str, object], None]
) -> None:
    cases = of_kind(outputs, preset)
    for made in cases:
        told = stage.call("players.js", "play", player, f"out/{made.name}/{MASTERS[preset]}")
        assert complaints(made, told) == [], f"{made.name}: {told}"
    record_property("judged", (player, len(cases)))


def complaints(made: Made, told: Any) -> list[str]:
    shown = made.origin.video
    assert shown
    found = [*told["errors"], *([] if told.get("ended") else ["it does not play to its end"])]
    if len(told["buffered"]) != 1 or told["buffered"][0][0] > 0.1 or told["buffered"][0][1] < told["seconds"] - 0.1:
        found.append("what is buffered has holes")
    if abs((told["seconds"] or 0) - made.origin.seconds) > 0.15:
        found.append(f"it lasts {told['seconds']} s instead of {made.origin.seconds}")
    if made.source.name != UNEVEN and abs(told["frames"] - len(shown.times)) > 1:
        found.append(f"{told['frames']} frames of {len(shown.times)}")
    if told.get("rungs", 0) > 1 and made.origin.seconds > 3 and len({*told["sizes"]}) < told["rungs"]:
        found.append(f"of {told['rungs']} sizes {told['sizes']} were seen")
    if len(made.origin.audio) > 1 and {name[:2] for name in told.get("sounds", [])} != {name[:2] for name in LANGUAGES}:
        found.append(f"sounds are {told.get('sounds')}")
    return found


def of_third_second(folder: Path) -> list[Path]:
    return [*folder.rglob("index2.m4s"), *folder.rglob("chunk-*-00003.m4s")]


def without_one(folder: Path) -> None:
    for segment in of_third_second(folder):
        segment.unlink()


def with_one_twice(folder: Path) -> None:
    for segment in of_third_second(folder):
        before = segment.name.replace("index2", "index1").replace("00003", "00002")
        segment.write_bytes(segment.with_name(before).read_bytes())


def misled(folder: Path) -> None:
    """Its manifest names another codec."""
    for manifest in (*folder.glob("*.m3u8"), *folder.glob("*.mpd")):
        manifest.write_text(re.sub(r"avc1\.\w+", "hev1.1.6.L93.B0", manifest.read_text()))


FAULTS = [
    pytest.param(player, preset, fault, id=f"{player}-{preset}-{fault.__name__}")
    for player, preset in PLAYS
    for fault in (without_one, with_one_twice, misled)
    if (player, preset, fault) != ("shaka", "hls", with_one_twice)  # it places segments by their order alone
]


@pytest.mark.parametrize(("player", "preset", "fault"), FAULTS)
def test_a_player_finds_a_fault(
    stage: Stage, outputs: list[Made], player: str, preset: str, fault: Callable[[Path], None], tmp_path: Path
) -> None:
    made = next(made for made in of_kind(outputs, preset) if made.source.name == "serial.mp4")
    copy = copied(made, tmp_path)
    fault(copy)
    (stage.folder / f"{player}-{preset}-{fault.__name__}").symlink_to(copy)
    address = f"{player}-{preset}-{fault.__name__}/{MASTERS[preset]}"
    assert complaints(made, stage.call("players.js", "play", player, address))


# Decoders


def decoded(stage: Stage, made: Made, address: str) -> list[str]:
    """What is wrong with what WebCodecs make of it."""
    try:
        tracks = stage.call("decoders.js", "decode", address)
    except Error as error:
        return [error.message]
    found = [f"{track['backwards']} frames go backwards" for track in tracks if track["backwards"]]
    shown = [track["frames"] for track in tracks if track["type"] == "video" and known(track["codec"])]
    if made.seen.video and shown and shown != [len(made.seen.video.times)]:
        found.append(f"{shown} frames of {len(made.seen.video.times)}")
    heard = [track for track in tracks if track["type"] == "audio" and track["codec"] != "ac3"]
    for before, after in zip(made.seen.audio, heard, strict=False):
        if after["end"] is None or abs(after["end"] - before.end) > 0.1:
            found.append(f"sound ends at {after['end']} s instead of {before.end}")
    return found


def known(codec: str | None) -> bool:
    return codec not in {None, *UNKNOWN}


def test_a_browser_decodes_every_frame(
    stage: Stage, outputs: list[Made], record_property: Callable[[str, object], None]
) -> None:
    cases = [made for made in outputs if made.path.suffix in PLAYED | {".mkv"}]
    wrong = {made.name: found for made in cases if (found := decoded(stage, made, f"out/{made.name}"))}
    record_property("judged", ("WebCodecs behind mediabunny", len(cases)))
    assert wrong == {}


def played(made: Made, told: Any) -> list[str]:
    """What is wrong with what a page plays."""
    found = [told["error"]] if told["error"] else []
    if told["seconds"] is None or abs(told["seconds"] - made.seen.seconds) > 0.1:
        found.append(f"it lasts {told['seconds']} s instead of {made.seen.seconds}")
    frames = len(made.seen.video.times) if made.seen.video and known(made.preset.encoder) else 0
    return found if told["frames"] == frames else [*found, f"{told['frames']} frames of {frames}"]


def test_a_page_plays_every_film_and_sound_to_its_end(
    stage: Stage, outputs: list[Made], record_property: Callable[[str, object], None]
) -> None:
    cases = [made for made in outputs if made.path.suffix in PLAYED and made.name != "dvd_remux-mp4.mp4"]  # MPEG-2
    addresses = [f"out/{made.name}" for made in cases]
    told = stage.call("decoders.js", "playAll", addresses)
    wrong = {made.name: found for made, one in zip(cases, told, strict=True) if (found := played(made, one))}
    record_property("judged", ("Chromium's <video>", len(cases)))
    assert wrong == {}


def looked_at(stage: Stage, made: Made, address: str) -> list[str]:
    """What is wrong with what a browser shows of a picture, or an animation."""
    try:
        told = stage.call("decoders.js", "look", address, PICTURES[Path(address).suffix])
    except Error as error:
        return [error.message]
    shown = made.origin.video
    assert shown
    if address.endswith(".jpg"):
        return [] if told["frames"] == 1 else [f"{told['frames']} frames"]
    found = [] if abs(told["seconds"] - (shown.end - shown.start)) < 0.15 else [f"it lasts {told['seconds']} s"]
    frames = len(made.seen.video.times) if address.endswith(".gif") and made.seen.video else told["frames"]
    return found if told["frames"] == frames > 1 else [*found, f"{told['frames']} frames of {frames}"]


def test_a_browser_shows_every_picture_and_animation(
    stage: Stage, outputs: list[Made], record_property: Callable[[str, object], None]
) -> None:
    cases = [
        (made, f"out/{path.relative_to(made.path.parent)}")
        for made in outputs
        for path in ([made.path] if made.path.is_file() else sorted(made.path.rglob("*")))
        if path.suffix in PICTURES
    ]
    wrong = {address: found for made, address in cases if (found := looked_at(stage, made, address))}
    record_property("judged", ("Chromium's ImageDecoder", len(cases)))
    assert wrong == {}


@pytest.mark.parametrize(
    ("preset", "how"),
    [
        ("webm-720p", spoilt(0.5, 4000)),
        ("av1-720p", cut(0.8)),
        ("h264-480p", cut(0.8)),
        ("opus", cut(0.6)),
        ("gif", cut(0.6)),
        ("webp", cut(0.6)),
        ("poster", cut(0.6)),
    ],
)
def test_a_browser_finds_a_fault(stage: Stage, outputs: list[Made], preset: str, how: Callable[[bytes], bytes]) -> None:
    made = of_kind(outputs, preset)[0]
    planted = stage.folder / f"planted-{made.name}"
    planted.write_bytes(how(made.path.read_bytes()))
    judge = looked_at if planted.suffix in PICTURES else decoded
    assert judge(stage, made, planted.name)
    if planted.suffix in PLAYED:
        (told,) = stage.call("decoders.js", "playAll", [planted.name])
        assert played(made, told)
