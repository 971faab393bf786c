"""What the pages name is there: links, files, tests, commands, make targets; and tables are as the code says."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import click
import msgspec
import pytest
from test_architecture import BUILT_ON
from test_readme import shown

from daemon.cli.main import main, serve
from daemon.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
TESTS = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
FACTORS = {"a day": 86_400, "7 days": 604_800, "a million": 1_000_000}
UNITS = {"": 1, " GiB": 1024**3, " MiB": 1024**2}


def anchors(page: Path) -> set[str]:
    """What a link into the page may name."""
    headings = re.findall(r"^#+ (.*)", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_file_test_and_target_that_is_named_exists(page: Path) -> None:
    named = re.findall(r"`([^`\s]+)`", page.read_text())
    for path in filter(re.compile(r"[\w./-]+/[\w.-]+\.(py|sql|md|sh)").fullmatch, named):
        assert (ROOT / path).exists() or (ROOT / "daemon" / path).exists() or page.parent.joinpath(path).exists(), path
    for test in filter(re.compile(r"test_\w+").fullmatch, named):
        assert f"def {test}(" in TESTS, test
    for target in re.findall(r"`(?:\w+=\w+ )?make ([a-z-]+)", page.read_text()):
        assert target in TARGETS, target


def test_every_page_is_linked_from_the_readme() -> None:
    linked = set(re.findall(r"\]\(([\w/.-]+\.md)\)", PAGES[0].read_text()))
    assert linked >= set(NAMES) - {"README.md"}


def test_the_readme_is_short() -> None:
    assert len(PAGES[0].read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_is_one_that_exists_with_its_options(page: Path) -> None:
    for name, *arguments in shown(page.read_text()):
        command = main.commands[name]
        placed = [argument.replace("*.mov", "README.md") for argument in arguments]
        command.make_parser(click.Context(command)).parse_args(placed)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_in_the_text_exists(page: Path) -> None:
    for name in re.findall(r"`ffspool ([a-z]+)", page.read_text()):
        assert name in main.commands, name


def test_the_packages_are_those_that_imports_are_held_by() -> None:
    rows = re.findall(
        r"^\| `(?:daemon/)?([\w*]+)[./].*\| (.*) \|$", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE
    )
    told = {"ground" if name == "*" else name: () if on == "–" else tuple(on.split(", ")) for name, on in rows}
    assert told.pop("web") == ()
    assert told == BUILT_ON


def test_tables_and_the_man_page_are_as_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "docs.reference", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_wheel_brings_the_man_page(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        [page] = [name for name in archive.namelist() if name.endswith("/data/share/man/man1/ffspool.1")]
        assert archive.read(page) == (ROOT / "docs" / "ffspool.1").read_bytes()


def told_defaults() -> list[tuple[str, str]]:
    """(setting, default) of the flags of `serve` that tell theirs as a value."""
    value = re.compile(r"by default (a day|7 days|a million|[\d.]+(?: GiB| MiB)?)\b|By default (\d+)")
    found = [(flag.name, value.search(flag.help or "")) for flag in serve.params if isinstance(flag, click.Option)]
    host_bound = {"slots", "host", "disk_reserve"}
    return [(str(name), match[1] or match[2]) for name, match in found if match and name not in host_bound]


@pytest.mark.parametrize(("setting", "told"), told_defaults())
def test_a_flag_tells_the_default_that_the_setting_has(setting: str, told: str) -> None:
    [default] = [field.default for field in msgspec.structs.fields(Settings) if field.name == setting]
    number, unit = re.fullmatch(r"([\d.]*)(.*)", told).groups()  # type: ignore[union-attr]
    assert default == (FACTORS[told] if told in FACTORS else float(number) * UNITS[unit])


def test_most_flags_tell_their_default() -> None:
    assert len(told_defaults()) >= 20
