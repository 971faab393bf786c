"""Compares an output with its source, frame by frame, in one filter.

The source is compared as the recipe shows it, scaled and graded, so that only what the encoder lost counts.
"""

from __future__ import annotations

from daemon.presets.traits import Metric
from daemon.recipes.recipe import Options, Size

FORMATS = "|".join(f"yuv{sampling}p{depth}" for sampling in (420, 422, 444) for depth in ("", "10le"))
LARGE = 1440  # pixels of the shorter side above which VMAF's model for large screens is right


def comparing(metric: Metric, size: Size, file: str, threads: int) -> tuple[str, Options]:
    """Returns a filter that takes output and source, both in FORMATS, and writes each frame's figure to `file`.

    Each frame is compared with that of the nearest time: containers round times, some to milliseconds.
    """
    together = {"ts_sync_mode": "nearest", "shortest": 1}
    if metric == "ssim":
        return "ssim", {"stats_file": file, **together}
    model = "version=vmaf_4k_v0.6.1" if min(size) > LARGE else "version=vmaf_v0.6.1"
    return "libvmaf", {"model": model, "log_fmt": "csv", "log_path": file, "n_threads": threads, **together}
