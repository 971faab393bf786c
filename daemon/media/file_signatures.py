"""Says what a file is that FFmpeg may not read, by its first bytes alone, so that its owner knows what to do."""

from __future__ import annotations

DISC, DISCS = 32769, (b"CD001", b"BEA01", b"NSR02", b"NSR03")  # where images of discs tell that they are one, and how
HEAD = DISC + 5  # bytes that tell

_PLAYLIST = "a playlist, which names other files: give those"
_ARCHIVE = "an archive: unpack it, and give what it holds"
_NONE = "{0}: give a film, a sound or a picture"
_PAGE = (
    "a page or a list for programs (HTML or XML), perhaps what a server answered instead of the file: see what it "
    "says, and fetch that"
)
_OTHER = "{0}, which ffspool does not read: convert it first"
_DISC = "the image of a disc: open it, and give the films in it, of a DVD its VOB files, of a Blu-ray its M2TS"
_DAMAGED = "what begins as {0} does and goes on as none: it is damaged; fetch or export it again"
SIGNATURES = {
    b"#EXTM3U": _PLAYLIST,
    b"ffconcat": _PLAYLIST,
    b"[playlist]": _PLAYLIST,
    b"PK\x03\x04": _ARCHIVE,
    b"Rar!": _ARCHIVE,
    b"7z\xbc\xaf": _ARCHIVE,
    b"\x1f\x8b": _ARCHIVE,
    b"%PDF": _NONE.format("a PDF"),
    b"MZ": _NONE.format("a program"),
    b"\x7fELF": _NONE.format("a program"),
    b"MThd": _OTHER.format("MIDI"),
    b"\xff\x0a": _OTHER.format("JPEG XL"),
    b"\0\0\0\x0cJXL ": _OTHER.format("JPEG XL"),
    b"\0\0\0\x0cjP  ": _OTHER.format("JPEG 2000"),
    b"v/1\x01": _OTHER.format("OpenEXR"),
    b"8BPS": _OTHER.format("a Photoshop picture"),
    b"\0\0\0\0\x01\xbc": _OTHER.format("GXF, of broadcasters' servers"),
    b"\x84\x10\xff\xff\xff\xff": _OTHER.format("RoQ, of games"),
    b"BIK": _OTHER.format("Bink, of games"),
    b"KB2": _OTHER.format("Bink, of games"),
    b"SMK": _OTHER.format("Smacker, of games"),
    b"FILM": _OTHER.format("Cinepak of Sega's games"),
    b"BBCD": _OTHER.format("Dirac without a container"),
    **dict.fromkeys((b"FWS", b"CWS", b"ZWS"), _OTHER.format("Flash (SWF)")),
    b"\0\nSMJPEG": _OTHER.format("SMJPEG"),
    **dict.fromkeys((b"\x72\xf8\x1f\x4e", b"\xf8\x72\x4e\x1f"), _OTHER.format("what goes through S/PDIF")),
    **dict.fromkeys((b"\x64\xa3\x01\0", b"\x64\xa3\x02\0", b"\0\x01\xa3\x64"), _OTHER.format("IRCAM sound")),
    **dict.fromkeys((b".SoX", b"XoS."), _OTHER.format("SoX's own sound")),
    **dict.fromkeys((b"NSVf", b"NSVs"), _OTHER.format("NSV")),
    b"\x4b\xbf\x4b\xbf": _OTHER.format("raw aptX sound"),
    b"\x03ds2": _OTHER.format("a dictation (DS2)"),
    b"MLVI": _OTHER.format("raw film of Magic Lantern (MLV)"),
    b"\x1aE\xdf\xa3": _DAMAGED.format("Matroska or WebM"),
    b"FLV\1": _DAMAGED.format("FLV"),
    b"fLaC": _DAMAGED.format("FLAC"),
    b"GIF8": _DAMAGED.format("GIF"),
    b"\x89PNG": _DAMAGED.format("PNG"),
    b"\xff\xd8\xff": _DAMAGED.format("JPEG"),
}
_RED = (b"RED1", b"RED2")
OF_TEXT = 512  # bytes by which a text is known
SBC_HEADER, SBC_SYNC, JOINT = 4, 0x9C, 3
_MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<svg", b"<mpd")


def named(head: bytes) -> str | None:
    """Says in words what the first HEAD bytes are of; None when they say nothing known."""
    if found := next((words for beginning, words in SIGNATURES.items() if head.startswith(beginning)), None):
        return found
    if head[DISC:] in DISCS:
        return _DISC
    if head[4:8] in _RED:
        return _OTHER.format("raw film of RED (R3D)")
    if _is_sbc(head):
        return _OTHER.format("raw SBC sound, as of Bluetooth")
    if head and not head[:OF_TEXT].strip(b"\0"):
        return "zeros alone at its beginning, as of a copy or download that was not completed: fetch it again"
    if head.lstrip(b"\xef\xbb\xbf \r\n\t").lower().startswith(_MARKUP):
        return _PAGE
    return _NONE.format("a text") if head and _is_text(head[:OF_TEXT]) else None


def _is_sbc(head: bytes) -> bool:
    """Tells whether a frame of it is followed by another one (A2DP, 12.9)."""
    if len(head) < SBC_HEADER or head[0] != SBC_SYNC:
        return False
    blocks, mode, bands, pool = 4 * (1 + (head[1] >> 4 & 3)), head[1] >> 2 & 3, 8 if head[1] & 1 else 4, head[2]
    channels, joint = 1 if mode == 0 else 2, mode == JOINT
    bits = blocks * pool * (channels if mode < 2 else 1) + (bands if joint else 0)
    after = SBC_HEADER + bands * channels // 2 + (bits + 7) // 8
    return head[after : after + 1] == bytes([SBC_SYNC])


def _is_text(head: bytes) -> bool:
    if any(byte < 32 and byte not in b"\t\r\n" for byte in head):
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 4  # a character that was cut in two
    return True
