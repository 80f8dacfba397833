"""A room at a PB client: what the server keeps up to date there."""

from __future__ import annotations

import broker

__all__ = ["RoomView"]


@broker.register("chat.Room")
class RoomView(broker.RemoteCache):
    """A room that the client has joined; see `examples.chat.pb_members`.

    Attributes:
        name, topic: of the room.
        names: the people in it.
        history: what was said before the client came: time, speaker and text of each line.
    """

    name: str
    topic: str
    names: list[str]
    history: list[tuple[float, str, str]]

    def observe_joined(self, who: str) -> None:
        """Add somebody who has come."""
        self.names.append(who)

    def observe_left(self, who: str, why: str = "") -> None:
        """Remove somebody who has gone."""
        self.names.remove(who)

    def observe_topic(self, who: str, text: str) -> None:
        """Take the topic that somebody has set."""
        self.topic = text
