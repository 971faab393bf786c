"""Keeps which files of a watched folder are known, in transactions of their callers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from daemon.database.store import Row, Transaction
from daemon.delivery import rows, rules
from daemon.folders import fates
from daemon.folders.scan import Found
from daemon.folders.watched import Key, Watched, key_of
from daemon.jobs.views import JobView


def new(watch: Watched, files: Sequence[Found], transaction: Transaction) -> list[Found]:
    """Returns those of the files that were not taken yet."""
    keys = {key_of(found.identity): found for found in files}
    known = transaction.all("known_files", keys=msgspec.json.encode(list(keys)).decode(), **watch.key)
    for row in known:
        del keys[row["inode"], row["bytes"], row["modified"]]
    return _unnamed(watch, keys, transaction) if keys else []


def _unnamed(watch: Watched, keys: Mapping[Key, Found], transaction: Transaction) -> list[Found]:
    """Those that no known one of the same size and time had the name of: cards number their files anew when put in."""
    names = {(found.path, size, modified): found for (_, size, modified), found in keys.items()}
    same = transaction.all("known_names", names=msgspec.json.encode(list(names)).decode(), **watch.key)
    known = {(row["name"], row["bytes"], row["modified"]) for row in same}
    return [found for name, found in names.items() if name not in known]


def retry(watch: Watched, now: float, transaction: Transaction) -> None:
    """Forgets what is to be looked at anew; has tried again what was made and not delivered, if its job is there."""
    for job in transaction.all("jobs_of_undelivered_files", **watch.key):
        rows.retry({"job": job["seq"], "source": None, "variation": None}, now, transaction)
    transaction.run("forget_failed_files", **watch.key)
    transaction.run("forget_undone_files", **watch.key)
    transaction.run("forget_lost_disk", folder=watch.folder.name, said=fates.UNMARKED)


def is_undone(folder: str, found: Found, transaction: Transaction) -> bool:
    """Tells whether a file was replaced on whatever terms, and put back."""
    inode, size, modified = key_of(found.identity)
    known = {"name": found.path, "inode": inode, "bytes": size, "modified": modified}
    return transaction.one("undone_file", folder=folder, **known) is not None


def adopt(watch: Watched, transaction: Transaction) -> None:
    """Knows what an earlier version took, which told files apart by where their results are brought, too."""
    transaction.run("adopt_files", **watch.key, **watch.earlier)


def keep_own(watch: Watched, own: Iterable[Found], now: float, transaction: Transaction) -> None:
    """Writes which files ffspool made itself."""
    for name, (size, _, inode, modified), _ in own:
        transaction.run("insert_own_file", **watch.key, name=name, inode=inode, bytes=size, modified=modified, now=now)


def take(watch: Watched, found: Found, job: JobView, disk: str | None, now: float, transaction: Transaction) -> None:
    """Writes that a file was taken, and on which disk it lies if it is to go, in the transaction that makes its job."""
    fate = watch.folder.on_success if watch.folder.on_success in fates.OUTCOMES else None
    _insert(watch, found, now, transaction, recipe=watch.recipe, job=job.id, fate=fate, disk=fate and disk)


def refuse(watch: Watched, found: Found, error: str, now: float, transaction: Transaction) -> None:
    """Writes that nothing is made of a file, and why."""
    _insert(watch, found, now, transaction, recipe=_by(watch, error), error=error)


def refuse_fetched(watch: Watched, source: Row, error: str, now: float, transaction: Transaction) -> None:
    """Writes the same of one that was fetched to be read: its job comes to nothing, and is forgotten soon."""
    transaction.run("refuse_taken_file", job=source["job"], recipe=_by(watch, error), error=error)
    transaction.run("forget_at_end", job=source["job"])
    transaction.run("skip_source", source=source["seq"], error=error, now=now)


def _by(watch: Watched, error: str) -> str:
    return watch.ruled if error.startswith(rules.BY_RULE) else watch.recipe


def _insert(watch: Watched, found: Found, now: float, transaction: Transaction, **more: str | None) -> None:
    inode, size, modified = key_of(found.identity)
    known = {"folder": watch.folder.name, "name": found.path, "inode": inode, "bytes": size, "modified": modified}
    failed = transaction.all("forget_away", recipe=watch.recipe, **known)
    returns = max((row["returns"] + 1 for row in failed), default=0)
    nothing = dict.fromkeys(("job", "error", "fate", "disk"))
    transaction.run("insert_watched_file", now=now, returns=returns, **known, **{**nothing, **more})
