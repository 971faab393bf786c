"""Whole batches against what people do by hand: a shell loop over ffmpeg, and `xargs -P` with a process per core.

All contestants make the same outputs with the same encoder settings, one after the other within each round, and each
is the first of some round; the frames that each made are counted and compared by SSIM with the shell loop's. A ratio
is the median of those within each round, since a shared machine's speed changes from one to the next.
"""

from __future__ import annotations

import math
import os
import re
import resource
import shlex
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import imageio_ffmpeg

from bench.clips import make_film
from bench.daemons import Daemon, daemon
from bench.rounds import ratio, turned
from daemon.media.describe import read_media
from daemon.media.model import Media
from daemon.models import VariationRequest
from daemon.presets.library import Library
from daemon.recipes.command import Output, command, plan

SECONDS = 30  # of the film that the batches are cut from
CORES = len(os.sched_getaffinity(0))
ROUNDS = 5
SAME = 0.98  # SSIM above which two encodes of one picture are the same work


class Batch(NamedTuple):
    """What is to be made: every source in every variation, written as in a job."""

    name: str
    sources: tuple[Path, ...]
    variations: tuple[dict[str, Any], ...]


class Took(NamedTuple):
    """Seconds on the clock and of CPU; by whom the latter were used, where there is more than one.

    `beside` are those on the clock in which nothing was encoded, where there is but one encode.
    """

    wall: float
    cpu: float
    users: Mapping[str, float] = {}
    beside: float | None = None


class Encode(NamedTuple):
    source: Path
    media: Media
    preset: str
    parameters: dict[str, Any]

    def argv(self, path: Path, threads: int) -> list[str]:
        output = Output(preset=self.preset, parameters=self.parameters, path=str(path))
        return command(str(self.source), self.media, [output], threads)

    def by_hand(self, path: Path, threads: int | None) -> list[str]:
        """What a person writes: `rotate` for a turned picture, and the encoder's own number of threads (None)."""
        argv = self.argv(path, threads or 1)
        if self.preset == "refresh":
            argv = [_with_rotate(word, self) for word in argv]
        return argv if threads else list(_without_threads(argv))


def _with_rotate(word: str, encode: Encode) -> str:
    size = plan(encode.media, encode.preset, encode.parameters).video
    assert size is not None
    (width, height), angle = size, encode.parameters["rotation"]
    zoom = math.cos(angle) + math.sin(angle) * max(width / height, height / width)
    turn = f"scale={round(width * zoom)}:{round(height * zoom)},rotate={angle}:ow={width}:oh={height}"
    return re.sub(r"perspective=[^\[]*", turn, word)


def _without_threads(argv: Sequence[str]) -> Iterator[str]:
    words = iter(argv)
    for word in words:
        if word in {"-threads", "-filter_complex_threads"}:
            next(words)
        else:
            yield word


# The contestants: each makes the batch in a folder, outputs numbered in the order of `encodes`


def loop(encodes: Sequence[Encode], folder: Path) -> Took:
    """One ffmpeg after the other, each with as many threads as it likes."""
    return _by_shell([encode.by_hand(folder / f"{n}", None) for n, encode in enumerate(encodes)], folder, 1)


def xargs(encodes: Sequence[Encode], folder: Path) -> Took:
    """One ffmpeg with one thread for each core."""
    return _by_shell([encode.by_hand(folder / f"{n}", 1) for n, encode in enumerate(encodes)], folder, CORES)


def bare(encodes: Sequence[Encode], folder: Path) -> Took:
    """The commands that ffspool itself would give, one after the other."""
    return _by_shell([encode.argv(folder / f"{n}", CORES) for n, encode in enumerate(encodes)], folder, 1)


def _by_shell(commands: Sequence[list[str]], folder: Path, at_once: int) -> Took:
    scripts = [folder / f"{number}.sh" for number in range(len(commands))]
    for script, argv in zip(scripts, commands, strict=True):
        script.write_text(f"exec {shlex.join([imageio_ffmpeg.get_ffmpeg_exe(), *argv[1:]])} 2>/dev/null >/dev/null\n")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(
        ["xargs", "-0", "-n1", f"-P{at_once}", "sh"], input="\0".join(map(str, scripts)), text=True, check=True
    )
    took = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Took(took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def ffspool(batch: Batch, folder: Path, **settings: str) -> Took:
    """A daemon that runs already, from the POST to the last completed variation; the daemon's own CPU counts."""
    with daemon(folder, FFSPOOL_SOURCE_ROOTS=str(batch.sources[0].parent), FFSPOOL_NICE="0", **settings) as running:
        running.settle()
        spec = {"sources": [{"path": str(source)} for source in batch.sources], "variations": batch.variations}
        before, began = _cpu_seconds(running), time.perf_counter()
        job = running.client.post("/api/jobs", json=spec).raise_for_status().json()["id"]
        ended = running.ended(job)
        wall = time.perf_counter() - began
        used = {user: seconds - before[user] for user, seconds in _cpu_seconds(running).items()}
        assert ended["completed_variations"] == ended["total_variations"], ended["error"]
        made = [variation["id"] for source in ended["sources"] for variation in source["variations"]]
        for number, variation in enumerate(made):
            data = running.client.get(f"/api/jobs/{job}/variations/{variation}/download").raise_for_status().content
            (folder / f"{number}").write_bytes(data)
        beside = wall - _elapsed(running, job, made[0]) if len(made) == 1 else None
        return Took(wall, sum(used.values()), used, beside)


def _elapsed(running: Daemon, job: str, variation: str) -> float:
    """Seconds that the encoder says it worked; it does not count its own start."""
    log = running.client.get(f"/api/jobs/{job}/variations/{variation}/log").raise_for_status().text
    hours, minutes, seconds = re.findall(r"elapsed=(\d+):(\d+):([\d.]+)", log)[-1]
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _cpu_seconds(running: Daemon) -> dict[str, float]:
    first, *others = running.family()
    itself, its_children = first.cpu_times()[:2], first.cpu_times()[2:4]
    readers = [process for process in others if "daemon.media.probe_server" in process.cmdline()]
    return {
        "encoders": sum(its_children),
        "readers of media": sum(sum(process.cpu_times()[:4]) for process in readers),
        "daemon": sum(itself),
    }


# Rounds


def compete(batch: Batch, rounds: int = ROUNDS) -> None:
    """Runs the contestants in turn, prints what they took and how alike their outputs are."""
    encodes = list(_encodes(batch))
    contestants: dict[str, Callable[[Path], Took]] = {
        "shell loop": lambda folder: loop(encodes, folder),
        "xargs -P": lambda folder: xargs(encodes, folder),
        "own commands": lambda folder: bare(encodes, folder),
        "ffspool": lambda folder: ffspool(batch, folder),
    }
    if len(encodes) == 1:
        del contestants["xargs -P"]  # a loop that has but one thread
    times: dict[str, list[Took]] = {name: [] for name in contestants}
    likeness: list[float] = []
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folders = {contestant: Path(name) / contestant.replace(" ", "-") for contestant in contestants}
            for contestant in turned(contestants, number):
                folders[contestant].mkdir()
                times[contestant].append(contestants[contestant](folders[contestant]))
            if not likeness:
                first, *others = folders.values()
                likeness = [alike for other in others for alike in _likeness(first, other, len(encodes))]
    _report(batch, len(encodes), times, min(likeness))


def _encodes(batch: Batch) -> Iterator[Encode]:
    requests = [VariationRequest(entry["preset"], _overrides(entry)) for entry in batch.variations]
    wanted = Library().expand(requests)
    for source in batch.sources:
        media = read_media(str(source))
        for want in wanted:
            yield Encode(source, media, want.preset, want.parameters)


def _overrides(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != "preset"}


def _likeness(one: Path, other: Path, count: int) -> Iterator[float]:
    return (_ssim(one / f"{number}", other / f"{number}") for number in range(count))


def _ssim(one: Path, other: Path) -> float:
    """Of two videos with equally many frames; raises where they differ in number or are not alike."""
    frames = {sum(1 for _ in _packets(path)) for path in (one, other)}
    if len(frames) != 1:
        raise AssertionError(f"{one} and {other} have {frames} frames")
    compare = ["-i", str(one), "-i", str(other), "-lavfi", "ssim", "-f", "null", "-"]
    said = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), *compare], capture_output=True, text=True, check=True
    ).stderr
    alike = float(re.findall(r"All:([0-9.]+)", said)[-1])
    if alike < SAME:
        raise AssertionError(f"{one} and {other} are not the same work: SSIM {alike}")
    return alike


def _packets(path: Path) -> Iterator[Any]:
    import av

    with av.open(str(path)) as container:
        yield from (packet for packet in container.demux(video=0) if packet.size)


def _report(batch: Batch, encodes: int, times: dict[str, list[Took]], likeness: float) -> None:
    ours = _median(times["ffspool"])
    print(f"{batch.name}: {encodes} encodes, alike by SSIM {likeness:.4f} or more")
    floors = list[str]()
    for name, took in times.items():
        clock = [one.wall for one in took]
        wall = ratio((one.wall for one in times["ffspool"]), clock)
        cpu = ratio((one.cpu for one in times["ffspool"]), (one.cpu for one in took))
        floor = ratio(map(_least, times["ffspool"]), clock)
        told = _median(took)
        print(
            f"  {name:13} {told.wall:6.2f} s, {told.cpu:6.2f} s of CPU; "
            f"ffspool takes {wall:.2f} of its time, {cpu:.2f} of its CPU"
        )
        if name != "ffspool":
            floors.append(f"{floor:.2f} of {name}")
    print(
        f"  its CPU: {', '.join(f'{user} {seconds:.2f} s' for user, seconds in ours.users.items())}; "
        f"{ours.cpu / ours.wall:.2f} of {CORES} cores were busy\n"
        f"  its encoders alone, on cores that are never idle, would take {_least(ours):.2f} s: {', '.join(floors)}"
    )
    if ours.beside is not None:
        print(
            f"  {ours.beside:.2f} s of it are the daemon's and the encoder's own start, whatever the film's length: "
            f"1 % of an encode of {ours.beside * 100:.0f} s"
        )


def _least(ours: Took) -> float:
    """Seconds that its encoders would take if no core were ever idle, and nothing else on them."""
    return ours.users["encoders"] / CORES


def _median(took: Sequence[Took]) -> Took:
    users = {user: statistics.median(one.users[user] for one in took) for user in took[0].users}
    beside = [one.beside for one in took if one.beside is not None]
    return Took(
        wall=statistics.median(one.wall for one in took),
        cpu=statistics.median(one.cpu for one in took),
        users=users,
        beside=statistics.median(beside) if beside else None,
    )


# The batches


def batches(folder: Path) -> Iterator[Batch]:
    """Cuts of one film: looks of one clip, a ladder, many short clips, one that is long beside them."""
    film = make_film(folder / "film.mp4", SECONDS)
    looks = {"preset": "refresh", "count": 5, "seed": "bench"}
    yield Batch("5 refresh variations", (_cut(film, folder / "looks.mp4", 20, 3),), (looks,))
    rungs = tuple({"preset": "h264-720p", "short_side": side} for side in (720, 480, 360, 240))
    yield Batch("ladder of 4", (_cut(film, folder / "ladder.mp4", 20, 8),), rungs)
    short = tuple(_cut(film, folder / f"short{number}.mp4", number, 0.5) for number in range(20))
    yield Batch("20 short clips × 2", short, ({"preset": "h264-720p"}, {"preset": "h264-480p"}))
    yield Batch("one long file", (_cut(film, folder / "long.mp4", 0, 15),), ({"preset": "h264-720p"},))


def _cut(film: Path, path: Path, begin: float, seconds: float) -> Path:
    cut = ["-ss", str(begin), "-t", str(seconds), "-i", str(film), "-c:v", "libx264", "-crf", "16"]
    encode = [*cut, "-preset", "veryfast", "-c:a", "copy", "-y", str(path)]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *encode], check=True)
    return path


def batch(rounds: int = ROUNDS) -> None:
    """Prints every batch's times and ratios."""
    with tempfile.TemporaryDirectory() as name:
        for one in batches(Path(name)):
            compete(one, rounds)


if __name__ == "__main__":
    batch()
