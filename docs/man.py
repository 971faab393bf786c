"""The man page, made of click's own commands.

One page for all commands: click-man writes one for each, which would be thirty files to install.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc

import click

from daemon.cli.main import main


def page() -> str:
    """ffspool(1) in roff."""
    context = click.Context(main, info_name="ffspool")
    lines = [
        '.TH FFSPOOL 1 "" ffspool "User Commands"',
        ".SH NAME",
        "ffspool \\- transcodes batches of media files with FFmpeg",
        ".SH SYNOPSIS",
        _plain(_usage(context)),
        ".SH DESCRIPTION",
        *_prose(main),
        ".SH COMMANDS",
        *_below(main, context),
    ]
    return "\n".join(lines) + "\n"


def _below(group: click.Group, context: click.Context) -> Iterator[str]:
    for name, command in group.commands.items():
        inner = click.Context(command, parent=context, info_name=name)
        yield f'.SS "{_plain(_usage(inner))}"'
        yield from _prose(command)
        for parameter in command.get_params(inner):
            if isinstance(parameter, click.Option) and (told := parameter.get_help_record(inner)):
                yield from (".TP", f".B {_plain(told[0])}", _plain(told[1]))
        if isinstance(command, click.Group):
            yield from _below(command, inner)


def _usage(context: click.Context) -> str:
    return f"{context.command_path} {' '.join(context.command.collect_usage_pieces(context))}"


def _prose(command: click.Command) -> Iterator[str]:
    for paragraph in cleandoc(command.help or "").split("\n\n"):
        yield from (".PP", _plain(" ".join(paragraph.split())))


def _plain(words: str) -> str:
    """Words in which nothing is a command of roff, and hyphens can be copied."""
    escaped = words.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
