"""What is encoded of a film and lies on a disk: it is gone on with as it was written, or not at all."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from contextlib import nullcontext
from math import inf
from pathlib import Path
from typing import Any

import pytest
from conftest import slowed
from downgraded import downgrade
from film_house import Film, House, interrupted, latest
from stored import local_engine
from surroundings import thorough
from test_resume import encoded, task

from daemon.database.file import prepare, target
from daemon.encode import durability, runner
from daemon.encode.durability import is_unchanged, synced
from daemon.encode.task import Durable, Kept, Progress, Report
from daemon.errors import ProofError
from daemon.media.cut import read_piece
from daemon.models import VariationRequest
from daemon.paths import Paths
from daemon.presets.library import Library
from daemon.recipes import command, pieces
from daemon.recipes.pieces import RECIPES
from daemon.recipes.recipe import Begin
from daemon.scheduling.span import DAMAGED, OTHERS, SHORT, VANISHED


@pytest.mark.parametrize("preset", ["h264-480p", thorough("webm-720p"), thorough("hevc-1080p")])
def test_what_is_encoded_has_the_checksum_that_it_had_however_its_muxer_ends(
    ffmpeg: str, small_film: Path, tmp_path: Path, preset: str
) -> None:
    """A muxer that comes to its end writes anew what stands before the film, and behind it where all is."""
    killed, ended = tmp_path / "killed", tmp_path / "ended"
    [wanted] = Library().expand([VariationRequest(preset, {"speed": "ultrafast"})])
    encoded(ffmpeg, task(small_film, killed, wanted, begin=Begin()), killed_at=8.0)
    encoded(ffmpeg, task(small_film, ended, wanted, begin=Begin()))
    before, whole = synced(killed, Kept()), ended.read_bytes()
    assert 0 < before.bytes < len(whole)
    assert killed.read_bytes() != whole[: before.bytes]
    assert is_unchanged(ended, before)
    assert synced(ended, before) == synced(ended, Kept())
    assert synced(ended, before).bytes == len(whole)


SOME = {"speed": "ultrafast"}
ENCODERS = [("h264-480p", SOME), ("hevc-1080p", {**SOME, "short_side": 180})]
ENCODERS += [thorough("hevc-1080p", {**SOME, "short_side": 180, "bit_depth": 10})]
ENCODERS += [thorough("av1-720p", SOME), thorough("webm-720p", SOME)]


@pytest.mark.parametrize(("preset", "parameters"), ENCODERS)
def test_pieces_fit_however_many_threads_made_them(
    ffmpeg: str, clip: Path, tmp_path: Path, preset: str, parameters: dict[str, Any]
) -> None:
    """Which hangs on what else is encoded by then: x265 tells it where decoders look."""
    told = set()
    [wanted] = Library().expand([VariationRequest(preset, parameters)])
    for threads in (1, 2, 12):
        path = tmp_path / f"{threads}.piece"
        encoded(ffmpeg, task(clip, path, wanted, begin=Begin(), threads=threads))
        told.add(read_piece(str(path), None).headers)
    assert len(told) == 1


def damaged(written: bytes, at: int) -> bytes:
    return written[:at] + bytes(byte ^ 0xFF for byte in written[at : at + 16]) + written[at + 16 :]


def test_what_is_encoded_when_a_film_is_paused_is_soon_on_the_disk(
    ffmpeg: str, small_film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pause may outlive the daemon, and what is shown meanwhile is what is known to be there."""
    monkeypatch.setattr(durability, "KEEP_EVERY", 3600.0)
    monkeypatch.setattr(runner, "SAMPLE_EVERY", 0.1)
    [wanted] = Library().expand([VariationRequest("h264-480p", {"speed": "slow"})])
    slow = slowed(ffmpeg, tmp_path, rate=6, burst=0)
    film = task(small_film, tmp_path / "1.piece", wanted, begin=Begin())

    async def main() -> float:
        engine, paused = local_engine(slow["FFSPOOL_FFMPEG"]), asyncio.Event()
        kept = asyncio.get_running_loop().create_future()

        def on_report(report: Report) -> None:
            if isinstance(report, Progress) and report.seconds >= 10:
                paused.set()
            if isinstance(report, Durable) and not kept.done():
                kept.set_result(report.seconds)

        await engine.start()
        running = asyncio.create_task(engine.run(film, on_report))
        try:
            await asyncio.wait_for(paused.wait(), 30)
            await engine.pause(film.id)
            return float(await asyncio.wait_for(kept, 30))
        finally:
            await engine.stop(film.id)
            await running
            await engine.close()

    assert asyncio.run(main()) >= 10.0


DAMAGES = {"none": None, "amid it": 0.4, "at its end": 0.97, "in its header": 0.0}


@pytest.mark.parametrize("where", DAMAGES)
def test_a_film_is_not_gone_on_with_that_is_not_as_it_was_written(house: Film, piece: bytes, where: str) -> None:
    share = DAMAGES[where]

    async def work(house: House) -> tuple[bool, str | None]:
        there = await interrupted(house, piece, None)
        if share is not None:
            there.write_bytes(damaged(piece, max(piece.index(b"mvhd"), int(share * len(piece)))))
        going_on = await house.begins()
        row = await house.row()
        return going_on.spans[0].begin.seconds > 10.0, row["begun_anew"]

    assert house(work) == ((True, None) if share is None else (False, DAMAGED))


def test_a_film_whose_folder_is_gone_altogether_raises_no_alarm_about_the_disk(house: Film, piece: bytes) -> None:
    async def work(house: House) -> str | None:
        shutil.rmtree((await interrupted(house, piece, None)).parent)
        await house.begins()
        return (await house.row())["begun_anew"]

    assert house(work) == VANISHED


@pytest.mark.parametrize("left", [b"", None])
def test_a_film_of_which_nothing_was_synced_yet_says_why_it_begins_anew(house: Film, left: bytes | None) -> None:
    async def work(house: House) -> str | None:
        going_on = await house.begins()
        if left is not None:
            latest(going_on).write_bytes(left)
        await house.ends()
        await house.begins()
        return (await house.row())["begun_anew"]

    assert house(work) == SHORT


def test_what_is_gone_on_with_is_all_on_the_disk_and_joined_as_it_was(
    house: Film, piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows begins with its end, wherever that was when it was synced last."""

    async def work(house: House) -> list[float]:
        there = await interrupted(house, piece, len(piece) // 2)
        first = await house.begins()
        await house.ends()
        monkeypatch.setattr("daemon.scheduling.span.boot_id", lambda: "after a power cut")
        second = await house.begins()
        there.write_bytes(damaged(piece, len(piece) - 100))
        with pytest.raises(ProofError, match=DAMAGED):
            await second.pieces()
        return [film.spans[0].begin.seconds for film in (first, second)]

    first, second = house(work)
    assert first == second > 10.0


@pytest.mark.parametrize("version", [target() - 1, thorough(26)], ids=["the one before", "before checksums"])
def test_a_film_goes_on_where_it_was_after_an_upgrade(house: Film, piece: bytes, tmp_path: Path, version: int) -> None:
    database = Paths(tmp_path / "state").database

    async def before(house: House) -> None:
        await interrupted(house, piece, None)

    async def after(house: House) -> tuple[bool, str | None]:
        going_on = await house.begins()
        row = await house.row()
        return going_on.spans[0].begin.seconds > 10.0, row["begun_anew"]

    house(before)
    downgrade(database, version)
    prepare(database)
    assert house(after) == (True, None)


@pytest.mark.parametrize("other", ["recipes", "words", "encoder"])
def test_a_film_is_begun_anew_where_an_upgrade_would_make_others_of_it(
    house: Film, piece: bytes, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    async def work(house: House) -> tuple[float, bool, str]:
        there = await interrupted(house, piece, None)
        if other == "recipes":
            monkeypatch.setattr("daemon.scheduling.span.RECIPES", RECIPES + 1)
        elif other == "words":
            monkeypatch.setitem(pieces._WRITTEN["mp4"], "flush_packets", 0)
        else:
            monkeypatch.setattr(house.resources, "encoder", "another build")
        going_on = await house.begins()
        row = await house.row()
        return going_on.spans[0].begin.seconds, there.exists(), row["begun_anew"]

    assert house(work) == (0.0, False, OTHERS)


JOINTS = {"none": "N", "one left out": "N+gte(N,100)", "one more at its end": "N"}


@pytest.mark.parametrize("fault", JOINTS)
def test_a_film_with_other_pictures_from_joint_to_joint_is_not_what_was_planned(
    house: Film, piece: bytes, ffmpeg: str, tmp_path: Path, fault: str
) -> None:
    """Two pieces that begin alike, and what they might have come to."""
    part = tmp_path / "part.mp4"

    async def work(house: House) -> None:
        await interrupted(house, piece, None)
        made_of = await house.begins()
        [span] = made_of.spans
        latest(made_of).write_bytes(piece)
        await made_of.finish(span, span.latest)
        pictures = sum(count for (count,) in span.pictures) + ("more" in fault)
        shown = f"color=size=32x32:rate=25,setpts='({JOINTS[fault]})/25/TB'"
        whole = ["-f", "lavfi", "-i", shown, "-fps_mode", "passthrough", "-frames:v", str(pictures), "-c:v", "libx264"]
        await asyncio.to_thread(subprocess.run, [ffmpeg, "-v", "error", *whole, str(part)], check=True)
        [wanted] = Library().expand([VariationRequest("h264-480p", {})])
        await made_of.prove_joints(part, command.plan(house.media, wanted.preset, wanted.parameters))

    with nullcontext() if fault == "none" else pytest.raises(ProofError, match="joined from pieces it has"):
        house(work)


@pytest.mark.parametrize("seconds", [inf, 8.0])
def test_spans_that_leave_something_out_are_not_joined(house: Film, piece: bytes, seconds: float) -> None:
    """What another length of them was set for, or none, since one of them was encoded."""

    async def work(house: House) -> tuple[bool, float, str | None]:
        made = await house.begins()
        latest(made).write_bytes(piece)
        made.spans[0].end(7.0)
        await made.finish(made.spans[0], 1)
        await house.ends()
        vars(house.resources)["span_seconds"] = seconds
        going_on = await house.begins()
        row = await house.row()
        return going_on.whole, going_on.seconds, row["begun_anew"]

    assert house(work) == (False, 0.0, OTHERS)
