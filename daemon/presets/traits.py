"""Defines what a caller may say about a source's traits; every default does what a person would expect."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

OnLossField = Annotated[
    Literal["tell", "fail"],
    Meta(description="fail: nothing is made where a track or captions would be left out that the preset might keep"),
]
OnTruncatedField = Annotated[
    Literal["fail", "keep"],
    Meta(description="of a source that ends before its header says; keep: what is there is made"),
]


class Family(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A family holds the parameters of one kind of recipe; these are those of every one."""

    on_loss: OnLossField = "tell"
    on_truncated: OnTruncatedField = "fail"


class SoundTraits(Family, frozen=True, kw_only=True):
    """Holds what every recipe with sound has in common."""

    chapters: Annotated[Literal["keep", "drop"], Meta(description="chapter marks and their titles")] = "keep"
    metadata: Annotated[
        Literal["keep", "strip"], Meta(description="title, date, place, device, cover; languages of tracks always stay")
    ] = "keep"


class KeptTraits(SoundTraits, frozen=True, kw_only=True):
    """Holds what recipes that keep picture and sound have in common, however they keep them."""

    subtitles: Annotated[
        Literal["keep", "drop"], Meta(description="keep: as far as the container takes them; bitmaps only in MKV")
    ] = "keep"
    captions: Annotated[
        Literal["keep", "text", "drop"],
        Meta(description="EIA-608 in the picture; keep: where the codec can; text: as a subtitle track too"),
    ] = "keep"


DeinterlaceField = Annotated[
    Literal["auto", "always", "never"], Meta(description="auto: the frames that say they are made of two fields")
]
ToneMapField = Annotated[
    Literal["auto", "mobius", "hable", "reinhard"],
    Meta(description="how HDR is brought to ordinary screens; auto: by mobius, and only where HDR cannot be kept"),
]
AlphaColourField = Annotated[
    str, Meta(pattern="^#[0-9a-fA-F]{6}$", description="what shows through where the output cannot be transparent")
]


Metric = Literal["vmaf", "ssim"]
QualityField = Annotated[
    Literal["none", "vmaf", "ssim"],
    Meta(description="a score of how close the picture is to the source's, frame by frame; it takes its time"),
]


class FilmTraits(KeptTraits, frozen=True, kw_only=True):
    """Holds what recipes that encode the picture have in common."""

    deinterlace: DeinterlaceField = "auto"
    tone_map: ToneMapField = "auto"
    alpha_colour: AlphaColourField = "#000000"
    quality: QualityField = "none"


class Traits(FilmTraits, frozen=True, kw_only=True):
    """Holds what recipes that encode picture and sound have in common."""

    max_channels: Annotated[int, Meta(ge=1, le=8, description="of each audio track; what has more is mixed down")] = 2


PiecesField = Annotated[
    Literal["auto", "never"],
    Meta(description="auto: a long film is cut up where several machines would else be idle; never: one has all of it"),
]
BitDepthField = Annotated[
    Literal[8, 10], Meta(description="bits of each colour; HDR is kept in 10, and brought to ordinary screens in 8")
]


def traits(parameters: Traits) -> dict[str, Any]:
    """Returns the traits alone, for a struct that takes them over."""
    return {field.name: getattr(parameters, field.name) for field in msgspec.structs.fields(Traits)}
