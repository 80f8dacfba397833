"""What a transport of Twisted's has not sent yet, as it tells a producer and nobody else.

Theory of operation. A transport of ours tells how much is ``unsent``, and calls ``on_drained`` when
little of it is left. One of Twisted's tells a push producer that it is full, and then that it is
empty; but it does not close while a producer is registered. So one is registered when something is
written, and stays while the transport is full, else until the next turn: over TLS, Twisted passes
small writes on only then. A producer of the application's goes first: it waits for room itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from broker.net.scheduler import Scheduler

__all__ = ["TwistedTransport"]

# More than Twisted's own mark, at which it calls itself full.
FULL = 64 * 1024 + 1


class TwistedTransport:
    """Writes to a transport of Twisted's, and knows whether that is full.

    Args:
        transport: Twisted's.
        scheduler: of the transport's reactor.
        on_drained: called without arguments when nothing is unsent any more, after much was.

    Attributes:
        unsent: more than 64 KiB while the transport is full, else 0.
        held: bytes that may be unsent: those written since the transport was empty.
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
        """Write, and find out whether that has filled the transport."""
        if not self._is_taken and not self._is_registered:
            try:
                self._transport.registerProducer(self, True)
            except RuntimeError:
                # The application has registered one of its own.
                pass
            else:
                self._is_registered = True
                self._scheduler.soon(self._settle)
        if self._is_registered:
            self.held += len(data)
        self._transport.write(data)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let a producer fill the transport, until ``unregisterProducer`` (published)."""
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
        """The connection has gone (published)."""
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
