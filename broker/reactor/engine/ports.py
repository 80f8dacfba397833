"""A port listens, and gives each connection to a protocol of its factory."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from broker.defer import Deferred, succeed
from broker.failure import Failure
from broker.net.filters import Filter
from broker.net.listener import Listener
from broker.net.socket_addresses import Address, address_of
from broker.net.sockets import bind_stream, start_accepting
from broker.net.transports import StreamProtocol
from broker.reactor.engine.protocol_bases import ServerFactory
from broker.reactor.engine.protocol_wrapper import ProtocolWrapper
from broker.reactor.error import NotListeningError
from broker.reactor.ssl import filters_maker, with_upper
from broker.reactor.typed import ContextFactory, ProtocolFactory

if TYPE_CHECKING:
    from broker.reactor.engine.mainloop import Mainloop

__all__ = ["Port", "StreamPort"]


class _Accepted(ProtocolWrapper):
    """Sets the session number on a transport before the protocol gets it."""

    def __init__(self, protocol: StreamProtocol, when_lost: Callable[..., object], number: int):
        super().__init__(protocol, when_lost)
        self._number = number

    def makeConnection(self, transport: Any) -> None:
        transport.sessionno = self._number
        super().makeConnection(transport)


class StreamPort:
    """Base of all listening ports; a subclass binds the sockets.

    ``upper`` makes the filter above TLS, or above TCP, such as that of a WebSocket.

    Attributes:
        factory: makes the protocols.
        backlog: how many connections the kernel queues until they are accepted.
        sessionno: number of accepted connections.
    """

    sessionno = 0

    def __init__(
        self,
        reactor: Mainloop,
        factory: ProtocolFactory,
        backlog: int,
        contextFactory: ContextFactory | None = None,
        upper: Callable[[], Filter] | None = None,
    ):
        self.reactor = reactor
        self.factory = factory
        self.backlog = backlog
        self._make_filters = with_upper(filters_maker(contextFactory, is_server=True), upper)
        self._sockets: tuple[socket.socket, ...] = ()
        self._listener: Listener | None = None

    def bind(self) -> tuple[socket.socket, ...]:
        """Return new listening sockets.

        Raises:
            CannotListenError: the address cannot be used.
        """
        raise NotImplementedError

    def startListening(self) -> None:
        """Bind and listen, and accept while the reactor runs; `listenTCP` does this (published).

        Raises:
            CannotListenError: the address is in use, not of this machine, or not allowed.
        """
        self._sockets = sockets = self.bind()
        self.factory.doStart()
        self.reactor.with_loop(lambda loop: self._accept(loop, sockets))

    def getHost(self) -> Address:
        """Return the address of this port, with its real number (published).

        Raises:
            NotListeningError: it does not listen any more.
        """
        if not self._sockets:
            raise NotListeningError("the port does not listen")
        first = self._sockets[0]
        return address_of(first.family, first.getsockname())

    def stopListening(self) -> Deferred[None]:
        """Close the port; its connections stay open (published).

        It is closed when this returns. In the next turn of the loop the factory is told, and then
        the Deferred fires with None.
        """
        if not self._sockets:
            return succeed(None)
        self._close()
        closed: Deferred[None] = Deferred()
        self.reactor.callLater(0, self._report_closed, closed)
        return closed

    loseConnection = stopListening

    def abandon(self) -> None:
        """Close the port: the reactor stops."""
        self._close()
        self.factory.doStop()

    def closed(self) -> None:
        """Clean up after the sockets were closed; a subclass removes files that it made."""

    def _close(self) -> None:
        if not self._sockets:
            return
        if self._listener is None:
            for sock in self._sockets:
                sock.close()
        else:
            self._listener.close()
        self.closed()
        self._sockets = ()
        self._listener = None
        self.reactor.release(self)

    def _report_closed(self, closed: Deferred[None]) -> None:
        try:
            self.factory.doStop()
        except Exception:  # noqa: BLE001 - the Deferred fails with it
            closed.errback(Failure())
        else:
            closed.callback(None)

    def _accept(self, loop: asyncio.AbstractEventLoop, sockets: tuple[socket.socket, ...]) -> None:
        factory = self.factory
        if self._sockets is sockets:
            self.reactor.hold(self)
            self._listener = start_accepting(
                sockets,
                self._build,
                make_filters=self._make_filters,
                loop=loop,
                log_throttle=factory.log_throttle if isinstance(factory, ServerFactory) else None,
            )

    def _build(self, addr: Address) -> ProtocolWrapper | None:
        protocol = self.factory.buildProtocol(addr)
        if protocol is None:
            return None
        wrapper = _Accepted(protocol, self._lost, self.sessionno)
        self.sessionno += 1
        self.reactor.hold(wrapper)
        return wrapper

    def _lost(self, wrapper: ProtocolWrapper, reason: Failure) -> None:
        self.reactor.release(wrapper)

    def __repr__(self) -> str:
        where = self.getHost() if self._sockets else "not listening"
        return f"<{type(self).__name__} of {type(self.factory).__name__}: {where}>"


class Port(StreamPort):
    """A listening TCP port, as `listenTCP` returns it (published).

    Attributes:
        port, interface: as requested; `getHost` returns the real address.
    """

    def __init__(
        self,
        reactor: Mainloop,
        factory: ProtocolFactory,
        port: int,
        interface: str = "",
        backlog: int = 50,
        contextFactory: ContextFactory | None = None,
        upper: Callable[[], Filter] | None = None,
    ):
        super().__init__(reactor, factory, backlog, contextFactory, upper)
        self.port = port
        self.interface = interface

    def bind(self) -> tuple[socket.socket, ...]:
        """Return a socket for each address of the interface."""
        return bind_stream(self.interface, self.port, self.backlog)
