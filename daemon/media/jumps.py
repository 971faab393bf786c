"""Tells how the clock of a recording that was put together of several, or whose clock was set anew, jumps."""

from __future__ import annotations

import math

from daemon.media.allowlist import BACKWARD_JUMP, FORWARD_JUMP

LEAST_BACK = 1.0  # seconds that a clock goes back by, below which pauses would be taken for the same
SHARE = 0.75  # of that, which a packet that is late then steps forward by at least


class Jumps:
    """Gathers how far the timestamps of a file have jumped, as FFmpeg does that takes for a jump what goes `forward` by
    more seconds.

    Where another track has gone on until then it is a pause, which FFmpeg would take for a jump if it was not told.
    Where a part ends that begins behind the next one's beginning, a track may still have a packet of it when another
    goes on with the next: FFmpeg goes back, forward for that packet, and back once more. What goes forward by less than
    a jump leaves a hole.
    """

    def __init__(self, forward: float) -> None:
        self._forward = forward
        self._shift = 0.0
        self._next: dict[int, float] = {}  # by stream, where its next packet is expected
        self._latest = math.nan
        self._balance = 0  # of steps back, those without one forward
        self.longest_pause = 0.0
        self.least_back = math.inf
        self.certain = True  # whether nothing seems to be a jump that may be none

    def seconds_before(self, index: int, at: float, lasts: float) -> float:
        """Returns what is to be taken off the times of a packet that is decoded then."""
        off = at - self._shift - self._next.get(index, at - self._shift)
        others = (ends for other, ends in self._next.items() if other != index)
        if index not in self._next and abs(at - self._latest) > self._forward / 2:
            self.certain = False  # FFmpeg would have it begin with the others
        if off > self._forward and any(abs(at - self._shift - ends) < self._forward for ends in others):
            self.longest_pause = max(self.longest_pause, off)
            self.certain = False
        elif off > self._forward or off < -BACKWARD_JUMP:
            self._shift += off
            self._balance += 1 if off < 0 else -1
            self.certain = self.certain and self._balance >= 0
            self.least_back = min(self.least_back, -off if off < 0 else math.inf)
        self._next[index], self._latest = at - self._shift + lasts, at
        return self._shift


def taken_for(back: float) -> float | None:
    """Returns what is to be taken for a jump forward where a clock goes back by so little that the packets of another
    track, which follow that, would be shown late; None where it is far enough."""
    return back * SHARE if LEAST_BACK <= back < FORWARD_JUMP else None
