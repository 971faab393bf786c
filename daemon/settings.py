"""Reads every setting: its default and where it may come from. The environment is read here and nowhere else."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from daemon.errors import StartupError
from daemon.host import cores
from daemon.journal import Format, Level
from daemon.unknown_fields import told

PREFIX = "FFSPOOL_"
ENVIRONMENT = "the environment"
KEYS = ("_TOKEN", "_KEY")  # how names of variables end that hold one

YEARS = 100 * 366 * 24 * 3600.0  # seconds; beyond it a time is no date any more

MAX_SOURCES = 10_000

Positive = Annotated[float, msgspec.Meta(gt=0, le=YEARS)]
Duration = Annotated[float, msgspec.Meta(ge=0, le=YEARS)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Holds the daemon's settings. Strongest first: flags, `FFSPOOL_*` variables, `ffspool.toml`, these defaults."""

    state_dir: Path
    """Holds the database, the spool and the token."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8080
    """Port to listen on; 0 takes a free one, which `address` in the state dir then tells."""
    unix_socket: Path | None = None
    """A socket to listen on instead of host and port, for this user alone."""
    allowed_hosts: tuple[str, ...] = ()
    """Names that clients may ask under besides loopback's and `host`; separated by commas in the environment."""
    root_path: Annotated[str, msgspec.Meta(pattern=r"^(/[A-Za-z0-9._~-]+)*$")] = ""
    """Path below which a proxy has it, such as `/ffspool`, and which the proxy takes away before it asks."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies that are believed who a client is, and whether it came by TLS; separated by
    commas in the environment."""
    max_connections: Count | None = None
    """Most connections at once; None: half of the files this process may open, which is never exceeded."""
    header_timeout: Positive = 15.0
    """Seconds a connection is given for the header of a request, and a client without the token for taking some of an
    answer."""
    stall_timeout: Positive = 600.0
    """Seconds in which a client that has the token may take nothing of an answer, such as a film that is paused."""
    max_queued: Count = 1_000_000
    """Most variations in the queue."""
    max_uploads: Count = 1000
    """Most resumable uploads that no job took yet."""
    max_stored_bytes: Count | None = None
    """Most bytes of uploads, sources, outputs and the database that are stored at once, those on their way included;
    None: as many as the disk holds."""
    password: str | None = None
    """What the login page asks for; None: the token serves as the password."""
    ffmpeg: str | None = None
    """Path or name of the encoder, FFmpeg 6.1 or newer; None: the one bundled with imageio-ffmpeg."""
    slots: Count = msgspec.field(default_factory=cores)
    """Encodes that run at once; by default one per core this process may use. What `ffspool slots N` or the page asks
    of the daemon holds in its place, also after a restart, until it is taken back by `ffspool slots default`."""
    max_shared_seconds: Duration = 120.0
    """Predicted seconds up to which variations of one source share a process, and its decoding; 0: none ever do."""
    resume_from: Duration = 60.0
    """Predicted CPU seconds from which a film is written so that it goes on where it was after an interruption; what
    takes less is begun anew."""
    nice: Annotated[int, msgspec.Meta(ge=0, le=19)] = 5
    """Niceness of the encoders, so that the daemon and the host stay responsive."""
    grace: Positive = 2.0
    """Seconds a process is given after `q`, and again after SIGTERM, before the next stage."""
    hung_after: Positive = 120.0
    """Seconds after which an encoder that does nothing at all is ended and tried once more."""
    retry_delay: Positive = 5.0
    """Seconds before the first retry of what may pass, such as a full disk; the next waits are longer."""
    retention: Duration = 24 * 3600.0
    """Seconds a job is kept after it ended, unless it says otherwise."""
    tombstone: Duration = 7 * 24 * 3600.0
    """Seconds an expired job's links answer 410 rather than 404."""
    sweep_every: Positive = 300.0
    """Seconds between two rounds of sweep, expiry and eviction."""
    max_disk_use: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.85
    """Share of the spool's file system in use above which the oldest ended jobs are evicted."""
    disk_reserve: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Bytes that encodes leave free on the spool's file system; None: 2 % of it, at most 1 GiB."""
    max_upload_bytes: Count = 10 * 1024**3
    """Largest file a request may carry, or a URL may lead to."""
    upload_expiry: Positive = 24 * 3600.0
    """Seconds a resumable upload is kept after its last bytes came, unless a job takes it."""
    max_json_bytes: Count = 8 * 1024**2
    """Largest JSON body or `spec` field."""
    max_sources: Annotated[int, msgspec.Meta(ge=1, le=MAX_SOURCES)] = 1000
    """Most files in one job."""
    sandbox: Literal["require", "auto", "off"] = "auto"
    """Whether encoders and the reading of media are shut in. `auto` says so when this host cannot; `require` then
    refuses to start."""
    sandbox_read: tuple[Path, ...] = ()
    """More files and folders that the encoder reads in its sandbox, such as libraries of its own; separated by `:` in
    the environment."""
    max_encoder_memory: Count = 8 * 1024**3
    """Most bytes of memory of one encoder."""
    max_encode_hours: Positive = 24.0
    """CPU hours after which the kernel ends an encoder, whatever it does."""
    source_roots: tuple[Path, ...] = ()
    """Folders a request's `path` may point into, but for the state dir; separated by `:` in the environment."""
    output_roots: tuple[Path, ...] = ()
    """Folders below which results may be delivered; none of them in the state dir. Separated by `:` in the
    environment."""
    output_owner: str | None = None
    """Whom what is delivered belongs to, as `USER:GROUP` or `:GROUP`, if the daemon's user may give it away; None: that
    user."""
    delivery_backoff: Positive = 5.0
    """Seconds before a delivery that could not be made is tried again; the next waits are longer, up to 180 times as
    long."""
    delivery_allow_private: bool = False
    """Whether results may be brought to URLs of loopback, private and link-local addresses, and by http. Where buckets
    are the operator says."""
    max_fetches: Count = 4
    """Sources by URL that are fetched at once; the jobs that have some take turns."""
    fetch_allow_private: bool = False
    """Whether sources may be fetched from loopback, private and link-local addresses."""
    fetch_ports: tuple[Annotated[int, msgspec.Meta(ge=1, le=65535)], ...] = (80, 443)
    """Ports that sources may be fetched from, and results brought to by URL; separated by commas in the environment."""
    fetch_backoff: Positive = 5.0
    """Seconds before a source that could not be fetched is asked for again; the next waits are longer, up to 180 times
    as long."""
    webhook_allow_private: bool = False
    """Whether webhooks may go to loopback, private and link-local addresses."""
    webhook_backoff: Positive = 5.0
    """Seconds before a webhook that failed is sent again; the next waits are longer, up to 4320 times as long."""
    session_hours: Positive = 24.0
    """How long a login lasts."""
    log_level: Level = "info"
    """The least that is logged. `info` has a line for each job that is accepted, starts and ends, and for each failure,
    delivery and attempt anew."""
    log_format: Format = "text"
    """`text`, or `json` with a line of JSON for each. Under systemd, `text` goes to the journal with its fields, such
    as `FFSPOOL_JOB`."""


class Surroundings(msgspec.Struct, frozen=True):
    """Holds what systemd tells through the environment."""

    notify_socket: str | None
    watchdog_seconds: float | None
    journald: bool = False  # what is logged goes to the journal
    credentials: str | None = None  # the folder of what `LoadCredential=` names


def key_in_environment(beginning: str) -> str | None:
    """Returns the name of a variable that begins so and holds a key, as its end says; None: there is none."""
    return next((name for name in sorted(os.environ) if name.startswith(beginning) and name.endswith(KEYS)), None)


def load(flags: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Settings:
    """Returns the settings in force. `flags` holds what the command line gave (None: not given).

    Raises StartupError naming the setting, where it was set and what is wrong with it.
    """
    env = os.environ if environ is None else environ
    given: dict[str, Any] = {"state_dir": _default_state_dir(env)}
    for origin, values in (
        (str(config_file(env)), _without_tables(from_file(config_file(env)))),
        (ENVIRONMENT, _from_environment(env)),
        ("the command line", {name: value for name, value in flags.items() if value is not None}),
    ):
        _check(values, origin, base=given)
        given |= values
    return _convert(given)


def presets_table(environ: Mapping[str, str] | None = None) -> tuple[Path, str, Any]:
    """Returns where `ffspool.toml` is looked for, its text, and its table `presets` as it stands; empty without one.

    Raises StartupError when it cannot be read.
    """
    path = config_file(environ)
    values = from_file(path)
    return path, path.read_text() if values else "", values.get("presets", {})


def surroundings(environ: Mapping[str, str] | None = None) -> Surroundings:
    """Returns what systemd set for this process: where to report readiness, how often to prove life (seconds)."""
    env = os.environ if environ is None else environ
    micros = env.get("WATCHDOG_USEC") if env.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()) else None
    journald = env.get("JOURNAL_STREAM") == f"{(err := os.fstat(2)).st_dev}:{err.st_ino}"  # and not only inherited
    credentials = env.get("CREDENTIALS_DIRECTORY")
    return Surroundings(env.get("NOTIFY_SOCKET"), int(micros) / 1e6 if micros else None, journald, credentials)


def client_environment(environ: Mapping[str, str] | None = None) -> tuple[str | None, str | None]:
    """Returns `FFSPOOL_URL` and `FFSPOOL_TOKEN`, by which the CLI reaches a daemon elsewhere; None where not set."""
    env = os.environ if environ is None else environ
    return env.get(PREFIX + "URL"), env.get(PREFIX + "TOKEN")


_NOT_SETTINGS = {"url", "token", "config"}
# Of `ffspool.toml`, which are no settings.
TABLES = frozenset({"presets", "hooks", "folders", "schedule", "buckets", "cluster"})


def _from_environment(env: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {
        name.removeprefix(PREFIX).lower(): value for name, value in env.items() if name.startswith(PREFIX) and value
    }
    for several in {"source_roots", "output_roots", "sandbox_read"} & values.keys():
        values[several] = [path for path in values[several].split(os.pathsep) if path]
    for several in {"allowed_hosts", "trusted_proxies", "fetch_ports"} & values.keys():
        values[several] = [one.strip() for one in values[several].split(",") if one.strip()]
    return {name: value for name, value in values.items() if name not in _NOT_SETTINGS}


def config_file(environ: Mapping[str, str] | None = None) -> Path:
    """Returns where `ffspool.toml` is looked for. Raises StartupError when `FFSPOOL_CONFIG` names no file."""
    env = os.environ if environ is None else environ
    if named := env.get(PREFIX + "CONFIG"):
        if not Path(named).exists():
            raise StartupError(f"FFSPOOL_CONFIG names {named}, and there is no such file: correct it, or unset it")
        return Path(named)
    home = Path(env.get("XDG_CONFIG_HOME") or Path(env.get("HOME", "/")) / ".config")
    personal = home / "ffspool.toml"
    return personal if personal.exists() else Path("/etc/ffspool.toml")


def from_file(path: Path) -> dict[str, Any]:
    """Returns what the file says; nothing where there is none. Raises StartupError when it cannot be read."""
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StartupError(f"{path} cannot be read: {error}") from error


def _without_tables(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in TABLES}


def _default_state_dir(env: Mapping[str, str]) -> str:
    if systemd := env.get("STATE_DIRECTORY"):
        return systemd.split(":")[0]
    home = env.get("XDG_STATE_HOME") or Path(env.get("HOME", "/")) / ".local" / "state"
    return str(Path(home) / "ffspool")


def _check(values: Mapping[str, Any], origin: str, base: Mapping[str, Any]) -> None:
    try:
        _convert({**base, **values})
    except StartupError as error:
        field = re.search(r"at `\$\.(\w+)", str(error))
        name = field[1] if field and field[1] in values else None
        called = f"{PREFIX}{name.upper()}" if name and origin == ENVIRONMENT else name
        told = f"{called} is {values[name]!r}, and " if name else ""
        raise StartupError(f"In {origin}: {told}{error}") from error


def decode_path(kind: type[Any], value: Any) -> Any:
    """Returns the absolute path that is written there, as msgspec asks for it."""
    if kind is Path and isinstance(value, str | Path) and str(value):
        return Path(value).expanduser().absolute()
    raise ValueError(f"{value!r} is not a path")


def _convert(values: Mapping[str, Any]) -> Settings:
    try:
        return msgspec.convert(dict(values), Settings, strict=False, dec_hook=decode_path)
    except msgspec.ValidationError as error:
        raise StartupError(f"a setting is not valid: {told(error, Settings)}") from error
