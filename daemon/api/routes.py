"""Lists the API's endpoints. A new route is one entry here; requests find it, and `/openapi.json` tells of it."""

from __future__ import annotations

from daemon.api import assets, control, description, host, jobs, queue, thumbnails, tus, webhooks
from daemon.api.creation import FORM
from daemon.api.endpoints import JSON, Endpoint
from daemon.api.requests import (
    CancelQuery,
    DeliveryPageQuery,
    EventQuery,
    FilePageQuery,
    JobFilter,
    JobPageQuery,
    JobRequest,
    LoginRequest,
    NewJobForm,
    RetryFilter,
    RetryQuery,
    ThumbnailQuery,
)
from daemon.errors import (
    BadName,
    BadParameter,
    BadRange,
    ChecksumMismatch,
    Conflict,
    EmptyUpload,
    ForbiddenPath,
    Gone,
    IdempotencyInFlight,
    IdempotencyMismatch,
    InvalidRequest,
    LimitReached,
    MethodNotAllowed,
    NotFound,
    Throttled,
    TooLarge,
    Unauthorized,
    UnknownPreset,
    UnsupportedBody,
    UnsupportedChecksum,
    UnsupportedTus,
    UploadLocked,
    UploadUnfinished,
)
from daemon.http.auth import Session
from daemon.jobs.control import JobPatch
from daemon.jobs.queue import QueuePatch
from daemon.jobs.views import JobView

MAX_LOGIN_BYTES = 4096

JOBS, UPLOADS, HOOKS = "/api/jobs", tus.UPLOADS, "/api/webhooks"
JOB, UPLOAD = f"{JOBS}/{{job}}", f"{UPLOADS}/{{upload}}"
SOURCE, VARIATION = f"{JOB}/sources/{{source}}", f"{JOB}/variations/{{variation}}"
SSE, ZIP, TEXT, HTML, ANY = "text/event-stream", "application/zip", "text/plain", "text/html", "*/*"
WEBP, SVG = "image/webp", "image/svg+xml"

ENDPOINTS = (
    # Jobs
    Endpoint(
        "POST", JOBS, jobs.create, "Make a job: sources × variations",
        takes={FORM: NewJobForm, JSON: JobRequest}, status=202, answer=JobView,
        sends=("Idempotency-Key",), told=("Location",),
        problems=(UnknownPreset, BadParameter, BadName, EmptyUpload, ForbiddenPath, NotFound, Gone, UploadUnfinished,
                  UnsupportedBody, IdempotencyInFlight, IdempotencyMismatch, LimitReached),
    ),
    Endpoint("GET", JOBS, jobs.page, "List jobs, newest first or in another order", query=JobPageQuery,
             large=True),
    Endpoint("DELETE", JOBS, control.delete_all, "Cancel and delete jobs", query=JobFilter),
    Endpoint("POST", f"{JOBS}/cancel", control.cancel_all, "Cancel jobs", query=JobFilter),
    Endpoint("POST", f"{JOBS}/retry", control.retry_all, "Queue again what failed of jobs", query=RetryFilter,
             problems=(LimitReached,)),
    Endpoint("GET", JOB, jobs.get, "A job with its sources and variations", large=True),
    Endpoint("PATCH", JOB, jobs.patch, "Change a job's name, priority or expiry", body=JobPatch,
             large=True, problems=(BadParameter,)),
    Endpoint("DELETE", JOB, control.delete, "Cancel a job and delete all of it", status=204, problems=(Conflict,)),
    Endpoint("POST", f"{JOB}/cancel", control.cancel, "Stop a job, keep what is completed", query=CancelQuery,
             problems=(Conflict,)),
    Endpoint("POST", f"{SOURCE}/cancel", control.cancel_source, "Stop one source's variations",
             query=CancelQuery, problems=(Conflict,)),
    Endpoint("POST", f"{VARIATION}/cancel", control.cancel_variation, "Stop one variation", query=CancelQuery,
             problems=(Conflict,)),
    Endpoint("POST", f"{JOB}/fail", control.fail, "Stop a job and mark what is left failed", problems=(Conflict,)),
    Endpoint("POST", f"{JOB}/retry", control.retry, "Queue again what failed or was cancelled", query=RetryQuery,
             problems=(Conflict, LimitReached)),
    Endpoint("POST", f"{JOB}/pause", control.pause, "Freeze a job's encodes, start nothing more of it",
             problems=(Conflict,)),
    Endpoint("POST", f"{JOB}/resume", control.resume, "Let a paused job go on"),
    Endpoint("GET", f"{JOB}/download", jobs.download, "A zip of what is completed so far, with manifest.json",
             media_type=ZIP, told=("Content-Disposition",)),
    Endpoint("GET", f"{VARIATION}/download", jobs.download_variation, "One variation's file", media_type=ANY,
             sends=("Range", "If-Range"), told=("ETag", "Accept-Ranges", "Content-Disposition"),
             problems=(BadRange,)),
    Endpoint("GET", f"{VARIATION}/files", jobs.files, "The files of a variation that is a folder", query=FilePageQuery,
             large=True),
    Endpoint("GET", f"{VARIATION}/files/{{file:path}}", jobs.download_file, "One file of a variation that is a folder",
             media_type=ANY, sends=("Range", "If-Range"), told=("ETag", "Accept-Ranges", "Content-Disposition"),
             problems=(BadRange,)),
    Endpoint("GET", f"{SOURCE}/download", jobs.download_source, "A source as it was given", media_type=ANY,
             sends=("Range", "If-Range"), told=("ETag", "Accept-Ranges", "Content-Disposition"),
             problems=(BadRange,)),
    Endpoint("GET", f"{JOB}/thumbnail", thumbnails.of_job, "A picture of the first source", query=ThumbnailQuery,
             media_type=WEBP, told=("ETag",), may_lack=True),
    Endpoint("GET", f"{VARIATION}/thumbnail", thumbnails.of_variation, "A picture of a completed variation",
             query=ThumbnailQuery, media_type=WEBP, told=("ETag",), may_lack=True),
    Endpoint("GET", f"{VARIATION}/log", jobs.log, "That encode's command and log", media_type=TEXT),
    Endpoint("GET", f"{VARIATION}/quality.svg", jobs.quality_plot, "A plot of how close each frame is to the source's",
             media_type=SVG),
    # The queue
    Endpoint("GET", "/api/queue", queue.show, "Whether the queue runs, and how many encodes at once"),
    Endpoint("PATCH", "/api/queue", queue.patch, "Change how many encodes run at once", body=QueuePatch),
    Endpoint("POST", "/api/queue/pause", queue.pause, "Freeze all encodes, start nothing"),
    Endpoint("POST", "/api/queue/resume", queue.resume, "Let the queue run"),
    Endpoint("POST", "/api/queue/drain", queue.drain, "Finish what runs, start nothing"),
    # Resumable uploads
    Endpoint("OPTIONS", UPLOADS, tus.abilities, "What this tus server can do", status=204, media_type=None,
             told=("Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm")),
    Endpoint("POST", UPLOADS, tus.create, "Begin an upload", status=201, media_type=None,
             sends=("Tus-Resumable", "Upload-Length", "Upload-Metadata"),
             told=("Tus-Resumable", "Location", "Upload-Offset", "Upload-Expires"),
             problems=(InvalidRequest, BadName, TooLarge, LimitReached, UnsupportedTus)),
    Endpoint("OPTIONS", UPLOAD, tus.upload_abilities, "What this tus server can do", status=204, media_type=None,
             told=("Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm")),
    Endpoint("HEAD", UPLOAD, tus.show, "How far an upload is", media_type=None, sends=("Tus-Resumable",),
             told=("Tus-Resumable", "Upload-Offset", "Upload-Length", "Upload-Metadata", "Upload-Expires"),
             problems=(Gone, UnsupportedTus)),
    Endpoint("PATCH", UPLOAD, tus.append, "Send the bytes that begin at an offset", status=204, media_type=None,
             takes={tus.PIECE: bytes}, sends=("Tus-Resumable", "Upload-Offset", "Upload-Checksum"),
             told=("Tus-Resumable", "Upload-Offset", "Upload-Expires"),
             problems=(Gone, Conflict, UploadLocked, ChecksumMismatch, UnsupportedChecksum, UnsupportedBody,
                       UnsupportedTus)),
    Endpoint("POST", UPLOAD, tus.overridden, "PATCH or DELETE, for clients that can say neither", status=204,
             media_type=None, takes={tus.PIECE: bytes},
             sends=("X-HTTP-Method-Override", "Tus-Resumable", "Upload-Offset", "Upload-Checksum"),
             told=("Tus-Resumable", "Upload-Offset", "Upload-Expires"),
             problems=(MethodNotAllowed, Gone, Conflict, UploadLocked, ChecksumMismatch, UnsupportedChecksum,
                       UnsupportedBody, UnsupportedTus)),
    Endpoint("DELETE", UPLOAD, tus.delete, "Forget an upload", status=204, media_type=None, sends=("Tus-Resumable",),
             told=("Tus-Resumable",), problems=(UnsupportedTus,)),
    # Webhooks
    Endpoint("GET", f"{HOOKS}/deliveries", webhooks.deliveries, "What was and is to be sent, newest first",
             query=DeliveryPageQuery, large=True),
    Endpoint("POST", f"{HOOKS}/deliveries/{{delivery}}/replay", webhooks.replay, "Send a delivery again", status=202),
    Endpoint("GET", f"{HOOKS}/secret", webhooks.secret, "The secret that signs"),
    Endpoint("POST", f"{HOOKS}/secret/rotate", webhooks.rotate, "Make a new secret; the old one signs for a day too"),
    # The host
    Endpoint("POST", "/api/login", host.login, "Exchange the password for a token and a cookie", body=LoginRequest,
             max_body=MAX_LOGIN_BYTES, answer=Session, told=("Set-Cookie",), problems=(Unauthorized, Throttled),
             open=True),
    Endpoint("POST", "/api/logout", host.logout, "End the session that asks", status=204, media_type=None,
             told=("Set-Cookie",)),
    Endpoint("GET", "/api/presets", host.list_presets, "What can be asked for, with every parameter's range"),
    Endpoint("GET", "/api/stats", host.stats, "Counts, the queue, cancellations, the disk"),
    Endpoint("GET", "/api/events", host.events, "What happens, as Server-Sent Events", media_type=SSE,
             query=EventQuery, sends=("Last-Event-ID",)),
    Endpoint("GET", f"{JOB}/events", host.job_events, "What happens to a job, as Server-Sent Events", media_type=SSE,
             query=EventQuery, sends=("Last-Event-ID",)),
    Endpoint("GET", "/metrics", host.metrics, "The figures for Prometheus", media_type=TEXT),
    Endpoint("GET", "/healthz", host.healthz, "Whether the daemon lives", open=True),
    Endpoint("GET", "/readyz", host.readyz, "Whether it can work", open=True),
    # What describes it
    Endpoint("GET", "/openapi.json", description.openapi, "This description"),
    Endpoint("GET", "/docs", description.docs, "A page made from it", media_type=HTML, told=("ETag",)),
    Endpoint("GET", "/", assets.index, "The web page", media_type=HTML, told=("ETag",), open=True),
    Endpoint("GET", "/web/{asset:path}", assets.asset, "What pages are made with", media_type=ANY,
             told=("ETag",), open=True),
)  # fmt: skip
