"""Hides what numbers count: of what is numbered for all, one client shall not see how much there is of others'."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from daemon.models import Model

END = 10**18  # above every number that is hidden: they stay as short as clients may send them
HALF = 30  # bits; both together have as many numbers as END, and few more
MASK = (1 << HALF) - 1
ROUNDS = 6


class Veil(Model, frozen=True):
    """A veil gives each number below END another, by which nobody without the key tells which of two came first.

    It is a Feistel network. Without a key a number stays as it is.
    """

    key: bytes | None = None

    def hide(self, number: int) -> int:
        """Returns what stands for the number."""
        return self._walk(number, range(ROUNDS))

    def reveal(self, hidden: int) -> int:
        """Returns the number that `hide` gave this one for; of one that it never gave, some number."""
        return self._walk(hidden, range(ROUNDS - 1, -1, -1))

    def hide_in(self, cursor: str | None) -> str | None:
        """Returns a list's cursor, which ends with a row's number, with that hidden."""
        return None if cursor is None else self._replaced(cursor, self.hide)

    def reveal_in(self, cursor: str | None) -> str | None:
        """Returns the cursor that `hide_in` made this one of; what is none stays as it is."""
        return None if cursor is None else self._replaced(cursor, self.reveal)

    def _replaced(self, cursor: str, change: Callable[[int], int]) -> str:
        head, dot, number = cursor.rpartition(".")
        if not number.isascii() or not number.isdigit() or int(number[:19]) >= END:
            return cursor
        return f"{head}{dot}{change(int(number))}"

    def _walk(self, number: int, rounds: range) -> int:
        if self.key is None or not 0 <= number < END:
            return number
        while True:  # until one is met that is not above: of a permutation this is one, too
            number = self._permuted(number, rounds)
            if number < END:
                return number

    def _permuted(self, number: int, rounds: range) -> int:
        left, right = number >> HALF, number & MASK
        backwards = rounds.step < 0
        for turn in rounds:
            if backwards:
                left, right = right ^ self._mixed(turn, left), left
            else:
                left, right = right, left ^ self._mixed(turn, right)
        return left << HALF | right

    def _mixed(self, turn: int, half: int) -> int:
        assert self.key is not None
        digest = hmac.digest(self.key, b"%d.%d" % (turn, half), hashlib.sha256)
        return int.from_bytes(digest[:4], "big") & MASK
