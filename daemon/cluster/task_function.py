"""Holds what dask runs on a machine: it only finds the way to the workplace there."""

from __future__ import annotations

from typing import Protocol

HOME = "ffspool"  # the topic of what machines tell


class Place(Protocol):
    """Is where a machine works."""

    async def work(self, message: bytes) -> None: ...


_place: list[Place] = []  # of this process


def topic(machine: str) -> str:
    """Returns the topic of what a machine is asked."""
    return f"{HOME}-{machine}"


def settle(place: Place) -> None:
    """Has tasks come to this place from now on."""
    _place[:] = [place]


async def work(message: bytes) -> None:
    """Runs a task, as JSON, on this machine."""
    await _place[0].work(message)
