"""The recipes of docs/folders.md, as they stand there but for their paths; that of a library is in test_replacing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Daemon, told, wait_until
from test_folders import QUICK, jobs, scans, toml

from daemon.delivery import disk_mark

Start = Callable[..., Daemon]

DOCS = (Path(__file__).resolve().parents[1] / "docs" / "folders.md").read_text()
INBOX, CARDS = (block.split("```")[0] for block in DOCS.split("## Recipes\n")[1].split("```toml\n")[1:3])


@pytest.fixture
def watching(start_daemon: Start, tmp_path: Path) -> Callable[[str], Daemon]:
    """A daemon by a recipe whose folders lie in this one."""

    def start(recipe: str) -> Daemon:
        config = tmp_path / "ffspool.toml"
        for root in ("/srv", "/media", "/mnt"):
            recipe = recipe.replace(f'"{root}/', f'"{tmp_path}{root}/')
        config.write_text(recipe + "".join(f"{name} = {toml(value)}\n" for name, value in QUICK.items()))
        return start_daemon(FFSPOOL_CONFIG=str(config))

    return start


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_an_inbox_makes_versions_for_the_web_and_is_empty_afterwards(
    watching: Callable[[str], Daemon], clip: Path, tmp_path: Path
) -> None:
    inbox, web = tmp_path / "srv/inbox", tmp_path / "srv/web"
    inbox.mkdir(parents=True)
    web.mkdir()
    shutil.copy(clip, inbox / "film.mov")
    watching(INBOX)
    wait_until(lambda: files(inbox) == {".done/film.mov", disk_mark.NAME}, "the film to be done with")
    assert files(web) == {"film.mp4", "film.jpg"}


@pytest.mark.thorough
def test_cards_of_cameras_go_to_an_archive_once(watching: Callable[[str], Daemon], clip: Path, tmp_path: Path) -> None:
    card, archive = tmp_path / "media/card", tmp_path / "mnt/archive"
    for folder in ("100CANON", "101CANON"):
        (card / "DCIM" / folder).mkdir(parents=True)
        shutil.copy(clip, card / "DCIM" / folder / "MVI_0001.MP4")
    archive.mkdir(parents=True)
    daemon = watching(CARDS)
    wait_until(lambda: len(films(archive)) == 2, "both films")
    assert [name.split(" ", 1)[1] for name in films(archive)] == ["100CANON MVI_0001.mkv", "101CANON MVI_0001.mkv"]
    away = card.rename(tmp_path / "in a pocket")
    card.mkdir()
    scans(daemon)
    card.rmdir()
    shutil.copytree(away, card)  # a FAT numbers its files anew whenever it is mounted
    scans(daemon)
    assert (len(jobs(daemon)), len(films(archive))) == (2, 2)
    daemon.stop()
    told(daemon, "UPDATE watched_files SET outcome = 'failed' WHERE name LIKE '%101CANON%'")  # pulled out too soon
    shutil.rmtree(card)
    shutil.copytree(away, card)
    daemon.start()
    wait_until(lambda: len(jobs(daemon)) == 3, "what failed, now that it is there again")


def films(archive: Path) -> list[str]:
    return sorted(path.name for path in (archive / "camera").glob("[!.]*"))
