"""What is advised fits why something failed: nobody is told to try again what can never be made."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_cli import ffspool

from daemon.encode.diagnosis import CAUSES
from daemon.jobs.remedies import Remedy, advice, remedy
from daemon.states import FORCED, State

NO_INDEX = "a.mp4: its index (moov) is missing: the file was cut off, or is still being written"
UNFETCHED = "a.mp4 could not be fetched: https://a.example/… answered 404 (Not Found)"
NOT_ALLOWED = "a.mp4 could not be fetched: a.example leads to 10.0.0.1, which does not answer, a private address"
LARGE = "a.png: its picture is 9000×9000; 40 megapixels are the limit"
AWAY = "a.mp4: it is no longer on the disk"
UNREAD = "a.mp4: the file cannot be opened: No such file or directory"
NO_SOUND = "the source has no sound, which the preset mp3 needs"
LOST = "its file was removed from the disk after it was completed"
HUNG = "the encoder hung: for 120 s nothing came of it, so it was ended"


def complaint(what: str) -> str:
    """What is told of an encode that failed for the cause that says so."""
    cause = next(cause for cause in CAUSES if cause.what.startswith(what))
    return f"ffmpeg could not encode a.mp4: {cause.what} (exit code 1); {cause.remedy}"


FULL, DAMAGED, CHANNELS, GONE = map(
    complaint,
    (
        "the disk is full",
        "the source is damaged",
        "the encoder does not take these",
        "the source is no longer on the disk",
    ),
)


@pytest.mark.parametrize(
    ("error", "source_error", "expected"),
    [
        (FORCED, None, Remedy.AGAIN),
        ("the daemon died while it was encoded", None, Remedy.AGAIN),
        ("an internal error; the daemon's log has the details", None, Remedy.AGAIN),
        ("the host refused: Read-only file system", None, Remedy.HOST),
        (FULL, None, Remedy.HOST),
        (AWAY, AWAY, Remedy.GONE),
        (GONE, None, Remedy.GONE),
        (UNREAD, UNREAD, Remedy.GONE),
        (HUNG, None, Remedy.HOST),
        (UNFETCHED, UNFETCHED, Remedy.FETCH),
        (NOT_ALLOWED, NOT_ALLOWED, Remedy.FETCH),
        (LARGE, LARGE, Remedy.SMALLER),
        (NO_INDEX, NO_INDEX, Remedy.FILE),
        (DAMAGED, None, Remedy.FILE),
        ("the source is truncated: its header says 9.00 s, its data ends at 4.00 s; fetch it", None, Remedy.FILE),
        (CHANNELS, None, Remedy.OTHERWISE),
        ("ffmpeg could not encode a.mp4 (exit code 1)\nnobody knows", None, Remedy.OTHERWISE),
        ("the output is not what was planned: it has no sound", None, Remedy.OTHERWISE),
        (NO_SOUND, None, Remedy.NOTHING),
    ],
)
def test_each_failure_has_its_remedy(error: str, source_error: str | None, expected: Remedy) -> None:
    assert remedy(State.FAILED, error, source_error) == expected


def sources(*each: tuple[str | None, list[tuple[State, str | None]]]) -> Any:
    """As much of a job's sources as is asked: of each its error, and of its variations how they ended."""
    return [
        SimpleNamespace(
            id=number, error=error, variations=[SimpleNamespace(status=s, error=e, lost=e == LOST) for s, e in ends]
        )
        for number, (error, ends) in enumerate(each)
    ]


def test_each_remedy_is_advised_for_itself() -> None:
    cancelled, done = (State.CANCELLED, None), (State.COMPLETED, None)
    assert list(advice(sources((None, [cancelled, done])), "this", "that")) == [
        "this makes what is missing, and nothing else"
    ]
    whole = sources(
        (NO_INDEX, [(State.FAILED, NO_INDEX)] * 3),
        (None, [cancelled, cancelled, (State.FAILED, FULL)]),
        (None, [done, (State.FAILED, NO_SOUND), (State.FAILED, CHANNELS)]),
        (UNFETCHED, [(State.FAILED, UNFETCHED)] * 2),
        (NOT_ALLOWED, [(State.FAILED, NOT_ALLOWED)]),
        (LARGE, [(State.FAILED, LARGE)] * 2),
        (AWAY, [(State.FAILED, AWAY)]),
        (None, [(State.COMPLETED, LOST)]),
    )
    assert list(advice(whole, "this", "that")) == [
        "this makes 2 variations",
        "1 variation failed for what the host lacks, as told above: see to it, then this",
        "1 file is gone from the disk: that; or put back there what was to be read in place, then this",
        "2 files could not be fetched, as told above: see to that, then that",
        "1 file is too large for ffspool: make the picture in it smaller first, then that",
        "1 file is broken or no media: leave it out, or fetch it anew and that",
        "1 variation would fail alike again: ask for what its error says",
        "1 variation cannot be made of such a file: leave it out, choose another preset, or have that be "
        "skipped (`submit --on-unsuitable skip`)",
        "the files of 1 variation are lost, as told above: to have them again, that",
    ]
    assert list(advice(sources((None, [done])), "this", "that")) == []


def test_a_run_that_is_without_broken_files_does_not_say_that_the_same_makes_them(clip: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is no film" * 100)
    words = ffspool("run", clip, broken, "-p", "mp3", "-o", tmp_path / "out").stdout
    same = "give the same command again with --skip-existing."
    assert words.endswith(f"1 file is broken or no media: leave it out, or fetch it anew and {same}\n")
    assert "makes" not in words
