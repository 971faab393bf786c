"""Says why an output does not take the place of its original, though it is as it was planned."""

from __future__ import annotations

from daemon.models import Contents, LeftOut, Replacing
from daemon.proof.quality import Quality

NO_LOSS = {"tag"}  # of what is told about the whole: containers differ in what they have room for


def refusal(wish: Replacing, size: int, quality: Quality | None, contents: Contents | None) -> str | None:
    """Returns in words why an output of so many bytes is not taken; None: it is."""
    if contents is None:
        return "what it keeps of its original is not known"
    if lost := losses(contents):
        return f"it would lose {lost}"
    return unmet(wish, size, quality)


def unmet(wish: Replacing, size: int, quality: Quality | None) -> str | None:
    """Returns in words by what such an output falls short of the terms; None: by nothing."""
    return _by_size(wish, size) or _by_quality(wish, quality)


def losses(contents: Contents) -> str:
    """Lists what of its source an output has not, whether or not that is meant; empty where nothing is lost."""
    return "; ".join(dict.fromkeys(_called(one) for one in contents.left_out if one.what not in NO_LOSS))


def _called(lost: LeftOut) -> str:
    detail = f" ({lost.detail})" if lost.detail else ""
    return f"{lost.what.replace('_', ' ')}{detail}: {lost.why}"


def not_smaller(wish: Replacing, size: int) -> str:
    """Says that it came to so many bytes."""
    margin = f", and {wish.min_saving:.0%} less are asked for" if size < wish.bytes else ""
    return f"not smaller: it has {size} bytes, its original {wish.bytes}{margin}"


def _by_size(wish: Replacing, size: int) -> str | None:
    return not_smaller(wish, size) if size > wish.most_bytes else None


def _by_quality(wish: Replacing, quality: Quality | None) -> str | None:
    if not wish.min_vmaf:
        return None
    if quality is None or quality.mean is None:
        why = quality.error if quality else "nothing is known of that"
        return f"how close it is to its original could not be told: {why}"
    if quality.mean < wish.min_vmaf:
        return f"its VMAF is {quality.mean:.1f}, below {wish.min_vmaf:g}"
    return None
