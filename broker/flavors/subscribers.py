"""Subscribers: the references that an event goes to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from broker.flavors.reference import RemoteReference

__all__ = ["Subscribers"]


class Subscribers:
    """References that are told of events; one whose connection has ended is forgotten.

    ``len()`` tells how many there are.
    """

    def __init__(self) -> None:
        self._references: dict[RemoteReference, None] = {}

    def __len__(self) -> int:
        return len(self._references)

    def __iter__(self) -> Iterator[RemoteReference]:
        return iter(list(self._references))

    def add(self, reference: RemoteReference) -> None:
        """Tell ``reference`` of every event from now on, until its connection ends."""
        if reference not in self._references and not reference.broker.disconnected:
            self._references[reference] = None
            reference.notifyOnDisconnect(self.discard)

    def discard(self, reference: RemoteReference) -> None:
        """Tell ``reference`` nothing more; nothing happens if it was not told."""
        if reference in self._references:
            del self._references[reference]
            if self.discard in reference.disconnectCallbacks:
                reference.dontNotifyOnDisconnect(self.discard)

    def send(self, _name: str, /, *args: Any, **kw: Any) -> None:
        """Call a method of every subscriber one way; a peer that has gone is no error."""
        for reference in list(self._references):
            reference.send(_name, *args, **kw)
