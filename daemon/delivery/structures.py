"""Tells of files that are parts of a larger whole, a disc or a stream, which does not play without them as they are.

Playlists name segments by what they are called, and discs find their clips by number, byte and time.
"""

from __future__ import annotations

import codecs
import os
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from daemon.plaintext import visible

DISCS = frozenset({
    "bdmv", "video_ts", "audio_ts", "hvdvd_ts", "avchd", "xdroot", "bdav", "bpav", "m4root", "dvd_rtav", "mpegav",
})  # fmt: skip
VIDEO_CDS = frozenset({"vcd", "svcd", "hsvcd"})  # folders that lie beside those with the films of one, which are these
OF_VIDEO_CDS = frozenset({"mpeg2", "segment"})
LIBRARIES = (
    ".photoslibrary", ".photolibrary", ".migratedphotolibrary", ".aplibrary", ".imovielibrary", ".rcproject",
    ".fcpbundle", ".fcarch", ".tvlibrary", ".musiclibrary", ".logicx", ".band", ".dvdmedia",
    "avid mediafiles", "omfi mediafiles",
)  # fmt: skip
CARD = "contents"  # of P2 and Canon's, beside whose pictures and sounds lists of clips lie
RECORDING = ".rec"  # VDR's folders, with an index of bytes
RECORDED = (".meta", ".cuts", ".ap", ".sc")  # beside Enigma2's, called after the whole name: bytes, cuts and titles
SUMS = (".md5", ".sha1", ".sha256", ".sha512", ".sfv", ".par2", ".torrent")  # what knows a file by its bytes
CUE = ".cue"
PLAYLISTS = (".m3u8", ".mpd", ".ism", ".ismc", ".smil", CUE, ".f4m")
MAYBE = ".m3u"  # which mostly lists what a player is to play one after the other
STREAMED = "#EXT-X-"
# What lies beside files of a disc that was copied without the folders it had, or above them; by their extension.
INDICES = {
    ".vob": (".ifo",),
    ".m2ts": (".bdmv", ".mpls", ".clpi"),
    ".ts": (".hmt", ".nts"),  # Humax's recordings
    ".mxf": ("assetmap", "assetmap.xml"),  # packages for cinemas
}
ABOVE = 3  # folders, from that of a segment on, in which its playlist may lie
MOST = 4 * 1024**2  # bytes of a playlist that are looked at
NAMES = re.compile(r'"([^"\n]+)"|>([^<\n]+)<|^([^#<\s"][^\n"]*)$', re.MULTILINE)
OF_CUE = re.compile(r'^\s*FILE\s+"?(.+?)"?\s+\w+\s*$', re.MULTILINE | re.IGNORECASE)
BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
WORD = re.compile(r"\$[^$]*\$")  # of the templates of DASH


def whole_of(path: Path) -> str | None:
    """Returns in words what a file is a part of; None: of nothing that is known. Raises OSError. Blocks."""
    words = _whole_of(path)
    return words and visible(words)  # what lies beside it may have a name that is no text


def _whole_of(path: Path) -> str | None:
    if disc := next((one.name for one in path.parents if one.name.lower() in DISCS), None):
        return f"it is part of a stream or disc: it lies in {disc}"
    if library := next((one.name for one in path.parents if one.name.lower().endswith(LIBRARIES)), None):
        return f"it is part of a program's library: it lies in {library}"
    if path.parent.name.endswith(RECORDING) and path.stem.isdecimal():
        return f"it is part of a recording: it lies in {path.parent.name}"
    for folder in list(path.parents)[:ABOVE]:
        if words := _told_by(_entries(folder), folder, path):
            return words
    return None


def told_by_name(path: Path, ending: str) -> str | None:
    """Returns in words what belongs to a file by its whole name, and would to none once that has another `ending`, or
    other bytes; None: nothing does. Raises OSError. Blocks."""
    with os.scandir(path.parent) as entries:
        after = [entry.name for entry in entries if entry.name.startswith(f"{path.name}.")]
    if path.suffix.lower() == ending.lower():
        after = [name for name in after if name.lower().endswith(SUMS)]
    return f"{visible(min(after))} is of this very file, by its name, and would be of none" if after else None


def _told_by(entries: Mapping[str, bool], folder: Path, path: Path) -> str | None:
    """What the folder that a file lies in, or one above, tells of it by what else is there."""
    if index := next((path.name + ending for ending in RECORDED if path.name + ending in entries), None):
        return f"it is part of a recording: {index} tells of it"
    if path.parent.name.lower() in OF_VIDEO_CDS and not VIDEO_CDS.isdisjoint(map(str.lower, entries)):
        return f"it is part of a stream or disc: it lies in {path.parent.name}"
    if folder.name.lower() == CARD and any(name.lower().startswith("clip") for name in entries):
        return f"it is part of a camera's card: it lies in {folder.name}"
    if index := next((name for name in entries if name.lower().endswith(INDICES.get(path.suffix.lower(), ()))), None):
        return f"it is part of a stream or disc: {index} tells of it"
    playlists = (name for name, is_file in entries.items() if is_file and name.lower().endswith((*PLAYLISTS, MAYBE)))
    if playlist := next((name for name in playlists if _names(folder / name, path.name)), None):
        return f"it is part of a stream or disc: {playlist} names it"
    return None


def _entries(folder: Path) -> Mapping[str, bool]:
    """What is in a folder, and whether that is a file; nothing where it may not be looked at."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.is_file() for entry in entries}
    except PermissionError:
        return {}


def _names(playlist: Path, name: str) -> bool:
    try:
        with playlist.open("rb") as file:
            text, is_known = _text(file.read(MOST))
    except (FileNotFoundError, PermissionError):
        return False
    if playlist.suffix.lower() == MAYBE and STREAMED not in text:
        return False
    is_cue = playlist.suffix.lower() == CUE
    groups = ((one,) for one in OF_CUE.findall(text)) if is_cue else NAMES.findall(text)
    told = [found.strip() for several in groups for found in several if found]
    paths = (unquote(way) for one in told for way in (one, one.partition("?")[0]))
    ways = {way.rpartition("/")[2] for path in paths for way in (path, path.replace("\\", "/"))}
    if is_cue:  # which mostly go on naming the .wav that a file was made of
        name, ways = PurePosixPath(name).stem, {PurePosixPath(way).stem for way in ways}
    same = _pattern(name, is_known)
    return any(same.fullmatch(unicodedata.normalize("NFC", one)) or _may_become(one, name) for one in ways)


def _text(content: bytes) -> tuple[str, bool]:
    """A playlist's text, and whether it is known in which encoding it is; where not, ASCII in it is right at least."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace"), True
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(content), True  # which may end within a character
    except UnicodeDecodeError:
        return content.decode("latin-1"), False


def _pattern(name: str, is_known: bool) -> re.Pattern[str]:
    """What a name is in a text, composed; in one of an unknown encoding anything may stand for other than ASCII."""
    composed = unicodedata.normalize("NFC", name)
    return re.compile(
        re.escape(composed) if is_known else ".*".join(map(re.escape, BEYOND_ASCII.split(composed))), re.I
    )


def _may_become(template: str, name: str) -> bool:
    """Whether the segment template of a manifest stands for it, too."""
    if "$" not in template or not WORD.sub("", template).strip("."):
        return False
    return re.fullmatch(".*".join(map(re.escape, WORD.split(template))), name) is not None
