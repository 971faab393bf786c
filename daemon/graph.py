"""What the filters of several pictures have in common is done once, as ffmpeg-python's graph of them.

Nodes of it are equal that do the same to the same: the beginnings that pictures share are one node already, with
more than one use. FFmpeg wants a `split` there. And of what is scaled to several sizes the small ones are made of
larger ones.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import ffmpeg
from ffmpeg.nodes import FilterNode

from daemon.plans import Node, Size

_Place = tuple[Any, Any, Any]  # a node, and which of what comes out of it
LEAST_STEP = 1.3  # by which a picture is larger than one that is made of it: scaling twice must not be seen


def branched(pictures: Sequence[Node]) -> list[Node]:
    """The same pictures, each with a line of its own from the source on."""
    branching = _Branching(pictures)
    return [branching.line(picture) for picture in pictures]


class _Branching:
    def __init__(self, pictures: Sequence[Node]) -> None:
        self._uses = Counter[_Place]()
        self._made: dict[Any, Any] = {}
        self._branches: dict[_Place, Iterator[Node]] = {}
        self._larger = _cascade(pictures)
        seen = set[Any]()
        for picture in pictures:
            self._count(picture, seen)

    def line(self, stream: Node) -> Node:
        """One more use of that stream."""
        place = _place(stream)
        if place not in self._branches:
            self._branches[place] = _copies(self._single(stream), self._uses[place])
        return next(self._branches[place])

    def _count(self, stream: Node, seen: set[Any]) -> None:
        self._uses[_place(stream)] += 1
        if stream.node not in seen:
            seen.add(stream.node)
            for taken in self._taken(stream.node):
                self._count(taken, seen)

    def _taken(self, node: Any) -> list[Node]:
        return [self._larger[node]] if node in self._larger else _taken(node)

    def _single(self, stream: Node) -> Node:
        node = stream.node
        if node not in self._made:
            lines = [self.line(taken) for taken in self._taken(node)]
            self._made[node] = (
                FilterNode(lines, node.name, max_inputs=None, args=node.args, kwargs=node.kwargs) if lines else node
            )
        return self._made[node].stream(stream.label, stream.selector)


def _cascade(pictures: Sequence[Node]) -> dict[Any, Node]:
    """By the `scale` that makes it, which other size of the same picture a size is made of."""
    siblings = defaultdict[_Place, dict[Any, Size]](dict)
    for node in _nodes(pictures):
        if (size := _scaled_to(node)) is not None:
            siblings[_place(*_taken(node))][node] = size
    return {
        node: min(larger, key=lambda other: math.prod(sizes[other])).stream()
        for sizes in siblings.values()
        for node, size in sizes.items()
        if (larger := [other for other in sizes if _is_larger(sizes[other], size)])
    }


def _nodes(streams: Sequence[Node]) -> set[Any]:
    found, left = set[Any](), [stream.node for stream in streams]
    while left:
        node = left.pop()
        if node not in found:
            found.add(node)
            left += [taken.node for taken in _taken(node)]
    return found


def _scaled_to(node: Any) -> Size | None:
    """Pixels, where nothing but the size is asked for."""
    plain = isinstance(node, FilterNode) and node.name == "scale" and len(node.args) == 2 and not node.kwargs
    return tuple(node.args) if plain and all(isinstance(side, int) for side in node.args) else None


def _is_larger(one: Size, other: Size) -> bool:
    return all(mine >= LEAST_STEP * its for mine, its in zip(one, other, strict=True))


def _place(stream: Node) -> _Place:
    return stream.node, stream.label, stream.selector


def _taken(node: Any) -> list[Node]:
    """What goes into it, in order."""
    return [edge.upstream_node.stream(edge.upstream_label, edge.upstream_selector) for edge in node.incoming_edges]


def _copies(stream: Node, count: int) -> Iterator[Node]:
    if count == 1:
        return iter([stream])
    copies = ffmpeg.filter_multi_output(stream, "split", count)
    return iter([copies[number] for number in range(count)])
