"""Damaged files by the thousand, from a seed: `python -m faults.hostile CASES [FOLDER]` in `tests/` prints one line.

Each is a specimen, or a file of the folder, cut, with bits flipped or with a piece of another in it. It has to end in
a clear failure or in an output, while a sound file beside it is encoded as if alone.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from combinations import COMBINATIONS
from conftest import Daemon, make_clip, wait_until
from specimens import SPECIMENS, make

SEED = "ffspool"
BASES = [
    *("plain.mp4", "edit-list.mp4", "fragmented.mp4", "edit-list.mov", "alpha-vp9.webm", "no-cues.webm", "tff.mkv"),
    *("subtitles-ass.mkv", "chapters.mkv", "surround.mkv", "wrapped.ts", "raw.h264", "raw.hevc", "cartoon.avi"),
    *("theora.flv", "theora.ogv", "wmv.wmv", "h263.3gp", "mpeg1.mpg", "alpha.gif", "still.png", "still.webp"),
    *("photo.jpg", "one.heic", "animated.avif", "cover.mp3", "cover.m4a", "album.flac", "voice.ogg", "streamed.wav"),
]
LARGEST = 400_000  # bytes of a file that is damaged: more takes time and finds nothing else
BATCH = 25
CEILING = 300.0  # seconds for one batch, on a busy machine
SECRET = b"canary-7f3a9c51-never-to-be-seen"  # what stands in a file beside the sources
PRESETS: list[dict[str, Any]] = [
    {"preset": "gif", "long_side": 64, "fps": 2, "seconds": 0.5},
    {"preset": "mp3", "bitrate_kbps": 32},
    {"preset": "thumbnail-sheet", "columns": 1, "rows": 1, "tile_long_side": 64},
    {"preset": "h264-480p", "short_side": 120, "speed": "ultrafast", "max_frame_rate": 5},
]
FLAGS = ("--hung-after", "20", "--max-encode-hours", "0.02", "--sandbox", "require", "--retry-delay", "0.5")


@dataclass
class Verdict:
    """What became of the cases, and every promise that was broken, in words."""

    ended: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        cases = sum(self.ended.values())
        refused, encoded = self.ended["failed"], self.ended["completed"]
        return f"hostile media: {cases} cases, {refused} refused, {encoded} encoded, {len(self.violations)} violations"


def damaged(bases: list[bytes], number: int) -> bytes:
    """The case of that number: the same every time."""
    dice = random.Random(f"{SEED}/{number}")
    content = bytearray(dice.choice(bases))
    for _ in range(dice.randint(1, 3)):
        dice.choice([_truncate, _flip, _splice])(content, dice.choice(bases), dice)
    return bytes(content) or b"\0"


def _truncate(content: bytearray, _: bytes, dice: random.Random) -> None:
    del content[dice.randint(1, max(1, len(content))) :]


def _flip(content: bytearray, _: bytes, dice: random.Random) -> None:
    """Mostly in the header, where lengths and sizes stand."""
    for _ in range(dice.randint(1, 64)):
        end = min(len(content), dice.choice([64, 4096, len(content)]))
        content[dice.randrange(max(1, end))] ^= 1 << dice.randrange(8)


def _splice(content: bytearray, other: bytes, dice: random.Random) -> None:
    start, length = dice.randrange(len(other)), dice.choice([4, 64, 4096, 65536])
    at = dice.randint(0, len(content))
    content[at : at + dice.choice([0, length])] = other[start : start + length]


def attack(daemon: Daemon, root: Path, bases: list[bytes], good: Path, numbers: range) -> Verdict:
    """Gives the daemon those cases in batches, each with `good` among them, and looks at what it did.

    `bases` are the files that are damaged; `root` is a source root of the daemon.
    """
    verdict = Verdict()
    (root / "secret").write_bytes(SECRET * 1000)
    for start in range(numbers.start, numbers.stop, BATCH):
        batch = range(start, min(start + BATCH, numbers.stop))
        files = [root / f"case{number}" for number in batch]
        for number, path in zip(batch, files, strict=True):
            path.write_bytes(damaged(bases, number))
        job = _encoded(daemon, [good, *files], PRESETS[start // BATCH % len(PRESETS)])
        verdict.ended.update(_variation(source)["status"] for source in job["sources"][1:])
        verdict.violations += _violations(daemon, job)
        daemon.client.delete(f"/api/jobs/{job['id']}")
        for path in files:
            path.unlink()
    return verdict


def _encoded(daemon: Daemon, files: list[Path], preset: dict[str, Any]) -> Any:
    spec = {"sources": [{"path": str(path)} for path in files], "variations": [preset]}
    answer = daemon.client.post("/api/jobs", json=spec)
    assert answer.status_code == 202, answer.text
    job = answer.json()["id"]
    ended = {"completed", "failed", "cancelled"}
    return wait_until(lambda: (view := daemon.job(job))["status"] in ended and view, "a batch to end", CEILING)


def _variation(source: Any) -> Any:
    [variation] = source["variations"]
    return variation


def _violations(daemon: Daemon, job: Any) -> Iterator[str]:
    good, *cases = job["sources"]
    if _variation(good)["status"] != "completed":
        yield f"the sound file beside them failed: {_variation(good)['error']}"
    for source in cases:
        if words := _flaw(_variation(source)):
            yield f"{source['name']}: {words}"
    if daemon.process.poll() is not None:
        yield "the daemon died"
    if daemon.encoders():
        yield "an encoder outlived its job"
    if daemon.parts():
        yield "a partial file was left"
    spool = daemon.state_dir / "spool"
    for path in (path for path in spool.rglob("*") if path.is_file()):
        if SECRET in path.read_bytes():
            yield f"the secret stands in {path.name}"


def _flaw(variation: Any) -> str | None:
    """What is wrong with how a case ended."""
    error = variation["error"] or ""
    if variation["status"] == "completed":
        return None if variation["bytes"] > 0 and variation["sha256"] else "an output without proof"
    if variation["status"] != "failed":
        return f"it is {variation['status']}"
    if not error or "internal error" in error or "did not foresee" in error:
        return f"it failed without a clear word: {error!r}"
    return "its error names a path" if "/spool/" in error or "/tmp/" in error else None


def _given(folder: Path) -> list[bytes]:
    files = sorted(path for path in folder.iterdir() if path.suffix != ".json" and 0 < path.stat().st_size <= LARGEST)
    return [path.read_bytes() for path in files]


def _made(ffmpeg: str, folder: Path) -> list[bytes]:
    return [make(one, ffmpeg, folder).read_bytes() for one in (*SPECIMENS, *COMBINATIONS) if one.name in BASES]


def main() -> None:
    import imageio_ffmpeg

    cases = int(sys.argv[1])
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "root"
        root.mkdir()
        ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
        good = make_clip(ffmpeg, root / "good.mp4", seconds=1, size="64x64")
        bases = _given(Path(sys.argv[2])) if sys.argv[2:] else _made(ffmpeg, Path(folder) / "bases")
        daemon = Daemon(Path(folder) / "state", "--source-root", str(root), *FLAGS)
        try:
            verdict = attack(daemon, root, bases, good, range(cases))
        finally:
            daemon.stop()
    print(f"{verdict}, in {time.monotonic() - began:.0f} s")
    for words in verdict.violations:
        print(f"  {words}")
    sys.exit(1 if verdict.violations else 0)


if __name__ == "__main__":
    main()
