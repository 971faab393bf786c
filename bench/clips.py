"""Media to measure with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg


def make_clip(path: Path, seconds: int, size: str = "1280x720") -> Path:
    source = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25:duration={seconds}"]
    encode = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-y", str(path)]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, *encode], check=True)
    return path


def make_noise(path: Path) -> None:
    """A film of 500 MB that is nothing but noise: what is said of it takes no time beside what it holds."""
    ffmpeg, second = imageio_ffmpeg.get_ffmpeg_exe(), path.with_name(f"second-{path.name}")
    source = ["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25:duration=1,noise=alls=100:allf=t"]
    subprocess.run([ffmpeg, "-v", "error", *source, "-preset", "ultrafast", "-qp", "4", second], check=True)
    subprocess.run([ffmpeg, "-v", "error", "-stream_loop", "10", "-i", second, "-c", "copy", path], check=True)
