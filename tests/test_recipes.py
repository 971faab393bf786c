from __future__ import annotations

import math
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import ffmpeg as ffmpeg_python
import msgspec
import pytest
from conftest import Media as Specimens
from surroundings import given, thorough

from daemon.errors import UnsuitableSource
from daemon.media import describe as reading
from daemon.media.allowlist import GUARDS
from daemon.media.model import AudioStream, Colour, Cover, Media, SubtitleStream, VideoStream
from daemon.models import Contents, VariationRequest
from daemon.presets.builtin import PRESETS
from daemon.presets.library import Library
from daemon.recipes.command import KINDS, Output, command, passes, plan, prospect
from daemon.recipes.picture import turned
from daemon.recipes.recipe import Passed, Plan

PICTURE = VideoStream(
    index=0, codec="h264", width=1920, height=1080, coded_width=1920, coded_height=1080, frame_rate=25.0
)
SURROUND = AudioStream(index=1, codec="ac3", channels=6, sample_rate=48000)
MONO = AudioStream(index=2, codec="aac", channels=1, sample_rate=96000)
ALBUM = Media(
    format="flac",
    duration_seconds=10.0,
    video=None,
    audio=(AudioStream(index=0, codec="flac", channels=2, sample_rate=44100),),
    subtitles=(),
    covers=1,
    cover=Cover(index=1, codec="png", bytes=50_000),
)
FILM = Media(format="matroska,webm", duration_seconds=10.0, video=PICTURE, audio=(SURROUND, MONO), subtitles=())

BEGIN = (
    "ffmpeg -hide_banner -loglevel info -nostats -y -progress pipe:1 -stats_period 0.1 -filter_complex_threads 2"
    f" -codec_whitelist {GUARDS['codec_whitelist']} -format_whitelist {GUARDS['format_whitelist']}"
    " -max_pixels 40000000 -protocol_whitelist file -threads 2 -i file:source "
)
TAGS = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"
FULL_HD = f"-filter_complex [0:0]setsar=1[s0];[s0]{TAGS}[s1];[s1]format=yuv420p[s2] "
HD = f"-filter_complex [0:0]scale=1280:720[s0];[s0]setsar=1[s1];[s1]{TAGS}[s2];[s2]format=yuv420p[s3] "
SD = f"-filter_complex [0:0]scale=854:480[s0];[s0]setsar=1[s1];[s1]{TAGS}[s2];[s2]format=yuv420p[s3] "
SOUND = "-map 0:1 -map 0:2 -f mp4 -ac:a:0 2 -ar:a:1 48000 "
FIRST = " -disposition:a:0 default -disposition:a:1 0 -enc_time_base:v demux -fps_mode vfr"
GOLDEN = {
    "h264-1080p": FULL_HD + "-map [s2] " + SOUND + "-b:a 192k -c:a aac -c:v libx264 -crf 20" + FIRST + ""
    " -movflags +faststart -preset veryfast -t 21.000 -threads 2",
    "h264-720p": HD + "-map [s3] " + SOUND + "-b:a 160k -c:a aac -c:v libx264 -crf 21" + FIRST + ""
    " -movflags +faststart -preset veryfast -t 21.000 -threads 2",
    "h264-480p": SD + "-map [s3] " + SOUND + "-b:a 128k -c:a aac -c:v libx264 -crf 22" + FIRST + ""
    " -movflags +faststart -preset veryfast -t 21.000 -threads 2",
    "hevc-1080p": FULL_HD + "-map [s2] " + SOUND + "-b:a 192k -bf 0 -c:a aac -c:v libx265 -crf 25" + FIRST + ""
    " -movflags +faststart -preset fast -t 21.000 -tag:v hvc1 -threads 2"
    " -x265-params pools=2:log-level=warning",
    "av1-720p": HD + "-map [s3] " + SOUND + "-b:a 160k -c:a aac -c:v libsvtav1 -crf 34" + FIRST + ""
    " -movflags +faststart -preset 8 -svtav1-params lp=2:fps-num=30:fps-denom=1 -t 21.000",
    "webm-720p": HD + "-map [s3] -map 0:1 -map 0:2 -f webm -ac:a:0 2 -ar:a:1 48000 -b:a 128k -b:v 0"
    " -c:a libopus -c:v libvpx-vp9 -cpu-used 4 -crf 33 -deadline good" + FIRST + ""
    " -row-mt 1 -sample_fmt flt -t 21.000 -threads 2",
    "mp3": "-map 0:1 -f mp3 -ac:a:0 2 -b:a 192k -c:a libmp3lame -sample_fmt fltp -t 21.000",
    "m4a": "-map 0:1 -f ipod -ac:a:0 2 -b:a 160k -c:a aac -t 21.000",
    "gif": "-filter_complex [0:0]fps=12:eof_action=pass:start_time=0[s0];[s0]trim=duration=10.0:start=0.0[s1];"
    "[s1]setpts=PTS-STARTPTS[s2];[s2]scale=480:270[s3];[s3]setsar=1[s4];[s4]" + TAGS + "[s5];"
    "[s5]format=yuv444p[s6];[s6]split=2[s7][s8];[s8]palettegen=stats_mode=diff[s9];"
    "[s7][s9]paletteuse=bayer_scale=4:diff_mode=rectangle:dither=bayer[s10]"
    " -map [s10] -f gif -c:v gif -loop 0 -t 21.000",
    "thumbnail-sheet": "-filter_complex [0:0]fps=1.600000:eof_action=pass:start_time=0[s0];[s0]scale=320:180[s1];"
    "[s1]setsar=1[s2];[s2]" + TAGS + "[s3];[s3]scale=out_color_matrix=bt470bg:out_range=pc[s4];[s4]format=yuvj420p[s5];"
    "[s5]setparams=color_primaries=bt709:color_trc=iec61966-2-1:colorspace=bt470bg:range=pc[s6];[s6]tile=4x4[s7]"
    " -map [s7] -f mjpeg -c:v mjpeg -frames:v 1 -q:v 3 -t 86400.000",
    "refresh": "-filter_complex [0:0]scale=1920:1080[s0];[s0]setsar=1[s1];[s1]" + TAGS + "[s2];[s2]format=yuv420p[s3];"
    "[s3]perspective=x0=3.943:x1=1912.407:x2=7.593:x3=1916.057:y0=6.489:y1=0.000:y2=1080.000:y3=1073.511[s4];"
    "[s4]eq=brightness=-0.0433:contrast=1.01:saturation=1.0144[s5]"
    " -map [s5] -map 0:1 -map 0:2 -f mp4 -ac:a:0 2 -ar:a:1 48000 -b:a 160k -c:a aac -c:v libx264 -crf 20"
    + FIRST
    + " -movflags +faststart -preset veryfast -t 21.000 -threads 2",
}
FRONT = "-disposition:v:0 attached_pic"
CALLED = "-metadata:s:v:0 'comment=Cover (front)' -t 21.000"
COVERED = {
    "mp3": f"-map 0:0 -map 0:1 -f mp3 -b:a 192k -c:a libmp3lame -c:v copy {FRONT} -id3v2_version 3 "
    f"{CALLED.replace(' -t', ' -sample_fmt fltp -t')}",
    "m4a": f"-map 0:0 -map 0:1 -f ipod -b:a 160k -c:a aac -c:v copy {FRONT} {CALLED}",
    "flac": f"-map 0:0 -map 0:1 -f flac -c:a flac -c:v copy -compression_level 8 {FRONT} -frame_size 4096 {CALLED}",
    "opus": "-map 0:0 -f opus -b:a 112k -c:a libopus -sample_fmt flt -t 21.000",
}


def outputs(*asked: str | tuple[str, dict[str, Any]], folder: str = "") -> list[Output]:
    entries = [(entry, {}) if isinstance(entry, str) else entry for entry in asked]
    requests = [VariationRequest(preset=name, overrides=overrides) for name, overrides in entries]
    return [
        Output(preset=wanted.preset, parameters=wanted.parameters, path=f"{folder}{wanted.label}.part")
        for wanted in Library().expand(requests)
    ]


def planned(media: Media, preset: str, **overrides: Any) -> Plan:
    """But for what it says to keep of its source."""
    (output,) = outputs((preset, overrides))
    return msgspec.structs.replace(plan(media, output.preset, output.parameters), contents=Contents())


def shown(**changes: Any) -> Media:
    return msgspec.structs.replace(FILM, video=msgspec.structs.replace(PICTURE, **changes))


def arguments(media: Media, *asked: str | tuple[str, dict[str, Any]]) -> str:
    return shlex.join(command("source", media, outputs(*asked), threads=2))


# The command, to the letter


@pytest.mark.parametrize("preset", GOLDEN)
def test_command_of_every_preset(preset: str) -> None:
    (output,) = outputs((preset, {"seed": "a"} if preset == "refresh" else {}))
    expected = f"{BEGIN}{GOLDEN[preset]} file:{preset}{'-01' if preset == 'refresh' else ''}.part"
    assert command("source", FILM, [output], threads=2) == expected.split(" ")


@pytest.mark.parametrize("preset", COVERED)
def test_command_of_every_preset_that_keeps_a_cover(preset: str) -> None:
    expected = f"{BEGIN}{COVERED[preset]} file:{preset}.part"
    assert command("source", ALBUM, outputs(preset), threads=2) == shlex.split(expected)


def test_every_preset_is_of_a_registered_kind_and_every_kind_has_a_preset() -> None:
    assert {preset.kind for preset in PRESETS.values()} == KINDS.keys()


def test_several_outputs_share_one_decode_and_what_their_pictures_have_in_common() -> None:
    both = command("source", FILM, outputs("h264-720p", "h264-720p", "mp3"), threads=2)
    encode = "-f mp4 -ac:a:0 2 -ar:a:1 48000 -b:a 160k -c:a aac -c:v libx264 -crf 21 -disposition:a:0 default"
    encode += " -disposition:a:1 0 -enc_time_base:v demux -fps_mode vfr -movflags +faststart"
    encode += " -preset veryfast -t 21.000 -threads 2"
    expected = (
        f"{BEGIN}-filter_complex [0:0]scale=1280:720[s0];[s0]setsar=1[s1];"
        f"[s1]{TAGS}[s2];[s2]format=yuv420p[s3];[s3]split=2[s4][s5]"
        f" -map [s4] -map 0:1 -map 0:2 {encode} file:h264-720p.part"
        f" -map [s5] -map 0:1 -map 0:2 {encode} file:h264-720p-2.part"
        f" -map 0:1 {GOLDEN['mp3'].removeprefix('-map 0:1 ')} file:mp3.part"
    )
    assert both == expected.split(" ")


def test_names_reach_ffmpeg_as_they_are() -> None:
    (output,) = outputs("mp3")
    odd = "-y 'a' [b]=c:d,e;%d .mp4"
    argv = command(odd, FILM, [msgspec.structs.replace(output, path=odd)], threads=1)
    assert argv[argv.index("-i") + 1] == f"file:{odd}"
    assert argv[-1] == f"file:{odd}"


# Picture


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1920, 1080), (1280, 720)),
        ((1080, 1920), (720, 1280)),
        ((161, 121), (160, 120)),
        ((640, 360), (640, 360)),
        ((3840, 800), (3456, 720)),
        ((20, 4000), (20, 4000)),
        ((1, 1), (2, 2)),
    ],
)
def test_720p_bounds_the_short_side_and_never_enlarges(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert planned(shown(width=size[0], height=size[1]), "h264-720p").video == expected


def test_interlaced_pictures_are_deinterlaced_once_for_all_outputs() -> None:
    words = arguments(shown(interlaced=True), "h264-1080p", "h264-480p")
    assert "[0:0]bwdif=deint=interlaced:mode=send_frame:parity=auto[s0];[s0]split=2[s1][s2];" in words
    assert words.count("bwdif") == 1


def test_small_sizes_are_made_of_larger_ones_unless_these_are_nearly_as_small() -> None:
    uhd = shown(width=3840, height=2160, coded_width=3840, coded_height=2160)
    words = arguments(uhd, "h264-480p", "hevc-1080p", "mobile-540p", "h264-720p")
    assert "[0:0]scale=1920:1080[s0];[s0]split=2[s1][s2];[s1]scale=1280:720[s3];[s3]split=3[s4][s5][s6];" in words
    assert "[s4]scale=854:480" in words  # and not of 960 by 540
    assert "[s5]scale=960:540" in words


@pytest.mark.parametrize(
    ("film", "presets", "graphs"),
    [
        ({}, ["h264-1080p", "hevc-1080p", "webm-1080p", "mp3"], 3),
        ({}, ["h264-1080p", "h264-720p", "h264-480p"], 2),  # of the source; and of 720p, of which 480p is made
        ({}, ["h264-1080p", "h264-720p", "hevc-1080p", "h264-480p"], 3),
        ({"interlaced": True}, ["h264-1080p", "hevc-1080p"], 1),
        ({"interlaced": True}, ["h264-1080p", "archive-hevc"], 2),  # which has 10 bits
        ({"rotation": 180}, ["h264-1080p", "hevc-1080p"], 1),
        ({"pixel_format": "yuv422p"}, ["h264-1080p", "hevc-1080p"], 1),
        ({}, ["mp3", "flac"], 0),
    ],
)
def test_pictures_with_no_work_in_common_get_graphs_of_their_own(
    film: dict[str, Any], presets: list[str], graphs: int
) -> None:
    words = command("source", shown(**{"pixel_format": "yuv420p", **film}), outputs(*presets), threads=8)
    assert words.count("-filter_complex") == graphs
    assert words[words.index("-filter_complex_threads") + 1] == str(8 // max(1, graphs))
    maps = [words[number + 1] for number, word in enumerate(words) if word == "-map" and words[number + 1][0] == "["]
    assert len(maps) == len(set(maps)) == sum(preset not in {"mp3", "flac"} for preset in presets)
    assert words.count("-i") == 1


PQ = Colour(primaries="bt2020", transfer="smpte2084", matrix="bt2020nc", range="tv")


def test_hdr_is_mapped_to_ordinary_screens_in_8_bits() -> None:
    hdr = shown(hdr="pq", bit_depth=10, colour=PQ)
    words = arguments(hdr, "h264-720p")
    assert "color_trc=smpte2084:colorspace=bt2020nc:range=tv[s2];[s2]zscale=npl=203:t=linear[s3]" in words
    assert "[s3]format=gbrpf32le[s4];[s4]zscale=p=709[s5];[s5]tonemap=mobius:desat=0:peak=4.926[s6]" in words
    assert "zscale=dither=ordered:m=709:r=limited:t=709" in words
    assert "sidedata=delete:type=MASTERING_DISPLAY_METADATA" in words
    assert planned(hdr, "h264-720p").colour == Colour(primaries="bt709", transfer="bt709", matrix="bt709", range="tv")


@pytest.mark.parametrize("alike", [["refresh", "refresh"], ["square-1080p", "vertical-1080p", "hls"]])
def test_hdr_is_mapped_once_for_outputs_that_begin_alike(alike: list[str]) -> None:
    words = arguments(shown(hdr="pq", bit_depth=10, colour=PQ), *alike)
    assert words.count("tonemap") == 1
    assert words.count(" -map '[s") >= len(alike)


def test_hdr_that_is_kept_shares_no_process() -> None:
    """FFmpeg tells the mastering display to the first output of a graph alone."""
    hdr, deep = shown(hdr="pq", bit_depth=10, colour=PQ), outputs(("hevc-1080p", {"bit_depth": 10}))[0].parameters
    assert not prospect(hdr, "hevc-1080p", deep).shareable
    assert prospect(hdr, "hevc-1080p", {**deep, "bit_depth": 8}).shareable
    assert prospect(FILM, "hevc-1080p", deep).shareable


def test_hdr_is_kept_in_10_bits_unless_mapping_is_asked_for() -> None:
    hdr = shown(hdr="pq", bit_depth=10, colour=PQ)
    assert "format=yuv420p10le" in arguments(hdr, ("hevc-1080p", {"bit_depth": 10}))
    assert planned(hdr, "hevc-1080p", bit_depth=10).colour == PQ
    assert "tonemap=hable" in arguments(hdr, ("hevc-1080p", {"bit_depth": 10, "tone_map": "hable"}))


@pytest.mark.parametrize(
    ("width", "height", "matrix"), [(1280, 720, "bt709"), (720, 576, "bt470bg"), (640, 480, "smpte170m")]
)
def test_an_untagged_picture_is_tagged_as_players_take_it(width: int, height: int, matrix: str) -> None:
    changes = {"width": width, "height": height, "coded_width": width, "coded_height": height}
    colour = planned(shown(**changes), "h264-1080p").colour
    assert colour is not None
    assert (colour.matrix, colour.range) == (matrix, "tv")


def test_full_range_becomes_limited() -> None:
    assert "scale=out_range=tv" in arguments(shown(colour=Colour(range="pc")), "h264-720p").replace(
        "out_color_matrix=bt709:", ""
    )


def test_alpha_is_kept_in_webm_and_laid_on_a_colour_elsewhere() -> None:
    clear = shown(alpha=True, codec="vp9")
    assert "format=yuva420p" in arguments(clear, "webm-720p")
    assert "-c:0 libvpx-vp9" in arguments(clear, "webm-720p")
    words = arguments(clear, ("h264-720p", {"alpha_colour": "#ff8800"}))
    assert "drawbox=color=0xff8800@1:replace=1:thickness=fill" in words
    assert "format=gbrp" in words


def test_interlacing_is_dealt_with_as_asked() -> None:
    assert "bwdif" not in arguments(shown(interlaced=True), ("h264-720p", {"deinterlace": "never"}))
    assert "bwdif=deint=all" in arguments(shown(), ("h264-720p", {"deinterlace": "always"}))


# Sound, subtitles, tags


def test_the_default_track_comes_first_with_its_language_even_when_metadata_go() -> None:
    german = msgspec.structs.replace(MONO, language="ger", default=True)
    words = arguments(msgspec.structs.replace(FILM, audio=(SURROUND, german)), ("h264-720p", {"metadata": "strip"}))
    assert "-map 0:2 -map 0:1" in words
    assert "-map_metadata -1" in words
    assert "-metadata:s:a:0 language=ger" in words


def test_gaps_in_sound_become_silence() -> None:
    gapped = msgspec.structs.replace(MONO, gap_seconds=1.5)
    assert "-filter:a:0 aresample=async=1" in arguments(msgspec.structs.replace(FILM, audio=(gapped,)), "h264-720p")


def test_surround_is_kept_where_it_is_asked_for() -> None:
    words = arguments(FILM, ("h264-720p", {"max_channels": 6}))
    assert "-ac:a:0" not in words
    assert "-filter:a:0 aformat=channel_layouts=5.1" in words


def test_text_subtitles_are_carried_where_the_container_takes_them() -> None:
    text = SubtitleStream(index=3, codec="ass")
    bitmap = SubtitleStream(index=4, codec="hdmv_pgs_subtitle", text=False)
    media = msgspec.structs.replace(FILM, subtitles=(text, bitmap))
    assert "-map 0:3 -f mp4" in arguments(media, "h264-720p")
    assert "-c:s mov_text" in arguments(media, "h264-720p")
    assert "-c:s webvtt" in arguments(media, "webm-720p")
    assert "-c:s" not in arguments(media, ("h264-720p", {"subtitles": "drop"}))
    assert planned(media, "h264-720p").subtitles == 1


def test_chapters_go_when_they_are_dropped() -> None:
    assert "-map_chapters -1" in arguments(FILM, ("h264-720p", {"chapters": "drop"}))


def test_a_cover_is_kept_with_sound_alone() -> None:
    assert [planned(ALBUM, preset).covers for preset in ("mp3", "m4a", "flac", "m4a-r128", "opus")] == [1, 1, 1, 1, 0]
    assert planned(ALBUM, "remux-mp4").covers == 0


@pytest.mark.parametrize("preset", ["mp3", "m4a", "flac"])
def test_a_cover_goes_with_the_metadata(preset: str) -> None:
    assert planned(ALBUM, preset, metadata="strip").covers == 0
    words = arguments(ALBUM, (preset, {"metadata": "strip"}))
    assert "-map 0:1" not in words
    assert "attached_pic" not in words


def test_flac_takes_no_cover_of_16_mebibytes() -> None:
    large = msgspec.structs.replace(ALBUM, cover=Cover(index=1, codec="png", bytes=2**24))
    assert planned(large, "flac").covers == 0
    assert "-map 0:1" not in arguments(large, "flac")
    assert planned(large, "mp3").covers == 1


def test_sound_is_measured_without_its_cover() -> None:
    (output,) = outputs("m4a-r128")
    runs = passes("source", ALBUM, [output], threads=2)
    measuring = shlex.join(next(runs).argv)
    assert " -map 0:0 -f null " in measuring
    assert "-map 0:1" not in measuring
    said = '{"input_i": "-20.00", "input_tp": "-3.00", "input_lra": "1.00", "input_thresh": "-30.00",'
    levelled = shlex.join(runs.send(Passed(said + ' "target_offset": "0.00"}', 0)).argv)
    assert "-map 0:0 -map 0:1 -f ipod" in levelled
    assert "-c:v copy" in levelled


def test_what_precedes_picture_and_sound_is_left_out() -> None:
    assert "-itsoffset -0.722000" in arguments(msgspec.structs.replace(FILM, lead_seconds=0.722), "h264-720p")


@pytest.mark.parametrize(
    ("rate", "steady", "thinned"),
    [
        (25.0, True, None),
        (60.0, True, None),
        (240.0, True, "[s0]fps=60.000000"),
        (100.0, True, "[s0]fps=50.000000"),
        (119.88, False, "select="),
        (None, True, "select="),
    ],
)
def test_frames_beyond_the_maximum_rate_are_dropped(rate: float | None, steady: bool, thinned: str | None) -> None:
    words = arguments(shown(frame_rate=rate, variable_frame_rate=not steady), "h264-720p")
    assert thinned in words if thinned else "fps=" not in words and "select=" not in words


def test_a_refreshed_picture_keeps_its_size_but_for_odd_pixels() -> None:
    assert planned(shown(width=161, height=121), "refresh").video == (160, 120)


# Plans


def test_plan_of_a_film() -> None:
    assert planned(FILM, "webm-720p") == Plan(
        container="webm",
        duration_seconds=10.0,
        video=(1280, 720),
        audio=2,
        colour=Colour(primaries="bt709", transfer="bt709", matrix="bt709", range="tv"),
        frame_rate=25.0,
        audio_seconds=(None, None),
        audio_offset=0.0,
    )


def test_plan_of_the_first_sound_lasts_as_long_as_that_stream() -> None:
    shorter = msgspec.structs.replace(SURROUND, duration_seconds=7.5)
    media = msgspec.structs.replace(FILM, audio=(shorter, MONO))
    assert planned(media, "m4a") == Plan(container="ipod", duration_seconds=7.5, video=None, audio=1)


def test_plan_of_an_excerpt_ends_with_its_source() -> None:
    assert planned(FILM, "gif", start_seconds=8).duration_seconds == 2.0
    assert planned(FILM, "gif", start_seconds=1, seconds=3).duration_seconds == 3.0


def test_plan_of_a_sheet_has_no_duration() -> None:
    sheet = planned(FILM, "thumbnail-sheet", columns=3, rows=2)
    assert sheet == Plan(container="mjpeg", duration_seconds=None, video=(960, 360), audio=0, seen_seconds=10.0)


def test_an_unknown_duration_is_planned_as_unknown_and_bounded_by_a_day() -> None:
    media = msgspec.structs.replace(FILM, duration_seconds=None)
    assert planned(media, "h264-720p").duration_seconds is None
    assert " -t 86400.000 " in arguments(media, "h264-720p")


@pytest.mark.parametrize("preset", [p.name for p in PRESETS.values() if p.kind not in {"audio", "remux"}])
def test_a_source_without_picture_suits_sound_only(preset: str) -> None:
    with pytest.raises(UnsuitableSource, match=f"no picture, which the preset {preset} needs"):
        planned(msgspec.structs.replace(FILM, video=None), preset)


@pytest.mark.parametrize("preset", [preset.name for preset in PRESETS.values() if preset.kind == "audio"])
def test_a_source_without_sound_suits_picture_only(preset: str) -> None:
    silent = msgspec.structs.replace(FILM, audio=())
    assert planned(silent, "h264-720p").audio == 0
    with pytest.raises(UnsuitableSource, match=f"no sound, which the preset {preset} needs"):
        planned(silent, preset)


def test_an_excerpt_from_beyond_the_end_is_refused() -> None:
    with pytest.raises(UnsuitableSource, match=r"the source lasts 10\.0 s; nothing is left at 10 s"):
        planned(FILM, "gif", start_seconds=10)


# The real encoder


@pytest.mark.parametrize("size", [(640, 360), (360, 640)])
@pytest.mark.parametrize("angle", [0.001, 0.01])
def test_a_turned_picture_is_what_scaling_and_rotating_give(ffmpeg: str, size: tuple[int, int], angle: float) -> None:
    width, height = size
    zoom = math.cos(angle) + math.sin(angle) * max(width / height, height / width)
    source = ffmpeg_python.input(f"mandelbrot=size={width}x{height}", f="lavfi", t=0.2).filter("format", "yuv444p")
    (copy, other) = (source.split()[number] for number in range(2))
    # Four times as large meanwhile, so that only `turned` blurs.
    large = other.filter("scale", round(width * zoom * 4), round(height * zoom * 4), flags="lanczos")
    rotated = large.filter("rotate", angle, ow=width * 4, oh=height * 4).filter("scale", width, height, flags="area")
    compared = ffmpeg_python.filter([turned(copy, size, angle), rotated], "ssim").output("-", f="null")
    said = encode(ffmpeg, compared.compile())
    assert float(re.search(r"All:([0-9.]+)", said)[1]) > 0.98  # type: ignore[index]


@pytest.mark.parametrize("size", [(640, 360), (360, 640), (500, 500), (160, 120)])
@pytest.mark.parametrize("angle", [0.001, 0.0047, 0.01])
def test_a_turned_picture_has_no_empty_corner(size: tuple[int, int], angle: float) -> None:
    (graph,) = turned(ffmpeg_python.input("a"), size, angle).output("b").get_args()[3:4]
    corners = {name: float(value) for name, value in re.findall(r"([xy]\d)=([0-9.-]+)", graph)}
    assert len(corners) == 8
    assert all(0 <= value <= size[name[0] == "y"] for name, value in corners.items()), corners


QUICK = {"speed": "ultrafast", "short_side": 240}
REFRESHED = ("refresh", {"speed": "ultrafast", "seed": "a"})
SHORT = ("gif", {"seconds": 1, "long_side": 160})


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("turned-270.mp4", [("h264-720p", QUICK), ("hevc-1080p", QUICK), REFRESHED, SHORT, "mp3", "m4a"]),
        thorough("mirrored-90.mp4", [("webm-720p", QUICK), ("av1-720p", QUICK), "thumbnail-sheet"]),
        ("vfr.mkv", [(f, QUICK) for f in ("h264-720p", "hevc-1080p", "av1-720p", "webm-720p")]),
        thorough("640x359.webm", [("h264-720p", QUICK), REFRESHED, SHORT, "thumbnail-sheet"]),
        thorough("default-second.mp4", [("webm-720p", QUICK), "mp3"]),
        ("tff.mkv", [("h264-480p", {"speed": "ultrafast"}), SHORT]),
        thorough("turned-270-hlg.mov", [("h264-720p", QUICK), "thumbnail-sheet"]),
        thorough("wmv.wmv", [("av1-720p", QUICK), SHORT, "thumbnail-sheet", "m4a"]),
        thorough("dv-pal.dv", [SHORT, "thumbnail-sheet"]),
        ("cover.mp3", ["m4a", "mp3"]),
        thorough("surround.m4a", ["mp3", "m4a"]),
        thorough("offset.ts", [("h264-720p", QUICK), "m4a"]),
        thorough("alpha.gif", [("h264-720p", QUICK)]),
    ],
)
def test_sources_become_what_was_planned(
    media: Specimens, ffmpeg: str, tmp_path: Path, name: str, asked: list[Any]
) -> None:
    become_what_was_planned(media(name), ffmpeg, tmp_path, asked)


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("phone_rotated_ios.mov", [("h264-720p", QUICK), ("hevc-1080p", QUICK), REFRESHED, SHORT, "mp3", "m4a"]),
        ("rotate_and_mirror.mp4", [("webm-720p", QUICK), ("av1-720p", QUICK), "thumbnail-sheet"]),
        ("screenrec_vfr.webm", [(f, QUICK) for f in ("h264-720p", "hevc-1080p", "av1-720p", "webm-720p")]),
        ("multi_video_audio_subs.mp4", [("webm-720p", QUICK), "mp3"]),
        ("interlaced_tff_dvd_ntsc.mkv", [("h264-480p", {"speed": "ultrafast"}), SHORT]),
        ("hdr_hlg_dolbyvision_rotated.MOV", [("h264-720p", QUICK), "thumbnail-sheet"]),
        ("wmv2_1000fps.asf", [("av1-720p", QUICK), SHORT, "thumbnail-sheet", "m4a"]),
        ("dv_header_truncated.dv", [SHORT, "thumbnail-sheet"]),
        ("coverart_id3_broken_jpeg.mp3", ["m4a", "mp3"]),
        ("ts_scte35.ts", [("h264-720p", QUICK), "m4a"]),
        ("anim_vfr_58s.gif", [("h264-720p", QUICK)]),
    ],
)
@pytest.mark.outside
def test_real_sources_become_what_was_planned(ffmpeg: str, tmp_path: Path, name: str, asked: list[Any]) -> None:
    become_what_was_planned(given(name), ffmpeg, tmp_path, asked)


def become_what_was_planned(path: Path, ffmpeg: str, folder: Path, asked: list[Any]) -> None:
    source = reading.read_media(str(path))
    wanted = outputs(*asked, folder=f"{folder}/")
    encode(ffmpeg, command(str(path), source, wanted, threads=2))
    for output in wanted:
        expected = plan(source, output.preset, output.parameters)
        made = reading.read_media(output.path)
        assert (made.video and (made.video.width, made.video.height)) == expected.video, output.path
        assert len(made.audio) == expected.audio, output.path
        if expected.duration_seconds is not None:
            assert made.duration_seconds == pytest.approx(expected.duration_seconds, abs=0.25), output.path


@pytest.mark.parametrize("preset", ["h264-720p", thorough("hevc-1080p"), thorough("av1-720p"), "webm-720p"])
def test_every_frame_of_a_screen_recording_is_kept_at_its_time(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    path = tmp_path / "recording.webm"
    seldom = "select='not(mod(n,9))+lt(n,5)+eq(n,60)'"
    pictures = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=4", "-vf", seldom, "-fps_mode", "vfr"]
    encode(ffmpeg, ["ffmpeg", *pictures, "-c:v", "libvpx", "-deadline", "realtime", str(path)])
    source = reading.read_media(str(path))
    (output,) = outputs((preset, QUICK), folder=f"{tmp_path}/")
    encode(ffmpeg, command(str(path), source, [output], threads=2))
    times = frame_times(output.path)
    assert len(times) == 17
    assert times == pytest.approx(frame_times(str(path)), abs=0.002)


def encode(ffmpeg: str, argv: list[str]) -> str:
    done = subprocess.run(argv, executable=ffmpeg, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def frame_times(path: str) -> list[float]:
    """Seconds from the first to each frame's showing."""
    import av

    with av.open(path) as container:
        stamps = [float(p.pts * p.time_base) for p in container.demux(video=0) if p.pts is not None and p.time_base]
    return [stamp - min(stamps) for stamp in sorted(stamps)]
