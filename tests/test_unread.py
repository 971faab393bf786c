"""What cannot be read is told in words, or refused where nothing stands in for it: codecs, encryption, empty tracks."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import av
import ebml
import msgspec
import pytest
from conftest import Daemon
from specimens import (
    AAC,
    H264,
    MJPEG,
    MPEG2,
    MPEG4,
    PCM,
    VP9,
    Step,
    encoded,
    film,
    heard,
    mapped,
    picture,
    run,
    silent,
    sound,
)
from surroundings import thorough
from test_kinds import frames, lasting, make

from daemon.errors import ProbeError, UnsuitableSource
from daemon.media.describe import read_media
from daemon.presets.builtin import PRESETS
from daemon.recipes.command import plan

WITH_SOUND = ("h264-480p", "webm-720p", "h264-capped", "hls", "remux-mkv", "remux-mp4", "archive-ffv1", "mp3", "flac")
CODECS = {
    "g726.mkv": encoded(*H264, "-c:a", "g726", "-ar", "8000", channels="mono"),
    "g722.mkv": encoded(*H264, "-c:a", "g722", "-ar", "16000", channels="mono"),
    "g723.mov": encoded(*H264, *("-c:a", "g723_1", "-ar", "8000", "-b:a", "6300", "-f", "nut"), channels="mono"),
    "yamaha.avi": encoded(*H264, "-c:a", "adpcm_yamaha"),
    "tta.mkv": encoded(*H264, "-c:a", "tta"),
    "wavpack.mkv": encoded(*H264, "-c:a", "wavpack"),
    "real.rm": encoded("-c:v", "rv20", "-c:a", "real_144", "-ar", "8000", "-f", "rm", channels="mono"),
    "planar.mov": encoded(*H264, "-c:a", "pcm_s16le_planar", "-f", "nut"),
}


def made(ffmpeg: str, folder: Path, name: str, *steps: Step, edit: Callable[[bytes], bytes] | None = None) -> Path:
    """The file that the steps leave, its bytes edited at last."""
    path = folder / name
    for step in steps:
        run(ffmpeg, [word.format(work=folder, out=path) if "{" in word else word for word in step], path)
    if edit:
        path.write_bytes(edit(path.read_bytes()))
    return path


def defaults(preset: str) -> dict[str, object]:
    parameters: dict[str, object] = msgspec.to_builtins(PRESETS[preset].defaults)
    return parameters


def called(entry: bytes, name: bytes, table: bytes = b"") -> Callable[[bytes], bytes]:
    """An MP4 whose sample descriptions of that name, or the last of them, are of another codec."""
    begin = b"\0\0\0\0\0\0\0\1"

    def edit(whole: bytes) -> bytes:
        at = whole.rindex(entry + begin)
        rest = whole[at + 4 :].replace(table, b"free", 1) if table else whole[at + 4 :]
        return whole[:at] + name + rest

    return edit


# Codecs


@pytest.mark.parametrize("name", CODECS)
def test_sound_in_rare_codecs_is_heard(ffmpeg: str, tmp_path: Path, name: str) -> None:
    path = made(ffmpeg, tmp_path, name, CODECS[name])
    assert len(read_media(str(path)).audio) == 1
    assert lasting(make(ffmpeg, path, tmp_path, "mp3"), "audio") == pytest.approx(1.6, abs=0.2)


HELD = {
    "alaw.mov": encoded(*H264, "-c:a", "pcm_alaw"),
    "mulaw.avi": encoded(*H264, "-c:a", "pcm_mulaw"),
    "double.wav": heard("-c:a", "pcm_f64le"),
    "packed.wv": heard("-c:a", "wavpack"),
    "true.tta": heard("-c:a", "tta"),
    "g722.nut": encoded(*H264, "-c:a", "g722", "-ar", "16000", "-f", "nut", channels="mono"),
    "yamaha.avi": encoded(*H264, "-c:a", "adpcm_yamaha"),
    "game.avi": encoded(*MPEG4, "-c:a", "adpcm_ms"),
    "camera.avi": encoded(*MJPEG, "-c:a", "adpcm_ima_wav", "-ar", "11024"),
    "camera.mov": encoded(*MJPEG, "-c:a", "adpcm_ima_wav"),
    "old.flv": encoded("-c:v", "flv1", "-c:a", "libmp3lame", "-ar", "44100"),
    "older.avi": encoded("-c:v", "cinepak", "-c:a", "pcm_u8", "-ar", "22050", seconds=0.4),
}


def samples(path: Path) -> bytes:
    with av.open(str(path)) as container:
        return b"".join(frame.to_ndarray().tobytes() for frame in container.decode(audio=0))


@pytest.mark.parametrize("name", HELD)
def test_matroska_takes_copies_of_what_it_can_hold(ffmpeg: str, tmp_path: Path, name: str) -> None:
    path = made(ffmpeg, tmp_path, name, HELD[name])
    output = make(ffmpeg, path, tmp_path, "remux-mkv")
    seconds = lasting(path, "audio")
    assert [stream.codec for stream in read_media(str(output)).audio] == [
        stream.codec for stream in read_media(str(path)).audio
    ]
    assert lasting(output, "audio") == pytest.approx(seconds, abs=0.05)
    assert samples(output) == samples(path)


def test_sound_of_which_the_source_does_not_tell_what_matroska_does_becomes_flac(ffmpeg: str, tmp_path: Path) -> None:
    path = made(ffmpeg, tmp_path, "blocks.nut", encoded(*H264, "-c:a", "adpcm_ms", "-f", "nut", seconds=0.4))
    with pytest.raises(UnsuitableSource, match="cannot hold the source's adpcm_ms"):
        plan(read_media(str(path)), "remux-mkv", defaults("remux-mkv"))
    output = make(ffmpeg, path, tmp_path, "archive-hevc", speed="ultrafast")
    assert [stream.codec for stream in read_media(str(output)).audio] == ["flac"]
    assert samples(output) == samples(path)


@pytest.mark.parametrize(("codec", "channels"), [("pcm_s24le", "5.1(side)"), ("pcm_f64be", "stereo")])
def test_mp4_takes_copies_of_pcm_and_tells_where_its_channels_sit(
    ffmpeg: str, tmp_path: Path, codec: str, channels: str
) -> None:
    path = made(ffmpeg, tmp_path, "film.mov", encoded(*H264, "-c:a", codec, channels=channels))
    [heard_] = read_media(str(make(ffmpeg, path, tmp_path, "remux-mp4"))).audio
    assert (heard_.codec, heard_.layout) == (codec, channels)


PICTURES = {
    "cfhd": "remux-mkv",
    "magicyuv": "remux-mkv",
    "v210": "remux-mkv",
    "mjpeg": "remux-mp4",
}
PICTURES |= {"jpeg2000": "remux-mp4"}


@pytest.mark.parametrize("ending", ["mov", "avi"])
@pytest.mark.parametrize("codec", [*list(PICTURES)[:2], *map(thorough, list(PICTURES)[2:])])
def test_copies_of_what_editors_write_are_the_same_pictures(
    ffmpeg: str, tmp_path: Path, codec: str, ending: str
) -> None:
    path = made(ffmpeg, tmp_path, f"film.{ending}", silent("-c:v", codec, seconds=0.2))
    output = make(ffmpeg, path, tmp_path, PICTURES[codec])
    one, other = ([frame.to_ndarray().tobytes() for frame in frames(file)] for file in (path, output))
    assert len(one) == 5
    assert one == other


DV = [*["-c:v", "dvvideo", "-pix_fmt", "yuv420p"], *PCM, "-aspect", "16:9"]
OF_DV = {"avi": DV, "mov": DV, "mxf": DV, "dv": ["-target", "pal-dv", "-aspect", "16:9"]}


@pytest.mark.parametrize("ending", ["dv", *map(thorough, ("avi", "mov", "mxf"))])
def test_matroska_takes_dv_by_the_name_that_others_know(ffmpeg: str, tmp_path: Path, ending: str) -> None:
    path = made(ffmpeg, tmp_path, f"film.{ending}", encoded(*OF_DV[ending], size="720x576", seconds=0.2))
    output = make(ffmpeg, path, tmp_path, "remux-mkv")
    assert b"dvsd" in output.read_bytes()
    one, other = ([(frame.time, frame.to_ndarray().tobytes()) for frame in frames(file)] for file in (path, output))
    assert one == other
    with av.open(str(output)) as container:
        assert container.streams.video[0].base_rate == 25
    assert [(shown.width, shown.height) for file in (path, output) if (shown := read_media(str(file)).video)] == [
        (1024, 576),
        (1024, 576),
    ]


def test_where_channels_sit_is_told_to_be_lost_in_matroska(ffmpeg: str, tmp_path: Path) -> None:
    path = made(ffmpeg, tmp_path, "film.mov", encoded(*H264, "-c:a", "pcm_s24le", channels="5.1(side)"))
    for preset, told in (("remux-mkv", ["5.1(side)"]), ("remux-mp4", []), ("archive-ffv1", [])):
        contents = plan(read_media(str(path)), preset, defaults(preset)).contents
        assert [fact.detail for fact in contents.left_out if fact.what == "layout"] == told


def test_sound_that_nobody_decodes_fails_what_is_to_have_sound(ffmpeg: str, tmp_path: Path) -> None:
    path = made(ffmpeg, tmp_path, "clip.mp4", film("{out}"), edit=called(b"mp4a", b"ac-4", b"esds"))
    media = read_media(str(path))
    for preset in WITH_SOUND:
        with pytest.raises(ProbeError, match="sound cannot be read: its codec ac-4 is none that ffspool decodes"):
            plan(media, preset, defaults(preset))
    for preset in ("gif", "poster", "thumbnail-sheet"):
        assert plan(media, preset, defaults(preset)).video


def test_sound_that_nobody_decodes_is_left_out_beside_other_sound_and_told(
    ffmpeg: str, tmp_path: Path, daemon: Daemon
) -> None:
    both = [*picture(), *sound(), *sound(frequency=900), *mapped("0", "1", "2"), *H264, *AAC, "{out}"]
    path = made(ffmpeg, tmp_path, "clip.mp4", both, edit=called(b"mp4a", b"ac-4", b"esds"))
    job = daemon.wait_for(daemon.submit(path, presets=["mp3"])["id"])
    assert job["status"] == "completed"
    [variation] = job["sources"][0]["variations"]
    log = daemon.client.get(f"/api/jobs/{job['id']}/variations/{variation['id']}/log").text
    assert "# left out: sound (track 2): its codec ac-4 is none that ffspool decodes" in log


@pytest.mark.parametrize("preset", ["h264-480p", "remux-mkv", "poster"])
def test_a_picture_that_nobody_decodes_fails_what_is_to_show_it(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    path = made(ffmpeg, tmp_path, "clip.mp4", film("{out}"), edit=called(b"avc1", b"zzzz"))
    media = read_media(str(path))
    with pytest.raises(ProbeError, match="picture cannot be read: its codec zzzz is none that ffspool decodes"):
        plan(media, preset, defaults(preset))
    assert plan(media, "mp3", defaults("mp3")).audio == 1


# Tracks without a sample


def emptied(whole: bytes) -> bytes:
    """The last track's tables hold no sample."""
    edited = bytearray(whole)
    for name, field in ((b"stts", 4), (b"stsc", 4), (b"stsz", 8), (b"stco", 4)):
        struct.pack_into(">I", edited, whole.rindex(name) + 4 + field, 0)
    return bytes(edited)


@pytest.mark.parametrize("preset", ["h264-480p", "remux-mkv", "archive-ffv1"])
def test_a_sound_track_without_a_sample_is_as_if_it_were_not_there(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    path = made(ffmpeg, tmp_path, "clip.mp4", film("{out}"), edit=emptied)
    media = read_media(str(path))
    assert [(track.why, track.index) for track in media.unread] == [("it holds no sample", 1)]
    assert plan(media, preset, defaults(preset)).audio == 0
    assert lasting(make(ffmpeg, path, tmp_path, preset), "video") == pytest.approx(1.6, abs=0.05)


def test_sound_beside_an_empty_track_is_kept(ffmpeg: str, tmp_path: Path) -> None:
    both = [*picture(), *sound(), *sound(frequency=900), *mapped("0", "1", "2"), *H264, *AAC, "{out}"]
    media = read_media(str(made(ffmpeg, tmp_path, "clip.mov", both, edit=emptied)))
    assert [stream.index for stream in media.audio] == [1]


# Encryption


def scrambled(first: float = 0.0, last: float = 1.0, pids: tuple[int, ...] = (256, 257)) -> Callable[[bytes], bytes]:
    """A transport stream of which those shares are scrambled: what the packets hold, but not the tables."""

    def edit(whole: bytes) -> bytes:
        edited = bytearray(whole)
        size, before = (188, 0) if whole[188] == whole[376] == 0x47 else (192, 4)
        for packet in range(int(len(whole) / size * first), int(len(whole) / size * last)):
            at = packet * size + before
            if int.from_bytes(whole[at + 1 : at + 3], "big") & 0x1FFF in pids:
                edited[at + 3] |= 0x80
                begin = at + 4 + (1 + whole[at + 4] if whole[at + 3] & 0x20 else 0)
                edited[begin : at + 188] = bytes(byte * 151 + 73 & 0xFF for byte in whole[begin : at + 188])
        return bytes(edited)

    return edit


def drm(guid: str) -> Callable[[bytes], bytes]:
    """A Windows Media file whose header has one object more, of that kind."""

    def edit(whole: bytes) -> bytes:
        size, count = struct.unpack_from("<QI", whole, 16)
        more = UUID(guid).bytes_le + struct.pack("<Q", 40) + bytes(16)
        return whole[:16] + struct.pack("<QI", size + 40, count + 1) + whole[28:size] + more + whole[size:]

    return edit


def of_webm(whole: bytes) -> bytes:
    """In the place of its name, the track of a Matroska file says that it is encrypted by AES."""
    encryption = b"\x47\xe1\x81\x05\x47\xe2\x88" + b"keyident"
    coding = b"\x50\x31\x81\0\x50\x32\x81\1\x50\x33\x81\1\x50\x35" + bytes([0x80 + len(encryption)]) + encryption
    codings = b"\x62\x40" + bytes([0x80 + len(coding)]) + coding
    name = b"\x53\x6e" + bytes([0x80 + len(codings)]) + b"x" * len(codings)
    assert name in whole
    return whole.replace(name, b"\x6d\x80" + bytes([0x80 + len(codings)]) + codings, 1)


def of_dvd(whole: bytes) -> bytes:
    """Packets of picture and sound say that they are scrambled."""
    return re.sub(
        rb"(\x00\x00\x01[\xc0-\xef]..)([\x80-\x8f])",
        lambda found: found[1] + bytes([found[2][0] | 0x10]),
        whole,
        flags=re.S,
    )


def of_blu_ray(whole: bytes) -> bytes:
    """Units of 6144 bytes, of which the first 16 are clear."""
    edited = bytearray(byte * 151 + 73 & 0xFF for byte in whole)
    for at in range(0, len(whole), 6144):
        edited[at : at + 16] = bytes([whole[at] | 0xC0]) + whole[at + 1 : at + 16]
    return bytes(edited)


COMMON = ("-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "76a6c65c5ea762046bd749a2e632ccbb")
COMMON += ("-encryption_kid", "a7e61c373e219033c21091fa607bf3b8")
NAMED = ("-metadata:s:v:0", "title=" + "x" * 33)
DVB = encoded(*H264, "-g", "10", "-c:a", "mp2", seconds=3.0)
ENCRYPTED = {
    "cenc.mp4": ("Common Encryption, cenc", film(*COMMON, "{out}"), None),
    "cenc.m4a": ("Common Encryption, cenc", heard(*AAC, *COMMON, "-f", "mp4"), None),
    "cenc-in-fragments.mp4": (
        "Common Encryption, cenc",
        film(*COMMON, "-movflags", "frag_keyframe+empty_moov", "{out}"),
        None,
    ),
    "bought.m4p": ("FairPlay", heard(*AAC, "-f", "ipod"), called(b"mp4a", b"drms")),
    "book.aax": ("Audible", heard(*AAC, "-f", "ipod"), called(b"mp4a", b"aavd")),
    "dvb.ts": ("scrambled by the broadcaster", DVB, scrambled()),
    "dvb-late.ts": ("scrambled by the broadcaster", DVB, scrambled(first=0.2)),
    "dvb.m2ts": (
        "scrambled by the broadcaster",
        [*DVB[:-1], "-f", "mpegts", "{out}"],
        scrambled(pids=(0x1011, 0x1100)),
    ),
    "picture-alone.ts": ("scrambled by the broadcaster", DVB, scrambled(pids=(256,))),
    "radio.ts": ("scrambled by the broadcaster", heard("-c:a", "mp2", seconds=3.0), scrambled(pids=(256,))),
    "dvd.vob": ("CSS, as on DVDs", encoded(*MPEG2, "-c:a", "mp2", "-f", "vob"), of_dvd),
    "disc.m2ts": ("AACS, as on Blu-ray discs", film("-mpegts_m2ts_mode", "1", "{out}", seconds=3.0), of_blu_ray),
    "widevine.webm": ("Matroska's or WebM's own encryption", silent(*VP9, *NAMED), of_webm),
    "pay.wmv": (
        "Windows Media DRM",
        encoded("-c:v", "wmv2", "-c:a", "wmav2"),
        drm("2211b3fb-bd23-11d2-b4b7-00a0c955fc6e"),
    ),
    "pay-more.wma": ("Windows Media DRM", heard("-c:a", "wmav2"), drm("298ae614-2622-4c17-b935-dae07ee9289c")),
}


@pytest.mark.parametrize("name", ENCRYPTED)
def test_an_encrypted_file_is_refused_as_that(ffmpeg: str, tmp_path: Path, name: str) -> None:
    by, step, edit = ENCRYPTED[name]
    path = made(ffmpeg, tmp_path, name, step, edit=edit)
    with pytest.raises(ProbeError) as caught:
        read_media(str(path))
    assert str(caught.value) == f"it is encrypted ({by}): only who protected it can open it"


def test_an_encrypted_track_that_is_told_of_at_the_end_is_found(ffmpeg: str, tmp_path: Path) -> None:
    path = made(ffmpeg, tmp_path, "widevine.webm", silent(*VP9, *NAMED), edit=of_webm)
    path.write_bytes(ebml.inside(ebml.SEGMENT, ebml.tracks_last)(path.read_bytes()))
    with pytest.raises(ProbeError, match="Matroska's or WebM's own encryption"):
        read_media(str(path))


def test_a_recording_that_the_receiver_opened_after_a_moment_is_read(ffmpeg: str, tmp_path: Path) -> None:
    path = made(ffmpeg, tmp_path, "clip.ts", DVB, edit=scrambled(last=0.1))
    assert read_media(str(path)).video


def test_of_a_multiplex_the_channel_that_is_not_encrypted_is_taken(ffmpeg: str, tmp_path: Path) -> None:
    inputs = [*picture("640x360"), *sound(), *picture("320x180"), *sound(frequency=900)]
    channels = ["-program", "title=pay:st=0:st=1", "-program", "title=free:st=2:st=3"]
    both = [*inputs, *mapped("0", "1", "2", "3"), *H264, "-c:a", "mp2", *channels, "{out}"]
    media = read_media(str(made(ffmpeg, tmp_path, "clip.ts", both, edit=scrambled())))
    assert media.video
    assert (media.video.width, media.video.height, len(media.audio)) == (320, 180, 1)


def test_a_clear_picture_with_encrypted_sound_does_not_come_out_silent(ffmpeg: str, tmp_path: Path) -> None:
    media = read_media(str(made(ffmpeg, tmp_path, "clip.ts", DVB, edit=scrambled(pids=(257,)))))
    with pytest.raises(ProbeError, match="the source's sound cannot be read: it is encrypted"):
        plan(media, "remux-mkv", defaults("remux-mkv"))
