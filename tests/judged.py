"""What every preset makes of a few films, made once for all who judge it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import pytest
from reader import Reading, read
from specimens import (
    AAC,
    COPY,
    FIELDS,
    FLAC,
    H264,
    MPEG2,
    OPUS,
    SOFT_ALPHA,
    SUBTITLES,
    UNEVENLY,
    VP9,
    Specimen,
    alpha,
    cover,
    covered,
    encoded,
    film,
    interlaced,
    make,
    mapped,
    picture,
    sound,
)
from specimens import (
    read as reading,
)

from daemon.presets.builtin import PRESETS, Preset

DATE, PLACE, TITLE = "2022-11-09T17:36:38Z", (48.8584, 2.2945), "A film"
TOLD = [
    *("-metadata", f"creation_time={DATE}", "-metadata", f"location=+{PLACE[0]}+00{PLACE[1]}/"),
    *("-metadata", f"title={TITLE}"),
]
LANGUAGES = ["eng", "fra"]
PARTS = {"One": 0.4, "Two": 1.0}  # chapters, by when they begin
CHAPTERS = ";FFMETADATA1\n" + "".join(
    f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={begin * 1000:.0f}\nEND={(begin + 0.6) * 1000:.0f}\ntitle={title}\n"
    for title, begin in PARTS.items()
)
TONGUES = [word for n, name in enumerate(LANGUAGES) for word in (f"-metadata:s:a:{n}", f"language={name}")]
SOURCES = (
    Specimen(
        "film.mp4",
        [
            [
                *(*picture("640x360", seconds=2), *sound(2, frequency=300), *sound(2, frequency=900)),
                *(*reading("s.srt"), *reading("c.txt"), *mapped("0", "1", "2", "3"), "-map_chapters", "4"),
                *(*H264, *AAC, "-c:s", "mov_text", *TONGUES, *TOLD, "{out}"),
            ]
        ],
        companions={"s.srt": SUBTITLES, "c.txt": CHAPTERS},
    ),
    Specimen(
        "phone.mov",
        [
            film("-vf", "select='not(mod(n,3))+lt(n,10)'", *UNEVENLY, "{work}/u.mov", size="320x240", seconds=1.2),
            ["-display_rotation", "90", *reading("u.mov"), *COPY, *TOLD, "{out}"],
        ],
    ),
    alpha("web.webm", encoded(*VP9, *OPUS, more=SOFT_ALPHA, seconds=1.2)),
    Specimen("dvd.mkv", [interlaced(*MPEG2, *FIELDS, "-c:a", "ac3")]),
    Specimen("song.flac", [cover(), covered(*FLAC)]),
    Specimen(
        "serial.mp4",
        [
            [
                *(*picture("640x360", seconds=5), *sound(5), *sound(5, frequency=900), *mapped("0", "1", "2")),
                *(*H264, *AAC, *TONGUES, "{out}"),
            ]
        ],
    ),
)
LADDERS = [preset for preset in PRESETS.values() if preset.kind == "ladder"]
OF_SONG = [preset for preset in PRESETS.values() if preset.kind in {"audio", "remux"}]
ASKED = {"song.flac": OF_SONG, "serial.mp4": LADDERS}  # of the other sources everything
SMALL: dict[str, dict[str, Any]] = {"ladder": {"segment_seconds": 1}, "framed": {"short_side": 240}}


@dataclass(frozen=True)
class Made:
    """An output, and what it was made of."""

    source: Path
    preset: Preset
    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @cached_property
    def seen(self) -> Reading:
        return read(self.path)

    @cached_property
    def origin(self) -> Reading:
        return read(self.source)


def copied(made: Made, folder: Path) -> Path:
    """A copy beside which the judge may write."""
    copy = folder / made.name
    shutil.copytree(made.path, copy) if made.path.is_dir() else shutil.copy(made.path, copy)
    return copy


@pytest.fixture(scope="session")
def outputs(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> list[Made]:
    """Made by the first process of this run that asks; the others wait for it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "judged"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        listed = folder / "listed.json"
        if not listed.exists():
            made = [row for specimen in SOURCES for row in _run(make(specimen, ffmpeg, folder), folder / "out")]
            listed.write_text(json.dumps(made))
        return [
            Made(Path(source), PRESETS[preset], Path(path)) for source, preset, path in json.loads(listed.read_text())
        ]


def _run(source: Path, folder: Path) -> list[tuple[str, str, str]]:
    """What `ffspool run` makes of it, as a user runs it."""
    wanted = [word for preset in ASKED.get(source.name, PRESETS.values()) for word in ("-p", _words(preset))]
    command = [sys.executable, "-m", "daemon.cli", "run", str(source), *wanted, "-o", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout, done.stderr
    variations = json.loads(done.stdout)["sources"][0]["variations"]
    wrong = {one["preset"]: one["error"] for one in variations if one["status"] not in {"completed", "skipped"}}
    assert not wrong, wrong
    return [(str(source), one["preset"], one["path"]) for one in variations if one["status"] == "completed"]


def _words(preset: Preset) -> str:
    taken = {one.name for one in msgspec.structs.fields(type(preset.defaults))}
    quick = {name: value for name, value in (("speed", "ultrafast"), ("seed", "a")) if name in taken}
    asked = ",".join(f"{name}={value}" for name, value in {**quick, **SMALL.get(preset.kind, {})}.items())
    return f"{preset.name}:{asked}" if asked else preset.name
