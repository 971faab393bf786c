"""`make docs`: writes what the code says already into the pages: tables of settings, presets, routes; and the man page.

A table stands between two comments in its page, `<!-- settings -->` and `<!-- end -->`.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from inspect import cleandoc
from itertools import groupby, pairwise
from pathlib import Path

import msgspec

from daemon import settings
from daemon.api.endpoints import Endpoint
from daemon.api.routes import ENDPOINTS
from daemon.presets.builtin import FOLDER, GROUPS, PRESETS
from daemon.presets.library import Library
from daemon.recipes.catalogue import catalogue
from daemon.settings import Settings
from docs import man

FOLDER_OF_PAGES = Path(__file__).parent
UNITS = (("d", 86400), ("h", 3600), ("min", 60))
SIZES = (("GiB", 1024**3), ("MiB", 1024**2))
ELSEWHERE = {  # defaults that depend on the host
    "state_dir": "`$STATE_DIRECTORY`, else `$XDG_STATE_HOME/ffspool`, else `~/.local/state/ffspool`",
    "slots": "one per core",
}


def settings_table() -> Iterator[str]:
    """Each setting with its default and its docstring."""
    yield "| setting | default | |"
    yield "| --- | --- | --- |"
    words = _docstrings()
    for field in msgspec.structs.fields(Settings):
        default = ELSEWHERE.get(field.name) or _told(field.name, field.default, words[field.name])
        yield f"| `{field.name}` | {default} | {words[field.name]} |"


def _docstrings() -> dict[str, str]:
    """What stands below each field."""
    tree = ast.parse(Path(settings.__file__).read_text())
    [body] = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings"]
    return {
        field.target.id: " ".join(cleandoc(below.value.value).split())
        for field, below in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }


def _told(name: str, default: object, words: str) -> str:
    if default is None or default == ():
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if not isinstance(default, int | float):
        return f"`{default}`"
    units = SIZES if name.endswith(("_bytes", "_memory")) else UNITS if "seconds" in words.lower() else ()
    told = [f"{default / size:g} {unit}" for unit, size in units if default >= size and default % size == 0]
    return f"`{default:.15g}`" + (f" ({told[0]})" if told else "")


def presets_table() -> Iterator[str]:
    """The built-in presets, by group."""
    yield "| preset | makes | | after an interruption |"
    yield "| --- | --- | --- | --- |"
    resumable = {preset["name"] for preset in catalogue(Library()) if preset["resumable"]}
    for group, rows in groupby(PRESETS.values(), key=lambda preset: preset.group):
        yield f"| **{GROUPS[group]}** | | | |"
        for row in rows:
            made = "folder" if row.extension == FOLDER else f".{row.extension}"
            then = "goes on" if row.name in resumable else "begins again"
            yield f"| `{row.name}` | {made} | {row.description} | {then} |"


def routes_table() -> Iterator[str]:
    """Every endpoint by its method and path; those that want no token are marked."""
    yield "| route | does |"
    yield "| --- | --- |"
    for endpoint in ENDPOINTS:
        yield f"| `{endpoint.method} {_path(endpoint)}`{' ¹' if endpoint.open else ''} | {endpoint.summary} |"


def _path(endpoint: Endpoint) -> str:
    return re.sub(r":\w+}", "}", endpoint.path)


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    "settings": settings_table,
    "presets": presets_table,
    "http": routes_table,
}


def filled(page: str, text: str) -> str:
    """The page's text with its table as it is to be."""
    table = "\n".join(TABLES[page]())
    begin, end = f"<!-- {page} -->", "<!-- end -->"
    before, rest = text.split(begin)
    return f"{before}{begin}\n{table}\n{end}{rest.split(end)[1]}"


def pages() -> Iterator[tuple[Path, str]]:
    """Every file that is made here, with the text it is to have."""
    for page in TABLES:
        path = FOLDER_OF_PAGES / f"{page}.md"
        yield path, filled(page, path.read_text())
    yield FOLDER_OF_PAGES / "ffspool.1", man.page()


def main() -> None:
    """Writes what is not as it is to be; with `--check` tells of it instead, by the exit code too."""
    stale = [(path, text) for path, text in pages() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv:
        sys.exit("\n".join(f"{path.name} is not as the code says: make docs" for path, _ in stale) or 0)
    for path, text in stale:
        path.write_text(text)


if __name__ == "__main__":
    main()
