"""The routes: each decodes, calls one verb and encodes its answer."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from daemon import presets
from daemon.api import downloads, tus
from daemon.api.auth import COOKIE, Gate
from daemon.api.requests import JobRequest, LoginRequest, SourceRequest, decode, spec_of, spec_of_fields
from daemon.api.stream import event_id, stream
from daemon.api.uploads import Form, read_body
from daemon.control import JobPatch, Scope
from daemon.errors import InvalidRequest, Unavailable, UnsupportedBody
from daemon.idempotency import Answer, Hold
from daemon.jobs import JobSpec, NewSource
from daemon.service import Service
from daemon.states import DeliveryStatus, QueueState, State
from daemon.stats import exposition, gather
from daemon.views import JobView

Status = TypeVar("Status", State, DeliveryStatus)

MAX_PAGE = 200
QUEUE = {"pause": QueueState.PAUSED, "resume": QueueState.RUNNING, "drain": QueueState.DRAINING}
MAX_LOGIN_BYTES = 4096


def routes(service: Service, gate: Gate) -> list[Route]:
    """Every route of the API, for one running service."""
    api = Api(service, gate)
    job, source, variation = "/api/jobs/{job}", "/sources/{source}", "/variations/{variation}"
    return [
        Route("/healthz", api.health, methods=["GET"]),
        Route("/readyz", api.ready, methods=["GET"]),
        Route("/api/login", api.login, methods=["POST"]),
        Route("/api/presets", api.presets, methods=["GET"]),
        Route("/api/stats", api.stats, methods=["GET"]),
        Route("/metrics", api.metrics, methods=["GET"]),
        Route("/api/events", api.events, methods=["GET"]),
        Route("/api/jobs", api.create, methods=["POST"]),
        Route("/api/jobs", api.list_jobs, methods=["GET"]),
        *tus.routes(service.uploads),
        Route(job, api.get, methods=["GET"]),
        Route("/api/jobs", api.delete_all, methods=["DELETE"]),
        Route("/api/jobs/cancel", api.cancel_all, methods=["POST"]),
        Route("/api/queue", api.show_queue, methods=["GET"]),
        *(Route(f"/api/queue/{verb}", api.queue_verb(state), methods=["POST"]) for verb, state in QUEUE.items()),
        Route(job, api.delete, methods=["DELETE"]),
        Route(job, api.patch, methods=["PATCH"]),
        Route(job + "/events", api.events, methods=["GET"]),
        Route(job + "/fail", api.fail, methods=["POST"]),
        Route(job + "/retry", api.retry, methods=["POST"]),
        Route(job + "/pause", api.pause, methods=["POST"]),
        Route(job + "/resume", api.resume, methods=["POST"]),
        Route(job + "/cancel", api.cancel, methods=["POST"]),
        Route(job + source + "/cancel", api.cancel, methods=["POST"]),
        Route(job + variation + "/cancel", api.cancel, methods=["POST"]),
        Route(job + "/download", api.download_all, methods=["GET"]),
        Route(job + variation + "/download", api.download_one, methods=["GET"]),
        Route(job + variation + "/log", api.log, methods=["GET"]),
        Route("/api/webhooks/deliveries", api.list_deliveries, methods=["GET"]),
        Route("/api/webhooks/deliveries/{delivery}/replay", api.replay, methods=["POST"]),
        Route("/api/webhooks/secret", api.show_secret, methods=["GET"]),
        Route("/api/webhooks/secret/rotate", api.rotate_secret, methods=["POST"]),
    ]


class Api:
    def __init__(self, service: Service, gate: Gate) -> None:
        self._service = service
        self._jobs = service.jobs
        self._control = service.control
        self._gate = gate

    async def health(self, _: Request) -> Response:
        return _json({"status": "ok"})

    async def ready(self, _: Request) -> Response:
        if not self._service.scheduler.running:
            raise Unavailable("the daemon is stopping")
        await self._service.store.read(lambda t: t.one("job", id=""))
        return _json({"status": "ready", "encoder": self._service.encoder_version, "sandbox": self._service.sandbox})

    async def login(self, request: Request) -> Response:
        body = await read_body(request.stream(), MAX_LOGIN_BYTES)
        wish: LoginRequest = decode(body, LoginRequest, "the body")
        session = await self._gate.login(wish.password, request.client.host if request.client else "")
        response = _json(session)
        response.set_cookie(
            COOKIE,
            session.token,
            expires=session.expires_at,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    async def presets(self, _: Request) -> Response:
        return _json({"items": presets.describe()})

    async def stats(self, _: Request) -> Response:
        return _json(await gather(self._service))

    async def metrics(self, _: Request) -> Response:
        text, kind = exposition(self._service.figures, await gather(self._service))
        return Response(text, media_type=kind)

    async def events(self, request: Request) -> Response:
        job = request.path_params.get("job")
        if job is not None:
            await self._jobs.check(job)
        after = event_id(request.headers.get("last-event-id") or request.query_params.get("after"))
        return stream(self._service.feed.stream(job, after))

    async def create(self, request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        create = {"multipart/form-data": self._create_from_form, "application/json": self._create_from_json}.get(kind)
        if create is None:
            raise UnsupportedBody("make a job with multipart/form-data (files) or application/json (uploads or paths)")
        with self._service.keys.hold(request.headers.get("idempotency-key")) as hold:
            answer = await create(request, hold)
        return Response(answer.body, answer.status, {"Location": answer.location}, media_type="application/json")

    async def _create_from_form(self, request: Request, hold: Hold) -> Answer:
        settings = self._service.settings
        with Form(
            self._service.paths.incoming,
            max_file_bytes=settings.max_upload_bytes,
            max_files=settings.max_sources,
            max_field_bytes=settings.max_json_bytes,
            hashed=hold.key is not None,
        ) as form:
            async with contextlib.aclosing(request.stream()) as stream:
                await form.read(request.headers["content-type"], stream)
            if not form.files:
                raise InvalidRequest("the form has no 'files'")
            if hold.key and (first := await hold.first_answer(form.fingerprint)):
                return first
            return await self._create(spec_of_fields(form.fields), form.files, hold)

    async def _create_from_json(self, request: Request, hold: Hold) -> Answer:
        body = await read_body(request.stream(), self._service.settings.max_json_bytes)
        if hold.key and (first := await hold.first_answer(hashlib.sha256(body).hexdigest())):
            return first
        wish: JobRequest = decode(body, JobRequest, "the body")
        return await self._create(spec_of(wish), [await self._source(source) for source in wish.sources], hold)

    async def _source(self, wish: SourceRequest) -> NewSource:
        if wish.upload is not None:
            return await self._jobs.uploaded(wish.upload)
        assert wish.path is not None
        return self._jobs.place(wish.path)

    async def _create(self, spec: JobSpec, sources: Sequence[NewSource], hold: Hold) -> Answer:
        job = await self._jobs.create(spec, sources, also=lambda t, made: hold.keep(t, _accepted(made)))
        return _accepted(job)

    async def list_jobs(self, request: Request) -> Response:
        _check_query(request, {"status", "limit", "cursor"})
        query = request.query_params
        return _json(
            await self._jobs.page(
                status=_state(query.get("status")), limit=_limit(query.get("limit")), cursor=query.get("cursor")
            )
        )

    async def get(self, request: Request) -> Response:
        return _json(await self._jobs.get(request.path_params["job"]))

    async def delete(self, request: Request) -> Response:
        await self._control.delete(request.path_params["job"])
        return Response(status_code=204)

    async def cancel(self, request: Request) -> Response:
        return _json(await self._control.cancel(Scope(**request.path_params)))

    async def fail(self, request: Request) -> Response:
        return _json(await self._control.fail(request.path_params["job"]))

    async def retry(self, request: Request) -> Response:
        return _json(await self._control.retry(request.path_params["job"]))

    async def pause(self, request: Request) -> Response:
        return _json(await self._control.pause(request.path_params["job"]))

    async def resume(self, request: Request) -> Response:
        return _json(await self._control.resume(request.path_params["job"]))

    async def patch(self, request: Request) -> Response:
        body = await read_body(request.stream(), self._service.settings.max_json_bytes)
        patch: JobPatch = decode(body, JobPatch, "the body")
        await self._control.patch(request.path_params["job"], patch)
        return await self.get(request)

    async def cancel_all(self, request: Request) -> Response:
        _check_query(request, {"status"})
        return _json(await self._service.bulk.cancel(_state(request.query_params.get("status"))))

    async def delete_all(self, request: Request) -> Response:
        _check_query(request, {"status"})
        return _json(await self._service.bulk.delete(_state(request.query_params.get("status"))))

    async def show_queue(self, _: Request) -> Response:
        return _json({"state": self._service.scheduler.queue})

    def queue_verb(self, state: QueueState) -> Callable[[Request], Awaitable[Response]]:
        """The handler that puts the whole queue into that state."""

        async def handle(_: Request) -> Response:
            return _json(await self._control.set_queue(state))

        return handle

    async def download_all(self, request: Request) -> Response:
        job, files = await self._jobs.outputs(request.path_params["job"])
        return await asyncio.to_thread(downloads.all_files, job, files)

    async def download_one(self, request: Request) -> Response:
        path, row = await self._jobs.output(request.path_params["job"], request.path_params["variation"])
        return downloads.one_file(path, row)

    async def log(self, request: Request) -> Response:
        path = await self._jobs.log(request.path_params["job"], request.path_params["variation"])
        # Read first: while the encoder writes on, a length told beforehand would not hold.
        return Response(await asyncio.to_thread(path.read_bytes), media_type="text/plain; charset=utf-8")

    async def list_deliveries(self, request: Request) -> Response:
        query = request.query_params
        return _json(
            await self._service.webhooks.page(
                job=query.get("job"),
                status=_one_of(DeliveryStatus, query.get("status")),
                limit=_limit(query.get("limit")),
                cursor=query.get("cursor"),
            )
        )

    async def replay(self, request: Request) -> Response:
        return _json(await self._service.webhooks.replay(request.path_params["delivery"]), 202)

    async def show_secret(self, _: Request) -> Response:
        return _json(self._service.webhooks.secret())

    async def rotate_secret(self, _: Request) -> Response:
        return _json(self._service.webhooks.rotate())


def _accepted(job: JobView) -> Answer:
    return Answer(status=202, location=f"/api/jobs/{job.id}", body=msgspec.json.encode(job))


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")


def _check_query(request: Request, known: set[str]) -> None:
    """Raises InvalidRequest for a misspelt filter: it would make the verb act on everything."""
    if strange := sorted(set(request.query_params) - known):
        raise InvalidRequest(f"unknown filter {strange[0]!r}: there is {', '.join(sorted(known))}")


def _state(value: str | None) -> State | None:
    return _one_of(State, value)


def _one_of(kind: type[Status], value: str | None) -> Status | None:
    if value is None:
        return None
    try:
        return kind(value)
    except ValueError:
        raise InvalidRequest(f"status {value!r} is none of {', '.join(kind)}") from None


def _limit(value: str | None) -> int:
    if value is None:
        return 50
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= MAX_PAGE:
        raise InvalidRequest(f"limit {value!r} is not a number from 1 to {MAX_PAGE}")
    return int(value)
