"""Patterns mean what who writes them means: above all, what is left out is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.config_tables import folders
from daemon.errors import StartupError
from daemon.meant_files import is_meant


@pytest.mark.parametrize(
    ("pattern", "path", "left_out"),
    [
        ("Kids", "Kids/film.mkv", True),
        ("Kids/", "Kids/one/film.mkv", True),
        ("Kids/*", "Kids/one/film.mkv", True),
        ("Kids", "series/Kids/film.mkv", True),
        ("series/Kids", "series/Kids/film.mkv", True),
        ("series/K*", "series/Kids/film.mkv", True),
        ("Kids", "Kids and others/film.mkv", False),
        ("Kids/*", "series/Kids/film.mkv", False),
        ("Films [4K]/*", "Films [4K]/film.mkv", True),
        ("Films [4K]", "Films [4K]/film.mkv", True),
        ("**/extras/*", "extras/film.mkv", True),
        ("**/extras", "a/b/extras/film.mkv", True),
        ("[ab]*.mkv", "b.mkv", True),
        ("[ab]*.mkv", "c.mkv", False),
        ("*.avi", "film.avi.mkv", False),
    ],
)
def test_a_folder_is_left_out_with_all_that_is_in_it_and_brackets_may_be_of_its_name(
    pattern: str, path: str, left_out: bool
) -> None:
    assert is_meant(path, (), ("other", pattern)) is not left_out


@pytest.mark.parametrize("pattern", ["/srv/films/Kids/*", "./Kids/*", "../Kids/*"])
@pytest.mark.parametrize("which", ["include", "exclude"])
def test_a_pattern_that_is_of_no_path_within_the_folder_is_refused_at_the_start(
    tmp_path: Path, which: str, pattern: str
) -> None:
    """It would mean nothing, and what it was to leave out would be replaced."""
    config = tmp_path / "ffspool.toml"
    config.write_text(f'[[folders]]\nname = "x"\npath = "/srv/films"\nvariations = [{{}}]\n{which} = ["{pattern}"]\n')
    with pytest.raises(StartupError, match=r"line 1: .*Expected a pattern of names, or of paths within the folder"):
        folders({"FFSPOOL_CONFIG": str(config)})


def test_brackets_may_be_of_the_name_of_what_is_included() -> None:
    assert is_meant("Films [4K]/film.mkv", ("Films [4K]/*",))
    assert not is_meant("Films [4K]/film.mkv", ("Films",))
