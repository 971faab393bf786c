"""Tells a person in words why ffmpeg failed: by how it ended and by what it said.

ffmpeg 7 and later exit with the low byte of the error's number, older ones always with 1; an encoder that prints its
statistics on the way out pushes the reason out of the last lines. So both are looked at.
"""

from __future__ import annotations

import errno
import re
import signal
from collections.abc import Sequence
from typing import NamedTuple

from daemon.process.exec_child import CANNOT_START


class Ending(NamedTuple):
    """Says how ffmpeg ended by itself: `code` is its exit code, or minus the signal's number; `said` its last lines."""

    code: int
    said: Sequence[str]
    cpu_spent: bool = False  # whether it had used all the CPU time it may
    overfull: bool = False  # whether it was ended for all that it had written


class Diagnosis(NamedTuple):
    """Says what happened and what to do, each a phrase; and the line that gave it away, if one did.

    What `may_pass` lies in the host and not in the source; one of these is a full disk. `unread` is a source that was
    not even opened.
    """

    what: str
    remedy: str
    evidence: str | None = None
    may_pass: bool = False
    disk_full: bool = False
    unread: bool = False


class Cause(NamedTuple):
    """A cause is a way to fail, known by exit codes or by the pattern of a line, whose groups go into `what`."""

    what: str
    remedy: str
    line: str | None = None
    codes: frozenset[int] = frozenset()
    may_pass: bool = False
    disk_full: bool = False
    in_source: bool = False  # whether it lies in the file, of which a whole one helps
    unread: bool = False


def known(complaint: str) -> Cause | None:
    """Returns the cause that a complaint was worded by; None for a way to fail that is not known here."""
    return next((cause for cause in (*CAUSES, _OVERFULL) if f"; {cause.remedy}" in complaint), None)


def diagnose(ending: Ending) -> Diagnosis | None:
    """Returns what is to be told of it; None for a way to fail that is not known here."""
    if ending.cpu_spent:
        return _told(_OUT_OF_TIME)
    if ending.overfull:
        return _told(_OVERFULL)
    own_words = [line for line in ending.said if _is_own(line)]
    by_words = (_told(cause, *found) for cause in CAUSES if (found := _search(cause, own_words)))
    by_code = (_told(cause) for cause in CAUSES if ending.code in cause.codes)
    return next(by_words, None) or next(by_code, None)


def _is_own(line: str) -> bool:
    """Whether ffmpeg says so itself: what it quotes of a source, such as a title, it indents."""
    return bool(line) and not line[0].isspace()


def _search(cause: Cause, said: Sequence[str]) -> tuple[str, ...] | None:
    """The line that fits, and what it names."""
    for line in said if cause.line else ():
        if match := re.search(cause.line or "", line):
            return (line, *filter(None, match.groups()))
    return None


def _told(cause: Cause, evidence: str | None = None, *names: str) -> Diagnosis:
    what = cause.what.format(*names)
    return Diagnosis(what, cause.remedy, evidence, cause.may_pass, cause.disk_full, cause.unread)


def _errors(*numbers: int) -> frozenset[int]:
    """What ffmpeg 7 and later exit with for these errors of the system."""
    return frozenset(256 - number for number in numbers)


def _signals(*numbers: int) -> frozenset[int]:
    return frozenset(-number for number in numbers)


_INVALID_DATA, _TOO_MANY_ERRORS = 183, 69  # exit codes of ffmpeg 7 and later

_ANOTHER_FFMPEG = "use the encoder that comes with ffspool, or a newer ffmpeg built with it; `ffspool doctor` looks"

_OUT_OF_TIME = Cause(
    "it used all the CPU time that one encode may have",
    "raise `max_encode_hours`, or ask for a smaller picture or a faster `speed`",
    r"received signal 24\b",
    _signals(signal.SIGXCPU),
)

_OVERFULL = Cause(
    "it was ended, for it wrote far more than such an output can come to",
    "do not trust this file; if it is a sound one, ask for a smaller picture",
)

# The first that fits is told, so what is behind a failure stands above what follows from it.
CAUSES = (
    _OUT_OF_TIME,
    Cause(
        "the disk is full",
        "free some space where the state dir is, then retry",
        r"No space left on device|Disk quota exceeded",
        _errors(errno.ENOSPC),
        may_pass=True,
        disk_full=True,
    ),
    Cause(
        "the output is larger than a file may be",
        "it is far beyond what was foreseen, or beyond the daemon's own limit (`ulimit -f`, `LimitFSIZE` of the unit, "
        "which you can lift): ask for a smaller picture",
        r"File too large",
        _errors(errno.EFBIG) | _signals(signal.SIGXFSZ),
    ),
    Cause("this ffmpeg has no encoder {0}", _ANOTHER_FFMPEG, r"Unknown encoder '([^']+)'"),
    Cause("this ffmpeg has no decoder {0}", _ANOTHER_FFMPEG, r"Unknown decoder '([^']+)'"),
    Cause("this ffmpeg has no filter {0}", _ANOTHER_FFMPEG, r"No such filter: '([^']+)'"),
    Cause("this ffmpeg cannot write the format {0}", _ANOTHER_FFMPEG, r"[Oo]utput format '([^']+)' is not"),
    Cause(
        "this ffmpeg does not know the option {0}",
        _ANOTHER_FFMPEG,
        r"Unrecognized option '([^']+)'|Error applying option '([^']+)'.*not found|Option '?([^' ]+)'? not found",
    ),
    Cause(
        "the source has a codec that ffspool does not read",
        "convert it first, with a program that knows the codec",
        r"Codec \(\S+\) not on whitelist|no decoder found for",
        in_source=True,
    ),
    Cause(
        "the source's picture is larger than ffspool takes",
        "make it smaller first: it may have 40 million pixels",
        r"exceeds specified max pixel count",
    ),
    Cause(
        "the encoder does not take these audio channels",
        "ask for fewer by `max_channels`, such as 2",
        r"(?:Unsupported|Invalid) channel layout|channel layout .* is not supported|Rematrix is needed between",
    ),
    Cause(
        "the encoder does not take a picture of this size",
        "ask for another by `short_side` or `long_side`",
        r"(?:width|height) not divisible|[Pp]icture size .*(?:too large|not valid|invalid)|TU size",
    ),
    Cause(
        "FFmpeg cannot convert the source's pixels or samples to what the output needs",
        "convert it first, with the program that made it",
        r"Impossible to convert between the formats",
    ),
    Cause(
        "the source's colours are, or become midway, such as FFmpeg cannot convert",
        "cut it in two where they change, or convert it first, with the program that made it",
        r"no path between colorspaces|swscaler[^\]]*\] Unsupported (?:input|output)",
    ),
    Cause(
        "the source's container and its frames both tell how it is to be shown, and FFmpeg takes but one",
        "take remux-mkv or remux-mp4, or convert it first, with the program that made it",
        r"error code: -17 \(File exists\)",
    ),
    Cause(
        "the encoder does not take pixels of this kind",
        "ask for another `bit_depth`, or for another preset",
        r"pixel format .*(?:not supported|requested)|do not have a common format|input chroma subsampling",
    ),
    Cause(
        "the container does not take one of the streams",
        "choose a preset with another container, or one that encodes what this one copies",
        r"not currently supported in container|are supported for WebM|from text to text or bitmap to bitmap",
    ),
    Cause(
        "a subtitle is longer than MP4 takes, which is 64 kB of text",
        "take a preset of MKV or WebM, or leave subtitles out by `subtitles=drop`",
        r"enc:mov_text.*(?:Subtitle encoding failed|out of range)"
        r"|/mov_text.*(?:error|return) code:? -34",  # which threads do not put their lines in between
    ),
    Cause(
        "there was not enough memory",
        "raise `max_encoder_memory`, run fewer `slots`, or ask for a smaller picture, then retry",
        r"Cannot allocate memory|malloc of size \d+ failed|Resource temporarily unavailable",
        _errors(errno.ENOMEM, errno.EAGAIN),
        may_pass=True,
    ),
    Cause(
        "the host does not let the encoder read or write its files",
        "see who owns the source and the state dir, and `sandbox_read` if the encoder needs files of its own",
        r"Error opening .*: Permission denied|Read-only file system",
        _errors(errno.EACCES, errno.EPERM, errno.EROFS),
    ),
    Cause(
        "the source is no longer on the disk",
        "submit it anew; or if the job was to read it in place, put it back there and retry",
        r"^the source cannot be opened: No such file or directory",
        in_source=True,
        unread=True,
    ),
    Cause(
        "the source cannot be opened: {0}",
        "put the file that the job was made of back in its place and retry, or make a new job",
        r"^the source cannot be opened: (.+)",
        in_source=True,
        unread=True,
    ),
    Cause(
        "the disk did not give or take the data",
        "see to the health of the disks that hold the source and the state dir, then retry",
        r"Input/output error|Transport endpoint is not connected|Stale file handle",
        _errors(errno.EIO, errno.ENOTCONN, errno.ESTALE),
        may_pass=True,
    ),
    Cause(
        "the source is damaged or not complete",
        "fetch or export it again, and see whether a player shows all of it",
        r"moov atom not found|Invalid data found when processing input|Decode error rate|opening input: End of file"
        r"|write packet with unknown timestamp|Error parsing AAC extradata"  # copied of MXF without end, of spoilt FLV
        r"|packet (?:to|in) decoder: Error number -\d+",  # a decoder's own, for which FFmpeg has no words: AAC's parser
        frozenset({_INVALID_DATA, _TOO_MANY_ERRORS}),
        in_source=True,
    ),
    Cause(
        "somebody else asked the encoder to end",
        "see who ends processes on this host, then retry",
        r"received signal \d+|system signals, hard exiting",
        _signals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT),
        may_pass=True,
    ),
    Cause(
        "the encoder was killed from outside, most likely by the kernel for want of memory",
        "see what `dmesg` says; give the host more memory or run fewer `slots`, then retry",
        codes=_signals(signal.SIGKILL),
        may_pass=True,
    ),
    Cause(
        "the encoder crashed",
        "try another preset, and report it to the makers of ffmpeg together with the source",
        codes=_signals(signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGBUS, signal.SIGTRAP),
    ),
    Cause(
        "a filter, an encoder or the container does not take what this source holds",
        "the lines below name it: try another preset, or convert the source first",
        codes=_errors(errno.EINVAL, errno.ERANGE, errno.ENOSYS, errno.EDOM, errno.ENOTSUP),
    ),
    Cause(
        "the encoder could not be started",
        "see what `ffspool doctor` says, then retry",
        codes=frozenset({CANNOT_START}),
        may_pass=True,
    ),
)
