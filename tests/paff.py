"""H.264 whose fields are pictures of their own (PAFF), as camcorders and broadcasters write it and x264 does not: of
samples as they are (I_PCM), in which nothing is predicted.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

SIZE = (160, 128)
EACH, SIDE = 25, 16  # pictures in a second, and pixels of a macroblock
GROUP = 12  # pictures
SEQUENCE, PICTURE, KEY, OTHER, DELIMITER = 0x67, 0x68, 0x45, 0x41, 0x09


class Bits:
    def __init__(self) -> None:
        self._bits: list[str] = []
        self._whole = bytearray()

    def put(self, count: int, value: int) -> Bits:
        self._bits.append(f"{value:0{count}b}")
        return self

    def exp(self, *values: int) -> Bits:
        """Numbers as Exp-Golomb codes."""
        for value in values:
            self.put(2 * (value + 1).bit_length() - 1, value + 1)
        return self

    def raw(self, samples: bytes) -> Bits:
        """Whole bytes, behind zeros up to the next one."""
        bits = "".join(self._bits)
        bits += "0" * (-len(bits) % 8)
        self._whole += bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)) + samples
        self._bits = []
        return self

    def unit(self, kind: int) -> bytes:
        content = self.put(1, 1).raw(b"")._whole
        guarded, zeros = bytearray(), 0
        for byte in content:
            if zeros >= 2 and byte <= 3:
                guarded.append(3)
                zeros = 0
            guarded.append(byte)
            zeros = 0 if byte else zeros + 1
        return bytes([0, 0, 0, 1, kind]) + guarded


def _sequence() -> bytes:
    width, height = SIZE[0] // SIDE, SIZE[1] // SIDE // 2
    told = Bits().put(8, 77).put(8, 0).put(8, 21).exp(0, 4, 0, 4, 1).put(1, 0).exp(width - 1, height - 1)
    told.put(1, 0).put(1, 0).put(1, 1).put(1, 0)  # fields, not mixed in a picture; no edges to leave out
    usability = told.put(1, 1).put(5, 1).put(32, 1).put(32, 2 * EACH).put(1, 1)
    return usability.put(2, 0).put(1, 1).put(1, 0).unit(SEQUENCE)


def paff(work: Path) -> bytes:
    """A stream of raw pictures (`picture`, in 4:2:0)."""
    raw = np.frombuffer((work / "picture").read_bytes(), np.uint8)
    pixels = SIZE[0] * SIZE[1]
    shown = raw.reshape(-1, pixels * 3 // 2)
    parameters = Bits().exp(0, 0).put(1, 0).put(1, 1).exp(0, 0, 0).put(3, 0).exp(0, 0, 0).put(3, 0b100).unit(PICTURE)
    stream = b""
    for number, picture in enumerate(shown):
        first, quarter = number % GROUP == 0, pixels // 4
        stream += Bits().put(3, 7).put(4, 0).unit(DELIMITER) + (_sequence() + parameters if first else b"")
        planes = (picture[:pixels], picture[pixels : pixels + quarter], picture[pixels + quarter :])
        stream += b"".join(_field(planes, number, bottom) for bottom in (0, 1))
    return stream


def _field(planes: tuple[np.ndarray, ...], number: int, bottom: int) -> bytes:
    key, place = number % GROUP == 0 and not bottom, number % GROUP
    head = Bits().exp(0, 7, 0).put(8, place).put(1, 1).put(1, bottom)
    head = (head.exp(number // GROUP % 2) if key else head).put(8, 2 * place + bottom)
    head.put(2 if key else 1, 0).exp(0, 1)
    sides = (SIDE, SIDE // 2, SIDE // 2)
    lines = [plane.reshape(-1, SIZE[0] // SIDE * side)[bottom::2] for plane, side in zip(planes, sides, strict=True)]
    for row in range(SIZE[1] // SIDE // 2):
        for column in range(SIZE[0] // SIDE):
            blocks = [
                plane[row * side : (row + 1) * side, column * side : (column + 1) * side]
                for plane, side in zip(lines, sides, strict=True)
            ]
            head.exp(25).raw(b"".join(np.maximum(block, 1).tobytes() for block in blocks))
    return head.unit(KEY if key else OTHER)
