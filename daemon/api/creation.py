"""Makes a job of a request: of a form with files, or of JSON that names uploads, paths or URLs."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import aclosing
from functools import partial

import msgspec

from daemon.api.endpoints import JSON, Call, decoded
from daemon.api.forms import NOT_FILES, Form, read_body
from daemon.api.requests import JobRequest, SourceRequest, spec_of, spec_of_fields
from daemon.callers import Caller
from daemon.database.store import Transaction
from daemon.errors import Forbidden, InvalidRequest, UnsupportedBody
from daemon.jobs.idempotency import Answer, UsedKey
from daemon.jobs.insertion import JobSpec
from daemon.jobs.jobs import Jobs
from daemon.jobs.views import JobView
from daemon.scheduling.limits import Reservation
from daemon.scheduling.sources import NewSource
from daemon.storage import urls
from daemon.storage.bucket_sources import SCHEMES

FORM = "multipart/form-data"


async def create(call: Call, key: UsedKey) -> Answer:
    """Makes the job, or gives the first answer to a request that is sent again."""
    kind = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    made = {FORM: _from_form, JSON: _from_json}.get(kind)
    if made is None:
        raise UnsupportedBody(f"make a job with {FORM} (files) or {JSON} (uploads, paths or URLs)")
    return await made(call, key)


async def _from_form(call: Call, key: UsedKey) -> Answer:
    jobs = call.service.jobs
    if await key.is_bound():
        return await _first_answer(call, key)
    await jobs.check_queue(call.caller)
    with jobs.reservation(call.caller) as reservation:
        await reservation.grow(int(call.request.headers.get("content-length", 0)) - NOT_FILES)
        async with _form(call, reservation, key) as form:
            await _read(call, form)
            if not form.files:
                raise InvalidRequest("the form has no 'files'")
            if key.value and (first := await key.first_answer(form.fingerprint)):
                return first
            spec = await asyncio.to_thread(spec_of_fields, form.fields)
            jobs.check_wish(spec, len(form.files))
            return await _made(jobs, call.caller, spec, form.files, key, reservation)


async def _first_answer(call: Call, key: UsedKey) -> Answer:
    """Answers a form that is sent again: it is compared with the first, and takes no room."""
    async with _form(call, None, key) as form:
        await _read(call, form)
        first = await key.first_answer(form.fingerprint)
        assert first is not None
        return first


def _form(call: Call, reservation: Reservation | None, key: UsedKey) -> Form:
    settings = call.service.settings
    return Form(
        call.service.paths.incoming,
        reservation,
        max_file_bytes=settings.max_upload_bytes,
        max_files=settings.max_sources,
        max_field_bytes=settings.max_json_bytes,
        hashed=key.value is not None,
    )


async def _read(call: Call, form: Form) -> None:
    async with aclosing(call.request.stream()) as stream:
        await form.read(call.request.headers["content-type"], call.service.bodies.of(stream))


async def _from_json(call: Call, key: UsedKey) -> Answer:
    body = await read_body(call.stream(), call.service.settings.max_json_bytes)
    if key.value and (first := await key.first_answer(await asyncio.to_thread(_digest, body))):
        return first
    wish: JobRequest = await decoded(body, JobRequest, "the body")
    jobs, spec = call.service.jobs, spec_of(wish)
    jobs.check_wish(spec, len(wish.sources))
    sources = [await _source(call, source) for source in wish.sources]
    made = await _made(jobs, call.caller, spec, sources, key)
    if any(source.url for source in wish.sources):
        call.service.fetches.expect()
    return made


async def _source(call: Call, wish: SourceRequest) -> NewSource:
    service = call.service
    if wish.upload is not None:
        return await service.jobs.uploaded(wish.upload, call.caller)
    if wish.url is not None and wish.url.startswith(SCHEMES):
        if call.caller.sees is not None:  # else it could take what lies there of others
            raise Forbidden("only admins take sources from the operator's buckets: send a signed https:// URL")
        name, remote = service.bucket_sources.remote(wish.url, headers=wish.headers, sha256=wish.sha256, name=wish.name)
        return NewSource(name=name, bytes=0, remote=remote)
    if wish.url is not None:
        settings = service.settings
        name, remote = urls.remote(
            wish.url,
            settings.fetch_ports,
            allow_private=settings.fetch_allow_private,
            headers=wish.headers,
            sha256=wish.sha256,
            name=wish.name,
        )
        return NewSource(name=name, bytes=0, remote=remote)
    assert wish.path is not None
    return await service.whereabouts.find(wish.path)


async def _made(
    jobs: Jobs,
    caller: Caller,
    spec: JobSpec,
    sources: Sequence[NewSource],
    key: UsedKey,
    reservation: Reservation | None = None,
) -> Answer:
    return await jobs.create(spec, sources, conclude=partial(_accepted, key), reservation=reservation, caller=caller)


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _accepted(key: UsedKey, transaction: Transaction, job: JobView) -> Answer:
    """Encoded before the job is there for good: one that nobody can be told of is none."""
    answer = Answer(status=202, location=f"/api/jobs/{job.id}", body=msgspec.json.encode(job))
    key.keep(transaction, answer)
    return answer
