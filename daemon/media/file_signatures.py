"""Says what a file is that FFmpeg may not read, by its first bytes alone, so that its owner knows what to do."""

from __future__ import annotations

HEAD = 512  # bytes that tell

_PLAYLIST = "a playlist, which names other files: give those"
_ARCHIVE = "an archive: unpack it, and give what it holds"
_OTHER = "{0}, which ffspool does not read: convert it first"
SIGNATURES = {
    b"#EXTM3U": _PLAYLIST,
    b"ffconcat": _PLAYLIST,
    b"[playlist]": _PLAYLIST,
    b"PK\x03\x04": _ARCHIVE,
    b"Rar!": _ARCHIVE,
    b"7z\xbc\xaf": _ARCHIVE,
    b"\x1f\x8b": _ARCHIVE,
    b"%PDF": "a PDF",
    b"MZ": "a program",
    b"\x7fELF": "a program",
    b"MThd": _OTHER.format("MIDI"),
    b"\xff\x0a": _OTHER.format("JPEG XL"),
    b"\0\0\0\x0cJXL ": _OTHER.format("JPEG XL"),
    b"\0\0\0\x0cjP  ": _OTHER.format("JPEG 2000"),
    b"v/1\x01": _OTHER.format("OpenEXR"),
    b"8BPS": _OTHER.format("a Photoshop picture"),
}
_MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<svg", b"<mpd")


def named(head: bytes) -> str | None:
    """Says in words what the first HEAD bytes are of; None when they say nothing known."""
    if found := next((words for beginning, words in SIGNATURES.items() if head.startswith(beginning)), None):
        return found
    if head and not head.strip(b"\0"):
        return "zeros alone at its beginning, as of a copy or download that was not completed"
    if head.lstrip(b"\xef\xbb\xbf \r\n\t").lower().startswith(_MARKUP):
        return "a page or a list for programs (HTML or XML), perhaps what a server answered instead of the file"
    return "a text" if head and all(byte >= 32 or byte in b"\t\r\n" for byte in head) and _is_text(head) else None


def _is_text(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 4  # a character that was cut in two
    return True
