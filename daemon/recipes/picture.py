"""Says what is done to a picture, as nodes of ffmpeg-python's graph: its size, its colours, its frames."""

from __future__ import annotations

import math
import re
from typing import Any

from msgspec.structs import replace

from daemon.media.model import Colour, Media, VideoStream
from daemon.recipes.recipe import Node, Options, Plan, Size

BT709 = Colour(primaries="bt709", transfer="bt709", matrix="bt709", range="tv")
BT601 = {  # by the lines of a full frame: 625-line systems, and 525-line ones
    True: Colour(primaries="bt470bg", transfer="smpte170m", matrix="bt470bg", range="tv"),
    False: Colour(primaries="smpte170m", transfer="smpte170m", matrix="smpte170m", range="tv"),
}
# Matrices that FFmpeg's scaler takes; and others that can be converted, of those transfers where any are named.
SCALED = {"bt709", "fcc", "bt470bg", "smpte170m", "smpte240m", "bt2020nc"}
_CAMERAS = frozenset({"bt709", "smpte170m", "bt2020-10", "bt2020-12"})
CONVERTED: dict[str | None, frozenset[str]] = {
    **dict.fromkeys(("ycgco", "chroma-derived-nc", "chroma-derived-c"), frozenset()),
    "bt2020c": _CAMERAS,
    "ictcp": frozenset({"smpte2084", "arib-std-b67"}),
}
# Transfers that its filter knows.
LINEARIZED = _CAMERAS | {"bt470m", "bt470bg", "smpte240m", "linear", "log100", "log316", "iec61966-2-4"}
LINEARIZED |= {"iec61966-2-1", "smpte2084", "arib-std-b67"}
JFIF = Colour(primaries="bt709", transfer="iec61966-2-1", matrix="bt470bg", range="pc")
COARSE = re.compile(r"(?:rgb|bgr)(?:4|8|4_byte|(?:444|555|565)[lb]e)")
WEBP_COLOUR = Colour(primaries="bt709", transfer="iec61966-2-1", matrix="bt470bg", range="tv")  # of which no file tells
YUVA = "|".join(f"yuva4{sampling}p{depth}" for sampling in (44, 22, 20) for depth in ("", "10le", "16le"))
WHITE_NITS = 203  # of a white page in HDR (ITU-R BT.2408): what becomes white on an ordinary screen
# What frames tell of the screen they were made for; left in an ordinary picture, players would take it for HDR.
HDR_SIDE_DATA = (
    "MASTERING_DISPLAY_METADATA",
    "CONTENT_LIGHT_LEVEL",
    "DYNAMIC_HDR_PLUS",
    "DOVI_RPU_BUFFER",
    "DOVI_METADATA",
)
SPLICED = {"mpegts", "mpeg", "flv"}  # formats whose files are put together while they are sent
CALLS = {"vp8", "vp9", "av1"}  # codecs of video calls, whose pictures follow the network and the telephone
PEAK_NITS = 1000  # above which highlights are one white


# Size


def even(pixels: float) -> int:
    """Rounds down to what 4:2:0 can hold, at least 2."""
    return max(2, int(pixels) // 2 * 2)


def bounded(picture: VideoStream, *, short_side: int | None = None, long_side: int | None = None) -> Size:
    """Returns the displayed size, shrunk to the bound but never enlarged, in even numbers.

    Where nothing has to be scaled an odd row or column goes; else the size is the nearest even one.
    """
    sides = picture.width, picture.height
    factor = min(1.0, (short_side or math.inf) / min(sides), (long_side or math.inf) / max(sides))
    if factor == 1 and picture.sample_aspect_ratio == "1:1":
        return even(picture.width), even(picture.height)
    width, height = (even(side * factor + 1) for side in sides)
    return width, height


def _ratio(picture: VideoStream) -> tuple[int, int]:
    across, down = picture.sample_aspect_ratio.split(":")
    return int(across), int(down)


def upright(picture: VideoStream) -> Size:
    """Returns the displayed size of an output that holds the same pixels turned, and of as odd a shape as they are."""
    if picture.rotation not in {90, 270}:
        return picture.width, picture.height
    across, down = _ratio(picture)
    return max(1, round(picture.coded_height * down / across)), picture.coded_width


def scaled(node: Node, size: Size) -> Node:
    return node.filter("scale", *size).filter("setsar", 1)


def may_change_shape(media: Media) -> bool:
    """Tells whether its pictures may become larger, smaller or turned on the way, as in broadcasts and video calls."""
    picture = media.video
    if picture is None or picture.coded_width % 2 or picture.coded_height % 2:  # odd ones cannot have bars
        return False
    return picture.reshaped or media.format in SPLICED or picture.codec in CALLS


def of_one_shape(node: Node, picture: VideoStream) -> Node:
    """Gives what is of another shape than the first frame bars at two sides, instead of stretching it."""
    width, height, (across, down) = picture.coded_width, picture.coded_height, _ratio(picture)
    if picture.rotation in {90, 270}:
        width, height, across, down = height, width, down, across
    shape = f"{width * across / (height * down):.6f}"
    within = node.filter(
        "scale", f"round({width}*min(1,dar/{shape}))", f"round({height}*min(1,{shape}/dar))", eval="frame", interl=-1
    )
    same = within.filter("setsar", f"{across}/{down}")
    return same.filter("pad", width, height, "(ow-iw)/2", "(oh-ih)/2", eval="frame")


def levelled(node: Node, picture: VideoStream) -> Node:
    """Turns one whole that is to be turned by what is no quarter turn: FFmpeg would cut its corners off."""
    across, down = _ratio(picture)
    squared = node.filter("scale", max(1, round(picture.coded_width * across / down)), picture.coded_height)
    flat = squared.filter("setsar", 1).filter("sidedata", "delete", type="DISPLAYMATRIX")
    upright = flat.filter("vflip") if picture.mirrored else flat
    return upright.filter("rotate", f"{math.radians(picture.tilt):.6f}", ow=picture.width, oh=picture.height)


def fitted(node: Node, picture: VideoStream, size: Size) -> Node:
    """Scales as `scaled` does, but crops a picture that is one pixel too wide or high instead: it stays sharp."""
    width, height = picture.width, picture.height
    if picture.sample_aspect_ratio == "1:1" and size == (even(width), even(height)) and min(width, height) > 1:
        cropped = node if size == (width, height) else node.filter("crop", *size, 0, 0)
        return cropped.filter("setsar", 1)
    return scaled(node, size)


def is_idle(node: Any, picture: VideoStream | None) -> bool:
    """Tells whether that filter leaves every pixel as it is, where none before it changes any.

    Of a picture that is to be turned none does: FFmpeg puts that before the first.
    """
    if picture is None or picture.rotation or picture.tilt or picture.mirrored:
        return False
    if node.name == "scale":
        return tuple(node.args) == (picture.coded_width, picture.coded_height) and not node.kwargs
    if node.name == "format":
        return tuple(node.args) == (picture.pixel_format,)
    return node.name in {"setsar", "setparams", "setpts"}


def turned(node: Node, size: Size, angle: float) -> Node:
    """Turns it clockwise by `angle` radians, and enlarges it just so far that no corner stays empty.

    `perspective` does both in one pass, for a third of what `scale` and `rotate` take; it wants 8 bits.
    """
    width, height = size
    zoom = math.cos(angle) + math.sin(angle) * max(width / height, height / width)
    cosine, sine = math.cos(angle) / zoom, math.sin(angle) / zoom
    corners: dict[str, str] = {}
    for number, (right, down) in enumerate([(-1, -1), (1, -1), (-1, 1), (1, 1)]):
        x, y = right * width / 2, down * height / 2
        corners[f"x{number}"] = f"{width / 2 + cosine * x + sine * y:.3f}"
        corners[f"y{number}"] = f"{height / 2 - sine * x + cosine * y:.3f}"
    return node.filter("perspective", **corners)


# Colour


def source_colour(picture: VideoStream) -> Colour:
    """Says what the source's numbers mean; where it does not say, what players take them for."""
    if is_rgb(picture):
        return replace(BT709, transfer="iec61966-2-1", matrix="gbr", range="pc")
    said = picture.colour
    usual = BT709 if picture.coded_width >= 1280 or picture.coded_height > 576 else BT601[picture.coded_height == 576]
    if said.matrix in {"bt2020nc", "bt2020c"} or said.primaries == "bt2020":
        usual = replace(BT709, primaries="bt2020", matrix="bt2020nc")
    elif "bt709" in {said.matrix, said.primaries}:
        usual = BT709
    elif said.matrix in {"smpte170m", "bt470bg"}:
        usual = BT601[said.matrix == "bt470bg"]
    return Colour(
        primaries=said.primaries or usual.primaries,
        transfer=said.transfer or usual.transfer,
        matrix=said.matrix if said.matrix in SCALED else usual.matrix,
        range=said.range or usual.range,
    )


def is_mistaken(picture: VideoStream) -> bool:
    """Tells whether no filter knows what its matrix says, so that an encode takes its numbers for usual ones."""
    told, curves = picture.colour.matrix, CONVERTED.get(picture.colour.matrix)
    if told is None or told in SCALED | {"gbr"}:
        return False
    return curves is None or (bool(curves) and source_colour(picture).transfer not in curves)


def of_known_matrix(node: Node, picture: VideoStream) -> Node:
    """Brings a picture whose matrix the scaler refuses to the usual one, so that filters after it take it. What no
    filter can convert is called by the usual one's name, and what changes midway by the first's.

    RGB of fewer bits becomes that of 8, for the scaler has white of them darker in other pixels.
    """
    if COARSE.fullmatch(picture.pixel_format or ""):
        return node.filter("format", "rgb24")
    told, after = picture.colour, source_colour(picture)
    if told.matrix is None or told.matrix in SCALED | {"gbr"}:
        return _tagged(node, after) if picture.regraded and not is_rgb(picture) else node
    if is_mistaken(picture):
        return _tagged(node, after)
    transfer = after.transfer if after.transfer in LINEARIZED else "bt709"
    same = {"tin": transfer, "t": transfer, "pin": after.primaries, "p": after.primaries}
    return node.filter("zscale", min=told.matrix, m=after.matrix, **same, rin=after.range, r=after.range)


def shown_colour(picture: VideoStream, pixel_format: str = "yuv420p", tone_map: str = "auto") -> Colour:
    """Says what the numbers of an output in that pixel format mean: its source's colours, in limited range.

    HDR, where it is mapped, and RGB become BT.709.
    """
    if pixel_format == "yuvj420p":
        return JFIF
    if is_mapped(picture, pixel_format, tone_map) or is_rgb(picture):
        return BT709
    return replace(source_colour(picture), range="tv")


def is_rgb(picture: VideoStream) -> bool:
    """Tells whether FFmpeg takes its numbers for RGB, as those of grey beside alpha in full range."""
    name = picture.pixel_format or ""
    if name.startswith("ya") and picture.colour.range != "tv":
        return True
    return name.startswith(("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "x2rgb", "x2bgr"))


def is_mapped(picture: VideoStream, pixel_format: str, tone_map: str) -> bool:
    """Tells whether HDR becomes what ordinary screens show: always in 8 bits, elsewhere if asked for."""
    return picture.hdr is not None and (tone_map != "auto" or "10" not in pixel_format)


def graded(
    node: Node,
    picture: VideoStream,
    pixel_format: str = "yuv420p",
    *,
    tone_map: str = "auto",
    alpha_colour: str = "#000000",
    as_colour: Colour | None = None,
) -> Node:
    """Brings it into that pixel format, tagged with what `shown_colour` tells, or with another colour.

    Alpha is kept if the format has it, else the picture is laid on `alpha_colour`. More than 8 bits are
    dithered to 8.
    """
    before, after = source_colour(picture), as_colour or shown_colour(picture, pixel_format, tone_map)
    mapped = is_mapped(picture, pixel_format, tone_map)  # by filters that know no way from what tells nothing, midway
    if is_rgb(picture) or (picture.colour == before and not mapped):
        told = node
    else:  # FFmpeg may scale into the format after these, before it is told what the numbers mean
        told = _tagged(node.filter("format", YUVA) if picture.alpha else node, before)
    if mapped:
        return _mapped(told, after, "mobius" if tone_map == "auto" else tone_map).filter("format", pixel_format)
    if picture.alpha and not pixel_format.startswith("yuva"):
        told = _flattened(told, alpha_colour)
        before = replace(before, matrix="gbr", range="pc")
    elif is_rgb(picture):
        told = told.filter("format", "gbrap" if picture.alpha else "gbrp")
    if (before.matrix, before.range) != (after.matrix, after.range):
        told = told.filter("scale", out_color_matrix=after.matrix, out_range=after.range)
    formed = told.filter("format", pixel_format)
    return formed if before == after else _tagged(formed, after)


def _tagged(node: Node, colour: Colour) -> Node:
    return node.filter(
        "setparams",
        color_primaries=colour.primaries,
        color_trc=colour.transfer,
        colorspace=colour.matrix,
        range=colour.range,
    )


def _mapped(node: Node, after: Colour, operator: str) -> Node:
    """HDR to the range of ordinary screens, on which it would look washed out otherwise."""
    linear = node.filter("zscale", t="linear", npl=WHITE_NITS).filter("format", "gbrpf32le")
    mapped = linear.filter("zscale", p="709").filter("tonemap", operator, desat=0, peak=f"{PEAK_NITS / WHITE_NITS:.3f}")
    matrix = "470bg" if after.matrix == "bt470bg" else "709"
    levels = "full" if after.range == "pc" else "limited"
    plain = mapped.filter("zscale", t="709", m=matrix, r=levels, dither="ordered")
    for told in HDR_SIDE_DATA:
        plain = plain.filter("sidedata", "delete", type=told)
    return plain


def _flattened(node: Node, colour: str) -> Node:
    """Laid on a plain colour, made of the picture itself so that it has its size and its times."""
    formed = node.filter("format", "gbrap")
    ground = formed.filter("drawbox", color=f"0x{colour.removeprefix('#')}@1", thickness="fill", replace=1)
    return ground.overlay(formed, format="gbrp")


# Frames


def to_deinterlace(picture: VideoStream, wanted: str = "auto") -> str | None:
    """Says which frames to deinterlace: "all", those that say they are "interlaced", or None."""
    if wanted == "always":
        return "all"
    return "interlaced" if wanted == "auto" and picture.interlaced else None


def deinterlaced(node: Node, which: str) -> Node:
    """Makes whole frames of fields, as many as there were."""
    return node.filter("bwdif", mode="send_frame", parity="auto", deint=which)


def rewound(node: Node, picture: VideoStream) -> Node:
    """Has it begin at 0, where the sound that is left out began before the picture."""
    late = picture.start_seconds > 0.001 or picture.early_seconds > 0.001
    return node.filter("setpts", "PTS-STARTPTS") if late else node


def timed_backwards(node: Node, picture: VideoStream) -> Node:
    """Gives the first ones, of which nothing tells when they are shown, times before the first of which it is told."""
    first, apart = f"{picture.start_seconds:.6f}", f"{1 / (picture.frame_rate or 1):.9f}"
    return node.filter("setpts", f"if(lt(N,{picture.unstamped}),({first}+N*{apart})/TB,PTS)")


def resampled(node: Node, rate: str, *, from_zero: bool = True) -> Node:
    """Gives it a fixed frame rate, from 0 or the first frame on. Without `pass` one short frame would yield none."""
    begin = {"start_time": 0} if from_zero else {}
    return node.filter("fps", rate, eof_action="pass", **begin)


def kept_rate(picture: VideoStream, most: float = math.inf) -> float | None:
    """Returns the frames per second that an output which keeps the source's frames will tell; None where they vary, are
    told wrong, or some are dropped."""
    rate, told = picture.frame_rate, not (picture.variable_frame_rate or picture.misstated_rate)
    return rate if rate is not None and rate <= most * 1.01 and told else None


# Whose packets are a picture each: not so where some are never shown, or two are fields of one.
PICTURE_EACH = {"av1", "dnxhd", "h264", "hevc", "mjpeg", "prores", "vp9"}


def kept_pictures(picture: VideoStream, most: float = math.inf) -> int | None:
    """Returns how many pictures an output which keeps the source's has at least; None where nobody counted them."""
    alike = picture.codec in PICTURE_EACH and not picture.interlaced and not is_thinned(picture, most)
    return picture.pictures - picture.fleeting if alike and picture.pictures is not None else None


def stays_all_around(picture: VideoStream, size: Size, container: str) -> bool:
    """Tells whether an encode passes on that it is a 360° film: FFmpeg does, to some containers, in its own size."""
    as_it_is = picture.sample_aspect_ratio == "1:1" and size == upright(picture)
    return picture.spherical and as_it_is and container in {"mp4", "matroska", "webm"}


def stays_stereo(picture: VideoStream, container: str) -> bool:
    """Tells whether an encode passes on how a picture holds what each eye sees: turned, it would hold it elsewise."""
    upright_already = not (picture.rotation or picture.tilt or picture.mirrored)
    return picture.stereo and upright_already and container in {"mp4", "matroska", "webm"}


def told_of_view(plan: Plan) -> Options:
    """Returns what an MP4 takes to tell that it is all around or stereoscopic: that is no part of the standard."""
    return {"strict": "unofficial"} if plan.container == "mp4" and (plan.all_around or plan.stereo) else {}


def is_thinned(picture: VideoStream, most: float) -> bool:
    """Tells whether frames may have to be dropped for it."""
    return picture.frame_rate is None or picture.frame_rate > most * 1.01


def is_paced(picture: VideoStream, most: float) -> bool:
    """Tells whether what is left of its frames gets times of its own, by which no frame is found again."""
    return is_thinned(picture, most) and picture.frame_rate is not None and not picture.variable_frame_rate


def thinned(node: Node, picture: VideoStream, most: int) -> Node:
    """Drops frames that follow the last one too soon; the rest keep their times. Nothing is ever doubled.

    Of a steady source every second is left, or every third; they are told to last until the next.
    """
    if not is_thinned(picture, most):
        return node
    least = 0.95 / most
    sparse = node.filter("select", f"isnan(prev_selected_t)+gte(t-prev_selected_t,{least:.6f})")
    if picture.frame_rate is None or not is_paced(picture, most):
        return sparse
    left = picture.frame_rate / math.ceil(picture.frame_rate * least)
    return resampled(sparse, f"{left:.6f}", from_zero=False)
