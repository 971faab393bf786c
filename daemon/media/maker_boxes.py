"""Finds what an MP4 or QuickTime file tells that FFmpeg passes over: boxes of makers, XMP, what lies behind its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from daemon.media import boxes
from daemon.media.media_file import MediaFile

MOST_NAMES = 50
LOOKED_AT = 64 * 1024  # bytes behind the end, which are nothing where all of them are zeros
XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
OF_TEXT = b"\xa9"  # how names of boxes with text begin
# Of user data, what FFmpeg reads; and what tells of the file alone: hints of streaming, which tracks stand for others.
READ = {b"@PRM", b"@PRQ", b"FIRM", b"HMMT", b"chpl", b"hinf", b"hnti", b"kind", b"manu", b"meta", b"modl", b"tsel"}
READ |= {b"aART", b"akID", b"apID", b"catg", b"cpil", b"cprt", b"desc", b"disk", b"egid", b"gnre", b"hdvd", b"keyw"}
READ |= {b"ldes", b"loci", b"name", b"pcst", b"pgap", b"purd", b"rtng", b"soaa", b"soal", b"soar", b"soco", b"sonm"}
READ |= {b"sosn", b"stik", b"trkn", b"tven", b"tves", b"tvnn", b"tvsh", b"tvsn"}
_TEXTS = b"ART PRD alb aut chp cmt com cpy day dir dis ed1 enc fmt gen grp hst inf lyr mak mod nam ope prd prf req"
READ |= {OF_TEXT + name for name in _TEXTS.split() + b"src st3 swr too trk url wrn wrt xyz".split()}
# At the top, what a file is made of.
STRUCTURE = {b"ftyp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"mfra", b"pdin", b"prft", b"sidx", b"ssix"}
STRUCTURE |= {b"styp", b"imda", b"uuid", b"meta"}
OF_PICTURES, OF_APPLE = b"pict", (b"mdir", b"mdta", b"\0\0\0\0", b"")  # who reads a table, which FFmpeg does


def passed_over(file: MediaFile) -> tuple[str, ...]:
    """Returns the names of all that; none of a file that is not made of boxes. Raises OSError."""
    if not file.boxed:
        return ()
    told = {*_of_users(file.index[8:])}
    for name, content in boxes.within(file.index[8:]):
        told |= {*_of_users(content)} if name == b"trak" else set()
    with file.open() as opened:
        told |= {*_of_file(opened, file.size)}
    return tuple(sorted(told)[:MOST_NAMES])


def _of_users(content: bytes) -> Iterator[str]:
    for name, told in boxes.within(boxes.only(content, b"udta")):
        if name not in READ and told.strip(b"\0"):
            yield _called(name)


def _of_file(file: BinaryIO, size: int) -> Iterator[str]:
    last = 0
    for name, begin, end in boxes.top(file, size):
        last = end
        if name not in STRUCTURE:
            yield _called(name)
        elif name in {b"uuid", b"meta"}:
            file.seek(begin + 8)
            head = file.read(40)
            reader = head[20:24] if head[8:12] == b"hdlr" else b""
            if name == b"uuid" and head.startswith(XMP):
                yield "XMP"
            elif name == b"meta" and reader not in {OF_PICTURES, *OF_APPLE}:
                yield _called(reader)
    file.seek(min(last, size))
    if file.read(LOOKED_AT).strip(b"\0"):
        yield "what lies behind its end"


def _called(name: bytes) -> str:
    return "XMP" if name == b"XMP_" else name.decode("latin-1").strip()
