"""Classes of copies, and what a peer sends back of them."""

from __future__ import annotations

from typing import Any

from broker.core.policy import STRICT
from broker.flavors.copyable import Copyable, RemoteCopy, register
from broker.flavors.referenceable import Root
from support.memory import BrokerPair

__all__ = ["Annotated", "Echo", "attributes", "echoed", "tags", "text"]


@register
class Annotated(Copyable, RemoteCopy):
    """An ordinary class whose annotations are its fields."""

    name: str
    limit: int = 10

    def __init__(self, **state: Any):
        self.__dict__.update(state)


class Echo(Root):
    """Returns what it gets, by copies of its own."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def remote_echo(self, value: Any) -> Any:
        """Keep and return."""
        self.seen.append(value)
        return value


def echoed(value: Any, **policy: Any) -> Any:
    """What comes back of a value, by two connections' worth of copying."""
    return BrokerPair(Echo(), policy=STRICT.but(**policy)).call("echo", value)


def attributes(*pairs: tuple[Any, Any]) -> list[Any]:
    """The expression of a state."""
    return [b"dictionary", *([key, value] for key, value in pairs)]


def text(word: str) -> list[Any]:
    """The expression of a str."""
    return [b"unicode", word.encode()]


def tags(expression: Any) -> list[bytes]:
    """The tags of references in an expression, in the order of the walk."""
    found: list[bytes] = []
    pending = [expression]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            if item and item[0] in (b"reference", b"dereference"):
                found.append(item[0])
            pending.extend(reversed(item))
    return found
