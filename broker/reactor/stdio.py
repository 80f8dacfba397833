"""Published names of `twisted.internet.stdio`: the standard streams as a connection."""

from __future__ import annotations

import asyncio
from typing import Any

from broker.failure import Failure
from broker.net.pipes.transport import PipePair
from broker.net.socket_addresses import PipeAddress
from broker.net.transports import StreamProtocol, StreamTransport
from broker.reactor.engine.installed import default
from broker.reactor.engine.protocol_wrapper import ProtocolWrapper

__all__ = ["PipeAddress", "StandardIO"]


class StandardIO:
    """Connects a protocol to standard input and output (published).

    The protocol's `connectionMade` is called when the reactor runs, or at once if it runs already.
    From then on this object has all methods of a transport. The end of the input ends the
    connection, once all written bytes are sent. The streams belong to the protocol: the output of a
    ``print`` would be mixed with its bytes.

    Args:
        proto: the protocol.
        stdin, stdout: descriptors to use instead.
        reactor: the reactor; default `broker.reactor`.
    """

    def __init__(self, proto: StreamProtocol, stdin: int = 0, stdout: int = 1, reactor: Any = None):
        self.protocol = proto
        self._descriptors = stdin, stdout
        self._transport: StreamTransport | None = None
        self._reactor = default if reactor is None else getattr(reactor, "default", reactor)
        self._reactor.with_loop(self._open)

    def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        wrapper = ProtocolWrapper(self.protocol, self._lost)
        self._reactor.hold(wrapper)
        self._transport = stream = StreamTransport(lambda address: wrapper, loop)
        PipePair(loop, stream.receiver, *self._descriptors, PipeAddress()).start()

    def _lost(self, wrapper: ProtocolWrapper, reason: Failure) -> None:
        self._reactor.release(wrapper)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or self._transport is None:
            raise AttributeError(f"StandardIO has no {name!r}, or not before the reactor runs")
        return getattr(self._transport, name)
