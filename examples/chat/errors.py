"""The errors of the chat: what a guest asked for cannot be done; their texts are for the guest."""

from __future__ import annotations

import broker

__all__ = ["BadName", "ChatError", "NoSuchPlace", "NotInRoom", "TooMany"]


@broker.register("chat.ChatError")
class ChatError(broker.Error):
    """The base of the errors here."""


@broker.register("chat.BadName")
class BadName(ChatError):
    """The name of a room or a person has characters that it may not have, or is too long."""


@broker.register("chat.NoSuchPlace")
class NoSuchPlace(ChatError):
    """There is no room or person of that name."""


@broker.register("chat.NotInRoom")
class NotInRoom(ChatError):
    """The guest is not in that room."""


@broker.register("chat.TooMany")
class TooMany(ChatError):
    """A limit has been reached: of rooms, of characters, or of lines in a time."""
