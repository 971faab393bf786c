"""Finds out whether pictures of a stream change their size, their shape or how they are coded, by what packets tell.

Only the first picture of each kind is decoded, to tell what its numbers mean: else it is enough that a stream tells it
anew, and otherwise than before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from daemon.media import colours
from daemon.media.allowlist import MAX_PIXELS
from daemon.media.model import Colour

APART = {"vp8", "vp9", "av1", "h264"}  # codecs whose transparency is a stream of its own beside each picture
ADDED, ALPHA = "matroska_block_additional", (1).to_bytes(8, "big")  # what lies beside a packet, and how that begins
LOOKED_AT = 4096  # bytes at the beginning of a packet
MOST_TOLD = 8  # ways of one stream that are looked at
_SLICES_ABOVE, _SLICES = {20, 21}, 32  # kinds of units: of layers in H.264; those of HEVC below this
_SPS_OF_H264, _SPS_OF_HEVC, _SETS_OF_HEVC = 7, 33, {32, 33, 34}  # kinds of units
_FRAMES_OF_JPEG = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of frames' headers
_FIRST_ARRAY = 23  # byte of what describes HEVC; each has one unit
_SEQUENCE, _SIZED = 1, 2  # a kind of AV1's units; the flag of one that tells how long it is


def is_layered(stream: Any, packet: Any) -> bool:
    """Tells whether a packet holds slices of layers that decoders leave out, such as the other eye's picture (MVC,
    MV-HEVC) or a finer one (SVC, SHVC)."""
    codec = stream.codec_context
    if codec.name not in {"h264", "hevc"}:
        return False
    length, content = _length(codec), bytes(packet)
    units = _units(content, length) if length else content.split(b"\0\0\1")[1:]
    if codec.name == "h264":
        return any(unit[0] & 31 in _SLICES_ABOVE for unit in units if unit)
    return any(unit[0] >> 1 & 63 < _SLICES and (unit[0] & 1 or unit[1] >> 3) for unit in units if len(unit) > 1)


def _length(codec: Any) -> int:
    """How many bytes tell the length of each unit; 0: marks part them."""
    described = codec.extradata or b""
    at = 4 if codec.name == "h264" else 21
    return (described[at] & 3) + 1 if described[:1] == b"\1" and len(described) > at else 0


class Shapes:
    """Gathers what a stream tells of the shape of its pictures."""

    def __init__(self, stream: Any) -> None:
        self.index = stream.index
        codec = stream.codec_context
        described = codec.extradata or b""
        self._described = described
        self._told, self._sets = set[bytes](), set[bytes]()
        self.colours: list[Colour] = []  # of frames that are told otherwise than the first
        self._in_packets = False
        self._beside = codec.codec.canonical_name in APART
        self._with_alpha = self._without = 0  # packets, of which the latter follow one of the former
        self._reader: Callable[[bytes], Iterator[bytes]] | None = None
        if codec.name in {"h264", "hevc"}:
            of_h264, length = codec.name == "h264", _length(codec)
            self._reader = lambda packet: _parameters(packet, length, of_h264=of_h264)
            self._told |= {*_described(described, of_h264=of_h264)}
            self._in_packets = not (of_h264 or length)
        elif codec.name in _READERS:
            self._reader = _READERS[codec.name]

    @property
    def told(self) -> bool:
        """Says whether packets of such a stream tell it."""
        return self._reader is not None

    @property
    def changing(self) -> bool:
        return len(self._told) > 1

    @property
    def retold(self) -> bool:
        """Tells whether packets of HEVC hold other parameters than those before, as in broadcasts."""
        return len(self._sets) > 1

    @property
    def lacking_alpha(self) -> str | None:
        """Tells whether "all" packets lack what WebM keeps transparency in, or "some" that follow one with it; None of
        a codec that has it within, too."""
        if not self._beside:
            return None
        return "all" if not self._with_alpha else "some" if self._without else None

    def take(self, packet: Any) -> None:
        """Reads the beginning of a packet with which decoders can begin, and what lies beside any."""
        if self._beside:
            has_alpha = packet.has_sidedata(ADDED) and _has_alpha(packet)
            self._with_alpha += has_alpha
            self._without += self._with_alpha > 0 and not has_alpha
        if not self._reader or not packet.is_keyframe:
            return
        begin = bytes(memoryview(packet)[:LOOKED_AT])
        if len(self._told) < MOST_TOLD:
            known = len(self._told)
            self._told.update(self._reader(begin))
            if len(self._told) > max(known, 1):
                self.colours += self._shown(packet)
        if self._in_packets and not self.retold and (sets := b"".join(_sets(begin))):
            self._sets.add(sets)

    def _shown(self, packet: Any) -> list[Colour]:
        """What the numbers of its picture mean, by a decoder that knows of nothing else."""
        from av import FFmpegError  # here, for who compares durations need not load it

        decoder = packet.stream.codec_context.codec.create()
        decoder.extradata, decoder.thread_count = self._described or None, 1
        decoder.options = {"max_pixels": str(MAX_PIXELS)}
        with suppress(FFmpegError):
            return [colours.colour(frame) for frame in (*decoder.decode(packet), *decoder.decode(None))][:1]
        return []


def _has_alpha(packet: Any) -> bool:
    return any(bytes(one)[:8] == ALPHA for one in packet.iter_sidedata() if one.data_type == ADDED)


def _described(described: bytes, *, of_h264: bool) -> Iterator[bytes]:
    """The first set of parameters in the description of a track."""
    if of_h264:
        at = 6
    else:
        at = _FIRST_ARRAY
        while at + 5 < len(described) and described[at] & 63 != _SPS_OF_HEVC:
            at += 5 + int.from_bytes(described[at + 3 : at + 5], "big")
        at += 3
    if described[:1] == b"\1" and at + 2 < len(described):
        yield described[at + 2 : at + 2 + int.from_bytes(described[at : at + 2], "big")].rstrip(b"\0")


def _parameters(packet: bytes, length: int, *, of_h264: bool) -> Iterator[bytes]:
    """Sets of parameters, of units that tell how long they are in so many bytes, or are parted by marks (0)."""
    for unit in _units(packet, length) if length else packet.split(b"\0\0\1")[1:]:
        kind = unit[0] & 31 if of_h264 else unit[0] >> 1 & 63 if unit else -1
        if kind == (_SPS_OF_H264 if of_h264 else _SPS_OF_HEVC):
            yield unit.rstrip(b"\0")


def _sets(packet: bytes) -> Iterator[bytes]:
    """All sets of parameters of HEVC, of units that are parted by marks."""
    return (unit.rstrip(b"\0") for unit in packet.split(b"\0\0\1")[1:] if unit and unit[0] >> 1 & 63 in _SETS_OF_HEVC)


def _units(packet: bytes, length: int) -> Iterator[bytes]:
    at = 0
    while at + length < len(packet):
        size = int.from_bytes(packet[at : at + length], "big")
        yield packet[at + length : at + length + max(1, size)]
        at += length + size


def _of_av1(packet: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(packet) and packet[at] & _SIZED:
        kind, at = packet[at] >> 3 & 15, at + (2 if packet[at] & 4 else 1)
        size = shift = 0
        while at < len(packet):
            size, shift, at = size | (packet[at] & 127) << shift, shift + 7, at + 1
            if not packet[at - 1] & 128:
                break
        if kind == _SEQUENCE:
            yield packet[at : at + size]
        at += size


def _after(mark: bytes, length: int) -> Callable[[bytes], Iterator[bytes]]:
    def found(packet: bytes) -> Iterator[bytes]:
        at = packet.find(mark)
        if at >= 0:
            yield packet[at + len(mark) : at + len(mark) + length]

    return found


def _of_mpeg4(packet: bytes) -> Iterator[bytes]:
    """The description of a layer, as far as to the next mark."""
    for unit in packet.split(b"\0\0\1")[1:]:
        if unit[:1] and 0x20 <= unit[0] < 0x30:
            yield unit


def _of_jpeg(packet: bytes) -> Iterator[bytes]:
    at = 2
    while at + 9 <= len(packet) and packet[at] == 0xFF:
        if packet[at + 1] in _FRAMES_OF_JPEG:
            yield packet[at + 5 : at + 9]
            return
        at += 2 + int.from_bytes(packet[at + 2 : at + 4], "big")


def _of_vp9(packet: bytes) -> Iterator[bytes]:
    """Colours and size, which stand behind a mark; what follows in the last byte is not of that."""
    if packet[1:4] == b"\x49\x83\x42" and len(packet) > 8:
        yield packet[4:8] + bytes([packet[8] & 0xF0])


_OF_VP8 = _after(b"\x9d\1\x2a", 4)
_OF_MPEG2 = _after(b"\0\0\1\xb3", 4)  # how wide, how high, of which shape, and how many in a second
_READERS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    **dict.fromkeys(("av1", "libdav1d", "libaom-av1"), _of_av1),
    **dict.fromkeys(("mpeg1video", "mpeg2video"), _OF_MPEG2),
    **dict.fromkeys(("vp8", "libvpx"), _OF_VP8),
    **dict.fromkeys(("vp9", "libvpx-vp9"), _of_vp9),
    "mpeg4": _of_mpeg4,
    "mjpeg": _of_jpeg,
}
