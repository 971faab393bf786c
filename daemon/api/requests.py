"""Defines what clients send: bodies and queries, decoded; and what they say of a job, as `JobSpec`."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from functools import cache
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from starlette.datastructures import QueryParams

from daemon.errors import InvalidRequest
from daemon.jobs.insertion import JobSpec
from daemon.jobs.listing import Selection
from daemon.jobs.orders import Order
from daemon.jobs.reasons import Reason
from daemon.models import Deliver, VariationRequest
from daemon.plaintext import flaw
from daemon.presets.library import MAX_VARIATIONS
from daemon.settings import MAX_SOURCES
from daemon.states import ENDED, MessageStatus, OnUnsuitable, State
from daemon.strict_json import decode
from daemon.text_forms import in_words
from daemon.webhooks.delivery import parsed

T = TypeVar("T", bound=msgspec.Struct)

Priority = Annotated[int, msgspec.Meta(ge=-1000, le=1000)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=366 * 24 * 3600)]
Name = Annotated[str, msgspec.Meta(max_length=200)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=200, description="items on a page, at most")]
Beginning = Annotated[
    str, msgspec.Meta(pattern="^[0-9a-f]{1,16}$", description="the beginning of identifiers; goes with no other filter")
]
Cursor = Annotated[str, msgspec.Meta(description="`next_cursor` of the page before")]
EventId = Annotated[int, msgspec.Meta(ge=0, le=10**18, description="the id of the last event that was seen")]
Because = Annotated[Reason, msgspec.Meta(description="only what failed for this kind of reason, as figures count it")]
MAX_FOLDERS = 128  # each is opened: a thousand times `a/../a/../…` takes long
BINARY = {"format": "binary"}
Variation = Annotated[
    dict[str, Any],
    msgspec.Meta(extra_json_schema={"$ref": "#/components/schemas/VariationRequest"}),  # made from the presets
]


class SourceRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Names one of the three: a finished upload, a file that is on the host already, below a source root, or a URL from
    which the daemon fetches it."""

    upload: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    path: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)] | None = None
    url: (
        Annotated[
            str,
            msgspec.Meta(
                min_length=1,
                max_length=8192,
                description="http:// or https://, or of a bucket of the operator's; kept secret",
            ),
        ]
        | None
    ) = None
    headers: Annotated[
        dict[str, str], msgspec.Meta(description="sent to the URL's host and to no other; kept secret")
    ] = {}
    sha256: (
        Annotated[str, msgspec.Meta(pattern="^[0-9A-Fa-f]{64}$", description="that the file at the URL has")] | None
    ) = None
    name: (
        Annotated[
            str,
            msgspec.Meta(
                min_length=1, max_length=255, description="of that file; by default the last in the URL's path"
            ),
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        if sum(one is not None for one in (self.upload, self.path, self.url)) != 1:
            raise ValueError('A source is either {"upload": ID}, {"path": PATH} or {"url": URL}')
        if self.url is None and (self.headers or self.sha256 or self.name):
            raise ValueError("headers, sha256 and name go with a source's url")
        if self.path and self.path.count("/") > MAX_FOLDERS:
            raise ValueError(f"A path leads through {MAX_FOLDERS} folders at most")


class SpecRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Describes a job but for its files: the `spec` field of a form. Each variation is `{"preset": NAME, …}`."""

    variations: Annotated[list[Variation], msgspec.Meta(min_length=1, max_length=MAX_VARIATIONS)]
    name: Name | None = None
    priority: Priority = 0
    metadata: dict[str, Any] = {}
    expires_in: Seconds | None = None
    webhook_url: Annotated[str, msgspec.Meta(max_length=2048)] | None = None
    webhook_variations: bool = False
    on_unsuitable: Annotated[
        OnUnsuitable, msgspec.Meta(description="what becomes of a variation whose preset does not apply to its source")
    ] = OnUnsuitable.FAIL

    deliver: (
        Annotated[Deliver, msgspec.Meta(description="where its outputs are brought; a variation may say otherwise")]
        | None
    ) = None

    def __post_init__(self) -> None:
        for what, value in (("name", self.name), ("metadata", self.metadata), ("variations", self.variations)):
            if reason := flaw(value):
                raise ValueError(f"{what} {reason}")


class JobRequest(SpecRequest, kw_only=True):
    """Describes a whole job as JSON."""

    sources: Annotated[list[SourceRequest], msgspec.Meta(min_length=1, max_length=MAX_SOURCES)]


class LoginRequest(msgspec.Struct, forbid_unknown_fields=True):
    password: str


class ThumbnailQuery(msgspec.Struct):
    """Says how to be told that there is no picture."""

    optional: Annotated[bool, msgspec.Meta(description="204 where there is none, instead of why")] = False


class CancelQuery(msgspec.Struct):
    """Says what a cancel does with what is encoded of films."""

    keep_partial: Annotated[bool, msgspec.Meta(description="keep it until the job expires, for a retry")] = False


class JobFilter(msgspec.Struct):
    """Says which jobs a list shows, or a verb in bulk is about."""

    status: State | None = None
    ended: Annotated[bool, msgspec.Meta(description="only those that have ended, however they did")] = False
    paused: Annotated[bool, msgspec.Meta(description="only paused ones that have not ended")] = False
    has: Annotated[Literal["failed"], msgspec.Meta(description="only those of which something failed")] | None = None
    q: Annotated[str, msgspec.Meta(max_length=200, description="text in the job's name or a file's")] | None = None

    @property
    def selection(self) -> Selection:
        """Returns the jobs that are asked for. Raises InvalidRequest where the filters do not go together."""
        if self.ended and self.status:
            raise InvalidRequest("say either ended or a status")
        statuses = tuple(sorted(ENDED)) if self.ended else (self.status,) if self.status else ()
        return Selection(statuses=statuses, paused=self.paused, failures=self.has == "failed", search=self.q)


class RetryQuery(msgspec.Struct):
    """Says what of a job is tried again."""

    because: Because | None = None


class RetryFilter(JobFilter):
    """Says of which jobs what failed is tried again."""

    because: Because | None = None


class JobPageQuery(JobFilter):
    order: Annotated[
        Order,
        msgspec.Meta(
            description="`upcoming`: as they will start, with status=queued alone; `name`, `size` (the largest first) "
            "and `state` (what runs first): with no search, and not of paused ones"
        ),
    ] = Order.NEWEST
    id: Beginning | None = None
    limit: Limit = 50
    cursor: Cursor | None = None
    include: Annotated[Literal["metadata"], msgspec.Meta(description="what lists leave out else")] | None = None

    @property
    def selection(self) -> Selection:
        return msgspec.structs.replace(super().selection, order=self.order, begins=self.id)


class FilePageQuery(msgspec.Struct):
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000, description="files on a page, at most")] = 200
    cursor: Cursor | None = None


class DeliveryPageQuery(msgspec.Struct):
    job: str | None = None
    status: MessageStatus | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class HookRunQuery(msgspec.Struct):
    job: str | None = None
    limit: Limit = 50


class HistoryQuery(msgspec.Struct):
    limit: Limit = 50
    cursor: Cursor | None = None


class EventQuery(msgspec.Struct):
    after: EventId | None = None


class NewJobForm(msgspec.Struct, kw_only=True):
    """Takes a job's files, and either `preset` (once for each output wanted) or `spec`."""

    files: Annotated[list[Annotated[str, msgspec.Meta(extra_json_schema=BINARY)]], msgspec.Meta(min_length=1)]
    preset: list[str] = []
    spec: SpecRequest | None = None


def decode_query(query: QueryParams, kind: type[T]) -> T:
    """Returns the query as `kind`. Raises InvalidRequest, also for a misspelt name: a verb would act on everything."""
    types = _types(kind)
    for name in query:
        if name not in types:
            raise InvalidRequest(f"unknown filter {name!r}: there is {', '.join(types)}")
        if len(query.getlist(name)) > 1:
            raise InvalidRequest(f"{name} is there more than once")
    return kind(**{types[name][0]: _converted(name, value, types[name][1]) for name, value in query.items()})


@cache  # msgspec looks them up anew each time, which takes longer than all the rest
def _types(kind: type[msgspec.Struct]) -> dict[str, tuple[str, Any]]:
    """Lists of each field what it is called here and what it may be, by its name in a query."""
    return {field.encode_name: (field.name, _filled(field.type)) for field in msgspec.structs.fields(kind)}


def _filled(declared: Any) -> Any:
    """The type without None: what is not said is left out, and "null" is a word like any other."""
    choices = [choice for choice in get_args(declared) if choice is not NoneType]
    return choices[0] if NoneType in get_args(declared) else declared


def _converted(name: str, value: str, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        words = f"it is one of {', '.join(kind)}" if _is_choice(kind) else in_words(str(error))
        raise InvalidRequest(f"{name} {value[:80]!r} is not valid: {words}") from None


def _is_choice(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def spec_of(request: SpecRequest) -> JobSpec:
    return JobSpec(
        variations=tuple(_variation(entry, request.deliver) for entry in request.variations),
        name=request.name,
        priority=request.priority,
        metadata=request.metadata,
        expires_in=request.expires_in,
        webhook_url=_webhook_url(request),
        webhook_variations=request.webhook_variations,
        on_unsuitable=request.on_unsuitable,
    )


def spec_of_fields(fields: Sequence[tuple[str, str]]) -> JobSpec:
    """Returns the job that a form's fields describe: repeated `preset`, or one `spec` in JSON.

    Raises InvalidRequest.
    """
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


def _variation(entry: dict[str, Any], deliver: Deliver | None) -> VariationRequest:
    """Its own `deliver` goes before the job's; null is none."""
    overrides = dict(entry)
    preset = overrides.pop("preset", None)
    if not isinstance(preset, str):
        raise InvalidRequest("each of 'variations' names its 'preset', as text")
    if "deliver" in overrides:
        deliver = _delivery(overrides.pop("deliver"))
    return VariationRequest(preset, overrides, deliver)


def _delivery(wish: Any) -> Deliver | None:
    try:
        return msgspec.convert(wish, Deliver | None)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"'deliver' of a variation is not valid: {in_words(str(error))}") from error
