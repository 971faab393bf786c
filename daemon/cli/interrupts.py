"""Takes SIGINT, SIGTERM and the loss of the terminal for a wish to end early."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def signals_to(interrupt: asyncio.Event) -> Iterator[None]:
    """Has the first signal interrupt; later ones change nothing, not even what is said at the end.

    A script's background ignores SIGINT, and `nohup` SIGHUP; there it stays ignored. What is said to a terminal that is
    gone is said to nobody.
    """
    loop = asyncio.get_running_loop()
    heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]

    def asked(number: signal.Signals) -> None:
        interrupt.set()
        if number == signal.SIGHUP:
            _say_to_nobody()
        for number in heeded:
            loop.remove_signal_handler(number)
            signal.signal(number, lambda *_: None)  # not SIG_IGN yet, which children would inherit

    for number in heeded:
        loop.add_signal_handler(number, asked, number)
    try:
        yield
    finally:
        for number in heeded:
            loop.remove_signal_handler(number)
            if interrupt.is_set():
                signal.signal(number, signal.SIG_IGN)


def _say_to_nobody() -> None:
    """Has writing to a terminal that was lost not fail: there is still work to be ended."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        if stat.S_ISCHR(os.fstat(stream).st_mode):  # one that is gone does not call itself a terminal any more
            os.dup2(nothing, stream)
    os.close(nothing)
