"""A transport whose bytes come and go as messages, by two async functions, such as those of ASGI.

Theory of operation. `MessageTransport.run` has two tasks: one awaits messages and gives them to the
protocol, the other sends what was written. It joins the bytes of one turn of the loop, and sends
them as messages of at most `PIECE` bytes. While reading is paused, no message is awaited, so that
the server in front stops reading too. The peer's address is what the server in front tells.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from broker.errors import ConnectionAborted, ConnectionDone, ConnectionLost
from broker.failure import Failure
from broker.net.filters import Route
from broker.net.log_throttle import LogThrottle
from broker.net.producers import Producer, ProducerSlot
from broker.net.scheduler import LoopScheduler, scheduler_of
from broker.net.transport_port import LINGER_TIME, TransportPort
from broker.net.transports import HIGH_WATER, STALL, StreamProtocol

__all__ = ["PIECE", "MessageTransport", "Receive", "Send"]

PIECE = 64 * 1024
"""Bytes of the longest message that is sent."""

_logger = logging.getLogger("broker.net")

Receive = Callable[[], Awaitable[bytes | None]]
"""Returns the next message, or None at the end."""

Send = Callable[[bytes], Awaitable[object]]


class MessageTransport(TransportPort):
    """One connection over messages.

    Args:
        route: who the peer is.
        has_tls: whether the server in front says that the connection to it is encrypted.
        log_throttle: limits the log records about this connection.

    Attributes:
        scheduler: the scheduler of the running loop.
        unsent: bytes that were written and not sent yet.
        is_closing: further writes are dropped.
        on_drained: called when few bytes are unsent after many were; or None.
    """

    __slots__ = (
        "_has_tls",
        "_is_aborted",
        "_is_full",
        "_log_throttle",
        "_may_read",
        "_pieces",
        "_producers",
        "_reason",
        "_route",
        "_to_send",
        "is_closing",
        "on_drained",
        "reads_ahead",
        "scheduler",
        "unsent",
    )

    scheduler: LoopScheduler
    unsent: int
    is_closing: bool
    reads_ahead: bool
    on_drained: Callable[[], object] | None
    is_unsent_exact = True
    peer_certificate = None

    def __init__(self, route: Route, *, has_tls: bool, log_throttle: LogThrottle | None = None):
        self.scheduler = scheduler_of(asyncio.get_running_loop())
        self.unsent = 0
        self.is_closing = False
        self.reads_ahead = False
        self.on_drained = None
        self._route = route
        self._has_tls = has_tls
        self._log_throttle = LogThrottle(self.scheduler) if log_throttle is None else log_throttle
        self._producers = ProducerSlot(self)
        self._pieces: list[bytes] = []
        self._is_full = False
        self._is_aborted = False
        self._reason: Exception | None = None
        # Set while something is to be done by the task that sends.
        self._to_send = asyncio.Event()
        self._may_read = asyncio.Event()
        self._may_read.set()

    @property
    def peer_address(self) -> Any:
        """The address of the client; None if it is not known."""
        return self._route.address

    @property
    def proxy_address(self) -> Any:
        """The address of the trusted proxy that the connection came through; None if direct."""
        return self._route.proxy

    def getPeer(self) -> Any:
        """Return the address of the client (published)."""
        return self._route.address

    # Bytes out.

    def write(self, data: bytes) -> None:
        """Send ``data`` after earlier writes; drop it once the connection closes."""
        if self.is_closing or not data:
            return
        self._pieces.append(bytes(data))
        self.unsent += len(data)
        self._to_send.set()
        if self.unsent > HIGH_WATER and not self._is_full:
            self._is_full = True
            self._producers.pause()

    @property
    def most_unsent(self) -> int:
        """The same as `unsent`, which is exact."""
        return self.unsent

    def unsent_in_kernel(self) -> int | None:
        """Return None: what carries the messages does not tell it."""
        return None

    def registerProducer(self, producer: Producer, streaming: bool) -> None:
        """Let a producer write to the transport, until `unregisterProducer` (published)."""
        if self.is_closing:
            producer.stopProducing()
            return
        self._producers.register(producer, is_push=streaming)
        if self._is_full:
            self._producers.pause()

    def unregisterProducer(self) -> None:
        """Forget the producer (published)."""
        self._producers.unregister()

    # Bytes in.

    def pause_reading(self) -> None:
        """Await no message until `resume_reading`."""
        self._may_read.clear()

    def resume_reading(self) -> None:
        """Await messages again."""
        self._may_read.set()

    @property
    def is_reading(self) -> bool:
        """Whether messages are awaited."""
        return self._may_read.is_set() and not self.is_closing

    # The end.

    def loseConnection(self) -> None:
        """Close the connection, once all written bytes are sent (published)."""
        self._close_for(ConnectionDone())

    def leave(self, *, at_once: bool = False) -> None:
        """Close the connection; the server in front lets the peer read all that was sent."""
        self._close_for(ConnectionAborted() if at_once else ConnectionDone())
        if at_once:
            self.scheduler.timeout(LINGER_TIME, self.abortConnection)

    def abortConnection(self) -> None:
        """Cut the connection now; unsent bytes are lost (published)."""
        self._cut(ConnectionAborted())

    def watch_peer(self, silence: float, wait: float) -> None:
        """Do nothing: the server in front has the socket."""

    # Who is at the other end.

    @property
    def is_secure(self) -> bool:
        """Whether the server in front says that the connection is encrypted."""
        return self._has_tls

    @property
    def is_private(self) -> bool:
        """Whether a third party cannot read the connection."""
        return self._route.is_private(self._has_tls)

    def when_secured(self, callback: Callable[[], object]) -> None:
        """Call ``callback()`` now: the server in front has made the handshake."""
        callback()

    def verified_chain(self) -> tuple[Any, ...]:
        """Return no certificate: TLS ends at the server in front."""
        return ()

    def channel_binding(self) -> None:
        """Return None: TLS ends at the server in front."""
        return

    async def run(self, protocol: StreamProtocol, receive: Receive, send: Send) -> None:
        """Give messages to the protocol and send what it writes, until the end.

        ``protocol.connectionLost`` is called before this returns, or is cancelled.

        Args:
            protocol: has had ``makeConnection``.
            receive: returns the next message; None at the end.
            send: sends a message.
        """
        tasks = [
            asyncio.ensure_future(self._receive_all(protocol, receive)),
            asyncio.ensure_future(self._send_all(send)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ended = asyncio.gather(*tasks, return_exceptions=True)
            with suppress(asyncio.CancelledError):
                await ended
            self.end(protocol)

    def end(self, protocol: StreamProtocol) -> None:
        """Tell the protocol that the connection has ended, if `run` was never called."""
        self.is_closing = True
        self._producers.stop()
        protocol.connectionLost(Failure(self._reason or ConnectionDone()))

    async def _receive_all(self, protocol: StreamProtocol, receive: Receive) -> None:
        while True:
            await self._may_read.wait()
            try:
                data = await receive()
            except Exception as exc:  # noqa: BLE001 - of the server in front: the connection is lost
                self._cut(ConnectionLost(f"receiving raised {type(exc).__name__}"))
                return
            if data is None:
                self._end(ConnectionDone())
                return
            if self.is_closing:
                continue
            try:
                protocol.dataReceived(data)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as exc:  # noqa: BLE001 - one connection must not harm another
                text = f"{self.peer_address}: the protocol raised; connection aborted"
                self._log_throttle.log_error(_logger, self.peer_address, text, exc)
                self._cut(ConnectionAborted(f"the protocol raised {type(exc).__name__}"))
                return

    async def _send_all(self, send: Send) -> None:
        while self._pieces or not self.is_closing:
            await self._to_send.wait()
            self._to_send.clear()
            data = b"".join(self._pieces)
            self._pieces.clear()
            for at in range(0, len(data), PIECE):
                piece = data[at : at + PIECE]
                try:
                    async with asyncio.timeout(STALL if self.is_closing else None):
                        await send(piece)
                except Exception as exc:  # noqa: BLE001 - of the server in front: the connection is lost
                    self._cut(ConnectionLost(f"sending raised {type(exc).__name__}"))
                    return
                if self._is_aborted:
                    return
                self.unsent -= len(piece)
                self._check_drained()

    def _check_drained(self) -> None:
        if self._is_full and self.unsent <= HIGH_WATER // 4:
            self._is_full = False
            if self.on_drained is not None:
                self.on_drained()
            self._producers.resume()
        elif not self.unsent and not self._producers.is_push:
            self._producers.resume()

    def _close_for(self, reason: Exception) -> None:
        if not self.is_closing:
            self._end(reason)
            self._may_read.set()
            self._to_send.set()

    def _cut(self, reason: Exception) -> None:
        if not self._is_aborted:
            self._is_aborted = True
            self._pieces.clear()
            self.unsent = 0
            self._end(reason)
            self._may_read.set()
            self._to_send.set()

    def _end(self, reason: Exception) -> None:
        self.is_closing = True
        if self._reason is None:
            self._reason = reason
