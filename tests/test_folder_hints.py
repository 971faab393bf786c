"""What the kernel tells of a watched folder has it be scanned soon; scans find the same where nothing is told."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace
from surroundings import need_mounts

from daemon.config_tables import Folder
from daemon.folders import watched
from daemon.folders.hints import Hints
from daemon.folders.scan import Found, Walk
from daemon.folders.watched import Watched
from daemon.source_files import identity_of


def table(path: Path, *, recursive: bool = True) -> Folder:
    return Folder(name="x", path=path, variations=({"preset": "mp3"},), recursive=recursive, exclude=("*-proxy.*",))


def scan(folder: Folder, hints: Hints) -> None:
    walk = Walk(folder, Path("/nowhere"), hints.enter)
    while walk.next(100) is not None:
        pass
    hints.settle()


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    for name in ("within", ".hidden", "gone"):
        (folder / name).mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    return folder


class Heard:
    """Counts hints."""

    def __init__(self, folder: Folder) -> None:
        self.count = 0
        self.hints = Hints(folder, self._tell)

    def _tell(self) -> None:
        self.count += 1

    async def news(self) -> bool:
        """Whether there was any: what the kernel tells is there to be read once what it tells of is done."""
        self.count = 0
        for _ in range(3):
            await asyncio.sleep(0)
        return self.count > 0


@asynccontextmanager
async def listening(folder: Folder) -> AsyncIterator[Heard]:
    heard = Heard(folder)
    with heard.hints.listening():
        scan(folder, heard.hints)
        await heard.news()
        yield heard


def test_of_what_a_scan_would_find_the_kernel_tells_and_of_nothing_else(films: Path) -> None:
    async def main() -> None:
        folder = table(films)
        async with listening(folder) as heard:
            for name in (
                ".film.mp4",
                "film.mp4.part",
                "film-proxy.mp4",
                "film.srt",
                "link/film.mp4",
                ".hidden/film.mp4",
            ):
                (films / name).write_bytes(b"x")
                assert not await heard.news(), name
            with (films / "within" / "film.mp4").open("wb") as file:
                file.write(b"x")
                file.flush()
                assert not await heard.news()
            assert await heard.news(), "that it is whole"
            (films / "film.mp4.part").rename(films / "film.mp4")
            assert await heard.news()
            (films / "new").mkdir()
            assert await heard.news()
            (films / "new" / "film.mp4").write_bytes(b"x")
            assert not await heard.news()
            scan(folder, heard.hints)
            (films / "new" / "film.mp4").write_bytes(b"y")
            assert await heard.news()
            aside = (films / "gone").rename(films.parent / "gone")
            scan(folder, heard.hints)
            (aside / "film.mp4").write_bytes(b"x")
            assert not await heard.news()

    asyncio.run(main())


def test_a_folder_alone_tells_nothing_of_those_in_it(films: Path) -> None:
    async def main() -> None:
        async with listening(table(films, recursive=False)) as heard:
            (films / "new").mkdir()
            (films / "within" / "film.mp4").write_bytes(b"x")
            assert not await heard.news()
            (films / "film.mp4").write_bytes(b"x")
            assert await heard.news()

    asyncio.run(main())


def test_hints_ask_for_a_scan_once_they_settle_never_of_a_paused_folder_and_not_too_often(
    films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "SETTLING", 0.0)

    async def main() -> None:
        watch = Watched(table(films), lambda: 0.0)
        with watch.hints.listening():
            scan(watch.folder, watch.hints)
            watch.paused = True
            (films / "one.mp4").write_bytes(b"x")
            await asyncio.sleep(0.05)
            assert not watch.asked.is_set()
            watch.paused = False
            (films / "one.mp4").write_bytes(b"y")
            await watch.asked.wait()
            watch.asked.clear()
            now = asyncio.get_running_loop().time()
            watch.end(now - 100, now)
            (films / "one.mp4").write_bytes(b"z")
            await asyncio.sleep(0.05)
            assert not watch.asked.is_set()

    asyncio.run(main())


def test_a_scan_comes_again_once_what_it_saw_may_be_stable(films: Path) -> None:
    async def main() -> None:
        watch = Watched(replace(table(films), scan_every=60.0, stable_seconds=5.0), lambda: 0.0)
        (films / "one.mp4").write_bytes(b"x")
        found = Found("one.mp4", identity_of((films / "one.mp4").stat()), 0)
        watch.wait_for([found], {}, now=100.0)
        watch.end(100.0, 100.1)
        assert watch.patience(100.1) == 60, "nothing is heard"
        with watch.hints.listening():
            scan(watch.folder, watch.hints)
            watch.end(100.0, 100.1)
            assert watch.patience(101.1) == pytest.approx(3.9)
            watch.end(100.0, 102.0)
            assert watch.patience(102.0) == pytest.approx(18), "it rests nine times as long as it worked"
            watch.end(107.0, 107.1)
            assert watch.patience(107.1) == 60, "it was looked at, and could not be taken"
            watch.begin()
            assert watch.patience(107.1) == 60, "no scan comes to its end"
            watch.end(100.0, 100.1)
            watch.paused = True
            assert watch.patience(101.1) == 60

    asyncio.run(main())


LIMITED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import asyncio
from test_folder_hints import listening, table

async def main():
    async with listening(table(Path({films!r}))) as heard:
        (Path({films!r}) / "film.mp4").write_bytes(b"x")
        print(await heard.news(), len(heard.hints._ways))

asyncio.run(main())
"""


@pytest.mark.parametrize(("limit", "count", "found"), [("watches", 2, "True 2"), ("instances", 0, "False 0")])
def test_where_the_host_has_no_more_of_it_scans_go_on_as_before(
    films: Path, limit: str, count: int, found: str
) -> None:
    need_mounts()
    program = LIMITED.format(tests=str(Path(__file__).parent), films=str(films))
    script = f'echo {count} > /proc/sys/user/max_inotify_{limit} && exec "$0" -c "$1"'
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", script, sys.executable, program]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == found
