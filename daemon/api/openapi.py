"""Describes the API in OpenAPI 3.1, by the table of endpoints and the types they decode and encode."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from inspect import cleandoc
from typing import Any

import msgspec

from daemon.api.endpoints import JSON, Endpoint
from daemon.api.requests import BINARY
from daemon.errors import FfspoolError
from daemon.http.auth import COOKIE
from daemon.http.problems import MEDIA_TYPE, Problem
from daemon.presets.library import Library

Json = dict[str, Any]

SCHEMAS = "#/components/schemas/"
VERSION = version("ffspool")  # read once: what is installed is looked for in every folder that Python knows of
INTRODUCTION = cleandoc("""
    Jobs are *sources* × *variations*: files, and what to make of each of them.

    Times are RFC 3339 in UTC, sizes bytes, durations seconds, `progress` 0 to 100; null is what is not known. Every
    error is `application/problem+json` with a machine-readable `code`. Lists are paged: pass `next_cursor` as
    `cursor`. Wherever there is a GET there is a HEAD, and JSON comes with an `ETag` for `If-None-Match`.
""")
EVENTS = cleandoc("""
    Each event has a `type`, and `data` that is JSON. `job`, `variation`, `delivery` and `queue` tell a change of state,
    `deleted` that a job is no more: these have an `id`, and none is left out or repeated after a `Last-Event-ID`.
    `progress` has none and is thinned out. `reset` comes where an id is no longer known: read the present state anew.
""")
TEXT: Json = {"type": "string"}
COUNT: Json = {"type": "integer", "minimum": 0}
HEADERS: Mapping[str, tuple[Json, str]] = {
    "Accept-Ranges": (TEXT, "`bytes`"),
    "Allow": (TEXT, "the methods there are"),
    "Content-Disposition": (TEXT, "the file's name"),
    "Content-Range": (TEXT, "which bytes these are"),
    "ETag": (TEXT, "changes when the answer does; of a whole output, its SHA-256"),
    "Idempotency-Key": (
        {"type": "string", "minLength": 1, "maxLength": 255},
        "any text, new for each job: the same key and body get the first answer again, for a day",
    ),
    "If-None-Match": (TEXT, "an `ETag`: 304 when nothing changed"),
    "If-Range": (TEXT, "an `ETag`: the range is of that file, or all of it is sent"),
    "Last-Event-ID": (COUNT, "the id of the last event that was seen"),
    "Location": (TEXT, "where it is now"),
    "Range": (TEXT, "`bytes=FIRST-LAST`"),
    "Retry-After": (COUNT, "seconds to wait"),
    "Set-Cookie": (TEXT, "the session, for browsers"),
    "Tus-Checksum-Algorithm": (TEXT, "what `Upload-Checksum` may be"),
    "Tus-Extension": (TEXT, "what is spoken besides the core"),
    "Tus-Max-Size": (COUNT, "bytes of the largest upload"),
    "Tus-Resumable": ({"const": "1.0.0"}, "the protocol's version"),
    "Tus-Version": (TEXT, "the versions spoken"),
    "Upload-Checksum": (TEXT, "`ALGORITHM BASE64` of this piece"),
    "Upload-Expires": (TEXT, "when it is forgotten"),
    "Upload-Length": (COUNT, "bytes of the whole file"),
    "Upload-Metadata": (TEXT, "`filename BASE64`, and what else the client wants to keep"),
    "Upload-Offset": (COUNT, "bytes that are here, and durable"),
    "WWW-Authenticate": (TEXT, "`Bearer`"),
    "X-HTTP-Method-Override": ({"enum": ["PATCH", "DELETE"]}, "what is meant"),
}
REQUIRED = {"Tus-Resumable", "Upload-Length", "X-HTTP-Method-Override"}
PROBLEM_HEADERS = {401: "WWW-Authenticate", 405: "Allow", 416: "Content-Range", 429: "Retry-After"}


@cache
def document(endpoints: tuple[Endpoint, ...], library: Library, root: str = "") -> Json:
    """Returns the whole description, as JSON. `root` is the path below which a proxy has it."""
    schemas = _schemas(endpoints)
    paths: dict[str, Json] = defaultdict(dict)
    for endpoint in endpoints:
        paths[_template(endpoint.path)][endpoint.method.lower()] = _operation(endpoint, schemas)
    queries = {endpoint.query.__name__ for endpoint in endpoints if endpoint.query}
    shown = {name: schema for name, schema in schemas.items() if name not in queries}
    return {
        "openapi": "3.1.0",
        "info": {"title": "ffspool", "version": VERSION, "description": INTRODUCTION},
        **({"servers": [{"url": root}]} if root else {}),
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": {**shown, "VariationRequest": _variation_request(library)},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "the daemon's token, or one of a login"},
                "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
            },
        },
    }


def _schemas(endpoints: Iterable[Endpoint]) -> dict[str, Json]:
    """The JSON Schema of every struct that goes in or out, by name."""
    kinds = [Problem, *(kind for endpoint in endpoints for kind in _kinds(endpoint))]
    _, schemas = msgspec.json.schema_components(dict.fromkeys(kinds), ref_template=SCHEMAS + "{name}")
    for schema in schemas.values():
        for name, field in schema.get("properties", {}).items():
            if name.endswith("_at"):
                _tell_time(field)
    return schemas


def _tell_time(schema: Json) -> None:
    """A time of any zone is plain text to msgspec; ours say which one."""
    for choice in schema.get("anyOf", [schema]):
        if choice.get("type") == "string":
            choice["format"] = "date-time"


def _kinds(endpoint: Endpoint) -> Iterable[Any]:
    kinds = [endpoint.query, endpoint.body, *(endpoint.takes or {}).values(), endpoint.answers_with]
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]


def _template(path: str) -> str:
    return path.replace(":path}", "}")


def _operation(endpoint: Endpoint, schemas: Mapping[str, Json]) -> Json:
    return {
        "tags": [endpoint.group],
        "operationId": f"{endpoint.group}.{endpoint.name}",
        "summary": endpoint.summary,
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint, schemas), *_headers(endpoint)],
        **({"requestBody": _request_body(endpoint)} if endpoint.body or endpoint.takes else {}),
        "responses": {**_answers(endpoint), **_problems(endpoint)},
        **({"security": []} if endpoint.open else {}),
    }


def _path_parameters(endpoint: Endpoint) -> Iterable[Json]:
    for name in re.findall(r"{(\w+)", endpoint.path):
        yield {"name": name, "in": "path", "required": True, "schema": TEXT}


def _query_parameters(endpoint: Endpoint, schemas: Mapping[str, Json]) -> Iterable[Json]:
    if endpoint.query:
        for name, schema in schemas[endpoint.query.__name__]["properties"].items():
            filled = [choice for choice in schema.get("anyOf", [schema]) if choice.get("type") != "null"]
            yield {"name": name, "in": "query", "schema": _without_null(filled[0], schema.get("default"))}


def _without_null(schema: Json, default: Any) -> Json:
    """What is not said is left out of a query: there is no null in it."""
    return {**schema, "default": default} if default is not None else schema


def _headers(endpoint: Endpoint) -> Iterable[Json]:
    names = [*endpoint.sends, *(["If-None-Match"] if _revalidates(endpoint) else [])]
    for name in names:
        schema, words = HEADERS[name]
        yield {"name": name, "in": "header", "required": name in REQUIRED, "schema": schema, "description": words}


def _revalidates(endpoint: Endpoint) -> bool:
    return endpoint.method == "GET" and (endpoint.media_type == JSON or "ETag" in endpoint.told)


def _request_body(endpoint: Endpoint) -> Json:
    taken = endpoint.takes or {JSON: endpoint.body}
    return {"required": True, "content": {media: {"schema": _schema(kind)} for media, kind in taken.items()}}


def _schema(kind: Any) -> Json:
    if kind is bytes:
        return {"type": "string", **BINARY}
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {"$ref": SCHEMAS + kind.__name__}
    return {"type": "object"}


def _answers(endpoint: Endpoint) -> Json:
    """What is answered when all goes well, by status."""
    told = [*endpoint.told, *(["ETag"] if _revalidates(endpoint) and "ETag" not in endpoint.told else [])]
    answer = {"description": endpoint.summary, **_content(endpoint), "headers": _described(told)}
    answers = {str(endpoint.status): answer}
    if "Range" in endpoint.sends:
        answers["206"] = {**answer, "description": "The range", "headers": _described([*told, "Content-Range"])}
    if _revalidates(endpoint):
        answers["304"] = {"description": "Nothing changed", "headers": _described(["ETag"])}
    if endpoint.may_lack:
        answers["204"] = {"description": "There is none"}
    return answers


def _content(endpoint: Endpoint) -> Json:
    kind = endpoint.answers_with
    if kind is None or endpoint.media_type is None:
        return {}
    if endpoint.media_type == JSON:
        return {"content": {JSON: {"schema": _schema(kind)}}}
    words = {"description": EVENTS} if endpoint.media_type == "text/event-stream" else {}
    textual = endpoint.media_type.startswith("text/")
    return {"content": {endpoint.media_type: {"schema": {**TEXT, **words} if textual else {}}}}


def _described(names: Iterable[str]) -> Json:
    return {name: {"schema": HEADERS[name][0], "description": HEADERS[name][1]} for name in names}


def _problems(endpoint: Endpoint) -> Json:
    """What may be refused, by status; `code` tells apart what shares one."""
    by_status: dict[int, list[type[FfspoolError]]] = defaultdict(list)
    for error in endpoint.refusals:
        by_status[error.status].append(error)
    return {str(status): _problem(status, errors) for status, errors in sorted(by_status.items())}


def _problem(status: int, errors: Sequence[type[FfspoolError]]) -> Json:
    codes = {"properties": {"status": {"const": status}, "code": {"enum": [error.code for error in errors]}}}
    header = PROBLEM_HEADERS.get(status)
    return {
        "description": "; ".join(f"`{error.code}`: {error.title}" for error in errors),
        "content": {MEDIA_TYPE: {"schema": {"allOf": [{"$ref": SCHEMAS + "Problem"}, codes]}}},
        **({"headers": _described([header])} if header else {}),
    }


def _variation_request(library: Library) -> Json:
    """One entry of `variations`: a preset's name and what is overridden of its parameters."""
    return {
        "title": "VariationRequest",
        "description": "A preset, and what to override of its parameters.",
        "oneOf": [_preset_request(preset) for preset in library.describe()],
    }


def _preset_request(preset: Json) -> Json:
    return {
        "title": preset["name"],
        "description": preset["description"],
        "type": "object",
        "properties": {
            "preset": {"const": preset["name"]},
            "deliver": {"anyOf": [{"$ref": SCHEMAS + "Deliver"}, {"type": "null"}]},
            **{parameter["name"]: _parameter(parameter) for parameter in preset["parameters"]},
        },
        "required": ["preset"],
        "additionalProperties": False,
    }


def _parameter(parameter: Json) -> Json:
    told = {"type": "type", "minimum": "minimum", "maximum": "maximum", "choices": "enum", "default": "default"}
    known = {word: parameter[name] for name, word in told.items() if parameter[name] is not None}
    return {**known, "description": parameter["description"]}
