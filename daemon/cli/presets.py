"""Runs `ffspool presets`: lists what can be asked for, in groups, and the parameters of each."""

from __future__ import annotations

from typing import Any

import click

from daemon.cli.options import as_json, load_library, print_json

RESUMABLE = "*"  # marks presets whose films are gone on with after an interruption


@click.command()
@click.argument("name", required=False)
@as_json
def presets(name: str | None, as_json: bool) -> None:
    """List the presets, or the parameters of one. Needs no daemon.

    Your own, from ffspool.toml, are among them.
    """
    from daemon.recipes.catalogue import catalogue

    library = load_library()
    if name is not None:
        library.find(name)
    described = [preset for preset in catalogue(library) if name in (None, preset["name"])]
    if as_json:
        print_json({"items": described} if name is None else described[0])
    elif name is None:
        _list_groups(described)
    else:
        _list_parameters(described[0])


def _list_groups(described: list[dict[str, Any]]) -> None:
    from daemon.cli.terminal import console, row
    from daemon.presets.builtin import GROUPS

    screen = console()
    width = max(len(preset["name"]) for preset in described)
    for group, title in GROUPS.items():
        if members := [preset for preset in described if preset["group"] == group]:
            screen.print(f"{title}:")
            for preset in members:
                screen.print(row(f"  {preset['name']:{width}}", f"{_made(preset):6}", _mark(preset), _purpose(preset)))
            screen.print()
    screen.print(f"{RESUMABLE} goes on where it was after an interruption; the others begin again.")
    screen.print("`ffspool presets NAME` tells what can be set: -p NAME:PARAMETER=VALUE,…")


def _purpose(preset: dict[str, Any]) -> str:
    based = f" (from {preset['base']})" if preset["base"] else ""
    return f"{preset['description']}{based}"


def _mark(preset: dict[str, Any]) -> str:
    return RESUMABLE if preset["resumable"] else " "


def _made(preset: dict[str, Any]) -> str:
    return "folder" if preset["folder"] else f".{preset['extension']}"


def _list_parameters(preset: dict[str, Any]) -> None:
    from daemon.cli.terminal import Column, console, table

    screen = console()
    screen.print(f"{preset['name']}: {_purpose(preset)} ({_made(preset)})")
    interrupted = "goes on where it was" if preset["resumable"] else "begins again"
    screen.print(f"After an interruption it {interrupted}.\n")
    columns = (Column("PARAMETER", 0), Column("VALUES", 1, least=12), Column("DEFAULT", 2), Column("IS", 3, least=16))
    table(screen, columns, [_parameter_row(parameter) for parameter in preset["parameters"]])
    first = preset["parameters"][0]
    screen.print(f"\nFor example: -p {preset['name']}:{first['name']}={_written(first['default'])}")


def _parameter_row(parameter: dict[str, Any]) -> tuple[str, str, str, str]:
    if parameter["choices"]:
        values = ", ".join(map(str, parameter["choices"]))
    elif parameter["minimum"] is not None:
        values = f"{_written(parameter['minimum'])} to {_written(parameter['maximum'])}"
    else:
        values = "true, false" if parameter["type"] == "boolean" else "text"
    return parameter["name"], values, _written(parameter["default"]), parameter["description"]


def _written(value: Any) -> str:
    """Returns it as the command line takes it: `true`, `0.5`, `10000000`."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
