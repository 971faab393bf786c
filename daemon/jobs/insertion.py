"""Makes the rows of a new job, its sources and its variations, within a caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from daemon import filenames
from daemon.callers import Caller
from daemon.database.store import Transaction
from daemon.delivery.apart import known_by
from daemon.errors import Forbidden, InvalidRequest
from daemon.models import Model, Remote, VariationRequest, Wanted, Wish, new_id
from daemon.scheduling.sources import NewSource
from daemon.states import OnUnsuitable


class JobSpec(Model, frozen=True):
    """Says what a job is but for its files: the entries of `variations` and what is said of the job itself."""

    variations: tuple[VariationRequest, ...]
    name: str | None = None
    priority: int = 0
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    expires_in: float | None = None  # seconds kept after the end; None: the daemon's retention
    webhook_url: str | None = None  # told of the job's end
    webhook_variations: bool = False  # and of the end of every variation
    on_unsuitable: OnUnsuitable = OnUnsuitable.FAIL


def check_priority(priority: int, caller: Caller) -> None:
    """Raises Forbidden for more than the caller may ask for."""
    most = caller.limits.max_priority
    if most is not None and priority > most:
        raise Forbidden(f"priority {priority} is more than this token may ask for: {most} is the most")


def check_names(sources: Iterable[NewSource]) -> None:
    """Raises BadName for a name that no file may have."""
    for source in sources:
        filenames.check(source.name)


def insert_job(
    transaction: Transaction, job: str, spec: JobSpec, now: float, retention: float, owner: str | None
) -> int:
    """Makes the job's row and returns its number."""
    row = transaction.one(
        "insert_job",
        id=job,
        name=spec.name,
        priority=spec.priority,
        metadata=msgspec.json.encode(spec.metadata).decode(),
        now=now,
        expires_in=retention if spec.expires_in is None else spec.expires_in,
        on_unsuitable=spec.on_unsuitable,
        owner=owner,
    )
    assert row is not None
    seq = int(row["seq"])
    if spec.webhook_url:
        transaction.run("set_webhook", job=seq, url=spec.webhook_url, variations=int(spec.webhook_variations))
    return seq


def insert_source(
    transaction: Transaction, job: int, identifier: str, source: NewSource, folder: str, boot: str | None
) -> int:
    """Makes a source's row and returns its number."""
    _, device, inode, modified = source.identity
    row = transaction.one(
        "insert_source",
        id=identifier,
        job=job,
        name=source.name,
        folder=folder,
        path=str(source.path) if source.path else None,
        bytes=source.bytes,
        device=device,
        inode=inode,
        modified=modified,
        boot=boot,
        media=msgspec.json.encode(source.media).decode() if source.media else None,
    )
    assert row is not None
    return int(row["seq"])


def insert_fetch(transaction: Transaction, job: int, source: int, remote: Remote, now: float) -> None:
    """Has a source be fetched; what is wanted of it has its rows already, and waits."""
    wanted = msgspec.json.encode(remote).decode()
    told = {"shown": remote.shown, "wanted": wanted, "address": known_by(remote.address)}
    transaction.run("insert_fetch", source=source, job=job, now=now, **told)


def new_variation(name: str, want: Wanted, deliver: str | None, keys: dict[str, int]) -> dict[str, Any]:
    return {
        "id": new_id(),
        "name": name,
        "preset": want.preset,
        "parameters": msgspec.json.encode(want.parameters).decode(),
        "extension": want.extension,
        "deliver": deliver,
        **keys,
    }


def called(sources: Sequence[NewSource], wanted: Sequence[Wanted]) -> tuple[list[str], Sequence[Sequence[str]]]:
    """Returns what the folder of each source is called, and each of its outputs."""
    names = [source.name for source in sources]
    return list(filenames.folders(names)), filenames.outputs(names, [(want.label, want.extension) for want in wanted])


def brought(
    job: Mapping[str, Any],
    wanted: Sequence[Wanted],
    places: Mapping[Wish, str],
    sources: Sequence[NewSource],
) -> Iterator[Mapping[str, Any]]:
    """Yields of each output that is to be delivered what its delivery is worded of."""
    folders, outputs = called(sources, wanted)
    for source, stem, names in zip(sources, folders, outputs, strict=True):
        media = msgspec.json.encode(source.media) if source.media else None
        of = {**job, "source": source.name, "stem": stem, "path": source.path and str(source.path), "media": media}
        for number, (name, want) in enumerate(zip(names, wanted, strict=True)):
            if want.deliver and number not in source.without:
                parameters = msgspec.json.encode(want.parameters).decode()
                output = {"name": name, "preset": want.preset, "parameters": parameters, "extension": want.extension}
                yield {**of, **output, "deliver": places[want.deliver]}


def added_bytes(sources: Iterable[NewSource]) -> int:
    """Returns the bytes of uploads that no row tells of yet."""
    return sum(source.bytes for source in sources if source.upload and not source.resumable)


def resumable(sources: Iterable[NewSource]) -> list[str]:
    """The uploads that come in pieces. Raises InvalidRequest for one that is listed twice."""
    uploads = [source.resumable for source in sources if source.resumable]
    seen = set[str]()
    for upload in uploads:
        if upload in seen:
            raise InvalidRequest(f"the upload {upload} is listed twice: a job takes it once")
        seen.add(upload)
    return uploads
