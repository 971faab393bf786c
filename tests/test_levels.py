"""Sound is heard whole and at one loudness: wherever its channels sit, and where its rate or its tags change."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from specimens import AAC, H264, MP3, OPUS, Step, heard, sound
from surroundings import crossed
from test_kinds import lasting, make
from test_unread import made

from daemon.errors import MeasurementMissing
from daemon.media.describe import read_media
from daemon.recipes.loudness import Loudness, read

QUICK = {"speed": "ultrafast"}
PLACES = ("FL", "FR", "LFE", "BC", "downmix", "FC+LFE")


def seated(place: str, *how: str) -> Step:
    """A tone in one or two channels that sit there."""
    count = 2 if place == "downmix" or "+" in place else 1
    pan = f"pan={place}|" + "|".join(f"c{number}=c0" for number in range(count))
    return ["-f", "lavfi", "-i", "sine=duration=1", "-af", pan, "-c:a", "pcm_s16le", *how, "{out}"]


def loudness(path: Path) -> float:
    """The root mean square of all samples in all channels, of 1."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt")
        parts = [part.to_ndarray() for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return float(np.sqrt(np.mean(np.concatenate(parts, axis=1) ** 2)))


@pytest.mark.parametrize(("place", "preset"), crossed(PLACES, ["m4a", "mp3", "opus", "flac", "m4a-r128"]))
def test_channels_are_heard_wherever_they_sit(ffmpeg: str, tmp_path: Path, place: str, preset: str) -> None:
    path = made(ffmpeg, tmp_path, "track.mov", seated(place))
    output = make(ffmpeg, path, tmp_path, preset)
    with av.open(str(output)) as container:
        assert container.streams.audio[0].layout.name in {"mono", "stereo"}
    assert preset == "m4a-r128" or loudness(output) > 0.7 * loudness(path)


def test_a_film_with_single_tracks_of_a_camera_is_made(ffmpeg: str, tmp_path: Path) -> None:
    steps = [made(ffmpeg, tmp_path, f"{place}.mov", seated(place)) for place in ("FL", "FR")]
    tracks = [word for path in steps for word in ("-i", str(path))]
    picture = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=1", "-map", "0", "-map", "1", "-map", "2"]
    path = made(ffmpeg, tmp_path, "camera.mov", [*picture[:4], *tracks, *picture[4:], *H264, "-c:a", "copy", "{out}"])
    media = read_media(str(make(ffmpeg, path, tmp_path, "h264-480p", **QUICK)))
    assert [stream.layout for stream in media.audio] == ["mono", "mono"]


# Stitched together


PARTS = ((300, 44100, "stereo"), (600, 48000, "stereo"), (900, 44100, "mono"), (1200, 22050, "mono"))
TURNS = {"down": PARTS, "up": PARTS[::-1], "rate": PARTS[:2]}


def podcast(ffmpeg: str, folder: Path, *parts: tuple[int, int, str]) -> Path:
    """An MP3 put together of parts of 3 s, each a tone at a rate, in mono or stereo."""
    path = folder / "podcast.mp3"
    path.write_bytes(b"")
    for frequency, rate, channels in parts:
        step = [*sound(3.0, channels, frequency), *MP3, "-ar", str(rate), "-write_xing", "0", "-id3v2_version", "0"]
        one = made(ffmpeg, folder, f"{frequency}.mp3", [*step, "{out}"])
        path.write_bytes(path.read_bytes() + one.read_bytes())
    return path


def frequencies(path: Path, seconds: int) -> list[int]:
    """The loudest frequency in the middle of every 3 s."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=8000)
        parts = [part.to_ndarray() for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    samples = np.concatenate(parts, axis=1)[0]
    middles = (samples[8000 * at + 8000 : 8000 * at + 16000] for at in range(0, seconds, 3))
    return [int(np.argmax(np.abs(np.fft.rfft(middle)))) for middle in middles]


@pytest.mark.thorough
@pytest.mark.parametrize(("turn", "preset"), crossed(list(TURNS), ["mp3", "m4a-r128", "opus", "flac"]))
def test_a_podcast_whose_rate_and_channels_change_is_levelled_as_a_whole(
    ffmpeg: str, tmp_path: Path, turn: str, preset: str
) -> None:
    parts = TURNS[turn]
    path = podcast(ffmpeg, tmp_path, *parts)
    made_of = make(ffmpeg, path, tmp_path, preset, loudness_lufs=-20.0)
    assert lasting(made_of, "audio") == pytest.approx(3.0 * len(parts), abs=0.3)
    assert frequencies(made_of, 3 * len(parts)) == pytest.approx([frequency for frequency, _, _ in parts], abs=3)


def test_a_podcast_that_is_made_even_first_keeps_what_is_told_of_it(ffmpeg: str, tmp_path: Path) -> None:
    told = ["-metadata", "title=Episode", "-metadata", "artist=Somebody"]
    parts = [
        made(ffmpeg, tmp_path, "one.mp3", [*sound(1.0), *MP3, "-ar", "44100", *told, "{out}"]),
        made(ffmpeg, tmp_path, "two.mp3", [*sound(1.0, "mono"), *MP3, "-ar", "22050", "-id3v2_version", "0", "{out}"]),
    ]
    path = tmp_path / "podcast.mp3"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    output = make(ffmpeg, path, tmp_path, "m4a-r128")
    assert {"title", "artist"} <= {*read_media(str(output)).tags}


def test_a_broadcast_that_turns_to_other_channels_is_levelled_as_a_whole(ffmpeg: str, tmp_path: Path) -> None:
    path = tmp_path / "broadcast.ts"
    parts = [
        made(ffmpeg, tmp_path, f"{number}.ts", [*sound(3.0, channels, frequency), *AAC, "{out}"])
        for number, (channels, frequency) in enumerate((("stereo", 300), ("5.1", 600), ("mono", 900)))
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    output = make(ffmpeg, path, tmp_path, "m4a-r128")
    assert frequencies(output, 9) == pytest.approx([300, 600, 900], abs=3)


# Tags by which players turn down


GAINED = ("-metadata", "REPLAYGAIN_TRACK_GAIN=-9.50 dB", "-metadata", "replaygain_album_peak=0.98")
ARTIST = ("-metadata", "artist=Somebody")
SOURCES = {
    "track.mp3": heard(*MP3, *GAINED, *ARTIST),
    "track.flac": heard("-c:a", "flac", *GAINED, *ARTIST),
    "track.ogg": heard("-c:a", "libvorbis", *GAINED, *ARTIST),
    "track.opus": heard(*OPUS, "-metadata", "R128_TRACK_GAIN=-512", *GAINED, *ARTIST),
}


def tags(path: Path) -> dict[str, str]:
    with av.open(str(path)) as container:
        told = {**container.metadata, **container.streams.audio[0].metadata}
    return {name.lower(): value for name, value in told.items()}


@pytest.mark.parametrize(("name", "preset"), crossed(list(SOURCES), ["mp3", "opus", "flac"]))
def test_a_new_loudness_leaves_out_by_how_much_to_turn_down(
    ffmpeg: str, tmp_path: Path, name: str, preset: str
) -> None:
    path = made(ffmpeg, tmp_path, name, SOURCES[name])
    told = tags(make(ffmpeg, path, tmp_path, preset, loudness_lufs=-16.0))
    assert not [tag for tag in told if "gain" in tag]
    assert told["artist"] == "Somebody"


def test_what_keeps_its_loudness_keeps_its_gain(ffmpeg: str, tmp_path: Path) -> None:
    path = made(ffmpeg, tmp_path, "track.mp3", SOURCES["track.mp3"])
    assert tags(make(ffmpeg, path, tmp_path, "flac"))["replaygain_track_gain"] == "-9.50 dB"


@pytest.mark.parametrize("seconds", [0.3, 2.0, 2.9, 4.0])
def test_a_short_clip_is_levelled_without_loss(ffmpeg: str, tmp_path: Path, seconds: float) -> None:
    path = made(ffmpeg, tmp_path, "clip.wav", heard("-c:a", "pcm_s16le", seconds=seconds))
    output = make(ffmpeg, path, tmp_path, "flac", loudness_lufs=-20.0)
    assert lasting(output, "audio") == pytest.approx(seconds, abs=0.05)


def said(**figures: str) -> str:
    told = {"input_i": "-23.1", "input_tp": "-1.5", "input_lra": "5.0", "input_thresh": "-33.2", **figures}
    return f"[Parsed_loudnorm_0 @ 0x1]\n{json.dumps(told, indent=1)}\nsize= 1\n"


@pytest.mark.timeout(20)
def test_what_a_file_says_of_itself_does_not_hold_up_the_search_for_its_loudness() -> None:
    """FFmpeg quotes tags in its log, and all the jobs wait for who looks for something there."""
    tags = "{" + '"input_i"' * 100_000 + "\n"
    assert read(tags + said()) == Loudness(-23.1, -1.5, 5.0, -33.2)


@pytest.mark.parametrize("forged", [{"input_lra": "nan"}, {"input_tp": "inf"}, {"input_i": "[]"}])
def test_what_is_no_loudness_is_not_taken_for_one(forged: dict[str, str]) -> None:
    assert read(said(input_i="-inf", input_tp="-inf")).silent
    with pytest.raises(MeasurementMissing):
        read(said(**forged))
