"""What clients send to make a job, decoded into `JobSpec` and sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from daemon.courier import parsed
from daemon.errors import InvalidRequest
from daemon.jobs import JobSpec
from daemon.models import VariationRequest

Priority = Annotated[int, msgspec.Meta(ge=-1000, le=1000)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=366 * 24 * 3600)]
Name = Annotated[str, msgspec.Meta(max_length=200)]


class SourceRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One of the two: a finished upload, or a file that is on the host already, below a source root."""

    upload: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    path: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)] | None = None

    def __post_init__(self) -> None:
        if (self.upload is None) == (self.path is None):
            raise ValueError('A source is either {"upload": ID} or {"path": PATH}')


class SpecRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A job but for its files: the `spec` field of a multipart request. Each variation is `{"preset": NAME, …}`."""

    variations: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]
    name: Name | None = None
    priority: Priority = 0
    metadata: dict[str, Any] = {}
    expires_in: Seconds | None = None
    webhook_url: Annotated[str, msgspec.Meta(max_length=2048)] | None = None
    webhook_variations: bool = False


class JobRequest(SpecRequest, kw_only=True):
    """A whole job as JSON."""

    sources: Annotated[list[SourceRequest], msgspec.Meta(min_length=1)]


class LoginRequest(msgspec.Struct, forbid_unknown_fields=True):
    password: str


def decode(body: bytes | str, kind: type[Any], what: str) -> Any:
    """`body` as `kind`. Raises InvalidRequest saying what of `what` is wrong."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{what} is not valid: {error}") from error
    except RecursionError:
        raise InvalidRequest(f"{what} is nested too deeply") from None


def spec_of(request: SpecRequest) -> JobSpec:
    return JobSpec(
        variations=tuple(_variation(entry) for entry in request.variations),
        name=request.name,
        priority=request.priority,
        metadata=request.metadata,
        expires_in=request.expires_in,
        webhook_url=_webhook_url(request),
        webhook_variations=request.webhook_variations,
    )


def spec_of_fields(fields: Sequence[tuple[str, str]]) -> JobSpec:
    """The job that a form's fields describe: repeated `preset`, or one `spec` with JSON. Raises InvalidRequest."""
    if strange := sorted({name for name, _ in fields} - {"preset", "spec"}):
        raise InvalidRequest(
            f"unknown form field {strange[0]!r}: a job takes 'files' and 'preset', or 'files' and 'spec'"
        )
    specs = [value for name, value in fields if name == "spec"]
    chosen = [value.strip() for name, value in fields if name == "preset"]
    if len(specs) + bool(chosen) != 1:
        raise InvalidRequest("name the outputs wanted: either repeated 'preset' fields, or one 'spec' field")
    if specs:
        return spec_of(decode(specs[0], SpecRequest, "the field 'spec'"))
    return JobSpec(variations=tuple(VariationRequest(preset, {}) for preset in chosen))


def _webhook_url(request: SpecRequest) -> str | None:
    """The URL as it was given. Where its host leads is looked at when something is sent there."""
    if request.webhook_url is not None:
        parsed(request.webhook_url)
    elif request.webhook_variations:
        raise InvalidRequest("webhook_variations says what is sent to webhook_url, which is missing")
    return request.webhook_url


def _variation(entry: dict[str, Any]) -> VariationRequest:
    overrides = dict(entry)
    preset = overrides.pop("preset", None)
    if not isinstance(preset, str):
        raise InvalidRequest("each of 'variations' names its 'preset', as text")
    return VariationRequest(preset, overrides)
