"""A server for a pair of brokers, and what they have said."""

from __future__ import annotations

from typing import Any

from broker.defer import Deferred
from broker.flavors.referenceable import Root
from jelly.codec import Reader
from jelly.limits import Limits
from jelly.vocabulary import PB_VOCABULARY

__all__ = ["House", "spoken"]


class House(Root):
    """Writes down what is called."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.waiting: list[Deferred[Any]] = []
        self.kept: list[Any] = []

    def remote_echo(self, value: Any = None) -> Any:
        """Return it."""
        self.log.append(value)
        return value

    def remote_wait(self) -> Deferred[Any]:
        """Answer later."""
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def remote_keep(self, value: Any) -> None:
        """Keep a reference."""
        self.kept.append(value)

    def remote_fail(self, kind: int = 0) -> None:
        """Raise."""
        raise ValueError("because")


def spoken(data: bytes) -> list[Any]:
    """The messages of some bytes."""
    reader = Reader(Limits(), PB_VOCABULARY)
    reader.feed(data)
    return reader.read()
