"""Defines the typed parameters a preset may take: a struct for each kind of recipe, each field with range and words."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from msgspec import Meta

from daemon.presets.traits import (
    AlphaColourField,
    BitDepthField,
    DeinterlaceField,
    Family,
    FilmTraits,
    KeptTraits,
    PiecesField,
    SoundTraits,
    ToneMapField,
    Traits,
)

Speed = Literal["ultrafast", "veryfast", "fast", "medium", "slow"]
Fit = Literal["fit", "fill", "blur"]
Aspect = Literal["9:16", "4:5", "1:1", "16:9"]
Tracks = Literal["all", "first"]

SpeedField = Annotated[Speed, Meta(description="encoding effort: slower gives smaller files of equal quality")]
CrfField = Annotated[
    float,
    Meta(
        ge=10,
        le=51,
        description="constant rate factor: lower is better and larger; encoders differ in scale; VP9 and AV1 round it",
    ),
]
FrameRateField = Annotated[int, Meta(ge=1, le=120, description="frames per second, at most")]
TrackBitrateField = Annotated[int, Meta(ge=32, le=256, description="kilobits per second of each audio track")]
LoudnessField = (
    Annotated[float, Meta(ge=-36, le=-9, description="loudness in LUFS to bring it to, in two passes")] | None
)
ShortSideField = Annotated[
    int, Meta(ge=120, le=2160, description="the shorter side in pixels, at most; a picture is never enlarged")
]


TargetVmafField = (
    Annotated[float, Meta(ge=60, le=99, description="VMAF to reach: the crf is then found by trying short parts")]
    | None
)


class VideoParameters(Traits, frozen=True, kw_only=True):
    short_side: ShortSideField
    crf: CrfField
    target_vmaf: TargetVmafField = None
    speed: SpeedField = "fast"
    max_frame_rate: FrameRateField = 60
    bit_depth: BitDepthField = 8
    audio_bitrate_kbps: TrackBitrateField = 160
    copy: Annotated[
        bool, Meta(description="take picture or sound as it is, each for itself, where it already is what this makes")
    ] = False
    pieces: PiecesField = "auto"


class FramedParameters(Traits, frozen=True, kw_only=True):
    aspect: Annotated[Aspect, Meta(description="width to height of the frame")]
    fit: Annotated[
        Fit, Meta(description="fit: black bars; fill: cut what is over; blur: the blurred picture behind itself")
    ] = "blur"
    short_side: Annotated[int, Meta(ge=240, le=2160, description="the frame's shorter side in pixels, exactly")] = 1080
    crf: CrfField = 21
    speed: SpeedField = "veryfast"
    max_frame_rate: FrameRateField = 60
    audio_bitrate_kbps: TrackBitrateField = 160
    pieces: PiecesField = "auto"


class CappedParameters(Traits, frozen=True, kw_only=True):
    target_bytes: Annotated[int, Meta(ge=50_000, le=10**12, description="bytes the file may have, at most")]
    short_side: ShortSideField = 1080
    speed: SpeedField = "veryfast"
    max_frame_rate: FrameRateField = 60
    audio_bitrate_kbps: Annotated[
        int, Meta(ge=32, le=256, description="kilobits per second of each audio track, at most")
    ] = 128


class ArchiveParameters(FilmTraits, frozen=True, kw_only=True):
    crf: CrfField = 18
    speed: SpeedField = "medium"
    pieces: PiecesField = "auto"


class LosslessParameters(KeptTraits, frozen=True, kw_only=True):
    keyframe_interval: Annotated[
        int, Meta(ge=1, le=300, description="frames from one that stands by itself to the next; 1: all of them do")
    ] = 1


class RemuxParameters(KeptTraits, frozen=True, kw_only=True):
    tracks: Annotated[Tracks, Meta(description="which audio tracks to keep")] = "all"


class LadderParameters(Family, frozen=True, kw_only=True):
    short_side: Annotated[
        int, Meta(ge=240, le=2160, description="the top rung's shorter side, at most; none is above the source")
    ] = 1080
    rungs: Annotated[int, Meta(ge=1, le=6, description="sizes to make, at most")] = 4
    segment_seconds: Annotated[int, Meta(ge=1, le=10, description="length of a segment")] = 4
    crf: CrfField = 22
    speed: SpeedField = "veryfast"
    max_frame_rate: FrameRateField = 60
    audio_bitrate_kbps: TrackBitrateField = 128
    deinterlace: DeinterlaceField = "auto"
    tone_map: ToneMapField = "auto"
    alpha_colour: AlphaColourField = "#000000"
    pieces: PiecesField = "auto"


class AudioParameters(SoundTraits, frozen=True, kw_only=True):
    bitrate_kbps: Annotated[int, Meta(ge=32, le=320, description="kilobits per second")] = 192
    loudness_lufs: LoudnessField = None


class FlacParameters(SoundTraits, frozen=True, kw_only=True):
    compression_level: Annotated[int, Meta(ge=0, le=12, description="effort: higher is smaller and slower")] = 8
    loudness_lufs: LoudnessField = None


class GifParameters(Family, frozen=True, kw_only=True):
    long_side: Annotated[
        int, Meta(ge=64, le=800, description="the longer side in pixels, at most; a picture is never enlarged")
    ] = 480
    fps: Annotated[int, Meta(ge=1, le=25, description="frames per second")] = 12
    start_seconds: Annotated[float, Meta(ge=0, le=86400, description="where in the source to begin")] = 0.0
    # The palette is made from all frames, which wait in memory meanwhile.
    seconds: Annotated[float, Meta(ge=0.1, le=30, description="how much of the source to show, at most")] = 10.0


class WebpParameters(GifParameters, frozen=True, kw_only=True):
    quality: Annotated[int, Meta(ge=0, le=100, description="higher is better and larger")] = 75


class PosterParameters(Family, frozen=True, kw_only=True):
    long_side: Annotated[
        int, Meta(ge=64, le=3840, description="the longer side in pixels, at most; a picture is never enlarged")
    ] = 1280
    at_seconds: (
        Annotated[float, Meta(ge=0, le=86400, description="where in the source; without it the most typical frame")]
        | None
    ) = None


class SheetParameters(Family, frozen=True, kw_only=True):
    columns: Annotated[int, Meta(ge=1, le=8, description="tiles side by side")] = 4
    rows: Annotated[int, Meta(ge=1, le=8, description="tiles one above the other")] = 4
    tile_long_side: Annotated[int, Meta(ge=64, le=640, description="the longer side of a tile in pixels")] = 320


class SpritesParameters(Family, frozen=True, kw_only=True):
    interval_seconds: Annotated[float, Meta(ge=0.2, le=600, description="from one tile to the next")] = 5.0
    columns: Annotated[int, Meta(ge=1, le=10, description="tiles side by side in one picture")] = 10
    rows: Annotated[int, Meta(ge=1, le=10, description="tiles one above the other in one picture")] = 10
    tile_long_side: Annotated[int, Meta(ge=64, le=320, description="the longer side of a tile in pixels")] = 160


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
    """A look is how one refresh variation differs from its source."""

    rotation: float  # radians clockwise
    brightness: float  # added, in shares of full scale
    contrast: float  # a factor
    saturation: float  # a factor


class RefreshedParameters(Traits, frozen=True, kw_only=True):
    """Holds one drawn variation: what `RefreshParameters` resolves to."""

    rotation: float
    brightness: float
    contrast: float
    saturation: float
    seed: str
    crf: float
    speed: Speed
    audio_bitrate_kbps: int
