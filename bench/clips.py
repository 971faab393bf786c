"""Media to measure with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg

FEW = 10  # seconds that are encoded; what lasts longer repeats them


def make_clip(path: Path, seconds: int, size: str = "1280x720") -> Path:
    source = f"testsrc2=size={size}:rate=25:duration={min(seconds, FEW)}"
    return _repeated(path, source, "-preset", "ultrafast", "-pix_fmt", "yuv420p", seconds=seconds)


def make_film(path: Path, seconds: int) -> Path:
    """A film much as a camera gives it: moving edges beside smooth shades, a little grain, and sound."""
    edges, shades = "testsrc2=size=640x720:rate=24[edges]", "gradients=size=640x720:rate=24:seed=1[shades]"
    graph = f"{edges};{shades};[edges][shades]hstack,noise=alls=4:allf=t,format=yuv420p[v]"
    inputs = ("-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000", "-filter_complex", graph)
    encode = ("-map", "[v]", "-map", "0:a", "-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-c:a", "aac")
    _ffmpeg(*inputs, *encode, "-t", str(seconds), str(path))
    return path


def make_scenes(path: Path, seconds: int) -> Path:
    """A film of shots of 4 s, as people cut them, where encoders put key frames."""
    few = path.with_name(f"few-{path.name}")
    edges, shades = "testsrc2=size=320x360:rate=24[edges]", "gradients=size=320x360:rate=24:seed=1[shades]"
    cut = "negate=enable='lt(mod(t,8),4)'"
    graph = f"{edges};{shades};[edges][shades]hstack,noise=alls=4:allf=t,{cut},format=yuv420p"
    _ffmpeg("-filter_complex", graph, "-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-t", "40", str(few))
    sound = ("-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000")
    _ffmpeg("-stream_loop", "-1", "-i", str(few), *sound, "-c:v", "copy", "-c:a", "aac", "-t", str(seconds), str(path))
    few.unlink()
    return path


def make_noise(path: Path, seconds: int = 11) -> None:
    """A film that is nothing but noise, by default of 500 MB: what is said of it takes no time beside what it holds."""
    source = "testsrc2=size=1280x720:rate=25:duration=1,noise=alls=100:allf=t"
    _repeated(path, source, "-preset", "ultrafast", "-qp", "4", seconds=seconds)


def _repeated(path: Path, source: str, *encode: str, seconds: int) -> Path:
    few = path.with_name(f"few-{path.name}")
    _ffmpeg("-f", "lavfi", "-i", source, "-c:v", "libx264", *encode, str(few))
    _ffmpeg("-stream_loop", "-1", "-i", str(few), "-t", str(seconds), "-c", "copy", str(path))
    few.unlink()
    return path


def _ffmpeg(*words: str) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *words], check=True)
