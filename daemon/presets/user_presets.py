"""Reads the user's own presets, the `[presets.NAME]` tables of ffspool.toml: a built-in one with other defaults.

[presets.lecture]
base = "h264-720p"
description = "recordings of lectures"
crf = 28
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from daemon.errors import BadParameter, StartupError
from daemon.presets.builtin import PRESETS, Preset
from daemon.presets.library import MAX_NAME, Library, resolve

NAME = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{MAX_NAME - 1}}}")
MAX_DESCRIPTION = 200


def library(path: Path, text: str, tables: Any) -> Library:
    """Returns all presets there are, with those that the table `presets` of the file at `path` defines.

    Raises StartupError that names the file, the line of its `text` and what is wrong there.
    """
    return _OwnPresets(path, text, tables).library()


class _OwnPresets(NamedTuple):
    path: Path
    text: str
    tables: Any

    def library(self) -> Library:
        if not isinstance(self.tables, dict):
            raise self._mistake((), "presets is no table: write [presets.NAME] above the settings of each")
        return Library(self._preset(name, table) for name, table in self.tables.items())

    def _preset(self, name: str, table: Any) -> Preset:
        if not NAME.fullmatch(name):
            words = "a name is at most 40 lower-case letters, digits, - and _, and begins with a letter or digit"
            raise self._mistake((name,), f"the preset {name!r} cannot be called that: {words}")
        if name in PRESETS:
            raise self._mistake((name,), f"there is a built-in preset {name}: choose another name")
        if not isinstance(table, dict):
            raise self._mistake((name,), f"presets.{name} is no table: write [presets.{name}] above its settings")
        base = self._base(name, table)
        overrides = {key: value for key, value in table.items() if key not in {"base", "description"}}
        return Preset(
            name,
            "own",
            base.kind,
            base.encoder,
            base.container,
            base.extension,
            self._description(name, table, base),
            self._defaults(name, base, overrides),
            base.name,
        )

    def _base(self, name: str, table: dict[str, Any]) -> Preset:
        base = table.get("base")
        if base is None:
            raise self._mistake((name,), f"the preset {name} lacks its base: name a built-in preset to begin from")
        if not isinstance(base, str) or base not in PRESETS:
            words = f"its base is {base!r}, which is no built-in preset: there are {', '.join(PRESETS)}"
            raise self._mistake((name, "base"), f"the preset {name}: {words}")
        return PRESETS[base]

    def _description(self, name: str, table: dict[str, Any], base: Preset) -> str:
        words = table.get("description", f"{base.name} with your own settings")
        if not isinstance(words, str) or not 0 < len(words) <= MAX_DESCRIPTION or not words.isprintable():
            expected = f"its description must be one line of text, at most {MAX_DESCRIPTION} characters"
            raise self._mistake((name, "description"), f"the preset {name}: {expected}")
        return words

    def _defaults(self, name: str, base: Preset, overrides: dict[str, Any]) -> Any:
        for key, value in overrides.items():
            try:
                resolve(base, {key: value})
            except BadParameter as error:
                raise self._mistake((name, key), f"the preset {name}: {error}") from error
        return resolve(base, overrides)

    def _mistake(self, place: tuple[str, ...], words: str) -> StartupError:
        return StartupError(f"{self.path}, line {_line(self.text, place)}: {words}")


def _line(text: str, place: tuple[str, ...]) -> int:
    """Where the table of that preset, or that key in it, stands; else the last line that comes before it."""
    best = (0, 1)
    for number, path in _places(text):
        wanted = ("presets", *place)
        shared = next((i for i, (one, other) in enumerate(zip(path, wanted, strict=False)) if one != other), None)
        depth = min(len(path), len(wanted)) if shared is None else shared
        if depth > best[0]:
            best = (depth, number)
    return best[1]


def _places(text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Number and dotted path of each line that heads a table or sets a key, as TOML spells them; inline tables
    count as the line they are on."""
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
            table = _path(header[1])
            yield number, table
        elif key := re.match(r"\s*((?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*=", line):
            yield number, (*table, *_path(key[1]))


def _path(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in re.findall(r"\"[^\"]*\"|'[^']*'|[^.]+", dotted))
