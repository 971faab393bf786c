"""Names every refusal ffspool can give, each with the words, the code and the HTTP status it is told with.

Outside the HTTP layer only `code` and the message matter; the status stands here so that a new
refusal is one class in one place.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Iterable, Mapping


class FfspoolError(Exception):
    """Is the base of everything ffspool refuses on purpose. `str(error)` is a sentence for a person."""

    code = "error"
    status = 500
    title = "Something went wrong"
    headers: Mapping[str, str] = {}  # that go with the status


class InvalidRequest(FfspoolError):
    """The request cannot be understood: malformed JSON, a missing field, a wrong type."""

    code = "invalid_request"
    status = 422
    title = "The request is not valid"


class UnknownPreset(InvalidRequest):
    code = "unknown_preset"
    title = "No such preset"


class BadParameter(InvalidRequest):
    """A preset's parameter is unknown, of the wrong type or out of its range."""

    code = "bad_parameter"
    title = "A parameter is not valid"


class BadName(InvalidRequest):
    """The file name could leave its folder or break a header: `/`, `..`, control characters, over 255 bytes."""

    code = "bad_name"
    title = "The file name is not valid"


class EmptyUpload(InvalidRequest):
    code = "empty_upload"
    title = "The file is empty"


class UnsupportedChecksum(InvalidRequest):
    code = "unsupported_checksum"
    status = 400
    title = "The checksum's algorithm is not supported"


class IdempotencyMismatch(InvalidRequest):
    code = "idempotency_mismatch"
    title = "The Idempotency-Key belongs to another request"


class ForbiddenPath(FfspoolError):
    """The path of a source or a result is below no root for such once its symlinks are resolved, or its URL in no
    bucket.
    """

    code = "forbidden_path"
    status = 403
    title = "The path or the URL is not one that may be used"


class TooLarge(FfspoolError):
    code = "too_large"
    status = 413
    title = "The body is over the limit"


class UnsupportedBody(FfspoolError):
    code = "unsupported_media_type"
    status = 415
    title = "The body's type is not supported"


class Unauthorized(FfspoolError):
    code = "unauthorized"
    status = 401
    title = "A valid token is needed"
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}


class Throttled(FfspoolError):
    """Too many logins failed. `retry_after` is in seconds."""

    code = "throttled"
    status = 429
    title = "Too many attempts"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.headers = {"Retry-After": str(math.ceil(retry_after))}


class LimitReached(FfspoolError):
    """The most that a setting allows is under way; it fits again once something ended or was deleted."""

    code = "limit_reached"
    status = 429
    title = "As much as there may be"
    headers: Mapping[str, str] = {"Retry-After": "60"}


class ForeignHost(FfspoolError):
    """The Host is none of the daemon's names: perhaps a name that was made to lead here."""

    code = "foreign_host"
    status = 421
    title = "Not a name of this daemon"


class Forbidden(FfspoolError):
    """The token has not the right, or may not have as much."""

    code = "forbidden"
    status = 403
    title = "Not for this token"


class CrossSite(FfspoolError):
    code = "cross_site"
    status = 403
    title = "The request comes from another site"


class NotFound(FfspoolError):
    code = "not_found"
    status = 404
    title = "Not found"


class Gone(FfspoolError):
    """The job expired (or was evicted) and only its tombstone is left, or an output file was lost."""

    code = "gone"
    status = 410
    title = "No longer here"


class MethodNotAllowed(FfspoolError):
    code = "method_not_allowed"
    status = 405
    title = "Not a method of this route"

    def __init__(self, method: str, allowed: Iterable[str]) -> None:
        names = ", ".join(sorted(allowed))
        super().__init__(f"this route does not take {method}; it takes {names}")
        self.headers = {"Allow": names}


class BadRange(FfspoolError):
    """The range of bytes begins behind the end of the file, which is `size` bytes long."""

    code = "range_not_satisfiable"
    status = 416
    title = "The file has no such bytes"

    def __init__(self, size: int) -> None:
        super().__init__(f"the range lies outside the file, which has {size} bytes")
        self.headers = {"Content-Range": f"bytes */{size}"}


class Conflict(FfspoolError):
    """The verb is not legal in the present state, which `state` names."""

    code = "conflict"
    status = 409
    title = "Not possible in this state"

    def __init__(self, message: str, state: str | None = None) -> None:
        super().__init__(message)
        self.state = state


class IdempotencyInFlight(FfspoolError):
    """The first request with this key has no answer yet."""

    code = "idempotency_in_flight"
    status = 409
    title = "The same request is under way"


class UploadUnfinished(FfspoolError):
    code = "upload_unfinished"
    status = 409
    title = "The upload is not complete"


class UploadLocked(FfspoolError):
    code = "upload_locked"
    status = 423
    title = "The upload is being sent to"


class UploadStalled(FfspoolError):
    code = "upload_stalled"
    status = 408
    title = "The body stood still"


class ChecksumMismatch(FfspoolError):
    """The status is the tus protocol's own."""

    code = "checksum_mismatch"
    status = 460
    title = "The bytes are not those that were sent"


class UnsupportedTus(FfspoolError):
    code = "unsupported_tus_version"
    status = 412
    title = "This version of tus is not supported"


class OutOfSpace(FfspoolError):
    code = "out_of_space"
    status = 507
    title = "The disk is full"

    @classmethod
    def of(cls, error: OSError) -> OutOfSpace:
        """Returns what to tell of an upload that cannot be written."""
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            return cls("the upload does not fit on the daemon's disk")
        return cls(f"the upload cannot be stored: {error.strerror}")


class Unavailable(FfspoolError):
    """The daemon is starting, stopping, or unable to work."""

    code = "unavailable"
    status = 503
    title = "Not ready"


class Doubtful(Unavailable):
    """The disk failed at the very commit: after a crash the change may be there, or not."""


class Damaged(Unavailable):
    """The database is not what was written; the daemon ends, and refuses to start while that is so."""

    code = "damaged"


class Crowded(Unavailable):
    """Known clients hold as many connections as there may be."""

    code = "crowded"
    title = "No connection left"
    headers: Mapping[str, str] = {"Retry-After": "5"}

    def __init__(self) -> None:
        super().__init__("the daemon has no connection left: ask again in some seconds")


class Malformed(FfspoolError):
    """The bytes that came are no request of HTTP, or one that two readers could understand in two ways."""

    code = "malformed"
    status = 400
    title = "Not a request of HTTP"

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


HOST_TROUBLE = {
    errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
}  # fmt: skip


def refusal_of_host(error: OSError) -> FfspoolError | None:
    """Returns what to tell of a host that is full, broken or short of something; None when the fault is ours."""
    if error.errno not in HOST_TROUBLE:
        return None
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return OutOfSpace("there is no room on the daemon's disk")
    return Unavailable(f"the daemon's host refused: {error.strerror}")


class StartupError(FfspoolError):
    """The daemon cannot start: no encoder, a state dir in use, a database of another version."""

    code = "startup"


class Misconfigured(StartupError):
    """Refuses what the operator wrote in a way that is valid, and that cannot be met."""


class ProbeError(FfspoolError):
    """The file could not be read as media; the message says why, without a path of the host."""

    code = "unreadable_media"
    status = 422
    title = "The file is not media ffspool can read"


class Unresponsive(ProbeError):
    """The disk on which the file lies does not answer, nor does the server of it."""


class UnsuitableSource(FfspoolError):
    """The source lacks what the preset needs, such as a picture or sound."""

    code = "unsuitable_source"
    status = 422
    title = "The preset does not suit the source"


class Undelivered(FfspoolError):
    """An output is not where it was to be brought. `final`: trying again will not help; `away`: nor for any other.

    `retry_after`: seconds that who takes it wants to be left alone.
    """

    code = "undelivered"

    def __init__(
        self, message: str, *, final: bool = False, away: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.final = final
        self.away = away
        self.retry_after = retry_after


class Unfetched(FfspoolError):
    """A source is not here whole. `final`: trying again will not help; `anew`: what is here of it is of no use.

    `room`: it waits for that, and nothing is at fault. `crawls`: its host sends next to nothing. `retry_after`: seconds
    it wants to be left alone.
    """

    code = "unfetched"

    def __init__(
        self,
        message: str,
        *,
        final: bool = False,
        anew: bool = False,
        room: bool = False,
        crawls: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.final = final
        self.anew = anew
        self.room = room
        self.crawls = crawls
        self.retry_after = retry_after


class ProofError(FfspoolError):
    """An encode ended, but its output is not what was planned."""

    code = "not_proven"


class Broken(FfspoolError):
    """A conversation ended half-way, or what came is not what the daemon said it would be."""

    code = "broken_transfer"


class ManifestError(FfspoolError):
    """The manifest of a streaming folder is not whole, or names what it should not."""

    code = "bad_manifest"


class TargetMissed(FfspoolError):
    """No pass came out as small as the preset's `target_bytes` asks for."""

    code = "target_missed"


class MeasurementMissing(FfspoolError):
    """A pass of ffmpeg that was to measure the source did not tell what it found."""

    code = "measurement_missing"
