"""Takes SIGINT and SIGTERM for a wish to end early."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def signals_to(interrupt: asyncio.Event) -> Iterator[None]:
    """Has the first signal interrupt; later ones change nothing, not even what is said at the end.

    A script's background ignores SIGINT; there it stays ignored.
    """
    loop = asyncio.get_running_loop()
    heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]

    def asked() -> None:
        interrupt.set()
        for number in heeded:
            loop.remove_signal_handler(number)
            signal.signal(number, lambda *_: None)  # not SIG_IGN yet, which children would inherit

    for number in heeded:
        loop.add_signal_handler(number, asked)
    try:
        yield
    finally:
        for number in heeded:
            loop.remove_signal_handler(number)
            if interrupt.is_set():
                signal.signal(number, signal.SIG_IGN)
