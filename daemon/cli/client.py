"""Speaks to a running daemon for the CLI: one method for each route, and how the daemon is found."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from daemon import filenames
from daemon.cli import event_stream, own_daemon
from daemon.cli.references import Part, References
from daemon.cli.unreached import distrust, how_to_begin, why
from daemon.cli.uploaded_file import OnBytes, UploadedFile
from daemon.errors import Broken, FfspoolError
from daemon.paths import remove
from daemon.proof import output_folder

Json = dict[str, Any]

CONNECT_TIMEOUT = 5.0
ANSWER_TIMEOUT = 600.0  # a cancel takes two graces, and an upload is fsynced before it is answered
SILENCE = 60.0  # the event stream says every few seconds that it lives; after so long it does not
CHUNK = 1024 * 1024
MOST_BYTES = 256 * 1024**2  # of an answer that is read whole
NO_TOKEN = (
    "the daemon wants a token: set FFSPOOL_TOKEN to the one you were given, or on its host, where FFSPOOL_URL is not "
    "set, name its --state-dir"
)
WRONG_TOKEN = (
    "the daemon does not take this token: it is mistyped, was revoked, or is of another daemon. The daemon's own is in "
    "the file `token` of its state dir; a client's comes from `ffspool tokens add`"
)
OF_JOB = re.compile(r"/api/jobs/([0-9a-f]{16})(?:/|$)")
NO_ROUTE = "Not Found"  # what the daemon says of a path that no route has
UNIX = "unix:"  # begins a URL that is the path of a socket


class NoDaemon(FfspoolError):
    """No daemon answers; the message says how to start or name one."""

    code = "no_daemon"
    title = "No daemon"


class Refused(FfspoolError):
    """The daemon answered with a problem, whose `status`, `code` and detail these are; of that `job`, if of one.

    Which command tells more, `advice` may say.
    """

    def __init__(self, status: int, code: str, detail: str, job: str | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.job = status, code, job
        self.advice: str | None = None


def find(state_dir: Path, url: str | None, token: str | None) -> Client:
    """Returns the daemon named by `url` and `token` or, for what is not given, by the files in its state dir.

    Raises NoDaemon when neither names one.
    """
    address = own_daemon.address(state_dir)
    if url is None and address is None:
        raise NoDaemon(how_to_begin(f"no daemon runs in {state_dir}"))
    base = (url or address or "").rstrip("/")
    if token is None and base == address:  # a token goes to nobody but the daemon that made it
        token = own_daemon.token(state_dir)
    return Client(base, token)


class Client:
    """Speaks to one daemon. Every method raises NoDaemon, Refused or Broken; and Unclear, where it takes a job.

    Jobs, sources and variations are taken as users call them.
    """

    def __init__(self, url: str, token: str | None) -> None:
        packed = {"Accept-Encoding": "identity"}  # what is unpacked here may come to any size
        headers = {**packed, "Authorization": f"Bearer {token}"} if token else packed
        timeout = httpx.Timeout(ANSWER_TIMEOUT, connect=CONNECT_TIMEOUT)
        self._url = url
        self._references = References(self.jobs, self.job)
        try:
            # The environment's proxies are not asked: a daemon is usually on this very host.
            base, socket = ("http://localhost", url.removeprefix(UNIX)) if url.startswith(UNIX) else (url, None)
            # To read the authorities takes longer than most answers, and who speaks in the clear asks none of them.
            transport = httpx.HTTPTransport(uds=socket, verify=base.lower().startswith("https:"))
            self._http = httpx.Client(
                base_url=base, headers=headers, timeout=timeout, trust_env=False, transport=transport
            )
        except httpx.InvalidURL as error:
            raise NoDaemon(how_to_begin(f"{url} is not a URL: {error}")) from error

    def close(self) -> None:
        """Ends its connections; nothing may be asked of it any more."""
        self._http.close()

    # Routes

    def meant(self, job: str) -> str:
        """Returns the identifier of the job that a user calls so, or the word itself where that may be one."""
        return self._references.job(job)

    def ready(self) -> Json:
        return self._json("GET", "/readyz")

    def presets(self) -> list[Json]:
        return list(self._json("GET", "/api/presets")["items"])

    def upload_job(self, files: Sequence[Path], spec: Json, on_bytes: OnBytes) -> Json:
        """Makes a job of files of ours, streamed from disk; `spec` is the job but for its sources."""
        parts = [("files", (path.name, UploadedFile(path, on_bytes))) for path in files]
        return self._json("POST", "/api/jobs", data={"spec": _encoded(spec)}, files=parts)

    def name_job(self, sources: Sequence[Json], spec: Json) -> Json:
        """Makes a job of files that are on the daemon's host already, or behind URLs."""
        return self._json("POST", "/api/jobs", json={"sources": sources, **spec})

    def jobs(self, **query: Any) -> Json:
        """A page of jobs; `query` holds some of `status`, `has`, `id`, `q`, `order`, `limit` and `cursor`."""
        return self._json("GET", "/api/jobs", params=_given(**query))

    def job(self, job: str) -> Json:
        return self._json("GET", self._of(job))

    def cancel(self, job: str, part: Part | None = None, *, keep: bool = False) -> Json:
        return self._json("POST", self._of(job, *self._within(job, part), "cancel"), params={"keep_partial": keep})

    def delete(self, job: str) -> None:
        with self._answer("DELETE", self._of(job)):
            return

    def cancel_all(self, **which: str | None) -> Json:
        return self._json("POST", "/api/jobs/cancel", params=_given(**which))

    def delete_all(self, **which: str | None) -> Json:
        return self._json("DELETE", "/api/jobs", params=_given(**which))

    def fail(self, job: str) -> Json:
        return self._json("POST", self._of(job, "fail"))

    def retry(self, job: str, because: str | None, part: Part | None = None) -> Json:
        return self._json("POST", self._of(job, *self._within(job, part), "retry"), params=_given(because=because))

    def retry_all(self, status: str | None, because: str | None) -> Json:
        return self._json("POST", "/api/jobs/retry", params=_given(status=status, because=because))

    def pause(self, job: str) -> Json:
        return self._json("POST", self._of(job, "pause"))

    def resume(self, job: str) -> Json:
        return self._json("POST", self._of(job, "resume"))

    def edit(self, job: str, changes: Json) -> Json:
        """Changes what is named of `name`, `priority` and `expires_at`. Returns the job."""
        return self._json("PATCH", self._of(job), json=changes)

    def folders(self) -> Json:
        return self._json("GET", "/api/folders")

    def folder_history(self, folder: str, **query: Any) -> Json:
        return self._json("GET", _route("folders", folder, "history"), params=_given(**query))

    def set_folder(self, folder: str, verb: str) -> Json:
        """Has a watched folder `scan`, `pause`, `resume` or `retry`. Returns it."""
        return self._json("POST", _route("folders", folder, verb))

    def undo(self, path: str) -> Json:
        """Puts back the original of the file at that path of the daemon's host. Returns which that is."""
        return self._json("POST", "/api/folders/undo", json={"path": path})

    def hook_runs(self, **query: Any) -> Json:
        """Returns runs of hooks, newest first; `query` may hold `job` and `limit`."""
        return self._json("GET", "/api/hooks/runs", params=_given(**query))

    def queue(self) -> Json:
        return self._json("GET", "/api/queue")

    def set_queue(self, verb: str) -> Json:
        """Has the queue `pause`, `resume` or `drain`."""
        return self._json("POST", f"/api/queue/{verb}")

    def set_slots(self, slots: int | None) -> Json:
        """Changes how many encodes run at once; None: as many as the daemon's setting says."""
        return self._json("PATCH", "/api/queue", json={"slots": slots})

    def stats(self) -> Json:
        return self._json("GET", "/api/stats")

    def deliveries(self, **query: Any) -> Json:
        """Returns webhooks' messages, newest first; `query` may hold `job`, `status`, `limit` and `cursor`."""
        return self._json("GET", "/api/webhooks/deliveries", params=_given(**query))

    def replay(self, delivery: str) -> Json:
        return self._json("POST", _route("webhooks", "deliveries", delivery, "replay"))

    def webhook_secret(self) -> Json:
        return self._json("GET", "/api/webhooks/secret")

    def rotate_webhook_secret(self) -> Json:
        return self._json("POST", "/api/webhooks/secret/rotate")

    def tokens(self) -> Json:
        return self._json("GET", "/api/tokens")

    def add_token(self, name: str, rights: Sequence[str], limits: Json) -> Json:
        return self._json("POST", "/api/tokens", json={"name": name, "rights": rights, **limits})

    def revoke_token(self, name: str) -> None:
        with self._answer("DELETE", _route("tokens", name)):
            return

    def machines(self) -> Json:
        return self._json("GET", "/api/machines")

    def drain_machine(self, name: str) -> Json:
        return self._json("POST", _route("machines", name, "drain"))

    def forget_machine(self, name: str) -> None:
        with self._answer("DELETE", _route("machines", name)):
            return

    def resume_machine(self, name: str) -> Json:
        return self._json("POST", _route("machines", name, "resume"))

    def usage(self, since: str | None, until: str | None, token: str | None) -> Json:
        return self._json("GET", "/api/usage", params=_given(**{"from": since, "to": until, "token": token}))

    def events(self, job: str | None, after: int | None) -> Iterator[event_stream.Event]:
        """Yields one `OPEN` with the id they begin behind, then the events of a job, or of all: those after the id
        `after`, or (None) from now on.

        Ends when the daemon ends the stream, as it does when it stops.
        """
        route = "/api/events" if job is None else self._of(job, "events")
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        timeout = httpx.Timeout(SILENCE, connect=CONNECT_TIMEOUT)
        with self._answer("GET", route, headers=headers, timeout=timeout) as answer:
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                raise self._another_program()
            yield from event_stream.events(answer.iter_raw())

    def log(self, job: str, variation: str) -> Iterator[bytes]:
        with self._answer(
            "GET", self._of(job, "variations", self._references.variation(job, variation), "log")
        ) as answer:
            yield from answer.iter_raw()

    def download(self, job: str, target: Path) -> int:
        """Writes the zip of what is completed so far to `target`. Returns its bytes."""
        return self._fetch(self._of(job, "download"), target)

    def download_variation(self, job: str, variation: str, target: Path, sha256: str | None) -> int:
        """Writes one variation's file to `target`, checked against `sha256` if that is known. Returns its bytes."""
        return self._fetch(
            self._of(job, "variations", self._references.variation(job, variation), "download"), target, sha256
        )

    def download_folder(self, job: str, variation: str, target: Path, sha256: str | None) -> int:
        """Lays out one variation that is a folder at `target`, in place of what was there. Returns its files' bytes.

        Raises Broken, and changes nothing, when what came is not what `sha256` says.
        """
        archive, part = (target.with_name(filenames.beside(target.name, ending)) for ending in (".zip", ".part"))
        remove(part)
        try:
            self._fetch(self._of(job, "variations", self._references.variation(job, variation), "download"), archive)
            size = output_folder.unpack(archive, part, sha256)
        finally:
            archive.unlink(missing_ok=True)
        remove(target)
        part.rename(target)
        return size

    # How they are spoken

    def _of(self, job: str, *segments: str) -> str:
        return _route("jobs", self._references.job(job), *segments)

    def _within(self, job: str, part: Part | None) -> tuple[str, ...]:
        if part is None:
            return ()
        find = self._references.source if part.kind == "source" else self._references.variation
        return f"{part.kind}s", find(job, part.word)

    def _json(self, method: str, route: str, **request: Any) -> Json:
        with self._answer(method, route, **request) as answer:
            try:
                return msgspec.json.decode(_whole(answer), type=Json)
            except msgspec.DecodeError as error:
                raise self._another_program() from error

    def _another_program(self) -> NoDaemon:
        return NoDaemon(f"what answers at {self._url} is not ffspool: check FFSPOOL_URL")

    @contextmanager
    def _answer(self, method: str, route: str, **request: Any) -> Iterator[httpx.Response]:
        try:
            with self._http.stream(method, route, **request) as answer:
                if not answer.is_success:
                    raise _refusal(answer, self._url)
                yield answer
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            if distrusted := distrust(error):
                raise Broken(
                    f"{self._url} shows a certificate that is not trusted: {distrusted}. Once you know that it is the "
                    "daemon's, set SSL_CERT_FILE to a file with it or its authority"
                ) from error
            raise NoDaemon(how_to_begin(f"no daemon answers at {self._url} ({why(error)})")) from error
        except httpx.HTTPError as error:
            words = str(error) or type(error).__name__
            raise Broken(f"the conversation with the daemon at {self._url} broke off: {words}") from error

    def _fetch(self, route: str, target: Path, sha256: str | None = None) -> int:
        part = target.with_name(filenames.beside(target.name, ".part"))
        digest = hashlib.sha256()
        try:
            with self._answer("GET", route) as answer, part.open("wb") as file:
                for chunk in answer.iter_raw(CHUNK):
                    file.write(chunk)
                    digest.update(chunk)
                size = file.tell()
            if sha256 is not None and digest.hexdigest() != sha256:
                raise Broken(f"{target.name} arrived damaged: its SHA-256 is not the job's. Download it again")
            part.rename(target)
        finally:
            part.unlink(missing_ok=True)
        return size


def _route(*segments: str) -> str:
    for segment in segments:
        if segment in {"", ".", ".."}:  # normalised away, it would leave the route of something larger: all jobs
            raise Refused(404, "not_found", f"{segment!r} is not the identifier of anything")
    return "/api/" + "/".join(quote(segment, safe="") for segment in segments)


def _given(**query: Any) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _encoded(spec: Mapping[str, Any]) -> str:
    return msgspec.json.encode(spec).decode()


class _Problem(msgspec.Struct):
    code: str = "error"
    title: str = ""
    detail: str = ""


def _whole(answer: httpx.Response) -> bytes:
    """Raises Broken for one that does not end: whoever answers may not be ours."""
    read = bytearray()
    for chunk in answer.iter_raw():
        read += chunk
        if len(read) > MOST_BYTES:
            raise Broken(f"the answer has more than {MOST_BYTES // 1024**2} MB, as none of ffspool's has")
    return bytes(read)


def _refusal(answer: httpx.Response, url: str) -> FfspoolError:
    try:
        problem = msgspec.json.decode(_whole(answer), type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem()
    ours = answer.headers.get("content-type", "").startswith("application/problem+json")
    if answer.status_code == 401:
        given = "Authorization" in answer.request.headers
        return Refused(401, "unauthorized", WRONG_TOKEN if given else NO_TOKEN)
    if answer.status_code == 404 and (not ours or problem.detail == NO_ROUTE):
        return NoDaemon(
            f"nothing of ffspool answers at {url}: look at the path of FFSPOOL_URL, which is the daemon's"
            " `root_path`, or none; or this command is newer than it"
        )
    if not ours:
        return Refused(
            answer.status_code,
            "error",
            f"{url} answers with HTTP status {answer.status_code}, and not as ffspool does: see to what stands before "
            "the daemon, or look at FFSPOOL_URL",
        )
    words = problem.detail or problem.title or f"HTTP status {answer.status_code}"
    job = OF_JOB.search(answer.request.url.path)
    return Refused(answer.status_code, problem.code, words, job and job[1])
