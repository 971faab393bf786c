"""Holds what the commands share: options, how a preset is written on the command line, settings, JSON."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from daemon.errors import InvalidRequest, StartupError
from daemon.plaintext import json_escaped, visible

if TYPE_CHECKING:
    from daemon.cli.client import Client
    from daemon.config_tables import Tables
    from daemon.presets.library import Library
    from daemon.settings import Settings


F = TypeVar("F", bound=Callable[..., Any])


class PresetType(click.ParamType[dict[str, Any]]):
    """Makes `h264-720p`, or with overrides `h264-720p:crf=20,speed=fast`, an entry of a job's `variations`."""

    name = "preset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        preset, colon, overrides = str(value).partition(":")
        if "," in preset:
            self.fail(f"{value!r} names several presets: repeat -p, as in {_repeated(preset)}", param, ctx)
        entry: dict[str, Any] = {"preset": preset}
        if colon and not overrides.strip(","):
            self.fail(f"{value!r} names no parameter behind the colon: leave that out, or add NAME=VALUE", param, ctx)
        for override in filter(None, overrides.split(",")):
            name, equals, text = override.partition("=")
            if not equals or not name or name in entry:
                several = f"; another preset wants a -p of its own, as in {_repeated(override)}" if not equals else ""
                if not equals and ":" in override:
                    several = f"; did you mean {override.replace(':', '=', 1)}?"
                what = f"takes {name!r} once" if name in entry and name != "preset" else "takes NAME=VALUE"
                if name == "preset":
                    what = "has its preset already, before the colon; how fast it encodes is `speed`"
                self.fail(f"{override!r} in {value!r}: it {what}{several}", param, ctx)
            entry[name] = _typed(preset, name, text)
        return entry

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None) -> str:  # noqa: ARG002
        return "`ffspool presets` lists what there is to choose from"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        preset, colon, overrides = incomplete.partition(":")
        if colon:
            return _parameters(preset, overrides)
        return [
            CompletionItem(preset.name, help=preset.description)
            for preset in load_library()
            if preset.name.startswith(incomplete)
        ]


def _repeated(presets: str) -> str:
    return " ".join(f"-p {preset}" for preset in presets.split(",") if preset)


def _parameters(preset: str, overrides: str) -> list[CompletionItem]:
    """Offers the parameters of a preset behind those that are written already."""
    *written, begun = overrides.split(",")
    before = "".join(f"{one}," for one in written)
    known = [
        one for described in load_library().describe() if described["name"] == preset for one in described["parameters"]
    ]
    return [
        CompletionItem(f"{preset}:{before}{one['name']}=", help=one["description"])
        for one in known
        if one["name"].startswith(begun)
    ]


class JsonObject(click.ParamType[dict[str, Any]]):
    """Takes an object of JSON, as it is written in a request."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        from daemon.strict_json import decode

        try:
            found: dict[str, Any] = decode(value, dict[str, Any], repr(value))
        except InvalidRequest as error:
            self.fail(str(error), param, ctx)
        return found


def refuse_parameters(files: Sequence[Path | str], variations: Sequence[Mapping[str, Any]]) -> None:
    """Refuses a missing file that is called as a parameter of a preset asked for is set: a blank is in the place of a
    colon. Raises UsageError."""
    for file in map(str, files):
        name, equals, _ = file.partition("=")
        if not equals or not name.isidentifier() or os.path.lexists(file):
            continue
        for entry in variations:
            if any(f":{name}=" in item.value for item in _parameters(entry["preset"], name)):
                said = [f"{key}={value}" for key, value in entry.items() if key != "preset"]
                meant = f"-p {entry['preset']}:{','.join([*said, file])}"
                raise click.UsageError(f"there is no file {file}: did you mean {meant}?")


def _typed(preset: str, name: str, text: str) -> Any:
    """A number where it looks like one, unless the preset wants text there: a seed may be all digits."""
    import msgspec

    kinds = {
        parameter["name"]: parameter["type"]
        for described in load_library().describe()
        if described["name"] == preset
        for parameter in described["parameters"]
    }
    if kinds.get(name) == "string":
        return text
    if kinds.get(name) == "boolean" and text in {"true", "false"}:
        return text == "true"
    try:
        return msgspec.json.decode(text, type=int | float)
    except msgspec.DecodeError:
        return text


wanted = click.option(
    "-p",
    "--preset",
    "variations",
    type=PresetType(),
    multiple=True,
    required=True,
    metavar="PRESET[:NAME=VALUE,…]",
    help="What to make of each file; may be repeated. `ffspool presets` lists them.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on stdout.")
state_dir = click.option(
    "--state-dir", type=click.Path(path_type=Path), help="The daemon's state dir, where it is found."
)
status = click.option(
    "--status",
    type=click.Choice(["queued", "processing", "completed", "failed", "cancelled"]),
    help="Only jobs in this state.",
)

has = click.option(
    "--has", type=click.Choice(["failed"]), help="Only jobs of which something failed, however they ended."
)


def on_unsuitable(default: str) -> Callable[[F], F]:
    return click.option(
        "--on-unsuitable",
        type=click.Choice(["fail", "skip"]),
        default=default,
        help=f"What becomes of an output that cannot be made of a file, as the sound of a silent film; here {default}.",
    )


include = click.option(
    "--include", multiple=True, metavar="PATTERN",
    help="Of folders, take files of these names or paths; by default films and sounds. May be repeated.",
)  # fmt: skip
exclude = click.option(
    "--exclude", multiple=True, metavar="PATTERN", help="Of folders, leave these out. May be repeated."
)
name_template = click.option(
    "--name", "template", metavar="TEMPLATE",
    help="What results are called: {stem}_{preset}.{ext} by default; {source}, {folder}, {date}, {height}, {codec} are "
    "known too and, of a daemon's, {job}.",
)  # fmt: skip
overwrite = click.option("--overwrite", is_flag=True, help="Replace files that exist already.")
ffmpeg = click.option("--ffmpeg", metavar="PROGRAM", help="The encoder; by default the bundled one.")
slots = click.option("--slots", metavar="N", help="Encodes at once; by default one per core.")
grace = click.option("--grace", metavar="SECONDS", help="What an encoder is given to end at each stage of a cancel.")


def load_settings(flags: Mapping[str, Any]) -> Settings:
    """Returns the settings in force. One that is not valid is a usage error."""
    from daemon.settings import load

    try:
        return load(flags)
    except StartupError as error:
        raise click.UsageError(str(error)) from error


def load_library() -> Library:
    """Returns the built-in presets and the user's own. One of those that is not valid is a usage error."""
    from daemon.presets.user_presets import library
    from daemon.settings import presets_table

    try:
        return library(*presets_table())
    except StartupError as error:
        raise click.UsageError(str(error)) from error


def load_tables() -> Tables:
    """Returns what else the operator wrote. A table that is not valid is a usage error."""
    from daemon.config_tables import tables

    try:
        return tables()
    except StartupError as error:
        raise click.UsageError(str(error)) from error


def reach(state_dir: Path | None) -> Client:
    """Returns the daemon, until the command ends. Raises NoDaemon when none is known."""
    from daemon.cli.client import find
    from daemon.settings import client_environment

    daemon = find(load_settings({"state_dir": state_dir}).state_dir, *client_environment())
    click.get_current_context().call_on_close(daemon.close)
    return daemon


def echo(words: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Prints words, in which nothing steers the terminal."""
    click.echo(visible(words, over_lines=True), err=err, nl=nl)


def pour(content: bytes) -> None:
    """Writes what a program reads, as it is."""
    click.echo(content, nl=False)


def print_json(value: Any) -> None:
    """Prints JSON in which what would steer a terminal is escaped, beyond what JSON asks for."""
    import msgspec

    click.echo(json_escaped(msgspec.json.format(msgspec.json.encode(value), indent=2).decode()))
