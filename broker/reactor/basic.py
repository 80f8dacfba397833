"""Published names of `twisted.protocols.basic`: a file as the producer of a consumer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO

from broker.defer import Deferred
from broker.failure import Failure
from broker.reactor.typed import Consumer

__all__ = ["FileSender"]

Transform = Callable[[bytes], bytes]


class FileSender:
    """Sends a file to a consumer, such as a transport, one piece per request (published).

    Attributes:
        CHUNK_SIZE: bytes in a piece.
        lastSent: the last byte that was sent, as bytes; or empty.
        deferred: the Deferred of the running transfer, or None.
    """

    CHUNK_SIZE = 2**14

    def __init__(self) -> None:
        self.lastSent: bytes | str = ""
        self.deferred: Deferred[bytes | str] | None = None
        self.file: Any = None
        self.consumer: Any = None
        self.transform: Transform | None = None

    def beginFileTransfer(
        self, file: BinaryIO, consumer: Consumer, transform: Transform | None = None
    ) -> Deferred[bytes | str]:
        """Start to send the rest of a file (published).

        Args:
            file: a binary file, which stays open.
            consumer: has `registerProducer`, `write` and `unregisterProducer`.
            transform: called with each piece; its result is sent instead.

        Returns:
            A Deferred that fires with the last byte sent when the consumer has taken all pieces. It
            fails when the consumer closes earlier, or when reading or `transform` raises.
        """
        self.file = file
        self.consumer = consumer
        self.transform = transform
        deferred: Deferred[bytes | str] = Deferred()
        self.deferred = deferred
        consumer.registerProducer(self, False)
        return deferred

    def resumeProducing(self) -> None:
        """Send a piece; after the last one, finish (published)."""
        if self.deferred is None:
            return
        try:
            piece = self.file.read(self.CHUNK_SIZE)
            is_last = not piece
            if self.transform is not None and not is_last:
                piece = self.transform(piece)
        except Exception:  # noqa: BLE001 - the Deferred fails with it
            self.consumer.unregisterProducer()
            self._finish(Failure())
            return
        if is_last:
            self.consumer.unregisterProducer()
            self._finish(self.lastSent)
        else:
            self.consumer.write(piece)
            self.lastSent = piece[-1:]

    def pauseProducing(self) -> None:
        """Do nothing: a piece is sent only on request (published)."""

    def stopProducing(self) -> None:
        """Stop the transfer: the consumer takes no more data (published)."""
        self._finish(Failure(Exception("the consumer has gone before the whole file was sent")))

    def _finish(self, result: bytes | str | Failure) -> None:
        deferred, self.deferred = self.deferred, None
        self.file = None
        if deferred is not None:
            deferred.callback(result)
