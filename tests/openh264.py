"""Decodes a raw H.264 stream by OpenH264, Cisco's decoder, and prints the MD5 of each picture, as they are decoded.

A program of its own, since a library that a spoilt stream crashes takes its process with it.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

LIBRARY = "libopenh264.so.7"
OPTION_FRAMES_REMAINING = 18


class Parameters(ctypes.Structure):
    _fields_ = [
        ("restructed", ctypes.c_char_p),
        ("load", ctypes.c_uint),
        ("layer", ctypes.c_ubyte),
        ("concealment", ctypes.c_int),
        ("parse_only", ctypes.c_bool),
        ("size", ctypes.c_uint),
        ("stream", ctypes.c_int),
    ]


class Picture(ctypes.Structure):
    _fields_ = [
        ("ready", ctypes.c_int),
        ("came", ctypes.c_ulonglong),
        ("goes", ctypes.c_ulonglong),
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("format", ctypes.c_int),
        ("stride", ctypes.c_int * 2),
        ("planes", ctypes.c_void_p * 3),  # told beside it as well
    ]


def method(decoder: ctypes.c_void_p, number: int, *types: type) -> Callable[..., int]:
    """That one of its table of virtual functions."""
    table = ctypes.cast(decoder, ctypes.POINTER(ctypes.POINTER(ctypes.c_void_p)))[0]
    return ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_void_p, *types)(table[number])


def main(path: Path) -> None:
    library, decoder = ctypes.CDLL(LIBRARY), ctypes.c_void_p()
    library.WelsCreateDecoder(ctypes.byref(decoder))
    initialize = method(decoder, 0, ctypes.c_void_p)
    decode = method(decoder, 3, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    flush = method(decoder, 5, ctypes.c_void_p, ctypes.c_void_p)
    option = method(decoder, 9, ctypes.c_int, ctypes.c_void_p)
    assert initialize(decoder, ctypes.byref(Parameters(size=8, stream=0))) == 0
    digests: list[str] = []
    for unit in re.split(rb"\x00\x00\x00?\x01", path.read_bytes())[1:]:
        picture, planes, data = Picture(), (ctypes.c_void_p * 3)(), b"\0\0\0\1" + unit
        if state := decode(decoder, data, len(data), planes, ctypes.byref(picture)):
            print(f"error {state}")
        digests += taken(picture, planes)
    left = ctypes.c_int()
    option(decoder, OPTION_FRAMES_REMAINING, ctypes.byref(left))
    for _ in range(left.value):
        picture, planes = Picture(), (ctypes.c_void_p * 3)()
        flush(decoder, planes, ctypes.byref(picture))
        digests += taken(picture, planes)
    print("\n".join(digests))


def taken(picture: Picture, planes: ctypes.Array[ctypes.c_void_p]) -> Iterator[str]:
    """The MD5 of the picture, if one is ready."""
    if picture.ready != 1:
        return
    digest = hashlib.md5()
    for plane, half, stride in zip(planes, (1, 2, 2), (picture.stride[0], *[picture.stride[1]] * 2), strict=True):
        for row in range(picture.height // half):
            digest.update(ctypes.string_at(plane + row * stride, picture.width // half))
    yield digest.hexdigest()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
