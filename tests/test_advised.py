"""Every refusal of a source or of an output says what to do: read out of the code, so that one that is yet to be
written does, too."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Set
from functools import cache

import pytest
from test_architecture import FILES, tree

from daemon.media.file_signatures import SIGNATURES, named

REFUSALS = {"ProbeError", "UnsuitableSource"}
# Raised of thumbnails, of what ffspool made itself, or of originals that stay as they are: no source is refused there.
OF_OTHERS = {"jobs.thumbnails", "media.still", "media.decode_end", "media.cut", "proof.prove"}
VERBS = (
    "ask|choose|convert|cut|encode|export|fetch|give|join|leave|let|make|open|put|remux|retry|save|see|submit|take|try"
)
TO_DO = re.compile(rf"[:;,.] (?:then )?(?:{VERBS})\b|only who protected it can open it|: unpack it", re.IGNORECASE)
FILLED = "…"


def refusals() -> Iterator[tuple[str, str]]:
    """Where each refusal is raised, and its words; none of those that pass on what others say."""
    yield from _refusals(FILES.keys() - OF_OTHERS, REFUSALS)
    yield from _refusals({module for module in FILES if module.startswith("proof.")}, {"ProofError"})


def _refusals(modules: Set[str], kinds: Set[str]) -> Iterator[tuple[str, str]]:
    for module in sorted(modules):
        known = _constants(module)
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and _name(node.exc.func) in kinds:
                words = _words(node.exc.args[0], known)
                if words != FILLED:
                    yield f"{module}:{node.lineno}", words


@cache  # or each would be walked by all ways in which modules import others, of which there are very many
def _constants(module: str) -> dict[str, ast.expr]:
    known = {}
    for node in tree(module).body:
        if isinstance(node, ast.Assign):
            known[_name(node.targets[0])] = node.value
        elif isinstance(node, ast.ImportFrom) and (node.module or "").removeprefix("daemon.") in FILES:
            known |= _constants((node.module or "").removeprefix("daemon."))
    return known


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _words(node: ast.expr, known: dict[str, ast.expr]) -> str:
    """What it says, with "…" in the place of what is filled in; of two alternatives both."""
    match node:
        case ast.Constant(value=str(said)):
            return said
        case ast.JoinedStr(values=parts):
            return "".join(_words(part, known) for part in parts)
        case ast.FormattedValue(value=part):
            return _words(part, known)
        case ast.BoolOp(values=parts):
            return "".join(_words(part, known) for part in parts)
        case ast.IfExp(body=one, orelse=other):
            return _words(one, known) + _words(other, known)
        case ast.Call(func=ast.Attribute(value=part, attr="format")):
            return _words(part, known)
        case ast.Name(id=name) if name in known:
            return _words(known[name], known)
        case _:
            return FILLED


def test_what_refuses_a_source_or_an_output_says_what_to_do() -> None:
    found = [*refusals()]
    assert found
    assert [f"{where}: {words}" for where, words in found if not TO_DO.search(words)] == []


OTHERS = [b"\0" * 100, b"<!doctype html>", b"Dear diary", *(mark.ljust(100, b"\1") for mark in SIGNATURES)]


@pytest.mark.parametrize("head", OTHERS, ids=lambda head: head[:4].hex())
def test_what_is_no_media_is_named_and_told_what_to_do(head: bytes) -> None:
    assert TO_DO.search(named(head) or "")
