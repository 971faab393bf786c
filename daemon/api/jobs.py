"""Offers jobs over HTTP: made, listed, looked at and fetched."""

from __future__ import annotations

import asyncio
from functools import partial

from msgspec.structs import replace
from starlette.responses import FileResponse, Response

from daemon.api import creation, downloads
from daemon.api.downloads import FilePage
from daemon.api.endpoints import JSON, Call
from daemon.api.requests import FilePageQuery, JobPageQuery
from daemon.jobs.jobs import JobPage
from daemon.jobs.views import JobView


async def create(call: Call) -> Response:
    with call.service.keys.use(call.request.headers.get("idempotency-key"), call.caller.name) as key:
        answer = await creation.create(call, key)
    return Response(answer.body, answer.status, {"Location": call.public(answer.location)}, media_type=JSON)


async def page(call: Call) -> JobPage:
    query: JobPageQuery = call.query
    veil = call.caller.veil
    found = await call.service.jobs.page(
        call.selection,
        limit=query.limit,
        cursor=veil.reveal_in(query.cursor),
        with_metadata=query.include == "metadata",
    )
    return replace(found, next_cursor=veil.hide_in(found.next_cursor))


async def get(call: Call) -> JobView:
    return await call.service.jobs.get(call.path["job"])


async def patch(call: Call) -> JobView:
    await call.service.control.patch(call.path["job"], call.body, call.caller)
    return await get(call)


async def download(call: Call) -> Response:
    job, files = await call.service.jobs.outputs(call.path["job"])
    return await asyncio.to_thread(downloads.all_files, job, files)


async def download_variation(call: Call) -> Response:
    path, row = await call.service.jobs.output(call.path["job"], call.path["variation"])
    return await asyncio.to_thread(downloads.one_variation, path, row)


async def files(call: Call) -> FilePage:
    path, row = await call.service.jobs.folder(call.path["job"], call.path["variation"])
    query: FilePageQuery = call.query
    return await asyncio.to_thread(downloads.file_page, path, row, query.limit, query.cursor)


async def download_file(call: Call) -> Response:
    path, row = await call.service.jobs.folder(call.path["job"], call.path["variation"])
    return await asyncio.to_thread(downloads.one_file, path, row, call.path["file"])


async def download_source(call: Call) -> Response:
    known, row = await call.service.jobs.source(call.path["job"], call.path["source"])
    whereabouts = call.service.whereabouts
    opened = await whereabouts.open(known, row["name"])
    read, close = partial(whereabouts.read, known), partial(whereabouts.close, known, opened)
    return downloads.source_file(opened, read, close, row)


async def log(call: Call) -> Response:
    path = await call.service.jobs.log(call.path["job"], call.path["variation"])
    # Read first: while the encoder writes on, a length told beforehand would not hold.
    return Response(await asyncio.to_thread(path.read_bytes), media_type="text/plain; charset=utf-8")


async def quality_plot(call: Call) -> Response:
    path, name = await call.service.jobs.plot(call.path["job"], call.path["variation"])
    return FileResponse(path, filename=name, media_type="image/svg+xml")
