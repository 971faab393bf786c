"""The house rules, held over the syntax trees: imports point down, and each power has one owner."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "daemon"
FILES = sorted(PACKAGE.rglob("*.py"))

LAYERS = [
    {
        "errors",
        "states",
        "stall",
        "models",
        "source_files",
        "demuxers",
        "names",
        "progress",
        "settings",
        "presets",
        "recipes",
    }
    | {"plans", "picture", "sound", "codecs", "film", "soundtrack", "stills", "parameters", "library", "own_presets"}
    | {
        "capped",
        "framed",
        "keeping",
        "ladder",
        "loudness",
        "quality",
        "quality_filter",
        "quality_plot",
        "passthrough",
        "sprites",
        "manifests",
    }
    | {"strictjson", "plaintext"}
    | {"boxes", "demuxing"}
    | {"manifests", "traits", "targeting", "subtitles", "tags", "disk", "costs", "planner", "exposure", "sps", "graph"},
    {"database", "store", "events", "signatures", "targets", "metrics", "paths", "processes", "launch", "media"}
    | {"ownership"}
    | {
        "courier",
        "sandbox",
        "system_calls",
        "privileges",
        "arrivals",
        "workers",
        "frames",
        "covers",
        "durations",
        "strangers",
        "programs",
        "protection",
        "tracks",
        "opening",
        "webp",
        "tiff",
        "ending",
        "bundle",
        "miniature",
        "diagnosis",
    }
    | {"probing"},
    {"cancel", "encoder", "probe", "rehearsal", "publish", "scoring", "proof", "evidence", "runner", "engine"},
    {
        "claims",
        "workshop",
        "settlement",
        "attempt",
        "history",
        "survey",
        "forecast",
        "preview",
        "scheduler",
        "views",
        "sources",
    }
    | {"inventory", "jobs", "uploads", "idempotency", "control", "bulk", "cleanup", "expiry", "lineage", "listing"}
    | {"thumbnails", "quota", "webhooks", "stats", "service"},
    {"api", "app", "places", "connection", "server", "client", "cli"},
]
OWNERS = {
    "aiosqlite": {"store"},
    "sqlite3": {"database", "store"},
    "subprocess": {"processes"},
    "ffmpeg": {"recipes", "stills", "graph"},
    "starlette": {"api", "app"},
    "prometheus_client": {"metrics"},
    "uvicorn": {"server", "connection"},
    "httpx": {"client", "courier"},
    "av": {"media", "opening", "demuxing", "tracks", "probing", "frames", "covers", "durations", "ending", "miniature"},
}


def room(path: Path) -> str:
    """The file's place in the house: `api` for all of api/."""
    return _room(path.relative_to(PACKAGE).parts[0].removesuffix(".py"))


def _room(name: str) -> str:
    return "cli" if name == "terminal" or name.startswith("cli_") else name


def imported(path: Path) -> set[str]:
    """Dotted names of everything a file imports, at its top or within functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def rooms_below(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imported(path) if name.startswith("daemon.")}


def level(name: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if name in names)


@pytest.mark.parametrize("path", [p for p in FILES if p.name != "__init__.py"], ids=lambda p: p.stem)
def test_nothing_imports_upward(path: Path) -> None:
    for other in rooms_below(path):
        assert level(_room(other)) <= level(room(path)), f"{path.name} imports {other}, which lies above it"


def test_imports_have_no_cycle() -> None:
    graph = {path.stem: rooms_below(path) - {path.stem} for path in FILES if path.parent == PACKAGE}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join([*trail, name])
        for other in graph.get(name, ()):
            visit(other, (*trail, name))

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("power", OWNERS)
def test_each_power_has_one_owner(power: str) -> None:
    users = {room(path) for path in FILES if any(n.split(".")[0] == power for n in imported(path))}
    assert users <= OWNERS[power], f"{power} belongs to {OWNERS[power]}"
    assert users, f"nobody uses {power}: strike it from the list"


def test_the_environment_is_read_in_settings_alone() -> None:
    users = {room(path) for path in FILES for node in ast.walk(ast.parse(path.read_text())) if _reads_environment(node)}
    assert users == {"settings"}


def _reads_environment(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"} and _is_os(node.value)


def _is_os(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "os"
