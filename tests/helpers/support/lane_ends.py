"""Ends of ``fuzz.lane_room`` for the tests of the lane, which count what the lane leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from fuzz.lane_room import Office, Room

from broker.core.policy import STRICT, Policy

__all__ = ["End", "House", "answer", "call", "framed", "send"]


def framed(*fields: Any) -> bytes:
    """Return a frame."""
    body = msgspec.msgpack.encode(fields)
    return len(body).to_bytes(4, "big") + body


def call(number: int, name: str, *args: Any, target: Any = "root") -> bytes:
    """Return the frame of a call."""
    return framed(1, number, target, name, args, {})


def send(name: str, *args: Any) -> bytes:
    """Return the frame of a one-way call."""
    return framed(2, 0, "root", name, args, {})


def answer(number: int, value: Any) -> bytes:
    """Return the frame of an answer."""
    return framed(6 if type(value) is tuple else 5, number, value)


class House(Office):
    """Does what a test says, in a method."""

    todo: Callable[[Room], object]

    def remote_do(self, *args: Any) -> Any:
        """Do it."""
        self._note("do", args)
        return self.todo(self._room)

    async def remote_do_async(self, *args: Any) -> Any:
        """Do it in a coroutine, at once."""
        self._note("begins")
        self.todo(self._room)
        self._note("ends")


class End(Room):
    """An end whose object is known to the lane, and which counts what the lane leaves.

    Attributes:
        general: number of messages that the general path has decoded.
        lane: the lane.
    """

    def __init__(self, form: str, policy: Policy = STRICT, loop: Any = None):
        super().__init__(form, False, policy, loop)
        self.office.__class__ = House
        self.feed(call(1, "nothing"))
        inbox = self.broker.session.inbox
        self.lane: Any = inbox.lane
        self.general = 0
        read = inbox.read

        def counting(data: bytes, messages: Any, most: int) -> bool:
            before = len(messages)
            try:
                return read(data, messages, most)
            finally:
                self.general += len(messages) - before

        inbox.read = counting
        self.run()
        self.sent = b""
        self.log.clear()

    def answers(self) -> list[Any]:
        """Return what was sent since the last time, as fields."""
        data, found = self.sent, []
        self.sent = b""
        while data:
            size = 4 + int.from_bytes(data[:4], "big")
            found.append(msgspec.msgpack.decode(data[4:size]))
            data = data[size:]
        return found

    def do(self, todo: Callable[[Room], object]) -> None:
        """Set what ``remote_do`` does."""
        self.office.todo = todo  # type: ignore[attr-defined]
