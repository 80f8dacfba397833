"""The items that subscribers of topics get, as they are sent."""

from __future__ import annotations

import enum
from typing import Any

from msgspec import Struct

from broker.history import Position

__all__ = ["Joined", "Left", "Members", "Message", "Reset", "Since"]


class Since(enum.Enum):
    """What a subscriber gets before the messages that come."""

    RETAINED = "retained"
    """The retained value of each topic that matches."""

    ALL = "all"
    """All of the history."""


class Message(Struct, array_like=True, tag=0):
    """One published value.

    Attributes:
        topic: the name it was published under.
        data: the value. It must not be changed, since other subscribers of the process share it.
        position: where it is in the history; None if the engine keeps none.
        by: the avatar id of the publisher; None for the server itself, and for a guest.
        missed: how many messages of this subscription were lost right before this one.
    """

    topic: str
    data: Any
    position: Position | None = None
    by: str | None = None
    missed: int = 0


class Reset(Struct, array_like=True, tag=1):
    """Messages may have been lost: fetch what they told anew.

    Attributes:
        position: from here the messages follow without a gap; None if the engine has no positions.
        retained: the retained values of the topics that match.
    """

    position: Position | None
    retained: list[Message]


class Joined(Struct, array_like=True, tag=0):
    """A member began to subscribe to a pattern.

    Attributes:
        topic: the pattern.
        member: the avatar id.
    """

    topic: str
    member: str


class Left(Struct, array_like=True, tag=1):
    """A member does not subscribe to a pattern any more.

    Attributes:
        topic: the pattern.
        member: the avatar id.
    """

    topic: str
    member: str


class Members(Struct):
    """Who subscribes to a topic.

    Attributes:
        names: the avatar ids, each once, sorted.
        guests: how many subscriptions are of peers without an avatar id.
    """

    names: list[str]
    guests: int
