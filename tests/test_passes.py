"""Presets that take several passes, or another encoder: each one's command lines to the letter, what passes learn."""

from __future__ import annotations

import re
from math import gcd
from typing import Any

import msgspec
import pytest
from test_recipes import BEGIN, FILM, GOLDEN, MONO, PICTURE, SURROUND, arguments, outputs, planned, shown

from daemon.errors import MeasurementMissing, TargetMissed, UnsuitableSource
from daemon.media.model import Media, SubtitleStream, VideoStream
from daemon.presets.builtin import PRESETS
from daemon.recipes.command import Pass, passes
from daemon.recipes.kinds.adaptive import MOST_RATIO
from daemon.recipes.metadata import GAINS
from daemon.recipes.recipe import Ladder, Passed, Sprites

GAINS_DROPPED = " ".join(f"-metadata{place} {gain}=" for place in ("", ":s:a:0") for gain in sorted(GAINS))
SAID = '{"input_i" : "-21.76", "input_tp" : "-11.65", "input_lra" : "0.20", "input_thresh" : "-31.76"}'
WEB = msgspec.structs.replace(
    FILM,
    video=msgspec.structs.replace(PICTURE, codec="vp9"),
    audio=tuple(msgspec.structs.replace(stream, codec="opus") for stream in FILM.audio),
)
# Each pass as a line of its own; the second one of h264-capped is told that it came out too large.
# fmt: off
COMMANDS = {
    "webm-1080p": (
        "-filter_complex [0:0]setsar=1[s0];"
        "[s0]setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv[s1];"
        "[s1]format=yuv420p[s2] -map [s2] -map 0:1 -map 0:2 -f webm -ac:a:0 2 -ar:a:1 48000 -b:a 128k -b:v 0 "
        "-c:a libopus -c:v libvpx-vp9 -cpu-used 4 -crf 31 -deadline good -disposition:a:0 default "
        "-disposition:a:1 0 -enc_time_base:v demux -fps_mode vfr -row-mt 1 -sample_fmt flt -t 21.000 -threads 2 "
        "file:webm-1080p.part",
    ),
    "webm-av1-1080p": (
        "-filter_complex [0:0]setsar=1[s0];"
        "[s0]setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv[s1];"
        "[s1]format=yuv420p[s2] -map [s2] -map 0:1 -map 0:2 -f webm -ac:a:0 2 -ar:a:1 48000 -b:a 128k -c:a "
        "libopus -c:v libsvtav1 -crf 32 -disposition:a:0 default -disposition:a:1 0 -enc_time_base:v demux "
        "-fps_mode vfr -preset 8 -sample_fmt flt -svtav1-params lp=2:fps-num=30:fps-denom=1 -t 21.000 "
        "file:webm-av1-1080p.part",
    ),
    "mobile-540p": (
        "-filter_complex [0:0]scale=960:540[s0];[s0]setsar=1[s1];"
        "[s1]setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv[s2];"
        "[s2]format=yuv420p[s3] -map [s3] -map 0:1 -map 0:2 -f mp4 -ac:a:0 2 -ar:a:1 48000 -b:a 96k -c:a aac "
        "-c:v libx264 -crf 25 -disposition:a:0 default -disposition:a:1 0 -enc_time_base:v demux -fps_mode vfr "
        "-movflags +faststart -preset veryfast -t 21.000 -threads 2 file:mobile-540p.part",
    ),
    "vertical-1080p": (
        "-filter_complex [0:0]setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv[s0];"
        "[s0]format=yuv420p[s1];[s1]scale=1080:608[s2];[s2]split=2[s3][s4];[s3]scale=426:240[s5];"
        "[s5]setsar=1[s6];[s6]crop=134:240[s7];[s7]gblur=sigma=3[s8];[s8]scale=1080:1920[s9];[s9]setsar=1[s10];"
        "[s4]setsar=1[s11];[s10][s11]overlay=eof_action=repeat:x=(W-w)/2:y=(H-h)/2[s12];"
        "[s12]format=yuv420p[s13] -map [s13] -map 0:1 -map 0:2 -f mp4 -ac:a:0 2 -ar:a:1 48000 -b:a 160k -c:a "
        "aac -c:v libx264 -crf 21 -disposition:a:0 default -disposition:a:1 0 -enc_time_base:v demux -fps_mode "
        "vfr -movflags +faststart -preset veryfast -t 21.000 -threads 2 file:vertical-1080p.part",
    ),
    "square-1080p": (
        "-filter_complex [0:0]setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv[s0];"
        "[s0]format=yuv420p[s1];[s1]scale=1080:608[s2];[s2]split=2[s3][s4];[s3]scale=238:134[s5];"
        "[s5]setsar=1[s6];[s6]crop=134:134[s7];[s7]gblur=sigma=3[s8];[s8]scale=1080:1080[s9];[s9]setsar=1[s10];"
        "[s4]setsar=1[s11];[s10][s11]overlay=eof_action=repeat:x=(W-w)/2:y=(H-h)/2[s12];"
        "[s12]format=yuv420p[s13] -map [s13] -map 0:1 -map 0:2 -f mp4 -ac:a:0 2 -ar:a:1 48000 -b:a 160k -c:a "
        "aac -c:v libx264 -crf 21 -disposition:a:0 default -disposition:a:1 0 -enc_time_base:v demux -fps_mode "
        "vfr -movflags +faststart -preset veryfast -t 21.000 -threads 2 file:square-1080p.part",
    ),
    "h264-capped": (
        "-filter_complex [0:0]setsar=1[s0];"
        "[s0]setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv[s1];"
        "[s1]format=yuv420p[s2] -map [s2] -map 0:1 -f null -b:v 7697646 -c:a copy -c:v libx264 -enc_time_base:v demux "
        "-fps_mode vfr -pass 1 -preset veryfast -t 21.000 -threads 2 file:h264-capped.part",
        "-filter_complex [0:0]setsar=1[s0];"
        "[s0]setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv[s1];"
        "[s1]format=yuv420p[s2] -map [s2] -map 0:1 -f mp4 -ac:a:0 2 -b:a 128k -b:v 7697646 -c:a aac -c:v "
        "libx264 -disposition:a:0 default -enc_time_base:v demux -fps_mode vfr -movflags +faststart -pass 2 "
        "-preset veryfast -t 21.000 -threads 2 file:h264-capped.part",
        "-filter_complex [0:0]setsar=1[s0];"
        "[s0]setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv[s1];"
        "[s1]format=yuv420p[s2] -map [s2] -map 0:1 -f mp4 -ac:a:0 2 -b:a 128k -b:v 6857902 -c:a aac -c:v "
        "libx264 -disposition:a:0 default -enc_time_base:v demux -fps_mode vfr -movflags +faststart -pass 2 "
        "-preset veryfast -t 21.000 -threads 2 file:h264-capped.part",
    ),
    "hls": (
        "-filter_complex [0:0]setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv[s0];"
        "[s0]format=yuv420p[s1];[s1]split=2[s2][s3];[s2]setsar=1[s4];[s3]scale=1280:720[s5];"
        "[s5]split=2[s6][s7];[s6]setsar=1:max=4096[s8];[s7]scale=854:480[s9];[s9]split=2[s10][s11];"
        "[s10]setsar=1280/1281:max=4096[s12];[s11]scale=640:360[s13];"
        "[s13]setsar=1:max=4096[s14] -map [s4] -map [s8] -map [s12] -map [s14] -map 0:1 -map 0:2 -f hls -ac:a:0 "
        "2 -ar:a:1 48000 -b:a 128k -bsf:v "
        r"setts=pts=PTS:dts=DTS:duration=if(eq(NEXT_DTS\,NOPTS)\,"
        r"if(eq(PREV_OUTDTS\,NOPTS)\,DURATION\,DTS-PREV_OUTDTS)\,NEXT_DTS-DTS) "
        "-bufsize:v:0 10000k -bufsize:v:1 5600k -bufsize:v:2 2800k -bufsize:v:3 1600k "
        "-c:a aac -c:v libx264 -crf 22 -enc_time_base:v demux -force_key_frames expr:gte(t,n_forced*4) -fps_mode "
        "vfr -hls_flags independent_segments -hls_playlist_type vod -hls_segment_options movflags=+cmaf "
        "-hls_segment_type fmp4 -hls_time 4 -map_metadata -1 -master_pl_name master.m3u8 -maxrate:v:0 5000k "
        "-maxrate:v:1 2800k "
        "-maxrate:v:2 1400k -maxrate:v:3 800k -preset veryfast -sc_threshold 0 -t 21.000 -threads 2 "
        "-var_stream_map v:0,agroup:sound,name:1080p v:1,agroup:sound,name:720p v:2,agroup:sound,name:480p "
        "v:3,agroup:sound,name:360p a:0,agroup:sound,name:sound,default:yes a:1,agroup:sound,name:sound1 "
        "hls.part/%v/index.m3u8",
    ),
    "dash": (
        "-filter_complex [0:0]setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv[s0];"
        "[s0]format=yuv420p[s1];[s1]split=2[s2][s3];[s2]setsar=1[s4];[s3]scale=1280:720[s5];"
        "[s5]split=2[s6][s7];[s6]setsar=1:max=4096[s8];[s7]scale=854:480[s9];[s9]split=2[s10][s11];"
        "[s10]setsar=1280/1281:max=4096[s12];[s11]scale=640:360[s13];"
        "[s13]setsar=1:max=4096[s14] -map [s4] -map [s8] -map [s12] -map [s14] -map 0:1 -map 0:2 -f dash "
        "-ac:a:0 2 -adaptation_sets id=0,streams=v id=1,streams=4 id=2,streams=5 -ar:a:1 48000 -b:a 128k "
        "-bufsize:v:0 10000k -bufsize:v:1 5600k -bufsize:v:2 2800k -bufsize:v:3 1600k -c:a aac -c:v libx264 "
        "-crf 22 -enc_time_base:v demux -force_key_frames expr:gte(t,n_forced*4) -format_options movflags=+cmaf "
        "-fps_mode vfr -map_metadata -1 -maxrate:v:0 5000k -maxrate:v:1 2800k -maxrate:v:2 1400k "
        "-maxrate:v:3 800k -preset veryfast -sc_threshold 0 -seg_duration 4 -t 21.000 -threads 2 -use_template 1 "
        "-use_timeline 1 dash.part/manifest.mpd",
    ),
    "h264-1080p-smart": (
        "-filter_complex [0:0]setsar=1[s0];"
        "[s0]setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv[s1];"
        "[s1]format=yuv420p[s2] -map [s2] -map 0:1 -map 0:2 -f mp4 -ac:a:0 2 -ar:a:1 48000 -b:a 192k -c:a aac "
        "-c:v libx264 -crf 20 -disposition:a:0 default -disposition:a:1 0 -enc_time_base:v demux -fps_mode vfr "
        "-movflags +faststart -preset veryfast -t 21.000 -threads 2 file:h264-1080p-smart.part",
    ),
    "remux-mp4": (
        "-map 0:0 -map 0:1 -map 0:2 -f mp4 -c copy -movflags +faststart -t 21.000 file:remux-mp4.part",
    ),
    "remux-mkv": (
        "-map 0:0 -map 0:1 -map 0:2 -f matroska -c copy -t 21.000 file:remux-mkv.part",
    ),
    "remux-webm": (
        "-map 0:0 -map 0:1 -map 0:2 -f webm -c copy -t 21.000 file:remux-webm.part",
    ),
    "archive-hevc": (
        "-filter_complex [0:0]setsar=1[s0];"
        "[s0]setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv[s1];"
        "[s1]format=yuv420p10le[s2] -map [s2] -map 0:1 -map 0:2 -f matroska -c:a copy -c:v libx265 -crf 18 "
        "-enc_time_base:v demux -fps_mode vfr -preset medium -t 21.000 -threads 2 -x265-params "
        "pools=2:log-level=warning file:archive-hevc.part",
    ),
    "archive-ffv1": (
        "-map 0:0 -map 0:1 -map 0:2 -f matroska -c:a flac -c:v ffv1 -enc_time_base:v demux -fps_mode vfr -g 1 "
        "-level 3 -slicecrc 1 -slices 4 -t 21.000 -threads 2 file:archive-ffv1.part",
    ),
    "opus": (
        "-map 0:1 -f opus -ac:a:0 2 -b:a 112k -c:a libopus -sample_fmt flt -t 21.000 file:opus.part",
    ),
    "flac": (
        "-map 0:1 -f flac -c:a flac -compression_level 8 -filter:a:0 aformat=channel_layouts=5.1 "
        "-frame_size 4096 -t 21.000 file:flac.part",
    ),
    "m4a-r128": (
        "-map 0:1 -f null -filter:a:0 "
        "aformat=channel_layouts=stereo,loudnorm=I=-23:TP=-1:LRA=7:print_format=json -t 21.000 "
        "file:m4a-r128.part",
        "-map 0:1 -f ipod -ac:a:0 2 -b:a 160k -c:a aac -filter:a:0 "
        "aformat=channel_layouts=stereo,loudnorm=I=-23:TP=-1:LRA=7:measured_I=-21.76:"
        "measured_TP=-11.65:measured_LRA=0.2:measured_thresh=-31.76:linear=true,asetpts=N/SR/TB,aresample=48000 "
        f"{GAINS_DROPPED} -t 21.000 file:m4a-r128.part",
    ),
    "webp": (
        "-filter_complex [0:0]fps=12:eof_action=pass:start_time=0[s0];[s0]trim=duration=10.0:start=0.0[s1];"
        "[s1]setpts=PTS-STARTPTS[s2];[s2]scale=480:270[s3];[s3]setsar=1[s4];"
        "[s4]setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv[s5];"
        "[s5]scale=out_color_matrix=bt470bg:out_range=tv[s6];[s6]format=yuv420p[s7];"
        "[s7]setparams=color_primaries=bt709:color_trc=iec61966-2-1:colorspace=bt470bg:range=tv[s8] -map [s8] "
        "-f webp -c:v libwebp_anim -loop 0 -quality 75 -t 21.000 file:webp.part",
    ),
    "poster": (
        "-filter_complex [0:0]fps=2.400000:eof_action=pass:start_time=0[s0];[s0]thumbnail=n=24[s1];"
        "[s1]scale=1280:720[s2];[s2]setsar=1[s3];"
        "[s3]setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv[s4];"
        "[s4]scale=out_color_matrix=bt470bg:out_range=pc[s5];[s5]format=yuvj420p[s6];"
        "[s6]setparams=color_primaries=bt709:color_trc=iec61966-2-1:colorspace=bt470bg:range=pc[s7] -map [s7] "
        "-f mjpeg -c:v mjpeg -frames:v 1 -q:v 2 -t 86400.000 file:poster.part",
    ),
    "sprite-sheet": (
        "-filter_complex [0:0]fps=1/5:eof_action=pass:start_time=0[s0];[s0]scale=160:90[s1];[s1]setsar=1[s2];"
        "[s2]setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv[s3];"
        "[s3]scale=out_color_matrix=bt470bg:out_range=pc[s4];[s4]format=yuvj420p[s5];"
        "[s5]setparams=color_primaries=bt709:color_trc=iec61966-2-1:colorspace=bt470bg:range=pc[s6];"
        "[s6]tpad=stop=-1:stop_mode=clone[s7];[s7]trim=end_frame=2[s8];"
        "[s8]tile=2x1[s9] -map [s9] -f image2 -c:v mjpeg -fps_mode passthrough -q:v 4 -t 86400.000 "
        "sprite-sheet.part/sprites-%03d.jpg",
    ),
}
# fmt: on


def run(media: Media, preset: str, *left: Passed, **overrides: Any) -> list[Pass]:
    """The passes when those before the last leave that behind, one after the other."""
    (output,) = outputs((preset, overrides))
    going = passes("source", media, [output], threads=2)
    made = [next(going)]
    for passed in left:
        try:
            made.append(going.send(passed))
        except StopIteration:
            break
    return made


def test_every_preset_has_its_command_written_down() -> None:
    assert set(GOLDEN) | set(COMMANDS) == set(PRESETS)


@pytest.mark.parametrize("preset", COMMANDS)
def test_commands_of_every_preset(preset: str) -> None:
    over, under = Passed(SAID, 11_000_000), Passed(SAID, 9_000_000)
    made = run(WEB if preset == "remux-webm" else FILM, preset, over, over, under)
    assert [" ".join(one.argv) for one in made] == [BEGIN + expected for expected in COMMANDS[preset]]


# Passes


def test_single_pass_outputs_share_one_run_and_the_others_follow() -> None:
    wanted = outputs("h264-720p", "m4a-r128", "mp3")
    going = passes("source", FILM, wanted, threads=2)
    first = next(going)
    assert [name in " ".join(first.argv) for name in ("h264-720p.part", "mp3.part", "m4a-r128.part")] == [
        True,
        True,
        False,
    ]
    rest = [going.send(Passed("", 0)), going.send(Passed(SAID, 0))]
    assert sum(one.share for one in [first, *rest]) == pytest.approx(1)
    with pytest.raises(StopIteration):
        going.send(Passed("", 1))


def test_a_size_that_is_never_reached_is_told() -> None:
    over = Passed("", 10_000_001)
    with pytest.raises(TargetMissed, match="10000001 bytes, though 10000000 were the limit"):
        run(FILM, "h264-capped", over, over, over, over)


def test_a_smaller_target_takes_a_smaller_picture_and_less_sound() -> None:
    small = planned(FILM, "h264-capped", target_bytes=400_000)
    assert small.video is not None
    assert small.video < (1280, 720)
    assert small.max_bytes == 400_000
    sound = re.search(r"-b:a (\d+)k", " ".join(run(FILM, "h264-capped", Passed("", 0), target_bytes=400_000)[1].argv))
    assert sound and 24 <= int(sound[1]) < 128


def test_a_target_that_cannot_be_reached_is_refused_with_one_that_can() -> None:
    with pytest.raises(UnsuitableSource, match=r"10\.0 s do not fit into 50000 bytes: .* at least (\d+)") as caught:
        planned(FILM, "h264-capped", target_bytes=50_000)
    least = int(str(caught.value).split("at least ")[1].split(",")[0])
    assert planned(FILM, "h264-capped", target_bytes=least)


def test_a_source_of_unknown_length_suits_no_size() -> None:
    with pytest.raises(UnsuitableSource, match="does not say how long it lasts"):
        planned(msgspec.structs.replace(FILM, duration_seconds=None), "h264-capped")


def test_silence_stays_silence() -> None:
    silent = SAID.replace("-21.76", "-inf")
    first, second = run(FILM, "m4a-r128", Passed(silent, 0))
    assert "loudnorm" in " ".join(first.argv)
    assert "loudnorm" not in " ".join(second.argv)


def test_a_measurement_that_is_not_there_is_told() -> None:
    with pytest.raises(MeasurementMissing):
        run(FILM, "m4a-r128", Passed("nothing of that kind", 0))


# Ladders


@pytest.mark.parametrize(
    ("size", "overrides", "rungs"),
    [
        ((1920, 1080), {}, ((1920, 1080), (1280, 720), (854, 480), (640, 360))),
        ((1080, 1920), {"rungs": 2}, ((1080, 1920), (720, 1280))),
        ((1280, 720), {"short_side": 480}, ((854, 480), (640, 360), (426, 240))),
        ((160, 120), {}, ((160, 120),)),
    ],
)
def test_no_rung_is_above_the_source_or_what_is_wanted(
    size: tuple[int, int], overrides: dict[str, int], rungs: tuple[tuple[int, int], ...]
) -> None:
    assert planned(shown(width=size[0], height=size[1]), "hls", **overrides).folder == Ladder(rungs=rungs)


def test_rungs_have_one_aspect_ratio_that_can_be_written() -> None:
    for width in range(240, 4000, 37):
        folder = planned(shown(width=width, height=1079), "dash", rungs=6).folder
        assert isinstance(folder, Ladder)
        top = folder.rungs[0]
        for rung in folder.rungs:
            ratio = top[0] * rung[1], top[1] * rung[0]
            assert max(ratio) // gcd(*ratio) <= MOST_RATIO


def test_only_plain_languages_enter_the_map_of_a_ladder() -> None:
    odd = msgspec.structs.replace(MONO, language="x,agroup:y")
    media = msgspec.structs.replace(FILM, audio=(msgspec.structs.replace(SURROUND, language="deu"), odd))
    words = arguments(media, "hls")
    assert "name:sound,language:deu,default:yes a:1,agroup:sound,name:sound1'" in words


# What is kept


PLAIN = msgspec.structs.replace(PICTURE, pixel_format="yuv420p")
STEREO = msgspec.structs.replace(MONO, channels=2, sample_rate=48000)


def film(picture: VideoStream = PLAIN, *audio: Any) -> Media:
    return msgspec.structs.replace(FILM, video=picture, audio=audio or (STEREO,))


def test_what_already_fits_is_copied() -> None:
    words = arguments(film(), "h264-1080p-smart")
    assert "-map 0:0 -map 0:2 -f mp4 -c:a copy -c:v copy -disposition:a:0 default -movflags +faststart" in words


@pytest.mark.parametrize(
    "changes",
    [
        {"codec": "hevc"},
        {"rotation": 90},
        {"mirrored": True},
        {"sample_aspect_ratio": "4:3"},
        {"pixel_format": "yuv420p10le"},
        {"width": 2560, "height": 1440, "coded_width": 2560, "coded_height": 1440},
        {"frame_rate": 120.0},
        {"frame_rate": None},
        {"interlaced": True},
        {"hdr": "pq"},
        {"alpha": True},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_picture_that_does_not_fit_is_encoded_and_its_sound_copied(changes: dict[str, Any]) -> None:
    words = arguments(film(msgspec.structs.replace(PLAIN, **changes)), "h264-1080p-smart")
    assert "-c:a copy -c:v libx264" in words


def test_sound_that_does_not_fit_is_encoded_and_its_picture_copied() -> None:
    words = arguments(film(PLAIN, SURROUND), "h264-1080p-smart")
    assert "-c:a aac -c:v copy" in words
    words = arguments(film(PLAIN, SURROUND, STEREO), "h264-1080p-smart")
    assert "-c:a aac -c:a:1 copy -c:v copy" in words


@pytest.mark.parametrize(
    ("preset", "words"),
    [
        ("remux-webm", "WebM cannot hold the source's h264, ac3, aac: take remux-mkv"),
        ("remux-mp4", "MP4 cannot hold the source's pcm_alaw: take remux-mkv"),
        ("remux-mkv", "Matroska cannot hold the source's pcm_s16le_planar: encode it"),
    ],
)
def test_a_container_that_cannot_hold_the_codec_is_told(preset: str, words: str) -> None:
    codec = {"remux-mp4": "pcm_alaw", "remux-mkv": "pcm_s16le_planar"}.get(preset)
    media = film(PLAIN, msgspec.structs.replace(STEREO, codec=codec)) if codec else FILM
    with pytest.raises(UnsuitableSource, match=words):
        planned(media, preset)


def test_remuxed_subtitles_are_kept_where_the_container_takes_them() -> None:
    subtitles = (SubtitleStream(index=3, codec="subrip"), SubtitleStream(index=4, codec="dvd_subtitle", text=False))
    media = msgspec.structs.replace(film(), subtitles=subtitles)
    assert "-map 0:3 -f mp4 -c copy -c:s mov_text" in arguments(media, "remux-mp4")
    assert "-map 0:3 -map 0:4 -f matroska -c copy -c:s:0 copy -c:s:1 copy -disposition:s:0 0 -t" in arguments(
        media, "remux-mkv"
    )


# Sprites


def test_sprites_take_as_many_sheets_as_they_need() -> None:
    sheet = planned(FILM, "sprite-sheet", interval_seconds=1, columns=3, rows=2)
    assert (sheet.folder, sheet.video, sheet.duration_seconds) == (Sprites(sheets=2), (480, 180), None)
    with pytest.raises(UnsuitableSource, match="ask for an interval_seconds of at least 5"):
        planned(msgspec.structs.replace(FILM, duration_seconds=86400.0), "sprite-sheet", interval_seconds=0.5)


def test_a_poster_from_beyond_the_end_is_refused() -> None:
    with pytest.raises(UnsuitableSource, match="there is no frame at 10 s"):
        planned(FILM, "poster", at_seconds=10)
