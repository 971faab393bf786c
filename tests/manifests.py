"""What is wrong with the manifests of a ladder, as far as a folder shows, by the rules of HLS and DASH.

HLS's are those of RFC 8216 and Apple's for authors, DASH's those of ISO 23009-1 and DASH-IF's for interoperability.
Manifests are read by m3u8 and mpegdash, segments here.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import m3u8
from mpegdash.parser import MPEGDASHParser

SHARE = 0.1  # by which a segment may be above the bandwidth that Apple's rules allow
TICK = 0.002  # seconds
FRAME = 0.025  # seconds of sound, by which the first and last segment may be told longer
NO_SYNC = 0x10000  # a sample's flag


@dataclass(frozen=True)
class Segment:
    """Of one track: when it begins and how long it lasts, in seconds, and whether it begins with a key frame."""

    start: float
    seconds: float
    bits: int
    key: bool


def boxes(data: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        assert size >= 8, f"a box of {size} bytes"
        yield name.decode("latin-1"), data[at + 8 : at + size]
        at += size


def box(data: bytes, *path: str) -> bytes:
    for name in path:
        data = next(held for called, held in boxes(data) if called == name)
    return data


def segment(init: Path, path: Path) -> Segment:
    moov = box(init.read_bytes(), "moov")
    clock = box(moov, "trak", "mdia", "mdhd")
    timescale = struct.unpack_from(">I", clock, 20 if clock[0] else 12)[0]
    trex = struct.unpack_from(">5I", box(moov, "mvex", "trex"), 4)
    traf = box(path.read_bytes(), "moof", "traf")
    decode_time = box(traf, "tfdt")
    start = struct.unpack_from(">Q" if decode_time[0] else ">I", decode_time, 4)[0]
    lasts, flags = _defaults(box(traf, "tfhd"), trex[2], trex[4])
    lengths, first = _samples(box(traf, "trun"), lasts, flags)
    hidden, end = _hidden(moov), start + sum(lengths)
    begins = max(0, start - hidden)
    return Segment(
        begins / timescale, (end - hidden - begins) / timescale, path.stat().st_size * 8, not first & NO_SYNC
    )


def _hidden(moov: bytes) -> int:
    """Ticks that an edit list leaves out before the first: what an encoder of sound puts there."""
    at = moov.find(b"elst")
    return max(0, struct.unpack_from(">qq" if moov[at + 4] else ">ii", moov, at + 12)[1]) if at >= 0 else 0


def _defaults(tfhd: bytes, lasts: int, flags: int) -> tuple[int, int]:
    told, at = int.from_bytes(tfhd[1:4], "big"), 8
    at += 8 * bool(told & 1) + 4 * bool(told & 2)
    if told & 8:
        lasts = struct.unpack_from(">I", tfhd, at)[0]
    at += 4 * bool(told & 8) + 4 * bool(told & 0x10)
    return lasts, struct.unpack_from(">I", tfhd, at)[0] if told & 0x20 else flags


def _samples(trun: bytes, lasts: int, flags: int) -> tuple[list[int], int]:
    """How long each lasts, and the flags of the first."""
    told, count = int.from_bytes(trun[1:4], "big"), struct.unpack_from(">I", trun, 4)[0]
    at = 8 + 4 * bool(told & 1)
    if told & 4:
        flags = struct.unpack_from(">I", trun, at)[0]
    at += 4 * bool(told & 4)
    fields = [bit for bit in (0x100, 0x200, 0x400, 0x800) if told & bit]
    rows = [struct.unpack_from(f">{len(fields)}I", trun, at + 4 * len(fields) * n) for n in range(count)]
    told_each = [dict(zip(fields, row, strict=True)) for row in rows]
    first = flags if told & 4 or not told_each else told_each[0].get(0x400, flags)
    return [row.get(0x100, lasts) for row in told_each], first


def codec(init: Path) -> str:
    """As RFC 6381 has it."""
    whole = init.read_bytes()
    if (at := whole.find(b"avcC")) >= 0:
        return f"avc1.{whole[at + 5 : at + 8].hex()}"
    return "mp4a.40.2"


# HLS


def of_hls(folder: Path) -> list[str]:
    master = m3u8.load(str(folder / "master.m3u8"))
    found = [f"{name} is missing" for name in _named(master) if not (folder / name).is_file()]
    if found or not master.is_variant:
        return found or ["it is no master playlist"]
    sounds = [_rendition(folder / media.uri) for media in master.media]
    loudest = max((_peak(segments) for _, segments, _ in sounds), default=0.0)
    for variant in master.playlists:
        told, segments, init = _rendition(folder / variant.uri)
        found += [f"{variant.uri}: {words}" for words in _of_playlist(told, segments, picture=True)]
        found += [f"{variant.uri}: {words}" for words in _of_variant(variant.stream_info, segments, init, loudest)]
    for media, (told, segments, _) in zip(master.media, sounds, strict=True):
        found += [f"{media.uri}: {words}" for words in _of_playlist(told, segments, picture=False)]
    starts = {tuple(round(one.start, 2) for one in _rendition(folder / one.uri)[1]) for one in master.playlists}
    found += ["segments of its sizes do not begin together"] if len(starts) > 1 else []
    if master.media and [media.default for media in master.media].count("YES") != 1:
        found.append("not one of its sounds is the default")
    return found


def _named(master: Any) -> list[str]:
    return [*(one.uri for one in master.playlists), *(one.uri for one in master.media)]


def _rendition(path: Path) -> tuple[Any, list[Segment], Path]:
    told = m3u8.load(str(path))
    init = path.parent / told.segment_map[0].uri
    names = [path.parent / one.uri for one in told.segments]
    return told, [segment(init, name) for name in names if name.is_file()], init


def _peak(segments: list[Segment]) -> float:
    """Bits per second at most; the last one may be a rest."""
    return max(one.bits / one.seconds for one in segments if one.seconds > 0.5 or len(segments) == 1)


def _of_playlist(told: Any, segments: list[Segment], *, picture: bool) -> Iterator[str]:
    lengths = [one.duration for one in told.segments]
    if len(lengths) != len(segments):
        yield "segments are missing"
        return
    if not told.is_endlist or told.playlist_type != "vod":
        yield "it does not say that it is complete"
    if int(told.version or 1) < 6:
        yield "EXT-X-MAP takes version 6"
    if told.target_duration < max(round(length) for length in lengths):
        yield f"segments are longer than the target of {told.target_duration} s"
    if picture and not told.is_independent_segments:
        yield "it does not say that segments are independent"
    if any(abs(length - one.seconds) > FRAME for length, one in zip(lengths, segments, strict=True)):
        yield f"segments last {[one.seconds for one in segments]} s instead of {lengths}"
    yield from _of_times(segments)


def _of_times(segments: list[Segment]) -> Iterator[str]:
    for before, after in pairwise(segments):
        if abs(before.start + before.seconds - after.start) > TICK:
            yield f"a segment begins at {after.start} s, after one that ends at {before.start + before.seconds} s"
    if not all(one.key for one in segments):
        yield "a segment does not begin with a key frame"


def _of_variant(told: Any, segments: list[Segment], init: Path, loudest: float) -> Iterator[str]:
    if (peak := _peak(segments) + loudest) > told.bandwidth * (1 + SHARE):
        yield f"{peak:.0f} bits per second are more than the {told.bandwidth} it tells"
    if (told.average_bandwidth or 0) > told.bandwidth:
        yield "on average it takes more than at most"
    if codec(init) not in told.codecs.split(","):
        yield f"its codec is {codec(init)}, not {told.codecs}"
    if not told.resolution:
        yield "it does not tell its size"


# DASH


def of_dash(folder: Path) -> list[str]:
    manifest = MPEGDASHParser.parse(str(folder / "manifest.mpd"))
    seconds = _seconds(manifest.media_presentation_duration or "PT0S")
    found = [] if manifest.type == "static" and seconds else ["it is not told how long it lasts"]
    if "urn:mpeg:dash:profile:isoff-live:2011" not in (manifest.profiles or ""):
        found.append("it names no profile")
    buffered = _seconds(manifest.min_buffer_time)
    longest = _seconds(manifest.max_segment_duration or "PT0S")
    for group in manifest.periods[0].adaptation_sets:
        found += _of_set(group)
        timelines = set()
        for one in group.representations:
            template = one.segment_templates[0]
            times = list(_timeline(template))
            timelines.add(tuple(times))
            words = [*_of_representation(one, group), *_of_segments(folder, one, template, times, buffered)]
            ends = times[-1][0] + times[-1][1]
            words += [f"it ends at {ends} s, not {seconds} s"] if abs(ends - seconds) > 0.1 else []
            words += ["a segment is too long"] if max(length for _, length in times) > longest + 0.1 else []
            found += [f"representation {one.id}: {word}" for word in words]
        found += ["segments of its sizes do not begin together"] if len(timelines) > 1 else []
    names = [one.id for group in manifest.periods[0].adaptation_sets for one in group.representations]
    return found if len(names) == len({*names}) else [*found, "two representations have one name"]


def _seconds(text: str) -> float:
    found = re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?", text)
    assert found, text
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


def _timeline(template: Any) -> Iterator[tuple[float, float]]:
    """When each segment begins and how long it lasts, in seconds."""
    at = 0
    for entry in template.segment_timelines[0].Ss:
        at = at if entry.t is None else entry.t
        for _ in range(1 + (entry.r or 0)):
            yield at / template.timescale, entry.d / template.timescale
            at += entry.d


def _of_set(group: Any) -> Iterator[str]:
    if group.segment_alignment not in {True, "true"} or str(group.start_with_sap) != "1":
        yield "segments are not said to be aligned and to begin with key frames"
    if group.content_type == "video" and not (group.par and group.max_width and group.max_height):
        yield "it does not tell its shape"
    if group.content_type not in {"video", "audio"}:
        yield f"it is of {group.content_type}"


def _of_representation(one: Any, group: Any) -> Iterator[str]:
    if not (one.bandwidth and one.codecs and one.mime_type):
        yield "it does not tell its bandwidth, codecs and type"
    if group.content_type == "video":
        across, down = (int(part) for part in one.sar.split(":"))
        wide, high = (int(part) for part in group.par.split(":"))
        if abs(Fraction(one.width * across, one.height * down) / Fraction(wide, high) - 1) > 0.001:
            yield f"{one.width}×{one.height} of {one.sar} are not {group.par}"
    elif not (one.audio_sampling_rate and one.audio_channel_configurations):
        yield "it does not tell its sampling rate and channels"


def _of_segments(
    folder: Path, one: Any, template: Any, times: list[tuple[float, float]], buffered: float
) -> Iterator[str]:
    named = template.media.replace("$RepresentationID$", one.id)
    first = template.start_number or 1
    paths = [folder / named.replace("$Number%05d$", f"{n:05}") for n in range(first, first + len(times))]
    init = folder / template.initialization.replace("$RepresentationID$", one.id)
    if not all(path.is_file() for path in [init, *paths]):
        yield "segments are missing"
        return
    segments = [segment(init, path) for path in paths]
    for (start, lasts), there in zip(times, segments, strict=True):
        if abs(start - there.start) > TICK or abs(lasts - there.seconds) > TICK:
            yield f"a segment is told at {start} s for {lasts} s, and there at {there.start} s for {there.seconds} s"
    yield from _of_times(segments)
    if codec(init) != one.codecs:
        yield f"its codec is {codec(init)}, not {one.codecs}"
    yield from _of_bandwidth(segments, one.bandwidth, buffered)


def _of_bandwidth(segments: list[Segment], bandwidth: int, buffered: float) -> Iterator[str]:
    """A player that waits until it has as much as `minBufferTime` takes never runs dry, wherever it begins."""
    for first in range(len(segments)):
        needed = list(accumulate(one.bits for one in segments[first:]))
        played = [0.0, *accumulate(one.seconds for one in segments[first:])]
        for bits, seconds in zip(needed, played, strict=False):
            if bits > bandwidth * (buffered + seconds) * (1 + SHARE):
                yield f"{bits} bits by {seconds} s do not arrive at {bandwidth} bits per second"
                return
