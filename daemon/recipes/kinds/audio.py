"""Keeps the sound alone, at the loudness it has or at one that is asked for."""

from __future__ import annotations

from msgspec.structs import replace

from daemon.errors import UnsuitableSource
from daemon.media.model import FRONT_COVER, AudioStream, Cover
from daemon.presets.parameters import AudioParameters, FlacParameters
from daemon.recipes import chapters, loudness, metadata
from daemon.recipes.kind import Estimate, Kind
from daemon.recipes.recipe import Options, Plan, Recipe, Request, Step, Steps, measuring
from daemon.recipes.sound import default_first, mixed, narrowed

COVERED = {"mp3", "ipod", "flac"}  # FFmpeg writes none to Ogg
FLAC_PICTURE = 2**24 - 2**16  # bytes of a picture in FLAC, with room for what is told about it
FLAC_BLOCK = 4096  # samples; FFmpeg would take as many as a packet of the source has, a second of TTA
EVEN = ".even"  # behind an output's name: its sound at one rate
ENCODERS = {"mp3": "libmp3lame", "aac": "aac", "opus": "libopus", "flac": "flac"}


def audio(request: Request[AudioParameters | FlacParameters]) -> Recipe:
    media, preset, wanted = request.media, request.preset, request.wanted
    if not media.audio:
        raise UnsuitableSource(
            f"the source has no sound, which the preset {preset.name} needs: take one of pictures, such as h264-720p"
        )
    first = default_first(media.audio)[0]
    duration = first.duration_seconds or media.duration_seconds
    # In FLAC they are comments, which FFmpeg writes and does not read.
    kept = wanted.chapters == "keep" and preset.container != "flac"
    cover = media.cover if wanted.metadata == "keep" and _takes(preset.container, media.cover) else None
    planned = Plan(
        container=preset.container,
        duration_seconds=duration,
        video=None,
        audio=1,
        chapters=chapters.told(preset.container, media) if kept else (),
        covers=1 if cover else 0,
    )
    told = metadata.options(preset.container, media, wanted, [first])
    options = {**_encoded(request, first), **told, **(_covered(preset.container) if cover else {})}
    plain = Recipe(planned, None, (first,), lambda _threads: options, cover=cover)
    if wanted.loudness_lufs is None:
        return plain
    target = wanted.loudness_lufs
    louder = {**options, **metadata.gains_dropped()}
    return plain._replace(steps=lambda: _levelled(plain, first, louder, target))


def _takes(container: str, cover: Cover | None) -> bool:
    return container in COVERED and cover is not None and (container != "flac" or cover.bytes <= FLAC_PICTURE)


def _covered(container: str) -> Options:
    """The cover as it is, called the front one: players may show no other kind."""
    version = {"id3v2_version": 3} if container == "mp3" else {}  # many players read no newer tag
    marks = {"disposition:v:0": "attached_pic", "metadata:s:v:0": f"comment={FRONT_COVER}"}
    return {"c:v": "copy", **marks, **version}


def _encoded(request: Request[AudioParameters | FlacParameters], stream: AudioStream) -> Options:
    wanted, name = request.wanted, ENCODERS[request.preset.encoder]
    encoder: Options = {"c:a": name, **mixed(name)}
    if isinstance(wanted, FlacParameters):
        kept = narrowed([stream], 8, rewound=True, whole=True)
        return {**encoder, "compression_level": wanted.compression_level, "frame_size": FLAC_BLOCK, **kept}
    return {**encoder, "b:a": f"{wanted.bitrate_kbps}k", **narrowed([stream], rewound=True)}


def _levelled(plain: Recipe, stream: AudioStream, options: Options, target: float) -> Steps:
    """Mixed down before it is measured: afterwards it would no longer be as loud.

    What is measured is not encoded: of silence loudnorm makes numbers that encoders refuse. Sound that changes its rate
    or its channels midway is made even first: filters begin anew there.
    """
    before = [options["filter:a:0"]] if "filter:a:0" in options else []
    before += ["aformat=channel_layouts=stereo"] if "ac:a:0" in options else []
    passed, left = (yield _listening(plain, before, target, 0.4)), 0.6
    if loudness.was_interrupted(passed.said):
        yield Step(_evened(plain, stream, options), 0.1, aside=EVEN)
        plain, before, left = plain._replace(heard_aside=EVEN), [], 0.4
        passed = yield _listening(plain, before, target, 0.1)
    correction = loudness.correcting(target, loudness.read(passed.said))
    rate = options.get("ar:a:0", stream.sample_rate)  # loudnorm may work at 192 kHz
    whole = "asetpts=N/SR/TB"  # where loudnorm drains what it holds back, it leaves out up to 0.1 s
    even = ["asetnsamples=4096:p=0"] if plain.plan.container == "flac" else []  # of a short clip it makes one frame
    filters = [*before, *([correction, whole, f"aresample={rate}", *even] if correction else [])]
    levelled = {**options, "filter:a:0": ",".join(filters)} if filters else options
    yield Step(plain._replace(options=lambda _threads: levelled), left)


def _listening(plain: Recipe, before: list[str], target: float, share: float) -> Step:
    heard: Options = {"filter:a:0": ",".join([*before, loudness.measuring(target)])}
    return Step(measuring(plain)._replace(options=lambda _threads: heard), share)


def _evened(plain: Recipe, stream: AudioStream, options: Options) -> Recipe:
    """The sound alone, at one rate and with the same channels throughout: two, where it begins with one."""
    even = {"ac:a:0": max(2, stream.channels), "ar:a:0": stream.sample_rate}
    kept = {name: value for name, value in options.items() if name in {"filter:a:0", "ac:a:0", "ar:a:0"}}
    flac = {"c:a": "flac", "compression_level": 1, **even, **kept}
    return plain._replace(
        plan=replace(plain.plan, container="nut"), options=lambda _threads: flac, cover=None, steps=None
    )


def _estimated(request: Request[AudioParameters | FlacParameters]) -> Estimate:
    wanted = request.wanted
    return Estimate() if isinstance(wanted, FlacParameters) else Estimate(sound_kbps=wanted.bitrate_kbps)


AUDIO: Kind[AudioParameters | FlacParameters] = Kind("audio", (AudioParameters, FlacParameters), audio, _estimated)
