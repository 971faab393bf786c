"""Has done once what the filters of several pictures have in common, in ffmpeg-python's graph of them.

Nodes of it are equal that do the same to the same: the beginnings that pictures share are one node already, with more
than one use. FFmpeg wants a `split` there. And of what is scaled to several sizes the small ones are made of larger
ones. Pictures that have no work in common, or are of different pixel formats, get graphs of their own: FFmpeg runs each
on a thread of its own, and the filters of one graph in turn.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ffmpeg
from ffmpeg.nodes import FilterNode

from daemon.recipes.recipe import Node, Size

_Place = tuple[Any, Any, Any]  # a node, and which of what comes out of it
LEAST_STEP = 1.3  # by which a picture is larger than one that is made of it: scaling twice must not be seen

_LABEL = re.compile(r"(?<!\\)\[s(\d+)\]")  # that ffmpeg-python gives to what comes out of a filter


def apart(outputs: Sequence[Sequence[Node]], idle: Callable[[Any], bool]) -> list[list[int]]:
    """Groups the numbers of outputs, in order, such that none has work in common with one of another group.

    Those of different pixel formats share none: FFmpeg would do it in one of these, and the finer would lose what the
    coarser cannot hold. An output is given as its pictures. `idle` tells of a filter that it does nothing to what is
    read.
    """
    alike = defaultdict[Any, list[int]](list)
    for number, pictures in enumerate(outputs):
        formats = {_pixel_format(picture) for picture in pictures}
        alike[number if None in formats else frozenset(formats)].append(number)
    return sorted(group for numbers in alike.values() for group in _in_company(numbers, outputs, idle))


def _in_company(
    numbers: Sequence[int], outputs: Sequence[Sequence[Node]], idle: Callable[[Any], bool]
) -> Iterator[list[int]]:
    larger = _cascade([picture for number in numbers for picture in outputs[number]])
    groups: list[tuple[list[int], set[Any]]] = []
    for number in numbers:
        nodes = _nodes(outputs[number])
        taken = {larger[node].node for node in nodes if node in larger}
        work = {node for node in nodes | taken if isinstance(node, FilterNode) and not idle(node)}
        company = [group for group in groups if group[1] & work]
        groups = [group for group in groups if group not in company]
        members = sorted([number, *(one for group in company for one in group[0])])
        groups.append((members, work.union(*(group[1] for group in company))))
    return (members for members, _ in groups)


def _pixel_format(picture: Node) -> str | None:
    """That it is brought to in the end; None where that is the encoder's choice."""
    node = picture.node
    while isinstance(node, FilterNode):
        if node.name == "format":
            return str(node.args[0])
        node = _taken(node)[0].node
    return None


def merged(parts: Sequence[list[str]]) -> list[str]:
    """Merges command lines, without their program, that read the same one file into one, with a graph for each."""
    [start] = {tuple(part[: part.index("-i") + 2]) for part in parts}
    graphs, outputs = list[str](), list[str]()
    for number, part in enumerate(parts):
        named = f"[p{number}s\\1]" if number else r"[s\1]"
        rest = iter(part[len(start) :])
        for word in rest:
            if word == "-filter_complex":
                graphs += [word, _LABEL.sub(named, next(rest))]
            else:
                outputs += [word, _LABEL.sub(named, next(rest))] if word == "-map" else [word]
    return [*start, *graphs, *outputs]


def branched(pictures: Sequence[Node]) -> list[Node]:
    """Returns the same pictures, each with a line of its own from the source on."""
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
    """Returns, by the `scale` that makes a size, which other size of the same picture it is made of."""
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
