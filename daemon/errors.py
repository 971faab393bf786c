"""Every refusal ffspool can give, each with the words, the code and the HTTP status it is told with.

Outside the HTTP layer only `code` and the message matter; the status stands here so that a new
refusal is one class in one place.
"""

from __future__ import annotations


class FfspoolError(Exception):
    """Base of everything ffspool refuses on purpose. `str(error)` is a sentence for a person."""

    code = "error"
    status = 500
    title = "Something went wrong"


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
    """A file name that could leave its folder or break a header: `/`, `..`, control characters, over 255 bytes."""

    code = "bad_name"
    title = "The file name is not valid"


class EmptyUpload(InvalidRequest):
    code = "empty_upload"
    title = "The file is empty"


class ForbiddenPath(FfspoolError):
    """A source path that is not below a configured source root once its symlinks are resolved."""

    code = "forbidden_path"
    status = 403
    title = "The path is outside the source roots"


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


class Throttled(FfspoolError):
    """Too many failed logins. `retry_after` is in seconds."""

    code = "throttled"
    status = 429
    title = "Too many attempts"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotFound(FfspoolError):
    code = "not_found"
    status = 404
    title = "Not found"


class Gone(FfspoolError):
    """The job expired (or was evicted) and only its tombstone is left, or an output file was lost."""

    code = "gone"
    status = 410
    title = "No longer here"


class Conflict(FfspoolError):
    """The verb is not legal in the present state, which `state` names."""

    code = "conflict"
    status = 409
    title = "Not possible in this state"

    def __init__(self, message: str, state: str | None = None) -> None:
        super().__init__(message)
        self.state = state


class OutOfSpace(FfspoolError):
    code = "out_of_space"
    status = 507
    title = "The disk is full"


class Unavailable(FfspoolError):
    """The daemon is starting, stopping, or unable to work."""

    code = "unavailable"
    status = 503
    title = "Not ready"


class StartupError(FfspoolError):
    """The daemon cannot start: no encoder, a state dir in use, a database of another version."""

    code = "startup"


class ProbeError(FfspoolError):
    """The file could not be read as media; the message says why, without a path of the host."""

    code = "unreadable_media"
    status = 422
    title = "The file is not media ffspool can read"


class UnsuitableSource(FfspoolError):
    """The source lacks what the preset needs, such as a picture or sound."""

    code = "unsuitable_source"
    status = 422
    title = "The preset does not suit the source"


class ProofError(FfspoolError):
    """An encode ended, but its output is not what was planned."""

    code = "not_proven"
