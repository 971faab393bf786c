"""Files of which a download has written parts alone, the others being zeros, are not taken for whole ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from specimens import AAC, H264, MJPEG, PCM, encoded, heard
from test_unread import made
from test_unsaid import lost

from daemon.errors import ProbeError
from daemon.media.describe import read_media

NOISY = {"more": "noise=alls=60:allf=t", "seconds": 2}  # some megabyte
FILMS = {
    "mp4": [*H264, *AAC, "-movflags", "+faststart"],
    "mkv": [*H264, *AAC],
    "ts": [*H264, *AAC],
    "avi": [*MJPEG, *PCM],
}
Film = Callable[[str, float, float], Path]


@pytest.fixture
def hollow(ffmpeg: str, tmp_path: Path) -> Film:
    """Gives a film that is zeros from one part of it to another."""

    def of(ending: str, begin: float, end: float) -> Path:
        def edit(whole: bytes) -> bytes:
            first, last = int(len(whole) * begin), int(len(whole) * end)
            return whole[:first] + bytes(last - first) + whole[last:]

        return made(ffmpeg, tmp_path, f"film.{ending}", encoded(*FILMS[ending], **NOISY), edit=edit)

    return of


@pytest.mark.parametrize(("ending", "begin", "end"), [("mp4", 0.6, 1), ("mp4", 0.3, 0.6), ("avi", 0.3, 0.6)])
def test_a_film_of_which_much_was_never_written_is_refused_as_that(
    hollow: Film, ending: str, begin: float, end: float
) -> None:
    with pytest.raises(ProbeError, match=r"some [34]\d% of it are zeros, as of a download .* fetch it again"):
        read_media(str(hollow(ending, begin, end)))


@pytest.mark.parametrize("ending", ["mkv", "avi"])
def test_a_film_whose_end_was_never_written_is_a_truncated_one(hollow: Film, ending: str) -> None:
    media = read_media(str(hollow(ending, 0.6, 1)))
    assert media.duration_seconds == pytest.approx(2, abs=0.1)
    assert media.held
    assert media.held.duration_seconds == pytest.approx(1.2, abs=0.25)


@pytest.mark.parametrize(("begin", "end", "ends_early"), [(0.6, 1, True), (0.3, 0.6, False)])
def test_a_broadcast_is_read_beyond_what_was_never_written(
    hollow: Film, begin: float, end: float, ends_early: bool
) -> None:
    media = read_media(str(hollow("ts", begin, end)))
    assert media.duration_seconds == pytest.approx(1.2 if ends_early else 2, abs=0.25)
    assert bool(lost(media, "h264-480p", "end")) == ends_early


def test_little_that_was_never_written_is_damage_like_other_damage(hollow: Film) -> None:
    assert read_media(str(hollow("mp4", 0.5, 0.53))).duration_seconds == pytest.approx(2, abs=0.1)


def test_silence_is_no_end_that_was_never_written(ffmpeg: str, tmp_path: Path) -> None:
    media = read_media(str(made(ffmpeg, tmp_path, "a.wav", heard(*PCM, "-af", "volume=0", seconds=2))))
    assert (media.lacks_end, media.held) == (False, None)
