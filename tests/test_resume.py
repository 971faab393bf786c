"""An encode that was interrupted goes on where it was, and comes to what it would have come to."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import pytest
from conftest import Daemon, slowed, told, wait_until, wrapped
from msgspec.structs import asdict, replace
from stored import add_job, claim, in_store, local_engine
from surroundings import thorough
from test_cli_verbs import ffspool, printed

from daemon.database.store import Store
from daemon.encode.task import Ended, Order, Progress, Report, Started, Task
from daemon.media import cut, describe, prober
from daemon.media.model import Unsure
from daemon.models import SourceFile, VariationRequest, Wanted, new_id
from daemon.paths import Paths
from daemon.presets.library import Library
from daemon.recipes.pieces import SOUND
from daemon.recipes.recipe import Begin, Piece
from daemon.scheduling import claims, piece_rows
from daemon.states import State

Start = Callable[..., Daemon]

OF_THE_MUXER = {"encoder", "duration"}
SLOW = {"preset": "h264-480p", "speed": "slow"}


@pytest.fixture(scope="module")
def unhurried(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Slow enough to be met in the midst of a film, whatever the host."""
    return slowed(ffmpeg, tmp_path_factory.mktemp("unhurried"), rate=6, burst=0)


KILLED = Unsure(pictures=1, seconds=0.0)  # a piece whose encoder was, of which nothing written is doubtful


@pytest.fixture(scope="module")
def film(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cuts every two seconds, where encoders put key frames; its picture begins a while after its sound."""
    return make_film(ffmpeg, tmp_path_factory.mktemp("film") / "film.mkv", 24)


def make_film(ffmpeg: str, path: Path, seconds: int) -> Path:
    picture = f"testsrc2=size=320x180:rate=25:duration={seconds},negate=enable='lt(mod(t,4),2)',setpts=PTS+0.2/TB"
    inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}"]
    told = ["-metadata", "title=Film", "-metadata:s:a:0", "comment=Said"]
    how = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"]
    subprocess.run([ffmpeg, "-v", "error", *inputs, *told, *how, "-y", str(path)], check=True)
    return path


def times(path: Path) -> list[float]:
    """When each picture is shown, in seconds, all of them decoded."""
    with av.open(str(path)) as container:
        return [float(frame.time) for frame in container.decode(video=0) if frame.time is not None]


def interrupt(daemon: Daemon, job: Any, percent: float) -> None:
    """Kills the daemon once so much of the first variation is encoded."""
    wait_until(lambda: (variation_of(daemon, job)["progress"] or 0.0) >= percent, f"{percent} % of it")
    daemon.stop(signal.SIGKILL)


def variation_of(daemon: Daemon, job: Any) -> Any:
    [variation, *_] = daemon.job(job["id"])["sources"][0]["variations"]
    return variation


def output(daemon: Daemon, job: Any, folder: Path) -> Path:
    done = daemon.wait_for(job["id"])
    [variation] = done["sources"][0]["variations"]
    assert variation["status"] == "completed", variation["error"]
    path = folder / f"{job['id']}.out"
    path.write_bytes(daemon.client.get(f"/api/jobs/{job['id']}/variations/{variation['id']}/download").content)
    return path


def costs_learnt(daemon: Daemon) -> int:
    with closing(sqlite3.connect(daemon.state_dir / "ffspool.db")) as database:
        return int(database.execute("SELECT count(*) FROM costs").fetchone()[0])


@pytest.mark.thorough  # `tests/faults` interrupts films in the selection
def test_a_film_goes_on_after_its_daemon_was_killed(start_daemon: Start, film: Path, tmp_path: Path) -> None:
    daemon = start_daemon(FFSPOOL_RESUME_FROM="0")
    job = daemon.submit(film, spec={"variations": [SLOW]})
    interrupt(daemon, job, 35)
    daemon.start()
    interrupt(daemon, job, 70)
    daemon.start()
    made = output(daemon, job, tmp_path)
    assert variation_of(daemon, job)["resumed_seconds"] >= 10.0
    assert costs_learnt(daemon) == 0  # the rest of a film tells nothing of what the whole takes
    undisturbed = output(daemon, daemon.submit(film, spec={"variations": [SLOW]}), tmp_path)
    assert_alike(made, undisturbed)


def test_what_a_cancel_keeps_a_retry_goes_on_with(start_daemon: Start, film: Path, tmp_path: Path) -> None:
    """Be it that its source was away at one before."""
    source = Path(shutil.copy2(film, tmp_path))
    daemon = start_daemon(FFSPOOL_RESUME_FROM="0", FFSPOOL_SOURCE_ROOTS=str(tmp_path))
    job = daemon.client.post("/api/jobs", json={"sources": [{"path": str(source)}], "variations": [SLOW]}).json()
    wait_until(lambda: (variation_of(daemon, job)["progress"] or 0.0) >= 50, "half of it")
    receipt = printed("cancel", job["id"], "--keep", env=daemon.env)
    assert receipt["status"] == "cancelled"
    [kept] = receipt["kept"]
    assert kept["seconds"] >= 8.0
    assert "what is encoded of it is kept for a retry" in ffspool("show", job["id"], env=daemon.env).stdout
    assert kept["bytes"] == sum(map(with_sound, daemon.parts()))  # which is none, of a piece that was cut off
    assert daemon.client.get("/api/stats").json()["disk"]["pieces_bytes"] == kept["bytes"]
    daemon.stop()
    daemon.env["FFSPOOL_RESUME_FROM"] = "86400"  # as when it is predicted to take less now: pieces are there
    daemon.start()  # it sweeps at once
    daemon.client.post("/api/queue/pause")
    assert daemon.client.post(f"/api/jobs/{job['id']}/retry").status_code == 200
    source.rename(tmp_path / "away")
    daemon.client.post("/api/queue/resume")
    assert daemon.wait_for(job["id"])["status"] == "failed"
    assert "no longer on the disk" in variation_of(daemon, job)["error"]
    assert daemon.parts() != []
    (tmp_path / "away").rename(source)
    assert daemon.client.post(f"/api/jobs/{job['id']}/retry").status_code == 200
    assert daemon.wait_for(job["id"])["status"] == "completed"
    assert variation_of(daemon, job)["resumed_seconds"] == kept["seconds"]
    assert daemon.parts() == []


def with_sound(piece: Path) -> int:
    """Its bytes, and those of the sound beside it."""
    return sum(file.stat().st_size for file in piece.parent.glob(f"{piece.name}*"))


def test_a_cancel_removes_what_is_encoded_of_a_film_that_waits(start_daemon: Start, film: Path) -> None:
    daemon = start_daemon(FFSPOOL_RESUME_FROM="0")
    job = daemon.submit(film, spec={"variations": [SLOW]})
    wait_until(lambda: (variation_of(daemon, job)["progress"] or 0.0) >= 30, "a third of it")
    daemon.client.post(f"/api/jobs/{job['id']}/pause")
    daemon.stop(signal.SIGKILL)
    told(daemon, "UPDATE pieces SET seconds = 12")
    daemon.start()
    waits = variation_of(daemon, job)
    assert (waits["status"], waits["progress"], daemon.job(job["id"])["progress"]) == ("queued", 25.0, 25.0)
    [left] = daemon.parts()
    size = with_sound(left)
    receipt = daemon.client.post(f"/api/jobs/{job['id']}/cancel").json()
    assert (receipt["kept"], receipt["bytes_freed"]) == ([], size)
    assert daemon.parts() == []


def test_a_cancel_lets_go_of_what_one_before_kept(start_daemon: Start, film: Path) -> None:
    daemon = start_daemon(FFSPOOL_RESUME_FROM="0")
    job = daemon.submit(film, spec={"variations": [SLOW]})
    wait_until(lambda: (variation_of(daemon, job)["progress"] or 0.0) >= 30, "a third of it")
    kept = daemon.client.post(f"/api/jobs/{job['id']}/cancel", params={"keep_partial": True}).json()
    [left] = daemon.parts()
    size = with_sound(left)
    freed = daemon.client.post(f"/api/jobs/{job['id']}/cancel").json()
    assert ([one["bytes"] for one in kept["kept"]], freed["kept"], freed["bytes_freed"]) == ([size], [], size)
    assert daemon.parts() == []


@pytest.mark.parametrize("fails", ["always", "once"])
def test_a_film_whose_pieces_do_not_fit_is_encoded_whole(
    start_daemon: Start, clip: Path, tmp_path: Path, fails: str
) -> None:
    """The encoder is one that joins nothing, or not at once."""
    fussy = tmp_path / "ffmpeg"
    real = imageio_ffmpeg.get_ffmpeg_exe()
    tries = "[ -e tried ] ||" if fails == "once" else ""
    refusal = f'{tries} {{ : > tried; echo "no such join" >&2; exit 1; }}'
    fussy.write_text(f'#!/bin/sh\ncase "$*" in *.pieces*) {refusal};; esac\nexec {real} "$@"\n')
    fussy.chmod(0o755)
    daemon = start_daemon(FFSPOOL_RESUME_FROM="0", **wrapped(fussy, real))
    daemon.client.post("/api/queue/pause")
    job = daemon.submit(clip, spec={"variations": [{"preset": "h264-480p"}]})
    daemon.stop()
    told(daemon, f"UPDATE variations SET retries = {claims.MAX_RETRIES}")  # of encoders that something killed before
    daemon.start()
    daemon.client.post("/api/queue/resume")
    assert daemon.wait_for(job["id"])["status"] == "completed", variation_of(daemon, job)["error"]
    if fails == "once":
        assert (variation_of(daemon, job)["attempts"], variation_of(daemon, job)["begun_anew"]) == (1, None)
        return
    assert variation_of(daemon, job)["attempts"] == 2
    assert "encoded from the beginning" in daemon.log()
    assert "no such join" in variation_of(daemon, job)["begun_anew"]


def test_an_interruption_of_the_join_costs_nothing_that_was_encoded(
    start_daemon: Start, clip: Path, tmp_path: Path
) -> None:
    """The encoder is one that at first stands still there."""
    standing, real = tmp_path / "ffmpeg", imageio_ffmpeg.get_ffmpeg_exe()
    stands = "[ -e joining ] || { : > joining; read ending; exit 1; }"
    standing.write_text(f'#!/bin/sh\ncase "$*" in *.pieces*) {stands};; esac\nexec {real} "$@"\n')
    standing.chmod(0o755)
    daemon = start_daemon(FFSPOOL_RESUME_FROM="0", **wrapped(standing, real))
    job = daemon.submit(clip, spec={"variations": [{"preset": "h264-480p"}]})
    wait_until(lambda: [*daemon.state_dir.rglob("joining")], "its join")
    encoded_all = variation_of(daemon, job)["progress"]
    daemon.client.post(f"/api/jobs/{job['id']}/pause")
    daemon.stop(signal.SIGKILL)
    daemon.start()
    waits = variation_of(daemon, job)
    assert (waits["status"], waits["progress"]) == ("queued", encoded_all)
    [left] = daemon.parts()
    (left.parent / "joining").touch()
    daemon.client.post(f"/api/jobs/{job['id']}/resume")
    assert daemon.wait_for(job["id"])["status"] == "completed", variation_of(daemon, job)["error"]
    done = variation_of(daemon, job)
    assert (done["attempts"], done["begun_anew"], done["resumed_seconds"]) == (2, None, 2.0)
    log = daemon.client.get(f"/api/jobs/{job['id']}/variations/{done['id']}/log").text
    assert log.count("-c:v libx264") == 1


@pytest.mark.thorough
def test_pieces_of_two_encoders_are_not_joined(start_daemon: Start, film: Path, tmp_path: Path) -> None:
    """Of one that tells the same of itself meanwhile, but has decoders know something else before."""
    fussy, real = tmp_path / "ffmpeg", imageio_ffmpeg.get_ffmpeg_exe()
    fussy.write_text(f"""#!/bin/sh
case "$*" in *2.piece*) other=40;; esac
for word do
    shift
    case "$before" in -crf*) word=${{other:-$word}};; esac
    before=$word
    set -- "$@" "$word"
done
exec {real} "$@"
""")
    fussy.chmod(0o755)
    daemon = start_daemon(FFSPOOL_RESUME_FROM="0", **wrapped(fussy, real))
    job = daemon.submit(film, spec={"variations": [SLOW]})
    interrupt(daemon, job, 60)
    daemon.start()
    assert daemon.wait_for(job["id"])["status"] == "completed", variation_of(daemon, job)["error"]
    assert "encoded in another way" in (variation_of(daemon, job)["begun_anew"] or "")


def test_nothing_is_held_against_a_film_that_got_on(tmp_path: Path) -> None:
    doubted = asdict(claims.Verdict(status=State.QUEUED, error=None, retries=3, crashes=2))

    async def work(store: Store) -> list[tuple[int, int]]:
        await store.write(lambda t: add_job(t, "a"))
        found = list[tuple[int, int]]()
        for begins in (piece_rows.GOT_ON, piece_rows.GOT_ON + 1.0):
            mine = await store.write(claim)
            await store.write(lambda t, seq=mine.seq: t.run("abandon", variation=seq, now=1.0, **doubted))
            mine = await store.write(claim)
            going_on = partial(piece_rows.record_piece, variation=mine.seq, begins=begins, begun_with="")
            await store.write(partial(going_on, number=mine.attempt, attempt=mine.attempt))
            await store.write(partial(piece_rows.record_resumed, variation=mine.seq, seconds=begins))
            row = await store.read(lambda t: t.one("variation_of_job", job="a", id="a"))
            assert row
            found.append((row["retries"], row["crashes"]))
            await store.write(lambda t, seq=mine.seq: t.run("abandon", variation=seq, now=1.0, **doubted))
        return found

    paths = Paths(tmp_path / "state")
    paths.prepare()
    assert in_store(paths, work) == [(0, 0), (3, 0)]


def test_a_film_that_got_on_lets_others_start_beside_it(start_daemon: Start, film: Path, clip: Path) -> None:
    daemon = start_daemon("--slots", "2", FFSPOOL_RESUME_FROM="0")
    suspect = daemon.submit(film, spec={"variations": [SLOW]})
    interrupt(daemon, suspect, 30)
    told(daemon, f"UPDATE variations SET crashes = {claims.SUSPECT_AFTER}")
    daemon.start()
    wait_until(lambda: daemon.job(suspect["id"])["status"] == "processing", "it to go on")
    other = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    assert (other["status"], daemon.job(suspect["id"])["status"]) == ("completed", "processing")


def assert_alike(one: Path, other: Path) -> None:
    """The same pictures at the same times, and all else."""
    assert times(one) == pytest.approx(times(other), abs=0.001)
    first, second = describe.read_media(str(one)), describe.read_media(str(other))
    assert first.video
    assert second.video
    assert (first.audio, first.chapters, first.subtitles) == (second.audio, second.chapters, second.subtitles)
    assert (first.video, first.created) == (second.video, second.created)


# Beneath the daemon


def encoded(ffmpeg: str, one: Task, killed_at: float | None = None, by: signal.Signals = signal.SIGKILL) -> Ended:
    """Runs a task to its end, which is when so many seconds of the film are encoded."""

    async def main() -> Ended:
        engine = local_engine(ffmpeg)
        await engine.start()
        pids = list[int]()

        def on_report(report: Report) -> None:
            if isinstance(report, Started):
                pids.append(json.loads(report.handle)["pid"])
            elif isinstance(report, Progress) and killed_at is not None and report.seconds >= killed_at and pids:
                os.kill(pids.pop(), by)

        try:
            return await engine.run(one, on_report)
        finally:
            await engine.close()

    return asyncio.run(main())


def task(source: Path, part: Path, wanted: Wanted, **how: Any) -> Task:
    order = Order(
        variation="v",
        attempt=1,
        preset=wanted.preset,
        parameters=wanted.parameters,
        part=str(part),
        log=str(part.with_name("log")),
        **{"threads": 2, **how},
    )
    media = describe.read_media(str(source))
    return Task(id=new_id(), source=SourceFile(path=str(source)), source_name=source.name, media=media, orders=(order,))


def packets(path: Path) -> list[list[tuple[int | None, int | None, bytes]]]:
    """Of each stream when its packets are decoded and shown, and what they hold."""
    with av.open(str(path)) as container:
        found: list[list[tuple[int | None, int | None, bytes]]] = [[] for _ in container.streams]
        for packet in container.demux():
            if packet.size:
                found[packet.stream_index].append((packet.dts, packet.pts, bytes(packet)))
        return found


ALSO = {
    "hevc-1080p": {"speed": "veryfast", "short_side": 360},
    "av1-720p": {"speed": "ultrafast"},
    "webm-720p": {"speed": "ultrafast"},
    "refresh": {},
    "vertical-1080p": {"short_side": 240},
}
KINDS = [("h264-480p", {}), *(pytest.param(*kind, marks=pytest.mark.thorough) for kind in ALSO.items())]


def told_of_streams(path: Path) -> list[dict[str, str]]:
    """What is told of the whole, too, which comes first."""
    with av.open(str(path)) as container:
        return [
            {name.lower(): said for name, said in told.metadata.items() if name.lower() not in OF_THE_MUXER}
            for told in (container, *container.streams)
        ]


def whole_piece(path: Path) -> Piece:
    picture, sound = str(path), path.with_name(path.name + SOUND)
    heard = cut.read_piece(str(sound), None).begins if sound.exists() else None
    return Piece(name=path.name, begins=cut.read_piece(picture, None).begins, heard=heard)


VERY_PACKETS = [
    ("h264-480p", {"speed": "ultrafast"}),
    thorough("webm-720p", {"speed": "ultrafast"}),
    *(thorough(preset, ALSO[preset]) for preset in ("hevc-1080p", "av1-720p")),
]


@pytest.mark.parametrize(("preset", "parameters"), VERY_PACKETS)
def test_an_undisturbed_film_in_one_piece_has_the_very_packets_of_a_whole_one(
    ffmpeg: str, tmp_path: Path, preset: str, parameters: dict[str, Any]
) -> None:
    film, [wanted] = (
        make_film(ffmpeg, tmp_path / "film.mkv", 6),
        Library().expand([VariationRequest(preset, parameters)]),
    )
    assert encoded(ffmpeg, task(film, tmp_path / "whole", wanted)).error is None
    assert encoded(ffmpeg, task(film, tmp_path / "1.piece", wanted, begin=Begin())).error is None
    pieces = (whole_piece(tmp_path / "1.piece"),)
    assert encoded(ffmpeg, task(film, tmp_path / "joined", wanted, pieces=pieces)).error is None
    assert packets(tmp_path / "joined") == packets(tmp_path / "whole")
    assert told_of_streams(tmp_path / "joined") == told_of_streams(tmp_path / "whole")
    assert boxes(tmp_path / "joined") == boxes(tmp_path / "whole"), "what players need first stands in front"


def boxes(path: Path) -> list[bytes]:
    """Of an MP4 those that tell where its packets are, and these themselves, in the order in which they stand."""
    content = path.read_bytes()
    return sorted((name for name in (b"moov", b"mdat") if name in content), key=content.index)


def test_a_large_piece_is_given_the_time_that_it_takes_to_be_read(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prober, "TIMEOUT", 0.001)
    monkeypatch.setattr(prober, "SLOWEST", clip.stat().st_size / 10)

    async def main() -> tuple[int, ...]:
        reading = prober.Prober(sandboxed=False)
        try:
            return (await reading.extent(clip)).pictures
        finally:
            await reading.close()

    assert asyncio.run(main()) == (50,)


MORE = ("late-video.ts", "late-video.mp4", "joined.ts", "fps-240.mov", "alpha-vp9.webm")
OF_TRAITS = [
    "late-audio.ts",  # FFmpeg counts from the first stream that it uses
    "no-audio.mp4",  # nothing but what is told of it goes into the join
    *(pytest.param(name, marks=pytest.mark.thorough) for name in MORE),
]


@pytest.mark.parametrize("name", OF_TRAITS)
def test_a_film_in_one_piece_is_as_one_encoded_whole(
    ffmpeg: str, media: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    [wanted] = Library().expand(
        [VariationRequest("webm-720p" if "webm" in name else "h264-480p", {"speed": "ultrafast"})]
    )
    film = media(name)
    assert encoded(ffmpeg, task(film, tmp_path / "whole", wanted)).error is None
    assert encoded(ffmpeg, task(film, tmp_path / "1.piece", wanted, begin=Begin())).error is None
    pieces = (whole_piece(tmp_path / "1.piece"),)
    assert encoded(ffmpeg, task(film, tmp_path / "joined", wanted, pieces=pieces)).error is None
    assert_alike(tmp_path / "joined", tmp_path / "whole")
    assert told_of_streams(tmp_path / "joined") == told_of_streams(tmp_path / "whole")


@pytest.mark.parametrize("preset", ["h264-480p", "webm-720p"])
def test_a_film_in_pieces_of_a_recorder_tells_what_a_whole_one_does(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    """FFmpeg copies to nothing what names the program that wrote it, and when; a track of its own has the timecode."""
    film = tmp_path / "film.mxf"
    recorded = ["-f", "lavfi", "-i", "testsrc2=size=192x108:rate=25:duration=1", "-c:v", "mpeg2video"]
    moment = ["-metadata", "creation_time=2020-02-02T02:02:02Z", "-timecode", "01:00:00:00"]
    subprocess.run([ffmpeg, "-v", "error", *recorded, *moment, str(film)], check=True)
    [wanted] = Library().expand([VariationRequest(preset, {"speed": "ultrafast"})])
    assert encoded(ffmpeg, task(film, tmp_path / "whole", wanted)).error is None
    assert encoded(ffmpeg, task(film, tmp_path / "1.piece", wanted, begin=Begin())).error is None
    joining = task(film, tmp_path / "joined", wanted, pieces=(whole_piece(tmp_path / "1.piece"),))
    assert encoded(ffmpeg, joining).error is None
    assert told_of_streams(tmp_path / "joined") == told_of_streams(tmp_path / "whole")


def test_films_in_pieces_that_share_a_process_are_each_joined(start_daemon: Start, clip: Path) -> None:
    daemon = start_daemon(FFSPOOL_RESUME_FROM="0")
    compared = {"preset": "h264-480p", "quality": "ssim"}
    done = daemon.wait_for(daemon.submit(clip, spec={"variations": [compared, {"preset": "mobile-540p"}]})["id"])
    first, second = done["sources"][0]["variations"]
    for variation in (first, second):
        assert variation["status"] == "completed", variation["error"]
        assert variation["sharing"] == 2
    assert first["quality"]["mean"] > 0.9


def pictures(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray").astype(float) for frame in container.decode(video=0)]


@pytest.mark.thorough
@pytest.mark.parametrize("in_company", [False, True])
def test_a_film_of_every_second_picture_goes_on_with_those(
    ffmpeg: str, film: Path, tmp_path: Path, in_company: bool
) -> None:
    """They are told other times than they had. Another film may need decoding to begin with one that is not of them."""
    thinned, steady = Library().expand(
        [
            VariationRequest("h264-480p", {"speed": "ultrafast", "max_frame_rate": 20}),
            VariationRequest("mobile-540p", {"speed": "ultrafast"}),
        ]
    )
    late = tmp_path / "late.mkv"  # by no multiple of what pictures last
    shift = [
        "-itsoffset",
        "0.7",
        "-i",
        str(film),
        "-i",
        str(film),
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-c",
        "copy",
        str(late),
    ]
    subprocess.run([ffmpeg, "-v", "error", *shift], check=True)
    assert encoded(ffmpeg, task(late, tmp_path / "whole", thinned)).error is None
    [whole, shown] = pictures(tmp_path / "whole"), times(tmp_path / "whole")
    begin = Begin(seconds=shown[150], warm=shown[125] - 0.001)
    one = task(late, tmp_path / "piece", thinned, begin=begin)
    [other] = task(late, tmp_path / "other", steady, begin=Begin(seconds=8.24, warm=6.239)).orders
    if in_company:
        one = replace(one, orders=(*one.orders, replace(other, variation="w")))
    assert encoded(ffmpeg, one).error is None
    rest = pictures(tmp_path / "piece")
    assert len(rest) == len(whole) - 150
    assert max(abs(mine - its).mean() for mine, its in zip(rest, whole[150:], strict=True)) < 1.0


@pytest.mark.thorough
@pytest.mark.parametrize(("preset", "parameters"), KINDS)
def test_a_film_of_pieces_is_like_a_whole_one(
    ffmpeg: str, film: Path, tmp_path: Path, preset: str, parameters: dict[str, Any]
) -> None:
    [wanted] = Library().expand([VariationRequest(preset, parameters)])
    assert encoded(ffmpeg, task(film, tmp_path / "whole", wanted)).error is None
    pieces = made_in_pieces(ffmpeg, film, tmp_path, wanted, (12.0, 18.0))
    assert encoded(ffmpeg, task(film, tmp_path / "joined", wanted, pieces=pieces)).error is None
    assert_alike(tmp_path / "joined", tmp_path / "whole")


def made_in_pieces(
    ffmpeg: str, film: Path, folder: Path, wanted: Wanted, killed: tuple[float, ...]
) -> tuple[Piece, ...]:
    """Encodes a film that is interrupted when so many seconds of it are encoded."""
    pieces, begin = list[Piece](), Begin()
    for moment in (*killed, None):
        path = folder / f"{len(pieces)}.piece"
        encoded(ffmpeg, task(film, path, wanted, begin=begin), killed_at=moment)
        left = cut.read_piece(str(path), KILLED)
        begins, end = begin.seconds if pieces else left.begins, left.cut
        if moment is None:
            pieces.append(Piece(name=path.name, begins=begins))
            break
        assert end
        pieces.append(Piece(name=path.name, begins=begins, lasts=end.seconds, until=end.decoded))
        ends, first = begins + end.seconds, pieces[0].begins
        kept = begin.pictures + end.pictures[0]
        begin = Begin(seconds=ends, warm=begins + end.warm - left.begins, after=ends - first, pictures=kept)
    assert begin.after > killed[0] / 3
    return tuple(pieces)
