"""Reads from manifests of adaptive streaming the renditions of an HLS or DASH folder, and the files of each.

They are read as ffmpeg writes them, from a folder of ours; FFmpeg itself is never given one, since it would open
whatever a playlist names.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple
from xml.etree import ElementTree

from daemon.errors import ManifestError

MASTERS = {"hls": "master.m3u8", "dash": "manifest.mpd"}  # what a player is given
DASH = "{urn:mpeg:dash:schema:mpd:2011}"
MAX_SEGMENTS = 100_000  # of one rendition
MAX_FILES = 500_000  # of all renditions
MAX_PLAYLISTS = 300  # every rung, and as many sounds as a source may have
NAME = re.compile(r"[\w.-]{1,200}(?:/[\w.-]{1,200}){0,3}", re.ASCII)  # as the encoder calls files of a folder


class Rendition(NamedTuple):
    """A rendition is one rung or one sound: `names` are its files in order, the initialisation first.

    `seconds` is what its segments last, as the manifest says, and `language` what it says of a sound.
    """

    names: tuple[str, ...]
    seconds: float
    language: str | None = None


def bounded(renditions: Iterable[Rendition]) -> list[Rendition]:
    """Collects renditions of a folder. Raises ManifestError if they name too many files: a line may name 100,000."""
    found: list[Rendition] = []
    count = 0
    for rendition in renditions:
        found.append(rendition)
        count += len(rendition.names)
        if count > MAX_FILES:
            raise ManifestError(f"the manifest names more than {MAX_FILES} files")
    return found


# HLS


def playlists(master: str) -> list[str]:
    """Names the media playlists that a master playlist lists. Raises ManifestError when it is none."""
    if not master.startswith("#EXTM3U"):
        raise ManifestError("the master playlist does not begin as one")
    lines = master.splitlines()
    renditions = [found[1] for line in lines if (found := re.match(r'#EXT-X-MEDIA:.*URI="([^"]+)"', line))]
    variants = [line for line in lines if line and not line.startswith("#")]
    listed = list(dict.fromkeys([*variants, *renditions]))
    if len(listed) > MAX_PLAYLISTS:
        raise ManifestError(f"the master playlist lists {len(listed)} playlists")
    return [_within(name) for name in listed]


def languages(master: str) -> dict[str, str]:
    """Returns the languages of sounds, by the name of the media playlist, that a master playlist tells."""
    lines = re.findall(r"^#EXT-X-MEDIA:.*$", master, re.MULTILINE)
    told = ((re.search(r'URI="([^"]+)"', line), re.search(r'LANGUAGE="([^"]{1,35})"', line)) for line in lines)
    return {place[1]: language[1] for place, language in told if place and language}


def playlist(text: str, folder: str) -> Rendition:
    """Returns the rendition of a media playlist that lies in `folder`. Raises ManifestError when it is not finished."""
    start = re.search(r'^#EXT-X-MAP:URI="([^"]+)"', text, re.MULTILINE)
    lengths = re.findall(r"^#EXTINF:(\d{1,9}(?:\.\d+)?),", text, re.MULTILINE)
    segments = [line for line in text.splitlines() if line and not line.startswith("#")]
    if not start or not text.startswith("#EXTM3U") or "#EXT-X-ENDLIST" not in text:
        raise ManifestError(f"the playlist in {folder} is not complete")
    if not 0 < len(segments) <= MAX_SEGMENTS or len(segments) != len(lengths):
        raise ManifestError(f"the playlist in {folder} lists {len(segments)} segments and {len(lengths)} durations")
    names = tuple(f"{folder}/{_within(name)}" for name in (start[1], *segments))
    return Rendition(names, sum(map(float, lengths)))


class Rate(NamedTuple):
    """A rate is what a rendition takes, in bits per second: at most, and on average."""

    most: int
    average: int


def rate(text: str, sizes: Sequence[int]) -> Rate:
    """Returns what the segments of a media playlist take, which have so many bytes. The most is, as RFC 8216 has it,
    that of any of them in a row that last about the target of the playlist: between 0.5 and 1.5 times as long."""
    lengths = [float(length) for length in re.findall(r"^#EXTINF:([\d.]+),", text, re.MULTILINE)]
    target = float(re.findall(r"^#EXT-X-TARGETDURATION:(\d+)", text, re.MULTILINE)[0])
    average = 8 * sum(sizes) / sum(lengths)
    return Rate(math.ceil(max(_rates(lengths, sizes, target), default=average)), math.ceil(average))


def _rates(lengths: Sequence[float], sizes: Sequence[int], target: float) -> Iterator[float]:
    for first in range(len(lengths)):
        seconds, bits = 0.0, 0
        for length, size in zip(lengths[first:], sizes[first:], strict=True):
            seconds, bits = seconds + length, bits + 8 * size
            if seconds > 1.5 * target:
                break
            if seconds >= 0.5 * target:
                yield bits / seconds


def with_rates(master: str, rates: Mapping[str, Rate]) -> str:
    """Returns the master playlist with what each of its variants takes together with the sound that takes most.

    `rates` are by the name of the media playlist. FFmpeg tells those of the picture alone, so that players that choose
    by them run dry.
    """
    heard = [rates[name] for name in re.findall(r'#EXT-X-MEDIA:.*URI="([^"]+)"', master)]
    most, average = max((one.most for one in heard), default=0), max((one.average for one in heard), default=0)

    def told(variant: re.Match[str]) -> str:
        told_of, name = variant.groups()
        beside = Rate(most, average) if "AUDIO=" in told_of else Rate(0, 0)
        line = re.sub(r"(?<=[:,])BANDWIDTH=\d+", f"BANDWIDTH={rates[name].most + beside.most}", told_of)
        line = re.sub(r"AVERAGE-BANDWIDTH=\d+", f"AVERAGE-BANDWIDTH={rates[name].average + beside.average}", line)
        return f"{line}\n{name}"

    return re.sub(r"^(#EXT-X-STREAM-INF:.*)\n(.+)$", told, master, flags=re.MULTILINE)


# DASH


def representations(manifest: str) -> list[Rendition]:
    """Returns the renditions of a DASH manifest. Raises ManifestError when it cannot be read."""
    if "<!" in manifest:  # entities, of which a few lines make gigabytes
        raise ManifestError("the manifest cannot be read: it declares a type of its own")
    try:
        root = ElementTree.fromstring(manifest)
        told = {node: among.get("lang") for among in root.iter(f"{DASH}AdaptationSet") for node in among.iter(_ONE)}
        return bounded(_representation(node)._replace(language=told.get(node)) for node in root.iter(_ONE))
    except (ElementTree.ParseError, KeyError, ValueError, ArithmeticError) as error:
        raise ManifestError(f"the manifest cannot be read: {error!r}") from error


_ONE = f"{DASH}Representation"


def _representation(node: ElementTree.Element) -> Rendition:
    template = node.find(f"{DASH}SegmentTemplate")
    if template is None:
        raise ManifestError("a representation has no segments")
    ticks = list(itertools.islice(_timeline(template), MAX_SEGMENTS))
    first = int(template.get("startNumber", "1"))
    identifier, media = node.attrib["id"], template.attrib["media"]
    numbered = (_filled(media, identifier, number) for number in range(first, first + len(ticks)))
    names = map(_within, itertools.chain([_filled(template.attrib["initialization"], identifier, 0)], numbered))
    return Rendition(tuple(names), sum(ticks) / int(template.attrib["timescale"]))


def _timeline(template: ElementTree.Element) -> Iterator[int]:
    """Length of each segment, in ticks."""
    for entry in template.iter(f"{DASH}S"):
        yield from itertools.repeat(int(entry.attrib["d"]), 1 + int(entry.get("r", "0")))


def _filled(template: str, identifier: str, number: int) -> str:
    """`chunk-$RepresentationID$-$Number%05d$.m4s` → `chunk-0-00001.m4s`."""
    named = template.replace("$RepresentationID$", identifier)
    return re.sub(r"\$Number(?:%0(\d{1,2})d)?\$", lambda found: f"{number:0{found[1] or 1}}", named)


def _within(name: str) -> str:
    """Returns the name, if it lies in the manifest's own folder. Raises ManifestError."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or ":" in name or "\\" in name:
        raise ManifestError(f"the manifest names {name[:80]!r}, which lies outside its folder")
    if not NAME.fullmatch(name):
        raise ManifestError(f"the manifest names {name[:80]!r}, as no file of ours is called")
    return path.as_posix()
