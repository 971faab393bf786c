"""What can be asked for: the presets, their typed parameters, and how a request becomes concrete outputs.

Pure data. A new preset is one more row of `PRESETS`; it may set any parameter of its family's struct.
Callers never pass filter strings or raw arguments, only these fields.
"""

from __future__ import annotations

import difflib
import functools
import random
import secrets
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple, get_args

import msgspec
from msgspec import Meta

from daemon.errors import BadParameter, InvalidRequest, UnknownPreset
from daemon.models import Parameters, VariationRequest, Wanted
from daemon.traits import BitDepthField, Family, SoundTraits, Traits, traits

MAX_VARIATIONS = 200  # of one source

Speed = Literal["ultrafast", "veryfast", "fast", "medium", "slow"]
SpeedField = Annotated[Speed, Meta(description="encoding effort: slower gives smaller files of equal quality")]
CrfField = Annotated[
    int, Meta(ge=10, le=51, description="constant rate factor: lower is better and larger; encoders differ in scale")
]
TrackBitrateField = Annotated[int, Meta(ge=32, le=256, description="kilobits per second of each audio track")]


class VideoParameters(Traits, frozen=True, kw_only=True):
    short_side: Annotated[
        int, Meta(ge=120, le=2160, description="the shorter side in pixels, at most; a picture is never enlarged")
    ]
    crf: CrfField
    speed: SpeedField = "fast"
    max_frame_rate: Annotated[int, Meta(ge=1, le=120, description="frames per second, at most")] = 60
    bit_depth: BitDepthField = 8
    audio_bitrate_kbps: TrackBitrateField = 160


class AudioParameters(SoundTraits, frozen=True, kw_only=True):
    bitrate_kbps: Annotated[int, Meta(ge=32, le=320, description="kilobits per second")] = 192


class GifParameters(Family, frozen=True, kw_only=True):
    long_side: Annotated[
        int, Meta(ge=64, le=800, description="the longer side in pixels, at most; a picture is never enlarged")
    ] = 480
    fps: Annotated[int, Meta(ge=1, le=25, description="frames per second")] = 12
    start_seconds: Annotated[float, Meta(ge=0, le=86400, description="where in the source to begin")] = 0.0
    # The palette is made from all frames, which wait in memory meanwhile.
    seconds: Annotated[float, Meta(ge=0.1, le=30, description="how much of the source to show, at most")] = 10.0


class SheetParameters(Family, frozen=True, kw_only=True):
    columns: Annotated[int, Meta(ge=1, le=8, description="tiles side by side")] = 4
    rows: Annotated[int, Meta(ge=1, le=8, description="tiles one above the other")] = 4
    tile_long_side: Annotated[int, Meta(ge=64, le=640, description="the longer side of a tile in pixels")] = 320


class RefreshParameters(Traits, frozen=True, kw_only=True):
    count: Annotated[int, Meta(ge=1, le=20, description="how many variations, each with a look of its own")] = 1
    seed: Annotated[
        Annotated[str, Meta(max_length=200)] | None,
        Meta(description="any text; the same seed gives the same looks, none draws one"),
    ] = None
    crf: CrfField = 20
    speed: SpeedField = "veryfast"
    audio_bitrate_kbps: TrackBitrateField = 160


class Look(NamedTuple):
    """How one refresh variation differs from its source."""

    rotation: float  # radians clockwise
    brightness: float  # added, in shares of full scale
    contrast: float  # a factor
    saturation: float  # a factor


class RefreshedParameters(Traits, frozen=True, kw_only=True):
    """One drawn variation: what `RefreshParameters` resolves to."""

    rotation: float
    brightness: float
    contrast: float
    saturation: float
    seed: str
    crf: int
    speed: Speed
    audio_bitrate_kbps: int


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """A named way to encode. `encoder` and `container` are what `recipes` goes by."""

    name: str
    kind: Literal["video", "audio", "gif", "sheet", "refresh"]
    encoder: Literal["h264", "hevc", "av1", "vp9", "mp3", "aac", "gif", "jpeg"]
    container: Literal["mp4", "webm", "mp3", "ipod", "gif", "mjpeg"]
    extension: str
    description: str
    defaults: Family


def _table(*presets: Preset) -> dict[str, Preset]:
    return {preset.name: preset for preset in presets}


PRESETS = _table(
    Preset(
        name="h264-1080p",
        kind="video",
        encoder="h264",
        container="mp4",
        extension="mp4",
        description="1080p for every device and browser: H.264 and AAC",
        defaults=VideoParameters(short_side=1080, crf=20, speed="veryfast", audio_bitrate_kbps=192),
    ),
    Preset(
        name="h264-720p",
        kind="video",
        encoder="h264",
        container="mp4",
        extension="mp4",
        description="720p for every device and browser: H.264 and AAC",
        defaults=VideoParameters(short_side=720, crf=21, speed="veryfast"),
    ),
    Preset(
        name="h264-480p",
        kind="video",
        encoder="h264",
        container="mp4",
        extension="mp4",
        description="480p for slow connections and previews: H.264 and AAC",
        defaults=VideoParameters(short_side=480, crf=22, speed="veryfast", audio_bitrate_kbps=128),
    ),
    Preset(
        name="hevc-1080p",
        kind="video",
        encoder="hevc",
        container="mp4",
        extension="mp4",
        description="1080p in some two thirds of H.264's size, for recent phones, televisions and Apple devices",
        defaults=VideoParameters(short_side=1080, crf=25, audio_bitrate_kbps=192),
    ),
    Preset(
        name="av1-720p",
        kind="video",
        encoder="av1",
        container="mp4",
        extension="mp4",
        description="720p in half of H.264's size; MP4 with AAC, which plays wherever AV1 itself does",
        defaults=VideoParameters(short_side=720, crf=34),
    ),
    Preset(
        name="webm-720p",
        kind="video",
        encoder="vp9",
        container="webm",
        extension="webm",
        description="720p free of patent fees, for browsers: VP9 and Opus",
        defaults=VideoParameters(short_side=720, crf=33, audio_bitrate_kbps=128),
    ),
    Preset(
        name="mp3",
        kind="audio",
        encoder="mp3",
        container="mp3",
        extension="mp3",
        description="the sound alone, for every player",
        defaults=AudioParameters(bitrate_kbps=192),
    ),
    Preset(
        name="m4a",
        kind="audio",
        encoder="aac",
        container="ipod",
        extension="m4a",
        description="the sound alone as AAC: smaller than MP3 at equal quality",
        defaults=AudioParameters(bitrate_kbps=160),
    ),
    Preset(
        name="gif",
        kind="gif",
        encoder="gif",
        container="gif",
        extension="gif",
        description="a short looping animation without sound, for chats and pages that take no video",
        defaults=GifParameters(),
    ),
    Preset(
        name="thumbnail-sheet",
        kind="sheet",
        encoder="jpeg",
        container="mjpeg",
        extension="jpg",
        description="one JPEG with a grid of frames from the whole source, to see at a glance what it holds",
        defaults=SheetParameters(),
    ),
    Preset(
        name="refresh",
        kind="refresh",
        encoder="h264",
        container="mp4",
        extension="mp4",
        description="seeded random looks of the source in its own size: slight rotation, brightness, contrast, colour",
        defaults=RefreshParameters(),
    ),
)


def find(name: str) -> Preset:
    """The preset of that name. Raises UnknownPreset, which names what comes closest, or all there is."""
    if name in PRESETS:
        return PRESETS[name]
    close = difflib.get_close_matches(name, PRESETS)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(PRESETS)}"
    raise UnknownPreset(f"there is no preset {name!r}: {hint}")


def expand(requests: Sequence[VariationRequest]) -> tuple[Wanted, ...]:
    """All outputs of one source, in the order asked for: every default filled in, every refresh look drawn.

    Labels are unique. Raises UnknownPreset, BadParameter, or InvalidRequest for none or too many of them.
    """
    if not requests:
        raise InvalidRequest("no variation is asked for: name at least one preset")
    if len(requests) > MAX_VARIATIONS:
        raise _too_many(len(requests))
    wanted: list[Wanted] = []
    looks: set[Look] = set()
    for request in requests:
        preset = find(request.preset)
        parameters = _resolve(preset, request.overrides)
        taken = sum(other.preset == preset.name for other in wanted)
        if isinstance(parameters, RefreshParameters):
            wanted += _refreshed(preset, parameters, looks, taken)
        else:
            wanted.append(_wanted(preset, parameters, preset.name + (f"-{taken + 1}" if taken else "")))
    if len(wanted) > MAX_VARIATIONS:
        raise _too_many(len(wanted))
    return tuple(wanted)


def describe() -> list[dict[str, Any]]:
    """Every preset as JSON: name, kind, description, extension, and each parameter's type, default and range."""
    return [
        {
            "name": preset.name,
            "kind": preset.kind,
            "description": preset.description,
            "extension": preset.extension,
            "parameters": [
                _described(field, schema, getattr(preset.defaults, field))
                for field, schema in _schema(type(preset.defaults)).items()
            ],
        }
        for preset in PRESETS.values()
    ]


def _too_many(count: int) -> InvalidRequest:
    return InvalidRequest(f"{count} variations of one source are asked for; {MAX_VARIATIONS} are the limit")


def _wanted(preset: Preset, parameters: Family, label: str) -> Wanted:
    return Wanted(
        preset=preset.name,
        parameters=msgspec.to_builtins(parameters),
        label=label,
        extension=preset.extension,
    )


def _resolve(preset: Preset, overrides: Parameters) -> Family:
    """The preset's defaults with the caller's overrides. Raises BadParameter."""
    family = type(preset.defaults)
    for name, value in overrides.items():
        _check(preset, name, value)
    return msgspec.convert({**msgspec.to_builtins(preset.defaults), **overrides}, family)


def _check(preset: Preset, name: str, value: object) -> None:
    family = type(preset.defaults)
    types = _types(family)
    if name not in types:
        raise BadParameter(f"preset {preset.name} has no parameter {name!r}: it takes {', '.join(types)}")
    try:
        msgspec.convert(value, types[name])
        str(value).encode()  # a lone surrogate, from a command line that is not UTF-8, can be stored nowhere
    except (msgspec.ValidationError, UnicodeEncodeError):
        bounds = _bounds(_schema(family)[name])
        raise BadParameter(f"preset {preset.name}: {name} is {_quoted(value)}, but it takes {bounds}") from None


def _quoted(value: object) -> str:
    words = repr(value)
    return words if len(words) <= 40 else f"{words[:40]}…"


def _bounds(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if "minimum" in schema:
        kind = "a whole number" if schema["type"] == "integer" else "a number"
        return f"{kind} from {schema['minimum']} to {schema['maximum']}"
    if "pattern" in schema:
        return "a colour such as #ffcc00"
    return f"text of at most {schema['maxLength']} characters"


@functools.cache
def _types(family: type[Family]) -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(family)}


@functools.cache
def _schema(family: type[Family]) -> dict[str, dict[str, Any]]:
    """The JSON Schema of each parameter, made plain for people."""
    properties = msgspec.json.schema(family)["$defs"][family.__name__]["properties"]
    return {name: _plain(schema, _types(family)[name]) for name, schema in properties.items()}


def _plain(schema: dict[str, Any], declared: Any) -> dict[str, Any]:
    """One that may be null is told as what it is otherwise; choices stand in the order they are declared."""
    if "enum" in schema:
        return {**schema, "enum": list(get_args(get_args(declared)[0]))}
    filled = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    return {**schema, **filled[0]} if filled else schema


def _described(name: str, schema: dict[str, Any], default: object) -> dict[str, Any]:
    return {
        "name": name,
        "type": schema.get("type", "string"),
        "default": default,
        "minimum": schema.get("minimum"),
        "maximum": schema.get("maximum"),
        "choices": schema.get("enum"),
        "description": schema["description"],
    }


def _refreshed(
    preset: Preset, parameters: RefreshParameters, taken_looks: set[Look], taken_labels: int
) -> Iterator[Wanted]:
    seed = secrets.token_hex(8) if parameters.seed is None else parameters.seed
    for number, look in enumerate(_draw(seed, parameters.count, taken_looks), taken_labels + 1):
        drawn = RefreshedParameters(
            **look._asdict(),
            **traits(parameters),
            seed=seed,
            crf=parameters.crf,
            speed=parameters.speed,
            audio_bitrate_kbps=parameters.audio_bitrate_kbps,
        )
        yield _wanted(preset, drawn, f"{preset.name}-{number:02}")


def _draw(seed: str, count: int, taken: set[Look]) -> Iterable[Look]:
    """`count` looks that are not yet taken; they are taken then. The seed alone decides what is drawn."""
    source = random.Random(seed)
    drawn: list[Look] = []
    while len(drawn) < count:
        look = _drawn_look(source)
        if look not in taken:
            taken.add(look)
            drawn.append(look)
    return drawn


def _drawn_look(source: random.Random) -> Look:
    return Look(
        rotation=round(source.uniform(0.001, 0.01), 4),
        brightness=round(source.uniform(-0.05, 0.05), 4),
        contrast=round(source.uniform(0.95, 1.05), 4),
        saturation=round(source.uniform(0.95, 1.05), 4),
    )
