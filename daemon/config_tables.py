"""Reads what `ffspool.toml` alone may say: hooks, watched folders and the schedule."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from daemon.errors import StartupError
from daemon.models import Deliver
from daemon.settings import Count, Duration, Positive, config_file, decode_path, from_file
from daemon.windows import Hours


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


class Folder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names a folder that is watched, and what is made of the files that come to lie in it."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[^/\x00-\x1f]{1,60}$")]
    path: Path
    variations: Annotated[tuple[dict[str, Any], ...], msgspec.Meta(min_length=1)]
    deliver: Deliver | None = None
    replace: Replace | None = None
    on_success: Literal["leave", "move", "delete"] = "leave"
    move_to: Path | None = None
    recursive: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    when: When = When()
    stable_seconds: Duration = 30.0
    scan_every: Positive = 60.0
    priority: Annotated[int, msgspec.Meta(ge=-1000, le=1000)] = 0
    schedule: Schedule | None = None
    place: str = ""  # where it is written: the file and the line


class Tables(msgspec.Struct, frozen=True, kw_only=True):
    """Holds what `ffspool.toml` alone may say, but for presets."""

    hooks: tuple[Hook, ...] = ()
    folders: tuple[Folder, ...] = ()
    schedule: Schedule | None = None


def tables(environ: Mapping[str, str] | None = None) -> Tables:
    """Returns the other tables of `ffspool.toml`. Raises StartupError when one is not valid."""
    return Tables(hooks=hooks(environ), folders=folders(environ), schedule=schedule(environ))


def hooks(environ: Mapping[str, str] | None = None) -> tuple[Hook, ...]:
    """Returns the `[[hooks]]` of `ffspool.toml`. Raises StartupError when they are not valid."""
    path = config_file(environ)
    try:
        found = msgspec.convert(from_file(path).get("hooks", []), tuple[Hook, ...])
    except msgspec.ValidationError as error:
        raise StartupError(f"In {path}: hooks are not valid: {error}") from error
    names = [hook.called for hook in found]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise StartupError(f"In {path}: two hooks are called {repeated}: give each a name of its own")
    if strange := next((hook.command[0] for hook in found if not Path(hook.command[0]).is_absolute()), None):
        raise StartupError(f"In {path}: a hook's command is {strange!r}: name the program by its whole path")
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
        raise StartupError(f"In {path}: the schedule is not valid: {error}") from error
    return found


def folders(environ: Mapping[str, str] | None = None) -> tuple[Folder, ...]:
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


def _places_of_folders(path: Path, count: int) -> list[str]:
    """Where each of them stands: by its line, unless they are written in another way than most are."""
    lines = path.read_text().splitlines() if count else []
    begin = [number for number, line in enumerate(lines, 1) if re.match(r"\s*\[\[\s*folders\s*\]\]", line)]
    return [f"{path}, line {number}" for number in begin] if len(begin) == count else [str(path)] * count


def _folder(table: Any, place: str) -> Folder:
    try:
        found = msgspec.convert(table, Folder, dec_hook=decode_path)
        if found.schedule:
            Hours(found.schedule.run, found.schedule.timezone)
        return msgspec.structs.replace(found, place=place)
    except (msgspec.ValidationError, StartupError) as error:
        raise StartupError(f"In {place}: the folder is not valid: {error}") from error
