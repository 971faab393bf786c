"""Where a text has not the form it is to have, words say which, and not the pattern that a program compares it with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from daemon.text_forms import WORDS, in_words

HOME = Path(__file__).parents[1] / "daemon"


def shown(pattern: str) -> str:
    """What msgspec says of a text that does not match."""
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert("\n", Annotated[str, msgspec.Meta(pattern=f"(?!){pattern}")])
    return str(refused.value).replace("(?!)", "")


def test_each_pattern_that_a_text_is_held_against_has_words() -> None:
    for pattern, words in WORDS.items():
        assert in_words(f"{shown(pattern)} - at `$.x`") == f"Expected {words} - at `$.x`"


def test_no_pattern_lacks_words() -> None:
    found = 0
    for path in HOME.rglob("*.py"):
        for text in re.findall(r"""(?:\bpattern=|^BUCKET = |^LISTEN = )r?"([^"]+)\"""", path.read_text(), re.MULTILINE):
            assert text in WORDS, f"{path.name} has a pattern without words in text_forms.py"
            found += 1
    assert found >= len(WORDS)
