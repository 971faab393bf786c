"""Reads what the tags of an FLV file hold (Adobe's Flash Video File Format Specification 10.1, annex E)."""

from __future__ import annotations

from typing import BinaryIO, NamedTuple

BEGIN = b"FLV\1"
MOST_TAGS = 10**6  # that are looked at: hours of it
_FIRST_TAG, _TAG = 9, 15  # bytes before the first, and before what a tag holds
_SOUND, _PICTURE = 8, 9  # kinds of tags
_OF_SOUND = {0: "pcm", 1: "adpcm", 2: "mp3", 3: "pcm", 7: "pcm_alaw", 8: "pcm_mulaw", 10: "aac", 11: "speex", 14: "mp3"}
_OF_SOUND |= dict.fromkeys((4, 5, 6), "nellymoser")
_OF_PICTURES = {2: "flv1", 3: "flashsv", 4: "vp6f", 5: "vp6a", 6: "flashsv2", 7: "h264", 12: "hevc"}
_NAMED = {b"avc1": "h264", b"hvc1": "hevc", b"mp4a": "aac", b".mp3": "mp3"}  # of newer headers
_HOLDING = {0, 1, 3}  # kinds of packets under those that hold something, and whose codec they name


class Tags(NamedTuple):
    """Holds in which codecs the sound and the pictures of a file are, as far as known; and whether another file begins
    behind its last tag."""

    sounds: frozenset[str]
    pictures: frozenset[str]
    goes_on: bool


def tags(content: BinaryIO, size: int) -> Tags:
    """Returns what all tags of a file tell, which is of so many bytes."""
    codecs: dict[int, set[str]] = {_SOUND: set(), _PICTURE: set()}
    content.seek(0)
    at = int.from_bytes(content.read(_FIRST_TAG)[5:], "big") or _FIRST_TAG
    for _ in range(MOST_TAGS):
        content.seek(at)
        head = content.read(_TAG + 5)
        if head[4:].startswith(BEGIN):
            return Tags(frozenset(codecs[_SOUND]), frozenset(codecs[_PICTURE]), goes_on=True)
        if at >= size or len(head) < _TAG + 5:
            break
        kind, told = head[4] & 0x1F, head[_TAG:]
        if kind in codecs and (codec := _codec(kind, told)):
            codecs[kind].add(codec)
        at += _TAG + int.from_bytes(head[5:8], "big")
    return Tags(frozenset(codecs[_SOUND]), frozenset(codecs[_PICTURE]), goes_on=False)


def _codec(kind: int, told: bytes) -> str | None:
    newer = told[0] & 0x80 if kind == _PICTURE else told[0] >> 4 == 9
    if newer:
        named = _NAMED.get(told[1:5]) or told[1:5].decode("ascii", "replace")
        return named if told[0] & 0xF in _HOLDING else None
    return _OF_PICTURES.get(told[0] & 0xF) if kind == _PICTURE else _OF_SOUND.get(told[0] >> 4)
