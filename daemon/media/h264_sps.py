"""Reads what H.264's sequence parameter sets tell before a picture is decoded (ITU-T H.264, 7.3.2.1.1)."""

from __future__ import annotations

from functools import lru_cache

AVCC = 1  # the first byte of an avcC record (ISO/IEC 14496-15), which holds every set that its stream uses
WITH_CHROMA = {44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244}  # profiles that tell of it


@lru_cache(maxsize=8)  # asked for anew with every frame of a stream
def frames_only(extradata: bytes | None) -> bool:
    """Tells whether no picture of the stream can be made of fields; False where that is not sure."""
    if not extradata or extradata[0] != AVCC:
        return False
    try:
        sets = _sets(extradata)
        return bool(sets) and all(_frame_mbs_only(one) for one in sets)
    except (IndexError, ValueError):
        return False


def _sets(avcc: bytes) -> list[bytes]:
    found, at = [], 6
    for _ in range(avcc[5] & 0x1F):
        length = int.from_bytes(avcc[at : at + 2], "big")
        found.append(avcc[at + 2 : at + 2 + length])
        at += 2 + length
    return found


def _frame_mbs_only(unit: bytes) -> bool:
    bits = _Bits(unit[4:].replace(b"\0\0\3", b"\0\0"))  # past the header, the profile and the level
    bits.unsigned()  # the set's number
    if unit[1] in WITH_CHROMA:
        _skip_chroma(bits)
    bits.unsigned()  # log2_max_frame_num_minus4
    _skip_order(bits)
    bits.unsigned()  # max_num_ref_frames
    bits.take(1)  # gaps_in_frame_num_value_allowed_flag
    bits.unsigned()  # width
    bits.unsigned()  # height
    return bits.take(1) == 1


def _skip_chroma(bits: _Bits) -> None:
    samplings = bits.unsigned()
    if samplings == 3:
        bits.take(1)  # separate_colour_plane_flag
    bits.unsigned()  # bit depths of luma and chroma
    bits.unsigned()
    bits.take(1)  # qpprime_y_zero_transform_bypass_flag
    if bits.take(1):  # scaling matrices
        for number in range(12 if samplings == 3 else 8):
            if bits.take(1):
                _skip_scaling_list(bits, 16 if number < 6 else 64)


def _skip_scaling_list(bits: _Bits, length: int) -> None:
    last = following = 8
    for _ in range(length):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _skip_order(bits: _Bits) -> None:
    kind = bits.unsigned()
    if kind == 0:
        bits.unsigned()
    elif kind == 1:
        bits.take(1)
        bits.signed()
        bits.signed()
        for _ in range(bits.unsigned()):
            bits.signed()


class _Bits:
    """Reads bits and Exp-Golomb codes, most significant first. Raises IndexError past the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = value << 1 | self._data[self._at >> 3] >> (7 - self._at % 8) & 1
            self._at += 1
        return value

    def unsigned(self) -> int:
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        code = self.unsigned()
        return (code + 1) // 2 if code % 2 else -(code // 2)
