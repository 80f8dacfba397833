"""Adapts a transport of Twisted: how many written bytes it has not sent yet.

Theory of operation. A `StreamTransport` has ``unsent``, and calls ``on_drained`` when few bytes are
unsent. A transport of Twisted tells only a push producer that it is full and, later, that it is
empty. But it does not close while a producer is registered. So this module registers one at a write
and keeps it while the transport is full, otherwise until the next turn of the loop: over TLS,
Twisted passes small writes on only then. A producer of the application has priority: it waits for
the transport itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from broker.net.scheduler import Scheduler

__all__ = ["TwistedTransport"]

# More than Twisted's own mark, above which it is full.
FULL = 64 * 1024 + 1


class TwistedTransport:
    """Writes to a transport of Twisted, and knows whether it is full.

    Args:
        transport: the transport of Twisted.
        scheduler: the scheduler of its reactor.
        on_drained: called without arguments when all bytes are sent after the transport was full.

    Attributes:
        unsent: more than 64 KiB while the transport is full, else 0.
        held: upper bound of the unsent bytes: those written since the transport was empty.
    """

    def __init__(self, transport: Any, scheduler: Scheduler, on_drained: Callable[[], object]):
        self.unsent = 0
        self.held = 0
        self._transport = transport
        self._scheduler = scheduler
        self._on_drained = on_drained
        self._is_registered = False
        self._is_taken = False

    def write(self, data: bytes) -> None:
        """Write, and find out whether the transport is full now."""
        if not self._is_taken and not self._is_registered:
            try:
                self._transport.registerProducer(self, True)
            except RuntimeError:
                # The application has registered its own producer.
                pass
            else:
                self._is_registered = True
                self._scheduler.soon(self._settle)
        if self._is_registered:
            self.held += len(data)
        self._transport.write(data)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let a producer write to the transport, until ``unregisterProducer`` (published)."""
        was_full = self.unsent
        self._release()
        self._is_taken = True
        if was_full:
            self._scheduler.soon(self._on_drained)
        self._transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """Forget the producer that was registered here (published)."""
        self._is_taken = False
        self._transport.unregisterProducer()

    def pauseProducing(self) -> None:
        """The transport is full (published)."""
        self.unsent = FULL

    def resumeProducing(self) -> None:
        """The transport is empty (published)."""
        self._release()
        self._on_drained()

    def stopProducing(self) -> None:
        """The connection has ended (published)."""
        self._is_registered = False
        self.unsent = self.held = 0

    def _settle(self) -> None:
        if not self.unsent:
            self._release()

    def _release(self) -> None:
        self.unsent = self.held = 0
        if self._is_registered:
            self._is_registered = False
            self._transport.unregisterProducer()
