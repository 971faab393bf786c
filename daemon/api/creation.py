"""Makes a job of a request: of a form with files, or of JSON that names uploads or paths."""

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
from daemon.database.store import Transaction
from daemon.errors import InvalidRequest, UnsupportedBody
from daemon.jobs.idempotency import Answer, Hold
from daemon.jobs.jobs import Jobs, JobSpec
from daemon.jobs.views import JobView
from daemon.scheduling.limits import Room
from daemon.scheduling.sources import NewSource
from daemon.service import Service

FORM = "multipart/form-data"


async def create(call: Call, hold: Hold) -> Answer:
    """Makes the job, or gives the first answer to a request that is sent again."""
    kind = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    made = {FORM: _from_form, JSON: _from_json}.get(kind)
    if made is None:
        raise UnsupportedBody(f"make a job with {FORM} (files) or {JSON} (uploads or paths)")
    return await made(call, hold)


async def _from_form(call: Call, hold: Hold) -> Answer:
    jobs = call.service.jobs
    if await hold.is_bound():
        return await _first_answer(call, hold)
    await jobs.check_queue()
    with jobs.room() as room:
        await room.grow(int(call.request.headers.get("content-length", 0)) - NOT_FILES)
        async with _form(call, room, hold) as form:
            await _read(call, form)
            if not form.files:
                raise InvalidRequest("the form has no 'files'")
            if hold.key and (first := await hold.first_answer(form.fingerprint)):
                return first
            spec = await asyncio.to_thread(spec_of_fields, form.fields)
            jobs.check_wish(spec, len(form.files))
            return await _made(jobs, spec, form.files, hold, room)


async def _first_answer(call: Call, hold: Hold) -> Answer:
    """Answers a form that is sent again: it is compared with the first, and takes no room."""
    async with _form(call, None, hold) as form:
        await _read(call, form)
        first = await hold.first_answer(form.fingerprint)
        assert first is not None
        return first


def _form(call: Call, room: Room | None, hold: Hold) -> Form:
    settings = call.service.settings
    return Form(
        call.service.paths.incoming,
        room,
        max_file_bytes=settings.max_upload_bytes,
        max_files=settings.max_sources,
        max_field_bytes=settings.max_json_bytes,
        hashed=hold.key is not None,
    )


async def _read(call: Call, form: Form) -> None:
    async with aclosing(call.request.stream()) as stream:
        await form.read(call.request.headers["content-type"], call.service.bodies.of(stream))


async def _from_json(call: Call, hold: Hold) -> Answer:
    body = await read_body(call.stream(), call.service.settings.max_json_bytes)
    if hold.key and (first := await hold.first_answer(await asyncio.to_thread(_digest, body))):
        return first
    wish: JobRequest = await decoded(body, JobRequest, "the body")
    jobs, spec = call.service.jobs, spec_of(wish)
    jobs.check_wish(spec, len(wish.sources))
    return await _made(jobs, spec, [await _source(call.service, source) for source in wish.sources], hold)


async def _source(service: Service, wish: SourceRequest) -> NewSource:
    if wish.upload is not None:
        return await service.jobs.uploaded(wish.upload)
    assert wish.path is not None
    return await service.whereabouts.find(wish.path)


async def _made(
    jobs: Jobs, spec: JobSpec, sources: Sequence[NewSource], hold: Hold, room: Room | None = None
) -> Answer:
    return await jobs.create(spec, sources, conclude=partial(_accepted, hold), room=room)


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _accepted(hold: Hold, transaction: Transaction, job: JobView) -> Answer:
    """Encoded before the job is there for good: one that nobody can be told of is none."""
    answer = Answer(status=202, location=f"/api/jobs/{job.id}", body=msgspec.json.encode(job))
    hold.keep(transaction, answer)
    return answer
