"""Producers of a transport, and when they must pause: the published producer interfaces.

A *push* producer (``streaming``) writes by itself. It is paused when the unsent bytes pass the high
water mark and resumed when they fall below the low one. A *pull* producer writes once for each
``resumeProducing``. It gets that call whenever all bytes are sent.
"""

from __future__ import annotations

from typing import Any, Protocol

from broker.net.scheduler import Scheduler

__all__ = ["Producer", "ProducerSlot"]


class Producer(Protocol):
    """Writes to a transport; a push producer has ``pauseProducing`` too."""

    def resumeProducing(self) -> object:
        """Go on writing. A pull producer writes once."""

    def stopProducing(self) -> object:
        """Stop for good: the transport is closed."""


class Filled(Protocol):
    """A transport that a producer writes to."""

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler of its loop."""

    @property
    def unsent(self) -> int:
        """Bytes that the kernel has not taken yet."""


class ProducerSlot:
    """The one producer of a transport."""

    __slots__ = ("_is_paused", "_producer", "_transport", "is_push")

    def __init__(self, transport: Filled):
        self._transport = transport
        self._producer: Any = None
        self._is_paused = False
        self.is_push = False

    @property
    def is_taken(self) -> bool:
        """Is a producer registered?"""
        return self._producer is not None

    def register(self, producer: Producer, *, is_push: bool) -> None:
        """Register a producer; a pull producer is asked for its first bytes soon.

        Raises:
            RuntimeError: a producer is registered already.
        """
        if self._producer is not None:
            raise RuntimeError(
                f"cannot register {producer!r}: {self._producer!r} was never unregistered"
            )
        self._producer = producer
        self.is_push = is_push
        self._is_paused = False
        if not is_push:
            self._transport.scheduler.soon(self._pull, producer)

    def unregister(self) -> None:
        """Forget the producer, without calling it."""
        self._producer = None

    def pause(self) -> None:
        """Pause a push producer: too much is unsent."""
        if self.is_push and self._producer is not None and not self._is_paused:
            self._is_paused = True
            self._producer.pauseProducing()

    def resume(self) -> None:
        """Let the producer go on: little is unsent."""
        if self._producer is None:
            return
        if not self.is_push:
            self._pull(self._producer)
        elif self._is_paused:
            self._is_paused = False
            self._producer.resumeProducing()

    def stop(self) -> None:
        """Stop the producer for good, and forget it."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()

    def _pull(self, producer: Any) -> None:
        if self._producer is not producer:
            return
        producer.resumeProducing()
        # If the kernel took all bytes at once, no later event asks the producer for more.
        if self._producer is producer and not self._transport.unsent:
            self._transport.scheduler.soon(self._pull, producer)
