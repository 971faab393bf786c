"""What `make bench` found: shown as it comes, and kept in RESULTS.md with the machine it was seen on."""

from __future__ import annotations

import io
import os
import platform
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TextIO, TypeVar

import imageio_ffmpeg

T = TypeVar("T")

FOLDER = Path(__file__).parent


class Report:
    """Sections of printed lines, one for each measurement."""

    def __init__(self) -> None:
        self._began = time.time()
        self._parts: list[str] = []
        self._pictures: dict[str, str] = {}

    def measure(self, title: str, act: Callable[[], T]) -> T:
        """Runs it; what it prints is shown at once and becomes a section."""
        print(f"\n{title}")
        began = time.monotonic()
        with _heard() as said:
            found = act()
        took = time.monotonic() - began
        self._parts.append(f"## {title}\n\n```text\n{said.getvalue().rstrip()}\n```\n\n({took:.0f} s)\n")
        return found

    def show(self, name: str, picture: str) -> None:
        """Adds a picture (SVG), to be kept in a file of its own."""
        self._pictures[name] = picture
        self._parts.append(f"![{name.removesuffix('.svg')}]({name})\n")

    def write(self) -> None:
        for name, picture in self._pictures.items():
            (FOLDER / name).write_text(picture)
        day = time.strftime("%Y-%m-%d", time.gmtime(self._began))
        head = f"# What ffspool costs\n\n`make bench` on {day}, {machine()}.\n"
        (FOLDER / "RESULTS.md").write_text("\n".join([head, *self._parts]))


@contextmanager
def _heard() -> Iterator[io.StringIO]:
    said = io.StringIO()
    with redirect_stdout(_Both(sys.stdout, said)):
        yield said


class _Both(io.TextIOBase):
    def __init__(self, shown: TextIO, kept: TextIO) -> None:
        self._shown, self._kept = shown, kept

    def write(self, text: str) -> int:
        self._shown.write(text)
        self._shown.flush()
        return self._kept.write(text)


def machine() -> str:
    """What it was measured on: processor, kernel and the versions that count."""
    said = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-version"], capture_output=True, text=True, check=True)
    encoder = " ".join(said.stdout.split()[:3])
    return (
        f"{len(os.sched_getaffinity(0))} × {_processor()}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {encoder}"
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


# A plot of cost against size

WIDTH, HEIGHT, MARGIN = 640, 360, 56
COLOURS = ("#2a6fdb", "#d9480f", "#2b8a3e", "#862e9c", "#c2255c", "#0b7285")


def plot(title: str, sizes: Sequence[int], lines: Mapping[str, Sequence[float]]) -> str:
    """An SVG of milliseconds against sizes, which are powers of ten; the axis of milliseconds begins at 0."""
    top = max(max(values) for values in lines.values()) * 1.1
    xs = [MARGIN + n * (WIDTH - 3 * MARGIN) / (len(sizes) - 1) for n in range(len(sizes))]

    def height(value: float) -> float:
        return HEIGHT - MARGIN - value / top * (HEIGHT - 2 * MARGIN)

    parts = [f'<text x="{MARGIN}" y="28" font-size="16">{title}</text>']
    parts += [
        f'<text x="{x}" y="{HEIGHT - MARGIN + 22}" text-anchor="middle">{size:,}</text>'
        for x, size in zip(xs, sizes, strict=True)
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = height(share * top)
        parts.append(f'<path d="M{MARGIN} {y:.1f}H{xs[-1]:.1f}" stroke="#8884"/>')
        parts.append(f'<text x="{MARGIN - 8}" y="{y + 4:.1f}" text-anchor="end">{share * top:.1f}</text>')
    for colour, (name, values) in zip(COLOURS, lines.items(), strict=False):
        points = " ".join(f"{x:.1f},{height(value):.1f}" for x, value in zip(xs, values, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{xs[-1] + 8:.1f}" y="{height(values[-1]) + 4:.1f}" fill="{colour}">{name}</text>')
    inside = "\n".join(parts)
    style = "font-family: system-ui, sans-serif; font-size: 12px; fill: #888"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" style="{style}">\n{inside}\n</svg>\n'
    )
