"""HEIC files as phones write them: one coded picture, or a grid of tiles that together are one."""

from __future__ import annotations

import struct
from pathlib import Path

import av


def heic(film: Path, tiles: int = 1) -> bytes:
    """A still of the first frame of an HEVC film in an MP4, shown once, or as a row of so many tiles."""
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        setup, size = bytes(stream.codec_context.extradata or b""), (stream.width, stream.height)
        coded = bytes(next(container.demux(stream)))
    grid = struct.pack(">BBBBHH", 0, 0, 0, tiles - 1, size[0] * tiles, size[1])
    items = [(number + 1, b"hvc1", coded) for number in range(tiles)]
    items += [(tiles + 1, b"grid", grid)] if tiles > 1 else []
    head = _box(b"ftyp", b"heic\0\0\0\0mif1heic")
    start = len(head) + len(_meta(items, 0, setup, size, tiles)) + 8
    return head + _meta(items, start, setup, size, tiles) + _box(b"mdat", b"".join(data for _, _, data in items))


def _meta(items: list[tuple[int, bytes, bytes]], start: int, setup: bytes, size: tuple[int, int], tiles: int) -> bytes:
    whole = items[-1][0]
    entries, at = b"", start
    for number, _, data in items:
        entries += struct.pack(">HHHII", number, 0, 1, at, len(data))
        at += len(data)
    described = b"".join(_full(b"infe", struct.pack(">HH", n, 0) + kind + b"\0", version=2) for n, kind, _ in items)
    shapes = _box(b"hvcC", setup) + _shape(size[0], size[1]) + _shape(size[0] * tiles, size[1])
    held = b"".join(
        struct.pack(">HB", n, 2) + bytes([0x81, 2]) if kind == b"hvc1" else struct.pack(">HBB", n, 1, 3)
        for n, kind, _ in items
    )
    refers = struct.pack(f">HH{tiles}H", whole, tiles, *range(1, tiles + 1))
    return _full(
        b"meta",
        _full(b"hdlr", b"\0\0\0\0pict" + bytes(13))
        + _full(b"pitm", struct.pack(">H", whole))
        + _full(b"iloc", b"\x44\0" + struct.pack(">H", len(items)) + entries)
        + _full(b"iinf", struct.pack(">H", len(items)) + described)
        + (_full(b"iref", _box(b"dimg", refers)) if tiles > 1 else b"")
        + _box(b"iprp", _box(b"ipco", shapes) + _full(b"ipma", struct.pack(">I", len(items)) + held)),
    )


def _shape(width: int, height: int) -> bytes:
    return _full(b"ispe", struct.pack(">II", width, height))


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def _full(name: bytes, content: bytes, version: int = 0) -> bytes:
    return _box(name, struct.pack(">I", version << 24) + content)
