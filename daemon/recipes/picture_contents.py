"""Tells what an output keeps of its source's picture, and what it leaves out and why."""

from __future__ import annotations

import math

from daemon.media.model import TIMED, VideoStream
from daemon.media.shapes import APART
from daemon.models import Kept, LeftOut
from daemon.recipes.account import Account, Facts, either
from daemon.recipes.picture import is_mistaken, is_thinned, may_change_shape

HDR_TRANSFERS = {"smpte2084", "arib-std-b67"}
STAYS = {"hdr10+": "hdr10"}  # of HDR, what an encode passes on
SEE_THROUGH = {"libvpx-vp9", "gif", "libwebp_anim"}  # encoders that are given what is transparent, where it is


def facts(account: Account) -> Facts:
    """Tells of the source's picture and of what it carries."""
    picture = account.media.video
    if picture is None:
        return
    if not account.recipe.plan.video:
        why, index = "the preset keeps sound alone", picture.index
        yield LeftOut(what="picture", why=why, track=index, detail=picture.codec, meant=True)
        return
    yield from account.track("picture", picture, picture.marks)
    yield from _frames(account, picture)
    yield from _hdr(account, picture)
    if is_mistaken(picture) and not account.is_exact():
        why = "no filter converts them, and they are taken for usual ones: remux it"
        yield LeftOut(what="colours", why=why, track=picture.index, detail=picture.colour.matrix)
    if picture.regraded and account.encoder != "copy":
        why = "they change their meaning midway, and all are taken for what the first are: cut it in two there"
        yield LeftOut(what="colours", why=why, track=picture.index, detail=picture.regraded)
    if picture.alpha or picture.seldom_clear:
        yield from _transparency(account, picture)
    if picture.dolby_vision:
        why = "an encode keeps only the picture below it"
        yield from either("dolby_vision", why, kept=account.encoder == "copy")
    if picture.timecode and not any(track.why == TIMED for track in account.media.unread):
        why = "an encode does not pass it on"
        yield from either("timecode", why, kept=account.keeps_timecode(), detail=picture.timecode)
    yield from _marked(account, picture)
    if picture.captions:
        yield from _captions(account, picture)
    elif account.asked("captions", "text"):
        yield LeftOut(what="captions", why="captions=text was asked for, and none are found")


def _marked(account: Account, picture: VideoStream) -> Facts:
    """What is told of how it is to be looked at."""
    if picture.spherical:
        why = "only an encode in its own size and shape passes it on, to MP4, MKV or WebM: remux it"
        yield from either("spherical", why, kept=account.is_exact() or account.recipe.plan.all_around)
    if account.media.cropped:
        why = "an encode shows the edges, too, that players are asked to leave out: remux it"
        yield from either("crop", why, kept=account.encoder == "copy")
    if picture.stereo:
        why = "only an encode that turns or frames nothing passes it on, to MP4, MKV or WebM: remux it"
        yield from either("stereo", why, kept=account.is_exact() or account.recipe.plan.stereo)
    if picture.layered:
        why = "decoders show one layer of it alone, and it has more, as of what is seen in 3D: remux it"
        yield from either("layers", why, kept=account.encoder == "copy")


def _frames(account: Account, picture: VideoStream) -> Facts:
    if account.media.hurried:
        why = "it has pictures that are to be shown for 0.01 s, which browsers show for 0.1 s: give it those times"
        yield LeftOut(what="pace", why=why, track=picture.index)
    if account.media.filled:
        why = "what browsers leave transparent of it, FFmpeg fills with a colour: have a program unoptimize it first"
        yield LeftOut(what="ground", why=why, track=picture.index)
    if picture.gap_seconds:
        hole, why = (
            f"{picture.gap_seconds:.1f} s of the picture",
            "the source has none in its middle: the last stays",
        )
        yield LeftOut(what="gap", why=why, track=picture.index, detail=hole)
    if picture.fleeting and account.encoder != "copy":
        why = "by its times each follows the one before at once: no screen shows both, and not all are kept"
        detail = f"{picture.fleeting} of {picture.pictures}"
        yield LeftOut(what="pictures", why=why, track=picture.index, detail=detail)
    if picture.reshaped and account.encoder != "copy" and not may_change_shape(account.media):
        why = "its pictures change their size midway, and those of an odd one get no bars: later ones are stretched"
        yield LeftOut(what="shape", why=why, track=picture.index)


def _hdr(account: Account, picture: VideoStream) -> Facts:
    colour = account.recipe.plan.colour
    if picture.hdr is None:
        return
    if account.is_exact():
        yield Kept(what="hdr", detail=picture.hdr)
    elif colour is None or colour.transfer not in HDR_TRANSFERS:
        yield LeftOut(what="hdr", why="the output is for ordinary screens", detail=picture.hdr)
    else:
        yield Kept(what="hdr", detail=STAYS.get(picture.hdr, picture.hdr))
        if picture.hdr in STAYS:
            yield LeftOut(what="hdr", why="encoders do not pass on what changes by scene", detail=picture.hdr)


def _transparency(account: Account, picture: VideoStream) -> Facts:
    if (
        account.encoder == "copy"
        and picture.codec in APART
        and account.recipe.plan.container not in {"matroska", "webm"}
    ):
        yield LeftOut(what="transparency", why=f"{account.container.called} has no place for it")
    elif picture.seldom_clear:
        why = "only some of its pictures have any, and FFmpeg would leave out the others to show it: remux it"
        yield from either("transparency", why, kept=account.encoder == "copy")
    else:
        why = f"the output's codec has none: what is under it is {getattr(account.wanted, 'alpha_colour', 'black')}"
        yield from either("transparency", why, kept=account.is_exact() or account.encoder in SEE_THROUGH)


def _captions(account: Account, picture: VideoStream) -> Facts:
    carried = account.encoder in {"copy", "libx264"} or account.options.get("a53cc") == 1
    most = getattr(account.wanted, "max_frame_rate", math.inf)
    if account.recipe.captions:
        yield Kept(what="captions", detail="as a subtitle track")
    elif dropped := account.asked("captions", "drop"):
        yield LeftOut(what="captions", why=dropped, meant=True)
    elif picture.told_twice and account.encoder != "copy":
        why = "frames tell them where they tell, too, what their container does of how to show it: remux it"
        yield LeftOut(what="captions", why=why)
    elif carried and account.encoder != "copy" and is_thinned(picture, most):
        yield LeftOut(what="captions", why="frames are left out, and their captions with them")
    else:
        yield from either("captions", "the output's codec carries none", kept=carried)
