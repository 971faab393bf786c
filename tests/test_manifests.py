"""Manifests of every ladder by the rules of HLS and DASH, which are told apart from such as break them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from judged import Made, copied
from manifests import of_dash, of_hls

pytestmark = pytest.mark.thorough

RULES = {"hls": ("RFC 8216 by m3u8", of_hls), "dash": ("DASH-IF's rules by mpegdash", of_dash)}


@pytest.mark.parametrize("preset", RULES)
def test_the_manifests_of_a_ladder_keep_the_rules(
    outputs: list[Made], preset: str, record_property: Callable[[str, object], None]
) -> None:
    judge, complaints = RULES[preset]
    cases = [made for made in outputs if made.preset.name == preset]
    record_property("judged", (judge, len(cases)))
    assert {made.name: found for made in cases if (found := complaints(made.path))} == {}


def edited(manifest: str, pattern: str, by: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        text = (folder / manifest).read_text()
        assert re.search(pattern, text)
        (folder / manifest).write_text(re.sub(pattern, by, text))

    return edit


def swapped(one: str, other: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        (folder / one).rename(folder / "between")
        (folder / other).rename(folder / one)
        (folder / "between").rename(folder / other)

    return edit


def removed(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


FAULTS = {
    "hls": {
        "bandwidth of the picture alone": edited("master.m3u8", r"(?<=:)BANDWIDTH=(\d+)\d", r"BANDWIDTH=\1"),
        "another codec": edited("master.m3u8", "avc1.42c0", "avc1.6400"),
        "two defaults": edited("master.m3u8", "DEFAULT=NO", "DEFAULT=YES"),
        "a target too short": edited("360p/index.m3u8", "TARGETDURATION:1", "TARGETDURATION:0"),
        "no end": edited("240p/index.m3u8", "#EXT-X-ENDLIST\n", ""),
        "another length": edited("360p/index.m3u8", "EXTINF:1.0", "EXTINF:1.2"),
        "another order": swapped("360p/index1.m4s", "360p/index2.m4s"),
        "a segment missing": removed("240p/index1.m4s"),
    },
    "dash": {
        "a bandwidth too low": edited("manifest.mpd", r'bandwidth="(\d+)\d"', r'bandwidth="\1"'),
        "another codec": edited("manifest.mpd", "avc1.42c0", "avc1.6400"),
        "another shape": edited("manifest.mpd", 'par="16:9"', 'par="4:3"'),
        "another begin": edited("manifest.mpd", 't="0"', 't="640"'),
        "another end": edited("manifest.mpd", 'mediaPresentationDuration="PT5', 'mediaPresentationDuration="PT6'),
        "another order": swapped("chunk-stream0-00002.m4s", "chunk-stream0-00003.m4s"),
        "a segment missing": removed("chunk-stream1-00002.m4s"),
    },
}


@pytest.mark.parametrize(
    ("preset", "fault"), [(preset, fault) for preset, faults in FAULTS.items() for fault in faults]
)
def test_a_manifest_that_breaks_a_rule_is_found(outputs: list[Made], preset: str, fault: str, tmp_path: Path) -> None:
    made = next(made for made in outputs if made.preset.name == preset and made.source.name == "serial.mp4")
    copy = copied(made, tmp_path)
    FAULTS[preset][fault](copy)
    _, complaints = RULES[preset]
    assert complaints(copy)
