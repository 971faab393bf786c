"""Describes what stands beside the picture: sound, subtitles, chapters, and tracks that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from av.container import InputContainer
from av.stream import Disposition, Stream

from daemon.errors import ProbeError
from daemon.media import boxes, durations, labels, matroska, mpegts
from daemon.media.allowlist import ANNOUNCING, DECODERS, LENGTHLESS, READ_ON
from daemon.media.media_file import MediaFile
from daemon.media.model import TIMED, AudioStream, SubtitleStream
from daemon.models import Unread

MOST_DECODED = 256  # streams: discs have some 70
MOST_STREAMS = 1000  # of all kinds; a subtitle's fonts come in dozens
BITMAPS = {"hdmv_pgs_subtitle", "dvb_subtitle", "dvd_subtitle", "xsub"}
CHAPTERS = "text"  # what an MP4 file calls a track that names its chapters
TIMECODE = "tmcd"  # one that tells when a film begins, by its maker's clock, which FFmpeg tells of the picture
EMPTY = Unread(kind="sound", why="it holds no sample", lost=False)
MARKS = (
    *(Disposition.comment, Disposition.dub, Disposition.hearing_impaired, Disposition.visual_impaired),
    *(Disposition.original, Disposition.lyrics, Disposition.karaoke, Disposition.clean_effects),
    *(Disposition.captions, Disposition.descriptions, Disposition.metadata, Disposition.non_diegetic),
    Disposition.forced,
)
WITHOUT_LOSS = ("pcm_", "wavpack", "flac", "alac", "als", "tta", "ape", "tak", "shorten", "dsd_", "dst", "ralf")
WITHIN_24_BITS = {"pcm_s24le", "pcm_s24be", "pcm_s24daud", "pcm_s24le_planar", "pcm_u24le", "pcm_u24be", "pcm_bluray"}
WITHIN_24_BITS |= {"pcm_dvd", "pcm_lxf", "tta", "ape", "tak", "ralf"}
PCM = {"s32": "pcm_s32le", "flt": "pcm_f32le", "dbl": "pcm_f64le"}  # by what decoders make
# Codecs by their names in Matroska, which FFmpeg reads in another form alone.
UNTOLD = {
    "S_TEXT/WEBVTT": "FFmpeg reads WebVTT in Matroska as WebM has it, not as mkvmerge writes it (S_TEXT/WEBVTT): "
    "take it out with mkvextract, and put it back as SRT"
}
# Data by FFmpeg's names of it, in the words of those who made it.
OTHER = "of another kind"
DATA = {
    "dvd_nav_packet": "navigation of a DVD",
    "epg": "programme guide",
    "klv": "KLV",
    "scte_35": "SCTE-35, where breaks are",
    "timed_id3": "ID3 amid the film",
}
_KINDS = {"audio": "sound", "video": "picture", "subtitle": "subtitles", "data": "data"}


def refuse_too_many(container: InputContainer) -> None:
    """Raises ProbeError where decoding all of it would take too much."""
    decoded = sum(decoder(stream) is not None for stream in container.streams)
    for count, most, noun in ((decoded, MOST_DECODED, "tracks"), (len(container.streams), MOST_STREAMS, "streams")):
        if count > most:
            raise ProbeError(f"it holds {count} {noun}; {most} are the limit: leave out what is not needed of them")


def unread(
    file: MediaFile, container: InputContainer, closed: set[int], others: set[int], used: set[int]
) -> Iterator[Unread]:
    """Yields tracks of which nothing is made. `closed` are ids of those that are encrypted, `others` the indices of
    what belongs to another channel of a broadcast, `used` of the picture and the sounds that are taken."""
    seen = any(stream.index in used for stream in container.streams.video)
    for stream in container.streams:
        if stream.index in used or stream.type not in _KINDS or beside(stream):
            continue
        if why := _why(file, stream, closed, others, seen=seen):
            lost = why != EMPTY.why and stream.index not in others
            yield Unread(kind=_KINDS[stream.type], why=why, lost=lost, index=stream.index)


def _why(file: MediaFile, stream: Stream, closed: set[int], others: set[int], *, seen: bool) -> str | None:
    """Why nothing is made of it; None of chapters, and of subtitles that can be read. `seen`: there is a picture."""
    if stream.index in others:
        return "it belongs to another channel of the broadcast"
    if stream.id in closed:
        return "it is encrypted"
    if stream.type == "data":
        called = _called(file, stream)
        of_picture = seen and called == TIMECODE and labels.timecode(stream.metadata) is not None
        if of_picture:
            return TIMED
        return None if called == CHAPTERS else f"no preset keeps data ({called})"
    if decoder(stream) is None:
        called = _called(file, stream)
        return UNTOLD.get(called) or f"its codec {called} is none that ffspool decodes"
    if stream.type == "audio":
        searched = not begins_late(stream.container) or file.size <= int(READ_ON["probesize"])
        there = stream.container.format.name == "mpegts" and mpegts.carries(file, stream.id) and not _is_core(stream)
        return EMPTY.why if searched and not there else "it begins too late for ffspool to find out what it holds"
    if stream.type == "video":
        return "another picture is the one that matters" if seen else "it cannot be decoded: the file is damaged"
    return None


def _called(file: MediaFile, stream: Stream) -> str:
    """The name of a codec, or what an MP4 file calls one that FFmpeg has no name for."""
    if codec := _codec(stream):
        return str(codec.canonical_name)
    described = [b"".join(track.names[:1]).decode("ascii", "replace").strip() for track in boxes.tracks(file.index)]
    named = described or [track.codec for track in matroska.tracks(file)]
    if stream.index < len(named) and named[stream.index]:
        return named[stream.index]
    broadcast = stream.container.format.name == "mpegts" and mpegts.undecoded(file, stream.id)
    called = getattr(stream, "name", None) or ""  # of data
    return broadcast or DATA.get(called, called) or OTHER


def beside(stream: Stream) -> bool:
    """Tells whether it is a picture that belongs to the file, such as its cover, and no film."""
    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def undecodable(file: MediaFile, container: InputContainer) -> str:
    """Says that nothing of it can be decoded, and names the codecs that it has, where they are known."""
    timed = [stream for stream in container.streams if stream.type in {"video", "audio"}]
    names = sorted({_called(file, stream) for stream in timed} - {OTHER})
    named = f" (it has {', '.join(names)})" if names else ""
    return f"it holds neither a picture nor sound ffspool can decode{named}: convert it first, with a program that can"


def attached_name(stream: Stream) -> str | None:
    """Returns the name of an attachment; None where it has none."""
    return stream.metadata.get("filename", "").strip()[:200] or None


def is_named(stream: Stream) -> bool:
    """Tells whether it is an attachment that Matroska takes."""
    return stream.type == "attachment" and {"filename", "mimetype"} <= stream.metadata.keys()


def decoder(stream: Stream) -> str | None:
    """Returns the canonical name of the stream's codec; None when there is no decoder for it, or none we allow."""
    codec = _codec(stream)
    return codec.canonical_name if codec is not None and codec.name in DECODERS else None


def hearable(stream: Any, closed: set[int]) -> bool:
    """Tells whether there is sound in it that can be decoded; `closed` are the ids of streams that need a key."""
    return decoder(stream) is not None and stream.id not in closed and not _lacks_sound(stream)


def begins_late(container: Any) -> bool:
    """Tells whether there is a track of sound of which nothing was found yet, in a format where it may come late."""
    name = container.format.name
    sounds = [stream for stream in container.streams.audio if decoder(stream)]
    unknown = name in ANNOUNCING and any(_lacks_sound(stream) and not _is_core(stream) for stream in sounds)
    return unknown or any(_lacks_packets(stream) for stream in sounds)


def _lacks_sound(stream: Any) -> bool:
    return not (stream.channels and stream.sample_rate) or _lacks_packets(stream)


def _is_core(stream: Any) -> bool:
    """Whether it is the AC-3 that FFmpeg looks for among the packets of TrueHD, which need not be there."""
    others = (other for other in stream.container.streams.audio if other.index != stream.index)
    return any(other.id == stream.id and not _lacks_sound(other) for other in others)


def _lacks_packets(stream: Any) -> bool:
    """Whether nothing tells when it begins, in a format where its first packet does."""
    return stream.duration is not None and stream.container.format.name in LENGTHLESS


def audio(stream: Any) -> AudioStream:
    layout = stream.codec_context.layout.name  # "2 channels" of an unknown place, or "2 channels (FL+FC)"
    placed = "channels" not in layout or ("(" in layout and stream.channels <= 2)
    return AudioStream(
        index=stream.index,
        codec=decoder(stream) or "",
        channels=stream.channels,
        sample_rate=stream.sample_rate,
        layout=layout if placed else None,
        places=layout.partition("(")[2].removesuffix(")") or None if "channels (" in layout and not placed else None,
        language=language(stream),
        title=title(stream),
        default=bool(stream.disposition & Disposition.default),
        start_seconds=durations.begin(stream),
        duration_seconds=durations.of_stream(stream),
        marks=marks(stream),
        tags=labels.of_track(stream),
        exact=_exact(stream),
    )


def _exact(stream: Any) -> str | None:
    """What holds samples that are finer than 24 bits, or that go beyond full scale: those of codecs without loss."""
    codec, samples = decoder(stream) or "", stream.codec_context.format.name.removesuffix("p")
    if samples == "s32" and (codec in WITHIN_24_BITS or _told_bits(codec, stream.codec_context.extradata or b"") <= 24):
        return None
    return PCM.get(samples) if codec.startswith(WITHOUT_LOSS) else None


def _told_bits(codec: str, described: bytes) -> int:
    """The bits of each sample, where the codec's own description tells them: 32 elsewhere."""
    if codec == "flac" and len(described) >= 14:
        return ((described[12] & 1) << 4 | described[13] >> 4) + 1
    if codec == "alac" and len(described) >= 18:
        return described[17]
    return 32


def subtitle(stream: Stream) -> SubtitleStream:
    return SubtitleStream(
        index=stream.index,
        codec=decoder(stream) or "",
        language=language(stream),
        text=decoder(stream) not in BITMAPS,
        title=title(stream),
        default=bool(stream.disposition & Disposition.default),
        forced=bool(stream.disposition & Disposition.forced),
        marks=tuple(mark for mark in marks(stream) if mark != "forced"),
        tags=labels.of_track(stream),
    )


def _codec(stream: Stream) -> Any:
    context = stream.codec_context
    return context.codec if context is not None else None


def marks(stream: Stream) -> tuple[str, ...]:
    """Returns what its container says it is, beside that it is played by default."""
    return tuple(mark.name for mark in MARKS if stream.disposition & mark and mark.name)


def language(stream: Stream) -> str | None:
    """Returns the language that its container tells; None where that is unknown."""
    language = _said(stream, "language")[:35]
    return language if language not in {"", "und"} else None


def title(stream: Stream) -> str | None:
    """Its name, which MP4 has by that word; what Ogg has as a title is the whole's."""
    if stream.container.format.name == "ogg":
        return None
    return (_said(stream, "title") or _said(stream, "name"))[:200] or None


def _said(stream: Stream, name: str) -> str:
    """What it tells under that name, be it in capitals, as tags of Matroska are: FFmpeg takes it for the same."""
    return next((said.strip() for told, said in stream.metadata.items() if told.lower() == name), "")
