"""Draws the figures of an output's frames as an SVG. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from daemon.proof.quality import Quality

WIDTH, HEIGHT = 960, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 40, 36  # margins
STYLE = """
svg { font: 12px system-ui, sans-serif; color: #1c1f23; background: #fff }
text { fill: currentColor } .grid { stroke: currentColor; opacity: .15 } .mean { stroke-dasharray: 4 4 }
path, .mean { fill: none; stroke: #2463c4; stroke-width: 1.2 }
@media (prefers-color-scheme: dark) { svg { color: #e4e7eb; background: #16181b } path, .mean { stroke: #7aa9f0 } }
"""


def plot(quality: Quality, figures: Sequence[float]) -> str:
    """Draws an SVG of every frame's figure; of several in one pixel's width, the lowest and the highest."""
    assert quality.mean is not None
    assert quality.lowest is not None
    top = 100.0 if quality.metric == "vmaf" else 1.0
    floor = _floor(quality.lowest, top)
    mean = _y(quality.mean, floor, top)
    digits = 1 if quality.metric == "vmaf" else 4
    title = (
        f"{quality.metric.upper()} of {quality.frames} frames: mean {quality.mean:.{digits}f}, "
        f"5 % below {quality.percentile_5:.{digits}f}, lowest {quality.lowest:.{digits}f}"
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
            f"<title>{title}</title><style>{STYLE}</style>",
            f'<text x="{LEFT}" y="22">{title}</text>',
            *_grid(floor, top),
            f'<line class="mean" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{mean:.1f}" y2="{mean:.1f}"/>',
            f'<path d="M{" ".join(_points(figures, floor, top))}"/>',
            f'<text x="{LEFT}" y="{HEIGHT - 12}">frame 1</text>',
            f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 12}" text-anchor="end">{len(figures)}</text>',
            "</svg>\n",
        ]
    )


def _floor(lowest: float, top: float) -> float:
    """Where the plot begins: a tenth of the scale below the lowest figure, if that is not below 0."""
    step = top / 10
    return max(0.0, lowest // step * step)


def _y(figure: float, floor: float, top: float) -> float:
    share = (min(max(figure, floor), top) - floor) / (top - floor or 1.0)
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _grid(floor: float, top: float) -> Iterator[str]:
    for tenth in range(5):
        value = floor + (top - floor) * tenth / 4
        y = _y(value, floor, top)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>'


def _points(figures: Sequence[float], floor: float, top: float) -> Iterator[str]:
    room = WIDTH - LEFT - RIGHT
    together = -(-len(figures) // room)
    columns = [figures[first : first + together] for first in range(0, len(figures), together)]
    for number, column in enumerate(columns):
        x = LEFT + room * number / max(1, len(columns) - 1)
        for figure in dict.fromkeys((max(column), min(column))):
            yield f"{x:.1f},{_y(figure, floor, top):.1f}"
