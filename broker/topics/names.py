"""Names of topics and patterns: which pattern matches, covers or overlaps another.

A topic is 1 to 16 tokens of ``A-Z a-z 0-9 _ -``, joined by dots. In a pattern, ``*`` is one token,
and a last ``>`` is one or more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ["Patterns", "covers", "is_pattern", "is_topic", "matches", "overlap"]

T = TypeVar("T")

_TOKEN = r"[A-Za-z0-9_-]{1,64}"  # noqa: S105 - a part of a name
_TOPIC = re.compile(rf"{_TOKEN}(?:\.{_TOKEN}){{0,15}}")
_PATTERN = re.compile(rf"(?:(?:{_TOKEN}|\*)(?:\.(?:{_TOKEN}|\*)){{0,15}}(?P<rest>\.>)?|>)")
_MOST_TOKENS = 16
# Topics whose matches are remembered.
_MOST_KNOWN = 10_000


def is_topic(name: object) -> bool:
    """Return whether a value is the name of a topic."""
    return isinstance(name, str) and _TOPIC.fullmatch(name) is not None


def is_pattern(name: object) -> bool:
    """Return whether a value is a pattern; the name of a topic is one."""
    if not isinstance(name, str) or _PATTERN.fullmatch(name) is None:
        return False
    return name.count(".") < _MOST_TOKENS


def matches(pattern: str, topic: str) -> bool:
    """Return whether a pattern matches a topic."""
    return covers(pattern, topic)


def covers(pattern: str, other: str) -> bool:
    """Return whether a pattern matches each topic that another pattern matches."""
    own, others = pattern.split("."), other.split(".")
    for index, part in enumerate(own):
        if index >= len(others):
            return False
        if part == ">":
            return True
        found = others[index]
        if found == ">" or part not in ("*", found):
            return False
    return len(own) == len(others)


def overlap(pattern: str, other: str) -> bool:
    """Return whether a topic exists that both patterns match."""
    own, others = pattern.split("."), other.split(".")
    for token, found in zip(own, others, strict=False):
        if ">" in (token, found):
            return True
        if "*" not in (token, found) and token != found:
            return False
    return len(own) == len(others)


class _Node(Generic[T]):
    __slots__ = ("children", "value")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] = {}
        self.value: T | None = None


class Patterns(Generic[T]):
    """A value for each of many patterns, which is found by the topics that match."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        self._values: dict[str, T] = {}
        self._known: dict[str, list[T]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[tuple[str, T]]:
        return iter(list(self._values.items()))

    def get(self, pattern: str) -> T | None:
        """Return the value of a pattern, or None."""
        return self._values.get(pattern)

    def put(self, pattern: str, value: T) -> None:
        """Set the value of a pattern."""
        node = self._root
        for token in pattern.split("."):
            node = node.children.setdefault(token, _Node())
        node.value = self._values[pattern] = value
        self._known.clear()

    def remove(self, pattern: str) -> None:
        """Remove a pattern; no effect if it is not there."""
        if self._values.pop(pattern, None) is None:
            return
        self._known.clear()
        path, node = [], self._root
        for token in pattern.split("."):
            path.append((node, token))
            node = node.children[token]
        node.value = None
        for parent, token in reversed(path):
            child = parent.children[token]
            if child.children or child.value is not None:
                break
            del parent.children[token]

    def matching(self, topic: str) -> list[T]:
        """Return the values of the patterns that match a topic; the list must not be changed."""
        found = self._known.get(topic)
        if found is None:
            found = list(self._find(topic))
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[topic] = found
        return found

    def _find(self, topic: str) -> Iterator[T]:
        nodes = [self._root]
        for token in topic.split("."):
            ends = [node.children[">"] for node in nodes if ">" in node.children]
            yield from (end.value for end in ends if end.value is not None)
            nodes = [
                node.children[name]
                for node in nodes
                for name in (token, "*")
                if name in node.children
            ]
        yield from (node.value for node in nodes if node.value is not None)
