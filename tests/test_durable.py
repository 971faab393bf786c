"""What comes of a file is made durable while more comes, and nobody is told of bytes that are not."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from conftest import PATIENCE

from daemon.storage.durable import Durable


def test_more_comes_while_the_disk_writes(tmp_path: Path) -> None:
    told, held = list[int](), threading.Event()

    def tell(size: int) -> None:
        held.wait(PATIENCE)
        told.append(size)

    with (tmp_path / "film").open("wb") as file:
        durable = Durable(file.fileno(), tell)
        durable.go_on(1)
        durable.go_on(2)
        assert told == []
        held.set()
        durable.settle(3)
        assert told == [1, 3]
        durable.wait()


def test_what_a_disk_refuses_is_raised_where_the_file_is_written() -> None:
    told = list[int]()
    ends = os.pipe()  # which no disk takes
    durable = Durable(ends[1], told.append)
    durable.go_on(1)
    durable.wait()
    with pytest.raises(OSError, match="Invalid argument"):
        durable.settle(2)
    assert told == []
    for end in ends:
        os.close(end)


def test_who_is_not_wanted_any_more_hears_so(tmp_path: Path) -> None:
    class Unwanted(Exception):
        pass

    def tell(_: int) -> None:
        raise Unwanted

    with (tmp_path / "film").open("wb") as file:
        durable = Durable(file.fileno(), tell)
        durable.go_on(1)
        durable.wait()
        with pytest.raises(Unwanted):
            durable.go_on(2)  # before more is due
