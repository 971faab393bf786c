"""Reads what `ffspool.toml` alone may say: hooks, watched folders, the schedule and buckets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from daemon.errors import StartupError
from daemon.models import Deliver
from daemon.settings import Count, Duration, Positive, config_file, decode_path, from_file, surroundings
from daemon.states import OnUnsuitable
from daemon.unknown_fields import told
from daemon.windows import Hours

BUCKET = r"^(s3|gs|az)://[A-Za-z0-9][A-Za-z0-9._-]*(/[^/?#\s]+)*/?$"  # with a prefix, or without
MOST_PORT = 65535
HOST = re.compile(r"[A-Za-z0-9._-]+|\[?[0-9A-Fa-f]*:[0-9A-Fa-f:.]*\]?")
LISTEN = r"^tls://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}$"
CALLED = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")


class Hook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names a command of the operator's that is run after each delivery; `timeout` is in seconds."""

    command: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    name: str = ""
    timeout: Positive = 60.0

    @property
    def called(self) -> str:
        """Returns its name, by default its program's."""
        return self.name or Path(self.command[0]).name


class When(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Says of which files of a watched folder something is made: those for which all of it holds.

    `larger_than` is in bytes, `older_than` in seconds since the last change. What a file does not tell refuses none.
    """

    codec_not: tuple[str, ...] = ()
    min_bitrate_kbps: Positive | None = None
    min_height: Count | None = None
    container: tuple[str, ...] = ()
    larger_than: Count | None = None
    older_than: Duration = 0.0


class Replace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Says on what terms outputs take the place of the files of a watched folder, and where these are kept meanwhile.

    `min_saving` is a share of the file's bytes; `min_vmaf` 0: nothing is compared. `paranoid`: large files, too, are
    known by all their bytes.
    """

    trash: Path
    min_saving: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.1
    min_vmaf: Annotated[float, msgspec.Meta(ge=0, le=100)] = 93.0
    keep_original_days: Annotated[float, msgspec.Meta(ge=0, le=36_600)] = 14.0
    paranoid: bool = False


class WhileIdle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Says when the host is idle enough to work on: all of it has to hold.

    `load_below` is how many cores other programs keep busy at most; none of `no_user_process` may run, but for what
    ffspool started itself.
    """

    load_below: Positive | None = None
    no_user_process: tuple[str, ...] = ()


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Says when the queue, or a folder's jobs, run: within its windows, and while the host is idle. `outside` of them
    what runs is finished (`drain`) or frozen (`pause`). `timezone` is a name such as `Europe/Berlin`; None: the host's.
    """

    run: tuple[str, ...] = ("Mon-Sun",)
    outside: Literal["drain", "pause"] = "drain"
    timezone: str | None = None
    while_idle: WhileIdle | None = None


Pattern = Annotated[str, msgspec.Meta(pattern=r"^(?!\.{0,2}/)")]


class AnyFolder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names what is watched, wherever it is, and says what is made of the files that come to lie in it."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[^/\x00-\x1f]{1,60}$")]
    variations: Annotated[tuple[dict[str, Any], ...], msgspec.Meta(min_length=1)]
    deliver: Deliver | None = None
    replace: Replace | None = None
    on_success: Literal["leave", "move", "delete"] = "leave"
    move_to: Path | None = None
    recursive: bool = False
    include: tuple[Pattern, ...] = ()
    exclude: tuple[Pattern, ...] = ()
    when: When = When()
    stable_seconds: Duration = 30.0
    scan_every: Positive = 60.0
    priority: Annotated[int, msgspec.Meta(ge=-1000, le=1000)] = 0
    on_unsuitable: OnUnsuitable = OnUnsuitable.SKIP
    schedule: Schedule | None = None
    place: str = ""  # where it is written: the file and the line

    @property
    def is_changed(self) -> bool:
        """Returns whether its files are replaced, moved or deleted."""
        return self.replace is not None or self.on_success != "leave"


class Folder(AnyFolder, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Is a folder on this host."""

    path: Path

    @property
    def aside(self) -> Path | None:
        """Returns where its files are moved to, once others took their places or all is delivered; None: nowhere."""
        return self.replace.trash if self.replace else self.move_to

    @property
    def beginning(self) -> str:
        """Returns what the path of all that is in it begins with, as it stands."""
        return os.path.normpath(self.path).rstrip("/") + "/"


class BucketFolder(AnyFolder, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Is a bucket of the operator's, or what lies below a key of one: its objects are the files."""

    url: Annotated[str, msgspec.Meta(pattern=BUCKET)]

    @property
    def beginning(self) -> str:
        """Returns what the URL of all that is in it begins with."""
        return self.url.rstrip("/") + "/"


class Bucket(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names a bucket, or a part of one, to which results may be brought.

    What opens it is in none of these fields, but in the file `credentials`, by default systemd's `bucket-NAME`; without
    one the store looks for it.
    `cache_control` is said of files and segments, `manifest_cache_control` of what players are given of a ladder.
    """

    url: Annotated[str, msgspec.Meta(pattern=BUCKET)]
    endpoint: Annotated[str, msgspec.Meta(pattern=r"^https?://[^/?#@\s]+(/[^?#@\s]*)?$")] | None = None
    region: str | None = None
    credentials: Path | None = None
    virtual_hosted: bool = False  # the bucket's name is part of the host's, as AWS wants it for new ones
    cache_control: str | None = None
    manifest_cache_control: str | None = "no-cache"
    name: str = ""  # its table's
    place: str = ""  # where it is written: the file and the line

    @property
    def scheme(self) -> str:
        return self.url.partition("://")[0]

    @property
    def beginning(self) -> str:
        """Returns what the URL of all that is in it begins with."""
        return self.url.rstrip("/") + "/"


class Cluster(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Says where machines come to work for this daemon: `listen` is such as `tls://0.0.0.0:8786`, and their files go
    over the port above, or `files_port`. Invitations name these `addresses`, by default the host's.

    At most `local_slots` encodes run on this host; None: as many as the setting `slots` says. A long film is cut into
    pieces of `piece_seconds` or more where machines would else have nothing to do.
    """

    listen: Annotated[str, msgspec.Meta(pattern=LISTEN)]
    files_port: Annotated[int, msgspec.Meta(ge=1, le=MOST_PORT)] | None = None
    addresses: tuple[str, ...] = ()
    local_slots: Annotated[int, msgspec.Meta(ge=0, le=1024)] | None = None
    piece_seconds: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 30.0

    def __post_init__(self) -> None:
        if self.port > MOST_PORT:
            raise ValueError(f"there is no port {self.port}")
        if self.port_of_files > MOST_PORT:
            raise ValueError(f"there is no port {self.port_of_files}, which files go over: name one by `files_port`")
        if self.port and self.port_of_files == self.port:
            raise ValueError("files go over another port than that of `listen`: name one by `files_port`")
        for address in self.addresses:
            if not HOST.fullmatch(address):
                raise ValueError(f"{address!r} in `addresses` is no host's name or address alone, such as box1.lan")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])

    @property
    def port_of_files(self) -> int:
        return self.files_port or (self.port + 1 if self.port else 0)


class Tables(msgspec.Struct, frozen=True, kw_only=True):
    """Holds what `ffspool.toml` alone may say, but for presets."""

    hooks: tuple[Hook, ...] = ()
    folders: tuple[AnyFolder, ...] = ()
    schedule: Schedule | None = None
    buckets: tuple[Bucket, ...] = ()
    cluster: Cluster | None = None


def tables(environ: Mapping[str, str] | None = None) -> Tables:
    """Returns the other tables of `ffspool.toml`. Raises StartupError when one is not valid."""
    found = Tables(
        hooks=hooks(environ),
        folders=folders(environ),
        schedule=schedule(environ),
        buckets=buckets(environ),
        cluster=cluster(environ),
    )
    _refuse_unnamed(found.folders, found.buckets)
    return found


def _refuse_unnamed(folders: Sequence[AnyFolder], buckets: Sequence[Bucket]) -> None:
    """Refuses a folder that is in a bucket which has no table, or whose results are to go to one."""
    for folder in folders:
        for url in _in_buckets(folder):
            if not any(url.startswith(bucket.beginning) for bucket in buckets):
                words = f"{url} is below the url of no bucket: name one in [buckets.NAME]"
                raise StartupError(f"In {folder.place}: {words}")


def _in_buckets(folder: AnyFolder) -> Iterator[str]:
    """The URLs in buckets that it names."""
    if isinstance(folder, BucketFolder):
        yield folder.beginning
    url = folder.deliver.url if folder.deliver else msgspec.UNSET
    if isinstance(url, str) and not url.startswith("http"):
        yield url


def hooks(environ: Mapping[str, str] | None = None) -> tuple[Hook, ...]:
    """Returns the `[[hooks]]` of `ffspool.toml`. Raises StartupError when they are not valid."""
    path = config_file(environ)
    try:
        found = msgspec.convert(from_file(path).get("hooks", []), tuple[Hook, ...])
    except msgspec.ValidationError as error:
        raise StartupError(f"In {path}: hooks are not valid: {told(error, Hook)}") from error
    names = [hook.called for hook in found]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise StartupError(f"In {path}: two hooks are called {repeated}: give each a name of its own")
    if strange := next((hook.command[0] for hook in found if not Path(hook.command[0]).is_absolute()), None):
        raise StartupError(f"In {path}: a hook's command is {strange!r}: name the program by its whole path")
    if missing := next((hook.command[0] for hook in found if not Path(hook.command[0]).exists()), None):
        raise StartupError(f"In {path}: a hook's program {missing} does not exist: correct it, or install it")
    return found


def schedule(environ: Mapping[str, str] | None = None) -> Schedule | None:
    """Returns the table `schedule` of `ffspool.toml`; None without one. Raises StartupError when it is not valid."""
    path = config_file(environ)
    table = from_file(path).get("schedule")
    try:
        found = msgspec.convert(table, Schedule | None)
        if found:
            Hours(found.run, found.timezone)
    except (msgspec.ValidationError, StartupError) as error:
        words = told(error, Schedule) if isinstance(error, msgspec.ValidationError) else error
        place = _place(path, r"\s*\[\s*schedule\s*[\].]")
        raise StartupError(f"In {place}: the schedule is not valid: {words}") from error
    return found


def cluster(environ: Mapping[str, str] | None = None) -> Cluster | None:
    """Returns the table `cluster` of `ffspool.toml`; None without one. Raises StartupError when it is not valid."""
    path = config_file(environ)
    try:
        return msgspec.convert(from_file(path).get("cluster"), Cluster | None)
    except msgspec.ValidationError as error:
        raise StartupError(f"In {path}: the cluster is not valid: {told(error, Cluster)}") from error


def folders(environ: Mapping[str, str] | None = None) -> tuple[AnyFolder, ...]:
    """Returns the `[[folders]]` of `ffspool.toml`. Raises StartupError, with the line, when one is not valid."""
    path = config_file(environ)
    tables = from_file(path).get("folders", [])
    if not isinstance(tables, list):
        raise StartupError(f"In {path}: folders are not valid: begin each with [[folders]]")
    places = _places_of_folders(path, len(tables))
    found = tuple(_folder(table, place) for table, place in zip(tables, places, strict=True))
    names = [folder.name for folder in found]
    if repeated := next((folder for folder in found if names.count(folder.name) > 1), None):
        raise StartupError(f"In {repeated.place}: two folders are called {repeated.name}: give each a name of its own")
    return found


def buckets(environ: Mapping[str, str] | None = None) -> tuple[Bucket, ...]:
    """Returns the `[buckets.NAME]` of `ffspool.toml`. Raises StartupError, with the line, when one is not valid."""
    path = config_file(environ)
    tables = from_file(path).get("buckets", {})
    if not isinstance(tables, dict):
        raise StartupError(f"In {path}: buckets are not valid: begin each with [buckets.NAME]")
    given = surroundings(environ).credentials
    found = tuple(_bucket(name, table, _place_of_bucket(path, name), given) for name, table in tables.items())
    for bucket in found:
        if other := next((one for one in found if one is not bucket and one.beginning == bucket.beginning), None):
            raise StartupError(f"In {bucket.place}: the buckets {bucket.name} and {other.name} have the same url")
    return found


def _place_of_bucket(path: Path, name: str) -> str:
    return _place(path, rf"""\s*\[\s*buckets\s*\.\s*["']?{re.escape(name)}["']?\s*\]""")


def _place(path: Path, begin: str) -> str:
    """Where the table stands that begins like that: by its line, if it is written as most are."""
    lines = path.read_text().splitlines()
    return next((f"{path}, line {number}" for number, line in enumerate(lines, 1) if re.match(begin, line)), str(path))


def _bucket(name: str, table: Any, place: str, given: str | None) -> Bucket:
    """`given` is the folder of what systemd's `LoadCredential=` names."""
    try:
        bucket = msgspec.convert(table, Bucket, dec_hook=decode_path)
    except msgspec.ValidationError as error:
        raise StartupError(f"In {place}: the bucket is not valid: {told(error, Bucket)}") from error
    if not CALLED.fullmatch(name):
        raise StartupError(f"In {place}: {name!r} is no name for a bucket: letters, digits, - and _ make one")
    if bucket.endpoint and bucket.scheme == "gs":
        raise StartupError(f"In {place}: an endpoint is of s3:// and az:// alone")
    if bucket.scheme != "s3" and (bucket.region or bucket.virtual_hosted):
        raise StartupError(f"In {place}: region and virtual_hosted are of s3:// alone")
    path = bucket.credentials or (Path(given, f"bucket-{name}") if given else None)
    there = path if path and (bucket.credentials or path.exists()) else None
    return msgspec.structs.replace(bucket, name=name, place=place, credentials=there)


def _places_of_folders(path: Path, count: int) -> list[str]:
    """Where each of them stands: by its line, unless they are written in another way than most are."""
    lines = path.read_text().splitlines() if count else []
    begin = [number for number, line in enumerate(lines, 1) if re.match(r"\s*\[\[\s*folders\s*\]\]", line)]
    return [f"{path}, line {number}" for number in begin] if len(begin) == count else [str(path)] * count


def _folder(table: Any, place: str) -> AnyFolder:
    sort = BucketFolder if isinstance(table, dict) and "url" in table else Folder
    try:
        found: AnyFolder = msgspec.convert(table, sort, dec_hook=decode_path)
        if found.schedule:
            Hours(found.schedule.run, found.schedule.timezone)
        return msgspec.structs.replace(found, place=place)
    except msgspec.ValidationError as error:
        raise StartupError(f"In {place}: the folder is not valid: {told(error, sort)}") from error
    except StartupError as error:
        raise StartupError(f"In {place}: the folder is not valid: {error}") from error
