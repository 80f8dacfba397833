"""A room: who is in it, its topic, and the last lines that were said there."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, Protocol

__all__ = ["HISTORY", "Archive", "Hearer", "Line", "Room", "sentence"]

HISTORY = 50
"""How many lines of a room are kept."""


def sentence(who: str, text: str) -> str:
    """Return what somebody has said, or does, as people read it."""
    if text.startswith("/me "):
        return f"* {who} {text.removeprefix('/me ')}"
    return f"<{who}> {text}"


class Line(NamedTuple):
    """Something that was said in a room; ``at`` is in seconds since 1970."""

    at: float
    who: str
    text: str

    def __str__(self) -> str:
        """Return it as people read it."""
        return sentence(self.who, self.text)


class Hearer(Protocol):
    """Somebody in a room."""

    name: str

    def hear(self, event: str, room: str, who: str, text: str = "") -> None: ...


class Archive(Protocol):
    """Keeps what survives a restart; no method blocks or raises."""

    def keep_banner(self, banner: str) -> None: ...
    def keep_topic(self, room: str, topic: str) -> None: ...
    def keep_line(self, room: str, line: Line) -> None: ...
    def forget_room(self, room: str) -> None: ...


class Room:
    """A room: its topic, the guests in it, and the last lines that were said there."""

    def __init__(self, name: str):
        self.name = name
        self.topic = ""
        self.history: deque[Line] = deque(maxlen=HISTORY)
        self._guests: dict[str, Hearer] = {}

    @property
    def names(self) -> list[str]:
        """The names of the guests in the room, in the order in which they came."""
        return list(self._guests)

    def add(self, guest: Hearer) -> None:
        """Let a guest in, and tell everybody, the guest too."""
        self._guests[guest.name] = guest
        self.tell("joined", guest.name)

    def remove(self, guest: Hearer, why: str) -> None:
        """Tell everybody that a guest leaves, the guest too, and let the guest out."""
        self.tell("left", guest.name, why)
        self._guests.pop(guest.name, None)

    def tell(self, event: str, who: str, text: str = "", skip: Hearer | None = None) -> None:
        """Tell everybody in the room of an event, in the order of the events."""
        for guest in list(self._guests.values()):
            if guest is not skip:
                guest.hear(event, self.name, who, text)
