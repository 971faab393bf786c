"""The house rules, held over the syntax trees: who may import whom, and that each power has one owner."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "daemon"
FILES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py"
}

# Each package with those it is built on; what these are built on it may import too. "ground" is what lies in `daemon/`.
BUILT_ON = {
    "ground": (),
    "database": ("ground",),
    "tokens": ("database",),
    "process": ("ground",),
    "presets": ("ground",),
    "media": ("process",),
    "recipes": ("presets", "media"),
    "encode": ("recipes", "process", "media"),
    "cluster": ("encode",),
    "proof": ("recipes", "media", "presets"),
    "scheduling": ("database", "encode", "proof"),
    "delivery": ("database", "proof"),
    "storage": ("scheduling", "delivery"),
    "jobs": ("scheduling", "delivery", "storage"),
    "webhooks": ("jobs", "database"),
    "folders": ("jobs",),
    "housekeeping": ("webhooks",),
    "http": ("database", "tokens"),
    "service": ("housekeeping", "folders", "tokens", "cluster"),
    "api": ("service", "http"),
    "server": ("api",),
    "cli": ("server",),
}
OWNERS = {
    "aiosqlite": {"database"},
    "sqlite3": {"database"},
    "subprocess": {"process"},
    "ffmpeg": {"recipes"},
    "starlette": {"http", "api", "cluster"},
    "prometheus_client": {"scheduling"},
    "uvicorn": {"server", "http", "cluster"},
    "httpx": {"cli", "storage", "webhooks", "cluster"},
    "av": {"media"},
    "obstore": {"storage"},
    "distributed": {"cluster"},
    "dask": {"cluster"},
    "cryptography": {"cluster"},
}

# A docstring that begins so is a fragment, and a public one also that begins so: "Of any age", "Whether it is there".
PREPOSITIONS = frozenset(
    {
        *("After", "Against", "Along", "Among", "As", "At", "Before", "Behind", "Beside", "Between", "Beyond", "By"),
        *("During", "For", "From", "In", "Into", "Of", "Off", "On", "Over", "Since", "Through", "To", "Towards"),
        *("Under", "Until", "Up", "Via", "With", "Within", "Without"),
    }
)
NO_SUBJECT = frozenset({"How", "What", "When", "Where", "Whether", "Which", "Who", "Whose", "Why"})


def package(module: str) -> str:
    """The package a module belongs to; one file may be a package of its own in the table."""
    first, _, rest = module.partition(".")
    return first if rest or first in BUILT_ON else "ground"


@cache
def reach(name: str) -> frozenset[str]:
    """Every package that `name` may import: itself, what it is built on, and so on down."""
    return frozenset({name}).union(*(reach(below) for below in BUILT_ON[name]))


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text())


@cache
def imported(module: str) -> frozenset[str]:
    """Dotted names of everything a file imports, at its top or within functions."""
    found: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)


def ours(module: str) -> set[str]:
    """The modules of `daemon` that one imports."""
    return {name.removeprefix("daemon.") for name in imported(module)} & FILES.keys()


@pytest.mark.parametrize("module", FILES)
def test_a_package_imports_only_what_it_is_built_on(module: str) -> None:
    for other in ours(module):
        assert package(other) in reach(package(module)), f"{module} imports {other}"


def test_kinds_of_output_are_known_to_the_command_alone() -> None:
    kinds = {module for module in FILES if module.startswith("recipes.kinds.")}
    assert {module for module in FILES.keys() - kinds if ours(module) & kinds} == {"recipes.command"}


def test_imports_have_no_cycle() -> None:
    seen: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " → ".join([*trail, module])
        if module not in seen:
            for other in ours(module):
                visit(other, (*trail, module))
            seen.add(module)

    for module in FILES:
        visit(module, ())


def test_no_file_is_two_and_no_function_is() -> None:
    long_files = [module for module, path in FILES.items() if len(path.read_text().splitlines()) > 400]
    functions = [
        (module, node)
        for module in FILES
        for node in ast.walk(tree(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    lines = {f"{module}.{node.name}": (node.end_lineno or 0) - node.lineno + 1 for module, node in functions}
    assert (long_files, [name for name, count in lines.items() if count > 40]) == ([], [])


@pytest.mark.parametrize("module", FILES)
def test_docstrings_are_sentences(module: str) -> None:
    described = {name: text.split()[0] for name, text in _docstrings(module, tree(module))}
    fragments = {name for name, first in described.items() if first in PREPOSITIONS}
    public = {name for name in described if not any(part.startswith("_") for part in name.split("."))}
    assert not fragments | {name for name in public if described[name] in NO_SUBJECT}


def _docstrings(
    name: str, node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
) -> Iterator[tuple[str, str]]:
    if text := ast.get_docstring(node):
        yield name, text
    for inner in node.body:
        if isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _docstrings(f"{name}.{inner.name}", inner)


@pytest.mark.parametrize("power", OWNERS)
def test_each_power_has_one_owner(power: str) -> None:
    users = {package(module) for module in FILES if any(n.split(".")[0] == power for n in imported(module))}
    assert users <= OWNERS[power], f"{power} belongs to {OWNERS[power]}"
    assert users, f"nobody uses {power}: strike it from the list"


def test_the_environment_is_read_in_settings_alone() -> None:
    users = {module for module in FILES for node in ast.walk(tree(module)) if _reads_environment(node)}
    assert users == {"settings"}


def _reads_environment(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"} and _is_os(node.value)


def _is_os(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "os"
