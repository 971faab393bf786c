"""Films that have two or three of the real world's traits at once, in whatever format, by the hundred.

Nobody writes down what is to be expected of each: it follows from what another reader says of the film as it was made.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, combinations, islice

from specimens import (
    AAC,
    AV1,
    CHAPTERS,
    COPY,
    FFV1,
    FIELDS,
    FLAC,
    MJPEG,
    MP3,
    MPEG2,
    MPEG4,
    OPUS,
    PCM,
    PRORES,
    SUBTITLES,
    UNEVENLY,
    VP8,
    VP9,
    X264,
    X265,
    Specimen,
    Step,
    mapped,
    picture,
    read,
    sound,
)

MOST = 500
SECONDS = 1.0
SIZE = "192x108"


@dataclass(frozen=True)
class Format:
    """`pixels` are those that the encoder takes for each trait that wants others than usual; `lacks` are traits."""

    extension: str
    video: list[str]
    audio: list[str]
    pixels: dict[str, str]
    lacks: tuple[str, ...] = ()

    def takes(self, names: tuple[str, ...]) -> bool:
        of_it = all(self.extension in OF_SOME.get(name, {self.extension}) for name in names)
        return of_it and not {*names} & {*self.lacks} and not any({*names} >= both for both in UNTOLD)


FORMATS = (
    Format("mp4", X264, AAC, {"": "yuv420p", "odd": "yuv444p", "deep": "yuv420p10le", "grey": "gray"}),
    Format("mov", PRORES, PCM, {"": "yuv422p10le", "deep": "yuv444p10le", "alpha": "yuva444p10le"}),
    Format("mov", [*X265, "-tag:v", "hvc1"], AAC, {"": "yuv420p", "odd": "yuv444p", "deep": "yuv420p10le"}),
    Format("mkv", VP9, OPUS, {"": "yuv420p", "odd": "yuv444p"}, ("44k",)),
    Format(
        "mkv", FFV1, FLAC, {"": "yuv420p", "odd": "yuv444p", "deep": "yuv422p10le", "alpha": "yuva420p", "grey": "gray"}
    ),
    Format("mkv", X264, ["-c:a", "ac3"], {"": "yuv420p", "odd": "yuv444p", "deep": "yuv422p10le"}, ("8k",)),
    Format(
        "webm", [*VP8, "-auto-alt-ref", "0"], OPUS, {"": "yuv420p", "odd": "yuv420p", "alpha": "yuva420p"}, ("44k",)
    ),
    Format("webm", AV1, OPUS, {"": "yuv420p", "deep": "yuv420p10le"}, ("44k",)),
    Format("ts", MPEG2, ["-c:a", "mp2"], {"": "yuv420p", "odd": "yuv420p"}, ("8k",)),
    Format("m2ts", X264, ["-c:a", "ac3"], {"": "yuv420p"}, ("8k", "begun-before")),
    Format("avi", MPEG4, MP3, {"": "yuv420p", "odd": "yuv420p"}),
    Format("avi", MJPEG, PCM, {"": "yuvj420p", "odd": "yuvj444p"}, ("reordered",)),
    Format("flv", X264, AAC, {"": "yuv420p"}),
    Format(
        "wmv",
        ["-c:v", "wmv2", "-q:v", "3"],
        ["-c:a", "wmav2"],
        {"": "yuv420p"},
        ("surround", "back", "reordered", "8k"),
    ),
    Format("mpg", MPEG2, ["-c:a", "mp2"], {"": "yuv420p"}, ("8k", "begun-before")),
    Format(
        "ogv",
        ["-c:v", "libtheora", "-q:v", "8"],
        ["-c:a", "libvorbis"],
        {"": "yuv420p", "odd": "yuv444p"},
        ("begun-before", "sound-late", "picture-late", "small", "offset"),
    ),
    Format("mxf", MPEG2, PCM, {"": "yuv422p"}, ("8k", "44k", "slow")),
)


@dataclass(frozen=True)
class Film:
    """A film about to be made. `again` are the options of each pass that copies what the one before has left."""

    format: Format
    pixels: str
    size: str = SIZE
    rate: str = "25"
    filters: tuple[str, ...] = ()
    channels: str = "stereo"
    heard: tuple[float, ...] = (SECONDS,)  # of each track of sound, its seconds
    beside: tuple[str, ...] = ()  # texts that are inputs too
    how: tuple[str, ...] = ()
    again: tuple[Callable[[str], Step], ...] = ()
    edit: Callable[[bytes], bytes] | None = None
    cut: float | None = None
    corners: bool = True
    colours: bool = True
    alpha: bool = False


Trait = Callable[[Film], Film | None]


def painted(**changes: object) -> Trait:
    """One that only says something else of the film."""
    return lambda film: replace(film, **changes)  # type: ignore[arg-type]


def filtered(*filters: str, how: tuple[str, ...] = (), **changes: object) -> Trait:
    return lambda film: replace(
        film,
        filters=(*film.filters, *filters),
        how=(*film.how, *how),
        **changes,  # type: ignore[arg-type]
    )


def copied(*options: str, after: tuple[str, ...] = ()) -> Trait:
    """One that another pass gives it, which copies all."""

    def step(name: str) -> Step:
        return [*options, *read(name), *mapped("0"), *COPY, *after]

    return lambda film: replace(film, again=(*film.again, step))


def in_pixels(kind: str, *filters: str, **changes: object) -> Trait:
    """One that takes other pixels than usual: not every encoder has them."""

    def trait(film: Film) -> Film | None:
        if kind not in film.format.pixels:
            return None
        return replace(
            film,
            pixels=film.format.pixels[kind],
            filters=(*film.filters, *filters),
            **changes,  # type: ignore[arg-type]
        )

    return trait


def in_fields(film: Film) -> Film:
    first = ["-x264opts", "tff=1"] if "libx264" in film.format.video else []
    return replace(
        film, size="192x112", rate="50", filters=("interlace=scan=tff", *film.filters), how=(*film.how, *FIELDS, *first)
    )


def shifted(picture: float = 0.0, sound: float = 0.0) -> Trait:
    """One of both begins late."""

    def step(name: str) -> Step:
        late = [["-itsoffset", str(seconds)] if seconds else [] for seconds in (picture, sound)]
        return [*late[0], *read(name), *late[1], *read(name), *mapped("0:v", "1:a"), *COPY]

    return lambda film: replace(film, again=(*film.again, step))


def in_tongues(film: Film) -> Film:
    told = ("-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "language=fre", "-disposition:a:1", "default")
    return replace(film, heard=(*film.heard, SECONDS), how=(*film.how, *told, "-disposition:a:0", "0"))


def beside(text: str, *how: str) -> Trait:
    return lambda film: replace(film, beside=(*film.beside, text), how=(*film.how, *how))


def spoilt(whole: bytes) -> bytes:
    """A file of which a card or a line has lost a piece in the middle."""
    begin = len(whole) * 55 // 100
    return whole[:begin] + b"\0" * (len(whole) // 30) + whole[begin + len(whole) // 30 :]


ALPHA = "geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='255*lt(X,W*0.7)'"
FIELDS_TOLD = ("title=A film", "creation_time=2022-11-09T17:36:38Z", "location=+48.8584+002.2945/", "artist=Ünï ☃")
PICTURE: dict[str, Trait] = {
    "odd": in_pixels("odd", size="161x91", colours=False),  # a column less, and its squares are others
    "wide": filtered("setsar=4/3"),
    "narrow": filtered("setsar=3/4"),
    "fields": in_fields,
    "uneven": filtered("select='not(mod(n,3))+lt(n,8)'", how=tuple(UNEVENLY)),
    "deep": in_pixels("deep"),
    "full": filtered("scale=out_range=pc", how=("-color_range", "pc")),
    "grey": in_pixels("grey", corners=False),
    "turned": copied("-display_rotation", "90"),
    "mirrored": copied("-display_hflip"),
    "upside-down": copied("-display_rotation", "180"),
    "alpha": in_pixels("alpha", "format=rgba", ALPHA, alpha=True, colours=False),
    "fast": painted(rate="60"),
    "film": painted(rate="24000/1001"),
    "slow": painted(rate="5"),
    "601": filtered(
        "scale=out_color_matrix=bt601:out_range=tv",
        "setparams=color_primaries=smpte170m:color_trc=smpte170m:colorspace=smpte170m",
    ),
    "high": painted(size="96x240"),
    "small": painted(size="32x32", corners=False, colours=False),
}
SOUND: dict[str, Trait] = {
    "surround": painted(channels="5.1"),
    "back": painted(channels="quad"),
    "mono": painted(channels="mono"),
    "8k": filtered(how=("-ar", "8000")),
    "44k": filtered(how=("-ar", "44100")),
    "sound-late": shifted(sound=0.4),
    "picture-late": shifted(picture=0.4),
    "sound-short": painted(heard=(0.4,)),
    "sound-long": painted(heard=(1.8,)),
    "silent": painted(heard=()),
    "tongues": in_tongues,
}
WHOLE: dict[str, Trait] = {
    "cut": painted(cut=0.6),
    "spoilt": painted(edit=spoilt),
    "offset": filtered(how=("-output_ts_offset", "5")),
    "begun-before": copied("-ss", "0.3"),
    "fragments": filtered(how=("-movflags", "+frag_keyframe+empty_moov", "-g", "10")),
    "live": filtered(how=("-live", "1")),
    "reordered": filtered(how=("-bf", "3", "-g", "12")),
    "chapters": beside(CHAPTERS),
    "subtitles": beside(SUBTITLES),
    "told": filtered(how=tuple(word for field in FIELDS_TOLD for word in ("-metadata", field))),
}
OF_SOME = {  # formats that a trait is of
    "fragments": {"mp4", "mov"},
    "live": {"mkv", "webm"},
    "chapters": {"mp4", "mov", "mkv", "webm"},
    "subtitles": {"mp4", "mov", "mkv"},
    "turned": {"mp4", "mov", "mkv"},
    "mirrored": {"mp4", "mov", "mkv"},
    "upside-down": {"mp4", "mov", "mkv"},
    "fields": {"mp4", "mov", "mkv", "ts", "m2ts", "mpg", "mxf"},
    "uneven": {"mp4", "mov", "mkv", "webm", "ts", "m2ts", "flv"},
}
EXCLUDE = (
    {"odd", "deep", "grey", "alpha"},  # each takes pixels of its own
    {"odd", "high", "small", "fields"},
    {"fast", "film", "slow", "fields"},
    {"turned", "mirrored", "upside-down"},
    {"wide", "narrow"},
    {"surround", "back", "mono"},
    {"8k", "44k"},
    {
        "silent",
        "surround",
        "back",
        "mono",
        "8k",
        "44k",
        "sound-late",
        "picture-late",
        "sound-short",
        "sound-long",
        "tongues",
    },
    {"sound-short", "sound-long", "tongues"},
    {"601", "alpha"},
    {"begun-before", "chapters"},
)
# Chapters that an MP4 tells in a track are lost to a copy of all; they do not move with what is said to begin later.
UNTOLD = [
    {"alpha", "begun-before"},  # amid a picture, so that it is off by one
    *({"chapters", name} for name in ("upside-down", "turned", "mirrored", "sound-late", "picture-late", "offset")),
]
TRAITS = {**PICTURE, **SOUND, **WHOLE}
BROKEN = {"cut", "spoilt"}


def mixtures() -> list[Specimen]:
    """So many of all that go together, as many of each format, and the same ones each time."""
    together = [names for many in (2, 3) for names in combinations(TRAITS, many) if _go_together(names)]
    mixed = [_mixed(form, random.Random(number).sample(together, len(together))) for number, form in enumerate(FORMATS)]
    return list(islice(chain.from_iterable(zip(*mixed, strict=False)), MOST))


def _go_together(names: tuple[str, ...]) -> bool:
    return all(len(others.intersection(names)) < 2 for others in EXCLUDE)


def _mixed(form: Format, together: list[tuple[str, ...]]) -> Iterator[Specimen]:
    for names in together:
        film: Film | None = Film(form, form.pixels[""]) if form.takes(names) else None
        for name in names:
            film = film and TRAITS[name](film)
        if film:
            yield _specimen(f"{form.video[1].removeprefix('lib')}-{'-'.join(names)}.{form.extension}", film)


def _specimen(name: str, film: Film) -> Specimen:
    last = len(film.again)
    leaves = [*(f"{{work}}/{number}.{film.format.extension}" for number in range(last)), "{out}"]
    copies = [step(f"{number}.{film.format.extension}") for number, step in enumerate(film.again)]
    steps = [[*one, out] for one, out in zip([_encoded(film), *copies], leaves, strict=True)]
    return Specimen(
        name,
        steps,
        colours=film.colours,
        alpha=film.alpha,
        corners=film.corners,
        cut=film.cut,
        edit=film.edit,
        companions={f"{number}.txt": text for number, text in enumerate(film.beside)},
    )


def _encoded(film: Film) -> Step:
    texts = [part for number in range(len(film.beside)) for part in read(f"{number}.txt")]
    filters = ",".join([*film.filters, f"format={film.pixels}"])
    sounds = [part for n, seconds in enumerate(film.heard) for part in sound(seconds, film.channels, 300 + 300 * n)]
    first = 1 + len(film.heard)
    streams = mapped(*map(str, range(first)))
    for number, text in enumerate(film.beside, first):
        streams += ["-map_chapters", str(number)] if text is CHAPTERS else [*mapped(str(number)), "-c:s", _words(film)]
    return [
        *(*picture(film.size, film.rate, SECONDS, filters), *sounds, *texts, *streams),
        *(*film.format.video, *(film.format.audio if film.heard else ()), *film.how),
    ]


def _words(film: Film) -> str:
    return "srt" if film.format.extension == "mkv" else "mov_text"
