"""The subscriptions of one process to one pattern."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable

from broker.errors import EncodeError
from broker.flavors.subscribers import Subscribers
from broker.topics.items import Message
from broker.topics.mailbox import Mailbox
from broker.traces import log_error

__all__ = ["Group"]

logger = logging.getLogger("broker.topics")


def _key(name: str, args: tuple[object, ...], kw: dict[str, object]) -> Hashable:
    """Return the topic of a message; other events have their own key."""
    return (name, args[0]) if name == "message" else (name,)


class Group:
    """The readers, listeners and callbacks of one pattern.

    Attributes:
        pattern: the pattern.
        mailboxes: the readers.
        listeners: references of peers, which are called one way.
        callbacks: functions of this process.
    """

    __slots__ = ("callbacks", "listeners", "mailboxes", "pattern")

    def __init__(self, pattern: str):
        self.pattern = pattern
        self.mailboxes: dict[Mailbox, None] = {}
        self.listeners = Subscribers(key=_key)
        self.callbacks: dict[object, Callable[[Message], object]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether there are no subscriptions."""
        return not (self.mailboxes or self.callbacks or len(self.listeners))

    def push(self, message: Message) -> None:
        """Tell all of a message."""
        for mailbox in list(self.mailboxes):
            mailbox.push(message)
        for callback in list(self.callbacks.values()):
            try:
                callback(message)
            except Exception as error:  # noqa: BLE001 - the other subscribers get the message
                log_error(logger, f"a subscriber of '{self.pattern}' has failed", error)
        if len(self.listeners):
            self._send("message", message.topic, message.data, message.position, message.by)

    def lose(self, number: int) -> None:
        """Tell all of messages that were lost."""
        for mailbox in self.mailboxes:
            mailbox.lose(number)
        if len(self.listeners):
            self._send("missed", number)

    def reset(self) -> None:
        """Tell all that messages may have been lost."""
        for mailbox in list(self.mailboxes):
            mailbox.reset()
        if len(self.listeners):
            self._send("reset")

    def _send(self, name: str, *args: object) -> None:
        position = args[2] if name == "message" else None
        if position is not None:
            epoch_and_offset = [position.epoch, position.offset]  # type: ignore[attr-defined]
            args = (*args[:2], epoch_and_offset, *args[3:])
        try:
            self.listeners.send(name, *args)
        except EncodeError as error:
            log_error(logger, f"a message of '{self.pattern}' was not sent", error)
