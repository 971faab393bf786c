"""What the filters of several pictures have in common is done once, as ffmpeg-python's graph of them.

Nodes of it are equal that do the same to the same: the beginnings that pictures share are one node already, with
more than one use. FFmpeg wants a `split` there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import ffmpeg
from ffmpeg.nodes import FilterNode

from daemon.plans import Node

_Place = tuple[Any, Any, Any]  # a node, and which of what comes out of it


def branched(pictures: Sequence[Node]) -> list[Node]:
    """The same pictures, each with a line of its own from the source on."""
    branching = _Branching(pictures)
    return [branching.line(picture) for picture in pictures]


class _Branching:
    def __init__(self, pictures: Sequence[Node]) -> None:
        self._uses = Counter[_Place]()
        self._made: dict[Any, Any] = {}
        self._branches: dict[_Place, Iterator[Node]] = {}
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
            for taken in _taken(stream.node):
                self._count(taken, seen)

    def _single(self, stream: Node) -> Node:
        node = stream.node
        if node not in self._made:
            lines = [self.line(taken) for taken in _taken(node)]
            self._made[node] = (
                FilterNode(lines, node.name, max_inputs=None, args=node.args, kwargs=node.kwargs) if lines else node
            )
        return self._made[node].stream(stream.label, stream.selector)


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
